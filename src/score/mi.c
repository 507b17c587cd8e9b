#include "mige/mi.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "score/score.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8, NAME = 8 };

typedef struct {
    char name[NAME];
    int dim, gradient, pairs; /* how many pairs it is in */
    mige_map *map;            /* NULL without preconditioning */
    double *mapped;           /* [M][dim] */
} variable;

/* A score problem: of one variable, or of two, whose columns follow each other. */
typedef struct {
    char name[2 * NAME];
    int n, of[2], dim;
} problem;

struct mige_mi {
    const mige_comm *c;
    int M, nvars, n;
    variable var[MOST];
    problem problem[2 * MOST];
    mige_problems *problems;
    int radial;                /* scores are corrected by radial_correct: */
    double *part, *prediction; /* [M][dim] of one variable in one problem */
    double *cross;             /* [dim][dim of the other variable] */
    mige_pool pool;
};

static void list_marginal(mige_mi *m, int v) {
    const variable *u = &m->var[v];
    if (!u->gradient) return;
    for (int i = 0; i < m->n; i++)
        if (m->problem[i].n == 1 && m->problem[i].of[0] == v) return;
    problem *p = &m->problem[m->n++];
    *p = (problem){.n = 1, .of = {v}, .dim = u->dim};
    memcpy(p->name, u->name, NAME);
}

static void list_pair(mige_mi *m, int a, int b) {
    list_marginal(m, b);
    list_marginal(m, a);
    problem *p = &m->problem[m->n++];
    *p = (problem){.n = 2, .of = {a, b}, .dim = m->var[a].dim + m->var[b].dim};
    strcat(strcpy(p->name, m->var[a].name), m->var[b].name);
    m->var[a].pairs++;
    m->var[b].pairs++;
}

static int list(mige_mi *m, int nvars, const mige_mi_variable *vars, int npairs, const mige_mi_pair *pairs) {
    MIGE_CHECK(nvars >= 0 && nvars <= MOST && npairs >= 1 && npairs <= MOST, MIGE_EUSAGE,
               "mi: %d variables in %d pairs are not possible", nvars, npairs);
    m->nvars = nvars;
    for (int v = 0; v < nvars; v++) {
        MIGE_CHECK(strlen(vars[v].name) < NAME, MIGE_EUSAGE, "mi: the name %s is too long", vars[v].name);
        m->var[v] = (variable){.dim = vars[v].dim, .gradient = vars[v].gradient};
        memcpy(m->var[v].name, vars[v].name, strlen(vars[v].name));
    }
    for (int i = 0; i < npairs; i++) {
        int a = pairs[i].a, b = pairs[i].b;
        MIGE_CHECK(a >= 0 && b >= 0 && a < nvars && b < nvars && a != b, MIGE_EUSAGE,
                   "mi: variables %d and %d of %d are no pair", a, b, nvars);
        list_pair(m, a, b);
    }
    return MIGE_OK;
}

static int largest(const mige_mi *m) {
    int d = 0;
    for (int v = 0; v < m->nvars; v++)
        if (m->var[v].pairs && m->var[v].dim > d) d = m->var[v].dim;
    return d;
}

/* Cubic test functions are for variables without heavy tails, and for scores that satisfy the linear ones. */
static int corrected(const mige_score_options *o) {
    return o->precondition == MIGE_PRECONDITION_ICA && o->calibrate == MIGE_CALIBRATE_STEIN;
}

static int create_maps(mige_mi *m, const mige_score_options *o) {
    if (o->precondition == MIGE_PRECONDITION_NONE) return MIGE_OK;
    size_t M = (size_t)m->M, d = (size_t)largest(m);
    for (variable *u = m->var; u < m->var + m->nvars; u++) {
        if (!u->pairs) continue;
        MIGE_TRY(mige_map_create(m->c, o->precondition, m->M, u->dim, &u->map));
        MIGE_TRY(mige_agree(m->c, MIGE_TAKE(&m->pool, MIGE_BLOCK(u->mapped, M * (size_t)u->dim))));
    }
    m->radial = corrected(o);
    if (!m->radial) return MIGE_OK;
    return mige_agree(m->c, MIGE_TAKE(&m->pool, MIGE_BLOCK(m->part, M * d), MIGE_BLOCK(m->prediction, M * d),
                                      MIGE_BLOCK(m->cross, d * d)));
}

