/* np: 1 2 3 5 */
/* What conjugate gradients are made of: steps along blocks of directions, the preconditioner, entries in single
 * precision; each against its definition. */
#include "mige/blas.h"
#include "ranks.h"
#include "ref.h"
#include "score/cg.h"
#include <math.h>
#include <stdlib.h>

enum { M = 26, D = 4, DEPENDENT = 2 };

static double A[M * M], B[M * D];

static void fill(void) {
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) A[i * M + j] = 0.3 * exp(-abs(i - j)) + (i == j ? 1 + i : 0);
    for (int m = 0; m < M; m++)
        for (int d = 0; d < D; d++) B[m * D + d] = sin(1 + 1.7 * m * (1 + d)) * pow(10, 3 * d);
    for (int m = 0; m < M; m++) B[m * D + DEPENDENT] = 7 * B[m * D] - 1e-3 * B[m * D + 1];
}

/* This rank's rows of A T. */
static void multiply(mige_rows *own, const double *T, double *Q) {
    static double all[M * D];
    assert_ok(mige_rows_gather(own, D, T, all));
    for (int m = 0; m < (int)own->count; m++)
        for (int d = 0; d < D; d++) {
            Q[m * D + d] = 0;
            for (int j = 0; j < M; j++) Q[m * D + d] += A[((int)own->first + m) * M + j] * all[j * D + d];
        }
}

/* Three of four right-hand sides are independent: 26 unknowns take nine steps, and the last has two directions. */
static void ends(void **state) {
    static double R[M * D], X[M * D], S[M * D], Q[M * D], T[M * D], left[M * D];
    mige_rows own;
    mige_pool pool = {0};
    directions b;
    double worst = 0;
    (void)state;
    fill();
    assert_ok(mige_rows_create(&world, M, 1, &own));
    assert_ok(directions_create(&world, (int)own.count, D, &pool, &b));
    memcpy(R, B + own.first * D, (size_t)own.count * D * sizeof *R);
    memset(X, 0, sizeof X);
    memcpy(T, R, sizeof T);
    for (int step = 0; step < 9; step++) {
        assert_ok(directions_basis(&b, T, S));
        assert_all(b.rank == (step < 8 ? 3 : 2));
        multiply(&own, S, Q);
        assert_ok(directions_step(&b, S, Q, X, R));
        assert_all(!b.broken);
        memcpy(T, R, sizeof T);
        assert_ok(directions_conjugate(&b, S, Q, T));
    }
    multiply(&own, X, left);
    for (int i = 0; i < (int)own.count * D; i++)
        worst = fmax(worst, fabs(left[i] - B[own.first * D + i]) / pow(10, 3 * (i % D)));
    assert_small(worst, 1e-9);
    mige_rows_destroy(&own);
    mige_pool_free(&pool);
}

/* Entries beyond the first two terms, |t| small, at the border and large; samples so far out that u is 0. */
static void entries(void **state) {
    static const double places[] = {1e-3, 0.05, 0.2, 0.69, 0.70, 0.72, 2, -0.05, -0.69, -0.72, -2, 30};
    enum { N = sizeof places / sizeof *places };
    float x[N], norms[N], u[N];
    const double scale = 0.35, y = 1.02;
    (void)state;
    for (int i = 0; i < N; i++) {
        x[i] = (float)(-2 * places[i] * y);
        norms[i] = (float)(places[i] * places[i]);
        u[i] = (float)exp(-scale * places[i] * places[i]);
    }
    kernel_rest_single(N, (float)scale, norms, (float)(y * y), u, (float)exp(-scale * y * y), x);
    for (int i = 0; i < N; i++) {
        double p = places[i], t = 2 * scale * p * y, uv = exp(-scale * (p * p + y * y)),
               wanted = uv * (fabs(t) < 0.1 ? t * t * (0.5 + t * (1. / 6 + t / 24 * (1 + t / 5))) : expm1(t) - t);
        assert_small(fabs(x[i] - wanted), fabs(t) < 0.49 ? 3e-6 * wanted : 3e-7);
    }
}

static double squares(const double *x) {
    return x[0] * x[0] + x[1] * x[1] + x[2] * x[2];
}

/* F F' against the kernel, between this rank's samples x [count][3]. */
static double worst_entry(const nystroem *n, const double *x) {
    double worst = 0;
    size_t r = (size_t)n->r;
    for (int64_t i = 0; i < n->count; i += 3)
        for (int64_t j = 0; j <= i; j++) {
            double k = exp(-n->scale * kernel_distance2(3, x + 3 * i, x + 3 * j));
            worst = fmax(worst, fabs(k - cblas_dsdot(n->r, n->F + (size_t)i * r, 1, n->F + (size_t)j * r, 1)));
        }
    return worst;
}

/* In double P Z = R for the factor that there is; in single precision nearly the same Z, though R is mostly the
 * leading eigenvector. */
static void preconditioner(void **state) {
    enum { ROWS = 900, WIDTH = 3 };
    static double x[ROWS * WIDTH], R[ROWS * WIDTH], Z[ROWS * WIDTH], Y[ROWS * WIDTH], t[ROWS * WIDTH];
    double left = 0;
    mige_pool pool = {0};
    nystroem n;
    (void)state;
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = 2 * sin(1.1 * i * i + i);
    assert_ok(nystroem_create(&world, ROWS, WIDTH, &pool, &n));
    assert_ok(nystroem_make(&n, x, 0.1, 5e-4));
    size_t count = (size_t)n.count, r = (size_t)n.r, first = (size_t)n.first;
    for (size_t i = 0; i < count * WIDTH; i++)
        R[i] = 300 * exp(-0.1 * squares(x + (first + i / WIDTH) * WIDTH)) + cos(0.3 * (double)(i + first * WIDTH));
    assert_ok(nystroem_solve(&n, 1, R, Z));
    for (size_t m = 0; m < count; m++)
        for (size_t j = 0; j < r; j++)
            for (size_t d = 0; d < WIDTH; d++) t[j * WIDTH + d] += (double)n.F[m * r + j] * Z[m * WIDTH + d];
    assert_ok(mige_sum(&world, t, r * WIDTH));
    for (size_t m = 0; m < count; m++)
        for (size_t d = 0; d < WIDTH; d++) {
            double image = n.eta * Z[m * WIDTH + d];
            for (size_t j = 0; j < r; j++) image += (double)n.F[m * r + j] * t[j * WIDTH + d];
            left = fmax(left, fabs(image - R[m * WIDTH + d]));
        }
    assert_small(left, 1e-3);
    assert_small(worst_entry(&n, x + first * WIDTH), 1e-3);
    assert_ok(nystroem_solve(&n, 0, R, Y));
    assert_small(ref_distance(Y, Z, (int)count * WIDTH), 5e-5);
    mige_pool_free(&pool);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ends), cmocka_unit_test(entries),
                                       cmocka_unit_test(preconditioner)};
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("directions", tests, NULL, NULL));
}
