/* mige encode: the learnt features of a data file, in its order. */
#include "app/app.h"
#include "mige/log.h"
#include <stdio.h>

static int write_split(mige_file *f, const char *split, const mige_split *s, const layer_list *l, float *const *x) {
    char name[64];
    for (int k = 0; s->n && k < l->n; k++) {
        snprintf(name, sizeof name, "/%s/%s", split, l->name[k]);
        mige_layout layout = {MIGE_F32, 2, {s->n, l->width[k]}};
        MIGE_TRY(mige_file_write(f, name, layout, x[k], "1",
                                 "features of the frozen encoder (conv: row, column, channel)", 0));
    }
    if (!s->labels) return MIGE_OK;
    snprintf(name, sizeof name, "/%s/labels", split);
    return mige_file_write(f, name, (mige_layout){MIGE_I32, 1, {s->n}}, s->labels, "1",
                           "class of each image, from 0", 0);
}

static int write_features(const config *c, const mige_data *d, const layer_list *l, const features *x,
                          int64_t step) {
    mige_file *f;
    MIGE_TRY(mige_file_create(c->output, "mige-data", &f));
    int err = write_split(f, "train", &d->train, l, x->train);
    if (!err) err = write_split(f, "test", &d->test, l, x->test);
    if (!err && d->classes)
        err = mige_file_write_names(f, "/class_names", d->classes, (const char *const *)d->class_names,
                                    "names of the classes");
    if (!err) err = mige_file_set_int(f, "/", "step", step);
    return mige_file_commit(&f, err);
}

static int encode(app *a, const mige_data *d, layer_list *l) {
    mige_net *net;
    features x = {0};
    int64_t step;
    MIGE_TRY(run_open(a, d, a->cfg.untrained, l, &net, &step));
    mige_say("encode: %lld + %lld images, layers %s, encoder of step %lld", (long long)d->train.n,
             (long long)d->test.n, *a->cfg.layers ? a->cfg.layers : "(all)", (long long)step);
    int err = a->cfg.dry_run ? MIGE_OK : features_create(&a->comm, d, net, l, &x);
    if (!err && !a->cfg.dry_run)
        err = mige_agree(&a->comm, a->comm.rank == 0 ? write_features(&a->cfg, d, l, &x, step) : MIGE_OK);
    if (!err && !a->cfg.dry_run) mige_say("encode: written to %s", a->cfg.output);
    mige_shared_destroy(&x.memory);
    mige_net_destroy(&net);
    return err;
}

int cmd_encode(app *a) {
    mige_data d = {0};
    layer_list l = {0};
    MIGE_TRY(data_of_run(a, &d));
    /* Once more: only now it is known what is read. */
    int err = mige_agree(&a->comm, a->comm.rank == 0 ? check_output(&a->cfg, 0) : MIGE_OK);
    if (!err) err = encode(a, &d, &l);
    mige_data_close(&d);
    return err;
}