/* Uncalibrated columns do not need each other: those of variables without a gradient are left out. */
static void want(mige_mi *m, const mige_score_options *o) {
    for (int i = 0; i < m->n && !o->calibrate; i++) {
        const variable *a = &m->var[m->problem[i].of[0]], *b = &m->var[m->problem[i].of[1]];
        mige_problem *p = mige_problems_get(m->problems, i);
        if (m->problem[i].n == 1 || !(a->gradient || b->gradient)) continue;
        if (!a->gradient) p->first = a->dim;
        p->wanted = (a->gradient ? a->dim : 0) + (b->gradient ? b->dim : 0);
    }
}

static void dims_of(const mige_mi *m, int dims[2 * MOST]) {
    for (int i = 0; i < m->n; i++) dims[i] = m->problem[i].dim;
}

int mige_mi_create(const mige_comm *c, int M, int nvars, const mige_mi_variable *vars, int npairs,
                   const mige_mi_pair *pairs, const mige_score_options *o, mige_mi **out) {
    mige_mi *m = NULL;
    mige_score_options mapped = *o; /* by create_maps */
    int dims[2 * MOST];
    *out = NULL;
    mapped.precondition = MIGE_PRECONDITION_NONE;
    MIGE_TRY(mige_alloc_all(c, 1, sizeof *m, &m));
    *m = (mige_mi){.c = c, .M = M};
    int err = list(m, nvars, vars, npairs, pairs);
    dims_of(m, dims);
    if (!err) err = mige_problems_create(c, M, m->n, dims, &mapped, &m->problems);
    if (!err) want(m, o);
    if (!err) err = create_maps(m, o);
    if (err) mige_mi_destroy(&m);
    *out = m;
    return err;
}

void mige_mi_destroy(mige_mi **m) {
    if (!*m) return;
    mige_problems_destroy(&(*m)->problems);
    for (int v = 0; v < (*m)->nvars; v++) mige_map_destroy(&(*m)->var[v].map);
    mige_pool_free(&(*m)->pool);
    free(*m);
    *m = NULL;
}

double mige_mi_bytes(int M, int nvars, const mige_mi_variable *vars, int npairs, const mige_mi_pair *pairs,
                     int ranks, const mige_score_options *o) {
    mige_mi m = {.M = M};
    int dims[2 * MOST];
    if (list(&m, nvars, vars, npairs, pairs)) return INFINITY;
    dims_of(&m, dims);
    double bytes = mige_problems_bytes(M, m.n, dims, ranks, o);
    for (int v = 0; v < nvars && o->precondition != MIGE_PRECONDITION_NONE; v++)
        if (m.var[v].pairs) bytes += 8. * M * m.var[v].dim + mige_map_bytes(o->precondition, M, m.var[v].dim);
    if (corrected(o)) bytes += 8. * largest(&m) * (2. * M + largest(&m));
    return bytes;
}

/* x [M][D], the k-th variable of problem i, to its columns of the input. */
static void put(mige_mi *m, int i, int k, const double *x) {
    const problem *p = &m->problem[i];
    size_t D = (size_t)m->var[p->of[k]].dim;
    double *to = mige_problems_get(m->problems, i)->input + (k ? m->var[p->of[0]].dim : 0);
    for (size_t r = 0; r < (size_t)m->M; r++) memcpy(to + r * (size_t)p->dim, x + r * D, D * sizeof *x);
}

/* What the other variable o of a problem says of variable v: t_v predicted from t_o as E[t_v t_o'] t_o, which for
 * variables of covariance I is the regression. */
static const double *predict(mige_mi *m, const variable *v, const variable *o) {
    int M = m->M;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, v->dim, o->dim, M, 1. / M, v->mapped, v->dim, o->mapped,
                o->dim, 0, m->cross, o->dim);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, v->dim, o->dim, 1, o->mapped, o->dim, m->cross, o->dim,
                0, m->prediction, v->dim);
    return m->prediction;
}

