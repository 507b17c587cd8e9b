/* A file with all that ours have in it: contiguous, compressed, extensible, text. */
#ifndef MIGE_TESTS_WHOLE_H
#define MIGE_TESTS_WHOLE_H

#include "folder.h"
#include "mige/io.h"
#include <sys/stat.h>

enum { ROWS = 300, WIDTH = 70 };

static inline int exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

static inline float value(int i) {
    return (float)((i * 2654435761u) % 100003) / 7.0f;
}

static inline int write_all(const char *path, int rows) {
    static float x[ROWS * WIDTH];
    static double y[ROWS];
    static unsigned char u[ROWS * WIDTH];
    static const char *const names[] = {"cat", "", "ship of the line"};
    for (int i = 0; i < rows * WIDTH; i++) x[i] = value(i), u[i] = (unsigned char)(i * 2654435761u >> 13);
    for (int i = 0; i < rows; i++) y[i] = 1.0 / (i + 3);
    mige_file *f;
    MIGE_TRY(mige_file_create(path, "mige-score", &f));
    int err;
    MIGE_TRY_GOTO(mige_file_write(f, "/a/x", (mige_layout){MIGE_F32, 2, {rows, WIDTH}}, x, "1", "features", 0),
                  bad);
    MIGE_TRY_GOTO(mige_file_write(f, "/a/u", (mige_layout){MIGE_U8, 3, {rows, WIDTH / 2, 2}}, u, "1", "pixels",
                                  MIGE_COMPRESS),
                  bad);
    MIGE_TRY_GOTO(
        mige_file_write(f, "/y", (mige_layout){MIGE_F64, 1, {rows}}, y, "nat", "information", MIGE_EXTENSIBLE),
        bad);
    MIGE_TRY_GOTO(mige_file_write(f, "/none", (mige_layout){MIGE_I64, 1, {0}}, NULL, "1", "nothing", 0), bad);
    MIGE_TRY_GOTO(mige_file_write_names(f, "/names", 3, names, "names"), bad);
    MIGE_TRY_GOTO(mige_file_set_real(f, "/a/x", "width", 0.1), bad);
    MIGE_TRY_GOTO(mige_file_set_int(f, "/", "step", INT64_MIN), bad);
    return mige_file_commit(&f, 0);
bad:
    mige_file_close(&f);
    return err;
}

#endif
