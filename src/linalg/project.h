/* The spectral cut by eigenvectors of a tridiagonal matrix: of the side of the cut that has fewer. */
#ifndef MIGE_PROJECT_H
#define MIGE_PROJECT_H

#include <stddef.h>

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

#endif
