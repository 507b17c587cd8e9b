#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_NAME = NAME_MAX - 5 }; /* of a file, with .part */

/* Silences the library and leaves its end to the system. Before any other call to it. */
static void start(void) {
    static _Thread_local int started; /* HDF5 prints its errors, or not, by thread */
    if (started) return;
    started = 1;
    /* Its exit handler would close, and so write, files that are open when the program gives up. */
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* Keeps the system's own words where the stack has them, else the innermost description. */
static herr_t find_reason(unsigned n, const H5E_error2_t *e, void *ctx) {
    char *why = ctx;
    const char *text = e->desc ? e->desc : "", *system = strstr(text, "error message = '");
    if (system) {
        system = strchr(system, '\'') + 1;
        snprintf(why, 200, "%.*s", (int)strcspn(system, "'"), system);
        return 1;
    }
    if (n == 0) snprintf(why, 200, "%s", text);
    return 0;
}

static void reason(char why[200]) {
    why[0] = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, find_reason, why);
    if (!why[0]) snprintf(why, 200, "unknown error of HDF5");
}

int mige_io_written(mige_file *f, const char *name, int bad) {
    char why[200];
    if (!bad && !f->sink.why) return MIGE_OK;
    if (f->sink.why)
        snprintf(why, sizeof why, "%s", strerror(f->sink.why));
    else
        reason(why);
    f->broken = 1;
    return mige_raise(MIGE_EOUTPUT, "%s: %s could not be written: %s (free some space, or choose another folder)",
                      f->path, name, why);
}

int mige_io_unread(const mige_file *f, const char *name) {
    char why[200];
    reason(why);
    if (strstr(why, "version number"))
        return mige_raise(
            MIGE_EINPUT,
            "%s: %s was written by a newer HDF5 than the %s here (%s; write it with libver='v110', or "
            "h5repack -j 0 -k 2 OLD NEW)",
            f->path, name, mige_hdf5_version(), why);
    if (strstr(why, "already open for write"))
        return mige_raise(MIGE_EINPUT, "%s: is being written, or its writer was killed (wait; or h5clear -s %s)",
                          f->path, f->path);
    return mige_raise(MIGE_EINPUT, "%s: %s could not be read: %s (is the file damaged?)", f->path, name, why);
}

const char *mige_file_path(const mige_file *f) {
    return f->path;
}

int mige_file_sealed(const mige_file *f) {
    return f->sealed;
}

static int file_new(const char *path, mige_file **out) {
    start();
    MIGE_TRY(mige_alloc(1, sizeof **out, out));
    mige_file *f = *out;
    f->id = f->sink.fd = -1;
    int err = mige_text(&f->path, "%s", path);
    if (err) mige_file_close(out);
    return err;
}

hid_t mige_io_access(mige_sink *sink) {
    hid_t a = H5Pcreate(H5P_FILE_ACCESS);
    if (a < 0) return a;
    /* The newest format all of its metadata carries checksums in, and that 1.10 still reads. */
    H5Pset_libver_bounds(a, H5F_LIBVER_V110, sink ? H5F_LIBVER_V110 : H5F_LIBVER_LATEST);
    H5Pset_fclose_degree(a, sink ? H5F_CLOSE_STRONG : H5F_CLOSE_WEAK); /* as links out of it open theirs */
#if H5_VERSION_GE(1, 10, 7)
    /* Some cluster file systems have no locks; a finished file does not change, a .part has one writer. */
    H5Pset_file_locking(a, 0, 1);
#endif
    if (!sink || mige_io_set_driver(a, sink) == 0) return a;
    H5Pclose(a);
    return -1;
}

/* Whether a .part is somebody else's: not empty, and neither of HDF5 nor begun without its first bytes, as writers
 * that are killed leave it. */
static int is_foreign(int fd, int64_t bytes) {
    static const unsigned char ours[2][4] = {{0x89, 'H', 'D', 'F'}, {0}};
    unsigned char head[4] = {0};
    size_t n = 0;
    return bytes > 0 && !mige_io_read_at(fd, 0, head, sizeof head, &n) && memcmp(head, ours[0], n) != 0 &&
           memcmp(head, ours[1], n) != 0;
}

