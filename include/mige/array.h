/* Arrays as people have them: a data set of an HDF5 file (of whatever program, MATLAB's v7.3 among them), a .npy of
 * NumPy or a .csv. Not collective: any rank may read. What is done to the values on the way (unpacked, transposed,
 * a line of names passed over) is said. Errors: MIGE_EINPUT that names the file and the cause. */
#ifndef MIGE_ARRAY_H
#define MIGE_ARRAY_H

#include "mige/io.h"

typedef struct mige_array mige_array;

/* name: of the data set; files of one array have none and pass it over. Of a table of text it may be names of
 * columns in its first line, "a,b", if it does not begin with '/': these columns, in this order, and what the
 * others hold does not matter. A table of one column without points and exponents is MIGE_I64. transpose: the first
 * two dimensions are exchanged, as those of MATLAB's matrices always are. *a = NULL after an error. */
int mige_array_open(const char *path, const char *name, int transpose, mige_array **a);
void mige_array_close(mige_array **a); /* no effect on NULL */

/* 1 to 4 dimensions; the type holds the numbers best (truth values, if mige_array_truth: MIGE_F32 0 and 1). */
mige_layout mige_array_layout(const mige_array *a);
int mige_array_truth(const mige_array *a);
/* "F.h5: /x", for messages. */
const char *mige_array_what(const mige_array *a);
/* The file that holds the values: another one where a link leads out of it. */
const char *mige_array_file(const mige_array *a);

/* Rows [first, first + nrows) as doubles; MIGE_EINPUT for a missing value or an integer beyond 2^53, named by its
 * row. All rows at once where it is transposed. */
int mige_array_read(const mige_array *a, int64_t first, int64_t nrows, double *rows);

/* The same for samples, a matrix [*M][*D] or a vector (*D = 1): MIGE_EINPUT for what is neither. */
int mige_array_samples(const mige_array *a, int *M, int *D);

#endif
