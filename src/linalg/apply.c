/* F = U_J diag(1/lambda^power) U_J' B, from vectors or from the filter. */
#include "linalg/eigen.h"
#include "mige/blas.h"
#include "mige/error.h"
#include <string.h>

static int make_room(mige_eigen *e, int D) {
    if (D <= e->width) return MIGE_OK;
    size_t M = (size_t)e->m, d = (size_t)D, most = (size_t)(e->K.ml > e->K.nl ? e->K.ml : e->K.nl);
    mige_pool_free(&e->products);
    e->width = 0;
    MIGE_TRY(MIGE_TAKE(&e->products, MIGE_BLOCK(e->W, M * d), MIGE_BLOCK(e->part, most * d),
                       MIGE_BLOCK(e->rows, most * d)));
    e->width = D;
    return MIGE_OK;
}

/* W [J][D] = diag(1/lambda^power) U_J' B, in the order of the columns of U (ascending), on every rank. */
static int project(mige_eigen *e, int power, int D, const double *B) {
    const mige_eigenpairs *p = &e->last;
    size_t d = (size_t)D;
    memset(e->W, 0, (size_t)p->J * d * sizeof *e->W);
    int j0 = mige_cols_below(p->U, p->first), n = mige_cols_below(p->U, p->first + p->J) - j0, ml = p->U->ml,
        lld = p->U->lld;
    if (n > 0 && ml > 0) {
        for (int il = 0; il < ml; il++)
            memcpy(e->rows + (size_t)il * d, B + (size_t)mige_row(p->U, il) * d, d * sizeof *B);
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, D, n, ml, 1, e->rows, D,
                    p->U->a + (size_t)j0 * (size_t)lld, lld, 0, e->part, D);
        for (int j = 0; j < n; j++) {
            int k = mige_col(p->U, j0 + j) - p->first;
            double lambda = p->lambda[p->J - 1 - k], f = power == 1 ? 1 / lambda : 1 / (lambda * lambda);
            for (size_t i = 0; i < d; i++) e->W[(size_t)k * d + i] = f * e->part[(size_t)j * d + i];
        }
    }
    return mige_sum(e->c, e->W, (size_t)p->J * d);
}

/* F [M][D] = U_J W, on every rank. */
static int combine(mige_eigen *e, int D, double *F) {
    const mige_eigenpairs *p = &e->last;
    size_t d = (size_t)D;
    memset(F, 0, (size_t)e->m * d * sizeof *F);
    int j0 = mige_cols_below(p->U, p->first), n = mige_cols_below(p->U, p->first + p->J) - j0, ml = p->U->ml,
        lld = p->U->lld;
    if (n > 0 && ml > 0) {
        for (int j = 0; j < n; j++)
            memcpy(e->rows + (size_t)j * d, e->W + (size_t)(mige_col(p->U, j0 + j) - p->first) * d, d * sizeof *F);
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, D, ml, n, 1, e->rows, D,
                    p->U->a + (size_t)j0 * (size_t)lld, lld, 0, e->part, D);
        for (int il = 0; il < ml; il++)
            memcpy(F + (size_t)mige_row(p->U, il) * d, e->part + (size_t)il * d, d * sizeof *F);
    }
    return mige_sum(e->c, F, (size_t)e->m * d);
}

/* to [columns][rows] = the transposed of from [rows][columns]; in squares, whose lines of both stay in the cache.
 */
static void transpose(int64_t rows, int64_t columns, const double *from, int64_t ldf, double *to, int64_t ldt) {
    enum { SQUARE = 16 };
    for (int64_t i = 0; i < rows; i += SQUARE)
        for (int64_t j = 0; j < columns; j += SQUARE)
            for (int64_t k = i; k < rows && k < i + SQUARE; k++)
                for (int64_t l = j; l < columns && l < j + SQUARE; l++) to[l * ldt + k] = from[k * ldf + l];
}

/* The ranks of the grid share out the columns. */
static int by_filter(mige_eigen *e, int power, int D, const double *B, double *F) {
    int64_t first = 0, count = 0, M = e->m;
    int err = MIGE_OK;
    if (e->grid.inside) mige_share(D, e->grid.cols, e->grid.col, &first, &count);
    double *X = e->W; /* [count][m] */
    transpose(M, count, B + first, D, X, M);
    if (e->grid.inside) err = filter_apply(e, power, (int)count, X);
    MIGE_TRY(mige_agree(e->c, err));
    if (e->c->size > 1) memset(F, 0, (size_t)(M * D) * sizeof *F);
    transpose(count, M, X, M, F + first, D);
    return mige_sum(e->c, F, (size_t)(M * D));
}

int mige_eigen_apply(mige_eigen *e, int power, int D, const double *B, double *F) {
    int err = make_room(e, D);
    if (!err && e->grid.inside && e->last.solver == MIGE_SOLVER_FILTER) err = filter_room(e, D / e->grid.cols + 1);
    MIGE_TRY(mige_agree(e->c, err));
    if (e->last.solver == MIGE_SOLVER_FILTER) return by_filter(e, power, D, B, F);
    MIGE_TRY(project(e, power, D, B));
    return combine(e, D, F);
}
