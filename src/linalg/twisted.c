/* T - lambda = (forward elimination) = (backward elimination); where the two pivots of a row leave the least,
 * gamma_r = 1 / ((T - lambda)^-1)_rr, the solution of (T - lambda) z = gamma_r e_r is the eigenvector, and follows
 * from z_r = 1 by products alone (Fernando 1997, Dhillon, Parlett 2004). */
#include "base/simd.h"
#include "linalg/tridiagonal.h"
#include <float.h>
#include <math.h>
#include <stdint.h>

enum { W = TWISTED_WIDTH };
typedef double vec __attribute__((vector_size(W * sizeof(double))));
typedef int64_t ints __attribute__((vector_size(W * sizeof(int64_t))));

size_t twisted_scratch(int m) {
    return (size_t)m * 2 * W;
}

#define MIGE_CHOOSE(mask, yes, no) ((vec)(((ints)(yes) & (mask)) | ((ints)(no) & ~(mask))))
#define MIGE_ABS(x) ((vec)((ints)(x)&INT64_MAX))

/* l_k = e_k / (forward pivot k), u_k = e_k / (backward pivot k + 1); a zero pivot is `tiny`. */
MIGE_CLONES static void pivots(int m, const double *d, const double *e, const vec *lambda, double tiny,
                               vec *restrict l, vec *restrict u) {
    vec x = *lambda, p = d[0] - x, q = d[m - 1] - x, floor = (vec){0} + tiny;
    for (int k = 0, i = m - 2; k < m - 1; k++, i--) {
        p = MIGE_CHOOSE(MIGE_ABS(p) < floor, floor, p);
        q = MIGE_CHOOSE(MIGE_ABS(q) < floor, floor, q);
        l[k] = e[k] / p;
        u[i] = e[i] / q;
        p = (d[k + 1] - x) - e[k] * l[k];
        q = (d[i] - x) - e[i] * u[i];
    }
}

/* The row with the least gamma, of each. */
MIGE_CLONES static void twist(int m, const double *d, const double *e, const vec *lambda, const vec *l,
                              const vec *u, vec *at_row) {
    vec x = *lambda, least = {0}, row = {0};
    least += INFINITY;
    for (int k = 0; k < m; k++) {
        vec gamma = d[k] - x, at = (vec){0} + (double)k;
        if (k) gamma -= e[k - 1] * l[k - 1];
        if (k + 1 < m) gamma -= e[k] * u[k];
        gamma = MIGE_ABS(gamma);
        ints less = gamma < least;
        least = MIGE_CHOOSE(less, gamma, least);
        row = MIGE_CHOOSE(less, at, row);
    }
    *at_row = row;
}

MIGE_CLONES static void grow(int m, const vec *at_row, const vec *l, const vec *u, double *Z, size_t ld) {
    vec row = *at_row, one = {0}, z = {0}, sum = {0};
    one += 1;
    for (int k = m - 1; k >= 0; k--) {
        vec at = (vec){0} + (double)k;
        if (k + 1 < m) z *= -l[k];
        z = MIGE_CHOOSE(row == at, one, z);
        sum += z * z;
        *(vec *)(Z + (size_t)k * ld) = z;
    }
    z = (vec){0};
    for (int k = 0; k < m; k++) {
        vec at = (vec){0} + (double)k;
        ints twisted = row == at;
        if (k) z *= -u[k - 1];
        z = (vec)((ints)z & ~twisted);
        sum += z * z;
        *(vec *)(Z + (size_t)k * ld) += z;
        z = MIGE_CHOOSE(twisted, one, z);
    }
    for (int w = 0; w < W; w++) sum[w] = 1 / sqrt(sum[w]);
    for (int k = 0; k < m; k++) *(vec *)(Z + (size_t)k * ld) *= sum;
}

void twisted_vectors(int m, const double *d, const double *e, int k, const double *lambda, double *Z, size_t ld,
                     double *scratch) {
    double size = 0;
    for (int i = 0; i < m; i++) size = fmax(size, fabs(d[i]) + (i + 1 < m ? fabs(e[i]) : 0));
    vec *l = (vec *)scratch, *u = l + m;
    for (int j = 0; j < k; j += W) {
        vec x = {0}, row;
        for (int w = 0; w < W; w++) x[w] = lambda[j + w];
        pivots(m, d, e, &x, size * DBL_EPSILON * DBL_EPSILON, l, u);
        twist(m, d, e, &x, l, u, &row);
        grow(m, &row, l, u, Z + j, ld);
    }
}
