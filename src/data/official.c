/* The official files of image sets. */
#include "data/readers.h"
#include "mige/error.h"
#include "mige/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MNIST_SIDE = 28, MNIST_TRAIN = 60000, NAME = 64 };

/* One official set: where its archive unpacks to, what its classes are called. */
typedef struct {
    const char *format, *folders[3], *names_file, *const *names;
    int classes;
} official;
typedef struct {
    const official *o;
    const mige_convert_request *q;
} source;

static const char *const cifar10_names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};
static const official sets[] = {
    {"mnist", {"mnist", "MNIST/raw", NULL}, NULL, NULL, 10},
    {"cifar10", {"cifar-10-batches-bin", "cifar-10", NULL}, "batches.meta.txt", cifar10_names, 10},
    {"cifar100", {"cifar-100-binary", "cifar-100", NULL}, "fine_label_names.txt", NULL, 100},
    {"stl10", {"stl10_binary", NULL}, "class_names.txt", NULL, 10},
};

/* path = from/[folder/]name, whichever is there; 0 when none is. */
static int find(const source *s, const char *name, char *path, size_t size) {
    struct stat st;
    for (int i = -1; i < 0 || s->o->folders[i]; i++) {
        int n = i < 0 ? snprintf(path, size, "%s/%s", s->q->from, name)
                      : snprintf(path, size, "%s/%s/%s", s->q->from, s->o->folders[i], name);
        if (n > 0 && (size_t)n < size && stat(path, &st) == 0) return 1;
    }
    return 0;
}

/* What lies in the folder in place of the files. */
static const char *find_other(const source *s) {
    static const struct {
        const char *name, *hint;
    } others[] = {
        {"data_batch_1", "these are CIFAR's files for Python; fetch the binary version, cifar-10-binary.tar.gz"},
        {"cifar-10-batches-py",
         "these are CIFAR's files for Python; fetch the binary version, cifar-10-binary.tar.gz"},
        {"cifar-100-python",
         "these are CIFAR's files for Python; fetch the binary version, cifar-100-binary.tar.gz"},
        {"meta", "these are CIFAR's files for Python; fetch the binary version, cifar-100-binary.tar.gz"},
        {"cifar-10-binary.tar.gz", "unpack the archive first: tar xzf cifar-10-binary.tar.gz"},
        {"cifar-100-binary.tar.gz", "unpack the archive first: tar xzf cifar-100-binary.tar.gz"},
        {"cifar-10-python.tar.gz", "this is CIFAR for Python; fetch the binary version, cifar-10-binary.tar.gz"},
        {"cifar-100-python.tar.gz", "this is CIFAR for Python; fetch the binary version, cifar-100-binary.tar.gz"},
        {"stl10_binary.tar.gz", "unpack the archive first: tar xzf stl10_binary.tar.gz"},
        {"emnist-digits-train-images-idx3-ubyte.gz",
         "these are EMNIST's; give its digits the names of MNIST's files"},
        {"emnist-mnist-train-images-idx3-ubyte.gz", "these are EMNIST's; give them the names of MNIST's files"},
        {"emnist-letters-train-images-idx3-ubyte.gz", "these are EMNIST's letters, not digits"},
        {"train_32x32.mat", "these are SVHN's files of MATLAB; store them as a data file of your own"}};
    char path[4096];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (find(s, others[i].name, path, sizeof path)) return others[i].hint;
    return "is it the folder of the files?";
}

static int load(const source *s, const char *name, char *path, size_t room, uint8_t **bytes, size_t *size) {
    struct stat st;
    const char *from = s->q->from, *format = s->o->format;
    *bytes = NULL;
    MIGE_CHECK(stat(from, &st) == 0 && S_ISDIR(st.st_mode), MIGE_EINPUT,
               "%s: is not a folder (name that of the %s files; an archive is to be unpacked first)", from, format);
    MIGE_CHECK(find(s, name, path, room), MIGE_EINPUT, "%s: there is no %s of %s in it (%s)", from, name, format,
               find_other(s));
    MIGE_TRY(mige_convert_load(s->q, path, bytes, size));
    const char *kind = mige_bytes_kind(*bytes, *size);
    if (!kind || ((*bytes)[0] == 0x1f && strcmp(format, "mnist") == 0)) return MIGE_OK;
    free(*bytes);
    *bytes = NULL;
    return mige_raise(MIGE_EINPUT, "%s: is %s", path, kind);
}

/* A parser knows bytes only; the message has to name the file. */
static int name_error(int err, const char *path) {
    if (err == MIGE_EINPUT) return mige_raise(err, "%s: %s", path, mige_error());
    return err;
}

/* ---- MNIST ---- */

/* The official name has a dash before idx, some copies a dot; either may be gzipped. */
static int load_idx(const source *o, const char *stem, const char *kind, char *path, size_t room, uint8_t **bytes,
                    size_t *size) {
    char name[NAME];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%c%s%s", stem, i < 2 ? '-' : '.', kind, i & 1 ? ".gz" : "");
        if (find(o, name, path, room)) return load(o, name, path, room, bytes, size);
    }
    snprintf(name, sizeof name, "%s-%s[.gz]", stem, kind);
    return load(o, name, path, room, bytes, size);
}

