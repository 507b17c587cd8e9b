/* What the parts of a score problem share. */
#ifndef MIGE_SCORE_SCORE_H
#define MIGE_SCORE_SCORE_H

#include "mige/error.h"
#include "mige/score.h"

struct mige_score {
    const mige_comm *c;
    const struct estimator_ops *ops;
    mige_score_options o;
    int M, D;
    void *self;     /* the estimator's own */
    mige_pool pool; /* its memory, and what is below */
    mige_score_info info;
    int solved;       /* there are scores */
    double *X;        /* [M][D] the samples, centred */
    double *shift;    /* [D] the point subtracted */
    double *A, *work; /* calibration: [D][D], its scratch [max(M, D + 2)][D] */
    int *pivots;      /* [D] */
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
    /* Before calibration; X [M][D] as they came. May fill in s->info. */
    int (*samples)(mige_score *s, const double *X, double *S);
    int (*points)(mige_score *s, int Q, const double *P, double *S);
} estimator_ops;

#define ESTIMATOR_OPS(NAME, name) extern const estimator_ops name##_ops;
MIGE_ESTIMATOR_ROWS(ESTIMATOR_OPS)

/* A sample or point that is not finite: MIGE_EINPUT naming its row. */
int score_check_rows(int n, int D, const double *X, const char *what);

#endif
