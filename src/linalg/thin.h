/* Products of a matrix with few columns, X [.][n] with n of the order of 100. A general GEMM copies both factors
 * into an order that suits it, which so few columns do not pay for; here each entry of A is used where it lies,
 * with all of a row of X in vector registers. Where there is no AVX-512, or columns are many, BLAS does it.
 *
 * A is column-major, columns lda apart; X and Y are row-major, rows n apart. */
#ifndef MIGE_THIN_H
#define MIGE_THIN_H

#define THIN(real, name)                                                                                           \
    /* Y [rows][n] += alpha A X [cols][n]. */                                                                      \
    void name(thin_multiply)(int rows, int cols, int n, real alpha, const real *A, int lda, const real *X,         \
                             real *Y);                                                                             \
    /* Y [cols][n] += alpha A' X [rows][n]. */                                                                     \
    void name(thin_multiply_transposed)(int rows, int cols, int n, real alpha, const real *A, int lda,             \
                                        const real *X, real *Y);                                                   \
    /* X [m][n] <- L^-1 X, or L'^-1 X (transposed), with the lower triangle of L [m][m]. */                        \
    void name(thin_solve)(int m, int n, int transposed, const real *L, int ldl, real *X);
#define THIN_DOUBLE(name) name
#define THIN_SINGLE(name) name##_single
THIN(double, THIN_DOUBLE)
THIN(float, THIN_SINGLE)

#endif
