/* From options to a plan: what is made, and whether it can be. */
#include "mige/log.h"
#include "train/term.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_range(const char *text, double *lo, double *hi) {
    int end = 0;
    if (!*text) return MIGE_OK;
    MIGE_CHECK(sscanf(text, "%lf:%lf%n", lo, hi, &end) == 2 && !text[end] && *lo >= 1e-30 && *lo < *hi && *hi < 1e6,
               MIGE_EUSAGE, "sigma-range: \"%s\" is not LO:HI with 1e-30 <= LO < HI < 1e6 (for example 0.29:1.39)",
               text);
    return MIGE_OK;
}

int train_encoder(const train_options *o, mige_shape in, mige_encoder *e) {
    const objective *j = objective_find(o->task, o->objective);
    if (!j) return MIGE_EUSAGE;
    mige_encoder_options k = {.out = (int)o->code, .draws = 1, .dropout = j->drops ? o->dropout : 0};
    if (j->stochastic) k.stochastic = o->implicit ? MIGE_ENCODER_IMPLICIT : MIGE_ENCODER_GAUSSIAN;
    if (k.stochastic == MIGE_ENCODER_GAUSSIAN) k.draws = (int)o->draws;
    MIGE_TRY(parse_range(o->sigma_range, &k.lo, &k.hi));
    return mige_encoder_create(o->encoder, in, &k, e);
}

int train_precision(const mige_comm *c, int threads, int *precision) {
    int slow = !mige_bfloat16_fast();
    MPI_Allreduce(MPI_IN_PLACE, &slow, 1, MPI_INT, MPI_MAX, c->mpi);
    if (*precision == PRECISION_AUTO) *precision = slow || threads > 1 ? PRECISION_FLOAT : PRECISION_BFLOAT16;
    if (*precision != PRECISION_BFLOAT16) return MIGE_OK;
    if (slow)
        mige_warn(
            "bfloat16: not every rank's processor has instructions for it, so that it is emulated, slower than "
            "float (precision float is faster here)");
    else if (threads > 1)
        mige_warn("bfloat16: its products run on one thread a rank (take more ranks and fewer threads)");
    return MIGE_OK;
}

train_network train_plan_encoder(const train_plan *p) {
    mige_shape in = {p->data->h, p->data->w, p->data->c};
    return (train_network){"encoder", p->layout.layers, p->layout.n, p->images * p->copies, in};
}

static int plan_encoder(train_plan *p) {
    train_network w = train_plan_encoder(p);
    MIGE_TRY(train_encoder(p->o, w.in, &p->layout));
    return mige_net_blueprint(w.in, w.spec, p->layout.n, w.rows, train_net_flags(p->o), &p->encoder);
}

static int check_rows(const train_plan *p) {
    const train_options *o = p->o;
    long long B = o->batch, n = p->data->train.n;
    MIGE_CHECK(B <= n, MIGE_EUSAGE, "batch: %lld is more than the %lld training images", B, n);
    MIGE_CHECK(o->task == TASK_INFOMAX || p->data->train.labels, MIGE_EINPUT,
               "data: there are no labels of the training images, which task ib needs (/train/labels)");
    MIGE_CHECK(p->ranks <= B, MIGE_EUSAGE, "batch: %lld images are too few for %d ranks", B, p->ranks);
    MIGE_CHECK(o->task == TASK_INFOMAX || o->circumstance == CIRCUMSTANCE_I, MIGE_EUSAGE,
               "circumstance: task ib has none (leave it out)");
    MIGE_CHECK(p->objective->stochastic || (o->draws == 1 && !o->implicit && !*o->sigma_range), MIGE_EUSAGE,
               "%s: objective %s has a code that is not drawn (leave it out, or take one whose code is)",
               o->draws > 1  ? "draws"
               : o->implicit ? "implicit"
                             : "sigma-range",
               p->objective->name);
    MIGE_CHECK(!*o->sigma_range || !o->implicit, MIGE_EUSAGE,
               "sigma-range: an implicit encoder has no deviation (leave one of them out)");
    MIGE_CHECK(o->marginal_draws <= o->draws, MIGE_EUSAGE, "marginal-draws: %lld are more than the %lld draws",
               (long long)o->marginal_draws, (long long)o->draws);
    return MIGE_OK;
}

/* The option at this place in them; 0, ONE: 1. */
static double weight(const train_plan *p, size_t at) {
    double value = 1;
    if (at) memcpy(&value, (const char *)p->o + at, sizeof value);
    return value;
}

/* An option that is the weight of a term: not 0 where the objective has no such term. */
static int check_weight(const train_plan *p, const char *what, size_t at) {
    for (int i = 0; i < MOST_TERMS && p->objective->terms[i].ops; i++)
        if (p->objective->terms[i].weight == at) return MIGE_OK;
    MIGE_CHECK(weight(p, at) == 0, MIGE_EUSAGE, "%s: objective %s has none (leave it out)", what,
               p->objective->name);
    return MIGE_OK;
}

/* The weighted terms of the objective, but for those without weight. */
static int plan_terms(train_plan *p) {
    MIGE_TRY(check_weight(p, "prior-matching", offsetof(train_options, prior_matching)));
    MIGE_TRY(check_weight(p, "scale-penalty", offsetof(train_options, scale_penalty)));
    MIGE_TRY(mige_alloc(MOST_TERMS, sizeof *p->terms, &p->terms));
    for (int i = 0; i < MOST_TERMS && p->objective->terms[i].ops; i++) {
        term k = {.ops = p->objective->terms[i].ops,
                  .weight = weight(p, p->objective->terms[i].weight),
                  .variant = p->objective->terms[i].variant};
        if (k.weight == 0) continue;
        if (k.ops->check) MIGE_TRY(k.ops->check(p));
        p->terms[p->nterms++] = k;
    }
    return MIGE_OK;
}

void train_plan_batch(train_plan *p, int batch) {
    p->batch = batch;
    p->images = (batch + p->ranks - 1) / p->ranks;
}

static int make_plan(train_plan *p) {
    const train_options *o = p->o;
    p->objective = objective_find(o->task, o->objective);
    if (!p->objective) return MIGE_EUSAGE;
    train_plan_batch(p, (int)o->batch);
    p->copies = o->circumstance == CIRCUMSTANCE_VIEWS ? 2 : o->implicit ? (int)o->draws : 1;
    p->draws = o->circumstance == CIRCUMSTANCE_VIEWS ? 2 : (int)o->draws;
    p->code = (int)o->code;
    p->classes = p->data->classes;
    MIGE_TRY(check_rows(p));
    MIGE_TRY(mige_augment_parse(o->augment, &p->augment));
    p->augmented = p->augment.crop > 0 || p->augment.flip > 0 || p->augment.colour > 0 || p->augment.grey > 0;
    MIGE_TRY(plan_encoder(p));
    return plan_terms(p);
}

int train_plan_create(const train_options *o, const mige_score_options *score, const mige_data *d, uint64_t seed,
                      const mige_comm *c, train_plan *p) {
    *p = (train_plan){.o = o, .score = score, .data = d, .seed = seed, .ranks = c->size};
    int err = make_plan(p);
    if (err) train_plan_destroy(p);
    return err;
}

void train_plan_destroy(train_plan *p) {
    mige_net_destroy(&p->encoder);
    free(p->terms);
    p->terms = NULL;
}

int train_plan_scores(const train_plan *p) {
    for (int i = 0; i < p->nterms; i++)
        if (p->terms[i].ops->bytes) return 1;
    return 0;
}
