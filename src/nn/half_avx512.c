/* A block by the bfloat16 dot products of AVX-512 (vdpbf16ps: two products a lane, 64 flops an instruction). */
#include "nn/half.h"

#if defined(__x86_64__) && (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 10))
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

static int usable(void) {
    unsigned a, b, c, d;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl"))
        return 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}

static void begin(void) {}

/* As half_round, but that subnormal numbers become 0. */
TARGET static void round_each(size_t n, const float *x, uint16_t *h) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i eight = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
        memcpy(h + i, &eight, sizeof eight);
    }
    mige_half_round_each(n - i, x + i, h + i);
}

enum { MOST = 10 }; /* rows: 20 sums, and what is loaded, are within 32 registers */

TARGET static inline __m512bh pair(const uint16_t *a) {
    int word;
    memcpy(&word, a, sizeof word);
    return (__m512bh)_mm512_set1_epi32(word);
}

/* `count` rows, a constant, of 32 columns. Unrolled, or the sums would be in memory. */
TARGET __attribute__((always_inline)) static inline void
some_rows(const int count, int pairs, const uint16_t *a, size_t lda, const uint32_t *panel, float *c, size_t ldc) {
    __m512 sum[MOST][2];
#pragma GCC unroll 16
    for (int i = 0; i < count; i++) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (int p = 0; p < pairs; p++, a += 2, panel += HALF_SIDE) {
        __m512bh left = (__m512bh)_mm512_loadu_si512(panel), right = (__m512bh)_mm512_loadu_si512(panel + 16);
#pragma GCC unroll 16
        for (int i = 0; i < count; i++) {
            __m512bh x = pair(a + (size_t)i * lda);
            sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, left);
            sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, right);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < count; i++) {
        _mm512_storeu_ps(c + (size_t)i * ldc, sum[i][0]);
        _mm512_storeu_ps(c + (size_t)i * ldc + 16, sum[i][1]);
    }
}

typedef void some(int pairs, const uint16_t *a, size_t lda, const uint32_t *panel, float *c, size_t ldc);
static some rows1, rows2, rows3, rows4, rows5, rows6, rows7, rows8, rows9, rows10;

/* In parts of up to MOST rows, as even as they can be: from six rows on the latency of the sums is hidden. */
static void block(int rows, int pairs, const uint16_t *a, size_t lda, const uint32_t *panel, float *c, size_t ldc) {
    static some *const part[] = {NULL, rows1, rows2, rows3, rows4, rows5, rows6, rows7, rows8, rows9, rows10};
    for (int parts = (rows + MOST - 1) / MOST, count; parts > 0; parts--) {
        count = (rows + parts - 1) / parts;
        part[count](pairs, a, lda, panel, c, ldc);
        rows -= count;
        a += (size_t)count * lda;
        c += (size_t)count * ldc;
    }
}

const half_kernel mige_half_avx512 = {"AVX512-BF16", 1, usable, 2, begin, round_each, block};

#define ROWS(count)                                                                                                \
    TARGET static void rows##count(int pairs, const uint16_t *a, size_t lda, const uint32_t *panel, float *c,      \
                                   size_t ldc) {                                                                   \
        some_rows(count, pairs, a, lda, panel, c, ldc);                                                            \
    }
ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8) ROWS(9) ROWS(10)
#else
const half_kernel mige_half_avx512 = {"AVX512-BF16", 1, mige_half_never, 2, NULL, NULL, NULL};
#endif
