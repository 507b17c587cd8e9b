/* np: 1 */
/* Errors, random numbers, the choice of BLAS kernels, the clock, and what the user sees. */
#include "mige/blas.h"
#include "mige/clock.h"
#include "mige/log.h"
#include "mige/rng.h"
#include "raised.h"
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void messages(void **state) {
    char text[3000];
    (void)state;
    assert_int_equal(mige_raise(MIGE_EINPUT, "%s: row %d", "a.h5", 7), MIGE_EINPUT);
    assert_string_equal(mige_error(), "a.h5: row 7");
    mige_raise(MIGE_EFAIL, "two\nlines\r\tand a tab");
    assert_string_equal(mige_error(), "two lines  and a tab");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    mige_raise(MIGE_EFAIL, "%s", text);
    assert_true(strlen(mige_error()) > 500 && strlen(mige_error()) < sizeof text);
    mige_raise(MIGE_EFAIL, "again: %.10s", mige_error()); /* of its own text */
    assert_string_equal(mige_error(), "again: xxxxxxxxxx");
    mige_error_set("100 %s", 0);
    assert_string_equal(mige_error(), "100 %s");
}

static void memory(void **state) {
    unsigned char *x;
    (void)state;
    for (size_t n = 0; n < 300; n += 7) {
        assert_int_equal(mige_alloc(n, 3, &x), MIGE_OK);
        assert_non_null(x);
        assert_int_equal((uintptr_t)x % 64, 0);
        for (size_t i = 0; i < 3 * n; i++) assert_int_equal(x[i], 0);
        memset(x, 1, 3 * n);
        free(x);
    }
    assert_raised(mige_alloc(SIZE_MAX / 2, 3, &x), MIGE_EFAIL, "GB");
    assert_null(x);
    assert_raised(mige_alloc(SIZE_MAX, 1, &x), MIGE_EFAIL, "GB");
    assert_null(x);
    double *y = NULL, *z = NULL;
    unsigned char *left = NULL;
    mige_pool pool = {0};
    assert_int_equal(MIGE_TAKE(&pool, MIGE_BLOCK(y, 1000), MIGE_BLOCK(x, 3)), MIGE_OK);
    for (int i = 0; i < 1000; i++) assert_true(y[i] == 0 && x[i % 3] == 0);
    assert_raised(MIGE_TAKE(&pool, MIGE_BLOCK(z, SIZE_MAX / 2), MIGE_BLOCK(left, 1)), MIGE_EFAIL, "GB");
    assert_true(!z && !left && pool.n == 2);
    assert_raised(MIGE_TAKE(&pool, MIGE_BLOCK(left, 1), MIGE_BLOCK(z, SIZE_MAX / 2)), MIGE_EFAIL, "GB");
    assert_true(!z && !left && pool.n == 2);
    mige_pool_free(&pool);
    assert_int_equal(pool.n, 0);
    assert_raised(MIGE_TAKE(&pool, MIGE_BLOCK(left, 1), MIGE_BLOCK(z, SIZE_MAX / 2)), MIGE_EFAIL, "GB");
    assert_true(!z && !left && !pool.block && pool.bytes == 0);
    pool.counts = 1;
    assert_int_equal(MIGE_TAKE(&pool, MIGE_BLOCK(y, 1000), MIGE_BLOCK(x, 3)), MIGE_OK);
    assert_true(!x && !y && pool.n == 0 && pool.bytes == 1000 * sizeof *y + 3 * sizeof *x);
}

/* Each item stays where it was put; what cannot be had leaves the array as it is. */
static void growing(void **state) {
    int64_t *a = NULL, *before;
    char *text;
    (void)state;
    for (int64_t n = 0; n < 1000; a[n] = n, n++) assert_int_equal(mige_grow((size_t)n, sizeof *a, &a), MIGE_OK);
    for (int64_t n = 0; n < 1000; n++) assert_true(a[n] == n);
    before = a;
    assert_raised(mige_grow((size_t)1 << 40, 1 << 20, &a), MIGE_EFAIL, "no room");
    assert_ptr_equal(a, before);
    free(a);
    assert_int_equal(mige_text(&text, "%s-%d", "a", 7), MIGE_OK);
    assert_string_equal(text, "a-7");
    free(text);
}

