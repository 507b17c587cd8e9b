#include "linalg/thin.h"
#include "mige/blas.h"
#include "mige/rng.h"
#include "score/cg.h"
#include <math.h>
#include <string.h>

enum { SLICE = 512 };    /* rows of F worked on at once */
enum { STRETCH = 2048 }; /* rows whose part of F'F is summed in single precision */
static const double LANDMARK_SHARE = 0.05;

/* Columns of F that may be worth their work. A few samples are all landmarks. */
enum { FEW = 512 };
static int columns_for(int M, int D) {
    double r = fmax(3 * sqrt((double)M * D), FEW);
    return (int)fmin(r, M <= FEW ? M : (M + 1) / 2);
}

/* The kernel's terms, of the degrees that are no more than these. */
static int terms_for(int M, int D) {
    int most = M <= FEW ? 0 : columns_for(M, D);
    if (D > most) return 0; /* and D (D + 1) fits an int */
    for (int squares = 1; squares >= 0; squares--)
        if (kernel_num_terms(D, squares) <= most) return kernel_num_terms(D, squares);
    return 0;
}

/* The most; enough_landmarks takes those that pay. */
static int landmarks_for(int M, int D) {
    int r = columns_for(M, D), beside = r - terms_for(M, D);
    return beside > r / 2 ? beside : (r + 1) / 2;
}

double nystroem_bytes(int M, int D, int ranks) {
    double l = landmarks_for(M, D), e = terms_for(M, D), r = l + e, rows = ceil((double)M / ranks),
           slice = fmin(rows, SLICE);
    return 8 * (l * D + 2 * D + l + 3 * rows + r * r + slice * r + (l + slice) * e + 2 * r * D) +
           4 * (r * r + rows * r + (rows + r) * D);
}

double nystroem_flops(int M, int D) {
    double r = landmarks_for(M, D) + terms_for(M, D);
    return 2. * M * r * r + 4. / 3 * r * r * r;
}

int nystroem_create(const mige_comm *c, int M, int D, mige_pool *pool, nystroem *n) {
    *n = (nystroem){.c = c, .M = M, .D = D, .most = landmarks_for(M, D), .terms = terms_for(M, D)};
    mige_share(M, c->size, c->rank, &n->first, &n->count);
    size_t l = (size_t)n->most, e = (size_t)n->terms, r = l + e, d = (size_t)D, rows = (size_t)n->count,
           slice = rows < SLICE ? rows : SLICE;
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(n->w, rows), MIGE_BLOCK(n->y, rows), MIGE_BLOCK(n->leading, d),
                       MIGE_BLOCK(n->power, d), MIGE_BLOCK(n->landmarks, l * d), MIGE_BLOCK(n->norms, l + rows),
                       MIGE_BLOCK(n->T, r * r), MIGE_BLOCK(n->H, r * r), MIGE_BLOCK(n->F, rows * r),
                       MIGE_BLOCK(n->rows, slice * r), MIGE_BLOCK(n->E, (l + slice) * e),
                       MIGE_BLOCK(n->from, rows * d), MIGE_BLOCK(n->to, r * d), MIGE_BLOCK(n->t, r * d),
                       MIGE_BLOCK(n->u, r * d)));
    n->G = n->T;
    return MIGE_OK;
}

static void round_to(size_t n, const double *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] = (float)x[i];
}
static void widen(size_t n, const float *restrict x, double *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] = (double)x[i];
}

/* E [count][terms] of X: what most of the kernel is where there are many dimensions. */
static void make_terms(const nystroem *n, int count, const double *X, double *E) {
    size_t D = (size_t)n->D, e = (size_t)n->terms;
    for (size_t m = 0; e && m < (size_t)count; m++)
        kernel_terms(n->D, n->terms > 1 + n->D, n->scale, X + m * D, E + m * e);
}

/* The eigenvalues that the first r landmarks leave, their mean weighted by themselves: M times the mean square of
 * the entries that are left over the mean of those on the diagonal. Column j of T times T_jj is one of what j
 * leave. */
