/* np: 1 2 3 */
/* Preconditioning maps against tests/ref/make_precondition.py, what must hold of any map, and the gradient of
 * mutual information carried back through them. */
#include "mige/mi.h"
#include "mige/precondition.h"
#include "mige/rng.h"
#include "ranks.h"
#include "ref.h"
#include "score/maps.h"
#include <math.h>

static ref_file refs;
static const char *const names[] = {"none", "whiten", "normal-scores", "ica"};

/* The samples of make_precondition.py, to the last bit. */
static double *samples(const char *kind, int M, int D, uint32_t salt) {
    double *x = malloc((size_t)(M * D) * sizeof *x), *y = malloc((size_t)D * sizeof *y);
    int cubes = !strcmp(kind, "cubes") || !strcmp(kind, "mixed");
    for (int i = 0; i < M * D; i++) {
        x[i] = ref_gauss((size_t)i, salt);
        if (cubes) x[i] = x[i] * x[i] * x[i];
        if (!strcmp(kind, "ties")) x[i] = i % D == 1 ? 7 : rint(x[i]);
        if (!strcmp(kind, "some") && i % D == 0) x[i] *= x[i];
    }
    for (int m = 0; m < M && !strcmp(kind, "mixed"); m++) {
        for (int d = 0; d < D; d++) y[d] = x[m * D + d] + 0.5 * x[m * D + (d + D - 1) % D];
        memcpy(x + m * D, y, (size_t)D * sizeof *y);
    }
    free(y);
    return x;
}

static double *zeros(size_t n) {
    return calloc(n, sizeof(double));
}

/* Normal random numbers. */
static double *normal(int M, int D, uint64_t stream) {
    double *x = zeros((size_t)(M * D));
    mige_rng_normal(9, MIGE_RNG_SAMPLE, stream, 0, (size_t)(M * D), x);
    return x;
}

typedef struct {
    const char *name, *kind;
    int M, D;
} reference_case;

static void compare(const reference_case *t, uint32_t salt, enum mige_precondition kind) {
    size_t n = (size_t)(t->M * t->D);
    double *x = samples(t->kind, t->M, t->D, salt), *g = samples("gauss", t->M, t->D, 50 + salt), *T = zeros(n);
    char name[96];
    mige_map *map;
    assert_ok(mige_map_create(&world, kind, t->M, t->D, &map));
    for (int again = 0; again < 2; again++) assert_ok(mige_map_fit(map, x, T));
    mige_map_pull(map, g);
    snprintf(name, sizeof name, "%s.%s.t", t->name, names[kind]);
    /* ica: as near as iterations that stop at 1e-6 come. */
    double most = kind == MIGE_PRECONDITION_ICA ? 1e-6 : 1e-10, error = ref_compare(&refs, name, T, n);
    if (!(error < most)) print_error("%s: %.2e\n", name, error);
    assert_small(error, most);
    snprintf(name, sizeof name, "%s.%s.pull", t->name, names[kind]);
    assert_small(ref_compare(&refs, name, g, n), most);
    assert_true(same_everywhere(T, n * sizeof *T));
    mige_map_destroy(&map);
    assert_null(map);
    free(x);
    free(g);
    free(T);
}

static void references(void **state) {
    static const reference_case cases[] = {
        {"normal", "gauss", 60, 3}, {"cubes", "cubes", 80, 3}, {"mixed", "mixed", 130, 3}, {"ties", "ties", 61, 3},
        {"some", "some", 75, 2},    {"few", "cubes", 11, 5},   {"wide", "gauss", 6, 9},    {"line", "cubes", 40, 1},
    };
    (void)state;
    assert_true(refs.n > 0);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int kind = MIGE_PRECONDITION_WHITEN; kind <= MIGE_PRECONDITION_ICA; kind++)
            compare(&cases[k], (uint32_t)k + 1, (enum mige_precondition)kind);
}

/* cov(t) - I, at most. */
static double off_white(int M, int D, const double *T) {
    double worst = 0;
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) {
            double a = 0, b = 0, ab = 0;
            for (int m = 0; m < M; m++) {
                a += T[m * D + i] / M;
                b += T[m * D + j] / M;
                ab += T[m * D + i] * T[m * D + j] / M;
            }
            worst = fmax(worst, fabs(ab - a * b - (i == j)));
        }
    return worst;
}

