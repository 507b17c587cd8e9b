/* I(x;z) of a bottleneck by a critic (MINE, Belghazi et al. 2018): with T a network of (x, z),
 *   I = mean T(x_i, z_i) - log mean exp T(x_i, z_(i+1)),
 * i + 1 modulo the batch, whose order is random. The critic raises it; the encoder lowers it, times the weight. */
#include "train/term.h"
#include <math.h>
#include <string.h>

static const mige_layer_spec layers[MIGE_CRITIC_LAYERS] = MIGE_CRITIC_OF(512, 512, 1);

typedef struct {
    mige_net *net;
    float *in;       /* [2 images][x, z]: true pairs, then others */
    float *upstream; /* [2 images] */
    float *mine;     /* [images][K] this rank's codes, and what comes back to them */
    float *all;      /* [B][K] */
} mine;

static int inputs(const train_plan *p) {
    return mige_net_size(p->encoder, -1) + p->code;
}

static int create(trainer *t, term *k) {
    const train_plan *p = t->plan;
    const train_network critic = {"critic", layers, MIGE_CRITIC_LAYERS, 2 * p->images, {1, 1, inputs(p)}};
    size_t n = (size_t)t->images.count, K = (size_t)p->code;
    mine *m = k->self;
    MIGE_TRY(trainer_add_member(t, critic, &m->net));
    MIGE_TRY(MIGE_TAKE(&t->pool, MIGE_BLOCK(m->in, 2 * n * (size_t)inputs(p)), MIGE_BLOCK(m->upstream, 2 * n),
                       MIGE_BLOCK(m->mine, n * K), MIGE_BLOCK(m->all, (size_t)p->batch * K)));
    return trainer_add_series(t, k, "", "bound", "nat", "the critic's bound on I(x;z), in this batch");
}

/* The code that image i (of the batch) is paired with in row r of this rank: its own, or the next one's. */
static int64_t partner(const trainer *t, size_t r) {
    int64_t n = t->images.count, i = t->images.first + (int64_t)r % n;
    return (int64_t)r < n ? i : (i + 1) % t->plan->batch;
}

static int load(trainer *t, mine *m) {
    const train_plan *p = t->plan;
    size_t n = (size_t)t->images.count, K = (size_t)p->code, x = (size_t)inputs(p) - K;
    const float *z = trainer_code(t);
    for (size_t i = 0; i < n; i++) memcpy(m->mine + i * K, z + i * (size_t)p->draws * K, K * sizeof *z);
    MIGE_TRY(mige_rows_gather_float(&t->images, (int)K, m->mine, m->all));
    for (size_t r = 0; r < 2 * n; r++) {
        float *to = m->in + r * (x + K);
        memcpy(to, t->x + r % n * (size_t)p->copies * x, x * sizeof *to);
        memcpy(to + x, m->all + (size_t)partner(t, r) * K, K * sizeof *to);
    }
    return MIGE_OK;
}

/* upstream = minus the gradient of the bound by T; *bound over all ranks. */
static int weigh(trainer *t, mine *m, const float *T, double *bound) {
    size_t n = (size_t)t->images.count;
    double B = t->plan->batch, most = -INFINITY, sums[2] = {0, 0};
    for (size_t r = n; r < 2 * n; r++) most = fmax(most, (double)T[r]);
    MIGE_TRY(mige_max(t->c, &most, 1));
    for (size_t r = 0; r < n; r++) {
        sums[0] += (double)T[r] / B;
        sums[1] += exp((double)T[n + r] - most);
    }
    MIGE_TRY(mige_sum(t->c, sums, 2));
    for (size_t r = 0; r < n; r++) {
        m->upstream[r] = (float)(-1 / B);
        m->upstream[n + r] = (float)(exp((double)T[n + r] - most) / sums[1]);
    }
    *bound = sums[0] - most - log(sums[1] / B);
    return MIGE_OK;
}

/* What the critic's inputs say of the codes goes back to the ranks that have them. */
static int send_back(trainer *t, term *k, mine *m, const float *dx) {
    const train_plan *p = t->plan;
    size_t n = (size_t)t->images.count, K = (size_t)p->code, width = (size_t)inputs(p);
    memset(m->all, 0, (size_t)p->batch * K * sizeof *m->all);
    for (size_t r = 0; r < 2 * n; r++) {
        float *to = m->all + (size_t)partner(t, r) * K;
        for (size_t d = 0; d < K; d++) to[d] += dx[(r + 1) * width - K + d];
    }
    MIGE_TRY(mige_rows_sum(&t->images, (int)K, m->all, m->mine));
    for (size_t i = 0; i < n; i++) /* the encoder goes the other way than the critic */
        for (size_t d = 0; d < K; d++)
            t->upstream[t->code_layer][i * (size_t)p->draws * K + d] -= (float)k->weight * m->mine[i * K + d];
    return MIGE_OK;
}

static int apply(trainer *t, term *k) {
    mine *m = k->self;
    const float *T, *dx;
    int rows = 2 * (int)t->images.count;
    double bound;
    MIGE_TRY(load(t, m));
    MIGE_TRY(trainer_forward(t, m->net, m->in, rows, &T));
    MIGE_TRY(weigh(t, m, T, &bound));
    MIGE_TRY(trainer_backward(t, m->net, m->upstream, rows, &dx));
    MIGE_TRY(send_back(t, k, m, dx));
    t->loss += k->weight * bound;
    t->values[k->series] = bound;
    return MIGE_OK;
}

const term_ops term_mine = {sizeof(mine), NULL, create, NULL, NULL, apply, NULL};
