/* Convolutions of kernel 4, stride 2, pad 1 with 9 products where the direct algorithm has 16 (Winograd 1980;
 * Lavin, Gray 2016). Over blocks of 2 x 2 pixels of the padded image, vectors of 4c values, such a convolution has
 * kernel 2 and stride 1. In one dimension, two outputs of it from three blocks x0, x1, x2 and a filter g0, g1 are
 *   y0 = m0 + m1, y1 = m1 + m2 with m0 = (x0 - x1) g0, m1 = x1 (g0 + g1), m2 = (x2 - x1) g1;
 * in two, nested, a tile of 2 x 2 outputs takes 3 x 3 products. Each of the nine is, over the tiles of some images,
 * a GEMM of [tiles][4c] and [out][4c], for which each of nine planes holds its term of every tile or filter.
 * Backward is the transpose of every step. */
#include "base/simd.h"
#include "net.h"
#include <cblas.h>
#include <string.h>

enum {
    TERMS = 9,
    SIDE = 6,          /* pixels that a tile depends on: SIDE x SIDE */
    MIN_CHANNELS = 16, /* with fewer the transforms cost more than they save */
    CHUNK_TILES = 128, /* rows of a GEMM: enough to pay for the packing of the filters, in cache with all terms */
    STAGGER = 16       /* floats between planes: at a power of two, all nine would want the same lines of cache */
};
static const size_t OUTSIDE = SIZE_MAX;

/* The pieces of net->patches, for chunks of l->chunk images; x, m and g are planes. */
typedef struct {
    float *x, *m, *g, *dg; /* blocks [tiles][4c], products [tiles][out], filters [out][4c] and their gradient */
    size_t x_plane, m_plane, g_plane;
    float *zero, *sink; /* [2c or out]: what a pixel outside reads, and where its gradient goes */
} pool;

int mige_winograd_fits(const layer *l) {
    const mige_layer_spec *s = &l->spec;
    return s->kernel == 4 && s->stride == 2 && s->pad == 1 && l->in.c >= MIN_CHANNELS && l->out.h % 2 == 0 &&
           l->out.w % 2 == 0;
}

static size_t tiles_of(const layer *l) {
    return (size_t)(l->out.h / 2) * (size_t)(l->out.w / 2);
}

int mige_winograd_chunk(const layer *l) {
    size_t images = CHUNK_TILES / tiles_of(l);
    return images < 1 ? 1 : (int)images;
}

static float *take(float *base, size_t *used, size_t floats) {
    float *piece = base ? base + *used : NULL;
    *used += (floats + STAGGER - 1) / STAGGER * STAGGER;
    return piece;
}

/* The pool at `base` (NULL: only counted); returns its floats. */
static size_t lay_out(const layer *l, float *base, pool *p) {
    const size_t tiles = (size_t)l->chunk * tiles_of(l), block = 4 * (size_t)l->in.c, out = (size_t)l->spec.out;
    const size_t edge = block / 2 > out ? block / 2 : out;
    size_t used = 0;
    p->x_plane = tiles * block + STAGGER;
    p->m_plane = tiles * out + STAGGER;
    p->g_plane = out * block + STAGGER;
    p->x = take(base, &used, TERMS * p->x_plane);
    p->m = take(base, &used, TERMS * p->m_plane);
    p->g = take(base, &used, TERMS * p->g_plane);
    p->dg = take(base, &used, TERMS * p->g_plane);
    p->zero = take(base, &used, edge);
    p->sink = take(base, &used, edge);
    if (base) memset(p->zero, 0, edge * sizeof *p->zero);
    return used;
}

__attribute__((nonnull)) static pool split(const layer *l, float *base) {
    pool p;
    lay_out(l, base, &p);
    return p;
}

size_t mige_winograd_scratch(const layer *l) {
    pool p;
    return lay_out(l, NULL, &p);
}

/* From 2 x 2 vectors [n], `row` and `column` apart, to the terms of the nine planes: of a filter, or the transpose
 * of contract. */
MIGE_CLONES static void expand(size_t n, const float *restrict in, size_t row, size_t column, float *restrict to,
                               size_t plane) {
    const float *restrict a = in, *restrict b = in + column, *restrict c = in + row, *restrict d = c + column;
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float top = a[i] + b[i], bottom = c[i] + d[i];
        to[i] = a[i];
        to[i + plane] = top;
        to[i + 2 * plane] = b[i];
        to[i + 3 * plane] = a[i] + c[i];
        to[i + 4 * plane] = top + bottom;
        to[i + 5 * plane] = b[i] + d[i];
        to[i + 6 * plane] = c[i];
        to[i + 7 * plane] = bottom;
        to[i + 8 * plane] = d[i];
    }
}

