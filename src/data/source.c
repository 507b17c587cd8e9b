/* Images and labels of whatever types people keep them in. */
#include "data/readers.h"
#include "mige/error.h"
#include "mige/log.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 4096, MAX_CLASSES = 10000, BLOCK = 1 << 20 };

static const char *const images[MIGE_SPLITS] = {"/train/images", "/test/images"};
static const char *const labels[MIGE_SPLITS] = {"/train/labels", "/test/labels"};

static const char *path_of(const mige_source *s) {
    return s->a ? mige_array_file(s->a) : mige_file_path(s->f);
}

static int is_real(const mige_source *s, int split) {
    return s->images[split].type == MIGE_F32 || s->images[split].type == MIGE_F64;
}

static int read_doubles(const mige_source *s, const char *name, int64_t first, int64_t n, double *x) {
    return s->a ? mige_array_read(s->a, first, n, x) : mige_file_read(s->f, name, MIGE_F64, first, n, x);
}

/* ---- sizes */

/* One colour may be left out. Channels last is what most other programs have. */
static int check_image(const char *path, const char *name, mige_layout *x) {
    MIGE_CHECK(x->ndim >= 3, MIGE_EINPUT,
               "%s: %s has %d dimensions; mige wants images [N,C,H,W] or [N,H,W] (reshape it)", path, name,
               x->ndim);
    if (x->ndim == 3 && x->dims[0] == x->dims[1] && x->dims[1] != x->dims[2])
        mige_warn("%s: %s is [%lld,%lld,%lld]: images last? the first is taken to number them", path, name,
                  (long long)x->dims[0], (long long)x->dims[1], (long long)x->dims[2]);
    if (x->ndim == 3) {
        memmove(x->dims + 2, x->dims + 1, 2 * sizeof *x->dims);
        x->dims[1] = 1;
    }
    const int64_t *d = x->dims;
    int colours = d[3] == 1 || d[3] == 3 || d[3] == 4 || (d[3] == 2 && d[1] == d[2]);
    MIGE_CHECK(
        !colours || d[1] <= 4 || d[2] <= 4, MIGE_EINPUT,
        "%s: %s is [N,%lld,%lld,%lld]: channels last? mige wants [N,C,H,W] (transpose it: x.transpose(0,3,1,2))",
        path, name, (long long)x->dims[1], (long long)x->dims[2], (long long)x->dims[3]);
    MIGE_CHECK(d[0] != d[1] || d[1] <= 4 || d[2] > 4, MIGE_EINPUT,
               "%s: %s is [%lld,%lld,%lld,%lld]: images last? mige wants [N,C,H,W] (transpose it: "
               "x.transpose(3,2,0,1))",
               path, name, (long long)d[0], (long long)d[1], (long long)d[2], (long long)d[3]);
    for (int i = 1; i < 4; i++)
        MIGE_CHECK(x->dims[i] <= MAX_SIDE, MIGE_EINPUT, "%s: dimension %d of %s is %lld (at most %d)", path, i,
                   name, (long long)x->dims[i], MAX_SIDE);
    return MIGE_OK;
}

static int check_images(mige_source *s, int split, mige_header *h) {
    mige_layout x;
    const char *path = path_of(s), *name = s->a ? "the array" : images[split];
    if (s->a)
        x = mige_array_layout(s->a);
    else
        MIGE_TRY(mige_file_layout(s->f, images[split], &x));
    s->images[split] = x;
    MIGE_TRY(check_image(path, name, &x));
    MIGE_CHECK(split == MIGE_TEST || x.dims[0] > 0, MIGE_EINPUT, "%s: %s has no images", path, name);
    h->n[split] = x.dims[0];
    if (split == MIGE_TRAIN) {
        h->c = x.dims[1];
        h->h = x.dims[2];
        h->w = x.dims[3];
    }
    MIGE_CHECK(x.dims[1] == h->c && x.dims[2] == h->h && x.dims[3] == h->w, MIGE_EINPUT,
               "%s: the images of /test are of another size than those of /train", path);
    return MIGE_OK;
}

/* [N] or [N,1], whole numbers of any type. */
static int check_labels(const mige_source *s, int split, mige_header *h) {
    mige_layout y;
    const char *path = path_of(s), *name = labels[split];
    h->labelled[split] = s->f && h->n[split] > 0 && mige_file_has(s->f, name);
    if (!h->labelled[split]) return MIGE_OK;
    MIGE_TRY(mige_file_layout(s->f, name, &y));
    MIGE_CHECK(y.ndim == 1 || (y.ndim == 2 && y.dims[1] == 1), MIGE_EINPUT,
               "%s: %s has %d dimensions; mige wants class numbers [N]%s", path, name, y.ndim,
               y.ndim == 2 ? " (one-hot? take argmax)" : "");
    MIGE_CHECK(h->n[split] == y.dims[0], MIGE_EINPUT, "%s: %lld images in %s, %lld labels in %s", path,
               (long long)h->n[split], images[split], (long long)y.dims[0], name);
    return MIGE_OK;
}

