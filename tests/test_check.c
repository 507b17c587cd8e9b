/* np: 1 2 3 5 */
/* --check nan and replica: what was broken on one rank is found there, and named. */
#include "ranks.h"
#include "train/model.h"
#include <math.h>
#include <stdlib.h>

enum { SIDE = 4, N = 3, STEP = 17 };

static const mige_layer_spec spec[] = {
    {.kind = MIGE_CONV, .name = "conv1", .out = 4, .kernel = 3, .stride = 1, .pad = 1},
    {.kind = MIGE_NORM, .name = "norm1", .relu = 1},
    {.kind = MIGE_LINEAR, .name = "y", .out = 5, .bias = 1}};
static const mige_layer_spec more[] = {{.kind = MIGE_LINEAR, .name = "out", .out = 1, .bias = 1}};
enum { LAYERS = sizeof spec / sizeof *spec };

static int sum(void *ctx, double *x, int n) {
    return mige_sum(ctx, x, (size_t)n);
}

typedef struct {
    mige_net *net, *critic;
    model m; /* the network, and one more */
    float x[N * SIDE * SIDE * 2];
    float up[N * 5];
    mige_pass pass;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->pass = (mige_pass){.train = 1, .reduce = sum, .reduce_ctx = &world};
    for (size_t i = 0; i < sizeof f->x / sizeof *f->x; i++)
        f->x[i] = (float)sin(1. + (double)i + 100. * world.rank);
    for (size_t i = 0; i < sizeof f->up / sizeof *f->up; i++) f->up[i] = (float)cos((double)i);
    int err = mige_net_create((mige_shape){SIDE, SIDE, 2}, spec, LAYERS, N, 0, &f->net);
    if (!err) err = model_add(&f->m, "encoder", f->net, 1);
    if (!err) err = mige_net_create((mige_shape){1, 1, 5}, more, 1, N, 1, &f->critic);
    if (!err) err = model_add(&f->m, "critic", f->critic, 1);
    if (!err) err = model_settle(&f->m, &world, 1, -1);
    return err;
}

static int teardown(void **state) {
    fixture *f = *state;
    model_destroy(&f->m);
    free(f);
    return 0;
}

static int last(void) {
    return world.rank == world.size - 1;
}

static void run(fixture *f) {
    const float *up[LAYERS] = {[LAYERS - 1] = f->up};
    assert_ok(mige_net_forward(f->net, f->x, N, &f->pass));
    assert_ok(mige_net_backward(f->net, up, &f->pass));
}

/* "rank 2", the last. */
static const char *on_last(const char *fmt) {
    static char text[128];
    snprintf(text, sizeof text, fmt, world.size - 1);
    return text;
}

static void all_is_well(void **state) {
    fixture *f = *state;
    run(f);
    assert_ok(check_outputs(&world, f->net, N, STEP));
    assert_ok(check_gradients(&world, &f->m, STEP));
    assert_ok(check_replicas(&world, &f->m, STEP));
}

static void not_a_number_in_an_image(void **state) {
    fixture *f = *state;
    if (last()) f->x[5] = NAN;
    assert_ok(mige_net_forward(f->net, f->x, N, &f->pass));
    /* 9 pixels of 4 channels, less at the border: pixel 2 has 6 neighbours */
    assert_fails(check_outputs(&world, f->net, N, STEP), MIGE_ENUMERIC,
                 on_last("layer conv1: 24 of 192 outputs are not finite at step 17 on rank %d"));
}

static void infinity_in_the_code(void **state) {
    fixture *f = *state;
    assert_ok(mige_net_forward(f->net, f->x, N, &f->pass));
    if (last()) ((float *)(void *)(uintptr_t)mige_net_output(f->net, LAYERS - 1))[2] = INFINITY;
    assert_fails(check_outputs(&world, f->net, N, STEP), MIGE_ENUMERIC,
                 on_last("layer y: 1 of 15 outputs are not finite at step 17 on rank %d"));
}

static void gradient_from_above(void **state) {
    fixture *f = *state;
    if (last()) f->up[1] = NAN;
    run(f);
    assert_fails(check_gradients(&world, &f->m, STEP), MIGE_ENUMERIC,
                 on_last("gradient of y.bias of the encoder: 1 of 5 numbers are not finite at step 17 on rank %d"));
}

/* What a node shares cannot differ on it; batch norm's statistics are each rank's own. */
static void drifted_statistics(void **state) {
    fixture *f = *state;
    run(f);
    assert_ok(check_replicas(&world, &f->m, STEP));
    if (last()) mige_net_state(f->net)[6] = nextafterf(mige_net_state(f->net)[6], 2);
    if (world.size == 1) return;
    assert_fails(check_replicas(&world, &f->m, STEP), MIGE_ENUMERIC,
                 on_last("norm1.running_var of the encoder of rank %d on"));
}

/* As on several nodes: a rank with a copy of its own. */
static void drifted_parameters(void **state) {
    fixture *f = *state;
    update *u = &f->m.update;
    float *base = u->v, *own = malloc(u->n * sizeof *own);
    memcpy(own, base, u->n * sizeof *own);
    own[f->m.member[1].first + 2]++;
    if (last()) u->v = own;
    if (world.size > 1)
        assert_fails(check_replicas(&world, &f->m, STEP), MIGE_ENUMERIC,
                     on_last("second moment of out.weight of the critic of rank %d on"));
    u->v = base;
    free(own);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_is_well, setup, teardown),
        cmocka_unit_test_setup_teardown(not_a_number_in_an_image, setup, teardown),
        cmocka_unit_test_setup_teardown(infinity_in_the_code, setup, teardown),
        cmocka_unit_test_setup_teardown(gradient_from_above, setup, teardown),
        cmocka_unit_test_setup_teardown(drifted_statistics, setup, teardown),
        cmocka_unit_test_setup_teardown(drifted_parameters, setup, teardown),
    };
    ranks_begin(&argc, &argv);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return ranks_end(failed);
}
