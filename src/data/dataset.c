/* The data file in memory shared by each node's ranks. */
#include "data/readers.h"
#include "mige/error.h"
#include "mige/log.h"
#include "mige/rng.h"
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

/* Rank 0's names to everyone: the strings one after the other, each with its end. */
static int share_names(const mige_comm *c, const mige_header *h, char **mine, char ***names) {
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

/* Where the four arrays start in the block, in the order train images, labels, test images, labels; returns its
 * size. */
static size_t lay_out(const mige_header *h, size_t start[4]) {
    size_t at = 0, image = (size_t)(h->c * h->h * h->w);
    for (int i = 0; i < 4; i++) {
        size_t n = (size_t)h->n[i / 2];
        start[i] = at;
        at += (n * (i % 2 ? (size_t)h->labelled[i / 2] * sizeof(int32_t) : image) + ALIGN - 1) / ALIGN * ALIGN;
    }
    return at;
}

static void set_splits(const mige_header *h, const size_t start[4], mige_data *d) {
    const char *base = d->memory.base;
    for (int k = 0; k < MIGE_SPLITS; k++) {
        const void *y = h->labelled[k] ? base + start[2 * k + 1] : NULL;
        *(k == MIGE_TRAIN ? &d->train : &d->test) = (mige_split){h->n[k], (const uint8_t *)base + start[2 * k], y};
    }
    d->c = (int)h->c;
    d->h = (int)h->h;
    d->w = (int)h->w;
    d->classes = (int)h->classes;
}

/* Shared memory that is constant to everyone once it is full. */
static int fill(const mige_source *s, const mige_header *h, const size_t start[4], mige_data *d) {
    char *base = d->memory.base;
    for (int k = 0; k < MIGE_SPLITS; k++)
        MIGE_TRY(mige_source_read(s, h, k, (uint8_t *)base + start[2 * k],
                                  (int32_t *)(void *)(base + start[2 * k + 1])));
    return MIGE_OK;
}

/* By its parts: where these lie is the program's own affair. */
static uint32_t sum(const mige_data *d) {
    uint32_t crc = 0;
    const mige_split *const splits[MIGE_SPLITS] = {&d->train, &d->test};
    for (int k = 0; k < MIGE_SPLITS; k++) {
        size_t n = (size_t)splits[k]->n, image = (size_t)d->c * (size_t)d->h * (size_t)d->w;
        if (n) crc = libdeflate_crc32(crc, splits[k]->images, n * image);
        if (n && splits[k]->labels) crc = libdeflate_crc32(crc, splits[k]->labels, n * sizeof(int32_t));
    }
    return crc;
}

static int open_all(const mige_comm *c, const char *path, mige_source *s, char ***mine, mige_data *d) {
    mige_header h, first;
    size_t start[4];
    int reader = c->node_rank == 0;
    memset(&h, 0, sizeof h);
    MIGE_TRY(mige_agree(c, reader ? mige_source_open(path, s, &h, mine) : MIGE_OK));
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
    MIGE_TRY(mige_agree(c, reader ? fill(s, &first, start, d) : MIGE_OK));
    MIGE_TRY(mige_shared_sync(c, &d->memory));
    if (c->rank == 0) d->crc = sum(d);
    return mige_bcast(c, 0, &d->crc, sizeof d->crc);
}

int mige_data_open(const mige_comm *c, const char *path, mige_data *d) {
    mige_source s = {0};
    char **names = NULL;
    memset(d, 0, sizeof *d);
    int err = open_all(c, path, &s, &names, d);
    mige_source_close(&s);
    free(names);
    if (err) mige_data_close(d);
    return err;
}

static void count_classes(const mige_split *s, int64_t *n) {
    for (int64_t i = 0; s->labels && i < s->n; i++) n[s->labels[i]]++;
}

int mige_data_class_doubts(const char *path, const mige_data *d) {
    int64_t *train, *test, lost = 0;
    int there = 0, missing = 0, one = 0;
    mige_pool pool = {0};
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(train, d->classes), MIGE_BLOCK(test, d->classes)));
    count_classes(&d->train, train);
    count_classes(&d->test, test);
    for (int k = 0; k < d->classes; k++) {
        if (train[k]) there++;
        if (!train[k] && !missing++) one = k;
        if (!train[k]) lost += test[k];
    }
    if (there == 1) mige_warn("%s: all training images are of one class: there is nothing to tell apart", path);
    if (missing && there > 1)
        mige_warn("%s: no training image is of class %d%s, of 0 to %d (labels that skip numbers, or begin at 1?)",
                  path, one, missing > 1 ? ", nor of others" : "", d->classes - 1);
    if (lost)
        mige_warn("%s: %lld of %lld test images are of classes that no training image has", path, (long long)lost,
                  (long long)d->test.n);
    mige_pool_free(&pool);
    return MIGE_OK;
}

void mige_data_image_doubts(const char *path, const mige_data *d) {
    size_t image = (size_t)d->c * (size_t)d->h * (size_t)d->w;
    const uint8_t *x = d->train.images;
    if (d->train.n > 1 && !memcmp(x, x + image, ((size_t)d->train.n - 1) * image)) /* each is the one before it */
        mige_warn("%s: all %lld training images are equal: there is nothing to learn", path, (long long)d->train.n);
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
        if (y) (out[i] ? labels : y)[*to] = y[i];
        ++*to;
    }
    if (!err) {
        memcpy(x + (size_t)kept * image, images, (size_t)n * image);
        if (y) memcpy(y + kept, labels, (size_t)n * sizeof *y);
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
    d->test = (mige_split){n, d->train.images + (size_t)d->train.n * image,
                           d->train.labels ? d->train.labels + d->train.n : NULL};
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
