/* Folders, and who writes in them. */
#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 50, LOCK_PAUSE = 100000000 }; /* five seconds: a job that is being killed may need them */

int mige_make_folder(const char *path) {
    struct stat st;
    char *part;
    MIGE_TRY(mige_text(&part, "%s", path));
    int why = 0;
    for (char *p = part; *p && !why; p++) {
        if (p[1] && (p[1] != '/' || p == part)) continue;
        char next = p[1];
        p[1] = 0;
        /* Not the answer of mkdir: a folder on a read-only file system is one all the same. */
        if (stat(part, &st) != 0 && mkdir(part, 0777) != 0 && errno != EEXIST) why = errno;
        p[1] = next;
    }
    free(part);
    MIGE_CHECK(!why, MIGE_EOUTPUT, "%s: the folder cannot be made: %s (choose another)", path, strerror(why));
    MIGE_CHECK(stat(path, &st) == 0 && S_ISDIR(st.st_mode), MIGE_EOUTPUT, "%s: is not a folder (choose another)",
               path);
    return MIGE_OK;
}

int mige_try_folder(const char *path) {
    char at[PATH_MAX], copy[PATH_MAX];
    struct stat st;
    snprintf(at, sizeof at, "%s", path);
    while (lstat(at, &st) != 0 && errno == ENOENT && strcmp(at, ".") != 0) /* a link to nothing is in the way */
        snprintf(at, sizeof at, "%s", dirname(strcpy(copy, at)));
    int there = stat(at, &st) == 0, why = there ? 0 : errno;
    MIGE_CHECK(!there || S_ISDIR(st.st_mode), MIGE_EOUTPUT, "%s: is not a folder (choose another)", at);
    if (there && access(at, W_OK | X_OK) != 0) why = errno;
    MIGE_CHECK(!why, MIGE_EOUTPUT, "%s: the folder cannot be %s: %s (choose another)", path,
               strcmp(at, path) ? "made" : "written to", strerror(why));
    return MIGE_OK;
}

/* Record locks: children do not inherit them, and network file systems mostly have them. One that has none (any
 * other error) is no reason to refuse. */
int mige_io_locked_by_other(int fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_SETLK, &whole) != 0 && (errno == EACCES || errno == EAGAIN);
}

int mige_lock_folder(const char *path, int *lock) {
    char *name;
    *lock = -1;
    MIGE_TRY(mige_text(&name, "%s/.lock", path));
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666), taken = 0;
    for (int i = 0; fd >= 0 && (taken = mige_io_locked_by_other(fd)) && i < LOCK_TRIES; i++)
        nanosleep(&(struct timespec){0, LOCK_PAUSE}, NULL);
    if (taken) {
        close(fd);
        mige_raise(MIGE_EOUTPUT, "%s: another process writes in it (give another folder; if none does, delete %s)",
                   path, name);
    }
    free(name);
    if (taken) return MIGE_EOUTPUT;
    *lock = fd; /* -1 where nothing can be made: writing will tell */
    return MIGE_OK;
}

int mige_check_folder(const char *path, int lock) {
    struct stat mine, there;
    char *name;
    if (lock < 0) return MIGE_OK;
    MIGE_TRY(mige_text(&name, "%s/.lock", path));
    int gone = stat(name, &there) != 0, why = gone ? errno : 0;
    free(name);
    if (gone && why != ENOENT && why != ENOTDIR) return MIGE_OK; /* writing will tell */
    MIGE_CHECK(
        !gone && fstat(lock, &mine) == 0 && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino,
        MIGE_EOUTPUT,
        "%s: is not the folder any more that this run began in (was it deleted or moved, or is another run's?)",
        path);
    return MIGE_OK;
}

int mige_folder_locked(const char *path) {
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    char name[MIGE_RUN_PATH];
    if (mige_run_path(path, ".lock", name)) return 0;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    int locked = fd >= 0 && fcntl(fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    if (fd >= 0) close(fd);
    return locked;
}

int mige_run_path(const char *run, const char *name, char path[MIGE_RUN_PATH]) {
    int n = snprintf(path, MIGE_RUN_PATH, "%s/%s", run, name);
    MIGE_CHECK(n < MIGE_RUN_PATH, MIGE_EUSAGE, "%.40s...: path too long (%d characters at most)", run,
               MIGE_RUN_PATH - 1);
    return MIGE_OK;
}