static double eigenvalue_left(const nystroem *n, int r, int width) {
    double diagonal = 0, squares = 0;
    size_t ld = (size_t)n->most;
    for (size_t j = (size_t)r; j < (size_t)(r + width); j++) {
        const double *column = n->T + j * ld;
        double sum = 0, left = column[j] * column[j];
        for (size_t i = j + 1; i < ld; i++) sum += column[i] * column[i];
        squares += left * sum / (double)(ld - j - 1);
        diagonal += left;
    }
    return n->M * squares / diagonal;
}

static int window(int r) {
    return r / 8 > 64 ? r / 8 : 64;
}

/* Least work: 2 M r^2 for r columns of F, and about 12 sqrt(kappa) iterations of 3 M^2 D + 4 M r D. kappa is that
 * of the greatest eigenvalue left, some three times the weighted mean. */
static int enough_landmarks(const nystroem *n) {
    double M = n->M, D = n->D, least = INFINITY;
    int best = n->most;
    for (int l = n->terms ? 0 : 128; l + window(l) < n->most; l += window(l)) {
        double r = n->terms + l, kappa = 1 + 3 * eigenvalue_left(n, l, window(l)) / n->eta,
               work = 2 * M * r * r + 12 * sqrt(kappa) * (3 * M * M * D + 4 * M * r * D);
        if (work < least) {
            least = work;
            best = l;
        }
    }
    return best;
}

static int factor_landmarks(nystroem *n) {
    int info = 1, r = n->most, e = n->terms;
    double ridge = fmax(LANDMARK_SHARE * n->eta * r / n->M, 1e-14 * r); /* 1e-2 and more where eta is large */
    make_terms(n, r, n->landmarks, n->E);
    for (int tries = 0; info && (!tries || ridge < 1e-2); tries++) {
        kernel_between(r, n->landmarks, n->norms, r, n->landmarks, n->norms, n->D, n->scale, n->T);
        for (size_t i = 0; i < (size_t)r; i++) n->T[i * (size_t)r + i] = 1 + ridge;
        if (e) cblas_dsyrk(CblasColMajor, CblasLower, CblasTrans, r, e, -1, n->E, e, 1, n->T, r);
        dpotrf_("L", &r, n->T, &r, &info);
        ridge *= 100;
    }
    MIGE_CHECK(!info, MIGE_ENUMERIC, "conjugate gradients: no preconditioner from %d landmarks (try Cholesky)", r);
    n->r = n->terms + enough_landmarks(n);
    return MIGE_OK;
}

/* F, slice by slice: the terms, and what k(X,L) is without them, in double, multiplied by T^-T in the precision
 * that will do. */
static void make_factor(nystroem *n, const double *own) {
    int r = n->r, e = n->terms, l = r - e, ld = n->most, D = n->D, count = (int)n->count;
    double *E = n->E + (size_t)ld * (size_t)e;
    for (size_t i = 0; i < (size_t)ld * (size_t)l; i++) n->H[i] = (float)n->T[i];
    for (int from = 0; from < count; from += SLICE) {
        int m = count - from < SLICE ? count - from : SLICE;
        const double *x = own + (size_t)from * (size_t)D, *norms = n->norms + ld + from;
        float *F = n->F + (size_t)from * (size_t)r;
        make_terms(n, m, x, E);
        kernel_between(m, x, norms, l, n->landmarks, n->norms, D, n->scale, n->rows);
        if (e && l) cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, l, m, e, -1, n->E, e, E, e, 1, n->rows, l);
        if (!n->single && l)
            cblas_dtrsm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, l, m, 1, n->T, ld,
                        n->rows, l);
        for (int i = 0; i < m; i++) {
            round_to((size_t)e, E + (size_t)i * (size_t)e, F + (size_t)i * (size_t)r);
            round_to((size_t)l, n->rows + (size_t)i * (size_t)l, F + (size_t)i * (size_t)r + e);
        }
        if (n->single && l)
            cblas_strsm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, l, m, 1, n->H, ld, F + e,
                        r);
    }
}

/* F'F of stretches, in that precision, added up in double. */
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

