/* Preconditioning: mutual information does not change under an invertible map of x alone or of y alone, so scores
 * may be estimated where that is easy and the gradient carried back: with t = T(y), dI/dy = T'(y)' (s_(x,t)|_t -
 * s_t); the log-determinants cancel. */
#ifndef MIGE_PRECONDITION_H
#define MIGE_PRECONDITION_H

#include "mige/comm.h"

/* The maps:
 *
 *   - whiten: mean 0, covariance I
 *   - normal-scores: each dimension to the normal quantiles of its ranks; its slope is that of the ranks over about
 *     1.2 M^(1/3) neighbouring gaps. A dimension that no test tells from normal is standardised instead, since
 *     ranks would only add noise.
 *   - ica: whitened, rotated by FastICA, on to the maximum of a likelihood, then normal scores of the components.
 *     Where the components are no further from normal than the dimensions as they come, or than chance makes them,
 *     or there are fewer than 3 samples a dimension: normal scores of the dimensions, then whitened.
 */
enum mige_precondition {
    MIGE_PRECONDITION_NONE,
    MIGE_PRECONDITION_WHITEN,
    MIGE_PRECONDITION_NORMAL_SCORES,
    MIGE_PRECONDITION_ICA
};
#define MIGE_PRECONDITIONERS "none|whiten|normal-scores|ica"

typedef struct mige_map mige_map;

/* Takes all memory for a map, of any kind but none, of M samples in D dimensions. Collective on c, which must
 * outlive the map: every rank gets the same map, found once. Errors, agreed: MIGE_EFAIL (memory). */
int mige_map_create(const mige_comm *c, enum mige_precondition kind, int M, int D, mige_map **map);
void mige_map_destroy(mige_map **map);
double mige_map_bytes(enum mige_precondition kind, int M, int D);
/* T [M][D] = T(X), X [M][D] the same on every rank, and keeps what mige_map_pull needs. A constant dimension passes
 * as it is; where the covariance is singular (M <= D, say) the correlation is shrunk towards I by 5 %, so that the
 * map stays invertible. Collective. Errors, agreed: MIGE_EINPUT for a sample that is not finite (its row is named,
 * from 0), MIGE_ENUMERIC when no map is found. */
int mige_map_fit(mige_map *map, const double *X, double *T);
/* G [M][D], a gradient with respect to T(X), row by row, becomes that with respect to X: T'(x_m)' G_m, in place.
 * Not collective. */
void mige_map_pull(mige_map *map, double *G);

/* For scores themselves there is no other variable to cancel the determinant: s_x = T'(x)' s_t(T(x)) + grad log|det
 * T'(x)|. Of whiten, whose determinant is constant; MIGE_EUSAGE for normal-scores and ica, whose slopes are too
 * rough to be differentiated. Not collective; MIGE_EFAIL (memory).
 * T [Q][D] = T(P) of the last fit, P [Q][D]. */
int mige_map_points(const mige_map *map, int Q, const double *P, double *T);
/* S [Q][D], scores of t at any points or samples, become those of x, in place. */
int mige_map_scores(const mige_map *map, int Q, double *S);

#endif
