/* Linear layers, and the bias that they share with convolutions. */
#include "base/simd.h"
#include "net.h"
#include <cblas.h>
#include <string.h>

void mige_bias_fill(size_t rows, int c, const float *bias, float *y) {
    for (size_t r = 0; r < rows; r++) memcpy(y + r * (size_t)c, bias, (size_t)c * sizeof *y);
}

MIGE_CLONES void mige_bias_grad(size_t rows, int c, const float *dy, float *bias) {
    enum { STRIP = 64 };
    for (int from = 0; from < c; from += STRIP) {
        double sum[STRIP] = {0};
        int width = c - from < STRIP ? c - from : STRIP;
        for (size_t r = 0; r < rows; r++) {
            const float *restrict row = dy + r * (size_t)c + from;
            for (int j = 0; j < width; j++) sum[j] += (double)row[j];
        }
        for (int j = 0; j < width; j++) bias[from + j] = (float)sum[j];
    }
}

static int linear_plan(layer *l) {
    MIGE_CHECK(l->spec.out > 0, MIGE_EUSAGE, "layer %s: out %d (must be positive)", l->name, l->spec.out);
    l->out = (mige_shape){1, 1, l->spec.out};
    l->num_params = (size_t)l->spec.out * l->in_size + (l->spec.bias ? (size_t)l->spec.out : 0);
    return MIGE_OK;
}

static int linear_forward(mige_net *net, layer *l, const float *x, int n, const mige_pass *pass) {
    const float *weight = net->params + l->param;
    const int in = (int)l->in_size, out = l->out.c;
    (void)pass;
    if (l->spec.bias) mige_bias_fill((size_t)n, out, weight + (size_t)out * l->in_size, l->y);
    if (n > 0)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, out, in, 1, x, in, weight, in,
                    (float)(l->spec.bias != 0), l->y, out);
    return MIGE_OK;
}

static int linear_backward(mige_net *net, layer *l, const float *x, float *dy, float *dx, int n,
                           const mige_pass *pass) {
    const float *weight = net->params + l->param;
    float *grad = net->grads + l->param;
    const int in = (int)l->in_size, out = l->out.c;
    const size_t weights = (size_t)out * l->in_size;
    (void)pass;
    if (l->spec.bias) mige_bias_grad((size_t)n, out, dy, grad + weights);
    if (n == 0) {
        memset(grad, 0, weights * sizeof *grad);
        return MIGE_OK;
    }
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, n, 1, dy, out, x, in, 0, grad, in);
    if (dx) cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, in, out, 1, dy, out, weight, in, 0, dx, in);
    return MIGE_OK;
}

static double linear_flops(const layer *l) {
    return 2 * (double)l->out_size * (double)l->in_size;
}

const layer_ops mige_linear_ops = {"linear", 0, linear_plan, linear_forward, linear_backward, linear_flops};
