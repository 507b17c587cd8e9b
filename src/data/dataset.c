#include "mige/data.h"
#include "mige/error.h"
#include "mige/io.h"
#include "mige/rng.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 4096, MAX_CLASSES = 10000, ALIGN = 64 };

/* What every rank needs to know of the file before it is read. */
typedef struct {
    int64_t train, test, c, h, w, classes, names; /* names: bytes of the block of names */
} header;

static int check_split(const mige_file *f, const char *images, const char *labels, header *h, int64_t *n) {
    mige_layout x, y;
    const char *path = mige_file_path(f);
    MIGE_TRY(mige_file_layout(f, images, &x));
    MIGE_TRY(mige_file_layout(f, labels, &y));
    MIGE_CHECK(x.type == MIGE_U8 && x.ndim == 4, MIGE_EINPUT, "%s: %s is not uint8 [N, C, H, W]", path, images);
    MIGE_CHECK((y.type == MIGE_I32 || y.type == MIGE_U8 || y.type == MIGE_I64) && y.ndim == 1, MIGE_EINPUT,
               "%s: %s is not int32 [N]", path, labels);
    MIGE_CHECK(x.dims[0] > 0, MIGE_EINPUT, "%s: %s has no images", path, images);
    MIGE_CHECK(x.dims[0] == y.dims[0], MIGE_EINPUT, "%s: %lld images in %s, %lld labels in %s", path,
               (long long)x.dims[0], images, (long long)y.dims[0], labels);
    for (int i = 1; i < 4; i++)
        MIGE_CHECK(x.dims[i] <= MAX_SIDE, MIGE_EINPUT, "%s: dimension %d of %s is %lld (at most %d)", path, i,
                   images, (long long)x.dims[i], MAX_SIDE);
    if (h->c == 0) {
        h->c = x.dims[1];
        h->h = x.dims[2];
        h->w = x.dims[3];
    }
    MIGE_CHECK(x.dims[1] == h->c && x.dims[2] == h->h && x.dims[3] == h->w, MIGE_EINPUT,
               "%s: the images of /test are of another size than those of /train", path);
    *n = x.dims[0];
    return MIGE_OK;
}

static int read_header(const mige_file *f, header *h, char ***names) {
    int classes;
    memset(h, 0, sizeof *h);
    MIGE_TRY(check_split(f, "/train/images", "/train/labels", h, &h->train));
    MIGE_TRY(check_split(f, "/test/images", "/test/labels", h, &h->test));
    MIGE_TRY(mige_file_read_names(f, "/class_names", &classes, names));
    MIGE_CHECK(classes >= 1 && classes <= MAX_CLASSES, MIGE_EINPUT, "%s: /class_names has %d names (1 to %d)",
               mige_file_path(f), classes, MAX_CLASSES);
    h->classes = classes;
    for (int i = 0; i < classes; i++) h->names += (int64_t)strlen((*names)[i]) + 1;
    return MIGE_OK;
}

/* Rank 0's names to everyone: the strings one after the other, each with its end. */
static int share_names(const mige_comm *c, const header *h, char **mine, char ***names) {
    size_t bytes = (size_t)h->names;
    int err = mige_alloc((size_t)h->classes * sizeof(char *) + bytes, 1, names);
    MIGE_TRY(mige_agree(c, err));
    char *text = (char *)(*names + h->classes), *to = text;
    for (int64_t i = 0; c->rank == 0 && mine && i < h->classes; i++) to = stpcpy(to, mine[i]) + 1;
    MIGE_TRY(mige_bcast(c, 0, text, bytes));
    for (int64_t i = 0; i < h->classes; i++) {
        (*names)[i] = text;
        text += strlen(text) + 1;
    }
    return MIGE_OK;
}

