/* H(y|z): cross entropy of a linear classifier of the code, mean over images and draws, nats. smooth: labels mixed
 * with the uniform distribution; confidence: less `confidence` times the entropy of what is predicted (Pereyra et
 * al. 2017).
 */
#include "train/term.h"

typedef struct {
    mige_net *net;
    mige_softness options;
    float *dlogits;  /* [images S][classes] */
    int32_t *labels; /* [images S] */
} classify;

static int create(trainer *t, term *k) {
    const train_plan *p = t->plan;
    const mige_layer_spec logits = {.kind = MIGE_LINEAR, .name = "logits", .out = p->classes, .bias = 1};
    const train_network decoder = {DECODER, &logits, 1, p->images * p->draws, {1, 1, p->code}};
    size_t rows = (size_t)t->images.count * (size_t)p->draws;
    classify *m = k->self;
    if (k->variant == CLASSIFY_SMOOTH) m->options.smoothing = p->o->smoothing;
    if (k->variant == CLASSIFY_CONFIDENCE) m->options.confidence = p->o->confidence;
    MIGE_TRY(trainer_add_member(t, decoder, &m->net));
    MIGE_TRY(MIGE_TAKE(&t->pool, MIGE_BLOCK(m->dlogits, rows * (size_t)p->classes), MIGE_BLOCK(m->labels, rows)));
    MIGE_TRY(trainer_add_series(t, k, "", "cross_entropy", "nat", "of the labels given the code"));
    return trainer_add_series(t, k, "", "error", "percent", "images of the batch whose class is not the likeliest");
}

static int apply(trainer *t, term *k) {
    const train_plan *p = t->plan;
    classify *m = k->self;
    const float *logits, *dx;
    int S = p->draws, rows = (int)t->images.count * S;
    double all = (double)p->batch * S, sums[2];
    int64_t right;
    for (int r = 0; r < rows; r++) m->labels[r] = t->labels[r / S];
    MIGE_TRY(trainer_forward(t, m->net, trainer_code(t), rows, &logits));
    sums[0] =
        mige_cross_entropy(m->options, logits, m->labels, rows, p->classes, k->weight / all, m->dlogits, &right) /
        all;
    sums[1] = (double)right / all;
    MIGE_TRY(trainer_backward(t, m->net, m->dlogits, rows, &dx));
    float *up = t->upstream[t->code_layer];
    for (size_t i = 0; i < (size_t)rows * (size_t)p->code; i++) up[i] += dx[i];
    MIGE_TRY(mige_sum(t->c, sums, 2));
    t->loss += k->weight * sums[0];
    t->values[k->series] = sums[0];
    t->values[k->series + 1] = 100 * (1 - sums[1]);
    return MIGE_OK;
}

const term_ops term_classify = {sizeof(classify), NULL, create, NULL, NULL, apply, NULL};
