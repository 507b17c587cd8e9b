/* Reference values of another implementation, from the text files in tests/ref. A record is a line
 *   NAME COUNT STORED STRIDE NORM
 * and STORED values: elements 0, STRIDE, 2 STRIDE, ... of a tensor of COUNT; NORM is the Euclidean norm of all. */
#ifndef MIGE_TESTS_REF_H
#define MIGE_TESTS_REF_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char name[96];
    size_t count, stored, stride;
    double norm, *values;
} ref_record;

typedef struct {
    ref_record *records;
    size_t n;
} ref_file;

/* Reads a file; one that is missing or damaged has n = 0. */
static inline ref_file ref_load(const char *path) {
    ref_file f = {NULL, 0};
    FILE *in = fopen(path, "r");
    ref_record r;
    int whole = 1;
    while (in && whole &&
           fscanf(in, "%95s %zu %zu %zu %lf", r.name, &r.count, &r.stored, &r.stride, &r.norm) == 5) {
        r.values = malloc((r.stored + 1) * sizeof *r.values);
        for (size_t i = 0; i < r.stored; i++) whole = whole && fscanf(in, "%lf", &r.values[i]) == 1;
        f.records = realloc(f.records, (f.n + 1) * sizeof r);
        f.records[f.n++] = r;
    }
    whole = whole && in && feof(in);
    if (in) fclose(in);
    if (!whole) f.n = 0;
    return f;
}

static inline void ref_free(ref_file *f) {
    for (size_t i = 0; i < f->n; i++) free(f->records[i].values);
    free(f->records);
    *f = (ref_file){NULL, 0};
}

static inline const ref_record *ref_find(const ref_file *f, const char *name) {
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->records[i].name, name) == 0) return &f->records[i];
    return NULL;
}

/* The largest error of a[0..count) against a record, relative to the tensor's root mean square (of single values,
 * and of the norm); infinite if there is no such record or its size is another. */
static inline double ref_error(const ref_file *f, const char *name, const float *a, size_t count) {
    const ref_record *r = ref_find(f, name);
    if (!r || r->count != count) return INFINITY;
    double sum = 0, scale = r->norm / sqrt((double)count) + 1e-30;
    for (size_t i = 0; i < count; i++) sum += (double)a[i] * (double)a[i];
    double worst = fabs(sqrt(sum) - r->norm) / (r->norm + 1e-30);
    for (size_t i = 0; i < r->stored; i++) {
        double error = fabs((double)a[i * r->stride] - r->values[i]) / scale;
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

/* A number in [-0.5, 0.5) from (i, salt), the same to the last bit in the scripts that make the references. */
static inline float ref_value(size_t i, uint32_t salt) {
    uint32_t h = (uint32_t)i * 2654435761u + salt * 2246822519u;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    h ^= h >> 16;
    return (float)(h >> 8) * 0x1p-24f - 0.5f;
}

static inline void ref_fill(float *a, size_t first, size_t n, uint32_t salt) {
    for (size_t i = 0; i < n; i++) a[i] = ref_value(first + i, salt);
}

/* Nearly normal: a sum of twelve of them, exact in double precision. */
static inline double ref_gauss(size_t i, uint32_t salt) {
    double sum = 0;
    for (size_t k = 0; k < 12; k++) sum += (double)ref_value(12 * i + k, salt);
    return sum;
}

/* |a - b| / |b|, Euclidean. */
static inline double ref_distance(const double *a, const double *b, size_t n) {
    double off = 0, size = 1e-300;
    for (size_t i = 0; i < n; i++) {
        off += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return sqrt(off / size);
}

/* The same of a to a record that stores all its values; infinite if there is none of this size. */
static inline double ref_compare(const ref_file *f, const char *name, const double *a, size_t n) {
    const ref_record *r = ref_find(f, name);
    return r && r->count == n && r->stored == n ? ref_distance(a, r->values, n) : INFINITY;
}

#endif
