#include "app/infomax.h"
#include "app/check.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/rng.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int encoder_plan(const config *c, const mige_data *d, mige_encoder *e) {
    mige_encoder_options o = {.out = (int)c->code};
    return mige_encoder_create("dim", d ? (mige_shape){d->h, d->w, d->c} : (mige_shape){32, 32, 3}, &o, e);
}

int encoder_create(const config *c, const mige_data *d, int max_batch, mige_net **net) {
    mige_encoder e;
    MIGE_TRY(encoder_plan(c, d, &e));
    return mige_net_create((mige_shape){d->h, d->w, d->c}, e.layers, e.n, max_batch, 0, net);
}

static int circumstances(const config *c) {
    static const int of_choice[] = {MIGE_CIRCUMSTANCE_I, MIGE_CIRCUMSTANCE_II,
                                    MIGE_CIRCUMSTANCE_I | MIGE_CIRCUMSTANCE_II};
    return of_choice[c->circumstance];
}

static int size_of(mige_shape s) {
    return s.h * s.w * s.c;
}

/* Projections number 0 and 1 of the run; fresh ones are numbered by the step. */
static int draw_projections(infomax *t, int64_t step) {
    uint64_t seed = (uint64_t)t->cfg->seed, stream = t->cfg->fresh_projection ? 2 * (uint64_t)step : 0;
    int k = (int)t->cfg->projection;
    mige_projection_destroy(&t->of_x);
    mige_projection_destroy(&t->of_h);
    int d = size_of(mige_net_shape(t->net, -1)), dh = size_of(mige_net_shape(t->net, t->h_layer)),
        which = circumstances(t->cfg);
    if (which & MIGE_CIRCUMSTANCE_I) MIGE_TRY(mige_projection_create(seed, stream, k, d, &t->of_x));
    return which & MIGE_CIRCUMSTANCE_II ? mige_projection_create(seed, stream + 1, k, dh, &t->of_h) : MIGE_OK;
}

static int take_memory(infomax *t) {
    size_t n = (size_t)t->count, B = (size_t)t->cfg->batch;
    size_t widest = (size_t)(t->dx > t->dh ? t->dx : t->dh), most = widest > (size_t)t->dz ? widest : (size_t)t->dz;
    MIGE_TRY(mige_alloc((size_t)t->data->train.n, sizeof *t->order, &t->order));
    MIGE_TRY(mige_alloc(n * (size_t)size_of(mige_net_shape(t->net, -1)), sizeof *t->x, &t->x));
    MIGE_TRY(mige_alloc(n * most, sizeof *t->scratch, &t->scratch));
    MIGE_TRY(mige_alloc(n * (size_t)t->dz, sizeof *t->dz_local, &t->dz_local));
    if (t->dh)
        MIGE_TRY(
            mige_alloc(n * (size_t)size_of(mige_net_shape(t->net, t->h_layer)), sizeof *t->dh_local, &t->dh_local));
    MIGE_TRY(mige_alloc((size_t)t->layers, sizeof *t->upstream, &t->upstream));
    MIGE_TRY(mige_alloc(n * most, sizeof *t->mine, &t->mine));
    MIGE_TRY(mige_alloc(B * (size_t)t->dx, sizeof *t->X, &t->X));
    MIGE_TRY(mige_alloc(B * (size_t)t->dh, sizeof *t->H, &t->H));
    MIGE_TRY(mige_alloc(B * (size_t)t->dz, sizeof *t->Z, &t->Z));
    MIGE_TRY(mige_alloc(B * (size_t)t->dh, sizeof *t->dH, &t->dH));
    return mige_alloc(B * (size_t)t->dz, sizeof *t->dZ, &t->dZ);
}

static int setup(infomax *t) {
    const config *c = t->cfg;
    mige_share(c->batch, t->c->size, t->c->rank, &t->first, &t->count);
    MIGE_TRY(encoder_create(c, t->data, (int)t->count, &t->net));
    MIGE_TRY(mige_net_init(t->net, (uint64_t)c->seed, MIGE_RNG_INIT, 0));
    t->h_layer = mige_net_layer(t->net, "norm3");
    t->layers = mige_net_num_layers(t->net);
    t->order_epoch = -1;
    MIGE_TRY(draw_projections(t, 0));
    t->dx = t->of_x.k;
    t->dh = t->of_h.k;
    t->dz = (int)c->code;
    return take_memory(t);
}

