/* Householder reduction on one rank of a matrix that its caches hold, in one pass over memory a column. */
#ifndef MIGE_FUSED_H
#define MIGE_FUSED_H

#include <stddef.h>

typedef struct {
    int n;         /* order */
    size_t ld;     /* of both, a multiple of 8 */
    double *A;     /* column-major, lower triangle: the matrix, where the caller puts it; destroyed */
    double *V;     /* column-major: the reflectors, v_k in column k, with their ones and zeros */
    double *tau;   /* [n] */
    double *w, *y; /* [ld] */
} fused;

int fused_create(int n, fused *f);
void fused_destroy(fused *f);
/* A = Q T Q': T's diagonal d [n] and subdiagonal e [n - 1]. */
void fused_reduce(fused *f, double *d, double *e);

#endif
