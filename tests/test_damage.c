/* np: 1 */
/* HDF5 files: damage of every kind, and disks that are full. */
#include "mige/checkpoint.h"
#include "whole.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

/* For the leak sanitizer, which calls it: the library leaks a little for each damaged file that it refuses. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5";
}

static int open_files(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

static unsigned char *slurp(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*size + 1);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    fclose(f);
    return bytes;
}

/* Every byte in turn, some bits of it; all must be found out, the seal or HDF5's sums the first to see it. */
static void test_damage(void **state) {
    (void)state;
    const char *path = in_folder("damaged.h5");
    size_t size;
    assert_int_equal(write_all(in_folder("small.h5"), 3), 0);
    unsigned char *bytes = slurp(in_folder("small.h5"), &size);
    int before = open_files();
    for (size_t i = 0; i < size; i += 7) {
        unsigned char was = bytes[i];
        bytes[i] ^= (unsigned char)(1u << i % 8);
        spill(path, bytes, size);
        bytes[i] = was;
        mige_file *f;
        assert_int_equal(mige_file_open(path, NULL, &f), MIGE_EINPUT);
        assert_null(f);
    }
    for (size_t i = 0; i < size; i = i < size - 60 ? i + 53 : i + 1) {
        spill(path, bytes, i);
        mige_file *f;
        assert_int_equal(mige_file_open(path, NULL, &f), MIGE_EINPUT);
    }
    bytes[size] = 0;
    spill(path, bytes, size + 1);
    mige_file *f;
    assert_raised(mige_file_open(path, NULL, &f), MIGE_EINPUT, "cut or changed");
    assert_int_equal(open_files(), before);
    free(bytes);
}

static int told;
static void tell(const char *message) {
    (void)message;
    told++;
}

