#include "mige/checkpoint.h"
#include "mige/error.h"
#include "mige/io.h"
#include "mige/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 2048, TRAJECTORY_SIZE = 1 << 16 };

static void file_path(const char *run, int64_t step, const char *suffix, char path[PATH_SIZE]) {
    snprintf(path, PATH_SIZE, "%s/checkpoint-%lld.h5%s", run, (long long)step, suffix);
}

/* The flat vectors that a tensor has a piece of; a running statistic has the first only. */
static const struct {
    const char *prefix, *what;
} vectors[] = {{"", "parameter or running statistic"},
               {"adam_m/", "first moment of Adam"},
               {"adam_v/", "second moment of Adam"},
               {"average/", "moving average of the parameter"}};
enum { VECTORS = sizeof vectors / sizeof *vectors, NAME_SIZE = 192 };

static float *piece(const mige_checkpoint_member *k, const mige_tensor *t, int vector) {
    float *base[VECTORS] = {t->is_state ? k->state : k->params, k->m, k->v, k->average};
    if ((vector > 0 && t->is_state) || !base[vector]) return NULL;
    return base[vector] + t->offset;
}

static mige_layout tensor_layout(const mige_tensor *t) {
    mige_layout l = {MIGE_F32, t->ndim, {0}};
    memcpy(l.dims, t->dims, sizeof l.dims);
    return l;
}

static int write_tensor(mige_file *f, const mige_checkpoint_member *k, const mige_tensor *t) {
    for (int g = 0; g < VECTORS; g++) {
        char name[NAME_SIZE];
        const float *data = piece(k, t, g);
        snprintf(name, sizeof name, "/%s%s/%s", vectors[g].prefix, k->name, t->name);
        if (data) MIGE_TRY(mige_file_write(f, name, tensor_layout(t), data, "1", vectors[g].what, 0));
    }
    return MIGE_OK;
}

static int write_tensors(mige_file *f, const mige_checkpoint *k) {
    for (int i = 0; i < k->n; i++)
        for (int j = 0; j < mige_net_num_tensors(k->member[i].net); j++) {
            mige_tensor t;
            mige_net_tensor(k->member[i].net, j, &t);
            MIGE_TRY(write_tensor(f, &k->member[i], &t));
        }
    MIGE_TRY(mige_file_set_int(f, "/", "step", k->step));
    MIGE_TRY(mige_file_set_int(f, "/", "number", k->number));
    MIGE_TRY(mige_file_set_int(f, "/", "keep", k->keep));
    return mige_file_set_text(f, "/", "trajectory", k->trajectory);
}

static int newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* The step of checkpoint-<step>.h5<suffix>, or -1. */
static int64_t step_of(const char *name, const char *suffix) {
    long long step;
    char back[64];
    if (sscanf(name, "checkpoint-%lld.h5", &step) != 1 || step < 0) return -1;
    snprintf(back, sizeof back, "checkpoint-%lld.h5%s", step, suffix);
    return strcmp(back, name) ? -1 : step;
}

/* Steps of checkpoint-<step>.h5<suffix>, newest first; *steps is to be freed, after an error as well. A folder that
 * is not there has none; one that cannot be read may have some. */
static int list(const char *run, const char *suffix, int64_t **steps, int *n) {
    struct dirent **entries;
    *n = 0;
    *steps = NULL;
    int count = scandir(run, &entries, NULL, NULL);
    MIGE_CHECK(count >= 0 || errno == ENOENT || errno == ENOTDIR, MIGE_EINPUT, "%s: cannot be listed: %s", run,
               strerror(errno));
    if (count < 0) return MIGE_OK;
    int err = mige_alloc((size_t)count, sizeof **steps, steps);
    for (int i = 0; i < count; i++) {
        int64_t step = step_of(entries[i]->d_name, suffix);
        if (!err && step >= 0) (*steps)[(*n)++] = step;
        free(entries[i]);
    }
    free(entries);
    if (!err) qsort(*steps, (size_t)*n, sizeof **steps, newest_first);
    return err;
}

