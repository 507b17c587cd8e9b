/* bfloat16 without special instructions: conversion, packing, and the product's frame. */
#include "nn/half.h"
#include "base/simd.h"
#include "mige/clock.h"
#include <stdlib.h>
#include <string.h>

const half_kernel *mige_half_kernel(int i) {
    static const half_kernel *const all[] = {&mige_half_amx, &mige_half_avx512, &mige_half_portable, NULL};
    return all[i];
}

const half_kernel *mige_half_best(void) {
    static const half_kernel *best;
    for (int i = 0; !best; i++)
        if (mige_half_kernel(i)->usable()) best = mige_half_kernel(i);
    return best;
}

MIGE_CLONES void mige_half_round_each(size_t n, const float *restrict x, uint16_t *restrict h) {
    for (size_t i = 0; i < n; i++) h[i] = half_round(x[i]);
}

void mige_bfloat16_round(size_t n, const float *x, uint16_t *rounded) {
    mige_half_best()->round(n, x, rounded);
}

MIGE_CLONES void mige_half_to_float(size_t n, const uint16_t *restrict h, float *restrict x) {
    for (size_t i = 0; i < n; i++) x[i] = half_float(h[i]);
}

MIGE_CLONES void mige_half_add(size_t n, const float *restrict x, uint16_t *restrict h) {
    for (size_t i = 0; i < n; i++) h[i] = half_round(half_float(h[i]) + x[i]);
}

MIGE_CLONES void mige_half_bias_grad(size_t rows, int c, const uint16_t *dy, float *bias) {
    enum { STRIP = 64 };
    for (int from = 0; from < c; from += STRIP) {
        double sum[STRIP] = {0};
        int width = c - from < STRIP ? c - from : STRIP;
        for (size_t r = 0; r < rows; r++)
            for (int j = 0; j < width; j++) sum[j] += (double)half_float(dy[r * (size_t)c + (size_t)(from + j)]);
        for (int j = 0; j < width; j++) bias[from + j] = (float)sum[j];
    }
}

void mige_half_rows(int rows, int cols, const uint16_t *x, uint16_t *a, size_t lda) {
    for (int i = 0; i < rows; i++, x += cols, a += lda) {
        memcpy(a, x, (size_t)cols * sizeof *a);
        memset(a + cols, 0, (lda - (size_t)cols) * sizeof *a);
    }
}

void mige_half_rows_from_floats(int rows, int cols, const float *x, uint16_t *a, size_t lda) {
    for (int i = 0; i < rows; i++, x += cols, a += lda) {
        mige_bfloat16_round((size_t)cols, x, a);
        memset(a + cols, 0, (lda - (size_t)cols) * sizeof *a);
    }
}

static uint32_t word_of(float low, float high) {
    return half_round(low) | (uint32_t)half_round(high) << 16;
}

MIGE_CLONES static void pack_pair(int n, const float *restrict low, const float *restrict high,
                                  uint32_t *restrict to) {
    for (int j = 0; j < n; j++) to[j] = word_of(low[j], high[j]);
}

void mige_half_pack_floats(int n, int k, const float *b, size_t ld, int from, uint32_t *panels, size_t panel) {
    static const float zeros[HALF_SIDE];
    for (int i = 0; i < k; i += 2)
        for (int j = 0; j < n; j += HALF_SIDE) {
            int width = n - j < HALF_SIDE ? n - j : HALF_SIDE;
            uint32_t *to = panels + (size_t)(j / HALF_SIDE) * panel + (size_t)(from + i) / 2 * HALF_SIDE;
            const float *low = b + (size_t)i * ld + (size_t)j;
            pack_pair(width, low, i + 1 < k ? low + ld : zeros, to);
            memset(to + width, 0, (size_t)(HALF_SIDE - width) * sizeof *to);
        }
}