static size_t padded(size_t bytes) {
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* Where the four arrays start in the block, in the order train images, labels, test images, labels; returns its
 * size. */
static size_t lay_out(const header *h, size_t start[4]) {
    size_t at = 0, image = (size_t)(h->c * h->h * h->w);
    for (int i = 0; i < 4; i++) {
        size_t n = (size_t)(i < 2 ? h->train : h->test);
        start[i] = at;
        at += padded(n * (i % 2 ? sizeof(int32_t) : image));
    }
    return at;
}

static void set_splits(const header *h, const size_t start[4], mige_data *d) {
    const char *base = d->memory.base;
    d->train =
        (mige_split){h->train, (const uint8_t *)base + start[0], (const int32_t *)(const void *)(base + start[1])};
    d->test =
        (mige_split){h->test, (const uint8_t *)base + start[2], (const int32_t *)(const void *)(base + start[3])};
    d->c = (int)h->c;
    d->h = (int)h->h;
    d->w = (int)h->w;
    d->classes = (int)h->classes;
}

static int fill_split(const mige_file *f, const char *images, const char *labels, const mige_split *s,
                      int classes) {
    /* Shared memory that is constant to everyone once it is full. */
    uint8_t *x = (uint8_t *)(uintptr_t)s->images;
    int32_t *y = (int32_t *)(uintptr_t)s->labels;
    MIGE_TRY(mige_file_read(f, images, MIGE_U8, 0, s->n, x));
    MIGE_TRY(mige_file_read(f, labels, MIGE_I32, 0, s->n, y));
    for (int64_t i = 0; i < s->n; i++)
        MIGE_CHECK(y[i] >= 0 && y[i] < classes, MIGE_EINPUT, "%s: %s: record %lld has label %d, not within 0 to %d",
                   mige_file_path(f), labels, (long long)i, y[i], classes - 1);
    return MIGE_OK;
}

static int fill(const mige_file *f, const mige_data *d) {
    MIGE_TRY(fill_split(f, "/train/images", "/train/labels", &d->train, d->classes));
    return fill_split(f, "/test/images", "/test/labels", &d->test, d->classes);
}

/* On one rank of each node. */
static int open_here(const char *path, mige_file **f, header *h, char ***names) {
    MIGE_TRY(mige_file_open(path, "mige-data", f));
    return read_header(*f, h, names);
}

static int open_all(const mige_comm *c, const char *path, mige_file **f, char ***mine, mige_data *d) {
    header h = {0}, first;
    size_t start[4];
    int reader = c->node_rank == 0;
    MIGE_TRY(mige_agree(c, reader ? open_here(path, f, &h, mine) : MIGE_OK));
    first = h;
    MIGE_TRY(mige_bcast(c, 0, &first, sizeof first));
    int err = MIGE_OK;
    if (reader && memcmp(&first, &h, sizeof h) != 0)
        err = mige_raise(MIGE_EINPUT, "%s: is not the same file on every node (put it on a shared file system)",
                         path);
    MIGE_TRY(mige_agree(c, err));
    MIGE_TRY(share_names(c, &first, *mine, &d->class_names));
    MIGE_TRY(mige_shared_create(c, lay_out(&first, start), &d->memory));
    set_splits(&first, start, d);
    MIGE_TRY(mige_agree(c, reader ? fill(*f, d) : MIGE_OK));
    return mige_shared_sync(c, &d->memory);
}

int mige_data_open(const mige_comm *c, const char *path, mige_data *d) {
    mige_file *f = NULL;
    char **names = NULL;
    memset(d, 0, sizeof *d);
    int err = open_all(c, path, &f, &names, d);
    mige_file_close(&f);
    free(names);
    if (err) mige_data_close(d);
    return err;
}

void mige_data_close(mige_data *d) {
    if (d->memory.base) mige_shared_destroy(&d->memory);
    free(d->class_names);
    memset(d, 0, sizeof *d);
}

/* The last n of a permutation go behind the others. */
static int move_behind(mige_split *s, int64_t n, size_t image) {
    uint8_t *x = (uint8_t *)(uintptr_t)s->images, *images, *out;
    int32_t *y = (int32_t *)(uintptr_t)s->labels, *labels;
    int64_t *order, kept = 0, held = 0;
    mige_pool pool = {0};
    int err = MIGE_TAKE(&pool, MIGE_BLOCK(order, s->n), MIGE_BLOCK(out, s->n), MIGE_BLOCK(labels, n),
                        MIGE_BLOCK(images, (size_t)n * image));
    if (!err) mige_rng_permutation(0, MIGE_RNG_SUBSET, 1, s->n, order);
    for (int64_t i = s->n - n; !err && i < s->n; i++) out[order[i]] = 1;
    for (int64_t i = 0; !err && i < s->n; i++) {
        int64_t *to = out[i] ? &held : &kept;
        memmove((out[i] ? images : x) + (size_t)*to * image, x + (size_t)i * image, image);
        (out[i] ? labels : y)[(*to)++] = y[i];
    }
    if (!err) {
        memcpy(x + (size_t)kept * image, images, (size_t)n * image);
        memcpy(y + kept, labels, (size_t)n * sizeof *y);
    }
    mige_pool_free(&pool);
    return err;
}

int mige_data_hold_out(const mige_comm *c, int64_t n, mige_data *d) {
    size_t image = (size_t)d->c * (size_t)d->h * (size_t)d->w;
    if (n == 0) return MIGE_OK;
    MIGE_CHECK(n < d->train.n, MIGE_EUSAGE,
               "validation: %lld images are not fewer than the %lld of the training set", (long long)n,
               (long long)d->train.n);
    MIGE_TRY(mige_agree(c, c->node_rank == 0 ? move_behind(&d->train, n, image) : MIGE_OK));
    d->train.n -= n;
    d->test = (mige_split){n, d->train.images + (size_t)d->train.n * image, d->train.labels + d->train.n};
    return mige_shared_sync(c, &d->memory);
}

static void load_image(const uint8_t *in, int c, int pixels, const float *value, float *x) {
    if (c == 3) {
        const uint8_t *r = in, *g = in + pixels, *b = in + 2 * pixels;
        for (int p = 0; p < pixels; p++) {
            x[3 * p] = value[r[p]];
            x[3 * p + 1] = value[g[p]];
            x[3 * p + 2] = value[b[p]];
        }
        return;
    }
    for (int p = 0; p < pixels; p++)
        for (int k = 0; k < c; k++) x[p * c + k] = value[in[k * pixels + p]];
}

void mige_data_load(const mige_data *d, const mige_split *s, const int64_t *index, int n, float *x,
                    int32_t *labels) {
    float value[256];
    int pixels = d->h * d->w;
    size_t image = (size_t)d->c * (size_t)pixels;
    for (int v = 0; v < 256; v++) value[v] = (float)(2.0 * v / 255.0 - 1.0);
    for (int i = 0; i < n; i++) {
        load_image(s->images + (size_t)index[i] * image, d->c, pixels, value, x + (size_t)i * image);
        if (labels) labels[i] = s->labels[index[i]];
    }
}
