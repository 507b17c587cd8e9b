/* The RBF Gram matrix of replicated samples over the ranks of a grid, piece by piece: each block of its lower
 * triangle once, by one GEMM; stored, or made again whenever it is wanted. And the median width. */
#ifndef MIGE_KERNEL_H
#define MIGE_KERNEL_H

#include "mige/error.h"
#include "mige/linalg.h"

/* The median of distances that pass by once: most fall beside a bracket about it that a sample of pairs has given,
 * and are only counted. */
typedef struct {
    double lo, hi;
    double below;   /* how many were < lo */
    double *inside; /* those in [lo, hi], while there is room */
    size_t n, room;
    int full;
    int npairs;
    double *sample;  /* [npairs] */
    uint32_t *pairs; /* [npairs][2], of samples */
} median;
/* Takes room for a share of the distances of M samples, `count` on this rank. Errors: MIGE_EFAIL (memory). */
int median_create(int M, double count, mige_pool *pool, median *m);
double median_bytes(int M, double count);
/* Begins anew, with a bracket from pairs of the samples X [M][D]. */
void median_begin(median *m, int D, const double *X);
void median_add(void *m, int n, const double *d2);
/* The wanted-th smallest (from 0) of all that all ranks added; *found = 0: it is outside the bracket, or there was
 * no room; then median_radix finds it. Collective on c. */
int median_find(const mige_comm *c, median *m, double wanted, double *d2, int *found);
/* The same by digits, whatever the distances: visit(ctx, add, to) gives them anew for each digit. Collective. */
typedef void (*median_add_fn)(void *to, int n, const double *d2);
int median_radix(const mige_comm *c, void (*visit)(void *ctx, median_add_fn add, void *to), void *ctx,
                 double wanted, double *d2);

typedef struct {
    const mige_comm *c;
    const mige_matrix *K; /* its panels; those without storage are computed into `piece` */
    int D;                /* of the samples; a product has one column more at most */
    const double *X;      /* [M][D], to be set before use */
    double far;           /* rows whose squared norm is larger are far: see kernel_distances */
    int any_far;
    double scale;              /* of kernel_exponential, which comes before products */
    double *norms;             /* [ml + nl] of this rank's rows and columns */
    double *row_sums;          /* the same of K */
    double *rows, *cols;       /* [ml][D + 1], [nl][D + 1] of X or of what is multiplied; rows NULL: in place */
    double *to_rows, *to_cols; /* the same of a product */
    double *xrows, *xcols;     /* [ml][D], [nl][D] samples where pieces are made again; else NULL */
    double *piece;
    median median;
} kernel;

/* Memory for samples in D dimensions; K as it is at creation, of the grid that all ranks of c know. Not collective.
 * Errors: MIGE_EFAIL (memory). */
int kernel_create(const mige_comm *c, const mige_matrix *K, int D, mige_pool *pool, kernel *k);
/* At most M rows and nl columns on a rank; `gathered` of the rows are copied, M on a grid of more than one row,
 * else 0. */
double kernel_bytes(int M, int D, double gathered, double nl, int stored);

/* Squared distances into the panels of K (nothing where it is not stored), and their upper median *d2, of all M^2,
 * the zeros of the diagonal and both triangles counted; median NULL: not wanted. w2 is the square of the width to
 * come, or with a median its factor. X should be about the origin: distances are |x|^2 + |y|^2 - 2 x'y, which
 * cancel. Between rows that are more than a hundred widths out, which are far, they come from differences.
 * Collective on c. Errors: MIGE_EFAIL (memory), agreed. */
int kernel_distances(kernel *k, double w2, double *median);
/* K = exp(-K * scale), where it is stored; sums [M] (NULL: not wanted) = K 1. Collective on c. */
int kernel_exponential(kernel *k, double scale, double *sums);
/* Y [M][n] = K V, both the same on every rank, n <= D + 1; near: without pairs of far rows.
 * Collective on c. */
int kernel_multiply(kernel *k, int near, int n, const double *V, double *Y);
/* B [M][D] = (diag(K 1) X - K X) * 2 scale, pairs of far rows by differences; V [M][D + 1] is scratch, B has room
 * for as much. Collective on c. */
int kernel_pull(kernel *k, double *V, double *B);

/* out [n][M] = k(q_i, x_j), of points q [n][D] and x [M][D] whose squared norms are given. Local. */
void kernel_between(int n, const double *q, const double *q_norms, int M, const double *x, const double *x_norms,
                    int D, double scale, double *out);

/* Of products x[i] = -2 x_i'y: what exp(-scale |x_i - y|^2) = u_i v e^t, t = 2 scale x_i'y, has beyond u_i v (1 +
 * t); u_i = exp(-scale |x_i|^2), v the same of y, norms their squares. To single precision's relative error where
 * |t| is below 1/2. */
void kernel_rest_single(int n, float scale, const float *norms, float norm, const float *u, float v, float *x);
/* Terms of exp(-scale |x - y|^2) = u v e^t about the origin, u = exp(-scale |x|^2), v the same of y, t = 2 scale
 * x'y: e of x and e of y multiply to u v (1 + t), or with squares = 1 to u v (1 + t + t^2/2). How many; e from x
 * [D]. */
int kernel_num_terms(int D, int squares);
void kernel_terms(int D, int squares, double scale, const double *x, double *e);
/* norms[i] = |x_i|^2, x [n][D]. */
void kernel_norms(int n, int D, const double *x, double *norms);
/* Rows are far whose squared norm is above this. */
double kernel_far(double scale);
/* |x - y|^2 from differences. */
double kernel_distance2(int D, const double *x, const double *y);

#endif
