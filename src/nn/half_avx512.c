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

TARGET static inline __m512bh pair(const uint16_t *a) {
    int word;
    memcpy(&word, a, sizeof word);
    return (__m512bh)_mm512_set1_epi32(word);
}

/* Eight rows of 32 columns: 16 sums in registers, enough to hide the latency, and 10 loads for 16 products. */
TARGET static void rows8(int pairs, const uint16_t *a, size_t lda, const uint32_t *panel, float *c) {
    enum { ROWS = 8 };
    __m512 sum[ROWS][2];
    for (int i = 0; i < ROWS; i++) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (int p = 0; p < pairs; p++, a += 2, panel += HALF_SIDE) {
        __m512bh left = (__m512bh)_mm512_loadu_si512(panel), right = (__m512bh)_mm512_loadu_si512(panel + 16);
        for (int i = 0; i < ROWS; i++) {
            __m512bh x = pair(a + (size_t)i * lda);
            sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, left);
            sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, right);
        }
    }
    for (int i = 0; i < ROWS; i++) {
        _mm512_storeu_ps(c + i * HALF_SIDE, sum[i][0]);
        _mm512_storeu_ps(c + i * HALF_SIDE + 16, sum[i][1]);
    }
}

static void block(int rows, int pairs, const uint16_t *a, size_t lda, const uint32_t *panel, float *c) {
    for (int i = 0; i < rows; i += 8) rows8(pairs, a + (size_t)i * lda, lda, panel, c + i * HALF_SIDE);
}

const half_kernel mige_half_avx512 = {"AVX512-BF16", 1, usable, 2, begin, round_each, block};
#else
const half_kernel mige_half_avx512 = {"AVX512-BF16", 1, mige_half_never, 2, NULL, NULL, NULL};
#endif
