/* mige scale: what its parts share. A case is a number of samples at a number of ranks; a draw is one gradient, at
 * one correlation of the grid in one repeat. */
#ifndef MIGE_STUDY_SCALE_H
#define MIGE_STUDY_SCALE_H

#include "study/study.h"

enum { GRAM, EIGEN, APPLY, PARTS };

/* Sums over the draws done, of a case. */
typedef struct {
    int64_t M, ranks, draws;
    double seconds[PARTS]; /* of the rank that was busiest, draw by draw: they lie side by side within the total */
    double total;          /* seconds of the slowest rank */
    double flops[PARTS];   /* of all ranks */
    double J, J_marginal;  /* 0 where the estimator has no eigenpairs */
    double bytes, predicted; /* of the largest rank; not sums */
    double dgemm;            /* GFLOP/s of the slowest rank when all are at it; no sum */
    /* What follows, for readers: GFLOP/s; the relative RMSE over the grid, mean and deviation over the repeats that
     * are complete (NaN: none, fewer than two); the least squares slope of all estimates on the truth. */
    double gflops, error, deviation, slope, repeats;
} scale_case;

typedef struct {
    const study *study;
    const study_options *o;
    int D, nrho, nsamples;
    int64_t *samples; /* [nsamples] as asked for */
    double *rho;      /* [nrho] */
    int64_t draws;    /* of a case: repeats times nrho, in this order */
    int ncases;       /* those of the file, then those begun here */
    scale_case *cases;
    double *gradient; /* [room for cases][draws], NaN: not done */
} scale;

static inline double *scale_gradient(const scale *s, int i) {
    return s->gradient + (size_t)i * (size_t)s->draws;
}

/* Gradients that are not done: of all cases, and of the samples asked for that are none yet. */
int64_t scale_left(const scale *s);
/* Writes all cases. On one rank. Errors: MIGE_EOUTPUT. */
int scale_save(scale *s);
/* Room for ncases cases and those that were asked for; nothing done. */
int scale_take_room(scale *s);
/* The same, with the cases of an output that is there already, when it was made with the same options (samples and
 * ranks may be others). On one rank. Errors: MIGE_EUSAGE, MIGE_EINPUT. */
int scale_restore(scale *s);

/* The table: its head, and a line a case. */
void scale_print_head(void);
void scale_print(scale *s, int i);

/* Bytes that the largest rank of P takes for M samples, from the sizes alone; of: the scale. */
double scale_bytes(const void *of, int M);
/* What --dry-run prints of a case. */
void scale_print_plan(const scale *s, int M);

#endif
