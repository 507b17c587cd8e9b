/* Loaded before a rank's libraries: makes one of its calls fail, once or from then on.
 *
 * MIGE_FAULT=RANK:KIND:N, the N-th call (from 1) on that rank since MPI_Init_thread; the time of it, in seconds,
 * goes to the file MIGE_FAULT_LOG. memory   allocations of 64 kB and more give NULL from then on read     reads of
 * files give EIO from then on write    writes to files give ENOSPC from then on nan      a matrix product is all
 * NaN */
#include <cblas.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <mpi.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NONE, MEMORY, READ, WRITE, NOT_A_NUMBER, LARGE = 1 << 16 };
static int kind;
static long at;
static atomic_long calls;
static atomic_int armed; /* once MPI is there: what befalls its own beginning is its affair */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

__attribute__((constructor)) static void read_environment(void) {
    static const char *const names[] = {"", "memory", "read", "write", "nan"};
    static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"};
    const char *text = getenv("MIGE_FAULT"), *rank = NULL;
    char name[16];
    int victim;
    long n;
    for (int i = 0; i < 3 && !rank; i++) rank = getenv(ranks[i]);
    if (!text || !rank || sscanf(text, "%d:%15[^:]:%ld", &victim, name, &n) != 3 || atoi(rank) != victim) return;
    at = n;
    for (int k = MEMORY; k <= NOT_A_NUMBER; k++)
        if (!strcmp(names[k], name)) kind = k;
}

static void note(void) {
    struct timespec t;
    char line[64];
    const char *path = getenv("MIGE_FAULT_LOG");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    clock_gettime(CLOCK_REALTIME, &t);
    int n = snprintf(line, sizeof line, "%.3f\n", (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
    static ssize_t (*plain)(int, const void *, size_t);
    if (!plain) *(void **)&plain = dlsym(RTLD_NEXT, "write");
    if (fd >= 0 && plain(fd, line, (size_t)n) == n) close(fd);
}

/* 1 from call number `at` of this kind on. */
static int now(int of) {
    if (kind != of || !atomic_load(&armed)) return 0;
    long n = atomic_fetch_add(&calls, 1) + 1;
    if (n == at) note();
    return n >= at;
}

int MPI_Init_thread(int *argc, char ***argv, int wanted, int *given) {
    int err = PMPI_Init_thread(argc, argv, wanted, given);
    atomic_store(&armed, 1);
    return err;
}

static int is_file(int fd) {
    struct stat st;
    return kind != NONE && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int no_memory(size_t size) {
    return size >= LARGE && now(MEMORY);
}

void *malloc(size_t size) {
    return no_memory(size) ? (errno = ENOMEM, NULL) : __libc_malloc(size);
}
void *calloc(size_t n, size_t size) {
    return no_memory(n * size) ? (errno = ENOMEM, NULL) : __libc_calloc(n, size);
}
void *realloc(void *p, size_t size) {
    return no_memory(size) ? (errno = ENOMEM, NULL) : __libc_realloc(p, size);
}

#define NEXT(name) (*(void **)&next = next ? *(void **)&next : dlsym(RTLD_NEXT, name))

int posix_memalign(void **p, size_t alignment, size_t size) {
    static int (*next)(void **, size_t, size_t);
    NEXT("posix_memalign");
    return no_memory(size) ? ENOMEM : next(p, alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
    static void *(*next)(size_t, size_t);
    NEXT("aligned_alloc");
    return no_memory(size) ? (errno = ENOMEM, NULL) : next(alignment, size);
}

ssize_t read(int fd, void *to, size_t n) {
    static ssize_t (*next)(int, void *, size_t);
    NEXT("read");
    return is_file(fd) && now(READ) ? (errno = EIO, -1) : next(fd, to, n);
}
ssize_t pread(int fd, void *to, size_t n, off_t offset) {
    static ssize_t (*next)(int, void *, size_t, off_t);
    NEXT("pread");
    return is_file(fd) && now(READ) ? (errno = EIO, -1) : next(fd, to, n, offset);
}
ssize_t pread64(int fd, void *to, size_t n, off64_t offset) {
    return pread(fd, to, n, offset);
}
ssize_t write(int fd, const void *from, size_t n) {
    static ssize_t (*next)(int, const void *, size_t);
    NEXT("write");
    return is_file(fd) && now(WRITE) ? (errno = ENOSPC, -1) : next(fd, from, n);
}
ssize_t pwrite(int fd, const void *from, size_t n, off_t offset) {
    static ssize_t (*next)(int, const void *, size_t, off_t);
    NEXT("pwrite");
    return is_file(fd) && now(WRITE) ? (errno = ENOSPC, -1) : next(fd, from, n, offset);
}
ssize_t pwrite64(int fd, const void *from, size_t n, off64_t offset) {
    return pwrite(fd, from, n, offset);
}

/* Of the result, from its first element to its last. */
static size_t length(CBLAS_LAYOUT layout, blasint m, blasint n, blasint ldc) {
    blasint lines = layout == CblasRowMajor ? m : n, width = layout == CblasRowMajor ? n : m;
    return lines > 0 && width > 0 ? (size_t)(lines - 1) * (size_t)ldc + (size_t)width : 0;
}

/* Once only: whatever comes of it. */
static int now_once(void) {
    return now(NOT_A_NUMBER) && atomic_load(&calls) == at;
}

#define GEMM(name, real)                                                                                           \
    void name(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n, blasint k,        \
              real alpha, const real *a, blasint lda, const real *b, blasint ldb, real beta, real *c,              \
              blasint ldc) {                                                                                       \
        static void (*next)(CBLAS_LAYOUT, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint, blasint, blasint, real,       \
                            const real *, blasint, const real *, blasint, real, real *, blasint);                  \
        NEXT(#name);                                                                                               \
        next(layout, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);                                        \
        for (size_t i = 0, end = now_once() ? length(layout, m, n, ldc) : 0; i < end; i++) c[i] = NAN;             \
    }
GEMM(cblas_sgemm, float)
GEMM(cblas_dgemm, double)
