/* Gradients of mutual information from scores (MIGE, section 3), for ASCENT of I, and the random projection that
 * makes them feasible for images. */
#ifndef MIGE_MI_H
#define MIGE_MI_H

#include "mige/score.h"

/* R [k][d], Gaussian with columns of unit norm, a function of (seed, stream) alone; k >= d gives the identity (k
 * becomes d). Float, row-major: |R x| ~ |x|. */
typedef struct {
    int k, d;
    float *R; /* NULL for the identity */
} mige_projection;
int mige_projection_create(uint64_t seed, uint64_t stream, int k, int d, mige_projection *p);
void mige_projection_destroy(mige_projection *p);
/* y [n][k] = x R'; x [n][d]. Not collective. y is double: what the scores are computed from. */
int mige_projection_apply(const mige_projection *p, int n, const float *x, float *scratch, double *y);
/* dx [n][d] = dy R (the adjoint); scratch [n][k] for both. */
int mige_projection_adjoint(const mige_projection *p, int n, const double *dy, float *scratch, float *dx);

/* The circumstances, or-ed. */
enum {
    MIGE_CIRCUMSTANCE_I = 1, /* z = E(x): d I(x;z) / dz_m = (1/M) (s_(x,z)|_z - s_z) */
    MIGE_CIRCUMSTANCE_II =
        2 /* h = C(x), z = f(h): dz_m = (1/M) (s_(h,z)|_z - s_z), dh_m = (1/M) (s_(h,z)|_h - s_h) */
};

typedef struct mige_mi mige_mi;

/* M samples; x, h, z in dx, dh, dz dimensions (those not used 0). With both circumstances the gradient is that of
 * I(x;z) + I(h;z). Collective on c; errors as mige_score_create. */
int mige_mi_create(const mige_comm *c, int circumstances, int M, int dx, int dh, int dz,
                   const mige_score_options *o, mige_mi **m);
void mige_mi_destroy(mige_mi **m);
/* X [M][dx], H [M][dh], Z [M][dz], the same on every rank -> dZ [M][dz], dH [M][dh] (NULL unless II), on every
 * rank. Scores are constants: no gradient flows through them. Collective; errors as mige_score_samples. */
int mige_mi_gradient(mige_mi *m, const double *X, const double *H, const double *Z, double *dZ, double *dH);

/* The score problems behind the last gradient, for metrics: their number, and name ("z", "xz", "h", "hz"), J,
 * width, and the share of Stein's identity E[s(x)'(x - mu)] = -D that the estimate keeps (1 would be unbiased). */
typedef struct {
    const char *name;
    int dim, J;
    double width, stein;
} mige_mi_problem;
int mige_mi_num_problems(const mige_mi *m);
mige_mi_problem mige_mi_get_problem(const mige_mi *m, int i);
double mige_mi_bytes(int circumstances, int M, int dx, int dh, int dz, int ranks, const mige_score_options *o);

#endif
