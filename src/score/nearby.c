/* Stein's identity near single samples. Linear functions do not see whether scores follow clusters: those of a
 * density that is smoothed over all of them fulfil it as well.
 *
 * E[s f + grad f] = 0 for f(z) = exp(-|z - a|^2 / (2 q)), q the squared distance from the sample a to its k-th
 * neighbour, all in coordinates in which the samples are white. Of grad f (signal g) and s f + grad f (residual r)
 * means and their variances are found at each of some anchors a. Residuals' share of the signal, both less their
 * variances, is 0 for scores that are right and 1 for scores that are 0 at that scale.
 *
 * At an edge the identity does not hold, and signals are large. They point to the mean there if the support is
 * convex, so that what is left open must be seen, too, where samples draw a away from the mean: inner sides of
 * clusters. */
#include "mige/blas.h"
#include "score/doubts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Neighbours: this share of the samples, or so few. */
static const double SHARE = 0.05;
enum { ANCHORS = 300, FEW_ANCHORS = 100, FEW = 20, LEAST = 100 };
static const double WORK = 5e7; /* differences of coordinates, for more than the fewest anchors */
/* What draws outward is told from noise by so many standard errors. Evidence is the share of anchors that are drawn
 * so, times what is left open there (at most twice the signal: of few anchors it may be anything), times what is
 * left open of all: 0.09 at most in uniform and exponential samples, 0.15 to 0.8 in clusters that scores miss. */
static const double SURE = 2, MOST_OUT = 2, ENOUGH = 0.11;

typedef struct {
    double signal, rest, out_signal, out_rest; /* over anchors; out: along e, where they are drawn outward */
    int anchors, outward;
} sums;

/* Of one anchor: sums over samples, and of squares. */
typedef struct {
    double f, signal2, rest2;
    double g, g2, r, r2; /* along e = a / |a| */
} terms;

typedef struct {
    const white *w;
    const double *X, *S, *Z;
    double *size, *along; /* [M]: |s|^2 and s.z, s white */
    double *d2, *sorted;  /* [M]: squared distances */
    double *t;            /* [M]: s.a */
    double *a, *g, *r;    /* [D] */
} space;

/* A score, or a sum of scores, becomes that of white samples: L' (s x deviation). */
static void turn(const white *w, double *s) {
    for (int d = 0; d < w->D; d++) s[d] *= w->deviation[d];
    cblas_dtrmv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, w->D, w->L, w->D, s, 1);
}

