/* mige probe: classifiers on frozen features. Each is small and trained by one rank alone, so that its result does
 * not depend on the number of ranks; the classifiers are dealt out to the ranks. */
#include "app/app.h"
#include "mige/error.h"
#include "mige/io.h"
#include "mige/log.h"
#include "mige/rng.h"
#include "train/train.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 128, HIDDEN = 200, TRAINED = 0, UNTRAINED = 1, KINDS = 2 };

/* One classifier: its features, and what came out. */
typedef struct {
    const char *layer;
    int kind, width;
    const float *train, *test;
    double *accuracy; /* [epochs], test, percent */
} job;

static const mige_softness HARD; /* labels as they are */

typedef struct {
    mige_net *net;
    float *m, *v, *x, *dlogits;
    int32_t *labels;
    int64_t *order;
    mige_pool memory; /* of the arrays */
} classifier;

static void classifier_destroy(classifier *k) {
    mige_net_destroy(&k->net);
    mige_pool_free(&k->memory);
}

/* linear 200, dropout, batch norm, ReLU, linear to the classes. */
static int classifier_create(const config *c, const mige_data *d, int width, classifier *k) {
    const mige_layer_spec spec[] = {
        {.kind = MIGE_LINEAR, .name = "hidden", .out = HIDDEN, .bias = 1},
        {.kind = MIGE_DROPOUT, .name = "dropout", .rate = c->dropout},
        {.kind = MIGE_NORM, .name = "norm", .relu = 1},
        {.kind = MIGE_LINEAR, .name = "logits", .out = d->classes, .bias = 1},
    };
    size_t B = (size_t)(c->probe_batch > BATCH ? c->probe_batch : BATCH);
    *k = (classifier){0};
    MIGE_TRY(mige_net_create((mige_shape){1, 1, width}, spec, sizeof spec / sizeof *spec, (int)B,
                             train_net_flags(&c->train), &k->net));
    MIGE_TRY(mige_net_init(k->net, (uint64_t)c->seed, MIGE_RNG_PROBE, 0));
    size_t params = mige_net_num_params(k->net);
    return MIGE_TAKE(&k->memory, MIGE_BLOCK(k->m, params), MIGE_BLOCK(k->v, params),
                     MIGE_BLOCK(k->x, B * (size_t)width), MIGE_BLOCK(k->dlogits, B * (size_t)d->classes),
                     MIGE_BLOCK(k->labels, B), MIGE_BLOCK(k->order, d->train.n));
}

static int train_epoch(const config *c, const mige_data *d, const job *j, classifier *k, int64_t epoch,
                       int64_t *step) {
    int64_t B = c->probe_batch < d->train.n ? c->probe_batch : d->train.n;
    double decay = epoch < c->probe_epochs / 2 ? 1 : epoch < c->probe_epochs * 3 / 4 ? 0.1 : 0.01;
    mige_adam adam = {c->probe_rate * decay, 0.9, 0.999, 1e-8, 0};
    mige_rng_permutation((uint64_t)c->seed, MIGE_RNG_PROBE, (uint64_t)epoch + 1, d->train.n, k->order);
    for (int64_t at = 0; at + B <= d->train.n; at += B) {
        mige_pass pass = {.train = 1, .seed = (uint64_t)c->seed, .step = (uint64_t)++ * step};
        for (int64_t i = 0; i < B; i++) {
            memcpy(k->x + i * j->width, j->train + k->order[at + i] * j->width, (size_t)j->width * sizeof *k->x);
            k->labels[i] = d->train.labels[k->order[at + i]];
        }
        MIGE_TRY(mige_net_forward(k->net, k->x, (int)B, &pass));
        mige_cross_entropy(HARD, mige_net_output(k->net, 3), k->labels, (int)B, d->classes, 1. / (double)B,
                           k->dlogits, NULL);
        MIGE_TRY(mige_net_backward_last(k->net, k->dlogits, &pass));
        mige_adam_step(&adam, *step, mige_net_num_params(k->net), mige_net_params(k->net), mige_net_grads(k->net),
                       k->m, k->v);
    }
    return MIGE_OK;
}

