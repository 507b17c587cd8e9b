/* np: 1
 * bfloat16 in networks: rounding, the block of every kernel, and layers against those of float. Whole numbers that
 * are small enough are exact in both, so that layers must agree to the last bit; a network of ordinary numbers must
 * agree within what 8 bits can do. */
#include "mige/nn.h"
#include "mige/rng.h"
#include "nn/half.h"

#include <immintrin.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The tiles of AMX-BF16 in plain C, after Intel's description of each instruction, so that the kernel's order of
 * loads and products is tested on any processor. */
static struct { uint32_t word[16][16]; } tile[8];
static int tiles_set;

static void tile_load(int t, const void *base, size_t stride) {
    assert_true(tiles_set);
    for (size_t r = 0; r < 16; r++) memcpy(tile[t].word[r], (const char *)base + r * stride, 64);
}
static void tile_store(int t, void *base, size_t stride) {
    for (size_t r = 0; r < 16; r++) memcpy((char *)base + r * stride, tile[t].word[r], 64);
}
static void tile_multiply(int c, int a, int b) {
    for (int m = 0; m < 16; m++)
        for (int k = 0; k < 16; k++)
            for (int n = 0; n < 16; n++) {
                uint32_t x = tile[a].word[m][k], y = tile[b].word[k][n];
                float sum;
                memcpy(&sum, &tile[c].word[m][n], sizeof sum);
                sum += half_float((uint16_t)x) * half_float((uint16_t)y);
                sum += half_float((uint16_t)(x >> 16)) * half_float((uint16_t)(y >> 16));
                memcpy(&tile[c].word[m][n], &sum, sizeof sum);
            }
}
static void tile_config(const void *setting) {
    const uint8_t *s = setting;
    assert_int_equal(s[0], 1);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(s[16 + 2 * i], 64); /* bytes of a row */
        assert_int_equal(s[48 + i], 16);     /* rows */
    }
    tiles_set = 1;
}
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#undef _tile_loadconfig
#define _tile_zero(t) memset(&tile[t], 0, sizeof tile[t])
#define _tile_loadd(t, base, stride) tile_load(t, base, stride)
#define _tile_stored(t, base, stride) tile_store(t, base, stride)
#define _tile_dpbf16ps(c, a, b) tile_multiply(c, a, b)
#define _tile_loadconfig(setting) tile_config(setting)
#define mige_half_amx emulated_amx
#include "nn/half_amx.c"
#undef mige_half_amx

static float uniform(uint64_t stream, uint64_t i) {
    double u;
    mige_rng_uniform(1, MIGE_RNG_SAMPLE, stream, i, 1, &u);
    return (float)(2 * u - 1);
}

/* -1, 0 or 1. */
static float whole(uint64_t stream, uint64_t i) {
    float u = uniform(stream, i);
    return u < -0.6f ? -1 : u > 0.6f ? 1 : 0;
}

