#include "app/app.h"
#include "mige/checkpoint.h"
#include "mige/clock.h"
#include "mige/rng.h"
#include "train/train.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int run_config(const char *run, config *c) {
    char path[MIGE_OPT_TEXT_SIZE];
    MIGE_TRY(mige_run_path(run, "config.ini", path));
    MIGE_TRY(mige_options_defaults(&option_table, c));
    return mige_options_file(&option_table, mige_options_command(&option_table, "train"), c, path, 0);
}

static int load_weights(const app *a, mige_net *net, int64_t *step) {
    mige_checkpoint k = {.n = 1};
    k.member[0] = (mige_checkpoint_member){
        .name = "encoder", .net = net, .params = mige_net_params(net), .state = mige_net_state(net)};
    int err = a->comm.rank == 0 ? mige_checkpoint_newest(a->cfg.run, &k, mige_checkpoint_warn) : MIGE_OK;
    if (!err && a->comm.rank == 0 && k.step < 0)
        err = mige_raise(MIGE_EINPUT, "%s: no checkpoint (train first, or wait for the first one)", a->cfg.run);
    MIGE_TRY(mige_agree(&a->comm, err));
    *step = k.step;
    MIGE_TRY(mige_bcast(&a->comm, 0, step, sizeof *step));
    MIGE_TRY(mige_bcast(&a->comm, 0, mige_net_params(net), mige_net_num_params(net) * sizeof(float)));
    return mige_bcast(&a->comm, 0, mige_net_state(net), mige_net_num_state(net) * sizeof(float));
}

/* "conv,fc,y", or "" for all that the encoder has. */
static int parse_layers(const char *list, const mige_encoder *e, const mige_net *net, layer_list *l) {
    char choices[sizeof e->features];
    int64_t *place;
    for (size_t i = 0; i < sizeof choices; i++) choices[i] = e->features[i] == ',' ? '|' : e->features[i];
    MIGE_TRY(mige_list_names("--layers", *list ? list : e->features, choices, &l->n, &place));
    for (int i = 0; i < l->n; i++) {
        const mige_feature *f = &e->feature[place[i]];
        l->name[i] = f->name;
        l->layer[i] = mige_net_layer(net, f->layer);
        l->width[i] = mige_net_size(net, l->layer[i]);
    }
    free(place);
    return MIGE_OK;
}

enum { BATCH = 128 };

/* As it began; of a code that is drawn, the mean. */
static int create_encoder(const app *a, const mige_data *d, layer_list *l, mige_net **net) {
    mige_encoder e = {0};
    mige_shape in = {d->h, d->w, d->c};
    config *trained;
    MIGE_TRY(mige_alloc(1, sizeof *trained, &trained));
    int err = run_config(a->cfg.run, trained);
    trained->train.draws = 1;
    if (!err) err = train_encoder(&trained->train, in, &e);
    if (!err) err = mige_net_create(in, e.layers, e.n, BATCH, train_net_flags(&a->cfg.train), net);
    if (!err) err = mige_net_init(*net, (uint64_t)trained->seed, MIGE_RNG_INIT, 0);
    if (!err) err = parse_layers(a->cfg.layers, &e, *net, l);
    free(trained);
    return err;
}

int run_open(const app *a, const mige_data *d, int untrained, layer_list *l, mige_net **net, int64_t *step) {
    *net = NULL;
    *step = 0;
    int err = mige_agree(&a->comm, create_encoder(a, d, l, net));
    if (!err && !untrained) err = load_weights(a, *net, step);
    if (err) mige_net_destroy(net);
    return err;
}

static int encode_split(const mige_comm *c, const mige_data *d, const mige_split *s, mige_net *net,
                        const layer_list *l, float *const *to) {
    mige_pass evaluate = {.mean = 1};
    mige_pool memory = {0};
    int64_t first, count, *index;
    float *x;
    mige_share(s->n, c->node_size, c->node_rank, &first, &count);
    int err = MIGE_TAKE(&memory, MIGE_BLOCK(index, BATCH), MIGE_BLOCK(x, BATCH * (size_t)mige_net_size(net, -1)));
    for (int64_t at = first; !err && at < first + count; at += BATCH) {
        int n = (int)(first + count - at < BATCH ? first + count - at : BATCH);
        for (int i = 0; i < n; i++) index[i] = at + i;
        mige_clock_start(MIGE_PHASE_LOAD);
        mige_data_load(d, s, index, n, x, NULL);
        mige_clock_stop(MIGE_PHASE_LOAD, 0);
        mige_clock_start(MIGE_PHASE_FORWARD);
        err = mige_net_forward(net, x, n, &evaluate);
        mige_clock_stop(MIGE_PHASE_FORWARD, n * mige_net_flops(net, 0));
        for (int k = 0; !err && k < l->n; k++) {
            size_t w = (size_t)l->width[k];
            memcpy(to[k] + (size_t)at * w, mige_net_output(net, l->layer[k]), (size_t)n * w * sizeof(float));
            if (mige_not_finite_float((size_t)n * w, to[k] + (size_t)at * w))
                err = mige_raise(MIGE_ENUMERIC, "encoder: layer %s is not finite (train anew)", l->name[k]);
        }
    }
    mige_pool_free(&memory);
    return err;
}

