/* np: 1 2 3 */
/* Networks against PyTorch (tests/ref/make_nn.py), the batch spread over the ranks; encoders, passes and first
 * weights. */
#include "layers.h"
#include "mige/rng.h"

enum { MAX_LAYERS = 10, X1 = 1, UPSTREAM, PARAMS, INNER, X2, STEP = 3 }; /* X1 to X2: salts of the formula */
static const uint64_t SEED = 0x123456789ABC;

typedef struct {
    const char *name;
    mige_shape in;
    int batch, layers;
    mige_layer_spec spec[MAX_LAYERS];
} net_case;

/* The same rows as in make_nn.py. */
static const net_case cases[] = {
    {"conv_k4s2p1", {8, 6, 3}, 7, 1, {CONV("a", 5, 4, 2, 1, 0)}},
    {"conv_k3s1p1", {5, 7, 2}, 7, 1, {CONV("a", 4, 3, 1, 1, 1)}},
    {"conv_k5s3p2", {9, 4, 3}, 7, 1, {CONV("a", 3, 5, 3, 2, 1)}},
    {"norm", {3, 5, 4}, 7, 1, {NORM("a", 0)}},
    {"norm_relu", {3, 5, 4}, 7, 1, {NORM("a", 1)}},
    {"norm_vector", {1, 1, 6}, 7, 1, {NORM("a", 0)}},
    {"linear", {2, 3, 4}, 7, 1, {LINEAR("a", 5, 0)}},
    {"linear_bias", {2, 3, 4}, 7, 1, {LINEAR("a", 5, 1)}},
    {"mixed",
     {7, 9, 3},
     7,
     9,
     {CONV("a", 6, 3, 1, 1, 1), RELU("b"), CONV("c", 8, 4, 2, 1, 0), NORM("d", 0), CONV("e", 5, 3, 2, 1, 0),
      NORM("f", 1), LINEAR("g", 10, 1), RELU("h"), LINEAR("i", 4, 0)}},
    {"few", {4, 4, 3}, 2, 3, {CONV("a", 4, 3, 1, 1, 0), NORM("b", 1), LINEAR("c", 3, 1)}},
    {"conv_fast", {32, 28, 16}, 7, 1, {CONV("a", 24, 4, 2, 1, 1)}},
    {"conv_fast_odd", {5, 12, 20}, 2, 1, {CONV("a", 7, 4, 2, 1, 0)}},
    {"gaussian", {1, 3, 2}, 7, 3, {LINEAR("a", 10, 1), GAUSSIAN("z", 3, 0, 0), LINEAR("c", 4, 1)}},
    {"gaussian_range", {1, 3, 2}, 7, 2, {LINEAR("a", 12, 1), GAUSSIAN("z", 2, 0.6, 0.75)}},
    {"noise", {2, 2, 3}, 7, 2, {NOISE("n", 5), LINEAR("a", 6, 1)}},
};

static ref_file ref;

static int sum_over_ranks(void *ctx, double *buf, int n) {
    (void)ctx;
    return MPI_Allreduce(MPI_IN_PLACE, buf, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD) ? MIGE_EFAIL : MIGE_OK;
}

static size_t volume(mige_shape s) {
    return (size_t)(s.h * s.w * s.c);
}

static void check(const char *name, const char *what, const char *item, const float *a, size_t n) {
    char key[96];
    snprintf(key, sizeof key, "%s/%s%s", name, what, item);
    double error = ref_error(&ref, key, a, n);
    if (!(error < 1e-4)) fail_msg("%s: relative error %.3g", key, error);
}

