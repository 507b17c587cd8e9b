#include "mige/clock.h"
#include "mige/error.h"
#include "mige/score.h"
#include "score/calibrate.h"
#include "score/kernel.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct mige_score {
    const mige_comm *c;
    mige_score_options o;
    int M, D;
    mige_eigen *eigen; /* ssge: has the Gram matrix */
    mige_grid grid;    /* stein: has it itself */
    mige_matrix gram;
    mige_score_info info;
    double *X;           /* [M][D] the samples, centred */
    double *shift;       /* [D] the point subtracted */
    double *rows, *cols; /* [ml][D + 1], [nl][D + 1] of K's rows and columns */
    double *norms;       /* [ml + nl] */
    double *B;           /* [M][D + 1]: K X and K 1, then B in the first D of each row's own [D] */
    double *part;        /* [max(ml, nl)][D + 1] a local product */
    double *C; /* [M][D]: what k(q,X) is multiplied by for other points: ssge -U_J diag(1/lambda^2) U_J' B, made
                * when first asked for; stein sum_i (k - i) Z_i */
    int has_C;
    double *A, *work; /* calibration: [D][D], its scratch [max(M, D + 2)][D] */
    int *pivots;
};

static mige_matrix *gram_matrix(mige_score *s) {
    return s->eigen ? mige_eigen_matrix(s->eigen) : &s->gram;
}

mige_score_options mige_score_defaults(void) {
    return (mige_score_options){.eigen = mige_eigen_defaults(), .eta = 0.01, .iterations = 3, .width_scale = 1};
}

double mige_score_bytes(int M, int D, int ranks, const mige_score_options *o) {
    return mige_eigen_bytes(M, ranks, &o->eigen) + 8. * M * (3. * D + 3 * (D + 1)) + 16. * M;
}

static int take_memory(mige_score *s) {
    if (!s->eigen) MIGE_TRY(mige_matrix_create(&s->grid, s->M, s->M, &s->gram));
    const mige_matrix *K = gram_matrix(s);
    size_t M = (size_t)s->M, D = (size_t)s->D, ml = (size_t)K->ml, nl = (size_t)K->nl;
    MIGE_TRY(mige_alloc(M * D, sizeof *s->X, &s->X));
    MIGE_TRY(mige_alloc(D, sizeof *s->shift, &s->shift));
    MIGE_TRY(mige_alloc(ml * (D + 1), sizeof *s->rows, &s->rows));
    MIGE_TRY(mige_alloc(nl * (D + 1), sizeof *s->cols, &s->cols));
    MIGE_TRY(mige_alloc(ml + nl, sizeof *s->norms, &s->norms));
    MIGE_TRY(mige_alloc(M * (D + 1), sizeof *s->B, &s->B));
    if (!s->eigen) MIGE_TRY(mige_alloc(M * D, sizeof *s->C, &s->C));
    if (s->o.calibrate) {
        MIGE_TRY(mige_alloc(D * D, sizeof *s->A, &s->A));
        MIGE_TRY(mige_alloc((M > D + 2 ? M : D + 2) * D, sizeof *s->work, &s->work));
        MIGE_TRY(mige_alloc(D, sizeof *s->pivots, &s->pivots));
    }
    return mige_alloc((ml > nl ? ml : nl) * (D + 1), sizeof *s->part, &s->part);
}

/* stein: below this order one rank's Cholesky is as fast as many ranks'. */
enum { WORTH_DISTRIBUTING = 1024 };