/* dx [M][D] += what problem i says of its k-th variable. */
static void add(mige_mi *m, int i, int k, double *dx) {
    const problem *p = &m->problem[i];
    const variable *v = &m->var[p->of[k]];
    const mige_problem *r = mige_problems_get(m->problems, i);
    const double *from = r->scores + ((k ? m->var[p->of[0]].dim : 0) - r->first);
    double factor = (p->n == 2 ? 1. : -v->pairs) / m->M; /* its own entropy is part of each information */
    size_t M = (size_t)m->M, D = (size_t)v->dim, stride = (size_t)r->wanted;
    if (m->radial) {
        for (size_t j = 0; j < M; j++) memcpy(m->part + j * D, from + j * stride, D * sizeof *from);
        radial_correct(m->M, v->dim, v->mapped, p->n == 2 ? predict(m, v, &m->var[p->of[!k]]) : NULL, m->part);
        from = m->part;
        stride = D;
    }
    for (size_t j = 0; j < M; j++)
        for (size_t d = 0; d < D; d++) dx[j * D + d] += factor * from[j * stride + d];
}

/* gradients of mapped variables become those of the variables. */
static int pull(mige_mi *m, double *const *gradients) {
    for (int v = 0; v < m->nvars; v++) {
        if (!m->var[v].map || !m->var[v].gradient) continue;
        mige_map_pull(m->var[v].map, gradients[v]);
        /* Ranks on different processors may round differently. */
        MIGE_TRY(mige_bcast(m->c, 0, gradients[v], (size_t)m->M * (size_t)m->var[v].dim * sizeof **gradients));
    }
    return MIGE_OK;
}

int mige_mi_gradient(mige_mi *m, const double *const *values, double *const *gradients) {
    for (int v = 0; v < m->nvars; v++)
        if (m->var[v].map) MIGE_TRY(mige_map_fit(m->var[v].map, values[v], m->var[v].mapped));
    for (int i = 0; i < m->n; i++)
        for (int k = 0; k < m->problem[i].n; k++) {
            int v = m->problem[i].of[k];
            put(m, i, k, m->var[v].map ? m->var[v].mapped : values[v]);
        }
    MIGE_TRY(mige_problems_solve(m->problems));
    for (int v = 0; v < m->nvars; v++)
        if (m->var[v].gradient && m->var[v].pairs)
            memset(gradients[v], 0, (size_t)m->M * (size_t)m->var[v].dim * sizeof **gradients);
    for (int i = 0; i < m->n; i++)
        for (int k = 0; k < m->problem[i].n; k++) {
            int v = m->problem[i].of[k];
            if (m->var[v].gradient) add(m, i, k, gradients[v]);
        }
    return pull(m, gradients);
}

int mige_mi_num_problems(const mige_mi *m) {
    return m->n;
}

mige_mi_problem mige_mi_get_problem(const mige_mi *m, int i) {
    const mige_problem *r = mige_problems_get(m->problems, i);
    return (mige_mi_problem){m->problem[i].name, m->problem[i].dim, r->J, r->width, r->stein};
}

/* ---- what values of it ask for */

mige_mi_value_options mige_mi_value_defaults(void) {
    mige_mi_value_options o = {.score = mige_score_defaults(), .seed = 1, .block = 5120};
    o.score.estimator = MIGE_ESTIMATOR_STEIN;
    o.score.stein.eta = 0.1;
    o.score.width_scale = 0.5;
    o.score.calibrate = MIGE_CALIBRATE_STEIN;
    o.score.precondition = MIGE_PRECONDITION_NORMAL_SCORES;
    return o;
}

int mige_mi_least(int D) {
    return 3 * (D + 1);
}

double mige_mi_value_bytes(int M, int D, const mige_mi_value_options *o) {
    double block = fmin(M, o->block), all = 8. * M * D,
           maps = mige_map_bytes(o->score.precondition, M, D) + 2 * all;
    double score = mige_score_forecast((int)block, D, 1, &o->score).bytes;
    return 3 * all + 8. * ((7. + 2 * MIGE_MI_TIMES) * M + 2 * block * D + (double)D * D) + fmax(maps, score);
}

int mige_mi_value_check(int M, int D, const mige_mi_value_options *o) {
    int least = mige_mi_least(D);
    MIGE_CHECK(M >= least, MIGE_EINPUT, "mi: %d samples are too few for %d dimensions (%d at least)", M, D, least);
    MIGE_CHECK(o->block >= 2 * least && o->shuffles >= 0 && o->draws >= 0, MIGE_EUSAGE,
               "mi: blocks of %d samples, %d draws, %d shuffles are not possible in %d dimensions", o->block,
               o->draws, o->shuffles, D);
    return mige_score_check(M < o->block ? M : o->block, D, &o->score);
}