/* From the products of the nine planes, and a bias, to 2 x 2 outputs; or the transpose of expand. */
MIGE_CLONES static void contract(size_t n, const float *restrict m, size_t plane, const float *restrict bias,
                                 float *restrict out, size_t row, size_t column) {
    float *restrict a = out, *restrict b = out + column, *restrict c = out + row, *restrict d = c + column;
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float up = m[i + plane] + m[i + 4 * plane], down = m[i + 7 * plane] + m[i + 4 * plane];
        float left = m[i + 3 * plane] + bias[i], right = m[i + 5 * plane] + bias[i];
        a[i] = up + left + m[i];
        b[i] = up + right + m[i + 2 * plane];
        c[i] = down + left + m[i + 6 * plane];
        d[i] = down + right + m[i + 8 * plane];
    }
}

/* Where in an image the pixels of the tile at (i, j) are, or OUTSIDE; sorted by place in the block, then block: the
 * 3 x 3 blocks' upper left pixels, upper right, lower left, lower right. */
static void locate(const layer *l, int i, int j, size_t at[4][TERMS]) {
    for (int a = 0; a < SIDE; a++)
        for (int b = 0; b < SIDE; b++) {
            int h = 4 * i + a - 1, w = 4 * j + b - 1, in = h >= 0 && h < l->in.h && w >= 0 && w < l->in.w;
            at[2 * (a % 2) + b % 2][3 * (a / 2) + b / 2] =
                in ? ((size_t)h * (size_t)l->in.w + (size_t)w) * (size_t)l->in.c : OUTSIDE;
        }
}

/* The terms of one tile's blocks, [4c] in each plane. */
MIGE_CLONES static void input_terms(size_t c, const float *image, const float *zero, size_t at[4][TERMS],
                                    float *restrict to, size_t plane) {
    for (int part = 0; part < 4; part++, to += c) {
        const float *x[TERMS];
        for (int k = 0; k < TERMS; k++) x[k] = at[part][k] == OUTSIDE ? zero : image + at[part][k];
        const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *x4 = x[4], *x5 = x[5], *x6 = x[6], *x7 = x[7],
                    *x8 = x[8];
#pragma omp simd
        for (size_t i = 0; i < c; i++) {
            float centre = x4[i], north = x1[i] - centre, west = x3[i] - centre, east = x5[i] - centre;
            float south = x7[i] - centre;
            to[i] = x0[i] - x3[i] - north;
            to[i + plane] = north;
            to[i + 2 * plane] = x2[i] - x5[i] - north;
            to[i + 3 * plane] = west;
            to[i + 4 * plane] = centre;
            to[i + 5 * plane] = east;
            to[i + 6 * plane] = x6[i] - x3[i] - south;
            to[i + 7 * plane] = south;
            to[i + 8 * plane] = x8[i] - x5[i] - south;
        }
    }
}

/* The transpose of input_terms, added to the image. No restrict: pixels outside share one sink. */
MIGE_CLONES static void input_gradient(size_t c, const float *from, size_t plane, size_t at[4][TERMS], float *image,
                                       float *sink) {
    for (int part = 0; part < 4; part++, from += c) {
        float *x[TERMS];
        for (int k = 0; k < TERMS; k++) x[k] = at[part][k] == OUTSIDE ? sink : image + at[part][k];
        float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *x4 = x[4], *x5 = x[5], *x6 = x[6], *x7 = x[7],
              *x8 = x[8];
#pragma omp simd
        for (size_t i = 0; i < c; i++) {
            float nw = from[i], ne = from[i + 2 * plane], sw = from[i + 6 * plane], se = from[i + 8 * plane];
            float north = from[i + plane] - nw - ne, south = from[i + 7 * plane] - sw - se;
            float west = from[i + 3 * plane], east = from[i + 5 * plane];
            x0[i] += nw;
            x1[i] += north;
            x2[i] += ne;
            x3[i] += west - nw - sw;
            x4[i] += from[i + 4 * plane] - west - east - north - south;
            x5[i] += east - ne - se;
            x6[i] += sw;
            x7[i] += south;
            x8[i] += se;
        }
    }
}

/* x of some images -> terms, rows of planes in the order of images and tiles. */
static void images_to_terms(const layer *l, const float *x, int images, const pool *p) {
    const size_t c = (size_t)l->in.c;
    float *to = p->x;
    size_t at[4][TERMS];
    for (int n = 0; n < images; n++, x += l->in_size)
        for (int i = 0; i < l->out.h / 2; i++)
            for (int j = 0; j < l->out.w / 2; j++, to += 4 * c) {
                locate(l, i, j, at);
                input_terms(c, x, p->zero, at, to, p->x_plane);
            }
}

