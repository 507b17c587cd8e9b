/* Linear maps: whitening, and the rotation to independent components. */
#include "base/simd.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/log.h"
#include "score/kernel.h"
#include "score/maps.h"
#include <math.h>
#include <string.h>

enum { ROTATIONS = 200, REFINEMENTS = 30, BASIS = 8 };
static const double singular = 1e-9, shrink = 0.05, still = 1e-8, small = 1e-6;

struct ica_space {
    int M, D, lwork, liwork, told;
    double *Y, *psi;   /* [M][D] components, and a function of them */
    double *basis;     /* [BASIS][M] of one component */
    double *next, *C;  /* [D][D] */
    double *scale, *l; /* [D] */
    double *work;
    int *iwork;
};

int ica_create(int M, int D, mige_pool *pool, ica_space **out) {
    size_t n = (size_t)M * (size_t)D, d = (size_t)D;
    ica_space *s;
    MIGE_CHECK(D <= 16384, MIGE_EUSAGE, "precondition: %d dimensions (at most 16384)", D);
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(s, 1)));
    *out = s;
    *s = (ica_space){.M = M, .D = D, .lwork = 1 + 6 * D + 2 * D * D, .liwork = 3 + 5 * D};
    return MIGE_TAKE(pool, MIGE_BLOCK(s->Y, n), MIGE_BLOCK(s->psi, n), MIGE_BLOCK(s->basis, (size_t)M * BASIS),
                     MIGE_BLOCK(s->next, d * d), MIGE_BLOCK(s->C, d * d), MIGE_BLOCK(s->scale, d),
                     MIGE_BLOCK(s->l, d), MIGE_BLOCK(s->work, s->lwork), MIGE_BLOCK(s->iwork, s->liwork));
}

double ica_bytes(int M, int D) {
    return 16. * M * D + 8. * M * BASIS + 32. * D * D + 84. * D;
}

/* C [D][D], symmetric, becomes its eigenvectors, in rows; l [D] the eigenvalues, ascending. */
static int eigen(ica_space *s) {
    int info;
    dsyevd_("V", "L", &s->D, s->C, &s->D, s->l, s->work, &s->lwork, s->iwork, &s->liwork, &info);
    MIGE_CHECK(info == 0 && isfinite(s->l[0]), MIGE_ENUMERIC,
               "precondition: the eigenproblem of %d dimensions failed (scale the samples)", s->D);
    return MIGE_OK;
}

/* P [D][D] = C^(-1/2) from its eigenpairs, those of l below `least` taken as `least`. Destroys C. */
static void inverse_root(ica_space *s, double least, double *P) {
    int D = s->D;
    for (int i = 0; i < D; i++) cblas_dscal(D, pow(fmax(s->l[i], least), -0.25), s->C + (size_t)i * (size_t)D, 1);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, D, 1, s->C, D, s->C, D, 0, P, D);
}

int ica_whiten(ica_space *s, const double *Xc, double *A) {
    int D = s->D;
    size_t d = (size_t)D;
    /* The correlation, so that what is singular does not depend on units. */
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, s->M, 1. / s->M, Xc, D, Xc, D, 0, s->C, D);
    for (size_t i = 0; i < d; i++) {
        s->scale[i] = s->C[i * d + i] > 0 ? 1 / sqrt(s->C[i * d + i]) : 1;
        /* Squares below all doubles. */
        int lost = s->C[i * d + i] == 0 && Xc[cblas_idamax(s->M, Xc + i, D) * d + i] != 0;
        MIGE_CHECK(isfinite(s->C[i * d + i]) && isfinite(s->scale[i]) && !lost, MIGE_ENUMERIC,
                   "precondition: the variance of dimension %zu is %g (scale the samples)", i, s->C[i * d + i]);
    }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) s->C[i * d + j] *= s->scale[i] * s->scale[j];
    for (size_t i = 0; i < d; i++) s->C[i * d + i] = 1; /* of a constant dimension as well */
    memcpy(s->next, s->C, d * d * sizeof *s->C);
    MIGE_TRY(eigen(s));
    if (s->l[0] < singular) {
        if (!s->told++)
            mige_warn(
                "precondition: columns are sums of others, or there are fewer samples than columns: 5 %% of the "
                "correlations are taken away, scores along what is repeated mean nothing");
        for (size_t i = 0; i < d * d; i++) s->C[i] = (1 - shrink) * s->next[i];
        for (size_t i = 0; i < d; i++) s->C[i * d + i] += shrink;
        MIGE_TRY(eigen(s));
    }
    inverse_root(s, 0, A);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) A[i * d + j] *= s->scale[j];
    return MIGE_OK;
}

