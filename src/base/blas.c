#include "mige/blas.h"
#include "mige/clock.h"
#include "mige/error.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* OpenBLAS's own, where it is OpenBLAS. */
#pragma weak openblas_get_corename
#pragma weak openblas_get_config
#pragma weak openblas_set_num_threads
extern char *openblas_get_corename(void);
extern char *openblas_get_config(void);
extern void openblas_set_num_threads(int n);

static const char restart_mark[] = "MIGE_BLAS_RESTARTED";

const char *mige_blas_kernel(void) {
    return openblas_get_corename ? openblas_get_corename() : "unknown";
}
const char *mige_blas_config(void) {
    return openblas_get_config ? openblas_get_config() : "unknown";
}

void mige_blas_threads(int n) {
    if (openblas_set_num_threads) openblas_set_num_threads(n);
}

double mige_blas_rate(double seconds) {
    enum { N = 512 };
    double *x, spent = 0;
    int rounds = 0;
    if (mige_alloc(3 * N * N, sizeof *x, &x)) return 0;
    for (int i = 0; i < 2 * N * N; i++) x[i] = 1;
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, x, N, x + N * N, N, 0, x + 2 * N * N, N);
    for (double began = mige_now(); spent < seconds; rounds++) {
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, x, N, x + N * N, N, 0, x + 2 * N * N, N);
        spent = mige_now() - began;
    }
    free(x);
    return 2e-9 * N * N * N * rounds / spent;
}

/* Vector registers a kernel set uses: 0 SSE, 1 AVX, 2 AVX2, 3 AVX-512. Case does not matter to OpenBLAS. */
static int level(const char *kernel) {
    static const struct {
        const char *name;
        int level;
    } known[] = {
        {"Katmai", 0},      {"Coppermine", 0},     {"Northwood", 0},    {"Prescott", 0},   {"Banias", 0},
        {"Atom", 0},        {"Core2", 0},          {"Penryn", 0},       {"Dunnington", 0}, {"Nehalem", 0},
        {"Athlon", 0},      {"Opteron", 0},        {"Opteron_SSE3", 0}, {"Barcelona", 0},  {"Bobcat", 0},
        {"Nano", 0},        {"Generic", 0},        {"Sandybridge", 1},  {"Bulldozer", 1},  {"Piledriver", 1},
        {"Steamroller", 1}, {"Excavator", 2},      {"Haswell", 2},      {"Zen", 2},        {"SkylakeX", 3},
        {"Cooperlake", 3},  {"SapphireRapids", 3},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(kernel, known[i].name)) return known[i].level;
    return -1;
}

const char *mige_blas_better(const char *kernel, int avx2, int avx512) {
    int have = level(kernel), can = avx512 ? 3 : avx2 ? 2 : 0;
    if (have < 0 || have >= can) return NULL;
    return can == 3 ? "SkylakeX" : "Haswell";
}

const char *mige_blas_advice(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    return mige_blas_better(mige_blas_kernel(), avx2, avx512);
#else
    return NULL;
#endif
}

int mige_blas_restarted(void) {
    return getenv(restart_mark) != NULL;
}

void mige_blas_restart(char **argv) {
    const char *chosen = getenv("OPENBLAS_CORETYPE"), *better = mige_blas_advice();
    if (!better || (chosen && *chosen) || mige_blas_restarted()) return;
    setenv("OPENBLAS_CORETYPE", better, 1);
    setenv(restart_mark, "1", 1);
    execv("/proc/self/exe", argv);
    unsetenv("OPENBLAS_CORETYPE"); /* the exec failed: go on as we are */
    unsetenv(restart_mark);
}
