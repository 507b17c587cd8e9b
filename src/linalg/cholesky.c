/* Cholesky factorisation of a symmetric positive definite matrix whose panels are dealt out to a row of ranks, and
 * its solves. Right-looking with one panel of lookahead: the owner of the next panel brings that up to date first,
 * factors it and sends it while all update the rest. */
#include "linalg/real.h"
#include "linalg/thin.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/linalg.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Panel k of the whole matrix: its place and owner. */
typedef struct {
    int first, cols, rows, owner;
} place;

static place place_of(const mige_matrix *A, int k) {
    int nb = A->grid->nb, first = k * nb, left = A->m - first;
    return (place){first, left < nb ? left : nb, left, k % A->grid->cols};
}

static int num_places(const mige_matrix *A) {
    return (A->m + A->grid->nb - 1) / A->grid->nb;
}

static int mine(const mige_matrix *A, int k) {
    return k % A->grid->cols == A->grid->col;
}

/* The panels lie in `a` as A's own do. */
static real *panel_of(const mige_matrix *A, real *a, int k) {
    return a + A->at[k / A->grid->cols];
}

/* The diagonal block's factor, and the rows below it by its inverse. */
static int factor_panel(const mige_matrix *A, real *all, int k, double shift) {
    place p = place_of(A, k);
    real *a = panel_of(A, all, k);
    int info, below = p.rows - p.cols;
    for (int j = 0; j < p.cols; j++) a[(size_t)j * (size_t)p.rows + (size_t)j] += (real)shift;
    real_potrf("L", &p.cols, a, &p.rows, &info);
    if (info) return 1;
    if (below)
        real_trsm(CblasColMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, below, p.cols, 1, a, p.rows,
                  a + p.cols, p.rows);
    return 0;
}

/* Panel j -= L_k (rows from j on) times the rows of L_k that are panel j's columns. */
static void update_panel(const mige_matrix *A, real *a, int j, int k, const real *L) {
    place p = place_of(A, j), q = place_of(A, k);
    const real *from = L + (p.first - q.first);
    real_gemm(CblasColMajor, CblasNoTrans, CblasTrans, p.rows, p.cols, q.cols, -1, from, q.rows, from, q.rows, 1,
              panel_of(A, a, j), p.rows);
}

/* Panel k for every rank: L points to it, at the owner in its place, elsewhere in the buffer when the request is
 * done. The analyser does not follow a request from one function to another. */
static void send_panel(const mige_matrix *A, real *a, int k, real *buffer, const real **L, MPI_Request *request) {
    place p = place_of(A, k);
    real *at = mine(A, k) ? panel_of(A, a, k) : buffer;
    *L = at;
    *request = MPI_REQUEST_NULL;
    if (A->grid->cols > 1) MPI_Ibcast(at, p.rows * p.cols, REAL_MPI, p.owner, A->grid->comm.mpi, request);
}

static int factor(const mige_matrix *A, real *a, double shift, real *buffers[2]) {
    int n = num_places(A), failed = 0;
    const real *L[2];
    MPI_Request request;
    if (mine(A, 0)) failed |= factor_panel(A, a, 0, shift);
    send_panel(A, a, 0, buffers[0], &L[0], &request);
    for (int k = 0; k < n; k++) {
        const real *now = L[k % 2];
        int next = k + 1;
        MPI_Wait(&request, MPI_STATUS_IGNORE); // NOLINT(clang-analyzer-optin.mpi.MPI-Checker)
        if (next == n) break;
        if (mine(A, next)) {
            update_panel(A, a, next, k, now);
            failed |= factor_panel(A, a, next, shift);
        }
        send_panel(A, a, next, buffers[next % 2], &L[next % 2], &request);
        for (int j = next + 1; j < n; j++)
            if (mine(A, j)) update_panel(A, a, j, k, now);
    }
    // NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker)
    MIGE_CHECK(!failed, MIGE_ENUMERIC,
               "Cholesky: the matrix of %d samples is not positive definite (a larger ridge)", A->m);
    return MIGE_OK;
}

int REAL(mige_cholesky_factor)(const mige_comm *c, const mige_matrix *A, real *a, double shift) {
    real *buffers[2];
    mige_pool pool = {0};
    size_t size = A->grid->cols > 1 && A->grid->inside ? (size_t)A->m * (size_t)A->grid->nb : 0;
    int err = MIGE_OK;
    if (size > INT_MAX) err = mige_raise(MIGE_EFAIL, "Cholesky: %d samples are more than MPI can send", A->m);
    if (!err) err = MIGE_TAKE(&pool, MIGE_BLOCK(buffers[0], size), MIGE_BLOCK(buffers[1], size));
    err = mige_agree(c, err);
    if (!err) err = mige_agree(c, A->grid->inside ? factor(A, a, shift, buffers) : MIGE_OK);
    mige_pool_free(&pool);
    return err;
}

