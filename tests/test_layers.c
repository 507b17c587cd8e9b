/* np: 1 2 3 */
/* What each layer must hold to, at its edges. */
#include "layers.h"
#include "mige/rng.h"

static void test_specs(void **state) {
    (void)state;
    const mige_shape in = {8, 8, 3}, huge = {1 << 15, 1 << 15, 1};
    const mige_layer_spec bad[] = {CONV("bad", 4, 12, 1, 1, 0),
                                   CONV("bad", 4, 3, 0, 1, 0),
                                   CONV("bad", 4, 3, 1, 3, 0),
                                   CONV("bad", 0, 3, 1, 1, 0),
                                   CONV("bad", 1 << 30, 3, 1, 1, 0),
                                   LINEAR("bad", -1, 0),
                                   LINEAR("bad", 1 << 30, 0),
                                   {.kind = MIGE_DROPOUT, .name = "bad", .rate = 1},
                                   {.kind = MIGE_DROPOUT, .name = "bad", .rate = NAN},
                                   GAUSSIAN("bad", 0, 0, 0),
                                   GAUSSIAN("bad", 1, 0, 1),
                                   GAUSSIAN("bad", 1, 2, 1),
                                   NOISE("bad", 0),
                                   {.kind = (enum mige_layer_kind)17, .name = "bad"}};
    mige_net *net = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(mige_net_create(in, &bad[i], 1, 4, 0, &net), MIGE_EUSAGE);
        assert_null(net);
        assert_non_null(strstr(mige_error(), "bad"));
        assert_int_equal(mige_net_blueprint(in, &bad[i], 1, 4, 0, &net), MIGE_EUSAGE);
    }
    const mige_layer_spec twice[] = {RELU("r"), RELU("r")}, one = RELU("r");
    assert_int_equal(mige_net_create(in, twice, 2, 4, 0, &net), MIGE_EUSAGE);
    assert_int_equal(mige_net_create(huge, &one, 1, 4, 0, &net), MIGE_EUSAGE);
    /* More bytes than a size_t counts are refused, not wrapped round. */
    enum { MANY = 40 };
    const mige_shape largest = {1 << 13, 1 << 13, 1};
    mige_layer_spec many[MANY];
    char names[MANY][16];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "r%d", i);
        many[i] = (mige_layer_spec){.kind = MIGE_RELU, .name = names[i]};
    }
    assert_int_equal(mige_net_create(largest, many, MANY, INT32_MAX, 0, &net), MIGE_EFAIL);
    /* Sizes: batch 2 * (16 output + 2 * 192 flow) floats, 2 * 16 * 192 parameters and gradients, rounded up. */
    const mige_layer_spec linear = LINEAR("l", 16, 0);
    assert_int_equal(mige_net_blueprint(in, &linear, 1, 2, 0, &net), MIGE_OK);
    assert_int_equal(mige_net_memory(net), 4 * (2 * (16 + 2 * 192) + 2 * 16 * 192));
    mige_net_destroy(&net);
}

static void test_dropout(void **state) {
    (void)state;
    enum { BATCH = 13, SIZE = 1000 };
    const mige_shape in = {1, 1, SIZE};
    const mige_layer_spec spec[] = {{.kind = MIGE_DROPOUT, .name = "a", .rate = 0.25},
                                    {.kind = MIGE_DROPOUT, .name = "b", .rate = 0.5}};
    mige_net *net = NULL;
    assert_int_equal(mige_net_create(in, spec, 2, BATCH, 1, &net), MIGE_OK);
    float *x = floats(BATCH * SIZE), *whole = floats(BATCH * SIZE);
    for (int i = 0; i < BATCH * SIZE; i++) x[i] = 3;
    mige_pass pass = {.train = 1, .seed = 5, .step = 9};
    assert_int_equal(mige_net_forward(net, x, BATCH, &pass), MIGE_OK);
    memcpy(whole, mige_net_output(net, 1), BATCH * SIZE * sizeof *x);
    int kept_a = 0, kept_both = 0;
    for (int i = 0; i < BATCH * SIZE; i++) {
        float a = mige_net_output(net, 0)[i], b = whole[i];
        assert_true(a == 0 || a == 4);
        assert_true(b == 0 || b == 8);
        kept_a += a > 0, kept_both += b > 0;
    }
    /* Five standard deviations; the two layers' masks are independent. */
    assert_true(abs(kept_a - 9750) < 5 * 50 && abs(kept_both - 4875) < 5 * 56);
    const float *upstream[2] = {NULL, x};
    assert_int_equal(mige_net_backward(net, upstream, &pass), MIGE_OK);
    assert_memory_equal(mige_net_input_gradient(net), whole, BATCH * SIZE * sizeof *x);
    /* A rank's share of the batch gets the same mask as in the whole. */
    int first = share(BATCH, rank), n = share(BATCH, rank + 1) - first;
    pass.first_sample = first;
    assert_int_equal(mige_net_forward(net, x, n, &pass), MIGE_OK);
    assert_memory_equal(mige_net_output(net, 1), whole + first * SIZE, (size_t)n * SIZE * sizeof *x);
    pass.first_sample = 0, pass.step = 10;
    assert_int_equal(mige_net_forward(net, x, BATCH, &pass), MIGE_OK);
    assert_memory_not_equal(mige_net_output(net, 1), whole, BATCH * SIZE * sizeof *x);
    pass.train = 0;
    assert_int_equal(mige_net_forward(net, x, BATCH, &pass), MIGE_OK);
    assert_memory_equal(mige_net_output(net, 1), x, BATCH * SIZE * sizeof *x);
    free(x), free(whole);
    mige_net_destroy(&net);
}

