/* Values of mutual information: the sum over sets of variables and over times of what along.h says of each. */
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/log.h"
#include "mige/mi.h"
#include "mige/rng.h"
#include "score/along.h"
#include "score/score.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { T = MIGE_MI_TIMES };
/* Of progress. */
enum { PARTS = 1000 };
/* Of the test by shuffles: most samples of a score problem. */
enum { TEST_BLOCK = 1024 };
/* Standard errors beyond which a negative J is one. */
static const double FAR = 3;
/* Enough noise that the samples themselves are what limits: so many samples times draws, within reason. */
enum { ENOUGH = 2048, MOST_DRAWS = 64 };

/* What counts of a group: the normal part of J, the rest, the rest for the error only. It may be shuffled: with the
 * test's shuffles, or apart, anew at each time and draw. Or it is all of what others have in parts. */
enum { NORMAL = 1, REST = 2, ERROR = 4, MOVES = 8, APART = 16, WHOLE = 32 };

/* A set of variables of some of the samples. */
typedef struct {
    int what;
    int from, dim; /* columns */
    int n;
    const int *rows;  /* [n] */
    int sign;         /* of its J in the integrand */
    const char *name; /* of the variables, with "is" or "are"; NULL: of the class, which is its */
    int label;
} group;

/* What a run over all groups finds, of one shuffle. */
typedef struct {
    double rest[T], fisher[T]; /* of J, means over samples */
    double normal;             /* integral of the latter */
} sums;

/* How a group's samples are score problems: blocks of at most so many, each in some parts; draws of the noise. */
typedef struct {
    int block, parts, draws;
} split;

/* Sums of the value; of halves, then the gaps to them; of all samples together, that have labels, their halves and
 * their parts; of the test's fixed groups; from there on of its shuffles, the samples as they are first. */
enum { VALUE, GAPS, ALL, ALL_HALVED, ALL_PARTED, TEST, SHUFFLES };

typedef struct {
    const mige_comm *c;
    const mige_mi_value_options *o;
    mige_comm self;  /* each score problem is one rank's, so that results are the same on any number of them */
    int M, D, moved; /* columns from `moved` on are shuffled */
    double *v;       /* [M][D], white */
    int ngroups;
    group *groups;
    int *order, *by_class; /* [M] rows */
    int64_t *perm, *apart; /* [M] shuffles: the test's, that of a group apart */
    mige_score *score;
    double *Z, *work;                  /* [M][D] */
    double *N, *S;                     /* [block][D] noise and scores */
    double *C, *lambda, *noise, *part; /* [D][D], [D], [D], [M] */
    double *each, *each_rest;          /* [M] samples' contributions to the value: normal, rest */
    double *each_gap;                  /* [M] those to what the rest has more than that of halves */
    double *rest_at, *gap_at;          /* [T][M] those to the rest of J at each time; of halves, then the gap */
    sums *sums;                        /* [runs] */
    int runs, given, halved;           /* given: a third variable; halved: halves can do */
    double labels;                     /* their entropy, nats; 0: there are none */
    int64_t items;                     /* dealt to the ranks */
    double cost, total;                /* their cost; total 0: being counted */
    mige_pool pool;
} job;

/* ---- one item of work */

/* Row i of a group, which goes round, as its column k is shuffled. */
static int row_of(const job *w, const group *g, const int64_t *perm, int i, int k) {
    int row = g->rows[i % g->n];
    return perm && g->from + k >= w->moved ? (int)perm[row] : row;
}

/* Z = columns of the group's rows from `first` on; the part after `moved` is another row's when shuffled. */
static void gather(const job *w, const group *g, const int64_t *perm, int first, int n) {
    for (int i = 0; i < n; i++)
        for (int k = 0; k < g->dim; k++) {
            size_t row = (size_t)row_of(w, g, perm, first + i, k);
            w->Z[(size_t)i * (size_t)g->dim + (size_t)k] = w->v[row * (size_t)w->D + (size_t)(g->from + k)];
        }
}

