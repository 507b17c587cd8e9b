#include "mige/rng.h"
#include "base/simd.h"
#include "mige/error.h"
#include <Random123/philox.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static inline philox4x32_ctr_t block(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t index, uint32_t nth) {
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t ctr = {{nth, (uint32_t)index, (uint32_t)(index >> 32) << 16 | purpose, (uint32_t)step}};
    return philox4x32(ctr, key);
}

void mige_rng_bits(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t index, size_t n, uint32_t *out) {
    for (size_t i = 0; i < n; i += 4) {
        philox4x32_ctr_t r = block(seed, purpose, step, index, (uint32_t)(i / 4));
        for (size_t j = 0; j < 4 && i + j < n; j++) out[i + j] = r.v[j];
    }
}

static double unit(uint32_t u) {
    return ((double)u + 0.5) * 0x1p-32;
}

void mige_rng_uniform(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t index, size_t n, double *out) {
    for (size_t i = 0; i < n; i += 4) {
        philox4x32_ctr_t r = block(seed, purpose, step, index, (uint32_t)(i / 4));
        for (size_t j = 0; j < 4 && i + j < n; j++) out[i + j] = unit(r.v[j]);
    }
}

/* Normal numbers are made so many blocks at a time, always all of them, so that no number's last bit depends on how
 * many are asked for. Logarithm, sine and cosine are written out: loops over them become vectors with any
 * compiler and C library. */
enum { BLOCKS = 16, NORMALS = 4 * BLOCKS };

/* sqrt(-2 log unit(u)). With u + 1/2 = 2^(e-1) m, m around 1 (e is 0 where u is), log m is the series of 2 artanh
 * f, f = (m - 1)/(m + 1), up to f^21, which leaves 1e-17. */
static inline double radius(uint32_t u) {
    const double log2_twice = 2 * 0.693147180559945309417;
    double x = (double)u + 0.5, m, e;
    uint64_t bits, power;
    memcpy(&bits, &x, sizeof bits);
    power = (bits - 0x3fd6a09e00000000) >> 52; /* e, of m in sqrt(1/2) to sqrt(2) */
    bits -= (power - 1) << 52;
    memcpy(&m, &bits, sizeof m);
    power |= 0x4330000000000000; /* as the last digits of 2^52 + e */
    memcpy(&e, &power, sizeof e);
    double f = (m - 1) / (m + 1), g = f * f;
    double high = 1 / 13.0 + g * (1 / 15.0 + g * (1 / 17.0 + g * (1 / 19.0 + g / 21)));
    double low = 1 / 3.0 + g * (1 / 5.0 + g * (1 / 7.0 + g * (1 / 9.0 + g * (1 / 11.0 + g * high))));
    return sqrt((33 - (e - 0x1p52)) * log2_twice - 4 * (f + f * g * low));
}

/* Cosine and sine of 2 pi unit(u): the nearest quarter of a turn is taken off in whole numbers, and of the rest, at
 * most pi/4, the Taylor series leave 1e-17. */
static inline void turn(uint32_t u, double *cosine, double *sine) {
    uint32_t quarter = (u + (1u << 29)) >> 30;
    double x = ((double)(int32_t)(u - (quarter << 30)) + 0.5) * (6.283185307179586476925 * 0x1p-32), y = x * x;
    double c =
        1 / 40320.0 - y * (1 / 3628800.0 - y * (1 / 479001600.0 - y * (1 / 87178291200.0 - y / 20922789888000)));
    double s = 1 / 362880.0 - y * (1 / 39916800.0 - y * (1 / 6227020800.0 - y / 1307674368000));
    c = 1 - y * (1 / 2.0 - y * (1 / 24.0 - y * (1 / 720.0 - y * c)));
    s = x - x * y * (1 / 6.0 - y * (1 / 120.0 - y * (1 / 5040.0 - y * s)));
    double c1 = quarter & 1 ? -s : c, s1 = quarter & 1 ? c : s;
    *cosine = quarter & 2 ? -c1 : c1;
    *sine = quarter & 2 ? -s1 : s1;
}

MIGE_CLONES static void normals(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t index, uint32_t first,
                                double *restrict out) {
    uint32_t bits[4][BLOCKS];
    for (uint32_t i = 0; i < BLOCKS; i++) {
        philox4x32_ctr_t r = block(seed, purpose, step, index, first + i);
        for (int k = 0; k < 4; k++) bits[k][i] = r.v[k];
    }
    for (int k = 0; k < 4; k += 2)
#pragma omp simd
        for (int i = 0; i < BLOCKS; i++) {
            double r = radius(bits[k][i]), c, s;
            turn(bits[k + 1][i], &c, &s);
            out[4 * i + k] = r * c;
            out[4 * i + k + 1] = r * s;
        }
}

void mige_rng_normal(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t index, size_t n, double *out) {
    size_t whole = n / NORMALS * NORMALS;
    for (size_t i = 0; i < whole; i += NORMALS) normals(seed, purpose, step, index, (uint32_t)(i / 4), out + i);
    if (whole < n) {
        double some[NORMALS];
        normals(seed, purpose, step, index, (uint32_t)(whole / 4), some);
        memcpy(out + whole, some, (n - whole) * sizeof *out);
    }
}

void mige_rng_permutation(uint64_t seed, uint32_t purpose, uint64_t step, int64_t n, int64_t *perm) {
    for (int64_t i = 0; i < n; i++) perm[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        philox4x32_ctr_t r = block(seed, purpose, step, (uint64_t)i, 0);
        /* 64 random bits against i < 2^32: a bias below 2^-32. */
        uint64_t bits = (uint64_t)r.v[0] << 32 | r.v[1];
        int64_t j = (int64_t)(bits % (uint64_t)(i + 1)), t = perm[i];
        perm[i] = perm[j];
        perm[j] = t;
    }
}

int mige_rng_rows(uint64_t seed, uint32_t purpose, uint64_t step, int64_t M, int D, const double *X, int n,
                  double *rows) {
    int64_t *order;
    size_t d = (size_t)D;
    MIGE_TRY(mige_alloc((size_t)M, sizeof *order, &order));
    mige_rng_permutation(seed, purpose, step, M, order);
    for (size_t i = 0; i < (size_t)n; i++) memcpy(rows + i * d, X + (size_t)order[i] * d, d * sizeof *X);
    free(order);
    return MIGE_OK;
}
