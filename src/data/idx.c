/* IDX, the format of MNIST: big-endian magic number (0, 0, type, rank), the dimensions, then the bytes. */
#include "data/data.h"
#include <stdlib.h>
#include <string.h>

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
        MIGE_CHECK(dims[i] >= 1 && dims[i] <= (i ? MAX_SIDE : MIGE_DATA_MAX), MIGE_EINPUT,
                   "IDX: dimension %d is %u", i, dims[i]);
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
    if (!mige_bytes_gzipped(b, size)) return plain(b, size, m);
    MIGE_TRY(mige_bytes_unzip(b, size, &unzipped, &size));
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