/* ---- values */

/* Rows by blocks: handle(ctx, first, items, values) until it returns not 0; what it returned. */
static int each_block(const mige_source *s, const char *name, int64_t n, int64_t each,
                      int (*handle)(void *ctx, int64_t first, int64_t items, const double *x), void *ctx) {
    double *x;
    int64_t rows = BLOCK / each > 0 ? BLOCK / each : 1;
    int err = MIGE_OK;
    MIGE_TRY(mige_alloc((size_t)(rows * each), sizeof *x, &x));
    for (int64_t at = 0; at < n && !err; at += rows) {
        int64_t some = n - at < rows ? n - at : rows;
        err = read_doubles(s, name, at, some, x);
        if (!err) err = handle(ctx, at * each, some * each, x);
    }
    free(x);
    return err;
}

enum { FOUND = -1 }; /* no error: nothing more to see */
enum { DARK = 32 };  /* of 255 */

/* The largest value, or one that is enough (NaN: none is). */
typedef struct {
    double most, enough;
} search;

static int find_most(void *ctx, int64_t first, int64_t items, const double *x) {
    search *k = ctx;
    (void)first;
    for (int64_t i = 0; i < items; i++) k->most = x[i] > k->most ? x[i] : k->most;
    return k->most >= k->enough ? FOUND : MIGE_OK;
}

/* What rounding makes of 1 at most: of 255 times a scale_factor in single precision. */
static const double ONE = 1 + 1e-6;

/* Pixels that go from 0 to 1 are floats; integers of 0 and 1 are taken as they are, and warned of. */
static int find_scale(const mige_source *s, mige_header *h) {
    for (int k = 0; k < MIGE_SPLITS && h->n[k]; k++) {
        search pixel = {0, DARK};
        int err = each_block(s, images[k], h->n[k], h->c * h->h * h->w, find_most, &pixel);
        if (err && err != FOUND) return err;
        MIGE_CHECK(
            !is_real(s, k) || pixel.most <= ONE || pixel.most >= 2, MIGE_EINPUT,
            "%s: the brightest pixel of %s is %.9g: neither within 0 to 1 nor, almost black, meant within 0 to "
            "255 (clip or scale them)",
            path_of(s), images[k], pixel.most);
        h->factor[k] = is_real(s, k) && pixel.most <= ONE ? 255 : 1;
        if (h->factor[k] == 1 && pixel.most > 0 && pixel.most < DARK)
            mige_warn("%s: the pixels of %s are within 0 to %g of 255: almost black%s", path_of(s), images[k],
                      pixel.most, is_real(s, k) ? ", and rounded (scale them to 0 to 1)" : "");
    }
    MIGE_CHECK(!h->n[MIGE_TEST] || h->factor[MIGE_TRAIN] == h->factor[MIGE_TEST] ||
                   is_real(s, MIGE_TRAIN) != is_real(s, MIGE_TEST),
               MIGE_EINPUT, "%s: pixels of one split are within 0 to 1, of the other not (scale them alike)",
               path_of(s));
    if (s->images[MIGE_TRAIN].type != MIGE_U8)
        mige_say("%s: pixels are %s", path_of(s),
                 !is_real(s, MIGE_TRAIN)     ? "integers within 0 to 255"
                 : h->factor[MIGE_TRAIN] > 1 ? "floats within 0 to 1: times 255, and rounded"
                                             : "floats within 0 to 255: rounded");
    return MIGE_OK;
}

int mige_data_count_classes(mige_file *f, int splits, const int64_t *n, int64_t *classes) {
    const mige_source s = {.f = f};
    search label = {-1, NAN};
    for (int k = 0; k < splits; k++)
        if (n[k]) MIGE_TRY(each_block(&s, labels[k], n[k], 1, find_most, &label));
    MIGE_CHECK(label.most < MAX_CLASSES, MIGE_EINPUT, "%s: its labels go up to %.0f, class numbers to %d",
               path_of(&s), label.most, MAX_CLASSES - 1);
    *classes = label.most < 0 ? 0 : (int64_t)label.most + 1;
    return MIGE_OK;
}

/* Without names classes are called by their numbers. */
static int number_classes(const mige_source *s, mige_header *h, char ***names) {
    enum { WIDTH = 12 };
    int64_t n[MIGE_SPLITS];
    for (int k = 0; k < MIGE_SPLITS; k++) n[k] = h->labelled[k] ? h->n[k] : 0;
    MIGE_TRY(mige_data_count_classes(s->f, MIGE_SPLITS, n, &h->classes));
    if (!h->classes) return MIGE_OK;
    MIGE_TRY(mige_convert_names((int)h->classes, WIDTH, names));
    for (int i = 0; i < h->classes; i++) snprintf((*names)[i], WIDTH, "%d", i);
    return MIGE_OK;
}

