/* Direct eigensolvers: dsyevd on one rank, pdsyevd on a grid. */
#include "linalg/eigen.h"
#include "linalg/scalapack.h"
#include "mige/blas.h"
#include "mige/error.h"
#include <limits.h>

static int alone(const mige_eigen *e) {
    return e->grid.rows * e->grid.cols == 1;
}

/* pdsyevd's own query overflows and rounds down, and pdstedc asks for less than the pdlasrt that it calls; so the
 * formulas of its documentation, in 64 bits, with np * (nb + nq) on top. */
static int64_t pdsyevd_lwork(int64_t n, int64_t nb, int64_t np, int64_t nq) {
    int64_t tridiagonal = 3 * n + (nb * (np + 1) > 3 * nb ? nb * (np + 1) : 3 * nb);
    int64_t vectors = 1 + 6 * n + 2 * np * nq;
    return (vectors > tridiagonal ? vectors : tridiagonal) + 2 * n + np * (nb + nq);
}

static int64_t dsyevd_lwork(int64_t n) {
    return 1 + 6 * n + 2 * n * n;
}

int direct_workspace(mige_eigen *e) {
    int64_t n = e->m, lwork, liwork;
    if (alone(e)) {
        lwork = dsyevd_lwork(n);
        liwork = 3 + 5 * n;
    } else {
        lwork = pdsyevd_lwork(n, e->grid.nb, e->K.ml, e->K.nl);
        liwork = 7 * n + 8 * e->grid.cols + 2;
        MIGE_TRY(mige_matrix_create(&e->grid, e->m, e->m, &e->Z));
    }
    MIGE_CHECK(lwork <= INT_MAX, MIGE_EFAIL,
               "eigenproblem: %d samples on a %d x %d grid need a workspace past 2^31 numbers (use more ranks, or "
               "subspace iteration)",
               e->m, e->grid.rows, e->grid.cols);
    e->lwork = (int)lwork;
    e->liwork = (int)liwork;
    return MIGE_TAKE(&e->pool, MIGE_BLOCK(e->work, lwork), MIGE_BLOCK(e->iwork, liwork));
}

double direct_bytes(int m, int ranks) {
    int p, q, nb = 0;
    mige_grid_shape(m, ranks, &nb, &p, &q);
    double n = m;
    if (p * q == 1) return 8 * (n * n + (double)dsyevd_lwork(m)) + 4 * (3 + 5 * n);
    int64_t ml = (m / nb / p + 1) * (int64_t)nb, nl = (m / nb / q + 1) * (int64_t)nb;
    if (ml > m) ml = m;
    if (nl > m) nl = m;
    return 8 * (2. * (double)ml * (double)nl + (double)pdsyevd_lwork(m, nb, ml, nl)) + 28 * n;
}

int direct_solve(mige_eigen *e, const mige_matrix **U) {
    const int one = 1, n = e->m;
    int info;
    if (!e->work) MIGE_TRY(mige_agree(&e->grid.comm, direct_workspace(e)));
    if (alone(e)) {
        dsyevd_("V", "L", &n, e->K.a, &e->K.lld, e->values, e->work, &e->lwork, e->iwork, &e->liwork, &info);
        *U = &e->K;
    } else {
        scalapack_same_topologies(e->grid.context);
        pdsyevd_("V", "L", &n, e->K.a, &one, &one, e->K.desc, e->values, e->Z.a, &one, &one, e->Z.desc, e->work,
                 &e->lwork, e->iwork, &e->liwork, &info);
        *U = &e->Z;
    }
    MIGE_CHECK(!info, MIGE_ENUMERIC, "eigenproblem: %s on %d samples failed, info %d (try another solver)",
               alone(e) ? "dsyevd" : "pdsyevd", n, info);
    return MIGE_OK;
}
