/* A block by the tiles of AMX-BF16: 2 x 2 tiles of sums, two of A and two of B (tdpbf16ps: 16 x 16 sums of 16
 * pairs, 16,384 flops an instruction). */
#include "nn/half.h"

#if defined(__x86_64__) && defined(__linux__) && (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 11))
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TARGET __attribute__((target("amx-tile,amx-bf16")))

enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, TILE = 16 /* rows, and words in each */ };

/* The operating system must allow this process the tiles' registers. */
static int usable(void) {
    unsigned a, b, c, d;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (!(d >> 22 & 1) || !(d >> 24 & 1)) return 0;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

/* All eight tiles full. Constant, so that it is in memory whatever the compiler knows of the instruction's operand:
 * gcc 12 takes it for 8 of its 64 bytes, and leaves stores to the others out. */
static const struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} setting __attribute__((aligned(64))) = {
    .palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

TARGET static void begin(void) {
    _tile_loadconfig(&setting);
}

TARGET static void block(int rows, int pairs, const uint16_t *a, size_t lda, const uint32_t *panel, float *c,
                         size_t ldc) {
    (void)rows;
    const size_t row = lda * sizeof *a, line = HALF_SIDE * sizeof *panel;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int p = 0; p < pairs; p += TILE, a += 2 * TILE, panel += TILE * HALF_SIDE) {
        _tile_loadd(4, a, row);
        _tile_loadd(6, panel, line);
        _tile_loadd(7, panel + TILE, line);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + TILE * lda, row);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, ldc * sizeof *c);
    _tile_stored(1, c + TILE, ldc * sizeof *c);
    _tile_stored(2, c + TILE * ldc, ldc * sizeof *c);
    _tile_stored(3, c + TILE * ldc + TILE, ldc * sizeof *c);
}

const half_kernel mige_half_amx = {"AMX-BF16", 1, usable, 2 * TILE, begin, mige_half_round_each, block};
#else
const half_kernel mige_half_amx = {"AMX-BF16", 1, mige_half_never, 2, NULL, NULL, NULL};
#endif
