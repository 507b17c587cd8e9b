/* np: 1 2 3 5 */
/* Tridiagonal form, its eigenvalues and vectors, and the spectral cut by vectors, against LAPACK. */
#include "linalg/tridiagonal.h"
#include "mige/blas.h"
#include "mige/linalg.h"
#include "ranks.h"
#include "ref.h"
#include <math.h>
#include <stdlib.h>

void dsterf_(const int *n, double *d, double *e, int *info);

/* A Gram matrix of points in four dimensions; full, column-major. */
static double *gram(int m) {
    double *K = malloc((size_t)m * (size_t)m * sizeof *K);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < m; j++) {
            double d2 = 0;
            for (int k = 0; k < 4; k++) {
                double d = (double)ref_value((size_t)(4 * i + k), 5) - (double)ref_value((size_t)(4 * j + k), 5);
                d2 += d * d;
            }
            K[(size_t)j * (size_t)m + (size_t)i] = exp(-3 * d2);
        }
    return K;
}

/* Eigenvalues, ascending, and vectors over A, by LAPACK. */
static void reference(int m, double *A, double *values) {
    int lwork = 1 + 6 * m + 2 * m * m, liwork = 3 + 5 * m, info;
    double *work = malloc((size_t)lwork * sizeof *work);
    int *iwork = malloc((size_t)liwork * sizeof *iwork);
    dsyevd_("V", "L", &m, A, &m, values, work, &lwork, iwork, &liwork, &info);
    assert_int_equal(info, 0);
    free(work);
    free(iwork);
}

/* The largest entry of Q'K Q - T, over the size of K. */
static double reduction_error(const mige_grid *g, int m, int alone) {
    mige_matrix K;
    tridiagonal t;
    double *full = gram(m), *Q = calloc((size_t)m * (size_t)m, sizeof *Q),
           *KQ = malloc((size_t)m * (size_t)m * sizeof *KQ), worst = 0;
    int err = mige_matrix_create(g, m, m, &K);
    if (!err) err = tridiagonal_create(g, m, alone, &t);
    if (!err) err = tridiagonal_room(&t, m);
    for (int repeat = 0; !err && repeat < 2; repeat++) {
        for (int jl = 0; jl < K.nl; jl++)
            memcpy(K.a + (size_t)jl * (size_t)K.lld, full + (size_t)mige_col(&K, jl) * (size_t)m,
                   (size_t)m * sizeof *full);
        err = tridiagonal_reduce(&t, &K);
    }
    for (int i = 0; i < m; i++) Q[(size_t)i * (size_t)m + (size_t)i] = 1;
    if (!err) err = tridiagonal_multiply(&t, &K, 0, m, Q);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, m, m, m, 1, full, m, Q, m, 0, KQ, m);
    if (!err) err = tridiagonal_multiply(&t, &K, 1, m, KQ);
    for (int j = 0; j < m; j++)
        for (int i = 0; i < m; i++) {
            double T = i == j ? t.d[i] : i == j + 1 ? t.e[j] : j == i + 1 ? t.e[i] : 0;
            worst = fmax(worst, fabs(KQ[(size_t)j * (size_t)m + (size_t)i] - T));
        }
    tridiagonal_destroy(&t);
    mige_matrix_destroy(&K);
    free(full);
    free(Q);
    free(KQ);
    return err ? INFINITY : worst / m;
}

static void reductions(void **state) {
    static const int orders[] = {1, 2, 3, 8, 9, 31, 64, 65, 100, 161, 256}, alone[] = {0, 1, 7, 40, 96, 1000};
    (void)state;
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++)
        for (size_t a = 0; a < sizeof alone / sizeof *alone; a++) {
            mige_grid g;
            double error = 0;
            assert_ok(mige_grid_create(&world, orders[k], world.size, 16, &g));
            if (g.inside) error = reduction_error(&g, orders[k], alone[a]);
            assert_all(error < 1e-14);
            mige_grid_destroy(&g);
        }
}

enum { KINDS = 8 };
/* Matrices that are hard in one way or another. */
static void hard(int kind, int m, double *d, double *e) {
    for (int k = 0; k < m; k++) {
        double x = (double)ref_value((size_t)k, 11), y = (double)ref_value((size_t)k, 12);
        d[k] = x;
        e[k] = y;
        if (kind == 1) d[k] = e[k] = 0;
        if (kind == 2) d[k] = 3, e[k] = 0;                                /* one eigenvalue, m times */
        if (kind == 3) d[k] = abs(m / 2 - k), e[k] = 1;                   /* Wilkinson: close pairs */
        if (kind == 4) d[k] = 2, e[k] = -1;                               /* the Laplacian */
        if (kind == 5) d[k] = pow(10, -(double)k), e[k] = d[k] * y * 0.1; /* graded */
        if (kind == 6 && k % 3 == 2) e[k] = 0;                            /* falls apart */
        if (kind == 7) d[k] = 1e150 * x, e[k] = 1e150 * y;
    }
}

