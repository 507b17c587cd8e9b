/* While the matrix is large: panels of nb columns, as in LAPACK's dsytrd (Dongarra, Sorensen, Hammarling 1989),
 * over column blocks dealt out to the ranks. A panel belongs to one rank, which makes the reflectors; the product
 * with the trailing matrix, half of all arithmetic, reads each rank's part of the lower triangle once a column,
 * both as rows and as columns; the rank-2nb update is one GEMM a block column. What is left once messages cost more
 * than arithmetic is gathered, and every rank does the same to it (fused.h). */
#include "linalg/tridiagonal.h"
#include "base/simd.h"
#include "linalg/scalapack.h"
#include "mige/blas.h"
#include "mige/error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NB = 64, REST_NB = 16 };

/* Operations a second of a rank by itself, and of one in panels, measured while the matrix is in the second-level
 * cache; what a column's messages take; the order up to which one rank does without panels. */
static const double ALONE = 30e9, TOGETHER = 26e9, MESSAGES = 15e-6;
enum { CACHED = 1024 };

/* The order n below which each rank by itself is as fast as all: a column's 4 n^2 operations take no more than
 * MESSAGES longer. */
static int order_alone(int m, int ranks) {
    double gain = 4 * (1 / ALONE - 1 / (TOGETHER * ranks)),
           n = ranks > 1 && gain > 0 ? fmin(sqrt(MESSAGES / gain), CACHED) : CACHED;
    return m < n ? m : (int)n;
}

double tridiagonal_bytes(int m, int nb, int ranks) {
    double n = order_alone(m, ranks);
    return 8. * m * (4. * nb + nb + 4) + 8. * n * (2. * n + REST_NB) + (ranks > 1 ? 4. * n * n : 0);
}

/* Memory for the rest, and how much of it is whose. */
static int create_rest(tridiagonal *t, int alone) {
    const mige_grid *g = t->grid;
    int nb = g->nb, P = g->cols, left = t->m > alone ? t->m - alone : 0, n;
    t->from = (left + nb - 1) / nb * nb; /* whole panels before it, and at least a column behind */
    if (t->from >= t->m) t->from = (t->m - 1) / nb * nb;
    n = t->m - t->from;
    MIGE_TRY(fused_create(n, &t->rest));
    MIGE_TRY(mige_alloc((size_t)(n / REST_NB + 1) * (size_t)(REST_NB * REST_NB), sizeof *t->restT, &t->restT));
    if (P == 1) return MIGE_OK;
    MIGE_TRY(mige_alloc((size_t)n * (size_t)(n + 1) / 2, sizeof *t->lower, &t->lower));
    MIGE_TRY(mige_alloc((size_t)P, sizeof *t->counts, &t->counts));
    MIGE_TRY(mige_alloc((size_t)P, sizeof *t->offsets, &t->offsets));
    for (int k = t->from; k < t->m; k++) t->counts[k / nb % P] += t->m - k;
    for (int r = 1; r < P; r++) t->offsets[r] = t->offsets[r - 1] + t->counts[r - 1];
    return MIGE_OK;
}

int tridiagonal_create(const mige_grid *grid, int m, int alone, tridiagonal *t) {
    size_t n = (size_t)m, nb = (size_t)grid->nb, panels = n / nb + 1;
    *t = (tridiagonal){.grid = grid, .m = m};
    MIGE_TRY(mige_alloc(n, sizeof *t->d, &t->d));
    MIGE_TRY(mige_alloc(n, sizeof *t->e, &t->e));
    MIGE_TRY(mige_alloc(panels * nb * nb, sizeof *t->T, &t->T));
    MIGE_TRY(mige_alloc(2 * nb * n, sizeof *t->VW, &t->VW));
    MIGE_TRY(mige_alloc(2 * nb * n, sizeof *t->WV, &t->WV));
    MIGE_TRY(mige_alloc(n + 3, sizeof *t->line, &t->line));
    MIGE_TRY(mige_alloc(n, sizeof *t->y, &t->y));
    return create_rest(t, alone ? alone : order_alone(m, grid->cols));
}

int tridiagonal_room(tridiagonal *t, int n) {
    if (n <= t->room) return MIGE_OK;
    free(t->C);
    t->room = 0;
    MIGE_TRY(mige_alloc((size_t)MOST_NB * (size_t)n, sizeof *t->C, &t->C));
    t->room = n;
    return MIGE_OK;
}

void tridiagonal_destroy(tridiagonal *t) {
    double *blocks[] = {t->d, t->e, t->T, t->VW, t->WV, t->line, t->y, t->C, t->restT, t->lower};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    free(t->counts);
    free(t->offsets);
    fused_destroy(&t->rest);
    *t = (tridiagonal){0};
}

