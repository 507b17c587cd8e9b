#include "linalg/eigen.h"
#include "linalg/scalapack.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

mige_eigen_options mige_eigen_defaults(void) {
    return (mige_eigen_options){MIGE_SOLVER_AUTO, 0.99, 0, 1e-10, 1e-8, 0};
}

/* auto: below this order one rank is as fast as many (`make bench` prints both). */
enum { WORTH_DISTRIBUTING = 768, WORTH_SUBSPACE = 2048, FEW_PAIRS = 16 };

static int solver_ranks(int m, int ranks, const mige_eigen_options *o) {
    if (o->solver == MIGE_SOLVER_LAPACK) return 1;
    if (o->solver == MIGE_SOLVER_AUTO && m < WORTH_DISTRIBUTING) return 1;
    return ranks;
}

/* auto is the filter, or subspace iteration on the filter's grid. */
static int by_filter(const mige_eigen_options *o) {
    return o->solver == MIGE_SOLVER_AUTO || o->solver == MIGE_SOLVER_FILTER;
}

/* Filter and subspace iteration want whole columns: blocks of so many; 0: of a square grid. */
static int row_nb(int m, const mige_eigen_options *o) {
    if (by_filter(o)) return FILTER_NB;
    return o->solver != MIGE_SOLVER_SUBSPACE ? 0 : m < 1024 ? 16 : SUBSPACE_NB;
}

void mige_eigen_grid(int m, int ranks, const mige_eigen_options *o, int *rows, int *cols) {
    int nb = row_nb(m, o);
    mige_grid_shape(m, solver_ranks(m, ranks, o), &nb, rows, cols);
}

double mige_eigen_bytes(int m, int ranks, const mige_eigen_options *o) {
    int P = solver_ranks(m, ranks, o);
    if (o->solver == MIGE_SOLVER_SUBSPACE) return subspace_bytes(m, P, o->eigen ? o->eigen : m / 32) + 16. * m;
    double copy = o->check ? 16. * m * m / P : 0;
    if (!by_filter(o)) return direct_bytes(m, P) + copy + 16. * m;
    double subspace = o->solver == MIGE_SOLVER_AUTO && m >= WORTH_SUBSPACE ? block_bytes(m, P, m / FEW_PAIRS) : 0;
    return filter_bytes(m, P) + subspace + copy + 16. * m;
}

static int start(const mige_comm *c, int m, const mige_eigen_options *o, mige_eigen **e) {
    MIGE_CHECK(
        m >= 1 && o->threshold > 0 && o->threshold <= 1 && o->eigen >= 0 && o->eigen <= m, MIGE_EUSAGE,
        "eigenproblem: order %d, threshold %g (above 0, at most 1), %d pairs (0: by threshold) are not possible", m,
        o->threshold, o->eigen);
    MIGE_TRY(mige_alloc(1, sizeof **e, e));
    **e = (mige_eigen){.c = c, .o = *o, .m = m};
    return MIGE_OK;
}

static int take_memory(mige_eigen *e) {
    MIGE_TRY(MIGE_TAKE(&e->pool, MIGE_BLOCK(e->values, e->m), MIGE_BLOCK(e->lambda, e->m)));
    MIGE_TRY(mige_matrix_create(&e->grid, e->m, e->m, &e->K));
    if (e->o.check) MIGE_TRY(mige_matrix_create(&e->grid, e->m, e->m, &e->copy));
    /* Subspace iteration needs the direct solver's workspace only where it gives up. */
    if (!e->grid.inside || e->o.solver == MIGE_SOLVER_SUBSPACE) return MIGE_OK;
    return by_filter(&e->o) ? filter_create(e) : direct_workspace(e);
}

int mige_eigen_create(const mige_comm *c, int m, const mige_eigen_options *o, mige_eigen **e) {
    *e = NULL;
    int err = mige_agree(c, start(c, m, o, e));
    if (!err) err = mige_grid_create(c, m, solver_ranks(m, c->size, o), row_nb(m, o), &(*e)->grid);
    if (!err) err = mige_agree(c, take_memory(*e));
    if (err) mige_eigen_destroy(e);
    return err;
}

void mige_eigen_destroy(mige_eigen **out) {
    mige_eigen *e = *out;
    if (!e) return;
    subspace_destroy(e);
    filter_destroy(e);
    mige_matrix_destroy(&e->K);
    mige_matrix_destroy(&e->Z);
    mige_matrix_destroy(&e->copy);
    mige_grid_destroy(&e->grid);
    mige_pool_free(&e->products);
    mige_pool_free(&e->pool);
    free(e);
    *out = NULL;
}