/* t += F' Z, or (back) Z -= F u, for D columns, in slices of F that are made double. */
static void precise_products(nystroem *n, int D, int back, double *Z) {
    int r = n->r, count = (int)n->count;
    for (int from = 0; from < count; from += SLICE) {
        int m = count - from < SLICE ? count - from : SLICE;
        double *z = Z + (size_t)from * (size_t)D;
        widen((size_t)m * (size_t)r, n->F + (size_t)from * (size_t)r, n->rows);
        if (back)
            cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, D, m, r, -1, n->u, D, n->rows, r, 1, z, D);
        else
            cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, D, r, m, 1, z, D, n->rows, r, 1, n->t, D);
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
    precise_products(n, 1, 0, n->w);
    MIGE_TRY(mige_sum(n->c, n->t, r));
    for (size_t i = 0; i < r; i++) n->u[i] = -n->t[i];
    precise_products(n, 1, 1, n->y);
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
    int err = mige_rng_rows(0, MIGE_RNG_NYSTROM, 0, n->M, n->D, X, n->most, n->landmarks);
    if (!err) {
        kernel_norms(n->most, n->D, n->landmarks, n->norms);
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

/* Z = (I - F (F'F + eta I)^-1 F') Z */
static int products_single(nystroem *n, double *Z) {
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

/* Z's columns times powers of two that bring their largest entries to between 1 and 2, for single precision. */
static int scale_columns(nystroem *n, double *Z) {
    size_t count = (size_t)n->count, D = (size_t)n->D;
    memset(n->power, 0, D * sizeof *n->power);
    for (size_t m = 0; m < count; m++)
        for (size_t d = 0; d < D; d++) n->power[d] = fmax(n->power[d], fabs(Z[m * D + d]));
    MIGE_TRY(mige_max(n->c, n->power, D));
    for (size_t d = 0; d < D; d++) {
        double most = n->power[d];
        n->power[d] = most > 0 && isfinite(most) ? ldexp(1, -(int)fmax(-1000, fmin(1000, ilogb(most)))) : 1;
    }
    for (size_t m = 0; m < count; m++)
        for (size_t d = 0; d < D; d++) Z[m * D + d] *= n->power[d];
    return MIGE_OK;
}

/* P^-1 R = w c + P^-1 (R - P w c) for any c. With c = w'R, w'P w = 1, what single precision rounds is without its
 * greatest part. */
static int solve_in_single(nystroem *n, double *Z) {
    size_t count = (size_t)n->count, D = (size_t)n->D;
    double *c = n->leading;
    memset(c, 0, D * sizeof *c);
    for (size_t m = 0; m < count; m++) cblas_daxpy(n->D, n->w[m], Z + m * D, 1, c, 1);
    MIGE_TRY(mige_sum(n->c, c, D));
    for (size_t m = 0; m < count; m++) cblas_daxpy(n->D, -n->y[m], c, 1, Z + m * D, 1);
    MIGE_TRY(scale_columns(n, Z));
    MIGE_TRY(products_single(n, Z));
    for (size_t m = 0; m < count; m++)
        for (size_t d = 0; d < D; d++) Z[m * D + d] = Z[m * D + d] / n->power[d] / n->eta + n->w[m] * c[d];
    return MIGE_OK;
}

static int solve_in_double(nystroem *n, double *Z) {
    memset(n->t, 0, (size_t)n->r * (size_t)n->D * sizeof *n->t);
    precise_products(n, n->D, 0, Z);
    MIGE_TRY(mige_sum(n->c, n->t, (size_t)n->r * (size_t)n->D));
    MIGE_TRY(multiply_inner(n));
    precise_products(n, n->D, 1, Z);
    for (size_t i = 0; i < (size_t)n->count * (size_t)n->D; i++) Z[i] /= n->eta;
    return MIGE_OK;
}

int nystroem_solve(nystroem *n, int precise, const double *R, double *Z) {
    memcpy(Z, R, (size_t)n->count * (size_t)n->D * sizeof *Z);
    return precise ? solve_in_double(n, Z) : solve_in_single(n, Z);
}
