/* What is recorded each time the metrics are written. */
#include "train/interval.h"
#include "mige/blas.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 32 }; /* rows of codes at a time */

static void add(interval *v, const char *units, const char *name, const char *about) {
    snprintf(v->text[v->n].name, sizeof v->text->name, "%s", name);
    snprintf(v->text[v->n].about, sizeof v->text->about, "%s", about);
    v->series[v->n] = (mige_series){v->text[v->n].name, units, v->text[v->n].about};
    v->n++;
}

int interval_create(const train_plan *p, interval *v) {
    char name[40], about[96];
    *v = (interval){.code = p->code <= INTERVAL_MOST_CODE ? (int)p->code : 0};
    for (int i = 0; i < MIGE_PHASES; i++) {
        mige_clock_values clock = mige_clock_get((enum mige_phase)i);
        snprintf(name, sizeof name, "seconds_%s", clock.name);
        snprintf(about, sizeof about, "of rank 0 since the row before, in phase %s%s", clock.name,
                 clock.depth == 2   ? ", a part of score"
                 : clock.depth == 1 ? ", a part of step"
                                    : "");
        add(v, "s", name, about);
    }
    if (!v->code) return MIGE_OK;
    add(v, "1", "code_dimensions", "(sum of l)^2 / sum of l^2 of the eigenvalues l of the code's covariance");
    for (int i = 1; i <= v->code; i *= 2) {
        snprintf(name, sizeof name, "code_eigenvalue_%d", i);
        snprintf(about, sizeof about, "number %d of the code's covariance in the batch, share of their sum", i);
        add(v, "1", name, about);
    }
    size_t K = (size_t)v->code;
    return mige_alloc(K * (1 + K + BLOCK), sizeof *v->memory, &v->memory);
}

void interval_destroy(interval *v) {
    free(v->memory);
    v->memory = NULL;
}

/* Upper triangle, row-major, times the number of codes; the same on every rank. */
static int covariance(const trainer *t, const interval *v) {
    const float *z = trainer_code(t);
    int K = v->code, rows = (int)t->images.count * t->plan->draws;
    double *mean = v->memory, *C = mean + K, *block = C + (size_t)K * (size_t)K;
    memset(mean, 0, (size_t)K * (size_t)(1 + K) * sizeof *mean);
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < K; k++)
            mean[k] += (double)z[(size_t)r * (size_t)K + (size_t)k] / ((double)t->plan->batch * t->plan->draws);
    MIGE_TRY(mige_sum(t->c, mean, (size_t)K));
    for (int r = 0; r < rows; r += BLOCK) {
        int n = rows - r < BLOCK ? rows - r : BLOCK;
        for (int i = 0; i < n; i++)
            for (int k = 0; k < K; k++)
                block[i * K + k] = (double)z[(size_t)(r + i) * (size_t)K + (size_t)k] - mean[k];
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, K, n, 1, block, K, 1, C, K);
    }
    return mige_sum(t->c, C, (size_t)K * (size_t)K);
}

/* NaN where there is no spectrum: a run does not end for that. */
static void spectrum(interval *v, double *values) {
    int K = v->code, lwork = 2 * K + 1, liwork = 1, iwork, info;
    double *w = v->memory, *C = w + K, *work = C + (size_t)K * (size_t)K, sum = 0, squares = 0;
    dsyevd_("N", "L", &K, C, &K, w, work, &lwork, &iwork, &liwork, &info); /* its lower one is our upper one */
    for (int k = 0; k < K; k++) {
        sum += w[k];
        squares += w[k] * w[k];
    }
    if (info || !(sum > 0)) sum = NAN;
    *values++ = sum * sum / squares;
    for (int i = 1; i <= K; i *= 2) *values++ = fmax(w[K - i], 0) / sum;
}

int interval_measure(const trainer *t, interval *v) {
    for (int i = 0; i < MIGE_PHASES; i++) {
        double seconds = mige_clock_get((enum mige_phase)i).seconds;
        v->values[i] = seconds - v->before[i];
        v->before[i] = seconds;
    }
    if (!v->code) return MIGE_OK;
    MIGE_TRY(covariance(t, v));
    if (t->c->rank == 0) spectrum(v, v->values + MIGE_PHASES);
    return MIGE_OK;
}