/* Covariance I whatever the units; (T(x + h) - T(x)) . g = h . pull(g), for a linear map. */
static void whitening(void **state) {
    enum { M = 300, D = 7 };
    double *x = normal(M, D, 1), *g = normal(M, D, 2), *T = zeros(M * D), *kept = zeros(M * D), *P = zeros(M * D);
    double forward = 0, back = 0;
    mige_map *map;
    (void)state;
    for (int i = 0; i < M * D; i++) P[i] = x[i];
    for (int i = 0; i < M * D; i++) x[i] = 1e3 + pow(10, i % D - 3) * (P[i] + 2 * P[i / D * D + (i + 1) % D]);
    assert_ok(mige_map_create(&world, MIGE_PRECONDITION_WHITEN, M, D, &map));
    assert_ok(mige_map_fit(map, x, T));
    assert_small(off_white(M, D, T), 1e-10);
    assert_ok(mige_map_points(map, M, x, P));
    assert_small(ref_distance(P, T, M * D), 1e-12);
    for (int i = 0; i < M * D; i++) x[i] += 0.5 * sin(i); /* a linear map: any step will do */
    assert_ok(mige_map_points(map, M, x, P));
    for (int i = 0; i < M * D; i++) forward += (P[i] - T[i]) * g[i];
    memcpy(kept, g, M * D * sizeof *g);
    mige_map_pull(map, g);
    for (int i = 0; i < M * D; i++) back += 0.5 * sin(i) * g[i];
    assert_small(fabs(forward / back - 1), 1e-10);
    assert_ok(mige_map_scores(map, M, kept));
    assert_small(ref_distance(kept, g, M * D), 1e-15);
    mige_map_destroy(&map);
    double *all[] = {x, g, T, kept, P};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* Rank by rank, whatever the dimension's shape; and the slopes are those of the population's map on average: of t =
 * y for x = y^3, that is 1 / (3 y^2), times dx/dy = 3 y^2. */
static void normal_score_maps(void **state) {
    enum { M = 4000, D = 2 };
    double *y = normal(M, D, 3), *x = zeros(M * D), *T = zeros(M * D), *g = zeros(M * D), mean = 0,
           least = INFINITY;
    mige_map *map;
    (void)state;
    for (int i = 0; i < M * D; i++) {
        x[i] = y[i] * y[i] * y[i];
        g[i] = 1;
    }
    assert_ok(mige_map_create(&world, MIGE_PRECONDITION_NORMAL_SCORES, M, D, &map));
    assert_ok(mige_map_fit(map, x, T));
    mige_map_pull(map, g);
    int monotone = 1;
    for (int a = 0; a < M; a += 7)
        for (int b = 0; b < M; b++)
            for (int d = 0; d < D; d++)
                monotone = monotone && (x[a * D + d] < x[b * D + d]) == (T[a * D + d] < T[b * D + d]);
    for (int i = 0; i < M * D; i++) {
        mean += g[i] * 3 * y[i] * y[i] / (M * D);
        least = fmin(least, g[i]);
    }
    assert_all(monotone && least > 0);
    assert_small(ref_distance(T, y, M * D), 0.03);
    assert_small(fabs(mean - 1), 0.02); /* measured 0.003; without the correction for n gaps 0.13 more */
    assert_fails(mige_map_scores(map, M, T), MIGE_EUSAGE, "not scores");
    assert_fails(mige_map_points(map, M, T, g), MIGE_EUSAGE, "not scores");
    mige_map_destroy(&map);
    free(y);
    free(x);
    free(T);
    free(g);
}

/* Slopes are the derivative of the map of the population, on average over a neighbourhood. */
static void slopes(void **state) {
    enum { M = 2000 };
    double *y = normal(M, 1, 4), *T = zeros(M), *g = zeros(M), worst = 0;
    mige_map *map;
    (void)state;
    for (int i = 0; i < M; i++) {
        y[i] = exp(y[i]);
        g[i] = 1;
    }
    assert_ok(mige_map_create(&world, MIGE_PRECONDITION_NORMAL_SCORES, M, 1, &map));
    assert_ok(mige_map_fit(map, y, T));
    mige_map_pull(map, g);
    for (int k = -3; k <= 3; k++) { /* of t = log y: slope 1 / y */
        double at = 0.5 * k, sum = 0, n = 0;
        for (int i = 0; i < M; i++)
            if (fabs(log(y[i]) - at) < 0.2) sum += g[i] * y[i], n++;
        worst = fmax(worst, fabs(sum / n - 1));
    }
    assert_small(worst, 0.15);
    mige_map_destroy(&map);
    free(y);
    free(T);
    free(g);
}

/* x = Q y^3: T' times dx/dy is the identity up to order and sign, so the rows of the products have one large entry:
 * the Amari index, 0 where that is exact, about 0.3 for a random matrix. */
static double amari(int D, const double *P) {
    double sum = 0;
    for (int way = 0; way < 2; way++)
        for (int i = 0; i < D; i++) {
            double total = 0, most = 0;
            for (int j = 0; j < D; j++) {
                double a = fabs(way ? P[j * D + i] : P[i * D + j]);
                total += a;
                most = fmax(most, a);
            }
            sum += total / most - 1;
        }
    return sum / (2. * D * (D - 1));
}

static void components(void **state) {
    enum { M = 1024, D = 8 };
    double *y = normal(M, D, 5), *Q = normal(D, D, 6), *x = zeros(M * D), *T = zeros(M * D), *P = zeros(D * D);
    double found[D * D], worst = 0;
    mige_map *map;
    (void)state;
    for (int m = 0; m < M; m++)
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++) x[m * D + i] += Q[i * D + j] * pow(y[m * D + j], 3);
    assert_ok(mige_map_create(&world, MIGE_PRECONDITION_ICA, M, D, &map));
    assert_ok(mige_map_fit(map, x, T));
    assert_true(same_everywhere(T, M * D * sizeof *T));
    for (int i = 0; i < D; i++) /* t_i against y_j: its correlation, since t is a component's normal score */
        for (int j = 0; j < D; j++) {
            double tt = 0, yy = 0, ty = 0;
            for (int m = 0; m < M; m++) {
                tt += T[m * D + i] * T[m * D + i];
                yy += y[m * D + j] * y[m * D + j];
                ty += T[m * D + i] * y[m * D + j];
            }
            P[i * D + j] = ty / sqrt(tt * yy);
            found[i * D + j] = fabs(P[i * D + j]) > 0.5;
        }
    for (int i = 0; i < D; i++) {
        double row = 0, column = 0, most = 0;
        for (int j = 0; j < D; j++) {
            row += found[i * D + j];
            column += found[j * D + i];
            most = fmax(most, fabs(P[i * D + j]));
        }
        worst = fmax(worst, 1 - most);
        assert_all(row == 1 && column == 1);
    }
    assert_small(worst, 0.005);
    mige_map_destroy(&map);
    double *all[] = {y, Q, x, T, P};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* The rotation by itself, and what the refinement adds: cubes, whose likelihood knows far more than one contrast.
 */
static void refinement(void **state) {
    enum { M = 1024, D = 8 };
    double *y = normal(M, D, 7), *Q = normal(D, D, 8), *x = zeros(M * D), *A = zeros(D * D), *Z = zeros(M * D),
           *W = zeros(D * D), *AQ = zeros(D * D), *P = zeros(D * D), index[2];
    int shaped[D];
    ica_space *s;
    mige_pool pool = {0};
    (void)state;
    for (int m = 0; m < M; m++)
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++) x[m * D + i] += Q[i * D + j] * pow(y[m * D + j], 3);
    for (int i = 0; i < D; i++) {
        double mean = 0;
        for (int m = 0; m < M; m++) mean += x[m * D + i] / M;
        for (int m = 0; m < M; m++) x[m * D + i] -= mean;
        shaped[i] = 1;
    }
    assert_ok(ica_create(M, D, &pool, &s));
    assert_ok(ica_whiten(s, x, A));
    for (int m = 0; m < M; m++)
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++) Z[m * D + i] += x[m * D + j] * A[i * D + j];
    assert_small(off_white(M, D, Z), 1e-10);
    for (int i = 0; i < D * D; i++)
        for (int k = 0; k < D; k++) AQ[i] += A[i / D * D + k] * Q[k * D + i % D];
    for (int step = 0; step < 2; step++) {
        if (step)
            assert_ok(ica_refine(s, Z, shaped, W));
        else
            assert_ok(ica_rotate(s, Z, W));
        for (int i = 0; i < D * D; i++) {
            P[i] = 0;
            for (int k = 0; k < D; k++) P[i] += W[i / D * D + k] * AQ[k * D + i % D];
        }
        index[step] = amari(D, P);
    }
    assert_small(index[0], 0.03);
    assert_small(index[1], 0.004);
    mige_pool_free(&pool);
    double *all[] = {y, Q, x, A, Z, W, AQ, P};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void quantile(void **state) {
    double worst = 0;
    (void)state;
    for (int i = 1; i < 2000; i++) {
        double p = i < 1000 ? i / 1000. : pow(10, -(i - 999) / 70.), x = normal_quantile(p);
        worst = fmax(worst, fabs(0.5 * erfc(-x * M_SQRT1_2) / p - 1));
    }
    assert_small(worst, 1e-13);
    assert_small(fabs(normal_quantile(0.975) - 1.9599639845400542), 1e-14);
    assert_true(normal_quantile(0.5) == 0 && normal_quantile(0.25) == -normal_quantile(0.75));
}

