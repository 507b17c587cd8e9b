/* Linear layers with bfloat16: products of samples, as A, and weights, as panels. Weights are many, and are read
 * once a pass: where the caller keeps them packed (net->packed), as their last change left them; else they are
 * packed on the way.
 *
 * Gradients of weights are summed over this rank's samples; or, where mige_net_keep has been called, each rank of a
 * node leaves its inputs x and the gradients dy of the outputs in memory that all see, and the gradient of some of
 * the weights is one product over all samples, dy^T x. With few samples these are much smaller than the weights, of
 * which else every rank would write a whole gradient, and all would be read again to be summed. In float it does
 * not pay: the BLAS would pack the samples anew for each few rows. */
#include "nn/half.h"
#include <stdlib.h>
#include <string.h>

enum { PANELS = 4 }; /* of weights on the way down, at once: along lines, but still in cache */
_Static_assert((int)MIGE_NET_ROWS == HALF_SIDE, "rows of weights are packed by panels");

/* The pieces of net->patches. */
typedef struct {
    uint16_t *rows;        /* samples, or dy, as A */
    uint16_t *turned;      /* dy^T as A */
    uint32_t *panels;      /* all samples, or some panels of weights */
    const uint16_t **from; /* [n] */
} pool;

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t lay_out(const layer *l, int max_batch, char *base, pool *p) {
    const size_t in = l->in_size, out = (size_t)l->out.c, n = (size_t)max_batch;
    const size_t rows = half_padded(n) * half_stride(most(in, out)) * sizeof *p->rows;
    const size_t turned = half_padded(out) * half_stride(n) * sizeof *p->turned;
    const size_t few = most(half_panel(in), PANELS * half_panel(out));
    const size_t words = most(half_padded(n) * half_padded(in) / 2, few);
    const size_t panels = words * sizeof *p->panels;
    if (base)
        *p = (pool){(uint16_t *)base, (uint16_t *)(base + rows), (uint32_t *)(base + rows + turned),
                    (const uint16_t **)(base + rows + turned + panels)};
    return rows + turned + panels + n * sizeof *p->from;
}

static size_t linear_scratch(const layer *l, int max_batch) {
    pool p = {0};
    return lay_out(l, max_batch, NULL, &p);
}

static int smaller(int a, int b) {
    return a < b ? a : b;
}

/* ---- packed weights of a layer: panels for the way up, of 32 outputs each, then those for the way down, of 32
 * inputs each, where backward goes further down */

static size_t blocks(size_t n) {
    return half_padded(n) / HALF_SIDE;
}

static size_t packed_up(const layer *l) {
    return blocks(l->out_size) * half_panel(l->in_size);
}

static int packs(const layer *l) {
    return l->half && l->spec.kind == MIGE_LINEAR;
}

/* Words of all layers before layer i. */
static size_t packed_before(const mige_net *net, int i) {
    size_t words = 0;
    for (const layer *l = net->layers; l < net->layers + i; l++)
        if (packs(l))
            words += packed_up(l) + mige_layer_goes_down(net, l) * blocks(l->in_size) * half_panel(l->out_size);
    return words;
}

size_t mige_net_packed_bytes(const mige_net *net) {
    return packed_before(net, net->num_layers) * sizeof(uint32_t);
}

int mige_net_packs(const mige_net *net, int i, size_t *first) {
    *first = net->layers[i].param;
    return packs(&net->layers[i]);
}

void mige_net_pack(mige_net *net, int i, int row, int rows) {
    const layer *l = &net->layers[i];
    const size_t in = l->in_size;
    uint32_t *up = net->packed + packed_before(net, i),
             *down = mige_layer_goes_down(net, l) ? up + packed_up(l) : NULL;
    for (int end = row + rows; row < end; row += HALF_SIDE)
        mige_half_pack_both(smaller(HALF_SIDE, end - row), (int)in, net->params + l->param + (size_t)row * in,
                            up + (size_t)row / HALF_SIDE * half_panel(in), row, down, half_panel(l->out_size));
}

/* ---- the passes */

/* Outputs [from, from + cols) of n samples that lie in p->rows. */
static void outputs(const layer *l, const pool *p, int n, const uint32_t *panels, int from, int cols,
                    const half_target *to) {
    mige_half_multiply(mige_half_best(),
                       &(half_product){.rows = n,
                                       .cols = cols,
                                       .k = l->in_size,
                                       .a = p->rows,
                                       .lda = half_stride(l->in_size),
                                       .panels = panels,
                                       .first_col = from},
                       to);
}

