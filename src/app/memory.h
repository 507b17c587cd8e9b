/* Whether a problem fits: refused before anything is computed, with the size that would fit. */
#ifndef MIGE_APP_MEMORY_H
#define MIGE_APP_MEMORY_H

#include "app/app.h"

/* Bytes that this host still has for this process: what the kernel calls available, within the limits of its
 * cgroups (a job's, a container's). 0: the system does not say. Not collective. */
double memory_free(void);

/* Bytes a rank may take: --memory, or most of what is free, shared by the ranks of the node; the least of all
 * nodes. 0: not known. Collective. */
int memory_share(const app *a, double *share);

/* Bytes that the largest rank takes for M samples. */
typedef double (*memory_need)(const void *ctx, int M);

/* MIGE_EUSAGE unless need(ctx, M) fits into `share`, with the largest number of samples that does. The message
 * begins with `what`, the option or file that M comes from. Not collective; share and need are the same on every
 * rank. */
int memory_fits(const app *a, double share, const char *what, int M, memory_need need, const void *ctx);

/* Both, before the work; with --dry-run a warning only, unless --memory says what there will be: the memory of
 * where it is done may not be that of where the work will be. Collective. */
int memory_check(const app *a, const char *what, int M, memory_need need, const void *ctx);

/* Largest resident memory of this process since the last memory_peak_reset (where the kernel lets it be reset, else
 * since the start), and what is resident now, in bytes. 0: the system does not say. Not collective. */
double memory_peak(void);
double memory_resident(void);
void memory_peak_reset(void);

#endif
