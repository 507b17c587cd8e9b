/* Whether a problem fits: refused before anything is computed, with the size that would fit. */
#ifndef MIGE_TRAIN_MEMORY_H
#define MIGE_TRAIN_MEMORY_H

#include "mige/comm.h"

/* What there is to take. */
typedef struct {
    const mige_comm *c;
    double limit_gb;  /* that all ranks of a node may take together; 0: what is free */
    int dry_run;      /* nothing will be computed here */
    const char *hint; /* of the message: what else would help, as ", or ..."; or "" */
} mige_memory;

/* Bytes a rank may take: the limit, or most of what is free, shared by the ranks of the node; the least of all
 * nodes. 0: not known. Collective. */
int mige_memory_share(const mige_memory *m, double *share);

/* Bytes that the largest rank takes for M samples. */
typedef double (*mige_memory_need)(const void *ctx, int M);

/* Before the work: MIGE_EUSAGE unless need(ctx, M), the same on every rank, fits into the share, with the largest
 * number of samples that does. The message begins with `what`, the option or file that M comes from. In a dry run a
 * warning only, unless a limit says what there will be: the memory of where it is done may not be that of where the
 * work will be. Collective. */
int mige_memory_check(const mige_memory *m, const char *what, int M, mige_memory_need need, const void *ctx);

/* Largest resident memory of this process since the last mige_memory_peak_reset (where the kernel lets it be reset,
 * else since the start), and what is resident now, in bytes. 0: the system does not say. Not collective. */
double mige_memory_peak(void);
double mige_memory_resident(void);
void mige_memory_peak_reset(void);

#endif
