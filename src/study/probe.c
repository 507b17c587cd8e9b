#include "study/probe.h"
#include "base/simd.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/log.h"
#include "mige/nn.h"
#include "mige/rng.h"
#include <math.h>
#include <string.h>

enum { BATCH = 128, HIDDEN = 200, WIDE = 3000 };

static const mige_softness HARD; /* labels as they are */

typedef struct {
    mige_net *net;
    int last; /* layer, of the logits */
    float *m, *v, *x, *dlogits;
    int32_t *labels;
    int64_t *order, step;
    mige_pool memory; /* of the arrays */
} classifier;

static void classifier_destroy(classifier *k) {
    mige_net_destroy(&k->net);
    mige_pool_free(&k->memory);
}

static int create_net(const probe_features *f, int kind, const probe_options *o, int most, classifier *k) {
    const mige_layer_spec logits = {.kind = MIGE_LINEAR, .name = "logits", .out = f->data->classes, .bias = 1};
    const mige_layer_spec mlp[] = {{.kind = MIGE_LINEAR, .name = "hidden", .out = HIDDEN, .bias = 1},
                                   {.kind = MIGE_DROPOUT, .name = "dropout", .rate = o->dropout},
                                   {.kind = MIGE_NORM, .name = "norm", .relu = 1},
                                   logits};
    const mige_layer_spec linear[] = {{.kind = MIGE_NORM, .name = "norm"}, logits};
    k->last = (kind == PROBE_MLP ? sizeof mlp / sizeof *mlp : sizeof linear / sizeof *linear) - 1;
    return mige_net_create((mige_shape){1, 1, f->width}, kind == PROBE_MLP ? mlp : linear, k->last + 1, most,
                           o->flags, &k->net);
}

static int classifier_create(const probe_features *f, int kind, const probe_options *o, classifier *k) {
    size_t B = (size_t)(o->batch > BATCH ? o->batch : BATCH);
    *k = (classifier){0};
    MIGE_TRY(create_net(f, kind, o, (int)B, k));
    MIGE_TRY(mige_net_init(k->net, o->seed, MIGE_RNG_PROBE, 0));
    size_t params = mige_net_num_params(k->net);
    return MIGE_TAKE(&k->memory, MIGE_BLOCK(k->m, params), MIGE_BLOCK(k->v, params),
                     MIGE_BLOCK(k->x, B * (size_t)f->width), MIGE_BLOCK(k->dlogits, B * (size_t)f->data->classes),
                     MIGE_BLOCK(k->labels, B), MIGE_BLOCK(k->order, f->data->train.n));
}

static void load_batch(const probe_features *f, const int64_t *rows, int n, classifier *k) {
    size_t width = (size_t)f->width;
    mige_clock_start(MIGE_PHASE_LOAD);
    for (int i = 0; i < n; i++) {
        memcpy(k->x + (size_t)i * width, f->train + (size_t)rows[i] * width, width * sizeof *k->x);
        k->labels[i] = f->data->train.labels[rows[i]];
    }
    mige_clock_stop(MIGE_PHASE_LOAD, 0);
}

static int train_step(const probe_features *f, const probe_options *o, const mige_adam *adam, const int64_t *rows,
                      int n, classifier *k) {
    mige_pass pass = {.train = 1, .seed = o->seed, .step = (uint64_t)++k->step};
    load_batch(f, rows, n, k);
    mige_clock_start(MIGE_PHASE_FORWARD);
    MIGE_TRY(mige_net_forward(k->net, k->x, n, &pass));
    mige_clock_stop(MIGE_PHASE_FORWARD, n * mige_net_flops(k->net, 0));
    mige_cross_entropy(HARD, mige_net_output(k->net, k->last), k->labels, n, f->data->classes, 1. / n, k->dlogits,
                       NULL);
    mige_clock_start(MIGE_PHASE_BACKWARD);
    MIGE_TRY(mige_net_backward_last(k->net, k->dlogits, &pass));
    mige_clock_stop(MIGE_PHASE_BACKWARD, n * mige_net_flops(k->net, 1));
    mige_clock_start(MIGE_PHASE_UPDATE);
    mige_adam_step(adam, k->step, mige_net_num_params(k->net), mige_net_params(k->net), mige_net_grads(k->net),
                   k->m, k->v);
    mige_clock_stop(MIGE_PHASE_UPDATE, 0);
    return MIGE_OK;
}

static int train_epoch(const probe_features *f, const probe_options *o, int64_t epoch, classifier *k) {
    const mige_split *s = &f->data->train;
    int64_t B = o->batch < s->n ? o->batch : s->n;
    double rate = o->rate > 0 ? o->rate : f->width < WIDE ? 1e-3 : 2e-4;
    mige_adam adam = {10 * epoch < 7 * o->epochs ? rate : 0.1 * rate, 0.9, 0.999, 1e-8, 0};
    mige_rng_permutation(o->seed, MIGE_RNG_PROBE, (uint64_t)epoch + 1, s->n, k->order);
    for (int64_t at = 0; at + B <= s->n; at += B) {
        mige_clock_start(MIGE_PHASE_STEP);
        MIGE_TRY(train_step(f, o, &adam, k->order + at, (int)B, k));
        mige_clock_stop(MIGE_PHASE_STEP, 0);
    }
    return MIGE_OK;
}

static int test_accuracy(const probe_features *f, classifier *k, double *percent) {
    const mige_split *s = &f->data->test;
    mige_pass evaluate = {0};
    int64_t right = 0;
    for (int64_t at = 0; at < s->n; at += BATCH) {
        int n = (int)(s->n - at < BATCH ? s->n - at : BATCH);
        int64_t some;
        MIGE_TRY(mige_net_forward(k->net, f->test + at * f->width, n, &evaluate));
        mige_cross_entropy(HARD, mige_net_output(k->net, k->last), s->labels + at, n, f->data->classes, 1, NULL,
                           &some);
        right += some;
    }
    *percent = 100. * (double)right / (double)s->n;
    return MIGE_OK;
}

int probe_train(const probe_features *f, int kind, const probe_options *o, probe_tell tell, void *ctx,
                double *accuracy) {
    classifier k;
    int err = classifier_create(f, kind, o, &k);
    for (int64_t e = 0; !err && e < o->epochs; e++) {
        unsigned before = mige_flush_subnormals();
        err = train_epoch(f, o, e, &k);
        mige_restore_subnormals(before);
        if (!err) err = test_accuracy(f, &k, &accuracy[e]);
        if (!err) tell(ctx, e + 1, accuracy[e]);
    }
    classifier_destroy(&k);
    return err;
}

void probe_doubts(const char *path, const char *name, int64_t rows, int64_t width, const float *x) {
    static const double SMALL = 0.01, FAR = 10;
    enum { FEW = 20, SOME = 1000 };
    int64_t n = rows < SOME ? rows : SOME;
    double square = 0, offset = 0;
    for (int64_t k = 0; k < width; k++) {
        double mean = 0;
        for (int64_t i = 0; i < n; i++) mean += (double)x[i * width + k] / (double)n;
        for (int64_t i = 0; i < n; i++) square += pow((double)x[i * width + k] - mean, 2) / (double)(n * width);
        offset += mean * mean / (double)width;
    }
    double deviation = sqrt(square), distance = sqrt(offset);
    if (n >= FEW && (deviation < SMALL || distance > FAR * deviation))
        mige_warn("%s: %s has deviations of %.2g about means of %.2g: too %s for these classifiers, which may fail "
                  "(standardise its columns)",
                  path, name, deviation, distance, deviation < SMALL ? "small" : "far from 0");
}