static int linear_forward(mige_net *net, layer *l, const uint16_t *x, int n, const mige_pass *pass) {
    const float *weight = net->params + l->param;
    const size_t in = l->in_size;
    const int out = l->out.c;
    const half_target to = {.to = l->half_out ? (void *)l->y16 : l->y,
                            .half = l->half_out,
                            .ld = (size_t)out,
                            .bias = l->spec.bias ? weight + (size_t)out * in : NULL};
    pool p = {0};
    (void)pass;
    MIGE_CHECK(net->patches, MIGE_EUSAGE, "layer %s: a blueprint computes nothing", l->name);
    lay_out(l, net->max_batch, (char *)net->patches, &p);
    mige_half_rows(n, (int)in, x, p.rows, half_stride(in));
    if (net->packed) outputs(l, &p, n, net->packed + packed_before(net, l->index), 0, out, &to);
    for (int i = 0, rows; !net->packed && n > 0 && i < out; i += HALF_SIDE) {
        rows = smaller(HALF_SIDE, out - i);
        mige_half_pack_both(rows, (int)in, weight + (size_t)i * in, p.panels, 0, NULL, 0);
        outputs(l, &p, n, p.panels, i, rows, &to);
    }
    return MIGE_OK;
}

/* grad [rows][in] = dy^T x, of n samples > 0; dy: `rows` columns, ld apart. */
static void weight_rows(const layer *l, const pool *p, const uint16_t *dy, size_t ld, int rows, int n,
                        float *grad) {
    const int in = (int)l->in_size;
    const size_t lda = half_stride((size_t)n);
    const half_target to = {.to = grad, .ld = (size_t)in};
    mige_half_turn(n, rows, dy, ld, p->turned, lda);
    for (int i = 0; i < rows; i += HALF_SIDE)
        mige_half_multiply(mige_half_best(),
                           &(half_product){.rows = smaller(HALF_SIDE, rows - i),
                                           .cols = in,
                                           .k = (size_t)n,
                                           .a = p->turned + (size_t)i * lda,
                                           .lda = lda,
                                           .panels = p->panels,
                                           .first_row = i},
                           &to);
}

static void pack_samples(const layer *l, const pool *p, const uint16_t *x, int n) {
    const int in = (int)l->in_size;
    const size_t panel = half_panel((size_t)n);
    for (int r = 0; r < n; r++) p->from[r] = x + (size_t)r * (size_t)in;
    for (int j = 0; j < in; j += HALF_SIDE)
        mige_half_pack_rows(smaller(HALF_SIDE, in - j), n, p->from, (size_t)j,
                            p->panels + (size_t)j / HALF_SIDE * panel);
}

/* Of kept samples: all inputs as panels, and HALF_SIDE rows of dy^T. */
static size_t kept_pool(const layer *l, int total, char *base, pool *p) {
    const size_t n = (size_t)total, turned = HALF_SIDE * half_stride(n) * sizeof *p->turned;
    const size_t words = half_padded(l->in_size) / HALF_SIDE * half_panel(n) * sizeof *p->panels;
    if (base)
        *p = (pool){.turned = (uint16_t *)base,
                    .panels = (uint32_t *)(base + turned),
                    .from = (const uint16_t **)(base + turned + words)};
    return turned + words + n * sizeof *p->from;
}

/* ---- weights' gradients by rows of the weights */

/* Whether keeping `total` samples is less to move than weights are. */
static int pays(const layer *l, size_t total) {
    return packs(l) && total * (l->in_size + l->out_size) < l->in_size * l->out_size / 2;
}

/* Values of `total` samples of a width, in whole cache lines. */
static size_t lines(size_t total, size_t width) {
    return (total * width + 31) / 32 * 32;
}

/* Places the layers' matrices from base on (NULL: counts values). */
static size_t lay_out_kept(const mige_net *net, size_t total, uint16_t *base) {
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
    return lay_out_kept(net, (size_t)total, NULL) * sizeof(uint16_t);
}

