/* Problems whose mutual information is known, x and y in D dimensions, of a parameter rho:
 *
 *   - gaussian: normal, corr(x_i, y_j) = delta_ij rho; I = -(D/2) ln(1 - rho^2)
 *   - cubic ... scaled: the same, then y through an invertible map that changes nothing
 *   - cdf, half-cube: x and y, each dimension by itself, to Phi(u) (bounded) or sign(u) |u|^1.5
 *   - spiral: a plane of x and another of y turned by |.|^2 / D
 *   - sparse: normal, two pairs of D correlated; I = -ln(1 - rho^2)
 *   - dense: normal, all 2 D of unit variance and correlation rho, so that x moves with it; I = l_D - l_2D / 2, l_n
 * = (n - 1) ln(1 - rho) + ln(1 + (n - 1) rho)
 *   - student2, student3: gaussian over the same root of chi^2 / n for x and y; I is that of gaussian and a
 * constant
 *   - additive: x uniform in (0, 1), y = x + uniform in (-rho, rho), by dimension; I = D (rho - ln 2 rho) up to
 *     rho = 1/2, D / (4 rho) above
 *
 * Gradients are those of I by rho. */
#ifndef MIGE_STUDY_TRUTH_H
#define MIGE_STUDY_TRUTH_H

#include "mige/mi.h"

#define TRUTH_PROBLEMS                                                                                             \
    "gaussian|cubic|asinh|sine|radial|scaled|cdf|half-cube|spiral|sparse|dense|student2|student3|additive"

typedef struct {
    int kind; /* index into TRUTH_PROBLEMS */
    int D;
    double *rotation; /* [D][D] orthogonal, or NULL */
} truth_problem;

/* Not collective: a function of (kind, rotate, D, seed), the same on every rank. */
int truth_create(int kind, int rotate, int D, uint64_t seed, truth_problem *k);
void truth_destroy(truth_problem *k);
/* M samples: x, y [M][D], and dx, dy [M][D] = their derivatives by rho at fixed noise: for y = rho x + sqrt(1 -
 * rho^2) e it is x - rho / sqrt(1 - rho^2) e, carried through the map and the rotation. dx may be NULL, and is 0
 * unless truth_moves_x. A function of (seed, stream). */
int truth_draw(const truth_problem *k, int M, double rho, uint64_t seed, uint64_t stream, double *x, double *y,
               double *dx, double *dy);
int truth_moves_x(int kind);
double truth_mi(int kind, int D, double rho);
double truth_gradient(int kind, int D, double rho);
/* Whether a problem is one in D dimensions, at all n values of rho. Errors: MIGE_EUSAGE. */
int truth_check(int kind, int D, int n, const double *rho);

/* A grid of correlations "A:B:N" -> rho [n], malloc'ed. Errors: MIGE_EUSAGE (not in (-1, 1), N below 1). */
int truth_grid(const char *text, const char *otherwise, int *n, double **rho);

/* dI/drho by scores, for M samples in D dimensions: x, y, dx, dy as truth_draw gives them, gx and gy the gradients
 * by x (NULL unless it moves) and y. {0} is none. Collective on c, which must outlive it; errors as mige_mi_*. */
typedef struct {
    const mige_comm *c;
    int M, D;
    double *x, *y, *dx, *dy, *gx, *gy; /* [M][D] */
    mige_mi *mi;
} truth_estimator;
int truth_estimator_create(const mige_comm *c, int kind, int M, int D, const mige_score_options *o,
                           truth_estimator *e);
void truth_estimator_destroy(truth_estimator *e);
double truth_estimator_bytes(int kind, int M, int D, int ranks, const mige_score_options *o);
int truth_estimator_draw(truth_estimator *e, const truth_problem *k, double rho, uint64_t seed, uint64_t stream);
/* The gradients at what was drawn, as phase STEP of the clock; then the estimate, sum_m gx_m . dx_m + gy_m . dy_m.
 */
int truth_estimator_run(truth_estimator *e);
double truth_estimator_value(const truth_estimator *e);

#endif
