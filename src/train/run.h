/* A whole training: a run folder with metrics, checkpoints and configuration, that survives whatever ends it. */
#ifndef MIGE_TRAIN_RUN_H
#define MIGE_TRAIN_RUN_H

#include "mige/data.h"
#include "mige/options.h"
#include "mige/score.h"
#include "train/memory.h"

/* In the order of the choices of circumstance, critic and conditional. */
enum { CIRCUMSTANCE_I, CIRCUMSTANCE_II, CIRCUMSTANCE_BOTH, CIRCUMSTANCE_VIEWS };
enum { CRITIC_DOT, CRITIC_CONCAT };
enum { CONDITIONAL_GAUSSIAN, CONDITIONAL_SSGE };
enum { TASK_INFOMAX, TASK_IB };
enum { PRECISION_AUTO, PRECISION_FLOAT, PRECISION_BFLOAT16 };

/* What a training is told: a variable an option, of the same name; the program's table of options has meaning,
 * units and ranges. */
typedef struct {
    int task, circumstance, critic, conditional, schedule;
    int fresh_projection, implicit, resume, other_data;
    int precision; /* PRECISION_AUTO is settled by train_precision */
    char objective[MIGE_OPT_TEXT_SIZE], encoder[MIGE_OPT_TEXT_SIZE], augment[MIGE_OPT_TEXT_SIZE];
    char data[MIGE_OPT_TEXT_SIZE], out[MIGE_OPT_TEXT_SIZE];
    char sigma_range[MIGE_OPT_TEXT_SIZE], checkpoint_every[MIGE_OPT_TEXT_SIZE];
    int64_t batch, epochs, steps, code, projection, draws, marginal_draws;
    int64_t warmup, keep_every, test_every, validation;
    double rate, beta1, beta2, weight_decay, clip, decay, decay_every, average;
    double temperature, prior_matching, beta, scale_penalty, dropout, smoothing, confidence;
} train_options;

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
     * one, and about one that was begun with other options, or on other data; the option of the batch. */
    const char *go_on, *holds_run, *other_run, *other_data, *batch_option;
} train_request;

/* PRECISION_AUTO becomes bfloat16 where every rank's processor has instructions for it and ranks have one
 * thread, else float; warns where bfloat16 is asked for and will be slow. Collective. */
int train_precision(const mige_comm *c, int threads, int *precision);

/* What is kept of the data with a checkpoint, as INI text; and whether such a text is of these data, from the file
 * `data`. MIGE_EINPUT, with the advice, if not; where it is `allowed`, that is said, but for images of another
 * size. Not collective. */
enum { TRAIN_DATA_TEXT = 256 };
void train_data_text(const mige_data *d, char text[TRAIN_DATA_TEXT]);
int train_data_same(const mige_data *d, const char *data, const char *trained, const char *text, int allowed,
                    const char *advice);

/* Collective. Errors, agreed: MIGE_EUSAGE, MIGE_EINPUT, MIGE_ENUMERIC (the last good checkpoint is kept),
 * MIGE_EOUTPUT, MIGE_ESTOPPED. */
int train_run(const train_request *q);

#endif
