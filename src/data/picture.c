/* Pictures as other programs keep them. The libraries leave by longjmp: what they leave behind is in a struct. */
#include "mige/data.h"
#include "mige/error.h"
#include "mige/io.h"
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h> /* wants stdio.h before it */

enum { MOST_SIDE = 1 << 14, MOST_PIXELS = 1 << 27, MOST_SCANS = 200 };

typedef struct {
    struct jpeg_error_mgr manager; /* first: the library gives it back */
    jmp_buf out;
    char why[JMSG_LENGTH_MAX + 8];
    const uint8_t *bytes;
    size_t size, at;
    uint8_t *pixels; /* [h][w][channels] */
    uint8_t **rows;
    int h, w, channels, deep;
} decoder;

/* Where it is too large, or memory is short: not 0. */
static int take_room(decoder *d) {
    size_t row = (size_t)d->w * (size_t)d->channels;
    if (d->h < 1 || d->w < 1 || d->h > MOST_SIDE || d->w > MOST_SIDE || (size_t)d->h * (size_t)d->w > MOST_PIXELS)
        return snprintf(d->why, sizeof d->why, "%d x %d pixels are too many", d->h, d->w);
    if (mige_alloc((size_t)d->h, row, &d->pixels) || mige_alloc((size_t)d->h, sizeof *d->rows, &d->rows))
        return snprintf(d->why, sizeof d->why, "no memory for %d x %d pixels", d->h, d->w);
    for (int i = 0; i < d->h; i++) d->rows[i] = d->pixels + (size_t)i * row;
    return 0;
}

/* ---- PNG */

static void png_fail(png_structp png, png_const_charp why) {
    decoder *d = png_get_error_ptr(png);
    snprintf(d->why, sizeof d->why, "%s", why);
    longjmp(d->out, 1);
}

static void png_hush(png_structp png, png_const_charp why) {
    (void)png;
    (void)why;
}

static void png_feed(png_structp png, png_bytep to, size_t n) {
    decoder *d = png_get_io_ptr(png);
    if (n > d->size - d->at) png_error(png, "is cut");
    memcpy(to, d->bytes + d->at, n);
    d->at += n;
}

/* As 8 bits of grey or of red, green and blue, and what is transparent behind them. */
static void png_decode(decoder *d, png_structp png, png_infop info) {
    png_set_user_limits(png, MOST_SIDE, MOST_SIDE);
    png_set_read_fn(png, d, png_feed);
    png_read_info(png, info);
    d->deep = png_get_bit_depth(png, info) == 16;
    png_set_expand(png);
    png_set_scale_16(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    d->w = (int)png_get_image_width(png, info);
    d->h = (int)png_get_image_height(png, info);
    d->channels = png_get_channels(png, info);
    if (take_room(d)) longjmp(d->out, 1);
    png_read_image(png, d->rows);
    png_read_end(png, NULL);
}

static int read_png(decoder *d) {
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, png_fail, png_hush);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    int bad = !info;
    if (!bad && !(bad = setjmp(d->out))) png_decode(d, png, info);
    png_destroy_read_struct(&png, &info, NULL);
    return bad;
}

/* ---- JPEG */

static void jpeg_fail(j_common_ptr jpeg) {
    decoder *d = (decoder *)jpeg->err;
    jpeg->err->format_message(jpeg, d->why);
    longjmp(d->out, 1);
}

/* A warning is damage, and pixels after it are made up. */
static void jpeg_warn(j_common_ptr jpeg, int level) {
    if (level < 0) jpeg_fail(jpeg);
}

static void jpeg_watch(j_common_ptr jpeg) {
    decoder *d = (decoder *)jpeg->err;
    if (((j_decompress_ptr)jpeg)->input_scan_number <= MOST_SCANS) return;
    snprintf(d->why, sizeof d->why, "has too many scans");
    longjmp(d->out, 1);
}

static void jpeg_decode(decoder *d, struct jpeg_decompress_struct *jpeg, struct jpeg_progress_mgr *watch) {
    jpeg_create_decompress(jpeg);
    watch->progress_monitor = jpeg_watch;
    jpeg->progress = watch;
    jpeg_mem_src(jpeg, d->bytes, d->size);
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK) {
        snprintf(d->why, sizeof d->why, "is of CMYK, the colours of printing");
        longjmp(d->out, 1);
    }
    jpeg->out_color_space = jpeg->jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    d->w = (int)jpeg->image_width;
    d->h = (int)jpeg->image_height;
    d->channels = jpeg->out_color_space == JCS_GRAYSCALE ? 1 : 3;
    if (take_room(d)) longjmp(d->out, 1);
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JDIMENSION at = jpeg->output_scanline;
        jpeg_read_scanlines(jpeg, d->rows + at, jpeg->output_height - at);
    }
    jpeg_finish_decompress(jpeg);
}

