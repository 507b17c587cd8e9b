#include "score/score.h"
#include "base/simd.h"
#include "mige/error.h"
#include "mige/options.h"
#include "score/kernel.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_ROW(NAME, name) &name##_ops,
static const estimator_ops *const table[MIGE_NUM_ESTIMATORS] = {MIGE_ESTIMATOR_ROWS(TABLE_ROW)};

const mige_estimator_facts *mige_estimator_get(enum mige_estimator e) {
    return &table[e]->facts;
}

mige_score_options mige_score_defaults(void) {
    return (mige_score_options){.eigen = mige_eigen_defaults(),
                                .stein = {.eta = 0.01, .iterations = 3, .tolerance = 5e-5},
                                .ssm = {2000, 256, 1e-3},
                                .width_scale = 1,
                                .seed = 1};
}

int mige_score_set_solver(mige_score_options *o, const char *name) {
    const mige_estimator_facts *f = &table[o->estimator]->facts;
    int i = mige_options_place(f->solvers, name, strlen(name));
    MIGE_CHECK(i >= 0, MIGE_EUSAGE, "solver: %s is none of the solvers of estimator %s: %s", name, f->name,
               f->solvers);
    if (table[o->estimator]->solver) memcpy((char *)o + table[o->estimator]->solver, &i, sizeof i);
    return MIGE_OK;
}

mige_score_plan mige_score_forecast(int M, int D, int ranks, const mige_score_options *o) {
    double calibration = o->calibrate == MIGE_CALIBRATE_STEIN ? 8. * (D * (double)D + fmax(M, D + 2) * D) : 0;
    mige_score_plan p = table[o->estimator]->plan(M, D, ranks, o);
    p.bytes += 8. * M * D + calibration;
    return p;
}

int mige_score_check(int M, int D, const mige_score_options *o) {
    MIGE_CHECK(M >= 1 && D >= 1 && o->width >= 0 && o->width_scale > 0, MIGE_EUSAGE,
               "score: %d samples in %d dimensions, width %g x %g are not possible", M, D, o->width,
               o->width_scale);
    MIGE_CHECK((int64_t)M * (D + 1) <= INT_MAX, MIGE_EUSAGE,
               "score: %d samples in %d dimensions are more than 2^31 numbers", M, D);
    return table[o->estimator]->check ? table[o->estimator]->check(o) : MIGE_OK;
}

static int take_memory(const mige_comm *c, int M, int D, const mige_score_options *o, mige_score **out) {
    size_t m = (size_t)M, d = (size_t)D;
    MIGE_TRY(mige_score_check(M, D, o));
    MIGE_CHECK(o->precondition == MIGE_PRECONDITION_NONE, MIGE_EUSAGE,
               "score: samples are mapped before and scores after (mige_map_fit, mige_map_scores), not by option "
               "precondition");
    MIGE_TRY(mige_alloc(1, sizeof **out, out));
    mige_score *s = *out;
    *s = (mige_score){.c = c, .ops = table[o->estimator], .o = *o, .M = M, .D = D, .wanted = D, .factor = 1};
    MIGE_TRY(mige_pool_alloc(&s->pool, s->ops->size, 1, &s->self));
    MIGE_TRY(MIGE_TAKE(&s->pool, MIGE_BLOCK(s->X, m * d), MIGE_BLOCK(s->shift, d), MIGE_BLOCK(s->sums, 2 * d)));
    if (o->calibrate != MIGE_CALIBRATE_STEIN || M == 1) return MIGE_OK;
    return MIGE_TAKE(&s->pool, MIGE_BLOCK(s->A, d * d), MIGE_BLOCK(s->work, (m > d + 2 ? m : d + 2) * d),
                     MIGE_BLOCK(s->pivots, d));
}

int mige_score_create(const mige_comm *c, int M, int D, const mige_score_options *o, mige_score **s) {
    *s = NULL;
    int err = mige_agree(c, take_memory(c, M, D, o, s));
    if (!err) err = (*s)->ops->create(*s);
    if (err) mige_score_destroy(s);
    return err;
}

void mige_score_destroy(mige_score **out) {
    mige_score *s = *out;
    if (!s) return;
    if (s->self && s->ops->destroy) s->ops->destroy(s->self);
    mige_pool_free(&s->pool);
    free(s);
    *out = NULL;
}

void mige_score_want(mige_score *s, int first, int wanted) {
    s->first = first;
    s->wanted = wanted;
}

void score_take_wanted(const mige_score *s, double *rows) {
    size_t D = (size_t)s->D, n = (size_t)s->wanted, M = (size_t)s->M;
    for (size_t m = 0; n < D && m < M; m++) memmove(rows + m * n, rows + m * D + s->first, n * sizeof *rows);
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
    int m = 0;
    if (!mige_not_finite((size_t)n * (size_t)D, X)) return MIGE_OK;
    while (!mige_not_finite((size_t)D, X + (size_t)m * (size_t)D)) m++;
    return mige_raise(MIGE_EINPUT, "score: %s row %d is not finite (remove it or mend it)", what, m);
}

