/* libmige: scores (gradients of the log density) of samples, and gradients of mutual information, on the ranks of
 * an MPI communicator. For C and, where it is included by this header, C++. Compiled and linked by `mpicc mine.c
 * $(pkg-config --cflags --libs mige)` (PKG_CONFIG_PATH=PREFIX/lib/pkgconfig if PREFIX is not the system's);
 * examples are in share/mige/examples.
 *
 * Scores of samples, in this order: MPI_Init, mige_comm_create, mige_score_defaults, mige_score_create,
 * mige_score_samples, mige_score_destroy, mige_comm_destroy, MPI_Finalize.
 *
 * Every function returns an error code, 0 or one of mige/error.h, whose mige_error() has one line on the last;
 * outputs come last. Collective functions are called by all ranks of the communicator; agreed errors are the same
 * on all of them. What may fail on one rank alone in the caller's own code goes through mige_agree before the next
 * collective call, or the others wait for ever. Every destroy takes what a create made; what is known by a
 * pointer is NULL from then on, as after a create that failed, and NULL may be destroyed.
 *
 * The library never ends the program, and prints warnings only, on the rank that mige_log_setup names (before that:
 * on none). Samples are row-major doubles, whole and the same on every rank: each rank may read the file, or one
 * reads and mige_bcast sends, or rows that are spread over the ranks come together by mige_rows_gather
 * (mige/comm.h). Results are on every rank, and do not depend on their number but for rounding.
 *
 * BLAS: mige_blas_threads(1) after MPI_Init, unless there are fewer ranks than cores; other numbers of threads
 * change the last digits. Where OpenBLAS does not know the processor, mige_blas_restart(argv) first of all in main.
 *
 * Threads: one thread of a process is in the library at a time, the one that may call MPI, whose level does not
 * matter: phase clock and log are the process's. The text of mige_error() is the thread's own. */
#ifndef MIGE_H
#define MIGE_H

/* What the headers below include, which is no part of the library, keeps its own linkage. */
#include <cblas.h>
#include <mpi.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "mige/blas.h"
#include "mige/comm.h"
#include "mige/error.h"
#include "mige/log.h"
#include "mige/mi.h"
#include "mige/precondition.h"
#include "mige/rng.h"
#include "mige/score.h"
#ifdef __cplusplus
}
#endif

#endif
