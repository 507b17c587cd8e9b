/* Arrays of samples: .npy and HDF5, or text, as the first byte says. */
#include "file.h"
#include "io/array.h"
#include "mige/error.h"
#include <fcntl.h>
#include <string.h>

static int open_text(const char *path, size_t size, mige_array **a) {
    if (mige_alloc(1, sizeof **a, a)) abort();
    (*a)->what = strdup(path);
    (*a)->fd = open(path, O_RDONLY);
    int err = mige_csv_open(*a, (int64_t)size);
    if (err) mige_array_close(a);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    mige_array *a;
    int M, D;
    double *x;
    if (size < 2) return 0;
    const char *path = as_file(bytes + 1, size - 1);
    int err =
        bytes[0] & 1 ? open_text(path, size - 1, &a) : mige_array_open(path, "/samples", bytes[0] >> 1 & 1, &a);
    if (err) {
        if (!*mige_error()) abort();
        return 0;
    }
    if (!mige_array_samples(a, &M, &D) && (int64_t)M * D <= 1 << 20) {
        if (mige_alloc((size_t)M * (size_t)D, sizeof *x, &x)) abort();
        mige_array_read(a, 0, M, x);
        free(x);
    }
    mige_array_close(&a);
    return 0;
}
