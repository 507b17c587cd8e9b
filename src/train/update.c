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

int update_create(const mige_comm *c, size_t n, update_room extra, update *u) {
    size_t step = update_stride(n), nodes = (size_t)c->node_size, size = step * (vectors(extra.averaged) + nodes);
    size_t rounded = extra.rounded ? (step * sizeof *u->rounded + 63) / 64 * 64 : 0;
    *u = (update){.c = c, .n = n, .slices = smallest_node(c)};
    MIGE_TRY(mige_agree(c, mige_alloc(nodes, sizeof *u->grads, &u->grads)));
    MIGE_TRY(mige_shared_create(c, size * sizeof(float) + rounded + extra.kept, &u->memory));
    u->params = u->memory.base;
    u->m = u->params + step;
    u->v = u->m + step;
    if (extra.averaged) u->average = u->v + step;
    for (size_t r = 0; r < nodes; r++) u->grads[r] = u->params + step * (vectors(extra.averaged) + r);
    if (rounded) u->rounded = (void *)(u->params + size);
    u->kept = (char *)(u->params + size) + rounded;
    take_slice(u, step);
    MPI_Comm_split(c->mpi, c->node_rank < u->slices ? c->node_rank : MPI_UNDEFINED, c->rank, &u->owners);
    /* Shared memory is not zeroed: a window of one rank comes from malloc. */
    if (c->node_rank == 0) memset(u->memory.base, 0, size * sizeof(float) + rounded);
    return mige_shared_sync(c, &u->memory);
}

