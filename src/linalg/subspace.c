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
    int room;            /* columns of a block that there is memory for */
    int filled;          /* columns of V that hold vectors of the solve before */
    mige_matrix V, W, X; /* M x room */
    double *in, *out;    /* [M][CHUNK] columns on every rank, and their products */
    double *H, *theta;   /* room x room projected matrix, its eigenvalues (ascending); replicated inside the grid */
    mige_matrix S;       /* the same, distributed */
    double *tau, *work, *norms;
    int *iwork;
    int lwork, liwork;
    mige_pool pool;
};

enum { MOST_PASSES = 60, OVERSAMPLING = 20, SMALLEST_BLOCK = 64, CHUNK = 512 };

/* The filter gains so much more a product where its block reaches well past the cut that twice J pays. */
static int block_for(int m, int J) {
    int b = 2 * J + OVERSAMPLING;
    if (b > m / 2) b = m / 2;
    return b > SMALLEST_BLOCK ? b : SMALLEST_BLOCK;
}

/* ScaLAPACK's queries are collective. */
static int take_workspace(mige_eigen *e, struct subspace *s) {
    const int one = 1, ask = -1;
    double qr = 0, q = 0;
    int info;
    pdgeqrf_(&e->m, &s->room, s->V.a, &one, &one, s->V.desc, s->tau, &qr, &ask, &info);
    pdorgqr_(&e->m, &s->room, &s->room, s->V.a, &one, &one, s->V.desc, s->tau, &q, &ask, &info);
    int64_t b = s->room, nb = e->grid.nb, dense = 1 + 6 * b + 2 * b * b;
    int64_t own = nb * ((int64_t)s->V.ml + s->V.nl + nb) + nb * nb; /* the queries round down */
    int64_t lwork = (int64_t)(fmax(qr, q)) + own;
    if (lwork < dense) lwork = dense;
    MIGE_CHECK(
        lwork <= INT_MAX, MIGE_EFAIL,
        "eigenproblem: a block of %d vectors needs a workspace past 2^31 numbers (a smaller share of the trace)",
        s->room);
    s->lwork = (int)lwork;
    s->liwork = 3 + 5 * s->room;
    return MIGE_TAKE(&s->pool, MIGE_BLOCK(s->work, s->lwork), MIGE_BLOCK(s->iwork, s->liwork));
}

static void release(struct subspace *s) {
    mige_matrix_destroy(&s->V);
    mige_matrix_destroy(&s->W);
    mige_matrix_destroy(&s->X);
    mige_matrix_destroy(&s->S);
    mige_pool_free(&s->pool);
    *s = (struct subspace){0};
}

static int take_room(mige_eigen *e, struct subspace *s, int columns) {
    size_t b = (size_t)columns, chunk = b < CHUNK ? b : CHUNK;
    s->room = columns;
    MIGE_TRY(MIGE_TAKE(&s->pool, MIGE_BLOCK(s->in, (size_t)e->m * chunk), MIGE_BLOCK(s->out, (size_t)e->m * chunk),
                       MIGE_BLOCK(s->H, b * b), MIGE_BLOCK(s->theta, b), MIGE_BLOCK(s->norms, b),
                       MIGE_BLOCK(s->tau, b)));
    MIGE_TRY(mige_matrix_create(&e->grid, e->m, columns, &s->V));
    MIGE_TRY(mige_matrix_create(&e->grid, e->m, columns, &s->W));
    MIGE_TRY(mige_matrix_create(&e->grid, e->m, columns, &s->X));
    return mige_matrix_create(&e->grid, columns, columns, &s->S);
}

/* Room for a block of b, its filled columns kept: local columns of a block-cyclic matrix stay where they are when
 * others are added behind. */
