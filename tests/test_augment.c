/* np: 1 */
/* Views of images against another implementation (tests/ref/make_augment.py), and what they depend on. */
#include "mige/augment.h"
#include "mige/error.h"
#include "ref.h"
#include <mpi.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { IMAGES = 12, VIEWS = 2, EPOCH = 4, MOST = 3 * 9 * 12 };
static const uint64_t SEED = 0x123456789;

/* The same rows as in make_augment.py. */
static const struct {
    const char *name;
    int c, h, w;
    const char *list;
} cases[] = {
    {"all", 3, 9, 12, "crop,flip,colour,grey"},
    {"small", 3, 8, 8, "colour:1,crop:0.05"},
    {"one_channel", 1, 7, 5, "crop,flip,colour,grey"},
    {"two_channels", 2, 6, 10, "crop,flip,colour,grey"},
    {"crop", 3, 5, 7, "crop:0.5"},
    {"flip", 3, 5, 7, "flip:0.25"},
    {"grey", 3, 5, 7, "grey:0.75"},
    {"colour", 3, 5, 7, "colour:0.4"},
};

static ref_file ref;
static uint8_t pixels[IMAGES * MOST];
static float x[IMAGES * VIEWS * MOST], y[IMAGES * VIEWS * MOST];
static char scratch[1 << 14];

static mige_data images(int c, int h, int w) {
    for (int i = 0; i < IMAGES * c * h * w; i++) pixels[i] = (uint8_t)(256 * (ref_value((size_t)i, 1) + 0.5f));
    mige_data d = {.train = {IMAGES, pixels, NULL}, .c = c, .h = h, .w = w};
    assert_true(mige_augment_scratch(&d) <= sizeof scratch);
    return d;
}

static void load(const mige_data *d, const char *list, uint64_t seed, uint64_t epoch, int first, int n, int views,
                 float *out) {
    mige_augment a;
    int64_t index[IMAGES];
    for (int i = 0; i < n; i++) index[i] = first + i;
    assert_int_equal(mige_augment_parse(list, &a), MIGE_OK);
    mige_augment_load(d, &d->train, &a, seed, epoch, index, n, views, scratch, out);
}

static void test_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mige_data d = images(cases[i].c, cases[i].h, cases[i].w);
        load(&d, cases[i].list, SEED, EPOCH, 0, IMAGES, VIEWS, x);
        double error = ref_error(&ref, cases[i].name, x, (size_t)(IMAGES * VIEWS * d.c * d.h * d.w));
        if (!(error < 3e-6)) fail_msg("%s: relative error %.3g", cases[i].name, error);
    }
}

/* One image at a time, or its first view alone, is what it is in the batch; another seed, epoch or view is not. */
static void test_dependence(void **state) {
    (void)state;
    mige_data d = images(3, 9, 12);
    size_t image = 3 * 9 * 12, bytes = image * sizeof *x;
    const char *list = "crop,flip,colour,grey";
    load(&d, list, SEED, EPOCH, 0, IMAGES, 2, x);
    for (int i = 0; i < IMAGES; i++) {
        const float *both = x + 2 * (size_t)i * image;
        load(&d, list, SEED, EPOCH, i, 1, 2, y);
        assert_memory_equal(y, both, 2 * bytes);
        load(&d, list, SEED, EPOCH, i, 1, 1, y);
        assert_memory_equal(y, both, bytes);
        assert_memory_not_equal(both, both + image, bytes);
        load(&d, list, SEED, EPOCH + 1, i, 1, 1, y);
        assert_memory_not_equal(y, both, bytes);
        load(&d, list, SEED + 1, EPOCH, i, 1, 1, y);
        assert_memory_not_equal(y, both, bytes);
    }
}

static void test_nothing(void **state) {
    (void)state;
    mige_data d = images(3, 5, 7);
    const int64_t index[] = {3, 3};
    load(&d, "none", SEED, EPOCH, 3, 1, 2, x);
    mige_data_load(&d, &d.train, index, 2, y, NULL);
    for (int i = 0; i < 2 * 105; i++) assert_true(fabsf(x[i] - y[i]) < 2e-7f);
}

static void test_lists(void **state) {
    (void)state;
    const char *const bad[][2] = {{"blur", "crop, flip, colour, grey"},
                                  {"crop,", "\"\""},
                                  {"crop,crop", "twice"},
                                  {"crop:", "\"crop:\""},
                                  {"crop:0.2x", "above 0"},
                                  {"flip:0", "above 0"},
                                  {"flip:1.5", "at most 1"},
                                  {"grey:nan", "above 0"},
                                  {"none,crop", "\"none\""},
                                  {"crops", "\"crops\""}};
    mige_augment a;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(mige_augment_parse(bad[i][0], &a), MIGE_EUSAGE);
        if (!strstr(mige_error(), bad[i][1])) fail_msg("%s: %s", bad[i][0], mige_error());
    }
    assert_int_equal(mige_augment_parse("flip:1,crop,grey,colour:0.5", &a), MIGE_OK);
    assert_true(a.crop == 0.2 && a.flip == 1 && a.colour == 0.5 && a.grey == 0.2);
    assert_int_equal(mige_augment_parse("", &a), MIGE_OK);
    assert_true(a.crop == 0 && a.flip == 0 && a.colour == 0 && a.grey == 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_dependence),
                                       cmocka_unit_test(test_nothing), cmocka_unit_test(test_lists)};
    MPI_Init(&argc, &argv);
    ref = ref_load("tests/ref/augment.txt");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ref_free(&ref);
    MPI_Finalize();
    return failed;
}
