#include "mige/error.h"
#include "mige/mi.h"
#include "mige/rng.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>

int mige_projection_create(uint64_t seed, uint64_t stream, int k, int d, mige_projection *p) {
    *p = (mige_projection){k < d ? k : d, d, NULL};
    if (k >= d) return MIGE_OK;
    double *row, *norm;
    MIGE_TRY(mige_alloc((size_t)k * (size_t)d, sizeof *p->R, &p->R));
    MIGE_TRY(mige_alloc(2 * (size_t)d, sizeof *row, &row));
    norm = row + d;
    for (int i = 0; i < k; i++) {
        mige_rng_normal(seed, MIGE_RNG_PROJECTION, stream, (uint64_t)i, (size_t)d, row);
        for (int j = 0; j < d; j++) {
            p->R[(size_t)i * (size_t)d + (size_t)j] = (float)row[j];
            norm[j] += row[j] * row[j];
        }
    }
    for (int i = 0; i < k; i++)
        for (int j = 0; j < d; j++) p->R[(size_t)i * (size_t)d + (size_t)j] *= (float)(1 / sqrt(norm[j]));
    free(row);
    return MIGE_OK;
}

void mige_projection_destroy(mige_projection *p) {
    free(p->R);
    p->R = NULL;
}

void mige_projection_apply(const mige_projection *p, int n, const float *x, float *scratch, double *y) {
    size_t size = (size_t)n * (size_t)p->k;
    if (p->R && n)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, p->k, p->d, 1, x, p->d, p->R, p->d, 0, scratch,
                    p->k);
    const float *from = p->R ? scratch : x;
    for (size_t i = 0; i < size; i++) y[i] = from[i];
}

void mige_projection_adjoint(const mige_projection *p, int n, const double *dy, float *scratch, float *dx) {
    size_t size = (size_t)n * (size_t)p->k;
    float *to = p->R ? scratch : dx;
    for (size_t i = 0; i < size; i++) to[i] = (float)dy[i];
    if (p->R && n)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, p->d, p->k, 1, scratch, p->k, p->R, p->d, 0, dx,
                    p->d);
}
