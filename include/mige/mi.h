/* Gradients of mutual information from scores (MIGE, section 3), for ASCENT of I, and the random projection that
 * makes them feasible for images. */
#ifndef MIGE_MI_H
#define MIGE_MI_H

#include "mige/score.h"

/* R [k][d], Gaussian with columns of unit norm, a function of (seed, stream) alone; k >= d gives the identity (k
 * becomes d). Float, row-major: |R x| ~ |x|. */
typedef struct {
    int k, d;
    float *R; /* NULL for the identity */
} mige_projection;
int mige_projection_create(uint64_t seed, uint64_t stream, int k, int d, mige_projection *p);
void mige_projection_destroy(mige_projection *p);
/* y [n][k] = x R'; x [n][d]. Not collective. y is double: what the scores are computed from. */
void mige_projection_apply(const mige_projection *p, int n, const float *x, float *scratch, double *y);
/* dx [n][d] = dy R (the adjoint); scratch [n][k] for both. */
void mige_projection_adjoint(const mige_projection *p, int n, const double *dy, float *scratch, float *dx);

/* The gradient of a sum of mutual informations with respect to any of their variables, and the score problems that
 * it takes: one of each variable that has a gradient, one of each pair. */
typedef struct {
    const char
        *name; /* "x", "h", "z", "z1", ...; of problems, put together: "z", "xz", "z1z2"; 7 characters at most */
    int dim;
    int gradient; /* 1: dI/d(variable) is wanted */
} mige_mi_variable;
typedef struct {
    int a, b; /* I(a;b), indices of variables; the joint's columns are in this order */
} mige_mi_pair;

typedef struct mige_mi mige_mi;

/* M samples of nvars variables, npairs pairs of them; a variable in no pair is passed over. Nothing of vars and
 * pairs is kept. o->precondition gives each variable its map, the same in all problems. Collective on c, which must
 * outlive m; errors as mige_score_create. */
int mige_mi_create(const mige_comm *c, int M, int nvars, const mige_mi_variable *vars, int npairs,
                   const mige_mi_pair *pairs, const mige_score_options *o, mige_mi **m);
void mige_mi_destroy(mige_mi **m);
/* values[v] [M][dim], the same on every rank -> gradients[v] [M][dim], on every rank (not looked at for variables
 * without gradient): the sum over pairs of (1/M) (s_(v,other)|_v - s_v). Scores are constants: no gradient flows
 * through them. Collective; errors as mige_score_samples. */
int mige_mi_gradient(mige_mi *m, const double *const *values, double *const *gradients);

/* The score problems behind the last gradient, for metrics: their number, and name (owned by m), dimensions, J,
 * width, and the share of Stein's identity E[s(x)'(x - mu)] = -D that the estimate keeps (1 would be unbiased), of
 * the columns that are made: all, or without calibration those of variables with a gradient.
 * Pair by pair: the marginals of b and a that have not been listed, then the joint. */
typedef struct {
    const char *name;
    int dim, J;
    double width, stein;
} mige_mi_problem;
int mige_mi_num_problems(const mige_mi *m);
mige_mi_problem mige_mi_get_problem(const mige_mi *m, int i);
double mige_mi_bytes(int M, int nvars, const mige_mi_variable *vars, int npairs, const mige_mi_pair *pairs,
                     int ranks, const mige_score_options *o);

#endif
