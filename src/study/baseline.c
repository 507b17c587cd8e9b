#include "mige/clock.h"
#include "mige/nn.h"
#include "mige/rng.h"
#include "study/critic.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HIDDEN = 512, OUT = 20, BATCHES = 16 };
/* The bound's means over windows of steps: after a best one that stands for PATIENCE windows the rate falls to FALL
 * of what it was, and after FALLS times the training ends. In 32 dimensions the bound rises by half again that way.
 */
enum { WINDOW = 100, PATIENCE = 5, FALLS = 2 };
static const double FALL = 0.3;

struct baseline {
    baseline_options o;
    critic *critic;
    float *params, *m, *v, *average;
    double *x, *y, *dy;
    mige_pool memory; /* of m to dy */
    double negative;  /* logarithm of the moving average of mean exp f(negatives) */
    size_t n;
};

int method_is_paired(int method) {
    return method == METHOD_MINE || method == METHOD_MINE_F || method == METHOD_INFONCE;
}

int method_until_flat(int method) {
    return method >= METHOD_MINE_JOINT;
}

baseline_options baseline_of(enum method method, int M, int d, double rate, int64_t steps) {
    int joint = !method_is_paired(method);
    int nwj = method == METHOD_MINE_F || method == METHOD_MINE_F_JOINT;
    int bound = method == METHOD_INFONCE ? BOUND_INFONCE : nwj ? BOUND_NWJ : BOUND_DV;
    baseline_options o = {{joint, bound, M, d, HIDDEN, OUT}, rate, steps, method_until_flat(method), 0, 0, 0};
    if (!o.until_flat) return o;
    /* With the batch's own mean of exp f the critic learns to mislead it, and the bound leaves the truth behind. */
    o.memory = bound == BOUND_DV ? 0.01 : 0;
    o.average = 0.998;
    o.batches = BATCHES;
    return o;
}

static int take_memory(baseline *b) {
    size_t samples = (size_t)b->o.shape.M * (size_t)b->o.shape.d;
    MIGE_TRY(critic_create(&b->o.shape, &b->critic));
    b->n = critic_num_params(b->critic);
    b->params = critic_params(b->critic);
    return MIGE_TAKE(&b->memory, MIGE_BLOCK(b->m, b->n), MIGE_BLOCK(b->v, b->n), MIGE_BLOCK(b->average, b->n),
                     MIGE_BLOCK(b->x, samples), MIGE_BLOCK(b->y, samples), MIGE_BLOCK(b->dy, samples));
}

int baseline_create(const baseline_options *o, baseline **b) {
    MIGE_TRY(mige_alloc(1, sizeof **b, b));
    (*b)->o = *o;
    int err = take_memory(*b);
    if (err) baseline_destroy(b);
    return err;
}

void baseline_destroy(baseline **b) {
    if (!*b) return;
    mige_pool_free(&(*b)->memory);
    critic_destroy(&(*b)->critic);
    free(*b);
    *b = NULL;
}

double baseline_bytes(const baseline_options *o) {
    const critic_shape *s = &o->shape;
    double in = s->joint ? 2 * s->d : s->d, out = s->joint ? 1 : s->out, h = s->hidden;
    double params = (in * h + h * h + h * out + 2 * h + out) * (s->joint ? 1 : 2);
    return critic_bytes(s) + 12 * params + 24. * s->M * s->d;
}

static int start(baseline *b, uint64_t seed) {
    critic_use(b->critic, NULL);
    memset(b->m, 0, b->n * sizeof *b->m);
    memset(b->v, 0, b->n * sizeof *b->v);
    memset(b->average, 0, b->n * sizeof *b->average);
    return critic_init(b->critic, seed);
}

/* Batch number t = 1, 2, ... of fresh samples, through the critic. */
static int pass(baseline *b, const truth_problem *k, double rho, uint64_t seed, int64_t t, critic_value *v) {
    int M = b->o.shape.M;
    uint32_t bits;
    mige_rng_bits(seed, MIGE_RNG_SHUFFLE, (uint64_t)t, 0, 1, &bits);
    MIGE_TRY(truth_draw(k, M, rho, seed, (uint64_t)t, b->x, b->y, NULL, b->dy));
    return critic_forward(b->critic, b->x, b->y, 1 + bits % (uint32_t)(M - 1), v);
}

/* The weight of the negatives at step t. */
static double weight(baseline *b, int64_t t, critic_value v) {
    double a = b->o.memory;
    if (!(a > 0)) return critic_weight(&b->o.shape, v);
    if (t == 1) b->negative = v.negative;
    double most = fmax(b->negative, v.negative);
    b->negative = most + log(a * exp(v.negative - most) + (1 - a) * exp(b->negative - most));
    return exp(v.negative - b->negative);
}

