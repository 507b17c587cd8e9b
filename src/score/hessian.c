#include "mige/blas.h"
#include "mige/error.h"
#include "score/score.h"
#include <math.h>

/* Pieces of points that are worked on at once. */
enum { PIECE = 256 };

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
    double *F;                      /* [M][columns] */
    double *k, *q, *a, *norms, *kF; /* [piece][M], [piece][D] q and q A, [piece + M], [piece][columns] */
} hessian;

static int take_memory(const mige_score *s, mige_pool *pool, int n, double beta, hessian *h) {
    size_t M = (size_t)s->M, D = (size_t)s->D, piece = n < PIECE ? (size_t)n : PIECE;
    h->columns = (beta > 0 ? 3 : 2) * s->D + 1;
    h->s = s;
    h->beta = beta;
    return MIGE_TAKE(pool, MIGE_BLOCK(h->F, M * (size_t)h->columns), MIGE_BLOCK(h->k, piece * M),
                     MIGE_BLOCK(h->q, piece * D), MIGE_BLOCK(h->a, (piece > M ? piece : M) * D),
                     MIGE_BLOCK(h->norms, piece + M), MIGE_BLOCK(h->kF, piece * (size_t)h->columns));
}

/* out [n][D] = in A. */
static void calibrated(const mige_score *s, int n, const double *in, double *out) {
    for (size_t i = 0; !s->A && i < (size_t)n * (size_t)s->D; i++) out[i] = s->factor * in[i];
    if (s->A)
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, s->D, s->D, 1, in, s->D, s->A, s->D, 0, out,
                    s->D);
}

static void fill(hessian *h, const double *C, double alpha) {
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

static void piece(hessian *h, int n, const double *P, double *H) {
    const mige_score *s = h->s;
    size_t D = (size_t)s->D;
    for (size_t i = 0; i < (size_t)n * D; i++) h->q[i] = P[i] - s->shift[i % D];
    calibrated(s, n, h->q, h->a);
    kernel_norms(n, s->D, h->q, h->norms);
    kernel_norms(s->M, s->D, s->X, h->norms + n);
    kernel_between(n, h->q, h->norms, s->M, s->X, h->norms + n, s->D, h->r / 2, h->k);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, h->columns, s->M, 1, h->k, s->M, h->F, h->columns, 0,
                h->kF, h->columns);
    for (size_t i = 0; i < (size_t)n; i++) {
        const double *f = h->kF + i * (size_t)h->columns;
        for (size_t d = 0; d < D; d++) {
            double q = h->q[i * D + d], a = h->a[i * D + d], A = s->A ? s->A[d * D + d] : s->factor;
            H[i * D + d] = q * f[d] - f[D + d] + h->beta * h->r * f[2 * D] * (h->r * q * a - A);
            if (h->beta > 0) H[i * D + d] += a * f[2 * D + 1 + d];
        }
    }
}

double mige_score_hessian_gap(int M, int D, const double *S, const double *H) {
    double gap = 0;
    for (int d = 0; d < D; d++) {
        double square = 0, derivative = 0;
        for (int i = 0; i < M; i++) {
            size_t at = (size_t)i * (size_t)D + (size_t)d;
            square += S[at] * S[at];
            derivative += H[at];
        }
        if (square > 0) gap += fabs(derivative / square + 1) / D;
    }
    return gap;
}

double mige_score_hessian_bytes(int M, int D, int Q, int ranks) {
    double piece = Q < PIECE ? Q : PIECE, m = M, columns = 3. * D + 1;
    return 8 * (m * columns + piece * m + piece * D + fmax(piece, m) * D + piece * columns + m +
                ((double)Q / ranks + 1) * D);
}

int gram_hessian(const mige_score *s, const gram *g, double alpha, double beta, int Q, const double *P, double *H) {
    mige_pool pool = {0};
    hessian h = {.r = 2 * g->scale};
    int64_t first, count;
    size_t D = (size_t)s->D;
    double *mine = NULL;
    mige_share(Q, s->c->size, s->c->rank, &first, &count);
    int err = take_memory(s, &pool, (int)count, beta, &h);
    if (!err) err = MIGE_TAKE(&pool, MIGE_BLOCK(mine, (size_t)count * D));
    if (!err) fill(&h, g->C, alpha);
    for (int64_t i = 0; !err && i < count; i += PIECE)
        piece(&h, count - i < PIECE ? (int)(count - i) : PIECE, P + (size_t)(first + i) * D, mine + (size_t)i * D);
    err = mige_agree(s->c, err);
    if (!err) err = mige_gather_rows(s->c, Q, s->D, mine, H);
    mige_pool_free(&pool);
    return err;
}
