/* Time per phase, for --log-view. Phases nest; a phase's time includes what runs inside it. Not collective. */
#ifndef MIGE_CLOCK_H
#define MIGE_CLOCK_H

#include <stdint.h>

enum mige_phase {
    MIGE_PHASE_STEP,     /* a whole training step */
    MIGE_PHASE_LOAD,     /* images to floats */
    MIGE_PHASE_FORWARD,  /* encoder */
    MIGE_PHASE_GATHER,   /* representations to every rank */
    MIGE_PHASE_SCORE,    /* both score problems */
    MIGE_PHASE_GRAM,     /* distances, width, kernel */
    MIGE_PHASE_EIGEN,    /* eigenpairs */
    MIGE_PHASE_APPLY,    /* B and the product that gives the scores */
    MIGE_PHASE_BACKWARD, /* encoder */
    MIGE_PHASE_REDUCE,   /* gradients over ranks */
    MIGE_PHASE_UPDATE,   /* optimiser */
    MIGE_PHASE_OUTPUT,   /* checkpoints and metrics */
    MIGE_PHASES
};

double mige_now(void); /* seconds, monotonic */
void mige_clock_start(enum mige_phase p);
/* Ends a phase that did `flops` floating-point operations (0: not counted). */
void mige_clock_stop(enum mige_phase p, double flops);
/* Adds seconds, or operations, to a phase. */
void mige_clock_add(enum mige_phase p, double seconds);
void mige_clock_count_flops(enum mige_phase p, double flops);
void mige_clock_reset(void);

typedef struct {
    const char *name;
    int depth; /* 0: STEP and what stands alone, 1: inside a step, 2: inside SCORE */
    double seconds, flops;
    int64_t count;
} mige_clock_values;
mige_clock_values mige_clock_get(enum mige_phase p);

#endif
