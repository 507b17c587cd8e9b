/* Batch normalisation (Ioffe, Szegedy 2015) over a batch that may be spread over ranks, with an optional ReLU:
 *   xhat = (x - mean) / sqrt(var + EPSILON), y = gamma xhat + beta,
 *   dx = gamma / sqrt(var + EPSILON) (dy - sum(dy) / N - xhat sum(dy xhat) / N), N rows on all ranks.
 * The ReLU's mask is recomputed from x, so that y need not be read on the way down. */
#include "base/simd.h"
#include "nn/half.h"
#include <math.h>

static const double EPSILON = 1e-5, MOMENTUM = 0.1;

/* Vectors of l->coef, each [c]. */
enum { MEAN, RSTD, SCALE, BIAS, OFFSET, SLOPE };

static float *coef(const layer *l, int which) {
    return l->coef + (size_t)which * (size_t)l->in.c;
}

static int norm_plan(layer *l) {
    l->out = l->in;
    l->num_params = l->num_state = 2 * (size_t)l->in.c;
    return MIGE_OK;
}

static int reduce(const mige_pass *pass, double *buf, int n) {
    return pass->reduce ? pass->reduce(pass->reduce_ctx, buf, n) : MIGE_OK;
}

/* Without a ReLU nothing is below the floor; written so that a NaN passes. */
static float floor_of(const layer *l) {
    return l->spec.relu ? 0 : -INFINITY;
}

/* A layer with bfloat16 goes through its rows in strips, as floats in net->patches: x, and y or dy. */
enum { STRIP = 4096 };

static size_t strip_rows(const layer *l, size_t rows) {
    size_t c = (size_t)l->in.c, some = c < STRIP ? STRIP / c : 1;
    return l->half && some < rows ? some : rows;
}

static size_t norm_scratch(const layer *l, int max_batch) {
    (void)max_batch;
    return 2 * (size_t)(l->in.c > STRIP ? l->in.c : STRIP) * sizeof(float);
}

static float *strip_of(const mige_net *net, const layer *l, int which) {
    return net->patches + (size_t)which * (size_t)(l->in.c > STRIP ? l->in.c : STRIP);
}

/* Rows from .. from + rows of x as floats: where they are, or in a strip. */
static float *floats(const mige_net *net, const layer *l, void *x, size_t from, size_t rows, int which) {
    size_t at = from * (size_t)l->in.c, count = rows * (size_t)l->in.c;
    if (!l->half) return (float *)x + at;
    mige_half_to_float(count, (const uint16_t *)x + at, strip_of(net, l, which));
    return strip_of(net, l, which);
}

/* sum[j] += sum over rows of x - shift, and square[j] of its square: about a shift near the mean, so that
 * E[x^2] - E[x]^2 does not cancel. */
MIGE_CLONES static void moments(size_t rows, int c, const float *restrict x, const float *restrict shift,
                                double *restrict sum, double *restrict square) {
    size_t r = 0;
    for (; r + 2 <= rows; r += 2, x += 2 * (size_t)c)
        for (int j = 0; j < c; j++) {
            double a = (double)x[j] - (double)shift[j], b = (double)x[j + c] - (double)shift[j];
            sum[j] += a + b;
            square[j] += a * a + b * b;
        }
    for (int j = 0; r < rows && j < c; j++) {
        double a = (double)x[j] - (double)shift[j];
        sum[j] += a;
        square[j] += a * a;
    }
}

