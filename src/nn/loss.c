#include "mige/nn.h"
#include <math.h>

double mige_softplus(double x) {
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

double mige_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

float mige_largest(int64_t n, const float *f, int64_t but) {
    float most = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (i != but) most = f[i] > most || isnan(f[i]) ? f[i] : most;
    return most;
}

double mige_exponentials(int64_t n, float *f, int64_t but, float most) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        f[i] = i == but ? 0 : expf(f[i] - most);
        sum += (double)f[i];
    }
    return sum;
}

/* log of the sum of exponentials about the largest logit, which is returned in *top with its index in *arg. */
static double log_partition(const float *z, int classes, double *top, int *arg) {
    *arg = 0;
    for (int k = 1; k < classes; k++)
        if (z[k] > z[*arg]) *arg = k;
    *top = (double)z[*arg];
    double sum = exp((double)z[0] - *top);
    for (int k = 1; k < classes; k++) sum += exp((double)z[k] - *top);
    return log(sum);
}

/* Of a softmax with the logarithms z - shift; terms of no probability are 0. */
static double entropy(const float *z, int classes, double shift) {
    double sum = 0;
    for (int k = 0; k < classes; k++) {
        double p = exp((double)z[k] - shift);
        if (p > 0) sum -= p * ((double)z[k] - shift);
    }
    return sum;
}

double mige_cross_entropy(mige_softness o, const float *logits, const int32_t *labels, int n, int classes,
                          double scale, float *dlogits, int64_t *correct) {
    const double rest = o.smoothing / classes, peak = 1 - o.smoothing + rest;
    double loss = 0, top;
    int64_t hits = 0;
    for (int i = 0; i < n; i++) {
        const float *z = logits + (size_t)i * (size_t)classes;
        int arg, label = labels[i];
        double lse = log_partition(z, classes, &top, &arg), H = 0;
        hits += arg == label;
        for (int k = 0; k < classes; k++) {
            double target = k == label ? peak : rest;
            if (target > 0) loss += target * (lse - ((double)z[k] - top));
        }
        if (o.confidence != 0) loss -= o.confidence * (H = entropy(z, classes, top + lse));
        for (int k = 0; dlogits && k < classes; k++) {
            double log_p = (double)z[k] - top - lse, p = exp(log_p), d = p - (k == label ? peak : rest);
            if (o.confidence != 0 && p > 0) d += o.confidence * p * (log_p + H);
            dlogits[(size_t)i * (size_t)classes + (size_t)k] = (float)(scale * d);
        }
    }
    if (correct) *correct = hits;
    return loss;
}
