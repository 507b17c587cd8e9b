/* CIFAR records; the first byte chooses between 10 and 100 classes. */
#include "mige/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    mige_images m;
    if (size < 1) return 0;
    int hundred = bytes[0] & 1;
    mige_parse_cifar(bytes + 1, size - 1, hundred ? 2 : 1, hundred ? 100 : 10, &m);
    mige_images_free(&m);
    return 0;
}
