#include "mige/blas.h"
#include "mige/error.h"
#include "mige/log.h"
#include "mige/score.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Stein's identity this far from 1, and scores so many times those of normal samples, are told; so are columns of
 * unequal deviations. */
static const double FAR = 2, LARGE = 10, UNEQUAL = 5;
/* Points whose scores are this small beside those of the samples have none. */
static const double NONE = 1e-6;
/* And points so many times farther from the mean than the farthest sample are beyond these. */
static const double BEYOND = 1.2;
/* A deviation that is none, of the mean: of numbers that differ by rounding. */
static const double ROUNDING = 4 * DBL_EPSILON;
enum { MOST_DIMENSIONS = 2048 }; /* whose covariances are looked at */

typedef struct {
    double *X;     /* [M][D], centred */
    double *C, *G; /* [D][D] */
} work;

/* sqrt(E[s' C s] / D), C the samples' covariance: 1 for a normal distribution, whatever its covariance. */
static double size_of(int M, int D, const double *S, const work *w) {
    double sum = 0;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, M, 1. / M, w->X, D, w->X, D, 0, w->C, D);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, M, 1. / M, S, D, S, D, 0, w->G, D);
    for (size_t i = 0; i < (size_t)D * (size_t)D; i++) sum += w->C[i] * w->G[i];
    return sqrt(sum / D);
}

/* The mean of column d, exact where all its values are the same. */
static double mean_of(int M, int D, int d, const double *X) {
    double mean = 0, first = X[d];
    for (size_t m = 0; m < (size_t)M; m++) mean += (X[m * (size_t)D + (size_t)d] - first) / M;
    return first + mean;
}

/* Centres column d of X: its deviation, rounding taken for none, and -E[s x], which is 1 (Stein's identity). */
static void centre(int M, int D, int d, double *X, const double *S, double *deviation, double *share) {
    double mean = mean_of(M, D, d, X), square = 0, product = 0;
    size_t n = (size_t)M * (size_t)D, step = (size_t)D;
    for (size_t at = (size_t)d; at < n; at += step) {
        X[at] -= mean;
        square += X[at] * X[at] / M;
        product -= X[at] * S[at] / M;
    }
    *deviation = sqrt(square) > ROUNDING * fabs(mean) ? sqrt(square) : 0;
    *share = product;
}

static void tell_share(int M, int D, const double *S, int whitened, const work *w) {
    double narrow = INFINITY, wide = 0, off = 0, worst = 1;
    int column = 0, constant = -1;
    for (int d = 0; d < D; d++) {
        double deviation, share;
        centre(M, D, d, w->X, S, &deviation, &share);
        if (!(deviation > 0)) constant = d;
        if (!(deviation > 0)) continue;
        narrow = fmin(narrow, deviation);
        wide = fmax(wide, deviation);
        double away = share > 0 ? fabs(log(share)) : INFINITY;
        if (!(away > off)) continue;
        column = d;
        off = away;
        worst = share;
    }
    if (constant >= 0 && wide > 0)
        mige_warn(
            "score: column %d is constant: there is no density of it, and its scores mean nothing (leave it out)",
            constant);
    if (off > log(FAR))
        mige_warn("score: those of column %d fulfil %.2g of Stein's identity, 1 if they are right (%s)", column,
                  worst,
                  whitened                  ? "--calibrate stein, or another width"
                  : wide > UNEQUAL * narrow ? "columns of unequal scale: --precondition whiten"
                                            : "--precondition whiten or --calibrate stein");
}

int mige_score_doubts(int M, int D, const double *X, const double *S, int whitened) {
    size_t n = (size_t)M * (size_t)D, square = D > MOST_DIMENSIONS ? 0 : (size_t)D * (size_t)D;
    mige_pool pool = {0};
    work w;
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(w.X, n), MIGE_BLOCK(w.C, square), MIGE_BLOCK(w.G, square)));
    memcpy(w.X, X, n * sizeof *X);
    tell_share(M, D, S, whitened, &w);
    double size = square ? size_of(M, D, S, &w) : 0;
    if (size > LARGE)
        mige_warn(
            "score: %.3g times those of normal samples of the same covariance: clusters or tails far out, or wrong "
            "(samples on a surface, too many eigenpairs or iterations, too small a ridge)",
            size);
    mige_pool_free(&pool);
    return MIGE_OK;
}

static double mean_square(size_t n, const double *x) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum / (double)n;
}

static double largest(size_t n, const double *x) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

/* sum [n] of the squares of column d of x [n][D], from the mean and over the variance of that of X. */
static void add_distances(int M, int n, int D, int d, const double *X, const double *x, double *sum) {
    double mean = mean_of(M, D, d, X), square = 0;
    for (size_t m = 0; m < (size_t)M; m++) square += pow(X[m * (size_t)D + (size_t)d] - mean, 2) / M;
    for (size_t i = 0; i < (size_t)n && sqrt(square) > ROUNDING * fabs(mean); i++)
        sum[i] += pow(x[i * (size_t)D + (size_t)d] - mean, 2) / square;
}

int mige_score_point_doubts(int M, int Q, int D, const double *X, const double *S, const double *P,
                            const double *SP) {
    double usual = sqrt(mean_square((size_t)M * (size_t)D, S)), *of, *at;
    int none = 0, beyond = 0;
    mige_pool pool = {0};
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(of, M), MIGE_BLOCK(at, Q)));
    for (int d = 0; d < D && Q; d++) {
        add_distances(M, M, D, d, X, X, of);
        add_distances(M, Q, D, d, X, P, at);
    }
    double farthest = BEYOND * BEYOND * largest((size_t)M, of);
    for (int q = 0; q < Q; q++) {
        none += largest((size_t)D, SP + (size_t)q * (size_t)D) < NONE * usual;
        beyond += at[q] > farthest;
    }
    mige_pool_free(&pool);
    if (beyond > none)
        mige_warn(
            "score: %d of %d points lie farther out than all samples: scores there rest on none and are wrong, "
            "most of them too small",
            beyond, Q);
    if (none)
        mige_warn("score: %d of %d points are so far from all samples that their scores, almost 0, are wrong", none,
                  Q);
    return MIGE_OK;
}
