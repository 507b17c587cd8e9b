/* Convolution with bfloat16: patches times filters, both ways.
 *
 * The gradient of the input is itself a convolution, one for each remainder (a, b) of h + pad and w + pad by the
 * stride: a pixel there depends on the filters' rows a, a + stride, ... and columns b, b + stride, ... alone, and
 * the outputs that they met lie next to one another. So it is a product over patches of dy, each pixel written
 * once. */
#include "nn/half.h"
#include <string.h>

enum {
    PATCH_BYTES = 1 << 19, /* rows of patches that stay in the second-level cache */
    SUM_ROWS = 2048        /* rows that a block of the filters' gradient is summed over in registers */
};

/* Pixels that depend on the same taps of the filters. */
typedef struct {
    int h, w, rows, cols; /* the first of them, and how many */
    int kh, kw, first,
        start;          /* taps, and the filters' row and column of the first of them, the last in the patch */
    mige_window window; /* over dy */
} phase;

/* Outputs of at least one tap: of remainder r, ceil((kernel - r) / stride). */
static int taps(const mige_layer_spec *s, int r) {
    return r < s->kernel ? (s->kernel - r + s->stride - 1) / s->stride : 0;
}

static phase phase_of(const layer *l, int a, int b) {
    const mige_layer_spec *s = &l->spec;
    int h = ((a - s->pad) % s->stride + s->stride) % s->stride,
        w = ((b - s->pad) % s->stride + s->stride) % s->stride;
    phase p = {.h = h, .w = w, .kh = taps(s, a), .kw = taps(s, b), .first = a, .start = b};
    p.rows = h < l->in.h ? (l->in.h - h + s->stride - 1) / s->stride : 0;
    p.cols = w < l->in.w ? (l->in.w - w + s->stride - 1) / s->stride : 0;
    p.window = (mige_window){.h = l->out.h,
                             .w = l->out.w,
                             .pixel = (size_t)l->out.c * sizeof(uint16_t),
                             .kh = p.kh,
                             .kw = p.kw,
                             .stride = 1,
                             .top = (h + s->pad - a) / s->stride - p.kh + 1,
                             .left = (w + s->pad - b) / s->stride - p.kw + 1,
                             .rows = p.rows,
                             .cols = p.cols};
    return p;
}

/* The pieces of net->patches. */
typedef struct {
    uint16_t *rows;        /* patches of a chunk, as A; of one chunk of sums at most */
    uint32_t *panels;      /* filters, or one panel of patches */
    uint16_t *turned;      /* dy of a chunk, turned */
    const uint16_t **from; /* [chunk rows] */
    size_t *at;            /* [chunk rows] */
} pool;

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

static int sum_images(const layer *l, int max_batch) {
    int images = SUM_ROWS / (l->out.h * l->out.w);
    return images < 1 ? 1 : images > max_batch ? max_batch : images;
}

static void *take(char *base, size_t *used, size_t bytes) {
    void *piece = base ? base + *used : NULL;
    *used += (bytes + 63) / 64 * 64;
    return piece;
}

/* Images of `area` patches of k values each that are taken at once. */
static int images_of(int area, size_t k, int max_batch) {
    size_t bytes = (size_t)area * half_stride(k) * sizeof(uint16_t);
    int images = bytes ? (int)(PATCH_BYTES / bytes) : 1, side = HALF_SIDE;
    while (side > 1 && area * (side / 2) % HALF_SIDE == 0) side /= 2; /* images of whole blocks */
    images = images / side * side;
    return images < 1 ? 1 : images > max_batch ? max_batch : images;
}

static int chunk_of(const layer *l, int max_batch) {
    return images_of(l->out.h * l->out.w, l->fan_in, max_batch);
}

static size_t inner_of(const layer *l, const phase *f) {
    return (size_t)f->kh * (size_t)f->kw * (size_t)l->out.c;
}

/* Lines of a phase's pixels that are taken at once: all, but of large images and filters. */
static int lines_of(const layer *l, const phase *f) {
    size_t bytes = (size_t)f->cols * half_stride(inner_of(l, f)) * sizeof(uint16_t);
    size_t lines = bytes ? PATCH_BYTES / bytes : 1;
    return lines < 1 ? 1 : lines > (size_t)f->rows ? f->rows : (int)lines;
}

