/* np: 1
 * bfloat16 in networks: rounding, the block of every kernel, and layers against those of float. Whole numbers that
 * are small enough are exact in both, so that layers must agree to the last bit; a network of ordinary numbers must
 * agree within what 8 bits can do. */
#include "mige/nn.h"
#include "mige/rng.h"
#include "nn/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* AMX-BF16 as compiled, on processors without it: the illegal instruction's signal plays each in plain C, after
 * Intel's description. A tile that is not set up is illegal there too. */
#if defined(__x86_64__) && defined(__linux__) && (defined(__clang__) || __GNUC__ >= 11)
#include <cpuid.h>
#include <signal.h>
#include <ucontext.h>

static struct { uint32_t word[16][16]; } tile[8];
static uint8_t setting[64]; /* bytes of a row from 16 on, rows from 48 on */
static volatile sig_atomic_t played;

static int is_set(int t) {
    uint16_t bytes;
    memcpy(&bytes, setting + 16 + 2 * t, sizeof bytes);
    return setting[0] == 1 && bytes == 64 && setting[48 + t] == 16;
}

static void multiply(int c, int a, int b) {
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

/* An instruction's operand in memory: base + displacement, the index times its scale, and its length with all
 * that is before. */
typedef struct {
    char *base;
    ptrdiff_t stride;
    int length;
} operand;

static long long general(const greg_t *g, int i) {
    static const int place[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return g[place[i]];
}

static operand operand_of(const uint8_t *code, const greg_t *g) {
    int mod = code[4] >> 6, rm = code[4] & 7, high = !(code[1] >> 5 & 1) * 8, high_index = !(code[1] >> 6 & 1) * 8;
    operand o = {.length = 5};
    long long at = 0;
    int32_t far = 0;
    int displaced = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    if (mod == 3) return o;
    if (rm == 4) {
        int sib = code[o.length++], index = (sib >> 3 & 7) + high_index;
        if (index != 4) o.stride = (ptrdiff_t)(general(g, index) * (1 << (sib >> 6)));
        if (mod == 0 && (sib & 7) == 5)
            displaced = 4;
        else
            at = general(g, (sib & 7) + high);
    } else if (mod == 0 && rm == 5) {
        displaced = 4;
        at = g[REG_RIP] + o.length + displaced;
    } else {
        at = general(g, rm + high);
    }
    if (displaced == 1) far = (code[o.length] ^ 0x80) - 0x80; /* its sign */
    if (displaced == 4) memcpy(&far, code + o.length, sizeof far);
    o.length += displaced;
    o.base = (char *)(uintptr_t)(at + far);
    return o;
}

static void play(int sig, siginfo_t *info, void *context) {
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)(uintptr_t)g[REG_RIP];
    int vex = code[0] == 0xc4 && (code[1] & 31) == 2, prefix = code[2] & 3, second = ~(code[2] >> 3) & 7;
    int in_memory = code[4] >> 6 != 3, reg = code[4] >> 3 & 7, rm = code[4] & 7, known = 1;
    operand o = operand_of(code, g);
    (void)info;
    if (vex && code[3] == 0x49 && prefix == 0 && in_memory) { /* ldtilecfg */
        memcpy(setting, o.base, sizeof setting);
        memset(tile, 0, sizeof tile);
    } else if (vex && code[3] == 0x49 && prefix == 3 && !in_memory && is_set(reg)) { /* tilezero */
        memset(&tile[reg], 0, sizeof tile[reg]);
    } else if (vex && code[3] == 0x4b && prefix == 3 && is_set(reg)) { /* tileloadd */
        for (int r = 0; r < 16; r++) memcpy(tile[reg].word[r], o.base + r * o.stride, 64);
    } else if (vex && code[3] == 0x4b && prefix == 2 && is_set(reg)) { /* tilestored */
        for (int r = 0; r < 16; r++) memcpy(o.base + r * o.stride, tile[reg].word[r], 64);
    } else if (vex && code[3] == 0x5c && prefix == 2 && is_set(reg) && is_set(rm) &&
               is_set(second)) { /* tdpbf16ps */
        multiply(reg, rm, second);
    } else {
        known = 0;
        signal(sig, SIG_DFL);
    }
    if (known) g[REG_RIP] += o.length;
    played += known;
}

static int without_tiles(void) {
    unsigned a, b, c, d;
    return !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 24 & 1);
}
#endif

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
        mige_bfloat16_round(1, &f, &one);
        assert_int_equal(one, cases[i].to);
    }
}

