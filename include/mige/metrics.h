/* The series of a run, RUN/metrics.h5. The file is written anew, aside, and renamed each time, so that a reader (or
 * a kill) always finds a whole one. Not collective: one rank keeps and writes them. */
#ifndef MIGE_METRICS_H
#define MIGE_METRICS_H

#include <stdint.h>

typedef struct {
    const char *name, *units, *long_name; /* the series /train/<name> */
} mige_series;

typedef struct mige_metrics mige_metrics;

/* `n` series beside /train/step; the descriptions must outlive m. */
int mige_metrics_create(const char *path, int n, const mige_series *series, mige_metrics **m);
void mige_metrics_destroy(mige_metrics **m);
/* Takes over the rows of the file at the path up to and including `step`; a missing file is none. Errors:
 * MIGE_EINPUT. */
int mige_metrics_load(mige_metrics *m, int64_t step);
/* A row; values [n]. Memory only. While another thread writes, rows may be appended until the memory is full. */
int mige_metrics_append(mige_metrics *m, int64_t step, const double *values);
int64_t mige_metrics_rows(const mige_metrics *m);
int mige_metrics_full(const mige_metrics *m);
/* The first `rows` rows. Errors: MIGE_EOUTPUT. */
int mige_metrics_write(const mige_metrics *m, int64_t rows);

#endif
