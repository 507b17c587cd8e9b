#include "mige/augment.h"
#include "base/simd.h"
#include "mige/error.h"
#include "mige/rng.h"
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#ifdef MIGE_AVX2
#include <immintrin.h>
#endif

static const struct {
    const char *name;
    size_t at;
    double strength;
} kinds[] = {{"crop", offsetof(mige_augment, crop), 0.2},
             {"flip", offsetof(mige_augment, flip), 0.5},
             {"colour", offsetof(mige_augment, colour), 0.4},
             {"grey", offsetof(mige_augment, grey), 0.2}};
enum { NUM_KINDS = sizeof kinds / sizeof *kinds };

static int parse_one(const char *p, size_t length, mige_augment *a) {
    size_t name = strcspn(p, ":,");
    int k = 0;
    while (k < NUM_KINDS && (strlen(kinds[k].name) != name || strncmp(p, kinds[k].name, name) != 0)) k++;
    MIGE_CHECK(k < NUM_KINDS, MIGE_EUSAGE,
               "augment: \"%.*s\": there is none of this name (crop, flip, colour, grey)", (int)name, p);
    double *to = (double *)(void *)((char *)a + kinds[k].at), strength = kinds[k].strength;
    MIGE_CHECK(*to == 0, MIGE_EUSAGE, "augment: %s is there twice", kinds[k].name);
    if (name < length) {
        char *end;
        strength = strtod(p + name + 1, &end);
        MIGE_CHECK(end == p + length && end > p + name + 1 && strength > 0 && strength <= 1, MIGE_EUSAGE,
                   "augment: \"%.*s\": the number must be above 0 and at most 1", (int)length, p);
    }
    *to = strength;
    return MIGE_OK;
}

int mige_augment_parse(const char *list, mige_augment *a) {
    *a = (mige_augment){0};
    if (!*list || strcmp(list, "none") == 0) return MIGE_OK;
    for (const char *p = list;; p++) {
        size_t length = strcspn(p, ",");
        MIGE_TRY(parse_one(p, length, a));
        p += length;
        if (!*p) return MIGE_OK;
    }
}

/* Work for one view: where each column is read, what part its right neighbour has, a channel's blended rows, each
 * with room for reads of LANES past its end, the view. */
enum { LANES = 8 };
typedef struct {
    int *at;
    float *part, *rows, *planes; /* [w], [h][w + 1 + LANES], [c][h][w] */
} work;

static size_t padded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static size_t lay_out(const mige_data *d, char *base, work *k) {
    size_t h = (size_t)d->h, w = (size_t)d->w, row = padded(w * sizeof(float)),
           rows = padded(h * (w + 1 + LANES) * sizeof(float));
    *k = (work){(int *)(void *)base, (float *)(void *)(base + row), (float *)(void *)(base + 2 * row),
                (float *)(void *)(base + 2 * row + rows)};
    return 2 * row + rows + (size_t)d->c * h * w * sizeof(float);
}

size_t mige_augment_scratch(const mige_data *d) {
    static char none[1];
    work k;
    return lay_out(d, none, &k);
}

/* The window's side and start along one axis of n pixels. */
typedef struct {
    double start, step;
} axis;

static axis crop_axis(int n, double length, double u) {
    double l = length < n ? length : n;
    return (axis){u * (n - l), l / n};
}

/* Pixel that is read for the i-th of n, and the next one's part. */
static int locate(axis a, int i, int n, float *part) {
    double x = a.start + (i + 0.5) * a.step - 0.5;
    x = x < 0 ? 0 : x > n - 1 ? n - 1 : x;
    int k = (int)x;
    *part = (float)(x - k);
    return k;
}

