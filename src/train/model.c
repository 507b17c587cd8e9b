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

/* A network's packed weights, after those of the networks before it. */
static uint32_t *packed_of(const model *m, int i) {
    size_t before = 0;
    for (int j = 0; j < i; j++) before += mige_net_packed_bytes(m->member[j].net);
    return m->update.packed && mige_net_packed_bytes(m->member[i].net) ? (void *)(m->update.packed + before) : NULL;
}

static int add_rows(update *u, const model_member *k) {
    size_t at;
    for (int i = 0; i < mige_net_num_layers(k->net); i++)
        if (mige_net_packs(k->net, i, &at)) MIGE_TRY(update_add(u, k->net, i, k->first + at));
    return MIGE_OK;
}

static int share_memory(model *m, const mige_comm *c, int first, int total) {
    update *u = &m->update;
    int err = total ? mige_net_keep(m->member[0].net, u->kept, first, total) : MIGE_OK;
    for (int i = 0; !err && i < m->n; i++) {
        const model_member *k = &m->member[i];
        size_t bytes = mige_net_num_params(k->net) * sizeof(float);
        if (c->node_rank == 0) memcpy(u->params + k->first, mige_net_params(k->net), bytes);
        if (c->node_rank == 0 && u->average) memcpy(u->average + k->first, mige_net_params(k->net), bytes);
        mige_net_move(k->net, u->params + k->first, packed_of(m, i), u->grads[c->node_rank] + k->first);
        err = add_rows(u, k);
    }
    return err;
}

int model_settle(model *m, const mige_comm *c, int averaged, int kept) {
    const model_member *last = &m->member[m->n - 1];
    int total, first = count_kept(c, kept, &total);
    update_room extra = {.averaged = averaged, .kept = total ? mige_net_kept_bytes(m->member[0].net, total) : 0};
    for (int i = 0; i < m->n; i++) extra.packed += mige_net_packed_bytes(m->member[i].net);
    MIGE_TRY(update_create(c, last->first + mige_net_num_params(last->net), extra, &m->update));
    MIGE_TRY(mige_agree(c, share_memory(m, c, first, total)));
    return update_spread(&m->update, 0);
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
        mige_net_move(k->net, (averaged ? u->average : u->params) + k->first, averaged ? NULL : packed_of(m, i),
                      mige_net_grads(k->net));
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
    return 9. * sizeof(float) * (double)mige_net_num_params(net) + (double)mige_net_packed_bytes(net);
}
