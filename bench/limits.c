/* What the processor can do while all ranks do it: a line `NAME RATE` each, summed over the ranks, GFLOP/s or GB/s.
 * Run by bench/run, at any number of ranks. */
#include "mige/blas.h"
#include "mige/clock.h"
#include "mige/comm.h"
#include "mige/error.h"
#include "mige/nn.h"
#include <stdio.h>
#include <stdlib.h>

static const double SECONDS = 0.5;
enum { N = 1024, MATRIX = N * N, ARRAY = 1 << 24, ROOM = 3 * ARRAY };

/* Each does a piece of work in x [ROOM], and returns how much it was, in GFLOP or GB. */
static double sgemm(float *x) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, N, N, N, 1, x, N, x + MATRIX, N, 0, x + 2 * MATRIX, N);
    return 2e-9 * N * MATRIX;
}

/* Arrays beyond any cache: two are read and one written. */
static double memory(float *x) {
    float *restrict a = x, *restrict b = x + ARRAY, *restrict c = x + 2 * ARRAY;
    for (int i = 0; i < ARRAY; i++) a[i] = b[i] + c[i];
    return 3e-9 * sizeof *x * ARRAY;
}

/* A limit more is a function and a row here, and a row of PHASES in bench/run for what should reach it. */
static const struct {
    const char *name;
    double (*work)(float *x);
    double (*rate)(double seconds); /* without work */
} limits[] = {{"sgemm", sgemm, NULL},
              {"dgemm", NULL, mige_blas_rate},
              {"bfloat16", NULL, mige_bfloat16_rate},
              {"memory", memory, NULL}};

static double rate_of(double (*work)(float *), float *x) {
    double done = 0;
    work(x);
    double began = mige_now(), spent;
    do {
        done += work(x);
        spent = mige_now() - began;
    } while (spent < SECONDS);
    return done / spent;
}

static int run(const mige_comm *c) {
    float *x = NULL;
    int err = mige_alloc(ROOM, sizeof *x, &x);
    MIGE_TRY_GOTO(mige_agree(c, err), done);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        MPI_Barrier(c->mpi);
        double rate = limits[i].work ? rate_of(limits[i].work, x) : limits[i].rate(SECONDS);
        MIGE_TRY_GOTO(mige_sum(c, &rate, 1), done);
        if (c->rank == 0) printf("%s %.3f\n", limits[i].name, rate);
    }
done:
    free(x);
    return err;
}

int main(int argc, char **argv) {
    mige_comm c;
    mige_blas_restart(argv);
    MPI_Init(&argc, &argv);
    mige_comm_create(MPI_COMM_WORLD, &c);
    mige_blas_threads(1);
    int err = run(&c);
    if (err) fprintf(stderr, "limits: %s\n", mige_error());
    mige_comm_destroy(&c);
    MPI_Finalize();
    return err;
}