/* Z = a Z + b n; noise belongs to the variable of a sample, and moves with it. */
static void add_noise(const job *w, const group *g, const int64_t *perm, int first, int n, uint64_t step, double t,
                      double sign) {
    double a = exp(-t), b = sqrt(-expm1(-2 * t));
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * (size_t)g->dim;
        int last = -1;
        for (int k = 0; k < g->dim; k++) {
            int row = row_of(w, g, perm, first + i, k);
            if (row != last)
                mige_rng_normal(w->o->seed, MIGE_RNG_NOISE, step, (uint64_t)row, (size_t)w->D, w->noise);
            last = row;
            w->N[at + (size_t)k] = sign * w->noise[g->from + k];
            w->Z[at + (size_t)k] = a * w->Z[at + (size_t)k] + b * w->N[at + (size_t)k];
        }
    }
}

/* Whether this rank works on the next item, of n samples: their cost is what progress goes by. */
static int mine(job *w, double n) {
    int64_t item = w->items++;
    w->cost += n * n * n;
    if (w->total > 0) mige_progress_update((long)(PARTS * w->cost / w->total), "");
    return w->total > 0 && item % w->c->size == w->c->rank;
}

/* The more samples the narrower the kernel, as Scott's rule for densities has it. */
static int use_score(job *w, int n, int dim) {
    mige_score_options o = w->o->score;
    if (w->score && w->score->M == n && w->score->D == dim) return MIGE_OK;
    mige_score_destroy(&w->score);
    o.width_scale *= pow(1000. / n, 1. / (dim + 4));
    o.precondition = MIGE_PRECONDITION_NONE; /* all variables are mapped already */
    return mige_score_create(&w->self, n, dim, &o, &w->score);
}

/* each: that of samples, too; every rank finds it, so that all meet the same error, and the first counts it. */
static int add_normal(job *w, const group *g, const int64_t *perm, double *each, sums *to) {
    double half, fisher[T], share = each && w->c->rank ? 0 : (double)g->sign * g->n / w->M;
    char name[64];
    snprintf(name, sizeof name, "class %d, from 0, is", g->label);
    gather(w, g, perm, 0, g->n);
    MIGE_TRY(along_normal(g->n, g->dim, w->Z, g->name ? g->name : name, w->C, w->lambda, w->work, &half, w->part,
                          fisher));
    to->normal -= share * half;
    for (int t = 0; t < T; t++) to->fisher[t] += share * fisher[t];
    for (int i = 0; each && !w->c->rank && i < g->n; i++) each[g->rows[i]] -= g->sign * w->part[i];
    return MIGE_OK;
}

/* A sample's part of J' at time t; to both where it serves the error alone. */
static void add_sample(const job *w, int what, double *at, int row, int t, double value, sums *to) {
    size_t i = (size_t)t * (size_t)w->M + (size_t)row;
    if (what & REST) to->rest[t] += value / w->M;
    if (at && what & ERROR) at[i] += value;
    if (at == w->gap_at && !(what & REST)) w->rest_at[i] += value;
}

/* A block of a group at one time, with one draw of the noise and its opposite. */
static int add_rest(job *w, const group *g, const int64_t *perm, double *at, int first, int n, int t, uint64_t draw,
                    int draws, sums *to) {
    const double share = g->sign / (2. * draws);
    double time[T], weight[T];
    along_times(time, weight);
    MIGE_TRY(use_score(w, n, g->dim));
    for (int sign = -1; sign <= 1; sign += 2) {
        gather(w, g, perm, first, n);
        add_noise(w, g, perm, first, n, (uint64_t)t * MOST_DRAWS + draw, time[t], sign);
        MIGE_TRY(mige_score_samples(w->score, w->Z, w->S));
        MIGE_TRY(along_rest(n, g->dim, sqrt(-expm1(-2 * time[t])), w->Z, w->S, w->N, w->C, w->part));
        for (int i = 0; i < n; i++)
            add_sample(w, g->what, at, g->rows[(first + i) % g->n], t, share * w->part[i], to);
    }
    return MIGE_OK;
}

/* ---- all items */

/* Groups that move with a shuffle, or that do not, or all. */
enum { FIXED = 1, MOVING = 2 };

static int num_blocks(const group *g, const split *s) {
    return s->parts * ((g->n - 1) / s->block + 1);
}