/* Philox4x32-10 once more, from Salmon et al. 2011. */
static void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        uint64_t a = UINT64_C(0xD2511F53) * c[0], b = UINT64_C(0xCD9E8D57) * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k1,
                            (uint32_t)a};
        memcpy(c, next, sizeof next);
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
}

/* The known answers that come with Random123, of this test's own function and, where they can be asked for, of the
 * program's. */
static void rng_known_answers(void **state) {
    uint32_t zero[4] = {0}, ones[4] = {~0u, ~0u, ~0u, ~0u}, out[4],
             pi[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
    static const uint32_t of_zero[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                          of_ones[] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                          of_pi[] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    (void)state;
    philox(zero, 0, 0);
    assert_memory_equal(zero, of_zero, 16);
    philox(ones, ~0u, ~0u);
    assert_memory_equal(ones, of_ones, 16);
    philox(pi, 0xa4093822, 0x299f31d0);
    assert_memory_equal(pi, of_pi, 16);
    mige_rng_bits(0, 0, 0, 0, 4, out);
    assert_memory_equal(out, of_zero, 16);
}

/* The counter is {block, index, high part of the index and purpose, step}, the key the seed. */
static void rng_layout(void **state) {
    static const struct {
        uint64_t seed, step, index;
        uint32_t purpose;
    } cases[] = {
        {0, 0, 0, 1},
        {1, 0, 0, 2},
        {UINT64_C(0x123456789abcdef0), 7, 3, 3},
        {~UINT64_C(0), 4294967295, (UINT64_C(1) << 48) - 1, 65535},
        {5, 1, UINT64_C(1) << 32, 4},
        {5, 1, 0, 4},
    };
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint32_t out[10] = {0}, expected[12];
        uint64_t i = cases[k].index;
        for (uint32_t b = 0; b < 3; b++) {
            uint32_t *c = expected + 4 * b,
                     counter[4] = {b, (uint32_t)i, (uint32_t)(i >> 32) << 16 | cases[k].purpose,
                                   (uint32_t)cases[k].step};
            memcpy(c, counter, sizeof counter);
            philox(c, (uint32_t)cases[k].seed, (uint32_t)(cases[k].seed >> 32));
        }
        for (size_t n = 0; n <= 9; n++) { /* a longer draw begins like a shorter one */
            mige_rng_bits(cases[k].seed, cases[k].purpose, cases[k].step, i, n, out);
            assert_memory_equal(out, expected, 4 * n);
            assert_int_equal(out[n], n ? out[n] : 0);
        }
        double u[9], z[9];
        mige_rng_uniform(cases[k].seed, cases[k].purpose, cases[k].step, i, 9, u);
        mige_rng_normal(cases[k].seed, cases[k].purpose, cases[k].step, i, 9, z);
        for (int j = 0; j < 9; j++) assert_true(u[j] == (expected[j] + 0.5) / 4294967296.);
        for (int j = 0; j < 9; j += 2) {
            double r = sqrt(-2 * log(u[j])), a = 2 * acos(-1) * ((expected[j + 1] + 0.5) / 4294967296.);
            assert_true(fabs(z[j] - r * cos(a)) < 1e-12);
            if (j < 8) assert_true(fabs(z[j + 1] - r * sin(a)) < 1e-12);
        }
    }
}

/* Box-Muller by the C library; and to the last bit the same, however many are drawn. */
static void rng_normal(void **state) {
    enum { N = 100003, FEW = 70 };
    static double u[N + 1], z[N];
    double few[FEW];
    (void)state;
    mige_rng_uniform(2, MIGE_RNG_SAMPLE, 0, 0, N + 1, u);
    mige_rng_normal(2, MIGE_RNG_SAMPLE, 0, 0, N, z);
    for (int i = 0; i < N; i++) {
        double r = sqrt(-2 * log(u[i & ~1])), a = 2 * acos(-1) * u[i | 1];
        assert_true(fabs(z[i] - r * (i & 1 ? sin(a) : cos(a))) < 1e-14);
    }
    for (size_t n = 1; n <= FEW; n++) {
        mige_rng_normal(2, MIGE_RNG_SAMPLE, 0, 0, n, few);
        assert_memory_equal(few, z, n * sizeof *z);
    }
}

/* The least bits there are, one in 2^32, give the largest numbers, not NaN. */
static void rng_least(void **state) {
    enum { N = 44 };
    uint32_t bits[N];
    double z[N], u;
    (void)state;
    mige_rng_bits(1, MIGE_RNG_NOISE, 6809, 3198, N, bits);
    mige_rng_normal(1, MIGE_RNG_NOISE, 6809, 3198, N, z);
    assert_int_equal(bits[42], 0);
    u = bits[43] / 4294967296. + 0x1p-33;
    assert_true(fabs(z[42] - sqrt(66 * log(2)) * cos(2 * acos(-1) * u)) < 1e-13);
    assert_true(fabs(z[43] - sqrt(66 * log(2)) * sin(2 * acos(-1) * u)) < 1e-13);
}

/* Within five standard errors. */
static void rng_moments(void **state) {
    enum { N = 200000 };
    static double x[N];
    (void)state;
    mige_rng_uniform(1, MIGE_RNG_SAMPLE, 0, 0, N, x);
    double mean = 0, square = 0, lag = 0;
    for (int i = 0; i < N; i++) {
        assert_true(x[i] > 0 && x[i] < 1);
        mean += x[i] / N;
        square += (x[i] - 0.5) * (x[i] - 0.5) / N;
        lag += i ? (x[i] - 0.5) * (x[i - 1] - 0.5) / N : 0;
    }
    assert_true(fabs(mean - 0.5) < 5 * sqrt(1. / 12 / N) && fabs(square - 1. / 12) < 5 * sqrt(1. / 180 / N));
    assert_true(fabs(lag) < 5 * sqrt(1. / 144 / N));
    mige_rng_normal(1, MIGE_RNG_SAMPLE, 0, 0, N, x);
    double third = 0, fourth = 0, inside = 0;
    mean = square = lag = 0;
    for (int i = 0; i < N; i++) {
        mean += x[i] / N;
        square += x[i] * x[i] / N;
        third += x[i] * x[i] * x[i] / N;
        fourth += x[i] * x[i] * x[i] * x[i] / N;
        lag += i ? x[i] * x[i - 1] / N : 0;
        inside += fabs(x[i]) < 1 ? 1. / N : 0;
    }
    assert_true(fabs(mean) < 5 * sqrt(1. / N) && fabs(square - 1) < 5 * sqrt(2. / N));
    assert_true(fabs(third) < 5 * sqrt(15. / N) && fabs(fourth - 3) < 5 * sqrt(96. / N));
    assert_true(fabs(lag) < 5 * sqrt(1. / N) && fabs(inside - 0.682689) < 5 * sqrt(0.2166 / N));
}

static void rng_permutations(void **state) {
    enum { N = 1000, DRAWS = 4800 };
    static int64_t perm[N], other[N];
    int seen[256] = {0}, kinds = 0, least = DRAWS, most = 0;
    (void)state;
    for (int64_t n = 0; n <= N; n = n * 3 + 1) {
        int64_t sum = 0;
        char found[N] = {0};
        mige_rng_permutation(1, MIGE_RNG_SHUFFLE, 5, n, perm);
        for (int64_t i = 0; i < n; i++) {
            assert_true(perm[i] >= 0 && perm[i] < n && !found[perm[i]]);
            found[perm[i]] = 1;
            sum += perm[i];
        }
        assert_int_equal(sum, n * (n - 1) / 2);
    }
    mige_rng_permutation(1, MIGE_RNG_SHUFFLE, 5, N, perm);
    for (int k = 0; k < 4; k++) { /* the same again; then another seed, purpose, epoch */
        int same = 0;
        mige_rng_permutation(k == 1 ? 2 : 1, k == 2 ? MIGE_RNG_PROBE : MIGE_RNG_SHUFFLE, k == 3 ? 6 : 5, N, other);
        for (int i = 0; i < N; i++) same += perm[i] == other[i];
        assert_true(k ? same < 10 : same == N);
    }
    for (int d = 0; d < DRAWS; d++) { /* each of the 24 orders of four, 200 times or about that */
        mige_rng_permutation(3, MIGE_RNG_SHUFFLE, (uint64_t)d, 4, perm);
        seen[perm[0] * 64 + perm[1] * 16 + perm[2] * 4 + perm[3]]++;
    }
    for (int i = 0; i < 256; i++) {
        if (!seen[i]) continue;
        kinds++;
        least = seen[i] < least ? seen[i] : least;
        most = seen[i] > most ? seen[i] : most;
    }
    assert_true(kinds == 24 && least > 130 && most < 270);
}

static void blas_kernels(void **state) {
    static const struct {
        const char *kernel;
        int avx2, avx512;
        const char *better;
    } cases[] = {
        {"Prescott", 1, 1, "SkylakeX"},
        {"Prescott", 1, 0, "Haswell"},
        {"Prescott", 0, 0, NULL},
        {"prescott", 1, 1, "SkylakeX"},
        {"Haswell", 1, 1, "SkylakeX"},
        {"Haswell", 1, 0, NULL},
        {"Zen", 1, 0, NULL},
        {"Zen", 1, 1, "SkylakeX"},
        {"SkylakeX", 1, 1, NULL},
        {"SkylakeX", 1, 0, NULL},
        {"Cooperlake", 1, 1, NULL},
        {"SapphireRapids", 1, 1, NULL},
        {"Nehalem", 1, 0, "Haswell"},
        {"Sandybridge", 1, 0, "Haswell"},
        {"unknown", 1, 1, NULL},
        {"", 1, 1, NULL},
        {"neoversen1", 1, 1, NULL},
    };
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const char *better = mige_blas_better(cases[k].kernel, cases[k].avx2, cases[k].avx512);
        if (!better || !cases[k].better)
            assert_true(!better && !cases[k].better);
        else
            assert_string_equal(better, cases[k].better);
    }
    assert_true(strlen(mige_blas_kernel()) > 0 && strlen(mige_blas_config()) > 0);
}

