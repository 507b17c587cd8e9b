#include "mige/blas.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/log.h"
#include "mige/rng.h"
#include "score/score.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cg {
    const mige_comm *c;
    int M, D, r;
    int64_t first, count; /* this rank's rows */
    double scale, eta;
    double *landmarks;         /* [r][D] */
    double *norms;             /* [r + count] */
    double *T, *G;             /* [r][r], column-major: Cholesky factor of k(L,L); inverse of F'F + eta I */
    float *F;                  /* [count][r]: F F' is Nystroem's K; F = k(X,L) T^-T */
    double *rows;              /* [ROWS][r] of F before they are rounded */
    float *from, *to;          /* [count][D], [r][D] */
    double *t, *u;             /* [r][D] */
    double *X, *R, *Z, *P, *Q; /* [M][D]: solution, residual, preconditioned, direction, its product */
    double *B;                 /* [M][D] what is to be solved */
    double *mine;              /* [count][D] */
    double *dots;              /* [4][D] */
    const mige_matrix *K;      /* the panels' places, on a grid of one row */
    float *x, *x_norms;        /* [M][D], [M] the samples in single precision */
    float *v, *y, *piece;      /* [M][D] each: a product's; a part of a panel */
};

enum { MOST_ITERATIONS = 2000, PATIENCE = 60, ROWS = 1024 };
enum { PIECE_ROWS = 512 }; /* no block is larger */

/* So many landmarks that the preconditioner costs about what ten products with K do: 2 M r^2 flops against 3 M^2 D.
 */
static int landmarks_for(int M, int D) {
    int r = (int)(4 * sqrt((double)M * D)), most = (M + 1) / 2;
    return r < most ? r : most;
}

double cg_bytes(int M, int D, int ranks) {
    double r = landmarks_for(M, D), rows = (double)M / ranks + 1;
    return 8 * (r * D + r + rows + 2 * r * r + rows * r / 2 + fmin(rows, ROWS) * r + rows * D / 2 + 2.5 * r * D +
                6. * M * D + rows * D) +
           4. * M * (3. * D + 1);
}

double cg_flops(int M, int D) {
    double r = landmarks_for(M, D);
    return 2. * M * r * r + 4. / 3 * r * r * r;
}

int cg_create(const mige_comm *c, const mige_matrix *K, int D, mige_pool *pool, cg **out) {
    cg *s;
    int M = K->m;
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(s, 1)));
    *out = s;
    *s = (cg){.c = c, .K = K, .M = M, .D = D, .r = landmarks_for(M, D)};
    mige_share(M, c->size, c->rank, &s->first, &s->count);
    size_t r = (size_t)s->r, d = (size_t)D, m = (size_t)M, rows = (size_t)s->count;
    MIGE_TRY(MIGE_TAKE(
        pool, MIGE_BLOCK(s->landmarks, r * d), MIGE_BLOCK(s->norms, r + rows), MIGE_BLOCK(s->T, r * r),
        MIGE_BLOCK(s->G, r * r), MIGE_BLOCK(s->F, rows * r), MIGE_BLOCK(s->rows, (rows < ROWS ? rows : ROWS) * r),
        MIGE_BLOCK(s->from, rows * d), MIGE_BLOCK(s->to, r * d), MIGE_BLOCK(s->t, r * d), MIGE_BLOCK(s->u, r * d),
        MIGE_BLOCK(s->dots, 4 * d), MIGE_BLOCK(s->mine, rows * d), MIGE_BLOCK(s->X, m * d), MIGE_BLOCK(s->R, m * d),
        MIGE_BLOCK(s->Z, m * d), MIGE_BLOCK(s->P, m * d), MIGE_BLOCK(s->Q, m * d), MIGE_BLOCK(s->B, m * d)));
    return MIGE_TAKE(pool, MIGE_BLOCK(s->x, m * d), MIGE_BLOCK(s->x_norms, m), MIGE_BLOCK(s->v, m * d),
                     MIGE_BLOCK(s->y, m * d), MIGE_BLOCK(s->piece, (size_t)PIECE_ROWS * (size_t)K->grid->nb));
}

/* ---- products with K in single precision: half the bytes and twice the rate; residuals are found in double */

static void round_samples(cg *s, const double *X) {
    size_t M = (size_t)s->M, D = (size_t)s->D;
    for (size_t i = 0; i < M * D; i++) s->x[i] = (float)X[i];
    for (size_t m = 0; m < M; m++) s->x_norms[m] = cblas_sdot(s->D, s->x + m * D, 1, s->x + m * D, 1);
}

