#include "mige/blas.h"
#include "mige/error.h"
#include "score/score.h"
#include <math.h>

int gram_create(mige_score *s, const mige_matrix *K, gram *g) {
    size_t M = (size_t)s->M, D = (size_t)s->D;
    MIGE_TRY(MIGE_TAKE(&s->pool, MIGE_BLOCK(g->V, M * (D + 1)), MIGE_BLOCK(g->B, M * (D + 1))));
    return kernel_create(s->c, K, s->D, &s->pool, &g->kernel);
}

double gram_bytes(int M, int D, double gathered, double columns, int stored) {
    return 16. * M * (D + 1) + kernel_bytes(M, D, gathered, columns, stored);
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
    return kernel_exponential(&g->kernel, 1 / (2 * w2), sums);
}

/* Points that are worked on at once. */
enum { PIECE = 256 };

/* Of n points q [n][D], shifted, and their k [n][M]: out [n][D]. */
typedef void (*piece_fn)(const void *ctx, int n, double *k, const double *q, double *out);

/* out [Q][D] of points P [Q][D], of which each rank has its share. */
static int by_pieces(const mige_score *s, const gram *g, int Q, const double *P, piece_fn fn, const void *ctx,
                     double *out) {
    size_t M = (size_t)s->M, D = (size_t)s->D;
    double *k, *q, *norms, *mine;
    mige_pool pool = {0};
    int64_t first, count;
    mige_share(Q, s->c->size, s->c->rank, &first, &count);
    size_t piece = count < PIECE ? (size_t)count : PIECE;
    int err = MIGE_TAKE(&pool, MIGE_BLOCK(k, piece * M), MIGE_BLOCK(q, piece * D), MIGE_BLOCK(norms, M + piece),
                        MIGE_BLOCK(mine, (size_t)count * D));
    if (!err) kernel_norms(s->M, s->D, s->X, norms);
    for (int64_t i = 0; !err && i < count; i += PIECE) {
        int n = count - i < PIECE ? (int)(count - i) : PIECE;
        for (size_t j = 0; j < (size_t)n * D; j++) q[j] = P[(size_t)(first + i) * D + j] - s->shift[j % D];
        kernel_norms(n, s->D, q, norms + M);
        kernel_between(n, q, norms + M, s->M, s->X, norms, s->D, g->kernel.scale, k);
        fn(ctx, n, k, q, mine + (size_t)i * D);
    }
    err = mige_agree(s->c, err);
    if (!err) err = mige_gather_rows(s->c, Q, s->D, mine, out);
    mige_pool_free(&pool);
    return err;
}

typedef struct {
    const mige_score *s;
    const gram *g;
    gram_add_fn add;
} points;

static void points_piece(const void *ctx, int n, double *k, const double *q, double *S) {
    const points *p = ctx;
    int M = p->s->M, D = p->s->D;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, D, M, -1, k, M, p->g->C, D, 0, S, D);
    if (p->add) p->add(p->s, n, k, q, S);
}

int gram_points(mige_score *s, const gram *g, gram_add_fn add, int Q, const double *P, double *S) {
    return by_pieces(s, g, Q, P, points_piece, &(points){s, g, add}, S);
}

/* ---- second derivatives */

/* What k(q,X) is multiplied by. With r = 1 / w^2, A the calibration, and scores (alpha k C - beta b(q)) A, the d-th
 * derivative of the d-th is
 *
 *   q_d (k U)_d + (q A)_d (k V)_d - (k (X o U))_d + beta r k 1 (r q_d (q A)_d - A_dd),
 *   U = -r (alpha C A + beta r X A), V = -beta r X, all times r where beta is
 */
typedef struct {
    const mige_score *s;
    int columns; /* of F: U, X o U, 1, and with beta V */
    double r, beta;
    double *F, *kF; /* [M][columns], [piece][columns] */
    double *a;      /* [piece][D] q A; C A and X A before */
} hessian;

static int take_memory(hessian *h, mige_pool *pool, int Q) {
    size_t M = (size_t)h->s->M, D = (size_t)h->s->D, n = (size_t)h->columns, piece = Q < PIECE ? (size_t)Q : PIECE;
    return MIGE_TAKE(pool, MIGE_BLOCK(h->F, M * n), MIGE_BLOCK(h->kF, piece * n),
                     MIGE_BLOCK(h->a, (piece > M ? piece : M) * D));
}

/* out [n][D] = in A. */
static void calibrated(const mige_score *s, int n, const double *in, double *out) {
    for (size_t i = 0; !s->A && i < (size_t)n * (size_t)s->D; i++) out[i] = s->factor * in[i];
    if (s->A)
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, s->D, s->D, 1, in, s->D, s->A, s->D, 0, out,
                    s->D);
}

static void fill(const hessian *h, const double *C, double alpha) {
    const mige_score *s = h->s;
    size_t D = (size_t)s->D;
    double r = h->r;
    calibrated(s, s->M, C, h->a);
    for (size_t m = 0; m < (size_t)s->M; m++)
        for (size_t d = 0; d < D; d++) h->F[m * (size_t)h->columns + d] = -r * alpha * h->a[m * D + d];
    calibrated(s, s->M, s->X, h->a);
    for (size_t m = 0; m < (size_t)s->M; m++) {
        double *f = h->F + m * (size_t)h->columns;
        const double *x = s->X + m * D;
        for (size_t d = 0; d < D; d++) {
            f[d] -= r * r * h->beta * h->a[m * D + d];
            f[D + d] = x[d] * f[d];
            if (h->beta > 0) f[2 * D + 1 + d] = -r * r * h->beta * x[d];
        }
        f[2 * D] = 1;
    }
}

static void hessian_piece(const void *ctx, int n, double *k, const double *q, double *H) {
    const hessian *h = ctx;
    const mige_score *s = h->s;
    size_t D = (size_t)s->D;
    calibrated(s, n, q, h->a);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, h->columns, s->M, 1, k, s->M, h->F, h->columns, 0,
                h->kF, h->columns);
    for (size_t i = 0; i < (size_t)n; i++) {
        const double *f = h->kF + i * (size_t)h->columns;
        for (size_t d = 0; d < D; d++) {
            double x = q[i * D + d], a = h->a[i * D + d], A = s->A ? s->A[d * D + d] : s->factor;
            H[i * D + d] = x * f[d] - f[D + d] + h->beta * h->r * f[2 * D] * (h->r * x * a - A);
            if (h->beta > 0) H[i * D + d] += a * f[2 * D + 1 + d];
        }
    }
}

double mige_score_hessian_bytes(int M, int D, int Q, int ranks) {
    double piece = Q < PIECE ? Q : PIECE, m = M, columns = 3. * D + 1;
    return 8 * (m * columns + piece * m + piece * D + fmax(piece, m) * D + piece * columns + m +
                ((double)Q / ranks + 1) * D);
}

int gram_hessian(const mige_score *s, const gram *g, double alpha, double beta, int Q, const double *P, double *H) {
    mige_pool pool = {0};
    hessian h = {.s = s, .columns = (beta > 0 ? 3 : 2) * s->D + 1, .r = 2 * g->kernel.scale, .beta = beta};
    int err = mige_agree(s->c, take_memory(&h, &pool, Q));
    if (!err) fill(&h, g->C, alpha);
    if (!err) err = by_pieces(s, g, Q, P, hessian_piece, &h, H);
    mige_pool_free(&pool);
    return err;
}
