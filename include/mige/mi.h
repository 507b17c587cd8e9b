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
 * width, and the share of Stein's identity E[s(x)'(x - mu)] = -D that the estimate keeps before it is calibrated (1
 * would be unbiased), of the columns that are made: all, or without calibration those of variables with a gradient.
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

/* The value of mutual information, along noise. Variables are mapped (score.precondition), then whitened, each by
 * itself, and noised together: v_t = e^-t v + b n, b^2 = 1 - e^-2t, n ~ N(0, I). With J_v(t) the Fisher information
 * of v_t, entropies rise as dH/dt = dim - J (de Bruijn's identity), and I vanishes as t grows, so that
 *
 *   I(x;y)   = integral of J_xy - J_x - J_y dt
 *   I(x;y|z) = integral of J_xyz - J_xz - J_yz + J_z dt
 *   I(x;c)   = integral of sum_k p_k J_(x|k) - J_x dt, classes k of share p_k
 *
 * J is that of a normal distribution of the same covariance C_t, whose integral is known (a log-determinant, its
 * bias with so many samples taken off), plus the rest J' = -E[(s + C_t^-1 (v_t - mean))' n] / b, from estimated
 * scores s at the noised samples themselves, linear in s so that their errors average out. The rests of J_x + J_y
 * are those of x and y together, with y shuffled anew at each time and draw: as many samples in as many dimensions,
 * so that what kernels miss in such a space cancels; but those of x and y alone where either lies on a surface
 * (mige_mi_surface below 0.6), and for the error (of halves, where they can do), and with z. Below the first time
 * the rest is carried on as t^-p, p between 0 and 1/2 as between the first two. Where the integrand without z is
 * below 0 by more than three standard errors of its rest, which cannot be, that of the next time is taken, of
 * shuffles as well. Warnings tell of both.
 *
 * Where halves of the samples can do (each score problem of one has twice mige_mi_least, and its eigenpairs), a
 * rest r > 0 is extrapolated from theirs, h, of an error that falls as the inverse root of the number of samples,
 * by what the error e of the gap g = r - h leaves of it: factor 1 + (1 + sqrt 2) g^3 / (r (g^2 + e^2)), between 1/2
 * and 3/2 (a warning tells where it would be beyond by more than its error). Shuffles are as they are. */
typedef struct {
    mige_score_options score; /* the maps among them */
    uint64_t seed;            /* of the noise, of blocks and of shuffles */
    int block;                /* most samples of a score problem: larger sets are split at random */
    int draws;                /* of the noise, each with its opposite; 0: more where there are few samples */
    int shuffles;             /* of y, or of the classes: draws of I where it is 0 */
} mige_mi_value_options;
/* Iterated Tikhonov, eta 0.1, half the median width, full calibration, normal scores; no shuffles. The factor on
 * the median is that of 1,000 samples: for n in D dimensions it is (1000 / n)^(1 / (D + 4)) times as large. */
mige_mi_value_options mige_mi_value_defaults(void);

enum { MIGE_MI_TIMES = 7, MIGE_MI_PARTS = 3 };
typedef struct {
    double value;          /* nats: normal + factor rest max(0, 1 - e^2/rest^2) - missed, e the error of rest */
    double normal, rest;   /* that of normal variables of the same covariance; the rest as it is estimated */
    double factor;         /* of extrapolation, 1 without */
    double missed;         /* by parts of all samples, with labels */
    double standard_error; /* of the value, from the samples' own contributions */
    double p_value;        /* share of shuffles, and the value as one of them, that are not below it; NaN: none */
    double time[MIGE_MI_TIMES], integrand[MIGE_MI_TIMES]; /* both parts; 1 and nats */
} mige_mi_estimate;

/* I(part 0; part 1), given part 2 where nparts is 3: part i has dims[i] columns of v [M][sum of dims], in the order
 * part 0, part 2, part 1. shuffled [o->shuffles]: I of part 0 and the shuffled part 1, by one draw of the noise and
 * blocks of at most 1,024; not with three parts. Collective; v the same on every rank, as the results are. Errors,
 * agreed: MIGE_EINPUT (too few samples, or not finite), MIGE_ENUMERIC (a part, or all, is in fewer dimensions than
 * it has: constant, repeated, or y a function of x), and as mige_score_*. */
int mige_mi_value(const mige_comm *c, int M, int nparts, const int *dims, const double *v,
                  const mige_mi_value_options *o, double *shuffled, mige_mi_estimate *e);
/* I(v; label), v [M][D], label [M] in [0, classes). Each class and, for J_v, random parts of the same sizes are
 * score problems: what samples are too few for cancels. But where the classes lie is no class's own, and parts show
 * little of it: with R, P and H the integrals of J'_v from all samples together, from the parts and from halves, as
 * much as they miss, m = R - P + min(R - P, (1 + sqrt 2) (R - H)), is taken off by the share s = I / H(label) of
 * what the labels tell; the error has m^2 s (1 - s) more. Errors as above; a class too small is named. */
int mige_mi_of_labels(const mige_comm *c, int M, int D, const double *v, int classes, const int *label,
                      const mige_mi_value_options *o, double *shuffled, mige_mi_estimate *e);
/* Whether that many samples and these options can do. Not collective. Errors: MIGE_EINPUT, MIGE_EUSAGE. */
int mige_mi_value_check(int M, int D, const mige_mi_value_options *o);
/* Fewest samples that D dimensions, of all parts or of a class, can do with. */
int mige_mi_least(int D);
/* Derivative of lgamma, x > 0. Not collective. */
double mige_digamma(double x);
/* Bytes a rank takes for M samples in D dimensions of all parts. Not collective. */
double mige_mi_value_bytes(int M, int D, const mige_mi_value_options *o);

/* Warns of what value and error above do not see: samples v [M][sum of dims] of parts with these names (one of no
 * dimensions is passed over) with ties, gaps, clusters, copies of rows, numbers that x and y both are often, rows
 * that follow one another or, where margins are taken as they are (plain), values far out. Errors: MIGE_EFAIL
 * (memory). Not collective. */
int mige_mi_sample_doubts(int M, int nparts, const int *dims, const char *const *names, const double *v, int plain);
/* The same of labels [M] within 0 to classes - 1 and samples v [M][D]: rows that follow one another within classes,
 * while the labels come in runs. Errors: MIGE_EFAIL (memory). Not collective. */
int mige_mi_label_doubts(int M, int D, const double *v, int classes, const int *label);
/* *share: of the dimensions that columns [first, first + dim) of samples v [M][D] have nearby, by their two nearest
 * neighbours, to those with the columns from `moved` on (counted from first) shuffled together; moved 0: each by
 * itself. Well below 1 where some columns are a function of others; 1 within its error, with one column or fewer
 * than 200 samples, and where it takes more than 2e9 differences. Errors: MIGE_EFAIL (memory). Not collective. */
int mige_mi_surface(int M, int D, int first, int dim, int moved, const double *v, double *share);

#endif