/* Columns are taken in groups of COLUMNS, from a row on that is a multiple of LINE, the doubles of a cache line. */
enum { LINE = 8, COLUMNS = 4 };

/* y += A v and sums = A' v for rows [0, n) of four columns a, a + lda, ... at once: their one pass through memory.
 */
MIGE_CLONES static void four_columns(int n, const double *restrict a, size_t lda, const double *restrict v,
                                     const double x[COLUMNS], double *restrict y, double sums[COLUMNS]) {
    const double *restrict b = a + lda, *restrict c = b + lda, *restrict d = c + lda;
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0, x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (int i = 0; i < n; i++) {
        y[i] += a[i] * x0 + b[i] * x1 + c[i] * x2 + d[i] * x3;
        s0 += a[i] * v[i];
        s1 += b[i] * v[i];
        s2 += c[i] * v[i];
        s3 += d[i] * v[i];
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* One column from its diagonal down to row `end`, both ways. */
static void short_column(int from, int end, const double *a, const double *v, double *y) {
    double sum = a[from] * v[from];
    for (int i = from + 1; i < end; i++) {
        y[i] += a[i] * v[from];
        sum += a[i] * v[i];
    }
    y[from] += sum;
}

/* Local columns [jl, jl + n), at most COLUMNS of them. */
static void multiply_group(const mige_matrix *K, int jl, int n, const double *v, double *y) {
    int m = K->m, jg = mige_col(K, jl), below = ((jg + n - 1) / LINE + 1) * LINE;
    size_t lda = (size_t)K->lld;
    const double *a = K->a + (size_t)jl * lda;
    if (n == COLUMNS && below <= m && mige_col(K, jl + n - 1) == jg + n - 1) {
        double sums[COLUMNS];
        for (int q = 0; q < COLUMNS; q++) short_column(jg + q, below, a + (size_t)q * lda, v, y);
        four_columns(m - below, a + below, lda, v + below, v + jg, y + below, sums);
        for (int q = 0; q < COLUMNS; q++) y[jg + q] += sums[q];
    } else {
        for (int q = 0; q < n; q++) short_column(mige_col(K, jl + q), m, a + (size_t)q * lda, v, y);
    }
}

/* y += (this rank's columns from global `from` on, as lower triangle of a symmetric matrix) v; v, y [m]. */
static void multiply_lower(tridiagonal *t, const mige_matrix *K, int from, const double *v, double *y) {
    int first = mige_cols_below(K, from), skip = first / COLUMNS, groups = (K->nl + COLUMNS - 1) / COLUMNS - skip;
    t->backward = !t->backward;
    for (int i = 0; i < groups; i++) {
        int jl = (skip + (t->backward ? groups - 1 - i : i)) * COLUMNS, end = jl + COLUMNS;
        if (jl < first) jl = first;
        if (end > K->nl) end = K->nl;
        multiply_group(K, jl, end - jl, v, y);
    }
}

/* The column k brought up to date with the panel's j reflectors so far, then its own reflector: line = v, with tau,
 * the diagonal and the subdiagonal entry behind it. On the owner. */
static void make_reflector(tridiagonal *t, mige_matrix *K, int k, int j) {
    int m = t->m, n = m - k - 1, one = 1;
    double *a = K->a + (size_t)mige_cols_below(K, k) * (size_t)K->lld;
    if (j) cblas_dgemv(CblasColMajor, CblasNoTrans, m - k, 2 * j, -1, t->VW + k, m, t->WV + k, m, 1, a + k, 1);
    double *tail = t->line + n, tau;
    dlarfg_(&n, &a[k + 1], &a[k + 2 < m ? k + 2 : k + 1], &one, &tau);
    tail[0] = tau;
    tail[1] = a[k];
    tail[2] = a[k + 1];
    a[k + 1] = 1;
    memcpy(t->line, a + k + 1, (size_t)n * sizeof *a);
}

/* Column j of the panel from reflector line: v, and w = tau (A v - V W'v - W V'v) + alpha v, the rank-2 update's
 * other half. */
static int make_w(tridiagonal *t, const mige_matrix *K, int k, int j) {
    int m = t->m, n = m - k - 1;
    size_t ld = (size_t)m;
    double *v = t->VW + (size_t)(2 * j) * ld, *w = v + ld, tau = t->line[n], coef[2 * MOST_NB];
    memset(v, 0, (size_t)(k + 1) * sizeof *v);
    memcpy(v + k + 1, t->line, (size_t)n * sizeof *v);
    memset(t->y, 0, ld * sizeof *t->y);
    if (tau != 0) multiply_lower(t, K, k + 1, v, t->y);
    MIGE_TRY(mige_sum(&t->grid->comm, t->y + k + 1, (size_t)n));
    double *y = t->y + k + 1;
    if (j) {
        cblas_dgemv(CblasColMajor, CblasTrans, n, 2 * j, 1, t->WV + k + 1, m, v + k + 1, 1, 0, coef, 1);
        cblas_dgemv(CblasColMajor, CblasNoTrans, n, 2 * j, -1, t->VW + k + 1, m, coef, 1, 1, y, 1);
    }
    double alpha = -0.5 * tau * tau * cblas_ddot(n, y, 1, v + k + 1, 1);
    memset(w, 0, (size_t)(k + 1) * sizeof *w);
    for (int i = 0; i < n; i++) w[k + 1 + i] = tau * y[i] + alpha * v[k + 1 + i];
    double *wv = t->WV + (size_t)(2 * j) * ld;
    memcpy(wv, w, ld * sizeof *w);
    memcpy(wv + ld, v, ld * sizeof *v);
    return MIGE_OK;
}

/* Trailing columns from `from` on: A -= V W' + W V', below the diagonal, a block column at a time. */
static void update_trailing(tridiagonal *t, mige_matrix *K, int from, int width) {
    int m = t->m, nb = t->grid->nb, first = mige_cols_below(K, from), blocks = (K->nl - first + nb - 1) / nb;
    t->backward = !t->backward;
    for (int i = 0; i < blocks; i++) {
        int jl = first + (t->backward ? blocks - 1 - i : i) * nb, jg = mige_col(K, jl),
            n = K->nl - jl < nb ? K->nl - jl : nb;
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, m - jg, n, 2 * width, -1, t->VW + jg, m, t->WV + jg, m,
                    1, K->a + (size_t)jl * (size_t)K->lld + jg, K->lld);
    }
}

static int owner(const tridiagonal *t, int k) {
    return k / t->grid->nb % t->grid->cols;
}

static int reduce_panel(tridiagonal *t, mige_matrix *K, int p) {
    int m = t->m, nb = t->grid->nb, width = nb, stride = 2 * m, rows = m - p - 1;
    double tau[MOST_NB];
    for (int j = 0; j < width; j++) {
        int k = p + j, n = m - k - 1;
        if (t->grid->col == owner(t, k)) make_reflector(t, K, k, j);
        MIGE_TRY(mige_bcast(&t->grid->comm, owner(t, k), t->line, (size_t)(n + 3) * sizeof *t->line));
        tau[j] = t->line[n];
        t->d[k] = t->line[n + 1];
        t->e[k] = t->line[n + 2];
        MIGE_TRY(make_w(t, K, k, j));
    }
    dlarft_("F", "C", &rows, &width, t->VW + p + 1, &stride, tau, t->T + (size_t)(p / nb) * (size_t)(nb * nb), &nb);
    update_trailing(t, K, p + width, width);
    return MIGE_OK;
}

/* The lower triangle from column `from` on to the rest's matrix, on every rank. */
static int gather_rest(tridiagonal *t, const mige_matrix *K) {
    int m = t->m, nb = t->grid->nb, P = t->grid->cols, from = t->from;
    size_t lda = (size_t)K->lld, ld = t->rest.ld;
    double *to = P > 1 ? t->lower + t->offsets[t->grid->col] : NULL;
    for (int jl = mige_cols_below(K, from); jl < K->nl; jl++) {
        int k = mige_col(K, jl);
        double *column = P > 1 ? to : t->rest.A + (size_t)(k - from) * (ld + 1);
        memcpy(column, K->a + (size_t)jl * lda + k, (size_t)(m - k) * sizeof *column);
        if (P > 1) to += m - k;
    }
    if (P == 1) return MIGE_OK;
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, t->lower, t->counts, t->offsets, MPI_DOUBLE,
                   t->grid->comm.mpi);
    for (int r = 0; r < P; r++) {
        const double *column = t->lower + t->offsets[r];
        for (int k = from; k < m; k++) {
            if (k / nb % P != r) continue;
            memcpy(t->rest.A + (size_t)(k - from) * (ld + 1), column, (size_t)(m - k) * sizeof *column);
            column += m - k;
        }
    }
    return MIGE_OK;
}