static int is_ours(const mige_file *f) {
    char found[64];
    return mige_io_has_attribute(f, "/", "format") && !mige_file_get_text(f, "/", "format", found, sizeof found) &&
           !strncmp(found, "mige-", 5);
}

/* Whether a .part is a whole HDF5 file of another program; ours that is not finished does not open, or has its
 * format. Not under the lock, which would go with the library's descriptor. */
static int is_of_others(const char *part) {
    struct stat st;
    if (lstat(part, &st) != 0 || !S_ISREG(st.st_mode) || !st.st_size) return 0;
    hid_t a = mige_io_access(NULL), id = H5Fopen(part, H5F_ACC_RDONLY, a);
    const mige_file f = {.id = id, .path = (char *)(uintptr_t)part};
    H5Pclose(a);
    if (id < 0) return 0;
    int known = is_ours(&f);
    H5Fclose(id);
    return !known;
}

/* Opened, locked and only then, to be written, emptied: another process may be writing it, or have put it in place
 * meanwhile. errno. */
static int open_part(mige_file *f, int write) {
    struct stat mine, named;
    int others = is_of_others(f->part);
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (write ? O_CREAT : 0);
    int fd = f->sink.fd = open(f->part, flags, 0666);
    if (fd < 0) return errno == ENOENT && !write ? 0 : errno;
    int known = fstat(fd, &mine) == 0 && stat(f->part, &named) == 0, regular = known && S_ISREG(mine.st_mode);
    int same = known && !mige_io_locked_by_other(fd) && mine.st_ino == named.st_ino;
    int why = known && !regular                                 ? EEXIST
              : !same                                           ? EBUSY
              : others || is_foreign(fd, (int64_t)mine.st_size) ? ENOTEMPTY
              : write && ftruncate(fd, 0) != 0                  ? errno
                                                                : 0;
    if (!why && write) return 0;
    close(fd);
    f->sink.fd = -1;
    return why;
}

/* write = 0: only finds what would hinder. */
static int take_part(mige_file *f, int write) {
    MIGE_TRY(mige_output_target(f->path, &f->target));
    if (!write) MIGE_TRY(mige_output_folder(f->path, f->target));
    MIGE_TRY(mige_text(&f->part, "%s.part", f->target));
    int why = open_part(f, write);
    if (write && !why) return MIGE_OK;
    free(f->part); /* not ours to delete */
    f->part = NULL;
    const char *slash = strrchr(f->target, '/');
    MIGE_CHECK(why != ENAMETOOLONG || strlen(slash ? slash + 1 : f->target) <= MOST_NAME, MIGE_EOUTPUT,
               "%s: cannot be written: %s (.part is added to the name while it is written: %d bytes at most)",
               f->path, strerror(why), MOST_NAME);
    MIGE_CHECK(!why, MIGE_EOUTPUT, "%s: cannot be written: %s (choose another folder, or make it)", f->path,
               why == EBUSY                    ? "another process is writing it"
               : why == EEXIST || why == ELOOP ? "its .part is there and is no regular file"
               : why == ENOTEMPTY              ? "its .part is another program's file, to be moved away"
                                               : strerror(why));
    return MIGE_OK;
}

static int create_part(mige_file *f) {
    MIGE_TRY(take_part(f, 1));
    struct stat old; /* what is private stays so, where the file system knows modes */
    if (stat(f->target, &old) == 0) (void)fchmod(f->sink.fd, old.st_mode & 0777);
    hid_t a = mige_io_access(&f->sink);
    if (a >= 0) f->id = H5Fcreate(f->part, H5F_ACC_TRUNC, H5P_DEFAULT, a);
    int err = mige_io_written(f, "its beginning", f->id < 0);
    if (a >= 0) H5Pclose(a);
    return err;
}

int mige_file_create(const char *path, const char *format, mige_file **out) {
    mige_file *f = NULL;
    *out = NULL;
    MIGE_TRY(file_new(path, &f));
    int err = create_part(f);
    if (!err) err = mige_io_stamp(f, format);
    if (err) mige_file_close(&f);
    *out = f;
    return err;
}

