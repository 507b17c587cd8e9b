#include "mige/metrics.h"
#include "mige/error.h"
#include "mige/io.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mige_metrics {
    char *path;
    int n;
    const mige_series *series;
    int64_t rows, room;
    int64_t *step;
    double *values; /* [n][room] */
};

int mige_metrics_create(const char *path, int n, const mige_series *series, mige_metrics **out) {
    mige_metrics *m;
    MIGE_TRY(mige_alloc(1, sizeof *m, &m));
    *out = m;
    *m = (mige_metrics){strdup(path), n, series, 0, 0, NULL, NULL};
    if (m->path) return MIGE_OK;
    mige_metrics_destroy(out);
    return mige_raise(MIGE_EFAIL, "memory: no room for the metrics");
}

void mige_metrics_destroy(mige_metrics **m) {
    if (!*m) return;
    free((*m)->path);
    free((*m)->step);
    free((*m)->values);
    free(*m);
    *m = NULL;
}

static int grow(mige_metrics *m, int64_t room) {
    int64_t *step;
    double *values;
    if (room <= m->room) return MIGE_OK;
    MIGE_TRY(mige_alloc((size_t)room, sizeof *step, &step));
    int err = mige_alloc((size_t)room * (size_t)m->n, sizeof *values, &values);
    if (err) {
        free(step);
        return err;
    }
    if (m->rows) memcpy(step, m->step, (size_t)m->rows * sizeof *step);
    for (int i = 0; m->rows && i < m->n; i++)
        memcpy(values + i * room, m->values + i * m->room, (size_t)m->rows * sizeof *values);
    free(m->step);
    free(m->values);
    m->step = step;
    m->values = values;
    m->room = room;
    return MIGE_OK;
}

int mige_metrics_append(mige_metrics *m, int64_t step, const double *values) {
    if (mige_metrics_full(m)) MIGE_TRY(grow(m, m->room ? 2 * m->room : 1024));
    m->step[m->rows] = step;
    for (int i = 0; i < m->n; i++) m->values[i * m->room + m->rows] = values[i];
    m->rows++;
    return MIGE_OK;
}

int64_t mige_metrics_rows(const mige_metrics *m) {
    return m->rows;
}

int mige_metrics_full(const mige_metrics *m) {
    return m->rows == m->room;
}

static void series_path(const char *name, char path[128]) {
    snprintf(path, 128, "/train/%s", name);
}

static int read_series(mige_metrics *m, const mige_file *f, int64_t step) {
    mige_layout layout, other;
    char path[128];
    MIGE_TRY(mige_file_layout(f, "/train/step", &layout));
    MIGE_CHECK(layout.ndim == 1, MIGE_EINPUT, "%s: /train/step is not a series", m->path);
    int64_t rows = layout.dims[0];
    MIGE_TRY(grow(m, rows + 1024));
    MIGE_TRY(mige_file_read(f, "/train/step", MIGE_I64, 0, rows, m->step));
    for (int i = 0; i < m->n; i++) {
        series_path(m->series[i].name, path);
        MIGE_TRY(mige_file_layout(f, path, &other));
        MIGE_CHECK(other.ndim == 1 && other.dims[0] == rows, MIGE_EINPUT, "%s: %s is not as long as /train/step",
                   m->path, path);
        MIGE_TRY(mige_file_read(f, path, MIGE_F64, 0, rows, m->values + i * m->room));
    }
    while (m->rows < rows && m->step[m->rows] <= step) m->rows++;
    return MIGE_OK;
}

int mige_metrics_load(mige_metrics *m, int64_t step) {
    mige_file *f;
    if (access(m->path, F_OK) != 0 && errno == ENOENT) return MIGE_OK;
    MIGE_TRY(mige_file_open(m->path, "mige-run", &f));
    int err = read_series(m, f, step);
    mige_file_close(&f);
    return err;
}

int mige_metrics_write(const mige_metrics *m, int64_t rows) {
    mige_file *f;
    char path[128];
    int err;
    MIGE_TRY(mige_file_create(m->path, "mige-run", &f));
    mige_layout steps = {MIGE_I64, 1, {rows}}, values = {MIGE_F64, 1, {rows}};
    MIGE_TRY_GOTO(
        mige_file_write(f, "/train/step", steps, m->step, "steps", "training steps done", MIGE_EXTENSIBLE), failed);
    for (int i = 0; i < m->n; i++) {
        series_path(m->series[i].name, path);
        MIGE_TRY_GOTO(mige_file_write(f, path, values, m->values + i * m->room, m->series[i].units,
                                      m->series[i].long_name, MIGE_EXTENSIBLE),
                      failed);
    }
    return mige_file_commit(&f);
failed:
    mige_file_discard(&f);
    return err;
}
