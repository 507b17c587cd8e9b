/* np: 1 */
/* Critics against PyTorch (tests/ref/make_critic.py), the problems with known mutual information, lists. */
#include "mige/error.h"
#include "mige/options.h"
#include "ref.h"
#include "study/critic.h"
#include "study/truth.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { M = 6, D = 3, HIDDEN = 8, OUT = 4, SHIFT = 2 };
enum { X = 1, Y, DY, PARAMS }; /* salts of the formula */
static ref_file ref;

static void fill(double *a, size_t n, float factor, uint32_t salt) {
    for (size_t i = 0; i < n; i++) a[i] = (double)(factor * ref_value(i, salt));
}

static void check(const char *name, const char *what, const float *a, size_t n) {
    char key[96];
    snprintf(key, sizeof key, "%s/%s", name, what);
    double error = ref_error(&ref, key, a, n);
    if (!(error < 1e-5)) fail_msg("%s: relative error %.3g", key, error);
}

/* With the network's own parameters, and with the same ones elsewhere. */
static void against_reference(const char *name, critic_shape s, int elsewhere) {
    double x[M * D], y[M * D], dy[M * D];
    critic *c;
    critic_value v, along;
    assert_int_equal(critic_create(&s, &c), MIGE_OK);
    size_t n = critic_num_params(c);
    float *params = critic_params(c), *other = malloc(n * sizeof *other);
    if (elsewhere) critic_use(c, params = other);
    for (size_t i = 0; i < n; i++) params[i] = 2 * ref_value(i, PARAMS);
    fill(x, M * D, 3, X);
    fill(y, M * D, 3, Y);
    fill(dy, M * D, 2, DY);
    assert_int_equal(critic_forward(c, x, y, SHIFT, &v), MIGE_OK);
    float bound = (float)critic_bound(&s, v);
    check(name, "bound", &bound, 1);
    double weight = critic_weight(&s, v);
    assert_int_equal(critic_along(c, dy, &along), MIGE_OK);
    float slope = (float)(along.positive - weight * along.negative);
    check(name, "along", &slope, 1);
    assert_int_equal(critic_backward(c, weight), MIGE_OK);
    check(name, "grad", critic_grads(c), n);
    free(other);
    critic_destroy(&c);
}

static void separable_dv(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) against_reference("separable_dv", (critic_shape){0, 0, M, D, HIDDEN, OUT}, i);
}
static void separable_nwj(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) against_reference("separable_nwj", (critic_shape){0, 1, M, D, HIDDEN, OUT}, i);
}
static void infonce(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++)
        against_reference("separable_infonce", (critic_shape){0, BOUND_INFONCE, M, D, HIDDEN, OUT}, i);
}
static void joint_dv(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) against_reference("joint_dv", (critic_shape){1, 0, M, D, HIDDEN, OUT}, i);
}
static void joint_nwj(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) against_reference("joint_nwj", (critic_shape){1, 1, M, D, HIDDEN, OUT}, i);
}

/* The two networks of a separable critic begin differently, and every critic as its seed says. */
static void initial_weights(void **state) {
    (void)state;
    const critic_shape s = {0, 0, M, D, HIDDEN, OUT};
    critic *a, *b;
    assert_int_equal(critic_create(&s, &a), MIGE_OK);
    assert_int_equal(critic_create(&s, &b), MIGE_OK);
    assert_int_equal(critic_init(a, 5), MIGE_OK);
    assert_int_equal(critic_init(b, 5), MIGE_OK);
    size_t n = critic_num_params(a);
    assert_memory_equal(critic_params(a), critic_params(b), n * sizeof(float));
    assert_memory_not_equal(critic_params(a), critic_params(a) + n / 2, n / 2 * sizeof(float));
    assert_int_equal(critic_init(b, 6), MIGE_OK);
    assert_memory_not_equal(critic_params(a), critic_params(b), n * sizeof(float));
    critic_destroy(&a);
    critic_destroy(&b);
}

/* Values of f where e^f is past what a float holds. */
static void far_apart(void **state) {
    (void)state;
    for (int joint = 0; joint < 2; joint++)
        for (int nwj = 0; nwj < 2; nwj++) {
            const critic_shape s = {joint, nwj, M, D, HIDDEN, OUT};
            double x[M * D], y[M * D];
            critic *c;
            critic_value v;
            assert_int_equal(critic_create(&s, &c), MIGE_OK);
            size_t n = critic_num_params(c);
            for (size_t i = 0; i < n; i++) critic_params(c)[i] = 30 * ref_value(i, PARAMS);
            fill(x, M * D, 4, X);
            fill(y, M * D, 4, Y);
            assert_int_equal(critic_forward(c, x, y, SHIFT, &v), MIGE_OK);
            assert_true(isfinite(v.positive) && isfinite(v.negative) && fabs(v.negative) > 100);
            assert_int_equal(critic_backward(c, critic_weight(&s, v)), MIGE_OK);
            for (size_t i = 0; i < n; i++) assert_true(isfinite(critic_grads(c)[i]));
            critic_destroy(&c);
        }
}

