/* What a column costs, besides making its reflector v, is the rank-2 update by the one before, A -= v1 w1' + w1
 * v1', and the product A v. Together they are one pass over the lower triangle: a load, a store and four fused
 * multiply-adds an entry. While the matrix is in the second-level cache that beats panels, whose corrections cost
 * as much as they save, and it makes no BLAS calls. */
#include "base/simd.h"
#include "linalg/tridiagonal.h"
#include "mige/blas.h"
#include "mige/error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows come in vectors of 8; on the diagonal, squares of 8 x 8 are kept whole. */
enum { ROWS = 8, COLUMNS = 4 };

int fused_create(int n, fused *f) {
    size_t vectors = (size_t)n / ROWS + 2;
    *f = (fused){.n = n, .ld = (vectors | 1) * ROWS}; /* columns do not share the sets of a cache */
    MIGE_TRY(mige_alloc(f->ld * f->ld, sizeof *f->A, &f->A));
    MIGE_TRY(mige_alloc(f->ld * f->ld, sizeof *f->V, &f->V));
    MIGE_TRY(mige_alloc(f->ld, sizeof *f->tau, &f->tau));
    MIGE_TRY(mige_alloc(f->ld, sizeof *f->w, &f->w));
    return mige_alloc(f->ld, sizeof *f->y, &f->y);
}

void fused_destroy(fused *f) {
    free(f->A);
    free(f->V);
    free(f->tau);
    free(f->w);
    free(f->y);
    *f = (fused){0};
}

/* The rank-2 update and product in four columns from j on, rows [from, to): the square on the diagonal is
 * multiplied as it is, what is below it also transposed. */
typedef struct {
    double x[COLUMNS], v[COLUMNS], w[COLUMNS]; /* the columns' entries of u, v1, w1 */
} four;

static inline __attribute__((always_inline)) void square(double *restrict a, size_t ld, const four *c,
                                                         const double *restrict v, const double *restrict w,
                                                         double *restrict y) {
    for (int q = 0; q < COLUMNS; q++, a += ld)
#pragma omp simd
        for (int i = 0; i < ROWS; i++) {
            a[i] -= v[i] * c->w[q] + w[i] * c->v[q];
            y[i] += a[i] * c->x[q];
        }
}

static inline __attribute__((always_inline)) void below(int n, double *restrict a, size_t ld, const four *f,
                                                        const double *restrict v, const double *restrict w,
                                                        const double *restrict u, double *restrict y,
                                                        double *restrict sums) {
    double *restrict b = a + ld, *restrict c = b + ld, *restrict d = c + ld;
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    double x0 = f->x[0], x1 = f->x[1], x2 = f->x[2], x3 = f->x[3], v0 = f->v[0], v1 = f->v[1], v2 = f->v[2],
           v3 = f->v[3], w0 = f->w[0], w1 = f->w[1], w2 = f->w[2], w3 = f->w[3];
    a = __builtin_assume_aligned(a, 64);
    b = __builtin_assume_aligned(b, 64);
    c = __builtin_assume_aligned(c, 64);
    d = __builtin_assume_aligned(d, 64);
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (int i = 0; i < n; i++) {
        double vi = v[i], wi = w[i], ui = u[i];
        double ai = a[i] - vi * w0 - wi * v0, bi = b[i] - vi * w1 - wi * v1, ci = c[i] - vi * w2 - wi * v2,
               di = d[i] - vi * w3 - wi * v3;
        a[i] = ai;
        b[i] = bi;
        c[i] = ci;
        d[i] = di;
        y[i] += ai * x0 + bi * x1 + ci * x2 + di * x3;
        s0 += ai * ui;
        s1 += bi * ui;
        s2 += ci * ui;
        s3 += di * ui;
    }
    sums[0] += s0;
    sums[1] += s1;
    sums[2] += s2;
    sums[3] += s3;
}

/* A -= v w' + w v', then y = A u, for the lower triangle from column `from` on, n its order, a multiple of ROWS;
 * backward from the last column to the first: what a pass leaves in the cache, the next one meets before it goes.
 */