static int run_rest(job *w, const group *g, const int64_t *perm, double *at, const split *s, sums *to) {
    static const uint64_t beyond = (uint64_t)1 << 31; /* the test's shuffles */
    int blocks = num_blocks(g, s), draws = s->draws, apart = g->what & APART;
    for (int b = 0; b < blocks; b++) {
        int64_t first, count;
        mige_share(g->n, blocks, b, &first, &count);
        for (int i = 0; i < T * draws; i++) {
            if (!mine(w, (double)count)) continue;
            if (apart) mige_rng_permutation(w->o->seed, MIGE_RNG_SHUFFLE, beyond + (uint64_t)i, w->M, w->apart);
            int from = (int)(first + (int64_t)i * (g->n / blocks) / (T * draws)); /* each time another block */
            MIGE_TRY(add_rest(w, g, apart ? w->apart : perm, at, from, (int)count, i / draws, (uint64_t)(i % draws),
                              draws, to));
        }
    }
    return MIGE_OK;
}

/* Into w->sums[to], and samples' contributions where it has any. What serves the error alone is that of halves,
 * where they can do. */
static int run(job *w, int which, const int64_t *perm, const split *s, int to) {
    double *at = to == VALUE ? w->rest_at : to == GAPS ? w->gap_at : NULL;
    sums *sum = w->sums + to;
    int counts = to == GAPS || (to == VALUE && !w->halved) ? REST | ERROR : REST;
    for (const group *g = w->groups; g < w->groups + w->ngroups; g++) {
        if (!(which & (g->what & MOVES ? MOVING : FIXED)) || g->what & WHOLE) continue;
        const int64_t *by = g->what & MOVES ? perm : NULL;
        if (g->what & NORMAL && to == VALUE && w->total > 0) MIGE_TRY(add_normal(w, g, by, w->each, sum));
        if (g->what & NORMAL && to >= TEST && mine(w, 1)) MIGE_TRY(add_normal(w, g, by, NULL, sum));
        if (g->what & counts) MIGE_TRY(run_rest(w, g, by, at, s, sum));
    }
    return MIGE_OK;
}

/* J of all samples, that have labels, whatever its sign in the value. */
static int run_together(job *w, const split *whole, const split *halves) {
    for (const group *g = w->groups; w->labels > 0 && g < w->groups + w->ngroups; g++) {
        group one = *g;
        one.sign = 1;
        if (g->what & MOVES) continue;
        MIGE_TRY(run_rest(w, &one, NULL, NULL, whole, w->sums + (g->what & WHOLE ? ALL : ALL_PARTED)));
        if (g->what & WHOLE && g->n / num_blocks(g, halves) >= w->o->score.eigen.eigen)
            MIGE_TRY(run_rest(w, &one, NULL, NULL, halves, w->sums + ALL_HALVED));
    }
    return MIGE_OK;
}

/* Whether halves of every group's blocks can do: twice the fewest samples, and as many as eigenpairs. */
static int halves_do(const job *w, const split *s) {
    double least = fmax(2 * mige_mi_least(w->D), w->o->score.eigen.eigen);
    for (const group *g = w->groups; g < w->groups + w->ngroups; g++)
        if (g->n / num_blocks(g, s) < least) return 0;
    return 1;
}

/* The value, also of halves; then the test: what does not move, the samples as they are and every shuffle. */
static int run_all(job *w) {
    const mige_mi_value_options *o = w->o;
    int draws = o->draws ? o->draws : (ENOUGH + w->M - 1) / w->M, least = 2 * mige_mi_least(w->D),
        block = least > TEST_BLOCK ? least : TEST_BLOCK;
    split whole = {o->block, 1, draws < MOST_DRAWS ? draws : MOST_DRAWS}, halves = whole,
          test = {block < o->block ? block : o->block, 1, 1};
    halves.parts = 2;
    w->halved = halves_do(w, &halves);
    w->items = 0;
    w->cost = 0;
    MIGE_TRY(run(w, FIXED | MOVING, NULL, &whole, VALUE));
    if (w->halved) MIGE_TRY(run(w, FIXED | MOVING, NULL, &halves, GAPS));
    MIGE_TRY(run_together(w, &whole, &halves));
    if (!o->shuffles) return MIGE_OK;
    MIGE_TRY(run(w, FIXED, NULL, &test, TEST));
    for (int k = 0; k <= o->shuffles; k++) {
        if (k && w->total > 0) mige_rng_permutation(o->seed, MIGE_RNG_SHUFFLE, (uint64_t)k, w->M, w->perm);
        MIGE_TRY(run(w, MOVING, k ? w->perm : NULL, &test, SHUFFLES + k));
    }
    return MIGE_OK;
}

static double total(const sums *s, const double weight[T]) {
    return s->normal + cblas_ddot(T, weight, 1, s->rest, 1);
}

