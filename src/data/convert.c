/* From official files, or pictures, to the data file. */
#include "data/readers.h"
#include "mige/error.h"
#include "mige/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 64 };

void mige_images_free(mige_images *m) {
    free(m->images);
    free(m->labels);
    memset(m, 0, sizeof *m);
}

int mige_convert_load(const mige_convert_request *q, const char *path, uint8_t **bytes, size_t *size) {
    *bytes = NULL;
    MIGE_CHECK(!mige_output_is(q->output, path), MIGE_EUSAGE,
               "%s: is read, and cannot be the output (give another name)", path);
    return mige_bytes_read(path, bytes, size);
}

int mige_convert_names(int n, size_t width, char ***names) {
    MIGE_TRY(mige_alloc((size_t)n, sizeof(char *) + width + 1, names));
    for (int i = 0; i < n; i++) (*names)[i] = (char *)(*names + n) + (size_t)i * (width + 1);
    return MIGE_OK;
}

int mige_convert_read(const mige_convert_request *q, mige_images *train, mige_images *test, int *classes,
                      char ***names) {
    memset(train, 0, sizeof *train);
    memset(test, 0, sizeof *test);
    *names = NULL;
    *classes = 0;
    int pictures = strcmp(q->format, "folder") == 0;
    int err = (pictures ? mige_folder_read : mige_official_read)(q, train, test, classes, names);
    if (!err) return MIGE_OK;
    mige_images_free(train);
    mige_images_free(test);
    free(*names);
    *names = NULL;
    return err;
}

/* ---- the subset and the file ---- */

/* keep[i] = 1 for n images, each class with its share, the first that a random order meets. */
static int choose(const mige_images *m, int classes, int64_t n, uint64_t seed, uint8_t *keep, int64_t *left,
                  int64_t *order) {
    for (int k = 0; k < classes; k++) left[k] = n / classes + (k < n % classes);
    mige_rng_permutation(seed, MIGE_RNG_SUBSET, 0, m->n, order);
    for (int64_t i = 0; i < m->n; i++) {
        int64_t *k = &left[m->labels[order[i]]];
        if (*k == 0) continue;
        --*k;
        keep[order[i]] = 1;
    }
    for (int k = 0; k < classes; k++)
        MIGE_CHECK(left[k] == 0, MIGE_EUSAGE,
                   "convert: class %d has %lld images too few for a balanced %lld (ask for fewer)", k,
                   (long long)left[k], (long long)n);
    return MIGE_OK;
}

int mige_convert_sample(mige_images *m, int classes, int64_t n, uint64_t seed) {
    if (n == 0 || n == m->n) return MIGE_OK;
    MIGE_CHECK(n > 0 && n < m->n, MIGE_EUSAGE, "convert: %lld images were asked for, the set has %lld",
               (long long)n, (long long)m->n);
    uint8_t *keep;
    int64_t *left, *order, kept = 0;
    size_t image = (size_t)m->c * (size_t)m->h * (size_t)m->w;
    mige_pool pool = {0};
    int err = MIGE_TAKE(&pool, MIGE_BLOCK(keep, m->n), MIGE_BLOCK(left, classes), MIGE_BLOCK(order, m->n));
    if (!err) err = choose(m, classes, n, seed, keep, left, order);
    for (int64_t i = 0; !err && i < m->n; i++) {
        if (!keep[i]) continue;
        memmove(m->images + (size_t)kept * image, m->images + (size_t)i * image, image);
        m->labels[kept++] = m->labels[i];
    }
    if (!err) m->n = kept;
    mige_pool_free(&pool);
    return err;
}

static int write_split(mige_file *f, const char *split, const mige_images *m, int compress) {
    char name[NAME];
    mige_layout images = {MIGE_U8, 4, {m->n, m->c, m->h, m->w}}, labels = {MIGE_I32, 1, {m->n}};
    snprintf(name, sizeof name, "/%s/images", split);
    MIGE_TRY(mige_file_write(f, name, images, m->images, "1", "pixels 0 to 255, [image, channel, row, column]",
                             compress ? MIGE_COMPRESS : 0));
    snprintf(name, sizeof name, "/%s/labels", split);
    return mige_file_write(f, name, labels, m->labels, "1", "class of each image, index into /class_names",
                           compress ? MIGE_COMPRESS : 0);
}

int mige_convert_write(const char *path, const mige_images *train, const mige_images *test, int classes,
                       const char *const *names, int compress) {
    mige_file *f;
    MIGE_TRY(mige_file_create(path, "mige-data", &f));
    int err = write_split(f, "train", train, compress);
    if (!err && test->n) err = write_split(f, "test", test, compress);
    if (!err) err = mige_file_write_names(f, "/class_names", classes, names, "names of the classes");
    return mige_file_commit(&f, err);
}
