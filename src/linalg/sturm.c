/* p_k = (d_k - x) p_k-1 - e_k-1^2 p_k-2 are T - x's leading minors; their changes of sign count the eigenvalues
 * below x (Givens 1954), and rounding is as if T's entries were off by a rounding each. W shifts at a time cost
 * three vector operations a row, where the QR iteration has a division to wait for. Intervals are cut until they
 * have one eigenvalue each, in which then p_m's zero is found from its values (Chandrupatla 1997). */
#include "base/simd.h"
#include "linalg/tridiagonal.h"
#include "mige/error.h"
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Shifts at a time; and rows between two scalings: with e^2 >= TINY what 16 rows shrink is within a double. */
enum { HALF = 8, W = 2 * HALF, RUN = 16 };
static const double TINY = 1e-33;
typedef double vec __attribute__((vector_size(HALF * sizeof(double))));
typedef int64_t ints __attribute__((vector_size(HALF * sizeof(int64_t))));

/* A shift: how many eigenvalues are below, and p_m = mantissa * 2^exponent. */
typedef struct {
    double x, mantissa;
    int64_t below, exponent;
} point;

typedef struct {
    point a, b;
} interval;

/* An interval with one eigenvalue, the one numbered `index`; f are p_m, with signs such that f < 0 below it. */
typedef struct {
    int index;
    point p1, p2, p3;
    double next;
} search;

typedef struct {
    interval *now, *then; /* [m] */
    point *points;        /* [2 m] */
    search *single;       /* [m] */
} memory;

int sturm_create(int m, sturm *s) {
    size_t n = (size_t)m;
    memory *w;
    *s = (sturm){.m = m};
    MIGE_TRY(mige_alloc(n, sizeof *s->d, &s->d));
    MIGE_TRY(mige_alloc(n + 1, sizeof *s->e2, &s->e2));
    MIGE_TRY(mige_alloc(1, sizeof *w, &s->memory));
    w = s->memory;
    MIGE_TRY(mige_alloc(n, sizeof *w->now, &w->now));
    MIGE_TRY(mige_alloc(n, sizeof *w->then, &w->then));
    MIGE_TRY(mige_alloc(n + W, sizeof *w->points, &w->points));
    return mige_alloc(n, sizeof *w->single, &w->single);
}

void sturm_destroy(sturm *s) {
    memory *w = s->memory;
    if (w) {
        free(w->now);
        free(w->then);
        free(w->points);
        free(w->single);
    }
    free(w);
    free(s->d);
    free(s->e2);
    *s = (sturm){0};
}

double sturm_bytes(int m) {
    return m * (16. + 2 * sizeof(interval) + sizeof(point) + sizeof(search));
}

/* The vectors' exponents go out of p and q, which are the last two minors. */
#define MIGE_NORMALISE(p, q, exponent)                                                                             \
    do {                                                                                                           \
        ints _a = (ints)(p)&0x7ff0000000000000, _b = (ints)(q)&0x7ff0000000000000, _m = _a > _b,                   \
             _e = (_a & _m) | (_b & ~_m);                                                                          \
        vec _f = (vec)(0x7fe0000000000000 - _e);                                                                   \
        (p) *= _f;                                                                                                 \
        (q) *= _f;                                                                                                 \
        (exponent) += (_e >> 52) - 1023;                                                                           \
    } while (0)

MIGE_CLONES static void evaluate(int m, const double *restrict d, const double *restrict e2, point *to) {
    vec x0 = {0}, x1 = {0}, p0 = {0}, p1, q0 = {0}, q1 = {0};
    ints n0 = {0}, n1 = {0}, s0 = {0}, s1 = {0};
    for (int w = 0; w < HALF; w++) {
        x0[w] = to[w].x;
        x1[w] = to[HALF + w].x;
    }
    p0 = p1 = p0 + 1;
    for (int from = 0; from < m; from += RUN) {
        int end = from + RUN < m ? from + RUN : m;
        for (int k = from; k < end; k++) {
            vec r0 = (d[k] - x0) * p0 - e2[k] * q0, r1 = (d[k] - x1) * p1 - e2[k] * q1;
            n0 -= ((ints)r0 ^ (ints)p0) < 0;
            n1 -= ((ints)r1 ^ (ints)p1) < 0;
            q0 = p0;
            q1 = p1;
            p0 = r0;
            p1 = r1;
        }
        MIGE_NORMALISE(p0, q0, s0);
        MIGE_NORMALISE(p1, q1, s1);
    }
    for (int w = 0; w < HALF; w++) {
        to[w] = (point){x0[w], p0[w], n0[w], s0[w]};
        to[HALF + w] = (point){x1[w], p1[w], n1[w], s1[w]};
    }
}

