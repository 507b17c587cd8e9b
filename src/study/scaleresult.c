/* The file of mige scale, and its table; what a case will take. */
#include "mige/log.h"
#include "mige/mi.h"
#include "study/scale.h"
#include "study/truth.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What is kept of a case: whole numbers, means over draws and plain values. */
enum kind { WHOLE, MEAN, VALUE };
static const struct {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *units, *long_name;
} columns[] = {
    {"/samples", WHOLE, offsetof(scale_case, M), "1", "samples of a gradient, M"},
    {"/ranks", WHOLE, offsetof(scale_case, ranks), "1", "MPI ranks"},
    {"/draws", WHOLE, offsetof(scale_case, draws), "1",
     "gradients done; fewer than repeats times rho: not complete"},
    {"/eigen", MEAN, offsetof(scale_case, J), "1", "eigenpairs kept for the score of (x, y), mean"},
    {"/eigen_marginal", MEAN, offsetof(scale_case, J_marginal), "1", "eigenpairs kept for the score of y, mean"},
    {"/seconds_gram", MEAN, offsetof(scale_case, seconds[GRAM]), "s", "distances, width, kernel; busiest rank"},
    {"/seconds_eigen", MEAN, offsetof(scale_case, seconds[EIGEN]), "s",
     "eigenproblem, or factorisation; busiest rank"},
    {"/seconds_score", MEAN, offsetof(scale_case, seconds[APPLY]), "s",
     "products or solves that give the scores; busiest rank"},
    {"/seconds_total", MEAN, offsetof(scale_case, total), "s", "one gradient, slowest rank"},
    {"/flops_gram", MEAN, offsetof(scale_case, flops[GRAM]), "1", "operations of a gradient, all ranks"},
    {"/flops_eigen", MEAN, offsetof(scale_case, flops[EIGEN]), "1", "operations of a gradient, all ranks"},
    {"/flops_apply", MEAN, offsetof(scale_case, flops[APPLY]), "1", "operations of a gradient, all ranks"},
    {"/bytes_per_rank", VALUE, offsetof(scale_case, bytes), "byte",
     "resident memory taken, largest rank, measured"},
    {"/bytes_predicted", VALUE, offsetof(scale_case, predicted), "byte", "the same, from the sizes alone"},
    {"/dgemm_gflops", VALUE, offsetof(scale_case, dgemm), "GFLOP/s",
     "dgemm on the slowest rank, all ranks at it at once"},
    {"/relative_error", VALUE, offsetof(scale_case, error), "1",
     "RMSE of dI/drho over the grid of rho, relative to its RMS; mean over repeats"},
    {"/relative_error_sd", VALUE, offsetof(scale_case, deviation), "1",
     "standard deviation of relative_error over repeats"},
    {"/slope", VALUE, offsetof(scale_case, slope), "1",
     "least squares slope through 0 of the estimates of dI/drho on the truth; 1: unbiased"},
    {"/gflops", VALUE, offsetof(scale_case, gflops), "GFLOP/s",
     "operations of all phases and ranks by seconds_total"},
    {"/repeats", VALUE, offsetof(scale_case, repeats), "1", "repeats asked for"},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static double get(const scale_case *k, int column) {
    const char *at = (const char *)k + columns[column].offset;
    if (columns[column].kind == WHOLE) return (double)*(const int64_t *)(const void *)at;
    double value = *(const double *)(const void *)at;
    return columns[column].kind == MEAN ? value / (double)k->draws : value;
}

static void put(scale_case *k, int column, double value) {
    char *at = (char *)k + columns[column].offset;
    if (columns[column].kind == WHOLE)
        *(int64_t *)(void *)at = (int64_t)value;
    else
        *(double *)(void *)at = columns[column].kind == MEAN ? value * (double)k->draws : value;
}

/* How far the estimates of case i are from the truth, and its speed. */
static void derive(scale *s, int i) {
    scale_case *k = &s->cases[i];
    double sum = 0, squares = 0, product = 0, truths = 0;
    const double *g = scale_gradient(s, i);
    int64_t done = k->draws, complete = done / s->nrho;
    for (int64_t r = 0; r * s->nrho < done; r++) {
        double error2 = 0, truth2 = 0;
        for (int64_t n = r * s->nrho; n < (r + 1) * s->nrho && n < done; n++) {
            double truth = truth_gradient(s->o->problem, s->D, s->rho[n % s->nrho]);
            error2 += (g[n] - truth) * (g[n] - truth);
            truth2 += truth * truth;
            product += g[n] * truth;
        }
        truths += truth2;
        if (r >= complete) break;
        double error = truth2 > 0 ? sqrt(error2 / truth2) : NAN;
        sum += error;
        squares += error * error;
    }
    double n = (double)complete, mean = sum / n;
    k->error = complete > 0 ? mean : NAN;
    k->deviation = complete > 1 ? sqrt(fmax(squares - sum * mean, 0) / (n - 1)) : NAN;
    k->slope = truths > 0 ? product / truths : NAN;
    k->gflops = 1e-9 * (k->flops[GRAM] + k->flops[EIGEN] + k->flops[APPLY]) / k->total;
    k->repeats = (double)s->o->repeats;
}

static int write_columns(scale *s, mige_file *f, double *v) {
    for (int i = 0; i < s->ncases; i++) derive(s, i);
    for (int n = 0; n < COLUMNS; n++) {
        int64_t *whole = (int64_t *)(void *)v;
        for (int i = 0; i < s->ncases; i++) {
            double value = get(&s->cases[i], n);
            if (columns[n].kind == WHOLE)
                whole[i] = (int64_t)value;
            else
                v[i] = value;
        }
        mige_layout layout = {columns[n].kind == WHOLE ? MIGE_I64 : MIGE_F64, 1, {s->ncases}};
        MIGE_TRY(mige_file_write(f, columns[n].name, layout, v, columns[n].units, columns[n].long_name, 0));
    }
    return MIGE_OK;
}

static int write_draws(const scale *s, mige_file *f, double *v) {
    mige_layout along = {MIGE_F64, 1, {s->nrho}}, all = {MIGE_F64, 3, {s->ncases, s->o->repeats, s->nrho}};
    MIGE_TRY(mige_file_write(f, "/rho", along, s->rho, "1", "correlation of x_i and y_i", 0));
    for (int i = 0; i < s->nrho; i++) v[i] = truth_gradient(s->o->problem, s->D, s->rho[i]);
    MIGE_TRY(
        mige_file_write(f, "/true_gradient", along, v, "nat", "derivative of the mutual information by rho", 0));
    return mige_file_write(f, "/gradient", all, s->gradient, "nat", "its estimates; NaN: not done", 0);
}

static int write_attributes(const scale *s, mige_file *f) {
    const mige_score_options *o = &s->study->score;
    static const char *const choices[] = {"estimator", "solver", "problem", "calibrate", "precondition"};
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        char text[MIGE_OPT_TEXT_SIZE];
        mige_options_value(&s->study->given, choices[i], text);
        MIGE_TRY(mige_file_set_text(f, "/", choices[i], text));
    }
    MIGE_TRY(mige_file_set_int(f, "/", "rotate", s->o->rotate));
    MIGE_TRY(mige_file_set_int(f, "/", "dim", s->o->dim));
    MIGE_TRY(mige_file_set_int(f, "/", "eigen_asked", o->eigen.eigen));
    MIGE_TRY(mige_file_set_real(f, "/", "eta", o->stein.eta));
    MIGE_TRY(mige_file_set_int(f, "/", "iterations", o->stein.iterations));
    MIGE_TRY(mige_file_set_real(f, "/", "dgemm_gflops", s->ncases ? s->cases[s->ncases - 1].dgemm : 0));
    return mige_file_set_real(f, "/", "threshold", o->eigen.threshold);
}

