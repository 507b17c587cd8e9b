/* The training step. */
#include "base/simd.h"
#include "mige/clock.h"
#include "mige/rng.h"
#include "train/term.h"
#include <math.h>
#include <string.h>

void trainer_spread_copies(int n, int copies, size_t image, float *x) {
    for (int i = n - 1; i >= 0 && copies > 1; i--) /* from the end: the copies lie where the images are */
        for (int v = copies - 1; v >= 0; v--)
            memmove(x + (size_t)(i * copies + v) * image, x + (size_t)i * image, image * sizeof *x);
}

/* This rank's part of batch number `step` - 1: the epoch's order, cut into whole batches; what is left over waits
 * for the next epoch's order. */
static void load_batch(trainer *t) {
    const train_plan *p = t->plan;
    int64_t n = t->data->train.n, B = p->batch, at = (t->step - 1) % (n / B);
    if (t->epoch != t->order_epoch)
        mige_rng_permutation(p->seed, MIGE_RNG_SHUFFLE, (uint64_t)t->epoch, n, t->order);
    t->order_epoch = t->epoch;
    const int64_t *mine = t->order + at * B + t->images.first;
    int count = (int)t->images.count, views = 1;
    if (p->augmented) {
        views = t->o->circumstance == CIRCUMSTANCE_VIEWS ? 2 : 1;
        mige_augment_load(t->data, &t->data->train, &p->augment, p->seed, (uint64_t)t->epoch, mine, count, views,
                          t->scratch, t->x);
    } else {
        mige_data_load(t->data, &t->data->train, mine, count, t->x, NULL);
    }
    for (int i = 0; t->data->train.labels && i < count; i++) t->labels[i] = t->data->train.labels[mine[i]];
    if (p->copies > views) trainer_spread_copies(count, p->copies, (size_t)mige_net_size(t->encoder, -1), t->x);
}

const float *trainer_code(const trainer *t) {
    return mige_net_output(t->encoder, t->code_layer);
}

int trainer_forward(trainer *t, mige_net *net, const float *x, int n, const float **y) {
    mige_clock_start(MIGE_PHASE_FORWARD);
    MIGE_TRY(mige_net_forward(net, x, n, &t->pass));
    mige_clock_stop(MIGE_PHASE_FORWARD, n * mige_net_flops(net, 0));
    *y = mige_net_output(net, mige_net_num_layers(net) - 1);
    return MIGE_OK;
}

int trainer_backward(trainer *t, mige_net *net, const float *upstream, int n, const float **dx) {
    mige_clock_start(MIGE_PHASE_BACKWARD);
    MIGE_TRY(mige_net_backward_last(net, upstream, &t->pass));
    mige_clock_stop(MIGE_PHASE_BACKWARD, n * mige_net_flops(net, 1));
    *dx = mige_net_input_gradient(net);
    return MIGE_OK;
}

/* Standard deviation of the code, root mean square over its dimensions, over all ranks: the same number on each,
 * NaN where a code is not finite. */
static int code_deviation(trainer *t, double *deviation) {
    const train_plan *p = t->plan;
    const float *z = trainer_code(t);
    size_t K = (size_t)p->code, rows = (size_t)t->images.count * (size_t)p->draws;
    double *sum = t->sums, *square = sum + K, total = 0, n = (double)p->batch * p->draws;
    memset(sum, 0, 2 * K * sizeof *sum);
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < K; k++) {
            double v = (double)z[r * K + k];
            sum[k] += v;
            square[k] += v * v;
        }
    MIGE_TRY(mige_sum(t->c, sum, 2 * K));
    for (size_t k = 0; k < K; k++) total += fmax(square[k] / n - sum[k] / n * (sum[k] / n), 0) + 0 * square[k];
    *deviation = sqrt(total / (double)K);
    MIGE_CHECK(
        isfinite(total), MIGE_ENUMERIC,
        "training: the representation is not finite at step %lld (train anew with a lower learning rate; what "
        "was saved is kept)",
        (long long)t->step);
    return MIGE_OK;
}

