#include "score/kernel.h"
#include "base/simd.h"
#include "mige/error.h"
#include <cblas.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

void kernel_gather_rows(const mige_matrix *K, const double *X, int D, double *out, int width) {
    for (int il = 0; il < K->ml; il++)
        memcpy(out + (size_t)il * (size_t)width, X + (size_t)mige_row(K, il) * (size_t)D, (size_t)D * sizeof *X);
}

void kernel_gather_cols(const mige_matrix *K, const double *X, int D, double *out, int width) {
    for (int jl = 0; jl < K->nl; jl++)
        memcpy(out + (size_t)jl * (size_t)width, X + (size_t)mige_col(K, jl) * (size_t)D, (size_t)D * sizeof *X);
}

void kernel_norms(int n, int D, const double *x, double *norms) {
    for (int i = 0; i < n; i++)
        norms[i] = cblas_ddot(D, x + (size_t)i * (size_t)D, 1, x + (size_t)i * (size_t)D, 1);
}

/* column += row norms + one column norm, not below 0. */
MIGE_CLONES static void add_norms(int n, const double *restrict rows, double col, double *restrict column) {
#pragma omp simd
    for (int i = 0; i < n; i++) {
        double d = column[i] + (rows[i] + col);
        column[i] = d > 0 ? d : 0;
    }
}

void kernel_distances(mige_matrix *K, int D, const double *rows, const double *cols, double *norms) {
    if (!K->ml || !K->nl) return;
    double *row_norms = norms, *col_norms = norms + K->ml;
    kernel_norms(K->ml, D, rows, row_norms);
    kernel_norms(K->nl, D, cols, col_norms);
    cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, K->ml, K->nl, D, -2, rows, D, cols, D, 0, K->a, K->lld);
    int nb = K->grid->nb;
    for (int jl = 0; jl < K->nl; jl++) {
        double *column = K->a + (size_t)jl * (size_t)K->lld;
        add_norms(K->ml, row_norms, col_norms[jl], column);
        int block = mige_col(K, jl) / nb; /* the diagonal, if this rank has that block row */
        if (block % K->grid->rows == K->grid->row) column[block / K->grid->rows * nb + mige_col(K, jl) % nb] = 0;
    }
}

/* 63 bits of a positive double in 7 digits of 9. */
enum { DIGIT = 9, BINS = 1 << DIGIT, BITS = 63 };

/* Counts, by the digit at `shift`, the entries below the diagonal whose higher bits are `prefix`. */
static void histogram(const mige_matrix *K, int shift, uint64_t prefix, double *bins) {
    int64_t count[BINS] = {0};
    int nb = K->grid->nb;
    for (int jl = 0; jl < K->nl; jl++) {
        const double *column = K->a + (size_t)jl * (size_t)K->lld;
        int jg = mige_col(K, jl);
        for (int i0 = 0; i0 < K->ml; i0 += nb) { /* a block of rows is a run of global rows */
            int end = i0 + nb < K->ml ? i0 + nb : K->ml, below = i0 + jg + 1 - mige_row(K, i0);
            for (int il = below > i0 ? below : i0; il < end; il++) {
                uint64_t bits;
                memcpy(&bits, &column[il], sizeof bits);
                if (bits >> (shift + DIGIT) == prefix) count[bits >> shift & (BINS - 1)]++;
            }
        }
    }
    for (int b = 0; b < BINS; b++) bins[b] = (double)count[b];
}

int kernel_median(const mige_comm *c, const mige_matrix *K, double *d2) {
    int64_t m = K->m, at = m * m / 2;
    *d2 = 0;
    if (at < m) return MIGE_OK; /* among the zeros of the diagonal */
    double bins[BINS], wanted = (double)((at - m) / 2);
    uint64_t prefix = 0;
    for (int shift = BITS - DIGIT; shift >= 0;
         shift -= DIGIT) { /* positive doubles are ordered as their bits are */
        int b = 0;
        histogram(K, shift, prefix, bins);
        MIGE_TRY(mige_sum(c, bins, BINS));
        while (b < BINS - 1 && wanted >= bins[b]) wanted -= bins[b++];
        prefix = prefix << DIGIT | (uint64_t)b;
    }
    memcpy(d2, &prefix, sizeof *d2);
    return MIGE_OK;
}
