/* Calibration of estimated scores by Stein's identity, E[s(x) (x - mu)'] = -I, which holds for every density that
 * vanishes at infinity and which kernel estimates, being shrunk, miss. */
#ifndef MIGE_CALIBRATE_H
#define MIGE_CALIBRATE_H

#include "mige/score.h"

/* A [D][D] such that the scores S A [M][D] of the samples X [M][D] satisfy the identity: with Xc the centred
 * samples and C = Xc' S / M, MIGE_CALIBRATE_STEIN: A = -((1-g) C + g (trace C / D) I)^-1; MIGE_CALIBRATE_SCALE: A =
 * -D / trace C times I. work [D][D] + [D]. pivots [D]. Local. Errors: MIGE_ENUMERIC when C is singular (fewer
 * samples than dimensions, say). */
int calibrate_find(enum mige_calibrate kind, double g, int M, int D, const double *X, const double *S, double *A,
                   double *work, int *pivots);

/* S [n][D] <- S A; scratch [n][D]. Local. */
void calibrate_apply(int n, int D, const double *A, double *S, double *scratch);

#endif