/* Compares a tensor of which every rank has the samples from `first` on, or (first < 0) a term of the sum. */
static void check_global(const char *name, const char *what, const char *item, const float *local, int first,
                         size_t local_size, size_t size) {
    float *whole = floats(size);
    if (local_size) memcpy(whole + (first > 0 ? first : 0), local, local_size * sizeof *whole);
    MPI_Allreduce(MPI_IN_PLACE, whole, (int)size, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    check(name, what, item, whole, size);
    free(whole);
}

/* Weights scaled by a power of two to about 1 / sqrt(fan in), gamma about 1. */
static void set_params(mige_net *net) {
    float *p = mige_net_params(net);
    ref_fill(p, 0, mige_net_num_params(net), PARAMS);
    for (int i = 0; i < mige_net_num_tensors(net); i++) {
        mige_tensor t;
        mige_net_tensor(net, i, &t);
        float scale = 1, fan_in = (float)(t.count / (size_t)t.dims[0]);
        while (scale * scale * fan_in > 4) scale /= 2;
        int gamma = !t.is_state && t.ndim == 1 && strstr(t.name, ".weight");
        for (size_t j = t.offset; !t.is_state && j < t.offset + t.count; j++)
            p[j] = gamma ? p[j] + 1 : p[j] * scale;
    }
}

/* This rank's samples, first .. first + n, of the batch given by the formula. */
static float *samples(mige_shape s, int first, int n, uint32_t salt, float scale) {
    size_t size = volume(s);
    float *x = floats((size_t)n * size);
    ref_fill(x, (size_t)first * size, (size_t)n * size, salt);
    for (size_t i = 0; i < (size_t)n * size; i++) x[i] *= scale;
    return x;
}

static void check_tensors(const net_case *k, const mige_net *net, int is_state) {
    for (int i = 0; i < mige_net_num_tensors(net); i++) {
        mige_tensor t;
        mige_net_tensor(net, i, &t);
        if (t.is_state != is_state) continue;
        if (is_state)
            check(k->name, "state.", t.name, mige_net_state(net) + t.offset, t.count);
        else
            check_global(k->name, "grad.", t.name, mige_net_grads(net) + t.offset, -1, t.count, t.count);
    }
}

static void check_samples(const net_case *k, const char *what, const char *item, mige_shape s, const float *local) {
    int first = share(k->batch, rank), n = share(k->batch, rank + 1) - first;
    size_t size = volume(s);
    check_global(k->name, what, item, local, first * (int)size, (size_t)n * size, (size_t)k->batch * size);
}

/* What a gaussian layer says of itself; the gradient of 0.25 KL joins upstream at the layer below it. */
static float *check_gaussian(const net_case *k, const mige_net *net, int i) {
    int first = share(k->batch, rank), n = share(k->batch, rank + 1) - first;
    mige_shape z = mige_net_shape(net, i);
    float *d = floats((size_t)n * volume(mige_net_shape(net, i - 1))), *score = floats((size_t)n * volume(z));
    double *exact = NULL;
    assert_int_equal(mige_alloc((size_t)n * volume(z), sizeof *exact, &exact), MIGE_OK);
    mige_gaussian_score(net, i, n, exact);
    for (size_t j = 0; j < (size_t)n * volume(z); j++) score[j] = (float)exact[j];
    check_samples(k, "score", "", z, score);
    float kl = (float)mige_gaussian_kl(net, i, n, 0.25, d);
    assert_true((float)mige_gaussian_kl(net, i, n, 0.25, NULL) == kl);
    check_global(k->name, "kl", "", &kl, -1, 1, 1);
    free(score), free(exact);
    return d;
}

static void run_case(const net_case *k) {
    const int first = share(k->batch, rank), n = share(k->batch, rank + 1) - first, last = k->layers - 1;
    mige_pass train = {.train = 1, .reduce = sum_over_ranks, .seed = SEED, .step = STEP, .first_sample = first},
              eval = {.seed = SEED, .step = STEP + 1, .first_sample = first};
    const float *upstream[MAX_LAYERS] = {NULL};
    mige_net *net = NULL;
    assert_int_equal(mige_net_create(k->in, k->spec, k->layers, n > 0 ? n : 1, 1, &net), MIGE_OK);
    set_params(net);
    float *x1 = samples(k->in, first, n, X1, 2), *x2 = samples(k->in, first, n, X2, 2);
    float *top = samples(mige_net_shape(net, last), first, n, UPSTREAM, 1), *inner = NULL;
    upstream[last] = top;
    if (strcmp(k->name, "mixed") == 0) upstream[2] = inner = samples(mige_net_shape(net, 2), first, n, INNER, 1);

    assert_int_equal(mige_net_forward(net, x1, n, &train), MIGE_OK);
    for (int i = 1; i < k->layers; i++)
        if (k->spec[i].kind == MIGE_GAUSSIAN) upstream[i - 1] = inner = check_gaussian(k, net, i);
    assert_int_equal(mige_net_backward(net, upstream, &train), MIGE_OK);
    for (int i = 0; i < k->layers; i++)
        check_samples(k, "out.", k->spec[i].name, mige_net_shape(net, i), mige_net_output(net, i));
    check_samples(k, "dx", "", k->in, mige_net_input_gradient(net));
    check_tensors(k, net, 0);
    assert_int_equal(mige_net_forward(net, x2, n, &train), MIGE_OK);
    check_tensors(k, net, 1);
    assert_int_equal(mige_net_forward(net, x1, n, &eval), MIGE_OK);
    check_samples(k, "eval", "", mige_net_shape(net, last), mige_net_output(net, last));
    check_tensors(k, net, 1);
    free(x1), free(x2), free(top), free(inner);
    mige_net_destroy(&net);
}

static void test_layers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run_case(&cases[i]);
}

