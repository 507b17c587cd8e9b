/* Rows of a matrix spread over the ranks, as a batch is: gathered on every rank, and sums of all ranks' contributions
 * brought back to the owners. Takes all memory when it is made, none in a call. */
#ifndef MIGE_ROWS_H
#define MIGE_ROWS_H

#include "mige/comm.h"

typedef struct {
    const mige_comm *c;
    int64_t rows, first, count; /* of all; this rank's */
    int *counts, *offsets;      /* [ranks] rows */
    int *scaled;                /* [ranks] the same in numbers, of one call */
} mige_rows;

/* The mige_share of `items` items, each of `group` rows. Collective on c, which must outlive r; errors agreed. */
int mige_rows_create(const mige_comm *c, int64_t items, int group, mige_rows *r);
void mige_rows_destroy(mige_rows *r);
/* mine [count][width] -> all [rows][width], on every rank; they must not overlap. Collective. */
int mige_rows_gather(mige_rows *r, int width, const double *mine, double *all);
int mige_rows_gather_float(mige_rows *r, int width, const float *mine, float *all);
/* all [rows][width], of each rank, summed over the ranks -> mine [count][width], the rows of this one. Collective. */
int mige_rows_sum(mige_rows *r, int width, const float *all, float *mine);

#endif
