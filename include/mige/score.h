/* Scores (gradients of the log density) of a distribution from samples: the Spectral Stein Gradient Estimator (Shi,
 * Sun, Zhu 2018) in two matrix products and J eigenpairs.
 *
 * Samples X [M][D], K_ij = k(x_i, x_j), k(x,y) = exp(-|x-y|^2 / (2 w^2)):
 *
 *   - K = U diag(lambda) U'
 *   - B = (diag(K 1) X - K X) / w^2
 *   - at the samples  S = -U_J diag(1/lambda_J) U_J' B
 *   - at a point q    s = -k(q,X) U_J diag(1/lambda_J^2) U_J' B
 *
 * X and S are double, row-major, the same on every rank; K is spread over the ranks. Memory a rank: O(M^2/P + M D).
 */
#ifndef MIGE_SCORE_H
#define MIGE_SCORE_H

#include "mige/comm.h"
#include "mige/linalg.h"
#include "mige/precondition.h"

/* The estimators: a row and a file, src/score/NAME.c, each. */
#define MIGE_ESTIMATOR_ROWS(ROW) ROW(SSGE, ssge) ROW(STEIN, stein) ROW(SSM, ssm)
#define MIGE_ESTIMATOR_VALUE(NAME, name) MIGE_ESTIMATOR_##NAME,
#define MIGE_ESTIMATOR_CHOICE(NAME, name) "|" #name
enum mige_estimator { MIGE_ESTIMATOR_ROWS(MIGE_ESTIMATOR_VALUE) MIGE_NUM_ESTIMATORS };
#define MIGE_ESTIMATORS (&(MIGE_ESTIMATOR_ROWS(MIGE_ESTIMATOR_CHOICE))[1])

typedef struct {
    const char *name;
    const char *solvers;                      /* a list of choices; the first leaves it to the estimator */
    int has_eigenpairs;                       /* else mige_score_info has none */
    const char *lean_estimator, *lean_solver; /* what takes less memory, perhaps itself; NULL: nothing does */
} mige_estimator_facts;
/* Not collective. */
const mige_estimator_facts *mige_estimator_get(enum mige_estimator e);
/* The solvers of all of them: a choice that only some can do. */
#define MIGE_SCORE_SOLVERS MIGE_SOLVERS "|cholesky|cg"

/* Stein's identity restored: not at all, by one factor, by a matrix. */
enum mige_calibrate { MIGE_CALIBRATE_NONE, MIGE_CALIBRATE_SCALE, MIGE_CALIBRATE_STEIN };
#define MIGE_CALIBRATIONS "none|scale|stein"

/* Estimator stein is iterated Tikhonov, by one Cholesky factorisation in place of the eigenproblem; k = 1 is the
 * Stein estimator of Li and Turner (2018), the points are those of Zhou, Shi, Zhu 2020:
 *
 *   - Y_0 = 0, Y_(i+1) = Y_i + (K + eta I)^-1 (B - K Y_i), at the samples  S = -Y_k
 *   - Z_i = eta^i (K + eta I)^-(i+1) B
 *   - b(q) = (k(q,X) 1 q - k(q,X) X) / w^2
 *   - at a point q  s = -(k b(q) - k(q,X) sum_i (k - i) Z_i) / eta
 */

enum mige_stein_solver {
    MIGE_STEIN_AUTO,     /* cholesky */
    MIGE_STEIN_CHOLESKY, /* one factorisation */
    MIGE_STEIN_CG        /* preconditioned conjugate gradients, the matrix never stored */
};
#define MIGE_STEIN_SOLVERS "auto|cholesky|cg"

typedef struct {
    enum mige_stein_solver solver;
    double eta;       /* the ridge */
    int iterations;   /* k */
    double tolerance; /* cg: of the scores */
} mige_stein_options;

/* Estimator ssm is a network trained by sliced score matching (Song et al. 2019). */
typedef struct {
    int64_t steps; /* most steps: ended by the held-out objective, as a rule well before */
    int hidden;    /* width of the hidden layers */
    double rate;   /* Adam's */
} mige_ssm_options;

