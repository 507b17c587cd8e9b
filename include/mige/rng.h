/* Counter-based random numbers (Random123 Philox4x32-10): a pure function of (seed, purpose, step, index), so
 * that no stream has a state to save and no number depends on which rank draws it. */
#ifndef MIGE_RNG_H
#define MIGE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a number is for; two purposes never share a number. Append only: the values are part of every run. */
enum {
    MIGE_RNG_INIT = 1,       /* initial weights; index: position in the flat parameter vector */
    MIGE_RNG_SHUFFLE = 2,    /* order of the training images; step: epoch */
    MIGE_RNG_PROJECTION = 3, /* random projection of x or h; index: row */
    MIGE_RNG_DROPOUT = 4,    /* dropout masks; step: step, index: global sample */
    MIGE_RNG_SUBSPACE = 5,   /* start block of the subspace iteration; index: row */
    MIGE_RNG_NOISE = 6,      /* reparameterisation noise */
    MIGE_RNG_SAMPLE = 7,     /* samples of toy problems and tests */
    MIGE_RNG_PROBE = 8,      /* initial weights and shuffles of the probe's classifiers */
    MIGE_RNG_SUBSET = 9,     /* step 0: which images `convert --train N --test N` takes; 1: which are held out */
    MIGE_RNG_SSM = 10,       /* score matching: which samples are held out, batches, slices, initial weights */
    MIGE_RNG_AUGMENT = 11,   /* views of images; step: epoch, index: 2 image + view */
    MIGE_RNG_PRIOR = 12,     /* draws of the prior that codes are matched to; step: step, index: row of the batch */
    MIGE_RNG_MEDIAN = 13,    /* pairs that bracket the median distance */
    MIGE_RNG_NYSTROM = 14    /* landmarks of the preconditioner */
};

/* Limits: purpose < 2^16, step < 2^32, index < 2^48, n < 2^33. All thread-safe, not collective. */

/* out[i] = uniform 32-bit words. */
void mige_rng_bits(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t index, size_t n, uint32_t *out);

/* out[i] in (0, 1), 2^-33 away from both ends at least. */
void mige_rng_uniform(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t index, size_t n, double *out);

/* out[i] ~ N(0, 1), by Box-Muller. */
void mige_rng_normal(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t index, size_t n, double *out);

/* perm = a permutation of 0..n-1 (Fisher-Yates), a function of (seed, purpose, step) alone. n < 2^32. */
void mige_rng_permutation(uint64_t seed, uint32_t purpose, uint64_t step, int64_t n, int64_t *perm);

/* rows [n][D] = n rows of X [M][D], in the order of that permutation. Errors: MIGE_EFAIL (memory). */
int mige_rng_rows(uint64_t seed, uint32_t purpose, uint64_t step, int64_t M, int D, const double *X, int n,
                  double *rows);

#endif