int scale_save(scale *s) {
    mige_file *f;
    double *v;
    MIGE_TRY(mige_alloc((size_t)(s->ncases > s->nrho ? s->ncases : s->nrho), sizeof *v, &v));
    int err = mige_file_create(s->study->output, "mige-scale", &f);
    if (!err) {
        err = write_columns(s, f, v);
        if (!err) err = write_draws(s, f, v);
        if (!err) err = write_attributes(s, f);
        if (!err) err = study_write_left(f, s->study->output, scale_left(s));
        err = mige_file_commit(&f, err);
    }
    free(v);
    return err;
}

int scale_take_room(scale *s) {
    size_t room = (size_t)s->ncases + (size_t)s->nsamples, draws = room * (size_t)s->draws;
    MIGE_TRY(mige_alloc(room, sizeof *s->cases, &s->cases));
    MIGE_TRY(mige_alloc(draws, sizeof *s->gradient, &s->gradient));
    for (size_t i = 0; i < draws; i++) s->gradient[i] = NAN;
    return MIGE_OK;
}

static int read_cases(scale *s, const mige_file *f) {
    mige_layout layout;
    double *v;
    MIGE_TRY(mige_file_same_options(f, &s->study->given, "give the same options, or another --output"));
    MIGE_TRY(mige_file_layout(f, "/gradient", &layout));
    MIGE_CHECK(layout.ndim == 3 && layout.dims[1] == s->o->repeats && layout.dims[2] == s->nrho &&
                   layout.dims[0] < 1 << 20,
               MIGE_EINPUT, "%s: /gradient has another shape than its configuration says", s->study->output);
    s->ncases = (int)layout.dims[0];
    MIGE_TRY(scale_take_room(s));
    MIGE_TRY(mige_file_read(f, "/gradient", MIGE_F64, 0, s->ncases, s->gradient));
    MIGE_TRY(mige_alloc((size_t)s->ncases, sizeof *v, &v));
    int err = MIGE_OK;
    for (int n = 0; n < COLUMNS; n++) { /* draws come before the means that they multiply */
        MIGE_TRY_GOTO(mige_file_layout(f, columns[n].name, &layout), done);
        MIGE_CHECK_GOTO(layout.ndim == 1 && layout.dims[0] == s->ncases, done, MIGE_EINPUT,
                        "%s: %s has another length than /gradient", s->study->output, columns[n].name);
        MIGE_TRY_GOTO(mige_file_read(f, columns[n].name, MIGE_F64, 0, s->ncases, v), done);
        for (int i = 0; i < s->ncases; i++) put(&s->cases[i], n, v[i]);
    }
    for (int i = 0; i < s->ncases; i++)
        MIGE_CHECK_GOTO(s->cases[i].draws >= 1 && s->cases[i].draws <= s->draws, done, MIGE_EINPUT,
                        "%s: /draws does not fit its configuration", s->study->output);
done:
    free(v);
    return err;
}