typedef struct {
    enum mige_estimator estimator;
    mige_eigen_options eigen; /* ssge */
    mige_stein_options stein;
    mige_ssm_options ssm;
    enum mige_calibrate calibrate;
    double width;       /* of the kernel; 0: the median of all M^2 pairwise distances (see mige_score_info.width) */
    double width_scale; /* factor on the median */
    uint64_t seed;      /* ssm */
    enum mige_precondition precondition; /* maps of mige_mi_*; a score problem by itself has none, see there */
} mige_score_options;
mige_score_options mige_score_defaults(void);
/* MIGE_EUSAGE for options that are not possible, or not together. Not collective. */
int mige_score_check(int M, int D, const mige_score_options *o);
/* The solver of o->estimator, which is set first, by its name. Errors: MIGE_EUSAGE (it has none of this name). Not
 * collective. */
int mige_score_set_solver(mige_score_options *o, const char *name);

typedef struct mige_score mige_score;

/* Takes all memory for problems of M samples in D dimensions. Collective on c, which must outlive s. Scores with a
 * map, as `mige score --precondition whiten`: mige_map_fit gives T of X, mige_score_samples S of T, mige_map_scores
 * turns S back. Errors, agreed: MIGE_EFAIL (memory), MIGE_EUSAGE (options that are not possible; precondition). */
int mige_score_create(const mige_comm *c, int M, int D, const mige_score_options *o, mige_score **s);
void mige_score_destroy(mige_score **s);
/* What a problem will take, from the sizes alone. Operations are those of one mige_score_samples, over all ranks;
 * where iterations cannot be known, or J, an ordinary number is taken; 0 for a network. Not collective. */
typedef struct {
    double bytes;   /* that the largest rank takes */
    int rows, cols; /* the grid of ranks that shares the matrix; 1 x 1 where there is none */
    double gram;    /* operations: Gram matrix and B; */
    double eigen;   /* eigenproblem, factorisation or preconditioner; */
    double apply;   /* products or solves that give the scores */
} mige_score_plan;
mige_score_plan mige_score_forecast(int M, int D, int ranks, const mige_score_options *o);

/* From now on only the scores' columns [first, first + wanted) are made, as S [M][wanted], which may save most of
 * the solves; S needs room for all. Not for calibrated scores, nor for scores at points. Logically collective:
 * first, wanted. */
void mige_score_want(mige_score *s, int first, int wanted);

/* S [M][D] = the scores at the samples X [M][D]. Collective; X must be the same on every rank, S is. Errors,
 * agreed: MIGE_EINPUT for a sample that is not finite (its row is named, from 0), MIGE_ENUMERIC when the width is 0
 * (half of all pairs are equal), the eigensolver fails, or a score is not finite. */
int mige_score_samples(mige_score *s, const double *X, double *S);

/* S [Q][D] = the scores at other points P [Q][D] of the distribution of the last mige_score_samples. Collective; P
 * the same on every rank. Errors as above, and MIGE_EUSAGE where that did not succeed or was not called. */
int mige_score_points(mige_score *s, int Q, const double *P, double *S);

/* H [Q][D] = the diagonal of the Hessian of the log density at points P [Q][D], the samples themselves among them:
 * the derivative of the scores that mige_score_points gives, calibration included. (Stein's second-order identity
 * gives -s^2 + (K + eta I)^-1 sum of d^2 k, Rolland et al. 2022: two to ten times further from the truth of normal
 * samples, since s^2 is not shrunk as the rest is.) Derivatives want a smoother estimate than scores: a wider
 * kernel, or a larger ridge. Collective; errors as mige_score_points, and MIGE_EUSAGE
 * for ssm. */
int mige_score_hessian(mige_score *s, int Q, const double *P, double *H);
/* Warns where scores S and diagonals H [M][D] at the samples are more than 10 % from E[H_dd] = -E[s_d^2], in the
 * mean over dimensions, which holds for every density that vanishes at infinity (Fisher's identity): derivatives of
 * scores that are too rough are too large. Not collective. */
void mige_score_hessian_doubts(int M, int D, const double *S, const double *H);
/* Bytes that it takes beside. Not collective. */
double mige_score_hessian_bytes(int M, int D, int Q, int ranks);

/* How far the scores g that options give are off, at samples that they are not made from, columns in units of their
 * deviations. */