/* What does not depend on the anchor. */
static void prepare(space *p) {
    size_t D = (size_t)p->w->D;
    for (size_t m = 0; m < (size_t)p->w->M; m++) {
        p->along[m] = 0;
        for (size_t d = 0; d < D; d++) p->along[m] += p->S[m * D + d] * (p->X[m * D + d] - p->w->mean[d]);
        memcpy(p->r, p->S + m * D, D * sizeof *p->r);
        turn(p->w, p->r);
        p->size[m] = cblas_ddot(p->w->D, p->r, 1, p->r, 1);
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Squared distances from the anchor, and that of its k-th neighbour, equals left out; 0 where most are equal. */
static double width(space *p, const double *a, int k) {
    size_t D = (size_t)p->w->D, M = (size_t)p->w->M, n = 0;
    for (size_t m = 0; m < M; m++) {
        const double *z = p->Z + m * D;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t d = 0; d < D; d++) sum += (z[d] - a[d]) * (z[d] - a[d]);
        p->d2[m] = sum;
        if (sum > 0) p->sorted[n++] = sum;
    }
    if (n < M / 2) return 0;
    qsort(p->sorted, n, sizeof *p->sorted, ascending);
    return p->sorted[(size_t)k < n ? (size_t)k - 1 : n - 1];
}

/* Sums over the samples of f, g = -f (z - a) = q grad f and r = g + q f s, and of their squares. */
static terms add_samples(space *p, const double *a, double length, double q) {
    size_t D = (size_t)p->w->D;
    double *restrict gs = p->g, *restrict rs = p->r;
    terms t = {0};
    memset(p->g, 0, D * sizeof *p->g);
    memset(p->r, 0, D * sizeof *p->r);
    for (size_t m = 0; m < (size_t)p->w->M; m++) {
        double d2 = p->d2[m], f = d2 > 0 ? exp(-d2 / (2 * q)) : 0, dot = 0;
        if (f < 1e-12) continue;
        const double *z = p->Z + m * D, *s = p->S + m * D;
#pragma omp simd reduction(+ : dot)
        for (size_t d = 0; d < D; d++) {
            gs[d] -= f * (z[d] - a[d]);
            rs[d] += f * q * s[d];
            dot += (z[d] - a[d]) * a[d];
        }
        double g = -f * dot / length, r = g + f * q * p->t[m] / length;
        t.f += f;
        t.g += g;
        t.g2 += g * g;
        t.r += r;
        t.r2 += r * r;
        t.signal2 += f * f * d2;
        t.rest2 += f * f * (d2 - 2 * q * (p->along[m] - p->t[m]) + q * q * p->size[m]);
    }
    turn(p->w, p->r);
    cblas_daxpy(p->w->D, 1, p->g, 1, p->r, 1);
    return t;
}

static void add_anchor(space *p, int at, int k, sums *s) {
    int D = p->w->D;
    double n = p->w->M;
    const double *a = p->Z + (size_t)at * (size_t)D;
    double length = cblas_dnrm2(D, a, 1), q = width(p, a, k);
    if (!(q > 0 && length > 0)) return;
    for (int d = 0; d < D; d++) p->a[d] = p->X[(size_t)at * (size_t)D + (size_t)d] - p->w->mean[d];
    cblas_dgemv(CblasRowMajor, CblasNoTrans, p->w->M, D, 1, p->S, D, p->a, 1, 0, p->t, 1);
    terms t = add_samples(p, a, length, q);
    double unit = 1 / (t.f * t.f * q), signal = cblas_ddot(D, p->g, 1, p->g, 1),
           rest = cblas_ddot(D, p->r, 1, p->r, 1), noise = t.g2 - t.g * t.g / n;
    s->anchors++;
    s->signal += unit * (signal - (t.signal2 - signal / n));
    s->rest += unit * (rest - (t.rest2 - rest / n));
    if (!(-t.g > SURE * sqrt(fmax(0, noise)))) return;
    s->outward++;
    s->out_signal += unit * (t.g * t.g - noise);
    s->out_rest += unit * (t.r * t.r - (t.r2 - t.r * t.r / n));
}

/* With so many neighbours; 0 where the evidence is small. */
static double unexplained(space *p, int k) {
    int M = p->w->M, n = (int)fmin(M, fmax(FEW_ANCHORS, fmin(ANCHORS, WORK / M / p->w->D)));
    sums s = {0};
    for (int i = 0; i < n; i++) add_anchor(p, (int)((int64_t)i * M / n), k, &s);
    if (!s.outward || !(s.signal > 0)) return 0;
    double rest = s.rest / s.signal, out = s.out_rest / s.out_signal;
    double evidence = fmin(rest, 1) * fmin(out, MOST_OUT) * s.outward / s.anchors;
    return rest > 0 && evidence > ENOUGH ? rest : 0;
}

int nearby_unexplained(const white *w, const double *X, const double *S, const double *Z, double *share) {
    size_t M = (size_t)w->M, D = (size_t)w->D;
    int many = (int)(SHARE * w->M);
    space p = {.w = w, .X = X, .S = S, .Z = Z};
    mige_pool pool = {0};
    *share = 0;
    if (w->M < LEAST) return MIGE_OK;
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(p.size, M), MIGE_BLOCK(p.along, M), MIGE_BLOCK(p.d2, M),
                       MIGE_BLOCK(p.sorted, M), MIGE_BLOCK(p.t, M), MIGE_BLOCK(p.a, D), MIGE_BLOCK(p.g, D),
                       MIGE_BLOCK(p.r, D)));
    prepare(&p);
    if (many > 2 * FEW) *share = unexplained(&p, FEW);
    *share = fmax(*share, unexplained(&p, many > FEW ? many : FEW));
    mige_pool_free(&pool);
    return MIGE_OK;
}
