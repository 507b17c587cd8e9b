/* The RBF Gram matrix of replicated samples on a block-cyclic matrix, and the median width. */
#ifndef MIGE_KERNEL_H
#define MIGE_KERNEL_H

#include "mige/linalg.h"

/* Gathers the rows of X [M][D] that belong to this rank's rows or columns of K into out [ml or nl][width >= D]. */
void kernel_gather_rows(const mige_matrix *K, const double *X, int D, double *out, int width);
void kernel_gather_cols(const mige_matrix *K, const double *X, int D, double *out, int width);

/* Local part of K = |x_i - x_j|^2, by one GEMM; exactly 0 on the diagonal. rows [ml][D], cols [nl][D], norms [ml +
 * nl] scratch. X should be centred: the products cancel. Local. */
void kernel_distances(mige_matrix *K, int D, const double *rows, const double *cols, double *norms);

/* *d2 = the upper median of the M^2 entries of such a matrix (every pair counted in both triangles). Exact: a radix
 * selection on the bits of the doubles, one sum of a histogram over the ranks a digit. Collective on c. */
int kernel_median(const mige_comm *c, const mige_matrix *K, double *d2);

/* x[i] = exp(-x[i] * scale), vectorised. */
void kernel_exp(size_t n, double scale, double *x);

/* norms[i] = |x_i|^2, x [n][D]. */
void kernel_norms(int n, int D, const double *x, double *norms);

#endif
