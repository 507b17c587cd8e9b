/* Leading eigenpairs of a symmetric positive semi-definite matrix that is spread over ranks, and the process grid
 * and block-cyclic matrix underneath (ScaLAPACK's layout; local parts are column-major).
 *
 * Local and global indices are told apart by name: il, ig. Orders are int, as in ScaLAPACK; their products int64_t.
 */
#ifndef MIGE_LINALG_H
#define MIGE_LINALG_H

#include "mige/comm.h"
#include "mige/error.h"
#include <stdint.h>

/* A rows x cols grid of the first rows*cols ranks of a communicator; the other ranks hold nothing and join no BLACS
 * call, but do join every collective of ours. */
typedef struct {
    mige_comm comm;      /* of the ranks inside; only there */
    int inside;          /* 1 if this rank is */
    int context, system; /* BLACS handles, inside only */
    int rows, cols;      /* the grid, known on every rank */
    int row, col;        /* this rank's place; -1 outside */
    int nb;              /* square blocks of nb x nb */
} mige_grid;

/* The grid for a matrix of order m on at most `ranks` ranks of c, no rank without at least two blocks in each
 * direction: 1 x q, whole columns on each rank, in blocks of nb; with nb 0 as square as can be. Collective on c. */
int mige_grid_create(const mige_comm *c, int m, int ranks, int nb, mige_grid *g);
void mige_grid_destroy(mige_grid *g);
/* The shape that this would choose; *nb 0 becomes that of the square. Not collective. */
void mige_grid_shape(int m, int ranks, int *nb, int *rows, int *cols);

typedef struct {
    const mige_grid *grid;
    int m, n;   /* global */
    int ml, nl; /* local rows and columns; 0 outside the grid */
    int lld;    /* leading dimension of a: max(1, ml) */
    int desc[9];
    double *a;   /* [nl][lld], or the panels one after the other; owned; NULL outside, or where nothing is stored */
    int64_t *at; /* where each panel begins; NULL: a is [nl][lld] */
} mige_matrix;

/* Zeros. Not collective; outside the grid it is empty. Errors: MIGE_EFAIL (memory). */
int mige_matrix_create(const mige_grid *g, int m, int n, mige_matrix *A);
void mige_matrix_destroy(mige_matrix *A);
/* Global index of a local row or column. */
int mige_row(const mige_matrix *A, int il);
int mige_col(const mige_matrix *A, int il);
/* How many of this rank's columns have a global index below ig: local columns of [j0, j1) are contiguous. */
int mige_cols_below(const mige_matrix *A, int ig);

/* A symmetric matrix is its lower triangle, and a rank's part of that a list of panels, one for each of its block
 * columns: from the diagonal down, the whole diagonal block included on the rank that has it. */
typedef struct {
    double *a; /* column-major, columns ld apart; NULL where nothing is stored */
    int ld, rows, cols;
    int il, jl;   /* local index of its first row and column */
    int diagonal; /* how many of its rows, the first, belong to the diagonal block */
} mige_panel;
int mige_num_panels(const mige_matrix *A);
mige_panel mige_get_panel(const mige_matrix *A, int p);
/* Numbers in all panels of this rank. */
int64_t mige_panel_entries(const mige_matrix *A);
/* Its rows [from, from + most), or as many as there are. */
mige_panel mige_panel_rows(const mige_panel *p, int from, int most);
/* y_rows [rows][n] += the panel times v_cols [cols][n], and y_cols [cols][n] += the transposed of what is below the
 * diagonal block times v_rows [rows][n]. */
void mige_panel_multiply(const mige_panel *p, int n, const double *v_cols, const double *v_rows, double *y_rows,
                         double *y_cols);
/* A symmetric matrix of order m that keeps its panels only, half the memory of all, or (stored 0) is computed piece
 * by piece by its user; no ScaLAPACK routine can have it. Not collective. Errors: MIGE_EFAIL (memory). */
int mige_symmetric_create(const mige_grid *g, int m, int stored, mige_matrix *A);

/* Y [M][n] += this rank's panels, and what mirrors them, times V [M][n], row-major; the sum over ranks is K V. For
 * a grid of one row. Not collective. */
void mige_symmetric_multiply(const mige_matrix *K, int n, const double *V, double *Y);

enum mige_solver {
    MIGE_SOLVER_AUTO,
    MIGE_SOLVER_LAPACK,    /* dsyevd on one rank */
    MIGE_SOLVER_SCALAPACK, /* pdsyevd on the grid */
    MIGE_SOLVER_SUBSPACE,  /* Chebyshev-filtered subspace iteration on pdgemm and pdgeqrf */
    MIGE_SOLVER_FILTER     /* tridiagonal form and a rational filter: no eigenvectors, only their products */
};
#define MIGE_SOLVERS "auto|lapack|scalapack|subspace|filter"

