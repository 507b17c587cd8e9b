#include "score/score.h"
#include "base/simd.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "score/calibrate.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

mige_score_options mige_score_defaults(void) {
    return (mige_score_options){.eigen = mige_eigen_defaults(), .eta = 0.01, .iterations = 3, .width_scale = 1};
}

/* stein: below this order one rank's Cholesky is as fast as many ranks'. */
enum { WORTH_DISTRIBUTING = 1024 };
/* A solve by conjugate gradients takes about this many products. */
enum { CG_PRODUCTS = 25 };

static int stein_ranks(int M, int ranks) {
    return M < WORTH_DISTRIBUTING ? 1 : ranks;
}

/* Columns of a panel: as many as keep a GEMM at its rate and all ranks at work. */
static int stein_nb(int M) {
    return M >= 8192 ? 256 : M >= 4096 ? 128 : M >= 2048 ? 96 : 64;
}

/* Entries of the rank with most of a symmetric matrix, in panels on a row of ranks: that with the first panel. */
static double panel_entries(int M, int nb, int ranks) {
    double sum = 0;
    for (int first = 0; first < M; first += nb * ranks)
        sum += (double)(M - first) * (M - first < nb ? M - first : nb);
    return sum;
}

static double matrix_bytes(int M, int D, int ranks, const mige_score_options *o) {
    if (o->estimator == MIGE_ESTIMATOR_SSGE) {
        double columns = ceil((double)M / ranks); /* of K */
        int gathered = o->eigen.solver == MIGE_SOLVER_SCALAPACK ? M : 0;
        return mige_eigen_bytes(M, ranks, &o->eigen) + kernel_bytes(M, D, D + 1, gathered, columns, 1);
    }
    int P = stein_ranks(M, ranks), nb = stein_nb(M);
    double columns = fmin(M, ceil((double)M / P / nb) * nb), C = 8. * M * D;
    if (o->eigen.solver == MIGE_SOLVER_CG)
        return C + kernel_bytes(M, D, D + 1, 0, columns, 0) + cg_bytes(M, D, ranks);
    double send = P > 1 ? 16. * M * nb : 0;
    return C + 8 * panel_entries(M, nb, P) + send + 8. * nb * D + kernel_bytes(M, D, D + 1, 0, columns, 1);
}

double mige_score_bytes(int M, int D, int ranks, const mige_score_options *o) {
    if (o->estimator == MIGE_ESTIMATOR_SSM && o->plugin) return o->plugin->bytes(M, D, ranks, o->plugin->options);
    double calibration = o->calibrate ? 8. * (D * (double)D + fmax(M, D + 2) * D) : 0;
    return matrix_bytes(M, D, ranks, o) + 8. * M * (3. * D + 2) + calibration;
}

mige_score_work mige_score_flops(int M, int D, const mige_score_options *o) {
    double m = M, d = D, square = m * m * d, cube = m * m * m;
    enum mige_solver solver = o->eigen.solver;
    if (o->estimator == MIGE_ESTIMATOR_SSM) return (mige_score_work){0, 0, 0};
    if (o->estimator == MIGE_ESTIMATOR_SSGE)
        return (mige_score_work){
            3 * square, cube * (solver == MIGE_SOLVER_SCALAPACK || solver == MIGE_SOLVER_LAPACK ? 14. / 3 : 4. / 3),
            4 * square};
    if (solver == MIGE_SOLVER_CG)
        return (mige_score_work){3 * square, cg_flops(M, D), 3 * square * CG_PRODUCTS * o->iterations};
    return (mige_score_work){3 * square, cube / 3, 2 * square * o->iterations};
}

static int take_matrix(mige_score *s) {
    int stored = s->o.eigen.solver != MIGE_SOLVER_CG;
    if (!s->eigen) {
        MIGE_TRY(mige_symmetric_create(&s->grid, s->M, stored, &s->gram));
        MIGE_TRY(mige_alloc((size_t)s->M * (size_t)s->D, sizeof *s->C, &s->C));
        if (!stored) MIGE_TRY(cg_create(s->c, &s->gram, s->D, &s->cg));
    }
    return kernel_create(s->c, s->eigen ? mige_eigen_matrix(s->eigen) : &s->gram, s->D, s->D + 1, &s->kernel);
}

