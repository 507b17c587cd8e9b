/* Convolution as a matrix product over patches. The patches of a few images are gathered in a matrix that stays
 * in the second-level cache, patch order kh, kw, c, so that a patch is `kernel` runs of memory. */
#include "base/simd.h"
#include "net.h"
#include <cblas.h>
#include <limits.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20, CHUNK_IMAGES = 16, MAX_KERNEL = 255 };

size_t mige_conv_patch(const layer *l) {
    return (size_t)l->spec.kernel * (size_t)l->spec.kernel * (size_t)l->in.c;
}

static int conv_plan(layer *l) {
    const mige_layer_spec *s = &l->spec;
    MIGE_CHECK(s->out > 0 && s->stride > 0 && s->kernel > 0 && s->kernel <= MAX_KERNEL && s->pad >= 0 &&
                   s->pad < s->kernel,
               MIGE_EUSAGE,
               "layer %s: out %d, kernel %d, stride %d, pad %d (all but pad positive, kernel at most %d, 0 <= pad "
               "< kernel)",
               l->name, s->out, s->kernel, s->stride, s->pad, MAX_KERNEL);
    int64_t h = (int64_t)l->in.h + 2 * (int64_t)s->pad - s->kernel;
    int64_t w = (int64_t)l->in.w + 2 * (int64_t)s->pad - s->kernel;
    MIGE_CHECK(h >= 0 && w >= 0, MIGE_EUSAGE, "layer %s: kernel %d larger than the padded input, %d x %d + 2 * %d",
               l->name, s->kernel, l->in.h, l->in.w, s->pad);
    l->out = (mige_shape){(int)(h / s->stride + 1), (int)(w / s->stride + 1), s->out};
    size_t patch = l->fan_in = mige_conv_patch(l);
    MIGE_CHECK(patch <= INT_MAX, MIGE_EUSAGE, "layer %s: a patch of %zu values (more than BLAS can count)", l->name,
               patch);
    l->num_params = (size_t)s->out * patch + (s->bias ? (size_t)s->out : 0);
    size_t bytes = (size_t)l->out.h * (size_t)l->out.w * patch * sizeof(float), chunk = CHUNK_BYTES / bytes;
    l->chunk = chunk < 1 ? 1 : chunk > CHUNK_IMAGES ? CHUNK_IMAGES : (int)chunk;
    l->winograd = mige_winograd_fits(l);
    if (l->winograd) l->chunk = mige_winograd_chunk(l);
    return MIGE_OK;
}

size_t mige_conv_scratch(const layer *l) {
    if (l->winograd) return mige_winograd_scratch(l);
    return (size_t)l->chunk * (size_t)l->out.h * (size_t)l->out.w * mige_conv_patch(l);
}

int mige_conv_part(const layer *l, int left) {
    int parts = left / l->chunk + (left % l->chunk > 0);
    return left / parts + (left % parts > 0);
}

/* The part [*from, *to) of a patch's `kernel` rows or columns, the first at `at`, that lies inside 0 .. side. */
static void inside(int at, int kernel, int side, int *from, int *to) {
    *from = at < 0 ? (at < -kernel ? kernel : -at) : 0;
    *to = at + kernel > side ? (side > at ? side - at : 0) : kernel;
    if (*to < *from) *to = *from;
}

void mige_window_gather(const mige_window *w, const void *image, void *rows) {
    const size_t pixel = w->pixel, run = (size_t)w->kw * pixel;
    char *to = rows;
    for (int i = 0; i < w->rows; i++)
        for (int j = 0; j < w->cols; j++) {
            int h = w->top + i * w->stride, v = w->left + j * w->stride, left, right;
            inside(v, w->kw, w->w, &left, &right);
            size_t before = (size_t)left * pixel, length = (size_t)(right - left) * pixel;
            for (int a = 0; a < w->kh; a++, to += run) {
                if (h + a < 0 || h + a >= w->h || length == 0) {
                    memset(to, 0, run);
                    continue;
                }
                if (before) memset(to, 0, before);
                memcpy(to + before,
                       (const char *)image + ((size_t)(h + a) * (size_t)w->w + (size_t)(v + left)) * pixel, length);
                if (before + length < run) memset(to + before + length, 0, run - before - length);
            }
            memset(to, 0, w->gap);
            to += w->gap;
        }
}

