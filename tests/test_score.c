/* np: 1 2 3 5 */
/* Scores against the values of tests/ref/make_score.py, the exact median against a sort, and what must hold of any
 * score estimate. */
#include "samples.h"

static ref_file refs;

/* Relative Frobenius distance of a to n reference values. */
static double from_ref(const char *name, const char *what, const double *a, size_t n) {
    char full[96];
    snprintf(full, sizeof full, "%s.%s", name, what);
    return ref_compare(&refs, full, a, n);
}

typedef struct {
    const char *name, *kind;
    int M, D, Q;
    double threshold, width, scale;
    int eigen, iterations; /* iterations: estimator stein */
    double eta;
    enum mige_calibrate calibrate;
} reference_case;

static const reference_case cases[] = {
    {"gauss", "gauss", 60, 5, 7, 0.99, 0, 1, 0, 0, 0, 0},
    {"crooked", "crooked", 45, 3, 11, 0.95, 0, 1, 0, 0, 0, 0},
    {"pairs", "gauss", 60, 5, 3, 0.99, 0, 1, 10, 0, 0, 0},
    {"width", "crooked", 45, 3, 3, 0.99, 1.75, 1, 0, 0, 0, 0},
    {"scale", "gauss", 60, 5, 3, 0.99, 0, 1.5, 0, 0, 0, 0},
    {"outlier", "outlier", 40, 3, 3, 0.99, 0, 1, 0, 0, 0, 0},
    {"flat", "flat", 41, 4, 3, 0.99, 0, 1, 0, 0, 0, 0},
    {"twins", "twins", 30, 2, 3, 0.98, 0, 1, 0, 0, 0, 0},
    {"two", "gauss", 2, 3, 2, 0.99, 0, 1, 2, 0, 0, 0},
    {"three", "gauss", 3, 2, 2, 0.99, 0, 1, 0, 0, 0, 0},
    {"line", "crooked", 37, 1, 2, 0.9, 0, 1, 0, 0, 0, 0},
    {"grid", "crooked", 131, 3, 5, 0.97, 0, 1, 0, 0, 0, 0},
    {"deep", "gauss", 139, 4, 5, 0.985, 0, 1, 0, 0, 0, 0},
    {"li-turner", "gauss", 60, 5, 3, 0.99, 0, 1, 0, 1, 0.1, 0},
    {"tikhonov", "crooked", 131, 3, 5, 0.99, 0, 1, 0, 3, 0.01, 0},
    {"factor", "gauss", 60, 5, 3, 0.99, 0, 1, 0, 0, 0, MIGE_CALIBRATE_SCALE},
    {"identity", "crooked", 47, 4, 3, 0.99, 0, 1, 0, 0, 0, MIGE_CALIBRATE_STEIN},
    {"few", "gauss", 13, 6, 3, 0.99, 0, 1, 0, 0, 0, MIGE_CALIBRATE_STEIN},
    {"both", "crooked", 43, 3, 3, 0.99, 0, 1, 0, 2, 0.02, MIGE_CALIBRATE_STEIN},
    {"fill", "fill", 131, 4, 5, 0.99, 0, 1, 0, 0, 0, 0},
    {"fill-tikhonov", "fill", 131, 4, 5, 0.99, 0, 1, 0, 3, 0.01, 0},
    {"remote", "remote", 61, 3, 5, 0.99, 0, 1, 0, 0, 0, 0},
    {"remote-tikhonov", "remote", 61, 3, 5, 0.99, 0, 1, 0, 3, 0.01, 0},
};

static mige_score_options options_of(const reference_case *t, int solver) {
    mige_score_options o = with_solver(solver);
    o.eigen.threshold = t->threshold;
    o.eigen.eigen = t->eigen;
    o.width = t->width;
    o.width_scale = t->scale;
    o.calibrate = t->calibrate;
    if (!t->iterations) return o;
    o.estimator = MIGE_ESTIMATOR_STEIN;
    o.stein.iterations = t->iterations;
    o.stein.eta = t->eta;
    return o;
}

static int is_far(const reference_case *t) {
    return !strcmp(t->kind, "fill") || !strcmp(t->kind, "remote");
}

