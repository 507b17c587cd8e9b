/* Linear layers, and the bias gradient that they share with convolutions. */
#include "base/simd.h"
#include "net.h"
#include <cblas.h>
#include <string.h>

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
    l->fan_in = l->in_size;
    l->num_params = (size_t)l->spec.out * l->in_size + (l->spec.bias ? (size_t)l->spec.out : 0);
    return MIGE_OK;
}

/* y [n][out] from its transpose, plus the bias if there is one: in squares, so that both are read along lines. */
MIGE_CLONES static void turn(int n, int out, const float *restrict from, const float *restrict bias,
                             float *restrict y) {
    enum { SQUARE = 16 };
    for (int r = 0; r < n; r += SQUARE)
        for (int o = 0; o < out; o += SQUARE)
            for (int i = r; i < n && i < r + SQUARE; i++)
                for (int j = o; j < out && j < o + SQUARE; j++)
                    y[(size_t)i * (size_t)out + (size_t)j] =
                        from[(size_t)j * (size_t)n + (size_t)i] + (bias ? bias[j] : 0);
}

static int linear_forward(mige_net *net, layer *l, const float *x, int n, const mige_pass *pass) {
    const float *weight = net->params + l->param;
    const int in = (int)l->in_size, out = l->out.c;
    (void)pass;
    if (n == 0) return MIGE_OK;
    /* As W x^T: with far more features than samples, BLAS packs the long side's operand a quarter faster. The
     * transpose goes where backward will work, but for the half with the input gradient, which stays valid. */
    float *turned = net->flow[net->input_grad == net->flow[0]];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, out, n, in, 1, weight, in, x, in, 0, turned, n);
    turn(n, out, turned, l->spec.bias ? weight + (size_t)out * l->in_size : NULL, l->y);
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

const layer_ops mige_linear_ops = {0, linear_plan, linear_forward, linear_backward, &mige_half_linear_ops};
