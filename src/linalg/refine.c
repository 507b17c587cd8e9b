#include "base/simd.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/linalg.h"
#include <math.h>
#include <string.h>

struct mige_refined {
    const mige_comm *c;
    const mige_matrix *A;
    double shift;
    float *L, *x;               /* the panels of Q's factor; [M][columns] */
    double *B, *R, *Y;          /* [M][columns] right-hand side, residual, correction or product */
    double *e, *g;              /* [M]; g = (Q + shift)^-1 e / (1 + e' (Q + shift)^-1 e) */
    double *scale, *dot, *size; /* [columns] */
    double *norm, *change;      /* [columns] of the first solution; of the last correction */
};

int mige_refined_create(const mige_comm *c, const mige_matrix *A, int columns, mige_pool *pool, mige_refined **r) {
    size_t m = (size_t)A->m, n = (size_t)columns;
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(*r, 1)));
    mige_refined *s = *r;
    *s = (mige_refined){.c = c, .A = A};
    return MIGE_TAKE(pool, MIGE_BLOCK(s->L, mige_panel_entries(A)), MIGE_BLOCK(s->x, m * n),
                     MIGE_BLOCK(s->B, m * n), MIGE_BLOCK(s->R, m * n), MIGE_BLOCK(s->Y, m * n), MIGE_BLOCK(s->e, m),
                     MIGE_BLOCK(s->g, m), MIGE_BLOCK(s->scale, n), MIGE_BLOCK(s->dot, n), MIGE_BLOCK(s->size, n),
                     MIGE_BLOCK(s->norm, n), MIGE_BLOCK(s->change, n));
}

double mige_refined_bytes(int M, int columns, double entries) {
    return 4 * entries + 28. * M * columns + 16. * M + 40. * columns;
}

/* q = a - e e_j */
MIGE_CLONES static void take_out(int n, const double *restrict a, const double *restrict e, double ej,
                                 float *restrict q) {
    for (int i = 0; i < n; i++) q[i] = (float)(a[i] - e[i] * ej);
}

/* Y = (Q + shift)^-1 V, each column in numbers about 1; the largest of each are in scale. */
static int solve_rounded(mige_refined *r, int n, const double *V, double *Y) {
    size_t M = (size_t)r->A->m, w = (size_t)n;
    memset(r->scale, 0, w * sizeof *r->scale);
    for (size_t m = 0; m < M; m++)
        for (size_t d = 0; d < w; d++) r->scale[d] = fmax(r->scale[d], fabs(V[m * w + d]));
    for (size_t d = 0; d < w; d++)
        if (r->scale[d] == 0) r->scale[d] = 1;
    for (size_t m = 0; m < M; m++)
        for (size_t d = 0; d < w; d++) r->x[m * w + d] = (float)(V[m * w + d] / r->scale[d]);
    MIGE_TRY(mige_cholesky_solve_single(r->c, r->A, r->L, n, r->x));
    for (size_t m = 0; m < M; m++)
        for (size_t d = 0; d < w; d++) Y[m * w + d] = r->scale[d] * (double)r->x[m * w + d];
    return MIGE_OK;
}

int mige_refined_factor(mige_refined *r, double shift, const double *e) {
    const mige_matrix *A = r->A;
    float *q = r->L;
    r->shift = shift;
    memcpy(r->e, e, (size_t)A->m * sizeof *e);
    for (int i = 0; i < mige_num_panels(A); i++) {
        mige_panel p = mige_get_panel(A, i);
        int first = mige_col(A, p.jl);
        for (int j = 0; j < p.cols; j++, q += p.rows)
            take_out(p.rows, p.a + (size_t)j * (size_t)p.ld, e + first, e[first + j], q);
    }
    MIGE_TRY(mige_cholesky_factor_single(r->c, A, r->L, shift));
    MIGE_TRY(solve_rounded(r, 1, e, r->g));
    cblas_dscal(A->m, 1 / (1 + cblas_ddot(A->m, e, 1, r->g, 1)), r->g, 1);
    return MIGE_OK;
}

/* Y = (A + shift)^-1 V, as good as single precision. */
static int apply(mige_refined *r, int n, const double *V, double *Y) {
    int M = r->A->m;
    MIGE_TRY(solve_rounded(r, n, V, Y));
    cblas_dgemv(CblasRowMajor, CblasTrans, M, n, 1, Y, n, r->e, 1, 0, r->dot, 1);
    cblas_dger(CblasRowMajor, M, n, -1, r->g, 1, r->dot, 1, Y, n);
    return MIGE_OK;
}

/* R = B - (A + shift) X */
static int find_residual(mige_refined *r, int n, const double *X) {
    size_t size = (size_t)r->A->m * (size_t)n;
    memset(r->Y, 0, size * sizeof *r->Y);
    mige_symmetric_multiply(r->A, n, X, r->Y);
    MIGE_TRY(mige_sum(r->c, r->Y, size));
    for (size_t i = 0; i < size; i++) r->R[i] = r->B[i] - r->shift * X[i] - r->Y[i];
    return MIGE_OK;
}

static void column_norms(int M, int n, const double *Y, double *restrict norms) {
    memset(norms, 0, (size_t)n * sizeof *norms);
    for (int m = 0; m < M; m++)
        for (int d = 0; d < n; d++) norms[d] += Y[m * n + d] * Y[m * n + d];
    for (int d = 0; d < n; d++) norms[d] = sqrt(norms[d]);
}

/* A correction is wrong by about as large a part as the one before it was: *error is what is left, in the worst
 * column, *rate the largest such part. One rank's word is everyone's. */
static int look(mige_refined *r, int n, double *error, double *rate) {
    double told[2] = {0};
    for (int d = 0; d < n; d++) {
        if (r->size[d] == 0) continue;
        double part = r->size[d] / r->change[d];
        told[0] = fmax(told[0], isfinite(part) ? part * r->size[d] / r->norm[d] : INFINITY);
        told[1] = fmax(told[1], isfinite(part) ? part : INFINITY);
    }
    MIGE_TRY(mige_bcast(r->c, 0, told, sizeof told));
    *error = told[0];
    *rate = told[1];
    return MIGE_OK;
}

/* Where a correction leaves more than this, residuals and factorisation in double cost less. */
static const double SLOW = 0.1;

int mige_refined_solve(mige_refined *r, int n, double tolerance, int first, double *X, int *good) {
    size_t size = (size_t)r->A->m * (size_t)n;
    double error = INFINITY, rate = 0;
    memcpy(r->B, X, size * sizeof *X);
    MIGE_TRY(apply(r, n, r->B, X));
    column_norms(r->A->m, n, X, r->change);
    if (first) memcpy(r->norm, r->change, (size_t)n * sizeof *r->norm);
    while (error > tolerance && rate < SLOW) {
        MIGE_TRY(find_residual(r, n, X));
        MIGE_TRY(apply(r, n, r->R, r->Y));
        column_norms(r->A->m, n, r->Y, r->size);
        cblas_daxpy((int)size, 1, r->Y, 1, X, 1);
        MIGE_TRY(look(r, n, &error, &rate));
        memcpy(r->change, r->size, (size_t)n * sizeof *r->size);
    }
    *good = error <= tolerance;
    if (!*good) memcpy(X, r->B, size * sizeof *X);
    return MIGE_OK;
}
