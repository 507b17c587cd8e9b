/* MIGE_CLONES before a hot loop's function: also compiled for AVX-512 and AVX2, chosen when the program loads, so
 * that a binary built for any x86-64 processor uses what it finds. Empty where the compiler or the C library
 * cannot do it, where flags ask for AVX-512 anyway (-march=native; GCC 12 crashes on clones for less), and under
 * sanitizers, whose set-up comes after the choice. */
#ifndef MIGE_BASE_SIMD_H
#define MIGE_BASE_SIMD_H

#include <stddef.h>

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) &&                   \
    !defined(__AVX512F__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if __GNUC__ >= 12
#define MIGE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#endif
#ifndef MIGE_CLONES
#define MIGE_CLONES
#endif

/* MIGE_AVX512 and MIGE_AVX2 before a function that is called only where __builtin_cpu_supports("avx512f"), or
 * "avx2" and "fma"; undefined where the compiler or processor has none. */
#if defined(__x86_64__) && defined(__GNUC__)
#define MIGE_AVX2 __attribute__((target("avx2,fma")))
#define MIGE_AVX512 __attribute__((target("avx512f,fma")))
#endif

/* x[i] = exp(-x[i] * scale), vectorised; a NaN stays one. */
void mige_exp(size_t n, double scale, double *x);

/* Numbers too small for full precision (subnormal) cost up to a hundred times what others do, and training makes
 * them: squares of small gradients, moments of units that have died. From mige_flush_subnormals on this thread
 * takes and gives zero for them; it returns what mige_restore_subnormals puts back. Nothing where the processor is
 * of another family. */
#if defined(__SSE__)
#include <xmmintrin.h>
static inline unsigned mige_flush_subnormals(void) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8000 | 0x40); /* flush to zero, denormals are zero */
    return before;
}
static inline void mige_restore_subnormals(unsigned before) {
    _mm_setcsr(before);
}
#else
static inline unsigned mige_flush_subnormals(void) {
    return 0;
}
static inline void mige_restore_subnormals(unsigned before) {
    (void)before;
}
#endif

#endif
