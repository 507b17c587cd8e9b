/* Times score problems; a line `NAME seconds ...` each, the median of repetitions. Run by bench/run, at any number
 * of ranks.
 *
 *   score M D SOLVER [THRESHOLD]      one problem on all ranks
 *   score pair M SOLVER [THRESHOLD]   a step's two problems, 64 and 128 dimensions, as mige_problems deals them out
 *   score cg M D                      one problem on all ranks by iterated Tikhonov, the matrix never stored
 */
#include "mige/score.h"
#include "mige/blas.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 200 };

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void normal(size_t n, uint64_t stream, double *x) {
    mige_rng_normal(1, MIGE_RNG_SAMPLE, stream, 0, n, x);
}

/* One solve, whichever is asked for. */
typedef struct {
    mige_score *one;
    mige_problems *pair;
    double *X, *S;
} work;

static int once(work *w) {
    return w->pair ? mige_problems_solve(w->pair) : mige_score_samples(w->one, w->X, w->S);
}

static int measure(const mige_comm *c, work *w, double *median) {
    double times[MOST], total = 0;
    int n = 0;
    double first = mige_now();
    MIGE_TRY(once(w)); /* warm up, unless it takes that long */
    first = mige_now() - first;
    MIGE_TRY(mige_max(c, &first, 1));
    *median = first;
    if (first > 5) return MIGE_OK;
    mige_clock_reset();
    while (n < MOST && (n < 3 || total < 2)) {
        MPI_Barrier(c->mpi);
        double began = mige_now();
        MIGE_TRY(once(w));
        times[n] = mige_now() - began;
        MIGE_TRY(mige_max(c, &times[n], 1));
        total += times[n++];
    }
    qsort(times, (size_t)n, sizeof *times, ascending);
    *median = times[n / 2];
    return MIGE_OK;
}

static double phase(enum mige_phase p) {
    return mige_clock_get(p).count ? mige_clock_get(p).seconds / (double)mige_clock_get(p).count : 0;
}

/* GFLOP/s of a phase on one rank. */
static double rate(enum mige_phase p) {
    return mige_clock_get(p).seconds > 0 ? 1e-9 * mige_clock_get(p).flops / mige_clock_get(p).seconds : 0;
}

static int run(const mige_comm *c, int argc, char **argv) {
    work w = {0};
    double median;
    int pair = !strcmp(argv[1], "pair"), cg = !strcmp(argv[1], "cg"), M = atoi(argv[pair || cg ? 2 : 1]),
        D = pair ? 64 : atoi(argv[cg ? 3 : 2]), dims[] = {64, 128};
    const char *solver = cg ? "cg" : argv[3];
    mige_score_options o = mige_score_defaults();
    if (!strcmp(solver, "cholesky") || !strcmp(solver, "cg")) o.estimator = MIGE_ESTIMATOR_STEIN;
    MIGE_TRY(mige_score_set_solver(&o, solver));
    if (argc > 4) o.eigen.threshold = atof(argv[4]);
    if (pair) {
        MIGE_TRY(mige_problems_create(c, M, 2, dims, &o, &w.pair));
        for (int i = 0; i < 2; i++)
            normal((size_t)M * (size_t)dims[i], (uint64_t)i, mige_problems_get(w.pair, i)->input);
    } else {
        MIGE_TRY(mige_alloc((size_t)M * (size_t)D, sizeof *w.X, &w.X));
        MIGE_TRY(mige_alloc((size_t)M * (size_t)D, sizeof *w.S, &w.S));
        normal((size_t)M * (size_t)D, 0, w.X);
        MIGE_TRY(mige_score_create(c, M, D, &o, &w.one));
    }
    MIGE_TRY(measure(c, &w, &median));
    int J = pair ? mige_problems_get(w.pair, 0)->J : mige_score_last(w.one)->pairs.J;
    if (c->rank == 0)
        printf("%s-%d-%s-%d %.6f J %d gram %.6f eigen %.6f apply %.6f gram-rate %.3f eigen-rate %.3f apply-rate "
               "%.3f\n",
               pair ? "pair" : "score", M, solver, c->size, median, J, phase(MIGE_PHASE_GRAM),
               phase(MIGE_PHASE_EIGEN), phase(MIGE_PHASE_APPLY), rate(MIGE_PHASE_GRAM), rate(MIGE_PHASE_EIGEN),
               rate(MIGE_PHASE_APPLY));
    mige_problems_destroy(&w.pair);
    mige_score_destroy(&w.one);
    free(w.X);
    free(w.S);
    return MIGE_OK;
}

int main(int argc, char **argv) {
    mige_comm c;
    mige_blas_restart(argv);
    MPI_Init(&argc, &argv);
    mige_comm_create(MPI_COMM_WORLD, &c);
    mige_blas_threads(1);
    int err =
        argc < 4
            ? mige_raise(MIGE_EUSAGE,
                         "usage: score M D SOLVER [THRESHOLD] | score pair M SOLVER [THRESHOLD] | score cg M D")
            : run(&c, argc, argv);
    if (err) fprintf(stderr, "score: %s\n", mige_error());
    mige_comm_destroy(&c);
    MPI_Finalize();
    return err;
}
