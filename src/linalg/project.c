/* f(T) = Z diag(1/lambda) Z' with the vectors above the cut, or T^-1 (I - Z Z') with those below. Each vector is
 * made by itself, so that close ones have to be made orthogonal; where there are very close ones, or none that
 * tells the sides of the cut apart, the rational filter is better. */
#include "base/simd.h"
#include "linalg/tridiagonal.h"
#include "mige/blas.h"
#include "mige/error.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Right-hand sides that are solved for together. */
enum { HALF = 8, W = 2 * HALF };
typedef double vec __attribute__((vector_size(HALF * sizeof(double))));

/* (T = L U with row interchanges; one row of it.) */
typedef struct {
    double l, inverse, u1, u2, swapped;
} row;
enum { ROW = sizeof(row) / sizeof(double) };

/* What a vector has of another is about a rounding of the largest eigenvalue over their distance. Neighbours with
 * more than CLOSE of it are made orthogonal; at the cut it may be CUT. */
static const double CLOSE = 1e-10, CUT = 1e-9, PARALLEL = 0.1;
/* Below the cut: eigenvalues smaller than the last above it by this factor are projected out twice, or not at all.
 */
static const double TWICE = 10, NEVER = 1e5;

static size_t scratch(int m) {
    size_t solve = (size_t)m * (W + ROW), vectors = twisted_scratch(m);
    return solve > vectors ? solve : vectors;
}

int projector_create(int m, int most, projector *p) {
    size_t n = (size_t)m;
    *p = (projector){.m = m, .most = most, .ld = ((size_t)most / TWISTED_WIDTH + 1) * TWISTED_WIDTH};
    MIGE_TRY(mige_alloc(n * p->ld, sizeof *p->Z, &p->Z));
    MIGE_TRY(mige_alloc(p->ld, sizeof *p->inverse, &p->inverse));
    return mige_alloc(scratch(m), sizeof *p->scratch, &p->scratch);
}

int projector_room(projector *p, int columns) {
    if (columns <= p->columns) return MIGE_OK;
    free(p->C);
    p->columns = 0;
    MIGE_TRY(mige_alloc(((size_t)p->most + TWISTED_WIDTH) * (size_t)columns, sizeof *p->C, &p->C));
    p->columns = columns;
    return MIGE_OK;
}

void projector_destroy(projector *p) {
    free(p->Z);
    free(p->inverse);
    free(p->C);
    free(p->scratch);
    *p = (projector){0};
}

double projector_bytes(int m, int most) {
    return 8. * ((double)m * most + (double)scratch(m));
}

/* Vector j without what it has of vector i; 0 if that is too much. */
static int separate(const projector *p, int i, int j) {
    double dot = 0;
    for (int k = 0; k < p->m; k++) dot += p->Z[(size_t)k * p->ld + (size_t)i] * p->Z[(size_t)k * p->ld + (size_t)j];
    for (int k = 0; k < p->m; k++) p->Z[(size_t)k * p->ld + (size_t)j] -= dot * p->Z[(size_t)k * p->ld + (size_t)i];
    return fabs(dot) < PARALLEL;
}

/* Neighbours in lambda [k] that are less than `close` apart; 0 if there are too many for vectors to be worth it. */
static int orthogonalise(projector *p, const double *lambda, double close) {
    int pairs = 0, good = 1;
    for (int j = 1; good && j < p->k; j++)
        for (int i = j - 1; good && i >= 0 && lambda[j] - lambda[i] < close; i--)
            good = ++pairs < 8 * p->k && separate(p, i, j);
    return good;
}

int projector_make(projector *p, const double *d, const double *e, const double *values, int J) {
    int m = p->m, below = m - J;
    double rounding = DBL_EPSILON * values[m - 1];
    p->above = J <= below;
    p->k = p->above ? J : below;
    p->ld = ((size_t)p->k + TWISTED_WIDTH - 1) / TWISTED_WIDTH * TWISTED_WIDTH;
    double last = values[below], gap = below ? last - values[below - 1] : last;
    if (p->k > p->most || rounding > CUT * gap) return 0;
    p->twice = last > TWICE * values[0];
    if (!p->above && last > NEVER * values[0]) return 0;
    const double *lambda = p->above ? values + below : values;
    double *all = p->inverse; /* lambda and more of the last, to whole vectors; then their inverses */
    for (size_t j = 0; j < p->ld; j++) all[j] = lambda[(int)j < p->k ? (int)j : p->k - 1];
    twisted_vectors(m, d, e, (int)p->ld, all, p->Z, p->ld, p->scratch);
    for (size_t j = 0; j < p->ld; j++) p->inverse[j] = (int)j < p->k ? 1 / all[j] : 0;
    return orthogonalise(p, lambda, rounding / CLOSE);
}

