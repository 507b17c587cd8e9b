#include "mige/blas.h"
#include "mige/error.h"
#include "score/score.h"
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

static const double SINGULAR = 1e-10;

int calibrate_find(double g, int M, int D, const double *X, const double *S, double *A, double *work, int *pivots) {
    double *C = work, trace = 0, least = INFINITY, most = 0;
    size_t d = (size_t)D;
    int info;
    cross_moment(M, D, X, S, C, work + d * d);
    for (size_t i = 0; i < d; i++) trace += C[i * d + i];
    memset(A, 0, d * d * sizeof *A);
    for (size_t i = 0; i < d; i++) A[i * d + i] = -1;
    for (size_t i = 0; i < d * d; i++) C[i] *= 1 - g;
    for (size_t i = 0; i < d; i++) C[i * d + i] += g * trace / D;
    /* Row-major C is C' to LAPACK, and so is its inverse. */
    dgesv_(&D, &D, C, &D, pivots, A, &D, &info);
    /* The factors are in C: a pivot that is rounding only. */
    for (size_t i = 0; i < d; i++) {
        least = fmin(least, fabs(C[i * d + i]));
        most = fmax(most, fabs(C[i * d + i]));
    }
    MIGE_CHECK(info == 0 && least > SINGULAR * most, MIGE_ENUMERIC,
               "score: Stein's identity is singular, %d samples in %d dimensions: too few, or one constant, "
               "repeated or a sum of others (calibrate by a factor alone)",
               M, D);
    return MIGE_OK;
}

void calibrate_apply(int n, int D, const double *A, double *S, double *scratch) {
    memcpy(scratch, S, (size_t)n * (size_t)D * sizeof *S);
    if (n) cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, D, D, 1, scratch, D, A, D, 0, S, D);
}

enum { FIELDS = 8, ALONE = 2 };

/* A sample's inner products, over D. */
typedef struct {
    double tt, pt, pp, ts, ps;
} products;

static products products_of(int D, const double *t, const double *p, const double *s) {
    products q = {cblas_ddot(D, t, 1, t, 1) / D, 0, 0, cblas_ddot(D, t, 1, s, 1) / D, 0};
    if (p) {
        q.pt = cblas_ddot(D, p, 1, t, 1) / D;
        q.pp = cblas_ddot(D, p, 1, p, 1) / D;
        q.ps = cblas_ddot(D, p, 1, s, 1) / D;
    }
    return q;
}

/* Fields are a t + b p; divergences in t, over D. */
static void fields_of(const products *q, int D, double a[FIELDS], double b[FIELDS], double divergence[FIELDS]) {
    const double at[FIELDS] = {1, q->tt, 0, q->pp, q->pt}, bp[FIELDS] = {0, 0, 1, 0, 0, q->tt, q->pp, q->pt};
    const double div[FIELDS] = {1, q->tt * (D + 2) / D, 0, q->pp, q->pt * (D + 1) / D, 2 * q->pt / D, 0, q->pp / D};
    memcpy(a, at, sizeof at);
    memcpy(b, bp, sizeof bp);
    memcpy(divergence, div, sizeof div);
}

/* c: G c = -r in the mean over samples. 0 if it is singular. */
static int solve(int n, double *G, double *c) {
    int one = 1, info;
    for (int i = 0; i < n; i++) G[i * n + i] = G[i * n + i] > 0 ? G[i * n + i] * (1 + 1e-9) : 1;
    dpotrf_("L", &n, G, &n, &info);
    if (info) return 0;
    dpotrs_("L", &n, &one, G, &n, c, &n, &info);
    for (int i = 0; i < n; i++)
        if (!isfinite(c[i])) return 0;
    return 1;
}

void radial_correct(int M, int D, const double *t, const double *p, double *S) {
    int n = p ? FIELDS : ALONE;
    size_t d = (size_t)D;
    double G[FIELDS * FIELDS] = {0}, c[FIELDS] = {0}, a[FIELDS], b[FIELDS], divergence[FIELDS];
    for (size_t m = 0; m < (size_t)M; m++) {
        products q = products_of(D, t + m * d, p ? p + m * d : NULL, S + m * d);
        fields_of(&q, D, a, b, divergence);
        for (int i = 0; i < n; i++) {
            c[i] -= a[i] * q.ts + b[i] * q.ps + divergence[i];
            for (int j = 0; j < n; j++)
                G[i * n + j] += a[i] * a[j] * q.tt + (a[i] * b[j] + b[i] * a[j]) * q.pt + b[i] * b[j] * q.pp;
        }
    }
    if (!solve(n, G, c)) return;
    for (size_t m = 0; m < (size_t)M; m++) {
        double *s = S + m * d;
        products q = products_of(D, t + m * d, p ? p + m * d : NULL, s);
        fields_of(&q, D, a, b, divergence);
        cblas_daxpy(D, cblas_ddot(n, c, 1, a, 1), t + m * d, 1, s, 1);
        if (p) cblas_daxpy(D, cblas_ddot(n, c, 1, b, 1), p + m * d, 1, s, 1);
    }
}
