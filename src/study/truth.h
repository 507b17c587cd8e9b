/* Problems whose mutual information is known: x, y in D dimensions, Gaussian, corr(x_i, y_j) = delta_ij rho, then y
 * through an invertible map that changes nothing. I = -(D/2) ln(1 - rho^2), dI/drho = rho D / (1 - rho^2). */
#ifndef MIGE_STUDY_TRUTH_H
#define MIGE_STUDY_TRUTH_H

#include "mige/mi.h"

typedef struct {
    int kind; /* index into the choices of --truth_problem */
    int D;
    double *rotation; /* [D][D] orthogonal, or NULL */
} truth_problem;

/* Not collective: a function of (kind, rotate, D, seed), the same on every rank. */
int truth_create(int kind, int rotate, int D, uint64_t seed, truth_problem *k);
void truth_destroy(truth_problem *k);
/* M samples: x, y [M][D], and dy [M][D] = the derivative of y by rho at fixed noise: for y = rho x + sqrt(1 -
 * rho^2) e it is x - rho / sqrt(1 - rho^2) e, carried through the map and the rotation. A function of (seed,
 * stream). */
int truth_draw(const truth_problem *k, int M, double rho, uint64_t seed, uint64_t stream, double *x, double *y,
               double *dy);
double truth_mi(int D, double rho);
double truth_gradient(int D, double rho);

/* A grid of correlations "A:B:N" -> rho [n], malloc'ed. Errors: MIGE_EUSAGE (not in (-1, 1), N below 1). */
int truth_grid(const char *text, const char *otherwise, int *n, double **rho);

/* dI/drho by scores, for M samples in D dimensions: x, y, dy as truth_draw gives them, dz the gradient by y. {0} is
 * none. Collective on c, which must outlive it; errors as mige_mi_*. */
typedef struct {
    const mige_comm *c;
    int M, D;
    double *x, *y, *dy, *dz; /* [M][D] */
    mige_mi *mi;
} truth_estimator;
int truth_estimator_create(const mige_comm *c, int M, int D, const mige_score_options *o, truth_estimator *e);
void truth_estimator_destroy(truth_estimator *e);
double truth_estimator_bytes(int M, int D, int ranks, const mige_score_options *o);
int truth_estimator_draw(truth_estimator *e, const truth_problem *k, double rho, uint64_t seed, uint64_t stream);
/* dz of what was drawn, as phase STEP of the clock; then the estimate, sum_m dz_m . dy_m. */
int truth_estimator_run(truth_estimator *e);
double truth_estimator_value(const truth_estimator *e);

#endif
