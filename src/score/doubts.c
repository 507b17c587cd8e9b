#include "score/doubts.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/log.h"
#include "mige/score.h"
#include <math.h>
#include <string.h>

/* Stein's identity this far from 1, and scores so many times those of normal samples, are told; so are columns of
 * unequal deviations. */
static const double FAR = 2, LARGE = 10, UNEQUAL = 5;
/* Eigenvalues are found less surely than columns' shares are. */
static const double FAR_ACROSS = 3;
/* An eigenvalue of columns that are sums of others, which a map has told of. */
static const double NOTHING = 1e-6;
/* Points whose scores are this small beside those of the samples have none. */
static const double NONE = 1e-6;
/* And points so many times farther from the mean than the farthest sample are beyond these. */
static const double BEYOND = 1.2;
enum { MOST_DIMENSIONS = 2048 }; /* whose covariances are looked at */

typedef struct {
    double *X;     /* [M][D], centred */
    double *C, *G; /* [D][D] */
} work;

/* How far a share of the identity is from 1. */
static double away(double share) {
    return share > 0 ? fabs(log(share)) : INFINITY;
}

double mige_score_doubts_bytes(int M, int Q, int D) {
    double d = D, together = white_possible(M, D) ? 5. * M + 2 * d * d + 16 * d : 0;
    double samples = (double)M * d + (D > MOST_DIMENSIONS ? 0 : 2 * d * d) + 2 * d + together;
    double points = Q ? M + 2. * Q + (white_possible(M, D) ? (M + (double)Q) * d + d * d : 0) : 0;
    return 8 * fmax(samples, points);
}

/* sqrt(E[s' C s] / D), C the samples' covariance: 1 for a normal distribution, whatever its covariance. */
static double size_of(int M, int D, const double *S, const work *w) {
    double sum = 0;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, M, 1. / M, w->X, D, w->X, D, 0, w->C, D);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, M, 1. / M, S, D, S, D, 0, w->G, D);
    for (size_t i = 0; i < (size_t)D * (size_t)D; i++) sum += w->C[i] * w->G[i];
    return sqrt(sum / D);
}

/* Columns of X centred; of each its share, -E[s x], 1 by Stein's identity. What is found of the shares. */
typedef struct {
    double worst, narrow, wide; /* deviations */
    int column, constant;
} shares;

static shares centre(int M, int D, const double *S, const white *c, const work *w) {
    shares f = {1, INFINITY, 0, 0, -1};
    for (int d = 0; d < D; d++) {
        double share = 0;
        size_t n = (size_t)M * (size_t)D;
        for (size_t at = (size_t)d; at < n; at += (size_t)D) {
            w->X[at] -= c->mean[d];
            share -= w->X[at] * S[at] / M;
        }
        if (!(c->deviation[d] > 0)) f.constant = d;
        if (!(c->deviation[d] > 0)) continue;
        f.narrow = fmin(f.narrow, c->deviation[d]);
        f.wide = fmax(f.wide, c->deviation[d]);
        if (!(away(share) > away(f.worst))) continue;
        f.column = d;
        f.worst = share;
    }
    return f;
}

/* *worst, left as it is where none can be found: the eigenvalue of -E[s (x - mean)'] that is farthest from 1, all
 * of which Stein's identity says they are, in whatever coordinates (they are units of the deviations here);
 * constant columns are left out. */
static int directions(int M, int D, const double *S, int whitened, const white *c, const work *w, double *worst) {
    int n = 0, info = 0, one = 1, lwork = 8 * D;
    double *E, *re, *im, *space, none;
    mige_pool pool = {0};
    size_t d = (size_t)D;
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(E, d * d), MIGE_BLOCK(re, d), MIGE_BLOCK(im, d),
                       MIGE_BLOCK(space, (size_t)lwork)));
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, M, -1. / M, w->X, D, S, D, 0, w->C, D);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; c->deviation[i] > 0 && j < d; j++)
            if (c->deviation[j] > 0) E[n++] = w->C[i * d + j] * c->deviation[j] / c->deviation[i];
    n = (int)(sqrt(n) + 0.5);
    int good = n > 0 && !mige_not_finite((size_t)n * (size_t)n, E);
    if (good) dgeev_("N", "N", &n, E, &n, re, im, &none, &one, &none, &one, space, &lwork, &info);
    good = good && !info;
    if (good) *worst = 1;
    for (int i = 0; i < n && good; i++)
        if (away(re[i]) > away(*worst) && !(whitened && fabs(re[i]) < NOTHING)) *worst = re[i];
    mige_pool_free(&pool);
    return MIGE_OK;
}

