/* Scores at other points of the distribution of the samples, shared out over the ranks. */
#include "mige/error.h"
#include "score/calibrate.h"
#include "score/score.h"
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

/* stein: S <- -(iterations b(q) - k C) / eta, from S = -k C; b(q) = (k(q,X) 1 q - k(q,X) X) / w^2. */
static void add_prior(const mige_score *s, int n, const double *k, const double *q, double *S) {
    int M = s->M, D = s->D;
    double f = s->o.iterations * 2 * s->scale / s->o.eta;
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
    kernel_between(n, q, norms, M, s->X, norms + n, D, s->scale, k);
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

static int by_kernel(mige_score *s, int Q, const double *P, double *S) {
    size_t D = (size_t)s->D;
    double *mine = NULL;
    int64_t first, count;
    mige_share(Q, s->c->size, s->c->rank, &first, &count);
    int err = MIGE_OK;
    if (!s->C) err = mige_alloc((size_t)s->M * D, sizeof *s->C, &s->C);
    if (!err) err = mige_alloc((size_t)count * D, sizeof *mine, &mine);
    err = mige_agree(s->c, err);
    if (!err && !s->has_C && s->eigen) err = mige_eigen_apply(s->eigen, 2, s->D, s->B, s->C);
    s->has_C = !err;
    if (!err) err = mige_agree(s->c, my_points(s, (int)count, P + (size_t)first * D, mine));
    if (!err) err = mige_gather_rows(s->c, Q, s->D, mine, S);
    free(mine);
    return err;
}

static int by_plugin(mige_score *s, int Q, const double *P, double *S) {
    double *scratch = NULL;
    size_t n = (size_t)Q * (size_t)s->D;
    MIGE_TRY(s->o.plugin->points(s->plugin, Q, P, S));
    if (!s->o.calibrate || s->M == 1) return MIGE_OK;
    MIGE_TRY(mige_agree(s->c, mige_alloc(n, sizeof *scratch, &scratch)));
    calibrate_apply(Q, s->D, s->A, S, scratch);
    free(scratch);
    return MIGE_OK;
}

int mige_score_points(mige_score *s, int Q, const double *P, double *S) {
    MIGE_TRY(mige_agree(s->c, score_check_rows(Q, s->D, P, "point")));
    MIGE_TRY(s->plugin ? by_plugin(s, Q, P, S) : by_kernel(s, Q, P, S));
    return mige_agree(s->c, score_check_scores(s, (size_t)Q * (size_t)s->D, S));
}
