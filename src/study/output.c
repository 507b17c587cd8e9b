/* What is left of a study, in its file, so that nobody writes over what another run would have gone on with. */
#include "mige/log.h"
#include "study/study.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char LEFT[] = "gradients_left";

/* What is at `output` is to be replaced by something unfinished: a finished one is renamed, to OUTPUT.old or, where
 * that is taken, OUTPUT.old2 ... */
static int keep_finished(const char *output) {
    enum { MOST = 100 };
    mige_file *f;
    char *path = realpath(output, NULL), old[PATH_MAX + 16];
    int finished = 0, err = MIGE_OK;
    if (path && !mige_file_open(path, NULL, &f)) {
        finished = study_left(f) == 0;
        mige_file_close(&f);
    }
    for (int i = 1; finished && i < MOST; i++) {
        snprintf(old, sizeof old, i > 1 ? "%s.old%d" : "%s.old", path, i);
        if (!access(old, F_OK)) continue;
        finished = 0;
        if (rename(path, old))
            err = mige_raise(MIGE_EFAIL, "%s: cannot be renamed to %s: %s", path, old, strerror(errno));
        else
            mige_warn("%s was there, finished: it is now %s", path, old);
    }
    if (!err && finished) err = mige_raise(MIGE_EFAIL, "%s: there are too many older ones (delete some)", path);
    free(path);
    return err;
}

int study_write_left(mige_file *f, const char *output, int64_t left) {
    if (left) MIGE_TRY(keep_finished(output));
    return mige_file_set_int(f, "/", LEFT, left);
}

int64_t study_left(const mige_file *f) {
    int64_t left;
    return mige_file_get_int(f, "/", LEFT, &left) ? 0 : left;
}

static int check(const study *s) {
    mige_file *f;
    if (s->resume || access(s->output, F_OK)) return MIGE_OK;
    if (mige_file_open(s->output, NULL, &f)) return MIGE_OK; /* something else, or what cannot be gone on with */
    int64_t left = study_left(f);
    mige_file_close(&f);
    MIGE_CHECK(left == 0, MIGE_EUSAGE,
               "--output: %s is a study with %lld gradients to go (--resume goes on with it; or delete it)",
               s->output, (long long)left);
    return MIGE_OK;
}

int study_check_output(const study *s) {
    return mige_agree(s->c, s->c->rank == 0 ? check(s) : MIGE_OK);
}
