#include "mige/rng.h"
#include <Random123/philox.h>
#include <math.h>

static philox4x32_ctr_t block(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t index, uint32_t nth) {
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

void mige_rng_normal(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t index, size_t n, double *out) {
    const double two_pi = 6.283185307179586476925;
    for (size_t i = 0; i < n; i += 4) {
        philox4x32_ctr_t r = block(seed, purpose, step, index, (uint32_t)(i / 4));
        for (size_t j = 0; j < 4 && i + j < n; j += 2) {
            double radius = sqrt(-2 * log(unit(r.v[j]))), angle = two_pi * unit(r.v[j + 1]);
            out[i + j] = radius * cos(angle);
            if (i + j + 1 < n) out[i + j + 1] = radius * sin(angle);
        }
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
