/* Chebyshev-filtered subspace iteration for the leading part of the spectrum of a Gram matrix K.
 *
 * Zhou, Saad, Tiago, Chelikowsky 2006: a block V is multiplied by a Chebyshev polynomial in K that is small on the
 * unwanted interval [0, theta_b] and grows fast above it, made orthonormal, and projected (Rayleigh-Ritz).
 * Everything of order M^2 b is pdgemm, everything of order M b^2 pdgemm, pdgeqrf and pdorgqr. */
#include "linalg/eigen.h"
#include "linalg/scalapack.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/rng.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct subspace {
    int most;            /* largest block: past it a direct solver is faster */
    int filled;          /* columns of V that hold vectors of the solve before */
    mige_matrix V, W, X; /* M x most */
    double *H, *theta;   /* most x most projected matrix, its eigenvalues (ascending); replicated inside the grid */
    mige_matrix S;       /* the same, distributed */
    double *tau, *work, *norms;
    int *iwork;
    int lwork, liwork;
};

enum { MOST_PASSES = 60, OVERSAMPLING = 20, SMALLEST_BLOCK = 64 };

static size_t elements(const mige_matrix *A) {
    return (size_t)A->lld * (size_t)A->nl;
}

static int workspace_query(mige_eigen *e, struct subspace *s) {
    const int one = 1, ask = -1;
    double qr = 0, q = 0;
    int info;
    pdgeqrf_(&e->m, &s->most, s->V.a, &one, &one, s->V.desc, s->tau, &qr, &ask, &info);
    pdorgqr_(&e->m, &s->most, &s->most, s->V.a, &one, &one, s->V.desc, s->tau, &q, &ask, &info);
    int64_t b = s->most, nb = e->grid.nb, dense = 1 + 6 * b + 2 * b * b;
    int64_t own = nb * ((int64_t)s->V.ml + s->V.nl + nb) + nb * nb; /* the queries round down */
    int64_t lwork = (int64_t)(fmax(qr, q)) + own;
    if (lwork < dense) lwork = dense;
    MIGE_CHECK(lwork <= INT_MAX, MIGE_EFAIL,
               "eigenproblem: a block of %d vectors needs a workspace past 2^31 numbers (a lower --threshold)",
               s->most);
    s->lwork = (int)lwork;
    s->liwork = 3 + 5 * s->most;
    return MIGE_OK;
}

static int create(mige_eigen *e) {
    struct subspace *s;
    MIGE_TRY(mige_alloc(1, sizeof *s, &e->subspace));
    s = e->subspace;
    s->most = e->m / 2;
    size_t b = (size_t)s->most;
    MIGE_TRY(mige_matrix_create(&e->grid, e->m, s->most, &s->V));
    MIGE_TRY(mige_matrix_create(&e->grid, e->m, s->most, &s->W));
    MIGE_TRY(mige_matrix_create(&e->grid, e->m, s->most, &s->X));
    MIGE_TRY(mige_matrix_create(&e->grid, s->most, s->most, &s->S));
    MIGE_TRY(mige_alloc(b * b, sizeof *s->H, &s->H));
    MIGE_TRY(mige_alloc(b, sizeof *s->theta, &s->theta));
    MIGE_TRY(mige_alloc(b, sizeof *s->norms, &s->norms));
    MIGE_TRY(mige_alloc(b, sizeof *s->tau, &s->tau));
    MIGE_TRY(workspace_query(e, s));
    MIGE_TRY(mige_alloc((size_t)s->lwork, sizeof *s->work, &s->work));
    return mige_alloc((size_t)s->liwork, sizeof *s->iwork, &s->iwork);
}

void subspace_destroy(mige_eigen *e) {
    struct subspace *s = e->subspace;
    if (!s) return;
    mige_matrix_destroy(&s->V);
    mige_matrix_destroy(&s->W);
    mige_matrix_destroy(&s->X);
    mige_matrix_destroy(&s->S);
    free(s->H);
    free(s->theta);
    free(s->norms);
    free(s->tau);
    free(s->work);
    free(s->iwork);
    free(s);
    e->subspace = NULL;
}

