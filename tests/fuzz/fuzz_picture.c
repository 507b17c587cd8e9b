/* PNG and JPEG: whatever the bytes, pixels that can be resized, or one message. */
#include "mige/data.h"
#include "mige/error.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    mige_picture p;
    if (mige_picture_read(bytes, size, &p)) {
        if (!*mige_error()) abort();
    } else if (p.h < 1 || p.w < 1 || (p.c != 1 && p.c != 3)) {
        abort();
    } else if ((int64_t)p.h * p.w < 1 << 16 && mige_picture_resize(&p, 5, 9)) {
        abort();
    }
    free(p.pixels);
    return 0;
}
