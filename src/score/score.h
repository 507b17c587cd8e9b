/* What the parts of a score problem share. */
#ifndef MIGE_SCORE_SCORE_H
#define MIGE_SCORE_SCORE_H

#include "mige/error.h"
#include "mige/score.h"
#include "score/kernel.h"

struct mige_score {
    const mige_comm *c;
    const struct estimator_ops *ops;
    mige_score_options o;
    int M, D;
    void *self;     /* the estimator's own */
    mige_pool pool; /* its memory, and what is below */
    mige_score_info info;
    int solved;        /* there are scores */
    int first, wanted; /* the columns whose scores are wanted */
    double *X;         /* [M][D] the samples, centred */
    double *shift;     /* [D] the point subtracted */
    double *sums;      /* [2][D] */
    double factor;     /* calibration: scores are multiplied by it, */
    double *A, *work;  /* or by A [D][D]; NULL: by the factor. Its scratch [max(M, D + 2)][D] */
    int *pivots;       /* [D] */
};

/* An estimator. What a function needs beside the estimator's own is in s. Those that take s are collective and
 * report agreed errors. */
typedef struct estimator_ops {
    mige_estimator_facts facts;
    size_t size;                               /* of *s->self, zeroed before create; in s->pool, as its memory */
    size_t solver;                             /* place of its solver in mige_score_options; 0: no choice */
    int (*check)(const mige_score_options *o); /* NULL: all that can be written is possible */
    mige_score_plan (*plan)(int M, int D, int ranks, const mige_score_options *o); /* bytes beside mige_score's */
    int (*create)(mige_score *s);
    void (*destroy)(void *self); /* what is not in s->pool, after any part of create; NULL: all is */
    /* Before calibration; X [M][D] as they came, S [M][wanted], with room for [M][D]. May fill in s->info. */
    int (*samples)(mige_score *s, const double *X, double *S);
    int (*points)(mige_score *s, int Q, const double *P, double *S);
    int (*hessian)(mige_score *s, int Q, const double *P, double *H); /* calibrated; NULL: has none */
} estimator_ops;

#define ESTIMATOR_OPS(NAME, name) extern const estimator_ops name##_ops;
MIGE_ESTIMATOR_ROWS(ESTIMATOR_OPS)

/* A sample or point that is not finite: MIGE_EINPUT naming its row. */
int score_check_rows(int n, int D, const double *X, const char *what);

/* Rows [M][D] become [M][wanted], in place. */
void score_take_wanted(const mige_score *s, double *rows);

/* Calibration of estimated scores by Stein's identity, E[s(x) (x - mu)'] = -I, which holds for every density that
 * vanishes at infinity and which kernel estimates, being shrunk, miss. */
/* A [D][D] such that the scores S A of the samples X [M][D] satisfy it: with Xc the centred samples and C =
 * Xc' S / M, A = -((1-g) C + g (trace C / D) I)^-1. work [D][D] + [2][D], pivots [D]. Local. Errors: MIGE_ENUMERIC
 * when C is singular (fewer samples than dimensions, say). */
int calibrate_find(double g, int M, int D, const double *X, const double *S, double *A, double *work, int *pivots);

/* S [n][D] <- S A; scratch [n][D]. Local. */
void calibrate_apply(int n, int D, const double *A, double *S, double *scratch);

/* The identity once more, for cubic functions. Scores S [M][D] of t [M][D] given a prediction p [M][D] of t (NULL:
 * nothing is given) become S + sum_k c_k f_k with f = t, |t|^2 t, p, |p|^2 t, (p.t) t, |t|^2 p, |p|^2 p, (p.t) p,
 * where c is such that the sample means satisfy E[s.f + div_t f] = 0 for each: what tells a sphere, or any other
 * dependence of scale on place, from the normal distribution, in eight numbers and whatever the directions. t, p of
 * mean 0. Local. */
void radial_correct(int M, int D, const double *t, const double *p, double *S);

/* What the estimators that work with a Gram matrix have in common. */
typedef struct {
    kernel kernel; /* of scale 1 / (2 w^2) */
    double *V, *B; /* [M][D + 1]: X and a column of ones; K V, then B in the first D of each row's own [D] */
    double *C;     /* [M][D]: what k(q,X) is multiplied by for other points; the estimator's to make */
} gram;

/* K is the matrix as it will stay. Errors: MIGE_EFAIL (memory), this rank's own. */
int gram_create(mige_score *s, const mige_matrix *K, gram *g);
/* Without C; `gathered` and `columns` as of kernel_bytes. */
double gram_bytes(int M, int D, double gathered, double columns, int stored);
/* K with its width; sums [M] = K 1 (NULL: not wanted). Collective; errors agreed. */
int gram_kernel(mige_score *s, gram *g, double *sums);
/* S [Q][D] = -k(P,X) C, then add (NULL: nothing) on pieces of n points: their k [n][M], its own from now on, place
 * q [n][D] and scores. Collective; errors agreed. */
typedef void (*gram_add_fn)(const mige_score *s, int n, double *k, const double *q, double *S);
int gram_points(mige_score *s, const gram *g, gram_add_fn add, int Q, const double *P, double *S);
/* H [Q][D] = the d-th derivatives of the d-th scores (alpha k(q,X) C - beta b(q)) A, A the calibration, beta >= 0.
 * Collective; errors agreed. */
int gram_hessian(const mige_score *s, const gram *g, double alpha, double beta, int Q, const double *P, double *H);

#endif
