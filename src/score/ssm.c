#include "score/ssm.h"
#include "base/simd.h"
#include "mige/adam.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/rng.h"
#include "score/score.h"
#include <math.h>
#include <string.h>

/* Where a tensor is in the flat parameters. */
typedef struct {
    size_t W1, b1, W2, b2, W3, b3, R, end;
} places;

static places places_of(int hidden, int dims) {
    size_t H = (size_t)hidden, D = (size_t)dims;
    places p = {.b1 = H * D};
    p.W2 = p.b1 + H;
    p.b2 = p.W2 + H * H;
    p.W3 = p.b2 + H;
    p.b3 = p.W3 + D * H;
    p.R = p.b3 + D;
    p.end = p.R + D * D;
    return p;
}

int ssm_net_create(int D, int H, int rows, mige_pool *pool, ssm_net *net) {
    size_t d = (size_t)D, h = (size_t)H, r = (size_t)rows;
    *net = (ssm_net){.D = D, .H = H, .rows = rows, .size = places_of(H, D).end};
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(net->params, net->size), MIGE_BLOCK(net->grads, net->size),
                       MIGE_BLOCK(net->linear, d * d), MIGE_BLOCK(net->skip, d * d), MIGE_BLOCK(net->ones, r),
                       MIGE_BLOCK(net->in, 2 * r * d), MIGE_BLOCK(net->s, 2 * r * d)));
    for (int l = 0; l < 2; l++)
        MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(net->pre[l], 2 * r * h), MIGE_BLOCK(net->out[l], 2 * r * h),
                           MIGE_BLOCK(net->flow[l], 2 * r * h)));
    for (int i = 0; i < rows; i++) net->ones[i] = 1;
    return MIGE_OK;
}

/* y [rows][out] = x W', and the bias on the first n rows: a tangent has none. */
static void affine(int rows, int n, int in, int out, const float *x, const float *W, const float *b, float *y) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, out, in, 1, x, in, W, in, 0, y, out);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t j = 0; j < (size_t)out; j++) y[i * (size_t)out + j] += b[j];
}

/* From g [rows][out], the gradients of W, b and, unless NULL, of x. */
static void affine_back(const ssm_net *net, int rows, int n, int in, int out, const float *x, const float *W,
                        const float *g, float *gW, float *gb, float *gx) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, rows, 1, g, out, x, in, 0, gW, in);
    cblas_sgemv(CblasRowMajor, CblasTrans, n, out, 1, g, out, net->ones, 1, 0, gb, 1);
    if (gx) cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, in, out, 1, g, out, W, in, 0, gx, in);
}

/* f is smooth, as the objective asks, and needs a root alone, which is vectorised where exp and log are not. tanh
 * fits a little more but overfits far sooner, and a rounder corner (z^2 + 4) takes three times the steps. */
MIGE_CLONES static void activate(size_t size, const float *restrict z, float *restrict h) {
    for (size_t i = 0; i < size; i++) h[i] = 0.5f * (z[i] + sqrtf(z[i] * z[i] + 1));
}

/* t = f'(z) dz */
MIGE_CLONES static void activate_tangent(size_t size, const float *restrict z, const float *restrict dz,
                                         float *restrict t) {
    for (size_t i = 0; i < size; i++) t[i] = 0.5f * (1 + z[i] / sqrtf(z[i] * z[i] + 1)) * dz[i];
}

/* From the gradients gh of f(z) and gt of f'(z) dz, in place, those of z and of dz. */
MIGE_CLONES static void activate_back(size_t size, const float *restrict z, const float *restrict dz,
                                      float *restrict gh, float *restrict gt) {
    for (size_t i = 0; i < size; i++) {
        float r = 1 / sqrtf(z[i] * z[i] + 1), first = 0.5f * (1 + z[i] * r), second = 0.5f * r * r * r;
        gh[i] = gh[i] * first + gt[i] * dz[i] * second;
        gt[i] *= first;
    }
}

