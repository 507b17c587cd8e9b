#include "study/truth.h"
#include "mige/clock.h"
#include "mige/error.h"
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

/* In the order of the choices of --problem. */
enum { GAUSSIAN, CUBIC, ASINH, SINE, RADIAL, SCALED };
static const uint64_t ROTATION_STREAM = UINT32_MAX; /* the last: no draw of samples gets so far */

/* Q of a Gaussian matrix's QR, the signs so that R's diagonal is positive: uniform over all rotations. */
static int orthogonal(int D, double *Q) {
    double *tau, *sign, *work = NULL;
    int lwork = 64 * D, info = 0, err = MIGE_OK;
    MIGE_TRY(mige_alloc((size_t)D * 2, sizeof *tau, &tau));
    sign = tau + D;
    MIGE_TRY_GOTO(mige_alloc((size_t)lwork, sizeof *work, &work), done);
    dgeqrf_(&D, &D, Q, &D, tau, work, &lwork, &info);
    for (int i = 0; i < D; i++) sign[i] = Q[(size_t)i * (size_t)D + (size_t)i] < 0 ? -1 : 1;
    if (!info) dorgqr_(&D, &D, &D, Q, &D, tau, work, &lwork, &info);
    MIGE_CHECK_GOTO(!info, done, MIGE_EFAIL, "rotation: LAPACK's QR failed (%d)", info);
    for (int i = 0; i < D; i++) cblas_dscal(D, sign[i], Q + (size_t)i * (size_t)D, 1);
done:
    free(tau);
    free(work);
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

/* One sample's map of y, and its derivative applied to dy. The radial map turns back at |y|^2 = D, where it takes y
 * and D y / |y|^2 to the same place: it is kept as it was given, but loses information, and the true gradient is
 * about 0.45/D of it below what is given as the truth (computed from both branches: 1.4 % in 32 dimensions). */
static void map_sample(int kind, int D, double *y, double *dy) {
    double square = cblas_ddot(D, y, 1, y, 1) / D, along = 2 * cblas_ddot(D, y, 1, dy, 1) / D, r = 1 / (1 + square);
    for (int i = 0; i < D; i++) {
        double u = y[i], factor = 1, value = u;
        switch (kind) {
        case CUBIC:
            value = u * u * u, factor = 3 * u * u;
            break;
        case ASINH:
            value = asinh(u), factor = 1 / sqrt(1 + u * u);
            break;
        case SINE:
            value = u + 0.4 * sin(2 * u), factor = 1 + 0.8 * cos(2 * u);
            break;
        case RADIAL:
            value = u * r, factor = r;
            break;
        case SCALED:
            factor = pow(10, D > 1 ? -1 + 2. * i / (D - 1) : -1), value = factor * u;
            break;
        default:
            break;
        }
        y[i] = value;
        dy[i] = factor * dy[i] - (kind == RADIAL ? u * r * r * along : 0);
    }
}

/* v = rotation v; scratch [D]. */
static void rotate(const truth_problem *k, double *v, double *scratch) {
    cblas_dgemv(CblasRowMajor, CblasNoTrans, k->D, k->D, 1, k->rotation, k->D, v, 1, 0, scratch, 1);
    memcpy(v, scratch, (size_t)k->D * sizeof *v);
}

int truth_draw(const truth_problem *k, int M, double rho, uint64_t seed, uint64_t stream, double *x, double *y,
               double *dy) {
    size_t D = (size_t)k->D;
    double *noise, rest = sqrt(1 - rho * rho);
    MIGE_TRY(mige_alloc(2 * D, sizeof *noise, &noise));
    for (int m = 0; m < M; m++) {
        double *xm = x + (size_t)m * D, *ym = y + (size_t)m * D, *dm = dy + (size_t)m * D;
        mige_rng_normal(seed, MIGE_RNG_SAMPLE, stream, (uint64_t)m, 2 * D, noise);
        for (size_t i = 0; i < D; i++) {
            xm[i] = noise[i];
            ym[i] = rho * noise[i] + rest * noise[D + i];
            dm[i] = noise[i] - rho / rest * noise[D + i];
        }
        map_sample(k->kind, k->D, ym, dm);
        if (!k->rotation) continue;
        rotate(k, ym, noise);
        rotate(k, dm, noise);
    }
    free(noise);
    return MIGE_OK;
}

double truth_mi(int D, double rho) {
    return -0.5 * D * log1p(-rho * rho);
}

double truth_gradient(int D, double rho) {
    return rho * D / (1 - rho * rho);
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
#define INFORMATION(D) 2, ((const mige_mi_variable[]){{"x", D, 0}, {"y", D, 1}}), 1, (&(const mige_mi_pair){0, 1})

int truth_estimator_create(const mige_comm *c, int M, int D, const mige_score_options *o, truth_estimator *e) {
    size_t size = (size_t)M * (size_t)D;
    *e = (truth_estimator){.c = c, .M = M, .D = D};
    MIGE_TRY(mige_agree(c, mige_alloc(4 * size, sizeof *e->x, &e->x)));
    e->y = e->x + size;
    e->dy = e->y + size;
    e->dz = e->dy + size;
    return mige_mi_create(c, M, INFORMATION(D), o, &e->mi);
}

void truth_estimator_destroy(truth_estimator *e) {
    mige_mi_destroy(&e->mi);
    free(e->x);
    *e = (truth_estimator){0};
}

double truth_estimator_bytes(int M, int D, int ranks, const mige_score_options *o) {
    return mige_mi_bytes(M, INFORMATION(D), ranks, o) + 4 * 8. * M * D;
}

int truth_estimator_draw(truth_estimator *e, const truth_problem *k, double rho, uint64_t seed, uint64_t stream) {
    return mige_agree(e->c, truth_draw(k, e->M, rho, seed, stream, e->x, e->y, e->dy));
}

int truth_estimator_run(truth_estimator *e) {
    mige_clock_start(MIGE_PHASE_STEP);
    MIGE_TRY(mige_mi_gradient(e->mi, (const double *[]){e->x, e->y}, (double *[]){NULL, e->dz}));
    mige_clock_stop(MIGE_PHASE_STEP, 0);
    return MIGE_OK;
}

double truth_estimator_value(const truth_estimator *e) {
    double sum = 0;
    size_t D = (size_t)e->D;
    for (size_t m = 0; m < (size_t)e->M; m++) sum += cblas_ddot(e->D, e->dz + m * D, 1, e->dy + m * D, 1);
    return sum;
}
