/* What frozen features tell of the classes: classifiers that are trained on them, and their neighbours. */
#ifndef MIGE_STUDY_PROBE_H
#define MIGE_STUDY_PROBE_H

#include "mige/comm.h"
#include "mige/data.h"

/* Features of all images of a data set, [n][width]. */
typedef struct {
    const mige_data *data; /* number of images, labels */
    int width;
    const float *train, *test;
} probe_features;

/* mlp: linear 200, dropout, batch norm, ReLU, linear to the classes. linear: of features that batch norm has
 * brought to one scale. */
#define PROBE_CLASSIFIERS "mlp|linear"
enum { PROBE_MLP, PROBE_LINEAR, PROBE_KINDS };

/* Adam, its rate a tenth after 7/10 of the epochs. rate 0: 1e-3, or 2e-4 for 3,000 features and more: what is flat
 * after 20 epochs, wide features and narrow ones. */
typedef struct {
    int64_t epochs, batch;
    double rate, dropout;
    uint64_t seed;
    int flags; /* of mige_net_create: its precision */
} probe_options;

/* Warns of features x [rows][width] that classifiers may fail at, by their first rows: norms add 1e-5 to variances,
 * and mlp's first layer learns means slowly. path, name: for the message. Not collective. */
void probe_doubts(const char *path, const char *name, int64_t rows, int64_t width, const float *x);

/* Trains a classifier on one rank alone. accuracy [epochs]: of the test images after each epoch, percent, which
 * tell(ctx, epochs done, accuracy) hears too. Not collective. Errors: MIGE_EFAIL. */
typedef void (*probe_tell)(void *ctx, int64_t epochs, double accuracy);
int probe_train(const probe_features *f, int kind, const probe_options *o, probe_tell tell, void *ctx,
                double *accuracy);

/* The share, in percent, of test images whose class most of their K nearest training images have, nearest by
 * cosine; of classes that are level the first. Collective: the ranks share the test images. Errors, agreed:
 * MIGE_EUSAGE (K above the number of training images), MIGE_EFAIL. */
int probe_neighbours(const mige_comm *c, const probe_features *f, int64_t K, double *accuracy);

#endif
