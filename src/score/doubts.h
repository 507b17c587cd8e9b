/* What looks for doubts in scores share: the samples' own coordinates, in which they are white. Local. */
#ifndef MIGE_DOUBTS_H
#define MIGE_DOUBTS_H

#include "mige/error.h"
#include "mige/score.h"

/* z = L^-1 (x - mean) / deviation, L L' the correlation. A constant column is 0. */
typedef struct {
    int M, D;
    double *mean, *deviation; /* [D]; deviation 0: constant */
    double *L;                /* [D][D], lower */
} white;

/* Whether samples are many enough, and columns few enough, for covariances to be looked at as a whole. */
int white_possible(int M, int D);
/* Mean and deviation, rounding taken for none, of the columns of X [M][D]; M, D and room for both are set. */
void white_columns(white *w, const double *X);
/* Z [M][D] = the white samples, and L; work of M D^2 operations. *found: 0 where that is not possible or the
 * columns depend on one another by more than rounding leaves; then Z is in units of the deviations. Memory from the
 * pool. Errors: MIGE_EFAIL (memory). */
int white_create(mige_pool *pool, int M, int D, const double *X, double *Z, white *w, int *found);
/* z [n][D] of points P [n][D]. */
void white_points(const white *w, int n, const double *P, double *z);

/* Whether scores S [M][D] are smoother than the samples X [M][D] nearby, Z the same white: *unexplained, the share
 * of Stein's identity with narrow test functions that scores leave open (0 where they are right or it cannot be
 * told; 1, and more, where they are 0 at that scale). Errors: MIGE_EFAIL (memory). */
int nearby_unexplained(const white *w, const double *X, const double *S, const double *Z, double *unexplained);

/* Warns where scores are surely far off. */
void heldout_tell(const mige_score_error *e, int D);
#endif
