/* Eigenvalues of a symmetric tridiagonal matrix by their indices, many shifts at a time. */
#ifndef MIGE_STURM_H
#define MIGE_STURM_H

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

#endif
