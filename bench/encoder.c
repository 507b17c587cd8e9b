/* How near the encoder comes to the processor's GEMM rate: forward and backward of 64 images, one process.
 * Operations are those of the direct algorithm: convolutions by Winograd's can take the share beyond 100 %.
 *   OPENBLAS_NUM_THREADS=1 encoder [IMAGES [REPEATS]] */
#include "mige/error.h"
#include "mige/nn.h"
#include "mige/rng.h"
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int noise(uint64_t index, size_t n, float **out) {
    MIGE_TRY(mige_alloc(n, sizeof **out, out));
    for (size_t i = 0; i < n; i++) {
        double u;
        mige_rng_uniform(1, MIGE_RNG_SAMPLE, index, i, 1, &u);
        (*out)[i] = (float)(2 * u - 1);
    }
    return MIGE_OK;
}

/* The best of several: what the processor can do when nothing disturbs it. */
static int gemm_rate(double *flops) {
    enum { N = 1024, REPEATS = 12 };
    float *a = NULL, *b = NULL, *c = NULL;
    *flops = 0;
    MIGE_TRY(noise(2, (size_t)N * N, &a));
    MIGE_TRY(noise(3, (size_t)N * N, &b));
    MIGE_TRY(noise(4, (size_t)N * N, &c));
    for (int i = 0; i < REPEATS; i++) {
        double start = seconds();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, N, N, N, 1, a, N, b, N, 0, c, N);
        double rate = 2.0 * N * N * N / (seconds() - start);
        if (rate > *flops) *flops = rate;
    }
    free(a), free(b), free(c);
    return MIGE_OK;
}

/* Medians of the times of forward and backward, and of an Adam step. */
static int time_passes(mige_net *net, const float *x, const float *dz, int images, int repeats, double median[3]) {
    const float *upstream[MIGE_ENCODER_MOST] = {NULL};
    upstream[mige_net_num_layers(net) - 1] = dz;
    const mige_adam adam = {1e-4, 0.5, 0.999, 1e-8, 0};
    size_t n = mige_net_num_params(net);
    mige_pass pass = {.train = 1};
    double *t = NULL;
    float *m = NULL, *v = NULL;
    MIGE_TRY(mige_alloc(3 * (size_t)repeats, sizeof *t, &t));
    MIGE_TRY(mige_alloc(n, sizeof *m, &m));
    MIGE_TRY(mige_alloc(n, sizeof *v, &v));
    for (int i = -2; i < repeats; i++) {
        double at[4] = {seconds()};
        MIGE_TRY(mige_net_forward(net, x, images, &pass));
        at[1] = seconds();
        MIGE_TRY(mige_net_backward(net, upstream, &pass));
        at[2] = seconds();
        mige_adam_step(&adam, i + 3, n, mige_net_params(net), mige_net_grads(net), m, v);
        at[3] = seconds();
        for (int k = 0; i >= 0 && k < 3; k++) t[k * repeats + i] = at[k + 1] - at[k];
    }
    for (int k = 0; k < 3; k++) {
        qsort(t + k * repeats, (size_t)repeats, sizeof *t, ascending);
        median[k] = t[k * repeats + repeats / 2];
    }
    free(t), free(m), free(v);
    return MIGE_OK;
}

static int run(int images, int repeats) {
    const mige_shape in = {32, 32, 3};
    mige_encoder e;
    mige_net *net = NULL;
    float *x = NULL, *dz = NULL;
    double peak, t[3];
    MIGE_TRY(mige_encoder_create("dim", in, &(mige_encoder_options){.out = 64}, &e));
    MIGE_TRY(mige_net_create(in, e.layers, e.n, images, 0, &net));
    MIGE_TRY(mige_net_init(net, 1, MIGE_RNG_INIT, 0));
    MIGE_TRY(noise(0, (size_t)images * 3072, &x));
    MIGE_TRY(noise(1, (size_t)images * 64, &dz));
    MIGE_TRY(gemm_rate(&peak));
    MIGE_TRY(time_passes(net, x, dz, images, repeats, t));
    double up = images * mige_net_flops(net, 0), down = images * mige_net_flops(net, 1);
    double rate = (up + down) / (t[0] + t[1]);
    printf("images %d, %.1f MFLOP an image, sgemm %.1f GFLOP/s\n", images, (up + down) / images / 1e6, peak / 1e9);
    printf("forward   %7.2f ms %7.1f GFLOP/s %5.1f %%\n", 1e3 * t[0], up / t[0] / 1e9, 100 * up / t[0] / peak);
    printf("backward  %7.2f ms %7.1f GFLOP/s %5.1f %%\n", 1e3 * t[1], down / t[1] / 1e9, 100 * down / t[1] / peak);
    printf("both      %7.2f ms %7.1f GFLOP/s %5.1f %%, %.0f images/s\n", 1e3 * (t[0] + t[1]), rate / 1e9,
           100 * rate / peak, images / (t[0] + t[1]));
    printf("Adam      %7.2f ms; with it %.0f images/s\n", 1e3 * t[2], images / (t[0] + t[1] + t[2]));
    mige_net_destroy(&net);
    free(x), free(dz);
    return MIGE_OK;
}

int main(int argc, char **argv) {
    int images = argc > 1 ? atoi(argv[1]) : 64, repeats = argc > 2 ? atoi(argv[2]) : 40;
    int err = images < 1 || repeats < 1 ? mige_raise(MIGE_EUSAGE, "encoder: IMAGES and REPEATS must be positive")
                                        : run(images, repeats);
    if (err) fprintf(stderr, "mige: %s\n", mige_error());
    return err;
}
