#include "study/critic.h"
#include "mige/clock.h"
#include "mige/nn.h"
#include "mige/rng.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = MIGE_CRITIC_LAYERS, LAST = LAYERS - 1 };
/* The networks of x, of y (or of both, then alone). */
enum { OF_X, OF_Y, NETS };
static const mige_pass training = {.train = 1};

struct critic {
    critic_shape shape;
    mige_net *net[NETS];
    size_t n; /* parameters */
    float *params, *grads;
    float *in[2]; /* separable: x and y [M][d]; joint: positives, then negatives [2M][2d] in the first */
    float *f;     /* separable [M][M], joint [2M]; turned into weights, see weigh() */
    float *up[2]; /* upstream of g and h [M][out]; joint [2M] in the first */
    int64_t shift;
    mige_pool memory; /* of all arrays */
};

static int rows(const critic_shape *s) {
    return s->joint ? 2 * s->M : s->M;
}
static int columns(const critic_shape *s) {
    return s->joint ? 2 * s->d : s->d;
}
static int outputs(const critic_shape *s) {
    return s->joint ? 1 : s->out;
}

/* Numbers in f. */
static size_t pairs(const critic_shape *s) {
    return s->joint ? 2 * (size_t)s->M : (size_t)s->M * (size_t)s->M;
}

static int create_nets(critic *c) {
    const critic_shape *s = &c->shape;
    const mige_layer_spec spec[LAYERS] = MIGE_CRITIC_OF(s->hidden, s->hidden, outputs(s));
    mige_shape in = {1, 1, columns(s)};
    int counts = c->memory.counts;
    for (int i = s->joint ? OF_Y : OF_X; i < NETS; i++) {
        MIGE_TRY((counts ? mige_net_blueprint : mige_net_create)(in, spec, LAYERS, rows(s), i == OF_Y, &c->net[i]));
        if (counts) c->memory.bytes += (double)mige_net_memory(c->net[i]);
        c->n += mige_net_num_params(c->net[i]);
    }
    return MIGE_OK;
}

static int take_memory(critic *c) {
    const critic_shape *s = &c->shape;
    size_t n = (size_t)rows(s), in = n * (size_t)columns(s), out = n * (size_t)outputs(s);
    size_t second = s->joint ? 0 : 1;
    MIGE_TRY(create_nets(c));
    return MIGE_TAKE(&c->memory, MIGE_BLOCK(c->params, c->n), MIGE_BLOCK(c->grads, c->n),
                     MIGE_BLOCK(c->f, pairs(s)), MIGE_BLOCK(c->in[0], in), MIGE_BLOCK(c->in[1], second * in),
                     MIGE_BLOCK(c->up[0], out), MIGE_BLOCK(c->up[1], second * out));
}

int critic_create(const critic_shape *shape, critic **c) {
    MIGE_TRY(mige_alloc(1, sizeof **c, c));
    (*c)->shape = *shape;
    int err = take_memory(*c);
    if (!err) critic_use(*c, NULL);
    if (err) critic_destroy(c);
    return err;
}

void critic_destroy(critic **c) {
    if (!*c) return;
    mige_pool_free(&(*c)->memory);
    for (int i = 0; i < NETS; i++) mige_net_destroy(&(*c)->net[i]);
    free(*c);
    *c = NULL;
}

double critic_bytes(const critic_shape *s) {
    critic c = {.shape = *s, .memory.counts = 1};
    double bytes = take_memory(&c) ? INFINITY : c.memory.bytes;
    for (int i = 0; i < NETS; i++) mige_net_destroy(&c.net[i]);
    return bytes;
}

size_t critic_num_params(const critic *c) {
    return c->n;
}
float *critic_params(const critic *c) {
    return c->params;
}
float *critic_grads(const critic *c) {
    return c->grads;
}

void critic_use(critic *c, float *params) {
    float *p = params ? params : c->params, *g = c->grads;
    for (int i = c->shape.joint ? OF_Y : OF_X; i < NETS; i++) {
        mige_net_move(c->net[i], p, NULL, g);
        p += mige_net_num_params(c->net[i]);
        g += mige_net_num_params(c->net[i]);
    }
}

int critic_init(critic *c, uint64_t seed) {
    /* Seeds of the two networks must differ, or they would begin as one. */
    if (c->net[OF_X]) MIGE_TRY(mige_net_init(c->net[OF_X], ~seed, MIGE_RNG_INIT, 0));
    return mige_net_init(c->net[OF_Y], seed, MIGE_RNG_INIT, 0);
}

double critic_bound(const critic_shape *s, critic_value v) {
    return v.positive - (s->bound == BOUND_NWJ ? exp(v.negative - 1) : v.negative);
}

double critic_weight(const critic_shape *s, critic_value v) {
    return s->bound == BOUND_NWJ ? exp(fmin(v.negative - 1, 30)) : 1;
}

static void copy(size_t n, const double *from, float *to) {
    for (size_t i = 0; i < n; i++) to[i] = (float)from[i];
}

static void load(critic *c, const double *x, const double *y) {
    size_t M = (size_t)c->shape.M, d = (size_t)c->shape.d;
    if (!c->shape.joint) {
        copy(M * d, x, c->in[0]);
        copy(M * d, y, c->in[1]);
        return;
    }
    for (size_t m = 0; m < 2 * M; m++) {
        size_t partner = m < M ? m : (m + (size_t)c->shift) % M;
        copy(d, x + m % M * d, c->in[0] + 2 * m * d);
        copy(d, y + partner * d, c->in[0] + (2 * m + 1) * d);
    }
}

/* f of the negatives becomes their share in the gradient of log mean exp f, which adds up to 1; f of the positives
 * becomes 0 in the matrix of all pairs. */