static int read_mnist(const source *o, const char *split, mige_images *m) {
    char path[4096], stem[NAME];
    uint8_t *bytes = NULL;
    size_t size = 0;
    int err;
    snprintf(stem, sizeof stem, "%s-images", split);
    MIGE_TRY_GOTO(load_idx(o, stem, "idx3-ubyte", path, sizeof path, &bytes, &size), done);
    MIGE_TRY_GOTO(name_error(mige_parse_idx_images(bytes, size, m), path), done);
    MIGE_CHECK_GOTO(m->h == MNIST_SIDE && m->w == MNIST_SIDE, done, MIGE_EINPUT,
                    "%s: images of %d x %d, those of MNIST are 28 x 28", path, m->h, m->w);
    free(bytes);
    snprintf(stem, sizeof stem, "%s-labels", split);
    MIGE_TRY_GOTO(load_idx(o, stem, "idx1-ubyte", path, sizeof path, &bytes, &size), done);
    MIGE_TRY_GOTO(name_error(mige_parse_idx_labels(bytes, size, m), path), done);
done:
    free(bytes);
    return err;
}

/* Other sets come in files of the same names. */
static void warn_of_others(const source *s, const mige_images *train) {
    static const int32_t first[] = {5, 0, 4, 1, 9, 2, 1, 3, 1, 4};
    if (train->n == MNIST_TRAIN && memcmp(first, train->labels, sizeof first) != 0)
        mige_warn("%s: these files have MNIST's names but are another set (Fashion-MNIST, KMNIST, EMNIST?): its "
                  "classes are "
                  "called by their numbers",
                  s->q->from);
}

/* ---- CIFAR ---- */

static int read_cifar(const source *o, const char *name, int label_bytes, mige_images *m) {
    char path[4096];
    uint8_t *bytes;
    size_t size;
    MIGE_TRY(load(o, name, path, sizeof path, &bytes, &size));
    int err = name_error(mige_parse_cifar(bytes, size, label_bytes, o->o->classes, m), path);
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

static int read_cifar10_train(const source *o, mige_images *m) {
    enum { BATCHES = 5 };
    int64_t each = 0;
    for (int i = 1; i <= BATCHES; i++) {
        char name[NAME];
        mige_images part = {0};
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        int err = read_cifar(o, name, 1, &part);
        if (i == 1) each = part.n;
        /* All are equally long: a file cut between two records is known by that. */
        if (!err && part.n != each)
            err = mige_raise(MIGE_EINPUT, "%s: %s has %lld records, data_batch_1.bin %lld (fetch them again)",
                             o->q->from, name, (long long)part.n, (long long)each);
        if (!err) err = append(m, &part, BATCHES * each);
        mige_images_free(&part);
        if (err) return err;
    }
    return MIGE_OK;
}

/* ---- STL-10 ---- */

static int read_stl(const source *s, const char *split, mige_images *m) {
    char path[4096], name[NAME];
    uint8_t *x, *y;
    size_t nx, ny;
    snprintf(name, sizeof name, "%s_X.bin", split);
    MIGE_TRY(load(s, name, path, sizeof path, &x, &nx));
    snprintf(name, sizeof name, "%s_y.bin", split);
    int err = load(s, name, path, sizeof path, &y, &ny);
    if (!err) err = name_error(mige_parse_stl(x, nx, y, ny, m), path);
    free(x);
    free(y);
    return err;
}

/* ---- names of classes ---- */

static int parse_names(const source *o, const char *path, const char *text, size_t size, char **names) {
    int n = 0;
    for (size_t at = 0; at < size;) {
        size_t length = 0;
        while (at + length < size && text[at + length] != '\n') length++;
        size_t shown = length && text[at + length - 1] == '\r' ? length - 1 : length;
        if (shown > 0) {
            MIGE_CHECK(n < o->o->classes && shown < NAME && !memchr(text + at, 0, shown), MIGE_EINPUT,
                       "%s: is not a list of %d names", path, o->o->classes);
            memcpy(names[n++], text + at, shown);
        }
        at += length + 1;
    }
    MIGE_CHECK(n == o->o->classes, MIGE_EINPUT, "%s: has %d names instead of %d", path, n, o->o->classes);
    return MIGE_OK;
}

static int read_names(const source *o, char ***names) {
    char path[4096];
    MIGE_TRY(mige_convert_names(o->o->classes, NAME, names));
    if (o->o->names_file && find(o, o->o->names_file, path, sizeof path)) {
        uint8_t *text;
        size_t size;
        MIGE_TRY(mige_convert_load(o->q, path, &text, &size));
        int err = parse_names(o, path, (const char *)text, size, *names);
        free(text);
        return err;
    }
    for (int i = 0; i < o->o->classes; i++)
        if (o->o->names)
            snprintf((*names)[i], NAME, "%s", o->o->names[i]);
        else
            snprintf((*names)[i], NAME, "%d", i);
    return MIGE_OK;
}

static int read_set(const source *s, mige_images *train, mige_images *test) {
    const char *format = s->o->format;
    if (strcmp(format, "mnist") == 0) {
        MIGE_TRY(read_mnist(s, "train", train));
        MIGE_TRY(read_mnist(s, "t10k", test));
        warn_of_others(s, train);
    } else if (strcmp(format, "cifar10") == 0) {
        MIGE_TRY(read_cifar10_train(s, train));
        MIGE_TRY(read_cifar(s, "test_batch.bin", 1, test));
    } else if (strcmp(format, "cifar100") == 0) {
        MIGE_TRY(read_cifar(s, "train.bin", 2, train));
        MIGE_TRY(read_cifar(s, "test.bin", 2, test));
    } else {
        MIGE_TRY(read_stl(s, "train", train));
        MIGE_TRY(read_stl(s, "test", test));
    }
    return MIGE_OK;
}

int mige_official_read(const mige_convert_request *q, mige_images *train, mige_images *test, int *classes,
                       char ***names) {
    source s = {NULL, q};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (strcmp(q->format, sets[i].format) == 0) s.o = &sets[i];
    MIGE_CHECK(s.o, MIGE_EUSAGE, "format: `%s` is unknown (" MIGE_FORMATS ")", q->format);
    *classes = s.o->classes;
    MIGE_TRY(read_set(&s, train, test));
    return read_names(&s, names);
}
