#include "score/single.h"
#include "mige/error.h"
#include "score/kernel.h"
#include <cblas.h>
#include <stdlib.h>

enum { PIECE_ROWS = 512 };

int single_create(const mige_comm *c, const mige_matrix *K, int D, int width, single *s) {
    size_t M = (size_t)K->m;
    *s = (single){.c = c, .K = K, .D = D};
    MIGE_TRY(mige_alloc(M * (size_t)D, sizeof(float), &s->X));
    MIGE_TRY(mige_alloc(M, sizeof(float), &s->norms));
    MIGE_TRY(mige_alloc(M * (size_t)width, sizeof(float), &s->V));
    MIGE_TRY(mige_alloc(M * (size_t)width, sizeof(float), &s->Y));
    return mige_alloc((size_t)PIECE_ROWS * (size_t)K->grid->nb, sizeof(float), &s->piece);
}

void single_destroy(single *s) {
    free(s->X);
    free(s->norms);
    free(s->V);
    free(s->Y);
    free(s->piece);
    *s = (single){0};
}

double single_bytes(int M, int D, int width) {
    return 4. * M * (D + 1 + 2. * width);
}

void single_samples(single *s, const double *X) {
    size_t M = (size_t)s->K->m, D = (size_t)s->D;
    for (size_t i = 0; i < M * D; i++) s->X[i] = (float)X[i];
    for (size_t m = 0; m < M; m++) s->norms[m] = cblas_sdot(s->D, s->X + m * D, 1, s->X + m * D, 1);
}

/* exp(-scale |x_i - x_j|^2) for rows [i, i + rows) and columns [j, j + cols). */
static void make_piece(single *s, float scale, int i, int rows, int j, int cols) {
    int D = s->D;
    cblas_sgemm(CblasColMajor, CblasTrans, CblasNoTrans, rows, cols, D, -2, s->X + (size_t)i * (size_t)D, D,
                s->X + (size_t)j * (size_t)D, D, 0, s->piece, rows);
    for (int k = 0; k < cols; k++)
        kernel_exp_single(rows, scale, s->norms + i, s->norms[j + k], s->piece + (size_t)k * (size_t)rows);
    for (int k = 0; k < cols; k++) /* the diagonal is 1 whatever rounding does */
        if (j + k >= i && j + k < i + rows) s->piece[(size_t)k * (size_t)rows + (size_t)(j + k - i)] = 1;
}

/* In BLAS's eyes V and Y are n x M. */
static void multiply_panel(single *s, float scale, int n, int j, int cols) {
    size_t w = (size_t)n;
    int M = s->K->m;
    for (int i = j; i < M; i += PIECE_ROWS) {
        int rows = M - i < PIECE_ROWS ? M - i : PIECE_ROWS, square = j + cols - i; /* rows of the diagonal block */
        square = square < 0 ? 0 : square > rows ? rows : square;
        make_piece(s, scale, i, rows, j, cols);
        cblas_sgemm(CblasColMajor, CblasNoTrans, CblasTrans, n, rows, cols, 1, s->V + (size_t)j * w, n, s->piece,
                    rows, 1, s->Y + (size_t)i * w, n);
        if (rows > square)
            cblas_sgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, n, cols, rows - square, 1,
                        s->V + (size_t)(i + square) * w, n, s->piece + square, rows, 1, s->Y + (size_t)j * w, n);
    }
}

int single_multiply(single *s, double scale, int n, const double *V, double *Y) {
    size_t size = (size_t)s->K->m * (size_t)n;
    for (size_t i = 0; i < size; i++) {
        s->V[i] = (float)V[i];
        s->Y[i] = 0;
    }
    for (int p = 0; p < mige_num_panels(s->K); p++) {
        mige_panel panel = mige_get_panel(s->K, p);
        multiply_panel(s, (float)scale, n, mige_col(s->K, panel.jl), panel.cols);
    }
    for (size_t i = 0; i < size; i++) Y[i] = (double)s->Y[i];
    return mige_sum(s->c, Y, size);
}
