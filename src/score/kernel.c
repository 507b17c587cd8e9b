#include "score/kernel.h"
#include "base/simd.h"
#include "mige/error.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

/* Rows of a panel that are worked on at once: a piece stays in the second-level cache. No block is larger, so that
 * the diagonal block is all in a panel's first piece. */
enum { PIECE_ROWS = 512 };

int kernel_create(const mige_comm *c, const mige_matrix *K, int D, mige_pool *pool, kernel *k) {
    size_t ml = (size_t)K->ml, nl = (size_t)K->nl, d = (size_t)D, w = d + 1;
    *k = (kernel){.c = c, .K = K, .D = D};
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(k->norms, ml + nl), MIGE_BLOCK(k->row_sums, ml + nl),
                       MIGE_BLOCK(k->cols, nl * w), MIGE_BLOCK(k->to_cols, nl * w)));
    /* On a grid of one row a rank's rows are all rows, in their order: what is replicated is used in place. */
    if (K->grid->rows > 1 || K->ml < K->m)
        MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(k->rows, ml * w), MIGE_BLOCK(k->to_rows, ml * w)));
    MIGE_TRY(median_create(K->m, (double)mige_panel_entries(K), pool, &k->median));
    if (K->a || !ml || !nl) return MIGE_OK;
    return MIGE_TAKE(pool, MIGE_BLOCK(k->xrows, ml * d), MIGE_BLOCK(k->xcols, nl * d),
                     MIGE_BLOCK(k->piece, (size_t)PIECE_ROWS * (size_t)K->grid->nb));
}

double kernel_bytes(int M, int D, double gathered, double nl, int stored) {
    double w = D + 1., m = M;
    return 8. * (2 * w * (gathered + nl) + (m + nl) * (2 + (stored ? 0 : D)) + m) + median_bytes(M, m * nl / 2);
}

int kernel_num_terms(int D, int squares) {
    return 1 + D + (squares ? D * (D + 1) / 2 : 0);
}

/* Where u is 0 so are all, however large x is. */
void kernel_terms(int D, int squares, double scale, const double *x, double *e) {
    double u = exp(-scale * cblas_ddot(D, x, 1, x, 1));
    *e++ = u;
    for (int a = 0; a < D; a++) *e++ = u > 0 ? u * sqrt(2 * scale) * x[a] : 0;
    for (int a = 0; squares && a < D; a++)
        for (int b = a; b < D; b++) *e++ = u > 0 ? u * 2 * scale * x[a] * x[b] * (a == b ? sqrt(0.5) : 1) : 0;
}

void kernel_norms(int n, int D, const double *x, double *norms) {
    for (int i = 0; i < n; i++)
        norms[i] = cblas_ddot(D, x + (size_t)i * (size_t)D, 1, x + (size_t)i * (size_t)D, 1);
}

/* rows NULL: X is used in place. */
static void gather(const mige_matrix *K, const double *X, int n, double *rows, double *cols) {
    size_t w = (size_t)n;
    for (int il = 0; rows && il < K->ml; il++)
        memcpy(rows + (size_t)il * w, X + (size_t)mige_row(K, il) * w, w * sizeof *X);
    for (int jl = 0; jl < K->nl; jl++)
        memcpy(cols + (size_t)jl * w, X + (size_t)mige_col(K, jl) * w, w * sizeof *X);
}

/* column += row norms + one column norm, not below 0. */
MIGE_CLONES static void add_norms(int n, const double *restrict rows, double col, double *restrict column) {
#pragma omp simd
    for (int i = 0; i < n; i++) {
        double d = column[i] + (rows[i] + col);
        column[i] = d > 0 ? d : 0;
    }
}

MIGE_CLONES double kernel_distance2(int D, const double *x, const double *y) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int d = 0; d < D; d++) sum += (x[d] - y[d]) * (x[d] - y[d]);
    return sum;
}

static const double *row_of(const kernel *k, int il) {
    return k->X + (size_t)mige_row(k->K, il) * (size_t)k->D;
}