/* s of the first n rows of net->in and, with tangents, J v of the n rows below them: the linear maps are common. */
static void forward(ssm_net *net, int n, int tangents) {
    const places at = places_of(net->H, net->D);
    const float *p = net->params, *x = net->in;
    int rows = tangents ? 2 * n : n, D = net->D, H = net->H, in = D;
    size_t size = (size_t)n * (size_t)H;
    for (int l = 0; l < 2; l++) {
        affine(rows, n, in, H, x, p + (l ? at.W2 : at.W1), p + (l ? at.b2 : at.b1), net->pre[l]);
        activate(size, net->pre[l], net->out[l]);
        if (tangents) activate_tangent(size, net->pre[l], net->pre[l] + size, net->out[l] + size);
        x = net->out[l];
        in = H;
    }
    affine(rows, n, H, D, x, p + at.W3, p + at.b3, net->s);
    for (size_t i = 0; i < (size_t)D * (size_t)D; i++) net->skip[i] = net->linear[i] + p[at.R + i];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, D, D, -1, net->in, D, net->skip, D, 1, net->s, D);
}

/* Reverse mode through both passes, from the gradient in net->s. */
static void backward(ssm_net *net, int n) {
    const places at = places_of(net->H, net->D);
    const float *p = net->params;
    float *g = net->grads, *const *flow = net->flow;
    int rows = 2 * n, D = net->D, H = net->H;
    size_t size = (size_t)n * (size_t)H;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, rows, -1, net->s, D, net->in, D, 0, g + at.R, D);
    affine_back(net, rows, n, H, D, net->out[1], p + at.W3, net->s, g + at.W3, g + at.b3, flow[1]);
    activate_back(size, net->pre[1], net->pre[1] + size, flow[1], flow[1] + size);
    affine_back(net, rows, n, H, H, net->out[0], p + at.W2, flow[1], g + at.W2, g + at.b2, flow[0]);
    activate_back(size, net->pre[0], net->pre[0] + size, flow[0], flow[0] + size);
    affine_back(net, rows, n, D, H, net->in, p + at.W1, flow[0], g + at.W1, g + at.b1, NULL);
}

void ssm_net_scores(ssm_net *net, int n, const float *x, float *S) {
    size_t size = (size_t)n * (size_t)net->D;
    memcpy(net->in, x, size * sizeof *x);
    forward(net, n, 0);
    memcpy(S, net->s, size * sizeof *S);
}

double ssm_net_objective(ssm_net *net, int n, const float *x, const float *v, int gradient, double *each) {
    size_t D = (size_t)net->D, size = (size_t)n * D;
    double total = 0;
    memcpy(net->in, x, size * sizeof *x);
    memcpy(net->in + size, v, size * sizeof *v);
    forward(net, n, 1);
    float *s = net->s, *jv = s + size, scale = 1 / (float)n;
    for (size_t m = 0; m < (size_t)n; m++) {
        double sum = 0;
        for (size_t i = m * D; i < (m + 1) * D; i++) {
            sum += (double)v[i] * (double)jv[i] + 0.5 * (double)s[i] * (double)s[i];
            s[i] *= scale;
            jv[i] = v[i] * scale;
        }
        if (each) each[m] = sum;
        total += sum;
    }
    if (gradient) backward(net, n);
    return total / n;
}

enum {
    HELD_OUT = 7, /* one sample in so many */
    HELD_OUT_MOST = 1024,
    SLICES = 4,   /* v a held-out sample, always the same: what differs is the network */
    EVERY = 20,   /* steps from one held-out objective to the next */
    PATIENCE = 4, /* ends after steps / PATIENCE without a better one */
    WHOLE = 512,  /* so many samples are one batch; of more, batches of BATCH */
    BATCH = 256
};
static const double SURE = 1; /* standard errors by which a network has to be better than the start */
static const double FEW_SAMPLES = 2.5, MIX = 0.05, GUARD = 1e-5; /* of the identity in C: M < 2.5 D, and always */
static const double FLAT = 1e-12; /* a deviation so small beside the mean is rounding */

/* Indices of purpose MIGE_RNG_SSM, apart from the permutations', which are below 2^32. */
static const uint64_t TRAIN_ROW = 1ull << 40, HELD_OUT_ROW = 1ull << 41, WEIGHTS = 1ull << 42;

typedef struct {
    mige_ssm_options o;
    uint64_t seed;
    int M, D;
    /* on rank 0 alone */
    ssm_net net;
    int held, batch;      /* samples held out; rows a step */
    uint64_t step, epoch; /* steps done; epoch that `order` is for */
    double *mean, *scale; /* [D] 1 / deviation, 0 where nothing varies */
    double *X;            /* [M][D] brought to mean 0, deviation 1; those held out first */
    double *C;            /* [D][D] */
    double *A;            /* [D][D] */
    int64_t *order;       /* [M] */
    float *x, *v;         /* [rows][D] a batch */
    double *each;         /* [batch] */
    double *before, *now; /* [held] the held-out objective, sample by sample: the start's, the present one */
    float *m, *u, *best;  /* [size] Adam's moments, the best parameters */
    uint32_t *bits;       /* [(D + 31) / 32] */
} ssm;

