/* CIFAR's binary format: records of 1 label byte (CIFAR-10) or 2 (CIFAR-100: coarse, fine), then 32 x 32 bytes of
 * red, of green and of blue. */
#include "data/data.h"
#include <string.h>

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
