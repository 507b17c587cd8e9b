/* Nystroem's approximation of a Gram matrix from r landmarks L among the samples, as a preconditioner:
 *
 *   P = F F' + eta I,   F = (E, r(X,L) T^-T),   r(x,y) = k(x,y) - E(x)'E(y),   T T' = r(L,L) + ridge I
 *   P^-1 = (I - F (F'F + eta I)^-1 F') / eta
 *
 * (Woodbury's formula; Rudi, Carratino, Rosasco 2017), r(x,y) being what k(x,y) is without the first terms of its
 * series about the origin, which landmarks beside many small eigenvalues find badly. The ridge, LANDMARK_SHARE eta
 * r/M, keeps T well conditioned and changes no eigenvalue of F F' by more than that share of eta. */
#ifndef MIGE_NYSTROEM_H
#define MIGE_NYSTROEM_H

#include "mige/comm.h"
#include "mige/error.h"

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