static int grow(mige_eigen *e, struct subspace *s, int b) {
    if (b <= s->room) return MIGE_OK;
    mige_matrix old = s->V;
    int filled = s->filled;
    s->V = (mige_matrix){0};
    release(s);
    int err = mige_agree(&e->grid.comm, take_room(e, s, b));
    if (!err) err = mige_agree(&e->grid.comm, take_workspace(e, s));
    if (!err && filled)
        memcpy(s->V.a, old.a, (size_t)old.lld * (size_t)mige_cols_below(&old, filled) * sizeof *old.a);
    s->filled = err ? 0 : filled;
    s->room = err ? 0 : b;
    mige_matrix_destroy(&old);
    return err;
}

double block_bytes(int m, int ranks, int J) {
    double M = m, b = block_for(m, J), chunk = fmin(b, CHUNK);
    return 8. * (3. * M * fmin(b, b / ranks + SUBSPACE_NB) + 4. * b * b + 2. * M * chunk);
}

double subspace_bytes(int m, int ranks, int J) {
    double M = m, columns = fmin(M, M / ranks + SUBSPACE_NB);
    return 8. * M * columns + block_bytes(m, ranks, J);
}

void subspace_destroy(mige_eigen *e) {
    if (!e->subspace) return;
    release(e->subspace);
    free(e->subspace);
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

/* Columns [from, to) of B, which are spread over the ranks, as rows of all[M][to - from] on every rank. */
static int collect(mige_eigen *e, const mige_matrix *B, int from, int to, double *all) {
    size_t n = (size_t)(to - from), M = (size_t)e->m;
    memset(all, 0, M * n * sizeof *all);
    for (int jl = mige_cols_below(B, from); jl < mige_cols_below(B, to); jl++) {
        const double *b = B->a + (size_t)jl * (size_t)B->lld;
        double *to_column = all + (mige_col(B, jl) - from);
        for (size_t i = 0; i < M; i++) to_column[i * n] = b[i];
    }
    return mige_sum(&e->grid.comm, all, M * n);
}

/* C(:, l:b) = alpha K B(:, l:b) + beta C(:, l:b), columns l to b - 1, some at a time: every rank takes its panels
 * of K times all of them. ScaLAPACK's product reaches half of this. */
static int multiply(mige_eigen *e, const mige_matrix *B, mige_matrix *C, int l, int b, double alpha, double beta) {
    struct subspace *s = e->subspace;
    size_t M = (size_t)e->m;
    for (int from = l; from < b; from += CHUNK) {
        int to = from + CHUNK < b ? from + CHUNK : b;
        size_t n = (size_t)(to - from);
        MIGE_TRY(collect(e, B, from, to, s->in));
        memset(s->out, 0, M * n * sizeof *s->out);
        mige_symmetric_multiply(&e->K, (int)n, s->in, s->out);
        MIGE_TRY(mige_sum(&e->grid.comm, s->out, M * n));
        for (int jl = mige_cols_below(C, from); jl < mige_cols_below(C, to); jl++) {
            double *c = C->a + (size_t)jl * (size_t)C->lld;
            const double *y = s->out + (mige_col(C, jl) - from);
            for (size_t i = 0; i < M; i++) c[i] = alpha * y[i * n] + (beta != 0 ? beta * c[i] : 0);
        }
    }
    return MIGE_OK;
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

/* C [m][n], columns from jc on = alpha A B + beta C or alpha A'B + beta C, B's columns from jb on; k is summed. */
static void product(const char *transposed, int m, int n, int k, double alpha, const mige_matrix *A,
                    const mige_matrix *B, int jb, double beta, mige_matrix *C, int jc) {
    const int one = 1, from = jb + 1, to = jc + 1;
    pdgemm_(transposed, "N", &m, &n, &k, &alpha, A->a, &one, &one, A->desc, B->a, &one, &from, B->desc, &beta, C->a,
            &one, &to, C->desc);
}

static void swap(mige_matrix *A, mige_matrix *B) {
    mige_matrix a = *A;
    *A = *B;
    *B = a;
}

/* S = the leading b columns and rows of H, its columns from the last to the first. */
static void spread_reversed(struct subspace *s, int b) {
    for (int jl = 0; jl < mige_cols_below(&s->S, b); jl++)
        for (int il = 0; il < s->S.ml && mige_row(&s->S, il) < b; il++)
            s->S.a[(size_t)jl * (size_t)s->S.lld + (size_t)il] =
                s->H[(size_t)(b - 1 - mige_col(&s->S, jl)) * (size_t)b + (size_t)mige_row(&s->S, il)];
}

/* H = V' W on every rank of the grid, column-major, order b. */
static int project(mige_eigen *e, struct subspace *s, int b) {
    product("T", b, b, e->m, 1, &s->V, &s->W, 0, 0, &s->S, 0);
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
    MIGE_TRY(multiply(e, &s->V, &s->W, 0, b, 1, 0));
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
    spread_reversed(s, b);
    product("N", e->m, b, b, 1, &s->V, &s->S, 0, 0, &s->X, 0);
    swap(&s->V, &s->X);
    product("N", e->m, b, b, 1, &s->W, &s->S, 0, 0, &s->X, 0);
    swap(&s->W, &s->X);
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

/* C(:, l:b) -= V_l (V_l' C(:, l:b)): what rounding brings back of the l pairs that are done would outgrow all else.
 */
static void deflate(mige_eigen *e, struct subspace *s, const mige_matrix *V, mige_matrix *C, int l, int b) {
    if (!l) return;
    product("T", l, b - l, e->m, 1, V, C, l, 0, &s->S, 0);
    product("N", e->m, b - l, l, -1, V, &s->S, 0, 1, C, l);
}

/* The local columns of [l, b): n numbers from a on. */
static double *columns(const mige_matrix *A, int l, int b, size_t *n) {
    int from = mige_cols_below(A, l), to = mige_cols_below(A, b);
    *n = (size_t)(to - from) * (size_t)A->lld;
    return A->a + (size_t)from * (size_t)A->lld;
}

/* V(:, l:b) <- p(K) V(:, l:b), p the Chebyshev polynomial of `degree` for [0, edge], scaled to 1 at `top` (so that
 * nothing overflows). W = K V comes from the Rayleigh-Ritz step. */
static int filter(mige_eigen *e, struct subspace *s, int l, int b, int degree, double edge, double top) {
    double half = edge / 2, sigma1 = half / (top - half), sigma = sigma1, *v, *w, *x;
    const mige_matrix done = s->V;
    size_t n, locked;
    v = columns(&s->V, l, b, &n);
    w = columns(&s->W, l, b, &n);
    for (size_t i = 0; i < n; i++) w[i] = (w[i] - half * v[i]) * sigma1 / half;
    for (int d = 2; d <= degree; d++) {
        /* X <- 2 sigma'/half (K W - half W) - sigma sigma' V; then V <- W, W <- X */
        double next = 1 / (2 / sigma1 - sigma);
        v = columns(&s->V, l, b, &n);
        w = columns(&s->W, l, b, &n);
        x = columns(&s->X, l, b, &n);
        for (size_t i = 0; i < n; i++) x[i] = -2 * next * w[i] - sigma * next * v[i];
        MIGE_TRY(multiply(e, &s->W, &s->X, l, b, 2 * next / half, 1));
        deflate(e, s, &done, &s->X, l, b);
        swap(&s->V, &s->W);
        swap(&s->W, &s->X); /* whose columns below l stay as they are */
        sigma = next;
    }
    swap(&s->V, &s->W);
    v = columns(&done, 0, l, &locked);
    if (v != s->V.a) memcpy(s->V.a, v, locked * sizeof *v);
    return MIGE_OK;
}

/* How far the filter may go: its range across the wanted part must stay well inside what a double resolves, or the
 * small ones drown; nor farther than the worst residual asks for. */
static int filter_degree(double edge, double top, double last, double factor) {
    double most = 14 / log10(4 * top / edge), gain = acosh(fmax(2 * last / edge - 1, 1.01)),
           wanted = log(fmax(factor, 2)) / gain + 1;
    int degree = (int)fmin(most, wanted);
    return degree < 2 ? 2 : degree > 24 ? 24 : degree;
}

/* The worst residual of the J wanted pairs over what is allowed: that of the last must also tell it apart from the
 * first unwanted one, as the cut is sharp. */
static double excess(const mige_eigen *e, const struct subspace *s, int J, int b) {
    double worst = 0, gap = J < b ? s->theta[J - 1] - s->theta[J] : s->theta[J - 1];
    for (int j = 0; j < J; j++) worst = fmax(worst, s->norms[j] / (e->o.tolerance * s->theta[j]));
    double last = fmax(10 * e->o.tolerance * gap, 1e-14 * s->theta[0]);
    return fmax(worst, s->norms[J - 1] / last);
}

/* Leading pairs that are done for good and far above the cut. */
static int num_done(const mige_eigen *e, const struct subspace *s, int J) {
    int l = 0;
    while (l < J - 1 && s->theta[l] > 4 * s->theta[J - 1] && s->norms[l] <= e->o.tolerance * s->theta[J - 1]) l++;
    return l;
}

/* Descending columns [0, J) -> ascending, as mige_eigenpairs has them: a product with the reversed identity. */
static void hand_over(mige_eigen *e, struct subspace *s, int J, mige_eigenpairs *p) {
    memset(s->H, 0, (size_t)J * (size_t)J * sizeof *s->H);
    for (size_t j = 0; j < (size_t)J; j++) s->H[j * (size_t)J + j] = 1;
    spread_reversed(s, J);
    product("N", e->m, J, J, 1, &s->V, &s->S, 0, 0, &s->X, 0);
    memcpy(e->lambda, s->theta, (size_t)J * sizeof *e->lambda);
    p->U = &s->X;
    p->J = J;
    p->first = 0;
    p->solver = MIGE_SOLVER_SUBSPACE;
}

static int first_block(const mige_eigen *e, const struct subspace *s) {
    int b = block_for(e->m, e->o.eigen ? e->o.eigen : e->expected ? e->expected : e->m / 32);
    return b > s->filled ? b : s->filled;
}

int subspace_solve(mige_eigen *e, double trace, mige_eigenpairs *p, int *enough) {
    *enough = 0;
    if (e->m < 2 * SMALLEST_BLOCK) return MIGE_OK;
    scalapack_same_topologies(e->grid.context);
    if (!e->subspace) MIGE_TRY(mige_alloc_all(&e->grid.comm, 1, sizeof *e->subspace, &e->subspace));
    struct subspace *s = e->subspace;
    int b = first_block(e, s), most = e->m / 2; /* past it a direct solver is faster */
    double m = e->m;
    for (int pass = 0; pass < MOST_PASSES && b <= most; pass++) {
        MIGE_TRY(grow(e, s, b));
        if (b > s->filled) MIGE_TRY(mige_agree(&e->grid.comm, randomise(&s->V, s->filled, b)));
        s->filled = b;
        MIGE_TRY(orthonormalise(e, s, b));
        MIGE_TRY(rayleigh_ritz(e, s, b));
        MIGE_TRY(check_largest(e, s->theta[0]));
        MIGE_TRY(residuals(e, s, b));
        int more, J = choose_J(&e->o, b, s->theta, trace, &more),
                  spare = J / 16 > OVERSAMPLING / 2 ? J / 16 : OVERSAMPLING / 2;
        double factor = excess(e, s, J, b);
        p->iterations = pass + 1;
        p->flops += 2 * m * m * b + 10 * m * b * b;
        if (!more && J + spare <= b && factor <= 1) {
            hand_over(e, s, J, p);
            *enough = 1;
            return MIGE_OK;
        }
        /* Too few: the captured share of the trace says so once the block has been filtered at least once. */
        if ((more || J + spare > b) && pass > 0) {
            b += b / 2;
            continue;
        }
        int l = pass > 0 ? num_done(e, s, J) : 0;
        double edge = fmax(s->theta[b - 1], 1e-14 * s->theta[0]);
        int degree = filter_degree(edge, s->theta[l], s->theta[J - 1], factor);
        MIGE_TRY(filter(e, s, l, b, degree, edge, s->theta[l]));
        p->flops += 2 * m * m * (b - l) * (degree - 1);
    }
    s->filled = 0;
    return MIGE_OK;
}