/* Columns [from, to) of V random; a function of the global row and column. */
static int randomise(mige_matrix *V, int from, int to) {
    double *row;
    MIGE_TRY(mige_alloc((size_t)V->n, sizeof *row, &row));
    int j0 = mige_cols_below(V, from), j1 = mige_cols_below(V, to);
    for (int il = 0; il < V->ml && j1 > j0; il++) {
        mige_rng_normal(0, MIGE_RNG_SUBSPACE, 0, (uint64_t)mige_row(V, il), (size_t)to, row);
        for (int jl = j0; jl < j1; jl++) V->a[(size_t)jl * (size_t)V->lld + (size_t)il] = row[mige_col(V, jl)];
    }
    free(row);
    return MIGE_OK;
}

/* C(:, 1:b) = alpha A B(:, 1:b) + beta C(:, 1:b), with A of order m. */
static void multiply(const mige_matrix *A, const mige_matrix *B, mige_matrix *C, int b, double alpha, double beta) {
    const int one = 1;
    pdgemm_("N", "N", &C->m, &b, &A->n, &alpha, A->a, &one, &one, A->desc, B->a, &one, &one, B->desc, &beta, C->a,
            &one, &one, C->desc);
}

static int orthonormalise(mige_eigen *e, struct subspace *s, int b) {
    const int one = 1;
    int info;
    pdgeqrf_(&e->m, &b, s->V.a, &one, &one, s->V.desc, s->tau, s->work, &s->lwork, &info);
    MIGE_CHECK(!info, MIGE_ENUMERIC, "eigenproblem: pdgeqrf failed, info %d", info);
    pdorgqr_(&e->m, &b, &b, s->V.a, &one, &one, s->V.desc, s->tau, s->work, &s->lwork, &info);
    MIGE_CHECK(!info, MIGE_ENUMERIC, "eigenproblem: pdorgqr failed, info %d", info);
    return MIGE_OK;
}

/* H = V' W on every rank of the grid, column-major, order b. */
static int project(mige_eigen *e, struct subspace *s, int b) {
    const int one = 1;
    const double alpha = 1, beta = 0;
    pdgemm_("T", "N", &b, &b, &e->m, &alpha, s->V.a, &one, &one, s->V.desc, s->W.a, &one, &one, s->W.desc, &beta,
            s->S.a, &one, &one, s->S.desc);
    memset(s->H, 0, (size_t)b * (size_t)b * sizeof *s->H);
    for (int jl = 0; jl < mige_cols_below(&s->S, b); jl++)
        for (int il = 0; il < s->S.ml && mige_row(&s->S, il) < b; il++)
            s->H[(size_t)mige_col(&s->S, jl) * (size_t)b + (size_t)mige_row(&s->S, il)] =
                s->S.a[(size_t)jl * (size_t)s->S.lld + (size_t)il];
    return mige_sum(&e->grid.comm, s->H, (size_t)b * (size_t)b);
}

/* W = K V; H = V'W = Y diag(theta) Y', theta descending; V <- V Y, W <- W Y. Solved once and broadcast: two ranks'
 * solutions of the same problem may differ in signs. */