static mige_score_options tikhonov(enum mige_precondition kind) {
    mige_score_options o = mige_score_defaults();
    o.estimator = MIGE_ESTIMATOR_STEIN;
    o.calibrate = MIGE_CALIBRATE_STEIN;
    o.precondition = kind;
    return o;
}

/* I(x;z) with the gradient of z alone, or of both. */
static int create(int M, int D, int gradients, const mige_score_options *o, mige_mi **m) {
    const mige_mi_variable v[] = {{"x", D, gradients > 1}, {"z", D, 1}};
    return mige_mi_create(&world, M, 2, v, 1, &(mige_mi_pair){0, 1}, o, m);
}
static int gradient(mige_mi *m, const double *x, const double *z, double *dX, double *dZ) {
    return mige_mi_gradient(m, (const double *[]){x, z}, (double *[]){dX, dZ});
}

static void information(void **state) {
    enum { M = 100, D = 3 };
    static double x[M * D], w[M * D], z[M * D], h[M * D], dZ[M * D], back[M * D];
    (void)state;
    for (size_t i = 0; i < M * D; i++) {
        double u = ref_gauss(i, 71), v = ref_gauss(i, 72) + u;
        x[i] = u * u * u;
        w[i] = v * v * v;
    }
    for (int i = 0; i < M * D; i++) {
        z[i] = w[i] + 0.5 * w[i / D * D + (i + D - 1) % D];
        h[i] = x[i] + ref_gauss((size_t)(i / D * 2 + (i % D > 0)), 73) * w[i];
    }
    for (int kind = 0; kind <= MIGE_PRECONDITION_ICA; kind++) {
        mige_score_options o = tikhonov((enum mige_precondition)kind);
        char name[96];
        mige_mi *m;
        snprintf(name, sizeof name, "mi.%s", names[kind]);
        assert_ok(create(M, D, 1, &o, &m));
        for (int again = 0; again < 2; again++) assert_ok(gradient(m, x, z, NULL, dZ));
        double error = ref_compare(&refs, name, dZ, M * D);
        if (!(error < 1e-8)) print_error("%s: %.2e\n", name, error);
        assert_small(error, 1e-8);
        assert_true(same_everywhere(dZ, sizeof dZ));
        mige_mi_destroy(&m);
        /* Both have gradients, the first the other's place, through its own map. */
        assert_ok(create(M, D, 2, &o, &m));
        assert_ok(gradient(m, z, x, dZ, back));
        assert_small(ref_compare(&refs, name, dZ, M * D), 1e-8);
        snprintf(name, sizeof name, "mi.%s.x", names[kind]);
        assert_small(ref_compare(&refs, name, back, M * D), 1e-8);
        assert_true(same_everywhere(back, sizeof back));
        mige_mi_destroy(&m);
        /* I(x;z) + I(h;z). */
        const mige_mi_variable v[] = {{"x", D, 0}, {"h", D, 1}, {"z", D, 1}};
        assert_ok(mige_mi_create(&world, M, 3, v, 2, (const mige_mi_pair[]){{0, 2}, {1, 2}}, &o, &m));
        assert_ok(mige_mi_gradient(m, (const double *[]){x, h, z}, (double *[]){NULL, back, dZ}));
        snprintf(name, sizeof name, "mi.%s.sum", names[kind]);
        assert_small(ref_compare(&refs, name, dZ, M * D), 1e-8);
        snprintf(name, sizeof name, "mi.%s.h", names[kind]);
        assert_small(ref_compare(&refs, name, back, M * D), 1e-8);
        mige_mi_destroy(&m);
    }
}