static const double *col_of(const kernel *k, int jl) {
    return k->X + (size_t)mige_col(k->K, jl) * (size_t)k->D;
}

/* Calls fn for each entry of a piece between far rows. There are few as a rule. */
typedef void far_fn(const kernel *k, const mige_panel *q, int i, int j, void *ctx);
static void each_far(const kernel *k, const mige_panel *q, far_fn *fn, void *ctx) {
    const double *row_norms = k->norms + q->il, *col_norms = k->norms + k->K->ml + q->jl;
    for (int j = 0; j < q->cols; j++)
        for (int i = 0; col_norms[j] > k->far && i < q->rows; i++)
            if (row_norms[i] > k->far) fn(k, q, i, j, ctx);
}

static double *entry(const mige_panel *q, int i, int j) {
    return q->a + (size_t)j * (size_t)q->ld + i;
}

static void far_distance(const kernel *k, const mige_panel *q, int i, int j, void *ctx) {
    (void)ctx;
    *entry(q, i, j) = kernel_distance2(k->D, row_of(k, q->il + i), col_of(k, q->jl + j));
}

/* Squared distances of a piece; exactly 0 on the diagonal. */
static void distances(const kernel *k, const double *rows, const double *cols, const mige_panel *q) {
    int D = k->D;
    const double *row_norms = k->norms + q->il, *col_norms = k->norms + k->K->ml + q->jl;
    cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, q->rows, q->cols, D, -2, rows + (size_t)q->il * (size_t)D,
                D, cols + (size_t)q->jl * (size_t)D, D, 0, q->a, q->ld);
    for (int j = 0; j < q->cols; j++) {
        double *column = q->a + (size_t)j * (size_t)q->ld;
        add_norms(q->rows, row_norms, col_norms[j], column);
        if (j < q->diagonal) column[j] = 0;
    }
    each_far(k, q, far_distance, NULL);
}

/* Calls fn for every piece of this rank's panels. */
static void each_piece(kernel *k, void (*fn)(kernel *k, const mige_panel *q, void *ctx), void *ctx) {
    for (int i = 0; i < mige_num_panels(k->K); i++) {
        mige_panel p = mige_get_panel(k->K, i);
        for (int from = 0; from < p.rows; from += PIECE_ROWS) {
            mige_panel q = mige_panel_rows(&p, from, PIECE_ROWS);
            if (k->piece) {
                q.a = k->piece;
                q.ld = PIECE_ROWS;
            }
            fn(k, &q, ctx);
        }
    }
}

/* Entries below the diagonal, a run of a column at a time. */
static void add_below(const mige_panel *q, median_add_fn add, void *to) {
    for (int j = 0; j < q->cols; j++) {
        int first = j < q->diagonal ? j + 1 : q->diagonal;
        add(to, q->rows - first, q->a + (size_t)j * (size_t)q->ld + first);
    }
}

/* Where the distances of a pass go: to their place, and to a median (NULL: none) or a histogram. */
typedef struct {
    const double *rows, *cols; /* the samples; NULL: the distances are there already */
    median_add_fn add;
    void *to;
} pass;

static void pass_piece(kernel *k, const mige_panel *q, void *ctx) {
    const pass *p = ctx;
    if (p->rows) distances(k, p->rows, p->cols, q);
    if (p->add) add_below(q, p->add, p->to);
}

/* All distances once more: stored, or made again. */
static void visit(void *ctx, median_add_fn add, void *to) {
    kernel *k = ctx;
    pass p = {k->xrows, k->xcols, add, to};
    each_piece(k, pass_piece, &p);
}

/* Rows whose squared norm is above this many squares of the width are far: between others the exponent is right to
 * 1e-11. */
static const double FAR = 1e4;

double kernel_far(double scale) {
    return FAR / (2 * scale);
}

static void set_far(kernel *k, double w2) {
    k->far = FAR * w2;
    k->any_far = 0;
    for (int m = 0; m < k->K->m && !k->any_far; m++) {
        double norm;
        kernel_norms(1, k->D, k->X + (size_t)m * (size_t)k->D, &norm);
        k->any_far = norm > k->far;
    }
}

