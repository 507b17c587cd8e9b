#include "mige/comm.h"
#include "mige/error.h"
#include <limits.h>
#include <stdlib.h>

int mige_rows_create(const mige_comm *c, int64_t items, int group, mige_rows *r) {
    *r = (mige_rows){.c = c, .rows = items * group};
    int err = mige_alloc(3 * (size_t)c->size, sizeof *r->counts, &r->counts);
    if (!err && r->rows > INT_MAX)
        err = mige_raise(MIGE_EUSAGE, "batch: %lld rows are more than MPI can count", (long long)r->rows);
    err = mige_agree(c, err);
    if (err) {
        mige_rows_destroy(r);
        return err;
    }
    r->offsets = r->counts + c->size;
    r->scaled = r->offsets + c->size;
    for (int p = 0; p < c->size; p++) {
        int64_t first, count;
        mige_share(items, c->size, p, &first, &count);
        r->counts[p] = (int)count * group;
        r->offsets[p] = (int)first * group;
    }
    r->first = r->offsets[c->rank];
    r->count = r->counts[c->rank];
    return MIGE_OK;
}

void mige_rows_destroy(mige_rows *r) {
    free(r->counts);
    *r = (mige_rows){0};
}

/* Rows of `width` numbers as one MPI type: counts stay those of rows. */
static int gather(mige_rows *r, int width, MPI_Datatype number, const void *mine, void *all) {
    MPI_Datatype row;
    MPI_Type_contiguous(width, number, &row);
    MPI_Type_commit(&row);
    MPI_Allgatherv(mine, (int)r->count, row, all, r->counts, r->offsets, row, r->c->mpi);
    MPI_Type_free(&row);
    return MIGE_OK;
}

int mige_rows_gather(mige_rows *r, int width, const double *mine, double *all) {
    return gather(r, width, MPI_DOUBLE, mine, all);
}

int mige_rows_gather_float(mige_rows *r, int width, const float *mine, float *all) {
    return gather(r, width, MPI_FLOAT, mine, all);
}

int mige_rows_sum(mige_rows *r, int width, const float *all, float *mine) {
    MIGE_CHECK(r->rows * width <= INT_MAX, MIGE_EUSAGE,
               "batch: %lld rows of %d numbers are more than MPI can count", (long long)r->rows, width);
    for (int p = 0; p < r->c->size; p++) r->scaled[p] = r->counts[p] * width; /* a sum knows no rows */
    MPI_Reduce_scatter(all, mine, r->scaled, MPI_FLOAT, MPI_SUM, r->c->mpi);
    return MIGE_OK;
}

int mige_gather_rows(const mige_comm *c, int64_t rows, int64_t width, const double *mine, double *all) {
    mige_rows r;
    MIGE_TRY(mige_rows_create(c, rows, 1, &r));
    int err = mige_rows_gather(&r, (int)width, mine, all);
    mige_rows_destroy(&r);
    return err;
}