mige_matrix *mige_eigen_matrix(mige_eigen *e) {
    return &e->K;
}

int choose_J(const mige_eigen_options *o, int n, const double *lambda, double trace, int *more) {
    int J = 0;
    double sum = 0;
    while (J < n && (o->eigen ? J < o->eigen : (sum += lambda[J]) < o->threshold * trace || o->threshold >= 1) &&
           lambda[J] >= o->floor * lambda[0] && lambda[J] > 0)
        J++;
    *more = J == n;
    return J > 0 ? J : 1;
}

int check_largest(const mige_eigen *e, double lambda) {
    MIGE_CHECK(isfinite(lambda) && lambda > 0, MIGE_ENUMERIC,
               "eigenproblem: the largest of %d eigenvalues is %g (the matrix is not a Gram matrix)", e->m, lambda);
    return MIGE_OK;
}

static int direct(mige_eigen *e, double trace, mige_eigenpairs *p) {
    int more;
    double m = e->m;
    MIGE_TRY(direct_solve(e, &p->U));
    for (int j = 0; j < e->m; j++) e->lambda[j] = e->values[e->m - 1 - j];
    MIGE_TRY(check_largest(e, e->lambda[0]));
    p->J = choose_J(&e->o, e->m, e->lambda, trace, &more);
    p->first = e->m - p->J;
    p->solver = e->grid.rows * e->grid.cols == 1 ? MIGE_SOLVER_LAPACK : MIGE_SOLVER_SCALAPACK;
    p->flops = 4. / 3 * m * m * m + 4. / 3 * m * m * m + 2 * m * m * m; /* tridiagonal, divide and conquer, back */
    return MIGE_OK;
}

static int all_finite(const mige_matrix *K) {
    MIGE_CHECK(!mige_not_finite((size_t)K->lld * (size_t)K->nl, K->a), MIGE_ENUMERIC,
               "eigenproblem: the matrix has entries that are not finite (check the samples)");
    return MIGE_OK;
}

/* Subspace iteration is tried where it is asked for or probably faster (J below M/16, from the solve before). */
static int solve(mige_eigen *e, double trace, mige_eigenpairs *p) {
    int enough = 0, faster = e->m >= WORTH_SUBSPACE && e->expected > 0 && e->expected < e->m / FEW_PAIRS;
    if (e->o.check) memcpy(e->copy.a, e->K.a, (size_t)e->K.lld * (size_t)e->K.nl * sizeof *e->K.a);
    if (e->o.solver == MIGE_SOLVER_SUBSPACE || (e->o.solver == MIGE_SOLVER_AUTO && faster))
        MIGE_TRY(subspace_solve(e, trace, p, &enough));
    if (enough) return MIGE_OK;
    return by_filter(&e->o) ? filter_solve(e, trace, p) : direct(e, trace, p);
}

/* R = copy * U_J - U_J diag(lambda), then U_J' U_J - I; their largest column norm and entry. */
static int check_pairs(mige_eigen *e, mige_eigenpairs *p, double worst[2]) {
    const double one = 1, zero = 0;
    const int i1 = 1, m = e->m, J = p->J, j1 = p->first + 1;
    mige_matrix R = {0}, G = {0};
    double *norms = NULL;
    int err = MIGE_OK, more = p->U->n;
    scalapack_same_topologies(e->grid.context);
    err = mige_matrix_create(&e->grid, m, more, &R);
    if (!err) err = mige_matrix_create(&e->grid, J, J, &G);
    if (!err) err = mige_alloc((size_t)more, sizeof *norms, &norms);
    MIGE_TRY_GOTO(mige_agree(&e->grid.comm, err), done);
    pdsymm_("L", "L", &m, &J, &one, e->copy.a, &i1, &i1, e->copy.desc, p->U->a, &i1, &j1, p->U->desc, &zero, R.a,
            &i1, &j1, R.desc);
    pdgemm_("T", "N", &J, &J, &m, &one, p->U->a, &i1, &j1, p->U->desc, p->U->a, &i1, &j1, p->U->desc, &zero, G.a,
            &i1, &i1, G.desc);
    for (int jl = mige_cols_below(&R, p->first); jl < mige_cols_below(&R, p->first + J); jl++) {
        double lambda = e->lambda[J - 1 - (mige_col(&R, jl) - p->first)];
        const double *r = R.a + (size_t)jl * (size_t)R.lld, *u = p->U->a + (size_t)jl * (size_t)p->U->lld;
        for (int il = 0; il < R.ml; il++)
            norms[mige_col(&R, jl)] += (r[il] - lambda * u[il]) * (r[il] - lambda * u[il]);
    }
    mige_sum(&e->grid.comm, norms, (size_t)more);
    for (int j = 0; j < more; j++) worst[0] = fmax(worst[0], sqrt(norms[j]) / e->lambda[0]);
    for (int jl = 0; jl < G.nl; jl++)
        for (int il = 0; il < G.ml; il++)
            worst[1] = fmax(worst[1], fabs(G.a[(size_t)jl * (size_t)G.lld + (size_t)il] -
                                           (mige_row(&G, il) == mige_col(&G, jl))));
done:
    mige_matrix_destroy(&R);
    mige_matrix_destroy(&G);
    free(norms);
    return err;
}

