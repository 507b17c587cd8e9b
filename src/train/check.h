/* Where training first goes wrong, each step, in place of what comes of it later.
 * Everything here is collective; errors, agreed: MIGE_ENUMERIC with tensor or layer, step and rank. */
#ifndef MIGE_TRAIN_CHECK_H
#define MIGE_TRAIN_CHECK_H

#include "train/model.h"

/* --check, as a sum of these; the first is of scores. */
enum { CHECK_EIGEN = 1, CHECK_NAN = 2, CHECK_REPLICA = 4 };

/* After a forward pass of n samples: the first layer with an output that is not finite, on the rank where it is. */
int check_outputs(const mige_comm *c, const mige_net *net, int n, int64_t step);
/* After a backward pass: the last tensor (gradients come down from there) whose gradient is not finite. */
int check_gradients(const mige_comm *c, const model *m, int64_t step);
/* After the update: parameters, running statistics and Adam's moments must be rank 0's, bit by bit. */
int check_replicas(const mige_comm *c, const model *m, int64_t step);

#endif
