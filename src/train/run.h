/* A whole training: a run folder with metrics, checkpoints and configuration, that survives whatever ends it. */
#ifndef MIGE_TRAIN_RUN_H
#define MIGE_TRAIN_RUN_H

#include "mige/data.h"
#include "mige/score.h"
#include "train/memory.h"
#include "train/options.h"

typedef struct {
    const mige_comm *c;
    const train_options *o;
    const mige_score_options *score;
    const mige_data *data;
    uint64_t seed;
    int threads, checks; /* CHECK_... of model.h */
    mige_memory memory;
    mige_options_given given; /* what config.ini and checkpoints keep */
    /* What the program calls things, for messages: how to go on with a run; what to do about a folder that holds
     * one, and about one that was begun with other options; the option of the batch. */
    const char *go_on, *holds_run, *other_run, *batch_option;
} train_request;

/* PRECISION_AUTO becomes bfloat16 where every rank's processor has instructions for it and ranks have one
 * thread, else float; warns where bfloat16 is asked for and will be slow. Collective. */
int train_precision(const mige_comm *c, int threads, int *precision);

/* Collective. Errors, agreed: MIGE_EUSAGE, MIGE_EINPUT, MIGE_ENUMERIC (the last good checkpoint is kept),
 * MIGE_EOUTPUT, MIGE_ESTOPPED. */
int train_run(const train_request *q);

#endif
