/* libmige: scores (gradients of the log density) of samples, and gradients of mutual information, on the ranks of
 * an MPI communicator. For C and, where it is included by this header, C++. Compiled and linked by `mpicc mine.c
 * $(pkg-config --cflags --libs mige)`; examples are in share/mige/examples.
 *
 * Every function returns an error code, 0 or one of mige/error.h, whose mige_error() has one line on the last;
 * outputs come last. The library neither prints (but warnings, by the rank that mige_log_setup names) nor ends the
 * program. Samples are row-major doubles, whole and the same on every rank; mige_rows_gather (mige/comm.h) makes
 * them so of rows that are spread over the ranks. Results are on every rank, and do not depend on their number but
 * for rounding. BLAS threads: mige_blas_threads.
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
