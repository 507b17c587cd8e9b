/* The features of a whole data set from a run's frozen encoder, one copy a node. */
#ifndef MIGE_FEATURES_H
#define MIGE_FEATURES_H

#include "app/app.h"
#include "mige/data.h"

enum { MOST_LAYERS = 3 };

typedef struct {
    int n;                         /* layers asked for */
    const char *name[MOST_LAYERS]; /* "conv", "fc", "y" */
    int layer[MOST_LAYERS];        /* in the network */
    int width[MOST_LAYERS];
} layer_list;

/* The encoder of a run as it was trained (its newest good checkpoint) or, untrained, as it began, for batches of at
 * most max_batch, and the layers that are asked for. Collective, errors agreed. */
int run_open(const app *a, const mige_data *d, int untrained, int max_batch, layer_list *l, mige_net **net,
             int64_t *step);
/* The configuration that a run was started with (RUN/config.ini). Every rank reads it. */
int run_config(const char *run, config *c);

typedef struct {
    mige_shared memory;
    float *train[MOST_LAYERS], *test[MOST_LAYERS]; /* [n][width], inside memory */
} features;

/* Running statistics in batch norm. The ranks of a node share the images; each node does all. Collective, errors
 * agreed. */
int features_create(const mige_comm *c, const mige_data *d, mige_net *net, int max_batch, const layer_list *l,
                    features *f);
void features_destroy(features *f);

/* The data file given by --data, or else the one that the run was trained on. Collective, errors agreed. */
int data_of_run(app *a, mige_data *d);

#endif