/* L Y = X, a block of rows after the other: each rank brings what its own panels give to it, and the owner of the
 * diagonal block finishes it. Block i of Y is at its owner only. */
static void forward(const mige_matrix *A, real *a, int D, real *X, real *sum) {
    for (int i = 0; i < num_places(A); i++) {
        place p = place_of(A, i);
        real *x = X + (size_t)p.first * (size_t)D;
        int own = mine(A, i), size = p.cols * D;
        if (own)
            memcpy(sum, x, (size_t)size * sizeof *sum);
        else
            memset(sum, 0, (size_t)size * sizeof *sum);
        for (int j = A->grid->col; j < i; j += A->grid->cols) {
            place q = place_of(A, j);
            REAL(thin_multiply)
            (p.cols, q.cols, D, -1, panel_of(A, a, j) + (p.first - q.first), q.rows,
             X + (size_t)q.first * (size_t)D, sum);
        }
        if (A->grid->cols > 1) /* MPICH 4.0 crashes on MPI_IN_PLACE at another root than 0 */
            MPI_Reduce(sum, own ? x : NULL, size, REAL_MPI, MPI_SUM, p.owner, A->grid->comm.mpi);
        else
            memcpy(x, sum, (size_t)size * sizeof *sum);
        if (own) REAL(thin_solve)(p.cols, D, 0, panel_of(A, a, i), p.rows, x);
    }
}

/* X_j takes out what X_i, which is known, gives to it. */
static void take_out(const mige_matrix *A, real *a, int j, int i, int D, real *X) {
    place p = place_of(A, i), q = place_of(A, j);
    REAL(thin_multiply_transposed)
    (p.cols, q.cols, D, -1, panel_of(A, a, j) + (p.first - q.first), q.rows, X + (size_t)p.first * (size_t)D,
     X + (size_t)q.first * (size_t)D);
}

/* X_i, from which all behind it has been taken out, at its owner, and on its way to all. */
static void finish(const mige_matrix *A, real *a, int i, int D, real *X, MPI_Request *request) {
    place p = place_of(A, i);
    real *x = X + (size_t)p.first * (size_t)D;
    if (mine(A, i)) REAL(thin_solve)(p.cols, D, 1, panel_of(A, a, i), p.rows, x);
    if (A->grid->cols > 1) MPI_Ibcast(x, p.cols * D, REAL_MPI, p.owner, A->grid->comm.mpi, request);
}

/* L' X = Y, from the last block to the first: each known block is taken out of those before it by their owners, out
 * of the next one first, which is finished and sent meanwhile. */
static void backward(const mige_matrix *A, real *a, int D, real *X) {
    MPI_Request request = MPI_REQUEST_NULL;
    int i = num_places(A) - 1, done;
    finish(A, a, i, D, X, &request);
    for (; i >= 0; i--) {
        MPI_Wait(&request, MPI_STATUS_IGNORE); // NOLINT(clang-analyzer-optin.mpi.MPI-Checker)
        if (i && mine(A, i - 1)) take_out(A, a, i - 1, i, D, X);
        if (i) finish(A, a, i - 1, D, X, &request);
        for (int j = i - 2; j >= 0; j--) {
            if (!mine(A, j)) continue;
            take_out(A, a, j, i, D, X);
            if (request != MPI_REQUEST_NULL) MPI_Test(&request, &done, MPI_STATUS_IGNORE); /* it moves on */
        }
    }
} // NOLINT(clang-analyzer-optin.mpi.MPI-Checker)

int REAL(mige_cholesky_solve)(const mige_comm *c, const mige_matrix *A, real *a, int D, real *X) {
    real *sum = NULL;
    MIGE_TRY(mige_alloc_all(c, (size_t)A->grid->nb * (size_t)D, sizeof *sum, &sum));
    if (A->grid->inside) {
        forward(A, a, D, X, sum);
        backward(A, a, D, X);
    }
    free(sum);
    return A->grid->cols < c->size ? mige_bcast(c, 0, X, (size_t)A->m * (size_t)D * sizeof *X) : MIGE_OK;
}
