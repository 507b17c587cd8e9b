/* Products with a symmetric matrix of which the panels of the lower triangle are there. */
#include "linalg/thin.h"
#include "mige/linalg.h"

void mige_panel_multiply(const mige_panel *p, int n, const double *v_cols, const double *v_rows, double *y_rows,
                         double *y_cols) {
    size_t square = (size_t)p->diagonal;
    thin_multiply(p->rows, p->cols, n, 1, p->a, p->ld, v_cols, y_rows);
    thin_multiply_transposed(p->rows - p->diagonal, p->cols, n, 1, p->a + square, p->ld,
                             v_rows + square * (size_t)n, y_cols);
}

/* Rows of a panel that are worked on at once, so that they are still in cache for their transposed part. */
enum { ROWS = 512 };

void mige_symmetric_multiply(const mige_matrix *K, int n, const double *V, double *Y) {
    size_t w = (size_t)n;
    for (int i = 0; i < mige_num_panels(K); i++) {
        mige_panel p = mige_get_panel(K, i);
        size_t col = (size_t)mige_col(K, p.jl);
        for (int from = 0; from < p.rows; from += ROWS) {
            mige_panel part = mige_panel_rows(&p, from, ROWS);
            size_t row = col + (size_t)from;
            mige_panel_multiply(&part, n, V + col * w, V + row * w, Y + row * w, Y + col * w);
        }
    }
}