int mige_score_create(const mige_comm *c, int M, int D, const mige_score_options *o, mige_score **out) {
    mige_score *s = NULL;
    *out = NULL;
    int err = mige_alloc(1, sizeof *s, &s);
    if (!err && (M < 1 || D < 1 || o->width < 0 || !(o->width_scale > 0)))
        err = mige_raise(MIGE_EUSAGE, "score: %d samples in %d dimensions, width %g x %g are not possible", M, D,
                         o->width, o->width_scale);
    err = mige_agree(c, err);
    if (err) {
        free(s);
        return err;
    }
    s->c = c;
    s->o = *o;
    s->M = M;
    s->D = D;
    if (o->estimator == MIGE_ESTIMATOR_STEIN)
        err = mige_grid_create(c, M, M < WORTH_DISTRIBUTING ? 1 : c->size, &s->grid);
    else
        err = mige_eigen_create(c, M, &o->eigen, &s->eigen);
    if (!err) err = mige_agree(c, take_memory(s));
    if (err) mige_score_destroy(&s);
    *out = s;
    return err;
}

void mige_score_destroy(mige_score **out) {
    mige_score *s = *out;
    if (!s) return;
    mige_eigen_destroy(&s->eigen);
    mige_matrix_destroy(&s->gram);
    mige_grid_destroy(&s->grid);
    free(s->X);
    free(s->shift);
    free(s->rows);
    free(s->cols);
    free(s->norms);
    free(s->B);
    free(s->part);
    free(s->C);
    free(s->A);
    free(s->work);
    free(s->pivots);
    free(s);
    *out = NULL;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Distances are differences of products, so that the samples are first moved to about the origin: to the median of
 * a few of them, dimension by dimension, which no outlier can carry off. */
static void centre(mige_score *s, const double *X) {
    enum { FEW = 31 };
    int n = s->M < FEW ? s->M : FEW;
    for (int d = 0; d < s->D; d++) {
        double v[FEW] = {0};
        for (int i = 0; i < n; i++) v[i] = X[(size_t)((int64_t)i * s->M / n) * (size_t)s->D + (size_t)d];
        qsort(v, (size_t)n, sizeof *v, compare);
        s->shift[d] = v[n / 2];
    }
    for (int m = 0; m < s->M; m++)
        for (int d = 0; d < s->D; d++) {
            size_t i = (size_t)m * (size_t)s->D + (size_t)d;
            s->X[i] = X[i] - s->shift[d];
        }
}

static int check_rows(int n, int D, const double *X, const char *what) {
    for (int m = 0; m < n; m++) {
        double sum = 0;
        for (int d = 0; d < D; d++) sum += X[(size_t)m * (size_t)D + (size_t)d] * 0;
        MIGE_CHECK(sum == 0, MIGE_EINPUT, "score: %s row %d is not finite (remove it or mend it)", what, m);
    }
    return MIGE_OK;
}

static int check_width(const mige_score *s, double w2) {
    MIGE_CHECK(
        w2 > 0 && isfinite(w2), MIGE_ENUMERIC,
        "score: the median distance of %d samples in %d dimensions is %g (samples collapsed, or huge; a fixed "
        "--width goes on)",
        s->M, s->D, s->info.width);
    return MIGE_OK;
}

/* K, its width, and what every rank of the grid adds to K [X 1] in B. */
static int gram(mige_score *s) {
    mige_matrix *K = gram_matrix(s);
    int D = s->D;
    kernel_gather_rows(K, s->X, D, s->rows, D);
    kernel_gather_cols(K, s->X, D, s->cols, D);
    kernel_distances(K, D, s->rows, s->cols, s->norms);
    double d2;
    s->info.width = s->o.width;
    if (s->o.width == 0) {
        MIGE_TRY(kernel_median(s->c, K, &d2));
        s->info.width = s->M == 1 ? 1 : sqrt(d2) * s->o.width_scale; /* one sample: its score is 0 at any width */
    }
    double w2 = s->info.width * s->info.width;
    MIGE_TRY(mige_agree(s->c, check_width(s, w2)));
    kernel_exp((size_t)K->lld * (size_t)K->nl, 1 / (2 * w2), K->a);
    return MIGE_OK;
}

/* B = (diag(K 1) X - K X) / w^2, [M][D], on every rank. */
static int rhs(mige_score *s) {
    const mige_matrix *K = gram_matrix(s);
    int D = s->D, E = D + 1;
    size_t M = (size_t)s->M;
    memset(s->B, 0, M * (size_t)E * sizeof *s->B);
    if (K->ml && K->nl) {
        kernel_gather_cols(K, s->X, D, s->cols, E);
        for (int jl = 0; jl < K->nl; jl++) s->cols[(size_t)jl * (size_t)E + (size_t)D] = 1;
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, E, K->ml, K->nl, 1, s->cols, E, K->a, K->lld, 0,
                    s->part, E);
        for (int il = 0; il < K->ml; il++)
            memcpy(s->B + (size_t)mige_row(K, il) * (size_t)E, s->part + (size_t)il * (size_t)E,
                   (size_t)E * sizeof *s->B);
    }
    MIGE_TRY(mige_sum(s->c, s->B, M * (size_t)E));
    double w2 = s->info.width * s->info.width;
    for (size_t m = 0; m < M; m++) { /* rows shrink from D + 1 to D in place */
        double k1 = s->B[m * (size_t)E + (size_t)D];
        for (size_t d = 0; d < (size_t)D; d++)
            s->B[m * (size_t)D + d] = (k1 * s->X[m * (size_t)D + d] - s->B[m * (size_t)E + d]) / w2;
    }
    return MIGE_OK;
}