MIGE_CLONES static void pack_words(int n, const uint16_t *restrict low, const uint16_t *restrict high,
                                   uint32_t *restrict to) {
    if (n == HALF_SIDE)
        for (int j = 0; j < HALF_SIDE; j++) to[j] = low[j] | (uint32_t)high[j] << 16;
    else
        for (int j = 0; j < n; j++) to[j] = low[j] | (uint32_t)high[j] << 16;
}

void mige_half_pack_rows(int n, int k, const uint16_t *const *row, size_t col, uint32_t *panel) {
    static const uint16_t zeros[HALF_SIDE];
    const int padded = (int)half_padded((size_t)k);
    for (int i = 0; i < padded; i += 2, panel += HALF_SIDE) {
        const uint16_t *low = i < k && row[i] ? row[i] + col : zeros;
        const uint16_t *high = i + 1 < k && row[i + 1] ? row[i + 1] + col : zeros;
        pack_words(n, low, high, panel);
        if (n < HALF_SIDE) memset(panel + n, 0, (size_t)(HALF_SIDE - n) * sizeof *panel);
    }
}

void mige_half_pack_across(int n, int k, const uint16_t *b, size_t ld, int from, uint32_t *panels, size_t panel) {
    static const uint16_t zeros[HALF_SIDE];
    for (int j = 0; j < n; j += HALF_SIDE, panels += panel) {
        int width = n - j < HALF_SIDE ? n - j : HALF_SIDE;
        uint32_t *to = panels + (size_t)from / 2 * HALF_SIDE;
        for (int i = 0; i < k; i += 2, to += HALF_SIDE) {
            const uint16_t *low = b + (size_t)i * ld + (size_t)j;
            pack_words(width, low, i + 1 < k ? low + ld : zeros, to);
            memset(to + width, 0, (size_t)(HALF_SIDE - width) * sizeof *to);
        }
    }
}

/* Sixteen words, a vector register where they are that long. */
typedef uint32_t words __attribute__((vector_size(64)));

#if defined(__clang__)
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else /* gcc has the other from 12 on */
#define PICK(a, b, ...) __builtin_shuffle(a, b, (words){__VA_ARGS__})
#endif

/* Rows i and i + s exchange blocks of s x s words off the diagonal. */
#define ALL(f, s)                                                                                                  \
    f(s, 0), f(s, 1), f(s, 2), f(s, 3), f(s, 4), f(s, 5), f(s, 6), f(s, 7), f(s, 8), f(s, 9), f(s, 10), f(s, 11),  \
        f(s, 12), f(s, 13), f(s, 14), f(s, 15)
#define KEEP(s, k) ((k) & (s) ? 16 + (k) - (s) : (k))
#define MOVE(s, k) ((k) & (s) ? 16 + (k) : (k) + (s))
#define EXCHANGE(s)                                                                                                \
    for (int i = 0; i < 16; i++)                                                                                   \
        if (!(i & (s))) {                                                                                          \
            words a = x[i], b = x[i + (s)];                                                                        \
            x[i] = PICK(a, b, ALL(KEEP, s));                                                                       \
            x[i + (s)] = PICK(a, b, ALL(MOVE, s));                                                                 \
        }

static inline void turn_square(words x[16]){EXCHANGE(8) EXCHANGE(4) EXCHANGE(2) EXCHANGE(1)}

/* A pair of one row is a word in memory: squares of words are turned. */
MIGE_CLONES void mige_half_pack_along(int n, int k, const uint16_t *b, size_t ld, uint32_t *panel) {
    enum { SIDE = 16 };
    const int padded = (int)half_padded((size_t)k);
    for (int from = 0; from < padded; from += 2 * SIDE, panel += SIDE * HALF_SIDE)
        for (int j = 0; j < HALF_SIDE; j += SIDE) {
            words x[SIDE];
            for (int i = 0; i < SIDE; i++)
                if (j + i < n)
                    memcpy(&x[i], b + (size_t)(j + i) * ld + (size_t)from, sizeof x[i]);
                else
                    x[i] = (words){0};
            turn_square(x);
            for (int p = 0; p < SIDE; p++) memcpy(panel + p * HALF_SIDE + j, &x[p], sizeof x[p]);
        }
}

