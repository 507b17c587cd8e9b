/* Critics f(x,y), networks whose bound on I(x;y) is maximised: the baselines of MIGE's first experiment.
 *
 *   separable  f = g(x) . h(y), two networks d-hidden-hidden-out (ReLU); positives are the M pairs, negatives all
 *              M (M - 1) others, by one product
 *   joint      f = one network 2d-hidden-hidden-1 of (x, y); negatives are M pairs (x_m, y_(m + shift mod M))
 *
 *   Donsker-Varadhan (MINE)              mean f(positives) - log mean exp f(negatives)
 *   Nguyen, Wainwright, Jordan (MINE-f)  mean f(positives) - mean exp(f(negatives) - 1)
 *   InfoNCE (van den Oord et al. 2018)   mean over x of f(positive) - log mean exp f(all y); separable; at most log
 * M
 *
 * Samples are double [M][d], row-major; networks are float. Not collective. */
#ifndef MIGE_STUDY_CRITIC_H
#define MIGE_STUDY_CRITIC_H

#include "study/truth.h"
#include <stddef.h>
#include <stdint.h>

enum { BOUND_DV, BOUND_NWJ, BOUND_INFONCE };

typedef struct {
    int joint, bound;
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

/* What a bound is made of: mean f over the positives, log mean exp f over the negatives (InfoNCE: its mean over x).
 */
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

/* The baselines of MIGE's first experiment: a critic trained on fresh samples at one correlation, then the gradient
 * of its bound by that correlation. Not collective. */
/* In the order of METHODS; the first trains nothing, those from mine-joint on train until their bound is flat. */
enum method { METHOD_MIGE, METHOD_MINE, METHOD_MINE_F, METHOD_MINE_JOINT, METHOD_MINE_F_JOINT, METHOD_INFONCE };
#define METHODS "mige|mine|mine-f|mine-joint|mine-f-joint|infonce"
/* Whether it takes all pairs of M samples; whether it is trained until its bound does not rise any more. */
int method_is_paired(int method);
int method_until_flat(int method);

typedef struct {
    critic_shape shape;
    double rate;    /* Adam's */
    int64_t steps;  /* of training; the most where it ends by itself */
    int until_flat; /* ends when the bound does not rise any more */
    double average; /* decay of the weights' moving average, which the result is taken with; 0: none */
    double memory;  /* Donsker-Varadhan: share of a batch in the moving average of mean exp f(negatives), which the
                     * gradient is divided by in place of the batch's own (MINE's correction of its bias); 0: none */
    int batches;    /* fresh ones for the result; 0: the last step's samples */
} baseline_options;

typedef struct {
    double gradient, mi;
    int64_t steps;
} baseline_result;

typedef struct baseline baseline;

/* Options of a method, for M samples in d dimensions. */
baseline_options baseline_of(enum method method, int M, int d, double rate, int64_t steps);
int baseline_create(const baseline_options *o, baseline **b);
void baseline_destroy(baseline **b);
double baseline_bytes(const baseline_options *o);
/* Trains from the beginning: a function of (k, rho, seed) alone. `stopped` is called at each step and ends it with
 * MIGE_ESTOPPED when it returns other than 0. Errors: MIGE_ENUMERIC (a bound that is not finite). */
int baseline_run(baseline *b, const truth_problem *k, double rho, uint64_t seed, int (*stopped)(void *ctx),
                 void *ctx, baseline_result *result);

#endif
