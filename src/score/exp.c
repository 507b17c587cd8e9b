/* As base/exp.c, alone in its file. */
#include "base/simd.h"
#include "score/kernel.h"
#include <math.h>

/* e^t - 1 - t for |t| < 1/2 */
static inline float series(float t) {
    float p = 1.f / 720 + t * (1.f / 5040 + t * (1.f / 40320));
    return t * t * (1.f / 2 + t * (1.f / 6 + t * (1.f / 24 + t * (1.f / 120 + t * p))));
}

MIGE_CLONES void kernel_rest_single(int n, float scale, const float *restrict norms, float norm,
                                    const float *restrict u, float v, float *restrict x) {
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float d2 = x[i] + (norms[i] + norm), t = -scale * x[i], uv = u[i] * v;
        float far = expf(-scale * (d2 > 0 ? d2 : 0)) - (uv > 0 ? uv * (1 + t) : 0);
        x[i] = fabsf(t) < 0.5f ? uv * series(t) : far;
    }
}