/* Points [n], of which as many again as a vector lacks are made up. */
static void evaluate_all(const sturm *s, int n, point *points) {
    for (int i = n; i < (n + W - 1) / W * W; i++) points[i].x = points[n - 1].x;
    for (int i = 0; i < n; i += W) evaluate(s->m, s->d, s->e2, points + i);
}

/* 0 where T is not finite. */
static int scale(sturm *s, const double *d, const double *e) {
    int m = s->m;
    double least = d[0], most = d[0];
    for (int k = 0; k < m; k++) {
        double radius = (k ? fabs(e[k - 1]) : 0) + (k + 1 < m ? fabs(e[k]) : 0);
        if (!(fabs(d[k]) + radius <= DBL_MAX)) return 0;
        least = fmin(least, d[k] - radius);
        most = fmax(most, d[k] + radius);
    }
    double size = fmax(fabs(least), fabs(most));
    s->scale = size > 0 ? ldexp(1, ilogb(size) + 1) : DBL_MIN;
    for (int k = 0; k < m; k++) {
        s->d[k] = d[k] / s->scale;
        double b = k ? e[k - 1] / s->scale : 0;
        s->e2[k] = k ? fmax(b * b, TINY) : 0;
    }
    s->least = least / s->scale - 4 * DBL_EPSILON;
    s->most = most / s->scale + 4 * DBL_EPSILON;
    return 1;
}

static int inside(const interval *v, int first, int end) {
    return v->a.below < end && v->b.below > first && v->b.below > v->a.below;
}

static double width(const interval *v) {
    return v->b.x - v->a.x;
}

static search start_search(const interval *v) {
    search s = {.index = (int)v->a.below, .p1 = v->b, .p2 = v->a, .next = (v->a.x + v->b.x) / 2};
    s.p1.mantissa = fabs(s.p1.mantissa);
    s.p2.mantissa = -fabs(s.p2.mantissa);
    return s;
}

/* p_m / 2^exponent. */
static double value(const point *p, int64_t exponent) {
    int64_t by = p->exponent - exponent;
    if (by < -1000) return 0;
    int64_t bits = (1023 + by) * ((int64_t)1 << 52);
    double power;
    memcpy(&power, &bits, sizeof power);
    return p->mantissa * power;
}

static int64_t greatest(const search *s) {
    int64_t e = s->p1.exponent > s->p2.exponent ? s->p1.exponent : s->p2.exponent;
    return s->p3.exponent > e ? s->p3.exponent : e;
}

/* With a new point: 1 and the eigenvalue in next when it is known well enough. */
static int step(search *s, const point *at) {
    point p = *at;
    int is_below = p.below <= s->index;
    p.mantissa = is_below ? -fabs(p.mantissa) : fabs(p.mantissa);
    if ((p.mantissa < 0) == (s->p1.mantissa < 0)) {
        s->p3 = s->p1;
    } else {
        s->p3 = s->p2;
        s->p2 = s->p1;
    }
    s->p1 = p;
    int64_t e = greatest(s);
    double f1 = value(&s->p1, e), f2 = value(&s->p2, e), f3 = value(&s->p3, e), x1 = s->p1.x, x2 = s->p2.x,
           x3 = s->p3.x, least = DBL_EPSILON / fabs(x2 - x1), t = 0.5;
    if (least > 0.5 || f1 == 0) {
        s->next = fabs(f1) < fabs(f2) ? x1 : x2;
        return 1;
    }
    double xi = (x1 - x2) / (x3 - x2), phi = (f1 - f2) / (f3 - f2);
    if (phi * phi < xi && (1 - phi) * (1 - phi) < 1 - xi)
        t = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2);
    /* Where a line through the nearer two agrees with the parabola, the parabola's zero needs no more proof. */
    double line = fabs(f3) < fabs(f2) ? (x3 - x1) / (x2 - x1) * f1 / (f1 - f3) : f1 / (f1 - f2);
    if (t > 0 && t < 1 && t != 0.5 && fabs(t - line) < least) {
        s->next = x1 + t * (x2 - x1);
        return 1;
    }
    if (!(t >= least)) t = least;
    if (t > 1 - least) t = 1 - least;
    s->next = x1 + t * (x2 - x1);
    return 0;
}

