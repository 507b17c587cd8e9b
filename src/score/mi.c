#include "mige/mi.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "score/radial.h"
#include <stdlib.h>
#include <string.h>

/* Which of x, h, z a score problem is about, in the order of its columns. */
enum { X, H, Z, VARIABLES };
typedef struct {
    const char *name;
    int circumstances; /* needed by any of these */
    int has[VARIABLES];
} shape;
static const shape shapes[] = {
    {"z", MIGE_CIRCUMSTANCE_I | MIGE_CIRCUMSTANCE_II, {0, 0, 1}},
    {"xz", MIGE_CIRCUMSTANCE_I, {1, 0, 1}},
    {"h", MIGE_CIRCUMSTANCE_II, {0, 1, 0}},
    {"hz", MIGE_CIRCUMSTANCE_II, {0, 1, 1}},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct mige_mi {
    const mige_comm *c;
    int circumstances, M, n;
    int dim[VARIABLES];
    const shape *shape[SHAPES]; /* of each problem */
    int dims[SHAPES];
    mige_problems *problems;
    mige_map *map[VARIABLES];  /* of each variable; NULL without preconditioning */
    double *mapped[VARIABLES]; /* [M][dim] */
    int radial;                /* scores are corrected by radial_correct: */
    double *part, *prediction; /* [M][dim] of one variable in one problem */
    double *cross;             /* [dim][dim of the other variable] */
};

static int list_problems(mige_mi *m) {
    m->n = 0;
    for (int i = 0; i < SHAPES; i++) {
        if (!(shapes[i].circumstances & m->circumstances)) continue;
        m->shape[m->n] = &shapes[i];
        m->dims[m->n] = 0;
        for (int v = 0; v < VARIABLES; v++) m->dims[m->n] += shapes[i].has[v] ? m->dim[v] : 0;
        m->n++;
    }
    return m->n;
}

static int used(const mige_mi *m, int v) {
    for (int i = 0; i < m->n; i++)
        if (m->shape[i]->has[v]) return 1;
    return 0;
}

static int largest(const mige_mi *m) {
    int d = 0;
    for (int v = 0; v < VARIABLES; v++)
        if (used(m, v) && m->dim[v] > d) d = m->dim[v];
    return d;
}

/* Cubic test functions are for variables without heavy tails, and for scores that satisfy the linear ones. */
static int corrected(const mige_score_options *o) {
    return o->precondition == MIGE_PRECONDITION_ICA && o->calibrate == MIGE_CALIBRATE_STEIN;
}

/* Every problem sees x through the same map. */
static int create_maps(mige_mi *m, const mige_comm *c, const mige_score_options *o) {
    if (o->precondition == MIGE_PRECONDITION_NONE) return MIGE_OK;
    for (int v = 0; v < VARIABLES; v++) {
        if (!used(m, v)) continue;
        MIGE_TRY(mige_map_create(c, o->precondition, m->M, m->dim[v], &m->map[v]));
        MIGE_TRY(mige_agree(c, mige_alloc((size_t)m->M * (size_t)m->dim[v], sizeof *m->mapped[v], &m->mapped[v])));
    }
    m->radial = corrected(o);
    if (!m->radial) return MIGE_OK;
    size_t d = (size_t)largest(m);
    int err = mige_alloc((size_t)m->M * d, sizeof *m->part, &m->part);
    if (!err) err = mige_alloc((size_t)m->M * d, sizeof *m->prediction, &m->prediction);
    if (!err) err = mige_alloc(d * d, sizeof *m->cross, &m->cross);
    return mige_agree(c, err);
}

int mige_mi_create(const mige_comm *c, int circumstances, int M, int dx, int dh, int dz,
                   const mige_score_options *o, mige_mi **out) {
    mige_mi *m = NULL;
    *out = NULL;
    MIGE_TRY(mige_agree(c, mige_alloc(1, sizeof *m, &m)));
    *m = (mige_mi){.c = c, .circumstances = circumstances, .M = M, .dim = {dx, dh, dz}};
    list_problems(m);
    int err = mige_problems_create(c, M, m->n, m->dims, o, &m->problems);
    if (!err) err = create_maps(m, c, o);
    if (err) mige_mi_destroy(&m);
    *out = m;
    return err;
}

void mige_mi_destroy(mige_mi **m) {
    if (!*m) return;
    mige_problems_destroy(&(*m)->problems);
    for (int v = 0; v < VARIABLES; v++) {
        mige_map_destroy(&(*m)->map[v]);
        free((*m)->mapped[v]);
    }
    free((*m)->part);
    free((*m)->prediction);
    free((*m)->cross);
    free(*m);
    *m = NULL;
}

double mige_mi_bytes(int circumstances, int M, int dx, int dh, int dz, int ranks, const mige_score_options *o) {
    mige_mi m = {.circumstances = circumstances, .dim = {dx, dh, dz}};
    int n = list_problems(&m);
    double bytes = mige_problems_bytes(M, n, m.dims, ranks, o);
    for (int v = 0; v < VARIABLES && o->precondition != MIGE_PRECONDITION_NONE; v++)
        if (used(&m, v)) bytes += 8. * M * m.dim[v] + mige_map_bytes(o->precondition, M, m.dim[v]);
    if (corrected(o)) bytes += 8. * largest(&m) * (2. * M + largest(&m));
    return bytes;
}

/* The first column of variable v in the arrays of problem i. */
static int column_of(const mige_mi *m, int i, int v) {
    int at = 0;
    for (int u = 0; u < v; u++) at += m->shape[i]->has[u] ? m->dim[u] : 0;
    return at;
}

/* x [M][dim] to its columns of a problem's input. */
static void put(mige_mi *m, int i, int v, const double *x) {
    double *to = mige_problems_input(m->problems, i) + column_of(m, i, v);
    for (int r = 0; r < m->M; r++)
        memcpy(to + (size_t)r * (size_t)m->dims[i], x + (size_t)r * (size_t)m->dim[v],
               (size_t)m->dim[v] * sizeof *x);
}

/* What the other variable of problem i says of variable v: t_v predicted from t_o as E[t_v t_o'] t_o, which for
 * variables of covariance I is the regression. NULL where v is alone. */
static const double *predict(mige_mi *m, int i, int v) {
    int o = 0, M = m->M, D = m->dim[v];
    while (o < VARIABLES && (o == v || !m->shape[i]->has[o])) o++;
    if (o == VARIABLES) return NULL;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, D, m->dim[o], M, 1. / M, m->mapped[v], D, m->mapped[o],
                m->dim[o], 0, m->cross, m->dim[o]);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, D, m->dim[o], 1, m->mapped[o], m->dim[o], m->cross,
                m->dim[o], 0, m->prediction, D);
    return m->prediction;
}

