#include "study/truth.h"
#include "mige/clock.h"
#include "mige/rng.h"
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dgeqrf_(const int *m, const int *n, double *a, const int *lda, double *tau, double *work, const int *lwork,
             int *info);
void dorgqr_(const int *m, const int *n, const int *k, double *a, const int *lda, const double *tau, double *work,
             const int *lwork, int *info);

/* In the order of TRUTH_PROBLEMS. */
enum {
    GAUSSIAN,
    CUBIC,
    ASINH,
    SINE,
    RADIAL,
    SCALED,
    CDF,
    HALF_CUBE,
    SPIRAL,
    SPARSE,
    DENSE,
    STUDENT2,
    STUDENT3,
    ADDITIVE
};
static const uint64_t ROTATION_STREAM = UINT32_MAX; /* the last: no draw of samples gets so far */

/* Q of a Gaussian matrix's QR, the signs so that R's diagonal is positive: uniform over all rotations. */
static int orthogonal(int D, double *Q) {
    double *tau, *sign, *work;
    int lwork = 64 * D, info = 0;
    mige_pool pool = {0};
    int err = MIGE_TAKE(&pool, MIGE_BLOCK(tau, D), MIGE_BLOCK(sign, D), MIGE_BLOCK(work, lwork));
    if (!err) dgeqrf_(&D, &D, Q, &D, tau, work, &lwork, &info);
    for (int i = 0; !err && i < D; i++) sign[i] = Q[(size_t)i * (size_t)D + (size_t)i] < 0 ? -1 : 1;
    if (!err && !info) dorgqr_(&D, &D, &D, Q, &D, tau, work, &lwork, &info);
    if (info) err = mige_raise(MIGE_EFAIL, "rotation: LAPACK's QR failed (%d)", info);
    for (int i = 0; !err && i < D; i++) cblas_dscal(D, sign[i], Q + (size_t)i * (size_t)D, 1);
    mige_pool_free(&pool);
    return err;
}

int truth_create(int kind, int rotate, int D, uint64_t seed, truth_problem *k) {
    *k = (truth_problem){.kind = kind, .D = D};
    if (!rotate) return MIGE_OK;
    MIGE_TRY(mige_alloc((size_t)D * (size_t)D, sizeof *k->rotation, &k->rotation));
    for (int i = 0; i < D; i++)
        mige_rng_normal(seed, MIGE_RNG_SAMPLE, ROTATION_STREAM, (uint64_t)i, (size_t)D,
                        k->rotation + (size_t)i * (size_t)D);
    int err = orthogonal(D, k->rotation);
    if (err) truth_destroy(k);
    return err;
}

void truth_destroy(truth_problem *k) {
    free(k->rotation);
    k->rotation = NULL;
}

static double cdf(double u) {
    return 0.5 * erfc(-u * M_SQRT1_2);
}

/* A map of each dimension by itself, of a problem that has one: u to its value, and its slope. */
static double map_one(int kind, double u, double place, double *slope) {
    switch (kind) {
    case CUBIC:
        *slope = 3 * u * u;
        return u * u * u;
    case ASINH:
        *slope = 1 / sqrt(1 + u * u);
        return asinh(u);
    case SINE:
        *slope = 1 + 0.8 * cos(2 * u);
        return u + 0.4 * sin(2 * u);
    case SCALED:
        *slope = pow(10, -1 + 2 * place);
        return *slope * u;
    case CDF:
        *slope = exp(-0.5 * u * u) / sqrt(2 * M_PI);
        return cdf(u);
    case HALF_CUBE:
        *slope = 1.5 * sqrt(fabs(u));
        return copysign(pow(fabs(u), 1.5), u);
    default:
        *slope = 1;
        return u;
    }
}

/* The radial map turns back at |y|^2 = D, where it takes y and D y / |y|^2 to the same place: it is kept as it was
 * given, but loses information, and the true gradient is about 0.45/D of it below what is given as the truth
 * (computed from both branches: 1.4 % in 32 dimensions). */
static void map_radial(int D, double *y, double *dy) {
    double square = cblas_ddot(D, y, 1, y, 1) / D, along = 2 * cblas_ddot(D, y, 1, dy, 1) / D, r = 1 / (1 + square);
    for (int i = 0; i < D; i++) {
        double u = y[i] * r;
        dy[i] = r * dy[i] - u * r * along;
        y[i] = u;
    }
}

/* Turns the plane of dimensions `first` and the next, or the last two, by |y|^2 / D. */
static void map_spiral(int D, int first, double *y, double *dy) {
    double angle = cblas_ddot(D, y, 1, y, 1) / D, turn = 2 * cblas_ddot(D, y, 1, dy, 1) / D, c = cos(angle),
           s = sin(angle);
    int i = first + 1 < D ? first : D - 2, j = i + 1;
    double u = c * y[i] - s * y[j], v = s * y[i] + c * y[j], du = c * dy[i] - s * dy[j], dv = s * dy[i] + c * dy[j];
    y[i] = u;
    y[j] = v;
    dy[i] = du - turn * v;
    dy[j] = dv + turn * u;
}

