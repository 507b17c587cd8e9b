#include "data/data.h"
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_open(const char *path, int fd, uint8_t **bytes, size_t *size) {
    struct stat st;
    MIGE_CHECK(fstat(fd, &st) == 0, MIGE_EINPUT, "%s: cannot be read: %s", path, strerror(errno));
    MIGE_CHECK(S_ISREG(st.st_mode), MIGE_EINPUT, "%s: is not a regular file", path);
    MIGE_CHECK(st.st_size > 0, MIGE_EINPUT, "%s: is empty (fetch it again)", path);
    MIGE_CHECK((size_t)st.st_size <= MIGE_DATA_MAX, MIGE_EINPUT, "%s: is larger than any official file", path);
    *size = (size_t)st.st_size;
    MIGE_TRY(mige_alloc(*size, 1, bytes));
    for (size_t done = 0; done < *size;) {
        ssize_t n = read(fd, *bytes + done, *size - done);
        if (n < 0 && errno == EINTR) continue;
        MIGE_CHECK(n >= 0, MIGE_EINPUT, "%s: cannot be read: %s", path, strerror(errno));
        MIGE_CHECK(n > 0, MIGE_EINPUT, "%s: became shorter while it was read", path);
        done += (size_t)n;
    }
    return MIGE_OK;
}

int mige_bytes_read(const char *path, uint8_t **bytes, size_t *size) {
    *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    MIGE_CHECK(fd >= 0, MIGE_EINPUT, "%s: cannot be read: %s (is the folder right?)", path, strerror(errno));
    int err = read_open(path, fd, bytes, size);
    close(fd);
    if (!err) return MIGE_OK;
    free(*bytes);
    *bytes = NULL;
    return err;
}

int mige_bytes_gzipped(const uint8_t *bytes, size_t size) {
    return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/* Room is taken for what the last bytes say that there is, but never for more than such a file can hold. */
int mige_bytes_unzip(const uint8_t *bytes, size_t size, uint8_t **out, size_t *out_size) {
    enum { LEAST = 18, EXPANSION = 1032 }; /* bytes around the data; deflate's best */
    uint32_t claimed = 0;
    size_t used = 0;
    *out = NULL;
    if (size >= LEAST) memcpy(&claimed, bytes + size - sizeof claimed, sizeof claimed);
    MIGE_CHECK(size <= MIGE_DATA_MAX && claimed <= MIGE_DATA_MAX, MIGE_EINPUT,
               "gzip: is larger than any official file, unpacked or not (fetch it again)");
    *out_size = claimed;
    int good = claimed > 0 && claimed / EXPANSION <= size;
    if (good) MIGE_TRY(mige_alloc(claimed, 1, out));
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    good =
        good && d && libdeflate_gzip_decompress_ex(d, bytes, size, *out, claimed, &used, NULL) == 0 && used == size;
    libdeflate_free_decompressor(d);
    if (good) return MIGE_OK;
    free(*out);
    *out = NULL;
    return mige_raise(MIGE_EINPUT, "gzip: is cut or damaged, or bytes follow its end (fetch it again)");
}
