#include "score/nystroem.h"
#include "linalg/thin.h"
#include "mige/blas.h"
#include "mige/rng.h"
#include "score/kernel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLICE = 512 };    /* rows of F worked on at once */
enum { STRETCH = 2048 }; /* rows whose part of F'F is summed in single precision */
static const double LANDMARK_SHARE = 0.05;

/* Past the leading eigenvalues, those that a larger preconditioner still would catch are many and small: it would
 * cost more than the iterations that it saves. So it costs about what six products with K do, 2 M r^2 flops against
 * 3 M^2 D. A few samples are all landmarks. */
static int landmarks_for(int M, int D) {
    enum { FEW = 512 };
    double r = fmax(3 * sqrt((double)M * D), FEW);
    return (int)fmin(r, M <= FEW ? M : (M + 1) / 2);
}

double nystroem_bytes(int M, int D, int ranks) {
    double r = landmarks_for(M, D), rows = ceil((double)M / ranks);
    return 8 * (r * D + D + r + 3 * rows + 2 * r * r + fmin(rows, SLICE) * r + 2 * r * D) +
           4 * (r * r + rows * r + (rows + r) * D);
}

double nystroem_flops(int M, int D) {
    double r = landmarks_for(M, D);
    return 2. * M * r * r + 4. / 3 * r * r * r;
}

int nystroem_create(const mige_comm *c, int M, int D, mige_pool *pool, nystroem *n) {
    *n = (nystroem){.c = c, .M = M, .D = D, .most = landmarks_for(M, D)};
    mige_share(M, c->size, c->rank, &n->first, &n->count);
    size_t r = (size_t)n->most, d = (size_t)D, rows = (size_t)n->count;
    return MIGE_TAKE(pool, MIGE_BLOCK(n->w, rows), MIGE_BLOCK(n->y, rows), MIGE_BLOCK(n->leading, d),
                     MIGE_BLOCK(n->landmarks, r * d), MIGE_BLOCK(n->norms, r + rows), MIGE_BLOCK(n->T, r * r),
                     MIGE_BLOCK(n->G, r * r), MIGE_BLOCK(n->H, r * r), MIGE_BLOCK(n->F, rows * r),
                     MIGE_BLOCK(n->rows, (rows < SLICE ? rows : SLICE) * r), MIGE_BLOCK(n->from, rows * d),
                     MIGE_BLOCK(n->to, r * d), MIGE_BLOCK(n->t, r * d), MIGE_BLOCK(n->u, r * d));
}

static void round_to(size_t n, const double *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] = (float)x[i];
}
static void widen(size_t n, const float *restrict x, double *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] = (double)x[i];
}

static int choose_landmarks(nystroem *n, const double *X) {
    int64_t *order;
    size_t D = (size_t)n->D;
    MIGE_TRY(mige_alloc((size_t)n->M, sizeof *order, &order));
    mige_rng_permutation(0, MIGE_RNG_NYSTROM, 0, n->M, order);
    for (size_t i = 0; i < (size_t)n->most; i++)
        memcpy(n->landmarks + i * D, X + (size_t)order[i] * D, D * sizeof *X);
    free(order);
    kernel_norms(n->most, n->D, n->landmarks, n->norms);
    return MIGE_OK;
}

/* Mean and variance of the squared diagonal entries of T in [from, to). */
static void look_at(const nystroem *n, int from, int to, double *mean, double *variance) {
    double sum = 0, squares = 0, count = to - from;
    for (size_t i = (size_t)from; i < (size_t)to; i++) {
        double left = pow(n->T[i * (size_t)n->most + i], 2);
        sum += left;
        squares += left * left;
    }
    *mean = sum / count;
    *variance = fmax(0, squares / count - *mean * *mean);
}

/* The square of a diagonal entry of T is what the landmarks before leave of that one's k(l,l), so that M times its
 * mean falls from one landmark to the next by about the largest eigenvalue that is left: enough of them once that
 * is, chance allowed for, small beside eta. */
static int enough_landmarks(const nystroem *n) {
    for (int r = 128; r <= n->most; r += r / 4) {
        double before, after, v, w;
        int width = r / 4;
        look_at(n, r - 2 * width, r - width, &before, &v);
        look_at(n, r - width, r, &after, &w);
        if (n->M * (before - after + 2 * sqrt((v + w) / width)) < n->eta / 2 * width) return r;
    }
    return n->most;
}

