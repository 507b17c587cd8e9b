/* The algebra of block conjugate gradients (O'Leary 1980): D right-hand sides share their directions, so that each
 * is solved in the space of all. Blocks are this rank's rows [rows][D]; matrices [D][D], the same on every rank,
 * are column-major. A block of directions S is as many columns as are independent, made orthonormal first (Dubrulle
 * 2001), then conjugate, S'A S = I; the others are 0. */
#ifndef MIGE_DIRECTIONS_H
#define MIGE_DIRECTIONS_H

#include "mige/comm.h"
#include "mige/error.h"

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

#endif
