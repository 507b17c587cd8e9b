/* np: 1 */
/* HDF5 files: round trips, the marks of a whole file, those of other programs. */
#include "whole.h"
#include <errno.h>

/* For the leak sanitizer, which calls it: the library leaks a little for each damaged file that it refuses. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5";
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

static void test_replace(void **state) {
    (void)state;
    const char *path = in_folder("replaced.h5");
    mige_file *f, *g;
    int64_t n = 0;
    spill(in_folder("replaced.h5.part"), "another program's", 17);
    assert_raised(mige_file_create(path, "mige-run", &f), MIGE_EOUTPUT, "another program's file");
    assert_true(exists(in_folder("replaced.h5.part")));
    spill(in_folder("replaced.h5.part"), "\x89HDF left over", 14);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_provenance),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_other_implementation),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
