/* np: 1 */
/* HDF5 files: round trips, the marks of a whole file, damage of every kind, and disks that are full. */
#include "mige/checkpoint.h"
#include "mige/error.h"
#include "mige/io.h"
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* For the leak sanitizer, which calls it: the library leaks a little for each damaged file that it refuses. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5";
}

enum { ROWS = 300, WIDTH = 70, PATH = 600 };

static char folder[256];

static const char *in_folder(const char *name) {
    static char path[8][PATH];
    static int k;
    k = (k + 1) % 8;
    snprintf(path[k], PATH, "%s/%s", folder, name);
    return path[k];
}

static int exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
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

static void spill(const char *path, const void *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static void assert_raised(int err, int code, const char *part) {
    if (err != code || !strstr(mige_error(), part)) print_error("%d: %s (expected: %s)\n", err, mige_error(), part);
    assert_int_equal(err, code);
    assert_non_null(strstr(mige_error(), part));
}

static float value(int i) {
    return (float)((i * 2654435761u) % 100003) / 7.0f;
}

/* Contiguous, compressed, extensible, text: all that our files have. */
static int write_all(const char *path, int rows) {
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

static void test_round_trip(void **state) {
    (void)state;
    const char *path = in_folder("round.h5");
    assert_int_equal(write_all(path, ROWS), 0);
    assert_false(exists(in_folder("round.h5.part")));
    mige_file *f;
    assert_int_equal(mige_file_open(path, "mige-score", &f), 0);
    mige_layout l;
    assert_int_equal(mige_file_layout(f, "/a/x", &l), 0);
    assert_true(l.type == MIGE_F32 && l.ndim == 2 && l.dims[0] == ROWS && l.dims[1] == WIDTH);
    static float x[ROWS * WIDTH];
    assert_int_equal(mige_file_read(f, "/a/x", MIGE_F32, 0, ROWS, x), 0);
    for (int i = 0; i < ROWS * WIDTH; i++) assert_true(x[i] == value(i));
    static double some[3 * WIDTH];
    assert_int_equal(mige_file_read(f, "/a/x", MIGE_F64, 100, 3, some), 0);
    for (int i = 0; i < 3 * WIDTH; i++) assert_true(some[i] == (double)value(100 * WIDTH + i));
    static unsigned char u[ROWS * WIDTH];
    assert_int_equal(mige_file_read(f, "/a/u", MIGE_U8, 0, ROWS, u), 0);
    for (int i = 0; i < ROWS * WIDTH; i++) assert_int_equal(u[i], (unsigned char)(i * 2654435761u >> 13));
    assert_int_equal(mige_file_layout(f, "/a/u", &l), 0);
    assert_true(l.type == MIGE_U8 && l.ndim == 3 && l.dims[1] == WIDTH / 2 && l.dims[2] == 2);
    assert_int_equal(mige_file_layout(f, "/none", &l), 0);
    assert_true(l.type == MIGE_I64 && l.dims[0] == 0);
    assert_raised(mige_file_read(f, "/y", MIGE_F64, ROWS - 1, 2, some), MIGE_EINPUT, "has 300 rows");
    assert_raised(mige_file_read(f, "/names", MIGE_U8, 0, 1, u), MIGE_EINPUT, "text");
    assert_raised(mige_file_read(f, "/b/x", MIGE_F32, 0, 1, x), MIGE_EINPUT, "/b/x");
    assert_int_equal(mige_file_verify(f, NULL), 0);
    mige_file_close(&f);
    assert_null(f);
    mige_file_close(&f);
}

static void test_attributes(void **state) {
    (void)state;
    const char *path = in_folder("round.h5");
    mige_file *f;
    char text[64];
    int64_t n;
    assert_int_equal(mige_file_open(path, NULL, &f), 0);
    assert_int_equal(mige_file_get_text(f, "/y", "units", text, sizeof text), 0);
    assert_string_equal(text, "nat");
    assert_int_equal(mige_file_get_text(f, "/a/u", "long_name", text, sizeof text), 0);
    assert_string_equal(text, "pixels");
    assert_raised(mige_file_get_text(f, "/a/u", "long_name", text, 6), MIGE_EINPUT, "too long");
    assert_int_equal(mige_file_get_int(f, "/", "step", &n), 0);
    assert_true(n == INT64_MIN);
    assert_raised(mige_file_get_int(f, "/", "absent", &n), MIGE_EINPUT, "absent");
    assert_raised(mige_file_get_int(f, "/", "format", &n), MIGE_EINPUT, "type");
    assert_true(mige_file_has(f, "/a/x") && mige_file_has(f, "step") && mige_file_has(f, "/none"));
    assert_false(mige_file_has(f, "/a") || mige_file_has(f, "/step") || mige_file_has(f, "x"));
    int count;
    char **names;
    assert_int_equal(mige_file_read_names(f, "/names", &count, &names), 0);
    assert_int_equal(count, 3);
    assert_string_equal(names[0], "cat");
    assert_string_equal(names[1], "");
    assert_string_equal(names[2], "ship of the line");
    free(names);
    assert_raised(mige_file_read_names(f, "/y", &count, &names), MIGE_EINPUT, "/y");
    mige_file_close(&f);
}

static void test_provenance(void **state) {
    (void)state;
    /* Longer than the 64 KB that an attribute could have in older files. */
    size_t long_size = 200000;
    char *hosts = malloc(long_size + 1), *back = malloc(long_size + 1);
    memset(hosts, 'n', long_size);
    hosts[long_size] = 0;
    mige_provenance p = {"mige x --y", "[mige]\nseed = 7\n", hosts, 3, 2, 7};
    mige_provenance_set(&p);
    assert_int_equal(write_all(in_folder("p.h5"), 5), 0);
    p = (mige_provenance){"", "", NULL, 1, 1, 0};
    mige_provenance_set(&p);
    mige_file *f;
    char text[64];
    static const char *const expected[][2] = {{"format", "mige-score"},
                                              {"software", "mige " MIGE_VERSION},
                                              {"command_line", "mige x --y"},
                                              {"config", "[mige]\nseed = 7\n"}};
    static const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"ranks", 3}, {"threads", 2}, {"seed", 7}, {"format_version", 1}, {"complete", 1}};
    assert_int_equal(mige_file_open(in_folder("p.h5"), NULL, &f), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(mige_file_get_text(f, "/", expected[i][0], text, sizeof text), 0);
        assert_string_equal(text, expected[i][1]);
    }
    for (size_t i = 0; i < 5; i++) {
        int64_t n;
        assert_int_equal(mige_file_get_int(f, "/", numbers[i].name, &n), 0);
        assert_true(n == numbers[i].value);
    }
    assert_int_equal(mige_file_get_text(f, "/", "git_revision", text, sizeof text), 0);
    assert_string_equal(text, mige_revision());
    assert_int_equal(mige_file_get_text(f, "/", "created", text, sizeof text), 0);
    assert_int_equal(strlen(text), strlen("2024-01-01T00:00:00Z"));
    assert_true(text[10] == 'T' && text[19] == 'Z');
    assert_int_equal(mige_file_get_text(f, "/", "hosts", back, long_size + 1), 0);
    assert_string_equal(back, hosts);
    mige_file_close(&f);
    free(hosts);
    free(back);
}