static void clocks(void **state) {
    (void)state;
    mige_clock_reset();
    for (int p = 0; p < MIGE_PHASES; p++) {
        assert_non_null(mige_clock_get((enum mige_phase)p).name);
        assert_in_range(mige_clock_get((enum mige_phase)p).depth, 0, 2);
        assert_true(mige_clock_get((enum mige_phase)p).seconds == 0 &&
                    mige_clock_get((enum mige_phase)p).count == 0);
    }
    double began = mige_now();
    for (int i = 0; i < 2; i++) {
        mige_clock_start(MIGE_PHASE_STEP);
        mige_clock_start(MIGE_PHASE_LOAD);
        usleep(20000);
        mige_clock_stop(MIGE_PHASE_LOAD, 1e6);
        mige_clock_stop(MIGE_PHASE_STEP, 0);
    }
    double load = mige_clock_get(MIGE_PHASE_LOAD).seconds, step = mige_clock_get(MIGE_PHASE_STEP).seconds;
    assert_true(load >= 0.04 && step >= load && step <= mige_now() - began);
    assert_true(mige_clock_get(MIGE_PHASE_LOAD).flops == 2e6 && mige_clock_get(MIGE_PHASE_LOAD).count == 2);
    mige_clock_reset();
    assert_true(mige_clock_get(MIGE_PHASE_LOAD).seconds == 0 && mige_clock_get(MIGE_PHASE_LOAD).flops == 0);
}