static void test_rounding(void **state) {
    static const struct {
        uint32_t from;
        uint16_t to;
    } cases[] = {
        {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, /* tie to even */
        {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81}, {0x3f807fff, 0x3f80}, {0xbf818000, 0xbf82},
        {0x7f7fffff, 0x7f80}, /* beyond the largest: infinity */
        {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7f800001, 0x7fc0}, {0xffffffff, 0xffff},
        {0x00008001, 0x0001},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float f;
        memcpy(&f, &cases[i].from, sizeof f);
        uint16_t one;
        mige_half_from_float(1, &f, &one);
        assert_int_equal(one, cases[i].to);
    }
}

enum { K = 96, LDA = K + HALF_PAD };

static void check_kernel(const half_kernel *kernel) {
    static uint16_t a[HALF_SIDE * LDA];
    static uint32_t panel[K / 2 * HALF_SIDE];
    _Alignas(64) static float c[HALF_SIDE * HALF_SIDE];
    for (size_t i = 0; i < HALF_SIDE * LDA; i++) a[i] = half_round(uniform(2, i));
    for (size_t i = 0; i < K / 2 * HALF_SIDE; i++)
        panel[i] = half_round(uniform(3, 2 * i)) | (uint32_t)half_round(uniform(3, 2 * i + 1)) << 16;
    kernel->begin();
    kernel->block(K / 2, a, LDA, panel, c);
    for (int i = 0; i < HALF_SIDE; i++)
        for (int j = 0; j < HALF_SIDE; j++) {
            double sum = 0;
            for (int k = 0; k < K; k++)
                sum += (double)half_float(a[i * LDA + k]) *
                       (double)half_float((uint16_t)(panel[k / 2 * HALF_SIDE + j] >> 16 * (k % 2)));
            assert_true(fabs(sum - (double)c[i * HALF_SIDE + j]) < 3e-6);
        }
}

static void test_kernels(void **state) {
    (void)state;
    check_kernel(&emulated_amx);
    for (int i = 0; mige_half_kernel(i); i++) {
        int usable = mige_half_kernel(i)->usable();
        printf("# %s: %s\n", mige_half_kernel(i)->name, usable ? "runs here" : "not on this processor");
        if (usable) check_kernel(mige_half_kernel(i));
    }
}

/* ---- layers */

typedef struct {
    const char *name;
    mige_shape in;
    int n, layers;
    mige_layer_spec spec[8];
    int exact; /* to the last bit, of whole numbers */
} net_case;

#define CONV(name_, out_, kernel_, stride_, pad_, bias_)                                                           \
    {                                                                                                              \
        .kind = MIGE_CONV, .name = name_, .out = out_, .kernel = kernel_, .stride = stride_, .pad = pad_,          \
        .bias = bias_                                                                                              \
    }
#define LINEAR(name_, out_)                                                                                        \
    { .kind = MIGE_LINEAR, .name = name_, .out = out_, .bias = 1 }

static const net_case cases[] = {
    {"conv4s2", {8, 8, 32}, 5, 1, {CONV("c", 34, 4, 2, 1, 0)}, 1},
    {"conv4s2 of 3 channels", {8, 8, 3}, 5, 1, {CONV("c", 64, 4, 2, 1, 1)}, 1},
    {"conv3s1", {5, 7, 5}, 3, 1, {CONV("c", 6, 3, 1, 1, 1)}, 1},
    {"conv5s3, edges that nobody sees", {9, 8, 4}, 3, 1, {CONV("c", 4, 5, 3, 2, 0)}, 1},
    {"conv1s2", {7, 7, 32}, 2, 1, {CONV("c", 2, 1, 2, 0, 1)}, 1},
    {"conv with an odd number of outputs", {6, 6, 4}, 2, 1, {CONV("c", 5, 3, 1, 1, 1)}, 1},
    {"linear", {1, 1, 70}, 37, 1, {LINEAR("l", 45)}, 1},
    {"linear of odd width", {1, 1, 33}, 3, 2, {LINEAR("l", 7), {.kind = MIGE_RELU, .name = "r"}}, 1},
    {"more rows than a chunk", {16, 16, 3}, 70, 1, {CONV("c", 4, 3, 1, 1, 0)}, 1},
    {"encoder",
     {32, 32, 3},
     20,
     8,
     {CONV("c1", 64, 4, 2, 1, 0),
      {.kind = MIGE_NORM, .name = "n1", .relu = 1},
      CONV("c2", 128, 4, 2, 1, 0),
      {.kind = MIGE_NORM, .name = "n2", .relu = 1},
      LINEAR("f", 100),
      {.kind = MIGE_NORM, .name = "n4", .relu = 1},
      LINEAR("y", 64)},
     0},
    {"floats between",
     {1, 1, 50},
     40,
     7,
     {LINEAR("a", 64),
      {.kind = MIGE_RELU, .name = "r"},
      {.kind = MIGE_DROPOUT, .name = "d", .rate = 0.2},
      LINEAR("b", 30),
      {.kind = MIGE_RELU, .name = "s"},
      LINEAR("m", 16),
      {.kind = MIGE_GAUSSIAN, .name = "z", .draws = 3}},
     0},
};

typedef struct {
    mige_net *net;
    float *out, *dx, *grads;
    size_t nout, ndx, ngrads;
} run;

static void run_case(const net_case *k, int flags, run *r) {
    mige_pass pass = {.train = 1, .seed = 5, .step = 1};
    size_t nx = (size_t)k->n * (size_t)(k->in.h * k->in.w * k->in.c);
    float *x = malloc(nx * sizeof *x);
    int layers = k->layers;
    while (!k->spec[layers - 1].name) layers--;
    assert_int_equal(mige_net_create(k->in, k->spec, layers, k->n, MIGE_NET_INPUT_GRADIENT | flags, &r->net),
                     MIGE_OK);
    assert_int_equal(mige_net_init(r->net, 1, MIGE_RNG_INIT, 0), MIGE_OK);
    for (size_t i = 0; k->exact && i < mige_net_num_params(r->net); i++) mige_net_params(r->net)[i] = whole(7, i);
    for (size_t i = 0; i < nx; i++) x[i] = k->exact ? whole(8, i) : uniform(8, i);
    for (int again = 0; again < 2; again++) { /* nothing of the first pass may be left in the second */
        assert_int_equal(mige_net_forward(r->net, x, k->n, &pass), MIGE_OK);
        r->nout = (size_t)k->n * (size_t)mige_net_size(r->net, layers - 1);
        float *up = malloc(r->nout * sizeof *up);
        for (size_t i = 0; i < r->nout; i++) up[i] = k->exact ? whole(9, i) : uniform(9, i);
        assert_int_equal(mige_net_backward_last(r->net, up, &pass), MIGE_OK);
        free(up);
    }
    r->ndx = nx;
    r->ngrads = mige_net_num_params(r->net);
    r->out = (float *)mige_net_output(r->net, layers - 1);
    r->dx = (float *)mige_net_input_gradient(r->net);
    r->grads = mige_net_grads(r->net);
    free(x);
}

static void compare(const net_case *k, const char *what, size_t n, const float *a, const float *b) {
    double square = 0, diff = 0;
    for (size_t i = 0; i < n; i++) {
        square += (double)a[i] * (double)a[i];
        diff += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        if (k->exact && a[i] != b[i]) fail_msg("%s: %s %zu: %g, with bfloat16 %g", k->name, what, i, a[i], b[i]);
    }
    assert_true(square > 0);
    double error = sqrt(diff / square);
    printf("# %s, %s: %.2e\n", k->name, what, error);
    if (!(error < 0.2)) fail_msg("%s: %s off by %g", k->name, what, error);
    if (!k->exact && !(error > 1e-5)) fail_msg("%s: %s: no bfloat16 in it", k->name, what);
}

static void test_layers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run a, b;
        run_case(&cases[i], 0, &a);
        run_case(&cases[i], MIGE_NET_BFLOAT16, &b);
        compare(&cases[i], "output", a.nout, a.out, b.out);
        compare(&cases[i], "gradient of the input", a.ndx, a.dx, b.dx);
        compare(&cases[i], "gradient of the parameters", a.ngrads, a.grads, b.grads);
        mige_net_destroy(&a.net);
        mige_net_destroy(&b.net);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounding), cmocka_unit_test(test_kernels),
                                       cmocka_unit_test(test_layers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
