/* What a bottleneck's code costs: the bound on I(x;z) by KL(p(z|x) || N(0, I)), mean over images, nats (deep
 * variational bottleneck, Alemi et al. 2017); and the mean of |z|^2, which holds the scale of a code that nothing
 * else holds. */
#include "train/term.h"

static int check_rate(const train_plan *p) {
    MIGE_CHECK(!p->o->implicit, MIGE_EUSAGE,
               "objective %s: an implicit encoder has no density (mige-ib needs none)", p->objective->name);
    return MIGE_OK;
}

/* The gradient of KL enters above mu and rho. */
static int create_rate(trainer *t, term *k) {
    MIGE_TRY(trainer_want(t, t->code_layer - 1));
    return trainer_add_series(t, k, "", "rate", "nat",
                              "KL of the code's distribution and the prior, mean over images");
}

static int apply_rate(trainer *t, term *k) {
    double B = t->plan->batch;
    double kl =
        mige_gaussian_kl(t->encoder, t->code_layer, t->n, k->weight / B, t->upstream[t->code_layer - 1]) / B;
    MIGE_TRY(mige_sum(t->c, &kl, 1));
    t->loss += k->weight * kl;
    t->values[k->series] = kl;
    return MIGE_OK;
}

static int create_penalty(trainer *t, term *k) {
    return trainer_add_series(t, k, "", "penalty", "1", "mean of |z|^2");
}

static int apply_penalty(trainer *t, term *k) {
    const train_plan *p = t->plan;
    const float *z = trainer_code(t);
    float *up = t->upstream[t->code_layer];
    double codes = (double)p->batch * p->draws, sum = 0;
    size_t n = (size_t)t->images.count * (size_t)p->draws * (size_t)p->code;
    for (size_t i = 0; i < n; i++) {
        sum += (double)z[i] * (double)z[i] / codes;
        up[i] += (float)(2 * k->weight / codes) * z[i];
    }
    MIGE_TRY(mige_sum(t->c, &sum, 1));
    t->loss += k->weight * sum;
    t->values[k->series] = sum;
    return MIGE_OK;
}

const term_ops term_rate = {0, check_rate, create_rate, NULL, NULL, apply_rate, NULL};
const term_ops term_penalty = {0, NULL, create_penalty, NULL, NULL, apply_penalty, NULL};
