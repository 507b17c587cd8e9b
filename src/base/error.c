#include "mige/error.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#undef mige_raise /* the static analyzer's view of it */

static _Thread_local char message[1024];
static _Thread_local int agreed;

int mige_raise(int code, const char *fmt, ...) {
    char text[sizeof message];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mige_error_set(text, 0);
    return code;
}

const char *mige_error(void) {
    return message;
}

int mige_agreed(void) {
    return agreed;
}

void mige_error_set(const char *text, int by_all) {
    agreed = by_all;
    snprintf(message, sizeof message, "%s", text);
    /* One line, whatever a file name or a library's text contained. */
    for (char *p = message; *p; p++)
        if ((unsigned char)*p < ' ') *p = ' ';
}

/* Large blocks are asked for in huge pages: matrices are read column by column, a page or more apart. */
enum { HUGE_PAGE = 2 << 20, LARGE = 8 << 20 };

int mige_alloc(size_t count, size_t size, void *out) {
    void *p = NULL;
    size_t bytes = count * size;
    int overflow = size != 0 && count > SIZE_MAX / size;
    size_t unit = bytes >= LARGE ? HUGE_PAGE : 64;
    if (!overflow && posix_memalign(&p, unit, bytes ? bytes : 1) != 0) p = NULL;
#ifdef MADV_HUGEPAGE
    if (p && unit == HUGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE);
#endif
    if (p) memset(p, 0, bytes);
    memcpy(out, &p, sizeof p);
    if (!p)
        return mige_raise(MIGE_EFAIL, "memory: %.3g GB could not be had (use more ranks or a smaller problem)",
                          (double)count * (double)size / 1e9);
    return MIGE_OK;
}

int mige_text(char **out, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(out, fmt, args);
    va_end(args);
    if (n < 0) *out = NULL;
    MIGE_CHECK(n >= 0, MIGE_EFAIL, "memory: no room for a text");
    return MIGE_OK;
}

/* Doubled at each power of two, so that its size need not be kept. */
int mige_grow(size_t n, size_t size, void *array) {
    void *p;
    if (n & (n - 1)) return MIGE_OK;
    memcpy(&p, array, sizeof p);
    void *more = realloc(p, (n ? 2 * n : 1) * size);
    MIGE_CHECK(more, MIGE_EFAIL, "memory: no room for %zu items", n + 1);
    memcpy(array, &more, sizeof more);
    return MIGE_OK;
}

static void forget(void *pointer) {
    memset(pointer, 0, sizeof(void *));
}

int mige_pool_alloc(mige_pool *p, size_t count, size_t size, void *out) {
    forget(out);
    MIGE_TRY(mige_grow((size_t)p->n, sizeof *p->block, &p->block));
    MIGE_TRY(mige_alloc(count, size, out));
    memcpy(&p->block[p->n++], out, sizeof(void *));
    return MIGE_OK;
}

int mige_pool_take(mige_pool *p, int n, const mige_block *blocks) {
    int before = p->n, err = MIGE_OK;
    for (int i = 0; i < n; i++) {
        p->bytes += (double)blocks[i].count * (double)blocks[i].size;
        forget(blocks[i].out);
        if (!p->counts && !err) err = mige_pool_alloc(p, blocks[i].count, blocks[i].size, blocks[i].out);
    }
    if (!err) return MIGE_OK;
    for (int i = 0; i < n; i++) forget(blocks[i].out);
    while (p->n > before) free(p->block[--p->n]);
    if (!p->n) mige_pool_free(p);
    return err;
}

void mige_pool_free(mige_pool *p) {
    for (int i = 0; i < p->n; i++) free(p->block[i]);
    free(p->block);
    *p = (mige_pool){0};
}
