/* The optimiser Adam (Kingma, Ba 2015). */
#ifndef MIGE_ADAM_H
#define MIGE_ADAM_H

#include <stddef.h>
#include <stdint.h>

/* Step t = 1, 2, ...: with g the gradient of what is minimised,
 *   m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2, p -= lr (m/(1-b1^t)) / (sqrt(v/(1-b2^t)) + eps) + lr decay p,
 * the last term apart from the moments, as in AdamW (Loshchilov, Hutter 2019). */
typedef struct {
    double rate, beta1, beta2, epsilon, decay;
} mige_adam;
void mige_adam_step(const mige_adam *a, int64_t t, size_t n, float *p, const float *g, float *m, float *v);

#endif
