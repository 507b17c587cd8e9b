#include "base/simd.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "train/model.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t update_stride(size_t n) {
    return (n + 15) / 16 * 16;
}

/* Vectors that a node has once. */
static size_t vectors(int averaged) {
    return averaged ? 4 : 3;
}

static int smallest_node(const mige_comm *c) {
    int size = c->node_size, least;
    MPI_Allreduce(&size, &least, 1, MPI_INT, MPI_MIN, c->mpi);
    return least;
}

static void take_slice(update *u, size_t step) {
    int64_t first, count, lines = (int64_t)step / 16;
    if (u->c->node_rank >= u->slices) return;
    mige_share(lines, u->slices, u->c->node_rank, &first, &count);
    u->first = 16 * (size_t)first;
    u->count = 16 * (size_t)count;
    if (u->first > u->n) u->first = u->n;
    if (u->first + u->count > u->n) u->count = u->n - u->first;
}

int update_create(const mige_comm *c, size_t n, int averaged, update *u) {
    size_t step = update_stride(n), nodes = (size_t)c->node_size, size = step * (vectors(averaged) + nodes);
    *u = (update){.c = c, .n = n, .slices = smallest_node(c)};
    MIGE_TRY(mige_agree(c, mige_alloc(nodes, sizeof *u->grads, &u->grads)));
    MIGE_TRY(mige_shared_create(c, size * sizeof(float), &u->memory));
    u->params = u->memory.base;
    u->m = u->params + step;
    u->v = u->m + step;
    if (averaged) u->average = u->v + step;
    for (size_t r = 0; r < nodes; r++) u->grads[r] = u->params + step * (vectors(averaged) + r);
    take_slice(u, step);
    MPI_Comm_split(c->mpi, c->node_rank < u->slices ? c->node_rank : MPI_UNDEFINED, c->rank, &u->owners);
    /* Shared memory is not zeroed: a window of one rank comes from malloc. */
    if (c->node_rank == 0) memset(u->memory.base, 0, size * sizeof(float));
    return mige_shared_sync(c, &u->memory);
}

void update_destroy(update *u) {
    if (!u->grads) return;
    if (u->owners != MPI_COMM_NULL && u->memory.base) MPI_Comm_free(&u->owners);
    mige_shared_destroy(&u->memory);
    free(u->grads);
    u->grads = NULL;
}

MIGE_CLONES static void add(size_t n, const float *restrict x, float *restrict sum) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) sum[i] += x[i];
}

MIGE_CLONES static double squares(size_t n, const float *x) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sum;
}

enum { PIECE = 1 << 14 };

/* In pieces that stay in cache, in the order of the ranks; over the nodes where there are several. */
static double reduce_slice(update *u) {
    float *to = u->grads[0];
    double sum = 0;
    for (size_t at = u->first, end = u->first + u->count; at < end; at += PIECE) {
        size_t n = end - at < PIECE ? end - at : PIECE;
        for (int r = 1; r < u->c->node_size; r++) add(n, u->grads[r] + at, to + at);
        if (u->c->nodes == 1) sum += squares(n, to + at);
    }
    if (u->c->nodes > 1 && u->count) {
        MPI_Allreduce(MPI_IN_PLACE, to + u->first, (int)u->count, MPI_FLOAT, MPI_SUM, u->owners);
        sum = u->c->node_rank < u->slices ? squares(u->count, to + u->first) : 0;
    }
    return sum;
}

MIGE_CLONES static void follow(size_t n, float rest, const float *restrict p, float *restrict average) {
    for (size_t i = 0; i < n; i++) average[i] += rest * (p[i] - average[i]);
}

static void scale(size_t n, float factor, float *x) {
    for (size_t i = 0; i < n; i++) x[i] *= factor;
}

static void move(update *u, const update_rule *rule, int64_t t, double norm) {
    size_t end = u->first + u->count, n;
    if (rule->clip > 0 && norm > rule->clip) scale(u->count, (float)(rule->clip / norm), u->grads[0] + u->first);
    for (size_t at = u->first; at < end; at += n) { /* the average finds the parameters in cache */
        n = end - at < PIECE ? end - at : PIECE;
        mige_adam_step(&rule->adam, t, n, u->params + at, u->grads[0] + at, u->m + at, u->v + at);
        if (u->average) follow(n, (float)(1 - rule->average), u->params + at, u->average + at);
    }
}

int update_step(update *u, const update_rule *rule, int64_t t, double *norm) {
    mige_clock_start(MIGE_PHASE_REDUCE);
    MIGE_TRY(mige_shared_sync(u->c, &u->memory));
    double sum = reduce_slice(u);
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, u->c->node);
    *norm = sqrt(sum);
    mige_clock_stop(MIGE_PHASE_REDUCE, 0);
    mige_clock_start(MIGE_PHASE_UPDATE);
    if (isfinite(sum)) move(u, rule, t, *norm);
    MIGE_TRY(mige_shared_sync(u->c, &u->memory));
    mige_clock_stop(MIGE_PHASE_UPDATE, 0);
    return MIGE_OK;
}

int update_spread(update *u, int all) {
    float *parts[] = {u->params, u->m, u->v, u->average};
    /* Slice 0's owners are the first ranks of their nodes; rank 0 is the first of them. */
    for (int i = 0; all && i < 4 && u->c->node_rank == 0; i++)
        if (u->c->nodes > 1 && parts[i]) MPI_Bcast(parts[i], (int)u->n, MPI_FLOAT, 0, u->owners);
    return mige_shared_sync(u->c, &u->memory);
}
