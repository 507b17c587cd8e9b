/* What the estimators that work with a Gram matrix have in common. */
#ifndef MIGE_SCORE_GRAM_H
#define MIGE_SCORE_GRAM_H

#include "score/kernel.h"
#include "score/score.h"

typedef struct {
    kernel kernel;
    double scale;  /* 1 / (2 w^2) */
    double *V, *B; /* [M][D + 1]: X and a column of ones; K V, then B in the first D of each row's own [D] */
    double *C;     /* [M][D]: what k(q,X) is multiplied by for other points; the estimator's to make */
} gram;

/* K is the matrix as it will stay. Errors: MIGE_EFAIL (memory), this rank's own. */
int gram_create(mige_score *s, const mige_matrix *K, gram *g);
/* Without C; `gathered` and `columns` as of kernel_bytes. */
double gram_bytes(int M, int D, double gathered, double columns, int stored);
/* K with its width, and B = (diag(K 1) X - K X) / w^2. Collective; errors agreed. */
int gram_make(mige_score *s, gram *g);
/* S [Q][D] = -k(P,X) C, then add (NULL: nothing) on pieces of n points: their k [n][M], place q [n][D] and scores.
 * Collective; errors agreed. */
typedef void (*gram_add_fn)(const mige_score *s, int n, const double *k, const double *q, double *S);
int gram_points(mige_score *s, const gram *g, gram_add_fn add, int Q, const double *P, double *S);

#endif
