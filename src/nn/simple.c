/* Layers without parameters: ReLU and dropout. */
#include "base/simd.h"
#include "mige/rng.h"
#include "nn/half.h"
#include <string.h>

static int same_plan(layer *l) {
    l->out = l->in;
    return MIGE_OK;
}

/* Written so that a NaN passes: a diverged network must not look sound. */
MIGE_CLONES static void relu(size_t size, const float *restrict x, float *restrict y) {
    for (size_t i = 0; i < size; i++) y[i] = x[i] < 0 ? 0 : x[i];
}

MIGE_CLONES static void relu_gradient(size_t size, const float *restrict y, float *restrict d) {
    for (size_t i = 0; i < size; i++) d[i] = y[i] <= 0 ? 0 : d[i];
}

static int relu_forward(mige_net *net, layer *l, const float *x, int n, const mige_pass *pass) {
    (void)net, (void)pass;
    relu((size_t)n * l->out_size, x, l->y);
    return MIGE_OK;
}

static int relu_backward(mige_net *net, layer *l, const float *x, float *dy, float *dx, int n,
                         const mige_pass *pass) {
    (void)net, (void)pass, (void)x, (void)dy;
    if (dx) relu_gradient((size_t)n * l->out_size, l->y, dx);
    return MIGE_OK;
}

MIGE_CLONES static void half_relu(size_t size, const uint16_t *restrict x, uint16_t *restrict y) {
    for (size_t i = 0; i < size; i++) y[i] = half_float(x[i]) < 0 ? 0 : x[i];
}

MIGE_CLONES static void half_relu_gradient(size_t size, const uint16_t *restrict y, uint16_t *restrict d) {
    for (size_t i = 0; i < size; i++) d[i] = half_float(y[i]) <= 0 ? 0 : d[i];
}

static int half_relu_forward(mige_net *net, layer *l, const uint16_t *x, int n, const mige_pass *pass) {
    (void)net, (void)pass;
    half_relu((size_t)n * l->out_size, x, l->y16);
    return MIGE_OK;
}

static int half_relu_backward(mige_net *net, layer *l, const uint16_t *x, void *dy, uint16_t *dx, int n,
                              const mige_pass *pass) {
    (void)net, (void)pass, (void)x, (void)dy;
    if (dx) half_relu_gradient((size_t)n * l->out_size, l->y16, dx);
    return MIGE_OK;
}

static int dropout_plan(layer *l) {
    MIGE_CHECK(l->spec.rate >= 0 && l->spec.rate < 1, MIGE_EUSAGE, "layer %s: rate %g (must be in [0, 1))", l->name,
               l->spec.rate);
    return same_plan(l);
}

MIGE_CLONES static void drop(size_t size, double rate, const uint32_t *restrict bits, const float *x, float *y) {
    uint32_t limit = (uint32_t)(rate * 0x1p32);
    float scale = (float)(1 / (1 - rate));
#pragma omp simd
    for (size_t i = 0; i < size; i++) y[i] = bits[i] < limit ? 0 : x[i] * scale;
}

static int dropout_forward(mige_net *net, layer *l, const float *x, int n, const mige_pass *pass) {
    size_t size = (size_t)n * l->out_size;
    if (!pass->train) {
        if (n > 0) memcpy(l->y, x, size * sizeof *x);
        return MIGE_OK;
    }
    /* A sample's words depend on its place in the global batch and on the layer: the same for any split. */
    for (int i = 0; i < n; i++) {
        uint64_t index = (uint64_t)(pass->first_sample + i) * (uint64_t)net->num_layers + (uint64_t)l->index;
        mige_rng_bits(pass->seed, MIGE_RNG_DROPOUT, pass->step, index, l->out_size,
                      l->bits + (size_t)i * l->out_size);
    }
    drop(size, l->spec.rate, l->bits, x, l->y);
    return MIGE_OK;
}

static int dropout_backward(mige_net *net, layer *l, const float *x, float *dy, float *dx, int n,
                            const mige_pass *pass) {
    (void)net, (void)pass, (void)x;
    if (dx) drop((size_t)n * l->out_size, l->spec.rate, l->bits, dy, dx);
    return MIGE_OK;
}

static const half_ops half_relu_ops = {NULL, half_relu_forward, half_relu_backward};
const layer_ops mige_relu_ops = {1, same_plan, relu_forward, relu_backward, &half_relu_ops};
const layer_ops mige_dropout_ops = {1, dropout_plan, dropout_forward, dropout_backward, NULL};