static void compare_case(const reference_case *t, uint32_t salt, int solver) {
    mige_score_options o = options_of(t, solver);
    size_t n = (size_t)(t->M * t->D), q = (size_t)(t->Q * t->D);
    double *x = samples(t->kind, t->M, t->D, salt), *p = samples("gauss", t->Q, t->D, 100 + salt);
    double *s = malloc(n * sizeof *s), *sp = malloc(q * sizeof *sp);
    mige_score *e;
    for (size_t i = 0; i < q; i++) p[i] *= 1.25;
    for (int d = 0; d < t->D && is_far(t); d++) p[d] += x[d];
    assert_ok(mige_score_create(&world, t->M, t->D, &o, &e));
    assert_ok(mige_score_samples(e, x, s));
    const mige_score_info *info = mige_score_last(e);
    double most = !strcmp(info->solver, "subspace") ? 1e-6 : 1e-8;
    assert_small(from_ref(t->name, "width", &info->width, 1), 1e-12);
    assert_small(from_ref(t->name, "eigenvalues", info->pairs.lambda, (size_t)info->pairs.J), 1e-11);
    assert_small(from_ref(t->name, "scores", s, n), most);
    assert_true(same_everywhere(s, n * sizeof *s));
    assert_ok(mige_score_points(e, t->Q, p, sp));
    assert_small(from_ref(t->name, "points", sp, q), most);
    assert_true(same_everywhere(sp, q * sizeof *sp));
    mige_score_destroy(&e);
    assert_null(e);
    free(x);
    free(p);
    free(s);
    free(sp);
}

static void against_definition(void **state) {
    (void)state;
    assert_true(refs.n == 4 * sizeof cases / sizeof *cases);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int solver = MIGE_SOLVER_AUTO; solver < SOLVERS; solver++)
            if ((solver >= CHOLESKY) == (cases[k].iterations > 0) && !(solver == CG && is_far(&cases[k])))
                compare_case(&cases[k], (uint32_t)k + 1, solver);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(int M, int D, const double *x) {
    double *all = malloc((size_t)(M * M) * sizeof *all);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
            double sum = 0;
            for (int d = 0; d < D; d++) sum += (x[i * D + d] - x[j * D + d]) * (x[i * D + d] - x[j * D + d]);
            all[i * M + j] = sqrt(sum);
        }
    qsort(all, (size_t)(M * M), sizeof *all, ascending);
    double middle = all[M * M / 2];
    free(all);
    return middle;
}

static void exact_median(void **state) {
    static const int orders[] = {2, 3, 4, 5, 6, 7, 8, 16, 17, 33, 64, 65, 97, 128, 131, 200};
    (void)state;
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++)
        for (int ties = 0; ties < 2; ties++) {
            int M = orders[k], D = 3;
            double *x = samples("crooked", M, D, 40 + (uint32_t)k), *s = malloc((size_t)(M * D) * sizeof *s), w;
            /* On a coarse lattice: many equal distances, some 0, all exact. */
            for (int i = 0; ties && i < M * D; i++) x[i] = floor(x[i] * 1.5);
            mige_score_options o = with_solver(MIGE_SOLVER_SCALAPACK);
            o.eigen.eigen = 1;
            double expected = median(M, D, x);
            if (expected > 0) {
                scores(&o, M, D, x, s, 0, NULL, NULL, &w);
                assert_small(fabs(w - expected), ties ? 0 : 1e-13 * expected);
            }
            free(x);
            free(s);
        }
}

/* s(x + c) = s(x), s(a x) = s(x) / a, and a permutation of the samples permutes their scores. The shift is exact.
 */
