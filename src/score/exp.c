/* As base/exp.c, alone in its file. */
#include "base/simd.h"
#include "score/kernel.h"
#include <math.h>

MIGE_CLONES void kernel_exp_single(int n, float scale, const float *restrict rows, float col,
                                   const float *restrict u, float ucol, float *restrict x) {
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float d2 = x[i] + (rows[i] + col);
        x[i] = expf(-scale * (d2 > 0 ? d2 : 0)) - u[i] * ucol;
    }
}