static int take_memory(mige_score *s) {
    size_t M = (size_t)s->M, D = (size_t)s->D;
    MIGE_TRY(mige_alloc(M * D, sizeof *s->X, &s->X));
    MIGE_TRY(mige_alloc(D, sizeof *s->shift, &s->shift));
    if (s->o.calibrate) {
        MIGE_TRY(mige_alloc(D * D, sizeof *s->A, &s->A));
        MIGE_TRY(mige_alloc((M > D + 2 ? M : D + 2) * D, sizeof *s->work, &s->work));
        MIGE_TRY(mige_alloc(D, sizeof *s->pivots, &s->pivots));
    }
    if (s->plugin) return MIGE_OK;
    MIGE_TRY(mige_alloc(M * (D + 1), sizeof *s->V, &s->V));
    MIGE_TRY(mige_alloc(M * (D + 1), sizeof *s->B, &s->B));
    return take_matrix(s);
}

int mige_score_check(int M, int D, const mige_score_options *o) {
    enum mige_solver solver = o->eigen.solver;
    int stein = o->estimator == MIGE_ESTIMATOR_STEIN;
    MIGE_CHECK(M >= 1 && D >= 1 && o->width >= 0 && o->width_scale > 0, MIGE_EUSAGE,
               "score: %d samples in %d dimensions, width %g x %g are not possible", M, D, o->width,
               o->width_scale);
    MIGE_CHECK((int64_t)M * (D + 1) <= INT_MAX, MIGE_EUSAGE,
               "score: %d samples in %d dimensions are more than 2^31 numbers", M, D);
    MIGE_CHECK(!stein || (o->eta > 0 && o->iterations >= 1), MIGE_EUSAGE,
               "score: eta %g, %d iterations are not possible", o->eta, o->iterations);
    MIGE_CHECK(stein || (solver != MIGE_SOLVER_CHOLESKY && solver != MIGE_SOLVER_CG), MIGE_EUSAGE,
               "score: solvers cholesky and cg are those of estimator stein");
    MIGE_CHECK(!stein || (solver != MIGE_SOLVER_SUBSPACE && solver != MIGE_SOLVER_FILTER), MIGE_EUSAGE,
               "score: estimator stein has solvers cholesky and cg");
    MIGE_CHECK(o->estimator != MIGE_ESTIMATOR_SSM || o->plugin, MIGE_EUSAGE,
               "score: estimator ssm is not part of this program");
    return MIGE_OK;
}

static int create(mige_score *s) {
    if (s->o.estimator == MIGE_ESTIMATOR_SSM)
        MIGE_TRY(s->o.plugin->create(s->c, s->M, s->D, s->o.plugin->options, &s->plugin));
    else if (s->o.estimator == MIGE_ESTIMATOR_STEIN)
        MIGE_TRY(mige_grid_create_row(s->c, s->M, stein_ranks(s->M, s->c->size), stein_nb(s->M), &s->grid));
    else
        MIGE_TRY(mige_eigen_create(s->c, s->M, &s->o.eigen, &s->eigen));
    return mige_agree(s->c, take_memory(s));
}

int mige_score_create(const mige_comm *c, int M, int D, const mige_score_options *o, mige_score **out) {
    mige_score *s = NULL;
    *out = NULL;
    int err = mige_alloc(1, sizeof *s, &s);
    if (!err) err = mige_score_check(M, D, o);
    err = mige_agree(c, err);
    if (err) {
        free(s);
        return err;
    }
    *s = (mige_score){.c = c, .o = *o, .M = M, .D = D};
    err = create(s);
    if (err) mige_score_destroy(&s);
    *out = s;
    return err;
}

