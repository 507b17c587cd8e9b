#include "mige/nn.h"
#include <math.h>

double mige_softplus(double x) {
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

double mige_sigmoid(double x) {
    return 1 / (1 + exp(-x));
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

double mige_cross_entropy(const float *logits, const int32_t *labels, int n, int classes, double scale,
                          float *dlogits, int64_t *correct) {
    double loss = 0, top;
    int64_t hits = 0;
    for (int i = 0; i < n; i++) {
        const float *z = logits + (size_t)i * (size_t)classes;
        int arg, label = labels[i];
        double lse = log_partition(z, classes, &top, &arg);
        loss += lse - ((double)z[label] - top);
        hits += arg == label;
        for (int k = 0; dlogits && k < classes; k++) {
            double p = exp((double)z[k] - top - lse);
            dlogits[(size_t)i * (size_t)classes + (size_t)k] = (float)(scale * (p - (k == label)));
        }
    }
    if (correct) *correct = hits;
    return loss;
}
