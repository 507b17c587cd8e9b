/* Products with the RBF Gram matrix in single precision, its blocks made again each time: half the bytes and twice
 * the rate. For solvers that find their residuals in double. */
#ifndef MIGE_SCORE_SINGLE_H
#define MIGE_SCORE_SINGLE_H

#include "mige/error.h"
#include "mige/linalg.h"

typedef struct {
    const mige_comm *c;
    const mige_matrix *K; /* the panels' places, on a grid of one row */
    int D;
    float *X, *norms;     /* [M][D], [M] */
    float *V, *Y, *piece; /* [M][n] each; a part of a panel */
} single;

/* For samples in D dimensions, products of up to `width` columns. Not collective. Errors: MIGE_EFAIL (memory). */
int single_create(const mige_comm *c, const mige_matrix *K, int D, int width, mige_pool *pool, single *s);
double single_bytes(int M, int D, int width);
void single_samples(single *s, const double *X);
/* Y [M][n] = K V for K_ij = exp(-scale |x_i - x_j|^2), both the same on every rank. Collective. */
int single_multiply(single *s, double scale, int n, const double *V, double *Y);

#endif