int mige_checkpoint_any(const char *run, int *any) {
    int64_t *steps;
    int err = list(run, "", &steps, any);
    free(steps);
    return err;
}

/* What cannot be read is not ours to delete. */
static int is_kept(const char *path) {
    mige_file *f;
    int64_t keep = 1;
    if (mige_file_open(path, "mige-checkpoint", &f)) return 1;
    if (mige_file_get_int(f, "/", "keep", &keep)) keep = 1;
    mige_file_close(&f);
    return keep != 0;
}

static void delete_all(const char *run, const char *suffix, int64_t newest, int spared) {
    int64_t *steps;
    int n;
    char path[PATH_SIZE];
    if (list(run, suffix, &steps, &n)) n = 0;
    for (int i = 0, seen = 0; i < n; i++) {
        file_path(run, steps[i], suffix, path);
        if (steps[i] > newest || ++seen <= spared || (!*suffix && is_kept(path))) continue;
        unlink(path);
    }
    free(steps);
}

/* After checkpoint `newest` was written. A file that cannot be deleted is no reason to stop. */
static void forget_old(const char *run, int64_t newest, int64_t old) {
    char path[PATH_SIZE];
    if (old == MIGE_CHECKPOINT_ANY_OLD) {
        delete_all(run, "", newest, 2);
        delete_all(run, ".part", INT64_MAX, 0);
    } else if (old >= 0) {
        file_path(run, old, "", path);
        unlink(path);
    }
}

int mige_checkpoint_write(const char *run, const mige_checkpoint *k) {
    mige_file *f;
    char path[PATH_SIZE];
    file_path(run, k->step, "", path);
    MIGE_TRY(mige_file_create(path, "mige-checkpoint", &f));
    MIGE_TRY(mige_file_commit(&f, write_tensors(f, k)));
    forget_old(run, k->step, k->old);
    return MIGE_OK;
}

static int check_trajectory(const mige_file *f, const mige_checkpoint *k) {
    char *theirs;
    MIGE_TRY(mige_alloc(TRAJECTORY_SIZE, 1, &theirs));
    int err = mige_file_get_text(f, "/", "trajectory", theirs, TRAJECTORY_SIZE);
    if (!err) err = k->check(k->ctx, mige_file_path(f), theirs);
    free(theirs);
    return err;
}

/* The moments of files of earlier versions, which have the encoder alone, lie one group higher. */
static void find_name(const mige_file *f, const mige_checkpoint_member *k, const mige_tensor *t, int vector,
                      char name[NAME_SIZE]) {
    snprintf(name, NAME_SIZE, "/%s%s/%s", vectors[vector].prefix, k->name, t->name);
    if (vector && !mige_file_has(f, name)) snprintf(name, NAME_SIZE, "/%s%s", vectors[vector].prefix, t->name);
}

static int read_tensor(const mige_file *f, const mige_checkpoint_member *k, const mige_tensor *t, int vector,
                       int *foreign) {
    char name[NAME_SIZE];
    mige_layout stored, wanted = tensor_layout(t);
    float *data = piece(k, t, vector);
    if (!data) return MIGE_OK;
    find_name(f, k, t, vector, name);
    MIGE_TRY(mige_file_layout(f, name, &stored));
    int same = stored.ndim == wanted.ndim;
    for (int d = 0; same && d < wanted.ndim; d++) same = stored.dims[d] == wanted.dims[d];
    *foreign = !same;
    MIGE_CHECK(same, MIGE_EINPUT, "%s: %s has another shape than this run's (another architecture)",
               mige_file_path(f), name);
    return mige_file_read(f, name, MIGE_F32, 0, stored.dims[0], data);
}

static int read_tensors(const mige_file *f, const mige_checkpoint *k, int *foreign) {
    for (int i = 0; i < k->n; i++)
        for (int j = 0; j < mige_net_num_tensors(k->member[i].net); j++) {
            mige_tensor t;
            mige_net_tensor(k->member[i].net, j, &t);
            for (int g = 0; g < VECTORS; g++) MIGE_TRY(read_tensor(f, &k->member[i], &t, g, foreign));
        }
    return MIGE_OK;
}