static void plan(net_case *k, const char *what, const mige_encoder_options *o, mige_encoder *e) {
    assert_int_equal(mige_encoder_create(what, k->in, o, e), MIGE_OK);
    k->layers = e->n;
    memcpy(k->spec, e->layers, (size_t)e->n * sizeof *k->spec);
}

static void test_encoders(void **state) {
    (void)state;
    const struct {
        const char *name, *what, *features, *last_hidden;
        mige_shape in;
        mige_encoder_options o;
    } rows[] = {
        {"encoder", "dim", "conv,fc,y", "norm4", {32, 32, 3}, {.out = 64}},
        {"encoder_grey", "dim", "conv,fc,y", "norm4", {9, 12, 1}, {.out = 6}},
        {"encoder_mlp", "mlp:16,12", "fc,y", "relu2", {4, 5, 2}, {.out = 6, .stochastic = MIGE_ENCODER_IMPLICIT}},
        {"encoder_gaussian", "mlp:16", "fc,y", "relu1", {4, 5, 2}, {6, MIGE_ENCODER_GAUSSIAN, 2, 0, 0, 0}}};
    for (int i = 0; i < 4; i++) {
        mige_encoder e;
        net_case k = {rows[i].name, rows[i].in, 7, 0, {{0}}};
        plan(&k, rows[i].what, &rows[i].o, &e);
        run_case(&k);
        assert_string_equal(e.features, rows[i].features);
        assert_string_equal(mige_encoder_feature(&e, "fc"), rows[i].last_hidden);
        assert_null(mige_encoder_feature(&e, "conv1"));
    }
}

static void test_dim(void **state) {
    (void)state;
    net_case k = {"encoder", {32, 32, 3}, 7, 0, {{0}}};
    mige_encoder e;
    mige_net *net = NULL;
    plan(&k, "dim", &(mige_encoder_options){.out = 64}, &e);
    assert_int_equal(mige_net_create(k.in, k.spec, k.layers, 2, 0, &net), MIGE_OK);
    assert_int_equal(mige_net_num_params(net), 4921280);
    const char *features[] = {"conv", "fc", "y"};
    const size_t sizes[] = {4096, 1024, 64};
    for (int i = 0; i < 3; i++) {
        int l = mige_net_layer(net, mige_encoder_feature(&e, features[i]));
        assert_int_equal(volume(mige_net_shape(net, l)), sizes[i]);
    }
    /* conv: 2 * output * patch; dX of conv1 is not computed. */
    const double conv1 = 2. * 16384 * 48, rest = 2. * (8192 * 1024 + 4096 * 2048 + 1024 * 4096 + 64 * 1024);
    assert_true(mige_net_flops(net, 0) == conv1 + rest);
    assert_true(mige_net_flops(net, 1) == conv1 + 2 * rest);
    mige_net_destroy(&net);
}

static void test_encoder_errors(void **state) {
    (void)state;
    const struct {
        const char *what, *says;
        mige_shape in;
        mige_encoder_options o;
    } bad[] = {{"resnet", "dim, mlp", {32, 32, 3}, {.out = 4}},
               {"", "dim, mlp", {32, 32, 3}, {.out = 4}},
               {"mlp", "0 dimensions", {32, 32, 3}, {.out = 0}},
               {"dim", "7 x 32", {7, 32, 3}, {.out = 4}},
               {"dim:3", "nothing to set", {32, 32, 3}, {.out = 4}},
               {"dim", "no dropout", {32, 32, 3}, {.out = 4, .dropout = 0.5}},
               {"dim", "noise", {32, 32, 3}, {.out = 4, .stochastic = MIGE_ENCODER_IMPLICIT}},
               {"mlp:8,", "\"8,\"", {32, 32, 3}, {.out = 4}},
               {"mlp:8,x", "\"8,x\"", {32, 32, 3}, {.out = 4}},
               {"mlp:8,0", "\"8,0\"", {32, 32, 3}, {.out = 4}},
               {"mlp:99999999999999999999", "1 to 65536", {32, 32, 3}, {.out = 4}},
               {"mlp:1,2,3,4,5,6,7,8,9", "1 to 8 hidden", {32, 32, 3}, {.out = 4}}};
    mige_encoder e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int code = bad[i].in.h < 8 ? MIGE_EINPUT : MIGE_EUSAGE;
        assert_int_equal(mige_encoder_create(bad[i].what, bad[i].in, &bad[i].o, &e), code);
        if (!strstr(mige_error(), bad[i].says)) fail_msg("%s: %s", bad[i].what, mige_error());
    }
    mige_encoder_options full = {4, MIGE_ENCODER_GAUSSIAN, 1, 0, 0, 0.5};
    assert_int_equal(mige_encoder_create("mlp:1,2,3,4,5,6,7,8", (mige_shape){8, 8, 1}, &full, &e), MIGE_OK);
    assert_int_equal(e.n, 26);
    assert_string_equal(e.layers[5].name, "drop2");
}

