/* Independent score problems, at once on parts of the ranks. */
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/score.h"
#include <math.h>
#include <stdlib.h>

typedef struct {
    mige_problem p;
    int group;
    mige_score *score; /* only on the ranks of its group; NULL between solves where problems are ONE_BY_ONE */
} problem;

struct mige_problems {
    const mige_comm *c;
    mige_comm part; /* this rank's group */
    int M, n, groups, group;
    mige_score_options o;
    problem *problems;
    mige_pool pool;
};

/* From IN_TURN samples a rank on, problems come one after the other, each on all ranks: messages cost little then,
 * and no group waits for that with the larger problem. From ONE_BY_ONE samples in all on they also do, and each has
 * all the memory. */
enum { IN_TURN = 2048, ONE_BY_ONE = 24576 };
enum { MOST_PROBLEMS = 64 };

int mige_problems_groups(int M, int n, int ranks) {
    return M >= ONE_BY_ONE || M >= (int64_t)IN_TURN * ranks ? 1 : ranks < n ? ranks : n;
}

/* Every problem to the group with least to do so far, the largest first. */
static void deal(int M, int n, const int *dims, int groups, int *group) {
    double load[MOST_PROBLEMS] = {0};
    for (int i = 0; i < n; i++) group[i] = -1;
    for (int turn = 0; turn < n; turn++) {
        int next = -1, to = 0;
        for (int i = 0; i < n; i++)
            if (group[i] < 0 && (next < 0 || dims[i] > dims[next])) next = i;
        for (int g = 1; g < groups; g++)
            if (load[g] < load[to]) to = g;
        group[next] = to;
        load[to] += M + 24. * dims[next]; /* as M^3 / 3 + 8 M^2 D */
    }
}

double mige_problems_bytes(int M, int n, const int *dims, int ranks, const mige_score_options *o) {
    int groups = mige_problems_groups(M, n, ranks),
        least = ranks / groups; /* ranks of a group: they take most each */
    double arrays = 0, largest = 0;
    int group[MOST_PROBLEMS] = {0};
    deal(M, n, dims, groups, group);
    for (int g = 0; g < groups; g++) {
        double mine = 0;
        for (int i = 0; i < n; i++) {
            if (group[i] != g) continue;
            double bytes = mige_score_forecast(M, dims[i], least, o).bytes;
            arrays += 16. * M * dims[i];
            mine = M < ONE_BY_ONE ? mine + bytes : fmax(mine, bytes);
        }
        largest = fmax(largest, mine);
    }
    return arrays + largest;
}

/* Lowest rank of a group: groups are blocks of ranks. */
static int group_root(const mige_problems *p, int group) {
    int64_t first, count;
    mige_share(p->c->size, p->groups, group, &first, &count);
    return (int)first;
}

static int setup(mige_problems *p, const int *dims) {
    int group[MOST_PROBLEMS] = {0};
    deal(p->M, p->n, dims, p->groups, group);
    int err = MIGE_TAKE(&p->pool, MIGE_BLOCK(p->problems, p->n));
    for (int i = 0; !err && i < p->n; i++) {
        problem *q = &p->problems[i];
        size_t size = (size_t)p->M * (size_t)dims[i];
        q->p.dim = q->p.wanted = dims[i];
        q->group = group[i];
        err = MIGE_TAKE(&p->pool, MIGE_BLOCK(q->p.input, size), MIGE_BLOCK(q->p.scores, size));
    }
    MIGE_TRY(mige_agree(p->c, err));
    for (int i = 0; !err && i < p->n && p->M < ONE_BY_ONE; i++) /* an error here is agreed within the group only */
        if (p->problems[i].group == p->group)
            err = mige_score_create(&p->part, p->M, dims[i], &p->o, &p->problems[i].score);
    return mige_agree(p->c, err);
}

int mige_problems_create(const mige_comm *c, int M, int n, const int *dims, const mige_score_options *o,
                         mige_problems **out) {
    mige_problems *p = NULL;
    *out = NULL;
    MIGE_CHECK(n <= MOST_PROBLEMS, MIGE_EUSAGE, "score: %d problems at once are more than %d", n, MOST_PROBLEMS);
    MIGE_TRY(mige_alloc_all(c, 1, sizeof *p, &p));
    *p = (mige_problems){.c = c, .M = M, .n = n, .o = *o, .groups = mige_problems_groups(M, n, c->size)};
    for (p->group = 0; p->group + 1 < p->groups && c->rank >= group_root(p, p->group + 1);) p->group++;
    int err = mige_comm_split(c, p->group, &p->part);
    if (!err) err = setup(p, dims);
    if (err) mige_problems_destroy(&p);
    *out = p;
    return err;
}

void mige_problems_destroy(mige_problems **out) {
    mige_problems *p = *out;
    if (!p) return;
    for (int i = 0; p->problems && i < p->n; i++) mige_score_destroy(&p->problems[i].score);
    mige_comm_destroy(&p->part);
    mige_pool_free(&p->pool);
    free(p);
    *out = NULL;
}

mige_problem *mige_problems_get(const mige_problems *p, int i) {
    return &p->problems[i].p;
}

int mige_problems_solve(mige_problems *p) {
    int err = MIGE_OK;
    mige_clock_start(MIGE_PHASE_SCORE);
    for (int i = 0; !err && i < p->n; i++) {
        problem *q = &p->problems[i];
        if (q->group != p->group) continue;
        if (!q->score) err = mige_score_create(&p->part, p->M, q->p.dim, &p->o, &q->score);
        if (!err) mige_score_want(q->score, q->p.first, q->p.wanted);
        if (!err) err = mige_score_samples(q->score, q->p.input, q->p.scores);
        if (!err) q->p.width = mige_score_last(q->score)->width;
        if (!err) q->p.stein = mige_score_last(q->score)->stein;
        if (!err) q->p.J = mige_score_last(q->score)->pairs.J;
        if (p->M >= ONE_BY_ONE) mige_score_destroy(&q->score);
    }
    MIGE_TRY(mige_agree(p->c, err));
    for (int i = 0; p->groups > 1 && i < p->n; i++) {
        problem *q = &p->problems[i];
        int root = group_root(p, q->group);
        MIGE_TRY(mige_bcast(p->c, root, q->p.scores, (size_t)p->M * (size_t)q->p.wanted * sizeof(double)));
        MIGE_TRY(mige_bcast(p->c, root, &q->p.width, sizeof q->p.width));
        MIGE_TRY(mige_bcast(p->c, root, &q->p.stein, sizeof q->p.stein));
        MIGE_TRY(mige_bcast(p->c, root, &q->p.J, sizeof q->p.J));
    }
    mige_clock_stop(MIGE_PHASE_SCORE, 0);
    return MIGE_OK;
}
