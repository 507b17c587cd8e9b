/* What invertible maps are made of. All local, and the same to the last bit wherever the inputs are. */
#ifndef MIGE_MAPS_H
#define MIGE_MAPS_H

#include "mige/error.h"

/* The standard normal distribution's quantile, 0 < p < 1, to rounding. */
double normal_quantile(double p);

typedef struct normal_space normal_space;
int normal_create(int M, mige_pool *pool, normal_space **s);
double normal_bytes(int M);
/* How far x [M] is from normal: ~ N(0, 1) where it is (Shapiro and Francia's W', normalised as by Royston 1993; x
 * in its own scale). Without enough samples to tell, or constant: -infinity. */
double normal_distance(normal_space *s, const double *x);
/* One dimension x [M] to t [M], and the slope dt/dx at each sample: normal scores, equal samples alike, if x is
 * further from normal than `most`; else x standardised, since scores would only add the noise of ranks. A constant
 * dimension passes as it is. */
void normal_fit(normal_space *s, double most, const double *x, double *t, double *slope);

typedef struct ica_space ica_space;
int ica_create(int M, int D, mige_pool *pool, ica_space **s);
double ica_bytes(int M, int D);
/* A [D][D] such that Xc A' has covariance I, for samples Xc [M][D] about their mean: symmetric in units of the
 * standard deviations. Where the correlation is singular (M <= D, say) it is shrunk towards I. Errors:
 * MIGE_ENUMERIC. */
int ica_whiten(ica_space *s, const double *Xc, double *A);
/* W [D][D], a rotation such that the components Z W' of white samples Z [M][D] are as far from normal as may be:
 * FastICA (Hyvarinen 1999), all components at once, contrast -exp(-y^2/2). Errors: MIGE_ENUMERIC. */
int ica_rotate(ica_space *s, const double *Z, double *W);
/* W [D][D] becomes the solution nearby of E[psi_i(y_i) y_j] = 0, y = W z, with psi_i the score of component i as
 * far as y and tanh(a y) give it (quasi-maximum likelihood, Pham and Garat 1997); not a rotation any more, since
 * sample covariances of heavy tails are what limits one. Components that are not `shaped` [D] have psi = y.
 * Errors: MIGE_ENUMERIC. */
int ica_refine(ica_space *s, const double *Z, const int *shaped, double *W);
/* The normal_distance that no component of normal samples exceeds after ica_rotate has looked for the largest in D
 * dimensions. */
double ica_noise(int D);

#endif
