/* Iterated Tikhonov: by one factorisation, or by conjugate gradients on products with K. */
#include "base/simd.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/options.h"
#include "score/cg.h"
#include "score/score.h"
#include <cblas.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    mige_grid grid;        /* one row */
    mige_matrix K;         /* with cg only its shape */
    cg *cg;                /* NULL: by Cholesky */
    mige_refined *refined; /* NULL: too few samples for it to pay */
    int rounded;           /* the factor is the refined one */
    gram gram;             /* C = sum_i (k - i) Z_i */
} stein;

/* Below this order one rank's Cholesky is as fast as many ranks'. */
enum { WORTH_DISTRIBUTING = 1024 };
/* From this order on, and this many samples a column that is wanted (perhaps half of them), a factor in single
 * precision saves more than the refinement of its solves costs. */
enum { WORTH_REFINING = 2048, COLUMNS_REFINED = 48 };
/* Error of all iterations together, relative to the first. */
static const double REFINED = 1e-8;
/* A solve by conjugate gradients takes about this many products. */
enum { CG_PRODUCTS = 15 };

static int worth_refining(int M, int columns) {
    return M >= WORTH_REFINING && M / COLUMNS_REFINED >= columns;
}

static int ranks_for(int M, int ranks) {
    return M < WORTH_DISTRIBUTING ? 1 : ranks;
}

/* Columns of a panel: as many as keep a GEMM at its rate and all ranks at work. */
static int nb_for(int M) {
    return M >= 8192 ? 256 : M >= 4096 ? 128 : M >= 2048 ? 96 : 64;
}

/* Entries of the rank with most of a symmetric matrix, in panels on a row of ranks: that with the first panel. */
static double panel_entries(int M, int nb, int ranks) {
    double sum = 0;
    for (int first = 0; first < M; first += nb * ranks)
        sum += (double)(M - first) * (M - first < nb ? M - first : nb);
    return sum;
}

static int check(const mige_score_options *o) {
    MIGE_CHECK(o->stein.eta > 0 && o->stein.iterations >= 1, MIGE_EUSAGE,
               "score: eta %g, %d iterations are not possible", o->stein.eta, o->stein.iterations);
    return MIGE_OK;
}

static mige_score_plan plan(int M, int D, int ranks, const mige_score_options *o) {
    int P = ranks_for(M, ranks), nb = nb_for(M), k = o->stein.iterations, stored = o->stein.solver != MIGE_STEIN_CG;
    double m = M, square = m * m * D, columns = fmin(m, ceil(m / P / nb) * nb), send = P > 1 ? 16. * M * nb : 0;
    double entries = panel_entries(M, nb, P),
           matrix = stored ? 8 * entries + send + 8. * nb * D : cg_bytes(M, D, ranks);
    if (stored && worth_refining(M, D / 2)) matrix += mige_refined_bytes(M, D, entries);
    mige_score_plan p = {.bytes = 8. * M * D + matrix + gram_bytes(M, D, 0, columns, stored),
                         .gram = 3 * square,
                         .eigen = stored ? m * m * m / 3 : nystroem_flops(M, D),
                         .apply = stored ? 2 * square * k : 3 * square * CG_PRODUCTS * k};
    mige_grid_shape(M, P, &nb, &p.rows, &p.cols);
    return p;
}

static int take_memory(mige_score *s) {
    stein *e = s->self;
    int stored = s->o.stein.solver != MIGE_STEIN_CG;
    MIGE_TRY(mige_symmetric_create(&e->grid, s->M, stored, &e->K));
    MIGE_TRY(MIGE_TAKE(&s->pool, MIGE_BLOCK(e->gram.C, (size_t)s->M * (size_t)s->D)));
    if (stored && worth_refining(s->M, s->D / 2))
        MIGE_TRY(mige_refined_create(s->c, &e->K, s->D, &s->pool, &e->refined));
    return gram_create(s, &e->K, &e->gram);
}

static int create(mige_score *s) {
    stein *e = s->self;
    MIGE_TRY(mige_grid_create(s->c, s->M, ranks_for(s->M, s->c->size), nb_for(s->M), &e->grid));
    MIGE_TRY(mige_agree(s->c, take_memory(s)));
    return s->o.stein.solver == MIGE_STEIN_CG ? cg_create(s->c, &e->K, s->D, &s->pool, &e->cg) : MIGE_OK;
}

