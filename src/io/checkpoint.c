#include "mige/checkpoint.h"
#include "mige/error.h"
#include "mige/io.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 2048, TRAJECTORY_SIZE = 1 << 16 };

static void file_path(const char *run, int64_t step, char path[PATH_SIZE]) {
    snprintf(path, PATH_SIZE, "%s/checkpoint-%lld.h5", run, (long long)step);
}

/* The three flat vectors that a parameter tensor has a piece of; a state tensor has the first only. */
static const char *const groups[] = {"encoder", "adam_m", "adam_v"};

static float *piece(const mige_checkpoint *k, const mige_tensor *t, int group) {
    float *base[] = {t->is_state ? k->state : k->params, k->m, k->v};
    if ((group > 0 && t->is_state) || !base[group]) return NULL;
    return base[group] + t->offset;
}

static mige_layout tensor_layout(const mige_tensor *t) {
    mige_layout l = {MIGE_F32, t->ndim, {0}};
    memcpy(l.dims, t->dims, sizeof l.dims);
    return l;
}

static int write_tensors(mige_file *f, const mige_checkpoint *k) {
    static const char *const what[] = {"parameter or running statistic of the encoder", "first moment of Adam",
                                       "second moment of Adam"};
    for (int i = 0; i < mige_net_num_tensors(k->net); i++) {
        mige_tensor t;
        mige_net_tensor(k->net, i, &t);
        for (int g = 0; g < 3; g++) {
            char name[128];
            const float *data = piece(k, &t, g);
            snprintf(name, sizeof name, "/%s/%s", groups[g], t.name);
            if (data) MIGE_TRY(mige_file_write(f, name, tensor_layout(&t), data, "1", what[g], 0));
        }
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

int mige_checkpoint_list(const char *run, int64_t **steps, int *n) {
    int room = 16;
    *n = 0;
    MIGE_TRY(mige_alloc((size_t)room, sizeof **steps, steps));
    DIR *d = opendir(run);
    if (!d) return MIGE_OK;
    for (struct dirent *e; (e = readdir(d));) {
        long long step;
        char back[64];
        if (sscanf(e->d_name, "checkpoint-%lld.h5", &step) != 1 || step < 0) continue;
        snprintf(back, sizeof back, "checkpoint-%lld.h5", step);
        if (strcmp(back, e->d_name) != 0) continue; /* .part and others */
        if (*n == room) {
            int64_t *more = realloc(*steps, (size_t)(room *= 2) * sizeof *more);
            if (!more) break;
            *steps = more;
        }
        (*steps)[(*n)++] = step;
    }
    closedir(d);
    qsort(*steps, (size_t)*n, sizeof **steps, newest_first);
    return MIGE_OK;
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

/* Of the checkpoints up to the one just written, down to the first that is kept or was known not to be: what is
 * older was decided before. A file that cannot be deleted is no reason to stop. */
static int forget_old(const char *run, int64_t newest, int64_t unkept) {
    int64_t *steps;
    int n;
    char path[PATH_SIZE];
    MIGE_TRY(mige_checkpoint_list(run, &steps, &n));
    for (int i = 0, good = 0; i < n; i++) {
        if (steps[i] > newest || ++good <= 2) continue;
        file_path(run, steps[i], path);
        if (steps[i] != unkept && is_kept(path)) break;
        unlink(path);
        if (steps[i] == unkept) break;
    }
    free(steps);
    return MIGE_OK;
}

int mige_checkpoint_write(const char *run, const mige_checkpoint *k) {
    mige_file *f;
    char path[PATH_SIZE];
    file_path(run, k->step, path);
    MIGE_TRY(mige_file_create(path, "mige-checkpoint", &f));
    int err = write_tensors(f, k);
    if (err) {
        mige_file_discard(&f);
        return err;
    }
    MIGE_TRY(mige_file_commit(&f));
    return forget_old(run, k->step, k->unkept);
}

/* The line of `text` that begins with the first n characters of `line`, and its length; NULL: none. */
static const char *find_line(const char *text, const char *line, size_t n, size_t *length) {
    for (; *text; text += *length + (text[*length] == '\n')) {
        *length = strcspn(text, "\n");
        if (*length >= n && !strncmp(text, line, n)) return text;
    }
    *length = 0;
    return NULL;
}

/* Every line of ours must be one of theirs; what else there is there, an earlier version wrote. */
static int compare_trajectory(const char *path, const char *theirs, const char *ours) {
    for (size_t n; *ours; ours += n + (ours[n] == '\n')) {
        n = strcspn(ours, "\n");
        const char *name_end = memchr(ours, '=', n);
        size_t name = name_end ? (size_t)(name_end - ours) + 1 : n, length;
        const char *found = find_line(theirs, ours, name, &length);
        MIGE_CHECK(found && length == n && !strncmp(found, ours, n), MIGE_EINPUT,
                   "%s: its run has \"%.*s\", this one \"%.*s\" (give the same options, or another --out)", path,
                   (int)length, found ? found : "", (int)n, ours);
    }
    return MIGE_OK;
}

static int check_trajectory(const mige_file *f, const char *path, const char *ours) {
    char *theirs;
    MIGE_TRY(mige_alloc(TRAJECTORY_SIZE, 1, &theirs));
    int err = mige_file_get_text(f, "/", "trajectory", theirs, TRAJECTORY_SIZE);
    if (!err) err = compare_trajectory(path, theirs, ours);
    free(theirs);
    return err;
}

static int read_tensor(const mige_file *f, const mige_checkpoint *k, const mige_tensor *t, int group) {
    char name[128];
    mige_layout stored, wanted = tensor_layout(t);
    float *data = piece(k, t, group);
    if (!data) return MIGE_OK;
    snprintf(name, sizeof name, "/%s/%s", groups[group], t->name);
    MIGE_TRY(mige_file_layout(f, name, &stored));
    int same = stored.ndim == wanted.ndim;
    for (int d = 0; same && d < wanted.ndim; d++) same = stored.dims[d] == wanted.dims[d];
    MIGE_CHECK(same, MIGE_EINPUT, "%s: %s has another shape than this run's (another architecture)",
               mige_file_path(f), name);
    return mige_file_read(f, name, MIGE_F32, 0, stored.dims[0], data);
}

static int read_open(const mige_file *f, int64_t step, mige_checkpoint *k, int *whole) {
    MIGE_TRY(mige_file_verify(f));
    int64_t stored;
    MIGE_TRY(mige_file_get_int(f, "/", "step", &stored));
    MIGE_CHECK(stored == step, MIGE_EINPUT, "%s: holds step %lld (it was renamed)", mige_file_path(f),
               (long long)stored);
    *whole = 1;
    if (k->trajectory) MIGE_TRY(check_trajectory(f, mige_file_path(f), k->trajectory));
    for (int i = 0; i < mige_net_num_tensors(k->net); i++) {
        mige_tensor t;
        mige_net_tensor(k->net, i, &t);
        for (int g = 0; g < 3; g++) MIGE_TRY(read_tensor(f, k, &t, g));
    }
    k->number = 0; /* files of earlier versions have none */
    if (mige_file_has(f, "number")) MIGE_TRY(mige_file_get_int(f, "/", "number", &k->number));
    k->step = step;
    return MIGE_OK;
}

static int read_one(const char *run, int64_t step, mige_checkpoint *k, int *whole) {
    mige_file *f;
    char path[PATH_SIZE];
    *whole = 0;
    file_path(run, step, path);
    MIGE_TRY(mige_file_open(path, "mige-checkpoint", &f));
    int err = read_open(f, step, k, whole);
    mige_file_close(&f);
    return err;
}

int mige_checkpoint_set_aside(const char *run, int64_t step) {
    int64_t *steps;
    int n;
    char path[PATH_SIZE], aside[PATH_SIZE + 16];
    MIGE_TRY(mige_checkpoint_list(run, &steps, &n));
    for (int i = 0; i < n && steps[i] > step; i++) {
        file_path(run, steps[i], path);
        snprintf(aside, sizeof aside, "%s.damaged", path);
        if (rename(path, aside) != 0 && errno != ENOENT) {
            free(steps);
            return mige_raise(MIGE_EOUTPUT, "%s: could not be set aside: %s", path, strerror(errno));
        }
    }
    free(steps);
    return MIGE_OK;
}

int mige_checkpoint_newest(const char *run, mige_checkpoint *k, void (*damaged)(const char *message)) {
    int64_t *steps;
    int n, whole = 0, err = MIGE_OK;
    k->step = -1;
    MIGE_TRY(mige_checkpoint_list(run, &steps, &n));
    for (int i = 0; i < n; i++) {
        err = read_one(run, steps[i], k, &whole);
        if (!err || whole) break;
        damaged(mige_error());
    }
    free(steps);
    return err;
}
