/* What the parts of a score problem share. */
#ifndef MIGE_SCORE_SCORE_H
#define MIGE_SCORE_SCORE_H

#include "mige/score.h"
#include "score/cg.h"
#include "score/kernel.h"

struct mige_score {
    const mige_comm *c;
    mige_score_options o;
    int M, D;
    void *plugin;      /* an estimator of another room: does it all */
    mige_eigen *eigen; /* ssge: has the Gram matrix */
    mige_grid grid;    /* stein: has it itself, or only its shape */
    mige_matrix gram;
    cg *cg;
    kernel kernel;
    double scale; /* 1 / (2 w^2) */
    mige_score_info info;
    double *X;     /* [M][D] the samples, centred */
    double *shift; /* [D] the point subtracted */
    double *V, *B; /* [M][D + 1]: X and a column of ones; K V, then B in the first D of each row's own [D] */
    double *C;     /* [M][D]: what k(q,X) is multiplied by for other points: ssge -U_J diag(1/lambda^2) U_J' B, made
                    * when first asked for; stein sum_i (k - i) Z_i */
    int has_C;
    double *A, *work; /* calibration: [D][D], its scratch [max(M, D + 2)][D] */
    int *pivots;
};

/* S = Y_k of iterated Tikhonov, C for other points. Collective. */
int stein_solve(mige_score *s, double *S);

/* A sample or point that is not finite: MIGE_EINPUT naming its row. */
int score_check_rows(int n, int D, const double *X, const char *what);
int score_check_scores(const mige_score *s, size_t n, const double *S);

#endif
