#include "score/single.h"
#include "mige/error.h"
#include "score/kernel.h"
#include <cblas.h>
#include <stdlib.h>

enum { PIECE_ROWS = 512 }; /* no block is larger */

int single_create(const mige_comm *c, const mige_matrix *K, int D, int width, mige_pool *pool, single *s) {
    size_t M = (size_t)K->m;
    *s = (single){.c = c, .K = K, .D = D};
    return MIGE_TAKE(pool, MIGE_BLOCK(s->X, M * (size_t)D), MIGE_BLOCK(s->norms, M),
                     MIGE_BLOCK(s->V, M * (size_t)width), MIGE_BLOCK(s->Y, M * (size_t)width),
                     MIGE_BLOCK(s->piece, (size_t)PIECE_ROWS * (size_t)K->grid->nb));
}

double single_bytes(int M, int D, int width) {
    return 4. * M * (D + 1 + 2. * width);
}

void single_samples(single *s, const double *X) {
    size_t M = (size_t)s->K->m, D = (size_t)s->D;
    for (size_t i = 0; i < M * D; i++) s->X[i] = (float)X[i];
    for (size_t m = 0; m < M; m++) s->norms[m] = cblas_sdot(s->D, s->X + m * D, 1, s->X + m * D, 1);
}

/* exp(-scale |x_i - x_j|^2); local rows are global, since the grid has one row. */
static void make_piece(single *s, float scale, const mige_panel *p) {
    int D = s->D, rows = p->rows, col = mige_col(s->K, p->jl);
    cblas_sgemm(CblasColMajor, CblasTrans, CblasNoTrans, rows, p->cols, D, -2, s->X + (size_t)p->il * (size_t)D, D,
                s->X + (size_t)col * (size_t)D, D, 0, s->piece, rows);
    for (int j = 0; j < p->cols; j++) {
        float *column = s->piece + (size_t)j * (size_t)rows;
        kernel_exp_single(rows, scale, s->norms + p->il, s->norms[col + j], column);
        if (j < p->diagonal) column[j] = 1; /* whatever rounding does */
    }
}

/* In BLAS's eyes V and Y are n x M. */
static void multiply_piece(single *s, float scale, int n, const mige_panel *p) {
    size_t w = (size_t)n, row = (size_t)p->il * w, col = (size_t)mige_col(s->K, p->jl) * w,
           square = (size_t)p->diagonal;
    make_piece(s, scale, p);
    cblas_sgemm(CblasColMajor, CblasNoTrans, CblasTrans, n, p->rows, p->cols, 1, s->V + col, n, s->piece, p->rows,
                1, s->Y + row, n);
    if (p->rows > p->diagonal)
        cblas_sgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, n, p->cols, p->rows - p->diagonal, 1,
                    s->V + row + square * w, n, s->piece + square, p->rows, 1, s->Y + col, n);
}

int single_multiply(single *s, double scale, int n, const double *V, double *Y) {
    size_t size = (size_t)s->K->m * (size_t)n;
    for (size_t i = 0; i < size; i++) {
        s->V[i] = (float)V[i];
        s->Y[i] = 0;
    }
    for (int i = 0; i < mige_num_panels(s->K); i++) {
        mige_panel panel = mige_get_panel(s->K, i);
        for (int from = 0; from < panel.rows; from += PIECE_ROWS) {
            mige_panel piece = mige_panel_rows(&panel, from, PIECE_ROWS);
            multiply_piece(s, (float)scale, n, &piece);
        }
    }
    for (size_t i = 0; i < size; i++) Y[i] = (double)s->Y[i];
    return mige_sum(s->c, Y, size);
}