static int check_scores(const mige_score *s, size_t n, const double *S) {
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
    mige_clock_stop(MIGE_PHASE_APPLY, 4 * M * D * s->info.pairs.J / s->c->size);
    return MIGE_OK;
}

/* Z_0 = (K + eta)^-1 B, Z_i = eta (K + eta)^-1 Z_(i-1), since B - K Y_i = eta Z_(i-1); S = sum of Z_i. */
static int by_cholesky(mige_score *s, double *S) {
    double M = s->M, D = s->D, eta = s->o.eta;
    int k = s->o.iterations;
    size_t n = (size_t)s->M * (size_t)s->D;
    mige_clock_start(MIGE_PHASE_EIGEN);
    MIGE_TRY(mige_cholesky_factor(s->c, &s->gram, eta));
    mige_clock_stop(MIGE_PHASE_EIGEN, M * M * M / 3 / s->c->size);
    mige_clock_start(MIGE_PHASE_APPLY);
    double *Z = s->B; /* b(q) at other points comes from k(q,X) itself */
    memset(S, 0, n * sizeof *S);
    memset(s->C, 0, n * sizeof *S);
    for (int i = 0; i < k; i++) {
        MIGE_TRY(mige_cholesky_solve(s->c, &s->gram, s->D, Z));
        cblas_daxpy((int)n, 1, Z, 1, S, 1);
        cblas_daxpy((int)n, k - i, Z, 1, s->C, 1);
        cblas_dscal((int)n, eta, Z, 1);
    }
    mige_clock_stop(MIGE_PHASE_APPLY, 2 * M * M * D * k / s->c->size);
    s->info.pairs = (mige_eigenpairs){.residual = -1, .orthogonality = -1};
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

int mige_score_samples(mige_score *s, const double *X, double *S) {
    double M = s->M, D = s->D;
    MIGE_TRY(mige_agree(s->c, check_rows(s->M, s->D, X, "sample")));
    s->has_C = 0;
    centre(s, X);
    mige_clock_start(MIGE_PHASE_GRAM);
    MIGE_TRY(gram(s));
    MIGE_TRY(rhs(s));
    mige_clock_stop(MIGE_PHASE_GRAM, 4 * M * M * D / s->c->size);
    MIGE_TRY(s->eigen ? by_eigenpairs(s, S) : by_cholesky(s, S));
    for (size_t i = 0; i < (size_t)s->M * (size_t)s->D; i++) S[i] = -S[i];
    MIGE_TRY(mige_agree(s->c, check_scores(s, (size_t)s->M * (size_t)s->D, S)));
    return calibrate(s, S);
}

/* stein: S <- -(iterations b(q) - k C) / eta, from S = -k C; b(q) = (k(q,X) 1 q - k(q,X) X) / w^2. */
static void add_prior(const mige_score *s, int n, const double *k, const double *q, double *S) {
    int M = s->M, D = s->D;
    double f = s->o.iterations / (s->info.width * s->info.width * s->o.eta);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, D, M, f, k, M, s->X, D, -1 / s->o.eta, S, D);
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int m = 0; m < M; m++) sum += k[(size_t)i * (size_t)M + (size_t)m];
        cblas_daxpy(D, -f * sum, q + (size_t)i * (size_t)D, 1, S + (size_t)i * (size_t)D, 1);
    }
}

