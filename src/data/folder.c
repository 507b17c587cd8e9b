/* Folders of pictures, one a class. */
#include "data/readers.h"
#include "mige/error.h"
#include "mige/log.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH = 4096, MOST_CLASSES = 10000, SHOWN = 10 };

typedef struct {
    const mige_convert_request *q;
    char **names; /* of the classes */
    int classes;
    char first[PATH]; /* the picture that says the size of all */
    int c, h, w;
    int64_t left_out, deep;
} reading;

static int is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Zip of macOS adds a folder of its own. */
static int not_hidden(const struct dirent *e) {
    return e->d_name[0] != '.' && strcmp(e->d_name, "__MACOSX") != 0;
}

/* What lies in a folder, in the order of the bytes of the names; to be freed by free_list. */
static int list(const char *path, struct dirent ***entries, int *n) {
    *n = scandir(path, entries, not_hidden, by_bytes);
    MIGE_CHECK(*n >= 0, MIGE_EINPUT, "%s: cannot be listed: %s", path, strerror(errno));
    return MIGE_OK;
}

static void free_list(struct dirent **entries, int n) {
    for (int i = 0; i < n; i++) free(entries[i]);
    free(entries);
}

/* path = folder/name. */
static int join(char path[PATH], const char *folder, const char *name) {
    MIGE_CHECK(snprintf(path, PATH, "%s/%s", folder, name) < PATH, MIGE_EINPUT, "%.60s...: the path is too long",
               folder);
    return MIGE_OK;
}

/* ---- a split */

/* A split in the making has 3 colours a picture, [n][3][h][w]. */
static int push(reading *r, mige_images *m, const mige_picture *p, int label) {
    size_t plane = (size_t)p->h * (size_t)p->w;
    MIGE_TRY(mige_grow((size_t)m->n, 3 * plane, &m->images));
    MIGE_TRY(mige_grow((size_t)m->n, sizeof *m->labels, &m->labels));
    uint8_t *to = m->images + (size_t)m->n * 3 * plane;
    for (int c = 0; c < 3; c++)
        for (size_t i = 0; i < plane; i++)
            to[(size_t)c * plane + i] = p->pixels[i * (size_t)p->c + (size_t)(p->c == 3 ? c : 0)];
    m->labels[m->n++] = label;
    if (p->c == 3) r->c = 3;
    return MIGE_OK;
}

static int check_size(reading *r, const char *path, const mige_picture *p) {
    if (!r->h) {
        r->h = p->h;
        r->w = p->w;
        snprintf(r->first, sizeof r->first, "%s", path);
    }
    MIGE_CHECK(p->h == r->h && p->w == r->w, MIGE_EINPUT,
               "%s: is %d x %d pixels, %s %d x %d (give the size that all are to be brought to)", path, p->h, p->w,
               r->first, r->h, r->w);
    return MIGE_OK;
}

/* What is no whole picture is told of and left out. */
static int leave_out(reading *r, const char *path, int err) {
    if (err != MIGE_EINPUT) return err;
    if (r->left_out++ < SHOWN) mige_warn("%s: left out: %s", path, mige_error());
    return MIGE_OK;
}

static int add_picture(reading *r, mige_images *m, const char *path, int label) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    mige_picture p = {0};
    struct stat st;
    int empty = stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
    int err = empty             ? mige_raise(MIGE_EINPUT, "is empty")
              : is_folder(path) ? mige_raise(MIGE_EINPUT, "is a folder within a class's: its pictures are not read")
                                : mige_convert_load(r->q, path, &bytes, &size);
    if (!err) err = mige_picture_read(bytes, size, &p);
    free(bytes);
    if (err) {
        free(p.pixels);
        return leave_out(r, path, err);
    }
    if (r->q->h) err = mige_picture_resize(&p, r->q->h, r->q->w);
    if (!err) err = check_size(r, path, &p);
    if (!err) err = push(r, m, &p, label);
    r->deep += !err && p.deep;
    free(p.pixels);
    return err;
}

static int add_class(reading *r, mige_images *m, const char *folder, int label) {
    struct dirent **entries;
    char path[PATH];
    int n, err = MIGE_OK;
    MIGE_TRY(list(folder, &entries, &n));
    for (int i = 0; i < n && !err; i++) {
        err = join(path, folder, entries[i]->d_name);
        if (!err) err = add_picture(r, m, path, label);
    }
    free_list(entries, n);
    return err;
}

static int class_of(const reading *r, const char *name) {
    for (int k = 0; k < r->classes; k++)
        if (strcmp(r->names[k], name) == 0) return k;
    return -1;
}

static int add_split(reading *r, mige_images *m, const char *folder) {
    struct dirent **entries;
    char path[PATH];
    struct stat st;
    int n, err = MIGE_OK;
    MIGE_TRY(list(folder, &entries, &n));
    for (int i = 0; i < n && !err; i++) {
        int label = class_of(r, entries[i]->d_name);
        err = join(path, folder, entries[i]->d_name);
        if (err) break;
        if (stat(path, &st) != 0) /* a class would be lost, and others change their numbers */
            err = mige_raise(MIGE_EINPUT, "%s: leads nowhere: %s (a link to a class's folder? mend or delete it)",
                             path, strerror(errno));
        else if (!is_folder(path))
            err = leave_out(r, path, mige_raise(MIGE_EINPUT, "is in no class's folder"));
        else if (label < 0)
            err = mige_raise(MIGE_EINPUT, "%s: there is no such class among those of training", path);
        else
            err = add_class(r, m, path, label);
    }
    free_list(entries, n);
    return err;
}

