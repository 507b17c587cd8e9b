/* The table that mige toy prints: how far each method is from the truth. */
#include "mige/log.h"
#include "study/toy.h"
#include <math.h>
#include <stdio.h>

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
        double g = truth_gradient(D, t->rho[i]);
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
        for (int64_t r = 0; r < repeats; r++) add(&m, gradient[r * t->nrho + i] / truth_gradient(D, t->rho[i]) - 1);
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