/* One sample's maps, and their derivatives applied to dx and dy. */
static void map_sample(int kind, int D, double *x, double *y, double *dx, double *dy) {
    double slope;
    for (int i = 0; i < D; i++) {
        double place = D > 1 ? (double)i / (D - 1) : 0;
        y[i] = map_one(kind, y[i], place, &slope);
        dy[i] *= slope;
        if (kind != CDF && kind != HALF_CUBE) continue;
        x[i] = map_one(kind, x[i], place, &slope);
        dx[i] *= slope;
    }
    if (kind == RADIAL) map_radial(D, y, dy);
    if (kind == SPIRAL) {
        map_spiral(D, 0, x, dx);
        map_spiral(D, 1, y, dy);
    }
}

/* A sample before maps, from normal numbers n [2 D + 3]. */
static void sample(int kind, int D, double rho, const double *n, double *x, double *y, double *dx, double *dy) {
    double rest = sqrt(1 - rho * rho), N = 2. * D, a = sqrt(1 - rho), l = sqrt(1 + (N - 1) * rho), sum = 0;
    double b = (l - a) / N, db = ((N - 1) / l + 1 / a) / (2 * N), scale = 1; /* dense: root of the covariance */
    int freedom = kind == STUDENT2 ? 2 : kind == STUDENT3 ? 3 : 0;
    for (int i = 0; kind == DENSE && i < 2 * D; i++) sum += n[i];
    if (freedom) scale = 1 / sqrt(cblas_ddot(freedom, n + 2 * D, 1, n + 2 * D, 1) / freedom);
    for (int i = 0; i < D; i++) {
        double e = n[D + i];
        x[i] = scale * n[i];
        dx[i] = 0;
        y[i] = scale * (rho * n[i] + rest * e);
        dy[i] = scale * (n[i] - rho / rest * e);
        if (kind == SPARSE && i >= 2) y[i] = e, dy[i] = 0;
        if (kind == DENSE) {
            x[i] = a * n[i] + b * sum, dx[i] = -n[i] / (2 * a) + db * sum;
            y[i] = a * e + b * sum, dy[i] = -e / (2 * a) + db * sum;
        }
        if (kind == ADDITIVE) x[i] = cdf(n[i]), dy[i] = 2 * cdf(e) - 1, y[i] = x[i] + rho * dy[i];
    }
}

/* v = rotation v; scratch [D]. */
static void rotate(const truth_problem *k, double *v, double *scratch) {
    cblas_dgemv(CblasRowMajor, CblasNoTrans, k->D, k->D, 1, k->rotation, k->D, v, 1, 0, scratch, 1);
    memcpy(v, scratch, (size_t)k->D * sizeof *v);
}

int truth_draw(const truth_problem *k, int M, double rho, uint64_t seed, uint64_t stream, double *x, double *y,
               double *dx, double *dy) {
    size_t D = (size_t)k->D;
    double *noise;
    MIGE_TRY(mige_alloc(3 * D + 3, sizeof *noise, &noise));
    for (int m = 0; m < M; m++) {
        double *xm = x + (size_t)m * D, *ym = y + (size_t)m * D, *dm = dy + (size_t)m * D,
               *em = dx ? dx + (size_t)m * D : noise + 2 * D + 3;
        mige_rng_normal(seed, MIGE_RNG_SAMPLE, stream, (uint64_t)m, 2 * D + 3, noise);
        sample(k->kind, k->D, rho, noise, xm, ym, em, dm);
        map_sample(k->kind, k->D, xm, ym, em, dm);
        if (!k->rotation) continue;
        rotate(k, ym, noise);
        rotate(k, dm, noise);
    }
    free(noise);
    return MIGE_OK;
}

int truth_moves_x(int kind) {
    return kind == DENSE;
}

/* How many pairs are correlated by themselves. */
static int pairs(int kind, int D) {
    return kind == SPARSE && D > 2 ? 2 : D;
}

/* ln det of the correlations of n variables, all rho, and its derivative. */
static double dense(int n, double rho, double *slope) {
    *slope = (n - 1) / (1 + (n - 1) * rho) - (n - 1) / (1 - rho);
    return (n - 1) * log1p(-rho) + log1p((n - 1) * rho);
}

static double student(double n) {
    return lgamma(n / 2) - n / 2 * mige_digamma(n / 2);
}

double truth_mi(int kind, int D, double rho) {
    double slope, n = kind - STUDENT2 + 2;
    if (kind == DENSE) return dense(D, rho, &slope) - dense(2 * D, rho, &slope) / 2;
    if (kind == ADDITIVE) return D * (rho <= 0.5 ? rho - log(2 * rho) : 1 / (4 * rho));
    double more = kind == STUDENT2 || kind == STUDENT3 ? student(n) + student(n + 2 * D) - 2 * student(n + D) : 0;
    return -0.5 * pairs(kind, D) * log1p(-rho * rho) + more;
}

