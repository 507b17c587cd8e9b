/* A model: networks that are trained together, by name. Their parameters are one flat vector, each network's a
 * piece of it, so that the sum over ranks, the optimiser and the checkpoint each are one pass over it. */
#ifndef MIGE_TRAIN_MODEL_H
#define MIGE_TRAIN_MODEL_H

#include "mige/checkpoint.h"
#include "mige/comm.h"
#include "mige/nn.h"

/* What there is beside parameters, moments and gradients. */
typedef struct {
    int averaged;  /* a moving average of the parameters */
    size_t packed; /* bytes of weights in bfloat16 (mige_net_packed_bytes) */
    size_t kept;   /* bytes of kept samples (mige_net_kept_bytes) */
} update_room;

enum { UPDATE_ROWS = 2 * MIGE_ENCODER_MOST }; /* linear layers of all networks, at most */

/* Weights of a layer that are moved by blocks of rows: packed anew after it (mige_net_pack), and perhaps with a
 * gradient that is a product of kept samples (mige_net_keep). */
typedef struct {
    mige_net *net;
    int layer, cols;
    size_t first, count; /* in the flat vector */
} update_rows;

/* Sum of the gradients over all ranks and the optimiser's step, in one pass: a piece of the gradient is summed, and
 * its parameters are moved, while both are in cache; but in two where the norm must be known before (clip), or
 * nodes sum.
 *
 * Parameters and Adam's moments exist once a node, in memory that its ranks share; each rank's gradient lies there
 * too. The flat vector is cut into as many slices as the smallest node has ranks; rank i of each node sums its
 * slice of its node's gradients in place, the owners of a slice on different nodes all-reduce it, and each updates
 * the slice of its node. Slices end where blocks of rows do. Nothing is sent within a node, and no arithmetic is
 * done twice on one. */
typedef struct {
    const mige_comm *c;
    mige_shared memory;
    MPI_Comm owners; /* the owners of this rank's slice, one a node */
    int slices;
    size_t n;              /* parameters */
    size_t first, count;   /* this rank's slice; count 0 beyond the smallest node's ranks */
    float *params, *m, *v; /* [n], one a node */
    char *packed;          /* the networks' packed weights, one a node; NULL: none */
    float *average;        /* [n] moving average of the parameters, one a node; NULL: not kept */
    float rest;            /* what the last step's parameters are of it */
    int behind;            /* 1: it lacks the last step's */
    float **grads;         /* [node_size] each rank's gradient [n] */
    void *kept;            /* the networks' kept samples, one a node */
    int nrows;
    update_rows rows[UPDATE_ROWS]; /* in their order in the flat vector */
    float *tile;                   /* a block of one */
    size_t tile_bytes;
    struct update_piece *pieces; /* of the slice, in order */
    int npieces;
} update;

/* Room for n parameters, all 0. Collective; errors agreed. */
int update_create(const mige_comm *c, size_t n, update_room extra, update *u);
/* The weights of a layer, which begin at `first`, are moved by rows; behind those that were added before. All
 * before the first step, on all ranks alike. Not collective; MIGE_EFAIL (memory). */
int update_add(update *u, mige_net *net, int layer, size_t first);
void update_destroy(update *u);
/* n, rounded up to whole cache lines: where vectors begin. */
size_t update_stride(size_t n);

/* How a step moves the parameters. */
typedef struct {
    mige_adam adam;
    double clip;    /* a gradient of a larger norm is scaled down to this one; 0: never */
    double average; /* what the moving average keeps of itself a step */
} update_rule;

/* Step number t, by the sum of all ranks' gradients; *norm = the sum's Euclidean norm, before it is clipped. Once
 * it is not finite the parameters are of no more use. Collective. */
int update_step(update *u, const update_rule *rule, int64_t t, double *norm);
/* The average has all steps, as whoever reads it must know: steps take it along two at a time. Collective. */
int update_catch_up(update *u);
/* What the first rank of each node (`all`: rank 0) has put into params, m, v and average is seen
 * by its ranks (by all). Collective. */
int update_spread(update *u, int all);

/* ---- the networks */

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
/* When all are there: parameters and gradients move into memory that the ranks of a node share. kept: samples of
 * this rank in each backward pass of the first network, whose weights' gradients may then be products of them; -1
 * on any rank: no products. Collective on c; errors agreed. */
int model_settle(model *m, const mige_comm *c, int averaged, int kept);
void model_destroy(model *m);

/* The networks' parameters are the moving average from now on, or (0) those that are trained. */
void model_use_average(model *m, int averaged);
/* Where a checkpoint is written from and read to. */
void model_describe(const model *m, mige_checkpoint *k);
/* What rank 0 has read goes to all, running statistics included. Collective. */
int model_spread(model *m);
/* Bytes for a network's parameters with moments, average, gradient and packed weights, and for those of a
 * copy that is being written. */
double model_bytes(const mige_net *net);

/* Where training first goes wrong, each step, in place of what comes of it later.
 * Everything here is collective; errors, agreed: MIGE_ENUMERIC with tensor or layer, step and rank. */
/* --check, as a sum of these; the first is of scores. */
enum { CHECK_EIGEN = 1, CHECK_NAN = 2, CHECK_REPLICA = 4 };

/* After a forward pass of n samples: the first layer with an output that is not finite, on the rank where it is. */
int check_outputs(const mige_comm *c, const mige_net *net, int n, int64_t step);
/* After a backward pass: the last tensor (gradients come down from there) whose gradient is not finite. */
int check_gradients(const mige_comm *c, const model *m, int64_t step);
/* After the update: parameters, running statistics and Adam's moments must be rank 0's, bit by bit. */
int check_replicas(const mige_comm *c, const model *m, int64_t step);

#endif
