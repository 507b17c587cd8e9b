/* The test error of a bottleneck's classifier: by averaged weights where there are any, and by the mean softmax
 * over draws of the code. */
#include "train/term.h"
#include <math.h>
#include <string.h>

/* Draws of the code of a test image, at least. */
enum { DRAWS = 12 };

typedef struct {
    trainer *t;
    mige_net *decoder;
    int64_t *index;
    int32_t *labels;
    double *chance; /* [images of a batch][classes] sums over draws */
    mige_pool pool;
} test;

/* chance += softmax of n rows' logits, `draws` rows an image. */
static void add_softmax(int n, int draws, int classes, const float *logits, double *chance) {
    for (int r = 0; r < n * draws; r++) {
        const float *v = logits + (size_t)r * (size_t)classes;
        double *to = chance + (size_t)(r / draws) * (size_t)classes, sum = 0, most = (double)v[0];
        for (int c = 1; c < classes; c++) most = fmax(most, (double)v[c]);
        for (int c = 0; c < classes; c++) sum += exp((double)v[c] - most);
        for (int c = 0; c < classes; c++) to[c] += exp((double)v[c] - most) / sum;
    }
}

/* Round r of draws of the n images from number `at` on. A round has random words of its own, as if each had a copy
 * of the test set, one behind the other. */
static int draw(test *k, int n, int64_t at, int r) {
    const train_plan *p = k->t->plan;
    mige_net *encoder = k->t->encoder;
    mige_pass pass = {.seed = p->seed, .first_sample = (r * k->t->data->test.n + at) * p->copies}; /* of no step */
    MIGE_TRY(r ? mige_net_draw_again(encoder, &pass) : mige_net_forward(encoder, k->t->x, n * p->copies, &pass));
    MIGE_TRY(mige_net_forward(k->decoder, trainer_code(k->t), n * p->draws, &pass));
    add_softmax(n, p->draws, p->classes, mige_net_output(k->decoder, 0), k->chance);
    return MIGE_OK;
}

static int test_batch(test *k, int64_t at, int n, int64_t *wrong) {
    const trainer *t = k->t;
    const train_plan *p = t->plan;
    int rounds = p->objective->stochastic ? (DRAWS + p->draws - 1) / p->draws : 1;
    size_t image = (size_t)mige_net_size(t->encoder, -1), classes = (size_t)p->classes;
    for (int i = 0; i < n; i++) k->index[i] = at + i;
    mige_data_load(t->data, &t->data->test, k->index, n, t->x, k->labels);
    trainer_spread_copies(n, p->copies, image, t->x);
    memset(k->chance, 0, (size_t)n * classes * sizeof *k->chance);
    for (int r = 0; r < rounds; r++) MIGE_TRY(draw(k, n, at, r));
    for (int i = 0; i < n; i++) {
        const double *c = k->chance + (size_t)i * classes;
        int best = 0;
        for (int j = 1; j < p->classes; j++)
            if (c[j] > c[best]) best = j;
        *wrong += best != k->labels[i];
    }
    return MIGE_OK;
}

static int test_all(test *k, int64_t *wrong) {
    int64_t first, count, room = k->t->images.count;
    MIGE_TRY(MIGE_TAKE(&k->pool, MIGE_BLOCK(k->index, room), MIGE_BLOCK(k->labels, room),
                       MIGE_BLOCK(k->chance, room * k->t->plan->classes)));
    mige_share(k->t->data->test.n, k->t->c->size, k->t->c->rank, &first, &count);
    for (int64_t at = first; at < first + count; at += room) {
        int64_t left = first + count - at;
        MIGE_TRY(test_batch(k, at, (int)(left < room ? left : room), wrong));
    }
    return MIGE_OK;
}

int trainer_test(trainer *t, double *error) {
    test k = {.t = t};
    int64_t wrong = 0;
    for (int i = 0; i < t->model.n; i++)
        if (!strcmp(t->model.member[i].name, DECODER)) k.decoder = t->model.member[i].net;
    MIGE_TRY(update_catch_up(&t->model.update));
    if (t->o->average > 0) model_use_average(&t->model, 1);
    int err = test_all(&k, &wrong);
    if (t->o->average > 0) model_use_average(&t->model, 0);
    mige_pool_free(&k.pool);
    MIGE_TRY(mige_agree(t->c, err));
    *error = 100 * (double)wrong / (double)t->data->test.n;
    return mige_sum(t->c, error, 1);
}