static int test_accuracy(const mige_data *d, const job *j, classifier *k, double *percent) {
    mige_pass evaluate = {0};
    int64_t right = 0;
    for (int64_t at = 0; at < d->test.n; at += BATCH) {
        int n = (int)(d->test.n - at < BATCH ? d->test.n - at : BATCH);
        int64_t some;
        MIGE_TRY(mige_net_forward(k->net, j->test + at * j->width, n, &evaluate));
        mige_cross_entropy(HARD, mige_net_output(k->net, 3), d->test.labels + at, n, d->classes, 1, NULL, &some);
        right += some;
    }
    *percent = 100. * (double)right / (double)d->test.n;
    return MIGE_OK;
}

static int run_job(const config *c, const mige_data *d, const job *j, int64_t before, int64_t total) {
    classifier k;
    char text[128];
    int64_t step = 0;
    int err = classifier_create(c, d, j->width, &k);
    for (int64_t e = 0; !err && e < c->probe_epochs; e++) {
        err = train_epoch(c, d, j, &k, e, &step);
        if (!err) err = test_accuracy(d, j, &k, &j->accuracy[e]);
        snprintf(text, sizeof text, "%s%s %.1f %%", j->layer, j->kind == UNTRAINED ? " untrained" : "",
                 j->accuracy[e]);
        if (!err && total) mige_progress_update((long)(before + e + 1), text);
    }
    classifier_destroy(&k);
    return err;
}

static const char *const kind_names[KINDS] = {"trained", "untrained"};

/* That they can be written is known before hours of work. */
static int check_results(const config *c) {
    char path[MIGE_OPT_TEXT_SIZE];
    MIGE_TRY(mige_run_path(c->run, "probe.h5", path));
    return check_output(c, path, 1);
}

static int write_results(const config *c, const mige_data *d, int n, const job *jobs, int64_t step) {
    char path[MIGE_OPT_TEXT_SIZE], name[128];
    mige_file *f;
    mige_layout layout = {MIGE_F64, 1, {c->probe_epochs}};
    MIGE_TRY(mige_run_path(c->run, "probe.h5", path));
    MIGE_TRY(mige_file_create(path, "mige-probe", &f));
    int err = mige_file_set_int(f, "/", "step", step);
    if (!err) err = mige_file_set_int(f, "/", "test_images", d->test.n);
    for (int i = 0; !err && i < n; i++) {
        snprintf(name, sizeof name, "/%s/%s/accuracy", kind_names[jobs[i].kind], jobs[i].layer);
        err = mige_file_write(f, name, layout, jobs[i].accuracy, "percent",
                              "test accuracy of the classifier after each epoch", 0);
    }
    return mige_file_commit(&f, err);
}

static void print_results(const config *c, const mige_data *d, const layer_list *l, int n, const job *jobs) {
    mige_print("test accuracy in %% (%lld images, %lld epochs)", (long long)d->test.n, (long long)c->probe_epochs);
    mige_print(c->untrained ? "%-6s %10s %10s %8s" : "%-6s %10s", "layer", "trained", "untrained", "gain");
    for (int i = 0; i < l->n; i++) {
        double last[KINDS] = {0};
        for (int k = 0; k < n; k++)
            if (!strcmp(jobs[k].layer, l->name[i])) last[jobs[k].kind] = jobs[k].accuracy[c->probe_epochs - 1];
        mige_print(c->untrained ? "%-6s %10.2f %10.2f %+8.2f" : "%-6s %10.2f", l->name[i], last[TRAINED],
                   last[UNTRAINED], last[TRAINED] - last[UNTRAINED]);
    }
}