static void factor(int m, const double *d, const double *e, row *rows) {
    double diagonal = d[0], above = m > 1 ? e[0] : 0;
    for (int k = 0; k + 1 < m; k++) {
        double below = e[k], far = k + 2 < m ? e[k + 1] : 0, next = d[k + 1];
        int swap = fabs(below) > fabs(diagonal);
        double inverse = 1 / (swap ? below : diagonal), l = (swap ? diagonal : below) * inverse,
               u1 = swap ? next : above;
        rows[k] = (row){l, inverse, u1, swap ? far : 0, swap};
        diagonal = (swap ? above : next) - l * u1;
        above = swap ? -far * l : far;
    }
    rows[m - 1] = (row){0, 1 / diagonal, 0, 0, 0};
}

/* x [m][W] <- (L U)^-1 x. */
MIGE_CLONES static void solve(int m, const row *rows, vec *restrict x) {
    vec r0 = x[0], r1 = x[1];
    for (int k = 0; k + 1 < m; k++) {
        double l = rows[k].l;
        vec n0 = x[2 * k + 2], n1 = x[2 * k + 3];
        if (rows[k].swapped != 0) {
            x[2 * k] = n0;
            x[2 * k + 1] = n1;
            r0 -= l * n0;
            r1 -= l * n1;
        } else {
            x[2 * k] = r0;
            x[2 * k + 1] = r1;
            r0 = n0 - l * r0;
            r1 = n1 - l * r1;
        }
    }
    x[2 * m - 2] = r0;
    x[2 * m - 1] = r1;
    vec p0 = {0}, p1 = {0}, q0 = {0}, q1 = {0}; /* the row below, and the one below that */
    for (int k = m - 1; k >= 0; k--) {
        const row *u = &rows[k];
        r0 = u->inverse * (x[2 * k] - u->u1 * p0 - u->u2 * q0);
        r1 = u->inverse * (x[2 * k + 1] - u->u1 * p1 - u->u2 * q1);
        q0 = p0;
        q1 = p1;
        p0 = x[2 * k] = r0;
        p1 = x[2 * k + 1] = r1;
    }
}

/* X <- T^-power X. */
static void divide(projector *p, const double *d, const double *e, int power, int n, double *X) {
    size_t m = (size_t)p->m;
    double *x = p->scratch;
    row *rows = (row *)(x + m * W);
    factor(p->m, d, e, rows);
    for (int c = 0; c < n; c += W) {
        int width = n - c < W ? n - c : W;
        double *from = X + (size_t)c * m;
        memset(x, 0, m * W * sizeof *x);
        for (int w = 0; w < width; w++)
            for (size_t k = 0; k < m; k++) x[k * W + (size_t)w] = from[(size_t)w * m + k];
        for (int i = 0; i < power; i++) solve(p->m, rows, (vec *)x);
        for (int w = 0; w < width; w++)
            for (size_t k = 0; k < m; k++) from[(size_t)w * m + k] = x[k * W + (size_t)w];
    }
}

/* C = Z'X */
static void coefficients(projector *p, int n, const double *X) {
    int m = p->m, ld = (int)p->ld;
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, p->k, n, m, 1, p->Z, ld, X, m, 0, p->C, ld);
}

/* X = alpha Z C + beta X */
static void combine(projector *p, int n, double alpha, double beta, double *X) {
    int m = p->m, ld = (int)p->ld;
    cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, m, n, p->k, alpha, p->Z, ld, p->C, ld, beta, X, m);
}

static void project_out(projector *p, int n, double *X) {
    coefficients(p, n, X);
    combine(p, n, -1, 1, X);
}

void projector_apply(projector *p, const double *d, const double *e, int power, int n, double *X) {
    if (p->above) {
        coefficients(p, n, X);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < p->k; j++)
                p->C[(size_t)i * p->ld + (size_t)j] *= power == 1 ? p->inverse[j] : p->inverse[j] * p->inverse[j];
        combine(p, n, 1, 0, X);
        return;
    }
    if (p->k && p->twice) project_out(p, n, X);
    divide(p, d, e, power, n, X);
    if (p->k) project_out(p, n, X);
}
