/* Private to data: bytes of official files. */
#ifndef MIGE_DATA_DATA_H
#define MIGE_DATA_DATA_H

#include "mige/data.h"
#include "mige/error.h"

/* No official file is larger (CIFAR-100's train.bin: 154 MB), unpacked or not. */
#define MIGE_DATA_MAX ((size_t)1 << 30)

/* The file's bytes, to be freed by the caller. */
int mige_bytes_read(const char *path, uint8_t **bytes, size_t *size);
int mige_bytes_gzipped(const uint8_t *bytes, size_t size);
int mige_bytes_unzip(const uint8_t *bytes, size_t size, uint8_t **out, size_t *out_size);

#endif
