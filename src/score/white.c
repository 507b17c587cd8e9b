#include "mige/blas.h"
#include "score/doubts.h"
#include <float.h>
#include <math.h>

/* A deviation that is none, of the mean: of numbers that differ by rounding. */
static const double ROUNDING = 4 * DBL_EPSILON;
/* Added to the correlation, so that columns that depend on one another but for rounding have a factor. */
static const double RIDGE = 1e-12;
enum { MOST_DIMENSIONS = 512 };

int white_possible(int M, int D) {
    return D <= MOST_DIMENSIONS && M > 2 * D;
}

void white_columns(white *w, const double *X) {
    size_t D = (size_t)w->D, n = (size_t)w->M * D;
    for (size_t d = 0; d < D; d++) {
        double above = 0, square = 0; /* the first: exactly 0 where all values are the same */
        for (size_t at = d; at < n; at += D) above += (X[at] - X[d]) / w->M;
        double mean = X[d] + above;
        for (size_t at = d; at < n; at += D) square += pow(X[at] - mean, 2) / w->M;
        w->mean[d] = mean;
        w->deviation[d] = sqrt(square) > ROUNDING * fabs(mean) ? sqrt(square) : 0;
    }
}

/* In units of the deviations. */
static void centre(const white *w, int n, const double *P, double *z) {
    size_t D = (size_t)w->D;
    for (size_t i = 0; i < (size_t)n * D; i++) {
        double deviation = w->deviation[i % D];
        z[i] = deviation > 0 ? (P[i] - w->mean[i % D]) / deviation : 0;
    }
}

static void divide(const white *w, int n, double *z) {
    if (n)
        cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, n, w->D, 1, w->L, w->D, z,
                    w->D);
}

void white_points(const white *w, int n, const double *P, double *z) {
    centre(w, n, P, z);
    divide(w, n, z);
}

int white_create(mige_pool *pool, int M, int D, const double *X, double *Z, white *w, int *found) {
    size_t d = (size_t)D;
    int info;
    *w = (white){.M = M, .D = D};
    *found = 0;
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(w->mean, d), MIGE_BLOCK(w->deviation, d), MIGE_BLOCK(w->L, d * d)));
    white_columns(w, X);
    centre(w, M, X, Z);
    if (!white_possible(M, D)) return MIGE_OK;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, M, 1. / M, Z, D, Z, D, 0, w->L, D);
    for (size_t i = 0; i < d; i++) w->L[i * (d + 1)] = w->deviation[i] > 0 ? w->L[i * (d + 1)] + RIDGE : 1;
    dpotrf_("U", &D, w->L, &D, &info); /* in LAPACK's eyes rows are columns */
    *found = !info;
    if (*found) divide(w, M, Z);
    return MIGE_OK;
}
