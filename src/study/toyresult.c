/* The file of mige toy, and the table that it prints: how far each method is from the truth. */
#include "mige/log.h"
#include "study/toy.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NAME_SIZE = 128 };

static const struct {
    const char *name, *units, *long_name;
} values[VALUES] = {
    [GRADIENT] = {"gradient", "nat", "estimate of the derivative of I(x;y) by rho"},
    [MI] = {"mi", "nat", "estimate of I(x;y): a critic's bound, or that by scores"},
    [STEPS] = {"steps", "1", "training steps until the bound did not rise any more"},
    [EIGEN_MARGINAL] = {"eigen_marginal", "1", "eigenpairs kept for the score of y"},
    [EIGEN_JOINT] = {"eigen_joint", "1", "eigenpairs kept for the score of (x, y)"},
};

static int has(const toy *t, int method, int value) {
    if (value == GRADIENT) return 1;
    if (method == METHOD_MIGE && value == MI) return t->o->mi;
    if (method == METHOD_MIGE)
        return value >= EIGEN_MARGINAL && mige_estimator_get(t->study->score.estimator)->has_eigenpairs;
    return value == MI || (value == STEPS && method_until_flat(method));
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
    for (int i = 0; i < t->nrho; i++) numbers[i] = truth_mi(t->o->problem, (int)t->dims[d], t->rho[i]);
    data_name(t, d, -1, "true_mi", name);
    MIGE_TRY(mige_file_write(f, name, layout, numbers, "nat", "mutual information of x and y", 0));
    for (int i = 0; i < t->nrho; i++) numbers[i] = truth_gradient(t->o->problem, (int)t->dims[d], t->rho[i]);
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

static int64_t gradients_left(const toy *t) {
    int64_t left = 0;
    for (int64_t i = 0; i < t->ncells; i++) left += isnan(t->values[GRADIENT][i]) != 0;
    return left;
}

static int write_all(const toy *t, mige_file *f) {
    double *numbers;
    int err = MIGE_OK;
    MIGE_TRY(mige_file_write(f, "/rho", (mige_layout){MIGE_F64, 1, {t->nrho}}, t->rho, "1",
                             "correlation of x_i and y_i", 0));
    MIGE_TRY(mige_file_set_text(f, "/", "draws", "philox4x32-10"));
    MIGE_TRY(study_write_left(f, t->study->output, gradients_left(t)));
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

/* ---- the table */

typedef struct {
    double sum, squares;
    int64_t n;
} moments;

static void add(moments *m, double x) {
    if (isnan(x)) return;
    m->sum += x;
    m->squares += x * x;
    m->n++;
}
static double mean(const moments *m) {
    return m->n ? m->sum / (double)m->n : NAN;
}
static double deviation(const moments *m) {
    double n = (double)m->n, variance = (m->squares - m->sum * m->sum / n) / (n - 1);
    return m->n > 1 ? sqrt(fmax(variance, 0)) : NAN;
}

/* Root mean square over the grid of the error, relative to that of the truth, of one repeat. */
static double relative_error(const toy *t, int D, const double *gradient) {
    double error = 0, truth = 0;
    for (int i = 0; i < t->nrho; i++) {
        double g = truth_gradient(t->o->problem, D, t->rho[i]);
        error += (gradient[i] - g) * (gradient[i] - g);
        truth += g * g;
    }
    return truth > 0 ? sqrt(error / truth) : NAN;
}

static double largest_rho(const toy *t) {
    double most = 0;
    for (int i = 0; i < t->nrho; i++) most = fmax(most, fabs(t->rho[i]));
    return most;
}

/* At both ends of the grid, where |rho| is largest: mean relative error, and its deviation over repeats. */
static void at_ends(const toy *t, int D, int64_t repeats, const double *gradient, double *bias, double *spread) {
    moments biases = {0}, variances = {0};
    double most = largest_rho(t);
    for (int i = 0; i < t->nrho; i++) {
        if (most <= 0 || fabs(t->rho[i]) < most - 1e-9) continue;
        moments m = {0};
        for (int64_t r = 0; r < repeats; r++)
            add(&m, gradient[r * t->nrho + i] / truth_gradient(t->o->problem, D, t->rho[i]) - 1);
        add(&biases, mean(&m));
        add(&variances, deviation(&m) * deviation(&m));
    }
    *bias = mean(&biases);
    *spread = sqrt(mean(&variances));
}

static void print_row(const toy *t, int d, int m) {
    int D = (int)t->dims[d];
    int64_t repeats = toy_repeats(t, t->methods[m]);
    const double *gradient = t->values[GRADIENT] + toy_first(t, d, m);
    moments errors = {0};
    double bias, spread;
    char name[32], plus[32] = "", deviate[32] = "-";
    for (int64_t r = 0; r < repeats; r++) add(&errors, relative_error(t, D, gradient + r * t->nrho));
    at_ends(t, D, repeats, gradient, &bias, &spread);
    mige_options_choice(METHODS, t->methods[m], name, sizeof name);
    if (errors.n > 1) snprintf(plus, sizeof plus, " +- %.4f", deviation(&errors));
    if (!isnan(spread)) snprintf(deviate, sizeof deviate, "%.4f", spread);
    mige_print("%4d  %-13s %.4f%-10s  %+9.4f  %14s", D, name, mean(&errors), plus, bias, deviate);
}

void toy_print(const toy *t) {
    mige_print("   d  method        relative RMSE      bias at %-4.2g  sd over repeats", largest_rho(t));
    for (int d = 0; d < t->ndims; d++)
        for (int m = 0; m < t->nmethods; m++) print_row(t, d, m);
}