static int rayleigh_ritz(mige_eigen *e, struct subspace *s, int b) {
    int info = 0;
    multiply(&e->K, &s->V, &s->W, b, 1, 0);
    MIGE_TRY(project(e, s, b));
    if (e->grid.comm.rank == 0) {
        dsyevd_("V", "L", &b, s->H, &b, s->theta, s->work, &s->lwork, s->iwork, &s->liwork, &info);
        if (info) s->theta[0] = NAN;
    }
    MIGE_TRY(mige_bcast(&e->grid.comm, 0, s->theta, (size_t)b * sizeof *s->theta));
    MIGE_CHECK(isfinite(s->theta[0]), MIGE_ENUMERIC, "eigenproblem: dsyevd of the projected problem failed");
    MIGE_TRY(mige_bcast(&e->grid.comm, 0, s->H, (size_t)b * (size_t)b * sizeof *s->H));
    for (int j = 0; j < b / 2; j++) {
        double t = s->theta[j];
        s->theta[j] = s->theta[b - 1 - j];
        s->theta[b - 1 - j] = t;
    }
    for (int jl = 0; jl < mige_cols_below(&s->S, b); jl++)
        for (int il = 0; il < s->S.ml && mige_row(&s->S, il) < b; il++)
            s->S.a[(size_t)jl * (size_t)s->S.lld + (size_t)il] =
                s->H[(size_t)(b - 1 - mige_col(&s->S, jl)) * (size_t)b + (size_t)mige_row(&s->S, il)];
    const int one = 1;
    const double alpha = 1, beta = 0;
    mige_matrix *in[] = {&s->V, &s->W};
    for (int i = 0; i < 2; i++) {
        pdgemm_("N", "N", &e->m, &b, &b, &alpha, in[i]->a, &one, &one, in[i]->desc, s->S.a, &one, &one, s->S.desc,
                &beta, s->X.a, &one, &one, s->X.desc);
        mige_matrix swap = *in[i];
        *in[i] = s->X;
        s->X = swap;
    }
    return MIGE_OK;
}

/* norms[j] = |K v_j - theta_j v_j|, from W = K V. */
static int residuals(mige_eigen *e, struct subspace *s, int b) {
    memset(s->norms, 0, (size_t)b * sizeof *s->norms);
    for (int jl = 0; jl < mige_cols_below(&s->V, b); jl++) {
        int jg = mige_col(&s->V, jl);
        const double *v = s->V.a + (size_t)jl * (size_t)s->V.lld, *w = s->W.a + (size_t)jl * (size_t)s->W.lld;
        for (int il = 0; il < s->V.ml; il++)
            s->norms[jg] += (w[il] - s->theta[jg] * v[il]) * (w[il] - s->theta[jg] * v[il]);
    }
    MIGE_TRY(mige_sum(&e->grid.comm, s->norms, (size_t)b));
    for (int j = 0; j < b; j++) s->norms[j] = sqrt(s->norms[j]);
    return MIGE_OK;
}

/* V <- p(K) V, p the Chebyshev polynomial of `degree` for [0, edge], scaled to 1 at `top` (so that nothing
 * overflows). W = K V comes from the Rayleigh-Ritz step. */
static void filter(mige_eigen *e, struct subspace *s, int b, int degree, double edge, double top) {
    double half = edge / 2, sigma1 = half / (top - half), sigma = sigma1;
    size_t n = elements(&s->V);
    for (size_t i = 0; i < n; i++) s->W.a[i] = (s->W.a[i] - half * s->V.a[i]) * sigma1 / half;
    for (int d = 2; d <= degree;
         d++) { /* X <- 2 sigma'/half (K W - half W) - sigma sigma' V; then V <- W, W <- X */
        double next = 1 / (2 / sigma1 - sigma);
        for (size_t i = 0; i < n; i++) s->X.a[i] = -2 * next * s->W.a[i] - sigma * next * s->V.a[i];
        multiply(&e->K, &s->W, &s->X, b, 2 * next / half, 1);
        mige_matrix oldest = s->V;
        s->V = s->W;
        s->W = s->X;
        s->X = oldest;
        sigma = next;
    }
    mige_matrix swap = s->V;
    s->V = s->W;
    s->W = swap;
}

/* The filter's range across the wanted part must stay well inside what a double resolves, or the small ones drown.
 */
static int filter_degree(double edge, double top) {
    int degree = (int)(14 / log10(4 * top / edge));
    return degree < 1 ? 1 : degree > 12 ? 12 : degree;
}

