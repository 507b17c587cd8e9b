/* Weight gradients of linear layers in bfloat16 by rows of the weights instead of by samples. Each rank of a node
 * leaves a layer's inputs x and the gradients dy of its outputs in memory that all see; the gradient of some of the
 * weights is then one product over all samples, dy^T x. With few samples these are much smaller than the weights,
 * of which else every rank would write a whole gradient, and all would be read again to be summed. In float it does
 * not pay: the BLAS would pack the samples anew for each few rows. */
#include "nn/half.h"
#include <string.h>

/* Whether keeping `total` samples is less to move than weights are. */
static int pays(const layer *l, size_t total) {
    return l->half && l->spec.kind == MIGE_LINEAR &&
           total * (l->in_size + l->out_size) < l->in_size * l->out_size / 2;
}

/* Values of `total` samples of a width, in whole cache lines. */
static size_t lines(size_t total, size_t width) {
    return (total * width + 31) / 32 * 32;
}

/* Places the layers' matrices from base on (NULL: counts values). */
static size_t lay_out(const mige_net *net, size_t total, uint16_t *base) {
    size_t used = 0;
    for (int i = net->first; i < net->num_layers; i++) {
        layer *l = &net->layers[i];
        if (!pays(l, total)) continue;
        if (base) l->kept_x = base + used;
        used += lines(total, l->in_size);
        if (base) l->kept_dy = base + used;
        used += lines(total, l->out_size);
    }
    return used;
}

size_t mige_net_kept_bytes(const mige_net *net, int total) {
    return lay_out(net, (size_t)total, NULL) * sizeof(uint16_t);
}

int mige_net_keep(mige_net *net, void *area, int first, int total) {
    size_t most = 0;
    lay_out(net, (size_t)total, area);
    net->kept_first = first;
    net->kept_total = total;
    for (int i = 0; i < net->num_layers; i++) {
        size_t bytes = net->layers[i].kept_x ? mige_half_linear_work(&net->layers[i], total) : 0;
        if (bytes > most) most = bytes;
    }
    return most ? mige_alloc(most, 1, &net->kept_work) : MIGE_OK;
}

int mige_net_kept(const mige_net *net, int i, size_t *first) {
    *first = net->layers[i].param;
    return net->layers[i].kept_x != NULL;
}

void mige_keep(mige_net *net, const layer *l, const uint16_t *x, const void *dy, int n) {
    size_t first = (size_t)net->kept_first, in = (size_t)n * l->in_size, out = (size_t)n * l->out_size;
    uint16_t *to = l->kept_dy + first * l->out_size;
    net->packed = NULL;
    if (n == 0) return;
    memcpy(l->kept_x + first * l->in_size, x, in * sizeof *x);
    if (l->half_out)
        memcpy(to, dy, out * sizeof *to);
    else
        mige_bfloat16_round(out, dy, to);
}

void mige_net_kept_gradient(mige_net *net, int i, int row, int rows, float *grad) {
    mige_half_linear_rows(net, &net->layers[i], row, rows, grad);
}
