#include "mige/error.h"
#include "train/model.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ranks pass where they found something, `bad` of `size` `numbers` of `what`; bad 0: nowhere. An error of those at
 * the first place of all. */
static int report(const mige_comm *c, int place, const char *what, const char *numbers, size_t bad, size_t size,
                  int64_t step) {
    int mine = bad ? place : INT_MAX, first;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, c->mpi);
    if (first == INT_MAX) return MIGE_OK;
    if (mine == first)
        mige_raise(MIGE_ENUMERIC,
                   "check nan: %s: %zu of %zu %s are not finite at step %lld on rank %d (the last checkpoint "
                   "is kept)",
                   what, bad, size, numbers, (long long)step, c->rank);
    return mige_agree(c, mine == first ? MIGE_ENUMERIC : MIGE_OK);
}

int check_outputs(const mige_comm *c, const mige_net *net, int n, int64_t step) {
    int layers = mige_net_num_layers(net), at = 0;
    char what[128] = "";
    size_t bad = 0, size = 0;
    for (; at < layers; at++) {
        size = (size_t)n * (size_t)mige_net_size(net, at);
        if ((bad = mige_not_finite_float(size, mige_net_output(net, at)))) break;
    }
    if (bad) snprintf(what, sizeof what, "layer %s", mige_net_layer_name(net, at));
    return report(c, at, what, "outputs", bad, size, step);
}

int check_gradients(const mige_comm *c, const model *m, int64_t step) {
    int place = 0;
    char what[128] = "";
    size_t bad = 0;
    mige_tensor t = {0};
    const char *name = "";
    for (int k = 0; !bad && k < m->n; k++) {
        const mige_net *net = m->member[k].net;
        name = m->member[k].name;
        for (int at = mige_net_num_tensors(net) - 1; !bad && at >= 0; at--, place++) {
            mige_net_tensor(net, at, &t);
            if (!t.is_state) bad = mige_not_finite_float(t.count, mige_net_grads(net) + t.offset);
        }
    }
    if (bad) snprintf(what, sizeof what, "gradient of %s of the %s", t.name, name);
    return report(c, place, what, "numbers", bad, t.count, step);
}

/* Two running sums, so that the order of the words counts. */
static uint64_t digest(const float *x, size_t n) {
    uint64_t a = 1, b = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, x + i, sizeof word);
        a += word;
        b += a;
    }
    return a ^ b << 32 ^ b >> 32;
}

enum { GROUPS = 4 };
static const char *const groups[GROUPS] = {"", "first moment of ", "second moment of ", "average of "};

/* Tensor `at` of all members' one after the other; its member. */
static const model_member *find_tensor(const model *m, int at, mige_tensor *t) {
    const model_member *k = m->member;
    for (; at >= mige_net_num_tensors(k->net); k++) at -= mige_net_num_tensors(k->net);
    mige_net_tensor(k->net, at, t);
    return k;
}

static void digest_all(const model *m, int tensors, uint64_t *sums) {
    const update *u = &m->update;
    const float *base[GROUPS] = {u->params, u->m, u->v, u->average};
    for (int i = 0; i < tensors; i++) {
        mige_tensor t;
        const model_member *k = find_tensor(m, i, &t);
        for (int g = 0; g < GROUPS; g++) {
            const float *from = t.is_state ? g ? NULL : mige_net_state(k->net)
                                : base[g] ? base[g] + k->first
                                           : NULL;
            sums[i * GROUPS + g] = from ? digest(from + t.offset, t.count) : 0;
        }
    }
}

static int compare(const mige_comm *c, const model *m, int n, const uint64_t *mine, const uint64_t *first,
                   int64_t step) {
    char host[64] = "";
    mige_tensor t;
    int i = 0;
    while (i < n && mine[i] == first[i]) i++;
    if (i == n) return MIGE_OK;
    const model_member *k = find_tensor(m, i / GROUPS, &t);
    gethostname(host, sizeof host - 1);
    return mige_raise(
        MIGE_ENUMERIC,
        "check replica: %s%s of the %s of rank %d on %s is not that of rank 0 after step %lld (broken "
        "memory or network? The last checkpoint is kept)",
        groups[i % GROUPS], t.name, k->name, c->rank, host, (long long)step);
}

int check_replicas(const mige_comm *c, const model *m, int64_t step) {
    int tensors = 0;
    for (int i = 0; i < m->n; i++) tensors += mige_net_num_tensors(m->member[i].net);
    size_t n = GROUPS * (size_t)tensors;
    uint64_t *mine = NULL, *first;
    MIGE_TRY(mige_agree(c, mige_alloc(2 * n, sizeof *mine, &mine)));
    first = mine + n;
    digest_all(m, tensors, mine);
    memcpy(first, mine, n * sizeof *mine);
    int err = mige_bcast(c, 0, first, n * sizeof *mine);
    if (!err) err = mige_agree(c, compare(c, m, (int)n, mine, first, step));
    free(mine);
    return err;
}
