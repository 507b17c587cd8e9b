/* The baselines of MIGE's first experiment: a critic trained on fresh samples at one correlation, then the gradient
 * of its bound by that correlation. Not collective. */
#ifndef MIGE_STUDY_BASELINE_H
#define MIGE_STUDY_BASELINE_H

#include "study/critic.h"
#include "study/truth.h"

/* In the order of METHODS; the first trains nothing. */
enum method { METHOD_MIGE, METHOD_MINE, METHOD_MINE_F, METHOD_MINE_JOINT, METHOD_MINE_F_JOINT };
#define METHODS "mige|mine|mine-f|mine-joint|mine-f-joint"

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