/* ---- problems with known mutual information */

enum { KINDS = 14, MAPS = 6, SPARSE = 9, DENSE = 10, STUDENT2 = 11, ADDITIVE = 13, SAMPLES = 5, DIM = 7 };

/* dx and dy against differences of x and y, for every problem, rotated or not. */
static void derivatives(void **state) {
    (void)state;
    enum { N = SAMPLES * DIM };
    const double h = 1e-5, rho = 0.6;
    double x[N], y[N], dx[N], dy[N], xlow[N], xhigh[N], low[N], high[N], other[N];
    for (int kind = 0; kind < KINDS; kind++)
        for (int rotate = 0; rotate < 2; rotate++) {
            truth_problem k;
            assert_int_equal(truth_create(kind, rotate, DIM, 3, &k), MIGE_OK);
            assert_int_equal(truth_draw(&k, SAMPLES, rho, 9, 2, x, y, dx, dy), MIGE_OK);
            assert_int_equal(truth_draw(&k, SAMPLES, rho - h, 9, 2, xlow, low, NULL, other), MIGE_OK);
            assert_int_equal(truth_draw(&k, SAMPLES, rho + h, 9, 2, xhigh, high, NULL, other), MIGE_OK);
            for (int i = 0; i < N; i++) {
                double error =
                    fmax(fabs((high[i] - low[i]) / (2 * h) - dy[i]), fabs((xhigh[i] - xlow[i]) / (2 * h) - dx[i]));
                if (!(error < 1e-6 * (1 + fabs(dy[i])))) fail_msg("kind %d, %d: %g", kind, i, error);
            }
            truth_destroy(&k);
        }
}

static void rotation_is_orthogonal(void **state) {
    (void)state;
    for (int d = 1; d < 40; d += 19) {
        truth_problem k;
        assert_int_equal(truth_create(1, 1, d, 3, &k), MIGE_OK);
        for (int i = 0; i < d; i++)
            for (int j = 0; j < d; j++) {
                double dot = 0;
                for (int l = 0; l < d; l++) dot += k.rotation[i * d + l] * k.rotation[j * d + l];
                assert_true(fabs(dot - (i == j)) < 1e-13);
            }
        truth_destroy(&k);
    }
}

/* Correlations of x_i and y_j, and the maps, from plain Gaussian samples of the same stream. */
static void samples_are_as_said(void **state) {
    (void)state;
    enum { N = 20000, d = 3 };
    static double x[N * d], y[N * d], z[N * d], dy[N * d];
    truth_problem plain, mapped;
    assert_int_equal(truth_create(0, 0, d, 1, &plain), MIGE_OK);
    assert_int_equal(truth_draw(&plain, N, -0.7, 4, 0, x, y, NULL, dy), MIGE_OK);
    for (int i = 0; i < d; i++)
        for (int j = 0; j < d; j++) {
            double xy = 0, xx = 0, yy = 0;
            for (int m = 0; m < N; m++) {
                xy += x[m * d + i] * y[m * d + j] / N;
                xx += x[m * d + i] * x[m * d + j] / N;
                yy += y[m * d + i] * y[m * d + j] / N;
            }
            assert_true(fabs(xy - (i == j ? -0.7 : 0)) < 0.03);
            assert_true(fabs(xx - (i == j)) < 0.05 && fabs(yy - (i == j)) < 0.05);
        }
    for (int kind = 1; kind < MAPS; kind++) {
        assert_int_equal(truth_create(kind, 0, d, 1, &mapped), MIGE_OK);
        assert_int_equal(truth_draw(&mapped, 100, -0.7, 4, 0, x, z, NULL, dy), MIGE_OK);
        for (int i = 0; i < 100 * d; i++) {
            const double *u = y + i / d * d, scale[d] = {0.1, 1, 10};
            double square = (u[0] * u[0] + u[1] * u[1] + u[2] * u[2]) / d, v = y[i];
            double expected[MAPS] = {
                v, v * v * v, asinh(v), v + 0.4 * sin(2 * v), v / (1 + square), v * scale[i % d]};
            assert_true(fabs(z[i] - expected[kind]) < 1e-12 * (1 + fabs(v * v * v)));
        }
    }
}

/* All 2 d correlations of dense; variances and correlations of the others that have them. */
static void covariances(void **state) {
    (void)state;
    enum { N = 40000, d = 3, BOTH = 2 * d };
    static double x[N * d], y[N * d], dy[N * d];
    for (int kind = SPARSE; kind <= DENSE; kind++) {
        truth_problem k;
        assert_int_equal(truth_create(kind, 0, d, 1, &k), MIGE_OK);
        assert_int_equal(truth_draw(&k, N, 0.4, 4, 0, x, y, NULL, dy), MIGE_OK);
        for (int i = 0; i < BOTH; i++)
            for (int j = 0; j < BOTH; j++) {
                double sum = 0, paired = i % d == j % d && i % d < 2 ? 0.4 : 0;
                for (int m = 0; m < N; m++)
                    sum +=
                        (i < d ? x[m * d + i] : y[m * d + i - d]) * (j < d ? x[m * d + j] : y[m * d + j - d]) / N;
                assert_true(fabs(sum - (i == j ? 1 : kind == DENSE ? 0.4 : paired)) < 0.03);
            }
    }
}