/* Scores of n points; the kernel matrix k [n][M], the shifted points q [n][D] and norms [n + M] are scratch, the
 * last M norms those of X. */
static int points_piece(mige_score *s, int n, const double *P, double *k, double *q, double *norms, double *S) {
    int M = s->M, D = s->D;
    for (int i = 0; i < n; i++)
        for (int d = 0; d < D; d++)
            q[(size_t)i * (size_t)D + (size_t)d] = P[(size_t)i * (size_t)D + (size_t)d] - s->shift[d];
    kernel_norms(n, D, q, norms);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, M, D, -2, q, D, s->X, D, 0, k, M);
    for (int i = 0; i < n; i++)
        for (int m = 0; m < M; m++) {
            double *d2 = &k[(size_t)i * (size_t)M + (size_t)m];
            *d2 = fmax(0, *d2 + norms[i] + norms[n + m]);
        }
    kernel_exp((size_t)n * (size_t)M, 1 / (2 * s->info.width * s->info.width), k);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, D, M, -1, k, M, s->C, D, 0, S, D);
    if (!s->eigen) add_prior(s, n, k, q, S);
    if (s->o.calibrate && M > 1) calibrate_apply(n, D, s->A, S, q);
    return MIGE_OK;
}

static int my_points(mige_score *s, int n, const double *P, double *S) {
    enum { PIECE = 256 };
    int piece = n < PIECE ? n : PIECE, err = MIGE_OK;
    double *k = NULL, *q = NULL, *norms = NULL;
    size_t M = (size_t)s->M, D = (size_t)s->D;
    MIGE_TRY_GOTO(mige_alloc((size_t)piece * M, sizeof *k, &k), done);
    MIGE_TRY_GOTO(mige_alloc((size_t)piece * D, sizeof *q, &q), done);
    MIGE_TRY_GOTO(mige_alloc((size_t)piece + M, sizeof *norms, &norms), done);
    for (int i = 0; i < n; i += PIECE) {
        int count = n - i < PIECE ? n - i : PIECE;
        kernel_norms(s->M, s->D, s->X, norms + count);
        MIGE_TRY_GOTO(points_piece(s, count, P + (size_t)i * D, k, q, norms, S + (size_t)i * D), done);
    }
done:
    free(k);
    free(q);
    free(norms);
    return err;
}

int mige_score_points(mige_score *s, int Q, const double *P, double *S) {
    size_t D = (size_t)s->D;
    double *mine = NULL;
    int64_t first, count;
    mige_share(Q, s->c->size, s->c->rank, &first, &count);
    int err = check_rows(Q, s->D, P, "point");
    if (!err && !s->C) err = mige_alloc((size_t)s->M * D, sizeof *s->C, &s->C);
    if (!err) err = mige_alloc((size_t)count * D, sizeof *mine, &mine);
    err = mige_agree(s->c, err);
    if (!err && !s->has_C && s->eigen) err = mige_eigen_apply(s->eigen, 2, s->D, s->B, s->C);
    s->has_C = !err;
    if (!err) err = mige_agree(s->c, my_points(s, (int)count, P + (size_t)first * D, mine));
    if (!err) err = mige_gather_rows(s->c, Q, s->D, mine, S);
    if (!err) err = mige_agree(s->c, check_scores(s, (size_t)Q * D, S));
    free(mine);
    return err;
}

const mige_score_info *mige_score_last(const mige_score *s) {
    return &s->info;
}
