#ifndef MIGE_BASE_EXP_H
#define MIGE_BASE_EXP_H

#include <stddef.h>

/* x[i] = exp(-x[i] * scale), vectorised; a NaN stays one. */
void mige_exp(size_t n, double scale, double *x);

#endif
