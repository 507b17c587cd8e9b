/* Deep InfoMax by MIGE: encoder, score problems and optimiser of one rank, and their training step. */
#ifndef MIGE_INFOMAX_H
#define MIGE_INFOMAX_H

#include "app/app.h"
#include "app/update.h"
#include "mige/data.h"
#include "mige/metrics.h"
#include "mige/mi.h"

typedef struct {
    const mige_comm *c;
    const config *cfg;
    const mige_data *data;
    mige_net *net;
    mige_mi *mi;
    mige_projection of_x, of_h;
    update update;  /* parameters, Adam's moments, gradients */
    int64_t *order; /* [n] the epoch's order of the training images */
    int64_t order_epoch;
    int64_t first, count; /* this rank's share of the batch */
    int checks;           /* of --check */
    int h_layer, layers;  /* the layer that is h; their number */
    int dx, dh, dz;       /* dimensions in the score problems; 0 where not used */
    float *x, *scratch;   /* [count][image], [count][projected] */
    float *dz_local, *dh_local;
    const float **upstream;             /* [layers] */
    double *mine, *X, *H, *Z, *dH, *dZ; /* this rank's rows before they are gathered; [batch][...] on every rank */
} infomax;

int infomax_create(const app *a, const mige_data *d, infomax *t);
void infomax_destroy(infomax *t);
/* Bytes a rank takes. */
double infomax_bytes(const config *c, const mige_data *d, int ranks, const mige_score_options *o);

/* One step, the `step`-th (from 1): batch -> z -> scores -> gradient -> Adam. values: what infomax_series
 * describes. Collective; errors agreed. */
int infomax_step(infomax *t, int64_t step, double *values);
/* Descriptions of the values; their number. The array lives as long as t. */
int infomax_series(const infomax *t, const mige_series **series);

/* The encoder that a configuration asks for, on a data set's images; d NULL: on images of any size. */
int encoder_plan(const config *c, const mige_data *d, mige_encoder *e);
int encoder_create(const config *c, const mige_data *d, int max_batch, mige_net **net);

#endif