static void destroy(void *self) {
    stein *e = self;
    cg_destroy(e->cg);
    mige_matrix_destroy(&e->K);
    mige_grid_destroy(&e->grid);
}

/* In place of B: without K X, which is most of its work, (K + eta) (Z_0 + 2 scale X). That cancels in far rows
 * only.
 */
static void right_side(const mige_score *s, const double *sums, double *Z) {
    const stein *e = s->self;
    size_t D = (size_t)s->D, n = (size_t)s->wanted;
    for (size_t m = 0; m < (size_t)s->M; m++) {
        double f = 2 * e->gram.kernel.scale * (sums[m] + s->o.stein.eta);
        const double *x = s->X + m * D + s->first;
        for (size_t d = 0; d < n; d++) Z[m * n + d] = f * x[d];
    }
}

/* Z_0 from the solution. */
static void take_samples(const mige_score *s, double *Z) {
    const stein *e = s->self;
    for (size_t m = 0; m < (size_t)s->M; m++)
        cblas_daxpy(s->wanted, -2 * e->gram.kernel.scale, s->X + m * (size_t)s->D + s->first, 1,
                    Z + m * (size_t)s->wanted, 1);
}

static int factor(const mige_score *s, stein *e) {
    double M = s->M;
    MIGE_TRY(mige_cholesky_factor(s->c, &e->K, e->K.a, s->o.stein.eta));
    mige_clock_count_flops(MIGE_PHASE_EIGEN, M * M * M / 3 / s->c->size);
    return MIGE_OK;
}

/* In single precision where that is possible. k(x,y) contains e(x) e(y), e(x) = exp(-scale |x|^2): the first term
 * of its series about the origin. */
static int factor_rounded(const mige_score *s, stein *e) {
    double M = s->M, *norms = e->gram.V;
    kernel_norms(s->M, s->D, s->X, norms);
    mige_exp((size_t)s->M, e->gram.kernel.scale, norms);
    int err = mige_refined_factor(e->refined, s->o.stein.eta, norms);
    mige_clock_count_flops(MIGE_PHASE_EIGEN, M * M * M / 3 / s->c->size);
    e->rounded = !err;
    return err == MIGE_ENUMERIC ? factor(s, e) : err;
}

static int prepare(mige_score *s, stein *e) {
    if (e->cg) return cg_prepare(e->cg, s->X, e->gram.kernel.scale, s->o.stein.eta);
    e->rounded = e->refined && worth_refining(s->M, s->wanted);
    return e->rounded ? factor_rounded(s, e) : factor(s, e);
}

/* S -= Z, C += weight Z (NULL: not wanted), Z *= eta */
MIGE_CLONES static void add_up(size_t n, double weight, double eta, double *restrict Z, double *restrict S,
                               double *restrict C) {
    for (size_t i = 0; !C && i < n; i++) {
        S[i] -= Z[i];
        Z[i] *= eta;
    }
    for (size_t i = 0; C && i < n; i++) {
        S[i] -= Z[i];
        C[i] += weight * Z[i];
        Z[i] *= eta;
    }
}

/* K and what is first solved with. */
static int begin(mige_score *s, stein *e, int *whole) {
    double M = s->M, *sums = e->gram.V;
    mige_clock_start(MIGE_PHASE_GRAM);
    MIGE_TRY(gram_kernel(s, &e->gram, e->cg ? NULL : sums));
    *whole = e->cg || e->gram.kernel.any_far;
    if (*whole)
        MIGE_TRY(kernel_pull(&e->gram.kernel, e->gram.V, e->gram.B));
    else
        right_side(s, sums, e->gram.B);
    if (*whole && !e->cg) score_take_wanted(s, e->gram.B);
    mige_clock_stop(MIGE_PHASE_GRAM, (*whole ? 3 : 1) * M * M * s->D / s->c->size);
    return MIGE_OK;
}

static int solve(mige_score *s, stein *e, int i, double *Z) {
    int good = 0;
    if (e->cg) {
        double k = s->o.stein.iterations; /* an error of Z_i is in all that follow, hardly less */
        return cg_solve(e->cg, &e->gram.kernel, s->o.stein.tolerance * 2 / (k * (k + 1)), i == 0, Z);
    }
    if (e->rounded) {
        MIGE_TRY(mige_refined_solve(e->refined, s->wanted, REFINED / s->o.stein.iterations, i == 0, Z, &good));
        if (good) return MIGE_OK;
        e->rounded = 0;
        MIGE_TRY(factor(s, e));
    }
    return mige_cholesky_solve(s->c, &e->K, e->K.a, s->wanted, Z);
}

