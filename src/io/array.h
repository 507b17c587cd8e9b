/* Private to io: the kinds of files that hold one array. */
#ifndef MIGE_IO_ARRAY_H
#define MIGE_IO_ARRAY_H

#include "mige/array.h"

/* In memory, as doubles of the layout's order. */
struct mige_array {
    char *what, *file;
    mige_layout layout; /* transposed already */
    int truth, transposed;
    mige_file *h5; /* one of these */
    char *name;    /* of the data set, or columns, "a,b"; "": all there is */
    int fd;
    int64_t start;  /* .npy: where its items begin */
    int fortran;    /* .npy: the first dimension runs fastest */
    char descr[8];  /* .npy: type of an item, as "<f8" */
    double *values; /* .csv */
};

/* From an open file of `bytes` bytes. */
int mige_npy_open(mige_array *a, int64_t bytes);
int mige_npy_read(const mige_array *a, int64_t first, int64_t nrows, double *rows);
int mige_csv_open(mige_array *a, int64_t bytes);

#endif
