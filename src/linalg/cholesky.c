/* Cholesky factorisation of a distributed symmetric positive definite matrix, and its solves. */
#include "linalg/scalapack.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/linalg.h"
#include <stdlib.h>
#include <string.h>

static int alone(const mige_matrix *A) {
    return A->grid->rows * A->grid->cols == 1;
}

static int factor(mige_matrix *A, double shift) {
    const int one = 1;
    int info, nb = A->grid->nb;
    for (int jl = 0; jl < A->nl; jl++) {
        int jg = mige_col(A, jl), block = jg / nb;
        if (block % A->grid->rows == A->grid->row)
            A->a[(size_t)jl * (size_t)A->lld + (size_t)(block / A->grid->rows * nb + jg % nb)] += shift;
    }
    if (alone(A))
        dpotrf_("L", &A->m, A->a, &A->lld, &info);
    else
        pdpotrf_("L", &A->m, A->a, &one, &one, A->desc, &info);
    MIGE_CHECK(!info, MIGE_ENUMERIC, "Cholesky: the matrix of %d samples is not positive definite (a larger --eta)",
               A->m);
    return MIGE_OK;
}

int mige_cholesky_factor(const mige_comm *c, mige_matrix *A, double shift) {
    return mige_agree(c, A->grid->inside ? factor(A, shift) : MIGE_OK);
}

/* X [M][D] row-major is D x M column-major; the solver wants M x D, spread as A's rows are. */
static int solve(const mige_matrix *A, int D, double *X) {
    const int one = 1;
    int info;
    mige_matrix R;
    MIGE_TRY(mige_agree(&A->grid->comm, mige_matrix_create(A->grid, A->m, D, &R)));
    for (int jl = 0; jl < R.nl; jl++)
        for (int il = 0; il < R.ml; il++)
            R.a[(size_t)jl * (size_t)R.lld + (size_t)il] =
                X[(size_t)mige_row(&R, il) * (size_t)D + (size_t)mige_col(&R, jl)];
    if (alone(A))
        dpotrs_("L", &A->m, &D, A->a, &A->lld, R.a, &R.lld, &info);
    else
        pdpotrs_("L", &A->m, &D, A->a, &one, &one, A->desc, R.a, &one, &one, R.desc, &info);
    memset(X, 0, (size_t)A->m * (size_t)D * sizeof *X);
    for (int jl = 0; jl < R.nl; jl++)
        for (int il = 0; il < R.ml; il++)
            X[(size_t)mige_row(&R, il) * (size_t)D + (size_t)mige_col(&R, jl)] =
                R.a[(size_t)jl * (size_t)R.lld + (size_t)il];
    mige_matrix_destroy(&R);
    MIGE_CHECK(!info, MIGE_ENUMERIC, "Cholesky: the solve failed, info %d", info);
    return MIGE_OK;
}

int mige_cholesky_solve(const mige_comm *c, const mige_matrix *A, int D, double *X) {
    int err = A->grid->inside ? solve(A, D, X) : MIGE_OK;
    if (!A->grid->inside) memset(X, 0, (size_t)A->m * (size_t)D * sizeof *X);
    MIGE_TRY(mige_agree(c, err));
    return mige_sum(c, X, (size_t)A->m * (size_t)D);
}
