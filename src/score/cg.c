#include "score/cg.h"
#include "linalg/thin.h"
#include "mige/blas.h"
#include "mige/clock.h"
#include "mige/log.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct cg {
    const mige_comm *c;
    int M, D;
    mige_rows own; /* this rank's */
    nystroem P;
    double eta, loss;   /* of a residual by single precision, against the size of what was multiplied */
    float scale_single; /* of samples in units near the width, a power of two: single precision ends early */
    int precise;        /* products in double: single precision gets no further */
    directions dirs;
    double *B, *X, *R, *Z;  /* own rows [D]: right-hand side, solution, residual, preconditioned residual, */
    double *S, *Q, *T;      /* directions, their product, what the next are made of */
    double *all, *image;    /* [M][D]: what is multiplied in double, its product */
    double *dots;           /* [3][D] */
    const mige_matrix *K;   /* the panels' places, on a grid of one row */
    float *x, *x_norms, *u; /* [M][D], [M], [M]: samples in single precision, their norms, exp(-scale |x|^2) */
    double *plain, *sums;   /* own rows [D+1], [D][D+1]: terms left to double; sums of a block by them */
    float *v, *y, *mine;    /* [M][D], [M][D], own rows [D] of a product */
    float *cols, *piece;    /* [D][nb]: a panel's samples; [rows][cols]: a part of a panel, row by row */
};

enum { MOST_ITERATIONS = 2000, PATIENCE = 100 };
enum { PIECE_ROWS = 512 }; /* no block is larger */

double cg_bytes(int M, int D, int ranks) {
    double m = M, rows = ceil(m / ranks), nb = 256;
    return nystroem_bytes(M, D, ranks) + directions_bytes(D) +
           8 * ((8. * D + 1) * rows + 2 * m * D + (D + 4.) * D) +
           4 * (3 * m * D + 2 * m + rows * D + (PIECE_ROWS + D) * nb) + 12. * ranks;
}

int cg_create(const mige_comm *c, const mige_matrix *K, int D, mige_pool *pool, cg **out) {
    cg *s;
    MIGE_TRY(mige_agree(c, MIGE_TAKE(pool, MIGE_BLOCK(s, 1))));
    *out = s;
    *s = (cg){.c = c, .K = K, .M = K->m, .D = D};
    MIGE_TRY(mige_rows_create(c, K->m, 1, &s->own));
    size_t d = (size_t)D, m = (size_t)K->m, n = (size_t)s->own.count * d;
    int err = nystroem_create(c, K->m, D, pool, &s->P);
    if (!err) err = directions_create(c, (int)s->own.count, D, pool, &s->dirs);
    if (!err)
        err = MIGE_TAKE(pool, MIGE_BLOCK(s->B, n), MIGE_BLOCK(s->X, n), MIGE_BLOCK(s->R, n), MIGE_BLOCK(s->Z, n),
                        MIGE_BLOCK(s->S, n), MIGE_BLOCK(s->Q, n), MIGE_BLOCK(s->T, n), MIGE_BLOCK(s->all, m * d),
                        MIGE_BLOCK(s->image, m * d), MIGE_BLOCK(s->dots, 3 * d));
    if (!err)
        err = MIGE_TAKE(pool, MIGE_BLOCK(s->x, m * d), MIGE_BLOCK(s->x_norms, m), MIGE_BLOCK(s->u, m),
                        MIGE_BLOCK(s->v, m * d), MIGE_BLOCK(s->y, m * d), MIGE_BLOCK(s->mine, n),
                        MIGE_BLOCK(s->plain, (size_t)s->own.count * (d + 1)), MIGE_BLOCK(s->sums, d * (d + 1)),
                        MIGE_BLOCK(s->cols, d * (size_t)K->grid->nb),
                        MIGE_BLOCK(s->piece, (size_t)PIECE_ROWS * (size_t)K->grid->nb));
    return mige_agree(c, err);
}

void cg_destroy(cg *s) {
    if (s) mige_rows_destroy(&s->own);
}

/* Whatever single precision does to samples far from the origin, the residuals in double find it out. */
int cg_prepare(cg *s, const double *X, double scale, double eta) {
    size_t M = (size_t)s->M, D = (size_t)s->D;
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
    for (size_t m = 0; m < (size_t)s->own.count; m++)
        kernel_terms(s->D, 0, scale, X + ((size_t)s->own.first + m) * D, s->plain + m * (D + 1));
    MIGE_TRY(nystroem_make(&s->P, X, scale, eta));
    mige_clock_count_flops(MIGE_PHASE_EIGEN, nystroem_flops(s->M, s->D) / s->c->size);
    return MIGE_OK;
}

