/* Training: one step for every objective. The encoder maps the batch; each term of the objective adds to the
 * gradients of the encoder's outputs; the encoder back-propagates them, and one pass over all parameters sums over
 * the ranks and moves them. */
#ifndef MIGE_TRAIN_TRAIN_H
#define MIGE_TRAIN_TRAIN_H

#include "mige/augment.h"
#include "mige/comm.h"
#include "mige/data.h"
#include "mige/error.h"
#include "mige/metrics.h"
#include "mige/mi.h"
#include "train/model.h"
#include "train/run.h"

typedef struct objective objective;
typedef struct term term;
typedef struct trainer trainer;

/* What follows from the options, the data's shape and the number of ranks, before anything large is made. */
typedef struct {
    const train_options *o;
    const mige_score_options *score;
    const mige_data *data;
    const objective *objective;
    mige_encoder layout;
    mige_augment augment;
    int augmented;     /* at all */
    mige_net *encoder; /* a blueprint, without memory: for shapes and sizes */
    uint64_t seed;
    int ranks;
    int batch;  /* images of a step, B */
    int images; /* most images of a rank */
    /* Rows of the encoder an image, 1, or 2 views, or S draws of an implicit encoder: row i * copies + v. */
    int copies;
    /* Codes an image: the code's layer gives [images][draws][code]. Of two views draws is 2, z1 of image i lies in
     * row 2 i and z2 in row 2 i + 1. */
    int draws;
    int code, classes;
    term *terms; /* those of weight other than 0 */
    int nterms;
} train_plan;

/* A network of the model: the name of its group in checkpoints, its layers, and for how many rows at once. Its name
 * outlives the trainer. */
typedef struct {
    const char *name;
    const mige_layer_spec *spec;
    int layers, rows;
    mige_shape in;
} train_network;

/* The encoder of a training, for images of shape `in`. Not collective. Errors: MIGE_EUSAGE. */
int train_encoder(const train_options *o, mige_shape in, mige_encoder *e);

/* Of mige_net_create, for a network of this precision. */
static inline int train_net_flags(const train_options *o) {
    return o->precision == PRECISION_BFLOAT16 ? MIGE_NET_BFLOAT16 : 0;
}

/* Reads the options and checks them. Not collective. Errors: MIGE_EUSAGE, MIGE_EFAIL. */
int train_plan_create(const train_options *o, const mige_score_options *score, const mige_data *d, uint64_t seed,
                      const mige_comm *c, train_plan *p);
void train_plan_destroy(train_plan *p);
train_network train_plan_encoder(const train_plan *p);
/* Batches of `batch` images from now on. */
void train_plan_batch(train_plan *p, int batch);
/* Bytes that the largest rank takes with such batches: a trainer is created whose pool only counts. */
double train_plan_bytes(const void *plan, int batch);
/* Whether the estimator of scores has a part in that. */
int train_plan_scores(const train_plan *p);

struct trainer {
    const mige_comm *c;
    const train_plan *plan;
    const train_options *o;
    const mige_data *data;
    mige_pool pool; /* what lives as long as this */
    model model;
    mige_net *encoder; /* the model's first member */
    mige_schedule schedule;
    mige_rows images, rows; /* the batch over the ranks, as images and as rows of the encoder */
    int n;                  /* rows of this rank */
    int layers, code_layer;
    int64_t step, epoch; /* the step being done, from 1; the epoch that it belongs to, from 0 */
    mige_pass pass;
    int64_t *order; /* [training images] the epoch's */
    int64_t order_epoch;
    float *x;         /* [n][image] */
    void *scratch;    /* of the augmentation */
    int32_t *labels;  /* [images.count] */
    float **upstream; /* [layers] gradient of each layer's output [n][size], NULL where no term sends any */
    term *terms;
    int nterms, nseries;
    mige_series *series; /* [nseries] */
    double *values;      /* [nseries] of this step */
    double loss;
    double *sums; /* [2 code] */
    int checks;   /* CHECK_... of model.h */
};

/* Makes all that the plan, which outlives it, asks for. Collective; errors agreed. */
int trainer_create(const mige_comm *c, const train_plan *p, int checks, trainer *t);
void trainer_destroy(trainer *t);
/* Step number `step`, from 1: t->values, which t->series describe. Collective; errors agreed. */
int trainer_step(trainer *t, int64_t step);

/* For terms, while they are created: *net stays the model's. */
int trainer_add_member(trainer *t, train_network w, mige_net **net);
/* One of a term's values (k NULL: of the step's own): the series <of><name>. A term adds all of its own at one go,
 * in create or in settle. */
int trainer_add_series(trainer *t, term *k, const char *of, const char *name, const char *units,
                       const char *long_name);
/* Room for gradients of a layer's output. */
int trainer_want(trainer *t, int layer);

/* The code after a forward pass, this rank's images: [images][draws][code], as train_plan says. */
const float *trainer_code(const trainer *t);
/* Forward and backward pass of a term's network, with this step's statistics. *y, its last layer's output, and *dx,
 * the gradient of its input, are the network's, until its next pass; a backward pass replaces its parameters'
 * gradients. */
int trainer_forward(trainer *t, mige_net *net, const float *x, int n, const float **y);
int trainer_backward(trainer *t, mige_net *net, const float *upstream, int n, const float **dx);

/* The values of every step, before those of the terms: step.c. */
enum { LOSS, GRADIENT_NORM, EPOCH, RATE, SPEED, DEVIATION, FIXED };
int step_series(trainer *t);

/* x [n][image], with room for [n][copies][image], becomes that, each image its copies. */
void trainer_spread_copies(int n, int copies, size_t image, float *x);

/* Share of images that the classifier of a bottleneck gets wrong on the test set, percent. Collective. */
int trainer_test(trainer *t, double *error);

/* The objective of a task by name; NULL with a MIGE_EUSAGE message that lists those there are. */
const objective *objective_find(int task, const char *name);
/* All objectives, a line each, for help; malloc'ed. */
int objective_list(char **text);

#endif
