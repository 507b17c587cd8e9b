#include "mige/adam.h"
#include "base/simd.h"
#include <math.h>

/* Bound by memory, so everything in one pass; -fno-math-errno lets the square root be vectorised. */
MIGE_CLONES static void update(size_t n, float b2, float c1, float c2, float step, float root, float epsilon,
                               float shrink, float *restrict p, const float *restrict g, float *restrict m,
                               float *restrict v) {
    for (size_t i = 0; i < n; i++) {
        m[i] += c1 * (g[i] - m[i]);
        v[i] = b2 * v[i] + c2 * g[i] * g[i];
        p[i] -= step * m[i] / (sqrtf(v[i]) * root + epsilon) + shrink * p[i];
    }
}

void mige_adam_step(const mige_adam *a, int64_t t, size_t n, float *p, const float *g, float *m, float *v) {
    double step = a->rate / (1 - pow(a->beta1, (double)t)), root = 1 / sqrt(1 - pow(a->beta2, (double)t));
    /* 1 - beta in double: after rounding beta2 = 0.999 to single, five digits of the difference would be left. */
    float c1 = (float)(1 - a->beta1), c2 = (float)(1 - a->beta2);
    update(n, (float)a->beta2, c1, c2, (float)step, (float)root, (float)a->epsilon, (float)(a->rate * a->decay), p,
           g, m, v);
}
