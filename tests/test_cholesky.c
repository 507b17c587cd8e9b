/* np: 1 2 3 4 5 8 */
/* Systems of a positive definite matrix, the same expected values for every number of ranks. */
#include "gram.h"
#include "mige/linalg.h"
#include "ranks.h"

static void multiply_by(int M, const double *K, double shift, int D, const double *X, double *Y) {
    for (int i = 0; i < M; i++)
        for (int d = 0; d < D; d++) {
            double sum = shift * X[i * D + d];
            for (int j = 0; j < M; j++) sum += K[(size_t)j * (size_t)M + (size_t)i] * X[j * D + d];
            Y[i * D + d] = sum;
        }
}

static void fill_panels(int M, const double *K, mige_matrix *A) {
    for (int i = 0; i < mige_num_panels(A); i++) {
        mige_panel q = mige_get_panel(A, i);
        for (int j = 0; j < q.cols; j++)
            for (int r = 0; r < q.rows; r++)
                q.a[(size_t)j * (size_t)q.ld + (size_t)r] =
                    K[(size_t)mige_col(A, q.jl + j) * (size_t)M + (size_t)mige_row(A, q.il + r)];
    }
}

/* A right-hand side made from a known solution; columns fewer and more than a block. */
static void cholesky(void **state) {
    static const int orders[] = {1, 2, 17, 131, 212}, widths[] = {1, 3, 40};
    (void)state;
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++) {
        int M = orders[k];
        double *K = gram_matrix(M, 4, 0.9, 30);
        mige_grid g;
        mige_matrix A;
        assert_ok(mige_grid_create(&world, M, world.size, 16, &g));
        assert_ok(mige_symmetric_create(&g, M, 1, &A));
        fill_panels(M, K, &A);
        assert_ok(mige_cholesky_factor(&world, &A, A.a, 0.01));
        for (int w = 0; w < 3; w++) {
            size_t n = (size_t)(M * widths[w]);
            double *X = malloc(2 * n * sizeof *X), *Y = X + n;
            for (size_t i = 0; i < n; i++) X[i] = (double)ref_value(i, 31);
            multiply_by(M, K, 0.01, widths[w], X, Y);
            assert_ok(mige_cholesky_solve(&world, &A, A.a, widths[w], Y));
            assert_small(ref_distance(Y, X, n), 1e-10);
            assert_true(same_everywhere(Y, n * sizeof *Y));
            free(X);
        }
        for (int i = 0; i < M * M; i++) K[i] = -1;
        fill_panels(M, K, &A);
        assert_fails(mige_cholesky_factor(&world, &A, A.a, 0), MIGE_ENUMERIC, "positive definite");
        mige_matrix_destroy(&A);
        mige_grid_destroy(&g);
        free(K);
    }
}

/* One bad entry is one rank's; every rank must hear of it, and the next solve be as good as ever. */

/* A factor in single precision, refined, with e e' in the matrix; and where corrections do not shrink. */
static void refined(void **state) {
    enum { M = 212, N = 5, SIZE = M * N };
    static double X[SIZE], Y[SIZE], Z[SIZE], e[M];
    double *K = gram_matrix(M, 4, 0.9, 30);
    mige_grid g;
    mige_matrix A;
    mige_pool pool = {0};
    mige_refined *f;
    int good = 0;
    (void)state;
    for (size_t i = 0; i < M; i++) e[i] = 3 + (double)ref_value(i, 32);
    for (size_t i = 0; i < SIZE; i++) X[i] = (double)ref_value(i, 31);
    for (size_t i = 0; i < M * M; i++) K[i] += e[i / M] * e[i % M];
    assert_ok(mige_grid_create(&world, M, world.size, 16, &g));
    assert_ok(mige_symmetric_create(&g, M, 1, &A));
    assert_ok(mige_refined_create(&world, &A, N, &pool, &f));
    fill_panels(M, K, &A);
    multiply_by(M, K, 0.01, N, X, Y);
    assert_ok(mige_refined_factor(f, 0.01, e));
    for (int first = 1; first >= 0; first--) { /* the second, a hundredth of the first, may be as wrong */
        for (int i = 0; i < SIZE; i++) Z[i] = Y[i] * (first ? 1 : 0.01);
        assert_ok(mige_refined_solve(f, N, 1e-9, first, Z, &good));
        assert_all(good);
        for (int i = 0; i < SIZE; i++) Z[i] /= first ? 1 : 0.01;
        assert_small(ref_distance(Z, X, SIZE), first ? 1e-9 : 1e-7);
        assert_true(same_everywhere(Z, sizeof Z));
    }
    for (int i = 0; i < M * M; i++) K[i] *= 5; /* of which the factor is too poor an inverse */
    fill_panels(M, K, &A);
    assert_ok(mige_refined_solve(f, N, 1e-9, 1, memcpy(Z, Y, sizeof Z), &good));
    assert_all(!good && !memcmp(Z, Y, sizeof Z));
    assert_fails(mige_refined_factor(f, -2, e), MIGE_ENUMERIC, "positive definite");
    mige_matrix_destroy(&A);
    mige_grid_destroy(&g);
    mige_pool_free(&pool);
    free(K);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cholesky),
        cmocka_unit_test(refined),
    };
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("cholesky", tests, NULL, NULL));
}
