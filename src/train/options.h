/* What a training is told: a variable an option, of the same name; the program's table of options has meaning,
 * units and ranges. */
#ifndef MIGE_TRAIN_OPTIONS_H
#define MIGE_TRAIN_OPTIONS_H

#include "mige/options.h"
#include <stdint.h>

/* In the order of the choices of circumstance, critic and conditional. */
enum { CIRCUMSTANCE_I, CIRCUMSTANCE_II, CIRCUMSTANCE_BOTH, CIRCUMSTANCE_VIEWS };
enum { CRITIC_DOT, CRITIC_CONCAT };
enum { CONDITIONAL_GAUSSIAN, CONDITIONAL_SSGE };
enum { TASK_INFOMAX, TASK_IB };
enum { PRECISION_AUTO, PRECISION_FLOAT, PRECISION_BFLOAT16 };

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

#endif
