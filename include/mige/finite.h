/* Numbers that are not finite. */
#ifndef MIGE_FINITE_H
#define MIGE_FINITE_H

#include <stddef.h>

/* How many of x [n] are infinite or NaN. Not collective. */
size_t mige_not_finite(size_t n, const double *x);
size_t mige_not_finite_float(size_t n, const float *x);

#endif
