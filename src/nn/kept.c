/* Weight gradients of linear layers by rows of the weights instead of by samples. Each rank of a node leaves a
 * layer's inputs x and the gradients dy of its outputs in memory that all see; the gradient of some of the weights
 * is then one product over all samples, dy^T x. With few samples these are much smaller than the weights, of which
 * else every rank would write a whole gradient, and all would be read again to be summed. */
#include "nn/half.h"
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

/* Whether keeping `total` samples is less to move than weights are. */
static int pays(const layer *l, size_t total) {
    return l->spec.kind == MIGE_LINEAR && total * (l->in_size + l->out_size) < l->in_size * l->out_size / 2;
}

static size_t value(const layer *l) {
    return l->half ? sizeof(uint16_t) : sizeof(float);
}

/* Places the layers' matrices from base on (NULL: counts), each on cache lines of its own. */
static size_t lay_out(mige_net *net, size_t total, char *base) {
    size_t used = 0;
    for (int i = net->first; i < net->num_layers; i++) {
        layer *l = &net->layers[i];
        if (!pays(l, total)) continue;
        size_t x = (total * l->in_size * value(l) + 63) / 64 * 64, dy = (total * l->out_size * value(l) + 63) / 64 * 64;
        if (base) {
            l->kept_x = base + used;
            l->kept_dy = base + used + x;
        }
        used += x + dy;
    }
    return used;
}

size_t mige_net_kept_bytes(const mige_net *net, int total) {
    mige_net counted = *net;
    return lay_out(&counted, (size_t)total, NULL);
}

int mige_net_keep(mige_net *net, void *area, int first, int total) {
    size_t most = 0;
    lay_out(net, (size_t)total, area);
    net->kept_first = first;
    net->kept_total = total;
    for (int i = 0; i < net->num_layers; i++) {
        const layer *l = &net->layers[i];
        size_t bytes = l->kept_x && l->half ? mige_half_linear_work(l, total) : 0;
        if (bytes > most) most = bytes;
    }
    return most ? mige_alloc(most, 1, &net->kept_work) : MIGE_OK;
}

int mige_net_kept(const mige_net *net, int i, size_t *first) {
    *first = net->layers[i].param;
    return net->layers[i].kept_x != NULL;
}

/* Rows [first, first + n) of a kept matrix. */
static void *rows_of(const mige_net *net, const layer *l, void *kept, size_t width) {
    return (char *)kept + (size_t)net->kept_first * width * value(l);
}

void mige_keep(mige_net *net, const layer *l, const void *x, const void *dy, int n) {
    size_t in = (size_t)n * l->in_size, out = (size_t)n * l->out_size;
    net->packed = NULL;
    if (n == 0) return;
    memcpy(rows_of(net, l, l->kept_x, l->in_size), x, in * value(l));
    if (l->half && !l->half_out)
        mige_half_from_float(out, dy, rows_of(net, l, l->kept_dy, l->out_size));
    else
        memcpy(rows_of(net, l, l->kept_dy, l->out_size), dy, out * value(l));
}

void mige_net_kept_gradient(mige_net *net, int i, int row, int rows, float *grad) {
    const layer *l = &net->layers[i];
    const int in = (int)l->in_size, out = l->out.c;
    if (l->half)
        mige_half_linear_rows(net, l, row, rows, grad);
    else
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, in, net->kept_total, 1,
                    (const float *)l->kept_dy + row, out, l->kept_x, in, 0, grad, in);
}