/* T of reflectors [width] from G = V'V in its upper triangle, in place: column by column, T_j = -tau_j T G_j. */
static void make_T(int width, int ld, const double *tau, double *restrict T) {
    for (int j = 0; j < width; j++) {
        double *to = T + (size_t)j * (size_t)ld, g[MOST_NB], sum[MOST_NB] = {0};
        for (int k = 0; k < j; k++) g[k] = -tau[j] * to[k];
        for (int k = 0; k < j; k++)
#pragma omp simd
            for (int i = 0; i <= k; i++) sum[i] += g[k] * T[(size_t)k * (size_t)ld + (size_t)i];
        memcpy(to, sum, (size_t)j * sizeof *to);
        to[j] = tau[j];
    }
}

static void factor_rest(tridiagonal *t) {
    int nb = REST_NB, n = t->rest.n, ld = (int)t->rest.ld;
    for (int p = 0; p < n - 1; p += nb) {
        int width = n - 1 - p < nb ? n - 1 - p : nb;
        double *T = t->restT + (size_t)(p / nb) * (size_t)(nb * nb);
        const double *V = t->rest.V + (size_t)p * t->rest.ld + p + 1;
        cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, width, width, n - p - 1, 1, V, ld, V, ld, 0, T, nb);
        make_T(width, nb, t->rest.tau + p, T);
    }
}

