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

/* The identity once more, for cubic functions. Scores S [M][D] of t [M][D] given a prediction p [M][D] of t (NULL:
 * nothing is given) become S + sum_k c_k f_k with f = t, |t|^2 t, p, |p|^2 t, (p.t) t, |t|^2 p, |p|^2 p, (p.t) p,
 * where c is such that the sample means satisfy E[s.f + div_t f] = 0 for each: what tells a sphere, or any other
 * dependence of scale on place, from the normal distribution, in eight numbers and whatever the directions. t, p of
 * mean 0. Local. */
void radial_correct(int M, int D, const double *t, const double *p, double *S);

#endif