/* exp(-scale |x_i - x_j|^2); local rows are global, since the grid has one row. */
static void make_piece(cg *s, const mige_panel *p) {
    int D = s->D, rows = p->rows, col = mige_col(s->K, p->jl);
    cblas_sgemm(CblasColMajor, CblasTrans, CblasNoTrans, rows, p->cols, D, -2, s->x + (size_t)p->il * (size_t)D, D,
                s->x + (size_t)col * (size_t)D, D, 0, s->piece, rows);
    for (int j = 0; j < p->cols; j++) {
        float *column = s->piece + (size_t)j * (size_t)rows;
        kernel_exp_single(rows, (float)s->scale, s->x_norms + p->il, s->x_norms[col + j], column);
        if (j < p->diagonal) column[j] = 1; /* whatever rounding does */
    }
}

/* In BLAS's eyes v and y are D x M. */
static void multiply_piece(cg *s, const mige_panel *p) {
    int D = s->D;
    size_t w = (size_t)D, row = (size_t)p->il * w, col = (size_t)mige_col(s->K, p->jl) * w,
           square = (size_t)p->diagonal;
    make_piece(s, p);
    cblas_sgemm(CblasColMajor, CblasNoTrans, CblasTrans, D, p->rows, p->cols, 1, s->v + col, D, s->piece, p->rows,
                1, s->y + row, D);
    if (p->rows > p->diagonal)
        cblas_sgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, D, p->cols, p->rows - p->diagonal, 1,
                    s->v + row + square * w, D, s->piece + square, p->rows, 1, s->y + col, D);
}

/* Q = K P. */
static int multiply(cg *s) {
    size_t size = (size_t)s->M * (size_t)s->D;
    for (size_t i = 0; i < size; i++) {
        s->v[i] = (float)s->P[i];
        s->y[i] = 0;
    }
    for (int i = 0; i < mige_num_panels(s->K); i++) {
        mige_panel panel = mige_get_panel(s->K, i);
        for (int from = 0; from < panel.rows; from += PIECE_ROWS) {
            mige_panel piece = mige_panel_rows(&panel, from, PIECE_ROWS);
            multiply_piece(s, &piece);
        }
    }
    for (size_t i = 0; i < size; i++) s->Q[i] = (double)s->y[i];
    return mige_sum(s->c, s->Q, size);
}

/* ---- the preconditioner */

static int choose_landmarks(cg *s, const double *X) {
    int64_t *order;
    MIGE_TRY(mige_alloc((size_t)s->M, sizeof *order, &order));
    mige_rng_permutation(0, MIGE_RNG_NYSTROM, 0, s->M, order);
    for (int i = 0; i < s->r; i++)
        memcpy(s->landmarks + (size_t)i * (size_t)s->D, X + (size_t)order[i] * (size_t)s->D,
               (size_t)s->D * sizeof *X);
    free(order);
    return MIGE_OK;
}

/* T T' = k(L,L) + jitter I, the least jitter that rounding asks for. */
static int factor_landmarks(cg *s) {
    int info = 1, r = s->r;
    double jitter = 1e-14 * r;
    for (int tries = 0; info && tries < 5; tries++) {
        kernel_between(r, s->landmarks, s->norms, r, s->landmarks, s->norms, s->D, s->scale, s->T);
        for (size_t i = 0; i < (size_t)r; i++) s->T[i * (size_t)r + i] = 1 + jitter;
        dpotrf_("L", &r, s->T, &r, &info);
        jitter *= 100;
    }
    MIGE_CHECK(!info, MIGE_ENUMERIC, "conjugate gradients: no preconditioner from %d landmarks (try Cholesky)", r);
    return MIGE_OK;
}

static int factor_inner(cg *s) {
    int info, r = s->r;
    for (size_t i = 0; i < (size_t)r; i++) s->G[i * (size_t)r + i] += s->eta;
    dpotrf_("L", &r, s->G, &r, &info);
    if (!info) dpotri_("L", &r, s->G, &r, &info); /* few columns: a product is much faster than two solves */
    MIGE_CHECK(!info, MIGE_ENUMERIC,
               "conjugate gradients: the preconditioner is not positive definite (a larger ridge)");
    return MIGE_OK;
}

