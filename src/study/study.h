/* Studies of the estimators where the mutual information is known: what toy and scale are asked for. */
#ifndef MIGE_STUDY_H
#define MIGE_STUDY_H

#include "mige/comm.h"
#include "mige/options.h"
#include "mige/score.h"
#include "train/memory.h"

/* Variables of their options; see the program's table for meaning, units and ranges. */
typedef struct {
    char dims[MIGE_OPT_TEXT_SIZE], methods[MIGE_OPT_TEXT_SIZE], samples[MIGE_OPT_TEXT_SIZE],
        rho[MIGE_OPT_TEXT_SIZE];
    int64_t dim, repeats, critic_repeats, critic_steps, joint_steps;
    int problem, rotate;
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

#endif