/* Noise takes information away, so that J is not negative (given z, which is noised too, it may be). Where it is,
 * beyond its error, the samples lie on a surface (both Fisher informations are without bound there) or in steps:
 * there the next time's goes on. */
static void mend(const job *w) {
    const double *fisher = w->sums->fisher;
    size_t M = (size_t)w->M;
    int mended = 0;
    for (int t = T - 2; t >= 0 && !w->given; t--) {
        double *here = w->rest_at + (size_t)t * M, *gap = w->gap_at + (size_t)t * M;
        if (fisher[t] + w->sums->rest[t] >= -FAR * along_error(w->M, here)) continue;
        for (size_t m = 0; m < M; m++) {
            here[m] = here[M + m] + fisher[t + 1] - fisher[t];
            gap[m] = gap[M + m];
        }
        for (sums *s = w->sums; s < w->sums + w->runs; s++)
            s->rest[t] = s->rest[t + 1] + s->fisher[t + 1] - s->fisher[t];
        mended++;
    }
    if (mended)
        mige_warn("mi: information would rise with noise at %d of %d times: samples on a surface, or in steps; the "
                  "value is less sure than its error says",
                  mended, T);
}

/* Samples' contributions to the rest, and to the gap. */
static void integrate(const job *w, const double weight[T]) {
    for (size_t t = 0, M = (size_t)w->M; t < T; t++) {
        cblas_daxpy(w->M, weight[t], w->rest_at + t * M, 1, w->each_rest, 1);
        cblas_daxpy(w->M, weight[t], w->gap_at + t * M, 1, w->each_gap, 1);
    }
}

/* What kernels miss for want of samples halves miss more of. */
static void extrapolate(const job *w, double gap, mige_mi_estimate *e) {
    double error = along_error(w->M, w->each_rest), slope = 0;
    e->factor = 1;
    if (w->halved) e->factor = along_factor(e->rest, gap, along_error(w->M, w->each_gap), &slope);
    e->value = e->normal + e->factor * along_shrunk(e->rest, error);
    cblas_daxpy(w->M, 1, w->each_rest, 1, w->each, 1);
    cblas_daxpy(w->M, slope, w->each_gap, 1, w->each, 1);
    e->standard_error = along_error(w->M, w->each);
}

/* All samples together show kernels more than parts of the classes' sizes do, and more of them would still more. As
 * far as labels tell x apart, that is where the classes lie, which the classes by themselves have nothing of; as
 * far as they do not, it is the shape of each class, which these miss alike. The first share is taken for I /
 * H(labels), the error for that of a choice. */
static void find_missed(const job *w, const double weight[T], mige_mi_estimate *e) {
    double share = w->labels > 0 ? fmin(1, fmax(0, e->value / w->labels)) : 0;
    double all = cblas_ddot(T, weight, 1, w->sums[ALL].rest, 1);
    double missed = all - cblas_ddot(T, weight, 1, w->sums[ALL_PARTED].rest, 1);
    double halved = cblas_ddot(T, weight, 1, w->sums[ALL_HALVED].rest, 1);
    double more = halved != 0 ? all - halved : 0; /* 0: halves were too few samples, and not run */
    missed += fmax(0, fmin(missed, ALONG_GAIN * more));
    e->missed = share * missed;
    e->value -= e->missed;
    e->standard_error = hypot(e->standard_error, missed * sqrt(share * (1 - share)));
}

static void conclude(const job *w, double *shuffled, mige_mi_estimate *e) {
    const sums *s = w->sums + VALUE;
    double plain[T], weight[T];
    for (size_t i = 0; w->halved && i < T * (size_t)w->M; i++) w->gap_at[i] = w->rest_at[i] - w->gap_at[i];
    for (int t = 0; w->halved && t < T; t++) w->sums[GAPS].rest[t] = s->rest[t] - w->sums[GAPS].rest[t];
    mend(w);
    along_times(e->time, plain);
    memcpy(weight, plain, sizeof weight);
    weight[0] += along_first(e->time, s->rest);
    integrate(w, weight);
    e->normal = s->normal;
    e->rest = cblas_ddot(T, weight, 1, s->rest, 1);
    extrapolate(w, cblas_ddot(T, weight, 1, w->sums[GAPS].rest, 1), e);
    find_missed(w, weight, e);
    for (int t = 0; t < T; t++) e->integrand[t] = s->fisher[t] + s->rest[t];
    int N = w->o->shuffles, above = 1;
    for (int k = 1; k <= N; k++) {
        shuffled[k - 1] = total(w->sums + TEST, plain) + total(w->sums + SHUFFLES + k, plain);
        above += total(w->sums + SHUFFLES + k, plain) >= total(w->sums + SHUFFLES, plain);
    }
    e->p_value = N ? above / (N + 1.) : NAN;
}

