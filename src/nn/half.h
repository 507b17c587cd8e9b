/* bfloat16 inside a network: activations and their gradients are stored in it, products of them are summed in
 * single precision; parameters, statistics and losses stay float. A bfloat16 is the upper half of a float.
 *
 * One block of a product is C [32][32] = A [32][2 pairs] B [2 pairs][32]. A is rows in memory, lda values apart. B
 * is a panel, [pairs][32] words of two values each, those of rows 2p (the lower half) and 2p + 1 of a column: what
 * the processor's dot products take, vectors (AVX512-BF16) and tiles (AMX-BF16) alike. The inner dimension is
 * padded with zeros to 32 values, or to those that the kernel takes at once. Rows of A that are too many in the
 * last block are readable but may hold anything; columns of B that are too many are zero; nobody reads what comes
 * of either. */
#ifndef MIGE_NN_HALF_H
#define MIGE_NN_HALF_H

#include "nn/net.h"

enum { HALF_SIDE = 32, HALF_PAD = 32 };

typedef struct {
    const char *name;
    int fast;            /* 1: by instructions made for it */
    int (*usable)(void); /* whether processor and operating system allow it */
    size_t deep;         /* the inner dimension is counted in multiples of this */
    void (*begin)(void); /* on this thread, before its blocks */
    void (*round)(size_t n, const float *x, uint16_t *h);
    /* The first `rows` of a block at least, ldc values apart. */
    void (*block)(int rows, int pairs, const uint16_t *a, size_t lda, const uint32_t *panel, float *c, size_t ldc);
} half_kernel;

extern const half_kernel mige_half_amx, mige_half_avx512, mige_half_portable;
/* usable of a kernel that this compiler or processor family has no instructions for. */
int mige_half_never(void);
/* Kernel i, best first, NULL past the last: all there are, for tests. And the best that is usable here. */
const half_kernel *mige_half_kernel(int i);
const half_kernel *mige_half_best(void);

static inline float half_float(uint16_t h) {
    union {
        uint32_t word;
        float value;
    } u = {.word = (uint32_t)h << 16};
    return u.value;
}

/* To nearest, ties to even; a NaN stays one. */
static inline uint16_t half_round(float f) {
    union {
        float value;
        uint32_t word;
    } u = {.value = f};
    uint32_t rounded = u.word + 0x7fff + (u.word >> 16 & 1);
    return (uint16_t)((f != f ? u.word | 0x400000 : rounded) >> 16);
}

/* The same of many, by no special instructions; and by the best kernel, where numbers too small for float's full
 * precision may become 0. */
void mige_half_round_each(size_t n, const float *x, uint16_t *h);
void mige_bfloat16_round(size_t n, const float *x, uint16_t *h);

static inline size_t half_padded(size_t n) {
    return (n + HALF_SIDE - 1) / HALF_SIDE * HALF_SIDE;
}
/* Values between rows of A of `n` values: padded, and no multiple of what caches are addressed by. */
static inline size_t half_stride(size_t n) {
    return half_padded(n) + HALF_PAD;
}
/* Words of a panel of an inner dimension n. */
static inline size_t half_panel(size_t n) {
    return half_padded(n) / 2 * HALF_SIDE;
}

void mige_half_to_float(size_t n, const uint16_t *h, float *x);
/* h += x */
void mige_half_add(size_t n, const float *x, uint16_t *h);
/* bias[:] = sum over rows of dy[r][:] */
void mige_half_bias_grad(size_t rows, int c, const uint16_t *dy, float *bias);

/* x [rows][cols] as an A: rows lda values apart, zeros past cols. */
void mige_half_rows(int rows, int cols, const uint16_t *x, uint16_t *a, size_t lda);
void mige_half_rows_from_floats(int rows, int cols, const float *x, uint16_t *a, size_t lda);
/* The transpose of x [rows][cols], rows ld values apart, as an A: [cols][lda], zeros past `rows`. */
void mige_half_turn(int rows, int cols, const uint16_t *x, size_t ld, uint16_t *a, size_t lda);

/* A panel of n <= 32 columns, inner dimension k: from B's transpose, rows of k values ld apart with zeros up to k
 * rounded up to 32; and from B's k rows anywhere, NULL for one of zeros, columns `col` on. */
void mige_half_pack_along(int n, int k, const uint16_t *b, size_t ld, uint32_t *panel);
void mige_half_pack_rows(int n, int k, const uint16_t *const *row, size_t col, uint32_t *panel);
/* Panels of any n columns from B itself, in float, k rows of n values ld apart, from row `from` (even, as is k
 * unless it is the last) on; the padding is left alone. And of bfloat16. */
void mige_half_pack_floats(int n, int k, const float *b, size_t ld, int from, uint32_t *panels, size_t panel);
void mige_half_pack_across(int n, int k, const uint16_t *b, size_t ld, int from, uint32_t *panels, size_t panel);
/* b [n][k], n <= 32, of floats as both: what mige_half_pack_along makes, and, unless `across` is NULL, what
 * mige_half_pack_across makes of its n rows of k values. */
void mige_half_pack_both(int n, int k, const float *b, uint32_t *along, int from, uint32_t *across, size_t panel);

/* Where a product goes: element (i, j) to `to` at at[i] + j, or at i * ld + j where at is NULL, in bfloat16 or
 * float, with bias[j] added if there is one; floats are added to what is there if `add`. */
typedef struct {
    void *to;
    int half, add;
    const size_t *at;
    size_t ld;
    const float *bias;
} half_target;

/* C [rows][cols] = A times panels one after the other. first: C's first row and column among the target's. */
typedef struct {
    int rows, cols;
    size_t k; /* inner dimension, before padding */
    const uint16_t *a;
    size_t lda;
    const uint32_t *panels;
    int first_row, first_col;
} half_product;
void mige_half_multiply(const half_kernel *kernel, const half_product *p, const half_target *t);

#endif
