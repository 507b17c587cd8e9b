/* (K + eta I)^-1 for several right-hand sides by conjugate gradients, K made again in each product and never
 * stored. The preconditioner is Nystroem's: K ~ k(X,L) k(L,L)^-1 k(L,X) of r landmarks L among the samples, plus
 * eta I, inverted by Woodbury's formula (Rudi, Carratino, Rosasco 2017). */
#ifndef MIGE_SCORE_CG_H
#define MIGE_SCORE_CG_H

#include "score/kernel.h"
#include "score/single.h"

typedef struct cg cg;

/* Memory for samples in D dimensions and as many right-hand sides; K gives the panels' places. Not collective.
 * Errors: MIGE_EFAIL (memory). */
int cg_create(const mige_comm *c, const mige_matrix *K, int D, mige_pool *pool, cg **s);
double cg_bytes(int M, int D, int ranks);
double cg_flops(int M, int D); /* of cg_prepare, over all ranks */
/* The preconditioner for samples X [M][D], kernel exp(-scale |x - y|^2). Collective. Errors, agreed: MIGE_ENUMERIC.
 */
int cg_prepare(cg *s, const double *X, double scale, double eta);
/* B [M][D], the same on every rank <- (K + eta I)^-1 B. Stops when the preconditioned residual, which is about the
 * error, is below tolerance times the solution, column by column, of this solve or, unless `first`, of the last
 * first one. Collective. Errors, agreed: MIGE_ENUMERIC when it does not converge. */
int cg_solve(cg *s, kernel *k, double tolerance, int first, double *B);

#endif