int features_room(const mige_comm *c, const layer_list *l, int64_t train, int64_t test, size_t more, features *f) {
    for (int k = 0; k < l->n; k++) more += (size_t)(train + test) * (size_t)l->width[k] * sizeof(float);
    MIGE_TRY(mige_shared_create(c, more, &f->memory));
    float *at = f->memory.base;
    for (int k = 0; k < l->n; k++) {
        f->train[k] = at;
        f->test[k] = at + train * l->width[k];
        at += (train + test) * l->width[k];
    }
    f->rest = at;
    return MIGE_OK;
}

int features_create(const mige_comm *c, const mige_data *d, mige_net *net, const layer_list *l, features *f) {
    MIGE_TRY(features_room(c, l, d->train.n, d->test.n, 0, f));
    int err = encode_split(c, d, &d->train, net, l, f->train);
    if (!err) err = encode_split(c, d, &d->test, net, l, f->test);
    err = mige_agree(c, err);
    if (!err) err = mige_shared_sync(c, &f->memory);
    if (err) mige_shared_destroy(&f->memory);
    return err;
}

typedef struct {
    const mige_data *d;
    const char *data;
    const config *trained;
    int given, foreign;
} comparison;

/* That config.ini is of the run that the checkpoint is of, and the data those that it was trained on. */
static int compare_run(void *ctx, const char *path, const char *trajectory) {
    comparison *k = ctx;
    mige_options_given options = {&option_table, mige_options_command(&option_table, "train"), k->trained};
    int err =
        mige_options_same(&options, path, trajectory, "that is, config.ini beside it, which is not the run's");
    if (!err)
        err = train_data_same(k->d, k->data, path, trajectory, k->given,
                              k->given ? "the encoder wants images of that size" : "--data names a file");
    k->foreign = err != MIGE_OK;
    return err ? MIGE_EINPUT : MIGE_OK;
}

/* That its files belong together; other data if they were asked for. On one rank. Whether there is a good
 * checkpoint at all is told by whoever needs one. */
static int check_run(const app *a, const mige_data *d, const config *trained, int given) {
    comparison k = {d, a->cfg.train.data, trained, given, 0};
    mige_checkpoint trajectory = {.check = compare_run, .ctx = &k};
    int err = mige_checkpoint_newest(a->cfg.run, &trajectory, NULL);
    return k.foreign ? err : MIGE_OK;
}

/* The run's data file, if none is given; and what it holds out of that file. */
static int name_data(app *a, config *trained, int given) {
    char folder[MIGE_RUN_PATH];
    struct stat st;
    MIGE_TRY(mige_run_path(a->cfg.run, "config.ini", folder));
    MIGE_CHECK(stat(folder, &st) == 0, MIGE_EINPUT, "%s: is not the folder of a run: it has no config.ini",
               a->cfg.run);
    MIGE_TRY(run_config(a->cfg.run, trained));
    if (given) return MIGE_OK;
    strcpy(a->cfg.train.data, trained->train.data);
    if (!a->cfg.train.validation) a->cfg.train.validation = trained->train.validation;
    MIGE_CHECK(stat(a->cfg.train.data, &st) == 0, MIGE_EINPUT,
               "%s: the data file that %s names is not here: %s (name it with --data)", a->cfg.train.data, folder,
               strerror(errno));
    return MIGE_OK;
}

int data_of_run(app *a, mige_data *d) {
    static config trained;
    int given = *a->cfg.train.data != 0;
    MIGE_TRY(mige_agree(&a->comm, name_data(a, &trained, given)));
    MIGE_TRY(mige_data_open(&a->comm, a->cfg.train.data, d));
    int err = mige_data_hold_out(&a->comm, a->cfg.train.validation, d);
    if (!err) err = mige_agree(&a->comm, a->comm.rank == 0 ? check_run(a, d, &trained, given) : MIGE_OK);
    if (err) mige_data_close(d);
    return err;
}
