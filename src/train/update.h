/* Sum of the gradients over all ranks and the optimiser's step, in one pass.
 *
 * Parameters and Adam's moments exist once a node, in memory that its ranks share; each rank's gradient lies there
 * too. The flat vector is cut into as many slices as the smallest node has ranks; rank i of each node sums its
 * slice of its node's gradients in place, the owners of a slice on different nodes all-reduce it, and each updates
 * the slice of its node. Nothing is sent within a node, and no arithmetic is done twice on one. */
#ifndef MIGE_TRAIN_UPDATE_H
#define MIGE_TRAIN_UPDATE_H

#include "mige/comm.h"
#include "mige/nn.h"

typedef struct {
    const mige_comm *c;
    mige_shared memory;
    MPI_Comm owners; /* the owners of this rank's slice, one a node */
    int slices;
    size_t n;              /* parameters */
    size_t first, count;   /* this rank's slice; count 0 beyond the smallest node's ranks */
    float *params, *m, *v; /* [n], one a node */
    float *average;        /* [n] moving average of the parameters, one a node; NULL: not kept */
    float **grads;         /* [node_size] each rank's gradient [n] */
} update;

/* Room for n parameters, all 0, and for their average if it is wanted. Collective; errors agreed. */
int update_create(const mige_comm *c, size_t n, int averaged, update *u);
void update_destroy(update *u);
/* n, rounded up to whole cache lines: where vectors begin. */
size_t update_stride(size_t n);
/* Bytes of the block a node. */
double update_bytes(size_t n, int averaged, int node_size);

/* How a step moves the parameters. */
typedef struct {
    mige_adam adam;
    double clip;    /* a gradient of a larger norm is scaled down to this one; 0: never */
    double average; /* what the moving average keeps of itself a step */
} update_rule;

/* Step number t, by the sum of all ranks' gradients; *norm = the sum's Euclidean norm, before it is clipped. A sum
 * that is not finite changes nothing. Collective. */
int update_step(update *u, const update_rule *rule, int64_t t, double *norm);
/* What the first rank of each node (`all`: rank 0) has put into params, m, v and average is seen
 * by its ranks (by all). Collective. */
int update_spread(update *u, int all);

#endif
