#include "mige/comm.h"
#include "mige/error.h"
#include <stdlib.h>
#include <string.h>

static int describe(mige_comm *c) {
    MPI_Comm_rank(c->mpi, &c->rank);
    MPI_Comm_size(c->mpi, &c->size);
    MPI_Comm_split_type(c->mpi, MPI_COMM_TYPE_SHARED, c->rank, MPI_INFO_NULL, &c->node);
    MPI_Comm_rank(c->node, &c->node_rank);
    MPI_Comm_size(c->node, &c->node_size);
    int first = c->node_rank == 0;
    MPI_Allreduce(&first, &c->nodes, 1, MPI_INT, MPI_SUM, c->mpi);
    return MIGE_OK;
}

int mige_comm_create(MPI_Comm parent, mige_comm *c) {
    MPI_Comm_dup(parent, &c->mpi);
    return describe(c);
}

int mige_comm_split(const mige_comm *c, int color, mige_comm *part) {
    MPI_Comm_split(c->mpi, color, c->rank, &part->mpi);
    return describe(part);
}

void mige_comm_destroy(mige_comm *c) {
    MPI_Comm_free(&c->node);
    MPI_Comm_free(&c->mpi);
}

#undef mige_agree /* the static analyzer's view of it */
int mige_agree(const mige_comm *c, int err) {
    struct {
        int code, rank;
    } mine = {err, c->rank}, worst;
    /* MAXLOC: the largest code and, among its ranks, the lowest. */
    MPI_Allreduce(&mine, &worst, 1, MPI_2INT, MPI_MAXLOC, c->mpi);
    if (!worst.code) return MIGE_OK;
    char text[1024] = "";
    if (c->rank == worst.rank) strncpy(text, mige_error(), sizeof text - 1);
    MPI_Bcast(text, sizeof text, MPI_CHAR, worst.rank, c->mpi);
    mige_error_set(text, c->size > 1);
    return worst.code;
}

int mige_alloc_all(const mige_comm *c, size_t count, size_t size, void *out) {
    void *p;
    int err = mige_agree(c, mige_alloc(count, size, &p));
    if (err) free(p);
    if (err) p = NULL;
    memcpy(out, &p, sizeof p);
    return err;
}

/* MPI counts are ints; a piece is well below their limit. */
enum { PIECE = 1 << 22 };

static int reduce(const mige_comm *c, double *x, size_t n, MPI_Op op) {
    for (size_t at = 0; c->size > 1 && at < n; at += PIECE) {
        int count = (int)(n - at < PIECE ? n - at : PIECE);
        MPI_Allreduce(MPI_IN_PLACE, x + at, count, MPI_DOUBLE, op, c->mpi);
    }
    return MIGE_OK;
}

int mige_sum(const mige_comm *c, double *x, size_t n) {
    return reduce(c, x, n, MPI_SUM);
}

int mige_max(const mige_comm *c, double *x, size_t n) {
    return reduce(c, x, n, MPI_MAX);
}

int mige_bcast(const mige_comm *c, int root, void *x, size_t bytes) {
    for (size_t at = 0; c->size > 1 && at < bytes; at += PIECE) {
        int count = (int)(bytes - at < PIECE ? bytes - at : PIECE);
        MPI_Bcast((char *)x + at, count, MPI_BYTE, root, c->mpi);
    }
    return MIGE_OK;
}

void mige_share(int64_t total, int P, int r, int64_t *first, int64_t *count) {
    int64_t base = total / P, rest = total % P;
    *first = base * r + (r < rest ? r : rest);
    *count = base + (r < rest);
}

int mige_shared_create(const mige_comm *c, size_t bytes, mige_shared *s) {
    enum { LINE = 64 };
    MPI_Aint size = c->node_rank == 0 ? (MPI_Aint)(bytes + LINE) : 0, whole;
    void *mine;
    int unit;
    MPI_Win_allocate_shared(size, 1, MPI_INFO_NULL, c->node, &mine, &s->win);
    MPI_Win_shared_query(s->win, 0, &whole, &unit, &s->base);
    /* Ranks see it at different addresses, but as far from a cache line: pages are mapped. */
    s->base = (void *)(((uintptr_t)s->base + LINE - 1) / LINE * LINE);
    MPI_Win_fence(0, s->win);
    return MIGE_OK;
}

int mige_shared_sync(const mige_comm *c, mige_shared *s) {
    (void)c;
    MPI_Win_fence(0, s->win);
    return MIGE_OK;
}

void mige_shared_destroy(mige_shared *s) {
    if (!s->base) return;
    MPI_Win_free(&s->win);
    s->base = NULL;
}
