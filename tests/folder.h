/* A folder for the files of a test, and what is said of them. */
#ifndef MIGE_TESTS_FOLDER_H
#define MIGE_TESTS_FOLDER_H

#include "raised.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 600 };

static char folder[256];

/* Both as cmocka calls them before and after a group. */
static inline int folder_make(void **state) {
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/mige-test-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(folder) == NULL;
}

static inline int folder_remove(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* The eight last are kept. */
static inline const char *in_folder(const char *name) {
    static char path[8][PATH];
    static int k;
    k = (k + 1) % 8;
    snprintf(path[k], PATH, "%s/%s", folder, name);
    return path[k];
}

static inline void spill(const char *path, const void *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

#endif