/* x <- tanh(x); good to rounding of 1 - |x|, which is all that is wanted here. */
static void tanh_of(size_t n, double *x) {
    for (size_t i = 0; i < n; i++) x[i] = fmin(fmax(x[i], -20), 20);
    mige_exp(n, -2, x);
    for (size_t i = 0; i < n; i++) x[i] = 1 - 2 / (1 + x[i]);
}

/* N = G' Z / M - diag(mean g') W, with g = y exp(-y^2/2): of the usual functions the one that outliers say least
 * to.
 */
static void step(ica_space *s, const double *Z, const double *W) {
    int M = s->M, D = s->D;
    size_t d = (size_t)D, n = (size_t)M * d;
    double *y = s->Y, *e = s->psi;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, D, D, 1, Z, D, W, D, 0, y, D);
    for (size_t i = 0; i < n; i++) e[i] = fmin(y[i] * y[i], 1000);
    mige_exp(n, 0.5, e);
    memset(s->scale, 0, d * sizeof *s->scale);
    for (size_t m = 0; m < n; m += d)
        for (size_t i = 0; i < d; i++) {
            s->scale[i] += (1 - y[m + i] * y[m + i]) * e[m + i];
            y[m + i] *= e[m + i];
        }
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, M, 1. / M, y, D, Z, D, 0, s->next, D);
    for (size_t i = 0; i < d; i++) cblas_daxpy(D, -s->scale[i] / M, W + i * d, 1, s->next + i * d, 1);
}

/* W <- (N N')^(-1/2) N, the rotation next to N. *turned: how far the rows moved, 1 - |cos|, at most. */
static int orthogonalise(ica_space *s, double *W, double *turned) {
    int D = s->D;
    size_t d = (size_t)D;
    double *P = s->work; /* free between two eigenproblems */
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, D, D, D, 1, s->next, D, s->next, D, 0, s->C, D);
    MIGE_TRY(eigen(s));
    inverse_root(s, 1e-14 * s->l[D - 1], P);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, D, D, D, 1, P, D, s->next, D, 0, s->C, D);
    *turned = 0;
    for (size_t i = 0; i < d; i++) *turned = fmax(*turned, 1 - fabs(cblas_ddot(D, s->C + i * d, 1, W + i * d, 1)));
    memcpy(W, s->C, d * d * sizeof *W);
    return MIGE_OK;
}

/* From the identity: white samples are next to the samples, whose dimensions may be independent already. Where
 * there is nothing to find it does not converge, and any rotation does. */
int ica_rotate(ica_space *s, const double *Z, double *W) {
    size_t d = (size_t)s->D;
    double turned = 1;
    memset(W, 0, d * d * sizeof *W);
    for (size_t i = 0; i < d; i++) W[i * d + i] = 1;
    for (int it = 0; it < ROTATIONS && turned > still; it++) {
        step(s, Z, W);
        MIGE_TRY(orthogonalise(s, W, &turned));
    }
    return MIGE_OK;
}

double ica_noise(int D) {
    /* Measured in 2 to 128 dimensions, 64 to 1,024 samples: it does not depend on their number. */
    return fmax(4, 1.5 * log2(D) - 1.1);
}

