/* Products with a symmetric matrix of which the panels of the lower triangle are there. */
#include "mige/blas.h"
#include "mige/linalg.h"

/* Rows of a panel that are worked on at once, so that it is still in cache for its transposed part. */
enum { ROWS = 512 };

/* In BLAS's eyes V and Y are n x M. */
static void panel_multiply(const mige_panel *p, int first, int n, const double *V, double *Y) {
    size_t w = (size_t)n;
    for (int from = 0; from < p->rows; from += ROWS) {
        int rows = p->rows - from < ROWS ? p->rows - from : ROWS, square = p->cols - from;
        if (square < 0) square = 0;
        if (square > rows) square = rows;
        const double *a = p->a + from;
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, n, rows, p->cols, 1, V + (size_t)first * w, n, a,
                    p->ld, 1, Y + (size_t)(first + from) * w, n);
        if (rows > square)
            cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, n, p->cols, rows - square, 1,
                        V + (size_t)(first + from + square) * w, n, a + square, p->ld, 1, Y + (size_t)first * w, n);
    }
}

void mige_symmetric_multiply(const mige_matrix *K, int n, const double *V, double *Y) {
    for (int i = 0; i < mige_num_panels(K); i++) {
        mige_panel p = mige_get_panel(K, i);
        panel_multiply(&p, mige_col(K, p.jl), n, V, Y);
    }
}
