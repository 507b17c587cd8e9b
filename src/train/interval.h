/* What is recorded each time the metrics are written: where the time went since then, and how the code fills its
 * dimensions. */
#ifndef MIGE_TRAIN_INTERVAL_H
#define MIGE_TRAIN_INTERVAL_H

#include "mige/clock.h"
#include "mige/metrics.h"
#include "train/train.h"

enum { INTERVAL_MOST_CODE = 512, INTERVAL_SERIES = MIGE_PHASES + 11 }; /* 1, 2, 4, ... 512, and their summary */

typedef struct {
    mige_series series[INTERVAL_SERIES];
    double values[INTERVAL_SERIES], before[MIGE_PHASES];
    struct {
        char name[40], about[96];
    } text[INTERVAL_SERIES];
    int n, code;    /* series; dimensions of the code, 0: too many for a spectrum */
    double *memory; /* mean [code], covariance [code][code], a block of rows or the solver's room */
} interval;

/* Names the series, which point into v, and takes memory. Not collective. Errors: MIGE_EFAIL. */
int interval_create(const train_plan *p, interval *v);
void interval_destroy(interval *v);
/* values of the step just done: seconds of this rank's phases since the last call, and on rank 0 the eigenvalues of
 * the covariance of the batch's codes. Collective; errors agreed. */
int interval_measure(const trainer *t, interval *v);

#endif