/* dI/drho of z = R g(rho x + sqrt(1 - rho^2) eps), whose information is that of the Gaussian: relative errors. */
static double derivative_error(enum mige_precondition kind, int M, int cubes, uint64_t stream) {
    enum { D = 8 };
    double rho = 0.7, rest = sqrt(1 - rho * rho), exact = rho * D / (1 - rho * rho), sum = 0;
    double *x = normal(M, D, stream), *eps = normal(M, D, stream + 1), *R = normal(D, D, stream + 2),
           *z = zeros((size_t)(M * D)), *dz = zeros((size_t)(M * D)), *G = zeros((size_t)(M * D));
    mige_score_options o = tikhonov(kind);
    mige_mi *m;
    for (int i = 0; i < M * D; i++) {
        double u = rho * x[i] + rest * eps[i], du = x[i] - rho / rest * eps[i];
        for (int k = 0; k < D; k++) {
            z[i / D * D + k] += R[k * D + i % D] * (cubes ? u * u * u : u);
            dz[i / D * D + k] += R[k * D + i % D] * (cubes ? 3 * u * u : 1) * du;
        }
    }
    assert_ok(create(M, D, 1, &o, &m));
    assert_ok(gradient(m, x, z, NULL, G));
    mige_mi_destroy(&m);
    for (int i = 0; i < M * D; i++) sum += G[i] * dz[i];
    double *all[] = {x, eps, R, z, dz, G};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    return fabs(sum / exact - 1);
}

