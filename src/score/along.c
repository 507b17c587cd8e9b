#include "score/along.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/log.h"
#include <math.h>

/* In sqrt(t). */
static const double FIRST = 0.05;

void along_times(double time[MIGE_MI_TIMES], double weight[MIGE_MI_TIMES]) {
    static const double node[] = {0.9491079123427585, 0.7415311855993945, 0.4058451513773972, 0},
                        share[] = {0.1294849661688697, 0.2797053914892766, 0.3818300505051189, 0.4179591836734694};
    const double half = (1 - FIRST) / 2;
    for (int i = 0; i < MIGE_MI_TIMES; i++) {
        int k = i < MIGE_MI_TIMES / 2 ? i : MIGE_MI_TIMES - 1 - i;
        double u = FIRST + half * (1 + (i == k ? -node[k] : node[k]));
        time[i] = u * u;
        weight[i] = 2 * u * half * share[k];
    }
    weight[0] += FIRST * FIRST;
}

double along_first(const double time[MIGE_MI_TIMES], const double rest[MIGE_MI_TIMES]) {
    double p = rest[0] > 0 && rest[1] > 0 ? log(rest[0] / rest[1]) / log(time[1] / time[0]) : 0;
    p = fmin(fmax(p, 0), 0.5);
    return FIRST * FIRST * (pow(time[0] / (FIRST * FIRST), p) / (1 - p) - 1);
}

double mige_digamma(double x) {
    double sum = 0, y;
    while (x < 16) {
        sum -= 1 / x;
        x += 1;
    }
    y = 1 / (x * x);
    return sum + log(x) - 0.5 / x - y * (1. / 12 - y * (1. / 120 - y * (1. / 252 - y / 240)));
}

/* Centres Z; C = Z' Z / n. */
static void covariance(int n, int D, double *Z, double *C) {
    size_t d = (size_t)D;
    for (size_t k = 0; k < d; k++) {
        double mean = 0;
        for (size_t i = 0; i < (size_t)n; i++) mean += Z[i * d + k] / n;
        for (size_t i = 0; i < (size_t)n; i++) Z[i * d + k] -= mean;
    }
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, n, 1. / n, Z, D, Z, D, 0, C, D);
}

/* Eigenvalues, ascending, and eigenvectors in place of C, each a row. */
static int eigenpairs(int D, double *C, double *lambda) {
    double *work;
    int lwork = 1 + 6 * D + 2 * D * D, liwork = 3 + 5 * D, info, *iwork;
    mige_pool pool = {0};
    int err = MIGE_TAKE(&pool, MIGE_BLOCK(work, lwork), MIGE_BLOCK(iwork, liwork));
    if (!err) {
        dsyevd_("V", "L", &D, C, &D, lambda, work, &lwork, iwork, &liwork, &info);
        if (info) err = mige_raise(MIGE_ENUMERIC, "mi: LAPACK finds no eigenvalues of a covariance (%d)", info);
    }
    mige_pool_free(&pool);
    return err;
}

/* Below this share of the largest an eigenvalue is rounding. */
static const double SINGULAR = 1e-10;

int along_normal(int n, int D, double *Z, const char *name, double *C, double *lambda, double *work,
                 double *half_logdet, double *each, double fisher[MIGE_MI_TIMES]) {
    double time[MIGE_MI_TIMES], weight[MIGE_MI_TIMES], sum = 0;
    covariance(n, D, Z, C);
    MIGE_TRY(eigenpairs(D, C, lambda));
    MIGE_CHECK(lambda[0] > SINGULAR * lambda[D - 1], MIGE_ENUMERIC,
               "mi: %s in fewer than %d dimensions, a column is constant, repeated or a sum of others (without it; "
               "if no variable alone is, their information is infinite)",
               name, D);
    /* E ln det of the sample covariance is above that of the distribution by the mean of ln chi^2 terms. */
    for (int i = 0; i < D; i++) sum += log(lambda[i]) - mige_digamma(0.5 * (n - 1 - i)) - log(2. / n);
    *half_logdet = 0.5 * sum;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, D, D, 1, Z, D, C, D, 0, work, D);
    for (size_t i = 0; i < (size_t)n; i++) {
        each[i] = -0.5 * D;
        for (size_t k = 0; k < (size_t)D; k++)
            each[i] += 0.5 * work[i * (size_t)D + k] * work[i * (size_t)D + k] / lambda[k];
    }
    along_times(time, weight);
    for (int t = 0; t < MIGE_MI_TIMES; t++) {
        double aa = exp(-2 * time[t]);
        fisher[t] = -D;
        for (int k = 0; k < D; k++) fisher[t] += 1 / (aa * lambda[k] + 1 - aa);
    }
    return MIGE_OK;
}

int along_rest(int n, int D, double b, double *Z, const double *S, const double *N, double *C, double *each) {
    int info;
    covariance(n, D, Z, C);
    dpotrf_("L", &D, C, &D, &info);
    MIGE_CHECK(!info, MIGE_ENUMERIC, "mi: the covariance of %d noised samples in %d dimensions is singular", n, D);
    dpotrs_("L", &D, &n, C, &D, Z, &D, &info);
    for (size_t i = 0; i < (size_t)n; i++) {
        double sum = 0;
        for (size_t k = i * (size_t)D; k < (i + 1) * (size_t)D; k++) sum += (S[k] + Z[k]) * N[k];
        each[i] = -sum / b;
    }
    return MIGE_OK;
}

double along_error(int M, const double *x) {
    double mean = 0, variance = 0;
    for (int m = 0; m < M; m++) mean += x[m] / M;
    for (int m = 0; m < M; m++) variance += (x[m] - mean) * (x[m] - mean) / M;
    return sqrt(variance / M);
}

double along_shrunk(double rest, double error) {
    double square = rest * rest - error * error;
    return square > 0 ? square / rest : 0;
}

double along_factor(double rest, double gap, double error, double *slope) {
    static const double MOST = 0.5;
    double gg = gap * gap, ee = error * error, sum = gg + ee;
    *slope = 0;
    if (!(rest > 0) || gap == 0) return 1;
    *slope = ALONG_GAIN * gg * (gg + 3 * ee) / (sum * sum);
    double more = ALONG_GAIN * gap * gg / sum / rest;
    if ((fabs(more) - MOST) * rest > ALONG_GAIN * error)
        mige_warn(
            "mi: halves of the samples have %.0f %% %s of what is not normal than all of them: too few samples "
            "for its shape, the value is less sure than its error says",
            100 * fabs(gap / rest), gap > 0 ? "less" : "more");
    return 1 + fmin(fmax(more, -MOST), MOST);
}

/* Of a variable's own dimensions, those that it has nearby, where it lies on a surface. */
static const double SURFACE = 0.6;

int along_on_surface(int M, int D, int dx, const double *v, int *is) {
    double x, y;
    MIGE_TRY(mige_mi_surface(M, D, 0, dx, 0, v, &x));
    MIGE_TRY(mige_mi_surface(M, D, dx, D - dx, 0, v, &y));
    *is = fmin(x, y) < SURFACE;
    if (*is)
        mige_warn(
            "mi: nearby %s has %.0f %% of the dimensions of its columns: samples on a surface, or in steps; the "
            "value is less sure than its error says",
            x < y ? "x" : "y", 100 * fmin(x, y));
    return MIGE_OK;
}
