/* Estimator stein by conjugate gradients. */
#ifndef MIGE_SCORE_CG_H
#define MIGE_SCORE_CG_H

#include "score/kernel.h"

/* (K + eta I)^-1 for several right-hand sides by conjugate gradients, K made again in each product, in single
 * precision, and never stored; residuals that decide are made in double, and where single precision gets no further
 * all is. In cg.c; its parts are below. */
typedef struct cg cg;

/* Memory for samples in D dimensions and as many right-hand sides, from the pool; K gives the panels' places.
 * Collective on c. Errors, agreed: MIGE_EFAIL (memory). */
int cg_create(const mige_comm *c, const mige_matrix *K, int D, mige_pool *pool, cg **s);
void cg_destroy(cg *s);
double cg_bytes(int M, int D, int ranks);
/* The preconditioner for samples X [M][D], kernel exp(-scale |x - y|^2). Collective. Errors, agreed: MIGE_ENUMERIC.
 */
int cg_prepare(cg *s, const double *X, double scale, double eta);
/* B [M][D], the same on every rank <- (K + eta I)^-1 B. Unless `first`, B must be eta times what the last call
 * gave. Stops when the error, as the preconditioned residual tells it, is below tolerance times the solution,
 * column by column, of the last first one. An error that stays above that, but small, is warned of. Collective.
 * Errors, agreed: MIGE_ENUMERIC when it does not converge. */
int cg_solve(cg *s, kernel *k, double tolerance, int first, double *B);

/* ---- directions.c: the algebra of block conjugate gradients (O'Leary 1980): D right-hand sides share their
 * directions, so that each is solved in the space of all. Blocks are this rank's rows [rows][D]; matrices [D][D],
 * the same on every rank, are column-major. A block of directions S is as many columns as are independent, made
 * orthonormal first (Dubrulle 2001), then conjugate, S'A S = I; the others are 0. */
typedef struct {
    const mige_comm *c;
    int rows, D, rank; /* independent directions */
    int broken;        /* by rounding S'Q was not positive definite: no step was done */
    double *W, *C;     /* [D][D]: of the basis, then of S'Q; coefficients */
    double *lengths;   /* [D] */
    double *work;      /* [2][D] */
    int *order;        /* [D], from 1 */
} directions;

/* Memory, from the pool. Not collective. Errors: MIGE_EFAIL (memory). */
int directions_create(const mige_comm *c, int rows, int D, mige_pool *pool, directions *b);
double directions_bytes(int D);
/* S = an orthonormal basis of what T's columns span: its first `rank` columns. Collective. */
int directions_basis(directions *b, const double *T, double *S);
/* S and Q = A S are made conjugate; X += S S'R, R -= Q S'R. Collective. */
int directions_step(directions *b, double *S, double *Q, double *X, double *R);
/* T is made conjugate to the last S. Collective. */
int directions_conjugate(directions *b, const double *S, const double *Q, double *T);

/* ---- nystroem.c: Nystroem's approximation of a Gram matrix from r landmarks L among the samples, as a
 * preconditioner:
 *
 *   P = F F' + eta I,   F = (E, r(X,L) T^-T),   r(x,y) = k(x,y) - E(x)'E(y),   T T' = r(L,L) + ridge I
 *   P^-1 = (I - F (F'F + eta I)^-1 F') / eta
 *
 * (Woodbury's formula; Rudi, Carratino, Rosasco 2017), r(x,y) being what k(x,y) is without the first terms of its
 * series about the origin, which landmarks beside many small eigenvalues find badly. The ridge, LANDMARK_SHARE eta
 * r/M, keeps T well conditioned and changes no eigenvalue of F F' by more than that share of eta. */
typedef struct {
    const mige_comm *c;
    int M, D, most, terms; /* room for landmarks; columns of E */
    int r;                 /* columns of F: terms, and what landmarks are in use */
    int64_t first, count;  /* this rank's samples */
    int single;            /* F and F'F found in single precision */
    double scale, eta;
    double *w, *y;           /* [count]: exp(-scale |x|^2), much of the leading eigenvector, w'P w = 1; P w */
    double *leading, *power; /* [D] */
    double *landmarks;       /* [most][D] */
    double *norms;           /* [most + count] */
    double *T;               /* [most][most], column-major: lower factor */
    double *G;               /* in its place later [r][r]: inverse of F'F + eta I */
    double *E;               /* of the landmarks [most][terms], then of [SLICE] samples */
    float *H;                /* [r][r]: T rounded; then F'F of some rows */
    float *F;                /* [count][r] */
    double *rows;            /* [SLICE][r] of F in double */
    float *from, *to;        /* [count][D], [r][D] */
    double *t, *u;           /* [r][D] */
} nystroem;

/* Memory for M samples, as many right-hand sides as dimensions. Not collective. Errors: MIGE_EFAIL (memory). */
int nystroem_create(const mige_comm *c, int M, int D, mige_pool *pool, nystroem *n);
double nystroem_bytes(int M, int D, int ranks);
double nystroem_flops(int M, int D); /* of nystroem_make, over all ranks, with all landmarks */
/* For samples X [M][D], kernel exp(-scale |x - y|^2). Collective. Errors, agreed: MIGE_ENUMERIC. */
int nystroem_make(nystroem *n, const double *X, double scale, double eta);
/* Z = P^-1 R, this rank's rows [count][D]; with products in double or in single precision. Collective. */
int nystroem_solve(nystroem *n, int precise, const double *R, double *Z);

#endif
