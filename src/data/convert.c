/* From the official files to the data file. */
#include "mige/data.h"
#include "mige/error.h"
#include "mige/io.h"
#include "mige/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MNIST_SIDE = 28, NAME = 64 };

void mige_images_free(mige_images *m) {
    free(m->images);
    free(m->labels);
    memset(m, 0, sizeof *m);
}

/* One official set: where its archive unpacks to, what its classes are called. */
typedef struct {
    const char *format, *folders[3], *names_file, *const *names;
    int classes;
} official;

static const char *const cifar10_names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};
static const official sets[] = {
    {"mnist", {"mnist", "MNIST/raw", NULL}, NULL, NULL, 10},
    {"cifar10", {"cifar-10-batches-bin", "cifar-10", NULL}, "batches.meta.txt", cifar10_names, 10},
    {"cifar100", {"cifar-100-binary", "cifar-100", NULL}, "fine_label_names.txt", NULL, 100},
};

/* path = from/[folder/]name, whichever is there; 0 when none is. */
static int find(const official *o, const char *from, const char *name, char *path, size_t size) {
    struct stat st;
    for (int i = -1; i < 0 || o->folders[i]; i++) {
        int n = i < 0 ? snprintf(path, size, "%s/%s", from, name)
                      : snprintf(path, size, "%s/%s/%s", from, o->folders[i], name);
        if (n > 0 && (size_t)n < size && stat(path, &st) == 0) return 1;
    }
    return 0;
}

static int load(const official *o, const char *from, const char *name, char *path, size_t room, uint8_t **bytes,
                size_t *size) {
    struct stat st;
    *bytes = NULL;
    MIGE_CHECK(stat(from, &st) == 0 && S_ISDIR(st.st_mode), MIGE_EINPUT,
               "%s: is not a folder (name that of the %s files)", from, o->format);
    MIGE_CHECK(find(o, from, name, path, room), MIGE_EINPUT,
               "%s: there is no %s in it (is it the folder of the %s files?)", from, name, o->format);
    return mige_bytes_read(path, bytes, size);
}

/* A parser knows bytes only; the message has to name the file. */
static int name_error(int err, const char *path) {
    if (err == MIGE_EINPUT) return mige_raise(err, "%s: %s", path, mige_error());
    return err;
}

/* ---- MNIST ---- */

/* The official name has a dash before idx, some copies a dot; either may be gzipped. */
static int load_idx(const official *o, const char *from, const char *stem, const char *kind, char *path,
                    size_t room, uint8_t **bytes, size_t *size) {
    char name[NAME];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%c%s%s", stem, i < 2 ? '-' : '.', kind, i & 1 ? ".gz" : "");
        if (find(o, from, name, path, room)) return load(o, from, name, path, room, bytes, size);
    }
    snprintf(name, sizeof name, "%s-%s[.gz]", stem, kind);
    return load(o, from, name, path, room, bytes, size);
}

static int read_mnist(const official *o, const char *from, const char *split, mige_images *m) {
    char path[4096], stem[NAME];
    uint8_t *bytes = NULL;
    size_t size = 0;
    int err;
    snprintf(stem, sizeof stem, "%s-images", split);
    MIGE_TRY_GOTO(load_idx(o, from, stem, "idx3-ubyte", path, sizeof path, &bytes, &size), done);
    MIGE_TRY_GOTO(name_error(mige_parse_idx_images(bytes, size, m), path), done);
    MIGE_CHECK_GOTO(m->h == MNIST_SIDE && m->w == MNIST_SIDE, done, MIGE_EINPUT,
                    "%s: images of %d x %d, those of MNIST are 28 x 28", path, m->h, m->w);
    free(bytes);
    snprintf(stem, sizeof stem, "%s-labels", split);
    MIGE_TRY_GOTO(load_idx(o, from, stem, "idx1-ubyte", path, sizeof path, &bytes, &size), done);
    MIGE_TRY_GOTO(name_error(mige_parse_idx_labels(bytes, size, m), path), done);
done:
    free(bytes);
    return err;
}

/* ---- CIFAR ---- */

static int read_cifar(const official *o, const char *from, const char *name, int label_bytes, mige_images *m) {
    char path[4096];
    uint8_t *bytes;
    size_t size;
    MIGE_TRY(load(o, from, name, path, sizeof path, &bytes, &size));
    int err = name_error(mige_parse_cifar(bytes, size, label_bytes, o->classes, m), path);
    free(bytes);
    return err;
}

static int append(mige_images *m, const mige_images *part, int64_t total) {
    size_t image = (size_t)part->c * (size_t)part->h * (size_t)part->w;
    if (m->n == 0) {
        MIGE_TRY(mige_alloc((size_t)total, image, &m->images));
        MIGE_TRY(mige_alloc((size_t)total, sizeof *m->labels, &m->labels));
        m->c = part->c;
        m->h = part->h;
        m->w = part->w;
    }
    memcpy(m->images + (size_t)m->n * image, part->images, (size_t)part->n * image);
    memcpy(m->labels + m->n, part->labels, (size_t)part->n * sizeof *m->labels);
    m->n += part->n;
    return MIGE_OK;
}

