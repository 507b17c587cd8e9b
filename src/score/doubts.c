#include "mige/blas.h"
#include "mige/error.h"
#include "mige/log.h"
#include "mige/score.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Stein's identity this far from 1, and scores so many times those of normal samples, are told; so are columns of
 * unequal deviations. */
static const double FAR = 2, LARGE = 10, UNEQUAL = 5;
/* Points whose scores are this small beside those of the samples have none. */
static const double NONE = 1e-6;
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

/* Centres column d of X: its deviation, rounding taken for none, and -E[s x], which is 1 (Stein's identity). */
static void centre(int M, int D, int d, double *X, const double *S, double *deviation, double *share) {
    double mean = 0, square = 0, product = 0;
    size_t n = (size_t)M * (size_t)D, step = (size_t)D;
    for (size_t at = (size_t)d; at < n; at += step) mean += X[at] / M;
    for (size_t at = (size_t)d; at < n; at += step) {
        X[at] -= mean;
        square += X[at] * X[at] / M;
        product -= X[at] * S[at] / M;
    }
    *deviation = sqrt(square) > 1e-12 * fabs(mean) ? sqrt(square) : 0;
    *share = product;
}

static void tell_share(int M, int D, const double *S, int whitened, const work *w) {
    double narrow = INFINITY, wide = 0, off = 0, worst = 1;
    int column = 0;
    for (int d = 0; d < D; d++) {
        double deviation, share;
        centre(M, D, d, w->X, S, &deviation, &share);
        if (!(deviation > 0)) continue;
        narrow = fmin(narrow, deviation);
        wide = fmax(wide, deviation);
        double away = share > 0 ? fabs(log(share)) : INFINITY;
        if (!(away > off)) continue;
        column = d;
        off = away;
        worst = share;
    }
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

void mige_score_point_doubts(int M, int Q, int D, const double *S, const double *SP) {
    double usual = sqrt(mean_square((size_t)M * (size_t)D, S));
    int none = 0;
    for (int q = 0; q < Q; q++) none += largest((size_t)D, SP + (size_t)q * (size_t)D) < NONE * usual;
    if (none)
        mige_warn("score: %d of %d points are so far from all samples that their scores, almost 0, are wrong", none,
                  Q);
}