/* All J residuals small, and the last wanted pair told apart from the first unwanted one. */
static int converged(const mige_eigen *e, const struct subspace *s, int J, int b) {
    for (int j = 0; j < J; j++)
        if (s->norms[j] > e->o.tolerance * s->theta[j]) return 0;
    double gap = J < b ? s->theta[J - 1] - s->theta[J] : s->theta[J - 1];
    return s->norms[J - 1] <= 10 * e->o.tolerance * gap || s->norms[J - 1] <= 1e-14 * s->theta[0];
}

/* Descending columns [0, J) -> ascending, as mige_eigenpairs has them: a product with the reversed identity. */
static void hand_over(mige_eigen *e, struct subspace *s, int J, mige_eigenpairs *p) {
    const int one = 1;
    const double alpha = 1, beta = 0;
    memset(s->S.a, 0, elements(&s->S) * sizeof *s->S.a);
    for (int jl = 0; jl < mige_cols_below(&s->S, J); jl++)
        for (int il = 0; il < s->S.ml; il++)
            if (mige_row(&s->S, il) + mige_col(&s->S, jl) == J - 1)
                s->S.a[(size_t)jl * (size_t)s->S.lld + (size_t)il] = 1;
    pdgemm_("N", "N", &e->m, &J, &J, &alpha, s->V.a, &one, &one, s->V.desc, s->S.a, &one, &one, s->S.desc, &beta,
            s->X.a, &one, &one, s->X.desc);
    memcpy(e->lambda, s->theta, (size_t)J * sizeof *e->lambda);
    p->U = &s->X;
    p->J = J;
    p->first = 0;
    p->solver = MIGE_SOLVER_SUBSPACE;
}

static int first_block(const mige_eigen *e, const struct subspace *s) {
    int J = e->o.eigen ? e->o.eigen : e->expected ? e->expected : e->m / 16, b = J + J / 8 + OVERSAMPLING;
    if (b < s->filled) b = s->filled;
    return b > SMALLEST_BLOCK ? b : SMALLEST_BLOCK;
}

int subspace_solve(mige_eigen *e, double trace, mige_eigenpairs *p, int *enough) {
    *enough = 0;
    if (e->m < 2 * SMALLEST_BLOCK) return MIGE_OK;
    scalapack_same_topologies(e->grid.context);
    if (!e->subspace) MIGE_TRY(mige_agree(&e->grid.comm, create(e)));
    struct subspace *s = e->subspace;
    int b = first_block(e, s);
    double m = e->m;
    for (int pass = 0; pass < MOST_PASSES && b <= s->most; pass++) {
        if (b > s->filled) MIGE_TRY(mige_agree(&e->grid.comm, randomise(&s->V, s->filled, b)));
        s->filled = b;
        MIGE_TRY(orthonormalise(e, s, b));
        MIGE_TRY(rayleigh_ritz(e, s, b));
        MIGE_TRY(check_largest(e, s->theta[0]));
        MIGE_TRY(residuals(e, s, b));
        int more, J = choose_J(&e->o, b, s->theta, trace, &more),
                  spare = J / 16 > OVERSAMPLING / 2 ? J / 16 : OVERSAMPLING / 2;
        int degree = filter_degree(fmax(s->theta[b - 1], 1e-14 * s->theta[0]), s->theta[0]);
        p->iterations = pass + 1;
        p->flops += 2 * m * m * b * degree + 10 * m * b * b;
        if (!more && J + spare <= b && converged(e, s, J, b)) {
            hand_over(e, s, J, p);
            *enough = 1;
            return MIGE_OK;
        }
        /* Too few: the captured share of the trace says so once the block has been filtered at least once. */
        if ((more || J + spare > b) && pass > 0) {
            b += b / 2;
            continue;
        }
        filter(e, s, b, degree, fmax(s->theta[b - 1], 1e-14 * s->theta[0]), s->theta[0]);
    }
    s->filled = 0;
    return MIGE_OK;
}
