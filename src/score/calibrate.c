#include "score/calibrate.h"
#include "mige/blas.h"
#include "mige/error.h"
#include <math.h>
#include <string.h>

/* C = Xc' S / M = (X' S - sum(x) sum(s)' / M) / M. */
static void cross_moment(int M, int D, const double *X, const double *S, double *C, double *sums) {
    memset(sums, 0, 2 * (size_t)D * sizeof *sums);
    for (int m = 0; m < M; m++) {
        cblas_daxpy(D, 1, X + (size_t)m * (size_t)D, 1, sums, 1);
        cblas_daxpy(D, 1, S + (size_t)m * (size_t)D, 1, sums + D, 1);
    }
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, M, 1. / M, X, D, S, D, 0, C, D);
    cblas_dger(CblasRowMajor, D, D, -1. / M / M, sums, 1, sums + D, 1, C, D);
}

int calibrate_find(enum mige_calibrate kind, double g, int M, int D, const double *X, const double *S, double *A,
                   double *work, int *pivots) {
    double *C = work, trace = 0;
    size_t d = (size_t)D;
    int info;
    cross_moment(M, D, X, S, C, work + d * d);
    for (size_t i = 0; i < d; i++) trace += C[i * d + i];
    MIGE_CHECK(trace < 0, MIGE_ENUMERIC,
               "score: the scores cannot be calibrated, their Stein trace is %g (do without)", trace);
    memset(A, 0, d * d * sizeof *A);
    for (size_t i = 0; i < d; i++) A[i * d + i] = kind == MIGE_CALIBRATE_SCALE ? -D / trace : -1;
    if (kind == MIGE_CALIBRATE_SCALE) return MIGE_OK;
    for (size_t i = 0; i < d * d; i++) C[i] *= 1 - g;
    for (size_t i = 0; i < d; i++) C[i * d + i] += g * trace / D;
    /* Row-major C is C' to LAPACK, and so is its inverse. */
    dgesv_(&D, &D, C, &D, pivots, A, &D, &info);
    MIGE_CHECK(info == 0, MIGE_ENUMERIC,
               "score: Stein's identity is singular, %d samples in %d dimensions: too few, or one constant or "
               "repeated (calibrate by a factor alone)",
               M, D);
    return MIGE_OK;
}

void calibrate_apply(int n, int D, const double *A, double *S, double *scratch) {
    memcpy(scratch, S, (size_t)n * (size_t)D * sizeof *S);
    if (n) cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, D, D, 1, scratch, D, A, D, 0, S, D);
}