void mige_score_destroy(mige_score **out) {
    mige_score *s = *out;
    if (!s) return;
    if (s->plugin) s->o.plugin->destroy(&s->plugin);
    kernel_destroy(&s->kernel);
    cg_destroy(&s->cg);
    mige_eigen_destroy(&s->eigen);
    mige_matrix_destroy(&s->gram);
    mige_grid_destroy(&s->grid);
    double *blocks[] = {s->X, s->shift, s->V, s->B, s->C, s->A, s->work};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    free(s->pivots);
    free(s);
    *out = NULL;
}

/* v [n][D]: each dimension sorted by itself, by exchanges of neighbours (odd and even in turn), in all dimensions
 * at once. */
MIGE_CLONES static void sort_rows(int n, int D, double *v) {
    for (int round = 0; round < n; round++)
        for (int i = round % 2; i + 1 < n; i += 2) {
            double *restrict a = v + (size_t)i * (size_t)D, *restrict b = a + D;
#pragma omp simd
            for (int d = 0; d < D; d++) {
                double x = a[d], y = b[d];
                a[d] = x < y ? x : y;
                b[d] = x < y ? y : x;
            }
        }
}

/* Distances are differences of products, so that the samples are first moved to about the origin: to the median of
 * a few of them, dimension by dimension, which no outlier can carry off. */
static void centre(mige_score *s, const double *X) {
    enum { FEW = 31 };
    size_t D = (size_t)s->D;
    int n = s->M < FEW ? s->M : FEW;
    for (int i = 0; i < n; i++)
        memcpy(s->X + (size_t)i * D, X + (size_t)((int64_t)i * s->M / n) * D, D * sizeof *X);
    sort_rows(n, s->D, s->X);
    memcpy(s->shift, s->X + (size_t)(n / 2) * D, D * sizeof *X);
    for (size_t m = 0; m < (size_t)s->M; m++)
        for (size_t d = 0; d < D; d++) s->X[m * D + d] = X[m * D + d] - s->shift[d];
}

int score_check_rows(int n, int D, const double *X, const char *what) {
    for (int m = 0; m < n; m++) {
        double sum = 0;
        for (int d = 0; d < D; d++) sum += X[(size_t)m * (size_t)D + (size_t)d] * 0;
        MIGE_CHECK(sum == 0, MIGE_EINPUT, "score: %s row %d is not finite (remove it or mend it)", what, m);
    }
    return MIGE_OK;
}

static int check_width(const mige_score *s, double w2) {
    MIGE_CHECK(s->o.width == 0 || (w2 > 0 && isfinite(w2)), MIGE_ENUMERIC,
               "score: the square of width %g is not a number", s->o.width);
    MIGE_CHECK(
        w2 > 0 && isfinite(w2), MIGE_ENUMERIC,
        "score: the median distance of %d samples in %d dimensions is %g (samples collapsed, or huge; a fixed "
        "--width goes on)",
        s->M, s->D, s->info.width);
    return MIGE_OK;
}

/* Squares of distances must be numbers. */
static int check_norms(const mige_score *s) {
    for (int m = 0; m < s->M; m++) {
        double sum = 0;
        for (int d = 0; d < s->D; d++)
            sum += s->X[(size_t)m * (size_t)s->D + (size_t)d] * s->X[(size_t)m * (size_t)s->D + (size_t)d];
        MIGE_CHECK(sum < 1e300, MIGE_ENUMERIC,
                   "score: sample row %d is too far from the others, its square overflows (scale the samples)", m);
    }
    return MIGE_OK;
}

/* K and its width. */
static int gram(mige_score *s) {
    double d2 = 0;
    s->kernel.X = s->X;
    s->info.width = s->o.width;
    MIGE_TRY(kernel_distances(&s->kernel, s->o.width == 0 ? &d2 : NULL));
    if (s->o.width == 0) /* one sample: its score is 0 at any width */
        s->info.width = s->M == 1 ? 1 : sqrt(d2) * s->o.width_scale;
    double w2 = s->info.width * s->info.width;
    MIGE_TRY(mige_agree(s->c, check_width(s, w2)));
    s->scale = 1 / (2 * w2);
    kernel_exponential(&s->kernel, s->scale);
    return MIGE_OK;
}

