/* Leading part of the spectrum without eigenvectors. SSGE wants F = f(K) B only, f(lambda) = 1/lambda above the cut
 * and 0 below, with D columns: K = Q T Q' (4/3 M^3, a quarter to a third of what eigenvectors cost), the
 * eigenvalues of T decide J, and F = Q f(T) Q' B with f as a rational function whose poles each cost one
 * tridiagonal solve. */
#include "linalg/eigen.h"
#include "linalg/poles.h"
#include "linalg/tridiagonal.h"
#include "mige/blas.h"
#include "mige/error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct filter {
    tridiagonal t;
    poles p;
    double *scratch; /* of poles_apply, for `columns` of them */
    int columns;
};

int filter_room(mige_eigen *e, int columns) {
    struct filter *f = e->filter;
    MIGE_TRY(tridiagonal_room(&f->t, columns));
    if (columns <= f->columns) return MIGE_OK;
    free(f->scratch);
    f->columns = 0;
    MIGE_TRY(mige_alloc(poles_scratch(e->m, columns), sizeof *f->scratch, &f->scratch));
    f->columns = columns;
    return MIGE_OK;
}

int filter_create(mige_eigen *e) {
    struct filter *f;
    MIGE_TRY(mige_alloc(1, sizeof *f, &e->filter));
    f = e->filter;
    MIGE_TRY(tridiagonal_create(&e->grid, e->m, &f->t));
    return filter_room(e, 1);
}

void filter_destroy(mige_eigen *e) {
    if (!e->filter) return;
    tridiagonal_destroy(&e->filter->t);
    free(e->filter->scratch);
    free(e->filter);
    e->filter = NULL;
}

double filter_bytes(int m, int ranks) {
    int most = m / FILTER_NB / 2 > 1 ? m / FILTER_NB / 2 : 1, q = ranks < most ? ranks : most;
    double columns = fmin(m, (m / FILTER_NB / q + 1) * FILTER_NB);
    return 8. * m * columns + tridiagonal_bytes(m, FILTER_NB) + 8. * (double)poles_scratch(m, 64);
}

/* Eigenvalues of T, ascending, by the QR iteration without roots; one rank's are everyone's. */
static int eigenvalues(mige_eigen *e, const tridiagonal *t) {
    int info = 0, m = e->m;
    double *subdiagonal = e->filter->scratch;
    if (e->grid.comm.rank == 0) {
        memcpy(e->values, t->d, (size_t)m * sizeof *t->d);
        memcpy(subdiagonal, t->e, (size_t)m * sizeof *t->e);
        dsterf_(&m, e->values, subdiagonal, &info);
    }
    MIGE_TRY(mige_bcast(&e->grid.comm, 0, &info, sizeof info));
    MIGE_CHECK(!info, MIGE_ENUMERIC, "eigenproblem: dsterf on %d samples failed, info %d (try --solver scalapack)",
               m, info);
    return mige_bcast(&e->grid.comm, 0, e->values, (size_t)m * sizeof *e->values);
}

int filter_solve(mige_eigen *e, double trace, mige_eigenpairs *p) {
    int more, m = e->m;
    tridiagonal *t = &e->filter->t;
    MIGE_TRY(tridiagonal_reduce(t, &e->K));
    MIGE_TRY(eigenvalues(e, t));
    for (int j = 0; j < m; j++) e->lambda[j] = e->values[m - 1 - j];
    const double *lambda = e->lambda;
    MIGE_TRY(check_largest(e, lambda[0]));
    int J = choose_J(&e->o, m, lambda, trace, &more);
    double last = lambda[J - 1], next = J < m ? lambda[J] : 0;
    poles_make((last + next) / 2, (last - next) / 2, lambda[m - 1], lambda[0], &e->filter->p);
    p->J = J;
    p->U = NULL;
    p->solver = MIGE_SOLVER_FILTER;
    p->flops = 4. / 3 * m * m * m;
    return MIGE_OK;
}

int filter_apply(mige_eigen *e, int power, int n, double *X) {
    tridiagonal *t = &e->filter->t;
    MIGE_TRY(tridiagonal_multiply(t, &e->K, 1, n, X));
    for (int i = 0; i < power && n; i++) poles_apply(&e->filter->p, e->m, t->d, t->e, n, X, X, e->filter->scratch);
    return tridiagonal_multiply(t, &e->K, 0, n, X);
}