/* The gradient is not clipped: what stands out in it are the rare negatives that keep the critic honest. */
static int improve(baseline *b, int64_t t, double rate, critic_value v) {
    const mige_adam adam = {rate, 0.9, 0.999, 1e-8, 0};
    MIGE_TRY(critic_backward(b->critic, weight(b, t, v)));
    mige_clock_start(MIGE_PHASE_UPDATE);
    mige_adam_step(&adam, t, b->n, b->params, critic_grads(b->critic), b->m, b->v);
    float keep = (float)(1 - b->o.average);
    if (b->o.average > 0)
        for (size_t i = 0; i < b->n; i++) b->average[i] += keep * (b->params[i] - b->average[i]);
    mige_clock_stop(MIGE_PHASE_UPDATE, 0);
    return MIGE_OK;
}

/* Whether the bound still rises. */
typedef struct {
    double sum, squares, best;
    int count, since, falls;
} trend;

/* The bound at one more step. A window's mean counts as a rise when it is above the best by half of its standard
 * error. Returns 1 when there has been none for long. */
static int flat(trend *f, double bound) {
    f->sum += bound;
    f->squares += bound * bound;
    if (++f->count < WINDOW) return 0;
    double mean = f->sum / WINDOW, variance = fmax(f->squares / WINDOW - mean * mean, 0);
    f->since++;
    if (mean > f->best + 0.5 * sqrt(variance / WINDOW)) {
        f->best = mean;
        f->since = 0;
    }
    f->sum = f->squares = f->count = 0;
    if (f->since < PATIENCE) return 0;
    *f = (trend){.best = -INFINITY, .falls = f->falls + 1};
    return 1;
}

/* The weights' moving average begins at 0, so it is divided by 1 - decay^t, as Adam's moments are: otherwise a
 * short training would leave most of it to the beginning. */
static void use_average(baseline *b, int64_t steps) {
    if (!(b->o.average > 0)) return;
    float factor = (float)(1 / (1 - pow(b->o.average, (double)steps)));
    for (size_t i = 0; i < b->n; i++) b->average[i] *= factor;
    critic_use(b->critic, b->average);
}

/* Bound and gradient over several batches as if they were one: the negatives of all share one mean of exp f; of
 * InfoNCE, whose batch is part of what it is, their means. */
static int evaluate(baseline *b, const truth_problem *k, double rho, uint64_t seed, baseline_result *r) {
    critic_value value[BATCHES], along[BATCHES], all = {0, -INFINITY}, slope = {0, 0};
    int n = b->o.batches ? b->o.batches : 1, contrasted = b->o.shape.bound == BOUND_INFONCE;
    double mean = 0;
    for (int i = 0; i < n; i++) {
        MIGE_TRY(pass(b, k, rho, seed, r->steps + (b->o.batches ? i + 1 : 0), &value[i]));
        MIGE_TRY(critic_along(b->critic, b->dy, &along[i]));
        all.positive += value[i].positive / n;
        slope.positive += along[i].positive / n;
        double most = fmax(all.negative, value[i].negative);
        all.negative = most + log(exp(all.negative - most) + exp(value[i].negative - most));
        mean += value[i].negative / n;
    }
    for (int i = 0; i < n; i++)
        slope.negative += (contrasted ? 1. / n : exp(value[i].negative - all.negative)) * along[i].negative;
    all.negative = contrasted ? mean : all.negative - log(n);
    r->mi = critic_bound(&b->o.shape, all);
    r->gradient = slope.positive - critic_weight(&b->o.shape, all) * slope.negative;
    return MIGE_OK;
}

int baseline_run(baseline *b, const truth_problem *k, double rho, uint64_t seed, int (*stopped)(void *ctx),
                 void *ctx, baseline_result *r) {
    trend f = {.best = -INFINITY};
    double rate = b->o.rate;
    critic_value v;
    *r = (baseline_result){NAN, NAN, 0};
    MIGE_TRY(start(b, seed));
    while (r->steps < b->o.steps && f.falls <= FALLS) {
        if (stopped(ctx)) return MIGE_ESTOPPED;
        r->steps++;
        MIGE_TRY(pass(b, k, rho, seed, r->steps, &v));
        MIGE_CHECK(isfinite(v.positive) && isfinite(v.negative), MIGE_ENUMERIC,
                   "critic: its bound is not finite at step %lld, rho %g (a lower rate)", (long long)r->steps, rho);
        MIGE_TRY(improve(b, r->steps, rate, v));
        if (b->o.until_flat && flat(&f, critic_bound(&b->o.shape, v))) rate *= FALL;
    }
    use_average(b, r->steps);
    return evaluate(b, k, rho, seed, r);
}
