#include "linalg/scalapack.h"
#include "linalg/thin.h"
#include "mige/error.h"
#include "mige/linalg.h"
#include <stdlib.h>
#include <string.h>

/* At most `ranks` ranks, each with two blocks or more in each direction (fewer have hung solvers, and gain
 * nothing); the most ranks wins, then the squarer grid. rows <= cols, as the solvers like it. */
void mige_grid_shape(int m, int ranks, int *nb, int *rows, int *cols) {
    int square = !*nb;
    if (square) *nb = m >= 1024 ? 64 : m >= 256 ? 32 : 16;
    int most = m / *nb / 2;
    if (most < 1) most = 1;
    *rows = *cols = 1;
    for (int p = 1; p <= (square ? most : 1) && p * p <= ranks; p++) {
        int q = ranks / p < most ? ranks / p : most;
        if (p * q >= *rows * *cols) {
            *rows = p;
            *cols = q;
        }
    }
}

int mige_grid_create(const mige_comm *c, int m, int ranks, int nb, mige_grid *g) {
    *g = (mige_grid){.nb = nb};
    mige_grid_shape(m, ranks < c->size ? ranks : c->size, &g->nb, &g->rows, &g->cols);
    g->inside = c->rank < g->rows * g->cols;
    g->row = g->col = -1;
    MIGE_TRY(mige_comm_split(c, !g->inside, &g->comm));
    if (!g->inside) return MIGE_OK;
    g->row = c->rank / g->cols;
    g->col = c->rank % g->cols;
    g->system = g->context = Csys2blacs_handle(g->comm.mpi);
    Cblacs_gridinit(&g->context, "Row", g->rows, g->cols);
    return MIGE_OK;
}

void mige_grid_destroy(mige_grid *g) {
    if (!g->rows) return;
    if (g->inside) {
        Cblacs_gridexit(g->context);
        Cfree_blacs_system_handle(g->system);
    }
    mige_comm_destroy(&g->comm);
    memset(g, 0, sizeof *g);
}

void scalapack_same_topologies(int context) {
    static const char *const ops[] = {"Broadcast", "Combine"}, *const scopes[] = {"Rowwise", "Columnwise", "All"};
    for (int op = 0; op < 2; op++)
        for (int scope = 0; scope < 3; scope++) pb_topset_(&context, ops[op], scopes[scope], " ");
}

static void set_shape(const mige_grid *g, int m, int n, mige_matrix *A) {
    const int zero = 0;
    *A = (mige_matrix){.grid = g, .m = m, .n = n, .lld = 1};
    if (!g->inside) return;
    A->ml = numroc_(&m, &g->nb, &g->row, &zero, &g->rows);
    A->nl = numroc_(&n, &g->nb, &g->col, &zero, &g->cols);
    if (A->ml > 1) A->lld = A->ml;
}

int mige_matrix_create(const mige_grid *g, int m, int n, mige_matrix *A) {
    const int zero = 0;
    int info;
    set_shape(g, m, n, A);
    if (!g->inside) return MIGE_OK;
    descinit_(A->desc, &m, &n, &g->nb, &g->nb, &zero, &zero, &g->context, &A->lld, &info);
    MIGE_CHECK(!info, MIGE_EFAIL, "ScaLAPACK: no descriptor for a %d x %d matrix on a %d x %d grid (descinit: %d)",
               m, n, g->rows, g->cols, info);
    return mige_alloc((size_t)A->lld * (size_t)A->nl, sizeof *A->a, &A->a);
}

int mige_symmetric_create(const mige_grid *g, int m, int stored, mige_matrix *A) {
    size_t total = 0;
    set_shape(g, m, m, A);
    int n = mige_num_panels(A);
    if (!g->inside || !stored) return MIGE_OK;
    MIGE_TRY(mige_alloc((size_t)n, sizeof *A->at, &A->at));
    for (int p = 0; p < n; p++) {
        mige_panel panel = mige_get_panel(A, p);
        A->at[p] = (int64_t)total;
        total += (size_t)panel.rows * (size_t)panel.cols;
    }
    return mige_alloc(total, sizeof *A->a, &A->a);
}

void mige_matrix_destroy(mige_matrix *A) {
    free(A->a);
    free(A->at);
    memset(A, 0, sizeof *A);
}

int mige_num_panels(const mige_matrix *A) {
    return (A->nl + A->grid->nb - 1) / A->grid->nb;
}

mige_panel mige_get_panel(const mige_matrix *A, int p) {
    const mige_grid *g = A->grid;
    int nb = g->nb, block = p * g->cols + g->col, above = block > g->row ? (block - g->row - 1) / g->rows + 1 : 0;
    mige_panel panel = {.jl = p * nb, .il = above * nb < A->ml ? above * nb : A->ml};
    panel.cols = A->nl - panel.jl < nb ? A->nl - panel.jl : nb;
    panel.rows = A->ml - panel.il;
    panel.diagonal = block % g->rows != g->row ? 0 : panel.cols < panel.rows ? panel.cols : panel.rows;
    panel.ld = A->at ? panel.rows > 1 ? panel.rows : 1 : A->lld;
    if (A->a) panel.a = A->at ? A->a + A->at[p] : A->a + (size_t)panel.jl * (size_t)A->lld + panel.il;
    return panel;
}

int64_t mige_panel_entries(const mige_matrix *A) {
    int64_t count = 0;
    for (int i = 0; i < mige_num_panels(A); i++) {
        mige_panel p = mige_get_panel(A, i);
        count += (int64_t)p.rows * p.cols;
    }
    return count;
}

mige_panel mige_panel_rows(const mige_panel *p, int from, int most) {
    mige_panel part = *p;
    part.il += from;
    part.rows = p->rows - from < most ? p->rows - from : most;
    part.diagonal = p->diagonal < from ? 0 : p->diagonal - from < part.rows ? p->diagonal - from : part.rows;
    if (p->a) part.a += from;
    return part;
}

static int to_global(int il, int nb, int proc, int procs) {
    return (il / nb * procs + proc) * nb + il % nb;
}

int mige_row(const mige_matrix *A, int il) {
    return to_global(il, A->grid->nb, A->grid->row, A->grid->rows);
}
int mige_col(const mige_matrix *A, int il) {
    return to_global(il, A->grid->nb, A->grid->col, A->grid->cols);
}

int mige_cols_below(const mige_matrix *A, int ig) {
    const int zero = 0;
    if (!A->grid->inside) return 0;
    return numroc_(&ig, &A->grid->nb, &A->grid->col, &zero, &A->grid->cols);
}

/* ---- products with a symmetric matrix of which the panels of the lower triangle are there */

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
