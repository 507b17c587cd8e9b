/* A model: networks that are trained together, by name. Their parameters are one flat vector, each network's a piece
 * of it, so that the sum over ranks, the optimiser and the checkpoint each are one pass over it. */
#ifndef MIGE_TRAIN_MODEL_H
#define MIGE_TRAIN_MODEL_H

#include "mige/checkpoint.h"
#include "train/update.h"

typedef struct {
    const char *name; /* of the group in checkpoints */
    mige_net *net;
    size_t first; /* of its parameters in the flat vector */
} model_member;

typedef struct {
    int n;
    model_member member[MIGE_CHECKPOINT_MEMBERS];
    update update; /* of the flat vector */
} model;

/* Takes over a network (in any case) under a name that outlives the model, and gives it its first weights: those of
 * stream n, the number of members before it. Not collective. Errors: MIGE_EFAIL (too many). */
int model_add(model *m, const char *name, mige_net *net, uint64_t seed);
/* When all are there: parameters and gradients move into memory that the ranks of a node share. Collective on c;
 * errors agreed. */
int model_settle(model *m, const mige_comm *c, int averaged);
void model_destroy(model *m);

/* The networks' parameters are the moving average from now on, or (0) those that are trained. */
void model_use_average(model *m, int averaged);
/* Where a checkpoint is written from and read to. */
void model_describe(const model *m, mige_checkpoint *k);
/* What rank 0 has read goes to all, running statistics included. Collective. */
int model_spread(model *m);
/* Bytes a node for n parameters, and those of a copy that is being written. */
double model_bytes(size_t n, int averaged, int node_size);

#endif
