/* mige verify: any of our files. One rank works; every file is told of, the worst decides. */
#include "app/app.h"
#include "mige/log.h"
#include <string.h>

/* Images as a training would read them. */
static int verify_images(const char *path) {
    mige_comm alone;
    mige_data d = {0};
    MIGE_TRY(mige_comm_create(MPI_COMM_SELF, &alone));
    int err = mige_data_open(&alone, path, &d);
    mige_data_close(&d);
    mige_comm_destroy(&alone);
    return err;
}

static int verify(const char *path) {
    mige_file *f;
    char format[64] = "";
    int sums = 0;
    MIGE_TRY(mige_file_open(path, NULL, &f));
    int err = mige_file_verify(f, &sums);
    if (!err) err = mige_file_get_text(f, "/", "format", format, sizeof format);
    int64_t left = err ? 0 : study_left(f);
    int images = !err && !strcmp(format, "mige-data") && mige_file_has(f, "/train/images");
    mige_file_close(&f);
    if (images) err = verify_images(path);
    if (!err)
        mige_print("%s: good (%s%s%s)", path, format, left ? "; a study with gradients to go" : "",
                   sums ? "" : "; without sums to compare");
    return err;
}

static int verify_all(const app *a) {
    int bad = 0;
    for (int i = 0; i < a->nfiles; i++)
        if (verify(a->files[i])) {
            if (bad++ || a->nfiles > 1) mige_print("%s", mige_error());
        }
    if (bad && a->nfiles > 1) return mige_raise(MIGE_EINPUT, "verify: %d of %d files are not good", bad, a->nfiles);
    return bad ? MIGE_EINPUT : MIGE_OK;
}

int cmd_verify(app *a) {
    MIGE_CHECK(a->nfiles > 0, MIGE_EUSAGE, "verify: no file given (mige verify F.h5...)");
    return mige_agree(&a->comm, a->comm.rank == 0 ? verify_all(a) : MIGE_OK);
}