int scale_restore(scale *s) {
    mige_file *f;
    if (access(s->study->output, F_OK) != 0) return scale_take_room(s);
    MIGE_TRY(mige_file_open(s->study->output, "mige-scale", &f));
    int err = read_cases(s, f);
    mige_file_close(&f);
    return err;
}

/* ---- the table */

void scale_print_head(void) {
    mige_print("%8s %5s %8s %9s %9s %9s %9s %8s %9s %9s %19s %7s", "M", "ranks", "J", "gram s", "eigen s",
               "score s", "total s", "GFLOP/s", "MB/rank", "predicted", "error of dI/drho", "slope");
}

void scale_print(scale *s, int i) {
    const scale_case *k = &s->cases[i];
    double n = (double)k->draws;
    char error[32], J[16] = "-";
    derive(s, i);
    if (isnan(k->deviation))
        snprintf(error, sizeof error, "%.5f", k->error);
    else
        snprintf(error, sizeof error, "%.5f +- %.5f", k->error, k->deviation);
    if (k->J > 0) snprintf(J, sizeof J, "%.1f", k->J / n);
    mige_print("%8lld %5lld %8s %9.3g %9.3g %9.3g %9.3g %8.1f %9.1f %9.1f %19s %7.4f", (long long)k->M,
               (long long)k->ranks, J, k->seconds[GRAM] / n, k->seconds[EIGEN] / n, k->seconds[APPLY] / n,
               k->total / n, k->gflops, 1e-6 * k->bytes, 1e-6 * k->predicted, error, k->slope);
}

double scale_bytes(const void *of, int M) {
    const scale *s = of;
    return truth_estimator_bytes(s->o->problem, M, s->D, s->study->c->size, &s->study->score);
}

void scale_print_plan(const scale *s, int M) {
    const mige_score_options *o = &s->study->score;
    int P = s->study->c->size, groups = mige_problems_groups(M, 2, P), most = (P + groups - 1) / groups;
    mige_score_plan y = mige_score_forecast(M, s->D, most, o), xy = mige_score_forecast(M, 2 * s->D, most, o);
    double gram = y.gram + xy.gram, eigen = y.eigen + xy.eigen, apply = y.apply + xy.apply;
    double bytes = scale_bytes(s, M);
    mige_print(
        "%8d samples: problems of %d and %d dimensions, %s, grid %d x %d each, %.4g MB a rank, %.3g GB a node, "
        "%.3g GFLOP a gradient (gram %.3g, eigen %.3g, score %.3g at most)",
        M, s->D, 2 * s->D, groups > 1 ? "at once" : "in turn", y.rows, y.cols, 1e-6 * bytes,
        1e-9 * bytes * s->study->c->node_size, 1e-9 * (gram + eigen + apply), 1e-9 * gram, 1e-9 * eigen,
        1e-9 * apply);
}
