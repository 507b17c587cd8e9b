/* Sum of the gradients over all ranks and the optimiser's step, in one pass.
 *
 * Parameters and Adam's moments exist once a node, in memory that its ranks share; each rank's gradient lies there
 * too. The flat vector is cut into as many slices as the smallest node has ranks; rank i of each node sums its
 * slice of its node's gradients in place, the owners of a slice on different nodes all-reduce it, and each updates
 * the slice of its node. Nothing is sent within a node, and no arithmetic is done twice on one. */
#ifndef MIGE_UPDATE_H
#define MIGE_UPDATE_H

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
    float **grads;         /* [node_size] each rank's gradient [n] */
} update;

/* Moves the network's parameters (as they are on each node's first rank) and gradients into shared memory; the
 * moments are 0. The network must not be used after update_destroy. Collective; errors agreed. */
int update_create(const mige_comm *c, mige_net *net, update *u);
void update_destroy(update *u);
/* Bytes of the block a node, for n parameters. */
double update_bytes(size_t n, int node_size);

/* One step of Adam, number t, by the sum of all ranks' gradients; *norm = the sum's Euclidean norm. A sum that is
 * not finite changes nothing. Collective. */
int update_step(update *u, const mige_adam *adam, int64_t t, double *norm);
/* What rank 0 has put into params, m and v goes to every node. Collective. */
int update_spread(update *u);

#endif
