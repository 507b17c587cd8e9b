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

enum { PIECE = 1 << 14 };

/* Where slice i begins: at a cache line or, within weights that are moved by rows, at a block of these. */
static size_t slice_start(const update *u, int i) {
    int64_t line, count;
    mige_share((int64_t)update_stride(u->n) / 16, u->slices, i, &line, &count);
    size_t at = i < u->slices ? 16 * (size_t)line : u->n;
    for (const update_rows *r = u->rows; r < u->rows + u->nrows; r++) {
        size_t block = (size_t)MIGE_NET_ROWS * (size_t)r->cols;
        if (at <= r->first || at >= r->first + r->count) continue;
        at = r->first + (at - r->first + block / 2) / block * block;
        if (at > r->first + r->count) at = r->first + r->count;
    }
    return at < u->n ? at : u->n;
}

/* A piece of the flat vector that stays in cache. */
typedef struct update_piece {
    const update_rows *of; /* the rows that are whole after it; NULL: none */
    size_t at, end;
    int row, rows;
    int more; /* 1: the next piece comes after this one always, as it has the rows */
} piece;

/* A block of rows: at once where its gradient is a product, else in pieces, of which the last has the block. */
static piece piece_of(const update_rows *r, size_t at) {
    const size_t cols = (size_t)r->cols, block = MIGE_NET_ROWS * cols, first = (at - r->first) / block * block;
    const size_t end = r->count - first < block ? r->count : first + block;
    if (r->first + end - at > PIECE && !mige_net_kept(r->net, r->layer))
        return (piece){.at = at, .end = at + PIECE, .more = 1};
    return (piece){r, at, r->first + end, (int)(first / cols), (int)((end - first) / cols), 0};
}

static piece piece_at(const update *u, size_t at) {
    size_t end = u->first + u->count;
    for (const update_rows *r = u->rows; r < u->rows + u->nrows; r++) {
        if (at >= r->first + r->count) continue;
        if (at >= r->first) return piece_of(r, at);
        end = r->first < end ? r->first : end;
        break;
    }
    return (piece){.at = at, .end = end - at < PIECE ? end : at + PIECE};
}

/* The slice's pieces into `to` (NULL: only counts). */
static int cut(const update *u, piece *to) {
    int n = 0;
    piece p;
    for (size_t at = u->first, last = u->first + u->count; at < last; at = p.end) {
        p = piece_at(u, at);
        if (to) to[n] = p;
        n++;
    }
    return n;
}

static int take_slice(update *u) {
    if (u->c->node_rank >= u->slices) return MIGE_OK;
    u->first = slice_start(u, u->c->node_rank);
    u->count = slice_start(u, u->c->node_rank + 1) - u->first;
    free(u->pieces);
    u->pieces = NULL;
    u->npieces = cut(u, NULL);
    if (u->npieces == 0) return MIGE_OK;
    MIGE_TRY(mige_alloc((size_t)u->npieces, sizeof *u->pieces, &u->pieces));
    cut(u, u->pieces);
    return MIGE_OK;
}

int update_create(const mige_comm *c, size_t n, update_room extra, update *u) {
    size_t step = update_stride(n), nodes = (size_t)c->node_size, size = step * (vectors(extra.averaged) + nodes);
    size_t packed = (extra.packed + 63) / 64 * 64;
    *u = (update){.c = c, .n = n, .slices = smallest_node(c)};
    int err = mige_alloc(nodes, sizeof *u->grads, &u->grads);
    MIGE_TRY(mige_agree(c, err ? err : take_slice(u)));
    MIGE_TRY(mige_shared_create(c, size * sizeof(float) + packed + extra.kept, &u->memory));
    u->params = u->memory.base;
    u->m = u->params + step;
    u->v = u->m + step;
    if (extra.averaged) u->average = u->v + step;
    for (size_t r = 0; r < nodes; r++) u->grads[r] = u->params + step * (vectors(extra.averaged) + r);
    if (packed) u->packed = (char *)(u->params + size);
    u->kept = (char *)(u->params + size) + packed;
    MPI_Comm_split(c->mpi, c->node_rank < u->slices ? c->node_rank : MPI_UNDEFINED, c->rank, &u->owners);
    /* Shared memory is not zeroed: a window of one rank comes from malloc. */
    if (c->node_rank == 0) memset(u->memory.base, 0, size * sizeof(float) + packed);
    return mige_shared_sync(c, &u->memory);
}