static int factor_landmarks(nystroem *n) {
    int info = 1, r = n->most;
    double ridge = fmax(LANDMARK_SHARE * n->eta * r / n->M, 1e-14 * r); /* 1e-2 and more where eta is large */
    for (int tries = 0; info && (!tries || ridge < 1e-2); tries++) {
        kernel_between(r, n->landmarks, n->norms, r, n->landmarks, n->norms, n->D, n->scale, n->T);
        for (size_t i = 0; i < (size_t)r; i++) n->T[i * (size_t)r + i] = 1 + ridge;
        dpotrf_("L", &r, n->T, &r, &info);
        ridge *= 100;
    }
    MIGE_CHECK(!info, MIGE_ENUMERIC, "conjugate gradients: no preconditioner from %d landmarks (try Cholesky)", r);
    n->r = enough_landmarks(n);
    return MIGE_OK;
}

/* F: slices of k(X,L) in double, multiplied by T^-T in the precision that will do. F'F: of stretches, in that
 * precision, added up in double. */
static void make_factor(nystroem *n, const double *own) {
    int r = n->r, ld = n->most, D = n->D, count = (int)n->count;
    size_t w = (size_t)r;
    for (size_t i = 0; i < (size_t)ld * w; i++) n->H[i] = (float)n->T[i];
    for (int from = 0; from < count; from += SLICE) {
        int m = count - from < SLICE ? count - from : SLICE;
        float *F = n->F + (size_t)from * w;
        kernel_between(m, own + (size_t)from * (size_t)D, n->norms + n->most + from, r, n->landmarks, n->norms, D,
                       n->scale, n->rows);
        if (!n->single)
            cblas_dtrsm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, r, m, 1, n->T, ld,
                        n->rows, r);
        round_to((size_t)m * w, n->rows, F);
        if (n->single)
            cblas_strsm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, r, m, 1, n->H, ld, F, r);
    }
}

static void square_factor(nystroem *n) {
    int r = n->r, count = (int)n->count, step = n->single ? STRETCH : SLICE;
    size_t w = (size_t)r;
    memset(n->G, 0, w * w * sizeof *n->G);
    for (int from = 0; from < count; from += step) {
        int m = count - from < step ? count - from : step;
        const float *F = n->F + (size_t)from * w;
        if (n->single) {
            cblas_ssyrk(CblasColMajor, CblasLower, CblasNoTrans, r, m, 1, F, r, 0, n->H, r);
            for (size_t j = 0; j < w; j++)
                for (size_t i = j; i < w; i++) n->G[j * w + i] += (double)n->H[j * w + i];
        } else {
            widen((size_t)m * w, F, n->rows);
            cblas_dsyrk(CblasColMajor, CblasLower, CblasNoTrans, r, m, 1, n->rows, r, 1, n->G, r);
        }
    }
}

static int factor_inner(nystroem *n) {
    int info, r = n->r;
    for (size_t i = 0; i < (size_t)r; i++) n->G[i * (size_t)r + i] += n->eta;
    dpotrf_("L", &r, n->G, &r, &info);
    if (!info) dpotri_("L", &r, n->G, &r, &info); /* few columns: a product is much faster than two solves */
    for (size_t j = 0, w = (size_t)r; j < w; j++)
        for (size_t i = 0; i < j; i++) n->G[j * w + i] = n->G[i * w + j];
    MIGE_CHECK(!info, MIGE_ENUMERIC,
               "conjugate gradients: the preconditioner is not positive definite (a larger ridge)");
    return MIGE_OK;
}

/* t += F' R, or (back) R -= F u, for D columns, in slices of F that are made double. */
static void precise_products(nystroem *n, int D, int back, const double *R, double *Z) {
    int r = n->r, count = (int)n->count;
    for (int from = 0; from < count; from += SLICE) {
        int m = count - from < SLICE ? count - from : SLICE;
        size_t at = (size_t)from * (size_t)D;
        widen((size_t)m * (size_t)r, n->F + (size_t)from * (size_t)r, n->rows);
        if (back)
            cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, D, m, r, -1, n->u, D, n->rows, r, 1, Z + at, D);
        else
            cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, D, r, m, 1, R + at, D, n->rows, r, 1, n->t, D);
    }
}

/* w and y = P w, w'P w = 1; or 0 where all w are. */
static int prepare_leading(nystroem *n) {
    size_t count = (size_t)n->count, r = (size_t)n->r;
    double both = 0;
    for (size_t m = 0; m < count; m++) {
        n->w[m] = exp(-n->scale * n->norms[(size_t)n->most + m]);
        n->y[m] = n->eta * n->w[m];
    }
    memset(n->t, 0, r * sizeof *n->t);
    precise_products(n, 1, 0, n->w, NULL);
    MIGE_TRY(mige_sum(n->c, n->t, r));
    for (size_t i = 0; i < r; i++) n->u[i] = -n->t[i];
    precise_products(n, 1, 1, NULL, n->y);
    for (size_t m = 0; m < count; m++) both += n->w[m] * n->y[m];
    MIGE_TRY(mige_sum(n->c, &both, 1));
    for (size_t m = 0; m < count; m++) {
        n->w[m] = both > 0 ? n->w[m] / sqrt(both) : 0;
        n->y[m] = both > 0 ? n->y[m] / sqrt(both) : 0;
    }
    return MIGE_OK;
}