/* psi of one component y [M], the first row of the basis: the combination b of y and tanh(2^k y) that minimises
 * E[(b - score)^2], known from E[b score] = E[b']. *kappa = E[psi'] = E[psi^2]. */
static int component(ica_space *s, double *psi, double *kappa) {
    int M = s->M, one = 1, n = BASIS, info;
    size_t m = (size_t)M;
    double *y = s->basis, gram[BASIS * BASIS], weight[BASIS], slope[BASIS] = {1};
    memcpy(y + m, y, m * sizeof *y);
    tanh_of(m, y + m);
    for (int k = 1; k < BASIS; k++) {
        double *t = y + (size_t)k * m, squares = 0;
        for (size_t i = 0; k > 1 && i < m; i++) t[i] = 2 * t[i - m] / (1 + t[i - m] * t[i - m]); /* tanh 2y */
        for (size_t i = 0; i < m; i++) squares += t[i] * t[i];
        slope[k] = ldexp(1 - squares / M, k - 1);
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, BASIS, BASIS, M, 1. / M, y, M, y, M, 0, gram, BASIS);
    for (int k = 0; k < BASIS; k++) {
        gram[k * BASIS + k] *= 1 + 1e-6;
        weight[k] = slope[k];
    }
    dpotrf_("L", &n, gram, &n, &info);
    MIGE_CHECK(info == 0, MIGE_ENUMERIC, "precondition: a component has fewer values than functions (whiten)");
    dpotrs_("L", &n, &one, gram, &n, weight, &n, &info);
    *kappa = cblas_ddot(BASIS, weight, 1, slope, 1);
    cblas_dgemv(CblasRowMajor, CblasTrans, BASIS, M, 1, y, M, weight, 1, 0, psi, s->D);
    return MIGE_OK;
}

/* Y = Z W' with W's rows scaled to unit variance, psi of each component, kappa [D] in l. */
static int functions(ica_space *s, const double *Z, const int *shaped, double *W) {
    int M = s->M, D = s->D;
    size_t d = (size_t)D;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, D, D, 1, Z, D, W, D, 0, s->Y, D);
    for (size_t i = 0; i < d; i++) {
        double deviation = cblas_dnrm2(M, s->Y + i, D) / sqrt(M);
        if (deviation > 0) {
            cblas_dscal(M, 1 / deviation, s->Y + i, D);
            cblas_dscal(D, 1 / deviation, W + i * d, 1);
        }
        s->l[i] = 1;
        cblas_dcopy(M, s->Y + i, D, shaped[i] ? s->basis : s->psi + i, shaped[i] ? 1 : D);
        if (shaped[i]) MIGE_TRY(component(s, s->psi + i, &s->l[i]));
    }
    return MIGE_OK;
}

int ica_refine(ica_space *s, const double *Z, const int *shaped, double *W) {
    int D = s->D;
    size_t d = (size_t)D;
    double *H = s->next, *E = s->C, largest = 1;
    for (int it = 0; it < REFINEMENTS && largest > small; it++) {
        MIGE_TRY(functions(s, Z, shaped, W));
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, D, s->M, 1. / s->M, s->psi, D, s->Y, D, 0, H, D);
        largest = 0;
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++) { /* Newton: kappa_i E_ij + E_ji = H_ij, for each pair by itself */
                double det = s->l[i] * s->l[j] - 1, a = H[i * d + j], b = H[j * d + i];
                E[i * d + j] = i == j ? 0 : det < 1e-3 ? (a + b) / 4 : (s->l[j] * a - b) / det;
                largest = fmax(largest, fabs(E[i * d + j]));
            }
        memcpy(H, W, d * d * sizeof *W);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, D, D, D, -fmin(1, 0.3 / fmax(largest, 1e-300)), E, D,
                    H, D, 1, W, D);
    }
    return MIGE_OK;
}
