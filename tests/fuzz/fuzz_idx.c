/* IDX, gzipped or not: images, then labels, from one input cut at a place that its first two bytes name. */
#include "mige/data.h"
#include "mige/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    mige_images m;
    if (size < 2) return 0;
    size_t rest = size - 2, cut = (size_t)(bytes[0] << 8 | bytes[1]) % (rest + 1);
    if (mige_parse_idx_images(bytes + 2, cut, &m) == MIGE_OK)
        mige_parse_idx_labels(bytes + 2 + cut, rest - cut, &m);
    mige_images_free(&m);
    return 0;
}