int mige_file_try(const char *path, int dry) {
    mige_file *f;
    if (!dry) MIGE_TRY(mige_file_create(path, "mige-data", &f));
    if (dry) MIGE_TRY(file_new(path, &f));
    int err = dry ? take_part(f, 0) : MIGE_OK;
    mige_file_close(&f);
    return err;
}

void mige_file_close(mige_file **pf) {
    mige_file *f = *pf;
    *pf = NULL;
    if (!f) return;
    f->sink.why = ECANCELED; /* what the library still holds need not be written */
    if (f->id >= 0) H5Fclose(f->id);
    if (f->part) unlink(f->part); /* under its lock, which goes with the descriptor */
    if (f->sink.fd >= 0) close(f->sink.fd);
    H5garbage_collect(); /* without the exit handler its lists of free memory would count as leaks */
    free(f->path);
    free(f->target);
    free(f->part);
    free(f);
}

/* The folder's entry is synced too; -1 where the folder cannot be opened, which some systems do not allow. */
static int folder_of(const char *path) {
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(copy);
    return fd;
}

static int publish(mige_file *f) {
    int folder = folder_of(f->target), why = 0;
    if (rename(f->part, f->target) != 0) why = errno;
    if (!why) {
        free(f->part);
        f->part = NULL;
    }
    /* Not every file system can sync a folder; only a failing device counts. */
    if (!why && folder >= 0 && fsync(folder) != 0 && errno == EIO) why = EIO;
    if (folder >= 0) close(folder);
    MIGE_CHECK(!why, MIGE_EOUTPUT, "%s: could not be put in place: %s (choose another name or folder)", f->path,
               strerror(why));
    return MIGE_OK;
}

static int finish(mige_file *f) {
    MIGE_CHECK(!f->broken, MIGE_EOUTPUT, "%s: given up after an earlier failure to write", f->path);
    MIGE_TRY(mige_io_written(f, "its contents", H5Fflush(f->id, H5F_SCOPE_GLOBAL) < 0));
    MIGE_TRY(mige_file_set_int(f, "/", "complete", 1));
    int bad = H5Fclose(f->id) < 0;
    f->id = -1;
    MIGE_TRY(mige_io_written(f, "its end", bad));
    return mige_io_seal(f->path, f->sink.fd); /* and synced: what did not fit is known */
}

int mige_file_commit(mige_file **pf, int err) {
    mige_file *f = *pf;
    *pf = NULL;
    if (!err) err = finish(f);
    if (!err) err = publish(f);
    mige_file_close(&f);
    return err;
}

/* A file of text whose name says neither that nor HDF5. */
static int is_text(const char *path, const unsigned char *head, size_t n) {
    const char *end = strrchr(path, '.');
    static const char *const known[] = {".csv", ".txt", ".h5", ".hdf5"};
    for (size_t i = 0; end && i < sizeof known / sizeof *known; i++)
        if (!strcmp(end, known[i])) return 0;
    for (size_t i = 0; i < n; i++)
        if (head[i] < 32 && !(head[i] && strchr("\t\r\n", head[i]))) return 0;
    return 1;
}

/* What can be told before the library sees the file. */
static int check_bytes(mige_file *f) {
    static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char head[264] = {0};
    struct stat st;
    int err = MIGE_OK, fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    MIGE_CHECK(fd >= 0, MIGE_EINPUT, "%s: cannot be read: %s (is the path right?)", f->path, strerror(errno));
    MIGE_CHECK_GOTO(fstat(fd, &st) == 0, done, MIGE_EINPUT, "%s: cannot be read: %s", f->path, strerror(errno));
    MIGE_CHECK_GOTO(S_ISREG(st.st_mode), done, MIGE_EINPUT, "%s: is not a regular file (name an HDF5 file)",
                    f->path);
    MIGE_CHECK_GOTO(st.st_size > 0, done, MIGE_EINPUT, "%s: is empty (make it again)", f->path);
    /* Files of others may have a block of their own before the signature. */
    size_t n;
    MIGE_CHECK_GOTO(!mige_io_read_at(fd, 0, head, sizeof head, &n), done, MIGE_EINPUT, "%s: cannot be read: %s",
                    f->path, strerror(errno));
    const char *kind = mige_bytes_kind(head, n);
    MIGE_CHECK_GOTO((n > 8 && memcmp(head, signature, 8) == 0) || H5Fis_hdf5(f->path) > 0, done, MIGE_EINPUT,
                    "%s: is not an HDF5 file%s%s", f->path, kind ? " but " : "",
                    kind                        ? kind
                    : is_text(f->path, head, n) ? " (text? name it .csv or .txt)"
                                                : " (is the path right?)");
    f->bytes = st.st_size;
    MIGE_TRY_GOTO(mige_io_check_seal(f->path, fd, f->bytes, &f->sealed), done);
done:
    close(fd);
    return err;
}

