/* Critics f(x,y), networks whose bound on I(x;y) is maximised: the baselines of MIGE's first experiment.
 *
 *   separable  f = g(x) . h(y), two networks d-hidden-hidden-out (ReLU); positives are the M pairs, negatives all
 *              M (M - 1) others, by one product
 *   joint      f = one network 2d-hidden-hidden-1 of (x, y); negatives are M pairs (x_m, y_(m + shift mod M))
 *
 *   Donsker-Varadhan (MINE)              mean f(positives) - log mean exp f(negatives)
 *   Nguyen, Wainwright, Jordan (MINE-f)  mean f(positives) - mean exp(f(negatives) - 1)
 *
 * Samples are double [M][d], row-major; networks are float. Not collective. */
#ifndef MIGE_STUDY_CRITIC_H
#define MIGE_STUDY_CRITIC_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int joint, nwj;
    int M, d, hidden;
    int out; /* separable: width of g(x) and h(y) */
} critic_shape;

typedef struct critic critic;

/* Takes all memory, none in a pass. Errors: MIGE_EFAIL (memory). */
int critic_create(const critic_shape *shape, critic **c);
void critic_destroy(critic **c);
double critic_bytes(const critic_shape *shape);

/* Parameters and their gradients, one flat vector each: [g, h] or the joint network; layers as in mige/nn.h. */
size_t critic_num_params(const critic *c);
float *critic_params(const critic *c);
float *critic_grads(const critic *c);
/* From now on the parameters are those at `params`, the caller's; NULL: its own again. */
void critic_use(critic *c, float *params);
/* PyTorch's defaults, a function of the seed. */
int critic_init(critic *c, uint64_t seed);

/* What a bound is made of: mean f over the positives, log mean exp f over the negatives. */
typedef struct {
    double positive, negative;
} critic_value;
double critic_bound(const critic_shape *shape, critic_value v);
/* How much the gradient of log mean exp f(negatives) counts in the bound's gradient: 1, or exp(negative - 1), which
 * is bounded here at e^30 so that floats hold it. */
double critic_weight(const critic_shape *shape, critic_value v);

/* Forward pass; 0 < shift < M (joint only). x and y are copied. */
int critic_forward(critic *c, const double *x, const double *y, int64_t shift, critic_value *v);
/* After a forward pass: gradients = those of weight * log mean exp f(negatives) - mean f(positives), which is to be
 * minimised. */
int critic_backward(critic *c, double weight);
/* After a forward pass: the directional derivatives along dy [M][d], by back-propagation to y: of mean f(positives)
 * and of log mean exp f(negatives). y counts wherever it stands, in the positives and in all negatives. Overwrites
 * the gradients. */
int critic_along(critic *c, const double *dy, critic_value *v);

#endif