/* Deals the classifiers out, the widest first, and brings the results together. */
static int run_jobs(app *a, const mige_data *d, int n, job *jobs) {
    int err = MIGE_OK, mine = 0, done = 0;
    for (int i = 0; i < n; i++) mine += i % a->comm.size == a->comm.rank;
    mige_progress_begin("probe", (long)(mine * a->cfg.probe_epochs));
    for (int i = a->comm.rank; !err && i < n; i += a->comm.size)
        err = run_job(&a->cfg, d, &jobs[i], a->cfg.probe_epochs * done++, mine);
    mige_progress_end();
    MIGE_TRY(mige_agree(&a->comm, err));
    for (int i = 0; i < n; i++)
        MIGE_TRY(
            mige_bcast(&a->comm, i % a->comm.size, jobs[i].accuracy, (size_t)a->cfg.probe_epochs * sizeof(double)));
    return MIGE_OK;
}

typedef struct {
    layer_list layers;
    features x[KINDS];
    job jobs[KINDS * MOST_LAYERS];
    int n;
} probing;

static int extract(app *a, const mige_data *d, probing *p, int kind, int64_t *step) {
    mige_net *net;
    layer_list *l = &p->layers;
    MIGE_TRY(run_open(a, d, kind == UNTRAINED, BATCH, l, &net, step));
    int err = features_create(&a->comm, d, net, BATCH, l, &p->x[kind]);
    mige_net_destroy(&net);
    MIGE_TRY(err);
    for (int i = 0; i < l->n; i++) {
        job *j = &p->jobs[p->n++];
        *j = (job){l->name[i], kind, l->width[i], p->x[kind].train[i], p->x[kind].test[i], NULL};
        MIGE_TRY(mige_agree(&a->comm, mige_alloc((size_t)a->cfg.probe_epochs, sizeof *j->accuracy, &j->accuracy)));
    }
    return MIGE_OK;
}

static int widest_first(const void *x, const void *y) {
    return ((const job *)y)->width - ((const job *)x)->width;
}

static int probe(app *a, const mige_data *d, probing *p) {
    const config *c = &a->cfg;
    int64_t step, zero;
    mige_net *net;
    mige_say("probe: layers %s of %s%s, %lld + %lld images, %lld epochs", *c->layers ? c->layers : "(all)", c->run,
             c->untrained ? ", and untrained" : "", (long long)d->train.n, (long long)d->test.n,
             (long long)c->probe_epochs);
    MIGE_CHECK(d->train.labels && d->test.labels, MIGE_EINPUT, "%s: classifiers want labels of %s images",
               c->train.data, d->train.labels ? "test" : "training");
    MIGE_TRY(mige_agree(&a->comm, a->comm.rank == 0 ? check_results(c) : MIGE_OK));
    if (c->dry_run) {
        MIGE_TRY(run_open(a, d, 0, BATCH, &p->layers, &net, &step));
        mige_net_destroy(&net);
        return MIGE_OK;
    }
    MIGE_TRY(extract(a, d, p, TRAINED, &step));
    if (c->untrained) MIGE_TRY(extract(a, d, p, UNTRAINED, &zero));
    qsort(p->jobs, (size_t)p->n, sizeof *p->jobs, widest_first);
    MIGE_TRY(run_jobs(a, d, p->n, p->jobs));
    MIGE_TRY(mige_agree(&a->comm, a->comm.rank == 0 ? write_results(c, d, p->n, p->jobs, step) : MIGE_OK));
    print_results(c, d, &p->layers, p->n, p->jobs);
    return MIGE_OK;
}

int cmd_probe(app *a) {
    static probing p;
    mige_data d = {0};
    MIGE_TRY(data_of_run(a, &d));
    int err = probe(a, &d, &p);
    for (int i = 0; i < p.n; i++) free(p.jobs[i].accuracy);
    for (int k = 0; k < KINDS; k++) features_destroy(&p.x[k]);
    mige_data_close(&d);
    return err;
}
