/* Zolotarev's best rational approximation of the sign on [-1, -l] and [l, 1], of type (2r+1, 2r) (Nakatsukasa,
 * Freund 2016): sign(x) ~ A x prod_j (x^2 + c_2j) / (x^2 + c_2j-1),  c_i = l^2 sc^2(i K' / (2r+1); l'), in partial
 * fractions A x (1 + sum_j a_j / (x^2 + c_2j-1)), with x / (x^2 + s^2) = Re 1/(x - i s). With x = (lambda - cut) /
 * b, (sign(x) - sign(-cut)) / (2 lambda) is the filter, in which every pole gives (1/z) / (lambda - z), z = cut + i
 * b s. */
#include "linalg/poles.h"
#include "base/simd.h"
#include <complex.h>
#include <math.h>
#include <stddef.h>

static double agm(double a, double b) {
    while (fabs(a - b) > 1e-15 * a) {
        double t = (a + b) / 2;
        b = sqrt(a * b);
        a = t;
    }
    return a;
}

/* sc(u; l') for 0 < u <= K'/2 by the series of sn(i u; l), whose terms all have one sign. */
static double sc_series(double u, double l, double K, double nome) {
    double sum = 0, q = sqrt(nome), pi = acos(-1);
    for (int n = 0; n < 50; n++) {
        double term = q / (1 - q * q) * sinh((2 * n + 1) * pi * u / (2 * K));
        sum += term;
        if (term < 1e-17 * sum) break;
        q *= nome;
    }
    return 2 * pi / (l * K) * sum;
}

/* c[1..2r] for the interval's ratio l. */
static void zolotarev(int r, double l, double *c) {
    double pi = acos(-1), K = pi / 2 / agm(1, sqrt((1 - l) * (1 + l))), K1 = pi / 2 / agm(1, l),
           nome = exp(-pi * K1 / K);
    for (int i = 1; i <= 2 * r; i++) {
        double u = i * K1 / (2 * r + 1);
        double sc = u <= K1 / 2 ? sc_series(u, l, K, nome) : 1 / (l * sc_series(K1 - u, l, K, nome));
        c[i] = l * l * sc * sc;
    }
}

static void with_poles(int r, double b, double l, poles *p) {
    double c[2 * MOST_POLES + 1], scale = 1;
    zolotarev(r, l, c);
    for (int j = 1; j <= r; j++) scale *= (1 + c[2 * j - 1]) / (1 + c[2 * j]);
    p->n = r;
    p->direct = scale / (2 * b);
    for (int j = 1; j <= r; j++) {
        double at = c[2 * j - 1], a = c[2 * j] - at;
        for (int k = 1; k <= r; k++)
            if (k != j) a *= (c[2 * k] - at) / (c[2 * k - 1] - at);
        p->shift[j - 1] = b * sqrt(at);
        double complex weight = scale * a * b / 2 / (p->cut + I * p->shift[j - 1]);
        p->weight_re[j - 1] = creal(weight);
        p->weight_im[j - 1] = cimag(weight);
    }
}

double poles_value(const poles *p, double lambda) {
    double f = p->direct;
    for (int j = 0; j < p->n; j++)
        f += creal((p->weight_re[j] + I * p->weight_im[j]) / (lambda - p->cut - I * p->shift[j]));
    return f;
}

/* More poles until the filter is flat to rounding at the edges of its gap, where it is worst. */
void poles_make(double cut, double gap, double least, double most, poles *p) {
    double b = fmax(most - cut, cut - least), l = fmin(fmax(gap / b, 1e-14), 0.9);
    p->cut = cut;
    for (int r = 4; r <= MOST_POLES; r += r < 16 ? 2 : 4) {
        with_poles(r, b, l, p);
        double error =
            fabs(poles_value(p, cut + l * b) * (cut + l * b) - 1) + fabs(poles_value(p, cut - l * b) * cut);
        if (error < 1e-13) break;
    }
}

/* Columns that are solved for together: their parts of a row fill vector registers. */
enum { W = 16 };

unsigned long poles_scratch(int m) {
    return (unsigned long)m * (4 * W + 10);
}

/* (T - z) = L U with row interchanges; per row the multiplier, whether it was interchanged, 1/u0, u1, u2. */
typedef struct {
    double *l, *u0, *u1, *u2; /* [m][2] each: real, imaginary */
    double *swapped;          /* [m] */
} factors;

static double size1(double complex z) {
    return fabs(creal(z)) + fabs(cimag(z));
}
static void put(double *x, int k, double complex z) {
    x[2 * k] = creal(z);
    x[2 * k + 1] = cimag(z);
}