typedef struct {
    enum mige_solver solver;
    double threshold; /* J: the leading eigenvalues whose cumulative share of the trace is strictly below this (1:
                         all), ... */
    int eigen;        /* ... or exactly this many, where it is above 0 */
    double floor;     /* never past an eigenvalue below floor * lambda_1 */
    double tolerance; /* subspace: of residuals, relative to the eigenvalue */
    int check;        /* verify residuals and orthogonality of every solve */
} mige_eigen_options;
/* auto, 0.99, by threshold, 1e-10, 1e-8, no check. */
mige_eigen_options mige_eigen_defaults(void);

typedef struct mige_eigen mige_eigen;

/* Takes all memory for problems of order m. Collective on c, which must outlive e. Errors, agreed: MIGE_EFAIL with
 * what was wanted when memory or an index runs out; MIGE_EUSAGE for an option out of range. */
int mige_eigen_create(const mige_comm *c, int m, const mige_eigen_options *o, mige_eigen **e);
void mige_eigen_destroy(mige_eigen **e);
/* Bytes a rank takes (the largest share), from the sizes alone. Not collective. */
double mige_eigen_bytes(int m, int ranks, const mige_eigen_options *o);
/* The grid that the matrix will be on. Not collective. */
void mige_eigen_grid(int m, int ranks, const mige_eigen_options *o, int *rows, int *cols);

/* Where the caller puts its matrix, the panels of the lower triangle, before each solve; a solve may destroy it. */
mige_matrix *mige_eigen_matrix(mige_eigen *e);

typedef struct {
    int J;
    const double *lambda; /* [J], descending, on every rank */
    const mige_matrix *U; /* eigenvectors are its columns [first, first + J), in ASCENDING order of eigenvalue: */
    int first;            /* column first + J - 1 - j belongs to lambda[j] */
    enum mige_solver solver; /* the one that did it */
    int iterations;          /* subspace: filter passes */
    double flops;            /* nominal, all ranks together */
    double residual,
        orthogonality; /* with check: max_j |K u_j - lambda_j u_j| / lambda_1, max |U'U - I|; else -1 */
} mige_eigenpairs;

/* The leading pairs of the matrix last put in; `trace` is its exact trace (M for a Gram matrix of an RBF kernel),
 * so that a share is known without the full spectrum. Results belong to e, until the next solve. Subspace starts
 * from the vectors of the solve before. Collective on c. Errors, agreed: MIGE_ENUMERIC when the matrix is not
 * finite, the solver fails, or a check does. */
int mige_eigen_solve(mige_eigen *e, double trace, mige_eigenpairs *pairs);

/* F [M][D] = U_J diag(1/lambda_J^power) U_J' B for the pairs of the last solve, power 1 or 2; B [M][D], both
 * row-major and the same on every rank. Takes memory when D grows. Collective on c. Errors, agreed: MIGE_EFAIL
 * (memory). */
int mige_eigen_apply(mige_eigen *e, int power, int D, const double *B, double *F);

/* The matrix whose panels are in L, A.a itself or others placed as these are, + shift I becomes its factor, in
 * their place; A is of mige_symmetric_create on a grid of one row. Takes room for two panels for the time being.
 * Collective on c, which A's grid is part of. Errors, agreed: MIGE_ENUMERIC when it is not positive definite,
 * MIGE_EFAIL (memory). */
int mige_cholesky_factor(const mige_comm *c, const mige_matrix *A, double *L, double shift);
/* X [M][D], row-major, the same on every rank <- (L L')^-1 X, on every rank. Collective on c. */
int mige_cholesky_solve(const mige_comm *c, const mige_matrix *A, double *L, int D, double *X);
/* The same in single precision. */
int mige_cholesky_factor_single(const mige_comm *c, const mige_matrix *A, float *L, double shift);
int mige_cholesky_solve_single(const mige_comm *c, const mige_matrix *A, float *L, int D, float *X);

/* (A + shift I)^-1 to nearly double precision by a factor in single precision, whose solves are refined: residuals
 * with A in double, which stays as it is. What A = Q + e e' says of it, Q positive definite and e known, is taken
 * out first, by Sherman and Morrison's formula: the smaller Q's entries, the better is a factor of rounded ones. */
typedef struct mige_refined mige_refined;
/* A, of mige_symmetric_create, must outlive r; for right-hand sides of up to `columns` columns. Not collective.
 * Errors: MIGE_EFAIL (memory). */
int mige_refined_create(const mige_comm *c, const mige_matrix *A, int columns, mige_pool *pool, mige_refined **r);
double mige_refined_bytes(int M, int columns, double panel_entries);
/* e [M]. Collective. Errors, agreed: MIGE_ENUMERIC when Q is not positive definite in single precision. */
int mige_refined_factor(mige_refined *r, double shift, const double *e);
/* X [M][n] <- the solution, its error in each column below tolerance times the norm of the solution, or unless
 * `first` of that of the last first one, as residuals tell; *good = 0: they do not get there, and X is as it was.
 * Collective. */
int mige_refined_solve(mige_refined *r, int n, double tolerance, int first, double *X, int *good);

#endif
