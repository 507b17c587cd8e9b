/* What a value of mutual information is summed of: one set of variables along noise, v_t = e^-t v + b n. Local. */
#ifndef MIGE_ALONG_H
#define MIGE_ALONG_H

#include "mige/mi.h"

/* Times t, and weights of the integral over all t. Most of the rest is at small t, where it may rise like t^-1/2:
 * Gauss and Legendre's points in sqrt(t), from 0.05, below which the first is carried on as it is, to 1, where it
 * has vanished as e^-4t or faster. */
void along_times(double time[MIGE_MI_TIMES], double weight[MIGE_MI_TIMES]);
/* What the first weight is to have more, so that the rest is carried on as t^-p: p as between the first two times,
 * from 0, where densities are smooth, to 1/2, where they have edges. */
double along_first(const double time[MIGE_MI_TIMES], const double rest[MIGE_MI_TIMES]);

/* The normal part of Z [n][D], which is centred and destroyed: *half_logdet = (1/2) ln det C of the distribution
 * without bias, for n - 1 degrees of freedom; each [n] = (1/2) (z' C^-1 z - D), how the samples move it; fisher [t]
 * = tr C_t^-1 - D. C [D][D], lambda [D] and work [n][D] are scratch. Errors: MIGE_ENUMERIC when C is singular, with
 * `name` of the variables in the message; MIGE_EFAIL. */
int along_normal(int n, int D, double *Z, const char *name, double *C, double *lambda, double *work,
                 double *half_logdet, double *each, double fisher[MIGE_MI_TIMES]);
/* The rest of the Fisher information: each [n] = -(s + C_t^-1 (z - mean))' n / b, of noised samples Z [n][D], which
 * are destroyed, their scores S and noise N. C [D][D] is scratch. */
int along_rest(int n, int D, double b, double *Z, const double *S, const double *N, double *C, double *each);

/* Standard error of the mean of x [M]. */
double along_error(int M, const double *x);
/* The rest drawn towards 0 by what its own error says of it (positive-part Stein shrinkage: James and Stein 1961):
 * its square is above that of the truth by the error's on average. */
double along_shrunk(double rest, double error);
/* Extrapolation in the number of samples (Richardson 1911), of an error that falls as its inverse root: rest + (1 +
 * sqrt 2) gap, where gap is what the rest has more than that of halves, of which its error leaves gap^2 / (gap^2 +
 * error^2); as a factor on the rest, between 1/2 and 3/2, with a warning where it would be beyond by more than its
 * error. *slope: by gap, of what is added. 1 and 0 where the rest is not positive. */
#define ALONG_GAIN 2.414213562373095 /* 1 + sqrt 2 */
double along_factor(double rest, double gap, double error, double *slope);
/* *is: whether x or y, of dx and D - dx columns of v [M][D], lies on a surface, which ranks of its values would
 * hide. With noise that kernels do not resolve the samples show more of it the more densely they lie, and shuffled
 * they lie less so: there the variables alone serve. Errors: as mige_mi_surface. */
int along_on_surface(int M, int D, int dx, const double *v, int *is);

#endif
