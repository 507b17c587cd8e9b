/* Layers that draw: a gaussian code, and noise that enters a network beside its input. */
#include "base/simd.h"
#include "mige/rng.h"
#include "net.h"
#include <math.h>
#include <string.h>

enum { MAX_DRAWS = 1 << 20 };

/* A sample's numbers depend on its place in the global batch and on the layer, as those of dropout. */
static void draw(const mige_net *net, const layer *l, const mige_pass *pass, int sample, size_t n, double *out) {
    uint64_t index = (uint64_t)(pass->first_sample + sample) * (uint64_t)net->num_layers + (uint64_t)l->index;
    mige_rng_normal(pass->seed, MIGE_RNG_NOISE, pass->step, index, n, out);
}

static double softplus_inverse(double y) {
    return y + log(-expm1(-y));
}

static int gaussian_plan(layer *l) {
    const mige_layer_spec *s = &l->spec;
    MIGE_CHECK(l->in_size % 2 == 0, MIGE_EUSAGE, "layer %s: %zu inputs (needs pairs of mean and deviation)",
               l->name, l->in_size);
    MIGE_CHECK(s->draws > 0 && s->draws <= MAX_DRAWS, MIGE_EUSAGE, "layer %s: %d draws (must be 1 to %d)", l->name,
               s->draws, MAX_DRAWS);
    MIGE_CHECK((s->lo == 0 && s->hi == 0) || (s->lo > 0 && s->hi > s->lo && isfinite(s->hi)), MIGE_EUSAGE,
               "layer %s: deviations from %g to %g (must be positive and ascend)", l->name, s->lo, s->hi);
    l->out = (mige_shape){s->draws, 1, (int)(l->in_size / 2)};
    return MIGE_OK;
}

/* softplus(r) = max(r, 0) + log(1 + e) and its slope, the sigmoid, of e = exp(-|r|). log(1 + e) is the series of
 * 2 artanh(e / (2 + e)), to 1e-10 of it: log1p is not to be had in vectors without losing small e. */
MIGE_CLONES static void soften(int K, double shift, const float *restrict rho, const double *restrict e,
                               float *restrict sigma, float *restrict slope) {
#pragma omp simd
    for (int k = 0; k < K; k++) {
        double r = (double)rho[k] - shift, x = e[k], s = x / (2 + x), q = s * s, larger = 1 / (1 + x);
        double p = 1. / 13 + q * (1. / 15 + q * (1. / 17 + q * (1. / 19)));
        double sum = 1 + q * (1. / 3 + q * (1. / 5 + q * (1. / 7 + q * (1. / 9 + q * (1. / 11 + q * p)))));
        double positive = 0.5 + copysign(0.5, r); /* 1 or 0: comparisons are not vectorised */
        sigma[k] = (float)((r + fabs(r)) / 2 + 2 * s * sum);
        slope[k] = (float)(larger * (positive + (1 - positive) * x));
    }
}

/* sigma of one sample and its slope, d sigma / d rho; work [K]. Comparisons let a NaN through. */
static void deviations(const mige_layer_spec *s, int K, const float *rho, double *work, float *sigma,
                       float *slope) {
    const int bounded = s->hi > 0;
    const double shift = bounded ? 0 : 5;
    for (int k = 0; k < K; k++) work[k] = fabs((double)rho[k] - shift);
    mige_exp((size_t)K, 1, work);
    soften(K, shift, rho, work, sigma, slope);
    if (!bounded) return;
    const double least = softplus_inverse(s->lo), most = softplus_inverse(s->hi);
    for (int k = 0; k < K; k++) {
        const int below = (double)rho[k] < least;
        const int above = (double)rho[k] > most;
        if (below || above) sigma[k] = (float)(below ? s->lo : s->hi), slope[k] = 0;
    }
}

static int gaussian_forward(mige_net *net, layer *l, const float *x, int n, const mige_pass *pass) {
    const int S = l->out.h, K = l->out.c;
    for (int i = 0; i < n; i++) {
        const float *mu = x + (size_t)i * l->in_size;
        float *sigma = l->sigma + (size_t)i * (size_t)K, *eps = l->noise + (size_t)i * l->out_size,
              *z = l->y + (size_t)i * l->out_size;
        deviations(&l->spec, K, mu + K, l->normal, sigma, l->slope + (size_t)i * (size_t)K);
        if (pass->mean)
            memset(l->normal, 0, l->out_size * sizeof *l->normal);
        else
            draw(net, l, pass, i, l->out_size, l->normal);
        for (int s = 0; s < S; s++)
            for (int k = 0; k < K; k++) {
                float e = eps[s * K + k] = (float)l->normal[s * K + k];
                z[s * K + k] = mu[k] + sigma[k] * e;
            }
    }
    return MIGE_OK;
}

