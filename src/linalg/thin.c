#include "linalg/thin.h"
#include "base/simd.h"
#include "linalg/real.h"
#include "mige/blas.h"
#include <stddef.h>

/* A tile of Y is P rows of up to V vectors of W columns: P V sums stay in registers over Q terms, each of which
 * loads V vectors of X and P entries of A. */
enum { W = 64 / sizeof(real), P = 8, V = 3, Q = 128 };
/* The most columns for which Q rows of X stay in the second-level cache. */
enum { MOST = 512 };

#ifdef MIGE_AVX512
typedef real vec __attribute__((vector_size(W * sizeof(real))));
typedef real loose __attribute__((vector_size(W * sizeof(real)), aligned(sizeof(real)))); /* as it lies in memory */

/* op(A): entry (p, q) is a[p * down + q * along]. */
typedef struct {
    const real *a;
    size_t down, along;
} operand;

/* y [p][v W] += alpha sum_q op(A)_pq x_q for constant p and v. Unrolled, or the sums would be in memory. */
static inline __attribute__((always_inline)) void sums(int p, int v, int terms, real alpha, operand A,
                                                       const real *x, size_t ldx, real *y, size_t ldy) {
    vec s[P][V];
#pragma GCC unroll 8
    for (int i = 0; i < p; i++)
#pragma GCC unroll 8
        for (int j = 0; j < v; j++) s[i][j] = (vec){0};
    for (int q = 0; q < terms; q++, x += ldx, A.a += A.along) {
        vec b[V];
        if (A.down == 1) __builtin_prefetch(A.a + P); /* the next P rows: too many columns to be foreseen */
#pragma GCC unroll 8
        for (int j = 0; j < v; j++) b[j] = *(const loose *)(x + j * W);
#pragma GCC unroll 8
        for (int i = 0; i < p; i++) {
            real c = A.a[(size_t)i * A.down];
#pragma GCC unroll 8
            for (int j = 0; j < v; j++) s[i][j] += c * b[j];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < p; i++)
#pragma GCC unroll 8
        for (int j = 0; j < v; j++) *(loose *)(y + (size_t)i * ldy + j * W) += alpha * s[i][j];
}

/* Each tile's size is a function by itself, or the compiler runs out of registers. */
typedef void kernel(int terms, real alpha, const real *a, size_t lda, const real *x, size_t ldx, real *y,
                    size_t ldy);
#define MIGE_KERNEL(name, p, v, down, along)                                                                       \
    MIGE_AVX512 static __attribute__((noinline)) void name(int terms, real alpha, const real *a, size_t lda,       \
                                                           const real *x, size_t ldx, real *y, size_t ldy) {       \
        sums(p, v, terms, alpha, (operand){a, down, along}, x, ldx, y, ldy);                                       \
    }
MIGE_KERNEL(columns_1, 1, 1, 1, lda)
MIGE_KERNEL(columns_8, P, 1, 1, lda)
MIGE_KERNEL(columns_16, P, 2, 1, lda)
MIGE_KERNEL(columns_24, P, 3, 1, lda)
MIGE_KERNEL(rows_1, 1, 1, lda, 1)
MIGE_KERNEL(rows_8, P, 1, lda, 1)
MIGE_KERNEL(rows_16, P, 2, lda, 1)
MIGE_KERNEL(rows_24, P, 3, lda, 1)

static kernel *const along_columns[] = {columns_1, columns_8, columns_16, columns_24};
static kernel *const along_rows[] = {rows_1, rows_8, rows_16, rows_24};

/* Of p rows, P or 1, and v vectors, of which one row has one. */
static kernel *kernel_for(kernel *const *kernels, int p, int v) {
    return kernels[p == P ? v : 0];
}

/* y [p][n] += alpha op(A) x [terms][n] for p = 1 or P rows. The last n % W columns go by way of copies (x's in
 * `copy`), so that nothing behind a row's end is touched. */
static void strip(kernel *const *kernels, int p, int terms, int n, real alpha, const real *a, size_t lda,
                  const real *x, const real *copy, real *y) {
    int whole = n / W * W, rest = n - whole, most = p == P ? V : 1;
    for (int j = 0, v; j < whole; j += v * W) {
        v = (whole - j) / W < most ? (whole - j) / W : most;
        kernel_for(kernels, p, v)(terms, alpha, a, lda, x + j, (size_t)n, y + j, (size_t)n);
    }
    if (!rest) return;
    real sum[P * W] = {0};
    kernel_for(kernels, p, 1)(terms, alpha, a, lda, copy, W, sum, W);
    for (int i = 0; i < p; i++)
        for (int j = 0; j < rest; j++) y[i * n + whole + j] += sum[i * W + j];
}

/* Y [rows][n] += alpha op(A) X [terms][n]; op(A)'s rows are `down` apart in A, its columns `along`. */
static void multiply(kernel *const *kernels, int rows, int terms, int n, real alpha, const real *A, size_t lda,
                     size_t down, size_t along, const real *X, real *Y) {
    size_t w = (size_t)n;
    int whole = n / W * W, rest = n - whole;
    for (int from = 0; from < terms; from += Q) {
        int count = terms - from < Q ? terms - from : Q;
        const real *x = X + (size_t)from * w;
        real copy[Q * W];
        for (int q = 0; rest && q < count; q++)
            for (int j = 0; j < W; j++) copy[q * W + j] = j < rest ? x[(size_t)q * w + (size_t)(whole + j)] : 0;
        for (int i = 0, p; i < rows; i += p) {
            p = rows - i < P ? 1 : P;
            strip(kernels, p, count, n, alpha, A + (size_t)i * down + (size_t)from * along, lda, x, copy,
                  Y + (size_t)i * w);
        }
    }
}

/* Y [n] += alpha X [n] */
MIGE_AVX512 static void add(int n, real alpha, const real *restrict X, real *restrict Y) {
    for (int j = 0; j < n; j++) Y[j] += alpha * X[j];
}

/* The rows [i, i + count), those before (transposed: behind) them being done. */
static void solve_rows(int i, int count, int n, int transposed, const real *L, size_t ldl, real *X) {
    for (int s = 0; s < count; s++) {
        size_t r = (size_t)(transposed ? i + count - 1 - s : i + s);
        real *x = X + r * (size_t)n, inverse = 1 / L[r * ldl + r];
        for (int t = 0; t < s; t++) {
            size_t c = (size_t)(transposed ? i + count - 1 - t : i + t);
            add(n, transposed ? -L[r * ldl + c] : -L[c * ldl + r], X + c * (size_t)n, x);
        }
        for (int j = 0; j < n; j++) x[j] *= inverse;
    }
}

static void solve(int m, int n, int transposed, const real *L, size_t ld, real *X) {
    size_t w = (size_t)n;
    int blocks = (m + P - 1) / P;
    for (int b = 0; b < blocks; b++) {
        int i = (transposed ? blocks - 1 - b : b) * P, count = m - i < P ? m - i : P, end = i + count;
        const real *row = L + i, *below = L + (size_t)i * ld + (size_t)end;
        real *x = X + (size_t)i * w;
        if (transposed)
            multiply(along_rows, count, m - end, n, -1, below, ld, ld, 1, X + (size_t)end * w, x);
        else
            multiply(along_columns, count, i, n, -1, row, ld, 1, ld, X, x);
        solve_rows(i, count, n, transposed, L, ld, X);
    }
}

static int in_place(int n) {
    return n <= MOST && __builtin_cpu_supports("avx512f");
}
#endif

void REAL(thin_multiply)(int rows, int cols, int n, real alpha, const real *A, int lda, const real *X, real *Y) {
#ifdef MIGE_AVX512
    size_t ld = (size_t)lda;
    if (in_place(n)) {
        multiply(along_columns, rows, cols, n, alpha, A, ld, 1, ld, X, Y);
        return;
    }
#endif /* in BLAS's eyes X and Y are n x rows */
    real_gemm(CblasColMajor, CblasNoTrans, CblasTrans, n, rows, cols, alpha, X, n, A, lda, 1, Y, n);
}

void REAL(thin_multiply_transposed)(int rows, int cols, int n, real alpha, const real *A, int lda, const real *X,
                                    real *Y) {
#ifdef MIGE_AVX512
    size_t ld = (size_t)lda;
    if (in_place(n)) {
        multiply(along_rows, cols, rows, n, alpha, A, ld, ld, 1, X, Y);
        return;
    }
#endif
    real_gemm(CblasColMajor, CblasNoTrans, CblasNoTrans, n, cols, rows, alpha, X, n, A, lda, 1, Y, n);
}

void REAL(thin_solve)(int m, int n, int transposed, const real *L, int ldl, real *X) {
#ifdef MIGE_AVX512
    if (in_place(n)) {
        solve(m, n, transposed, L, (size_t)ldl, X);
        return;
    }
#endif
    real_trsm(CblasColMajor, CblasRight, CblasLower, transposed ? CblasNoTrans : CblasTrans, CblasNonUnit, n, m, 1,
              L, ldl, X, n);
}
