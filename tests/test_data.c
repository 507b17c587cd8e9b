/* np: 1 3 */
/* The data file, and what the ranks see of it. */
#include "folder.h"
#include "mige/data.h"
#include "mige/io.h"
#include <math.h>

static mige_comm world;

static uint8_t pixel(size_t i) {
    return (uint8_t)(i * 2654435761u >> 11);
}

enum { TRAIN = 30, TEST = 10, H = 5, W = 4, IMAGE = 3 * H * W };
static const char *const names[] = {"zero", "one", "two"};

static void make_split(mige_images *m, int n, int seed) {
    *m = (mige_images){n, 3, H, W, malloc((size_t)n * IMAGE), malloc((size_t)n * 4)};
    for (int i = 0; i < n * IMAGE; i++) m->images[i] = pixel((size_t)(i + seed));
    for (int i = 0; i < n; i++) m->labels[i] = (i + seed) % 3;
}

/* Written by rank 0, all wait for it; a bad label or a bad shape on demand. */
static void write_file(const char *path, int bad_record, int32_t bad_label, int compress) {
    int err = 0;
    if (world.rank == 0) {
        mige_images train, test;
        make_split(&train, TRAIN, 0);
        make_split(&test, TEST, 1);
        if (bad_record >= 0) test.labels[bad_record] = bad_label;
        err = mige_convert_write(path, &train, &test, 3, names, compress);
        mige_images_free(&train);
        mige_images_free(&test);
    }
    assert_int_equal(mige_agree(&world, err), 0);
}

static void check_file(const char *path) {
    mige_data d;
    assert_raised(mige_data_open(&world, path, &d), 0, "");
    assert_true(d.train.n == TRAIN && d.test.n == TEST && d.c == 3 && d.h == H && d.w == W && d.classes == 3);
    for (int k = 0; k < 3; k++) assert_string_equal(d.class_names[k], names[k]);
    for (size_t i = 0; i < TRAIN * IMAGE; i++) assert_int_equal(d.train.images[i], pixel(i));
    for (size_t i = 0; i < TEST * IMAGE; i++) assert_int_equal(d.test.images[i], pixel(i + 1));
    for (int i = 0; i < TEST; i++) assert_int_equal(d.test.labels[i], (i + 1) % 3);
    const int64_t index[] = {7, 29, 0, 7};
    float x[4 * IMAGE];
    int32_t y[4];
    mige_data_load(&d, &d.train, index, 4, x, y);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(y[i], index[i] % 3);
        for (int p = 0; p < H * W; p++)
            for (int k = 0; k < 3; k++) {
                double v = pixel((size_t)(index[i] * IMAGE + k * H * W + p));
                assert_true(fabs(x[i * IMAGE + 3 * p + k] - (2 * v / 255 - 1)) < 1e-7);
            }
    }
    mige_data_load(&d, &d.test, index, 1, x, NULL);
    mige_data_close(&d);
    mige_data_close(&d);
}

static void test_open(void **state) {
    (void)state;
    write_file(in_folder("a.h5"), -1, 0, 0);
    check_file(in_folder("a.h5"));
    write_file(in_folder("b.h5"), -1, 0, 1);
    check_file(in_folder("b.h5"));
    mige_file *f;
    assert_int_equal(mige_file_open(in_folder("b.h5"), "mige-data", &f), 0);
    assert_int_equal(mige_file_verify(f, NULL), 0);
    mige_file_close(&f);
}

static void test_one_channel(void **state) {
    (void)state;
    uint8_t images[2 * 2 * 3];
    int32_t labels[2] = {0, 0};
    for (int i = 0; i < 12; i++) images[i] = (uint8_t)(20 * i);
    mige_data d = {.c = 1, .h = 2, .w = 3, .train = {2, images, labels}};
    float x[6];
    const int64_t one = 1;
    mige_data_load(&d, &d.train, &one, 1, x, NULL);
    for (int i = 0; i < 6; i++) assert_true(fabs(x[i] - (40.0 * (i + 6) / 255 - 1)) < 1e-7);
    images[6] = 0;
    images[7] = 255;
    mige_data_load(&d, &d.train, &one, 1, x, NULL);
    assert_true(x[0] == -1.0f && x[1] == 1.0f);
}

