/* Zolotarev's best rational approximation of the sign on [-1, -l] and [l, 1], of type (2r+1, 2r) (Nakatsukasa,
 * Freund 2016): sign(x) ~ A x prod_j (x^2 + c_2j) / (x^2 + c_2j-1),  c_i = l^2 sc^2(i K' / (2r+1); l'), in partial
 * fractions A x (1 + sum_j a_j / (x^2 + c_2j-1)), with x / (x^2 + s^2) = Re 1/(x - i s). With x = (lambda - cut) /
 * b, (sign(x) - sign(-cut)) / (2 lambda) is the filter, in which every pole gives (1/z) / (lambda - z), z = cut + i
 * b s. */
#include "base/simd.h"
#include "linalg/tridiagonal.h"
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
    double b = fmax(fmax(most - cut, cut - least), 1e-3 * cut); /* all may be one cluster */
    double l = fmin(fmax(gap / b, 1e-14), 0.9);
    p->cut = cut;
    for (int r = 4; r <= MOST_POLES; r += r < 16 ? 2 : 4) {
        with_poles(r, b, l, p);
        double error =
            fabs(poles_value(p, cut + l * b) * (cut + l * b) - 1) + fabs(poles_value(p, cut - l * b) * cut);
        if (error < 1e-13) break;
    }
}

/* Columns that are solved for together, in two vectors: enough independent work to hide the latency of the
 * recurrences. */
enum { HALF = 8, W = 2 * HALF };
typedef double vec __attribute__((vector_size(HALF * sizeof(double))));

static int chunks(int n) {
    return (n + W - 1) / W;
}

unsigned long poles_scratch(int m, int n) {
    return (unsigned long)m * ((unsigned long)(2 * W * chunks(n)) + 2 * W + 8) + 64;
}

/* (T - z) = L U with row interchanges; one row of it. u2 is an entry of T, so real. */
typedef struct {
    double l_re, l_im, inverse_re, inverse_im, u1_re, u1_im, u2, swapped;
} row;

/* a / b without the care for overflow that complex division takes: pivots are of T's size. */
static double complex quotient(double complex a, double complex b) {
    double br = creal(b), bi = cimag(b), norm = 1 / (br * br + bi * bi);
    double ar = creal(a), ai = cimag(a);
    return (ar * br + ai * bi) * norm + I * ((ai * br - ar * bi) * norm);
}

static double size1(double complex z) {
    return fabs(creal(z)) + fabs(cimag(z));
}

static double complex product(double complex a, double complex b) {
    return creal(a) * creal(b) - cimag(a) * cimag(b) + I * (creal(a) * cimag(b) + cimag(a) * creal(b));
}

static void factor(int m, const double *d, const double *e, double complex z, row *rows) {
    double complex diagonal = d[0] - z, above = m > 1 ? e[0] : 0; /* of the row that is being eliminated from */
    for (int k = 0; k + 1 < m; k++) {
        double below = e[k], far = k + 2 < m ? e[k + 1] : 0;
        double complex next = d[k + 1] - z;
        int swap = fabs(below) > size1(diagonal);
        double complex inverse = swap ? 1 / below : quotient(1, diagonal),
                       l = product(swap ? diagonal : below, inverse);
        double complex u1 = swap ? next : above, eliminated = product(l, u1);
        rows[k] =
            (row){creal(l), cimag(l), creal(inverse), cimag(inverse), creal(u1), cimag(u1), swap ? far : 0, swap};
        diagonal = (swap ? above : next) - eliminated;
        above = swap ? -far * l : far;
    }
    double complex inverse = quotient(1, diagonal);
    rows[m - 1] = (row){0, 0, creal(inverse), cimag(inverse), 0, 0, 0, 0};
}

