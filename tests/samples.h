/* Samples with what makes scores hard, and their scores by any solver. */
#ifndef MIGE_TESTS_SAMPLES_H
#define MIGE_TESTS_SAMPLES_H

#include "mige/score.h"
#include "ranks.h"
#include "ref.h"

/* The samples of make_score.py, to the last bit. */
static inline double *samples(const char *kind, int M, int D, uint32_t salt) {
    double *x = malloc((size_t)(M * D) * sizeof *x);
    for (int i = 0; i < M * D; i++) x[i] = ref_gauss((size_t)i, salt);
    for (int m = 0; m < M; m++)
        for (int d = 0; d < D; d++) {
            double *v = &x[m * D + d];
            if (!strcmp(kind, "crooked") && d > 0) *v = *v * 0.5 + v[-1] * v[-1] * 0.25 * (d % 2 + 1);
            if (!strcmp(kind, "outlier") && m == M / 2) *v = 1e8;
            if (!strcmp(kind, "flat") && d == D / 2) *v = 3.25;
            if (!strcmp(kind, "fill") && m % 7 == 0 && d == 0) *v = 1e20;
            if (!strcmp(kind, "remote") && m % 7 == 0) *v += 1 << 28;
            if (!strcmp(kind, "twins") && m >= M / 2) *v = x[(m - M / 2) * D + d];
        }
    return x;
}

/* Those of ssge, then those of stein. */
enum { CHOLESKY = MIGE_SOLVER_FILTER + 1, CG, SOLVERS };
static inline mige_score_options with_solver(int solver) {
    mige_score_options o = mige_score_defaults();
    o.estimator = solver < CHOLESKY ? MIGE_ESTIMATOR_SSGE : MIGE_ESTIMATOR_STEIN;
    if (solver < CHOLESKY) o.eigen.solver = (enum mige_solver)solver;
    if (solver >= CHOLESKY) o.stein.solver = solver == CG ? MIGE_STEIN_CG : MIGE_STEIN_CHOLESKY;
    o.stein.tolerance = 1e-11;
    return o;
}

/* Scores of x at its samples and, unless P is NULL, at Q points. */
static inline void scores(const mige_score_options *o, int M, int D, const double *x, double *s, int Q,
                          const double *P, double *sp, double *width) {
    mige_score *e;
    assert_ok(mige_score_create(&world, M, D, o, &e));
    assert_ok(mige_score_samples(e, x, s));
    if (P) assert_ok(mige_score_points(e, Q, P, sp));
    if (width) *width = mige_score_last(e)->width;
    mige_score_destroy(&e);
}

#endif
