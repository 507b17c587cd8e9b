#include "base/simd.h"
#include "mige/blas.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/log.h"
#include "score/nystroem.h"
#include "score/score.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct cg {
    const mige_comm *c;
    int M, D;
    mige_rows own; /* this rank's */
    nystroem P;
    double scale, eta, loss; /* of a residual by single precision, against the size of what was multiplied */
    float scale_single;      /* of samples in units near the width, a power of two: single precision ends early */
    int precise;             /* products in double: single precision gets no further */
    double *B, *X, *R, *Z;   /* own rows [D]: right-hand side, solution, residual, preconditioned residual, */
    double *S, *Q;           /* direction, its product */
    double *all, *image;     /* [M][D]: what is multiplied in double, its product */
    double *dots;            /* [5][D] */
    const mige_matrix *K;    /* the panels' places, on a grid of one row */
    float *x, *x_norms, *u;  /* [M][D], [M], [M]: samples in single precision, their norms, exp(-scale |x|^2) */
    float *v, *y, *mine, *piece; /* [M][D], [M][D], own rows [D] of a product; a part of a panel */
};

enum { MOST_ITERATIONS = 2000, PATIENCE = 100 };
enum { PIECE_ROWS = 512 }; /* no block is larger */

double cg_bytes(int M, int D, int ranks) {
    double m = M, rows = ceil(m / ranks), nb = 256;
    return nystroem_bytes(M, D, ranks) + 8 * (6 * rows * D + 2 * m * D + 5. * D) +
           4 * (3 * m * D + 2 * m + rows * D + PIECE_ROWS * nb) + 12. * ranks;
}

int cg_create(const mige_comm *c, const mige_matrix *K, int D, mige_pool *pool, cg **out) {
    cg *s;
    MIGE_TRY(mige_agree(c, MIGE_TAKE(pool, MIGE_BLOCK(s, 1))));
    *out = s;
    *s = (cg){.c = c, .K = K, .M = K->m, .D = D};
    MIGE_TRY(mige_rows_create(c, K->m, 1, &s->own));
    size_t d = (size_t)D, m = (size_t)K->m, n = (size_t)s->own.count * d;
    int err = nystroem_create(c, K->m, D, pool, &s->P);
    if (!err)
        err = MIGE_TAKE(pool, MIGE_BLOCK(s->B, n), MIGE_BLOCK(s->X, n), MIGE_BLOCK(s->R, n), MIGE_BLOCK(s->Z, n),
                        MIGE_BLOCK(s->S, n), MIGE_BLOCK(s->Q, n), MIGE_BLOCK(s->all, m * d),
                        MIGE_BLOCK(s->image, m * d), MIGE_BLOCK(s->dots, 5 * d));
    if (!err)
        err = MIGE_TAKE(pool, MIGE_BLOCK(s->x, m * d), MIGE_BLOCK(s->x_norms, m), MIGE_BLOCK(s->u, m),
                        MIGE_BLOCK(s->v, m * d), MIGE_BLOCK(s->y, m * d), MIGE_BLOCK(s->mine, n),
                        MIGE_BLOCK(s->piece, (size_t)PIECE_ROWS * (size_t)K->grid->nb));
    return mige_agree(c, err);
}

void cg_destroy(cg *s) {
    if (s) mige_rows_destroy(&s->own);
}

/* Whatever single precision does to samples far from the origin, the residuals in double find it out. */
int cg_prepare(cg *s, const double *X, double scale, double eta) {
    size_t M = (size_t)s->M, D = (size_t)s->D;
    s->scale = scale;
    s->eta = eta;
    s->precise = 0;
    s->loss = INFINITY;
    double unit = ldexp(1, ilogb(scale) / 2), scaled = scale / unit / unit;
    s->scale_single = (float)scaled;
    for (size_t i = 0; i < M * D; i++) s->x[i] = (float)(X[i] * unit);
    for (size_t m = 0; m < M; m++) {
        s->x_norms[m] = cblas_sdot(s->D, s->x + m * D, 1, s->x + m * D, 1);
        s->u[m] = (float)exp(-scaled * s->x_norms[m]);
    }
    MIGE_TRY(nystroem_make(&s->P, X, scale, eta));
    mige_clock_count_flops(MIGE_PHASE_EIGEN, nystroem_flops(s->M, s->D) / s->c->size);
    return MIGE_OK;
}