/* Squares of distances must be numbers. */
static int check_norms(const mige_score *s) {
    for (int m = 0; m < s->M; m++) {
        double sum;
        kernel_norms(1, s->D, s->X + (size_t)m * (size_t)s->D, &sum);
        MIGE_CHECK(sum < 1e300, MIGE_ENUMERIC,
                   "score: sample row %d is too far from the others, its square overflows (scale the samples)", m);
    }
    return MIGE_OK;
}

static int check_scores(const mige_score *s, size_t n, const double *S) {
    MIGE_CHECK(!mige_not_finite(n, S), MIGE_ENUMERIC, "score: not finite, with J %d and width %g (%s)",
               s->info.pairs.J, s->info.width,
               s->info.pairs.J ? "fewer eigenvalues may help" : "scale the samples");
    return MIGE_OK;
}

/* The inner product; x and s are added to sx and ss. */
MIGE_CLONES static double product(size_t n, const double *restrict x, const double *restrict s, double *restrict sx,
                                  double *restrict ss) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t d = 0; d < n; d++) {
        sum += x[d] * s[d];
        sx[d] += x[d];
        ss[d] += s[d];
    }
    return sum;
}

/* -(1/D) mean of s(x)'(x - mean), over the columns that are wanted: Stein's identity says 1. */
static double share(mige_score *s, const double *S) {
    size_t D = (size_t)s->D, n = (size_t)s->wanted;
    double sum = 0, *sx = s->sums, *ss = sx + n;
    memset(sx, 0, 2 * n * sizeof *sx);
    for (size_t m = 0; m < (size_t)s->M; m++) sum += product(n, s->X + m * D + s->first, S + m * n, sx, ss);
    for (size_t d = 0; d < n; d++) sum -= sx[d] * ss[d] / s->M;
    return -sum / s->M / (double)n;
}

/* Fewer samples than this many a dimension leave Stein's identity near singular; then it is mixed with its scalar
 * form. */
static const double FEW_SAMPLES = 2.5, MIX = 0.05;

static int calibrate(mige_score *s, const double *S) {
    double g = s->M < FEW_SAMPLES * s->D ? MIX : 0;
    if (!s->o.calibrate || s->M == 1) return MIGE_OK;
    MIGE_CHECK(s->info.stein > 0, MIGE_ENUMERIC,
               "score: the scores cannot be calibrated, their Stein trace is %g (do without)",
               -s->info.stein * s->D);
    s->factor = 1 / s->info.stein;
    return s->A ? calibrate_find(g, s->M, s->D, s->X, S, s->A, s->work, s->pivots) : MIGE_OK;
}

static void multiply(mige_score *s, int n, double *S) {
    size_t D = (size_t)s->D;
    for (size_t i = 0; !s->A && s->factor != 1 && i < (size_t)n * D; i++) S[i] *= s->factor;
    for (int from = 0; s->A && from < n; from += s->M)
        calibrate_apply(n - from < s->M ? n - from : s->M, s->D, s->A, S + (size_t)from * D, s->work);
}

int mige_score_samples(mige_score *s, const double *X, double *S) {
    s->solved = 0;
    MIGE_TRY(mige_agree(s->c, score_check_rows(s->M, s->D, X, "sample")));
    centre(s, X);
    MIGE_TRY(mige_agree(s->c, check_norms(s)));
    MIGE_TRY(s->ops->samples(s, X, S));
    MIGE_TRY(mige_agree(s->c, check_scores(s, (size_t)s->M * (size_t)s->wanted, S)));
    s->info.stein = share(s, S);
    MIGE_TRY(mige_agree(s->c, calibrate(s, S)));
    multiply(s, s->M, S);
    s->solved = 1;
    return MIGE_OK;
}

int mige_score_points(mige_score *s, int Q, const double *P, double *S) {
    MIGE_CHECK(s->solved && s->wanted == s->D, MIGE_EUSAGE,
               "score: scores at points come after those of samples, of all columns");
    MIGE_TRY(mige_agree(s->c, score_check_rows(Q, s->D, P, "point")));
    MIGE_TRY(s->ops->points(s, Q, P, S));
    multiply(s, Q, S);
    return mige_agree(s->c, check_scores(s, (size_t)Q * (size_t)s->D, S));
}

int mige_score_hessian(mige_score *s, int Q, const double *P, double *H) {
    MIGE_CHECK(s->ops->hessian, MIGE_EUSAGE, "score: estimator %s has no second derivatives (another)",
               s->ops->facts.name);
    MIGE_CHECK(s->solved, MIGE_EUSAGE, "score: second derivatives come after scores of samples");
    MIGE_TRY(mige_agree(s->c, score_check_rows(Q, s->D, P, "point")));
    MIGE_TRY(s->ops->hessian(s, Q, P, H));
    return mige_agree(s->c, check_scores(s, (size_t)Q * (size_t)s->D, H));
}

const mige_score_info *mige_score_last(const mige_score *s) {
    return &s->info;
}