/* Batch mean and variance over all ranks into coef; running ones updated, the variance without bias. */
static int batch_statistics(mige_net *net, layer *l, void *x, int n, const mige_pass *pass) {
    const int c = l->in.c;
    const size_t rows = (size_t)n * (size_t)l->in.h * (size_t)l->in.w;
    float *running_mean = net->state + l->state, *running_var = running_mean + c;
    double *sum = l->sums, *square = sum + c, *count = square + c;
    for (int j = 0; j <= 2 * c; j++) sum[j] = 0;
    for (size_t from = 0, some; from < rows; from += some) {
        some = strip_rows(l, rows - from);
        moments(some, c, floats(net, l, x, from, some, 0), running_mean, sum, square);
    }
    *count = (double)rows;
    MIGE_TRY(reduce(pass, sum, 2 * c + 1));
    l->count = *count;
    double one = *count > 0 ? 1 / *count : 0, unbiased = *count > 1 ? *count / (*count - 1) : 1;
    for (int j = 0; j < c; j++) {
        double from_shift = sum[j] * one, var = square[j] * one - from_shift * from_shift;
        double mean = (double)running_mean[j] + from_shift;
        if (var < 0) var = 0;
        coef(l, MEAN)[j] = (float)mean;
        coef(l, RSTD)[j] = (float)(1 / sqrt(var + EPSILON));
        if (*count == 0) continue;
        running_mean[j] = (float)((1 - MOMENTUM) * (double)running_mean[j] + MOMENTUM * mean);
        running_var[j] = (float)((1 - MOMENTUM) * (double)running_var[j] + MOMENTUM * unbiased * var);
    }
    return MIGE_OK;
}

static void running_statistics(const mige_net *net, layer *l) {
    const float *mean = net->state + l->state, *var = mean + l->in.c;
    for (int j = 0; j < l->in.c; j++) {
        coef(l, MEAN)[j] = mean[j];
        coef(l, RSTD)[j] = (float)(1 / sqrt((double)var[j] + EPSILON));
    }
}

MIGE_CLONES static void apply(size_t rows, int c, const float *restrict x, const float *restrict mean,
                              const float *restrict scale, const float *restrict bias, float floor,
                              float *restrict y) {
    for (size_t r = 0; r < rows; r++, x += c, y += c)
        for (int j = 0; j < c; j++) {
            float v = (x[j] - mean[j]) * scale[j] + bias[j];
            y[j] = v < floor ? floor : v;
        }
}

static int run_forward(mige_net *net, layer *l, void *x, int n, const mige_pass *pass) {
    const float *gamma = net->params + l->param, *beta = gamma + l->in.c;
    const size_t c = (size_t)l->in.c, rows = (size_t)n * (size_t)l->in.h * (size_t)l->in.w;
    if (pass->train)
        MIGE_TRY(batch_statistics(net, l, x, n, pass));
    else
        running_statistics(net, l);
    /* Copied beside the rest: backward must see the values that forward used, whatever happens to the others. */
    for (size_t j = 0; j < c; j++) {
        coef(l, SCALE)[j] = gamma[j] * coef(l, RSTD)[j];
        coef(l, BIAS)[j] = beta[j];
    }
    for (size_t from = 0, some; from < rows; from += some) {
        some = strip_rows(l, rows - from);
        float *y = l->half ? strip_of(net, l, 1) : l->y + from * c;
        apply(some, (int)c, floats(net, l, x, from, some, 0), coef(l, MEAN), coef(l, SCALE), coef(l, BIAS),
              floor_of(l), y);
        if (l->half) mige_bfloat16_round(some * c, y, l->y16 + from * c);
    }
    return MIGE_OK;
}

static int norm_forward(mige_net *net, layer *l, const float *x, int n, const mige_pass *pass) {
    return run_forward(net, l, (void *)x, n, pass);
}
static int half_forward(mige_net *net, layer *l, const uint16_t *x, int n, const mige_pass *pass) {
    return run_forward(net, l, (void *)x, n, pass);
}

