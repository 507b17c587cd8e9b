/* np: 1 */
/* Losses, the optimiser and its rates against PyTorch (tests/ref/make_nn.py). */
#include "mige/nn.h"
#include "ref.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static ref_file ref;

static void check(const char *name, const char *what, const float *a, size_t n) {
    char key[96];
    snprintf(key, sizeof key, "%s/%s", name, what);
    double error = ref_error(&ref, key, a, n);
    if (!(error < 1e-4)) fail_msg("%s: relative error %.3g", key, error);
}

static void test_adam(void **state) {
    (void)state;
    enum { N = 37 };
    const char *names[] = {"adam_dim", "adam_default", "adam_decay"};
    const mige_adam settings[] = {
        {1e-2, 0.5, 0.999, 1e-8, 0}, {1e-3, 0.9, 0.999, 1e-8, 0}, {1e-2, 0.9, 0.99, 1e-8, 3}};
    for (int k = 0; k < 3; k++) {
        float start[N], p[N], g[N], m[N] = {0}, v[N] = {0};
        ref_fill(start, 0, N, 10), ref_fill(p, 0, N, 10);
        for (uint32_t t = 1; t <= 5; t++) {
            ref_fill(g, 0, N, 10 + t);
            mige_adam_step(&settings[k], t, N, p, g, m, v);
        }
        for (int i = 0; i < N; i++) p[i] -= start[i];
        check(names[k], "moved", p, N);
        check(names[k], "m", m, N);
        check(names[k], "v", v, N);
    }
}

static void test_cross_entropy(void **state) {
    (void)state;
    float z[90], d[90];
    int32_t labels[9];
    int64_t correct;
    ref_fill(z, 0, 90, 20);
    for (int i = 0; i < 90; i++) z[i] *= 20;
    for (int i = 0; i < 9; i++) labels[i] = 7 * i % 10;
    float loss = (float)mige_cross_entropy((mige_softness){0, 0}, z, labels, 9, 10, 0.25, d, &correct),
          hits = (float)correct;
    check("cross_entropy", "loss", &loss, 1);
    check("cross_entropy", "dlogits", d, 90);
    check("cross_entropy", "correct", &hits, 1);
    const char *names[] = {"smoothing", "confidence", "soft"};
    const mige_softness soft[] = {{0.1, 0}, {0, 0.1}, {0.2, 0.3}};
    for (int k = 0; k < 3; k++) {
        loss = (float)mige_cross_entropy(soft[k], z, labels, 9, 10, 0.25, d, NULL);
        check(names[k], "loss", &loss, 1);
        check(names[k], "dlogits", d, 90);
    }
    const float far[] = {-1000, 1000};
    assert_true(mige_cross_entropy((mige_softness){0, 0}, far, (int32_t[]){0}, 1, 2, 1, NULL, NULL) == 2000);
    assert_true(mige_cross_entropy((mige_softness){0, 0}, far, (int32_t[]){1}, 1, 2, 1, NULL, NULL) == 0);
    assert_true(mige_cross_entropy(soft[2], far, (int32_t[]){1}, 1, 2, 1, d, NULL) == 0.1 * 2000);
    assert_true(fabsf(d[0] + 0.1f) < 1e-7f && fabsf(d[1] - 0.1f) < 1e-7f);
    assert_true(mige_softplus(1000) == 1000 && mige_softplus(-1000) == 0 && mige_sigmoid(-1000) == 0);
    assert_true(fabs(mige_softplus(1) - 1.3132616875182228) < 1e-15);
}

static void test_schedules(void **state) {
    (void)state;
    const char *names[] = {"constant", "cosine", "steps"};
    for (int k = 0; k < 3; k++) {
        const mige_schedule s = {(enum mige_schedule_kind)k, 0.3, 5, 30, 8, 0.5};
        float rates[40];
        for (int i = 0; i < 40; i++) rates[i] = (float)mige_rate(&s, i + 1);
        check("schedule", names[k], rates, k == 1 ? 30 : 40);
        assert_true(k != 1 || (rates[29] > 0 && rates[30] == 0 && rates[39] == 0));
    }
    assert_true(mige_rate(&(mige_schedule){.rate = 2}, 1) == 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_adam), cmocka_unit_test(test_cross_entropy),
                                       cmocka_unit_test(test_schedules)};
    ref = ref_load("tests/ref/nn_layers.txt");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ref_free(&ref);
    return failed;
}
