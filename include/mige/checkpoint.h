/* Checkpoints of a run: global arrays only, nothing of a rank. Not collective: one rank writes and reads. */
#ifndef MIGE_CHECKPOINT_H
#define MIGE_CHECKPOINT_H

#include "mige/nn.h"
#include <stdint.h>

/* One network of a model. */
typedef struct {
    const char *name;      /* of its group, "encoder" */
    const mige_net *net;   /* which tensors there are */
    float *params, *state; /* [parameters], [running statistics], as /<name>/<tensor> */
    /* [parameters] Adam's moments and the moving average, as /adam_m/<name>/<tensor>, /adam_v/<name>/<tensor> and
     * /average/<name>/<tensor>; NULL: not wanted */
    float *m, *v, *average;
} mige_checkpoint_member;
enum { MIGE_CHECKPOINT_MEMBERS = 6 };

typedef struct {
    int n;
    mige_checkpoint_member member[MIGE_CHECKPOINT_MEMBERS];
    int64_t step;           /* steps done; all random numbers and the place in the data follow from it */
    int64_t number;         /* periodic checkpoints of this run so far */
    int keep;               /* 1: not deleted when it is no longer one of the two newest */
    int64_t old;            /* to write: step of an earlier one that is to be deleted then; -1: none; or as below */
    const char *trajectory; /* to write: INI text of what the trajectory depends on */
    /* To read: whether what was written there fits, for a file that is good otherwise; NULL: whatever it was. */
    int (*check)(void *ctx, const char *path, const char *trajectory);
    void *ctx;
} mige_checkpoint;

/* For `old`: all that are neither among the two newest nor marked to be kept, whose marks are read (once after a
 * start: a process that was killed may have left some), and what is left of files whose writer was killed. */
enum { MIGE_CHECKPOINT_ANY_OLD = -2 };

/* Writes RUN/checkpoint-<step>.h5, then deletes what is old. Errors: MIGE_EOUTPUT; what was there before is kept.
 */
int mige_checkpoint_write(const char *run, const mige_checkpoint *k);

/* Whether a folder has checkpoints, good or not. Errors: MIGE_EINPUT, it cannot be listed. */
int mige_checkpoint_any(const char *run, int *any);

/* Reads the newest good one into the members' vectors, number and keep, with every sum compared. One that is
 * damaged is passed over, after `tell(message)` (NULL: silently). k->step = -1 and MIGE_OK if there is none at all.
 * Errors: as read, for one that is whole but does not fit, or cannot be opened now; MIGE_EINPUT if there are some
 * but none is good.
 */
int mige_checkpoint_newest(const char *run, mige_checkpoint *k, void (*tell)(const char *message));

/* A `tell`: a warning that an earlier one is looked for. */
void mige_checkpoint_warn(const char *message);

/* Renames the checkpoints past `step`, known to be damaged, to NAME.damaged, or .damaged-2 ... Errors:
 * MIGE_EOUTPUT. */
int mige_checkpoint_set_aside(const char *run, int64_t step);

#endif