/* F, in double a few rows at a time, and F'F in G. */
static void make_factor(cg *s, const double *own) {
    int r = s->r;
    memset(s->G, 0, (size_t)r * (size_t)r * sizeof *s->G);
    for (int64_t from = 0; from < s->count; from += ROWS) {
        int n = s->count - from < ROWS ? (int)(s->count - from) : ROWS;
        kernel_between(n, own + from * s->D, s->norms + r + from, r, s->landmarks, s->norms, s->D, s->scale,
                       s->rows);
        cblas_dtrsm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, r, n, 1, s->T, r, s->rows, r);
        cblas_dsyrk(CblasColMajor, CblasLower, CblasNoTrans, r, n, 1, s->rows, r, 1, s->G, r);
        float *F = s->F + from * r;
        for (size_t i = 0; i < (size_t)n * (size_t)r; i++) F[i] = (float)s->rows[i];
    }
}

int cg_prepare(cg *s, const double *X, double scale, double eta) {
    const double *own = X + s->first * s->D;
    s->scale = scale;
    s->eta = eta;
    round_samples(s, X);
    int err = choose_landmarks(s, X);
    if (!err) {
        kernel_norms(s->r, s->D, s->landmarks, s->norms);
        kernel_norms((int)s->count, s->D, own, s->norms + s->r);
        err = factor_landmarks(s);
    }
    MIGE_TRY(mige_agree(s->c, err));
    make_factor(s, own);
    MIGE_TRY(mige_sum(s->c, s->G, (size_t)s->r * (size_t)s->r));
    mige_clock_count_flops(MIGE_PHASE_EIGEN, cg_flops(s->M, s->D) / s->c->size);
    return mige_agree(s->c, factor_inner(s));
}

/* Z = (F F' + eta I)^-1 R = (R - F (F'F + eta I)^-1 F' R) / eta. */
static int precondition(cg *s, const double *R, double *Z) {
    int r = s->r, D = s->D, count = (int)s->count;
    size_t n = (size_t)count * (size_t)D, m = (size_t)r * (size_t)D;
    const double *own = R + s->first * D;
    for (size_t i = 0; i < n; i++) s->from[i] = (float)own[i];
    cblas_sgemm(CblasColMajor, CblasNoTrans, CblasTrans, D, r, count, 1, s->from, D, s->F, r, 0, s->to, D);
    for (size_t i = 0; i < m; i++) s->t[i] = (double)s->to[i];
    MIGE_TRY(mige_sum(s->c, s->t, m));
    cblas_dsymm(CblasColMajor, CblasRight, CblasLower, D, r, 1, s->G, r, s->t, D, 0, s->u, D);
    for (size_t i = 0; i < m; i++) s->to[i] = (float)s->u[i];
    if (count)
        cblas_sgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, D, count, r, -1, s->to, D, s->F, r, 1, s->from, D);
    for (size_t i = 0; i < n; i++) s->mine[i] = (double)s->from[i] / s->eta;
    return mige_gather_rows(s->c, s->M, D, s->mine, Z);
}

/* ---- the iterations */

/* out[d] = sum over rows of a b. */
static void column_dots(const cg *s, const double *a, const double *b, double *restrict out) {
    size_t D = (size_t)s->D;
    memset(out, 0, D * sizeof *out);
    for (size_t m = 0; m < (size_t)s->M; m++) {
#pragma omp simd
        for (size_t d = 0; d < D; d++) out[d] += a[m * D + d] * b[m * D + d];
    }
}

/* y = x f + y g, column by column (NULL: 1). */
static void column_update(const cg *s, const double *f, const double *x, const double *g, double *restrict y) {
    size_t D = (size_t)s->D;
    for (size_t m = 0; m < (size_t)s->M; m++) {
#pragma omp simd
        for (size_t d = 0; d < D; d++) y[m * D + d] = (f ? f[d] : 1) * x[m * D + d] + (g ? g[d] : 1) * y[m * D + d];
    }
}

/* The worst column's error over its tolerance; one rank's word is everyone's: all must stop at the same iteration.
 */
static int find_excess(cg *s, double tolerance, const double *norm2, double *excess) {
    double *z2 = s->dots + 3 * s->D;
    column_dots(s, s->Z, s->Z, z2);
    *excess = 0;
    for (int d = 0; d < s->D; d++)
        if (z2[d] != 0) *excess = fmax(*excess, isfinite(z2[d]) ? sqrt(z2[d] / norm2[d]) / tolerance : INFINITY);
    return mige_bcast(s->c, 0, excess, sizeof *excess);
}