MIGE_CLONES static void blend_rows(int h, int w, axis y, const uint8_t *restrict in, float *restrict x,
                                   float *restrict rows) {
    for (int p = 0; p < h * w; p++) x[p] = (float)in[p];
    for (int i = 0; i < h; i++, rows += w + 1 + LANES) {
        float below;
        int k = locate(y, i, h, &below);
        const float *restrict a = x + (size_t)k * (size_t)w, *restrict b = k + 1 < h ? a + w : a;
        for (int j = 0; j < w; j++) rows[j] = a[j] + below * (b[j] - a[j]);
        rows[w] = rows[w - 1];
    }
}

MIGE_CLONES static void blend_columns(int h, int w, const int *restrict at, const float *restrict part,
                                      const float *restrict rows, float *restrict x) {
    for (int i = 0; i < h; i++, rows += w + 1 + LANES, x += w)
        for (int j = 0; j < w; j++) x[j] = rows[at[j]] + part[j] * (rows[at[j] + 1] - rows[at[j]]);
}

#ifdef MIGE_AVX2
/* The same for rows of LANES and more. A window is never wider than the image, and so LANES new pixels lie among
 * LANES old ones: one read and a permutation in place of a read for each. The last ones overlap those before. */
MIGE_AVX2 static void blend_columns_avx2(int h, int w, const int *restrict at, const float *restrict part,
                                         const float *restrict rows, float *restrict x) {
    const size_t stride = (size_t)w + 1 + LANES;
    for (int j = 0; j < w; j += LANES) {
        int from = j < w - LANES ? j : w - LANES, last = from + LANES - 1,
            first = at[from] < at[last] ? at[from] : at[last];
        __m256i where = _mm256_loadu_si256((const __m256i *)(const void *)(at + from));
        where = _mm256_sub_epi32(where, _mm256_set1_epi32(first));
        __m256 share = _mm256_loadu_ps(part + from);
        const float *in = rows + first;
        float *out = x + from;
        for (int i = 0; i < h; i++, in += stride, out += w) {
            __m256 left = _mm256_permutevar8x32_ps(_mm256_loadu_ps(in), where),
                   right = _mm256_permutevar8x32_ps(_mm256_loadu_ps(in + 1), where);
            _mm256_storeu_ps(out, _mm256_fmadd_ps(share, _mm256_sub_ps(right, left), left));
        }
    }
}
#endif

static void resample(const mige_data *d, axis y, const uint8_t *in, const work *k) {
    size_t n = (size_t)d->h * (size_t)d->w;
    for (int c = 0; c < d->c; c++) {
        float *x = k->planes + (size_t)c * n;
        blend_rows(d->h, d->w, y, in + (size_t)c * n, x, k->rows);
#ifdef MIGE_AVX2
        if (d->w >= LANES && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
            blend_columns_avx2(d->h, d->w, k->at, k->part, k->rows, x);
            continue;
        }
#endif
        blend_columns(d->h, d->w, k->at, k->part, k->rows, x);
    }
}

static const double luma[3] = {0.299, 0.587, 0.114};

MIGE_CLONES static void sums(size_t n, const float *restrict r, const float *restrict g, const float *restrict b,
                             double sum[3]) {
    float R = 0, G = 0, B = 0;
#pragma omp simd reduction(+ : R, G, B)
    for (size_t p = 0; p < n; p++) R += r[p], G += g[p], B += b[p];
    sum[0] = (double)R, sum[1] = (double)G, sum[2] = (double)B;
}

/* All that is done to colours is affine and keeps grey pixels grey, so that one matrix and one constant do it. With
 * L = 1 luma', saturation and hue are L + f (cos (I - L) + sin (I - L) N), N the cross product with the grey axis.
 */