static void test_refused(void **state) {
    (void)state;
    mige_data d;
    const char *path = in_folder("bad.h5");
    write_file(path, 4, 3, 0);
    assert_raised(mige_data_open(&world, path, &d), MIGE_EINPUT,
                  "/test/labels: record 4 has label 3, not within 0 to 2");
    write_file(path, 0, -1, 1);
    assert_raised(mige_data_open(&world, path, &d), MIGE_EINPUT, "/test/labels: record 0 has label -1");
    assert_raised(mige_data_open(&world, in_folder("none.h5"), &d), MIGE_EINPUT, "none.h5");
    assert_null(d.class_names);
}

/* Files with the right marks and the wrong contents. */
static void test_wrong_shapes(void **state) {
    (void)state;
    static const uint8_t zero[2 * 2 * 2 * 2 * 4];
    static const struct {
        int n, labels, ndim, test_w, train;
        enum mige_type type;
        const char *message;
    } cases[] = {{2, 3, 4, 2, 1, MIGE_U8, "2 images in /train/images, 3 labels"},
                 {0, 0, 4, 2, 1, MIGE_U8, "/train/images has no images"},
                 {2, 2, 2, 2, 1, MIGE_U8, "has 2 dimensions"},
                 {2, 2, 4, 1, 1, MIGE_U8, "another size"},
                 {2, 2, 4, 2, 0, MIGE_U8, "there is no data set /train/images"}};
    const char *path = in_folder("wrong.h5");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (world.rank == 0) {
            mige_file *f;
            mige_layout x = {cases[i].type, cases[i].ndim, {cases[i].n, 1, 2, 2}},
                        y = {MIGE_I32, 1, {cases[i].labels}};
            assert_int_equal(mige_file_create(path, "mige-data", &f), 0);
            if (cases[i].train) {
                assert_int_equal(mige_file_write(f, "/train/images", x, zero, "1", "x", 0), 0);
                assert_int_equal(mige_file_write(f, "/train/labels", y, zero, "1", "y", 0), 0);
            }
            x.dims[3] = cases[i].test_w;
            assert_int_equal(mige_file_write(f, "/test/images", x, zero, "1", "x", 0), 0);
            assert_int_equal(mige_file_write(f, "/test/labels", y, zero, "1", "y", 0), 0);
            assert_int_equal(mige_file_write_names(f, "/class_names", 3, names, "names"), 0);
            assert_int_equal(mige_file_commit(&f, 0), 0);
        }
        assert_int_equal(mige_agree(&world, 0), 0);
        mige_data d;
        assert_raised(mige_data_open(&world, path, &d), MIGE_EINPUT, cases[i].message);
    }
}

/* The sample in the repository: sizes, balance and mean against the set it is from. */
static void test_kept_sample(void **state) {
    (void)state;
    mige_data d;
    assert_raised(mige_data_open(&world, "data/cifar10-sample.h5", &d), 0, "");
    assert_true(d.train.n == 5000 && d.test.n == 1000 && d.c == 3 && d.h == 32 && d.w == 32 && d.classes == 10);
    int train[10] = {0}, test[10] = {0};
    for (int i = 0; i < 5000; i++) train[d.train.labels[i]]++;
    for (int i = 0; i < 1000; i++) test[d.test.labels[i]]++;
    for (int k = 0; k < 10; k++) assert_true(train[k] == 500 && test[k] == 100);
    static const double mean[3] = {0.491400, 0.482158, 0.446531};
    for (int k = 0; k < 3; k++) {
        double sum = 0;
        for (int64_t i = 0; i < 5000; i++)
            for (int p = 0; p < 1024; p++) sum += d.train.images[(i * 3 + k) * 1024 + p];
        assert_true(fabs(sum / 255 / 5000 / 1024 - mean[k]) < 0.01);
    }
    assert_string_equal(d.class_names[9], "truck");
    mige_data_close(&d);
}

static int set_up(void **state) {
    (void)state;
    int bad = world.rank == 0 && folder_make(state);
    mige_bcast(&world, 0, folder, sizeof folder);
    return bad;
}

static int tear_down(void **state) {
    (void)state;
    mige_agree(&world, 0);
    return world.rank == 0 ? folder_remove(state) : 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),         cmocka_unit_test(test_one_channel), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_wrong_shapes), cmocka_unit_test(test_kept_sample),
    };
    MPI_Init(&argc, &argv);
    mige_comm_create(MPI_COMM_WORLD, &world);
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    mige_comm_destroy(&world);
    MPI_Finalize();
    return failed;
}
