/* np: 1 2 3 5 */
/* The systems of iterated Tikhonov: the stored matrix in both precisions, and no matrix at all. */
#include "samples.h"

/* Large enough for a distributed Cholesky: -(K + eta) S must be B, by the definition of both. */
static void tikhonov_distributed(void **state) {
    enum { M = 1031, D = 2 };
    static double s[M * D], left[M * D], right[M * D];
    mige_score_options o = mige_score_defaults();
    double *x = samples("crooked", M, D, 30), w;
    (void)state;
    o.estimator = MIGE_ESTIMATOR_STEIN;
    o.stein.iterations = 1;
    o.stein.eta = 0.5;
    scores(&o, M, D, x, s, 0, NULL, NULL, &w);
    assert_true(same_everywhere(s, sizeof s));
    for (int i = 0; i < M; i++)
        for (int d = 0; d < D; d++) left[i * D + d] = -o.stein.eta * s[i * D + d];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
            double a = x[i * D] - x[j * D], b = x[i * D + 1] - x[j * D + 1],
                   k = exp(-(a * a + b * b) / (2 * w * w));
            left[i * D] -= k * s[j * D];
            left[i * D + 1] -= k * s[j * D + 1];
            right[i * D] += k * a / (w * w);
            right[i * D + 1] += k * b / (w * w);
        }
    assert_small(ref_distance(left, right, M * D), 1e-10);
    free(x);
}

/* A factor in single precision, refined, against the same samples with too many columns, of zeros, for that. */
static void tikhonov_refined(void **state) {
    enum { M = 2063, D = 2, WIDE = 65, Q = 3 };
    static double y[M * WIDE], s[M * D], t[M * WIDE], u[M * D], p[Q * WIDE], sp[Q * D], tp[Q * WIDE], w, v;
    mige_score_options o = mige_score_defaults();
    double *x = samples("crooked", M, D, 30);
    (void)state;
    o.estimator = MIGE_ESTIMATOR_STEIN;
    for (int m = 0; m < M; m++) memcpy(y + m * WIDE, x + m * D, D * sizeof *y);
    for (int m = 0; m < Q; m++) memcpy(p + m * WIDE, x + m * D, D * sizeof *p);
    scores(&o, M, D, x, s, Q, x, sp, &w);
    scores(&o, M, WIDE, y, t, Q, p, tp, &v);
    for (int m = 0; m < M; m++) memcpy(u + m * D, t + m * WIDE, D * sizeof *u);
    assert_small(ref_distance(s, u, M * D), 1e-8);
    assert_small(fabs(w - v), 1e-13);
    for (int m = 0; m < Q; m++) memcpy(u + m * D, tp + m * WIDE, D * sizeof *u);
    assert_small(ref_distance(sp, u, Q * D), 1e-7);
    assert_true(same_everywhere(s, sizeof s));
    free(x);
}

typedef struct {
    int M, D;
    double apart, power, width, eta;
    int iterations; /* 0: as many as usual */
} hard_case;

static void tikhonov_scores(const hard_case *h, int solver, double tolerance, const double *x, double *s) {
    mige_score_options o = with_solver(solver);
    mige_score *e;
    o.stein.tolerance = tolerance;
    o.stein.eta = h->eta;
    o.width = h->width;
    if (h->iterations) o.stein.iterations = h->iterations;
    assert_ok(mige_score_create(&world, h->M, h->D, &o, &e));
    assert_ok(mige_score_samples(e, x, s));
    mige_score_destroy(&e);
}

/* Conjugate gradients against the stored matrix, where they have a hard time: many eigenvalues about the ridge, one
 * dimension, clusters far apart, so far that single precision tells no distance inside them, heavy tails and a
 * small ridge, many iterations, more dimensions than samples. */
static void without_matrix(void **state) {
    static const hard_case hard[] = {
        {600, 24, 0, 1, 0, 0.01, 0},  {1100, 1, 0, 0.25, 0, 0.01, 0}, {301, 4, 20, 1, 0, 0.01, 0},
        {301, 4, 100, 1, 0, 0.01, 0}, {300, 3, 1000, 1, 3, 0.01, 0},  {300, 3, 0, 3, 0, 1e-6, 0},
        {700, 3, 0, 1.5, 0, 1e-4, 0}, {1100, 8, 0, 1, 0, 0.01, 20},   {120, 300, 0, 1, 0, 0.01, 0}};
    const double tolerances[] = {mige_score_defaults().stein.tolerance, 1e-8};
    (void)state;
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
        const hard_case *h = &hard[i];
        size_t n = (size_t)(h->M * h->D);
        double *x = malloc(n * sizeof *x), *s = malloc(n * sizeof *s), *stored = malloc(n * sizeof *s);
        for (size_t j = 0; j < n; j++) {
            double g = ref_gauss(j, 91);
            x[j] = copysign(pow(fabs(g), h->power), g) + (double)(j / (size_t)h->D % 2) * h->apart;
        }
        tikhonov_scores(h, CHOLESKY, 1, x, stored);
        for (int t = 0; t < 2; t++) {
            double d2 = 0, s2 = 0;
            tikhonov_scores(h, CG, tolerances[t], x, s);
            for (size_t j = 0; j < n; j++) {
                d2 += (s[j] - stored[j]) * (s[j] - stored[j]);
                s2 += stored[j] * stored[j];
            }
            assert_small(sqrt(d2 / s2), 2 * tolerances[t]);
        }
        free(x);
        free(s);
        free(stored);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tikhonov_distributed),
        cmocka_unit_test(tikhonov_refined),
        cmocka_unit_test(without_matrix),
    };
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("stein", tests, NULL, NULL));
}