static void terms_to_images(const layer *l, const pool *p, int images, float *dx) {
    const size_t c = (size_t)l->in.c;
    const float *from = p->x;
    size_t at[4][TERMS];
    memset(dx, 0, (size_t)images * l->in_size * sizeof *dx);
    memset(p->sink, 0, c * sizeof *p->sink);
    for (int n = 0; n < images; n++, dx += l->in_size)
        for (int i = 0; i < l->out.h / 2; i++)
            for (int j = 0; j < l->out.w / 2; j++, from += 4 * c) {
                locate(l, i, j, at);
                input_gradient(c, from, p->x_plane, at, dx, p->sink);
            }
}

/* Offset of tile t's upper left output in the outputs of the images; a row of outputs further down is `row` on. */
static size_t output_at(const layer *l, size_t t, size_t *row) {
    size_t wide = (size_t)l->out.w / 2, out = (size_t)l->out.c;
    *row = (size_t)l->out.w * out;
    return t / wide * 2 * *row + t % wide * 2 * out;
}

static void products_to_outputs(const layer *l, const pool *p, size_t tiles, const float *bias, float *y) {
    const size_t out = (size_t)l->out.c;
    for (size_t t = 0, row; t < tiles; t++) {
        float *to = y + output_at(l, t, &row);
        contract(out, p->m + t * out, p->m_plane, bias, to, row, out);
    }
}

static void outputs_to_products(const layer *l, const float *dy, size_t tiles, const pool *p) {
    const size_t out = (size_t)l->out.c;
    for (size_t t = 0, row; t < tiles; t++) {
        const float *from = dy + output_at(l, t, &row);
        expand(out, from, row, out, p->m + t * out, p->m_plane);
    }
}

/* Filters are [out][4][4][c]; a block's upper pixels, 2c values, are one run of them, and so are the lower. */
static void filters_to_terms(const layer *l, const float *weight, const pool *p) {
    const size_t c = (size_t)l->in.c, runs = 2 * (size_t)l->out.c;
    for (size_t r = 0; r < runs; r++)
        expand(2 * c, weight + r / 2 * 16 * c + r % 2 * 4 * c, 8 * c, 2 * c, p->g + r * 2 * c, p->g_plane);
}

static void terms_to_filters(const layer *l, const pool *p, float *grad) {
    const size_t c = (size_t)l->in.c, runs = 2 * (size_t)l->out.c;
    for (size_t r = 0; r < runs; r++)
        contract(2 * c, p->dg + r * 2 * c, p->g_plane, p->zero, grad + r / 2 * 16 * c + r % 2 * 4 * c, 8 * c,
                 2 * c);
}

void mige_winograd_forward(mige_net *net, const layer *l, const float *x, int n) {
    const float *weight = net->params + l->param;
    const int block = 4 * l->in.c, out = l->out.c;
    const pool p = split(l, net->patches);
    const float *bias = l->spec.bias ? weight + (size_t)out * mige_conv_patch(l) : p.zero;
    if (n > 0) filters_to_terms(l, weight, &p);
    for (int done = 0, images; done < n; done += images) {
        images = mige_conv_part(l, n - done);
        int tiles = images * (int)tiles_of(l);
        images_to_terms(l, x + (size_t)done * l->in_size, images, &p);
        for (size_t k = 0; k < TERMS; k++)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tiles, out, block, 1, p.x + k * p.x_plane, block,
                        p.g + k * p.g_plane, block, 0, p.m + k * p.m_plane, out);
        products_to_outputs(l, &p, (size_t)tiles, bias, l->y + (size_t)done * l->out_size);
    }
}

/* The gradients of the filters' terms gather over the images; the blocks' terms, once used, give way to their own.
 */
void mige_winograd_backward(mige_net *net, const layer *l, const float *x, const float *dy, float *dx, int n) {
    const int block = 4 * l->in.c, out = l->out.c;
    const pool p = split(l, net->patches);
    if (n > 0 && dx) filters_to_terms(l, net->params + l->param, &p);
    for (int done = 0, images; done < n; done += images) {
        images = mige_conv_part(l, n - done);
        int tiles = images * (int)tiles_of(l);
        images_to_terms(l, x + (size_t)done * l->in_size, images, &p);
        outputs_to_products(l, dy + (size_t)done * l->out_size, (size_t)tiles, &p);
        for (size_t k = 0; k < TERMS; k++) {
            float *xk = p.x + k * p.x_plane, *mk = p.m + k * p.m_plane;
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, block, tiles, 1, mk, out, xk, block,
                        (float)(done > 0), p.dg + k * p.g_plane, block);
            if (dx)
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, tiles, block, out, 1, mk, out,
                            p.g + k * p.g_plane, block, 0, xk, block);
        }
        if (dx) terms_to_images(l, &p, images, dx + (size_t)done * l->in_size);
    }
    if (n == 0) memset(p.dg, 0, TERMS * p.g_plane * sizeof *p.dg);
    terms_to_filters(l, &p, net->grads + l->param);
}