/* Without its draws a gaussian layer gives mu, and a noise layer zeros; bounds of sigma are reached. */
static void test_mean(void **state) {
    (void)state;
    const mige_layer_spec spec[] = {NOISE("n", 2), GAUSSIAN("z", 2, 0.5, 2)};
    const float x[6] = {1, -2, 100, -100, 3, 0}, want[16] = {1, -2, 100, -100, 1, -2, 100, -100};
    mige_net *net = NULL;
    mige_pass pass = {.mean = 1};
    assert_int_equal(mige_net_create((mige_shape){1, 1, 6}, spec, 2, 1, 0, &net), MIGE_OK);
    assert_int_equal(mige_net_forward(net, x, 1, &pass), MIGE_OK);
    assert_memory_equal(mige_net_output(net, 1), want, 8 * sizeof *want);
    pass.mean = 0;
    assert_int_equal(mige_net_forward(net, x, 1, &pass), MIGE_OK);
    const float *rho = mige_net_output(net, 0) + 4, *z = mige_net_output(net, 1);
    double score[8]; /* -eps / sigma, with eps = (z - mu) / sigma */
    mige_gaussian_score(net, 1, 1, score);
    for (int i = 0; i < 8; i++) {
        double sigma = fmin(fmax(log1p(exp((double)rho[i % 4])), 0.5), 2);
        assert_true(score[i] != 0 && fabs((double)(z[i] - want[i]) + sigma * sigma * score[i]) < 1e-5);
    }
    mige_net_destroy(&net);
}

/* sigma = softplus(rho - 5) and its slope, the sigmoid, at small and large rho, by z = sigma eps and the score
 * -eps / sigma; a NaN stays one. */
static void test_deviations(void **state) {
    (void)state;
    enum { K = 163 };
    const mige_layer_spec spec = GAUSSIAN("z", 1, 0, 0);
    const mige_pass pass = {.train = 1, .seed = 3, .step = 1};
    float x[2 * K] = {0}, up[K];
    double score[K];
    mige_net *net = NULL;
    assert_int_equal(mige_net_create((mige_shape){1, 1, 2 * K}, &spec, 1, 1, MIGE_NET_INPUT_GRADIENT, &net),
                     MIGE_OK);
    for (int k = 0; k < K; k++) x[K + k] = (float)(k - K / 2) / 2 + 5, up[k] = 1;
    x[K + 5] = NAN;
    assert_int_equal(mige_net_forward(net, x, 1, &pass), MIGE_OK);
    assert_int_equal(mige_net_backward_last(net, up, &pass), MIGE_OK);
    mige_gaussian_score(net, 0, 1, score);
    const float *z = mige_net_output(net, 0), *dx = mige_net_input_gradient(net);
    for (int k = 0; k < K; k++) {
        double r = (double)x[K + k] - 5, sigma = r > 0 ? r + log1p(exp(-r)) : log1p(exp(r)),
               slope = 1 / (1 + exp(-r));
        double eps = (double)z[k] / sigma;
        if (k == 5)
            assert_true(isnan(z[k]) && isnan(dx[K + k]));
        else if (!(fabs(score[k] * sigma / -eps - 1) < 1e-6 && fabs((double)dx[K + k] / (eps * slope) - 1) < 1e-6))
            fail_msg("rho %g: score %g, slope %g", (double)x[K + k], score[k], (double)dx[K + k]);
    }
    mige_net_destroy(&net);
}

/* Other draws of the same samples are those of a whole pass. */
static void test_draw_again(void **state) {
    (void)state;
    const mige_layer_spec drawn[] = {LINEAR("l", 6, 1), RELU("r"), GAUSSIAN("z", 1, 0, 0), LINEAR("m", 2, 1)};
    const float x[6] = {1, -2, 0.5f, 3, -1, 2};
    mige_pass pass = {.seed = 3};
    float first[4], want[4];
    mige_net *net = NULL;
    assert_int_equal(mige_net_create((mige_shape){1, 1, 3}, drawn, 4, 2, 0, &net), MIGE_OK);
    assert_int_equal(mige_net_init(net, 1, MIGE_RNG_INIT, 0), MIGE_OK);
    assert_int_equal(mige_net_forward(net, x, 2, &pass), MIGE_OK);
    memcpy(first, mige_net_output(net, 3), sizeof first);
    pass.first_sample = 40;
    assert_int_equal(mige_net_forward(net, x, 2, &pass), MIGE_OK);
    memcpy(want, mige_net_output(net, 3), sizeof want);
    assert_memory_not_equal(want, first, sizeof want);
    pass.first_sample = 0;
    assert_int_equal(mige_net_draw_again(net, &pass), MIGE_OK);
    assert_memory_equal(mige_net_output(net, 3), first, sizeof first);
    pass.first_sample = 40;
    assert_int_equal(mige_net_draw_again(net, &pass), MIGE_OK);
    assert_memory_equal(mige_net_output(net, 3), want, sizeof want);
    mige_net_destroy(&net);
}