int mige_net_keep(mige_net *net, void *area, int first, int total) {
    size_t most_bytes = 0;
    lay_out_kept(net, (size_t)total, area);
    net->kept_first = first;
    net->kept_total = total;
    for (int i = 0; i < net->num_layers; i++)
        if (net->layers[i].kept_x) most_bytes = most(most_bytes, kept_pool(&net->layers[i], total, NULL, NULL));
    free(net->kept_work);
    net->kept_work = NULL;
    return most_bytes ? mige_alloc(most_bytes, 1, &net->kept_work) : MIGE_OK;
}

int mige_net_kept(const mige_net *net, int i) {
    return net->layers[i].kept_x != NULL;
}

/* Leaves n samples where all ranks of the node see them; where dy lies there, in bfloat16. */
static uint16_t *keep(mige_net *net, const layer *l, const uint16_t *x, const void *dy, int n) {
    size_t first = (size_t)net->kept_first, in = (size_t)n * l->in_size, out = (size_t)n * l->out_size;
    uint16_t *to = l->kept_dy + first * l->out_size;
    net->panelled = NULL;
    if (n == 0) return to;
    memcpy(l->kept_x + first * l->in_size, x, in * sizeof *x);
    if (l->half_out)
        memcpy(to, dy, out * sizeof *to);
    else
        mige_bfloat16_round(out, dy, to);
    return to;
}

void mige_net_kept_gradient(mige_net *net, int i, int row, int rows, float *grad) {
    const layer *l = &net->layers[i];
    pool p;
    kept_pool(l, net->kept_total, net->kept_work, &p);
    if (net->panelled != l) pack_samples(l, &p, l->kept_x, net->kept_total);
    net->panelled = l;
    weight_rows(l, &p, l->kept_dy + row, (size_t)l->out.c, rows, net->kept_total, grad);
}

/* dx [n][in] = dy W, dy in p->rows */
static void input_gradient(const mige_net *net, const layer *l, const pool *p, int n, uint16_t *dx) {
    const size_t panel = half_panel((size_t)l->out.c);
    const int in = (int)l->in_size, out = l->out.c, step = net->packed ? in : PANELS * HALF_SIDE;
    const half_target to = {.to = dx, .half = 1, .ld = (size_t)in};
    const uint32_t *panels = net->packed ? net->packed + packed_before(net, l->index) + packed_up(l) : p->panels;
    if (!net->packed) memset(p->panels, 0, PANELS * panel * sizeof *p->panels);
    for (int j = 0, cols; j < in; j += step) {
        cols = smaller(step, in - j);
        if (!net->packed)
            mige_half_pack_floats(cols, out, net->params + l->param + j, (size_t)in, 0, p->panels, panel);
        mige_half_multiply(mige_half_best(),
                           &(half_product){.rows = n,
                                           .cols = cols,
                                           .k = (size_t)out,
                                           .a = p->rows,
                                           .lda = half_stride((size_t)out),
                                           .panels = panels,
                                           .first_col = j},
                           &to);
    }
}

static int linear_backward(mige_net *net, layer *l, const uint16_t *x, void *dy, uint16_t *dx, int n,
                           const mige_pass *pass) {
    const size_t out = (size_t)l->out.c, weights = out * l->in_size, lda = half_stride(out);
    float *grad = net->grads + l->param;
    pool p = {0};
    (void)pass;
    MIGE_CHECK(net->patches, MIGE_EUSAGE, "layer %s: a blueprint computes nothing", l->name);
    lay_out(l, net->max_batch, (char *)net->patches, &p);
    if (l->spec.bias && l->half_out) mige_half_bias_grad((size_t)n, (int)out, dy, grad + weights);
    if (l->spec.bias && !l->half_out) mige_bias_grad((size_t)n, (int)out, dy, grad + weights);
    if (l->kept_x)
        dy = keep(net, l, x, dy, n);
    else if (n == 0)
        memset(grad, 0, weights * sizeof *grad);
    if (n == 0 || (l->kept_x && !dx)) return MIGE_OK;
    if (l->half_out || l->kept_x)
        mige_half_rows(n, (int)out, dy, p.rows, lda);
    else
        mige_half_rows_from_floats(n, (int)out, dy, p.rows, lda);
    if (!l->kept_x) {
        pack_samples(l, &p, x, n);
        weight_rows(l, &p, p.rows, lda, (int)out, n, grad);
    }
    if (dx) input_gradient(net, l, &p, n, dx);
    return MIGE_OK;
}

const half_ops mige_half_linear_ops = {linear_scratch, linear_forward, linear_backward};