static void colour_map(const mige_augment *a, const double *u, size_t n, const float *planes, double m[3][3],
                       double *constant) {
    int jitter = a->colour > 0 && u[5] < 0.8;
    double f[3] = {1, 1, 1}, angle = jitter ? 3.14159265358979323846 / 2 * a->colour * (2 * u[9] - 1) : 0, sum[3],
           mean = 0;
    for (int i = 0; jitter && i < 3; i++) f[i] = 1 + a->colour * (2 * u[6 + i] - 1);
    if (a->grey > 0 && u[10] < a->grey) f[2] = 0;
    if (jitter) {
        sums(n, planes, planes + n, planes + 2 * n, sum);
        for (int i = 0; i < 3; i++) mean += luma[i] * sum[i] / (double)n;
    }
    double turn[3][3], c = f[2] * cos(angle), s = f[2] * sin(angle) / sqrt(3);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) turn[i][j] = (i == j) * c + ((i - j + 3) % 3 == 1 ? s : i == j ? 0 : -s);
    for (int j = 0; j < 3; j++) {
        double kept = luma[j] - (luma[0] * turn[0][j] + luma[1] * turn[1][j] + luma[2] * turn[2][j]);
        for (int i = 0; i < 3; i++) m[i][j] = f[0] * f[1] * (turn[i][j] + kept);
    }
    *constant = f[0] * (1 - f[1]) * mean;
}

MIGE_CLONES static void apply(size_t n, const float m[9], float constant, const float *restrict r,
                              const float *restrict g, const float *restrict b, float *restrict x) {
    for (size_t p = 0; p < n; p++)
        for (int k = 0; k < 3; k++) {
            float v = m[3 * k] * r[p] + m[3 * k + 1] * g[p] + m[3 * k + 2] * b[p] + constant;
            v = v < -1 ? -1 : v;
            x[3 * p + (size_t)k] = v > 1 ? 1 : v;
        }
}

static void finish(const mige_augment *a, const double *u, int c, size_t n, const float *planes, float *x) {
    const double unit = 2 / 255.0;
    if (c == 3) {
        double m[3][3], constant;
        float scaled[9];
        colour_map(a, u, n, planes, m, &constant);
        for (int i = 0; i < 9; i++) scaled[i] = (float)(unit * m[i / 3][i % 3]);
        apply(n, scaled, (float)(unit * constant - 1), planes, planes + n, planes + 2 * n, x);
        return;
    }
    for (int k = 0; k < c; k++)
        for (size_t p = 0; p < n; p++) x[p * (size_t)c + (size_t)k] = (float)unit * planes[(size_t)k * n + p] - 1;
}

static void make_view(const mige_data *d, const mige_augment *a, const double *u, const uint8_t *in, const work *k,
                      float *x) {
    size_t n = (size_t)d->h * (size_t)d->w;
    axis ax = {0, 1}, ay = {0, 1};
    if (a->crop > 0) {
        double area = (a->crop + (1 - a->crop) * u[0]) * (double)n, ratio = exp((1 - 2 * u[1]) * log(0.75));
        ax = crop_axis(d->w, sqrt(area * ratio), u[2]);
        ay = crop_axis(d->h, sqrt(area / ratio), u[3]);
    }
    int flip = u[4] < a->flip;
    for (int j = 0; j < d->w; j++) k->at[j] = locate(ax, flip ? d->w - 1 - j : j, d->w, &k->part[j]);
    resample(d, ay, in, k);
    finish(a, u, d->c, n, k->planes, x);
}

void mige_augment_load(const mige_data *d, const mige_split *s, const mige_augment *a, uint64_t seed,
                       uint64_t epoch, const int64_t *index, int n, int views, void *scratch, float *x) {
    enum { UNIFORMS = 11 };
    size_t image = (size_t)d->c * (size_t)d->h * (size_t)d->w;
    work k;
    lay_out(d, scratch, &k);
    for (int i = 0; i < n; i++)
        for (int v = 0; v < views; v++) {
            double u[UNIFORMS];
            mige_rng_uniform(seed, MIGE_RNG_AUGMENT, epoch, 2 * (uint64_t)index[i] + (uint64_t)v, UNIFORMS, u);
            make_view(d, a, u, s->images + (size_t)index[i] * image, &k, x);
            x += image;
        }
}