static void symmetries(void **state) {
    enum { M = 131, D = 3, N = M * D };
    mige_score_options o = with_solver(MIGE_SOLVER_SCALAPACK);
    double *x = samples("crooked", M, D, 5), *y = malloc(N * sizeof *y), s[N], t[N], u[N], w, v;
    (void)state;
    for (int i = 0; i < N; i++) x[i] = (double)(float)x[i];
    scores(&o, M, D, x, s, 0, NULL, NULL, &w);
    for (int i = 0; i < N; i++) y[i] = x[i] + (i % D == 1 ? -3e5 : 1 << 19);
    for (int i = 0; i < N; i++) x[i] = y[i] - (i % D == 1 ? -3e5 : 1 << 19); /* what the shift has left */
    scores(&o, M, D, x, s, 0, NULL, NULL, &w);
    scores(&o, M, D, y, t, 0, NULL, NULL, &v);
    assert_small(ref_distance(t, s, N), 1e-9);
    assert_small(fabs(v - w), 1e-12);
    for (int i = 0; i < N; i++) y[i] = x[i] * 1e-6;
    scores(&o, M, D, y, t, 0, NULL, NULL, &v);
    for (int i = 0; i < N; i++) t[i] *= 1e-6;
    assert_small(ref_distance(t, s, N), 1e-9);
    assert_small(fabs(v * 1e6 - w), 1e-12);
    for (int m = 0; m < M; m++) memcpy(y + D * (m * 50 % M), x + D * m, D * sizeof *y);
    scores(&o, M, D, y, t, 0, NULL, NULL, NULL);
    for (int m = 0; m < M; m++) memcpy(u + D * m, t + D * (m * 50 % M), D * sizeof *u);
    assert_small(ref_distance(u, s, N), 1e-9);
    free(x);
    free(y);
}

/* The estimate is one function: at a sample it has the value it has there as a point; more points than a piece. */
static void points_are_samples(void **state) {
    enum { M = 131, D = 3, Q = 600 };
    static double s[M * D], p[Q * D], sp[Q * D], none[1] = {5};
    (void)state;
    for (int solver = MIGE_SOLVER_LAPACK; solver < SOLVERS; solver++) {
        mige_score_options o = with_solver(solver);
        double *x = samples("crooked", M, D, 12);
        int good = 1;
        o.calibrate = solver % 2 ? MIGE_CALIBRATE_STEIN : MIGE_CALIBRATE_NONE;
        for (int i = 0; i < Q * D; i++) p[i] = x[i % (M * D)];
        scores(&o, M, D, x, s, Q, p, sp, NULL);
        for (int q = 0; q + M <= Q; q += M) assert_small(ref_distance(sp + q * D, s, M * D), 1e-9);
        scores(&o, M, D, x, s, 1, p, sp, NULL);
        assert_small(ref_distance(sp, s, D), 1e-8);
        scores(&o, M, D, x, s, 0, none, none, NULL);
        for (int i = 0; i < D; i++) p[i] = 1e6; /* far from every sample: no density, no score */
        scores(&o, M, D, x, s, 1, p, sp, NULL);
        for (int i = 0; i < D; i++) good = good && sp[i] == 0;
        assert_all(good && none[0] == 5);
        free(x);
    }
}

/* What one estimator has solved before does not show in what it solves next. */
static void used_again(void **state) {
    enum { M = 139, D = 4, N = M * D };
    static double s[N], t[N], sp[5 * D], tp[5 * D];
    (void)state;
    for (int solver = MIGE_SOLVER_LAPACK; solver < SOLVERS; solver++) {
        mige_score_options o = with_solver(solver);
        double *x = samples("gauss", M, D, 13), *y = samples("crooked", M, D, 14), *p = samples("gauss", 5, D, 15);
        double most = solver == MIGE_SOLVER_SUBSPACE ? 1e-6 : 1e-12;
        mige_score *e;
        o.eigen.threshold = 0.985;
        scores(&o, M, D, x, s, 5, p, sp, NULL);
        assert_ok(mige_score_create(&world, M, D, &o, &e));
        assert_ok(mige_score_samples(e, y, t));
        assert_ok(mige_score_points(e, 5, p, tp));
        assert_ok(mige_score_samples(e, x, t));
        assert_small(ref_distance(t, s, N), most);
        assert_ok(mige_score_points(e, 5, p, tp));
        assert_small(ref_distance(tp, sp, 5 * D), most);
        assert_ok(mige_score_points(e, 5, p, tp));
        assert_small(ref_distance(tp, sp, 5 * D), most);
        mige_score_destroy(&e);
        free(x);
        free(y);
        free(p);
    }
}