/* Against values of the benchmark of Czyz et al. 2023, and derivatives against differences. */
static void truths(void **state) {
    (void)state;
    const struct {
        int kind, D;
        double rho, I;
    } known[] = {{0, 8, 0.8, 4.086604990127926},
                 {SPARSE, 25, 0.8, 1.0216512475319814},
                 {DENSE, 5, 0.5, 0.5928118328288701},
                 {DENSE, 25, 0.5, 1.2921837216593204},
                 {STUDENT2, 2, 0, 0.1931471805599454},
                 {STUDENT2, 5, 0, 0.44815067691532917},
                 {STUDENT2 + 1, 3, 0, 0.17871185309236282},
                 {ADDITIVE, 1, 0.1, 1.7094379124341003},
                 {ADDITIVE, 2, 0.75, 2. / 3}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!(fabs(truth_mi(known[i].kind, known[i].D, known[i].rho) - known[i].I) < 1e-12))
            fail_msg("%zu: %.15g", i, truth_mi(known[i].kind, known[i].D, known[i].rho));
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < 4; i++) {
            double rho = 0.15 + 0.2 * i;
            double slope = (truth_mi(kind, 4, rho + 1e-5) - truth_mi(kind, 4, rho - 1e-5)) / 2e-5;
            assert_true(fabs(truth_gradient(kind, 4, rho) - slope) < 1e-6 * (1 + fabs(slope)));
        }
    const double half = 0.5, low = -0.2;
    assert_int_equal(truth_check(DENSE, 3, 1, &half), MIGE_OK);
    assert_int_equal(truth_check(DENSE, 3, 1, &low), MIGE_EUSAGE);
    assert_int_equal(truth_check(ADDITIVE, 3, 1, &low), MIGE_EUSAGE);
    assert_int_equal(truth_check(8, 1, 1, &half), MIGE_EUSAGE);
}

/* ---- lists */

static void lists(void **state) {
    (void)state;
    int64_t *v;
    int n;
    int64_t *k;
    assert_int_equal(mige_list_integers("--dims", "5, 1e1,20", 1, 99, &n, &v), MIGE_OK);
    assert_true(n == 3 && v[0] == 5 && v[1] == 10 && v[2] == 20);
    free(v);
    assert_int_equal(mige_list_names("--methods", "c,a", "a|b|c", &n, &k), MIGE_OK);
    assert_true(n == 2 && k[0] == 2 && k[1] == 0);
    free(k);
    const char *bad[] = {"", "5,", ",5", "5,x", "0", "100", "5,5", "5 6", "15e-1", "+5", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(mige_list_integers("--dims", bad[i], 1, 99, &n, &v), MIGE_EUSAGE);
        assert_non_null(strstr(mige_error(), "--dims: "));
    }
    const char *unknown[] = {"", "a,", "d", "a,a", "a|b"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_int_equal(mige_list_names("--methods", unknown[i], "a|b|c", &n, &k), MIGE_EUSAGE);
}

static void grids(void **state) {
    (void)state;
    double *rho;
    int n;
    assert_int_equal(truth_grid("", "-0.8:0.8:5", &n, &rho), MIGE_OK);
    assert_true(n == 5 && rho[0] == -0.8 && fabs(rho[2]) < 1e-15 && fabs(rho[4] - 0.8) < 1e-15);
    free(rho);
    const char *bad[] = {"0.5",      "0:0.5",     "0:1:3", "-1.5:0:3", "0:0.5:0",
                         "0:0.5:3x", "0.5:0.5:2", "a:b:c", "nan:0:2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(truth_grid(bad[i], "", &n, &rho), MIGE_EUSAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separable_dv),
        cmocka_unit_test(separable_nwj),
        cmocka_unit_test(infonce),
        cmocka_unit_test(joint_dv),
        cmocka_unit_test(joint_nwj),
        cmocka_unit_test(far_apart),
        cmocka_unit_test(initial_weights),
        cmocka_unit_test(derivatives),
        cmocka_unit_test(lists),
        cmocka_unit_test(grids),
        cmocka_unit_test(rotation_is_orthogonal),
        cmocka_unit_test(samples_are_as_said),
        cmocka_unit_test(covariances),
        cmocka_unit_test(truths),
    };
    ref = ref_load("tests/ref/critic.txt");
    int failed = ref.n ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    ref_free(&ref);
    return failed;
}
