#include "train/model.h"
#include "mige/error.h"
#include "mige/rng.h"
#include <string.h>

int model_add(model *m, const char *name, mige_net *net, uint64_t seed) {
    if (m->n == MIGE_CHECKPOINT_MEMBERS) {
        mige_net_destroy(&net);
        return mige_raise(MIGE_EFAIL, "model: no room for %s (%d networks at most)", name, MIGE_CHECKPOINT_MEMBERS);
    }
    const model_member *last = m->n ? &m->member[m->n - 1] : NULL;
    size_t first = last ? last->first + update_stride(mige_net_num_params(last->net)) : 0;
    m->member[m->n] = (model_member){name, net, first};
    return mige_net_init(net, seed, MIGE_RNG_INIT, (uint64_t)m->n++);
}

/* Where this rank's samples are among the node's `total`; total 0 where some rank has not said how many. */
static int count_kept(const mige_comm *c, int kept, int *total) {
    int first = 0, least;
    MPI_Allreduce(&kept, &least, 1, MPI_INT, MPI_MIN, c->node);
    MPI_Allreduce(&kept, total, 1, MPI_INT, MPI_SUM, c->node);
    MPI_Exscan(&kept, &first, 1, MPI_INT, MPI_SUM, c->node);
    if (least < 0) *total = 0;
    return c->node_rank ? first : 0;
}

static int keep(update *u, const model_member *k, int first, int total) {
    size_t at;
    MIGE_TRY(mige_net_keep(k->net, u->kept, first, total));
    for (int i = 0; i < mige_net_num_layers(k->net); i++)
        if (mige_net_kept(k->net, i, &at)) MIGE_TRY(update_add(u, k->net, i, k->first + at));
    return MIGE_OK;
}

int model_settle(model *m, const mige_comm *c, int averaged, int kept) {
    update *u = &m->update;
    const model_member *last = &m->member[m->n - 1];
    mige_net *encoder = m->member[0].net;
    int total, first = count_kept(c, kept, &total);
    size_t room = total ? mige_net_kept_bytes(encoder, total) : 0;
    update_room extra = {averaged, mige_net_bfloat16(encoder), room};
    MIGE_TRY(update_create(c, last->first + mige_net_num_params(last->net), extra, u));
    for (int i = 0; i < m->n; i++) {
        const model_member *k = &m->member[i];
        size_t bytes = mige_net_num_params(k->net) * sizeof(float);
        if (c->node_rank == 0) memcpy(u->params + k->first, mige_net_params(k->net), bytes);
        if (c->node_rank == 0 && averaged) memcpy(u->average + k->first, mige_net_params(k->net), bytes);
        mige_net_move(k->net, u->params + k->first, u->rounded ? u->rounded + k->first : NULL,
                      u->grads[c->node_rank] + k->first);
    }
    MIGE_TRY(mige_agree(c, total ? keep(u, &m->member[0], first, total) : MIGE_OK));
    return update_spread(u, 0);
}

void model_destroy(model *m) {
    update_destroy(&m->update);
    for (int i = 0; i < m->n; i++) mige_net_destroy(&m->member[i].net);
    m->n = 0;
}

void model_use_average(model *m, int averaged) {
    const update *u = &m->update;
    for (int i = 0; i < m->n; i++) {
        const model_member *k = &m->member[i];
        mige_net_move(k->net, (averaged ? u->average : u->params) + k->first,
                      u->rounded && !averaged ? u->rounded + k->first : NULL, mige_net_grads(k->net));
    }
}

void model_describe(const model *m, mige_checkpoint *k) {
    const update *u = &m->update;
    k->n = m->n;
    for (int i = 0; i < m->n; i++) {
        const model_member *a = &m->member[i];
        k->member[i] = (mige_checkpoint_member){.name = a->name,
                                                .net = a->net,
                                                .state = mige_net_state(a->net),
                                                .params = u->params + a->first,
                                                .m = u->m + a->first,
                                                .v = u->v + a->first,
                                                .average = u->average ? u->average + a->first : NULL};
    }
}

int model_spread(model *m) {
    const mige_comm *c = m->update.c;
    for (int i = 0; i < m->n; i++)
        MIGE_TRY(mige_bcast(c, 0, mige_net_state(m->member[i].net),
                            mige_net_num_state(m->member[i].net) * sizeof(float)));
    return update_spread(&m->update, 1);
}

double model_bytes(const mige_net *net) {
    return (9. * sizeof(float) + (mige_net_bfloat16(net) ? sizeof(uint16_t) : 0)) *
           (double)mige_net_num_params(net);
}