/* ---- all */

/* Classes without a picture count all the same: those after them would change their numbers. */
static void tell_empty(const reading *r, const mige_images *train) {
    for (int k = 0; k < r->classes; k++) {
        int64_t n = 0;
        for (int64_t i = 0; i < train->n; i++) n += train->labels[i] == k;
        if (!n) mige_warn("class %d, %s, has no picture that can be read among those of training", k, r->names[k]);
    }
}

/* Beside the folders of the splits no other is read. */
static int tell_unread(const reading *r, const char *train, const char *test) {
    struct dirent **entries;
    char path[PATH];
    int n, err = MIGE_OK;
    MIGE_TRY(list(r->q->from, &entries, &n));
    for (int i = 0; i < n && !err; i++) {
        err = join(path, r->q->from, entries[i]->d_name);
        if (!err && is_folder(path) && strcmp(path, train) != 0 && (!test || strcmp(path, test) != 0))
            mige_warn("%s: is beside the folders of the splits, and not read", path);
    }
    free_list(entries, n);
    return err;
}

static int find_classes(reading *r, const char *folder) {
    struct dirent **entries;
    char path[PATH];
    int n, found = 0;
    MIGE_TRY(list(folder, &entries, &n));
    int err = mige_convert_names(n > 0 ? n : 1, sizeof entries[0]->d_name, &r->names);
    for (int i = 0; i < n && !err; i++) {
        err = join(path, folder, entries[i]->d_name);
        if (err || !is_folder(path)) continue;
        strcpy(r->names[found++], entries[i]->d_name);
    }
    free_list(entries, n);
    r->classes = found;
    MIGE_TRY(err);
    MIGE_CHECK(found >= 1 && found <= MOST_CLASSES, MIGE_EINPUT,
               "%s: has %d folders of classes (1 to %d: FOLDER/CLASS/*.png)", folder, found, MOST_CLASSES);
    return MIGE_OK;
}

/* One plane will do where all are grey. */
static void finish(const reading *r, mige_images *m) {
    size_t plane = (size_t)r->h * (size_t)r->w;
    m->c = r->c;
    m->h = r->h;
    m->w = r->w;
    for (int64_t i = 1; r->c == 1 && i < m->n; i++)
        memmove(m->images + (size_t)i * plane, m->images + (size_t)i * 3 * plane, plane);
}

static int has_folders(const char *folder) {
    struct dirent **entries;
    char path[PATH];
    int n = scandir(folder, &entries, not_hidden, by_bytes), any = 0;
    for (int i = 0; i < n && !any; i++) any = !join(path, folder, entries[i]->d_name) && is_folder(path);
    if (n >= 0) free_list(entries, n);
    return any;
}

/* folder: the one of these names, NULL behind the last, that there is. */
static int find_split(const char *from, const char *const *names, char folder[PATH], int *found) {
    for (*found = 0; *names && !*found; names++) {
        MIGE_TRY(join(folder, from, *names));
        *found = is_folder(folder);
    }
    return MIGE_OK;
}

static int read_splits(reading *r, mige_images *train, mige_images *test) {
    static const char *const trains[] = {"train", "Train", "training", "Training", NULL};
    static const char *const tests[] = {"test",  "Test",  "testing",    "Testing",    "val", "Val",
                                        "valid", "Valid", "validation", "Validation", NULL};
    char folder[PATH], other[PATH];
    int split, found;
    MIGE_CHECK(is_folder(r->q->from), MIGE_EINPUT, "%s: is not a folder", r->q->from);
    MIGE_TRY(find_split(r->q->from, trains, folder, &split));
    MIGE_TRY(find_split(r->q->from, tests, other, &found));
    split = split && (found || has_folders(folder)); /* else it is a class, of trains */
    found = found && split;
    if (!split) snprintf(folder, sizeof folder, "%s", r->q->from);
    MIGE_TRY(find_classes(r, folder));
    MIGE_TRY(add_split(r, train, folder));
    if (found) MIGE_TRY(add_split(r, test, other));
    if (split) MIGE_TRY(tell_unread(r, folder, found ? other : NULL));
    if (r->deep)
        mige_warn(
            "%s: %lld pictures have 16 bits a colour, of which the upper 8 are kept (dark, or of 10 or 12 bits? "
            "spread their values before)",
            r->q->from, (long long)r->deep);
    if (r->left_out > SHOWN) mige_warn("%s: %lld files were left out in all", r->q->from, (long long)r->left_out);
    MIGE_CHECK(train->n > 0, MIGE_EINPUT, "%s: there is no picture in it that can be read", folder);
    tell_empty(r, train);
    if (found && !test->n) mige_warn("%s: has no picture that can be read: there is no test split", other);
    return MIGE_OK;
}

int mige_folder_read(const mige_convert_request *q, mige_images *train, mige_images *test, int *classes,
                     char ***names) {
    reading *r;
    MIGE_TRY(mige_alloc(1, sizeof *r, &r));
    r->q = q;
    r->c = 1;
    int err = read_splits(r, train, test);
    finish(r, train);
    finish(r, test);
    *classes = r->classes;
    *names = r->names;
    free(r);
    return err;
}
