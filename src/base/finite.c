#include "base/simd.h"
#include "mige/error.h"

/* x * 0 is 0 for what is finite, else NaN. */
MIGE_CLONES size_t mige_not_finite(size_t n, const double *x) {
    size_t count = 0;
#pragma omp simd reduction(+ : count)
    for (size_t i = 0; i < n; i++) count += !(x[i] * 0 == 0);
    return count;
}

MIGE_CLONES size_t mige_not_finite_float(size_t n, const float *x) {
    size_t count = 0;
#pragma omp simd reduction(+ : count)
    for (size_t i = 0; i < n; i++) count += !(x[i] * 0 == 0);
    return count;
}
