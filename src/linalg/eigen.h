/* What the eigensolvers of this room share. */
#ifndef MIGE_EIGEN_H
#define MIGE_EIGEN_H

#include "mige/error.h"
#include "mige/linalg.h"

struct mige_eigen {
    const mige_comm *c;
    mige_eigen_options o;
    int m;
    mige_grid grid;
    mige_matrix K, Z; /* the matrix; its vectors where a solver does not put them over K */
    mige_matrix copy; /* of K, for the check */
    double *values;   /* [m], ascending, from a direct solver */
    double *lambda;   /* [m], the result, descending */
    double *work;     /* of the direct solver */
    int *iwork;
    int lwork, liwork;
    int expected; /* J of the solve before, 0 before the first */
    mige_eigenpairs last;
    struct subspace *subspace; /* made when first used */
    struct filter *filter;     /* the same */
    double *W, *part, *rows;   /* mige_eigen_apply: [m][D] and two local products, for `width` columns */
    int width;
    mige_pool pool, products; /* the memory; that of mige_eigen_apply */
};

/* All eigenpairs, ascending, by dsyevd (grid of one) or pdsyevd. Inside the grid only; error codes are this rank's
 * own. */
int direct_workspace(mige_eigen *e);
int direct_solve(mige_eigen *e, const mige_matrix **U);
double direct_bytes(int m, int ranks);

/* Leading pairs, ascending in the columns of U. *enough = 0: it would need too large a part of the spectrum, or did
 * not converge; K is as it was. Inside the grid only. */
int subspace_solve(mige_eigen *e, double trace, mige_eigenpairs *pairs, int *enough);
void subspace_destroy(mige_eigen *e);
double subspace_bytes(int m, int ranks, int J); /* with the matrix, for J pairs */
double block_bytes(int m, int ranks, int J);    /* without the matrix */

/* Tridiagonal form, eigenvalues and the poles of the cut; no vectors. Inside the grid only, which is a row. */
int filter_solve(mige_eigen *e, double trace, mige_eigenpairs *pairs);
/* X [n][m] <- U_J diag(1/lambda_J^power) U_J' X for this rank's own columns. Inside the grid only. */
int filter_apply(mige_eigen *e, int power, int n, double *X);
/* Its memory, and room for filter_apply with up to `columns`; not collective. */
int filter_create(mige_eigen *e);
int filter_room(mige_eigen *e, int columns);
void filter_destroy(mige_eigen *e);
double filter_bytes(int m, int ranks);
/* Blocks of its columns. */
enum { FILTER_NB = 16, SUBSPACE_NB = 128 };

/* A largest eigenvalue that a Gram matrix can have: MIGE_ENUMERIC if not. */
int check_largest(const mige_eigen *e, double lambda);

/* J by the rule of mige_eigen_options for `n` known leading eigenvalues, descending. *more = 1 if J might grow with
 * more. */
int choose_J(const mige_eigen_options *o, int n, const double *lambda, double trace, int *more);

#endif
