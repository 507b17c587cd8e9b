/* BLAS and LAPACK as the program uses them: the CBLAS interface, the Fortran LAPACK routines declared here, and the
 * care that OpenBLAS needs. Any library with these symbols links; OpenBLAS's own functions are optional. */
#ifndef MIGE_BLAS_H
#define MIGE_BLAS_H

#include <cblas.h>

/* LAPACK, Fortran binding, column-major. */
void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
             const int *lwork, int *iwork, const int *liwork, int *info);
void dlarfg_(const int *n, double *alpha, double *x, const int *incx, double *tau);
void dlarft_(const char *direct, const char *storev, const int *n, const int *k, const double *v, const int *ldv,
             const double *tau, double *t, const int *ldt);
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info);
void dpotrs_(const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda, double *b,
             const int *ldb, int *info);
void dpstrf_(const char *uplo, const int *n, double *a, const int *lda, int *piv, int *rank, const double *tol,
             double *work, int *info);
void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void dgeev_(const char *jobvl, const char *jobvr, const int *n, double *a, const int *lda, double *wr, double *wi,
            double *vl, const int *ldvl, double *vr, const int *ldvr, double *work, const int *lwork, int *info);
void dgesv_(const int *n, const int *nrhs, double *a, const int *lda, int *ipiv, double *b, const int *ldb,
            int *info);

/* Name of the running kernel set ("SkylakeX", ...), or "unknown" for a BLAS that does not say. */
const char *mige_blas_kernel(void);
/* The library's own description, or "unknown". */
const char *mige_blas_config(void);
/* From now on n threads for this process's calls of BLAS (no effect on a BLAS that cannot be told). The library
 * leaves it as it is, which for OpenBLAS is a thread a core on every rank: `mige` itself calls it with 1. Not
 * collective. */
void mige_blas_threads(int n);
/* GFLOP/s of dgemm in this process, over `seconds` of it: what the kernels really do. 0: no memory. */
double mige_blas_rate(double seconds);

/* The kernel set to ask OpenBLAS for when `kernel` lacks vector instructions that a processor with `avx2` (and fma)
 * and `avx512` has; NULL when it is good as it is, or is not a known OpenBLAS kernel. Pure. */
const char *mige_blas_better(const char *kernel, int avx2, int avx512);
/* The same for this process. */
const char *mige_blas_advice(void);

/* Before MPI_Init: OpenBLAS reads OPENBLAS_CORETYPE when it is loaded, so where a better kernel exists the program
 * sets it and starts itself again. Leaves a variable alone that the user has set; happens at most once. Returns
 * when there is nothing to do, or when the exec failed. */
void mige_blas_restart(char **argv);
/* 1 if this process is the second start. */
int mige_blas_restarted(void);

#endif