void update_destroy(update *u) {
    if (!u->grads) return;
    if (u->owners != MPI_COMM_NULL && u->memory.base) MPI_Comm_free(&u->owners);
    mige_shared_destroy(&u->memory);
    free(u->grads);
    free(u->tile);
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

enum { PIECE = 1 << 14, ROWS = 32 /* of weights that are products */ };

int update_add(update *u, mige_net *net, int layer, size_t first) {
    int rows = mige_net_size(net, layer), cols = mige_net_size(net, layer - 1);
    size_t bytes = (size_t)ROWS * (size_t)cols * sizeof *u->tile;
    if (bytes > u->tile_bytes) {
        free(u->tile);
        u->tile = NULL;
        MIGE_TRY(mige_alloc(bytes, 1, &u->tile));
        u->tile_bytes = bytes;
    }
    u->product[u->nproducts++] = (update_product){net, layer, cols, first, (size_t)rows * (size_t)cols};
    return MIGE_OK;
}

/* Where the piece that begins at `at` ends: some rows of a product, or what lies between two, in pieces that stay
 * in cache. */
static size_t piece_end(const update *u, size_t at, const update_product **product) {
    size_t end = u->first + u->count;
    *product = NULL;
    for (const update_product *p = u->product; p < u->product + u->nproducts; p++) {
        size_t rows = (size_t)ROWS * (size_t)p->cols, last = p->first + p->count;
        if (at >= last) continue;
        if (at < p->first) {
            end = p->first < end ? p->first : end;
            break;
        }
        size_t next = p->first + ((at - p->first) / rows + 1) * rows;
        *product = p;
        next = next < last ? next : last;
        return next < end ? next : end;
    }
    return end - at < PIECE ? end : at + PIECE;
}

/* Parameters' gradient in [at, end), summed over the node's ranks, in their order. */
static const float *gradient(update *u, const update_product *p, size_t at, size_t end) {
    float *to = u->grads[0] + at;
    double began = mige_now();
    if (!p) {
        for (int r = 1; r < u->c->node_size; r++) add(end - at, u->grads[r] + at, to);
        mige_clock_add(MIGE_PHASE_REDUCE, mige_now() - began);
        return to;
    }
    size_t cols = (size_t)p->cols, row = (at - p->first) / cols, last = (end - 1 - p->first) / cols;
    mige_net_kept_gradient(p->net, p->layer, (int)row, (int)(last - row) + 1, u->tile);
    mige_clock_add(MIGE_PHASE_BACKWARD, mige_now() - began);
    return u->tile + (at - p->first - row * cols);
}

MIGE_CLONES static void follow(size_t n, float rest, const float *restrict p, float *restrict average) {
    for (size_t i = 0; i < n; i++) average[i] += rest * (p[i] - average[i]);
}

static void scale(size_t n, float factor, float *x) {
    for (size_t i = 0; i < n; i++) x[i] *= factor;
}

/* In steps that stay in the first-level cache. */
static void move(update *u, const update_rule *rule, int64_t t, const float *g, size_t at, size_t end) {
    enum { STEP = 2048 };
    double began = mige_now();
    for (size_t n; at < end; at += n, g += n) {
        n = end - at < STEP ? end - at : STEP;
        mige_adam_step(&rule->adam, t, n, u->params + at, g, u->m + at, u->v + at);
        if (u->rounded) mige_bfloat16_round(n, u->params + at, u->rounded + at);
        if (u->average) follow(n, (float)(1 - rule->average), u->params + at, u->average + at);
    }
    mige_clock_add(MIGE_PHASE_UPDATE, mige_now() - began);
}

/* Piece by piece, each moved while its gradient is in cache; this rank's part of the squared norm. */
static double move_at_once(update *u, const update_rule *rule, int64_t t) {
    const update_product *p;
    double sum = 0;
    for (size_t at = u->first, end, last = u->first + u->count; at < last; at = end) {
        end = piece_end(u, at, &p);
        const float *g = gradient(u, p, at, end);
        sum += squares(end - at, g);
        move(u, rule, t, g, at, end);
    }
    return sum;
}

/* The slice of the gradient, over the nodes where there are several, into grads[0]. */
static double reduce_slice(update *u) {
    const update_product *p;
    float *to = u->grads[0];
    for (size_t at = u->first, end, last = u->first + u->count; at < last; at = end) {
        end = piece_end(u, at, &p);
        const float *g = gradient(u, p, at, end);
        if (p) memcpy(to + at, g, (end - at) * sizeof *g);
    }
    if (u->c->nodes > 1 && u->count)
        MPI_Allreduce(MPI_IN_PLACE, to + u->first, (int)u->count, MPI_FLOAT, MPI_SUM, u->owners);
    return u->c->node_rank < u->slices ? squares(u->count, to + u->first) : 0;
}

int update_step(update *u, const update_rule *rule, int64_t t, double *norm) {
    int at_once = u->c->nodes == 1 && rule->clip == 0;
    float *g = u->grads[0] + u->first;
    mige_clock_start(MIGE_PHASE_REDUCE);
    MIGE_TRY(mige_shared_sync(u->c, &u->memory));
    mige_clock_stop(MIGE_PHASE_REDUCE, 0);
    double sum = at_once ? move_at_once(u, rule, t) : reduce_slice(u), began = mige_now();
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, u->c->node);
    mige_clock_add(MIGE_PHASE_REDUCE, mige_now() - began);
    *norm = sqrt(sum);
    if (!at_once && rule->clip > 0 && *norm > rule->clip) scale(u->count, (float)(rule->clip / *norm), g);
    if (!at_once && isfinite(sum)) move(u, rule, t, g, u->first, u->first + u->count);
    mige_clock_start(MIGE_PHASE_UPDATE);
    MIGE_TRY(mige_shared_sync(u->c, &u->memory));
    mige_clock_stop(MIGE_PHASE_UPDATE, 0);
    return MIGE_OK;
}

int update_spread(update *u, int all) {
    float *parts[] = {u->params, u->m, u->v, u->average};
    /* Slice 0's owners are the first ranks of their nodes; rank 0 is the first of them. */
    for (int i = 0; all && i < 4 && u->c->node_rank == 0; i++)
        if (u->c->nodes > 1 && parts[i]) MPI_Bcast(parts[i], (int)u->n, MPI_FLOAT, 0, u->owners);
    if (u->rounded && u->c->node_rank == 0) mige_bfloat16_round(u->n, u->params, u->rounded);
    return mige_shared_sync(u->c, &u->memory);
}