/* dx [M][dim] += factor times its columns of a problem's scores. */
static void add(mige_mi *m, int i, int v, double factor, double *dx) {
    const double *from = mige_problems_scores(m->problems, i) + column_of(m, i, v);
    size_t M = (size_t)m->M, D = (size_t)m->dim[v], stride = (size_t)m->dims[i];
    if (m->radial) {
        for (size_t r = 0; r < M; r++) memcpy(m->part + r * D, from + r * stride, D * sizeof *from);
        radial_correct(m->M, m->dim[v], m->mapped[v], predict(m, i, v), m->part);
        from = m->part;
        stride = D;
    }
    for (size_t r = 0; r < M; r++)
        for (size_t d = 0; d < D; d++) dx[r * D + d] += factor * from[r * stride + d];
}

int mige_mi_gradient(mige_mi *m, const double *x, const double *h, const double *z, double *dZ, double *dH) {
    const double *in[VARIABLES] = {x, h, z};
    double *out[VARIABLES] = {NULL, dH, dZ}; /* x is given: no gradient */
    for (int v = 0; v < VARIABLES; v++) {
        if (!m->map[v]) continue;
        MIGE_TRY(mige_map_fit(m->map[v], in[v], m->mapped[v]));
        in[v] = m->mapped[v];
    }
    for (int i = 0; i < m->n; i++)
        for (int v = 0; v < VARIABLES; v++)
            if (m->shape[i]->has[v]) put(m, i, v, in[v]);
    MIGE_TRY(mige_problems_solve(m->problems));
    int both = m->circumstances == (MIGE_CIRCUMSTANCE_I | MIGE_CIRCUMSTANCE_II);
    for (int v = 0; v < VARIABLES; v++)
        if (out[v]) memset(out[v], 0, (size_t)m->M * (size_t)m->dim[v] * sizeof *out[v]);
    for (int i = 0; i < m->n; i++) {
        int joint = m->shape[i]->has[X] + m->shape[i]->has[H] + m->shape[i]->has[Z] > 1;
        /* z's own entropy counts once in each information that holds z. */
        double factor = (joint ? 1. : both && m->shape[i]->has[Z] ? -2. : -1.) / m->M;
        for (int v = 0; v < VARIABLES; v++)
            if (m->shape[i]->has[v] && out[v]) add(m, i, v, factor, out[v]);
    }
    for (int v = 0; v < VARIABLES; v++) {
        if (!m->map[v] || !out[v]) continue;
        mige_map_pull(m->map[v], out[v]);
        /* Ranks on different processors may round differently. */
        MIGE_TRY(mige_bcast(m->c, 0, out[v], (size_t)m->M * (size_t)m->dim[v] * sizeof *out[v]));
    }
    return MIGE_OK;
}

int mige_mi_num_problems(const mige_mi *m) {
    return m->n;
}

/* -(1/D) mean of s(x)'(x - mean): Stein's identity says 1. */
static double stein_share(const mige_mi *m, int i) {
    const double *x = mige_problems_input(m->problems, i), *s = mige_problems_scores(m->problems, i);
    size_t D = (size_t)m->dims[i], M = (size_t)m->M;
    double total = 0;
    for (size_t d = 0; d < D; d++) {
        double xs = 0, sx = 0, ss = 0;
        for (size_t r = 0; r < M; r++) {
            xs += x[r * D + d] * s[r * D + d];
            sx += x[r * D + d];
            ss += s[r * D + d];
        }
        total += xs - sx * ss / (double)M;
    }
    return -total / (double)(M * D);
}

mige_mi_problem mige_mi_get_problem(const mige_mi *m, int i) {
    mige_problem_result r = mige_problems_result(m->problems, i);
    return (mige_mi_problem){m->shape[i]->name, m->dims[i], r.J, r.width, stein_share(m, i)};
}
