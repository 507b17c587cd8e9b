/* A number for some bytes: different bytes have different ones but for chance. */
#ifndef MIGE_HASH_H
#define MIGE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* FNV-1a, 64 bits. */
static inline uint64_t mige_hash(size_t n, const void *bytes) {
    const unsigned char *b = bytes;
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) sum = (sum ^ b[i]) * 1099511628211u;
    return sum;
}

#endif