static void factor(int m, const double *d, const double *e, double complex z, factors *f) {
    double complex diagonal = d[0] - z, above = m > 1 ? e[0] : 0; /* of the row that is being eliminated from */
    for (int k = 0; k + 1 < m; k++) {
        double complex below = e[k], next = d[k + 1] - z, far = k + 2 < m ? e[k + 1] : 0;
        int swap = size1(below) > size1(diagonal);
        double complex l = swap ? diagonal / below : below / diagonal;
        f->swapped[k] = swap;
        put(f->l, k, l);
        put(f->u0, k, 1 / (swap ? below : diagonal));
        put(f->u1, k, swap ? next : above);
        put(f->u2, k, swap ? far : 0);
        diagonal = swap ? above - l * next : next - l * above;
        above = swap ? -l * far : far;
    }
    put(f->u0, m - 1, 1 / diagonal);
}

/* y [m][2][W] = L^-1 of the real right-hand sides x [m][W]. */
MIGE_CLONES static void forward(int m, const factors *f, const double *restrict x, double *restrict y) {
    double r[W], i[W]; /* the row that is being eliminated from */
    for (int w = 0; w < W; w++) {
        r[w] = x[w];
        i[w] = 0;
    }
    for (int k = 0; k + 1 < m; k++) {
        double lr = f->l[2 * k], li = f->l[2 * k + 1], *to = y + (size_t)k * 2 * W;
        const double *next = x + (size_t)(k + 1) * W;
        if (f->swapped[k] != 0) {
#pragma omp simd
            for (int w = 0; w < W; w++) {
                to[w] = next[w];
                to[W + w] = 0;
                r[w] -= lr * next[w];
                i[w] -= li * next[w];
            }
        } else {
#pragma omp simd
            for (int w = 0; w < W; w++) {
                double a = r[w], b = i[w];
                to[w] = a;
                to[W + w] = b;
                r[w] = next[w] - (lr * a - li * b);
                i[w] = -(lr * b + li * a);
            }
        }
    }
    double *to = y + (size_t)(m - 1) * 2 * W;
    for (int w = 0; w < W; w++) {
        to[w] = r[w];
        to[W + w] = i[w];
    }
}

/* sum [m][W] += Re(weight U^-1 y). */
MIGE_CLONES static void backward(int m, const factors *f, double wr, double wi, const double *restrict y,
                                 double *restrict sum) {
    double r1[W] = {0}, i1[W] = {0}, r2[W] = {0}, i2[W] = {0}; /* the two rows below */
    for (int k = m - 1; k >= 0; k--) {
        const double *from = y + (size_t)k * 2 * W;
        double *to = sum + (size_t)k * W;
        double ar = f->u1[2 * k], ai = f->u1[2 * k + 1], br = f->u2[2 * k], dr = f->u0[2 * k],
               di = f->u0[2 * k + 1];
        if (k == m - 1) ar = ai = br = 0;
#pragma omp simd
        for (int w = 0; w < W; w++) {
            double a = from[w] - (ar * r1[w] - ai * i1[w]) - br * r2[w]; /* u2 is real: an entry of T */
            double b = from[W + w] - (ar * i1[w] + ai * r1[w]) - br * i2[w];
            double xr = dr * a - di * b, xi = dr * b + di * a;
            r2[w] = r1[w];
            i2[w] = i1[w];
            r1[w] = xr;
            i1[w] = xi;
            to[w] += wr * xr - wi * xi;
        }
    }
}

static void pack(int m, int n, const double *X, double *x) {
    for (int k = 0; k < m; k++)
        for (int w = 0; w < W; w++) x[(size_t)k * W + (size_t)w] = w < n ? X[(size_t)w * (size_t)m + (size_t)k] : 0;
}

void poles_apply(const poles *p, int m, const double *d, const double *e, int n, const double *X, double *Y,
                 double *scratch) {
    size_t M = (size_t)m;
    double *x = scratch, *sum = x + M * W, *y = sum + M * W, *rest = y + 2 * M * W;
    factors f = {rest, rest + 2 * M, rest + 4 * M, rest + 6 * M, rest + 8 * M};
    for (int at = 0; at < n; at += W) {
        int some = n - at < W ? n - at : W;
        pack(m, some, X + (size_t)at * M, x);
        for (size_t i = 0; i < M * W; i++) sum[i] = p->direct * x[i];
        for (int j = 0; j < p->n; j++) {
            factor(m, d, e, p->cut + I * p->shift[j], &f);
            forward(m, &f, x, y);
            backward(m, &f, p->weight_re[j], p->weight_im[j], y, sum);
        }
        for (int w = 0; w < some; w++)
            for (int k = 0; k < m; k++) Y[(size_t)(at + w) * M + (size_t)k] = sum[(size_t)k * W + (size_t)w];
    }
}
