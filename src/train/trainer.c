/* A trainer's life. */
#include "train/term.h"
#include <math.h>
#include <stdlib.h>

int trainer_add_member(trainer *t, train_network w, mige_net **net) {
    int counts = t->pool.counts, flags = train_net_flags(t->o) | (t->model.n > 0 ? MIGE_NET_INPUT_GRADIENT : 0);
    MIGE_TRY((counts ? mige_net_blueprint : mige_net_create)(w.in, w.spec, w.layers, w.rows, flags, net));
    if (counts) t->pool.bytes += (double)mige_net_memory(*net) + model_bytes(*net);
    if (counts && !t->model.n) /* in memory that ranks share, and again as panels */
        t->pool.bytes += 2. * (double)mige_net_kept_bytes(*net, t->plan->batch * t->plan->copies);
    return model_add(&t->model, w.name, *net, t->plan->seed);
}

int trainer_add_series(trainer *t, term *k, const char *of, const char *name, const char *units,
                       const char *long_name) {
    char *name_of, *long_name_of;
    MIGE_TRY(mige_grow((size_t)t->nseries, sizeof *t->series, &t->series));
    MIGE_TRY(mige_text(&name_of, "%s%s", of, name));
    int err = mige_text(&long_name_of, "%s%s%s", long_name, *of ? " of " : "", of);
    if (k && !k->nseries++) k->series = t->nseries;
    t->series[t->nseries++] = (mige_series){name_of, units, long_name_of};
    return err;
}

int trainer_want(trainer *t, int layer) {
    if (t->upstream[layer]) return MIGE_OK;
    size_t size = (size_t)t->n * (size_t)mige_net_size(t->encoder, layer);
    return MIGE_TAKE(&t->pool, MIGE_BLOCK(t->upstream[layer], size));
}

static int sum_over_ranks(void *ctx, double *x, int n) {
    return mige_sum(ctx, x, (size_t)n);
}

static int take_memory(trainer *t) {
    const train_plan *p = t->plan;
    size_t image = (size_t)mige_net_size(t->encoder, -1);
    MIGE_TRY(mige_pool_alloc(&t->pool, (size_t)t->layers, sizeof *t->upstream, &t->upstream));
    MIGE_TRY(mige_pool_alloc(&t->pool, (size_t)p->nterms, sizeof *t->terms, &t->terms));
    return MIGE_TAKE(&t->pool, MIGE_BLOCK(t->order, t->data->train.n), MIGE_BLOCK(t->x, (size_t)t->n * image),
                     MIGE_BLOCK(t->labels, t->images.count), MIGE_BLOCK(t->sums, 2 * (size_t)p->code),
                     {&t->scratch, mige_augment_scratch(t->data), 1});
}

/* The encoder, then what the terms add. */
static int create_parts(trainer *t) {
    const train_plan *p = t->plan;
    MIGE_TRY(trainer_add_member(t, train_plan_encoder(p), &t->encoder));
    t->layers = p->layout.n;
    t->code_layer = t->layers - 1;
    MIGE_TRY(take_memory(t));
    MIGE_TRY(trainer_want(t, t->code_layer));
    MIGE_TRY(step_series(t));
    for (int i = 0; i < p->nterms; i++) {
        term *k = &t->terms[i];
        *k = p->terms[i];
        MIGE_TRY(mige_pool_alloc(&t->pool, 1, k->ops->size, &k->self));
        t->nterms++;
        MIGE_TRY(k->ops->create(t, k));
    }
    return MIGE_OK;
}

double train_plan_bytes(const void *plan, int batch) {
    train_plan p = *(const train_plan *)plan;
    train_plan_batch(&p, batch);
    trainer t = {.plan = &p, .o = p.o, .data = p.data, .images.count = p.images, .n = p.images * p.copies};
    t.pool.counts = 1;
    double bytes = create_parts(&t) ? INFINITY : t.pool.bytes;
    for (int i = 0; i < t.nterms; i++)
        if (t.terms[i].ops->bytes) bytes += t.terms[i].ops->bytes(&p, &t.terms[i]);
    trainer_destroy(&t);
    return bytes;
}

int trainer_create(const mige_comm *c, const train_plan *p, int checks, trainer *t) {
    const train_options *o = p->o;
    *t = (trainer){.c = c, .plan = p, .o = o, .data = p->data, .checks = checks, .order_epoch = -1};
    t->pass =
        (mige_pass){.train = 1, .reduce = sum_over_ranks, .reduce_ctx = (void *)(uintptr_t)c, .seed = p->seed};
    MIGE_TRY(mige_rows_create(c, p->batch, 1, &t->images));
    MIGE_TRY(mige_rows_create(c, p->batch, p->copies, &t->rows));
    t->n = (int)t->rows.count;
    t->pass.first_sample = t->rows.first;
    int64_t per_epoch = p->data->train.n / p->batch;
    double every = fmax(1, o->decay_every * (double)per_epoch);
    t->schedule = (mige_schedule){.kind = (enum mige_schedule_kind)o->schedule,
                                  .rate = o->rate,
                                  .warmup = o->warmup,
                                  .steps = o->steps ? o->steps : o->epochs * per_epoch,
                                  .decay = o->decay,
                                  .every = (int64_t)every};
    MIGE_TRY(mige_agree(c, create_parts(t)));
    /* The check of gradients wants them where they came from. */
    MIGE_TRY(model_settle(&t->model, c, o->average > 0, checks & CHECK_NAN ? -1 : t->n));
    for (int i = 0; i < t->nterms; i++)
        if (t->terms[i].ops->settle) MIGE_TRY(t->terms[i].ops->settle(t, &t->terms[i]));
    return mige_agree(c, MIGE_TAKE(&t->pool, MIGE_BLOCK(t->values, t->nseries)));
}

void trainer_destroy(trainer *t) {
    for (int i = 0; i < t->nterms; i++)
        if (t->terms[i].ops->destroy) t->terms[i].ops->destroy(&t->terms[i]);
    for (int i = 0; i < t->nseries; i++) {
        free((void *)(uintptr_t)t->series[i].name);
        free((void *)(uintptr_t)t->series[i].long_name);
    }
    free(t->series);
    mige_rows_destroy(&t->images);
    mige_rows_destroy(&t->rows);
    model_destroy(&t->model);
    mige_pool_free(&t->pool);
}
