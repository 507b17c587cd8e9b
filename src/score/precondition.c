#include "mige/precondition.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "score/maps.h"
#include "score/score.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* t = N((x - mean) A'), N dimension by dimension. Rank 0 finds A, the ranks share N's dimensions: no number is
 * found twice, so the map is the same everywhere. */
struct mige_map {
    const mige_comm *c;
    enum mige_precondition kind;
    int M, D;
    int after;            /* N comes first, then A */
    int64_t first, count; /* this rank's dimensions */
    ica_space *ica;       /* rank 0 of whiten and ica */
    normal_space *normal; /* normal-scores and ica */
    int *shaped;          /* [D]: further from normal */
    double *mean, *A, *W; /* [D], [D][D], [D][D] */
    double *Y, *slope;    /* [M][D] */
    double *mine, *all;   /* [count][2][M] and [D][2][M]: t and slope of a dimension */
    mige_pool pool;
};

/* A dimension nearer to normal than this is taken as normal: one in a thousand of those that are is not. */
static const double surprise = 3;
/* Samples a dimension without which ica finds shape in anything. */
enum { ENOUGH = 3 };
/* Components must be this many times further from normal than the dimensions are as they come. */
static const double gain = 1.1;

static int linear(enum mige_precondition kind) {
    return kind == MIGE_PRECONDITION_WHITEN || kind == MIGE_PRECONDITION_ICA;
}
static int normal(enum mige_precondition kind) {
    return kind == MIGE_PRECONDITION_NORMAL_SCORES || kind == MIGE_PRECONDITION_ICA;
}

static int take_memory(mige_map *p) {
    size_t M = (size_t)p->M, D = (size_t)p->D;
    MIGE_TRY(MIGE_TAKE(&p->pool, MIGE_BLOCK(p->Y, M * D)));
    if (linear(p->kind)) {
        MIGE_TRY(MIGE_TAKE(&p->pool, MIGE_BLOCK(p->mean, D), MIGE_BLOCK(p->A, D * D), MIGE_BLOCK(p->W, D * D)));
        if (p->c->rank == 0) MIGE_TRY(ica_create(p->M, p->D, &p->pool, &p->ica));
    }
    if (!normal(p->kind)) return MIGE_OK;
    MIGE_TRY(MIGE_TAKE(&p->pool, MIGE_BLOCK(p->shaped, D), MIGE_BLOCK(p->slope, M * D),
                       MIGE_BLOCK(p->mine, 2 * M * (size_t)p->count),
                       MIGE_BLOCK(p->all, D * (D > 2 * M ? D : 2 * M))));
    return normal_create(p->M, &p->pool, &p->normal);
}

int mige_map_create(const mige_comm *c, enum mige_precondition kind, int M, int D, mige_map **out) {
    mige_map *p = NULL;
    *out = NULL;
    MIGE_CHECK(M > 0 && D > 0, MIGE_EUSAGE, "precondition: %d samples in %d dimensions (one at least)", M, D);
    MIGE_TRY(mige_alloc_all(c, 1, sizeof *p, &p));
    *p = (mige_map){.c = c, .kind = kind, .M = M, .D = D};
    mige_share(D, c->size, c->rank, &p->first, &p->count);
    int err = mige_agree(c, take_memory(p));
    if (err) mige_map_destroy(&p);
    *out = p;
    return err;
}

void mige_map_destroy(mige_map **out) {
    if (*out) mige_pool_free(&(*out)->pool);
    free(*out);
    *out = NULL;
}

double mige_map_bytes(enum mige_precondition kind, int M, int D) {
    double n = 8. * M * D, dd = 8. * D * D;
    return n + (linear(kind) ? ica_bytes(M, D) + 2 * dd : 0) +
           (normal(kind) ? 3 * n + fmax(2 * n, dd) + normal_bytes(M) : 0);
}

/* out = in less its mean; a constant dimension exactly 0. */
static void centre(mige_map *p, const double *in, double *out) {
    size_t M = (size_t)p->M, D = (size_t)p->D;
    memset(p->mean, 0, D * sizeof *p->mean);
    for (size_t m = 0; m < M; m++) cblas_daxpy(p->D, 1. / p->M, in + m * D, 1, p->mean, 1);
    for (size_t d = 0; d < D; d++) {
        size_t m = 1;
        while (m < M && in[m * D + d] == in[d]) m++;
        if (m == M) p->mean[d] = in[d];
    }
    for (size_t m = 0; m < M; m++)
        for (size_t d = 0; d < D; d++) out[m * D + d] = in[m * D + d] - p->mean[d];
}

/* out [n][D] = in [n][D] B', or in B. */
static void multiply(const mige_map *p, int n, const double *in, enum CBLAS_TRANSPOSE how, const double *B,
                     double *out) {
    cblas_dgemm(CblasRowMajor, CblasNoTrans, how, n, p->D, p->D, 1, in, p->D, B, p->D, 0, out, p->D);
}

/* Which dimensions of Y [M][D] are further from normal than `most`, and the sum of their distances. */
static double find_shaped(mige_map *p, double most, const double *Y, double *column) {
    double sum = 0;
    for (int i = 0; i < p->D; i++) {
        cblas_dcopy(p->M, Y + i, p->D, column, 1);
        double distance = normal_distance(p->normal, column);
        p->shaped[i] = distance > most;
        sum += p->shaped[i] ? distance : 0;
    }
    return sum;
}

/* A = the map to independent components, from the A that whitens, where there are any to be found; else `after`. On
 * rank 0. */