/* A file that h5py wrote, and sums that Python's zlib took. */
static void test_other_implementation(void **state) {
    (void)state;
    mige_file *f;
    int64_t crc;
    double x[6];
    int count;
    char **names;
    mige_layout l;
    assert_int_equal(mige_file_open("tests/ref/io_h5py.h5", "mige-data", &f), 0);
    assert_int_equal(mige_file_verify(f, NULL), 0);
    assert_int_equal(mige_file_read(f, "/group/x", MIGE_F64, 0, 3, x), 0);
    for (int i = 0; i < 6; i++) assert_true(x[i] == (float)(i / 8.0 - 0.25));
    assert_int_equal(mige_file_get_int(f, "/group/x", "crc32", &crc), 0);
    assert_true(crc == 0xffef76ab);
    assert_int_equal(mige_file_layout(f, "/half", &l), 0);
    assert_true(l.type == MIGE_F32 && l.dims[0] == 4);
    assert_int_equal(mige_file_read(f, "/half", MIGE_F64, 0, 4, x), 0);
    assert_true(x[0] == 0.5 && x[3] == -2.0);
    assert_int_equal(mige_file_read_names(f, "/names", &count, &names), 0);
    assert_int_equal(count, 2);
    assert_string_equal(names[1], "two");
    free(names);
    char text[32];
    assert_int_equal(mige_file_get_text(f, "/", "variable", text, sizeof text), 0);
    assert_string_equal(text, "of variable length");
    mige_file_close(&f);

    /* Our own sum of the same bytes. */
    float same[6];
    for (int i = 0; i < 6; i++) same[i] = (float)(i / 8.0 - 0.25);
    assert_int_equal(mige_file_create(in_folder("same.h5"), "mige-data", &f), 0);
    assert_int_equal(mige_file_write(f, "/x", (mige_layout){MIGE_F32, 2, {3, 2}}, same, "1", "x", 0), 0);
    assert_int_equal(mige_file_get_int(f, "/x", "crc32", &crc), 0);
    assert_true(crc == 0xffef76ab);
    assert_int_equal(mige_file_commit(&f, 0), 0);
}