static int read_jpeg(decoder *d) {
    struct jpeg_decompress_struct jpeg = {.err = jpeg_std_error(&d->manager)};
    struct jpeg_progress_mgr watch = {0};
    d->manager.error_exit = jpeg_fail;
    d->manager.emit_message = jpeg_warn;
    int bad = setjmp(d->out);
    if (!bad) jpeg_decode(d, &jpeg, &watch);
    jpeg_destroy_decompress(&jpeg);
    return bad;
}

/* ---- both */

/* Without what is behind grey or the three colours; that is to be opaque. */
static int drop_alpha(decoder *d) {
    int c = d->channels, keep = c == 2 ? 1 : c == 4 ? 3 : c;
    size_t n = (size_t)d->h * (size_t)d->w;
    if (keep == c) return 0;
    for (size_t i = 0; i < n; i++) {
        if (d->pixels[i * (size_t)c + (size_t)keep] != 255)
            return snprintf(d->why, sizeof d->why, "is partly transparent");
        memmove(d->pixels + i * (size_t)keep, d->pixels + i * (size_t)c, (size_t)keep);
    }
    d->channels = keep;
    return 0;
}

int mige_picture_read(const uint8_t *bytes, size_t size, mige_picture *p) {
    decoder *d;
    const char *kind = mige_bytes_kind(bytes, size);
    int png = kind && strncmp(kind, "a PNG", 5) == 0, jpeg = kind && strncmp(kind, "a JPEG", 6) == 0;
    memset(p, 0, sizeof *p);
    MIGE_CHECK(png || jpeg, MIGE_EINPUT, "is neither PNG nor JPEG%s%s", kind ? " but " : "", kind ? kind : "");
    MIGE_TRY(mige_alloc(1, sizeof *d, &d));
    d->bytes = bytes;
    d->size = size;
    int bad = png ? read_png(d) : read_jpeg(d), err = MIGE_OK;
    if (!bad) bad = drop_alpha(d);
    if (bad) err = mige_raise(MIGE_EINPUT, "%s", *d->why ? d->why : "cannot be read");
    *p = (mige_picture){d->channels, d->h, d->w, d->deep, d->pixels};
    free(d->rows);
    free(d);
    return err;
}

/* Weights [out][taps] of the inputs from first[i] on. */
static void find_weights(int in, int out, int taps, int *first, float *weight) {
    double ratio = (double)in / out, reach = fmax(ratio, 1);
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * ratio, sum = 0;
        float *w = weight + (size_t)i * (size_t)taps;
        first[i] = (int)fmax(floor(centre - reach), 0);
        for (int k = 0; k < taps; k++) {
            double x = first[i] + k < in ? fmax(1 - fabs((first[i] + k + 0.5 - centre) / reach), 0) : 0;
            w[k] = (float)x;
            sum += x;
        }
        for (int k = 0; k < taps; k++) w[k] = (float)((double)w[k] / sum);
    }
}

/* y [lines][out][each] = x [lines][in][each] along the middle one. */
static int resample(int lines, int in, int out, int each, const float *x, float *y) {
    int taps = 2 * (int)ceil(fmax((double)in / out, 1)) + 1, *first;
    float *weight;
    mige_pool pool = {0};
    int err = MIGE_TAKE(&pool, MIGE_BLOCK(first, out), MIGE_BLOCK(weight, (size_t)out * (size_t)taps));
    if (!err) find_weights(in, out, taps, first, weight);
    for (int l = 0; !err && l < lines; l++)
        for (int i = 0; i < out; i++) {
            float *to = y + ((size_t)l * (size_t)out + (size_t)i) * (size_t)each;
            for (int k = 0; k < taps && first[i] + k < in; k++) {
                const float w = weight[(size_t)i * (size_t)taps + (size_t)k],
                            *from = x + ((size_t)l * (size_t)in + (size_t)(first[i] + k)) * (size_t)each;
                for (int c = 0; c < each; c++) to[c] += w * from[c];
            }
        }
    mige_pool_free(&pool);
    return err;
}

int mige_picture_resize(mige_picture *p, int h, int w) {
    size_t c = (size_t)p->c, old = (size_t)p->h * (size_t)p->w * c, new = (size_t)h *(size_t)w *c;
    float *x, *wide, *y;
    uint8_t *pixels;
    mige_pool pool = {0};
    if (h == p->h && w == p->w) return MIGE_OK;
    int err =
        MIGE_TAKE(&pool, MIGE_BLOCK(x, old), MIGE_BLOCK(wide, (size_t)p->h * (size_t)w * c), MIGE_BLOCK(y, new));
    for (size_t i = 0; !err && i < old; i++) x[i] = p->pixels[i];
    if (!err) err = resample(p->h, p->w, w, p->c, x, wide);
    if (!err) err = resample(1, p->h, h, w * p->c, wide, y);
    if (!err) err = mige_alloc(new, 1, &pixels);
    if (!err) {
        for (size_t i = 0; i < new; i++) pixels[i] = (uint8_t)(fminf(fmaxf(y[i], 0), 255) + 0.5F);
        free(p->pixels);
        *p = (mige_picture){p->c, h, w, p->deep, pixels};
    }
    mige_pool_free(&pool);
    return err;
}
