/* Layers as a test writes them down. */
#ifndef MIGE_TESTS_LAYERS_H
#define MIGE_TESTS_LAYERS_H

#include "mige/error.h"
#include "mige/nn.h"
#include "ref.h"
#include <mpi.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CONV(NAME, OUT, K, S, P, BIAS)                                                                             \
    { .kind = MIGE_CONV, .name = NAME, .out = OUT, .kernel = K, .stride = S, .pad = P, .bias = BIAS }
#define LINEAR(NAME, OUT, BIAS)                                                                                    \
    { .kind = MIGE_LINEAR, .name = NAME, .out = OUT, .bias = BIAS }
#define NORM(NAME, RELU)                                                                                           \
    { .kind = MIGE_NORM, .name = NAME, .relu = RELU }
#define GAUSSIAN(NAME, S, LO, HI)                                                                                  \
    { .kind = MIGE_GAUSSIAN, .name = NAME, .draws = S, .lo = LO, .hi = HI }
#define NOISE(NAME, OUT)                                                                                           \
    { .kind = MIGE_NOISE, .name = NAME, .out = OUT }
#define RELU(NAME)                                                                                                 \
    { .kind = MIGE_RELU, .name = NAME }

static int rank, ranks;

static inline float *floats(size_t n) {
    float *a = NULL;
    assert_int_equal(mige_alloc(n, sizeof *a, &a), MIGE_OK);
    return a;
}

/* The first sample of rank r's share of a batch. */
static inline int share(int batch, int r) {
    return batch * r / ranks;
}

#endif
