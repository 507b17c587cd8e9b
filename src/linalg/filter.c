/* Leading part of the spectrum without eigenvectors. SSGE wants F = f(K) B only, f(lambda) = 1/lambda above the cut
 * and 0 below, with D columns: K = Q T Q' (4/3 M^3, a quarter to a third of what eigenvectors cost), the
 * eigenvalues of T decide J, and F = Q f(T) Q' B with f as a rational function whose poles each cost one
 * tridiagonal solve. The files, in the order of a solve; they are finished, a change in them shows in every score:
 *
 *   tridiagonal.c  K = Q T Q', panel by panel over the ranks (thin.c: its products with few columns)
 *   fused.c        what is left of K when it is small, on every rank alike
 *   sturm.c        eigenvalues of T: as many as decide J
 *   project.c      f(T) from eigenvectors of T (twisted.c: each by itself), the fewer of both sides of the cut; or,
 *                  where they cannot be told apart,
 *   poles.c        f(T) as the rational function
 *   filter.c       puts them together, and Q and Q' about f(T)
 */
#include "linalg/eigen.h"
#include "linalg/tridiagonal.h"
#include "mige/error.h"
#include <math.h>
#include <stdlib.h>

struct filter {
    tridiagonal t;
    sturm s;
    projector vectors;
    int by_vectors; /* else by poles */
    poles p;
    double *scratch; /* of poles_apply, for `columns` of them */
    int columns;
};

/* The most vectors that are sooner made and multiplied with than poles are solved with, where the gap at the cut is
 * narrow (some 60 poles) and a rank has about 32 columns. */
enum { MOST_VECTORS = 320 };

static int most_vectors(int m) {
    return m / 2 < MOST_VECTORS ? m / 2 : MOST_VECTORS;
}

int filter_room(mige_eigen *e, int columns) {
    struct filter *f = e->filter;
    MIGE_TRY(tridiagonal_room(&f->t, columns));
    MIGE_TRY(projector_room(&f->vectors, columns));
    if (columns <= f->columns) return MIGE_OK;
    free(f->scratch);
    f->columns = 0;
    MIGE_TRY(mige_alloc(poles_scratch(e->m, columns), sizeof *f->scratch, &f->scratch));
    f->columns = columns;
    return MIGE_OK;
}

int filter_create(mige_eigen *e) {
    MIGE_TRY(MIGE_TAKE(&e->pool, MIGE_BLOCK(e->filter, 1)));
    struct filter *f = e->filter;
    MIGE_TRY(tridiagonal_create(&e->grid, e->m, 0, &f->t));
    MIGE_TRY(sturm_create(e->m, &f->s));
    MIGE_TRY(projector_create(e->m, most_vectors(e->m), &f->vectors));
    return filter_room(e, 1);
}

void filter_destroy(mige_eigen *e) {
    if (!e->filter) return;
    tridiagonal_destroy(&e->filter->t);
    sturm_destroy(&e->filter->s);
    projector_destroy(&e->filter->vectors);
    free(e->filter->scratch);
}

double filter_bytes(int m, int ranks) {
    int most = m / FILTER_NB / 2 > 1 ? m / FILTER_NB / 2 : 1, q = ranks < most ? ranks : most;
    double columns = fmin(m, (m / FILTER_NB / q + 1) * FILTER_NB);
    return 8. * m * columns + tridiagonal_bytes(m, FILTER_NB, q) + sturm_bytes(m) +
           projector_bytes(m, most_vectors(m)) + 8. * (double)poles_scratch(m, 64);
}

/* Eigenvalues of T, ascending: each rank finds a part of them, in lambda. */
static int eigenvalues(mige_eigen *e, const tridiagonal *t) {
    int64_t first, count;
    mige_share(e->m, e->grid.cols, e->grid.col, &first, &count);
    sturm_values(&e->filter->s, t->d, t->e, (int)first, (int)count, e->lambda);
    MIGE_TRY(mige_gather_rows(&e->grid.comm, e->m, 1, e->lambda, e->values));
    for (int j = 1; j < e->m; j++) e->values[j] = fmax(e->values[j], e->values[j - 1]); /* found by themselves */
    return MIGE_OK;
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
    e->filter->by_vectors = projector_make(&e->filter->vectors, t->d, t->e, e->values, J);
    double last = lambda[J - 1], next = J < m ? lambda[J] : 0;
    if (!e->filter->by_vectors)
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
    if (e->filter->by_vectors && n) projector_apply(&e->filter->vectors, t->d, t->e, power, n, X);
    for (int i = 0; !e->filter->by_vectors && i < power && n; i++)
        poles_apply(&e->filter->p, e->m, t->d, t->e, n, X, X, e->filter->scratch);
    return tridiagonal_multiply(t, &e->K, 0, n, X);
}