/* A strip of both ways to read a block: where it goes along, and across, panels of `panel` words. */
typedef struct {
    uint32_t *along, *across;
    size_t panel;
    int width;
} strip;

/* The strip's lines are brought here, which another core has read last, while the strip before is computed. */
static void expect(const strip *s, int n) {
    const int panels = (s->width + HALF_SIDE - 1) / HALF_SIDE;
    for (int i = 0; i < panels * HALF_SIDE; i++) __builtin_prefetch(s->along + i * 16, 1);
    for (int p = 0; s->across && p < panels; p++)
        for (int i = 0; i < n; i++) __builtin_prefetch(s->across + (size_t)p * s->panel + i * 16, 1);
}

/* Strip by strip, which stays in the first-level cache between the two ways to read it. */
void mige_half_pack_both(int n, int k, const float *b, uint32_t *along, int from, uint32_t *across, size_t panel) {
    enum { PANELS = 2, STRIP = PANELS * HALF_SIDE };
    _Alignas(64) uint16_t rounded[HALF_SIDE * STRIP];
    for (int j = 0; j < k; j += STRIP) {
        const int width = k - j < STRIP ? k - j : STRIP, left = k - j - STRIP;
        uint32_t *to = along + (size_t)j / 2 * HALF_SIDE,
                 *down = across ? across + (size_t)j / HALF_SIDE * panel + (size_t)from / 2 * HALF_SIDE : NULL;
        if (left > 0)
            expect(&(strip){to + STRIP / 2 * HALF_SIDE, down ? down + PANELS * panel : NULL, panel,
                            left < STRIP ? left : STRIP},
                   n);
        if (width < STRIP) memset(rounded, 0, sizeof rounded);
        for (int i = 0; i < n; i++)
            mige_bfloat16_round((size_t)width, b + (size_t)i * (size_t)k + (size_t)j, rounded + i * STRIP);
        mige_half_pack_along(n, width, rounded, STRIP, to);
        if (down) mige_half_pack_across(width, n, rounded, STRIP, 0, down, panel);
    }
}

/* Pairs of rows become rows of words, squares of which are turned. */
MIGE_CLONES void mige_half_turn(int rows, int cols, const uint16_t *x, size_t ld, uint16_t *a, size_t lda) {
    enum { SIDE = 16 };
    static const uint16_t zeros[SIDE];
    const int padded = (int)half_padded((size_t)rows);
    for (int r = 0; r < padded; r += 2 * SIDE)
        for (int from = 0; from < cols; from += SIDE) {
            int width = cols - from < SIDE ? cols - from : SIDE;
            union {
                words row[SIDE];
                uint32_t word[SIDE][SIDE];
            } square;
            for (int p = 0; p < SIDE; p++) {
                int i = r + 2 * p;
                const uint16_t *low = i < rows ? x + (size_t)i * ld + (size_t)from : zeros;
                const uint16_t *high = i + 1 < rows ? x + (size_t)(i + 1) * ld + (size_t)from : zeros;
                if (width == SIDE)
                    for (int j = 0; j < SIDE; j++) square.word[p][j] = low[j] | (uint32_t)high[j] << 16;
                else
                    for (int j = 0; j < width; j++) square.word[p][j] = low[j] | (uint32_t)high[j] << 16;
            }
            turn_square(square.row);
            for (int j = 0; j < width; j++)
                memcpy(a + (size_t)(from + j) * lda + (size_t)r, square.word[j], sizeof square.word[j]);
        }
}

int mige_half_never(void) {
    return 0;
}

static int always(void) {
    return 1;
}
static void nothing(void) {}