static int gaussian_backward(mige_net *net, layer *l, const float *x, float *dy, float *dx, int n,
                             const mige_pass *pass) {
    const int S = l->out.h, K = l->out.c;
    (void)net, (void)x, (void)pass;
    for (int i = 0; dx && i < n; i++) {
        const float *d = dy + (size_t)i * l->out_size, *eps = l->noise + (size_t)i * l->out_size,
                    *slope = l->slope + (size_t)i * (size_t)K;
        float *mu = dx + (size_t)i * l->in_size, *rho = mu + K;
        memset(mu, 0, l->in_size * sizeof *mu);
        for (int s = 0; s < S; s++)
            for (int k = 0; k < K; k++) {
                mu[k] += d[s * K + k];
                rho[k] += d[s * K + k] * eps[s * K + k];
            }
        for (int k = 0; k < K; k++) rho[k] *= slope[k];
    }
    return MIGE_OK;
}

MIGE_CLONES void mige_gaussian_score(const mige_net *net, int i, int n, double *score) {
    const layer *l = &net->layers[i];
    const size_t K = (size_t)l->out.c, draws = (size_t)l->out.h;
    for (size_t r = 0; r < (size_t)n * draws; r++) {
        const float *noise = l->noise + r * K, *sigma = l->sigma + r / draws * K;
        for (size_t k = 0; k < K; k++) score[r * K + k] = -(double)noise[k] / (double)sigma[k];
    }
}

/* Sum of the logarithms of x [n], one for the product of several: eight floats are within a double. */
static double log_sum(size_t n, const float *x) {
    enum { FACTORS = 8 };
    double sum = 0;
    for (size_t i = 0; i < n; i += FACTORS) {
        double product = 1;
        for (size_t k = i; k < n && k < i + FACTORS; k++) product *= (double)x[k];
        sum += log(product);
    }
    return sum;
}

double mige_gaussian_kl(const mige_net *net, int i, int n, double scale, float *upstream) {
    const layer *l = &net->layers[i];
    const size_t K = (size_t)l->out.c;
    double sum = 0;
    for (size_t r = 0; r < (size_t)n; r++) {
        const float *x = (i ? net->layers[i - 1].y : net->x) + r * l->in_size, *slope = l->slope + r * K;
        float *to = upstream ? upstream + r * l->in_size : NULL;
        sum -= log_sum(K, l->sigma + r * K);
        for (size_t k = 0; k < K; k++) {
            double mu = (double)x[k], sigma = (double)l->sigma[r * K + k];
            sum += 0.5 * (mu * mu + sigma * sigma - 1);
            if (!to) continue;
            to[k] += (float)(scale * mu);
            to[k + K] += (float)(scale * (sigma - 1 / sigma) * (double)slope[k]);
        }
    }
    return sum;
}

static int noise_plan(layer *l) {
    MIGE_CHECK(l->spec.out > 0, MIGE_EUSAGE, "layer %s: out %d (must be positive)", l->name, l->spec.out);
    int64_t c = (int64_t)l->in_size + l->spec.out;
    MIGE_CHECK(c <= INT32_MAX, MIGE_EUSAGE, "layer %s: out %d (too large)", l->name, l->spec.out);
    l->out = (mige_shape){1, 1, (int)c};
    return MIGE_OK;
}

static int noise_forward(mige_net *net, layer *l, const float *x, int n, const mige_pass *pass) {
    for (int i = 0; i < n; i++) {
        float *y = l->y + (size_t)i * l->out_size;
        memcpy(y, x + (size_t)i * l->in_size, l->in_size * sizeof *y);
        draw(net, l, pass, i, (size_t)l->spec.out, l->normal);
        for (int k = 0; k < l->spec.out; k++) y[l->in_size + (size_t)k] = pass->mean ? 0 : (float)l->normal[k];
    }
    return MIGE_OK;
}

static int noise_backward(mige_net *net, layer *l, const float *x, float *dy, float *dx, int n,
                          const mige_pass *pass) {
    (void)net, (void)x, (void)pass;
    for (int i = 0; dx && i < n; i++)
        memcpy(dx + (size_t)i * l->in_size, dy + (size_t)i * l->out_size, l->in_size * sizeof *dx);
    return MIGE_OK;
}

const layer_ops mige_gaussian_ops = {0, gaussian_plan, gaussian_forward, gaussian_backward, NULL};
const layer_ops mige_noise_ops = {0, noise_plan, noise_forward, noise_backward, NULL};