static void test_refused(void **state) {
    (void)state;
    mige_file *f;
    const char *p = in_folder("round.h5");
    assert_raised(mige_file_open(p, "mige-data", &f), MIGE_EINPUT, "is a mige-score file, not mige-data");
    assert_raised(mige_file_open(in_folder("nowhere.h5"), NULL, &f), MIGE_EINPUT, "No such file");
    assert_raised(mige_file_open(folder, NULL, &f), MIGE_EINPUT, "not a regular file");
    spill(in_folder("empty.h5"), "", 0);
    assert_raised(mige_file_open(in_folder("empty.h5"), NULL, &f), MIGE_EINPUT, "is empty");
    spill(in_folder("text.h5"), "images, many of them", 20);
    assert_raised(mige_file_open(in_folder("text.h5"), NULL, &f), MIGE_EINPUT, "not an HDF5 file");
    assert_raised(mige_file_open("tests/ref/io_newer.h5", NULL, &f), MIGE_EINPUT, "has format version 2");
    assert_raised(mige_file_open("tests/ref/io_unfinished.h5", NULL, &f), MIGE_EINPUT, "is not complete");
    assert_raised(mige_file_open("tests/ref/io_foreign.h5", NULL, &f), MIGE_EINPUT, "was not written by mige");
    double x[2];
    assert_int_equal(mige_file_open("tests/ref/io_foreign.h5", MIGE_ANY_HDF5, &f), 0);
    assert_int_equal(mige_file_read(f, "/x", MIGE_F64, 0, 2, x), 0);
    assert_true(x[0] == 258 && x[1] == -3); /* big-endian 16-bit integers */
    assert_raised(mige_file_verify(f, NULL), MIGE_EINPUT, "crc32");
    mige_file_close(&f);
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

/* Without a seal (a file of another program) HDF5 and the sums of the data sets are what is left. */
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

static void test_replace(void **state) {
    (void)state;
    const char *path = in_folder("replaced.h5");
    mige_file *f, *g;
    int64_t n = 0;
    spill(in_folder("replaced.h5.part"), "left over", 9);
    assert_int_equal(write_all(path, 4), 0);
    /* Read while the next is written; a discarded one leaves the old. */
    assert_int_equal(mige_file_open(path, NULL, &g), 0);
    assert_int_equal(mige_file_create(path, "mige-run", &f), 0);
    assert_true(exists(in_folder("replaced.h5.part")));
    mige_file_close(&f);
    assert_null(f);
    assert_false(exists(in_folder("replaced.h5.part")));
    assert_int_equal(mige_file_create(path, "mige-run", &f), 0);
    assert_int_equal(mige_file_commit(&f, 0), 0);
    assert_int_equal(mige_file_verify(g, NULL), 0);
    assert_int_equal(mige_file_get_int(g, "/", "step", &n), 0);
    mige_file_close(&g);
    assert_int_equal(mige_file_open(path, "mige-run", &f), 0);
    mige_file_close(&f);
    mige_file_close(&f);
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

static void test_folder(void **state) {
    (void)state;
    assert_int_equal(mige_make_folder(in_folder("a/b//c/")), 0);
    assert_true(exists(in_folder("a/b/c")));
    assert_int_equal(mige_make_folder(in_folder("a/b")), 0);
    assert_int_equal(mige_make_folder("."), 0);
    assert_int_equal(mige_make_folder("/"), 0);
    spill(in_folder("file"), "x", 1);
    assert_raised(mige_make_folder(in_folder("file")), MIGE_EOUTPUT, "not a folder");
    assert_raised(mige_make_folder(in_folder("file/below")), MIGE_EOUTPUT, strerror(ENOTDIR));
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

static int set_up(void **state) {
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/mige-io-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_provenance),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_other_implementation),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_damage_unsealed),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_unwritable),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