int nystroem_make(nystroem *n, const double *X, double scale, double eta) {
    const double *own = X + n->first * n->D;
    n->scale = scale;
    n->eta = eta;
    /* Rounding must stay small beside eta. */
    n->single = 6e-8 * sqrt((double)n->M * STRETCH) < 0.1 * eta;
    int err = choose_landmarks(n, X);
    if (!err) {
        kernel_norms((int)n->count, n->D, own, n->norms + n->most);
        err = factor_landmarks(n);
    }
    MIGE_TRY(mige_agree(n->c, err));
    MIGE_TRY(mige_bcast(n->c, 0, &n->r, sizeof n->r));
    make_factor(n, own);
    square_factor(n);
    for (size_t j = 0, w = (size_t)n->r; j < w; j++) /* whole, a sum would take its size once more inside MPI */
        MIGE_TRY(mige_sum(n->c, n->G + j * w + j, w - j));
    MIGE_TRY(mige_agree(n->c, factor_inner(n)));
    return prepare_leading(n);
}

/* u = (F'F + eta I)^-1 t, each rank its share of the rows. */
static int multiply_inner(nystroem *n) {
    int r = n->r, D = n->D;
    int64_t first, count;
    mige_share(r, n->c->size, n->c->rank, &first, &count);
    memset(n->u, 0, (size_t)r * (size_t)D * sizeof *n->u);
    if (count)
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, D, (int)count, r, 1, n->t, D, n->G + first * r, r, 0,
                    n->u + first * D, D);
    return mige_sum(n->c, n->u, (size_t)r * (size_t)D);
}

/* Z = (I - F (F'F + eta I)^-1 F') Z / eta */
static int solve_precise(nystroem *n, double *Z) {
    int r = n->r, D = n->D;
    size_t m = (size_t)r * (size_t)D;
    memset(n->t, 0, m * sizeof *n->t);
    precise_products(n, D, 0, Z, NULL);
    MIGE_TRY(mige_sum(n->c, n->t, m));
    MIGE_TRY(multiply_inner(n));
    precise_products(n, D, 1, NULL, Z);
    return MIGE_OK;
}

static int solve_single(nystroem *n, double *Z) {
    int r = n->r, D = n->D, count = (int)n->count;
    size_t size = (size_t)count * (size_t)D, m = (size_t)r * (size_t)D;
    round_to(size, Z, n->from);
    memset(n->to, 0, m * sizeof *n->to);
    thin_multiply_single(r, count, D, 1, n->F, r, n->from, n->to);
    widen(m, n->to, n->t);
    MIGE_TRY(mige_sum(n->c, n->t, m));
    MIGE_TRY(multiply_inner(n));
    round_to(m, n->u, n->to);
    memset(n->from, 0, size * sizeof *n->from);
    thin_multiply_transposed_single(r, count, D, 1, n->F, r, n->to, n->from);
    for (size_t i = 0; i < size; i++) Z[i] -= (double)n->from[i];
    return MIGE_OK;
}

/* P^-1 R = w c + P^-1 (R - P w c) for any c. With c = w'R, w'P w = 1, what single precision rounds is without its
 * greatest part. */
int nystroem_solve(nystroem *n, int precise, const double *R, double *Z) {
    size_t count = (size_t)n->count, D = (size_t)n->D;
    double *c = n->leading;
    memcpy(Z, R, count * D * sizeof *Z);
    if (precise) {
        MIGE_TRY(solve_precise(n, Z));
    } else {
        memset(c, 0, D * sizeof *c);
        for (size_t m = 0; m < count; m++) cblas_daxpy(n->D, n->w[m], R + m * D, 1, c, 1);
        MIGE_TRY(mige_sum(n->c, c, D));
        for (size_t m = 0; m < count; m++) cblas_daxpy(n->D, -n->y[m], c, 1, Z + m * D, 1);
        MIGE_TRY(solve_single(n, Z));
    }
    for (size_t i = 0; i < count * D; i++) Z[i] /= n->eta;
    for (size_t m = 0; !precise && m < count; m++) cblas_daxpy(n->D, n->w[m], c, 1, Z + m * D, 1);
    return MIGE_OK;
}