void update_destroy(update *u) {
    if (!u->grads) return;
    if (u->owners != MPI_COMM_NULL && u->memory.base) MPI_Comm_free(&u->owners);
    mige_shared_destroy(&u->memory);
    free(u->grads);
    free(u->tile);
    free(u->pieces);
    u->grads = NULL;
}

MIGE_CLONES static void add(size_t n, const float *restrict x, float *restrict sum) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) sum[i] += x[i];
}

/* In sums enough that none waits for the one before. */
MIGE_CLONES static double squares(size_t n, const float *x) {
    enum { SUMS = 32 };
    double sum[SUMS] = {0}, all = 0;
    size_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int j = 0; j < SUMS; j++) sum[j] += (double)x[i + (size_t)j] * x[i + (size_t)j];
    for (; i < n; i++) all += (double)x[i] * x[i];
    for (int j = 0; j < SUMS; j++) all += sum[j];
    return all;
}

int update_add(update *u, mige_net *net, int layer, size_t first) {
    int rows = mige_net_size(net, layer), cols = mige_net_size(net, layer - 1);
    size_t bytes = (size_t)MIGE_NET_ROWS * (size_t)cols * sizeof *u->tile;
    MIGE_CHECK(u->nrows < UPDATE_ROWS, MIGE_EFAIL, "update: no room for the weights of another layer");
    if (mige_net_kept(net, layer) && bytes > u->tile_bytes) {
        free(u->tile);
        u->tile = NULL;
        MIGE_TRY(mige_alloc(bytes, 1, &u->tile));
        u->tile_bytes = bytes;
    }
    u->rows[u->nrows++] = (update_rows){net, layer, cols, first, (size_t)rows * (size_t)cols};
    return take_slice(u);
}

/* The gradient of a piece, summed over the node's ranks, in their order. */
static const float *gradient(update *u, const piece *p) {
    float *to = u->grads[0] + p->at;
    double began = mige_now();
    if (p->of && mige_net_kept(p->of->net, p->of->layer)) {
        mige_net_kept_gradient(p->of->net, p->of->layer, p->row, p->rows, u->tile);
        mige_clock_add(MIGE_PHASE_BACKWARD, mige_now() - began);
        return u->tile;
    }
    for (int r = 1; r < u->c->node_size; r++) add(p->end - p->at, u->grads[r] + p->at, to);
    mige_clock_add(MIGE_PHASE_REDUCE, mige_now() - began);
    return to;
}

MIGE_CLONES static void follow(size_t n, float rest, const float *restrict p, float *restrict average) {
    for (size_t i = 0; i < n; i++) average[i] += rest * (p[i] - average[i]);
}

static void scale(size_t n, float factor, float *x) {
    for (size_t i = 0; i < n; i++) x[i] *= factor;
}

/* By gradient g, in steps that stay in the first-level cache; the sum of its squares. The average follows two steps
 * at once, which is half of the memory to read and write, and the same numbers. */
static double move(update *u, const update_rule *rule, int64_t t, const piece *p, const float *g) {
    enum { STEP = 1024 };
    double began = mige_now(), sum = 0;
    for (size_t at = p->at, n; at < p->end; at += n, g += n) {
        n = p->end - at < STEP ? p->end - at : STEP;
        sum += squares(n, g);
        if (u->behind) follow(n, u->rest, u->params + at, u->average + at);
        mige_adam_step(&rule->adam, t, n, u->params + at, g, u->m + at, u->v + at);
        if (u->behind) follow(n, u->rest, u->params + at, u->average + at);
    }
    if (p->of) mige_net_pack(p->of->net, p->of->layer, p->row, p->rows);
    mige_clock_add(MIGE_PHASE_UPDATE, mige_now() - began);
    return sum;
}

