/* Householder reduction of a distributed symmetric matrix to tridiagonal form, K = Q T Q', and products with Q. */
#ifndef MIGE_TRIDIAGONAL_H
#define MIGE_TRIDIAGONAL_H

#include "linalg/fused.h"
#include "mige/linalg.h"

typedef struct {
    const mige_grid *grid; /* 1 x P: a rank holds whole columns, in blocks of nb */
    int m;
    double *d, *e;   /* [m], [m]: diagonal and subdiagonal of T, on every rank of the grid */
    double *T;       /* [panels][nb][nb] triangular factors of the panels' reflectors */
    double *VW, *WV; /* [2 nb][m] a panel's v0 w0 v1 w1 ... and w0 v0 w1 v1 ..., column-major */
    double *line;    /* [m + 3] a reflector on its way */
    double *y;       /* [m] */
    int backward;    /* the direction of the last pass over the matrix: they alternate, so that what one has left in
                        the cache is met by the next before it goes */
    double *C;       /* [most nb][room] products with a panel */
    int room;        /* columns that C has room for */
    int from;        /* what is left from this column on every rank reduces by itself */
    fused rest;
    double *restT; /* its panels' triangular factors */
    double *lower; /* [n (n + 1) / 2] the rest, gathered: rank after rank, column after column; NULL on one rank */
    int *counts, *offsets;
} tridiagonal;

/* Inside the grid only; error codes are this rank's own. */
/* `alone`: the order from which on the ranks reduce by themselves; 0: where that is as fast. */
int tridiagonal_create(const mige_grid *grid, int m, int alone, tridiagonal *t);
/* Memory for tridiagonal_multiply with up to n columns. Not collective. */
int tridiagonal_room(tridiagonal *t, int n);
void tridiagonal_destroy(tridiagonal *t);
double tridiagonal_bytes(int m, int nb, int ranks);

/* Reduces K (its lower triangle); K is left holding the reflectors. Collective on the grid. */
int tridiagonal_reduce(tridiagonal *t, mige_matrix *K);
/* X <- Q' X (transposed 1) or Q X (0) for this rank's own columns X [n][m], column-major; n may differ between
 * ranks. K from tridiagonal_reduce. Collective on the grid. */
int tridiagonal_multiply(tridiagonal *t, const mige_matrix *K, int transposed, int n, double *X);

#endif