/* The error falls by about the same factor an iteration. */
static void show(double tolerance, int iteration, double excess) {
    char text[64];
    double done = excess > 1 && isfinite(excess) ? 1 + log(excess) / log(tolerance) : 0;
    long at = (long)(999 * fmax(0, fmin(1, isfinite(done) ? done : 0)));
    if (!mige_progress_due(at)) return;
    snprintf(text, sizeof text, "iteration %d, error %.1e", iteration, excess * tolerance);
    mige_progress_update(at, text);
}

/* A step along P; the residual and its preconditioned form after it. */
static int advance(cg *s, double *rz) {
    int D = s->D;
    double *alpha = s->dots, *minus = s->dots + 3 * D;
    MIGE_TRY(multiply(s));
    cblas_daxpy(s->M * D, s->eta, s->P, 1, s->Q, 1);
    column_dots(s, s->P, s->Q, alpha);
    for (int d = 0; d < D; d++) {
        alpha[d] = alpha[d] > 0 ? rz[d] / alpha[d] : 0;
        minus[d] = -alpha[d];
    }
    column_update(s, alpha, s->P, NULL, s->X);
    column_update(s, minus, s->Q, NULL, s->R);
    return precondition(s, s->R, s->Z);
}

/* The next direction, conjugate to the one before. */
static void turn(cg *s, double *rz) {
    double *beta = s->dots, *next = s->dots + 3 * s->D;
    column_dots(s, s->R, s->Z, next);
    for (int d = 0; d < s->D; d++) {
        beta[d] = rz[d] > 0 ? next[d] / rz[d] : 0;
        rz[d] = next[d];
    }
    column_update(s, NULL, s->Z, beta, s->P);
}

/* R = B - (K + eta I) X in double, and directions from there. */
static int begin(cg *s, kernel *k, int from_zero, double *rz) {
    int D = s->D;
    size_t n = (size_t)s->M * (size_t)D;
    memcpy(s->R, s->B, n * sizeof *s->R);
    if (!from_zero) {
        MIGE_TRY(kernel_multiply(k, s->scale, D, s->X, s->Q));
        cblas_daxpy((int)n, -1, s->Q, 1, s->R, 1);
        cblas_daxpy((int)n, -s->eta, s->X, 1, s->R, 1);
    }
    MIGE_TRY(precondition(s, s->R, s->Z));
    memcpy(s->P, s->Z, n * sizeof *s->P);
    column_dots(s, s->R, s->Z, rz);
    return MIGE_OK;
}

/* Single precision is good for some three digits; then the residual is found anew. */
static const double DIGITS = 1e-3;

static int solve(cg *s, kernel *k, double tolerance, int first) {
    double excess = INFINITY, start = INFINITY, best = INFINITY, *rz = s->dots + s->D, *norm2 = s->dots + 2 * s->D;
    int best_at = 0;
    memset(s->X, 0, (size_t)s->M * (size_t)s->D * sizeof *s->X);
    MIGE_TRY(begin(s, k, 1, rz));
    for (int i = 0; i < MOST_ITERATIONS; i++) {
        MIGE_TRY(advance(s, rz));
        if (first) column_dots(s, s->X, s->X, norm2);
        MIGE_TRY(find_excess(s, tolerance, norm2, &excess));
        if (i == 0) start = excess;
        show(tolerance, i + 1, excess);
        if (excess < best / 2) {
            best = excess;
            best_at = i;
        }
        if (excess > 1 && excess > DIGITS * start && i - best_at < PATIENCE) {
            turn(s, rz);
            continue;
        }
        double before = start;
        best_at = i;
        MIGE_TRY(begin(s, k, 0, rz));
        MIGE_TRY(find_excess(s, tolerance, norm2, &start));
        if (start <= 1) return MIGE_OK;
        MIGE_CHECK(start < before / 2, MIGE_ENUMERIC,
                   "conjugate gradients: the error stays at %.1e (a larger ridge, or a tolerance above that)",
                   start * tolerance);
    }
    return mige_raise(MIGE_ENUMERIC,
                      "conjugate gradients: not converged after %d iterations, error %.1e (a larger ridge or "
                      "tolerance)",
                      MOST_ITERATIONS, excess * tolerance);
}

int cg_solve(cg *s, kernel *k, double tolerance, int first, double *B) {
    mige_progress_begin("conjugate gradients", 1000);
    memcpy(s->B, B, (size_t)s->M * (size_t)s->D * sizeof *B);
    int err = solve(s, k, tolerance, first);
    if (!err) memcpy(B, s->X, (size_t)s->M * (size_t)s->D * sizeof *B);
    mige_progress_end();
    return err;
}