static size_t lay_out(const layer *l, int max_batch, char *base, pool *p) {
    const size_t area = (size_t)l->out.h * (size_t)l->out.w, out = (size_t)l->out.c, in = (size_t)l->in.c;
    const size_t chunk = (size_t)chunk_of(l, max_batch), sums = (size_t)sum_images(l, max_batch) * area;
    size_t rows = half_padded(chunk * area) * half_stride(l->fan_in), panels = half_padded(out) / HALF_SIDE;
    size_t most_rows = most(chunk * area, sums), used = 0;
    panels *= half_panel(l->fan_in);
    rows = most(rows, sums * half_stride(l->fan_in) * (in % HALF_SIDE != 0));
    for (int a = 0; a < l->spec.stride; a++)
        for (int b = 0; b < l->spec.stride; b++) {
            phase f = phase_of(l, a, b);
            size_t k = inner_of(l, &f), images = (size_t)images_of(f.rows * f.cols, k, max_batch);
            size_t pixels = images * (size_t)lines_of(l, &f) * (size_t)f.cols;
            rows = most(rows, half_padded(pixels) * half_stride(k));
            panels = most(panels, half_padded(in) / HALF_SIDE * half_panel(k));
            most_rows = most(most_rows, pixels);
        }
    panels = most(panels, half_panel(sums));
    p->rows = take(base, &used, rows * sizeof *p->rows);
    p->panels = take(base, &used, panels * sizeof *p->panels);
    p->turned = take(base, &used, half_padded(out) * half_stride(sums) * sizeof *p->turned);
    p->from = take(base, &used, most_rows * sizeof *p->from);
    p->at = take(base, &used, most_rows * sizeof *p->at);
    return used;
}

static size_t conv_scratch(const layer *l, int max_batch) {
    pool p;
    return lay_out(l, max_batch, NULL, &p);
}

/* Patches of some images as A, rows lda values apart. */
static void gather(mige_window w, const uint16_t *x, size_t image, int images, size_t k, uint16_t *rows) {
    size_t lda = half_stride(k), block = (size_t)w.rows * (size_t)w.cols * lda;
    w.gap = (lda - k) * sizeof *x;
    for (int i = 0; i < images; i++) mige_window_gather(&w, x + (size_t)i * image, rows + (size_t)i * block);
}

static int conv_forward(mige_net *net, layer *l, const uint16_t *x, int n, const mige_pass *pass) {
    const float *weight = net->params + l->param;
    const size_t area = (size_t)l->out.h * (size_t)l->out.w, patch = l->fan_in;
    const int out = l->out.c, chunk = chunk_of(l, net->max_batch);
    pool p;
    (void)pass;
    MIGE_CHECK(net->patches, MIGE_EUSAGE, "layer %s: a blueprint computes nothing", l->name);
    lay_out(l, net->max_batch, (char *)net->patches, &p);
    for (int j = 0; n > 0 && j < out; j += HALF_SIDE)
        mige_half_pack_both(out - j < HALF_SIDE ? out - j : HALF_SIDE, (int)patch, weight + (size_t)j * patch,
                            p.panels + (size_t)j / HALF_SIDE * half_panel(patch), 0, NULL, 0);
    half_target to = {.half = 1, .ld = (size_t)out, .bias = l->spec.bias ? weight + (size_t)out * patch : NULL};
    for (int done = 0, images; done < n; done += images) {
        images = n - done < chunk ? n - done : chunk;
        gather(mige_conv_window(l, sizeof *x), x + (size_t)done * l->in_size, l->in_size, images, patch, p.rows);
        to.to = l->y16 + (size_t)done * l->out_size;
        mige_half_multiply(mige_half_best(),
                           &(half_product){.rows = images * (int)area,
                                           .cols = out,
                                           .k = patch,
                                           .a = p.rows,
                                           .lda = half_stride(patch),
                                           .panels = p.panels},
                           &to);
    }
    return MIGE_OK;
}

/* Where the inputs lie that tap (a, b) of the filters met, of the rows of some images; NULL outside. */
static void meet(const layer *l, const uint16_t *x, int images, int a, int b, const uint16_t **from) {
    const mige_layer_spec *s = &l->spec;
    for (int n = 0; n < images; n++, x += l->in_size)
        for (int i = 0; i < l->out.h; i++)
            for (int j = 0; j < l->out.w; j++) {
                int h = i * s->stride - s->pad + a, w = j * s->stride - s->pad + b;
                int in = h >= 0 && h < l->in.h && w >= 0 && w < l->in.w;
                *from++ = in ? x + ((size_t)h * (size_t)l->in.w + (size_t)w) * (size_t)l->in.c : NULL;
            }
}

/* Columns [col, col + width) of the filters' gradient, those of values `at` of the rows of patches. */
static void sum_columns(const layer *l, const pool *p, int rows, int width, size_t at, size_t col,
                        const half_target *to) {
    mige_half_pack_rows(width, rows, p->from, at, p->panels);
    mige_half_multiply(mige_half_best(),
                       &(half_product){.rows = l->out.c,
                                       .cols = width,
                                       .k = (size_t)rows,
                                       .a = p->turned,
                                       .lda = half_stride((size_t)rows),
                                       .panels = p->panels,
                                       .first_col = (int)col},
                       to);
}

/* grad [out][patch] += dy^T patches, over the rows of some images. Inputs of whole panels of channels are packed
 * from where they are; of others patches are gathered first. */
