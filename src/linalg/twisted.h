/* Eigenvectors of a symmetric tridiagonal matrix from their eigenvalues. */
#ifndef MIGE_TWISTED_H
#define MIGE_TWISTED_H

#include <stddef.h>

enum { TWISTED_WIDTH = 8 };
/* Scratch for order m, in doubles. */
size_t twisted_scratch(int m);
/* Z [m][ld], row-major: vectors of lambda [k], of length 1, in the first k columns; k and ld are multiples of
 * TWISTED_WIDTH (repeat the last eigenvalue), Z and scratch aligned to 64 bytes. Each is as good as its eigenvalue:
 * its part of another vector is about a rounding of the largest eigenvalue over the distance of the two. */
void twisted_vectors(int m, const double *d, const double *e, int k, const double *lambda, double *Z, size_t ld,
                     double *scratch);

#endif
