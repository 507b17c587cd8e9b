/* Where an output really goes, before anything is written there. */
#include "io/file.h"
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINKS = 40 };

/* What a link names, as seen from where the link is. 0 or an errno. */
static int follow(char path[PATH_MAX]) {
    char to[PATH_MAX], copy[PATH_MAX];
    ssize_t n = readlink(path, to, sizeof to - 1);
    if (n < 0) return errno;
    to[n] = 0;
    strcpy(copy, path);
    int length =
        to[0] == '/' ? snprintf(path, PATH_MAX, "%s", to) : snprintf(path, PATH_MAX, "%s/%s", dirname(copy), to);
    return length < PATH_MAX ? 0 : ENAMETOOLONG;
}

int mige_output_target(const char *path, char **target) {
    char at[PATH_MAX];
    struct stat st;
    int why = snprintf(at, sizeof at, "%s", path) < PATH_MAX ? 0 : ENAMETOOLONG, links = 0;
    *target = NULL;
    if (!why && stat(at, &st) == 0) {
        MIGE_CHECK(!S_ISDIR(st.st_mode), MIGE_EOUTPUT, "%s: is a folder (name a file)", path);
        MIGE_CHECK(S_ISREG(st.st_mode), MIGE_EOUTPUT,
                   "%s: is not a regular file but a device, pipe or socket (name a file)", path);
        if (access(at, W_OK) != 0) why = errno;
    }
    while (!why && lstat(at, &st) == 0 && S_ISLNK(st.st_mode)) why = links++ < MOST_LINKS ? follow(at) : ELOOP;
    MIGE_CHECK(!why, MIGE_EOUTPUT, "%s: cannot be written: %s (choose another name or folder)", path,
               strerror(why));
    return mige_text(target, "%s", at);
}

int mige_output_folder(const char *path, const char *target) {
    char copy[PATH_MAX];
    struct stat st;
    snprintf(copy, sizeof copy, "%s", target);
    const char *folder = dirname(copy);
    int why = stat(folder, &st) ? errno : !S_ISDIR(st.st_mode) ? ENOTDIR : access(folder, W_OK | X_OK) ? errno : 0;
    MIGE_CHECK(!why, MIGE_EOUTPUT, "%s: cannot be written: %s (choose another folder, or make it)", path,
               strerror(why));
    return MIGE_OK;
}

int mige_same_file(const char *a, const char *b) {
    struct stat x, y;
    return *a && *b && !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int mige_output_is(const char *output, const char *file) {
    char part[PATH_MAX], *target;
    if (!*output || mige_output_target(output, &target)) return 0;
    int same = mige_same_file(target, file);
    if (snprintf(part, sizeof part, "%s.part", target) < PATH_MAX) same = same || mige_same_file(part, file);
    free(target);
    return same;
}