/* Without vectors: f(K) K f(K) = f(K), so that for F = f(K) B of a few columns f(K) (K F) is F again. */
static int check_filter(mige_eigen *e, double worst[2]) {
    enum { FEW = 4 };
    int m = e->m;
    size_t n = (size_t)m * FEW;
    double *B, *F, *KF, *R = NULL;
    MIGE_TRY(mige_alloc_all(e->c, 4 * n, sizeof *B, &B));
    F = B + n;
    KF = F + n;
    R = KF + n;
    mige_rng_normal(0, MIGE_RNG_SUBSPACE, 1, 0, n, B);
    int err = mige_eigen_apply(e, 1, FEW, B, F);
    if (!err && e->grid.inside) mige_symmetric_multiply(&e->copy, FEW, F, KF);
    if (!err) err = mige_sum(e->c, KF, n);
    if (!err) err = mige_eigen_apply(e, 1, FEW, KF, R);
    for (size_t i = 0; i < n; i++) R[i] -= F[i];
    worst[0] = err ? 0 : cblas_dnrm2((int)n, R, 1) / cblas_dnrm2((int)n, F, 1);
    free(B);
    return err;
}

static int check(mige_eigen *e, mige_eigenpairs *p) {
    double worst[2] = {0, 0};
    if (p->U)
        MIGE_TRY(mige_agree(e->c, e->grid.inside ? check_pairs(e, p, worst) : MIGE_OK));
    else
        MIGE_TRY(check_filter(e, worst));
    MIGE_TRY(mige_max(e->c, worst, 2));
    p->residual = worst[0];
    p->orthogonality = worst[1];
    /* The filter's error is that of its smallest eigenvalue. */
    double allowed = 1e-10 * sqrt(e->m) + (p->U ? 0 : 1e-14 * e->m * p->lambda[0] / p->lambda[p->J - 1]);
    int good = worst[0] <= allowed && worst[1] <= 1e-10 * sqrt(e->m);
    return mige_agree(e->c, good ? MIGE_OK
                                 : mige_raise(MIGE_ENUMERIC,
                                              "eigenproblem: residual %.1e, orthogonality %.1e are too large "
                                              "(try another solver)",
                                              worst[0], worst[1]));
}

int mige_eigen_solve(mige_eigen *e, double trace, mige_eigenpairs *p) {
    *p = (mige_eigenpairs){.U = &e->K, .lambda = e->lambda, .residual = -1, .orthogonality = -1};
    MIGE_TRY(mige_agree(e->c, e->grid.inside ? all_finite(&e->K) : MIGE_OK));
    MIGE_TRY(mige_agree(e->c, e->grid.inside ? solve(e, trace, p) : MIGE_OK));
    if (e->grid.rows * e->grid.cols < e->c->size) { /* tell those outside the grid; their U is empty */
        mige_eigenpairs told = *p;
        MIGE_TRY(mige_bcast(e->c, 0, &told, sizeof told));
        told.U = told.U ? e->grid.inside ? p->U : &e->K : NULL;
        told.lambda = e->lambda;
        *p = told;
        MIGE_TRY(mige_bcast(e->c, 0, e->lambda, (size_t)p->J * sizeof *e->lambda));
    }
    e->expected = p->J;
    e->last = *p;
    return e->o.check ? check(e, p) : MIGE_OK;
}