static int compute(job *w, double *shuffled, mige_mi_estimate *e) {
    w->runs = w->o->shuffles ? SHUFFLES + 1 + w->o->shuffles : TEST;
    MIGE_TRY(run_all(w));
    w->total = w->cost;
    mige_progress_begin("mi, per mille", PARTS);
    int err = mige_agree(w->c, run_all(w));
    mige_progress_end();
    MIGE_TRY(err);
    MIGE_TRY(mige_sum(w->c, w->each, (size_t)w->M));
    MIGE_TRY(mige_sum(w->c, w->rest_at, T * (size_t)w->M));
    MIGE_TRY(mige_sum(w->c, w->gap_at, T * (size_t)w->M));
    MIGE_TRY(mige_sum(w->c, w->sums->rest, (size_t)w->runs * sizeof *w->sums / sizeof(double)));
    conclude(w, shuffled, e);
    return MIGE_OK;
}

/* ---- the variables and their groups */

static int take_memory(job *w, int ngroups) {
    size_t M = (size_t)w->M, D = (size_t)w->D, runs = (size_t)w->o->shuffles + SHUFFLES + 1,
           block = w->M < w->o->block ? M : (size_t)w->o->block;
    return MIGE_TAKE(&w->pool, MIGE_BLOCK(w->v, M * D), MIGE_BLOCK(w->groups, ngroups), MIGE_BLOCK(w->order, M),
                     MIGE_BLOCK(w->by_class, M), MIGE_BLOCK(w->perm, M), MIGE_BLOCK(w->apart, M),
                     MIGE_BLOCK(w->Z, M * D), MIGE_BLOCK(w->N, block * D), MIGE_BLOCK(w->S, block * D),
                     MIGE_BLOCK(w->work, M * D), MIGE_BLOCK(w->C, D * D), MIGE_BLOCK(w->lambda, D),
                     MIGE_BLOCK(w->noise, D), MIGE_BLOCK(w->part, M), MIGE_BLOCK(w->each, M),
                     MIGE_BLOCK(w->each_rest, M), MIGE_BLOCK(w->each_gap, M), MIGE_BLOCK(w->rest_at, T * M),
                     MIGE_BLOCK(w->gap_at, T * M), MIGE_BLOCK(w->sums, runs));
}

static int map_with(const job *w, enum mige_precondition kind, int dim, const double *X, double *out) {
    mige_map *map;
    MIGE_TRY(mige_map_create(w->c, kind, w->M, dim, &map));
    int err = mige_map_fit(map, X, out);
    mige_map_destroy(&map);
    return err;
}

/* Columns [from, from + dim) of v, mapped and whitened by themselves. Z and work serve. */
static int map_part(job *w, const double *v, int from, int dim) {
    double *X = w->Z, *Y = w->work;
    size_t M = (size_t)w->M, D = (size_t)w->D, d = (size_t)dim;
    for (size_t m = 0; m < M; m++) memcpy(X + m * d, v + m * D + from, d * sizeof *X);
    if (w->o->score.precondition != MIGE_PRECONDITION_NONE &&
        w->o->score.precondition != MIGE_PRECONDITION_WHITEN) {
        MIGE_TRY(map_with(w, w->o->score.precondition, dim, X, Y));
        memcpy(X, Y, M * d * sizeof *X);
    }
    MIGE_TRY(map_with(w, MIGE_PRECONDITION_WHITEN, dim, X, Y));
    /* Ranks on different processors may round differently. */
    MIGE_TRY(mige_bcast(w->c, 0, Y, M * d * sizeof *Y));
    for (size_t m = 0; m < M; m++) memcpy(w->v + m * D + from, Y + m * d, d * sizeof *Y);
    return MIGE_OK;
}

