/* The series of a run, RUN/metrics.h5: tables, "train" a row a step, others a row now and then. The file is written
 * anew, aside, and renamed each time, so that a reader (or a kill) always finds a whole one. Not collective: one
 * rank keeps and writes them. */
#ifndef MIGE_METRICS_H
#define MIGE_METRICS_H

#include <stdint.h>

typedef struct {
    const char *name, *units, *long_name; /* the series /<table>/<name> */
} mige_series;

typedef struct {
    const char *name;
    int n;
    const mige_series *series; /* [n] beside /<name>/step */
} mige_metrics_table;
enum { MIGE_METRICS_TABLES = 3 };

typedef struct mige_metrics mige_metrics;

/* The descriptions must outlive m. Errors: MIGE_EFAIL. */
int mige_metrics_create(const char *path, int ntables, const mige_metrics_table *tables, mige_metrics **m);
void mige_metrics_destroy(mige_metrics **m);
/* Takes over the rows of the file at the path up to and including `step`; a missing file, and a missing table but
 * for the first, is none. Errors: MIGE_EINPUT. */
int mige_metrics_load(mige_metrics *m, int64_t step);
/* A row of a table; values [n]. Memory only. While another thread writes, rows may be appended until the memory is
 * full. */
int mige_metrics_append(mige_metrics *m, int table, int64_t step, const double *values);
int64_t mige_metrics_rows(const mige_metrics *m, int table);
int mige_metrics_full(const mige_metrics *m, int table);
/* The first rows[table] rows of each. Errors: MIGE_EOUTPUT. */
int mige_metrics_write(const mige_metrics *m, const int64_t rows[MIGE_METRICS_TABLES]);

#endif