/* y [m][re, im][W] = L^-1 of the real right-hand sides x [m][W]. */
MIGE_CLONES static void forward(int m, const row *rows, const vec *restrict x, vec *restrict y) {
    vec r0 = x[0], r1 = x[1], i0 = {0}, i1 = {0}; /* the row that is being eliminated from */
    for (int k = 0; k + 1 < m; k++) {
        double lr = rows[k].l_re, li = rows[k].l_im;
        const vec *next = x + 2 * (size_t)(k + 1);
        vec *to = y + 4 * (size_t)k, n0 = next[0], n1 = next[1];
        if (rows[k].swapped != 0) {
            to[0] = n0;
            to[1] = n1;
            to[2] = to[3] = (vec){0};
            r0 -= lr * n0;
            r1 -= lr * n1;
            i0 -= li * n0;
            i1 -= li * n1;
        } else {
            to[0] = r0;
            to[1] = r1;
            to[2] = i0;
            to[3] = i1;
            n0 -= lr * r0 - li * i0;
            n1 -= lr * r1 - li * i1;
            i0 = -(lr * i0 + li * r0);
            i1 = -(lr * i1 + li * r1);
            r0 = n0;
            r1 = n1;
        }
    }
    vec *to = y + 4 * (size_t)(m - 1);
    to[0] = r0;
    to[1] = r1;
    to[2] = i0;
    to[3] = i1;
}

/* sum [m][W] += Re(weight U^-1 y). */
MIGE_CLONES static void backward(int m, const row *rows, double wr, double wi, const vec *restrict y,
                                 vec *restrict sum) {
    vec p0 = {0}, p1 = {0}, q0 = {0}, q1 = {0};     /* the row below: real, imaginary */
    vec pp0 = {0}, pp1 = {0}, qq0 = {0}, qq1 = {0}; /* the one below that */
    for (int k = m - 1; k >= 0; k--) {
        const row *u = &rows[k];
        const vec *from = y + 4 * (size_t)k;
        vec *to = sum + 2 * (size_t)k;
        vec a0 = from[0] - (u->u1_re * p0 - u->u1_im * q0), a1 = from[1] - (u->u1_re * p1 - u->u1_im * q1);
        vec b0 = from[2] - (u->u1_re * q0 + u->u1_im * p0), b1 = from[3] - (u->u1_re * q1 + u->u1_im * p1);
        if (u->swapped != 0) {
            a0 -= u->u2 * pp0;
            a1 -= u->u2 * pp1;
            b0 -= u->u2 * qq0;
            b1 -= u->u2 * qq1;
        }
        pp0 = p0;
        pp1 = p1;
        qq0 = q0;
        qq1 = q1;
        p0 = u->inverse_re * a0 - u->inverse_im * b0;
        p1 = u->inverse_re * a1 - u->inverse_im * b1;
        q0 = u->inverse_re * b0 + u->inverse_im * a0;
        q1 = u->inverse_re * b1 + u->inverse_im * a1;
        to[0] += wr * p0 - wi * q0;
        to[1] += wr * p1 - wi * q1;
    }
}

/* Columns of X [n][m] into x [chunks][m][W], zeros behind the last. */
static void pack(int m, int n, const double *X, double *x) {
    for (int c = 0; c < chunks(n); c++)
        for (int k = 0; k < m; k++)
            for (int w = 0; w < W; w++)
                x[((size_t)c * (size_t)m + (size_t)k) * W + (size_t)w] =
                    c * W + w < n ? X[(size_t)(c * W + w) * (size_t)m + (size_t)k] : 0;
}

void poles_apply(const poles *p, int m, const double *d, const double *e, int n, const double *X, double *Y,
                 double *scratch) {
    size_t M = (size_t)m, all = (size_t)chunks(n) * M * W;
    double *x = scratch, *sum = x + all, *y = sum + all;
    row *rows = (row *)(y + 2 * M * W);
    pack(m, n, X, x);
    for (size_t i = 0; i < all; i++) sum[i] = p->direct * x[i];
    for (int j = 0; j < p->n; j++) {
        factor(m, d, e, p->cut + I * p->shift[j], rows);
        for (int c = 0; c < chunks(n); c++) {
            forward(m, rows, (const vec *)(x + (size_t)c * M * W), (vec *)y);
            backward(m, rows, p->weight_re[j], p->weight_im[j], (const vec *)y, (vec *)(sum + (size_t)c * M * W));
        }
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++)
            Y[(size_t)i * M + (size_t)k] = sum[((size_t)(i / W) * M + (size_t)k) * W + (size_t)(i % W)];
}
