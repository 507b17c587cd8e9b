/* Normal scores of one dimension. */
#include "mige/error.h"
#include "score/maps.h"
#include <math.h>
#include <stdlib.h>

typedef struct {
    double x;
    int m;
} item;

struct normal_space {
    int M, gaps;   /* that a slope is taken over */
    double *q, qq; /* [M] normal quantiles of (m + 1/2) / M, and the sum of their squares */
    item *items;
};

double normal_quantile(double p) {
    double tail = p < 0.5 ? p : 1 - p, s = sqrt(-2 * log(tail));
    if (tail == 0.5) return 0;
    /* Abramowitz and Stegun 26.2.23, good to 5e-4; then Halley's steps. */
    double x =
        s - (2.515517 + s * (0.802853 + s * 0.010328)) / (1 + s * (1.432788 + s * (0.189269 + s * 0.001308)));
    for (int i = 0; i < 3; i++) {
        double step = (0.5 * erfc(x * M_SQRT1_2) - tail) * sqrt(2 * M_PI) * exp(0.5 * x * x);
        x += step / (1 + 0.5 * x * step);
    }
    return p < 0.5 ? -x : x;
}

int normal_create(int M, mige_pool *pool, normal_space **out) {
    normal_space *s;
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(s, 1)));
    *out = s;
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(s->q, M), MIGE_BLOCK(s->items, M)));
    s->M = M;
    /* Noise against the width of a window: few gaps are enough, since a gradient is a mean over all samples. */
    s->gaps = (int)fmax(4, 2 * round(0.6 * cbrt(M)));
    for (int m = 0; m < M; m++) {
        s->q[m] = m < M / 2 ? normal_quantile((m + 0.5) / M) : 2 * m + 1 == M ? 0 : -s->q[M - 1 - m];
        s->qq += s->q[m] * s->q[m];
    }
    return MIGE_OK;
}

double normal_bytes(int M) {
    return (double)M * (sizeof(double) + sizeof(item));
}

static int by_value(const void *a, const void *b) {
    const item *p = a, *q = b;
    if (p->x != q->x) return p->x < q->x ? -1 : 1;
    return p->m - q->m;
}

static void sort(normal_space *s, const double *x) {
    for (int m = 0; m < s->M; m++) s->items[m] = (item){x[m], m};
    qsort(s->items, (size_t)s->M, sizeof *s->items, by_value);
}

typedef struct {
    double mean, deviation, distance;
} description;

/* Of the sorted samples. */
static description describe(const normal_space *s) {
    int M = s->M;
    double mean = 0, xx = 0, qx = 0;
    for (int i = 0; i < M; i++) mean += s->items[i].x / M;
    double unit = fmax(s->items[M - 1].x - mean, mean - s->items[0].x); /* squares in it do not leave the range */
    for (int i = 0; i < M && unit > 0; i++) {
        double x = (s->items[i].x - mean) / unit;
        xx += x * x;
        qx += x * s->q[i];
    }
    description d = {mean, unit * sqrt(xx / M), -INFINITY};
    /* Of equal samples even xx may be above 0, by rounding. */
    if (M < 8 || !(xx > 0) || s->items[M - 1].x == s->items[0].x) return d;
    double u = log(M), v = log(u), rest = 1 - qx * qx / (xx * s->qq);
    d.distance = (log(fmax(rest, 1e-16)) + 1.2725 - 1.0521 * (v - u)) / (1.0308 - 0.26758 * (v + 2 / u));
    return d;
}

double normal_distance(normal_space *s, const double *x) {
    sort(s, x);
    return describe(s).distance;
}

/* Over neighbouring gaps, or as many as hold one that is not empty. Gaps are exponential: the inverse of a sum
 * of n of them is n / (n - 1) times too large on average. */
static double slope_at(const normal_space *s, int i) {
    int M = s->M, n = s->gaps < M - 1 ? s->gaps : M - 1;
    for (;; n = n < M / 2 ? 2 * n : M - 1) {
        int lo = i > n / 2 ? i - n / 2 : 0;
        if (lo > M - 1 - n) lo = M - 1 - n;
        double gap = s->items[lo + n].x - s->items[lo].x;
        if (gap > 0) return (n > 1 ? 1 - 1. / n : 1) * (s->q[lo + n] - s->q[lo]) / gap;
        if (n == M - 1) return 0; /* nothing varies */
    }
}

void normal_fit(normal_space *s, double most, const double *x, double *t, double *slope) {
    int M = s->M;
    sort(s, x);
    description d = describe(s);
    if (!(d.distance > most)) {
        double scale = s->items[M - 1].x > s->items[0].x ? 1 / d.deviation : 0;
        for (int m = 0; m < M; m++) {
            t[m] = scale > 0 ? (x[m] - d.mean) / d.deviation : x[m];
            slope[m] = scale > 0 ? scale : 1;
        }
        return;
    }
    for (int i = 0, j; i < M; i = j) {
        double sum = 0;
        for (j = i; j < M && s->items[j].x == s->items[i].x; j++) sum += s->q[j];
        double rate = slope_at(s, (i + j - 1) / 2);
        for (int k = i; k < j; k++) {
            t[s->items[k].m] = sum / (j - i);
            slope[s->items[k].m] = rate;
        }
    }
}
