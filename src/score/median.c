#include "base/simd.h"
#include "mige/error.h"
#include "mige/rng.h"
#include "score/kernel.h"
#ifdef MIGE_AVX512
#include <immintrin.h>
#endif
#include <math.h>
#include <stdint.h>
#include <string.h>

/* The k-th smallest comes to x[k], smaller ones before it (Hoare). */
static void quickselect(double *x, ptrdiff_t n, ptrdiff_t k) {
    ptrdiff_t l = 0, r = n - 1;
    while (l < r) {
        double pivot = x[l + (r - l) / 2];
        ptrdiff_t i = l, j = r;
        while (i <= j) {
            while (x[i] < pivot) i++;
            while (pivot < x[j]) j--;
            if (i > j) break;
            double t = x[i];
            x[i++] = x[j];
            x[j--] = t;
        }
        if (k <= j)
            r = j;
        else if (k >= i)
            l = i;
        else
            return;
    }
}

enum { FEWEST_PAIRS = 512, MOST_PAIRS = 1 << 19, MOST_INSIDE = 1 << 25 };

static int pairs_for(int M) {
    int64_t n = 8 * (int64_t)M;
    return (int)(n < FEWEST_PAIRS ? FEWEST_PAIRS : n > MOST_PAIRS ? MOST_PAIRS : n);
}

/* Five standard errors of the sample's median on either side: this share of the pairs. */
static double spread_of(int npairs) {
    return 2.5 / sqrt((double)npairs);
}

static size_t room_for(int npairs, double count) {
    return (size_t)fmin(4 * spread_of(npairs) * count, MOST_INSIDE) + 1024;
}

double median_bytes(int M, double count) {
    int n = pairs_for(M);
    return 8. * (double)room_for(n, count) + 16. * n;
}

/* The same pairs on every rank. */
int median_create(int M, double count, mige_pool *pool, median *m) {
    int n = pairs_for(M);
    *m = (median){.npairs = n, .room = room_for(n, count)};
    MIGE_TRY(MIGE_TAKE(pool, MIGE_BLOCK(m->sample, n), MIGE_BLOCK(m->inside, m->room),
                       MIGE_BLOCK(m->pairs, 2 * (size_t)n)));
    mige_rng_bits(0, MIGE_RNG_MEDIAN, 0, 0, 2 * (size_t)n, m->pairs);
    for (int s = 0; s < n; s++) {
        uint32_t *p = m->pairs + 2 * s;
        p[0] %= (uint32_t)M;
        p[1] = M > 1 ? p[1] % (uint32_t)(M - 1) : 0;
        p[1] += M > 1 && p[1] >= p[0];
    }
    return MIGE_OK;
}

/* A little wider than the sample says, for rounding. */
void median_begin(median *m, int D, const double *X) {
    ptrdiff_t n = m->npairs;
    double spread = spread_of(m->npairs);
    ptrdiff_t lo = (ptrdiff_t)((0.5 - spread) * (double)n), hi = (ptrdiff_t)((0.5 + spread) * (double)n);
    for (ptrdiff_t s = 0; s < n; s++)
        m->sample[s] = kernel_distance2(D, X + m->pairs[2 * s] * (size_t)D, X + m->pairs[2 * s + 1] * (size_t)D);
    quickselect(m->sample, n, lo);
    m->lo = m->sample[lo] * (1 - 1e-12);
    quickselect(m->sample + lo, n - lo, hi - lo);
    m->hi = m->sample[hi] * (1 + 1e-12);
    m->below = 0;
    m->n = 0;
    m->full = 0;
}

/* As long as there is room for EIGHT more; the result is how many were looked at. */
enum { EIGHT = 8 };
#ifdef MIGE_AVX512
MIGE_AVX512 static int add_eights(median *m, int n, const double *d2) {
    __m512d lo = _mm512_set1_pd(m->lo), hi = _mm512_set1_pd(m->hi);
    int64_t below = 0;
    int i = 0;
    for (; i + EIGHT <= n && m->n + EIGHT <= m->room; i += EIGHT) { /* what is outside is written over */
        __m512d x = _mm512_loadu_pd(d2 + i);
        __mmask8 less = _mm512_cmp_pd_mask(x, lo, _CMP_LT_OQ), up_to = _mm512_cmp_pd_mask(x, hi, _CMP_LE_OQ);
        _mm512_storeu_pd(m->inside + m->n, _mm512_maskz_compress_pd(up_to & ~less, x));
        m->n += (size_t)__builtin_popcount(up_to & ~less);
        below += __builtin_popcount(less);
    }
    m->below += (double)below;
    return i;
}
#endif

void median_add(void *of, int n, const double *d2) {
    median *m = of;
    int64_t below = 0;
    int i = 0;
#ifdef MIGE_AVX512
    if (__builtin_cpu_supports("avx512f")) i = add_eights(m, n, d2);
#endif
    for (; i < n && m->n < m->room; i++) { /* no branch: what is outside is written over */
        m->inside[m->n] = d2[i];
        m->n += d2[i] >= m->lo && d2[i] <= m->hi;
        below += d2[i] < m->lo;
    }
    m->full |= i < n;
    m->below += (double)below;
}

/* 63 bits of a positive double in 7 digits of 9: positive doubles are ordered as their bits are. */
enum { DIGIT = 9, BINS = 1 << DIGIT, BITS = 63 };

typedef struct {
    int shift;
    uint64_t prefix;
    int64_t count[BINS];
} histogram;

/* Counts, by the digit at `shift`, those whose higher bits are `prefix`. */
static void count_digits(void *to, int n, const double *d2) {
    histogram *h = to;
    for (int i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &d2[i], sizeof bits);
        if (bits >> (h->shift + DIGIT) == h->prefix) h->count[bits >> h->shift & (BINS - 1)]++;
    }
}

int median_radix(const mige_comm *c, void (*visit)(void *ctx, median_add_fn add, void *to), void *ctx,
                 double wanted, double *d2) {
    histogram h = {.shift = BITS - DIGIT};
    for (; h.shift >= 0; h.shift -= DIGIT) {
        double bins[BINS];
        int b = 0;
        memset(h.count, 0, sizeof h.count);
        visit(ctx, count_digits, &h);
        for (int i = 0; i < BINS; i++) bins[i] = (double)h.count[i];
        MIGE_TRY(mige_sum(c, bins, BINS));
        while (b < BINS - 1 && wanted >= bins[b]) wanted -= bins[b++];
        h.prefix = h.prefix << DIGIT | (uint64_t)b;
    }
    memcpy(d2, &h.prefix, sizeof *d2);
    return MIGE_OK;
}

static void visit_inside(void *ctx, median_add_fn add, void *to) {
    const median *m = ctx;
    for (size_t from = 0; from < m->n; from += 1 << 30) {
        size_t n = m->n - from < 1 << 30 ? m->n - from : 1 << 30;
        add(to, (int)n, m->inside + from);
    }
}

int median_find(const mige_comm *c, median *m, double wanted, double *d2, int *found) {
    double told[3] = {m->below, (double)m->n, m->full};
    MIGE_TRY(mige_sum(c, told, 3));
    *found = told[2] == 0 && wanted >= told[0] && wanted < told[0] + told[1];
    if (!*found) return MIGE_OK;
    if (c->size > 1) return median_radix(c, visit_inside, m, wanted - told[0], d2);
    quickselect(m->inside, (ptrdiff_t)m->n, (ptrdiff_t)(wanted - told[0]));
    *d2 = m->inside[(ptrdiff_t)(wanted - told[0])];
    return MIGE_OK;
}
