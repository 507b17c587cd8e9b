/* Alone in its file: the build gives it -ffast-math, so that the compiler may use the vector exp of the C library.
 */
#include "base/simd.h"
#include <math.h>

MIGE_CLONES void mige_exp(size_t n, double scale, double *x) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) x[i] = exp(-x[i] * scale);
}