/* ---- products with K in single precision: half the bytes and twice the rate; some residuals are found in double
 */

/* Of exp(-scale |x_i - x_j|^2) = u_i u_j exp(2 scale x_i.x_j) only what u_i u_j (1 + 2 scale x_i.x_j) leaves, which
 * is smaller, and the more so the more dimensions there are: it, and sums of it, lose less by rounding. Local rows
 * are global, since the grid has one row. */
static void make_piece(cg *s, const mige_panel *p) {
    int D = s->D, n = p->cols, col = mige_col(s->K, p->jl);
    memset(s->piece, 0, (size_t)p->rows * (size_t)n * sizeof *s->piece);
    thin_multiply_transposed_single(D, p->rows, n, -2, s->x + (size_t)p->il * (size_t)D, D, s->cols, s->piece);
    for (int i = 0; i < p->rows; i++) {
        float *row = s->piece + (size_t)i * (size_t)n, u = s->u[p->il + i];
        kernel_rest_single(n, s->scale_single, s->x_norms + col, s->x_norms[p->il + i], s->u + col, u, row);
        float d2 = 2 * s->scale_single * s->x_norms[p->il + i]; /* far out, whatever rounding does */
        if (i < p->diagonal && !(d2 < 0.5f)) row[i] = 1 - (u > 0 ? u * u * (1 + d2) : 0);
    }
}

static void multiply_piece(cg *s, const mige_panel *p) {
    int D = s->D, n = p->cols, square = p->diagonal;
    size_t w = (size_t)D, row = (size_t)p->il * w, col = (size_t)mige_col(s->K, p->jl) * w;
    make_piece(s, p);
    thin_multiply_transposed_single(n, p->rows, D, 1, s->piece, n, s->v + col, s->y + row);
    thin_multiply_single(n, p->rows - square, D, 1, s->piece + (size_t)square * (size_t)n, n,
                         s->v + row + (size_t)square * w, s->y + col);
}

static void take_columns(cg *s, const mige_panel *p) {
    size_t D = (size_t)s->D, n = (size_t)p->cols;
    const float *x = s->x + (size_t)mige_col(s->K, p->jl) * D;
    for (size_t j = 0; j < n; j++)
        for (size_t d = 0; d < D; d++) s->cols[d * n + j] = x[j * D + d];
}

/* Y += what was left out of K, times V. In BLAS's eyes rows are columns. */
static int add_plain(cg *s, const double *V, double *Y) {
    int D = s->D, n = D + 1, rows = (int)s->own.count;
    size_t size = (size_t)D * (size_t)n;
    memset(s->sums, 0, size * sizeof *s->sums);
    if (rows) cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, D, n, rows, 1, V, D, s->plain, n, 0, s->sums, D);
    MIGE_TRY(mige_sum(s->c, s->sums, size));
    if (rows)
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, D, rows, n, 1, s->sums, D, s->plain, n, 1, Y, D);
    return MIGE_OK;
}

static int multiply_single(cg *s, const double *V, double *Y) {
    size_t n = (size_t)s->own.count * (size_t)s->D;
    for (size_t i = 0; i < n; i++) s->mine[i] = (float)V[i];
    MIGE_TRY(mige_rows_gather_float(&s->own, s->D, s->mine, s->v));
    memset(s->y, 0, (size_t)s->M * (size_t)s->D * sizeof *s->y);
    for (int i = 0; i < mige_num_panels(s->K); i++) {
        mige_panel panel = mige_get_panel(s->K, i);
        take_columns(s, &panel);
        for (int from = 0; from < panel.rows; from += PIECE_ROWS) {
            mige_panel piece = mige_panel_rows(&panel, from, PIECE_ROWS);
            multiply_piece(s, &piece);
        }
    }
    MIGE_TRY(mige_rows_sum(&s->own, s->D, s->y, s->mine));
    for (size_t i = 0; i < n; i++) Y[i] = (double)s->mine[i];
    return add_plain(s, V, Y);
}

