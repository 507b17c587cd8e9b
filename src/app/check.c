#include "app/check.h"
#include "mige/error.h"
#include "mige/finite.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ranks pass where they found something, INT_MAX for nowhere: an error for those at the first place of all. */
static int first_of_all(const mige_comm *c, int place, int *mine) {
    int first;
    MPI_Allreduce(&place, &first, 1, MPI_INT, MPI_MIN, c->mpi);
    *mine = first != INT_MAX && place == first;
    return first != INT_MAX;
}

int check_outputs(const mige_comm *c, const mige_net *net, int n, int64_t step) {
    int layers = mige_net_num_layers(net), at = 0, mine;
    size_t bad = 0, size = 0;
    for (; at < layers; at++) {
        mige_shape s = mige_net_shape(net, at);
        size = (size_t)n * (size_t)s.h * (size_t)s.w * (size_t)s.c;
        if ((bad = mige_not_finite_float(size, mige_net_output(net, at)))) break;
    }
    if (!first_of_all(c, bad ? at : INT_MAX, &mine)) return MIGE_OK;
    if (mine)
        mige_raise(
            MIGE_ENUMERIC,
            "check nan: layer %s: %zu of %zu outputs are not finite at step %lld on rank %d (the last checkpoint "
            "is kept)",
            mige_net_layer_name(net, at), bad, size, (long long)step, c->rank);
    return mige_agree(c, mine ? MIGE_ENUMERIC : MIGE_OK);
}

int check_gradients(const mige_comm *c, const mige_net *net, int64_t step) {
    int at = mige_net_num_tensors(net) - 1, last = at, mine;
    size_t bad = 0;
    mige_tensor t = {0};
    for (; at >= 0; at--) {
        mige_net_tensor(net, at, &t);
        if (!t.is_state && (bad = mige_not_finite_float(t.count, mige_net_grads(net) + t.offset))) break;
    }
    if (!first_of_all(c, bad ? last - at : INT_MAX, &mine)) return MIGE_OK;
    if (mine)
        mige_raise(MIGE_ENUMERIC,
                   "check nan: gradient of %s: %zu of %zu numbers are not finite at step %lld on rank %d (the last "
                   "checkpoint is kept)",
                   t.name, bad, t.count, (long long)step, c->rank);
    return mige_agree(c, mine ? MIGE_ENUMERIC : MIGE_OK);
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

enum { GROUPS = 3 };
static const char *const groups[GROUPS] = {"", "first moment of ", "second moment of "};

static void digest_all(const mige_net *net, const update *u, uint64_t *sums) {
    const float *base[GROUPS] = {u->params, u->m, u->v};
    for (int i = 0; i < mige_net_num_tensors(net); i++) {
        mige_tensor t;
        mige_net_tensor(net, i, &t);
        for (int g = 0; g < GROUPS; g++) {
            const float *from = !t.is_state ? base[g] : g == 0 ? mige_net_state(net) : NULL;
            sums[i * GROUPS + g] = from ? digest(from + t.offset, t.count) : 0;
        }
    }
}

static int compare(const mige_comm *c, const mige_net *net, const uint64_t *mine, const uint64_t *first,
                   int64_t step) {
    char host[64] = "";
    mige_tensor t;
    int i = 0, n = GROUPS * mige_net_num_tensors(net);
    while (i < n && mine[i] == first[i]) i++;
    if (i == n) return MIGE_OK;
    mige_net_tensor(net, i / GROUPS, &t);
    gethostname(host, sizeof host - 1);
    return mige_raise(
        MIGE_ENUMERIC,
        "check replica: %s%s of rank %d on %s is not that of rank 0 after step %lld (broken memory or "
        "network? The last checkpoint is kept)",
        groups[i % GROUPS], t.name, c->rank, host, (long long)step);
}

int check_replicas(const mige_comm *c, const mige_net *net, const update *u, int64_t step) {
    size_t n = (size_t)(GROUPS * mige_net_num_tensors(net));
    uint64_t *mine = NULL, *first;
    MIGE_TRY(mige_agree(c, mige_alloc(2 * n, sizeof *mine, &mine)));
    first = mine + n;
    digest_all(net, u, mine);
    memcpy(first, mine, n * sizeof *mine);
    int err = mige_bcast(c, 0, first, n * sizeof *mine);
    if (!err) err = mige_agree(c, compare(c, net, mine, first, step));
    free(mine);
    return err;
}
