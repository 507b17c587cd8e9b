/* What is left of a study, in its file, so that nobody writes over what another run would have gone on with. */
#include "mige/error.h"
#include "mige/io.h"
#include "study/study.h"
#include <unistd.h>

static const char LEFT[] = "gradients_left";

int study_write_left(mige_file *f, int64_t left) {
    return mige_file_set_int(f, "/", LEFT, left);
}

int64_t study_left(const mige_file *f) {
    int64_t left;
    return mige_file_get_int(f, "/", LEFT, &left) ? 0 : left;
}

static int check(const study *s) {
    mige_file *f;
    if (s->resume || s->dry_run || access(s->output, F_OK)) return MIGE_OK;
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