static int batch_rows(int M, int held) {
    return M - held <= WHOLE ? M - held : BATCH;
}

static int held_out_rows(int M) {
    int n = M / HELD_OUT;
    return M < SSM_FEWEST ? 0 : n < HELD_OUT_MOST ? n : HELD_OUT_MOST;
}

static int take_memory(ssm *s, mige_pool *pool) {
    size_t M = (size_t)s->M, D = (size_t)s->D;
    s->held = held_out_rows(s->M);
    s->batch = batch_rows(s->M, s->held);
    size_t rows = (size_t)s->batch;
    MIGE_TRY(ssm_net_create(s->D, s->o.hidden, s->batch, pool, &s->net));
    return MIGE_TAKE(pool, MIGE_BLOCK(s->mean, D), MIGE_BLOCK(s->scale, D), MIGE_BLOCK(s->X, M * D),
                     MIGE_BLOCK(s->C, D * D), MIGE_BLOCK(s->A, D * D), MIGE_BLOCK(s->order, M),
                     MIGE_BLOCK(s->x, rows * D), MIGE_BLOCK(s->v, rows * D), MIGE_BLOCK(s->each, rows),
                     MIGE_BLOCK(s->before, s->held), MIGE_BLOCK(s->now, s->held), MIGE_BLOCK(s->m, s->net.size),
                     MIGE_BLOCK(s->u, s->net.size), MIGE_BLOCK(s->best, s->net.size),
                     MIGE_BLOCK(s->bits, (D + 31) / 32));
}

static mige_score_plan plan(int M, int D, int ranks, const mige_score_options *o) {
    double rows = batch_rows(M, held_out_rows(M)), d = D, h = o->ssm.hidden;
    double size = h * h + 2 * h * d + d * d + 2 * h + d;
    (void)ranks;
    double bytes = 4 * (5 * size + 2 * d * d + rows * (12 * h + 6 * d + 1)) +
                   8 * (2 * d * d + M * (d + 1.) + 2 * d + rows + 2. * held_out_rows(M));
    return (mige_score_plan){.bytes = bytes, .rows = 1, .cols = 1};
}

static int check(const mige_score_options *o) {
    MIGE_CHECK(o->ssm.steps >= 1 && o->ssm.hidden >= 1 && o->ssm.rate > 0, MIGE_EUSAGE,
               "ssm: %lld steps, width %d, rate %g are not possible", (long long)o->ssm.steps, o->ssm.hidden,
               o->ssm.rate);
    return MIGE_OK;
}

static int create(mige_score *score) {
    ssm *s = score->self;
    *s = (ssm){.o = score->o.ssm, .seed = score->o.seed, .M = score->M, .D = score->D};
    return mige_agree(score->c, score->c->rank == 0 ? take_memory(s, &score->pool) : MIGE_OK);
}

/* Mean and deviation of dimension d. About the first sample, so that a mean far from 0 costs no digits. */
static int moments(ssm *s, const double *X, int d) {
    double first = X[d], sum = 0, squares = 0;
    size_t D = (size_t)s->D, M = (size_t)s->M;
    for (size_t m = 0; m < M; m++) sum += X[m * D + (size_t)d] - first;
    double mean = first + sum / s->M;
    for (size_t m = 0; m < M; m++) squares += (X[m * D + (size_t)d] - mean) * (X[m * D + (size_t)d] - mean);
    double deviation = sqrt(squares / s->M);
    MIGE_CHECK(isfinite(deviation), MIGE_ENUMERIC, "ssm: samples as large as %g in dimension %d (scale them)",
               fabs(mean), d);
    s->mean[d] = mean;
    s->scale[d] = deviation > FLAT * fabs(mean) && isfinite(1 / deviation) ? 1 / deviation : 0;
    return MIGE_OK;
}

