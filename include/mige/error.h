/* Errors as return codes: every function that can fail returns an int, 0 for success, outputs last.
 * The library never exits; main does, once, with the code it was given. */
#ifndef MIGE_ERROR_H
#define MIGE_ERROR_H

#include <stddef.h>

/* The codes are the program's exit statuses. */
enum {
    MIGE_OK = 0,
    MIGE_EFAIL = 1,    /* anything that is none of the others: out of memory, a failed library call */
    MIGE_EUSAGE = 2,   /* usage or configuration */
    MIGE_EINPUT = 3,   /* bad or unreadable input */
    MIGE_ENUMERIC = 4, /* non-finite loss or score, no eigenvalues */
    MIGE_EOUTPUT = 5,  /* output could not be written */
    MIGE_ESTOPPED = 75 /* stopped by a signal or --max-hours after a checkpoint */
};

/* Remembers a message and returns `code`. The message is one line, "WHAT: WHY (what to do)". Not collective. */
int mige_raise(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#ifdef __clang_analyzer__ /* does not see that it returns no success */
#define mige_raise(code, ...) (mige_raise(code, __VA_ARGS__), (code))
#endif

/* The last message raised on this rank (or taken over from another by mige_agree); "" when there is none. */
const char *mige_error(void);

/* Replaces the message, as it is: one that was kept, or another rank's. */
void mige_error_set(const char *message, int agreed);
/* Whether the message now remembered came out of mige_agree with other ranks, so that they are on the way out too.
 */
int mige_agreed(void);

/* *out = zeroed memory for `count` items of `size` bytes, 64-byte aligned; the caller frees it with free().
 * count 0 gives a valid pointer. Errors: MIGE_EFAIL (out of memory, or count * size overflows), *out = NULL. */
int mige_alloc(size_t count, size_t size, void *out);
/* *out = a printed text, to be freed; NULL after an error, MIGE_EFAIL. */
int mige_text(char **out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* `array`, a pointer's address, that was grown one by one to n items (NULL: 0) gets room for one more, not zeroed.
 * Errors: MIGE_EFAIL, the array is as it was. */
int mige_grow(size_t n, size_t size, void *array);

/* Blocks of memory that live and end together: {0} is an empty pool. mige_pool_alloc is mige_alloc for one more of
 * them; mige_pool_free frees all, and what their owners point to must not be used after it. */
typedef struct {
    void **block;
    int n, counts; /* counts 1: mige_pool_take only adds up bytes, and gives NULL */
    double bytes;
} mige_pool;
int mige_pool_alloc(mige_pool *p, size_t count, size_t size, void *out);
/* The same for several, all of them or none: MIGE_TAKE(&pool, MIGE_BLOCK(p, n), MIGE_BLOCK(q, m)), p [n], q [m].
 * After an error all are NULL, and a pool that was empty is so again. */
typedef struct {
    void *out;
    size_t count, size;
} mige_block;
int mige_pool_take(mige_pool *p, int n, const mige_block *blocks);
#define MIGE_BLOCK(p, n)                                                                                           \
    { &(p), (size_t)(n), sizeof *(p) }
#define MIGE_TAKE(pool, ...)                                                                                       \
    mige_pool_take(pool, (int)(sizeof((const mige_block[]){__VA_ARGS__}) / sizeof(mige_block)),                    \
                   (const mige_block[]){__VA_ARGS__})
void mige_pool_free(mige_pool *p);

/* How many of x [n] are infinite or NaN. */
size_t mige_not_finite(size_t n, const double *x);
size_t mige_not_finite_float(size_t n, const float *x);

/* Pass an error on; raise one; the same for functions that clean up behind a label, with `int err` in scope. */
#define MIGE_TRY(call)                                                                                             \
    do {                                                                                                           \
        int err_ = (call);                                                                                         \
        if (err_) return err_;                                                                                     \
    } while (0)
#define MIGE_CHECK(cond, code, ...)                                                                                \
    do {                                                                                                           \
        if (!(cond)) return mige_raise(code, __VA_ARGS__);                                                         \
    } while (0)
#define MIGE_TRY_GOTO(call, label)                                                                                 \
    do {                                                                                                           \
        err = (call);                                                                                              \
        if (err) goto label;                                                                                       \
    } while (0)
#define MIGE_CHECK_GOTO(cond, label, code, ...)                                                                    \
    do {                                                                                                           \
        if (!(cond)) {                                                                                             \
            err = mige_raise(code, __VA_ARGS__);                                                                   \
            goto label;                                                                                            \
        }                                                                                                          \
    } while (0)

#endif
