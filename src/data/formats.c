/* The bytes of official files, and what they say. */
#include "mige/data.h"
#include "mige/error.h"
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* No official file is larger (CIFAR-100's train.bin: 154 MB), unpacked or not. */
#define MOST_BYTES ((size_t)1 << 30)

static int read_open(const char *path, int fd, uint8_t **bytes, size_t *size) {
    struct stat st;
    MIGE_CHECK(fstat(fd, &st) == 0, MIGE_EINPUT, "%s: cannot be read: %s", path, strerror(errno));
    MIGE_CHECK(S_ISREG(st.st_mode), MIGE_EINPUT, "%s: is not a regular file", path);
    MIGE_CHECK(st.st_size > 0, MIGE_EINPUT, "%s: is empty (fetch it again)", path);
    MIGE_CHECK((size_t)st.st_size <= MOST_BYTES, MIGE_EINPUT, "%s: is larger than any official file", path);
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

/* Room is taken for what the last bytes say that there is, but never for more than such a file can hold. */
static int unzip(const uint8_t *bytes, size_t size, uint8_t **out, size_t *out_size) {
    enum { LEAST = 18, EXPANSION = 1032 }; /* bytes around the data; deflate's best */
    uint32_t claimed = 0;
    size_t used = 0;
    *out = NULL;
    if (size >= LEAST) memcpy(&claimed, bytes + size - sizeof claimed, sizeof claimed);
    MIGE_CHECK(size <= MOST_BYTES && claimed <= MOST_BYTES, MIGE_EINPUT,
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

/* CIFAR's binary format: records of 1 label byte (CIFAR-10) or 2 (CIFAR-100: coarse, fine), then 32 x 32 bytes of
 * red, of green and of blue. */
enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE, COARSE = 20 };

int mige_parse_cifar(const uint8_t *bytes, size_t size, int label_bytes, int classes, mige_images *m) {
    memset(m, 0, sizeof *m);
    MIGE_CHECK(label_bytes == 1 || label_bytes == 2, MIGE_EUSAGE, "CIFAR: %d label bytes", label_bytes);
    size_t record = (size_t)label_bytes + PIXELS, n = size / record;
    MIGE_CHECK(n > 0 && size % record == 0, MIGE_EINPUT,
               "CIFAR: %zu bytes are not a whole number of records of %zu (fetch it again)", size, record);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *r = bytes + i * record;
        MIGE_CHECK(r[label_bytes - 1] < classes, MIGE_EINPUT, "CIFAR: label %d of record %zu is not within 0 to %d",
                   r[label_bytes - 1], i, classes - 1);
        MIGE_CHECK(label_bytes == 1 || r[0] < COARSE, MIGE_EINPUT,
                   "CIFAR: coarse label %d of record %zu is not within 0 to %d", r[0], i, COARSE - 1);
    }
    MIGE_TRY(mige_alloc(n, sizeof *m->labels, &m->labels));
    MIGE_TRY(mige_alloc(n, PIXELS, &m->images));
    for (size_t i = 0; i < n; i++) {
        const uint8_t *r = bytes + i * record;
        m->labels[i] = r[label_bytes - 1];
        memcpy(m->images + i * PIXELS, r + label_bytes, PIXELS);
    }
    m->n = (int64_t)n;
    m->c = 3;
    m->h = m->w = SIDE;
    return MIGE_OK;
}

/* STL-10: bytes of red, of green and of blue, each column by column; labels from 1. */
enum { STL_SIDE = 96, STL_PLANE = STL_SIDE * STL_SIDE, STL_CLASSES = 10 };

int mige_parse_stl(const uint8_t *x, size_t nx, const uint8_t *y, size_t ny, mige_images *m) {
    memset(m, 0, sizeof *m);
    MIGE_CHECK(ny > 0 && nx == ny * 3 * STL_PLANE, MIGE_EINPUT,
               "STL-10: %zu labels for %zu bytes of images of 3 x 96 x 96 (fetch both again)", ny, nx);
    for (size_t i = 0; i < ny; i++)
        MIGE_CHECK(y[i] >= 1 && y[i] <= STL_CLASSES, MIGE_EINPUT,
                   "STL-10: label %d of record %zu is not within 1 to %d", y[i], i, STL_CLASSES);
    MIGE_TRY(mige_alloc(ny, sizeof *m->labels, &m->labels));
    MIGE_TRY(mige_alloc(nx, 1, &m->images));
    for (size_t i = 0; i < ny; i++) m->labels[i] = y[i] - 1;
    for (size_t i = 0; i < nx; i++) {
        size_t plane = i / STL_PLANE * STL_PLANE, col = i % STL_PLANE / STL_SIDE, row = i % STL_SIDE;
        m->images[plane + row * STL_SIDE + col] = x[i];
    }
    m->n = (int64_t)ny;
    m->c = 3;
    m->h = m->w = STL_SIDE;
    return MIGE_OK;
}

/* IDX, the format of MNIST: big-endian magic number (0, 0, type, rank), the dimensions, then the bytes. */
enum { IMAGES = 0x0803, LABELS = 0x0801, DIGITS = 10, MAX_SIDE = 4096 };

static uint32_t word(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* After the header of 4 (1 + rank) bytes come as many bytes as the dimensions say, neither more nor fewer. */
static int check_header(const uint8_t *b, size_t size, uint32_t magic, uint32_t dims[3]) {
    int rank = (int)(magic & 0xff);
    size_t head = 4 + 4 * (size_t)rank;
    uint64_t items = 1;
    MIGE_CHECK(size >= 4, MIGE_EINPUT, "IDX: %zu bytes are too short for a header (fetch it again)", size);
    MIGE_CHECK(word(b) == magic, MIGE_EINPUT, "IDX: magic number 0x%08x instead of 0x%08x (is it the right file?)",
               word(b), magic);
    MIGE_CHECK(size >= head, MIGE_EINPUT, "IDX: %zu bytes are too short for a header (fetch it again)", size);
    for (int i = 0; i < rank; i++) {
        dims[i] = word(b + 4 + 4 * i);
        MIGE_CHECK(dims[i] >= 1 && dims[i] <= (i ? MAX_SIDE : MOST_BYTES), MIGE_EINPUT, "IDX: dimension %d is %u",
                   i, dims[i]);
        items *= dims[i]; /* < 2^54 */
    }
    MIGE_CHECK(size - head == items, MIGE_EINPUT,
               "IDX: %zu bytes follow the header, its dimensions ask for %llu (fetch it again)", size - head,
               (unsigned long long)items);
    return MIGE_OK;
}

static int plain_images(const uint8_t *b, size_t size, mige_images *m) {
    uint32_t dims[3] = {0};
    MIGE_TRY(check_header(b, size, IMAGES, dims));
    MIGE_TRY(mige_alloc(size - 16, 1, &m->images));
    memcpy(m->images, b + 16, size - 16);
    m->n = dims[0];
    m->c = 1;
    m->h = (int)dims[1];
    m->w = (int)dims[2];
    return MIGE_OK;
}

static int plain_labels(const uint8_t *b, size_t size, mige_images *m) {
    uint32_t dims[3] = {0};
    MIGE_TRY(check_header(b, size, LABELS, dims));
    MIGE_CHECK((int64_t)dims[0] == m->n, MIGE_EINPUT, "IDX: %u labels for %lld images", dims[0], (long long)m->n);
    for (uint32_t i = 0; i < dims[0]; i++)
        MIGE_CHECK(b[8 + i] < DIGITS, MIGE_EINPUT, "IDX: label %u of record %u is not within 0 to %d", b[8 + i], i,
                   DIGITS - 1);
    MIGE_TRY(mige_alloc(dims[0], sizeof *m->labels, &m->labels));
    for (uint32_t i = 0; i < dims[0]; i++) m->labels[i] = b[8 + i];
    return MIGE_OK;
}

static int parse(const uint8_t *b, size_t size, mige_images *m,
                 int (*plain)(const uint8_t *, size_t, mige_images *)) {
    uint8_t *unzipped;
    if (size < 2 || b[0] != 0x1f || b[1] != 0x8b) return plain(b, size, m); /* no gzip */
    MIGE_TRY(unzip(b, size, &unzipped, &size));
    int err = plain(unzipped, size, m);
    free(unzipped);
    return err;
}

int mige_parse_idx_images(const uint8_t *bytes, size_t size, mige_images *m) {
    memset(m, 0, sizeof *m);
    return parse(bytes, size, m, plain_images);
}

int mige_parse_idx_labels(const uint8_t *bytes, size_t size, mige_images *m) {
    free(m->labels);
    m->labels = NULL;
    return parse(bytes, size, m, plain_labels);
}
