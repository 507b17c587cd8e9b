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

/* Memory shared by the ranks of a node: one block of `bytes` a node, the same block for all its ranks; not zeroed.
 */
typedef struct {
    MPI_Win win;
    void *base;
} mige_shared;
int mige_shared_create(const mige_comm *c, size_t bytes, mige_shared *s);
/* Makes what node rank 0 has stored visible to the others. */
int mige_shared_sync(const mige_comm *c, mige_shared *s);
void mige_shared_destroy(mige_shared *s);

#endif
