#include "mige/clock.h"
#include "mige/error.h"
#include "score/score.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

int gram_create(mige_score *s, const mige_matrix *K, gram *g) {
    size_t M = (size_t)s->M, D = (size_t)s->D;
    MIGE_TRY(MIGE_TAKE(&s->pool, MIGE_BLOCK(g->V, M * (D + 1)), MIGE_BLOCK(g->B, M * (D + 1))));
    return kernel_create(s->c, K, s->D, s->D + 1, &s->pool, &g->kernel);
}

double gram_bytes(int M, int D, double gathered, double columns, int stored) {
    return 16. * M * (D + 1) + kernel_bytes(M, D, D + 1, gathered, columns, stored);
}

static int check_width(const mige_score *s, double w2) {
    MIGE_CHECK(s->o.width == 0 || (w2 > 0 && isfinite(w2)), MIGE_ENUMERIC,
               "score: the square of width %g is not a number", s->o.width);
    MIGE_CHECK(w2 > 0 && isfinite(w2), MIGE_ENUMERIC,
               "score: the median distance of %d samples in %d dimensions is %g (collapsed samples: a fixed width "
               "goes on; too small or large for their squares: scale them)",
               s->M, s->D, s->info.width);
    return MIGE_OK;
}

int gram_kernel(mige_score *s, gram *g, double *sums) {
    double d2 = 0, factor = s->o.width == 0 ? s->o.width_scale : s->o.width;
    g->kernel.X = s->X;
    s->info.width = s->o.width;
    MIGE_TRY(kernel_distances(&g->kernel, factor * factor, s->o.width == 0 ? &d2 : NULL));
    if (s->o.width == 0) /* one sample: its score is 0 at any width */
        s->info.width = s->M == 1 ? 1 : sqrt(d2) * s->o.width_scale;
    double w2 = s->info.width * s->info.width;
    MIGE_TRY(mige_agree(s->c, check_width(s, w2)));
    g->scale = 1 / (2 * w2);
    return kernel_exponential(&g->kernel, g->scale, sums);
}

int gram_make(mige_score *s, gram *g) {
    double M = s->M;
    mige_clock_start(MIGE_PHASE_GRAM);
    MIGE_TRY(gram_kernel(s, g, NULL));
    MIGE_TRY(kernel_pull(&g->kernel, g->scale, g->V, g->B));
    mige_clock_stop(MIGE_PHASE_GRAM, 3 * M * M * s->D / s->c->size);
    return MIGE_OK;
}

/* Scores of n points; the kernel matrix k [n][M], the shifted points q [n][D] and norms [n + M] are scratch, the
 * last M norms those of X. */
static void points_piece(const mige_score *s, const gram *g, gram_add_fn add, int n, const double *P, double *k,
                         double *q, double *norms, double *S) {
    int M = s->M, D = s->D;
    for (int i = 0; i < n; i++)
        for (int d = 0; d < D; d++)
            q[(size_t)i * (size_t)D + (size_t)d] = P[(size_t)i * (size_t)D + (size_t)d] - s->shift[d];
    kernel_norms(n, D, q, norms);
    kernel_between(n, q, norms, M, s->X, norms + n, D, g->scale, k);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, D, M, -1, k, M, g->C, D, 0, S, D);
    if (add) add(s, n, k, q, S);
}

static int my_points(const mige_score *s, const gram *g, gram_add_fn add, int n, const double *P, mige_pool *pool,
                     double *S) {
    enum { PIECE = 256 };
    size_t M = (size_t)s->M, D = (size_t)s->D, piece = n < PIECE ? (size_t)n : PIECE;
    double *k, *q, *norms;
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(k, piece * M), MIGE_BLOCK(q, piece * D), MIGE_BLOCK(norms, piece + M)));
    for (int i = 0; i < n; i += PIECE) {
        int count = n - i < PIECE ? n - i : PIECE;
        kernel_norms(s->M, s->D, s->X, norms + count);
        points_piece(s, g, add, count, P + (size_t)i * D, k, q, norms, S + (size_t)i * D);
    }
    return MIGE_OK;
}

int gram_points(mige_score *s, const gram *g, gram_add_fn add, int Q, const double *P, double *S) {
    size_t D = (size_t)s->D;
    double *mine;
    mige_pool pool = {0};
    int64_t first, count;
    mige_share(Q, s->c->size, s->c->rank, &first, &count);
    int err = MIGE_TAKE(&pool, MIGE_BLOCK(mine, (size_t)count * D));
    if (!err) err = my_points(s, g, add, (int)count, P + (size_t)first * D, &pool, mine);
    err = mige_agree(s->c, err);
    if (!err) err = mige_gather_rows(s->c, Q, s->D, mine, S);
    mige_pool_free(&pool);
    return err;
}