/* The median of a first pass over the distances, which also stores them. */
static int find_median(kernel *k, pass *p, double w2, double wanted, double *d2) {
    int found;
    median_begin(&k->median, k->D, k->X);
    set_far(k, w2 * k->median.lo);
    p->add = median_add;
    p->to = &k->median;
    each_piece(k, pass_piece, p);
    MIGE_TRY(median_find(k->c, &k->median, wanted, d2, &found));
    return found ? MIGE_OK : median_radix(k->c, visit, k, wanted, d2);
}

int kernel_distances(kernel *k, double w2, double *d2) {
    const mige_matrix *K = k->K;
    int64_t M = K->m, at = M * M / 2;
    double *rows = k->xrows ? k->xrows : k->rows, *cols = k->xcols ? k->xcols : k->cols;
    pass p = {rows ? rows : k->X, cols, NULL, NULL};
    gather(K, k->X, k->D, rows, cols);
    kernel_norms(K->ml, k->D, p.rows, k->norms);
    kernel_norms(K->nl, k->D, p.cols, k->norms + K->ml);
    if (d2 && at >= M)
        return find_median(k, &p, w2, (double)((at - M) / 2), d2); /* past the M zeros, one of each pair */
    set_far(k, d2 ? 0 : w2);
    if (d2) *d2 = 0;
    if (K->a) each_piece(k, pass_piece, &p);
    return MIGE_OK;
}

/* sums += x, and its own sum is the result. */
MIGE_CLONES static double add_column(int n, const double *restrict x, double *restrict sums) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) {
        sums[i] += x[i];
        sum += x[i];
    }
    return sum;
}

/* sums NULL: not wanted. */
static void exponential(kernel *k, const mige_panel *q, void *sums) {
    double *rows = k->row_sums + q->il, *cols = k->row_sums + k->K->ml + q->jl;
    for (int j = 0; j < q->cols; j++) {
        double *column = entry(q, 0, j);
        mige_exp((size_t)q->rows, k->scale, column);
        if (!sums) continue;
        add_column(q->diagonal, column, rows);
        cols[j] += add_column(q->rows - q->diagonal, column + q->diagonal, rows + q->diagonal);
    }
}

/* Y [M][n] += what this rank's rows and columns of it are. */
static void scatter(const mige_matrix *K, int n, const double *rows, const double *cols, double *Y) {
    size_t w = (size_t)n;
    for (int il = 0; rows && il < K->ml; il++)
        cblas_daxpy(n, 1, rows + (size_t)il * w, 1, Y + (size_t)mige_row(K, il) * w, 1);
    for (int jl = 0; jl < K->nl; jl++)
        cblas_daxpy(n, 1, cols + (size_t)jl * w, 1, Y + (size_t)mige_col(K, jl) * w, 1);
}

int kernel_exponential(kernel *k, double scale, double *sums) {
    const mige_matrix *K = k->K;
    k->scale = scale;
    if (sums) memset(k->row_sums, 0, (size_t)(K->ml + K->nl) * sizeof *sums);
    if (K->a) each_piece(k, exponential, sums);
    if (!sums) return MIGE_OK;
    memset(sums, 0, (size_t)K->m * sizeof *sums);
    scatter(K, 1, k->row_sums, k->row_sums + K->ml, sums);
    return mige_sum(k->c, sums, (size_t)K->m);
}

typedef struct {
    int n, near; /* near: without pairs of far rows */
    const double *rows;
    double *to_rows;
} product;

static void far_leave(const kernel *k, const mige_panel *q, int i, int j, void *ctx) {
    (void)k;
    (void)ctx;
    *entry(q, i, j) = 0;
}

static void far_restore(const kernel *k, const mige_panel *q, int i, int j, void *ctx) {
    far_distance(k, q, i, j, ctx);
    mige_exp(1, k->scale, entry(q, i, j));
}