/* Eigenvalues that are alone in an interval. */
static void find_zeros(sturm *s, int n, search *single, int first, double *values) {
    point p[W];
    int lane[W], started = 0, lanes = 0;
    for (;;) {
        while (lanes < W && started < n) lane[lanes++] = started++;
        if (!lanes) break;
        for (int w = 0; w < W; w++) p[w].x = single[lane[w < lanes ? w : 0]].next;
        evaluate(s->m, s->d, s->e2, p);
        int left = 0;
        for (int w = 0; w < lanes; w++) {
            search *q = &single[lane[w]];
            if (step(q, &p[w]))
                values[q->index - first] = q->next;
            else
                lane[left++] = lane[w];
        }
        lanes = left;
    }
}

/* An interval with c > 1 eigenvalues is cut at c points; a narrow one is all its eigenvalues. Sorts what comes of
 * intervals [n] into `then` and `single`. */
typedef struct {
    int first, end;
    double *values;
    int many, singles; /* entries of memory's `now` and `single` */
} progress;

static void sort_out(sturm *s, progress *g, const interval *v, interval *to, int *count) {
    memory *w = s->memory;
    if (!inside(v, g->first, g->end)) return;
    if (width(v) <= 2 * DBL_EPSILON) {
        for (int64_t i = v->a.below; i < v->b.below; i++)
            if (i >= g->first && i < g->end) g->values[i - g->first] = (v->a.x + v->b.x) / 2;
    } else if (v->b.below - v->a.below == 1) {
        w->single[g->singles++] = start_search(v);
    } else {
        to[(*count)++] = *v;
    }
}

static int points_of(const interval *v) {
    return (int)(v->b.below - v->a.below);
}

static void cut(sturm *s, progress *g) {
    memory *w = s->memory;
    int points = 0, count = 0;
    for (int i = 0; i < g->many; i++)
        for (int c = points_of(&w->now[i]), k = 1; k <= c; k++)
            w->points[points++].x = w->now[i].a.x + width(&w->now[i]) * k / (c + 1);
    evaluate_all(s, points, w->points);
    const point *p = w->points;
    for (int i = 0; i < g->many; i++) {
        interval part = {.a = w->now[i].a};
        for (int c = points_of(&w->now[i]), k = 0; k <= c; k++) {
            part.b = k < c ? *p++ : w->now[i].b;
            if (part.b.below < part.a.below) part.b.below = part.a.below; /* rounding */
            if (part.b.below > w->now[i].b.below) part.b.below = w->now[i].b.below;
            sort_out(s, g, &part, w->then, &count);
            part.a = part.b;
        }
    }
    interval *swap = w->now;
    w->now = w->then;
    w->then = swap;
    g->many = count;
}

void sturm_values(sturm *s, const double *d, const double *e, int first, int count, double *values) {
    memory *w = s->memory;
    progress g = {first, first + count, values, 0, 0};
    for (int i = 0; i < count; i++) values[i] = NAN;
    if (!scale(s, d, e)) return;
    w->points[0].x = s->least;
    w->points[1].x = s->most;
    evaluate_all(s, 2, w->points);
    w->points[0].below = 0;
    w->points[1].below = s->m;
    sort_out(s, &g, &(interval){w->points[0], w->points[1]}, w->now, &g.many);
    while (g.many) cut(s, &g);
    find_zeros(s, g.singles, w->single, first, values);
    for (int i = 0; i < count; i++) values[i] *= s->scale;
}
