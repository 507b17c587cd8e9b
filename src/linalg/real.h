/* Files that are compiled twice: in double precision, and where MIGE_SINGLE is defined in single, under names with
 * _single behind them. */
#ifndef MIGE_REAL_H
#define MIGE_REAL_H

#ifdef MIGE_SINGLE
typedef float real;
#define REAL(name) name##_single
#define REAL_MPI MPI_FLOAT
#define real_gemm cblas_sgemm
#define real_trsm cblas_strsm
#define real_potrf spotrf_
#else
typedef double real;
#define REAL(name) name
#define REAL_MPI MPI_DOUBLE
#define real_gemm cblas_dgemm
#define real_trsm cblas_dtrsm
#define real_potrf dpotrf_
#endif

#endif
