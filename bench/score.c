/* Times score problems; a line `NAME seconds ...` each, the median of repetitions. Run by bench/run, at any number
 * of ranks.
 *
 *   score M D SOLVER [THRESHOLD]      one problem on all ranks
 *   score pair M SOLVER [THRESHOLD]   a step's two problems, 64 and 128 dimensions, as mige_problems deals them out
 *   score step M SOLVER [THRESHOLD]   the same two of 64 + 64 dimensions, with the scores that a step needs: those
 * of z
 */
#include "mige/blas.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/mi.h"
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
    mige_mi *step;
    double *X, *S, *z, *gradient;
} work;

static int once(work *w) {
    if (w->step)
        return mige_mi_gradient(w->step, (const double *const[]){w->X, w->z}, (double *const[]){NULL, w->gradient});
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

enum { DIM = 64 };

static int create_pair(const mige_comm *c, int M, const mige_score_options *o, work *w) {
    static const int dims[] = {DIM, 2 * DIM};
    MIGE_TRY(mige_problems_create(c, M, 2, dims, o, &w->pair));
    for (int i = 0; i < 2; i++)
        normal((size_t)M * (size_t)dims[i], (uint64_t)i, mige_problems_get(w->pair, i)->input);
    return MIGE_OK;
}

static int samples(int M, int D, uint64_t stream, double **x) {
    MIGE_TRY(mige_alloc((size_t)M * (size_t)D, sizeof **x, x));
    normal((size_t)M * (size_t)D, stream, *x);
    return MIGE_OK;
}

static int create_step(const mige_comm *c, int M, const mige_score_options *o, work *w) {
    static const mige_mi_variable xz[] = {{"x", DIM, 0}, {"z", DIM, 1}};
    MIGE_TRY(samples(M, DIM, 0, &w->X));
    MIGE_TRY(samples(M, DIM, 1, &w->z));
    MIGE_TRY(samples(M, DIM, 2, &w->gradient));
    return mige_mi_create(c, M, 2, xz, 1, &(mige_mi_pair){0, 1}, o, &w->step);
}

static int create_one(const mige_comm *c, int M, int D, const mige_score_options *o, work *w) {
    MIGE_TRY(samples(M, D, 0, &w->X));
    MIGE_TRY(mige_alloc((size_t)M * (size_t)D, sizeof *w->S, &w->S));
    return mige_score_create(c, M, D, o, &w->one);
}

static int eigenpairs(const work *w) {
    return w->step   ? mige_mi_get_problem(w->step, 0).J
           : w->pair ? mige_problems_get(w->pair, 0)->J
                     : mige_score_last(w->one)->pairs.J;
}

static int run(const mige_comm *c, int argc, char **argv) {
    work w = {0};
    double median;
    const char *what = !strcmp(argv[1], "pair") || !strcmp(argv[1], "step") ? argv[1] : "score";
    int one = *what == 's' && what[1] == 'c', M = atoi(argv[one ? 1 : 2]);
    mige_score_options o = mige_score_defaults();
    if (!strcmp(argv[3], "cholesky") || !strcmp(argv[3], "cg")) o.estimator = MIGE_ESTIMATOR_STEIN;
    MIGE_TRY(mige_score_set_solver(&o, argv[3]));
    if (argc > 4) o.eigen.threshold = atof(argv[4]);
    MIGE_TRY(one            ? create_one(c, M, atoi(argv[2]), &o, &w)
             : *what == 'p' ? create_pair(c, M, &o, &w)
                            : create_step(c, M, &o, &w));
    MIGE_TRY(measure(c, &w, &median));
    if (c->rank == 0)
        printf("%s-%d-%s-%d %.6f J %d gram %.6f eigen %.6f apply %.6f gram-rate %.3f eigen-rate %.3f apply-rate "
               "%.3f\n",
               what, M, argv[3], c->size, median, eigenpairs(&w), phase(MIGE_PHASE_GRAM), phase(MIGE_PHASE_EIGEN),
               phase(MIGE_PHASE_APPLY), rate(MIGE_PHASE_GRAM), rate(MIGE_PHASE_EIGEN), rate(MIGE_PHASE_APPLY));
    mige_problems_destroy(&w.pair);
    mige_mi_destroy(&w.step);
    mige_score_destroy(&w.one);
    free(w.X);
    free(w.S);
    free(w.z);
    free(w.gradient);
    return MIGE_OK;
}

int main(int argc, char **argv) {
    mige_comm c;
    mige_blas_restart(argv);
    MPI_Init(&argc, &argv);
    mige_comm_create(MPI_COMM_WORLD, &c);
    mige_blas_threads(1);
    int err = argc < 4 ? mige_raise(MIGE_EUSAGE,
                                    "usage: score M D SOLVER [THRESHOLD] | score pair|step M SOLVER [THRESHOLD]")
                       : run(&c, argc, argv);
    if (err) fprintf(stderr, "score: %s\n", mige_error());
    mige_comm_destroy(&c);
    MPI_Finalize();
    return err;
}