int infomax_create(const app *a, const mige_data *d, infomax *t) {
    mige_score_options o;
    *t = (infomax){.c = &a->comm, .cfg = &a->cfg, .data = d};
    MIGE_TRY(config_score(&a->cfg, &o));
    MIGE_TRY(config_checks(&a->cfg, &t->checks));
    MIGE_TRY(mige_agree(t->c, setup(t)));
    MIGE_TRY(update_create(t->c, t->net, &t->update));
    return mige_mi_create(t->c, circumstances(t->cfg), (int)t->cfg->batch, t->dx, t->dh, t->dz, &o, &t->mi);
}

void infomax_destroy(infomax *t) {
    void *blocks[] = {t->order, t->x, t->scratch, t->dz_local, t->dh_local, (void *)t->upstream,
                      t->mine,  t->X, t->H,       t->Z,        t->dH,       t->dZ};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    mige_projection_destroy(&t->of_x);
    mige_projection_destroy(&t->of_h);
    mige_mi_destroy(&t->mi);
    update_destroy(&t->update);
    mige_net_destroy(&t->net);
}

double infomax_bytes(const config *c, const mige_data *d, int ranks, const mige_score_options *o) {
    mige_encoder e;
    if (encoder_plan(c, d, &e)) return 0;
    int n = (int)((c->batch + ranks - 1) / ranks), k = (int)c->projection, which = circumstances(c);
    int dx = which & MIGE_CIRCUMSTANCE_I ? k : 0, dh = which & MIGE_CIRCUMSTANCE_II ? k : 0;
    double net = (double)mige_net_bytes((mige_shape){d->h, d->w, d->c}, e.layers, e.n, n);
    size_t parameters = mige_net_bytes((mige_shape){d->h, d->w, d->c}, e.layers, e.n, 0) / (2 * sizeof(float));
    double shared = update_bytes(parameters, 1) + 12. * (double)parameters; /* and the copy that is written */
    double images = 4. * n * d->h * d->w * d->c + 8. * (double)d->train.n;
    return net + shared + images + mige_mi_bytes(which, (int)c->batch, dx, dh, (int)c->code, ranks, o) +
           8. * (double)c->batch * (dx + 2 * dh + 2 * c->code);
}

static int sum_over_ranks(void *ctx, double *x, int n) {
    return mige_sum(ctx, x, (size_t)n);
}

/* This rank's part of batch number `step` - 1: the epoch's order, cut into whole batches; what is left over waits
 * for the next epoch's order. */
static void load_batch(infomax *t, int64_t step) {
    int64_t n = t->data->train.n, B = t->cfg->batch, per_epoch = n / B, epoch = (step - 1) / per_epoch,
            at = (step - 1) % per_epoch;
    if (epoch != t->order_epoch)
        mige_rng_permutation((uint64_t)t->cfg->seed, MIGE_RNG_SHUFFLE, (uint64_t)epoch, n, t->order);
    t->order_epoch = epoch;
    mige_data_load(t->data, &t->data->train, t->order + at * B + t->first, (int)t->count, t->x, NULL);
}

static int gather_floats(infomax *t, int width, const float *from, double *all) {
    for (size_t i = 0; i < (size_t)t->count * (size_t)width; i++) t->mine[i] = from[i];
    return mige_gather_rows(t->c, t->cfg->batch, width, t->mine, all);
}

static int gather_projected(infomax *t, const mige_projection *p, const float *from, double *all) {
    MIGE_TRY(mige_projection_apply(p, (int)t->count, from, t->scratch, t->mine));
    return mige_gather_rows(t->c, t->cfg->batch, p->k, t->mine, all);
}