static int read_cifar10_train(const official *o, const char *from, mige_images *m) {
    enum { BATCHES = 5 };
    int64_t each = 0;
    for (int i = 1; i <= BATCHES; i++) {
        char name[NAME];
        mige_images part = {0};
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        int err = read_cifar(o, from, name, 1, &part);
        if (i == 1) each = part.n;
        /* All are equally long: a file cut between two records is known by that. */
        if (!err && part.n != each)
            err = mige_raise(MIGE_EINPUT, "%s: %s has %lld records, data_batch_1.bin %lld (fetch them again)", from,
                             name, (long long)part.n, (long long)each);
        if (!err) err = append(m, &part, BATCHES * each);
        mige_images_free(&part);
        if (err) return err;
    }
    return MIGE_OK;
}

/* ---- names of classes ---- */

static int new_names(int n, size_t width, char ***names) {
    MIGE_TRY(mige_alloc((size_t)n, sizeof(char *) + width + 1, names));
    for (int i = 0; i < n; i++) (*names)[i] = (char *)(*names + n) + (size_t)i * (width + 1);
    return MIGE_OK;
}

static int parse_names(const official *o, const char *path, const char *text, size_t size, char **names) {
    int n = 0;
    for (size_t at = 0; at < size;) {
        size_t length = 0;
        while (at + length < size && text[at + length] != '\n') length++;
        size_t shown = length && text[at + length - 1] == '\r' ? length - 1 : length;
        if (shown > 0) {
            MIGE_CHECK(n < o->classes && shown < NAME && !memchr(text + at, 0, shown), MIGE_EINPUT,
                       "%s: is not a list of %d names", path, o->classes);
            memcpy(names[n++], text + at, shown);
        }
        at += length + 1;
    }
    MIGE_CHECK(n == o->classes, MIGE_EINPUT, "%s: has %d names instead of %d", path, n, o->classes);
    return MIGE_OK;
}

static int read_names(const official *o, const char *from, char ***names) {
    char path[4096];
    MIGE_TRY(new_names(o->classes, NAME, names));
    if (o->names_file && find(o, from, o->names_file, path, sizeof path)) {
        uint8_t *text;
        size_t size;
        MIGE_TRY(mige_bytes_read(path, &text, &size));
        int err = parse_names(o, path, (const char *)text, size, *names);
        free(text);
        return err;
    }
    for (int i = 0; i < o->classes; i++)
        if (o->names)
            snprintf((*names)[i], NAME, "%s", o->names[i]);
        else
            snprintf((*names)[i], NAME, "%d", i);
    return MIGE_OK;
}

static int read_set(const official *o, const char *from, mige_images *train, mige_images *test, char ***names) {
    if (strcmp(o->format, "mnist") == 0) {
        MIGE_TRY(read_mnist(o, from, "train", train));
        MIGE_TRY(read_mnist(o, from, "t10k", test));
    } else if (strcmp(o->format, "cifar10") == 0) {
        MIGE_TRY(read_cifar10_train(o, from, train));
        MIGE_TRY(read_cifar(o, from, "test_batch.bin", 1, test));
    } else {
        MIGE_TRY(read_cifar(o, from, "train.bin", 2, train));
        MIGE_TRY(read_cifar(o, from, "test.bin", 2, test));
    }
    return read_names(o, from, names);
}

int mige_convert_read(const char *format, const char *from, mige_images *train, mige_images *test, int *classes,
                      char ***names) {
    const official *o = NULL;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (strcmp(format, sets[i].format) == 0) o = &sets[i];
    memset(train, 0, sizeof *train);
    memset(test, 0, sizeof *test);
    *names = NULL;
    *classes = 0;
    MIGE_CHECK(o, MIGE_EUSAGE, "format: `%s` is unknown (mnist, cifar10 or cifar100)", format);
    int err = read_set(o, from, train, test, names);
    if (err) {
        mige_images_free(train);
        mige_images_free(test);
        free(*names);
        *names = NULL;
        return err;
    }
    *classes = o->classes;
    return MIGE_OK;
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
    uint8_t *keep = NULL;
    int64_t *left = NULL, *order = NULL, kept = 0;
    size_t image = (size_t)m->c * (size_t)m->h * (size_t)m->w;
    int err;
    MIGE_TRY_GOTO(mige_alloc((size_t)m->n, 1, &keep), done);
    MIGE_TRY_GOTO(mige_alloc((size_t)classes, sizeof *left, &left), done);
    MIGE_TRY_GOTO(mige_alloc((size_t)m->n, sizeof *order, &order), done);
    MIGE_TRY_GOTO(choose(m, classes, n, seed, keep, left, order), done);
    for (int64_t i = 0; i < m->n; i++) {
        if (!keep[i]) continue;
        memmove(m->images + (size_t)kept * image, m->images + (size_t)i * image, image);
        m->labels[kept++] = m->labels[i];
    }
    m->n = kept;
done:
    free(keep);
    free(left);
    free(order);
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
    if (!err) err = write_split(f, "test", test, compress);
    if (!err) err = mige_file_write_names(f, "/class_names", classes, names, "names of the classes");
    return mige_file_commit(&f, err);
}