int tridiagonal_reduce(tridiagonal *t, mige_matrix *K) {
    int nb = t->grid->nb;
    t->backward = 1;
    for (int p = 0; p < t->from; p += nb) MIGE_TRY(reduce_panel(t, K, p));
    MIGE_TRY(gather_rest(t, K));
    fused_reduce(&t->rest, t->d + t->from, t->e + t->from);
    factor_rest(t);
    return MIGE_OK;
}

/* The panel's V [width][m - p - 1] to every rank of the grid, in VW. */
static int spread_panel(tridiagonal *t, const mige_matrix *K, int p, int width) {
    size_t rows = (size_t)(t->m - p - 1);
    if (t->grid->col == owner(t, p)) {
        const double *a = K->a + (size_t)mige_cols_below(K, p) * (size_t)K->lld + p + 1;
        for (int j = 0; j < width; j++) {
            double *v = t->VW + (size_t)j * rows;
            memset(v, 0, (size_t)j * sizeof *v);
            memcpy(v + j, a + (size_t)j * (size_t)K->lld + j, (rows - (size_t)j) * sizeof *v);
        }
    }
    return mige_bcast(&t->grid->comm, owner(t, p), t->VW, rows * (size_t)width * sizeof(double));
}

/* X -= V op(T) V'X for a panel V [width][rows] with the triangular factor T. */
static void apply_panel(tridiagonal *t, int rows, int width, const double *V, int ldv, const double *T, int nb,
                        int transposed, int n, double *X) {
    int m = t->m;
    enum CBLAS_TRANSPOSE op = transposed ? CblasTrans : CblasNoTrans;
    cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, width, n, rows, 1, V, ldv, X, m, 0, t->C, nb);
    cblas_dtrmm(CblasColMajor, CblasLeft, CblasUpper, op, CblasNonUnit, width, n, 1, T, nb, t->C, nb);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, rows, n, width, -1, V, ldv, t->C, nb, 1, X, m);
}

static void multiply_rest(tridiagonal *t, int transposed, int n, double *X) {
    int nb = REST_NB, reflectors = t->rest.n - 1, panels = (reflectors + nb - 1) / nb;
    for (int i = 0; n && i < panels; i++) {
        int panel = transposed ? i : panels - 1 - i, p = panel * nb,
            width = reflectors - p < nb ? reflectors - p : nb;
        apply_panel(t, reflectors - p, width, t->rest.V + (size_t)p * t->rest.ld + p + 1, (int)t->rest.ld,
                    t->restT + (size_t)panel * (size_t)(nb * nb), nb, transposed, n, X + t->from + p + 1);
    }
}

int tridiagonal_multiply(tridiagonal *t, const mige_matrix *K, int transposed, int n, double *X) {
    int m = t->m, nb = t->grid->nb, panels = t->from / nb;
    if (!transposed) multiply_rest(t, 0, n, X);
    for (int i = 0; i < panels; i++) {
        int panel = transposed ? i : panels - 1 - i, p = panel * nb, rows = m - p - 1;
        MIGE_TRY(spread_panel(t, K, p, nb));
        if (n)
            apply_panel(t, rows, nb, t->VW, rows, t->T + (size_t)panel * (size_t)(nb * nb), nb, transposed, n,
                        X + p + 1);
    }
    if (transposed) multiply_rest(t, 1, n, X);
    return MIGE_OK;
}
