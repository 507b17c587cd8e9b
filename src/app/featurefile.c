/* Features that a file has, as mige encode writes them. */
#include "app/app.h"
#include "mige/log.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPLITS = 2, MOST_CLASSES = 10000 };
static const char *const splits[SPLITS] = {"train", "test"};

/* What every rank needs to know before it is read. */
typedef struct {
    int64_t n[SPLITS], width[MOST_LAYERS], classes;
} sizes;

static void name_of(int split, const char *layer, char name[256]) {
    snprintf(name, 256, "/%s/%s", splits[split], layer);
}

static int measure_split(const mige_file *f, const layer_list *l, int split, sizes *s) {
    char name[256];
    mige_layout layout;
    name_of(split, "labels", name);
    MIGE_TRY(mige_file_layout(f, name, &layout));
    MIGE_CHECK(layout.ndim == 1 || (layout.ndim == 2 && layout.dims[1] == 1), MIGE_EINPUT,
               "%s: %s is not class numbers [N] (one-hot? take argmax)", mige_file_path(f), name);
    s->n[split] = layout.dims[0];
    for (int k = 0; k < l->n; k++) {
        name_of(split, l->name[k], name);
        MIGE_TRY(mige_file_layout(f, name, &layout));
        MIGE_CHECK(layout.ndim == 2 && layout.dims[0] == s->n[split] && layout.dims[0] > 0 && layout.dims[1] > 0 &&
                       layout.dims[1] < 1 << 24 && (split == 0 || layout.dims[1] == s->width[k]),
                   MIGE_EINPUT, "%s: %s is not [%lld, D] with D as in /train (labels of as many images beside it)",
                   mige_file_path(f), name, (long long)s->n[split]);
        s->width[k] = layout.dims[1];
    }
    return MIGE_OK;
}

static int measure(const app *a, const layer_list *l, mige_file **f, sizes *s) {
    char **names = NULL;
    int n = 0;
    MIGE_TRY(mige_file_open(a->cfg.input, MIGE_ANY_HDF5, f));
    for (int i = 0; i < SPLITS; i++) MIGE_TRY(measure_split(*f, l, i, s));
    MIGE_TRY(mige_data_count_classes(*f, SPLITS, s->n, &s->classes));
    if (mige_file_has(*f, "/class_names")) MIGE_TRY(mige_file_read_names(*f, "/class_names", &n, &names));
    free(names);
    if (n) s->classes = n;
    MIGE_CHECK(s->classes > 0 && n <= MOST_CLASSES, MIGE_EINPUT, "%s: too many classes, or none", a->cfg.input);
    return MIGE_OK;
}

static int read_labels(const mige_file *f, const char *name, int64_t n, int classes, int32_t *labels) {
    double *x;
    MIGE_TRY(mige_alloc((size_t)n, sizeof *x, &x));
    int err = mige_file_read(f, name, MIGE_F64, 0, n, x);
    for (int64_t r = 0; !err && r < n; r++) {
        if (!(x[r] >= 0 && x[r] < classes && x[r] == floor(x[r])))
            err = mige_raise(MIGE_EINPUT, "%s: %s: record %lld has label %.15g, not a whole number within 0 to %d",
                             mige_file_path(f), name, (long long)r, x[r], classes - 1);
        else
            labels[r] = (int32_t)x[r];
    }
    free(x);
    return err;
}

/* Doubles far from 0, whose differences a float loses: told by the first rows. */
static int warn_of_rounding(const mige_file *f, const char *name, int64_t rows, int64_t width) {
    enum { FEW = 20, SOME = 1000, MOST = 10000000 };
    double *x;
    mige_layout layout;
    int64_t n = rows < SOME ? rows : SOME;
    if (n > MOST / width) n = MOST / width;
    MIGE_TRY(mige_file_layout(f, name, &layout));
    if (layout.type != MIGE_F64 || n < FEW) return MIGE_OK;
    MIGE_TRY(mige_alloc((size_t)(n * width), sizeof *x, &x));
    int lost = 0, err = mige_file_read(f, name, MIGE_F64, 0, n, x);
    for (int64_t k = 0; !err && k < width && !lost; k++) {
        double low = x[k], high = x[k];
        for (int64_t i = 1; i < n; i++) {
            low = fmin(low, x[i * width + k]);
            high = fmax(high, x[i * width + k]);
        }
        lost = high > low && high - low < 1000 * FLT_EPSILON * fmax(fabs(low), fabs(high));
        if (lost)
            mige_warn("%s: %s: column %lld, from 0, is too far from 0 for single precision (take its mean away)",
                      mige_file_path(f), name, (long long)k);
    }
    free(x);
    return err;
}

/* One on each node. */
static int fill(const mige_file *f, const layer_list *l, const features *x, const mige_data *d) {
    const mige_split *part[SPLITS] = {&d->train, &d->test};
    char name[256];
    for (int i = 0; i < SPLITS; i++) {
        int32_t *labels = (int32_t *)(uintptr_t)part[i]->labels;
        name_of(i, "labels", name);
        MIGE_TRY(read_labels(f, name, part[i]->n, d->classes, labels));
        for (int k = 0; k < l->n; k++) {
            float *to = i == 0 ? x->train[k] : x->test[k];
            name_of(i, l->name[k], name);
            MIGE_TRY(mige_file_read(f, name, MIGE_F32, 0, part[i]->n, to));
            MIGE_CHECK(!mige_not_finite_float((size_t)part[i]->n * (size_t)l->width[k], to), MIGE_EINPUT,
                       "%s: %s has a number that is not finite, or too large for a float", mige_file_path(f), name);
            if (i == 0) probe_doubts(mige_file_path(f), name, part[i]->n, l->width[k], to);
            if (i == 0) MIGE_TRY(warn_of_rounding(f, name, part[i]->n, l->width[k]));
        }
    }
    return MIGE_OK;
}

static int read_all(app *a, layer_list *l, mige_file **f, features *x, mige_data *d) {
    sizes s = {0};
    int reader = a->comm.node_rank == 0;
    MIGE_TRY(mige_agree(&a->comm, reader ? measure(a, l, f, &s) : MIGE_OK));
    MIGE_TRY(mige_bcast(&a->comm, 0, &s, sizeof s));
    for (int k = 0; k < l->n; k++) l->width[k] = (int)s.width[k];
    MIGE_TRY(features_room(&a->comm, l, s.n[0], s.n[1], (size_t)(s.n[0] + s.n[1]) * sizeof(int32_t), x));
    const int32_t *labels = x->rest;
    *d = (mige_data){
        .train = {s.n[0], NULL, labels}, .test = {s.n[1], NULL, labels + s.n[0]}, .classes = (int)s.classes};
    MIGE_TRY(mige_agree(&a->comm, reader ? fill(*f, l, x, d) : MIGE_OK));
    return mige_shared_sync(&a->comm, &x->memory);
}

int features_read(app *a, layer_list *l, features *x, mige_data *d) {
    static char names[MIGE_OPT_TEXT_SIZE]; /* cut into those of the layers */
    mige_file *f = NULL;
    MIGE_CHECK(*a->cfg.layers, MIGE_EUSAGE,
               "--layers: must be given with --input: names of data sets in /train and /test");
    strcpy(names, a->cfg.layers);
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
        MIGE_CHECK(l->n < MOST_LAYERS, MIGE_EUSAGE, "--layers: more than %d", MOST_LAYERS);
        l->name[l->n++] = name;
    }
    int err = read_all(a, l, &f, x, d);
    mige_file_close(&f);
    return err;
}
