/* Estimator ssm: a network trained by sliced score matching (Song, Garg, Shi, Ermon 2019), the form of less
 * variance,
 *
 *   minimise  E_x E_v [ v' J(x) v + |s(x)|^2 / 2 ],  J = ds/dx,  v Rademacher, drawn anew at every step,
 *
 * on samples brought to mean 0 and standard deviation 1, dimension by dimension; the scores are carried back by
 * 1 / deviation. The network, widths D, H, H, D, beside a linear part:
 *
 *   s(x) = W3 f(W2 f(W1 x + b1) + b2) + b3 - (A + R) x,  f(z) = (z + sqrt(z^2 + 1)) / 2,  A = C^-1
 *
 * C is the covariance, so that training starts (W3, b3, R = 0) at the best that a Gaussian can do. One sample in
 * seven is held out: what is kept is the weights at the least held-out objective that is below the start's by more
 * than its standard error, or the start. C, that of the other samples while training, is that of all at the end.
 *
 *   - a dimension that does not vary takes no part; its score is 0
 *   - fewer than SSM_FEWEST samples are too few to hold any out: s(x) = -A x
 *   - M < 2.5 D: C is mixed with 5 % of the identity
 *
 * One rank trains and evaluates, and the scores go to all: they do not depend on the number of ranks, nor on calls
 * before. Errors beside those of mige_score_*: MIGE_ENUMERIC when all samples are equal (M > 1), or so large that
 * squares overflow, or the objective is not finite.
 */
#ifndef MIGE_SCORE_SSM_H
#define MIGE_SCORE_SSM_H

#include "mige/error.h"

enum { SSM_FEWEST = 56 };

/* The network. The flat parameters are W1 [H][D], b1 [H], W2 [H][H], b2 [H], W3 [D][H], b3 [D], R [D][D]; the rest
 * is memory for `rows` rows, primal and tangent. Not collective. */
typedef struct {
    int D, H, rows;
    size_t size;           /* of the parameters */
    float *params, *grads; /* [size] */
    float *linear;         /* [D][D] A */
    float *skip;           /* [D][D] A + R */
    float *ones;           /* [rows] */
    float *in;             /* [2 rows][D] x, then v */
    float *pre[2];         /* [2 rows][H] what enters f, then its derivative along v */
    float *out[2];         /* [2 rows][H] what leaves f, then its derivative along v */
    float *s;              /* [2 rows][D] s, then J v */
    float *flow[2];        /* [2 rows][H] gradients on their way back */
} ssm_net;

/* All parameters 0. Errors: MIGE_EFAIL (memory). */
int ssm_net_create(int D, int H, int rows, mige_pool *pool, ssm_net *net);
/* S [n][D] = s(x), x [n][D], n <= rows. */
void ssm_net_scores(ssm_net *net, int n, const float *x, float *S);
/* The mean over n <= rows of v' J(x) v + |s(x)|^2 / 2; if `gradient`, grads = its gradient; `each` [n]
 * (may be NULL) the single values. x, v [n][D]. */
double ssm_net_objective(ssm_net *net, int n, const float *x, const float *v, int gradient, double *each);

#endif