/* A folder that cannot be read is not one without checkpoints, and a file that cannot be opened is not damaged. */
static void test_unreadable(void **state) {
    (void)state;
    const char *run = in_folder("unreadable");
    char file[PATH + 32];
    int any = -1;
    assert_int_equal(mige_make_folder(run), MIGE_OK);
    assert_int_equal(mige_checkpoint_any(run, &any), MIGE_OK);
    assert_int_equal(any, 0);
    snprintf(file, sizeof file, "%s/checkpoint-7.h5", run);
    fclose(fopen(file, "w"));
    assert_int_equal(mige_checkpoint_any(run, &any), MIGE_OK);
    assert_int_equal(any, 1);
    assert_int_equal(mige_checkpoint_any(in_folder("not there"), &any), MIGE_OK);
    assert_int_equal(any, 0);

    mige_checkpoint k = {0};
    uid_t user = geteuid();
    told = 0;
    assert_int_equal(mige_checkpoint_newest(run, &k, tell), MIGE_EINPUT);
    assert_int_equal(told, 1);
    assert_int_equal(chmod(file, 0), 0);
    assert_int_equal(chmod(run, 0777), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    if (user == 0) assert_int_equal(seteuid(65534), 0); /* root reads everything */
    int err = mige_checkpoint_newest(run, &k, tell);
    if (user == 0) assert_int_equal(seteuid(0), 0);
    assert_int_equal(err, MIGE_EINPUT);
    assert_int_equal(told, 1);
    assert_non_null(strstr(mige_error(), "cannot be read"));
    assert_int_equal(chmod(run, 0300), 0);
    if (user == 0) assert_int_equal(seteuid(65534), 0);
    err = mige_checkpoint_any(run, &any);
    if (user == 0) assert_int_equal(seteuid(0), 0);
    assert_int_equal(err, MIGE_EINPUT);
    assert_int_equal(chmod(run, 0700), 0);
}

/* Without a seal (a file of another program) HDF5 and the sums of the data sets are what is left. */
static void test_damage_unsealed(void **state) {
    (void)state;
    const char *path = in_folder("damaged.h5");
    size_t size, found = 0, tried = 0;
    unsigned char *bytes = slurp("tests/ref/io_h5py.h5", &size);
    for (size_t i = 0; i < size; i += 3) {
        unsigned char was = bytes[i];
        bytes[i] ^= 0x40;
        spill(path, bytes, size);
        bytes[i] = was;
        mige_file *f;
        int err = mige_file_open(path, "mige-data", &f);
        if (!err) err = mige_file_verify(f, NULL);
        mige_file_close(&f);
        assert_true(err == 0 || err == MIGE_EINPUT);
        found += err != 0;
        tried++;
    }
    /* The values of /group/x are 24 bytes with the sum beside them. */
    for (size_t i = 0; i + 24 <= size; i++) {
        float first[2];
        memcpy(first, bytes + i, sizeof first);
        if (first[0] != -0.25f || first[1] != -0.125f) continue;
        bytes[i + 9] ^= 1;
        spill(path, bytes, size);
        mige_file *f;
        float x[6];
        assert_int_equal(mige_file_open(path, NULL, &f), 0);
        assert_raised(mige_file_verify(f, NULL), MIGE_EINPUT, "/group/x is damaged");
        assert_raised(mige_file_read(f, "/group/x", MIGE_F32, 0, 3, x), MIGE_EINPUT, "/group/x is damaged");
        mige_file_close(&f);
        free(bytes);
        return;
    }
    fail_msg("values not found; %zu of %zu changes noticed", found, tried);
}

static void test_unwritable(void **state) {
    (void)state;
    mige_file *f;
    assert_raised(mige_file_create(in_folder("no/such/x.h5"), "mige-run", &f), MIGE_EOUTPUT, "no/such/x.h5");
    assert_non_null(strstr(mige_error(), strerror(ENOENT)));
    assert_raised(mige_file_create(folder, "mige-run", &f), MIGE_EOUTPUT, "is a folder");
    /* A folder comes up where the file was to go. */
    const char *path = in_folder("taken.h5");
    assert_int_equal(mige_file_create(path, "mige-run", &f), 0);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_raised(mige_file_commit(&f, 0), MIGE_EOUTPUT, "taken.h5");
    assert_null(f);
    assert_false(exists(in_folder("taken.h5.part")));
    if (geteuid() == 0) return;
    chmod(folder, 0555);
    int err = mige_file_create(in_folder("x.h5"), "mige-run", &f);
    chmod(folder, 0755);
    assert_raised(err, MIGE_EOUTPUT, strerror(EACCES));
}

/* The file may grow to `limit` bytes: so a disk that fills up, at every stage of writing. */
static void test_full(void **state) {
    (void)state;
    char path[PATH];
    snprintf(path, sizeof path, "%s", in_folder("full.h5"));
    size_t size;
    struct rlimit old, now;
    assert_int_equal(write_all(path, ROWS), 0);
    free(slurp(path, &size));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    int before = open_files(), tried = 0;
    for (size_t limit = 0; limit < size; limit += limit < 4096 ? 97 : 1999, tried++) {
        now = old;
        now.rlim_cur = limit;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
        int err = write_all(path, ROWS);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_raised(err, MIGE_EOUTPUT, strerror(EFBIG));
        assert_non_null(strstr(mige_error(), "full.h5"));
        assert_false(exists(in_folder("full.h5.part")));
    }
    assert_true(tried > 80);
    assert_int_equal(open_files(), before);
    mige_file *f; /* the one before is what it was */
    assert_raised(mige_file_open(path, NULL, &f), MIGE_OK, "");
    assert_int_equal(mige_file_verify(f, NULL), 0);
    mige_file_close(&f);
}

/* The same with a real disk, as root can make one: nothing may stay open, or the space would not come back. */
static void test_full_disk(void **state) {
    (void)state;
    const char *disk = in_folder("disk");
    char path[PATH], part[PATH + 8], size[32];
    assert_int_equal(mkdir(disk, 0777), 0);
    if (geteuid() != 0 || mount("tmpfs", disk, "tmpfs", 0, "size=32k") != 0) skip();
    snprintf(path, sizeof path, "%s/x.h5", disk);
    snprintf(part, sizeof part, "%s.part", path);
    int small = write_all(path, 3), before = open_files(), wrong = 0, fitted = 0;
    for (int k = 36; k < 400 && !fitted; k += 4) {
        snprintf(size, sizeof size, "size=%dk", k);
        wrong += mount("tmpfs", disk, "tmpfs", MS_REMOUNT, size) != 0;
        int err = write_all(path, ROWS);
        fitted = err == MIGE_OK;
        wrong += !fitted && (err != MIGE_EOUTPUT || !strstr(mige_error(), strerror(ENOSPC)));
        wrong += exists(part) || open_files() != before;
        mige_file *f;
        err = mige_file_open(path, NULL, &f);
        if (!err) err = mige_file_verify(f, NULL);
        wrong += err != 0;
        mige_file_close(&f);
    }
    assert_int_equal(umount(disk), 0); /* refused if anything on it were open */
    assert_int_equal(small, 0);
    assert_int_equal(wrong, 0);
    assert_true(fitted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_damage_unsealed),
        cmocka_unit_test(test_unwritable),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