enum { K = 96, LDA = K + HALF_PAD, LDC = HALF_SIDE + 5 };

/* Blocks of each number of rows, which are added up in parts of several. */
static void check_kernel(const half_kernel *kernel) {
    static uint16_t a[HALF_SIDE * LDA];
    static uint32_t panel[K / 2 * HALF_SIDE];
    static double want[HALF_SIDE][HALF_SIDE];
    static float c[HALF_SIDE * LDC];
    for (size_t i = 0; i < HALF_SIDE * LDA; i++) a[i] = half_round(uniform(2, i));
    for (size_t i = 0; i < K / 2 * HALF_SIDE; i++)
        panel[i] = half_round(uniform(3, 2 * i)) | (uint32_t)half_round(uniform(3, 2 * i + 1)) << 16;
    for (int i = 0; i < HALF_SIDE; i++)
        for (int j = 0; j < HALF_SIDE; j++) {
            want[i][j] = 0;
            for (int k = 0; k < K; k++)
                want[i][j] += (double)half_float(a[i * LDA + k]) *
                              (double)half_float((uint16_t)(panel[k / 2 * HALF_SIDE + j] >> 16 * (k % 2)));
        }
    kernel->begin();
    for (int rows = 1; rows <= HALF_SIDE; rows++) {
        memset(c, 0, sizeof c);
        kernel->block(rows, K / 2, a, LDA, panel, c, LDC);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < HALF_SIDE; j++) assert_true(fabs(want[i][j] - (double)c[i * LDC + j]) < 3e-6);
        for (int i = 0; i < rows; i++)
            for (int j = HALF_SIDE; j < LDC; j++) assert_true(c[i * LDC + j] == 0);
    }
}