static int gather(infomax *t, int64_t step) {
    if (t->dx) MIGE_TRY(gather_projected(t, &t->of_x, t->x, t->X));
    if (t->dh) MIGE_TRY(gather_projected(t, &t->of_h, mige_net_output(t->net, t->h_layer), t->H));
    MIGE_TRY(gather_floats(t, t->dz, mige_net_output(t->net, t->layers - 1), t->Z));
    double sum = 0;
    for (int64_t i = 0; i < t->cfg->batch * t->dz; i++) sum += t->Z[i] * 0;
    if (!(sum == 0))
        mige_raise(MIGE_ENUMERIC,
                   "training: the representation is not finite at step %lld (train anew with a lower "
                   "--learning-rate; what was saved is kept)",
                   (long long)step);
    return mige_agree(t->c, sum == 0 ? MIGE_OK : MIGE_ENUMERIC);
}

/* Upstream gradients of this rank's samples: minus the gradient of I, since Adam goes downhill. */
static int upstream(infomax *t) {
    for (size_t i = 0; i < (size_t)t->count * (size_t)t->dz; i++)
        t->dz_local[i] = (float)-t->dZ[(size_t)t->first * (size_t)t->dz + i];
    t->upstream[t->layers - 1] = t->dz_local;
    if (!t->dh) return MIGE_OK;
    MIGE_TRY(mige_projection_adjoint(&t->of_h, (int)t->count, t->dH + t->first * t->dh, t->scratch, t->dh_local));
    size_t n = (size_t)t->count * (size_t)size_of(mige_net_shape(t->net, t->h_layer));
    for (size_t i = 0; i < n; i++) t->dh_local[i] = -t->dh_local[i];
    t->upstream[t->h_layer] = t->dh_local;
    return MIGE_OK;
}

/* The value whose gradient is back-propagated with the scores held constant: what an autodiff framework would
 * print. No estimate of I; by Stein's identity the marginal's part of it is dz when the scores are unbiased. */
static double surrogate(const infomax *t) {
    return -cblas_ddot((int)t->cfg->batch * t->dz, t->dZ, 1, t->Z, 1) -
           (t->dh ? cblas_ddot((int)t->cfg->batch * t->dh, t->dH, 1, t->H, 1) : 0);
}

static double code_deviation(const infomax *t) {
    double B = (double)t->cfg->batch, total = 0;
    for (int d = 0; d < t->dz; d++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < t->cfg->batch; i++) {
            double z = t->Z[i * t->dz + d];
            sum += z;
            squares += z * z;
        }
        total += squares / B - sum / B * (sum / B);
    }
    return sqrt(total / t->dz);
}

static int apply_gradient(infomax *t, int64_t step, double *norm) {
    mige_adam adam = {t->cfg->rate, t->cfg->beta1, t->cfg->beta2, 1e-8, 0};
    MIGE_TRY(update_step(&t->update, &adam, step, norm));
    if (!isfinite(*norm))
        mige_raise(
            MIGE_ENUMERIC,
            "training: the gradient is not finite at step %lld (train anew with a lower --learning-rate; what "
            "was saved is kept)",
            (long long)step);
    return mige_agree(t->c, isfinite(*norm) ? MIGE_OK : MIGE_ENUMERIC);
}

enum { LOSS, GRADIENT_NORM, EPOCH, RATE, SPEED, DEVIATION, FIXED };
static const mige_series fixed_series[FIXED] = {
    [LOSS] = {"loss", "nat",
              "surrogate whose gradient, scores held constant, is minus the gradient of the mutual information"},
    [GRADIENT_NORM] = {"gradient_norm", "1", "Euclidean norm of the parameters' gradient"},
    [EPOCH] = {"epoch", "epochs", "passes over the training images"},
    [RATE] = {"learning_rate", "1", "learning rate of Adam"},
    [SPEED] = {"images_per_second", "1/s", "training images a second, all ranks together"},
    [DEVIATION] = {"code_deviation", "1", "standard deviation of the code z, root mean square over its dimensions"},
};
/* For each score problem, in the order z, xz, h, hz: */
static const mige_series problem_series[4][3] = {
    {{"z_eigen", "1", "J, eigenpairs kept for the score of z"},
     {"z_width", "1", "kernel width for the score of z"},
     {"z_stein", "1", "share of Stein's identity that the score of z keeps"}},
    {{"xz_eigen", "1", "J, eigenpairs kept for the score of (x,z)"},
     {"xz_width", "1", "kernel width for the score of (x,z)"},
     {"xz_stein", "1", "share of Stein's identity that the score of (x,z) keeps"}},
    {{"h_eigen", "1", "J, eigenpairs kept for the score of h"},
     {"h_width", "1", "kernel width for the score of h"},
     {"h_stein", "1", "share of Stein's identity that the score of h keeps"}},
    {{"hz_eigen", "1", "J, eigenpairs kept for the score of (h,z)"},
     {"hz_width", "1", "kernel width for the score of (h,z)"},
     {"hz_stein", "1", "share of Stein's identity that the score of (h,z) keeps"}},
};

