/* Files that call themselves ours: what opens and verifies must have its attributes and data sets. */
#include "file.h"
#include "mige/error.h"
#include "mige/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    mige_file *f;
    if (mige_file_open(as_file(bytes, size), NULL, &f)) {
        if (!*mige_error()) abort();
        return 0;
    }
    mige_file_verify(f, NULL);
    mige_file_close(&f);
    return 0;
}
