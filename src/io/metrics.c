#include "mige/metrics.h"
#include "mige/error.h"
#include "mige/io.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    mige_metrics_table is;
    int64_t rows, room;
    int64_t *step;
    double *values; /* [n][room] */
} table;

struct mige_metrics {
    char *path;
    int n;
    table table[MIGE_METRICS_TABLES];
};

int mige_metrics_create(const char *path, int ntables, const mige_metrics_table *tables, mige_metrics **out) {
    mige_metrics *m;
    MIGE_TRY(mige_alloc(1, sizeof *m, &m));
    *out = m;
    m->n = ntables;
    for (int i = 0; i < ntables; i++) m->table[i].is = tables[i];
    int err = mige_text(&m->path, "%s", path);
    if (err) mige_metrics_destroy(out);
    return err;
}

void mige_metrics_destroy(mige_metrics **m) {
    if (!*m) return;
    free((*m)->path);
    for (int i = 0; i < (*m)->n; i++) {
        free((*m)->table[i].step);
        free((*m)->table[i].values);
    }
    free(*m);
    *m = NULL;
}

static int grow(table *t, int64_t room) {
    int64_t *step;
    double *values;
    if (room <= t->room) return MIGE_OK;
    MIGE_TRY(mige_alloc((size_t)room, sizeof *step, &step));
    int err = mige_alloc((size_t)room * (size_t)t->is.n, sizeof *values, &values);
    if (err) {
        free(step);
        return err;
    }
    if (t->rows) memcpy(step, t->step, (size_t)t->rows * sizeof *step);
    for (int i = 0; t->rows && i < t->is.n; i++)
        memcpy(values + i * room, t->values + i * t->room, (size_t)t->rows * sizeof *values);
    free(t->step);
    free(t->values);
    t->step = step;
    t->values = values;
    t->room = room;
    return MIGE_OK;
}

int mige_metrics_append(mige_metrics *m, int which, int64_t step, const double *values) {
    table *t = &m->table[which];
    if (t->rows == t->room) MIGE_TRY(grow(t, t->room ? 2 * t->room : 1024));
    t->step[t->rows] = step;
    for (int i = 0; i < t->is.n; i++) t->values[i * t->room + t->rows] = values[i];
    t->rows++;
    return MIGE_OK;
}

int64_t mige_metrics_rows(const mige_metrics *m, int which) {
    return m->table[which].rows;
}

int mige_metrics_full(const mige_metrics *m, int which) {
    return m->table[which].rows == m->table[which].room;
}

static void series_path(const table *t, const char *name, char path[128]) {
    snprintf(path, 128, "/%s/%s", t->is.name, name);
}

static int read_table(const mige_metrics *m, table *t, const mige_file *f, int64_t step) {
    mige_layout layout, other;
    char path[128];
    series_path(t, "step", path);
    if (t != m->table && !mige_file_has(f, path)) return MIGE_OK;
    MIGE_TRY(mige_file_layout(f, path, &layout));
    MIGE_CHECK(layout.ndim == 1, MIGE_EINPUT, "%s: %s is not a series", m->path, path);
    int64_t rows = layout.dims[0];
    MIGE_TRY(grow(t, rows + 1024));
    MIGE_TRY(mige_file_read(f, path, MIGE_I64, 0, rows, t->step));
    for (int i = 0; i < t->is.n; i++) {
        series_path(t, t->is.series[i].name, path);
        MIGE_TRY(mige_file_layout(f, path, &other));
        MIGE_CHECK(other.ndim == 1 && other.dims[0] == rows, MIGE_EINPUT, "%s: %s is not as long as its steps",
                   m->path, path);
        MIGE_TRY(mige_file_read(f, path, MIGE_F64, 0, rows, t->values + i * t->room));
    }
    while (t->rows < rows && t->step[t->rows] <= step) t->rows++;
    return MIGE_OK;
}

int mige_metrics_load(mige_metrics *m, int64_t step) {
    mige_file *f;
    int err = MIGE_OK;
    if (access(m->path, F_OK) != 0 && errno == ENOENT) return MIGE_OK;
    MIGE_TRY(mige_file_open(m->path, "mige-run", &f));
    for (int i = 0; !err && i < m->n; i++) err = read_table(m, &m->table[i], f, step);
    mige_file_close(&f);
    return err;
}

static int write_table(const table *t, mige_file *f, int64_t rows) {
    char path[128];
    mige_layout steps = {MIGE_I64, 1, {rows}}, values = {MIGE_F64, 1, {rows}};
    series_path(t, "step", path);
    MIGE_TRY(mige_file_write(f, path, steps, t->step, "steps", "training steps done", MIGE_EXTENSIBLE));
    for (int i = 0; i < t->is.n; i++) {
        const mige_series *s = &t->is.series[i];
        series_path(t, s->name, path);
        MIGE_TRY(
            mige_file_write(f, path, values, t->values + i * t->room, s->units, s->long_name, MIGE_EXTENSIBLE));
    }
    return MIGE_OK;
}

int mige_metrics_write(const mige_metrics *m, const int64_t rows[MIGE_METRICS_TABLES]) {
    mige_file *f;
    int err = MIGE_OK;
    MIGE_TRY(mige_file_create(m->path, "mige-run", &f));
    for (int i = 0; !err && i < m->n; i++) err = write_table(&m->table[i], f, rows[i]);
    return mige_file_commit(&f, err);
}