static critic_value weigh(critic *c) {
    size_t M = (size_t)c->shape.M, n = c->shape.joint ? M : M * M;
    size_t step = c->shape.joint ? 1 : M + 1; /* between positives */
    float *negatives = c->shape.joint ? c->f + M : c->f;
    critic_value v = {0, 0};
    for (size_t m = 0; m < M; m++) v.positive += (double)c->f[m * step] / (double)M;
    if (!c->shape.joint)
        for (size_t m = 0; m < M; m++) c->f[m * step] = -INFINITY;
    float most = mige_largest((int64_t)n, negatives, -1);
    double sum = mige_exponentials((int64_t)n, negatives, -1, most),
           count = (double)M * (c->shape.joint ? 1 : (double)M - 1);
    float share = (float)(1 / sum);
    for (size_t i = 0; i < n; i++) negatives[i] *= share;
    v.negative = (double)most + log(sum / count);
    return v;
}

/* InfoNCE: f of all pairs becomes their share in the gradient of the mean over x of log mean exp f(x, all y). */
static critic_value weigh_rows(critic *c) {
    size_t M = (size_t)c->shape.M;
    critic_value v = {0, 0};
    for (size_t m = 0; m < M; m++) {
        float *row = c->f + m * M;
        v.positive += (double)row[m] / (double)M;
        float most = mige_largest((int64_t)M, row, -1);
        double sum = mige_exponentials((int64_t)M, row, -1, most);
        cblas_sscal((int)M, (float)(1 / (sum * (double)M)), row, 1);
        v.negative += ((double)most + log(sum / (double)M)) / (double)M;
    }
    return v;
}

int critic_forward(critic *c, const double *x, const double *y, int64_t shift, critic_value *v) {
    const critic_shape *s = &c->shape;
    c->shift = shift;
    load(c, x, y);
    mige_clock_start(MIGE_PHASE_FORWARD);
    MIGE_TRY(mige_net_forward(c->net[OF_Y], c->in[s->joint ? 0 : 1], rows(s), &training));
    const float *h = mige_net_output(c->net[OF_Y], LAST);
    if (s->joint) {
        memcpy(c->f, h, 2 * (size_t)s->M * sizeof *h);
    } else {
        MIGE_TRY(mige_net_forward(c->net[OF_X], c->in[0], rows(s), &training));
        const float *g = mige_net_output(c->net[OF_X], LAST);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, s->M, s->M, s->out, 1, g, s->out, h, s->out, 0, c->f,
                    s->M);
    }
    *v = s->bound == BOUND_INFONCE ? weigh_rows(c) : weigh(c);
    mige_clock_stop(MIGE_PHASE_FORWARD, rows(s) * mige_net_flops(c->net[OF_Y], 0) * (s->joint ? 1 : 2));
    return MIGE_OK;
}

/* Upstream of h, of g in OF_X: positive times the mean's part (g_m / M), plus negative times that of the negatives
 * (W' g); W and h in place of W' and g. */
static void upstream(critic *c, int of, float positive, float negative, float *up) {
    const critic_shape *s = &c->shape;
    size_t M = (size_t)s->M;
    if (s->joint) {
        for (size_t m = 0; m < M; m++) up[m] = positive / (float)M;
        for (size_t m = M; m < 2 * M; m++) up[m] = negative * c->f[m];
        return;
    }
    const float *other = mige_net_output(c->net[of == OF_Y ? OF_X : OF_Y], LAST);
    memcpy(up, other, M * (size_t)s->out * sizeof *up);
    cblas_sgemm(CblasRowMajor, of == OF_Y ? CblasTrans : CblasNoTrans, CblasNoTrans, s->M, s->out, s->M, negative,
                c->f, s->M, other, s->out, positive / (float)M, up, s->out);
}

int critic_backward(critic *c, double weight) {
    const critic_shape *s = &c->shape;
    mige_clock_start(MIGE_PHASE_BACKWARD);
    upstream(c, OF_Y, -1, (float)weight, c->up[0]);
    MIGE_TRY(mige_net_backward_last(c->net[OF_Y], c->up[0], &training));
    if (!s->joint) {
        upstream(c, OF_X, -1, (float)weight, c->up[1]);
        MIGE_TRY(mige_net_backward_last(c->net[OF_X], c->up[1], &training));
    }
    mige_clock_stop(MIGE_PHASE_BACKWARD, rows(s) * mige_net_flops(c->net[OF_Y], 1) * (s->joint ? 1 : 2));
    return MIGE_OK;
}

/* Input gradients against the directions of y: those of rows [first, first + M). */
static double contract(const critic *c, int first, const double *dy) {
    size_t M = (size_t)c->shape.M, d = (size_t)c->shape.d, width = (size_t)columns(&c->shape);
    const float *gradient = mige_net_input_gradient(c->net[OF_Y]);
    double sum = 0;
    for (size_t m = (size_t)first; m < (size_t)first + M; m++) {
        size_t of = m < M ? m : (m + (size_t)c->shift) % M;
        for (size_t i = 0; i < d; i++) sum += (double)gradient[m * width + (width - d) + i] * dy[of * d + i];
    }
    return sum;
}

int critic_along(critic *c, const double *dy, critic_value *v) {
    const critic_shape *s = &c->shape;
    upstream(c, OF_Y, 1, s->joint ? 1 : 0, c->up[0]);
    MIGE_TRY(mige_net_backward_last(c->net[OF_Y], c->up[0], &training));
    v->positive = contract(c, 0, dy);
    if (!s->joint) {
        upstream(c, OF_Y, 0, 1, c->up[0]);
        MIGE_TRY(mige_net_backward_last(c->net[OF_Y], c->up[0], &training));
    }
    v->negative = contract(c, s->joint ? s->M : 0, dy);
    return MIGE_OK;
}
