/* Gram matrices for the tests of linalg. */
#ifndef MIGE_TESTS_GRAM_H
#define MIGE_TESTS_GRAM_H

#include "ref.h"

/* RBF Gram matrix of M points in D dimensions, column-major. */
static inline double *gram_matrix(int M, int D, double width, uint32_t salt) {
    double *K = malloc((size_t)M * (size_t)M * sizeof *K);
    float *x = malloc((size_t)(M * D) * sizeof *x);
    ref_fill(x, 0, (size_t)(M * D), salt);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
            double d2 = 0;
            for (int d = 0; d < D; d++)
                d2 += (double)(x[i * D + d] - x[j * D + d]) * (double)(x[i * D + d] - x[j * D + d]);
            K[(size_t)j * (size_t)M + (size_t)i] = exp(-d2 / (2 * width * width));
        }
    free(x);
    return K;
}

#endif