static int find_components(mige_map *p, const double *Xc) {
    size_t n = (size_t)p->M * (size_t)p->D, d = (size_t)p->D;
    p->after = 1;
    if (p->M / ENOUGH < p->D) return MIGE_OK;
    double as_they_are = find_shaped(p, surprise, Xc, p->all);
    MIGE_TRY(ica_whiten(p->ica, Xc, p->A));
    multiply(p, p->M, Xc, CblasTrans, p->A, p->Y);
    MIGE_TRY(ica_rotate(p->ica, p->Y, p->W));
    multiply(p, p->M, p->Y, CblasTrans, p->W, p->all);
    if (find_shaped(p, ica_noise(p->D), p->all, p->all + n) <= gain * as_they_are) return MIGE_OK;
    p->after = 0;
    MIGE_TRY(ica_refine(p->ica, p->Y, p->shaped, p->W));
    memcpy(p->all, p->A, d * d * sizeof *p->A);
    multiply(p, p->D, p->W, CblasNoTrans, p->all, p->A);
    return MIGE_OK;
}

/* Y = (X - mean) A' on every rank, A to components, where there are any, or to white samples; Xc [M][D] is scratch.
 */
static int fit_linear(mige_map *p, int components, const double *X, double *Xc) {
    size_t n = (size_t)p->M * (size_t)p->D, d = (size_t)p->D;
    int err = MIGE_OK;
    if (p->c->rank == 0) {
        centre(p, X, Xc);
        err = components ? find_components(p, Xc) : ica_whiten(p->ica, Xc, p->A);
    }
    MIGE_TRY(mige_agree(p->c, err));
    MIGE_TRY(mige_bcast(p->c, 0, &p->after, sizeof p->after));
    if (p->after && components) return MIGE_OK;
    if (p->c->rank == 0) multiply(p, p->M, Xc, CblasTrans, p->A, p->Y);
    MIGE_TRY(mige_bcast(p->c, 0, p->mean, d * sizeof *p->mean));
    MIGE_TRY(mige_bcast(p->c, 0, p->A, d * d * sizeof *p->A));
    return mige_bcast(p->c, 0, p->Y, n * sizeof *p->Y);
}

/* T = N(Y) and the slopes; each dimension by one rank. Dimensions nearer to normal than `most` count as normal. */
static int fit_normal(mige_map *p, double most, const double *Y, double *T) {
    size_t M = (size_t)p->M, D = (size_t)p->D;
    for (int64_t i = 0; i < p->count; i++) {
        double *x = p->all, *t = p->mine + 2 * M * (size_t)i;
        cblas_dcopy(p->M, Y + p->first + i, p->D, x, 1);
        normal_fit(p->normal, most, x, t, t + M);
    }
    MIGE_TRY(mige_gather_rows(p->c, p->D, 2 * (int64_t)p->M, p->mine, p->all));
    for (size_t d = 0; d < D; d++) {
        cblas_dcopy(p->M, p->all + 2 * M * d, 1, T + d, p->D);
        cblas_dcopy(p->M, p->all + 2 * M * d + M, 1, p->slope + d, p->D);
    }
    return MIGE_OK;
}

int mige_map_fit(mige_map *p, const double *X, double *T) {
    MIGE_TRY(mige_agree(p->c, score_check_rows(p->M, p->D, X, "sample")));
    p->after = 0;
    if (p->kind == MIGE_PRECONDITION_NORMAL_SCORES) return fit_normal(p, surprise, X, T);
    if (p->kind == MIGE_PRECONDITION_ICA) {
        MIGE_TRY(fit_linear(p, 1, X, T));
        if (!p->after) return fit_normal(p, ica_noise(p->D), p->Y, T);
        MIGE_TRY(fit_normal(p, surprise, X, T));
        MIGE_TRY(fit_linear(p, 0, T, p->all));
    } else {
        MIGE_TRY(fit_linear(p, 0, X, T));
    }
    memcpy(T, p->Y, (size_t)p->M * (size_t)p->D * sizeof *T);
    return MIGE_OK;
}

/* Without N there are no slopes. */
static void pull_normal(const mige_map *p, double *G) {
    size_t n = (size_t)p->M * (size_t)p->D;
    for (size_t i = 0; p->slope && i < n; i++) G[i] *= p->slope[i];
}

void mige_map_pull(mige_map *p, double *G) {
    if (!p->after) pull_normal(p, G);
    if (p->A) {
        memcpy(p->Y, G, (size_t)p->M * (size_t)p->D * sizeof *G);
        multiply(p, p->M, p->Y, CblasNoTrans, p->A, G);
    }
    if (p->after) pull_normal(p, G);
}

static int check_scores(const mige_map *p) {
    MIGE_CHECK(!normal(p->kind), MIGE_EUSAGE,
               "precondition: normal-scores and ica carry gradients of information, not scores (none, whiten)");
    return MIGE_OK;
}

int mige_map_points(const mige_map *p, int Q, const double *P, double *T) {
    size_t q = (size_t)Q, d = (size_t)p->D;
    double *Pc;
    MIGE_TRY(check_scores(p));
    MIGE_TRY(mige_alloc(q * d, sizeof *Pc, &Pc));
    for (size_t i = 0; i < q; i++)
        for (size_t k = 0; k < d; k++) Pc[i * d + k] = P[i * d + k] - p->mean[k];
    if (Q) multiply(p, Q, Pc, CblasTrans, p->A, T);
    free(Pc);
    return MIGE_OK;
}

int mige_map_scores(const mige_map *p, int Q, double *S) {
    size_t n = (size_t)Q * (size_t)p->D;
    double *St;
    MIGE_TRY(check_scores(p));
    MIGE_TRY(mige_alloc(n, sizeof *St, &St));
    calibrate_apply(Q, p->D, p->A, S, St);
    free(St);
    return MIGE_OK;
}