static void multiply_piece(kernel *k, const mige_panel *q, void *ctx) {
    product *p = ctx;
    size_t w = (size_t)p->n, row = (size_t)q->il * w, col = (size_t)q->jl * w;
    if (k->piece) {
        distances(k, k->xrows, k->xcols, q);
        exponential(k, q, NULL);
    }
    if (p->near) each_far(k, q, far_leave, p);
    mige_panel_multiply(q, p->n, k->cols + col, p->rows + row, p->to_rows + row, k->to_cols + col);
    if (p->near) each_far(k, q, far_restore, p);
}

int kernel_multiply(kernel *k, int near, int n, const double *V, double *Y) {
    const mige_matrix *K = k->K;
    size_t w = (size_t)n;
    product p = {n, near, k->rows ? k->rows : V, k->rows ? k->to_rows : Y};
    gather(K, V, n, k->rows, k->cols);
    if (k->rows) memset(k->to_rows, 0, (size_t)K->ml * w * sizeof *Y);
    memset(k->to_cols, 0, (size_t)K->nl * w * sizeof *Y);
    memset(Y, 0, (size_t)K->m * w * sizeof *Y);
    each_piece(k, multiply_piece, &p);
    scatter(K, n, k->rows ? k->to_rows : NULL, k->to_cols, Y);
    return mige_sum(k->c, Y, (size_t)K->m * w);
}

/* b_i += 2 scale k_ij (x_i - x_j), and b_j the opposite unless that is an entry of the diagonal block by itself. */
static void far_pull(const kernel *k, const mige_panel *q, int i, int j, void *ctx) {
    const double *x = row_of(k, q->il + i), *y = col_of(k, q->jl + j);
    double *B = ctx, *bx = B + (x - k->X), *by = B + (y - k->X);
    double f = 2 * k->scale * exp(-k->scale * kernel_distance2(k->D, x, y));
    for (int d = 0; d < k->D; d++) {
        double b = f * (x[d] - y[d]);
        bx[d] += b;
        if (i >= q->diagonal) by[d] -= b;
    }
}

static void pull_piece(kernel *k, const mige_panel *q, void *ctx) {
    each_far(k, q, far_pull, ctx);
}

int kernel_pull(kernel *k, double *V, double *B) {
    size_t M = (size_t)k->K->m, D = (size_t)k->D, E = D + 1;
    const double scale = k->scale;
    for (size_t m = 0; m < M; m++) {
        memcpy(V + m * E, k->X + m * D, D * sizeof *V);
        V[m * E + D] = 1;
    }
    MIGE_TRY(kernel_multiply(k, k->any_far, (int)E, V, B));
    for (size_t m = 0; m < M; m++) { /* rows shrink from D + 1 to D in place */
        double k1 = B[m * E + D];
        for (size_t d = 0; d < D; d++) B[m * D + d] = (k1 * k->X[m * D + d] - B[m * E + d]) * 2 * scale;
    }
    if (!k->any_far) return MIGE_OK;
    memset(V, 0, M * D * sizeof *V);
    each_piece(k, pull_piece, V);
    MIGE_TRY(mige_sum(k->c, V, M * D));
    cblas_daxpy((int)(M * D), 1, V, 1, B, 1);
    return MIGE_OK;
}

void kernel_between(int n, const double *q, const double *q_norms, int M, const double *x, const double *x_norms,
                    int D, double scale, double *out) {
    double far = kernel_far(scale);
    if (!n || !M) return;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, M, D, -2, q, D, x, D, 0, out, M);
    for (int i = 0; i < n; i++) {
        double *row = out + (size_t)i * (size_t)M;
        add_norms(M, x_norms, q_norms[i], row);
        for (int j = 0; q_norms[i] > far && j < M; j++)
            if (x_norms[j] > far)
                row[j] = kernel_distance2(D, q + (size_t)i * (size_t)D, x + (size_t)j * (size_t)D);
    }
    mige_exp((size_t)n * (size_t)M, scale, out);
}