static int refuse(void *ctx, double *buf, int n) {
    (void)ctx, (void)buf, (void)n;
    return MIGE_ENUMERIC;
}

static void test_passes(void **state) {
    (void)state;
    const net_case *k = &cases[8];
    const float *upstream[MAX_LAYERS] = {NULL};
    mige_net *with = NULL, *without = NULL;
    assert_int_equal(mige_net_create(k->in, k->spec, k->layers, 7, 1, &with), MIGE_OK);
    assert_int_equal(mige_net_create(k->in, k->spec, k->layers, 7, 0, &without), MIGE_OK);
    size_t n = mige_net_num_params(with);
    mige_pass plain = {.train = 1}, eval = {0}, refused = {.train = 1, .reduce = refuse};
    set_params(with), set_params(without);
    float *x = samples(k->in, 0, 7, X1, 2), *dy = samples(mige_net_shape(with, 8), 0, 7, UPSTREAM, 1);
    upstream[8] = dy;
    assert_int_equal(mige_net_backward(with, upstream, &plain), MIGE_EUSAGE);
    assert_int_equal(mige_net_forward(with, x, 7, &plain), MIGE_OK);
    assert_int_equal(mige_net_forward(without, x, 7, &plain), MIGE_OK);
    assert_int_equal(mige_net_backward(with, upstream, &plain), MIGE_OK);
    memset(mige_net_grads(without), 0xff, n * sizeof(float)); /* gradients overwrite, NaN or not */
    assert_int_equal(mige_net_backward(without, upstream, &plain), MIGE_OK);
    assert_memory_equal(mige_net_grads(with), mige_net_grads(without), n * sizeof(float));
    assert_null(mige_net_input_gradient(without));
    assert_int_equal(mige_net_forward(with, x, 8, &plain), MIGE_EUSAGE);
    assert_int_equal(mige_net_forward(with, x, 7, &eval), MIGE_OK);
    assert_int_equal(mige_net_backward(with, upstream, &plain), MIGE_EUSAGE);
    assert_int_equal(mige_net_forward(with, x, 7, &refused), MIGE_ENUMERIC);
    mige_net_destroy(&with), mige_net_destroy(&without);
    free(x), free(dy);
}

static void test_init(void **state) {
    (void)state;
    const net_case *k = &cases[8];
    mige_net *net = NULL;
    assert_int_equal(mige_net_create(k->in, k->spec, k->layers, 1, 0, &net), MIGE_OK);
    assert_int_equal(mige_net_init(net, 7, MIGE_RNG_INIT, 5), MIGE_OK);
    for (int i = 0; i < mige_net_num_tensors(net); i++) {
        mige_tensor t;
        mige_net_tensor(net, i, &t);
        const float *p = (t.is_state ? mige_net_state(net) : mige_net_params(net)) + t.offset;
        int norm = strchr("df", t.name[0]) != NULL;
        if (norm) {
            float want = strstr(t.name, "weight") || strstr(t.name, "var") ? 1 : 0;
            for (size_t j = 0; j < t.count; j++) assert_true(p[j] == want);
            continue;
        }
        mige_tensor w = t;
        if (strstr(t.name, "bias")) mige_net_tensor(net, i - 1, &w);
        double bound = 1 / sqrt((double)w.count / (double)w.dims[0]), u;
        for (size_t j = 0; j < t.count; j++) {
            mige_rng_uniform(7, MIGE_RNG_INIT, 5, t.offset + j, 1, &u);
            assert_true(fabs((double)p[j] - (2 * u - 1) * bound) < 1e-7);
        }
    }
    mige_net_destroy(&net);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),         cmocka_unit_test(test_encoders), cmocka_unit_test(test_dim),
        cmocka_unit_test(test_encoder_errors), cmocka_unit_test(test_passes),   cmocka_unit_test(test_init),
    };
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    ref = ref_load("tests/ref/nn_layers.txt");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ref_free(&ref);
    MPI_Finalize();
    return failed;
}