/* What `act` writes to file descriptor fd. */
static const char *captured(int fd, void (*act)(void)) {
    static char text[20000];
    char name[] = "test_base.XXXXXX";
    int file = mkstemp(name), nowhere = open("/dev/null", O_WRONLY), out = dup(STDOUT_FILENO),
        err = dup(STDERR_FILENO);
    assert_true(file >= 0 && nowhere >= 0 && out >= 0 && err >= 0);
    fflush(NULL);
    dup2(fd == STDOUT_FILENO ? file : nowhere, STDOUT_FILENO);
    dup2(fd == STDERR_FILENO ? file : nowhere, STDERR_FILENO);
    act();
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    close(nowhere);
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    close(file);
    unlink(name);
    return text;
}

static int count(const char *text, char c) {
    int n = 0;
    for (; *text; text++) n += *text == c;
    return n;
}

static void talk(void) {
    mige_say("say %d", 1);
    mige_print("print %d", 2);
    mige_warn("warn %d", 3);
}

static void lines(void **state) {
    (void)state;
    mige_log_setup(1, 0, MIGE_PROGRESS_NONE);
    assert_string_equal(captured(STDOUT_FILENO, talk), "say 1\nprint 2\n");
    assert_string_equal(captured(STDERR_FILENO, talk), "mige: warning: warn 3\n");
    mige_log_setup(1, 1, MIGE_PROGRESS_BAR);
    assert_string_equal(captured(STDOUT_FILENO, talk), "print 2\n");
    assert_string_equal(captured(STDERR_FILENO, talk), "mige: warning: warn 3\n");
    mige_log_setup(0, 0, MIGE_PROGRESS_LINE);
    assert_string_equal(captured(STDOUT_FILENO, talk), "");
    assert_string_equal(captured(STDERR_FILENO, talk), "");
    mige_log_setup(1, 0, MIGE_PROGRESS_NONE);
}