static int standardise(ssm *s, const double *X) {
    size_t D = (size_t)s->D;
    int varying = 0;
    for (int d = 0; d < s->D; d++) {
        MIGE_TRY(moments(s, X, d));
        varying += s->scale[d] > 0;
    }
    MIGE_CHECK(varying || s->M == 1, MIGE_ENUMERIC,
               "ssm: all %d samples are equal (they have collapsed, or are the wrong data set)", s->M);
    mige_rng_permutation(s->seed, MIGE_RNG_SSM, 0, s->M, s->order); /* the same samples held out in every call */
    for (size_t m = 0; m < (size_t)s->M; m++) {
        const double *row = X + (size_t)s->order[m] * D;
        for (size_t d = 0; d < D; d++) s->X[m * D + d] = (row[d] - s->mean[d]) * s->scale[d];
    }
    s->epoch = 0;
    return MIGE_OK;
}

/* A = C^-1, C the covariance of samples `first` and on. */
static int linear_part(ssm *s, int first) {
    int D = s->D, n = s->M - first, info;
    size_t d = (size_t)D;
    double mix = n < FEW_SAMPLES * D ? MIX : GUARD;
    memset(s->A, 0, d * d * sizeof *s->A);
    cblas_dsyrk(CblasColMajor, CblasUpper, CblasNoTrans, D, n, (1 - mix) / n, s->X + (size_t)first * d, D, 0, s->C,
                D);
    for (size_t i = 0; i < d; i++) {
        s->A[i * d + i] = 1;
        s->C[i * d + i] = s->scale[i] > 0 ? s->C[i * d + i] + mix : 1;
    }
    dpotrf_("U", &D, s->C, &D, &info);
    if (info == 0) dpotrs_("U", &D, &D, s->C, &D, s->A, &D, &info);
    MIGE_CHECK(info == 0, MIGE_ENUMERIC, "ssm: the covariance of %d samples in %d dimensions has no inverse", n, D);
    for (size_t i = 0; i < d * d; i++) s->net.linear[i] = (float)s->A[i];
    return MIGE_OK;
}

/* Row i of the batch: sample m, and v = +-1 where samples vary. */
static void set_row(ssm *s, int i, int64_t m, uint64_t step, uint64_t index) {
    size_t D = (size_t)s->D;
    mige_rng_bits(s->seed, MIGE_RNG_SSM, step, index, (D + 31) / 32, s->bits);
    for (size_t d = 0; d < D; d++) {
        float sign = s->bits[d / 32] >> d % 32 & 1 ? 1.f : -1.f;
        s->x[(size_t)i * D + d] = (float)s->X[(size_t)m * D + d];
        s->v[(size_t)i * D + d] = s->scale[d] > 0 ? sign : 0;
    }
}

/* The samples that are not held out, in a new order each epoch. */
static void draw_batch(ssm *s) {
    int n = s->M - s->held;
    for (int i = 0; i < s->batch; i++) {
        uint64_t at = s->step * (uint64_t)s->batch + (uint64_t)i, epoch = at / (uint64_t)n + 1;
        if (epoch != s->epoch) mige_rng_permutation(s->seed, MIGE_RNG_SSM, epoch, n, s->order);
        s->epoch = epoch;
        set_row(s, i, s->held + s->order[at % (uint64_t)n], s->step, TRAIN_ROW + (uint64_t)i);
    }
}

/* The mean, and each sample's in s->now. */
static double held_out_objective(ssm *s) {
    double sum = 0;
    int total = s->held * SLICES;
    memset(s->now, 0, (size_t)s->held * sizeof *s->now);
    for (int from = 0; from < total; from += s->batch) {
        int n = total - from < s->batch ? total - from : s->batch;
        for (int i = 0; i < n; i++) set_row(s, i, (from + i) % s->held, 0, HELD_OUT_ROW + (uint64_t)(from + i));
        sum += n * ssm_net_objective(&s->net, n, s->x, s->v, 0, s->each);
        for (int i = 0; i < n; i++) s->now[(from + i) % s->held] += s->each[i] / SLICES;
    }
    return sum / total;
}

/* Whether `now` is below `before` by more than chance: of many networks on the way, one is always luckiest. */
static int surely_better(const ssm *s) {
    double sum = 0, squares = 0, n = s->held;
    for (int i = 0; i < s->held; i++) {
        double gain = s->before[i] - s->now[i];
        sum += gain;
        squares += gain * gain;
    }
    double mean = sum / n, variance = (squares / n - mean * mean) / (n - 1);
    return mean > SURE * sqrt(fmax(variance, 0));
}

