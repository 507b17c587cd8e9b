#include "mige/blas.h"
#include "score/cg.h"
#include <math.h>
#include <string.h>

/* A direction is dependent where others leave less than the root of this of its length. */
static const double INDEPENDENT = 1e-12;

double directions_bytes(int D) {
    double d = D;
    return 8 * (2 * d * d + 3 * d) + 4 * d;
}

int directions_create(const mige_comm *c, int rows, int D, mige_pool *pool, directions *b) {
    size_t d = (size_t)D;
    *b = (directions){.c = c, .rows = rows, .D = D};
    return MIGE_TAKE(pool, MIGE_BLOCK(b->W, d * d), MIGE_BLOCK(b->C, d * d), MIGE_BLOCK(b->lengths, d),
                     MIGE_BLOCK(b->work, 2 * d), MIGE_BLOCK(b->order, d));
}

/* G = A'B, of the first m columns of A and n of B; 0 beside it. */
static int products(const directions *b, int m, int n, const double *A, const double *B, double *G) {
    memset(G, 0, (size_t)b->D * (size_t)b->D * sizeof *G);
    if (b->rows && m)
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, m, n, b->rows, 1, A, b->D, B, b->D, 0, G, b->D);
    return mige_sum(b->c, G, (size_t)b->D * (size_t)b->D);
}

/* W of columns of length 1, or 0. */
static void scale_columns(directions *b) {
    size_t d = (size_t)b->D;
    for (size_t j = 0; j < d; j++) {
        double square = b->W[j * d + j];
        b->lengths[j] = square > 0 && isfinite(square) ? sqrt(square) : 0;
    }
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < d; i++) {
            double both = b->lengths[i] * b->lengths[j];
            b->W[j * d + i] = both > 0 ? b->W[j * d + i] / both : 0;
        }
}

/* A factor made by one rank is every rank's: others might round, and choose, otherwise. */
static int share(const directions *b, double *factor, int *found) {
    MIGE_TRY(mige_bcast(b->c, 0, found, sizeof *found));
    return mige_bcast(b->c, 0, factor, (size_t)b->D * (size_t)b->D * sizeof *factor);
}

/* The first n columns of X times L'^-1, L from W. In BLAS's eyes a block's rows are columns. */
static void divide(const directions *b, int n, double *X) {
    if (n && b->rows)
        cblas_dtrsm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, n, b->rows, 1, b->W, b->D, X,
                    b->D);
}

int directions_basis(directions *b, const double *T, double *S) {
    size_t d = (size_t)b->D;
    int info;
    MIGE_TRY(products(b, b->D, b->D, T, T, b->W));
    scale_columns(b);
    if (!b->c->rank) dpstrf_("L", &b->D, b->W, &b->D, b->order, &b->rank, &INDEPENDENT, b->work, &info);
    MIGE_TRY(share(b, b->W, &b->rank));
    MIGE_TRY(mige_bcast(b->c, 0, b->order, d * sizeof *b->order));
    memset(S, 0, (size_t)b->rows * d * sizeof *S);
    for (size_t m = 0; m < (size_t)b->rows; m++)
        for (size_t i = 0; i < (size_t)b->rank; i++) {
            size_t j = (size_t)b->order[i] - 1;
            S[m * d + i] = T[m * d + j] / b->lengths[j];
        }
    divide(b, b->rank, S);
    return MIGE_OK;
}

/* Y += sign S C */
static void add(const directions *b, double sign, const double *S, double *Y) {
    if (b->rows)
        cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, b->D, b->rows, b->rank, sign, b->C, b->D, S, b->D, 1,
                    Y, b->D);
}

static void factor(directions *b) {
    size_t d = (size_t)b->D;
    dpotrf_("L", &b->rank, b->W, &b->D, &b->broken);
    for (size_t j = 0; j < (size_t)b->rank; j++) /* not every LAPACK minds a NaN */
        if (!(b->W[j * d + j] > 0 && isfinite(b->W[j * d + j]))) b->broken = 1;
}

int directions_step(directions *b, double *S, double *Q, double *X, double *R) {
    MIGE_TRY(products(b, b->rank, b->rank, S, Q, b->W));
    if (!b->c->rank) factor(b);
    MIGE_TRY(share(b, b->W, &b->broken));
    if (b->broken) return MIGE_OK;
    divide(b, b->rank, S);
    divide(b, b->rank, Q);
    MIGE_TRY(products(b, b->rank, b->D, S, R, b->C));
    add(b, 1, S, X);
    add(b, -1, Q, R);
    return MIGE_OK;
}

int directions_conjugate(directions *b, const double *S, const double *Q, double *T) {
    MIGE_TRY(products(b, b->rank, b->D, Q, T, b->C));
    add(b, -1, S, T);
    return MIGE_OK;
}
