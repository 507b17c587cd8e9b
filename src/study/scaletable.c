/* What a case of mige scale will take, and what has come of it, as lines of text. */
#include "mige/log.h"
#include "mige/mi.h"
#include "study/scale.h"
#include "study/truth.h"
#include <math.h>
#include <stdio.h>

scale_errors scale_find_errors(const scale *s, int i) {
    double sum = 0, squares = 0, product = 0, truths = 0;
    const double *g = scale_gradient(s, i);
    int64_t done = s->cases[i].draws, complete = done / s->nrho;
    for (int64_t r = 0; r * s->nrho < done; r++) {
        double error2 = 0, truth2 = 0;
        for (int64_t n = r * s->nrho; n < (r + 1) * s->nrho && n < done; n++) {
            double truth = truth_gradient(s->D, s->rho[n % s->nrho]);
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
    return (scale_errors){complete > 0 ? mean : NAN,
                          complete > 1 ? sqrt(fmax(squares - sum * mean, 0) / (n - 1)) : NAN,
                          truths > 0 ? product / truths : NAN};
}

void scale_print_head(void) {
    mige_print("%8s %5s %8s %9s %9s %9s %9s %8s %9s %9s %19s %7s", "M", "ranks", "J", "gram s", "eigen s",
               "score s", "total s", "GFLOP/s", "MB/rank", "predicted", "error of dI/drho", "slope");
}

void scale_print(const scale *s, int i) {
    const scale_case *k = &s->cases[i];
    scale_errors e = scale_find_errors(s, i);
    double n = (double)k->draws, flops = k->flops[GRAM] + k->flops[EIGEN] + k->flops[APPLY];
    char error[32], J[16] = "-";
    if (isnan(e.deviation))
        snprintf(error, sizeof error, "%.5f", e.error);
    else
        snprintf(error, sizeof error, "%.5f +- %.5f", e.error, e.deviation);
    if (k->J > 0) snprintf(J, sizeof J, "%.1f", k->J / n);
    mige_print("%8lld %5lld %8s %9.3g %9.3g %9.3g %9.3g %8.1f %9.1f %9.1f %19s %7.4f", (long long)k->M,
               (long long)k->ranks, J, k->seconds[GRAM] / n, k->seconds[EIGEN] / n, k->seconds[APPLY] / n,
               k->total / n, 1e-9 * flops / k->total, 1e-6 * k->bytes, 1e-6 * k->predicted, error, e.slope);
}

double scale_bytes(const void *of, int M) {
    const scale *s = of;
    return truth_estimator_bytes(M, s->D, s->study->c->size, &s->study->score);
}

void scale_print_plan(const scale *s, int M) {
    const mige_score_options *o = &s->study->score;
    mige_score_work y = mige_score_flops(M, s->D, o), xy = mige_score_flops(M, 2 * s->D, o);
    double gram = y.gram + xy.gram, eigen = y.eigen + xy.eigen, apply = y.apply + xy.apply;
    int P = s->study->c->size, groups = mige_problems_groups(M, 2, P), rows, cols;
    double bytes = scale_bytes(s, M);
    mige_score_grid(M, (P + groups - 1) / groups, o, &rows, &cols);
    mige_print(
        "%8d samples: problems of %d and %d dimensions, %s, grid %d x %d each, %.4g MB a rank, %.3g GB a node, "
        "%.3g GFLOP a gradient (gram %.3g, eigen %.3g, score %.3g at most)",
        M, s->D, 2 * s->D, groups > 1 ? "at once" : "in turn", rows, cols, 1e-6 * bytes,
        1e-9 * bytes * s->study->c->node_size, 1e-9 * (gram + eigen + apply), 1e-9 * gram, 1e-9 * eigen,
        1e-9 * apply);
}
