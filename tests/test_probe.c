/* np: 1 3 */
/* Classifiers and neighbours of features whose classes are known. */
#include "mige/rng.h"
#include "ranks.h"
#include "study/probe.h"
#include <math.h>
#include <stdlib.h>

enum { TRAIN = 600, TEST = 200, EPOCHS = 12, WIDE = 3000 };

static int32_t labels[TRAIN + TEST];
static mige_data data;

static float *draw(int width) {
    float *x = malloc((size_t)(TRAIN + TEST) * (size_t)width * sizeof *x);
    double *row = malloc((size_t)width * sizeof *row);
    for (int i = 0; i < TRAIN + TEST; i++) {
        mige_rng_normal(1, MIGE_RNG_SAMPLE, (uint64_t)width, (uint64_t)i, (size_t)width, row);
        for (int k = 0; k < width; k++) x[i * width + k] = (float)row[k];
    }
    free(row);
    return x;
}

static probe_features of(int classes, int width, const float *x) {
    data = (mige_data){.train = {TRAIN, NULL, labels}, .test = {TEST, NULL, labels + TRAIN}, .classes = classes};
    return (probe_features){&data, width, x, x + TRAIN * width};
}

static void deaf(void *ctx, int64_t epochs, double accuracy) {
    *(int64_t *)ctx = epochs + 0 * (int64_t)accuracy;
}

static double last(const probe_features *f, int kind, double rate, double dropout) {
    double accuracy[EPOCHS];
    int64_t heard = 0;
    const probe_options o = {EPOCHS, 32, rate, dropout, 1, 0};
    assert_ok(probe_train(f, kind, &o, deaf, &heard, accuracy));
    assert_all(heard == EPOCHS);
    return accuracy[EPOCHS - 1];
}

/* The sign of a product is no linear function; that of a sum is, whatever the features' scales. */
static void linear_is_linear(void **state) {
    (void)state;
    float *x = draw(2);
    probe_features f = of(2, 2, x);
    for (int i = 0; i < TRAIN + TEST; i++) labels[i] = x[2 * i] * x[2 * i + 1] > 0;
    assert_all(last(&f, PROBE_MLP, 1e-2, 0) > 94);
    assert_all(last(&f, PROBE_LINEAR, 1e-2, 0) < 65);
    for (int i = 0; i < TRAIN + TEST; i++) {
        labels[i] = x[2 * i] + x[2 * i + 1] > 0;
        x[2 * i] *= 1e3F;
        x[2 * i + 1] *= 1e-3F;
    }
    assert_all(last(&f, PROBE_LINEAR, 1e-2, 0) > 96);
    free(x);
}

/* The rate that is taken by itself. */
static void rates(void **state) {
    (void)state;
    const int widths[] = {WIDE - 1, WIDE};
    const double expected[] = {1e-3, 2e-4};
    for (int i = 0; i < 2; i++) {
        float *x = draw(widths[i]);
        probe_features f = of(2, widths[i], x);
        for (int k = 0; k < TRAIN + TEST; k++) labels[k] = x[k * widths[i]] > 0;
        double itself = last(&f, PROBE_LINEAR, 0, 0);
        assert_all(itself == last(&f, PROBE_LINEAR, expected[i], 0)); /* bit by bit the same training */
        free(x);
    }
}

static double vote(const float *x, int width, int K, int classes) {
    int right = 0;
    for (int i = TRAIN; i < TRAIN + TEST; i++) {
        int votes[8] = {0}, best = 0;
        char taken[TRAIN] = {0};
        for (int k = 0; k < K; k++) {
            int nearest = -1;
            double most = -INFINITY;
            for (int j = 0; j < TRAIN; j++) {
                double dot = 0, norm = 0;
                for (int d = 0; d < width; d++) {
                    dot += (double)x[i * width + d] * (double)x[j * width + d];
                    norm += (double)x[j * width + d] * (double)x[j * width + d];
                }
                if (taken[j] || dot / sqrt(norm) <= most) continue;
                most = dot / sqrt(norm);
                nearest = j;
            }
            taken[nearest] = 1;
            votes[labels[nearest]]++;
        }
        for (int c = 1; c < classes; c++)
            if (votes[c] > votes[best]) best = c;
        right += best == labels[i];
    }
    return 100. * right / TEST;
}

static void neighbours(void **state) {
    (void)state;
    enum { WIDTH = 3, K = 7, CLASSES = 5 };
    float *x = draw(WIDTH);
    double accuracy;
    probe_features f = of(CLASSES, WIDTH, x);
    for (int i = 0; i < TRAIN + TEST; i++)
        labels[i] =
            (int32_t)(2.5 * (atan2((double)x[i * WIDTH], (double)x[i * WIDTH + 1]) / acos(-1.) + 1)) % CLASSES;
    assert_ok(probe_neighbours(&world, &f, K, &accuracy));
    assert_all(accuracy > 80 && fabs(accuracy - vote(x, WIDTH, K, CLASSES)) < 1e-9);
    assert_fails(probe_neighbours(&world, &f, TRAIN + 1, &accuracy), MIGE_EUSAGE, "601 are more than the 600");
    free(x);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_linear),
        cmocka_unit_test(rates),
        cmocka_unit_test(neighbours),
    };
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("probe", tests, NULL, NULL));
}
