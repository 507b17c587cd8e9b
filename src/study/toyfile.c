/* The file of mige toy. */
#include "mige/error.h"
#include "mige/io.h"
#include "study/toy.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NAME_SIZE = 128 };

static const struct {
    const char *name, *units, *long_name;
} values[VALUES] = {
    [GRADIENT] = {"gradient", "nat", "estimate of the derivative of I(x;y) by rho"},
    [MI] = {"mi", "nat", "the critic's bound on I(x;y)"},
    [STEPS] = {"steps", "1", "training steps until the bound did not rise any more"},
    [EIGEN_MARGINAL] = {"eigen_marginal", "1", "eigenpairs kept for the score of y"},
    [EIGEN_JOINT] = {"eigen_joint", "1", "eigenpairs kept for the score of (x, y)"},
};

static int has(const toy *t, int method, int value) {
    if (value == GRADIENT) return 1;
    if (method == METHOD_MIGE)
        return value >= EIGEN_MARGINAL && mige_estimator_get(t->study->score.estimator)->has_eigenpairs;
    return value == MI || (value == STEPS && method >= METHOD_MINE_JOINT);
}

static void data_name(const toy *t, int d, int m, const char *what, char name[NAME_SIZE]) {
    char method[32] = "";
    if (m >= 0) mige_options_choice(METHODS, t->methods[m], method, sizeof method);
    snprintf(name, NAME_SIZE, "/d%lld/%s%s%s", (long long)t->dims[d], method, m >= 0 ? "/" : "", what);
}

/* The truth along the grid; numbers [nrho] is room for it. */
static int write_truth(const toy *t, mige_file *f, int d, double *numbers) {
    char name[NAME_SIZE];
    mige_layout layout = {MIGE_F64, 1, {t->nrho}};
    for (int i = 0; i < t->nrho; i++) numbers[i] = truth_mi((int)t->dims[d], t->rho[i]);
    data_name(t, d, -1, "true_mi", name);
    MIGE_TRY(mige_file_write(f, name, layout, numbers, "nat", "mutual information of x and y", 0));
    for (int i = 0; i < t->nrho; i++) numbers[i] = truth_gradient((int)t->dims[d], t->rho[i]);
    data_name(t, d, -1, "true_gradient", name);
    return mige_file_write(f, name, layout, numbers, "nat", "derivative of the mutual information by rho", 0);
}

static int write_method(const toy *t, mige_file *f, int d, int m) {
    char name[NAME_SIZE];
    mige_layout layout = {MIGE_F64, 2, {toy_repeats(t, t->methods[m]), t->nrho}};
    for (int v = 0; v < VALUES; v++) {
        if (!has(t, t->methods[m], v)) continue;
        data_name(t, d, m, values[v].name, name);
        MIGE_TRY(mige_file_write(f, name, layout, t->values[v] + toy_first(t, d, m), values[v].units,
                                 values[v].long_name, 0));
    }
    return MIGE_OK;
}

static int write_all(const toy *t, mige_file *f) {
    double *numbers;
    int err = MIGE_OK;
    MIGE_TRY(mige_file_write(f, "/rho", (mige_layout){MIGE_F64, 1, {t->nrho}}, t->rho, "1",
                             "correlation of x_i and y_i", 0));
    MIGE_TRY(mige_file_set_text(f, "/", "draws", "philox4x32-10"));
    MIGE_TRY(mige_alloc((size_t)t->nrho, sizeof *numbers, &numbers));
    for (int d = 0; d < t->ndims && !err; d++) {
        err = write_truth(t, f, d, numbers);
        for (int m = 0; m < t->nmethods && !err; m++) err = write_method(t, f, d, m);
    }
    free(numbers);
    return err;
}

int toy_save(const toy *t) {
    mige_file *f;
    MIGE_TRY(mige_file_create(t->study->output, "mige-toy", &f));
    return mige_file_commit(&f, write_all(t, f));
}

static int read_method(toy *t, const mige_file *f, int d, int m) {
    char name[NAME_SIZE];
    mige_layout layout;
    int64_t repeats = toy_repeats(t, t->methods[m]);
    for (int v = 0; v < VALUES; v++) {
        if (!has(t, t->methods[m], v)) continue;
        data_name(t, d, m, values[v].name, name);
        MIGE_TRY(mige_file_layout(f, name, &layout));
        MIGE_CHECK(layout.ndim == 2 && layout.dims[0] == repeats && layout.dims[1] == t->nrho, MIGE_EINPUT,
                   "%s: %s has another shape than its configuration says", t->study->output, name);
        MIGE_TRY(mige_file_read(f, name, MIGE_F64, 0, repeats, t->values[v] + toy_first(t, d, m)));
    }
    return MIGE_OK;
}

int toy_restore(toy *t, int *found) {
    mige_file *f;
    *found = access(t->study->output, F_OK) == 0;
    if (!*found) return MIGE_OK;
    MIGE_TRY(mige_file_open(t->study->output, "mige-toy", &f));
    int err = mige_file_same_options(f, &t->study->given, "give the same options, or another --output");
    if (!err && !mige_file_has(f, "draws"))
        err = mige_raise(MIGE_EINPUT, "%s: an earlier version began it, on other draws (give another --output)",
                         t->study->output);
    for (int d = 0; d < t->ndims && !err; d++)
        for (int m = 0; m < t->nmethods && !err; m++) err = read_method(t, f, d, m);
    mige_file_close(&f);
    return err;
}
