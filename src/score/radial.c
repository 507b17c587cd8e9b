#include "score/radial.h"
#include "mige/blas.h"
#include <math.h>
#include <string.h>

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