mige_window mige_conv_window(const layer *l, size_t value) {
    const mige_layer_spec *s = &l->spec;
    return (mige_window){.h = l->in.h,
                         .w = l->in.w,
                         .pixel = (size_t)l->in.c * value,
                         .kh = s->kernel,
                         .kw = s->kernel,
                         .stride = s->stride,
                         .top = -s->pad,
                         .left = -s->pad,
                         .rows = l->out.h,
                         .cols = l->out.w};
}

/* The transpose of mige_window_gather: every patch is added to where it came from. */
MIGE_CLONES static void patches_to_image(const layer *l, const float *restrict rows, float *restrict image) {
    const int k = l->spec.kernel, stride = l->spec.stride, pad = l->spec.pad;
    const size_t c = (size_t)l->in.c, run = (size_t)k * c;
    memset(image, 0, l->in_size * sizeof *image);
    for (int i = 0; i < l->out.h; i++)
        for (int j = 0; j < l->out.w; j++) {
            int h = i * stride - pad, w = j * stride - pad, left, right;
            inside(w, k, l->in.w, &left, &right);
            size_t length = (size_t)(right - left) * c;
            for (int a = 0; a < k; a++, rows += run) {
                if (h + a < 0 || h + a >= l->in.h || length == 0) continue;
                float *restrict to = image + ((size_t)(h + a) * (size_t)l->in.w + (size_t)(w + left)) * c;
                const float *restrict from = rows + (size_t)left * c;
                for (size_t e = 0; e < length; e++) to[e] += from[e];
            }
        }
}

static void gather(const layer *l, const float *x, int images, float *patches) {
    size_t block = (size_t)l->out.h * (size_t)l->out.w * mige_conv_patch(l);
    mige_window w = mige_conv_window(l, sizeof *x);
    for (int i = 0; i < images; i++)
        mige_window_gather(&w, x + (size_t)i * l->in_size, patches + (size_t)i * block);
}

/* y[r][:] = bias for all rows. */
static void bias_fill(size_t rows, int c, const float *bias, float *y) {
    for (size_t r = 0; r < rows; r++) memcpy(y + r * (size_t)c, bias, (size_t)c * sizeof *y);
}

static int conv_forward(mige_net *net, layer *l, const float *x, int n, const mige_pass *pass) {
    const float *weight = net->params + l->param;
    const int out = l->out.c, area = l->out.h * l->out.w, patch = (int)mige_conv_patch(l);
    (void)pass;
    if (l->winograd) {
        mige_winograd_forward(net, l, x, n);
        return MIGE_OK;
    }
    for (int done = 0, images; done < n; done += images) {
        images = mige_conv_part(l, n - done);
        float *y = l->y + (size_t)done * l->out_size;
        gather(l, x + (size_t)done * l->in_size, images, net->patches);
        if (l->spec.bias) bias_fill((size_t)images * (size_t)area, out, weight + (size_t)out * (size_t)patch, y);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, images * area, out, patch, 1, net->patches, patch,
                    weight, patch, (float)(l->spec.bias != 0), y, out);
    }
    return MIGE_OK;
}

static int conv_backward(mige_net *net, layer *l, const float *x, float *dy, float *dx, int n,
                         const mige_pass *pass) {
    const float *weight = net->params + l->param;
    float *grad = net->grads + l->param;
    const int out = l->out.c, area = l->out.h * l->out.w, patch = (int)mige_conv_patch(l);
    const size_t weights = (size_t)out * (size_t)patch, block = (size_t)area * (size_t)patch;
    (void)pass;
    if (l->spec.bias) mige_bias_grad((size_t)n * (size_t)area, out, dy, grad + weights);
    if (l->winograd) {
        mige_winograd_backward(net, l, x, dy, dx, n);
        return MIGE_OK;
    }
    memset(grad, 0, weights * sizeof *grad);
    for (int done = 0, images; done < n; done += images) {
        images = mige_conv_part(l, n - done);
        const float *d = dy + (size_t)done * l->out_size;
        /* Gathered again: cheaper than keeping every patch of the batch, which would not stay in cache. */
        gather(l, x + (size_t)done * l->in_size, images, net->patches);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, patch, images * area, 1, d, out, net->patches,
                    patch, 1, grad, patch);
        if (!dx) continue;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, images * area, patch, out, 1, d, out, weight, patch,
                    0, net->patches, patch);
        for (int i = 0; i < images; i++)
            patches_to_image(l, net->patches + (size_t)i * block, dx + (size_t)(done + i) * l->in_size);
    }
    return MIGE_OK;
}

const layer_ops mige_conv_ops = {0, conv_plan, conv_forward, conv_backward, &mige_half_conv_ops};
