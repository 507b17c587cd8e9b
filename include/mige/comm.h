/* Communicators of our own, agreement on errors, and the sums and gathers that the program uses.
 * Everything here is collective on `c` unless said otherwise. MPI's own errors end the job (its default). */
#ifndef MIGE_COMM_H
#define MIGE_COMM_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    MPI_Comm mpi;
    int rank, size;
    MPI_Comm node; /* the ranks that share memory with this one */
    int node_rank, node_size;
    int nodes; /* how many such groups */
} mige_comm;

/* Of a program, before MPI_Init: standard streams that are closed are held open, a limit of file sizes is an error
 * of writing, and Open MPI starts nothing beside a process that has no launcher. Not collective. */
void mige_before_mpi(void);
/* A private duplicate of `parent`. Free it with mige_comm_destroy. */
int mige_comm_create(MPI_Comm parent, mige_comm *c);
/* Ranks of the same `color` form a new communicator, ordered by rank in c. */
int mige_comm_split(const mige_comm *c, int color, mige_comm *part);
void mige_comm_destroy(mige_comm *c);

/* Every rank passes its own error code; every rank returns the largest, with the message of the lowest rank
 * that has it. Follows each step that can fail on one rank alone, so that no rank waits for one that left. */
int mige_agree(const mige_comm *c, int err);
#ifdef __clang_analyzer__ /* does not see that the largest code is no success */
#define mige_agree(c, err) ((err) ? (err) : mige_agree(c, err))
#endif

/* mige_alloc on every rank or, with the agreed error, on none. */
int mige_alloc_all(const mige_comm *c, size_t count, size_t size, void *out);

/* Sum over ranks, in place; any length (split where an int count would overflow). The result is the same, bit
 * for bit, on every rank. */
int mige_sum(const mige_comm *c, double *x, size_t n);
int mige_max(const mige_comm *c, double *x, size_t n);
/* Root's bytes to everyone. */
int mige_bcast(const mige_comm *c, int root, void *x, size_t bytes);

/* Block partition of `total` items: rank r of P owns [first, first + count), in order, sizes differ by at most
 * one. Not collective. */
void mige_share(int64_t total, int P, int r, int64_t *first, int64_t *count);

/* Each rank holds its mige_share of `rows` rows of `width` doubles (its rows at `mine`, contiguous) -> all rows,
 * in order, on every rank. all must not overlap mine. */
int mige_gather_rows(const mige_comm *c, int64_t rows, int64_t width, const double *mine, double *all);

/* Memory shared by the ranks of a node: one block of `bytes` a node, the same block for all its ranks, on a cache
 * line; not zeroed. */
typedef struct {
    MPI_Win win;
    void *base;
} mige_shared;
int mige_shared_create(const mige_comm *c, size_t bytes, mige_shared *s);
/* Makes what node rank 0 has stored visible to the others. */
int mige_shared_sync(const mige_comm *c, mige_shared *s);
void mige_shared_destroy(mige_shared *s);

/* Rows of a matrix spread over the ranks, as a batch is: gathered on every rank, and sums of all ranks'
 * contributions brought back to the owners. Takes all memory when it is made, none in a call. */
typedef struct {
    const mige_comm *c;
    int64_t rows, first, count; /* of all; this rank's */
    int *counts, *offsets;      /* [ranks] rows */
    int *scaled;                /* [ranks] the same in numbers, of one call */
} mige_rows;

/* The mige_share of `items` items, each of `group` rows (1: plain samples). Collective on c, which must outlive r;
 * errors agreed. */
int mige_rows_create(const mige_comm *c, int64_t items, int group, mige_rows *r);
void mige_rows_destroy(mige_rows *r);
/* mine [count][width] -> all [rows][width], on every rank; they must not overlap. Collective. */
int mige_rows_gather(mige_rows *r, int width, const double *mine, double *all);
int mige_rows_gather_float(mige_rows *r, int width, const float *mine, float *all);
/* all [rows][width], of each rank, summed over the ranks -> mine [count][width], the rows of this one. Collective.
 */
int mige_rows_sum(mige_rows *r, int width, const float *all, float *mine);

/* Prints a table of the time per phase (clock.h), over the ranks: least, mean, largest; operations a second.
 * Collective. */
int mige_print_phases(const mige_comm *c);

/* Signs of life between ranks, so that a job ends when one of them cannot go on and does not say so: stopped,
 * killed under a launcher that does not mind, or on a host that is cut off. MPI calls would wait for it for ever.
 *
 * Each rank has a thread that sends a datagram (UDP) a second to the next rank, round a ring, and listens to the
 * one before. A rank that was heard once and then is silent for `seconds` ends the job: the one that misses it
 * prints a line and tells all others; every rank then exits with status 1, and one that shares the lost rank's node
 * kills it. A process that was itself stopped meanwhile (a job suspended and resumed) starts to count anew. */
/* From now to the end of the process. seconds: at least twice the 2.5 after which a process that wakes up late
 * knows that it was stopped, or 0. One rank, or seconds = 0, is not watched; nor is what cannot be (no sockets, no
 * threads). Collective. */
int mige_watch_start(const mige_comm *c, double seconds);

#endif