static void eigenvalues(void **state) {
    static const int orders[] = {1, 2, 3, 15, 16, 17, 60, 200};
    double d[200], e[200], values[200], expected[200], below[200];
    (void)state;
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++)
        for (int kind = 0; kind < KINDS; kind++) {
            int m = orders[k], info;
            sturm s;
            hard(kind, m, d, e);
            assert_int_equal(sturm_create(m, &s), MIGE_OK);
            sturm_values(&s, d, e, 0, m, values);
            for (int r = 0; r < 3; r++) { /* a part is what it is in the whole */
                int first = m * r / 3, count = m * (r + 1) / 3 - first;
                sturm_values(&s, d, e, first, count, below);
                assert_memory_equal(below, values + first, (size_t)count * sizeof *below);
            }
            memcpy(expected, d, sizeof d);
            memcpy(below, e, sizeof e);
            dsterf_(&m, expected, below, &info);
            double size = fmax(fabs(expected[0]), fabs(expected[m - 1])), worst = 0;
            for (int j = 0; j < m; j++) worst = fmax(worst, fabs(values[j] - expected[j]));
            if (!(worst <= 1e-14 * size + 1e-30))
                print_error("kind %d, order %d: %g of %g\n", kind, m, worst, size);
            assert_true(worst <= 1e-14 * size + 1e-30);
            sturm_destroy(&s);
        }
    d[3] = NAN;
    sturm s;
    assert_int_equal(sturm_create(20, &s), MIGE_OK);
    sturm_values(&s, d, e, 0, 20, values);
    for (int j = 0; j < 20; j++) assert_true(isnan(values[j]));
    sturm_destroy(&s);
}

/* T of a Gram matrix, its values and vectors [m][m]. */
typedef struct {
    int m;
    double d[120], e[120], values[120], *U;
} spectrum;

static void make_spectrum(int m, spectrum *s) {
    s->m = m;
    s->U = calloc((size_t)m * (size_t)m, sizeof *s->U);
    for (int k = 0; k < m; k++) {
        s->d[k] = 2 + 0.5 * (double)ref_value((size_t)k, 21);
        s->e[k] = 0.7 + 0.2 * (double)ref_value((size_t)k, 22);
        s->U[(size_t)k * (size_t)m + (size_t)k] = s->d[k];
        if (k + 1 < m) s->U[(size_t)k * (size_t)m + (size_t)k + 1] = s->e[k];
    }
    reference(m, s->U, s->values);
}

enum { COLUMNS = 19 };
/* X <- U_J diag(1/lambda^power) U_J' X */
static void cut(const spectrum *s, int J, int power, double *X) {
    int m = s->m;
    double *C = malloc((size_t)J * COLUMNS * sizeof *C);
    const double *U = s->U + (size_t)(m - J) * (size_t)m;
    cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, J, COLUMNS, m, 1, U, m, X, m, 0, C, J);
    for (int i = 0; i < J * COLUMNS; i++) C[i] /= pow(s->values[m - J + i % J], power);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, m, COLUMNS, J, 1, U, m, C, J, 0, X, m);
    free(C);
}

static void projections(void **state) {
    enum { M = 120 };
    static const int cuts[] = {1, 2, 20, 59, 60, 61, 100, 119, 120};
    double X[M * COLUMNS], Y[M * COLUMNS];
    spectrum s;
    projector p;
    (void)state;
    make_spectrum(M, &s);
    assert_int_equal(projector_create(M, M / 2, &p), MIGE_OK);
    assert_int_equal(projector_room(&p, COLUMNS), MIGE_OK);
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++)
        for (int power = 1; power <= 2; power++) {
            for (int i = 0; i < M * COLUMNS; i++) X[i] = Y[i] = (double)ref_value((size_t)i, 31);
            assert_true(projector_make(&p, s.d, s.e, s.values, cuts[k]));
            projector_apply(&p, s.d, s.e, power, COLUMNS, X);
            cut(&s, cuts[k], power, Y);
            double error = ref_distance(X, Y, (size_t)(M * COLUMNS));
            if (!(error < 1e-11)) print_error("cut %d, power %d: %g\n", cuts[k], power, error);
            assert_true(error < 1e-11);
        }
    projector_destroy(&p);
    free(s.U);
}

/* Where vectors are no good it says so: at a cut between equal eigenvalues, with several of them on its side, with
 * too many vectors, with a matrix that is nearly singular. */
static void refusals(void **state) {
    enum { M = 60 };
    double d[M], e[M] = {0}, values[M];
    projector p;
    (void)state;
    assert_int_equal(projector_create(M, 20, &p), MIGE_OK);
    for (int k = 0; k < M; k++) d[k] = values[k] = k + 1;
    assert_true(projector_make(&p, d, e, values, 20));
    assert_false(projector_make(&p, d, e, values, 21));
    assert_true(projector_make(&p, d, e, values, 40));
    for (int k = 45; k < 52; k++) d[k] = values[k] = 48;
    assert_false(projector_make(&p, d, e, values, 12));
    for (int k = 0; k < M; k++) d[k] = values[k] = k + 1;
    d[0] = values[0] = 1e-9;
    assert_false(projector_make(&p, d, e, values, 50));
    projector_destroy(&p);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reductions), cmocka_unit_test(eigenvalues),
                                       cmocka_unit_test(projections), cmocka_unit_test(refusals)};
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("tridiagonal", tests, NULL, NULL));
}
