/* The spectral cut as a rational function, and its product with a tridiagonal matrix. */
#ifndef MIGE_POLES_H
#define MIGE_POLES_H

/* f(lambda) = direct + sum_j Re(weight_j / (lambda - pole_j)) is 1/lambda above the cut and 0 below, to about 1e-14
 * of 1/cut on the spectrum it was made for. pole_j = cut + i shift_j. */
enum { MOST_POLES = 96 };
typedef struct {
    int n;
    double cut, direct;
    double shift[MOST_POLES];
    double weight_re[MOST_POLES], weight_im[MOST_POLES];
} poles;

/* For a spectrum in [least, most], with nothing within (cut - gap, cut + gap). 0 < gap, cut > 0. */
void poles_make(double cut, double gap, double least, double most, poles *p);
/* f at a point: for tests and for the choice of n. */
double poles_value(const poles *p, double lambda);

/* Scratch of poles_apply for n columns of order m, in doubles. */
unsigned long poles_scratch(int m, int n);
/* Y = f(T) X for the symmetric tridiagonal T (d [m], e [m - 1]); X, Y [n][m], column-major; they may be the same.
 * scratch is aligned to 64 bytes. */
void poles_apply(const poles *p, int m, const double *d, const double *e, int n, const double *X, double *Y,
                 double *scratch);

#endif