/* What calibration is for: -Xc' S / M is the identity, or has its trace. */
static void stein_identity(void **state) {
    enum { M = 131, D = 3 };
    static double s[M * D];
    (void)state;
    for (int kind = MIGE_CALIBRATE_SCALE; kind <= MIGE_CALIBRATE_STEIN; kind++) {
        mige_score_options o = mige_score_defaults();
        double *x = samples("crooked", M, D, 31), C[D][D] = {{0}}, mean[D] = {0}, off = 0;
        o.calibrate = (enum mige_calibrate)kind;
        scores(&o, M, D, x, s, 0, NULL, NULL, NULL);
        for (int i = 0; i < M * D; i++) mean[i % D] += x[i] / M;
        for (int m = 0; m < M; m++)
            for (int i = 0; i < D; i++)
                for (int j = 0; j < D; j++) C[i][j] -= (x[m * D + i] - mean[i]) * s[m * D + j] / M;
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++) off = fmax(off, fabs(C[i][j] - (i == j)));
        assert_small(fabs(C[0][0] + C[1][1] + C[2][2] - D), 1e-10);
        assert_all(kind == MIGE_CALIBRATE_STEIN ? off < 1e-10 : off > 1e-4);
        free(x);
    }
}

/* A constant dimension has no scale to restore. */
static void identity_singular(void **state) {
    enum { M = 41, D = 4 };
    static double s[M * D];
    mige_score_options o = mige_score_defaults();
    double *x = samples("flat", M, D, 7);
    mige_score *e;
    (void)state;
    o.calibrate = MIGE_CALIBRATE_STEIN;
    assert_ok(mige_score_create(&world, M, D, &o, &e));
    assert_fails(mige_score_samples(e, x, s), MIGE_ENUMERIC, "singular");
    mige_score_destroy(&e);
    free(x);
}

static void one_sample(void **state) {
    double x[2] = {3, -4}, s[2] = {9, 9}, p[4] = {3, -4, 5, 5}, sp[4];
    mige_score_options o = mige_score_defaults();
    (void)state;
    scores(&o, 1, 2, x, s, 2, p, sp, NULL);
    assert_all(s[0] == 0 && s[1] == 0 && sp[0] == 0 && sp[3] == 0);
}

static void bad_samples(void **state) {
    enum { M = 70, D = 3, N = M * D };
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    static double s[N], sp[2 * D];
    (void)state;
    for (int solver = MIGE_SOLVER_LAPACK; solver < SOLVERS; solver++) {
        mige_score_options o = with_solver(solver);
        double *x = samples("gauss", M, D, 20), *p = samples("gauss", 2, D, 21), *y = malloc(N * sizeof *y);
        mige_score *e;
        assert_ok(mige_score_create(&world, M, D, &o, &e));
        assert_fails(mige_score_points(e, 2, p, sp), MIGE_EUSAGE, "after those of samples");
        for (int k = 0; k < 3; k++) {
            memcpy(y, x, N * sizeof *y);
            y[37 * D + k] = bad[k];
            assert_fails(mige_score_samples(e, y, s), MIGE_EINPUT, "row 37 ");
        }
        for (int i = 0; i < N; i++) y[i] = 1.1 + i % D; /* collapsed */
        assert_fails(mige_score_samples(e, y, s), MIGE_ENUMERIC, "distance");
        for (int i = 0; i < N; i++) y[i] = i < 9 * D ? x[i] : 1.1 + i % D; /* nearly all of them */
        assert_fails(mige_score_samples(e, y, s), MIGE_ENUMERIC, "distance");
        for (int i = 0; i < N; i++) y[i] = x[i] * 1e300; /* the squares overflow */
        assert_fails(mige_score_samples(e, y, s), MIGE_ENUMERIC, "");
        assert_fails(mige_score_points(e, 2, p, sp), MIGE_EUSAGE, "after those of samples");
        assert_ok(mige_score_samples(e, x, s));
        p[D + 1] = NAN;
        assert_fails(mige_score_points(e, 2, p, sp), MIGE_EINPUT, "row 1 ");
        p[D + 1] = 0;
        assert_ok(mige_score_points(e, 2, p, sp));
        mige_score_destroy(&e);
        free(x);
        free(y);
        free(p);
    }
}

