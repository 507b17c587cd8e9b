/* Stein's identity once more, for cubic functions. */
#ifndef MIGE_RADIAL_H
#define MIGE_RADIAL_H

/* Scores S [M][D] of t [M][D] given a prediction p [M][D] of t (NULL: nothing is given) become S + sum_k c_k f_k
 * with f = t, |t|^2 t, p, |p|^2 t, (p.t) t, |t|^2 p, |p|^2 p, (p.t) p, where c is such that the sample means
 * satisfy E[s.f
 * + div_t f] = 0 for each: what tells a sphere, or any other dependence of scale on place, from the normal
 * distribution, in eight numbers and whatever the directions. t, p of mean 0. Local. */
void radial_correct(int M, int D, const double *t, const double *p, double *S);

#endif