/* ---- products with K in single precision: half the bytes and twice the rate; some residuals are found in double
 */

/* Of exp(-scale |x_i - x_j|^2) = u_i u_j exp(2 scale x_i.x_j) only what u_i u_j leaves, which is smaller, and the
 * more so the more dimensions there are: sums of it lose less by rounding. Local rows are global, since the grid
 * has one row. */
static void make_piece(cg *s, const mige_panel *p) {
    int D = s->D, rows = p->rows, col = mige_col(s->K, p->jl);
    cblas_sgemm(CblasColMajor, CblasTrans, CblasNoTrans, rows, p->cols, D, -2, s->x + (size_t)p->il * (size_t)D, D,
                s->x + (size_t)col * (size_t)D, D, 0, s->piece, rows);
    for (int j = 0; j < p->cols; j++) {
        float *column = s->piece + (size_t)j * (size_t)rows;
        kernel_exp_single(rows, s->scale_single, s->x_norms + p->il, s->x_norms[col + j], s->u + p->il,
                          s->u[col + j], column);
        if (j < p->diagonal) column[j] = 1 - s->u[col + j] * s->u[col + j]; /* whatever rounding does */
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

/* Y += u u' V */
static int add_product_of_norms(cg *s, const double *V, double *Y) {
    size_t D = (size_t)s->D;
    const float *u = s->u + s->own.first;
    double *sums = s->dots;
    memset(sums, 0, D * sizeof *sums);
    for (size_t m = 0; m < (size_t)s->own.count; m++) cblas_daxpy(s->D, (double)u[m], V + m * D, 1, sums, 1);
    MIGE_TRY(mige_sum(s->c, sums, D));
    for (size_t m = 0; m < (size_t)s->own.count; m++) cblas_daxpy(s->D, (double)u[m], sums, 1, Y + m * D, 1);
    return MIGE_OK;
}

static int multiply_single(cg *s, const double *V, double *Y) {
    size_t n = (size_t)s->own.count * (size_t)s->D;
    for (size_t i = 0; i < n; i++) s->mine[i] = (float)V[i];
    MIGE_TRY(mige_rows_gather_float(&s->own, s->D, s->mine, s->v));
    memset(s->y, 0, (size_t)s->M * (size_t)s->D * sizeof *s->y);
    for (int i = 0; i < mige_num_panels(s->K); i++) {
        mige_panel panel = mige_get_panel(s->K, i);
        for (int from = 0; from < panel.rows; from += PIECE_ROWS) {
            mige_panel piece = mige_panel_rows(&panel, from, PIECE_ROWS);
            multiply_piece(s, &piece);
        }
    }
    MIGE_TRY(mige_rows_sum(&s->own, s->D, s->y, s->mine));
    for (size_t i = 0; i < n; i++) Y[i] = (double)s->mine[i];
    return add_product_of_norms(s, V, Y);
}

/* Y = (K + eta I) V, own rows of both. */
static int multiply(cg *s, kernel *k, int precise, const double *V, double *Y) {
    size_t n = (size_t)s->own.count * (size_t)s->D;
    if (precise) {
        MIGE_TRY(mige_rows_gather(&s->own, s->D, V, s->all));
        MIGE_TRY(kernel_multiply(k, s->scale, s->D, s->all, s->image));
        memcpy(Y, s->image + s->own.first * s->D, n * sizeof *Y);
    } else {
        MIGE_TRY(multiply_single(s, V, Y));
    }
    cblas_daxpy((int)n, s->eta, V, 1, Y, 1);
    mige_clock_count_flops(MIGE_PHASE_APPLY, 3. * s->M * s->M * s->D / s->c->size);
    return MIGE_OK;
}

/* ---- the iterations */

/* out[d] = sum over all rows of a b. */
static int column_dots(const cg *s, const double *a, const double *b, double *restrict out) {
    size_t D = (size_t)s->D;
    memset(out, 0, D * sizeof *out);
    for (size_t m = 0; m < (size_t)s->own.count; m++) {
#pragma omp simd
        for (size_t d = 0; d < D; d++) out[d] += a[m * D + d] * b[m * D + d];
    }
    return mige_sum(s->c, out, D);
}

/* y = x f + y g, column by column (NULL: 1). */
static void column_update(const cg *s, const double *f, const double *x, const double *g, double *restrict y) {
    size_t D = (size_t)s->D;
    for (size_t m = 0; m < (size_t)s->own.count; m++) {
#pragma omp simd
        for (size_t d = 0; d < D; d++) y[m * D + d] = (f ? f[d] : 1) * x[m * D + d] + (g ? g[d] : 1) * y[m * D + d];
    }
}

/* What a solve keeps: excess is the worst column's error over its tolerance, level what it was when the residual
 * was last made in double. */
typedef struct {
    kernel *k;
    double tolerance, excess, level, best;
    int best_at, first;
    double *rz, *norm2; /* [D] */
} progress;

/* The worst column of a over the tolerance: a preconditioned residual is the error, times eigenvalues from 1 up.
 * Sums are the same on every rank, and so are all decisions. */
static int find_excess(cg *s, const progress *p, const double *a, double *excess) {
    double *a2 = s->dots + 3 * s->D;
    MIGE_TRY(column_dots(s, a, a, a2));
    *excess = 0;
    for (int d = 0; d < s->D; d++)
        if (a2[d] != 0)
            *excess = fmax(*excess, isfinite(a2[d]) ? sqrt(a2[d] / p->norm2[d]) / p->tolerance : INFINITY);
    return MIGE_OK;
}

/* The error falls by about the same factor an iteration. */
static void show(const progress *p, int iteration) {
    char text[64];
    double done = p->excess > 1 && isfinite(p->excess) ? 1 + log(p->excess) / log(p->tolerance) : 0;
    long at = (long)(999 * fmax(0, fmin(1, isfinite(done) ? done : 0)));
    if (!mige_progress_due(at)) return;
    snprintf(text, sizeof text, "iteration %d, error %.1e", iteration, p->excess * p->tolerance);
    mige_progress_update(at, text);
}

/* A step along S; the residual and its preconditioned form after it. */
static int advance(cg *s, progress *p) {
    int D = s->D;
    double *alpha = s->dots, *minus = s->dots + 4 * D;
    MIGE_TRY(multiply(s, p->k, s->precise, s->S, s->Q));
    MIGE_TRY(column_dots(s, s->S, s->Q, alpha));
    for (int d = 0; d < D; d++) {
        alpha[d] = alpha[d] > 0 ? p->rz[d] / alpha[d] : 0;
        minus[d] = -alpha[d];
    }
    column_update(s, alpha, s->S, NULL, s->X);
    column_update(s, minus, s->Q, NULL, s->R);
    MIGE_TRY(nystroem_solve(&s->P, s->precise, s->R, s->Z));
    if (p->first) MIGE_TRY(column_dots(s, s->X, s->X, p->norm2));
    return find_excess(s, p, s->Z, &p->excess);
}

/* The next direction, conjugate to the one before; or anew. */
static int turn(cg *s, progress *p, int anew) {
    double *beta = s->dots, *next = s->dots + 3 * s->D;
    MIGE_TRY(column_dots(s, s->R, s->Z, next));
    for (int d = 0; d < s->D; d++) {
        beta[d] = !anew && p->rz[d] > 0 ? next[d] / p->rz[d] : 0;
        p->rz[d] = next[d];
    }
    column_update(s, NULL, s->Z, beta, s->S);
    return MIGE_OK;
}

/* R = B - (K + eta I) X in double; how far it had gone astray. */
static int replace(cg *s, progress *p, double *astray) {
    size_t n = (size_t)s->own.count * (size_t)s->D;
    MIGE_TRY(multiply(s, p->k, 1, s->X, s->R));
    for (size_t i = 0; i < n; i++) s->R[i] = s->B[i] - s->R[i];
    memcpy(s->Q, s->Z, n * sizeof *s->Q);
    MIGE_TRY(nystroem_solve(&s->P, s->precise, s->R, s->Z));
    cblas_daxpy((int)n, -1, s->Z, 1, s->Q, 1);
    MIGE_TRY(find_excess(s, p, s->Q, astray));
    return find_excess(s, p, s->Z, &p->excess);
}

/* How much nearer the residual is made in double again: where what single precision loses is about to show, and
 * once early on, to know how much that is. */
static double digits(const cg *s) {
    return isfinite(s->loss) ? fmin(1e-2, fmax(1e-4, 10 * s->loss)) : 1e-2;
}
/* What is found astray at most, of the residual, where the directions are kept. */
static const double KEPT = 0.25;
/* An error that no precision brings down is accepted up to here, with a warning. */
static const double ACCEPTED = 1e-3;

/* The residual in double, at iteration i; *done = 1: nothing is left to do. */
static int look_again(cg *s, progress *p, int i, int *done) {
    double astray, was = p->excess, level = p->level;
    MIGE_TRY(replace(s, p, &astray));
    *done = p->excess <= 1;
    if (*done) return MIGE_OK;
    if (!s->precise && !p->first) s->loss = fmax(s->loss, astray / level);
    if (!s->precise && p->first) s->loss = astray / level;
    p->level = p->best = p->excess;
    p->best_at = i;
    if (!(p->excess < level / 2)) {
        if (s->precise && isfinite(p->excess) && p->excess * p->tolerance <= ACCEPTED) {
            mige_warn("conjugate gradients: the error stays at %.1e, above the tolerance of %.1e",
                      p->excess * p->tolerance, p->tolerance);
            *done = 1;
            return MIGE_OK;
        }
        MIGE_CHECK(!s->precise, MIGE_ENUMERIC, "conjugate gradients: the error stays at %.1e (a larger ridge)",
                   p->excess * p->tolerance);
        s->precise = 1;
        MIGE_TRY(nystroem_solve(&s->P, 1, s->R, s->Z));
        return turn(s, p, 1);
    }
    return turn(s, p, !(astray < KEPT * was));
}

static int solve(cg *s, progress *p) {
    int done = 0;
    MIGE_TRY(nystroem_solve(&s->P, s->precise, s->R, s->Z));
    if (!p->first) MIGE_TRY(find_excess(s, p, s->Z, &p->level));
    MIGE_TRY(turn(s, p, 1));
    for (int i = 0; i < MOST_ITERATIONS; i++) {
        MIGE_TRY(advance(s, p));
        show(p, i + 1);
        if (p->excess < p->best / 2) {
            p->best = p->excess;
            p->best_at = i;
        }
        int sure = !s->precise && s->loss * p->level < 0.5; /* single precision will do to the end */
        if (p->excess <= 1 && sure) return MIGE_OK;
        if (p->excess > 1 && (sure || p->excess > digits(s) * p->level) && i - p->best_at < PATIENCE)
            MIGE_TRY(turn(s, p, 0));
        else
            MIGE_TRY(look_again(s, p, i, &done));
        if (done) return MIGE_OK;
    }
    return mige_raise(MIGE_ENUMERIC,
                      "conjugate gradients: not converged after %d iterations, error %.1e (a larger ridge or "
                      "tolerance)",
                      MOST_ITERATIONS, p->excess * p->tolerance);
}

/* X = B c / eta, the last solution, whose product is known to be the last B: the residual is B - c B_last. */
static int begin(cg *s, progress *p) {
    size_t D = (size_t)s->D;
    double *up = s->dots, *down = s->dots + 3 * D;
    if (p->first) return MIGE_OK;
    MIGE_TRY(column_dots(s, s->R, s->R, up));
    MIGE_TRY(column_dots(s, s->R, s->B, down));
    for (size_t d = 0; d < D; d++) up[d] = down[d] > 0 ? up[d] / down[d] : 0;
    for (size_t m = 0; m < (size_t)s->own.count; m++)
        for (size_t d = 0; d < D; d++) {
            s->X[m * D + d] = up[d] * s->R[m * D + d] / s->eta;
            s->R[m * D + d] -= up[d] * s->B[m * D + d];
        }
    return MIGE_OK;
}

int cg_solve(cg *s, kernel *k, double tolerance, int first, double *B) {
    size_t D = (size_t)s->D, n = (size_t)s->own.count * D;
    progress p = {.k = k, .tolerance = tolerance, .first = first, .best = INFINITY, .level = 1 / tolerance};
    p.rz = s->dots + D;
    p.norm2 = s->dots + 2 * D;
    memcpy(s->R, B + s->own.first * s->D, n * sizeof *B);
    memset(s->X, 0, n * sizeof *B);
    memset(s->S, 0, n * sizeof *B);
    int err = begin(s, &p);
    memcpy(s->B, B + s->own.first * s->D, n * sizeof *B);
    mige_progress_begin("conjugate gradients", 1000);
    if (!err) err = solve(s, &p);
    mige_progress_end();
    return err ? err : mige_rows_gather(&s->own, s->D, s->X, B);
}
