/* Terms: the summands of what a training minimises. A term is a file with a row of functions, a `term_ops`; an
 * objective is a row of weighted terms (objective.c). */
#ifndef MIGE_TRAIN_TERM_H
#define MIGE_TRAIN_TERM_H

#include "train/train.h"

typedef struct term_ops term_ops;

typedef struct term {
    const term_ops *ops;
    double weight; /* what it is multiplied by, gradient and value */
    int variant;   /* which of its kind, for terms that are several */
    int series;    /* where its values begin in those of a step, */
    int nseries;   /* and their number */
    void *self;
} term;

/* All are called by all ranks alike. */
struct term_ops {
    size_t size; /* of *self, zeroed before create */
    /* Whether the options make sense for it; of the plan all but the terms is there. May be NULL. Not collective;
     * MIGE_EUSAGE. */
    int (*check)(const train_plan *p);
    /* Takes all memory by MIGE_TAKE from t->pool, where it is only counted in a forecast: what is taken must not be
     * touched here. Adds its networks to the model (trainer_add_member), its values to the series
     * (trainer_add_series) and says which layers of the encoder but the code's it sends gradients to
     * (trainer_want). Not collective: the caller agrees on the error. */
    int (*create)(trainer *t, term *k);
    /* The same, what is collective; after all were created. May be NULL. Errors agreed. */
    int (*settle)(trainer *t, term *k);
    /* Bytes that settle takes, for the estimator of scores, from sizes alone; after create. NULL: none. */
    double (*bytes)(const train_plan *p, const term *k);
    /* After the encoder's forward pass: adds weight times the gradient to t->upstream (0 before the first term),
     * leaves this rank's part of the gradients of its own networks in them (without the weight, which is the
     * encoder's affair), adds weight times its value, the same on every rank, to t->loss and puts its values into
     * t->values[series...]. Takes no memory. Collective, errors agreed. */
    int (*apply)(trainer *t, term *k);
    /* What the pool does not hold, after a create that failed as well; may be NULL. */
    void (*destroy)(term *k);
};

enum { MOST_TERMS = 4 };

/* One objective: a row of objective.c. */
struct objective {
    int task;
    const char *name, *help;
    struct {
        const term_ops *ops;
        size_t weight; /* where the weight is in train_options; ONE: 1. A term of weight 0 is left out */
        int variant;
    } terms[MOST_TERMS];
    int stochastic; /* the code is drawn */
    int drops;      /* hidden layers have dropout */
    const char *preset,
        *preset_views; /* defaults of options that serve it, with views more of them: words NAME=VALUE */
};

/* Of term bound and of term classify. */
enum { BOUND_JSD, BOUND_INFONCE, BOUND_DV };
enum { CLASSIFY_PLAIN, CLASSIFY_SMOOTH, CLASSIFY_CONFIDENCE };
/* The member that term classify adds. */
#define DECODER "decoder"

#endif