/* Channels of no variance, a batch of one, a mean far from zero, and a NaN that must not vanish in a ReLU. */
static void test_norm_edges(void **state) {
    (void)state;
    enum { BATCH = 500 };
    const mige_layer_spec spec = NORM("n", 1);
    mige_net *net = NULL;
    assert_int_equal(mige_net_create((mige_shape){1, 1, 2}, &spec, 1, BATCH, 1, &net), MIGE_OK);
    assert_int_equal(mige_net_init(net, 0, MIGE_RNG_INIT, 0), MIGE_OK);
    float *x = floats(2 * BATCH), *dy = floats(2 * BATCH), *running = mige_net_state(net);
    const float *upstream[1] = {dy}, *y = mige_net_output(net, 0);
    mige_pass pass = {.train = 1};
    double mean = 0, square = 0;
    for (int i = 0; i < BATCH; i++) {
        x[2 * i] = 1234.567f;
        x[2 * i + 1] = 1000 + ref_value((size_t)i, 1);
        dy[2 * i] = dy[2 * i + 1] = 1;
        mean += (double)x[2 * i + 1] / BATCH;
    }
    for (int i = 0; i < BATCH; i++) square += ((double)x[2 * i + 1] - mean) * ((double)x[2 * i + 1] - mean);
    assert_int_equal(mige_net_forward(net, x, BATCH, &pass), MIGE_OK);
    assert_int_equal(mige_net_backward(net, upstream, &pass), MIGE_OK);
    for (int i = 0; i < BATCH; i++) {
        assert_true(fabsf(y[2 * i]) < 0.1f && isfinite(mige_net_input_gradient(net)[2 * i]));
        double want = ((double)x[2 * i + 1] - mean) / sqrt(square / BATCH + 1e-5);
        assert_true(fabs((double)y[2 * i + 1] - (want > 0 ? want : 0)) < 3e-4);
    }
    assert_true(fabs((double)running[1] - 0.1 * mean) < 1e-6 * 100);
    assert_true(fabs((double)running[3] - (0.9 + 0.1 * square / (BATCH - 1))) < 1e-6);
    assert_true(fabs((double)running[2] - 0.9) < 1e-6);
    assert_int_equal(mige_net_forward(net, x, 1, &pass), MIGE_OK);
    assert_int_equal(mige_net_backward(net, upstream, &pass), MIGE_OK);
    for (int j = 0; j < 2; j++) assert_true(isfinite(y[j]) && mige_net_input_gradient(net)[j] == 0);
    assert_int_equal(mige_net_forward(net, x, 0, &pass), MIGE_OK);
    for (int j = 0; j < 4; j++) assert_true(isfinite(running[j]));
    x[0] = NAN;
    pass.train = 0;
    assert_int_equal(mige_net_forward(net, x, 1, &pass), MIGE_OK);
    assert_true(isnan(y[0]));
    free(x), free(dy);
    mige_net_destroy(&net);
}

/* A sum of 20,000 floats: naive single precision would be off by 1e-5 and more. */
static void test_bias_sum(void **state) {
    (void)state;
    enum { BATCH = 20000 };
    const mige_layer_spec spec = LINEAR("l", 3, 1);
    mige_net *net = NULL;
    assert_int_equal(mige_net_create((mige_shape){1, 1, 1}, &spec, 1, BATCH, 0, &net), MIGE_OK);
    float *x = floats(BATCH), *dy = floats(3 * BATCH);
    const float *upstream[1] = {dy};
    mige_pass pass = {.train = 1};
    double want[3] = {0};
    for (int i = 0; i < 3 * BATCH; i++) want[i % 3] += (double)(dy[i] = 1 + ref_value((size_t)i, 2));
    assert_int_equal(mige_net_forward(net, x, BATCH, &pass), MIGE_OK);
    assert_int_equal(mige_net_backward(net, upstream, &pass), MIGE_OK);
    for (int j = 0; j < 3; j++) assert_true(fabs((double)mige_net_grads(net)[3 + j] - want[j]) < 1e-7 * want[j]);
    free(x), free(dy);
    mige_net_destroy(&net);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_specs),      cmocka_unit_test(test_dropout),    cmocka_unit_test(test_mean),
        cmocka_unit_test(test_deviations), cmocka_unit_test(test_draw_again), cmocka_unit_test(test_norm_edges),
        cmocka_unit_test(test_bias_sum),
    };
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}