/* Root mean square of the relative errors of three draws. */
static double typical_error(enum mige_precondition kind, int M, int cubes) {
    double sum = 0;
    for (uint64_t draw = 0; draw < 3; draw++) sum += pow(derivative_error(kind, M, cubes, 20 + 10 * draw), 2);
    return sqrt(sum / 3);
}

/* Measured: mixed cubes 0.26 and 0.010, normal 0.023, 0.019, 0.026. */
static void derivatives(void **state) {
    (void)state;
    assert_all(typical_error(MIGE_PRECONDITION_WHITEN, 1024, 1) > 0.2); /* what is to be gained */
    assert_small(typical_error(MIGE_PRECONDITION_ICA, 1024, 1), 0.02);
    for (int kind = MIGE_PRECONDITION_WHITEN; kind <= MIGE_PRECONDITION_ICA; kind++)
        assert_small(typical_error((enum mige_precondition)kind, 512, 0), 0.05);
}

static void failures(void **state) {
    enum { M = 50, D = 4 };
    double *x = normal(M, D, 9), *T = zeros(M * D);
    mige_map *map;
    (void)state;
    assert_fails(mige_map_create(&world, MIGE_PRECONDITION_ICA, 0, D, &map), MIGE_EUSAGE, "0 samples");
    assert_null(map);
    for (int kind = MIGE_PRECONDITION_WHITEN; kind <= MIGE_PRECONDITION_ICA; kind++) {
        assert_ok(mige_map_create(&world, (enum mige_precondition)kind, M, D, &map));
        x[7 * D + 2] = NAN;
        assert_fails(mige_map_fit(map, x, T), MIGE_EINPUT, "row 7 ");
        x[7 * D + 2] = 1;
        assert_ok(mige_map_fit(map, x, T));
        x[7 * D + 2] = 1e300;
        if (kind != MIGE_PRECONDITION_NORMAL_SCORES)
            assert_fails(mige_map_fit(map, x, T), MIGE_ENUMERIC, "dimension 2");
        x[7 * D + 2] = 1;
        assert_ok(mige_map_fit(map, x, T));
        mige_map_destroy(&map);
    }
    free(x);
    free(T);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references), cmocka_unit_test(whitening),   cmocka_unit_test(normal_score_maps),
        cmocka_unit_test(slopes),     cmocka_unit_test(components),  cmocka_unit_test(refinement),
        cmocka_unit_test(quantile),   cmocka_unit_test(information), cmocka_unit_test(derivatives),
        cmocka_unit_test(failures),
    };
    ranks_begin(&argc, &argv);
    refs = ref_load("tests/ref/precondition.txt");
    int failed = cmocka_run_group_tests_name("precondition", tests, NULL, NULL);
    ref_free(&refs);
    return ranks_end(failed);
}