static void test_kernels(void **state) {
    (void)state;
#if defined(__x86_64__) && defined(__linux__) && (defined(__clang__) || __GNUC__ >= 11)
    if (without_tiles()) {
        struct sigaction old, new = {.sa_sigaction = play, .sa_flags = SA_SIGINFO};
        assert_int_equal(sigaction(SIGILL, &new, &old), 0);
        check_kernel(&mige_half_amx);
        assert_int_equal(sigaction(SIGILL, &old, NULL), 0);
        assert_int_equal(played, 1 + HALF_SIDE * (8 + 8 * K / 32));
        printf("# %s: runs here, its instructions played one by one\n", mige_half_amx.name);
    }
#endif
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
    {"conv of the whole image, its gradient line by line", {12, 12, 4}, 3, 1, {CONV("c", 64, 12, 1, 0, 1)}, 1},
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

/* Samples of two ranks: 7 and 13, of layers whose sizes are no multiples of anything. */
enum { KEPT_IN = 201, KEPT_HIDDEN = 151, KEPT_OUT = 131, KEPT_TOTAL = 20, KEPT_FIRST = 7 };

/* A pass of one rank's samples; area and packed NULL: as usual. */
static mige_net *kept_pass(int rank, void *area, uint32_t *packed) {
    static const mige_layer_spec spec[] = {
        LINEAR("a", KEPT_HIDDEN), {.kind = MIGE_RELU, .name = "r"}, LINEAR("b", KEPT_OUT)};
    const mige_pass pass = {.train = 1};
    int first = rank ? KEPT_FIRST : 0, n = rank ? KEPT_TOTAL - KEPT_FIRST : KEPT_FIRST;
    float x[KEPT_TOTAL * KEPT_IN], up[KEPT_TOTAL * KEPT_OUT];
    mige_net *net;
    assert_int_equal(mige_net_create((mige_shape){1, 1, KEPT_IN}, spec, 3, n, MIGE_NET_BFLOAT16, &net), MIGE_OK);
    assert_int_equal(mige_net_init(net, 1, MIGE_RNG_INIT, 0), MIGE_OK);
    for (int i = 0; i < n * KEPT_IN; i++) x[i] = uniform(8, (size_t)(first * KEPT_IN + i));
    for (int i = 0; i < n * KEPT_OUT; i++) up[i] = uniform(9, (size_t)(first * KEPT_OUT + i));
    if (area) assert_int_equal(mige_net_keep(net, area, first, KEPT_TOTAL), MIGE_OK);
    if (packed) {
        mige_net_move(net, mige_net_params(net), packed, mige_net_grads(net));
        mige_net_pack(net, 0, 0, 64); /* at once, and in parts */
        mige_net_pack(net, 0, 64, KEPT_HIDDEN - 64);
        mige_net_pack(net, 2, 0, KEPT_OUT);
    }
    assert_int_equal(mige_net_forward(net, x, n, &pass), MIGE_OK);
    assert_int_equal(mige_net_backward_last(net, up, &pass), MIGE_OK);
    return net;
}

/* Gradients of rows of weights from both ranks' samples are the sums of what each rank has alone; weights that were
 * packed before give the same bits. */
static void test_kept(void **state) {
    static const int rows_at[][3] = {{0, 0, 32}, {0, 37, 20}, {0, 150, 1}, {2, 99, 32}, {2, 33, 9}};
    mige_net *alone[2], *kept[2];
    static float grad[KEPT_HIDDEN * KEPT_IN];
    (void)state;
    alone[0] = kept_pass(0, NULL, NULL);
    size_t bytes = mige_net_kept_bytes(alone[0], KEPT_TOTAL), first, packed_bytes = mige_net_packed_bytes(alone[0]);
    assert_true(bytes >= 2 * KEPT_TOTAL * (KEPT_IN + 2 * KEPT_HIDDEN + KEPT_OUT));
    assert_int_equal(mige_net_kept_bytes(alone[0], 200), 0); /* more values than weights */
    void *area = aligned_alloc(64, bytes);
    char *packed = calloc(2, packed_bytes);
    alone[1] = kept_pass(1, NULL, NULL);
    for (int r = 0; r < 2; r++) kept[r] = kept_pass(r, area, (void *)(packed + (size_t)r * packed_bytes));
    for (int r = 0; r < 2; r++) {
        size_t size = (size_t)(r ? KEPT_TOTAL - KEPT_FIRST : KEPT_FIRST) * KEPT_OUT;
        assert_memory_equal(mige_net_output(alone[r], 2), mige_net_output(kept[r], 2), size * sizeof(float));
    }
    for (size_t k = 0; k < sizeof rows_at / sizeof *rows_at; k++) {
        const int which = rows_at[k][0], row = rows_at[k][1], rows = rows_at[k][2];
        const size_t in = which ? KEPT_HIDDEN : KEPT_IN;
        double square = 0, diff = 0;
        assert_true(mige_net_kept(kept[k % 2], which) && mige_net_packs(kept[k % 2], which, &first));
        mige_net_kept_gradient(kept[k % 2], which, row, rows, grad);
        for (size_t i = 0; i < (size_t)rows * in; i++) {
            size_t at = first + (size_t)row * in + i;
            double want = (double)mige_net_grads(alone[0])[at] + (double)mige_net_grads(alone[1])[at];
            square += want * want;
            diff += (want - (double)grad[i]) * (want - (double)grad[i]);
        }
        double error = sqrt(diff / square);
        printf("# rows %d to %d of layer %d: %.2e\n", row, row + rows, which, error);
        if (!(error < 1e-6)) fail_msg("rows %d to %d of layer %d: off by %g", row, row + rows, which, error);
    }
    for (int r = 0; r < 2; r++) {
        mige_net_destroy(&alone[r]);
        mige_net_destroy(&kept[r]);
    }
    free(area);
    free(packed);
}

/* What a filter of the whole image needs to go back is not a copy of the filter for each pixel of each image. */
static void test_memory(void **state) {
    static const mige_layer_spec spec = CONV("c", 256, 32, 1, 0, 0);
    mige_net *net;
    (void)state;
    assert_int_equal(mige_net_blueprint((mige_shape){32, 32, 3}, &spec, 1, 64, MIGE_NET_BFLOAT16, &net), MIGE_OK);
    printf("# %.3g MB\n", (double)mige_net_memory(net) / 1e6);
    assert_true(mige_net_memory(net) < 100 << 20);
    mige_net_destroy(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounding), cmocka_unit_test(test_kernels),
                                       cmocka_unit_test(test_layers), cmocka_unit_test(test_kept),
                                       cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
