/* The tridiagonal path, in the order in which a problem goes through it: fused, tridiagonal; sturm; twisted,
 * project or poles. filter.c puts them together. */
#ifndef MIGE_TRIDIAGONAL_H
#define MIGE_TRIDIAGONAL_H

#include "mige/linalg.h"
#include <stddef.h>

/* ---- fused: Householder reduction on one rank of a matrix that its caches hold, in one pass over memory a column.
 */

typedef struct {
    int n;         /* order */
    size_t ld;     /* of both, a multiple of 8 */
    double *A;     /* column-major, lower triangle: the matrix, where the caller puts it; destroyed */
    double *V;     /* column-major: the reflectors, v_k in column k, with their ones and zeros */
    double *tau;   /* [n] */
    double *w, *y; /* [ld] */
} fused;

int fused_create(int n, fused *f);
void fused_destroy(fused *f);
/* A = Q T Q': T's diagonal d [n] and subdiagonal e [n - 1]. */
void fused_reduce(fused *f, double *d, double *e);

/* ---- tridiagonal: Householder reduction of a distributed symmetric matrix to tridiagonal form, K = Q T Q', and
 * products with Q. */

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

/* ---- sturm: Eigenvalues of a symmetric tridiagonal matrix by their indices, many shifts at a time. */

typedef struct {
    int m;
    double *d, *e2; /* of T / scale, the subdiagonal squared */
    double scale;
    double least, most; /* all eigenvalues of T / scale are between these */
    void *memory;
} sturm;

int sturm_create(int m, sturm *s);
void sturm_destroy(sturm *s);
double sturm_bytes(int m);
/* values [count] = eigenvalues first, first + 1, ... of T (d [m], e [m - 1]), ascending, each to a few roundings of
 * the largest one's size. NaN in T gives NaN. */
void sturm_values(sturm *s, const double *d, const double *e, int first, int count, double *values);

/* ---- twisted: Eigenvectors of a symmetric tridiagonal matrix from their eigenvalues. */

enum { TWISTED_WIDTH = 8 };
/* Scratch for order m, in doubles. */
size_t twisted_scratch(int m);
/* Z [m][ld], row-major: vectors of lambda [k], of length 1, in the first k columns; k and ld are multiples of
 * TWISTED_WIDTH (repeat the last eigenvalue), Z and scratch aligned to 64 bytes. Each is as good as its eigenvalue:
 * its part of another vector is about a rounding of the largest eigenvalue over the distance of the two. */
void twisted_vectors(int m, const double *d, const double *e, int k, const double *lambda, double *Z, size_t ld,
                     double *scratch);

/* ---- project: The spectral cut by eigenvectors of a tridiagonal matrix: of the side of the cut that has fewer. */

typedef struct {
    int m, k, above; /* vectors of the k largest (above 1) or the k smallest eigenvalues */
    int twice;       /* below: also before the division by T */
    size_t ld;
    double *Z;       /* [m][ld], row-major */
    double *inverse; /* [ld] 1/lambda, above only */
    double *C;       /* [columns][ld] */
    double *scratch;
    int most, columns;
} projector;

/* For up to `most` vectors. */
int projector_create(int m, int most, projector *p);
int projector_room(projector *p, int columns);
void projector_destroy(projector *p);
double projector_bytes(int m, int most);
/* For T (d [m], e [m - 1]) with eigenvalues `values`, ascending, of which J are above the cut. 0: too many vectors,
 * or too close eigenvalues; then there is no projector. */
int projector_make(projector *p, const double *d, const double *e, const double *values, int J);
/* X [n][m], column-major <- f(T) X, f(lambda) = 1/lambda^power above the cut and 0 below. */
void projector_apply(projector *p, const double *d, const double *e, int power, int n, double *X);

/* ---- poles: The spectral cut as a rational function, and its product with a tridiagonal matrix. */

/* f(lambda) = direct + sum_j Re(weight_j / (lambda - pole_j)) is 1/lambda above the cut and 0 below, to about 1e-14
 * of 1/cut on the spectrum it was made for. pole_j = cut + i shift_j. */
enum { MOST_POLES = 96 };
typedef struct {
    int n;
    double cut, direct;
    double shift[MOST_POLES];
    double weight_re[MOST_POLES], weight_im[MOST_POLES];
} poles;

/* For a spectrum in [least, most], with nothing within (cut - gap, cut + gap). 0 < gap, cut > 0. */
void poles_make(double cut, double gap, double least, double most, poles *p);
/* f at a point: for tests and for the choice of n. */
double poles_value(const poles *p, double lambda);

/* Scratch of poles_apply for n columns of order m, in doubles. */
unsigned long poles_scratch(int m, int n);
/* Y = f(T) X for the symmetric tridiagonal T (d [m], e [m - 1]); X, Y [n][m], column-major; they may be the same.
 * scratch is aligned to 64 bytes. */
void poles_apply(const poles *p, int m, const double *d, const double *e, int n, const double *X, double *Y,
                 double *scratch);

#endif