int infomax_series(const infomax *t, const mige_series **series) {
    static mige_series all[FIXED + 12];
    int n = FIXED;
    memcpy(all, fixed_series, sizeof fixed_series);
    for (int i = 0; i < mige_mi_num_problems(t->mi); i++) {
        const char *name = mige_mi_get_problem(t->mi, i).name;
        for (int k = 0; k < 4; k++)
            if (!strncmp(problem_series[k][0].name, name, strlen(name)) &&
                problem_series[k][0].name[strlen(name)] == '_') {
                memcpy(&all[n], problem_series[k], sizeof problem_series[k]);
                n += 3;
            }
    }
    *series = all;
    return n;
}

static void report(const infomax *t, int64_t step, double norm, double seconds, double *values) {
    values[LOSS] = surrogate(t);
    values[GRADIENT_NORM] = norm;
    values[EPOCH] = (double)step / (double)(t->data->train.n / t->cfg->batch);
    values[RATE] = t->cfg->rate;
    values[SPEED] = (double)t->cfg->batch / seconds;
    values[DEVIATION] = code_deviation(t);
    for (int i = 0; i < mige_mi_num_problems(t->mi); i++) {
        mige_mi_problem p = mige_mi_get_problem(t->mi, i);
        values[FIXED + 3 * i] = p.J;
        values[FIXED + 3 * i + 1] = p.width;
        values[FIXED + 3 * i + 2] = p.stein;
    }
}

int infomax_step(infomax *t, int64_t step, double *values) {
    double began = mige_now(), norm, n = (double)t->count;
    mige_pass pass = {.train = 1,
                      .reduce = sum_over_ranks,
                      .reduce_ctx = (void *)t->c,
                      .seed = (uint64_t)t->cfg->seed,
                      .step = (uint64_t)step,
                      .first_sample = t->first};
    mige_clock_start(MIGE_PHASE_STEP);
    mige_clock_start(MIGE_PHASE_LOAD);
    load_batch(t, step);
    if (t->cfg->fresh_projection) MIGE_TRY(mige_agree(t->c, draw_projections(t, step)));
    mige_clock_stop(MIGE_PHASE_LOAD, 0);
    mige_clock_start(MIGE_PHASE_FORWARD);
    MIGE_TRY(mige_net_forward(t->net, t->x, (int)t->count, &pass));
    mige_clock_stop(MIGE_PHASE_FORWARD, n * mige_net_flops(t->net, 0));
    if (t->checks & CHECK_NAN) MIGE_TRY(check_outputs(t->c, t->net, (int)t->count, step));
    mige_clock_start(MIGE_PHASE_GATHER);
    MIGE_TRY(gather(t, step));
    mige_clock_stop(MIGE_PHASE_GATHER, 0);
    int err = mige_mi_gradient(t->mi, t->X, t->H, t->Z, t->dZ, t->dh ? t->dH : NULL);
    MIGE_TRY(err == MIGE_EINPUT ? MIGE_ENUMERIC : err); /* images are finite: it was computed here */
    mige_clock_start(MIGE_PHASE_BACKWARD);
    MIGE_TRY(upstream(t));
    MIGE_TRY(mige_net_backward(t->net, t->upstream, &pass));
    mige_clock_stop(MIGE_PHASE_BACKWARD, n * mige_net_flops(t->net, 1));
    if (t->checks & CHECK_NAN) MIGE_TRY(check_gradients(t->c, t->net, step));
    MIGE_TRY(apply_gradient(t, step, &norm));
    if (t->checks & CHECK_REPLICA) MIGE_TRY(check_replicas(t->c, t->net, &t->update, step));
    mige_clock_stop(MIGE_PHASE_STEP, 0);
    report(t, step, norm, mige_now() - began, values);
    return MIGE_OK;
}