static int create(job *w, const mige_comm *c, int M, int D, int ngroups, const mige_mi_value_options *o) {
    *w = (job){.c = c, .o = o, .M = M, .D = D, .ngroups = ngroups};
    MIGE_TRY(mige_agree(c, mige_mi_value_check(M, D, o)));
    MIGE_TRY(mige_comm_create(MPI_COMM_SELF, &w->self));
    MIGE_TRY(mige_agree(c, take_memory(w, ngroups)));
    mige_rng_permutation(o->seed, MIGE_RNG_SHUFFLE, 0, M, w->perm);
    for (int m = 0; m < M; m++) w->order[m] = (int)w->perm[m];
    return MIGE_OK;
}

static void destroy(job *w) {
    mige_score_destroy(&w->score);
    if (w->self.size) mige_comm_destroy(&w->self);
    mige_pool_free(&w->pool);
}

static int take_groups(job *w, const double *v, int dx, int dz, int dy) {
    int given = w->given, alone = NORMAL | REST | ERROR, surface = 0;
    if (!given) MIGE_TRY(along_on_surface(w->M, w->D, dx, v, &surface));
    if (!given && !surface) alone = NORMAL | ERROR;
    w->groups[0] = (group){alone, 0, dx + dz, w->M, w->order, -1, given ? "x and what is given are" : "x is", 0};
    w->groups[1] = (group){alone, dx, dz + dy, w->M, w->order, -1, given ? "y and what is given are" : "y is", 0};
    w->groups[2] =
        (group){NORMAL | REST | ERROR | MOVES, 0, w->D, w->M, w->order, 1, "all variables together are", 0};
    w->groups[3] = given ? (group){NORMAL | REST | ERROR, dx, dz, w->M, w->order, 1, "what is given is", 0}
                         : (group){REST | APART, 0, w->D, w->M, w->order, -1, NULL, 0};
    w->ngroups = surface ? 3 : 4;
    return MIGE_OK;
}

int mige_mi_value(const mige_comm *c, int M, int nparts, const int *dims, const double *v,
                  const mige_mi_value_options *o, double *shuffled, mige_mi_estimate *e) {
    job w;
    int given = nparts == MIGE_MI_PARTS, dx = dims[0], dz = given ? dims[2] : 0, dy = dims[1], D = dx + dy + dz;
    MIGE_CHECK(!given || !o->shuffles, MIGE_EUSAGE, "mi: shuffles would break what is given, too (none)");
    int err = create(&w, c, M, D, 4, o);
    w.moved = dx + dz;
    w.given = given;
    if (!err) err = map_part(&w, v, 0, dx);
    if (!err && given) err = map_part(&w, v, dx, dz);
    if (!err) err = map_part(&w, v, dx + dz, dy);
    if (!err) err = mige_agree(c, take_groups(&w, v, dx, dz, dy));
    if (!err) err = compute(&w, shuffled, e);
    destroy(&w);
    return err;
}

/* Rows class by class, in random order within each; and random parts of all of the same sizes. */
static int group_classes(job *w, int classes, const int *label) {
    for (int k = 0, first = 0; k < classes; k++) {
        int n = 0;
        for (int i = 0; i < w->M; i++)
            if (label[w->order[i]] == k) w->by_class[first + n++] = w->order[i];
        MIGE_CHECK(n >= mige_mi_least(w->D), MIGE_EINPUT,
                   "mi: class %d has %d samples, too few for %d dimensions (%d at least; or leave it out)", k, n,
                   w->D, mige_mi_least(w->D));
        w->groups[k] = (group){NORMAL | REST | ERROR, 0, w->D, n, w->order + first, -1, "x is", 0};
        w->groups[classes + k] =
            (group){NORMAL | REST | ERROR | MOVES, 0, w->D, n, w->by_class + first, 1, NULL, k};
        first += n;
        w->labels -= (double)n / w->M * log((double)n / w->M);
    }
    w->groups[2 * classes] = (group){REST | WHOLE, 0, w->D, w->M, w->order, 1, NULL, 0};
    return MIGE_OK;
}

int mige_mi_of_labels(const mige_comm *c, int M, int D, const double *v, int classes, const int *label,
                      const mige_mi_value_options *o, double *shuffled, mige_mi_estimate *e) {
    job w;
    int err = create(&w, c, M, D, 2 * classes + 1, o);
    if (!err) err = mige_agree(c, group_classes(&w, classes, label));
    if (!err) err = map_part(&w, v, 0, D);
    if (!err) err = compute(&w, shuffled, e);
    destroy(&w);
    return err;
}