static int read_classes(const mige_source *s, mige_header *h, char ***names) {
    int classes;
    if (!s->f || !mige_file_has(s->f, "/class_names")) {
        MIGE_TRY(number_classes(s, h, names));
    } else {
        MIGE_TRY(mige_file_read_names(s->f, "/class_names", &classes, names));
        MIGE_CHECK(classes >= 1 && classes <= MAX_CLASSES, MIGE_EINPUT, "%s: /class_names has %d names (1 to %d)",
                   path_of(s), classes, MAX_CLASSES);
        h->classes = classes;
    }
    for (int64_t i = 0; i < h->classes; i++) h->names += (int64_t)strlen((*names)[i]) + 1;
    return MIGE_OK;
}

static int is_array(const char *path) {
    size_t n = strlen(path);
    return n > 4 && !strcmp(path + n - 4, ".npy");
}

int mige_source_open(const char *path, mige_source *s, mige_header *h, char ***names) {
    memset(h, 0, sizeof *h);
    if (is_array(path))
        MIGE_TRY(mige_array_open(path, "", 0, &s->a));
    else
        MIGE_TRY(mige_file_open(path, "mige-data", &s->f));
    MIGE_TRY(check_images(s, MIGE_TRAIN, h));
    if (s->f && mige_file_has(s->f, images[MIGE_TEST])) MIGE_TRY(check_images(s, MIGE_TEST, h));
    for (int k = 0; k < MIGE_SPLITS; k++) MIGE_TRY(check_labels(s, k, h));
    MIGE_TRY(find_scale(s, h));
    return read_classes(s, h, names);
}

void mige_source_close(mige_source *s) {
    mige_file_close(&s->f);
    mige_array_close(&s->a);
}

/* ---- reading */

typedef struct {
    const char *path, *name;
    int64_t each, classes; /* numbers an image */
    double factor;
    int64_t dim, bright; /* images within 0 to 1, but not black; and others */
    double most;         /* of the one being filled */
    uint8_t *x;
    int32_t *y;
} filling;

static int fill_pixels(void *ctx, int64_t first, int64_t items, const double *x) {
    filling *k = ctx;
    for (int64_t i = 0; i < items; i++) {
        double v = x[i] * k->factor;
        k->most = (first + i) % k->each && x[i] <= k->most ? k->most : x[i];
        if ((first + i + 1) % k->each == 0) {
            k->dim += k->most > 0 && k->most <= ONE;
            k->bright += k->most > ONE;
        }
        if (v > 255 && v <= 255 * ONE) v = 255;
        MIGE_CHECK(v >= 0 && v <= 255, MIGE_EINPUT,
                   "%s: %s: image %lld has the pixel %g, not within 0 to 255 nor within 0 to 1 (scale them)",
                   k->path, k->name, (long long)((first + i) / k->each), x[i]);
        k->x[first + i] = (uint8_t)floor(v + 0.5);
    }
    return MIGE_OK;
}

static int fill_labels(void *ctx, int64_t first, int64_t items, const double *x) {
    const filling *k = ctx;
    for (int64_t i = 0; i < items; i++) {
        MIGE_CHECK(x[i] >= 0 && x[i] < (double)k->classes && x[i] == floor(x[i]), MIGE_EINPUT,
                   "%s: %s: record %lld has label %.15g, not within 0 to %lld%s", k->path, k->name,
                   (long long)(first + i), x[i], (long long)k->classes - 1,
                   x[i] == (double)k->classes ? " (labels start at 0)" : "");
        k->y[first + i] = (int32_t)x[i];
    }
    return MIGE_OK;
}

static const double DIM_SHARE = 0.1;

int mige_source_read(const mige_source *s, const mige_header *h, int split, uint8_t *x, int32_t *y) {
    filling k = {path_of(s), images[split], h->c * h->h * h->w, h->classes, (double)h->factor[split], 0, 0, 0, x,
                 y};
    if (!h->n[split]) return MIGE_OK;
    if (s->f && s->images[split].type == MIGE_U8)
        MIGE_TRY(mige_file_read(s->f, images[split], MIGE_U8, 0, h->n[split], x));
    else
        MIGE_TRY(each_block(s, images[split], h->n[split], k.each, fill_pixels, &k));
    if (h->factor[split] == 1 && is_real(s, split) && (double)k.dim > DIM_SHARE * (double)k.bright)
        mige_warn("%s: %lld images of %s are within 0 to 1, %lld within 0 to 255: the former are almost black, and "
                  "rounded (scale them alike)",
                  k.path, (long long)k.dim, k.name, (long long)k.bright);
    k.name = labels[split];
    return h->labelled[split] ? each_block(s, labels[split], h->n[split], 1, fill_labels, &k) : MIGE_OK;
}