static void tell_column(const shares *f, int whitened) {
    mige_warn("score: those of column %d fulfil %.2g of Stein's identity, 1 if they are right (%s)", f->column,
              f->worst,
              whitened                        ? "--calibrate stein, or another width"
              : f->wide > UNEQUAL * f->narrow ? "columns of unequal scale: --precondition whiten"
                                              : "--precondition whiten or --calibrate stein");
}

/* A column may be far from the identity by chance where those that it depends on cancel, and be near to it where
 * scores are wrong along a direction across the columns: where they can be had, eigenvalues decide. */
static int tell_shares(int M, int D, const double *S, int whitened, const white *c, const work *w, int *told) {
    shares f = centre(M, D, S, c, w);
    double worst = f.worst;
    int together = white_possible(M, D), column = away(f.worst) > log(FAR);
    if (f.constant >= 0 && f.wide > 0)
        mige_warn(
            "score: column %d is constant: there is no density of it, and its scores mean nothing (leave it out)",
            f.constant);
    if (together) MIGE_TRY(directions(M, D, S, whitened, c, w, &worst));
    *told = away(worst) > log(column ? FAR : FAR_ACROSS);
    if (*told && column) tell_column(&f, whitened);
    if (*told && !column)
        mige_warn("score: along a direction across the columns, which depend on one another, they fulfil %.2g of "
                  "Stein's identity, 1 if they are right (%s)",
                  worst,
                  whitened ? "--calibrate stein, or leave out columns that others give" : "--precondition whiten");
    return MIGE_OK;
}

/* Smoother than the samples nearby. */
static int tell_nearby(int M, int D, const double *X, const double *S, const work *w, int *told) {
    double share = 0;
    int found;
    white c;
    mige_pool pool = {0};
    int err = white_create(&pool, M, D, X, w->X, &c, &found);
    if (!err && found) err = nearby_unexplained(&c, X, S, w->X, &share);
    if (!err && share > 0)
        mige_warn("score: near single samples they leave %.0f %% of Stein's identity open: they are smoother than "
                  "the samples, which lie in clusters or on structure finer than the kernel's width (a smaller "
                  "--width-scale, or each cluster by itself)",
                  100 * share);
    *told = *told || share > 0;
    mige_pool_free(&pool);
    return err;
}

int mige_score_doubts(int M, int D, const double *X, const double *S, int whitened, const mige_score_error *e) {
    size_t n = (size_t)M * (size_t)D, square = D > MOST_DIMENSIONS ? 0 : (size_t)D * (size_t)D;
    mige_pool pool = {0};
    int told = 0;
    work w;
    white c = {.M = M, .D = D};
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(w.X, n), MIGE_BLOCK(w.C, square), MIGE_BLOCK(w.G, square),
                       MIGE_BLOCK(c.mean, D), MIGE_BLOCK(c.deviation, D)));
    memcpy(w.X, X, n * sizeof *X);
    white_columns(&c, X);
    int err = tell_shares(M, D, S, whitened, &c, &w, &told);
    double size = square ? size_of(M, D, S, &w) : 0;
    if (size > LARGE)
        mige_warn(
            "score: %.3g times those of normal samples of the same covariance: clusters or tails far out, or wrong "
            "(samples on a surface, too many eigenpairs or iterations, too small a ridge)",
            size);
    else if (!err && !told && white_possible(M, D))
        err = tell_nearby(M, D, X, S, &w, &told);
    if (!err && !told && !(size > LARGE)) heldout_tell(e, D);
    mige_pool_free(&pool);
    return err;
}