static void work(void) {
    mige_progress_begin("work", 200000);
    for (long i = 1; i <= 200000; i++) mige_progress_update(i, "loss 1");
    mige_progress_end();
    mige_say("after");
}

/* 200,000 updates in a moment: few lines, the last of them the whole. */
static void progress(void **state) {
    static const enum mige_progress modes[] = {MIGE_PROGRESS_LINE, MIGE_PROGRESS_AUTO};
    (void)state;
    for (int k = 0; k < 2; k++) { /* standard output is a file here: auto means lines */
        mige_log_setup(1, 0, modes[k]);
        const char *text = captured(STDOUT_FILENO, work);
        assert_non_null(strstr(text, "work 200000/200000  0:00 left  loss 1"));
        assert_true(count(text, '\n') <= 5 && count(text, '\r') == 0);
        assert_non_null(strstr(text, "\nafter\n"));
    }
    mige_log_setup(1, 0, MIGE_PROGRESS_BAR);
    const char *text = captured(STDOUT_FILENO, work);
    assert_true(count(text, '\r') >= 1 && count(text, '\r') < 100);
    assert_non_null(strstr(text, "200000/200000"));
    assert_non_null(strstr(text, "\nafter\n"));
    mige_log_setup(1, 0, MIGE_PROGRESS_NONE);
    assert_string_equal(captured(STDOUT_FILENO, work), "after\n");
    mige_log_setup(1, 1, MIGE_PROGRESS_LINE);
    assert_string_equal(captured(STDOUT_FILENO, work), "");
    mige_log_setup(0, 0, MIGE_PROGRESS_LINE);
    assert_string_equal(captured(STDOUT_FILENO, work), "");
    mige_log_setup(1, 0, MIGE_PROGRESS_NONE);
}

/* Counted wherever they are, at lengths that fill vectors or do not. */
static void not_finite(void **state) {
    static const double bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    double x[70];
    float y[70];
    (void)state;
    for (int i = 0; i < 70; i++) {
        x[i] = i % 3 ? DBL_MAX : -5e-324;
        y[i] = i % 3 ? -FLT_MAX : 1e-45f;
    }
    assert_int_equal(mige_not_finite(70, x) + mige_not_finite_float(70, y), 0);
    for (size_t n = 0; n < 70; n++)
        for (size_t i = 0; i < 70; i++) {
            double kept = x[i];
            float kept_single = y[i];
            x[i] = bad[i % 4];
            y[i] = (float)bad[n % 4];
            assert_int_equal(mige_not_finite(n, x), i < n);
            assert_int_equal(mige_not_finite_float(n, y), i < n);
            x[i] = kept;
            y[i] = kept_single;
        }
    for (int i = 0; i < 70; i++) x[i] = bad[i % 4];
    assert_int_equal(mige_not_finite(69, x), 69);
}

int main(void) {
    char folder[] = "/tmp/mige-test-base-XXXXXX";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),          cmocka_unit_test(memory),      cmocka_unit_test(growing),
        cmocka_unit_test(rng_known_answers), cmocka_unit_test(rng_layout),  cmocka_unit_test(rng_normal),
        cmocka_unit_test(rng_least),         cmocka_unit_test(rng_moments), cmocka_unit_test(rng_permutations),
        cmocka_unit_test(blas_kernels),      cmocka_unit_test(clocks),      cmocka_unit_test(lines),
        cmocka_unit_test(progress),          cmocka_unit_test(not_finite),
    };
    if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
    int failed = cmocka_run_group_tests_name("base", tests, NULL, NULL);
    if (chdir("/") != 0 || rmdir(folder) != 0) failed++;
    return failed;
}