/* The names of an estimator's solvers, and the grid that they say is the one they take. */
static void solvers(void **state) {
    static double x[2 * 1500], s[2 * 1500];
    (void)state;
    for (int i = 0; i < 2 * 1500; i++) x[i] = ref_gauss((size_t)i, 90);
    for (int e = 0; e < MIGE_NUM_ESTIMATORS; e++) {
        mige_score_options o = mige_score_defaults();
        o.estimator = (enum mige_estimator)e;
        assert_fails(mige_score_set_solver(&o, "qr"), MIGE_EUSAGE, mige_estimator_get(o.estimator)->name);
        assert_ok(mige_score_set_solver(&o, "auto"));
    }
    for (int solver = MIGE_SOLVER_LAPACK; solver < SOLVERS; solver++) {
        static const char *const names[] = {"auto", "lapack", "scalapack", "subspace", "filter", "cholesky", "cg"};
        mige_score_options o = mige_score_defaults(), other = mige_score_defaults();
        mige_score *p;
        other.estimator = solver < CHOLESKY ? MIGE_ESTIMATOR_STEIN : MIGE_ESTIMATOR_SSGE;
        assert_fails(mige_score_set_solver(&other, names[solver]), MIGE_EUSAGE, names[solver]);
        o.estimator = solver < CHOLESKY ? MIGE_ESTIMATOR_SSGE : MIGE_ESTIMATOR_STEIN;
        assert_ok(mige_score_set_solver(&o, names[solver]));
        o.eigen.eigen = 3;
        assert_ok(mige_score_create(&world, 200, 2, &o, &p));
        assert_ok(mige_score_samples(p, x, s));
        const char *did = mige_score_last(p)->solver;
        int direct = solver == MIGE_SOLVER_SCALAPACK;
        mige_score_plan plan = mige_score_forecast(200, 2, world.size, &o);
        assert_string_equal(did, direct && plan.rows * plan.cols == 1 ? "lapack" : names[solver]);
        mige_score_destroy(&p);
    }
    for (int M = 700; M <= 1500; M += 100) { /* auto: ssge from 768 on, stein from 1024, on all ranks */
        for (int e = MIGE_ESTIMATOR_SSGE; e <= MIGE_ESTIMATOR_STEIN; e++) {
            mige_score_options o = mige_score_defaults();
            int spread = M >= (e == MIGE_ESTIMATOR_STEIN ? 1024 : 768);
            o.estimator = (enum mige_estimator)e;
            mige_score_plan plan = mige_score_forecast(M, 2, 5, &o);
            assert_all(plan.rows == 1 && plan.cols == (spread ? 5 : 1));
        }
    }
}

static void bad_options(void **state) {
    mige_score_options good = mige_score_defaults(), o;
    mige_score *e;
    (void)state;
    assert_fails(mige_score_create(&world, 0, 3, &good, &e), MIGE_EUSAGE, "");
    assert_fails(mige_score_create(&world, 5, 0, &good, &e), MIGE_EUSAGE, "");
    o = good;
    o.width = -1;
    assert_fails(mige_score_create(&world, 5, 3, &o, &e), MIGE_EUSAGE, "width");
    o = good;
    o.width_scale = 0;
    assert_fails(mige_score_create(&world, 5, 3, &o, &e), MIGE_EUSAGE, "width");
    o = good;
    o.eigen.eigen = 6;
    assert_fails(mige_score_create(&world, 5, 3, &o, &e), MIGE_EUSAGE, "");
    o = good;
    o.precondition = MIGE_PRECONDITION_WHITEN;
    assert_fails(mige_score_create(&world, 5, 3, &o, &e), MIGE_EUSAGE, "mapped before");
    assert_null(e);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_definition), cmocka_unit_test(exact_median), cmocka_unit_test(symmetries),
        cmocka_unit_test(points_are_samples), cmocka_unit_test(used_again),   cmocka_unit_test(one_sample),
        cmocka_unit_test(bad_samples),        cmocka_unit_test(bad_options),  cmocka_unit_test(stein_identity),
        cmocka_unit_test(identity_singular),  cmocka_unit_test(solvers),
    };
    refs = ref_load("tests/ref/score.txt");
    ranks_begin(&argc, &argv);
    int failed = cmocka_run_group_tests_name("score", tests, NULL, NULL);
    ref_free(&refs);
    return ranks_end(failed);
}