MIGE_CLONES static void update_multiply(int from, int n, int backward, size_t ld, double *restrict A,
                                        const double *restrict v, const double *restrict w,
                                        const double *restrict u, double *restrict y) {
    memset(y + from / ROWS * ROWS, 0, (size_t)(n - from / ROWS * ROWS) * sizeof *y);
    for (int i = from; i < n; i += COLUMNS) {
        int j = backward ? n - COLUMNS - (i - from) : i, b = j / ROWS * ROWS, next = b + ROWS;
        double *a = A + (size_t)j * ld;
        four c;
        for (int q = 0; q < COLUMNS; q++) {
            c.x[q] = u[j + q];
            c.v[q] = v[j + q];
            c.w[q] = w[j + q];
        }
        square(a + b, ld, &c, v + b, w + b, y + b);
        below(n - next, a + next, ld, &c, v + next, w + next, u + next, y + next, y + j);
    }
}

MIGE_CLONES static double dot(int n, const double *restrict x, const double *restrict y) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

MIGE_CLONES static void update_column(int n, const double *restrict v, const double *restrict w, double vk,
                                      double wk, double *restrict a) {
#pragma omp simd
    for (int i = 0; i < n; i++) a[i] -= v[i] * wk + w[i] * vk;
}

/* y = a x + b z */
MIGE_CLONES static void combine(int n, double a, const double *restrict x, double b, const double *restrict z,
                                double *restrict y) {
#pragma omp simd
    for (int i = 0; i < n; i++) y[i] = a * x[i] + b * z[i];
}

/* v = (1, a_1 / .., ...) of the reflector that takes a [n] to a multiple of the first unit vector, which is
 * returned. */
static double reflector(int n, double *a, double *v, double *tau) {
    int one = 1;
    double beta, sum = dot(n - 1, a + 1, a + 1), norm = sum + a[0] * a[0];
    if (sum > 1e-200 * norm && norm > 1e-250 && norm < 1e250) {
        beta = a[0] > 0 ? -sqrt(norm) : sqrt(norm);
        *tau = (beta - a[0]) / beta;
        combine(n - 1, 1 / (a[0] - beta), a + 1, 0, a + 1, v + 1);
    } else {
        beta = a[0];
        dlarfg_(&n, &beta, &a[n > 1], &one, tau);
        memcpy(v + 1, a + 1, (size_t)(n - 1) * sizeof *v);
        if (*tau == 0) memset(v + 1, 0, (size_t)(n - 1) * sizeof *v);
    }
    v[0] = 1;
    return beta;
}

/* Whole squares on the diagonal, and zeros behind the last row. */
static void complete(fused *f) {
    size_t n = (size_t)f->n, ld = f->ld;
    memset(f->w, 0, ld * sizeof *f->w);
    for (size_t j = 0; j < n; j++) {
        for (size_t i = j / ROWS * ROWS; i < j; i++) f->A[j * ld + i] = f->A[i * ld + j];
        memset(f->A + j * ld + n, 0, ROWS * sizeof *f->A);
    }
}

void fused_reduce(fused *f, double *d, double *e) {
    int n = f->n;
    size_t ld = f->ld;
    double *w = f->w;
    complete(f);
    for (int k = 0; k < n; k++) {
        double *a = f->A + (size_t)k * ld, *u = f->V + (size_t)k * ld;
        const double *v = k ? u - ld : w;
        if (k) update_column(n - k, v + k, w + k, v[k], w[k], a + k);
        d[k] = a[k];
        if (k + 1 == n) break;
        int start = k + 1, rows = n - start;
        e[k] = reflector(rows, a + start, u + start, &f->tau[k]);
        update_multiply(start / COLUMNS * COLUMNS, (n + ROWS - 1) / ROWS * ROWS, k % 2, ld, f->A, v, w, u, f->y);
        double tau = f->tau[k], alpha = -0.5 * tau * tau * dot(rows, f->y + start, u + start);
        w[k] = 0;
        combine(rows, tau, f->y + start, alpha, u + start, w + start);
    }
}
