/* mige toy: what its parts share. A cell is one estimate: a method, in d dimensions, at one correlation, one draw.
 */
#ifndef MIGE_STUDY_TOY_H
#define MIGE_STUDY_TOY_H

#include "study/critic.h"
#include "study/study.h"

/* What a cell gives; NaN: not done, or not of this method. */
enum { GRADIENT, MI, STEPS, EIGEN_MARGINAL, EIGEN_JOINT, VALUES };

typedef struct {
    const study *study;
    const study_options *o;
    int M, ndims, nmethods, nrho;
    int64_t *dims, *methods; /* methods: enum method */
    double *rho;
    int64_t ncells;
    double *values[VALUES]; /* one block, each [ndims][nmethods][repeats of the method][nrho] */
} toy;

typedef struct {
    int d, method; /* places in dims and methods */
    int64_t repeat;
    int rho;
} cell;

int64_t toy_repeats(const toy *t, int method);
/* The first cell of a method in a dimension: the others follow, [repeats][nrho]. */
int64_t toy_first(const toy *t, int d, int method);
cell toy_cell(const toy *t, int64_t number);

/* Writes all, what is not done yet as NaN. On one rank. */
int toy_save(const toy *t);
/* The cells of an output that is there already; that it was made with the same options, and on the same draws, is
 * checked. *found = 0 if there is none. On one rank. Errors: MIGE_EUSAGE (another option, named), MIGE_EINPUT. */
int toy_restore(toy *t, int *found);
/* Relative error, bias and deviation of each method, as lines of text. */
void toy_print(const toy *t);

#endif