static double largest(int n, const double *x) {
    return fabs(x[cblas_idamax(n, x, 1)]);
}

/* sum [n] of the squares of x [n][D], by columns: from the mean and over the variance. */
static void distances(const white *c, int n, const double *x, double *sum) {
    size_t D = (size_t)c->D;
    for (size_t i = 0; i < (size_t)n; i++) {
        sum[i] = 0;
        for (size_t d = 0; d < D; d++)
            if (c->deviation[d] > 0) sum[i] += pow((x[i * D + d] - c->mean[d]) / c->deviation[d], 2);
    }
}

/* Flags in beyond [Q] points that are farther out than all samples by the samples' covariance: off a line that they
 * lie on, say. of [M] and at [Q] are scratch. */
static int look_beyond(int M, int Q, int D, const double *X, const double *P, double *of, double *at, int *beyond) {
    size_t d = (size_t)D;
    double *Z, *z;
    int found;
    white c;
    mige_pool pool = {0};
    int err = MIGE_TAKE(&pool, MIGE_BLOCK(Z, (size_t)M * d), MIGE_BLOCK(z, (size_t)Q * d));
    if (!err) err = white_create(&pool, M, D, X, Z, &c, &found);
    if (!err && found) {
        white_points(&c, Q, P, z);
        for (int m = 0; m < M; m++) of[m] = cblas_ddot(D, Z + (size_t)m * d, 1, Z + (size_t)m * d, 1);
        for (int q = 0; q < Q; q++) at[q] = cblas_ddot(D, z + (size_t)q * d, 1, z + (size_t)q * d, 1);
        /* Samples are nearer to their own mean by their own covariance than others are. */
        double farthest = pow(BEYOND * M / (M - D), 2) * largest(M, of);
        for (int q = 0; q < Q; q++) beyond[q] |= at[q] > farthest;
    }
    mige_pool_free(&pool);
    return err;
}

int mige_score_point_doubts(int M, int Q, int D, const double *X, const double *S, const double *P,
                            const double *SP) {
    double usual = 0, *of, *at;
    int none = 0, beyond = 0, *far, err = MIGE_OK;
    mige_pool pool = {0};
    white c = {.M = M, .D = D};
    if (!Q) return MIGE_OK;
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(of, M), MIGE_BLOCK(at, Q), MIGE_BLOCK(far, Q), MIGE_BLOCK(c.mean, D),
                       MIGE_BLOCK(c.deviation, D)));
    white_columns(&c, X);
    distances(&c, M, X, of);
    distances(&c, Q, P, at);
    double farthest = BEYOND * BEYOND * largest(M, of);
    for (int q = 0; q < Q; q++) far[q] = at[q] > farthest;
    if (white_possible(M, D)) err = look_beyond(M, Q, D, X, P, of, at, far);
    for (size_t i = 0; i < (size_t)M * (size_t)D; i++) usual += S[i] * S[i];
    usual = sqrt(usual / ((double)M * D));
    for (int q = 0; q < Q; q++) {
        none += largest(D, SP + (size_t)q * (size_t)D) < NONE * usual;
        beyond += far[q];
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
    return err;
}

/* The mean over dimensions of |E[H_dd] / E[s_d^2] + 1|: 0 by Fisher's identity, but derivatives of scores that are
 * too rough are too large. */
static double hessian_gap(int M, int D, const double *S, const double *H) {
    double gap = 0;
    for (int d = 0; d < D; d++) {
        double square = 0, derivative = 0;
        for (int i = 0; i < M; i++) {
            size_t at = (size_t)i * (size_t)D + (size_t)d;
            square += S[at] * S[at];
            derivative += H[at];
        }
        if (square > 0) gap += fabs(derivative / square + 1) / D;
    }
    return gap;
}

void mige_score_hessian_doubts(int M, int D, const double *S, const double *H) {
    double gap = hessian_gap(M, D, S, H);
    if (gap > 0.1)
        mige_warn("score: the Hessian's diagonal differs by %.0f %% from minus the scores' mean squares: too rough "
                  "a score (stein, larger --eta), too wide a kernel, or a density with edges",
                  100 * gap);
}