/* sum[j] += sum over rows of dy, product[j] of dy (x - mean), where the ReLU let the sample pass. */
MIGE_CLONES static void products(size_t rows, int c, const float *restrict x, const float *restrict dy,
                                 const float *restrict mean, const float *restrict scale,
                                 const float *restrict bias, float floor, double *restrict sum,
                                 double *restrict product) {
    for (size_t r = 0; r < rows; r++, x += c, dy += c)
        for (int j = 0; j < c; j++) {
            /* The mask as a factor: as a branch it would keep the loop from vector registers. */
            float d = x[j] - mean[j], v = d * scale[j] + bias[j], g = dy[j] * (float)!(v <= floor);
            sum[j] += (double)g;
            product[j] += (double)(g * d);
        }
}

/* dy becomes dx = scale g - offset - slope (x - mean), g = dy where the ReLU let the sample pass, else 0. */
MIGE_CLONES static void spread(size_t rows, int c, const float *restrict x, const float *restrict coefs,
                               float floor, float *restrict dy) {
    const float *restrict mean = coefs + MEAN * c, *restrict scale = coefs + SCALE * c;
    const float *restrict bias = coefs + BIAS * c, *restrict offset = coefs + OFFSET * c;
    const float *restrict slope = coefs + SLOPE * c;
    for (size_t r = 0; r < rows; r++, x += c, dy += c)
        for (int j = 0; j < c; j++) {
            float d = x[j] - mean[j], v = d * scale[j] + bias[j], g = v <= floor ? 0 : dy[j];
            dy[j] = scale[j] * g - offset[j] - slope[j] * d;
        }
}

static int run_backward(mige_net *net, layer *l, void *x, void *dy, int wanted, int n, const mige_pass *pass) {
    const int c = l->in.c;
    const size_t rows = (size_t)n * (size_t)l->in.h * (size_t)l->in.w;
    const float *rstd = coef(l, RSTD), *scale = coef(l, SCALE);
    float *dgamma = net->grads + l->param, *dbeta = dgamma + c;
    double *sum = l->sums, *product = sum + c;
    for (int j = 0; j < 2 * c; j++) sum[j] = 0;
    for (size_t from = 0, some; from < rows; from += some) {
        some = strip_rows(l, rows - from);
        products(some, c, floats(net, l, x, from, some, 0), floats(net, l, dy, from, some, 1), coef(l, MEAN), scale,
                 coef(l, BIAS), floor_of(l), sum, product);
    }
    /* This rank's part alone: the caller sums gradients over ranks. */
    for (int j = 0; j < c; j++) {
        product[j] *= (double)rstd[j];
        dgamma[j] = (float)product[j];
        dbeta[j] = (float)sum[j];
    }
    MIGE_TRY(reduce(pass, sum, 2 * c));
    double one = l->count > 0 ? 1 / l->count : 0;
    for (int j = 0; j < c; j++) {
        coef(l, OFFSET)[j] = (float)((double)scale[j] * sum[j] * one);
        coef(l, SLOPE)[j] = (float)((double)scale[j] * (double)rstd[j] * product[j] * one);
    }
    for (size_t from = 0, some; wanted && from < rows; from += some) {
        some = strip_rows(l, rows - from);
        float *d = floats(net, l, dy, from, some, 1);
        spread(some, c, floats(net, l, x, from, some, 0), l->coef, floor_of(l), d);
        if (l->half) mige_bfloat16_round(some * (size_t)c, d, (uint16_t *)dy + from * (size_t)c);
    }
    return MIGE_OK;
}

static int norm_backward(mige_net *net, layer *l, const float *x, float *dy, float *dx, int n,
                         const mige_pass *pass) {
    return run_backward(net, l, (void *)x, dy, dx != NULL, n, pass);
}
static int half_backward(mige_net *net, layer *l, const uint16_t *x, void *dy, uint16_t *dx, int n,
                         const mige_pass *pass) {
    return run_backward(net, l, (void *)x, dy, dx != NULL, n, pass);
}

static const half_ops half_norm = {norm_scratch, half_forward, half_backward};
const layer_ops mige_norm_ops = {1, norm_plan, norm_forward, norm_backward, &half_norm};