/* The Gaussian: the hidden layers as PyTorch begins them, what comes after them 0. */
static void begin(ssm *s) {
    const places at = places_of(s->o.hidden, s->D);
    float *p = s->net.params;
    s->step = s->epoch = 0; /* each call by itself: scores must not depend on where a run was resumed */
    memset(p, 0, s->net.size * sizeof *p);
    for (size_t i = 0; i < at.W3; i++) {
        double fan_in = i < at.W2 ? s->D : s->o.hidden, uniform;
        mige_rng_uniform(s->seed, MIGE_RNG_SSM, 0, WEIGHTS + i, 1, &uniform);
        p[i] = (float)((2 * uniform - 1) / sqrt(fan_in));
    }
}

static int check_objective(double objective, int64_t t) {
    MIGE_CHECK(isfinite(objective), MIGE_ENUMERIC,
               "ssm: the objective is %g after %lld steps (a lower learning rate may help)", objective,
               (long long)t);
    return MIGE_OK;
}

static int descend(ssm *s) {
    const mige_adam adam = {.rate = s->o.rate, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    size_t size = s->net.size;
    double least = held_out_objective(s);
    MIGE_TRY(check_objective(least, 0));
    memcpy(s->before, s->now, (size_t)s->held * sizeof *s->now);
    memcpy(s->best, s->net.params, size * sizeof(float));
    memset(s->m, 0, size * sizeof(float));
    memset(s->u, 0, size * sizeof(float));
    for (int64_t t = 1, at = 0; t <= s->o.steps && t - at <= s->o.steps / PATIENCE + EVERY; t++) {
        draw_batch(s);
        MIGE_TRY(check_objective(ssm_net_objective(&s->net, s->batch, s->x, s->v, 1, NULL), t));
        mige_adam_step(&adam, t, size, s->net.params, s->net.grads, s->m, s->u);
        s->step++;
        if (t % EVERY && t < s->o.steps) continue;
        double now = held_out_objective(s);
        MIGE_TRY(check_objective(now, t));
        if (now >= least || !surely_better(s)) continue;
        least = now;
        at = t;
        memcpy(s->best, s->net.params, size * sizeof(float));
    }
    memcpy(s->net.params, s->best, size * sizeof(float));
    return MIGE_OK;
}

static int train(ssm *s, const double *X) {
    MIGE_TRY(standardise(s, X));
    if (s->held) {
        MIGE_TRY(linear_part(s, s->held));
        begin(s);
        MIGE_TRY(descend(s));
    }
    return linear_part(s, 0);
}

static void evaluate(ssm *s, int n, const double *P, double *S) {
    size_t D = (size_t)s->D;
    for (int from = 0; from < n; from += s->batch) {
        int rows = n - from < s->batch ? n - from : s->batch;
        const double *p = P + (size_t)from * D;
        double *to = S + (size_t)from * D;
        for (size_t i = 0; i < (size_t)rows * D; i++) s->x[i] = (float)((p[i] - s->mean[i % D]) * s->scale[i % D]);
        ssm_net_scores(&s->net, rows, s->x, s->v);
        for (size_t i = 0; i < (size_t)rows * D; i++) to[i] = (double)s->v[i] * s->scale[i % D];
    }
}

/* Rank 0's scores to all. */
static int share(const mige_comm *c, size_t size, int err, double *S) {
    if (!err && c->rank == 0 && mige_not_finite(size, S))
        err = mige_raise(MIGE_ENUMERIC, "ssm: a score is not finite (points far from the samples, or a lower "
                                        "learning rate may help)");
    MIGE_TRY(mige_agree(c, err));
    return mige_bcast(c, 0, S, size * sizeof *S);
}

static int samples(mige_score *score, const double *X, double *S) {
    ssm *s = score->self;
    const mige_comm *c = score->c;
    int err = c->rank == 0 ? train(s, X) : MIGE_OK;
    if (!err && c->rank == 0) evaluate(s, s->M, X, S);
    strcpy(score->info.solver, "network");
    MIGE_TRY(share(c, (size_t)s->M * (size_t)s->D, err, S));
    score_take_wanted(score, S);
    return MIGE_OK;
}

static int points(mige_score *score, int Q, const double *P, double *S) {
    ssm *s = score->self;
    if (score->c->rank == 0) evaluate(s, Q, P, S);
    return share(score->c, (size_t)Q * (size_t)s->D, MIGE_OK, S);
}

const estimator_ops ssm_ops = {
    {"ssm", "auto", 0, NULL, NULL}, sizeof(ssm), 0, check, plan, create, NULL, samples, points, NULL};