typedef struct {
    int samples, points; /* made from so many of X, looked at on so many others; 0: it cannot be told */
    double objective;    /* E |g - s|^2 - E |s|^2, s the truth: the less, the better */
    double uncertain;    /* its standard error */
    double truth;        /* E |s|^2: of normal samples as it is, of others at least */
    char better[96];     /* options with which they are much less far off, "" where none were found or looked for */
    double then;         /* the square with these */
} mige_score_error;
/* E |g - s|^2 / E |s|^2: of normal samples; of others at least that, while it is below 1; below 0 where too little
 * is known of E |s|^2, NaN where it cannot be told. Not collective. */
double mige_score_error_square(const mige_score_error *e);

/* *e of samples X [M][D], at most 2,560 of them, chosen by o->seed; where they are far off, options that are better
 * are looked for. Of more samples scores are better than is said here, and so are those of estimator stein at the
 * samples themselves, which it knows. Densities with edges do not obey Stein's identity: of these it means little.
 * It cannot be told of fewer than 100 samples, of more than 512 dimensions, of estimator ssm, and where scores of
 * the part fail. Collective, X the same on every rank, and so is *e. Errors, agreed: as mige_score_samples. */
int mige_score_judge(const mige_comm *c, int M, int D, const double *X, const mige_score_options *o,
                     mige_score_error *e);
/* Bytes that it takes. Not collective. */
double mige_score_judge_bytes(int M, int D, int ranks, const mige_score_options *o);
/* ", about 12 % off ...", or "" where it cannot be told; in text. */
const char *mige_score_error_text(const mige_score_error *e, char text[64]);

/* Warns where scores S [M][D] at samples X are wrong or may be. For M > 2 D and D <= 512: an eigenvalue of -E[s (x
 * - mean)'] is far from 1 (Stein's identity; else a column's -E[s_d (x_d - mean_d)]), or the identity with narrow
 * test functions f, E[s f + grad f] = 0, is left open near single samples. Up to 2,048 dimensions: scores are many
 * times the size of normal samples'. whitened: they were made of mapped samples. Where nothing of this is found,
 * that they are far off by e. And of points P [Q][D] with scores SP that lie beyond all samples, by columns or by
 * the samples' covariance, or so far that these are almost 0. Not collective. Errors: MIGE_EFAIL (memory). */
int mige_score_doubts(int M, int D, const double *X, const double *S, int whitened, const mige_score_error *e);
int mige_score_point_doubts(int M, int Q, int D, const double *X, const double *S, const double *P,
                            const double *SP);

/* Bytes that both take. Not collective. */
double mige_score_doubts_bytes(int M, int Q, int D);

/* What the last call found. */
typedef struct {
    double width; /* the upper median: sorted[floor(M^2/2)] of all M^2 distances, the M zeros and both triangles
                   * counted, times width_scale; or the width that was given */
    double stein; /* -(1/D) E[s(x)'(x - mean)] before calibration, of the columns that are made: by Stein's identity
                     1 */
    mige_eigenpairs pairs; /* J 0 where the estimator has none */
    char solver[16];       /* the one that did it, by its name */
} mige_score_info;
const mige_score_info *mige_score_last(const mige_score *s);

/* Several score problems of the same M, solved at once on parts of the ranks (in turn on all of them where there
 * are fewer, or samples enough a rank that messages cost little): a step's marginal and joint do not depend on each
 * other. */
typedef struct mige_problems mige_problems;

/* n problems, problem i in dims[i] dimensions. Collective; errors as mige_score_create. */
int mige_problems_create(const mige_comm *c, int M, int n, const int *dims, const mige_score_options *o,
                         mige_problems **p);
void mige_problems_destroy(mige_problems **p);
/* Into how many groups the ranks are parted for n problems of M samples. Not collective. */
int mige_problems_groups(int M, int n, int ranks);
/* Bytes the largest rank takes. Not collective. */
double mige_problems_bytes(int M, int n, const int *dims, int ranks, const mige_score_options *o);
/* A problem on every rank, owned by p: its input, to be filled, and what is known after a solve. */
typedef struct {
    double *input, *scores; /* [M][dim], [M][wanted] */
    int dim, J;
    int first, wanted; /* columns of the scores, at first all: see mige_score_want */
    double width, stein;
} mige_problem;
mige_problem *mige_problems_get(const mige_problems *p, int i);
int mige_problems_solve(mige_problems *p);

#endif