double truth_gradient(int kind, int D, double rho) {
    double one, both;
    if (kind == DENSE) {
        (void)dense(D, rho, &one);
        (void)dense(2 * D, rho, &both);
        return one - both / 2;
    }
    if (kind == ADDITIVE) return D * (rho <= 0.5 ? 1 - 1 / rho : -1 / (4 * rho * rho));
    return rho * pairs(kind, D) / (1 - rho * rho);
}

int truth_check(int kind, int D, int n, const double *rho) {
    MIGE_CHECK(kind != SPIRAL || D > 1, MIGE_EUSAGE, "--problem: spiral turns a plane (2 dimensions at least)");
    for (int i = 0; i < n; i++) {
        MIGE_CHECK(kind != DENSE || rho[i] > -1. / (2 * D - 1), MIGE_EUSAGE,
                   "--rho: %g cannot be the correlation of all %d variables of dense (above %g)", rho[i], 2 * D,
                   -1. / (2 * D - 1));
        MIGE_CHECK(kind != ADDITIVE || rho[i] > 0, MIGE_EUSAGE,
                   "--rho: %g is no width of additive's noise (0.1:0.9:8, say)", rho[i]);
    }
    return MIGE_OK;
}

int truth_grid(const char *text, const char *otherwise, int *n, double **rho) {
    double a, b;
    long count;
    int end = 0;
    if (!*text) text = otherwise;
    MIGE_CHECK(sscanf(text, "%lf:%lf:%ld%n", &a, &b, &count, &end) == 3 && end > 0 && !text[end], MIGE_EUSAGE,
               "--rho: \"%s\" is not A:B:N (for example -0.8:0.8:32)", text);
    MIGE_CHECK(fabs(a) < 1 && fabs(b) < 1, MIGE_EUSAGE, "--rho: %s: correlations must lie between -1 and 1", text);
    MIGE_CHECK(count >= 1 && count <= 100000, MIGE_EUSAGE, "--rho: %s: %ld points (1 to 100000)", text, count);
    MIGE_CHECK((count == 1) == (a == b), MIGE_EUSAGE, "--rho: %s: %ld points %s", text, count,
               a == b ? "at one place" : "cannot have two ends");
    MIGE_CHECK(
        fabs(a) > 1e-100 || fabs(b) > 1e-100, MIGE_EUSAGE,
        "--rho: %s: where it is 0 the true gradient is 0, and no error is relative to it (take another, too)",
        text);
    MIGE_TRY(mige_alloc((size_t)count, sizeof **rho, rho));
    *n = (int)count;
    for (int i = 0; i < *n; i++) (*rho)[i] = *n > 1 ? a + (b - a) * i / (*n - 1) : a;
    return MIGE_OK;
}

/* The variables x and y, and their pair. */
#define INFORMATION(D, MOVES)                                                                                      \
    2, ((const mige_mi_variable[]){{"x", D, MOVES}, {"y", D, 1}}), 1, (&(const mige_mi_pair){0, 1})

int truth_estimator_create(const mige_comm *c, int kind, int M, int D, const mige_score_options *o,
                           truth_estimator *e) {
    size_t size = (size_t)M * (size_t)D;
    int moves = truth_moves_x(kind);
    *e = (truth_estimator){.c = c, .M = M, .D = D};
    MIGE_TRY(mige_agree(c, mige_alloc((4 + 2 * (size_t)moves) * size, sizeof *e->x, &e->x)));
    e->y = e->x + size;
    e->dy = e->y + size;
    e->gy = e->dy + size;
    if (moves) e->dx = e->gy + size;
    if (moves) e->gx = e->dx + size;
    return mige_mi_create(c, M, INFORMATION(D, moves), o, &e->mi);
}

void truth_estimator_destroy(truth_estimator *e) {
    mige_mi_destroy(&e->mi);
    free(e->x);
    *e = (truth_estimator){0};
}

double truth_estimator_bytes(int kind, int M, int D, int ranks, const mige_score_options *o) {
    int moves = truth_moves_x(kind);
    return mige_mi_bytes(M, INFORMATION(D, moves), ranks, o) + (4 + 2 * moves) * 8. * M * D;
}

int truth_estimator_draw(truth_estimator *e, const truth_problem *k, double rho, uint64_t seed, uint64_t stream) {
    return mige_agree(e->c, truth_draw(k, e->M, rho, seed, stream, e->x, e->y, e->dx, e->dy));
}

int truth_estimator_run(truth_estimator *e) {
    mige_clock_start(MIGE_PHASE_STEP);
    MIGE_TRY(mige_mi_gradient(e->mi, (const double *[]){e->x, e->y}, (double *[]){e->gx, e->gy}));
    mige_clock_stop(MIGE_PHASE_STEP, 0);
    return MIGE_OK;
}

double truth_estimator_value(const truth_estimator *e) {
    double sum = 0;
    for (size_t m = 0, D = (size_t)e->D; m < (size_t)e->M; m++) {
        sum += cblas_ddot(e->D, e->gy + m * D, 1, e->dy + m * D, 1);
        if (e->gx) sum += cblas_ddot(e->D, e->gx + m * D, 1, e->dx + m * D, 1);
    }
    return sum;
}