/* Z_0 = (K + eta)^-1 B, Z_i = eta (K + eta)^-1 Z_(i-1), since B - K Y_i = eta Z_(i-1); S = -sum of Z_i. */
static int samples(mige_score *s, const double *X, double *S) {
    stein *e = s->self;
    int k = s->o.stein.iterations, columns = e->cg ? s->D : s->wanted, whole;
    size_t n = (size_t)s->M * (size_t)columns;
    double M = s->M, *Z = e->gram.B; /* b(q) at other points comes from k(q,X) itself */
    double *C = columns == s->D ? e->gram.C : NULL;
    (void)X;
    MIGE_TRY(begin(s, e, &whole));
    mige_clock_start(MIGE_PHASE_EIGEN);
    MIGE_TRY(prepare(s, e));
    mige_clock_stop(MIGE_PHASE_EIGEN, 0);
    mige_clock_start(MIGE_PHASE_APPLY);
    memset(S, 0, n * sizeof *S);
    if (C) memset(C, 0, n * sizeof *S);
    for (int i = 0; i < k; i++) {
        MIGE_TRY(solve(s, e, i, Z));
        if (i == 0 && !whole) take_samples(s, Z);
        add_up(n, k - i, s->o.stein.eta, Z, S, C);
    }
    if (e->cg) score_take_wanted(s, S);
    mige_clock_stop(MIGE_PHASE_APPLY, e->cg ? 0 : 2 * M * M * columns * k / s->c->size);
    mige_options_choice(MIGE_STEIN_SOLVERS, e->cg ? MIGE_STEIN_CG : MIGE_STEIN_CHOLESKY, s->info.solver,
                        sizeof s->info.solver);
    return MIGE_OK;
}

/* What a far point gets by differences, its k being 0 from then on: S += -eta f (k(q,X) X - k(q,X) 1 q). */
static void add_far(const mige_score *s, double f, double *k, const double *q, double *S) {
    for (int m = 0; m < s->M; m++) {
        const double *x = s->X + (size_t)m * (size_t)s->D;
        for (int d = 0; k[m] > 0 && d < s->D; d++) S[d] -= s->o.stein.eta * f * k[m] * (x[d] - q[d]);
        k[m] = 0;
    }
}

/* S <- -(iterations b(q) - k C) / eta, from S = -k C; b(q) = (k(q,X) 1 q - k(q,X) X) / w^2. */
static void add_prior(const mige_score *s, int n, double *k, const double *q, double *S) {
    const stein *e = s->self;
    int M = s->M, D = s->D;
    double norm, f = s->o.stein.iterations * 2 * e->gram.kernel.scale / s->o.stein.eta;
    for (int i = 0; i < n; i++) {
        size_t row = (size_t)i * (size_t)D;
        kernel_norms(1, D, q + row, &norm);
        if (norm > kernel_far(e->gram.kernel.scale)) add_far(s, f, k + (size_t)i * (size_t)M, q + row, S + row);
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, D, M, f, k, M, s->X, D, -1 / s->o.stein.eta, S, D);
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int m = 0; m < M; m++) sum += k[(size_t)i * (size_t)M + (size_t)m];
        cblas_daxpy(D, -f * sum, q + (size_t)i * (size_t)D, 1, S + (size_t)i * (size_t)D, 1);
    }
}

static int points(mige_score *s, int Q, const double *P, double *S) {
    const stein *e = s->self;
    return gram_points(s, &e->gram, add_prior, Q, P, S);
}

static int hessian(mige_score *s, int Q, const double *P, double *H) {
    const stein *e = s->self;
    return gram_hessian(s, &e->gram, 1 / s->o.stein.eta, s->o.stein.iterations / s->o.stein.eta, Q, P, H);
}

const estimator_ops stein_ops = {{"stein", MIGE_STEIN_SOLVERS, 0, "stein", "cg"},
                                 sizeof(stein),
                                 offsetof(mige_score_options, stein.solver),
                                 check,
                                 plan,
                                 create,
                                 destroy,
                                 samples,
                                 points,
                                 hessian};