/* All sums are compared: of the file when it was opened, or else of its sets here, and of each set as it is read.
 * *foreign: it is good, but does not fit. */
static int read_open(const mige_file *f, int64_t step, mige_checkpoint *k, int *foreign) {
    if (!mige_file_sealed(f)) MIGE_TRY(mige_file_verify(f, NULL));
    int64_t stored;
    MIGE_TRY(mige_file_get_int(f, "/", "step", &stored));
    MIGE_CHECK(stored == step, MIGE_EINPUT, "%s: holds step %lld (it was renamed)", mige_file_path(f),
               (long long)stored);
    *foreign = 1;
    if (k->check) MIGE_TRY(check_trajectory(f, k));
    *foreign = 0;
    MIGE_TRY(read_tensors(f, k, foreign));
    int64_t keep = 1; /* files of earlier versions have neither */
    k->number = 0;
    if (mige_file_has(f, "number")) MIGE_TRY(mige_file_get_int(f, "/", "number", &k->number));
    if (mige_file_has(f, "keep")) MIGE_TRY(mige_file_get_int(f, "/", "keep", &keep));
    k->keep = keep != 0;
    k->step = step;
    return MIGE_OK;
}

/* *damaged: an earlier one may do. Not one that is whole but of another run, nor one that cannot be read now. */
static int read_one(const char *run, int64_t step, mige_checkpoint *k, int *damaged) {
    mige_file *f;
    char path[PATH_SIZE];
    int foreign = 0;
    *damaged = 0;
    file_path(run, step, "", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    MIGE_CHECK(fd >= 0 || errno == ENOENT, MIGE_EINPUT, "%s: cannot be read: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    int err = mige_file_open(path, "mige-checkpoint", &f);
    if (!err) {
        err = read_open(f, step, k, &foreign);
        mige_file_close(&f);
    }
    *damaged = err == MIGE_EINPUT && !foreign;
    return err;
}

/* checkpoint-<step>.h5.damaged or, where that is taken, .damaged-2 ... */
static void aside_path(const char *run, int64_t step, char path[PATH_SIZE]) {
    char suffix[32];
    struct stat st;
    file_path(run, step, ".damaged", path);
    for (int i = 2; lstat(path, &st) == 0; i++) {
        snprintf(suffix, sizeof suffix, ".damaged-%d", i);
        file_path(run, step, suffix, path);
    }
}

int mige_checkpoint_set_aside(const char *run, int64_t step) {
    int64_t *steps;
    int n;
    char path[PATH_SIZE], aside[PATH_SIZE];
    int err = list(run, "", &steps, &n);
    for (int i = 0; !err && i < n && steps[i] > step; i++) {
        file_path(run, steps[i], "", path);
        aside_path(run, steps[i], aside);
        if (rename(path, aside) != 0 && errno != ENOENT)
            err = mige_raise(MIGE_EOUTPUT, "%s: could not be set aside: %s", path, strerror(errno));
    }
    free(steps);
    return err;
}

int mige_checkpoint_newest(const char *run, mige_checkpoint *k, void (*tell)(const char *message)) {
    int64_t *steps;
    int n, damaged = 0;
    k->step = -1;
    int err = list(run, "", &steps, &n);
    for (int i = 0; !err && i < n; i++) {
        err = read_one(run, steps[i], k, &damaged);
        if (!err || !damaged) break;
        if (tell) tell(mige_error());
        err = MIGE_OK;
    }
    free(steps);
    if (err || !damaged) return err;
    return mige_raise(MIGE_EINPUT,
                      "%s: none of its checkpoints is good (mend or delete them, or give another folder)", run);
}

void mige_checkpoint_warn(const char *message) {
    mige_warn("%s; looking for an earlier one", message);
}
