#include "mige/precondition.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "score/maps.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* t = N((x - mean) A'), N dimension by dimension. Linear maps are found by rank 0; dimensions are shared out. */
struct mige_map {
    const mige_comm *c;
    enum mige_precondition kind;
    int M, D;
    int64_t first, count; /* this rank's dimensions */
    ica_space *ica;       /* rank 0 of whiten and ica */
    normal_space *normal; /* normal-scores and ica */
    double *mean, *A, *W; /* [D], [D][D], [D][D] */
    double *Y;            /* [M][D] */
    double *slope;        /* [M][D] */
    double *mine, *all;   /* [count][2][M] and [D][2][M]: t and slope of a dimension */
};

static int linear(enum mige_precondition kind) {
    return kind == MIGE_PRECONDITION_WHITEN || kind == MIGE_PRECONDITION_ICA;
}
static int normal(enum mige_precondition kind) {
    return kind == MIGE_PRECONDITION_NORMAL_SCORES || kind == MIGE_PRECONDITION_ICA;
}

static int take_memory(mige_map *p) {
    size_t M = (size_t)p->M, D = (size_t)p->D;
    MIGE_TRY(mige_alloc(D, sizeof *p->mean, &p->mean));
    MIGE_TRY(mige_alloc(M * D, sizeof *p->Y, &p->Y));
    if (linear(p->kind)) {
        MIGE_TRY(mige_alloc(D * D, sizeof *p->A, &p->A));
        MIGE_TRY(mige_alloc(D * D, sizeof *p->W, &p->W));
        if (p->c->rank == 0) MIGE_TRY(ica_create(p->M, p->D, &p->ica));
    }
    if (!normal(p->kind)) return MIGE_OK;
    MIGE_TRY(mige_alloc(M * D, sizeof *p->slope, &p->slope));
    MIGE_TRY(mige_alloc(2 * M * (size_t)p->count, sizeof *p->mine, &p->mine));
    MIGE_TRY(mige_alloc(2 * M * D, sizeof *p->all, &p->all));
    return normal_create(p->M, &p->normal);
}

int mige_map_create(const mige_comm *c, enum mige_precondition kind, int M, int D, uint64_t seed, mige_map **out) {
    mige_map *p = NULL;
    (void)seed;
    *out = NULL;
    MIGE_CHECK(M > 0 && D > 0, MIGE_EUSAGE, "--precondition: %d samples in %d dimensions (one at least)", M, D);
    MIGE_TRY(mige_agree(c, mige_alloc(1, sizeof *p, &p)));
    *p = (mige_map){.c = c, .kind = kind, .M = M, .D = D};
    mige_share(D, c->size, c->rank, &p->first, &p->count);
    int err = mige_agree(c, take_memory(p));
    if (err) mige_map_destroy(&p);
    *out = p;
    return err;
}

void mige_map_destroy(mige_map **out) {
    mige_map *p = *out;
    if (!p) return;
    ica_destroy(&p->ica);
    normal_destroy(&p->normal);
    double *all[] = {p->mean, p->A, p->W, p->Y, p->slope, p->mine, p->all};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(p);
    *out = NULL;
}

double mige_map_bytes(enum mige_precondition kind, int M, int D) {
    double n = 8. * M * D;
    return kind == MIGE_PRECONDITION_NONE ? 0
                                          : n + (linear(kind) ? ica_bytes(M, D) + 16. * D * D : 0) +
                                                (normal(kind) ? 5 * n + normal_bytes(M) : 0);
}

static int check_finite(const mige_map *p, const double *X) {
    size_t D = (size_t)p->D;
    for (size_t m = 0; m < (size_t)p->M; m++)
        for (size_t d = 0; d < D; d++)
            MIGE_CHECK(isfinite(X[m * D + d]), MIGE_EINPUT, "score: sample in row %zu is not finite (remove it)",
                       m);
    return MIGE_OK;
}