/* Y = (K + eta I) V, own rows of both. */
static int multiply(cg *s, kernel *k, int precise, const double *V, double *Y) {
    size_t n = (size_t)s->own.count * (size_t)s->D;
    if (precise) {
        MIGE_TRY(mige_rows_gather(&s->own, s->D, V, s->all));
        MIGE_TRY(kernel_multiply(k, 0, s->D, s->all, s->image));
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

/* What a solve keeps: excess is the worst column's error over its tolerance, level what it was when the residual
 * was last made in double. */
typedef struct {
    kernel *k;
    double tolerance, excess, level, best;
    int best_at, first;
    double *norm2; /* [D] */
} progress;

/* The worst column of a over the tolerance: a preconditioned residual is the error, times eigenvalues from 1 up.
 * Sums are the same on every rank, and so are all decisions. */
static int find_excess(cg *s, const progress *p, const double *a, double *excess) {
    double *a2 = s->dots + s->D;
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

/* A step along the directions; the residual and its preconditioned form after it. */
static int advance(cg *s, progress *p) {
    MIGE_TRY(directions_basis(&s->dirs, s->T, s->S));
    MIGE_TRY(multiply(s, p->k, s->precise, s->S, s->Q));
    MIGE_TRY(directions_step(&s->dirs, s->S, s->Q, s->X, s->R));
    MIGE_TRY(nystroem_solve(&s->P, s->precise, s->R, s->Z));
    if (p->first) MIGE_TRY(column_dots(s, s->X, s->X, p->norm2));
    return find_excess(s, p, s->Z, &p->excess);
}

/* The next directions, conjugate to those before; or anew. */
static int turn(cg *s, int anew) {
    memcpy(s->T, s->Z, (size_t)s->own.count * (size_t)s->D * sizeof *s->T);
    return anew ? MIGE_OK : directions_conjugate(&s->dirs, s->S, s->Q, s->T);
}

/* R = B - (K + eta I) X in double; how far it had gone astray. */
static int replace(cg *s, progress *p, double *astray) {
    size_t n = (size_t)s->own.count * (size_t)s->D;
    MIGE_TRY(multiply(s, p->k, 1, s->X, s->R));
    for (size_t i = 0; i < n; i++) s->R[i] = s->B[i] - s->R[i];
    memcpy(s->T, s->Z, n * sizeof *s->T);
    MIGE_TRY(nystroem_solve(&s->P, s->precise, s->R, s->Z));
    cblas_daxpy((int)n, -1, s->Z, 1, s->T, 1);
    MIGE_TRY(find_excess(s, p, s->T, astray));
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
        return turn(s, 1);
    }
    return turn(s, s->dirs.broken || !(astray < KEPT * was));
}

static int solve(cg *s, progress *p) {
    int done = 0;
    MIGE_TRY(nystroem_solve(&s->P, s->precise, s->R, s->Z));
    if (!p->first) MIGE_TRY(find_excess(s, p, s->Z, &p->level));
    MIGE_TRY(turn(s, 1));
    for (int i = 0; i < MOST_ITERATIONS; i++) {
        MIGE_TRY(advance(s, p));
        show(p, i + 1);
        if (p->excess < p->best / 2) {
            p->best = p->excess;
            p->best_at = i;
        }
        int sure = !s->precise && s->loss * p->level < 0.5; /* single precision will do to the end */
        if (p->excess <= 1 && sure) return MIGE_OK;
        if (p->excess > 1 && (sure || p->excess > digits(s) * p->level) && i - p->best_at < PATIENCE &&
            !s->dirs.broken)
            MIGE_TRY(turn(s, 0));
        else
            MIGE_TRY(look_again(s, p, i, &done));
        if (done) return MIGE_OK;
    }
    return mige_raise(MIGE_ENUMERIC,
                      "conjugate gradients: not converged after %d iterations, error %.1e (a larger ridge or "
                      "tolerance)",
                      MOST_ITERATIONS, p->excess * p->tolerance);
}

/* X = B c / eta, the last solution, whose product P is known: the residual is B - c P. */
static int begin(cg *s, progress *p) {
    size_t D = (size_t)s->D;
    double *up = s->dots, *down = s->dots + D;
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
    p.norm2 = s->dots + 2 * D;
    if (!first) cblas_daxpy((int)n, -1, s->R, 1, s->B, 1); /* what the last solution's product really is */
    memcpy(s->R, B + s->own.first * s->D, n * sizeof *B);
    memset(s->X, 0, n * sizeof *B);
    int err = begin(s, &p);
    memcpy(s->B, B + s->own.first * s->D, n * sizeof *B);
    mige_progress_begin("conjugate gradients", 1000);
    if (!err) err = solve(s, &p);
    mige_progress_end();
    return err ? err : mige_rows_gather(&s->own, s->D, s->X, B);
}