static void sum_filters(const layer *l, const pool *p, const uint16_t *x, const uint16_t *dy, int images,
                        float *grad) {
    const int rows = images * l->out.h * l->out.w, c = l->in.c, k = l->spec.kernel;
    const size_t patch = l->fan_in;
    half_target to = {.to = grad, .add = 1, .ld = patch};
    mige_half_turn(rows, l->out.c, dy, (size_t)l->out.c, p->turned, half_stride((size_t)rows));
    if (c % HALF_SIDE == 0) {
        for (int tap = 0; tap < k * k; tap++) {
            meet(l, x, images, tap / k, tap % k, p->from);
            for (int j = 0; j < c; j += HALF_SIDE)
                sum_columns(l, p, rows, HALF_SIDE, (size_t)j, (size_t)(tap * c + j), &to);
        }
        return;
    }
    gather(mige_conv_window(l, sizeof *x), x, l->in_size, images, patch, p->rows);
    for (int r = 0; r < rows; r++) p->from[r] = p->rows + (size_t)r * half_stride(patch);
    for (size_t j = 0; j < patch; j += HALF_SIDE)
        sum_columns(l, p, rows, patch - j < HALF_SIDE ? (int)(patch - j) : HALF_SIDE, j, j, &to);
}

/* The filters' taps of a phase, as panels of B [taps, last first][out] x [in]. */
static void pack_phase(const layer *l, const phase *f, const float *weight, uint32_t *panels) {
    const int out = l->out.c, c = l->in.c, k = l->spec.kernel, s = l->spec.stride;
    const size_t inner = inner_of(l, f), panel = half_panel(inner);
    const size_t used = inner / 2 * HALF_SIDE;
    for (size_t j = 0; j < half_padded((size_t)c) / HALF_SIDE; j++)
        memset(panels + j * panel + used, 0, (panel - used) * sizeof *panels);
    for (int t = 0; t < f->kh * f->kw; t++) {
        int a = f->first + s * (f->kh - 1 - t / f->kw), b = f->start + s * (f->kw - 1 - t % f->kw);
        mige_half_pack_floats(c, out, weight + (size_t)((a * k + b) * c), l->fan_in, t * out, panels, panel);
    }
}

/* Where the pixels of a phase are in some images. */
static void locate(const layer *l, const phase *f, int images, size_t *at) {
    for (int n = 0; n < images; n++)
        for (int i = 0; i < f->rows; i++)
            for (int j = 0; j < f->cols; j++) {
                size_t h = (size_t)(f->h + i * l->spec.stride), w = (size_t)(f->w + j * l->spec.stride);
                *at++ = (size_t)n * l->in_size + (h * (size_t)l->in.w + w) * (size_t)l->in.c;
            }
}

/* `lines` of a phase's lines of pixels, from one on. */
static phase part_of(const layer *l, phase f, int from, int lines) {
    f.h += from * l->spec.stride;
    f.window.top += from;
    f.rows = f.window.rows = lines < f.rows - from ? lines : f.rows - from;
    return f;
}

static void phase_gradient(const mige_net *net, const layer *l, const pool *p, const phase *f, const uint16_t *dy,
                           uint16_t *dx, int n) {
    const size_t k = inner_of(l, f);
    const int chunk = images_of(f->rows * f->cols, k, net->max_batch), lines = lines_of(l, f);
    pack_phase(l, f, net->params + l->param, p->panels);
    for (int done = 0, images; done < n; done += images) {
        images = n - done < chunk ? n - done : chunk;
        for (int from = 0; from < f->rows; from += lines) {
            phase part = part_of(l, *f, from, lines);
            gather(part.window, dy + (size_t)done * l->out_size, l->out_size, images, k, p->rows);
            locate(l, &part, images, p->at);
            half_target to = {.to = dx + (size_t)done * l->in_size, .half = 1, .at = p->at};
            mige_half_multiply(mige_half_best(),
                               &(half_product){.rows = images * part.rows * part.cols,
                                               .cols = l->in.c,
                                               .k = k,
                                               .a = p->rows,
                                               .lda = half_stride(k),
                                               .panels = p->panels},
                               &to);
        }
    }
}

static int conv_backward(mige_net *net, layer *l, const uint16_t *x, void *up, uint16_t *dx, int n,
                         const mige_pass *pass) {
    const uint16_t *dy = up;
    const size_t area = (size_t)l->out.h * (size_t)l->out.w, weights = (size_t)l->out.c * l->fan_in;
    float *grad = net->grads + l->param;
    const int chunk = sum_images(l, net->max_batch);
    pool p;
    (void)pass;
    MIGE_CHECK(net->patches, MIGE_EUSAGE, "layer %s: a blueprint computes nothing", l->name);
    lay_out(l, net->max_batch, (char *)net->patches, &p);
    memset(grad, 0, weights * sizeof *grad);
    if (l->spec.bias) mige_half_bias_grad((size_t)n * area, l->out.c, dy, grad + weights);
    for (int done = 0, images; done < n; done += images) {
        images = n - done < chunk ? n - done : chunk;
        sum_filters(l, &p, x + (size_t)done * l->in_size, dy + (size_t)done * l->out_size, images, grad);
    }
    for (int a = 0; dx && a < l->spec.stride; a++)
        for (int b = 0; b < l->spec.stride; b++) {
            phase f = phase_of(l, a, b);
            phase_gradient(net, l, &p, &f, dy, dx, n);
        }
    return MIGE_OK;
}

const half_ops mige_half_conv_ops = {conv_scratch, conv_forward, conv_backward};
