/* Iterated Tikhonov: by one factorisation, or by conjugate gradients on products with K. */
#include "base/simd.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "score/score.h"
#include <string.h>

static int prepare(mige_score *s) {
    double M = s->M;
    if (s->cg) return cg_prepare(s->cg, s->X, s->scale, s->o.eta);
    MIGE_TRY(mige_cholesky_factor(s->c, &s->gram, s->o.eta));
    mige_clock_count_flops(MIGE_PHASE_EIGEN, M * M * M / 3 / s->c->size);
    return MIGE_OK;
}

/* S += Z, C += weight Z, Z *= eta */
MIGE_CLONES static void add_up(size_t n, double weight, double eta, double *restrict Z, double *restrict S,
                               double *restrict C) {
    for (size_t i = 0; i < n; i++) {
        S[i] += Z[i];
        C[i] += weight * Z[i];
        Z[i] *= eta;
    }
}

/* Z_0 = (K + eta)^-1 B, Z_i = eta (K + eta)^-1 Z_(i-1), since B - K Y_i = eta Z_(i-1); S = sum of Z_i. */
int stein_solve(mige_score *s, double *S) {
    int k = s->o.iterations;
    size_t n = (size_t)s->M * (size_t)s->D;
    double M = s->M, eta = s->o.eta;
    mige_clock_start(MIGE_PHASE_EIGEN);
    MIGE_TRY(prepare(s));
    mige_clock_stop(MIGE_PHASE_EIGEN, 0);
    mige_clock_start(MIGE_PHASE_APPLY);
    double *Z = s->B; /* b(q) at other points comes from k(q,X) itself */
    memset(S, 0, n * sizeof *S);
    memset(s->C, 0, n * sizeof *S);
    for (int i = 0; i < k; i++) {
        if (s->cg)
            MIGE_TRY(cg_solve(s->cg, &s->kernel, s->o.eigen.tolerance / k, i == 0, Z));
        else
            MIGE_TRY(mige_cholesky_solve(s->c, &s->gram, s->D, Z));
        add_up(n, k - i, eta, Z, S, s->C);
    }
    mige_clock_stop(MIGE_PHASE_APPLY, s->cg ? 0 : 2 * M * M * s->D * k / s->c->size);
    s->info.pairs = (mige_eigenpairs){.residual = -1,
                                      .orthogonality = -1,
                                      .solver = s->cg ? MIGE_SOLVER_CG : MIGE_SOLVER_CHOLESKY,
                                      .iterations = s->cg ? cg_iterations(s->cg) : 0};
    return MIGE_OK;
}
