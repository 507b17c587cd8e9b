/* Checkpoints of a run: global arrays only, nothing of a rank. Not collective: one rank writes and reads. */
#ifndef MIGE_CHECKPOINT_H
#define MIGE_CHECKPOINT_H

#include "mige/nn.h"
#include <stdint.h>

typedef struct {
    const mige_net *net;   /* which tensors there are */
    float *params, *state; /* [parameters], [running statistics], as /encoder/<tensor> */
    float *m, *v;   /* [parameters] Adam's moments, as /adam_m/<tensor>, /adam_v/<tensor>; NULL: not wanted */
    int64_t step;   /* steps done; all random numbers and the place in the data follow from it */
    int64_t number; /* periodic checkpoints of this run so far */
    int keep;       /* 1: not deleted when it is no longer one of the two newest */
    int64_t unkept; /* step of an earlier one whose keep is 0: its file need not be read to know; or -1 */
    const char *trajectory; /* INI text of the options that the trajectory depends on */
} mige_checkpoint;

/* Writes RUN/checkpoint-<step>.h5, then deletes those that are neither among the two newest nor to be kept. Errors:
 * MIGE_EOUTPUT; what was there before is kept. */
int mige_checkpoint_write(const char *run, const mige_checkpoint *k);

/* Steps of the checkpoint files in a folder, newest first; *steps is to be freed. None is not an error. */
int mige_checkpoint_list(const char *run, int64_t **steps, int *n);

/* Reads the newest good one into k->params, state, m, v and number, with every sum compared. One that is damaged is
 * passed over, after `damaged(message)` was told. k->step = -1 and MIGE_OK if there is none at all. Errors: as
 * read, for one that is whole but does not fit; MIGE_EINPUT if there are some but none is good. */
int mige_checkpoint_newest(const char *run, mige_checkpoint *k, void (*damaged)(const char *message));

/* Renames the checkpoints past `step`, known to be damaged, to NAME.damaged. Errors: MIGE_EOUTPUT. */
int mige_checkpoint_set_aside(const char *run, int64_t step);

#endif
