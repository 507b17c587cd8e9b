#include "io/file.h"
#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEAL = 43, BLOCK = 1 << 20 };
static const char mark[] = "\nmige-seal ";

uint32_t mige_io_crc(uint32_t crc, const void *bytes, size_t size) {
    /* What is stored is little-endian; so is the memory the sum is taken over. */
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a little-endian machine");
    return bytes ? (uint32_t)libdeflate_crc32(crc, bytes, size) : crc;
}

static void seal_text(int64_t bytes, uint32_t crc, char text[SEAL + 1]) {
    snprintf(text, SEAL + 1, "%s%016" PRIx64 " crc32 %08" PRIx32 "\n", mark, (uint64_t)bytes, crc);
}

int mige_io_read_at(int fd, int64_t at, void *buf, size_t size, size_t *done) {
    for (*done = 0; *done < size;) {
        ssize_t n = pread(fd, (char *)buf + *done, size - *done, (off_t)(at + (int64_t)*done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) break;
        *done += (size_t)n;
    }
    return 0;
}

static int read_all(int fd, int64_t at, void *buf, size_t size) {
    size_t done;
    int why = mige_io_read_at(fd, at, buf, size, &done);
    return why ? why : done < size ? EIO : 0;
}

int mige_io_write_at(int fd, int64_t at, const void *buf, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const char *)buf + done, size - done, (off_t)(at + (int64_t)done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        done += (size_t)n;
    }
    return 0;
}

/* *why = errno of a failed read. */
static int sum_file(int fd, int64_t bytes, uint32_t *crc, int *why) {
    char *block = NULL;
    *crc = 0;
    *why = 0;
    MIGE_TRY(mige_alloc(1, BLOCK, &block));
    for (int64_t at = 0; at < bytes && !*why; at += BLOCK) {
        size_t n = bytes - at < BLOCK ? (size_t)(bytes - at) : BLOCK;
        *why = read_all(fd, at, block, n);
        if (!*why) *crc = mige_io_crc(*crc, block, n);
    }
    free(block);
    return MIGE_OK;
}

int mige_io_seal(const char *path, int fd) {
    char text[SEAL + 1];
    uint32_t crc = 0;
    int why = 0;
    int64_t bytes = lseek(fd, 0, SEEK_END);
    MIGE_TRY(sum_file(fd, bytes, &crc, &why));
    if (!why) {
        seal_text(bytes, crc, text);
        why = mige_io_write_at(fd, bytes, text, SEAL);
    }
    if (!why && fsync(fd) != 0) why = errno;
    MIGE_CHECK(!why, MIGE_EOUTPUT, "%s: could not be written: %s (free some space, or choose another folder)", path,
               strerror(why));
    return MIGE_OK;
}

int mige_io_check_seal(const char *path, int fd, int64_t bytes, int *sealed) {
    char found[SEAL + 1] = "", right[SEAL + 1];
    uint32_t crc = 0;
    int why = 0;
    *sealed = 0;
    if (bytes < SEAL) return MIGE_OK;
    why = read_all(fd, bytes - SEAL, found, SEAL);
    if (!why && strncmp(found, mark, sizeof mark - 1) != 0) return MIGE_OK;
    *sealed = 1;
    if (!why) MIGE_TRY(sum_file(fd, bytes - SEAL, &crc, &why));
    MIGE_CHECK(!why, MIGE_EINPUT, "%s: could not be read: %s", path, strerror(why));
    seal_text(bytes - SEAL, crc, right);
    MIGE_CHECK(memcmp(found, right, SEAL) == 0, MIGE_EINPUT,
               "%s: damaged: its bytes do not match the sum they were sealed with (copy or make it again)", path);
    return MIGE_OK;
}