/* complete: what is meant where the attribute is missing. */
static int check_whole(const mige_file *f, int64_t complete) {
    if (mige_io_has_attribute(f, "/", "complete")) MIGE_TRY(mige_file_get_int(f, "/", "complete", &complete));
    MIGE_CHECK(complete == 1, MIGE_EINPUT, "%s: is not complete: its writer was stopped (make it again)", f->path);
    MIGE_CHECK(f->sealed || !mige_io_has_attribute(f, "/", "sealed"), MIGE_EINPUT,
               "%s: was cut or changed after it was written (make it again; if you changed it yourself, delete its "
               "attribute `sealed`)",
               f->path);
    return MIGE_OK;
}

/* A file that is read whatever its format may be one of ours. */
static int check_any(const mige_file *f) {
    return is_ours(f) && mige_io_has_attribute(f, "/", "format_version") ? check_whole(f, 1) : MIGE_OK;
}

static int check_format(const mige_file *f, const char *format) {
    char found[64];
    int64_t version = 0;
    MIGE_CHECK(mige_io_has_attribute(f, "/", "format"), MIGE_EINPUT,
               "%s: was not written by mige, or lacks the attribute `format` (data/README.md tells how to make a "
               "data file)",
               f->path);
    MIGE_TRY(mige_file_get_text(f, "/", "format", found, sizeof found));
    MIGE_CHECK(strncmp(found, "mige-", 5) == 0, MIGE_EINPUT, "%s: was not written by mige (its format is `%s`)",
               f->path, found);
    MIGE_CHECK(!format || strcmp(found, format) == 0, MIGE_EINPUT, "%s: is a %s file, not %s (is the path right?)",
               f->path, found, format);
    MIGE_TRY(mige_file_get_int(f, "/", "format_version", &version));
    MIGE_CHECK(version >= 1 && version <= MIGE_FORMAT_VERSION, MIGE_EINPUT,
               "%s: has format version %lld, this program knows 1 to %d (take a newer mige)", f->path,
               (long long)version, MIGE_FORMAT_VERSION);
    return check_whole(f, 0);
}

static int open_id(mige_file *f) {
    hid_t a = mige_io_access(NULL);
    f->id = H5Fopen(f->path, H5F_ACC_RDONLY, a);
    int err = f->id < 0 ? mige_io_unread(f, "its beginning") : MIGE_OK;
    H5Pclose(a);
    return err;
}

int mige_file_open(const char *path, const char *format, mige_file **out) {
    mige_file *f = NULL;
    int ours = !format || *format;
    *out = NULL;
    MIGE_TRY(file_new(path, &f));
    int err = check_bytes(f);
    if (!err) err = open_id(f);
    if (!err) err = ours ? check_format(f, format) : check_any(f);
    if (err) mige_file_close(&f);
    *out = f;
    return err;
}

int mige_file_may_replace(const char *path, const char *format) {
    mige_file *f;
    char why[1024];
    if (access(path, F_OK) != 0) return MIGE_OK;
    int err = mige_file_open(path, format, &f);
    mige_file_close(&f);
    snprintf(why, sizeof why, "%s", mige_error());
    MIGE_CHECK(!err, MIGE_EUSAGE, "%s; a new one would take its place (move it)", why);
    return MIGE_OK;
}
