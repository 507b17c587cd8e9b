/* np: 1 2 3 4 8 */
/* Samples that leave an estimator little: every solver on any number of ranks gives the scores that LAPACK
 * (Cholesky for estimator stein) gives on one. */
#include "mige/score.h"
#include "ranks.h"
#include "ref.h"
#include <math.h>
#include <stdlib.h>

typedef struct {
    const char *name;
    int M, D;
    double threshold;
    int eigen;
    double width; /* 0: the median */
    void (*bend)(int M, int D, double *x);
} edge_case;

static void twice(int M, int D, double *x) {
    for (int i = 0; i < M / 2 * D; i++) x[M / 2 * D + i] = x[i];
}

static void constant(int M, int D, double *x) {
    for (int m = 0; m < M; m++) x[m * D + D - 1] = 3.25;
}

static void outlier(int M, int D, double *x) {
    for (int d = 0; d < D; d++) x[M / 2 * D + d] = 1e6 + d;
}

static void apart(int M, int D, double *x) {
    for (int m = 0; m < M; m++) x[m * D] = 1e3 * m;
}

static const edge_case cases[] = {
    {"plain", 97, 3, 0.99, 0, 0, NULL},
    {"one pair", 97, 3, 0.99, 1, 0, NULL},
    {"low threshold: one pair", 97, 3, 1e-6, 0, 0, NULL},
    {"all pairs", 60, 5, 1, 60, 0.5, NULL},
    {"all by threshold", 60, 5, 1, 0, 0.5, NULL},
    {"one sample", 1, 2, 0.99, 0, 0, NULL},
    {"two samples", 2, 3, 0.99, 0, 0, NULL},
    {"three samples", 3, 2, 0.99, 0, 0, NULL},
    {"four, all", 4, 1, 1, 0, 0, NULL},
    {"each twice", 80, 4, 0.99, 0, 0, twice},
    {"constant dimension", 90, 4, 0.99, 0, 0, constant},
    {"outlier", 90, 3, 0.99, 0, 0, outlier},
    {"far apart", 40, 2, 0.99, 0, 1, apart},
    {"many blocks", 300, 6, 0.95, 0, 0, NULL},
};

static double *samples(const edge_case *t) {
    double *x = malloc((size_t)(t->M * t->D) * sizeof *x);
    for (int i = 0; i < t->M * t->D; i++) x[i] = 2 * (double)ref_value((size_t)i, 77);
    if (t->bend) t->bend(t->M, t->D, x);
    return x;
}

static const char *const solvers[] = {"auto", "lapack", "scalapack", "subspace", "filter", "cholesky", "cg"};
enum { LAPACK = 1, CHOLESKY = 5, SOLVERS = 7 };

static mige_score_options options(const edge_case *t, int solver) {
    mige_score_options o = mige_score_defaults();
    o.estimator = solver < CHOLESKY ? MIGE_ESTIMATOR_SSGE : MIGE_ESTIMATOR_STEIN;
    assert_ok(mige_score_set_solver(&o, solvers[solver]));
    o.eigen.threshold = t->threshold;
    o.eigen.eigen = t->eigen;
    o.eigen.tolerance = o.stein.tolerance = 1e-10;
    o.width = t->width;
    return o;
}

static int estimate(const mige_comm *c, const edge_case *t, int solver, const double *x, double *s, double *sp,
                    int *J) {
    mige_score_options o = options(t, solver);
    mige_score *e;
    MIGE_TRY(mige_score_create(c, t->M, t->D, &o, &e));
    int err = mige_score_samples(e, x, s);
    if (!err) err = mige_score_points(e, t->M, x, sp);
    *J = mige_score_last(e)->pairs.J;
    mige_score_destroy(&e);
    return err;
}

/* Relative to b, or to a thousandth of what scores are where b is nothing but rounding. */
static double relative(const double *a, const double *b, size_t n) {
    double diff = 0, norm = 1e-6 * (double)n;
    for (size_t i = 0; i < n; i++) {
        diff += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return sqrt(diff / norm);
}

static void all_solvers(void **state) {
    (void)state;
    mige_comm self;
    mige_comm_create(MPI_COMM_SELF, &self);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const edge_case *t = &cases[k];
        size_t n = (size_t)(t->M * t->D);
        double *x = samples(t), *mem = calloc(4 * n, sizeof *mem), *s = mem, *sp = s + n, *r = sp + n, *rp = r + n;
        for (int solver = 0; solver < SOLVERS; solver++) {
            int J = 0, expected = 0;
            int by = solver >= CHOLESKY ? CHOLESKY : LAPACK;
            assert_ok(estimate(&self, t, by, x, r, rp, &expected));
            assert_ok(estimate(&world, t, solver, x, s, sp, &J));
            double e = relative(s, r, n), ep = relative(sp, rp, n);
            if ((e > 1e-6 || ep > 1e-6 || J != expected) && world.rank == 0)
                print_error("%s, solver %d: J %d for %d, %.1e, points %.1e\n", t->name, solver, J, expected, e, ep);
            assert_all(J == expected);
            assert_small(e, 1e-6);
            assert_small(ep, 1e-6);
            assert_true(same_everywhere(s, n * sizeof *s));
        }
        free(x);
        free(mem);
    }
    mige_comm_destroy(&self);
}

/* What a case's name promises. */
static void promises(void **state) {
    int J;
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const edge_case *t = &cases[k];
        size_t n = (size_t)(t->M * t->D);
        double *x = samples(t), *s = calloc(2 * n, sizeof *s);
        assert_ok(estimate(&world, t, 0, x, s, s + n, &J));
        if (strstr(t->name, "one pair")) assert_all(J == 1);
        if (strstr(t->name, "all")) assert_all(J == t->M);
        if (strstr(t->name, "twice")) assert_all(J <= t->M / 2);
        if (strstr(t->name, "twice")) assert_small(relative(s, s + n / 2, n / 2), 1e-9);
        for (int m = 0; strstr(t->name, "constant") && m < t->M; m++)
            assert_all(fabs(s[m * t->D + t->D - 1]) < 1e-9);
        free(x);
        free(s);
    }
}

static void not_finite(void **state) {
    (void)state;
    for (int solver = 0; solver < SOLVERS; solver++) {
        const edge_case *t = &cases[0];
        double *x = samples(t), *s = calloc((size_t)(2 * t->M * t->D), sizeof *s);
        int J;
        x[41 * t->D + 1] = NAN;
        assert_fails(estimate(&world, t, solver, x, s, s + t->M * t->D, &J), MIGE_EINPUT, "row 41 ");
        free(x);
        free(s);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_solvers), cmocka_unit_test(promises),
                                       cmocka_unit_test(not_finite)};
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("edges", tests, NULL, NULL));
}