static void find_mean(mige_map *p, const double *X) {
    memset(p->mean, 0, (size_t)p->D * sizeof *p->mean);
    for (size_t m = 0; m < (size_t)p->M; m++) cblas_daxpy(p->D, 1. / p->M, X + m * (size_t)p->D, 1, p->mean, 1);
}

/* Y = (X - mean) A'; uses T as scratch. */
static void apply_linear(mige_map *p, const double *X, double *T) {
    int M = p->M, D = p->D;
    for (size_t m = 0; m < (size_t)M; m++)
        for (size_t d = 0; d < (size_t)D; d++) T[m * (size_t)D + d] = X[m * (size_t)D + d] - p->mean[d];
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, D, D, 1, T, D, p->A, D, 0, p->Y, D);
}

/* On rank 0: the linear map, A, and for ica its rotation too. */
static int find_linear(mige_map *p, const double *X, double *T) {
    int D = p->D;
    size_t n = (size_t)D * (size_t)D;
    for (size_t m = 0; m < (size_t)p->M; m++)
        for (size_t d = 0; d < (size_t)D; d++) T[m * (size_t)D + d] = X[m * (size_t)D + d] - p->mean[d];
    MIGE_TRY(ica_whiten(p->ica, T, p->A));
    if (p->kind == MIGE_PRECONDITION_WHITEN) return MIGE_OK;
    apply_linear(p, X, T);
    MIGE_TRY(ica_rotation(p->ica, p->Y, p->W));
    memcpy(p->Y, p->A, n * sizeof *p->A);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, D, D, D, 1, p->W, D, p->Y, D, 0, p->A, D);
    return MIGE_OK;
}

/* T = normal scores of Y, and the slopes; each dimension by one rank. */
static int fit_normal(mige_map *p, const double *Y, double *T) {
    size_t M = (size_t)p->M, D = (size_t)p->D;
    for (int64_t i = 0; i < p->count; i++) {
        double *x = p->all, *t = p->mine + 2 * M * (size_t)i;
        for (size_t m = 0; m < M; m++) x[m] = Y[m * D + (size_t)(p->first + i)];
        normal_fit(p->normal, x, t, t + M);
    }
    MIGE_TRY(mige_gather_rows(p->c, p->D, 2 * p->M, p->mine, p->all));
    for (size_t d = 0; d < D; d++)
        for (size_t m = 0; m < M; m++) {
            T[m * D + d] = p->all[2 * M * d + m];
            p->slope[m * D + d] = p->all[2 * M * d + M + m];
        }
    return MIGE_OK;
}

int mige_map_fit(mige_map *p, const double *X, double *T) {
    size_t n = (size_t)p->M * (size_t)p->D, d = (size_t)p->D;
    MIGE_TRY(mige_agree(p->c, check_finite(p, X)));
    if (linear(p->kind)) {
        find_mean(p, X);
        MIGE_TRY(mige_agree(p->c, p->c->rank == 0 ? find_linear(p, X, T) : MIGE_OK));
        MIGE_TRY(mige_bcast(p->c, 0, p->mean, d * sizeof *p->mean));
        MIGE_TRY(mige_bcast(p->c, 0, p->A, d * d * sizeof *p->A));
        if (p->c->rank == 0) apply_linear(p, X, T);
        MIGE_TRY(mige_bcast(p->c, 0, p->Y, n * sizeof *p->Y));
    }
    if (normal(p->kind)) return fit_normal(p, linear(p->kind) ? p->Y : X, T);
    memcpy(T, linear(p->kind) ? p->Y : X, n * sizeof *T);
    return MIGE_OK;
}

void mige_map_pull(mige_map *p, double *G) {
    int M = p->M, D = p->D;
    size_t n = (size_t)M * (size_t)D;
    for (size_t i = 0; p->slope && i < n; i++) G[i] *= p->slope[i];
    if (!p->A) return;
    memcpy(p->Y, G, n * sizeof *G);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, M, D, D, 1, p->Y, D, p->A, D, 0, G, D);
}