static int apply_terms(trainer *t) {
    for (int l = 0; l < t->layers; l++)
        if (t->upstream[l])
            memset(t->upstream[l], 0, (size_t)t->n * (size_t)mige_net_size(t->encoder, l) * sizeof(float));
    t->loss = 0;
    for (int i = 0; i < t->nterms; i++) {
        int err = t->terms[i].ops->apply(t, &t->terms[i]);
        if (err) return err == MIGE_EINPUT ? MIGE_ENUMERIC : err; /* images are finite: it was computed here */
    }
    return MIGE_OK;
}

static int move(trainer *t, double *norm) {
    const train_options *o = t->o;
    update_rule rule = {.adam = {mige_rate(&t->schedule, t->step), o->beta1, o->beta2, 1e-8, o->weight_decay},
                        .clip = o->clip,
                        .average = o->average};
    MIGE_TRY(update_step(&t->model.update, &rule, t->step, norm));
    int finite = isfinite(*norm) && isfinite(t->loss);
    if (!finite)
        mige_raise(
            MIGE_ENUMERIC,
            "training: the %s is not finite at step %lld (train anew with a lower learning rate; what was saved "
            "is kept)",
            isfinite(*norm) ? "loss" : "gradient", (long long)t->step);
    return mige_agree(t->c, finite ? MIGE_OK : MIGE_ENUMERIC);
}

int step_series(trainer *t) {
    static const mige_series fixed[FIXED] = {
        [LOSS] = {"loss", "nat", "what is minimised; of scores the surrogate with their gradient, no estimate"},
        [GRADIENT_NORM] = {"gradient_norm", "1",
                           "Euclidean norm of the parameters' gradient, before it is clipped"},
        [EPOCH] = {"epoch", "epochs", "passes over the training images"},
        [RATE] = {"learning_rate", "1", "learning rate of Adam"},
        [SPEED] = {"images_per_second", "1/s", "training images a second, all ranks together"},
        [DEVIATION] = {"code_deviation", "1",
                       "standard deviation of the code z, root mean square over its dimensions"},
    };
    for (int i = 0; i < FIXED; i++)
        MIGE_TRY(trainer_add_series(t, NULL, "", fixed[i].name, fixed[i].units, fixed[i].long_name));
    return MIGE_OK;
}

static void report(trainer *t, double norm, double began) {
    const train_plan *p = t->plan;
    t->values[LOSS] = t->loss;
    t->values[GRADIENT_NORM] = norm;
    t->values[EPOCH] = (double)t->step / (double)(t->data->train.n / p->batch);
    t->values[RATE] = mige_rate(&t->schedule, t->step);
    t->values[SPEED] = (double)p->batch / (mige_now() - began);
}

static int forward(trainer *t) {
    const float *z;
    mige_clock_start(MIGE_PHASE_LOAD);
    load_batch(t);
    mige_clock_stop(MIGE_PHASE_LOAD, 0);
    MIGE_TRY(trainer_forward(t, t->encoder, t->x, t->n, &z));
    if (t->checks & CHECK_NAN) MIGE_TRY(check_outputs(t->c, t->encoder, t->n, t->step));
    return code_deviation(t, &t->values[DEVIATION]);
}

static int backward(trainer *t) {
    mige_clock_start(MIGE_PHASE_BACKWARD);
    MIGE_TRY(mige_net_backward(t->encoder, (const float *const *)t->upstream, &t->pass));
    mige_clock_stop(MIGE_PHASE_BACKWARD, t->n * mige_net_flops(t->encoder, 1));
    return t->checks & CHECK_NAN ? check_gradients(t->c, &t->model, t->step) : MIGE_OK;
}

static int one_step(trainer *t, int64_t step) {
    double began = mige_now(), norm;
    t->step = step;
    t->epoch = (step - 1) / (t->data->train.n / t->plan->batch);
    t->pass.step = (uint64_t)step;
    mige_clock_start(MIGE_PHASE_STEP);
    MIGE_TRY(forward(t));
    MIGE_TRY(apply_terms(t));
    MIGE_TRY(backward(t));
    MIGE_TRY(move(t, &norm));
    if (t->checks & CHECK_REPLICA) MIGE_TRY(check_replicas(t->c, &t->model, step));
    mige_clock_stop(MIGE_PHASE_STEP, 0);
    report(t, norm, began);
    return MIGE_OK;
}

int trainer_step(trainer *t, int64_t step) {
    unsigned before = mige_flush_subnormals();
    int err = one_step(t, step);
    mige_restore_subnormals(before);
    return err;
}