MIGE_CLONES static void portable_block(int rows, int pairs, const uint16_t *a, size_t lda, const uint32_t *panel,
                                       float *c, size_t ldc) {
    for (int i = 0; i < rows; i++, a += lda, c += ldc) {
        float sum[HALF_SIDE] = {0};
        for (int p = 0; p < pairs; p++) {
            float low = half_float(a[2 * p]), high = half_float(a[2 * p + 1]);
            const uint32_t *w = panel + p * HALF_SIDE;
            for (int j = 0; j < HALF_SIDE; j++)
                sum[j] += low * half_float((uint16_t)w[j]) + high * half_float((uint16_t)(w[j] >> 16));
        }
        memcpy(c, sum, sizeof sum);
    }
}

const half_kernel mige_half_portable = {"none: emulated", 0, always, 2, nothing, mige_half_round_each,
                                        portable_block};

MIGE_CLONES static void store_row(const half_target *t, int n, const float *restrict c, const float *restrict bias,
                                  size_t at) {
    if (t->half) {
        uint16_t *restrict to = (uint16_t *)t->to + at;
        for (int j = 0; j < n; j++) to[j] = half_round(c[j] + bias[j]);
    } else if (t->add) {
        float *restrict to = (float *)t->to + at;
        for (int j = 0; j < n; j++) to[j] += c[j];
    } else {
        float *restrict to = (float *)t->to + at;
        for (int j = 0; j < n; j++) to[j] = c[j] + bias[j];
    }
}

/* Block c at (row, col) of the target. */
static void store(const half_target *t, int row, int rows, int col, int cols, const float *c) {
    static const float none[HALF_SIDE];
    const float *bias = t->bias ? t->bias + col : none;
    for (int i = 0; i < rows; i++, c += HALF_SIDE)
        store_row(t, cols, c, bias, (t->at ? t->at[row + i] : (size_t)(row + i) * t->ld) + (size_t)col);
}

static int smaller(int a, int b) {
    return a < b ? a : b;
}

void mige_half_multiply(const half_kernel *kernel, const half_product *p, const half_target *t) {
    _Alignas(64) float c[HALF_SIDE * HALF_SIDE];
    const int pairs = (int)((p->k + kernel->deep - 1) / kernel->deep * kernel->deep / 2);
    const uint32_t *panel = p->panels;
    const int plain = !t->half && !t->add && !t->bias && !t->at;
    kernel->begin();
    for (int j = 0; j < p->cols; j += HALF_SIDE, panel += half_panel(p->k))
        for (int i = 0; i < p->rows; i += HALF_SIDE) {
            const int rows = smaller(HALF_SIDE, p->rows - i), cols = smaller(HALF_SIDE, p->cols - j);
            const int row = p->first_row + i, col = p->first_col + j,
                      whole = rows == HALF_SIDE && cols == HALF_SIDE;
            float *to = plain && whole ? (float *)t->to + (size_t)row * t->ld + (size_t)col : c;
            kernel->block(rows, pairs, p->a + (size_t)i * p->lda, p->lda, panel, to, to == c ? HALF_SIDE : t->ld);
            if (to == c) store(t, row, rows, col, cols, c);
        }
}

double mige_bfloat16_rate(double seconds) {
    enum { K = 1024, PANELS = 8 };
    const half_kernel *kernel = mige_half_best();
    uint16_t *a;
    float *c;
    double spent = 0, blocks = 0;
    if (mige_alloc(HALF_SIDE * half_stride(K) + PANELS * half_panel(K) * 2, sizeof *a, &a)) return 0;
    if (mige_alloc(HALF_SIDE * HALF_SIDE, sizeof *c, &c)) {
        free(a);
        return 0;
    }
    const uint32_t *panels = (const uint32_t *)(a + HALF_SIDE * half_stride(K));
    kernel->begin();
    const double began = mige_now();
    while (spent < seconds) {
        for (int i = 0; i < PANELS; i++)
            kernel->block(HALF_SIDE, K / 2, a, half_stride(K), panels + i * half_panel(K), c, HALF_SIDE);
        spent = mige_now() - began;
        blocks += PANELS;
    }
    free(a);
    free(c);
    return 2e-9 * HALF_SIDE * HALF_SIDE * K * blocks / spent;
}