/* Piece by piece, each moved while its gradient is in cache; this rank's part of the squared norm. Every other step
 * from the end: the last pieces of the step before are in cache yet. */
static double move_at_once(update *u, const update_rule *rule, int64_t t) {
    const piece *first = u->pieces, *last = first + u->npieces;
    double sum = 0;
    for (const piece *p = first; t % 2 && p < last; p++) sum += move(u, rule, t, p, gradient(u, p));
    for (const piece *from; t % 2 == 0 && first < last; last = from) {
        for (from = last - 1; from > first && from[-1].more; from--) continue;
        for (const piece *p = from; p < last; p++) sum += move(u, rule, t, p, gradient(u, p));
    }
    return sum;
}

/* The slice of the gradient, over the nodes where there are several, into grads[0]. */
static double reduce_slice(update *u) {
    float *to = u->grads[0];
    for (const piece *p = u->pieces; p < u->pieces + u->npieces; p++) {
        const float *g = gradient(u, p);
        if (g != to + p->at) memcpy(to + p->at, g, (p->end - p->at) * sizeof *g);
    }
    if (u->c->nodes > 1 && u->count)
        MPI_Allreduce(MPI_IN_PLACE, to + u->first, (int)u->count, MPI_FLOAT, MPI_SUM, u->owners);
    return u->c->node_rank < u->slices ? squares(u->count, to + u->first) : 0;
}

/* By the gradient in grads[0]. */
static void move_slice(update *u, const update_rule *rule, int64_t t) {
    for (const piece *p = u->pieces; p < u->pieces + u->npieces; p++) move(u, rule, t, p, u->grads[0] + p->at);
}

int update_step(update *u, const update_rule *rule, int64_t t, double *norm) {
    int at_once = u->c->nodes == 1 && rule->clip == 0;
    float *g = u->grads[0] + u->first;
    u->rest = (float)(1 - rule->average);
    mige_clock_start(MIGE_PHASE_REDUCE);
    MIGE_TRY(mige_shared_sync(u->c, &u->memory));
    mige_clock_stop(MIGE_PHASE_REDUCE, 0);
    double sum = at_once ? move_at_once(u, rule, t) : reduce_slice(u), began = mige_now();
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, u->c->node);
    mige_clock_add(MIGE_PHASE_REDUCE, mige_now() - began);
    *norm = sqrt(sum);
    if (!at_once && rule->clip > 0 && *norm > rule->clip) scale(u->count, (float)(rule->clip / *norm), g);
    if (!at_once && isfinite(sum)) move_slice(u, rule, t);
    u->behind = u->average && !u->behind;
    mige_clock_start(MIGE_PHASE_UPDATE);
    MIGE_TRY(mige_shared_sync(u->c, &u->memory));
    mige_clock_stop(MIGE_PHASE_UPDATE, 0);
    return MIGE_OK;
}

int update_catch_up(update *u) {
    if (!u->behind) return MIGE_OK;
    unsigned before = mige_flush_subnormals(); /* as in a step: the same bits, whenever it is */
    follow(u->count, u->rest, u->params + u->first, u->average + u->first);
    mige_restore_subnormals(before);
    u->behind = 0;
    return mige_shared_sync(u->c, &u->memory);
}

int update_spread(update *u, int all) {
    float *parts[] = {u->params, u->m, u->v, u->average};
    /* Slice 0's owners are the first ranks of their nodes; rank 0 is the first of them. */
    for (int i = 0; all && i < 4 && u->c->node_rank == 0; i++)
        if (u->c->nodes > 1 && parts[i]) MPI_Bcast(parts[i], (int)u->n, MPI_FLOAT, 0, u->owners);
    for (int i = 0; i < u->nrows && u->c->node_rank == 0; i++)
        mige_net_pack(u->rows[i].net, u->rows[i].layer, 0, (int)(u->rows[i].count / (size_t)u->rows[i].cols));
    return mige_shared_sync(u->c, &u->memory);
}
