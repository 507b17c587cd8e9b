#include "data/data.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

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

/* Grows as data come, so that a small file cannot ask for much memory by what it claims. */
static int inflate_all(z_stream *z, uint8_t **out, size_t *done) {
    size_t room = 0;
    for (int state = Z_OK; state != Z_STREAM_END;) {
        if (*done == room) {
            MIGE_CHECK(room < MIGE_DATA_MAX, MIGE_EINPUT, "gzip: unpacks to more than any official file has");
            room = room ? 2 * room : 1 << 16;
            uint8_t *more = realloc(*out, room);
            MIGE_CHECK(more, MIGE_EFAIL, "gzip: out of memory");
            *out = more;
        }
        z->next_out = *out + *done;
        z->avail_out = (uInt)(room - *done);
        state = inflate(z, Z_NO_FLUSH);
        *done = room - z->avail_out;
        MIGE_CHECK(state == Z_OK || state == Z_STREAM_END || (state == Z_BUF_ERROR && z->avail_in), MIGE_EINPUT,
                   "gzip: %s (fetch it again)", state == Z_BUF_ERROR ? "is cut" : (z->msg ? z->msg : "is damaged"));
        MIGE_CHECK(state != Z_OK || z->avail_in || !z->avail_out, MIGE_EINPUT, "gzip: is cut (fetch it again)");
    }
    MIGE_CHECK(z->avail_in == 0, MIGE_EINPUT, "gzip: %u bytes follow its end", z->avail_in);
    return MIGE_OK;
}

int mige_bytes_unzip(const uint8_t *bytes, size_t size, uint8_t **out, size_t *out_size) {
    z_stream z = {0};
    *out = NULL;
    *out_size = 0;
    MIGE_CHECK(size <= MIGE_DATA_MAX, MIGE_EINPUT, "gzip: is larger than any official file");
    MIGE_CHECK(inflateInit2(&z, 16 + MAX_WBITS) == Z_OK, MIGE_EFAIL, "gzip: out of memory");
    z.next_in = (z_const Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)size;
    int err = inflate_all(&z, out, out_size);
    inflateEnd(&z);
    if (!err) return MIGE_OK;
    free(*out);
    *out = NULL;
    return err;
}
