/* Studies of the estimators where the mutual information is known: what toy and scale are asked for. */
#ifndef MIGE_STUDY_H
#define MIGE_STUDY_H

#include "mige/comm.h"
#include "mige/io.h"
#include "mige/options.h"
#include "mige/score.h"
#include "train/memory.h"

/* Variables of their options; see the program's table for meaning, units and ranges. */
typedef struct {
    char dims[MIGE_OPT_TEXT_SIZE], methods[MIGE_OPT_TEXT_SIZE], samples[MIGE_OPT_TEXT_SIZE],
        rho[MIGE_OPT_TEXT_SIZE];
    int64_t dim, repeats, critic_repeats, critic_steps, joint_steps;
    int problem, rotate, mi;
    double critic_rate, joint_rate;
} study_options;

typedef struct {
    const mige_comm *c;
    const study_options *o;
    mige_options_given given; /* all options, for names of choices and for a file that is gone on with */
    mige_score_options score;
    mige_memory memory;
    uint64_t seed;
    int resume, dry_run;
    const char *output;
} study;

/* Both collective. Errors: MIGE_EUSAGE, MIGE_EINPUT, MIGE_EOUTPUT, MIGE_ENUMERIC; MIGE_ESTOPPED after a wish to
 * stop, what is done being saved. */
int toy_run(const study *s);
int scale_run(const study *s);

/* Refuses (MIGE_EUSAGE, agreed) an output that holds a study which is not done, unless it is resumed. Collective.
 */
int study_check_output(const study *s);
/* How many gradients are still to be estimated: into the study's file, which will be at `output` (a finished one
 * there is renamed to OUTPUT.old while some are left; errors: MIGE_EOUTPUT, MIGE_EFAIL), and from one; 0 where it
 * does not say. Not collective. */
int study_write_left(mige_file *f, const char *output, int64_t left);
int64_t study_left(const mige_file *f);

/* Items of unequal length dealt to ranks one by one, as each has done its own; rank 0 works too, gathers results
 * and saves them now and then. No rank waits for another before the end, and no thread is needed: whoever works
 * looks at its messages at each step, through queue_stopped. */
enum { QUEUE_VALUES = 8 };

typedef struct {
    void *ctx;
    /* One item, on whatever rank; calls queue_stopped(ctx) now and then and returns MIGE_ESTOPPED when told to. */
    int (*work)(void *ctx, int64_t item, double values[QUEUE_VALUES]);
    /* On rank 0: an item is done; results so far are to be saved. */
    void (*take)(void *ctx, int64_t item, const double values[QUEUE_VALUES]);
    int (*save)(void *ctx);
} queue_task;

typedef struct queue queue;

/* Collective. Errors, agreed: MIGE_EFAIL (memory). */
int queue_create(const mige_comm *c, const queue_task *task, queue **q);
void queue_destroy(queue **q);
/* Wishes to stop (stop.h), others' messages; on rank 0 saves if it is time. Other than 0: the work must end. */
int queue_stopped(queue *q);
/* items [n], the same on every rank, in this order. Collective. Saves at the end, whatever happened. Errors,
 * agreed: those of work and save; MIGE_ESTOPPED, without a message, after a wish to stop. */
int queue_run(queue *q, int64_t n, const int64_t *items);
/* The same, every item by all ranks together: for items that are collective. */
int queue_together(queue *q, int64_t n, const int64_t *items);
/* Why the last run was broken off: MIGE_STOP_SIGNAL, ... of stop.h. */
int queue_reason(const queue *q);

#endif
