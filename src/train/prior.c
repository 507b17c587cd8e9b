/* Prior matching: codes p = sigmoid(y) are taught to look uniform on [0, 1]^K to a discriminator D, which learns to
 * tell them from draws u of that:
 *   D minimises        mean softplus(-D(u)) + mean softplus(D(p))
 *   the encoder gets   mean softplus(-D(p))
 * both from the same weights in one step. */
#include "mige/rng.h"
#include "train/term.h"
#include <string.h>

static const mige_layer_spec layers[MIGE_CRITIC_LAYERS] = MIGE_CRITIC_OF(1000, 200, 1);

typedef struct {
    mige_net *net;
    float *in;       /* [2 n][K] codes, then draws */
    float *upstream; /* [2 n] */
    double *draw;    /* [K] */
} prior;

static int create(trainer *t, term *k) {
    const train_plan *p = t->plan;
    const train_network discriminator = {
        "discriminator", layers, MIGE_CRITIC_LAYERS, 2 * p->images * p->copies, {1, 1, p->code}};
    size_t rows = 2 * (size_t)t->n, K = (size_t)p->code;
    prior *m = k->self;
    MIGE_TRY(trainer_add_member(t, discriminator, &m->net));
    MIGE_TRY(
        MIGE_TAKE(&t->pool, MIGE_BLOCK(m->in, rows * K), MIGE_BLOCK(m->upstream, rows), MIGE_BLOCK(m->draw, K)));
    MIGE_TRY(trainer_add_series(t, k, "", "prior", "nat", "mean softplus(-D) of codes: what the encoder lowers"));
    return trainer_add_series(t, k, "", "discriminator", "nat",
                              "what the discriminator lowers; 2 log 2: it knows none");
}

static void load(trainer *t, prior *m) {
    size_t n = (size_t)t->n, K = (size_t)t->plan->code;
    const float *z = trainer_code(t);
    for (size_t i = 0; i < n * K; i++) m->in[i] = (float)mige_sigmoid((double)z[i]);
    for (size_t r = 0; r < n; r++) {
        uint64_t index = (uint64_t)t->rows.first + r;
        mige_rng_uniform(t->plan->seed, MIGE_RNG_PRIOR, (uint64_t)t->step, index, K, m->draw);
        for (size_t d = 0; d < K; d++) m->in[(n + r) * K + d] = (float)m->draw[d];
    }
}

/* For the encoder only the codes count, through the discriminator as it is. */
static int teach_encoder(trainer *t, term *k, prior *m, const float *D, double *loss) {
    size_t n = (size_t)t->n, K = (size_t)t->plan->code;
    double rows = (double)t->rows.rows;
    const float *dx;
    memset(m->upstream, 0, 2 * n * sizeof *m->upstream);
    for (size_t r = 0; r < n; r++) {
        *loss += mige_softplus(-(double)D[r]) / rows;
        m->upstream[r] = (float)(-mige_sigmoid(-(double)D[r]) / rows);
    }
    MIGE_TRY(trainer_backward(t, m->net, m->upstream, 2 * t->n, &dx));
    float *up = t->upstream[t->code_layer];
    for (size_t i = 0; i < n * K; i++) up[i] += (float)k->weight * dx[i] * m->in[i] * (1 - m->in[i]);
    return MIGE_OK;
}

static int teach_discriminator(trainer *t, prior *m, const float *D, double *loss) {
    size_t n = (size_t)t->n;
    double rows = (double)t->rows.rows;
    const float *dx;
    for (size_t r = 0; r < 2 * n; r++) {
        double sign = r < n ? 1 : -1, v = sign * (double)D[r];
        *loss += mige_softplus(v) / rows;
        m->upstream[r] = (float)(sign * mige_sigmoid(v) / rows);
    }
    return trainer_backward(t, m->net, m->upstream, 2 * t->n, &dx);
}

static int apply(trainer *t, term *k) {
    prior *m = k->self;
    const float *D;
    double loss[2] = {0, 0};
    load(t, m);
    MIGE_TRY(trainer_forward(t, m->net, m->in, 2 * t->n, &D));
    MIGE_TRY(teach_encoder(t, k, m, D, &loss[0]));
    MIGE_TRY(teach_discriminator(t, m, D, &loss[1])); /* last: its gradients stay */
    MIGE_TRY(mige_sum(t->c, loss, 2));
    t->loss += k->weight * loss[0];
    t->values[k->series] = loss[0];
    t->values[k->series + 1] = loss[1];
    return MIGE_OK;
}

const term_ops term_prior = {sizeof(prior), NULL, create, NULL, NULL, apply, NULL};
