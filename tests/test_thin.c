/* np: 1 */
/* Products and solves with few columns against BLAS, sizes that do not fill a tile included; nothing is written
 * where it should not be. */
#include "linalg/thin.h"
#include "mige/blas.h"
#include "ranks.h"
#include <math.h>

enum { MOST = 300, LDA = MOST + 5, GUARD = 16 };
static const double MARK = -77;

static double A[LDA * MOST], X[MOST * 70], Y[MOST * 70 + GUARD], wanted[MOST * 70];
static const int sizes[][3] = {{1, 1, 1},      {8, 8, 8},     {7, 9, 3},      {16, 128, 24}, {17, 129, 25},
                               {128, 128, 64}, {129, 31, 65}, {300, 257, 15}, {5, 300, 70},  {64, 1, 48},
                               {0, 5, 9},      {5, 0, 9},     {5, 9, 513}};

static void fill(void) {
    for (int i = 0; i < LDA * MOST; i++) A[i] = sin(1.3 * i);
    for (int i = 0; i < MOST * 70; i++) X[i] = cos(0.7 * i);
}

static void begin(int count) {
    for (int i = 0; i < count; i++) Y[i] = wanted[i] = 0.01 * i;
    for (int i = 0; i < GUARD; i++) Y[count + i] = MARK;
}

static void check(int count) {
    for (int i = 0; i < count; i++) assert_true(fabs(Y[i] - wanted[i]) <= 1e-11);
    for (int i = 0; i < GUARD; i++) assert_true(Y[count + i] == MARK);
}

static void products(void **state) {
    (void)state;
    fill();
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int rows = sizes[k][0], cols = sizes[k][1], n = sizes[k][2];
        begin(rows * n);
        thin_multiply(rows, cols, n, -1.5, A, LDA, X, Y);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < n; j++)
                for (int q = 0; q < cols; q++) wanted[i * n + j] += -1.5 * A[q * LDA + i] * X[q * n + j];
        check(rows * n);
        begin(cols * n);
        thin_multiply_transposed(rows, cols, n, 2, A, LDA, X, Y);
        for (int i = 0; i < cols; i++)
            for (int j = 0; j < n; j++)
                for (int q = 0; q < rows; q++) wanted[i * n + j] += 2 * A[i * LDA + q] * X[q * n + j];
        check(cols * n);
    }
}

static void solves(void **state) {
    static const int orders[] = {1, 7, 8, 9, 64, 100, 131}, columns[] = {1, 8, 33, 64, 513};
    (void)state;
    fill();
    for (int i = 0; i < MOST; i++) A[i * LDA + i] = 40;
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++)
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            for (int transposed = 0; transposed < 2; transposed++) {
                int m = orders[k], n = columns[c];
                if (m * n > MOST * 70) continue;
                begin(m * n);
                thin_solve(m, n, transposed, A, LDA, Y);
                cblas_dtrsm(CblasColMajor, CblasRight, CblasLower, transposed ? CblasNoTrans : CblasTrans,
                            CblasNonUnit, n, m, 1, A, LDA, wanted, n);
                check(m * n);
            }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(solves)};
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("thin", tests, NULL, NULL));
}
