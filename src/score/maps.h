/* What invertible maps are made of. All local, and the same to the last bit wherever the inputs are. */
#ifndef MIGE_MAPS_H
#define MIGE_MAPS_H

/* The standard normal distribution's quantile, 0 < p < 1, to rounding. */
double normal_quantile(double p);

typedef struct normal_space normal_space;
int normal_create(int M, normal_space **s);
void normal_destroy(normal_space **s);
double normal_bytes(int M);
/* One dimension x [M] to normal scores t [M], and the slope dt/dx at each sample. Equal samples get the same t; a
 * constant dimension passes as it is. */
void normal_fit(normal_space *s, const double *x, double *t, double *slope);

typedef struct ica_space ica_space;
int ica_create(int M, int D, ica_space **s);
void ica_destroy(ica_space **s);
double ica_bytes(int M, int D);
/* A [D][D] such that t = (x - mean) A', the samples X [M][D] about their mean, has covariance I: symmetric (ZCA).
 * Errors: MIGE_ENUMERIC. */
int ica_whiten(ica_space *s, const double *Xc, double *A);
/* W [D][D], a rotation such that the components Z W' of white samples Z [M][D] are as far from normal as may be:
 * FastICA (Hyvarinen 1999), all components at once, log cosh. Errors: MIGE_ENUMERIC. */
int ica_rotation(ica_space *s, const double *Z, double *W);

#endif