/* B = (diag(K 1) X - K X) / w^2, [M][D], on every rank. */
static int rhs(mige_score *s) {
    size_t D = (size_t)s->D, E = D + 1;
    for (size_t m = 0; m < (size_t)s->M; m++) {
        memcpy(s->V + m * E, s->X + m * D, D * sizeof *s->V);
        s->V[m * E + D] = 1;
    }
    MIGE_TRY(kernel_multiply(&s->kernel, s->scale, (int)E, s->V, s->B));
    for (size_t m = 0; m < (size_t)s->M; m++) { /* rows shrink from D + 1 to D in place */
        double k1 = s->B[m * E + D];
        for (size_t d = 0; d < D; d++) s->B[m * D + d] = (k1 * s->X[m * D + d] - s->B[m * E + d]) * 2 * s->scale;
    }
    return MIGE_OK;
}

int score_check_scores(const mige_score *s, size_t n, const double *S) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += S[i] * 0;
    MIGE_CHECK(sum == 0, MIGE_ENUMERIC, "score: not finite, with J %d and width %g (a lower --threshold may help)",
               s->info.pairs.J, s->info.width);
    return MIGE_OK;
}

static int by_eigenpairs(mige_score *s, double *S) {
    double M = s->M, D = s->D;
    mige_clock_start(MIGE_PHASE_EIGEN);
    MIGE_TRY(mige_eigen_solve(s->eigen, M, &s->info.pairs));
    mige_clock_stop(MIGE_PHASE_EIGEN, s->info.pairs.flops / s->c->size);
    mige_clock_start(MIGE_PHASE_APPLY);
    MIGE_TRY(mige_eigen_apply(s->eigen, 1, s->D, s->B, S));
    double J = s->info.pairs.U ? s->info.pairs.J : M; /* the filter's products are with all of Q */
    mige_clock_stop(MIGE_PHASE_APPLY, 4 * M * D * J / s->c->size);
    return MIGE_OK;
}

/* Fewer samples than this many a dimension leave Stein's identity near singular; then it is mixed with its scalar
 * form. */
static const double FEW_SAMPLES = 2.5, MIX = 0.05;

static int calibrate(mige_score *s, double *S) {
    if (!s->o.calibrate || s->M == 1) return MIGE_OK;
    double g = s->M < FEW_SAMPLES * s->D ? MIX : 0;
    MIGE_TRY(mige_agree(s->c, calibrate_find(s->o.calibrate, g, s->M, s->D, s->X, S, s->A, s->work, s->pivots)));
    calibrate_apply(s->M, s->D, s->A, S, s->work);
    return MIGE_OK;
}

static int by_kernel(mige_score *s, double *S) {
    double M = s->M, D = s->D;
    mige_clock_start(MIGE_PHASE_GRAM);
    MIGE_TRY(gram(s));
    MIGE_TRY(rhs(s));
    mige_clock_stop(MIGE_PHASE_GRAM, 3 * M * M * D / s->c->size);
    MIGE_TRY(s->eigen ? by_eigenpairs(s, S) : stein_solve(s, S));
    for (size_t i = 0; i < (size_t)s->M * (size_t)s->D; i++) S[i] = -S[i];
    return MIGE_OK;
}

int mige_score_samples(mige_score *s, const double *X, double *S) {
    MIGE_TRY(mige_agree(s->c, score_check_rows(s->M, s->D, X, "sample")));
    s->has_C = 0;
    centre(s, X);
    MIGE_TRY(mige_agree(s->c, check_norms(s)));
    if (s->plugin)
        MIGE_TRY(s->o.plugin->samples(s->plugin, X, S));
    else
        MIGE_TRY(by_kernel(s, S));
    MIGE_TRY(mige_agree(s->c, score_check_scores(s, (size_t)s->M * (size_t)s->D, S)));
    return calibrate(s, S);
}

const mige_score_info *mige_score_last(const mige_score *s) {
    return &s->info;
}
