/* Mutual information by the scores of its variables (MIGE, section 3): I(x;z) of image and code, I(h;z) of
 * convolutional features and code, I(z1;z2) of the codes of two views. Upstream of variable v of an image:
 *   -(1/B) (s_(v,other)|_v - s_v)
 * since what is minimised is -I. */
#include "mige/clock.h"
#include "train/term.h"
#include <cblas.h>

enum { MOST_VARIABLES = 3, MOST_PAIRS = 2, IMAGE = -1 };

/* Where a variable comes from: values of copy `copy` of each image in a layer, projected or as they are. */
typedef struct {
    int layer, copy, projected;
    int stream; /* of its projection */
    mige_projection projection;
    double *all, *gradient; /* [B][dim] */
} source;

typedef struct {
    int n, npairs;
    mige_mi_variable variable[MOST_VARIABLES];
    source source[MOST_VARIABLES];
    mige_mi_pair pair[MOST_PAIRS];
    mige_mi *mi;
    double *mine;   /* [images][widest dim] */
    float *scratch; /* the same */
    float *back;    /* [images][widest projected layer] */
} mige_term;

static int projected_dim(const train_plan *p, int layer) {
    int size = mige_net_size(p->encoder, layer);
    return p->o->projection < size ? (int)p->o->projection : size;
}

static int add(mige_term *m, const char *name, int dim, int gradient, source s) {
    m->variable[m->n] = (mige_mi_variable){name, dim, gradient};
    m->source[m->n] = s;
    return m->n++;
}

static void pair(mige_term *m, int a, int b) {
    m->pair[m->npairs++] = (mige_mi_pair){a, b};
}

/* The variables and pairs of a circumstance. The layer of h is that of feature conv. */
static void list(const train_plan *p, mige_term *m) {
    const char *conv = mige_encoder_feature(&p->layout, "conv");
    int code = p->layout.n - 1, h = conv ? mige_net_layer(p->encoder, conv) : code;
    int z = add(m, p->o->circumstance == CIRCUMSTANCE_VIEWS ? "z1" : "z", p->code, 1, (source){.layer = code});
    if (p->o->circumstance == CIRCUMSTANCE_VIEWS)
        pair(m, z, add(m, "z2", p->code, 1, (source){.layer = code, .copy = 1}));
    if (p->o->circumstance == CIRCUMSTANCE_I || p->o->circumstance == CIRCUMSTANCE_BOTH)
        pair(m, add(m, "x", projected_dim(p, IMAGE), 0, (source){.layer = IMAGE, .projected = 1, .stream = 0}), z);
    if (p->o->circumstance == CIRCUMSTANCE_II || p->o->circumstance == CIRCUMSTANCE_BOTH)
        pair(m, add(m, "h", projected_dim(p, h), 1, (source){.layer = h, .projected = 1, .stream = 1}), z);
}

static int check(const train_plan *p) {
    int c = p->o->circumstance;
    MIGE_CHECK(p->score->eigen.eigen <= p->batch, MIGE_EUSAGE, "eigen: %d eigenpairs are more than the batch of %d",
               p->score->eigen.eigen, p->batch);
    MIGE_CHECK(c == CIRCUMSTANCE_I || c == CIRCUMSTANCE_VIEWS || mige_encoder_feature(&p->layout, "conv"),
               MIGE_EUSAGE, "circumstance II: encoder %s has no convolutional features (encoder dim has)",
               p->o->encoder);
    return MIGE_OK;
}

/* Projections are numbered by the variable; fresh ones by the step as well. */
static int draw_projections(const trainer *t, mige_term *m) {
    uint64_t first = t->o->fresh_projection ? 2 * (uint64_t)t->step : 0;
    for (int v = 0; v < m->n; v++) {
        source *s = &m->source[v];
        if (!s->projected) continue;
        mige_projection_destroy(&s->projection);
        MIGE_TRY(mige_projection_create(t->plan->seed, first + (uint64_t)s->stream, (int)t->o->projection,
                                        mige_net_size(t->encoder, s->layer), &s->projection));
    }
    return MIGE_OK;
}

static int create(trainer *t, term *k) {
    mige_term *m = k->self;
    int widest = 0, back = 0;
    list(t->plan, m);
    for (int v = 0; v < m->n; v++) {
        source *s = &m->source[v];
        size_t size = (size_t)t->plan->batch * (size_t)m->variable[v].dim;
        MIGE_TRY(MIGE_TAKE(&t->pool, MIGE_BLOCK(s->all, size)));
        widest = m->variable[v].dim > widest ? m->variable[v].dim : widest;
        if (!m->variable[v].gradient) continue;
        MIGE_TRY(MIGE_TAKE(&t->pool, MIGE_BLOCK(s->gradient, size)));
        MIGE_TRY(trainer_want(t, s->layer));
        int whole = mige_net_size(t->encoder, s->layer);
        if (s->projected && whole > back) back = whole;
    }
    size_t images = (size_t)t->images.count;
    return MIGE_TAKE(&t->pool, MIGE_BLOCK(m->mine, images * (size_t)widest),
                     MIGE_BLOCK(m->scratch, images * (size_t)widest), MIGE_BLOCK(m->back, images * (size_t)back));
}

static double bytes(const train_plan *p, const term *k) {
    const mige_term *m = k->self;
    return mige_mi_bytes(p->batch, m->n, m->variable, m->npairs, m->pair, p->ranks, p->score);
}

/* The values of a score problem. */
enum { J, WIDTH, STEIN, VALUES };
static int add_series(trainer *t, term *k, const char *of) {
    MIGE_TRY(trainer_add_series(t, k, of, "_eigen", "1", "J, eigenpairs kept for the score"));
    MIGE_TRY(trainer_add_series(t, k, of, "_width", "1", "kernel width for the score"));
    return trainer_add_series(t, k, of, "_stein", "1",
                              "share of Stein's identity that is kept by the score, before calibration");
}

static int settle(trainer *t, term *k) {
    mige_term *m = k->self;
    MIGE_TRY(mige_agree(t->c, draw_projections(t, m)));
    MIGE_TRY(mige_mi_create(t->c, t->plan->batch, m->n, m->variable, m->npairs, m->pair, t->plan->score, &m->mi));
    int err = MIGE_OK;
    for (int i = 0; !err && i < mige_mi_num_problems(m->mi); i++)
        err = add_series(t, k, mige_mi_get_problem(m->mi, i).name);
    return mige_agree(t->c, err);
}

/* Copies of all images in double, the layer's values or their projection. */
static int gather(trainer *t, mige_term *m, int v) {
    source *s = &m->source[v];
    size_t dim = (size_t)m->variable[v].dim, copies = (size_t)t->plan->copies;
    const float *from = s->layer == IMAGE ? t->x : mige_net_output(t->encoder, s->layer);
    if (s->projected) {
        mige_projection_apply(&s->projection, (int)t->images.count, from, m->scratch, m->mine);
    } else {
        for (size_t i = 0; i < (size_t)t->images.count; i++)
            for (size_t d = 0; d < dim; d++)
                m->mine[i * dim + d] = (double)from[(i * copies + (size_t)s->copy) * dim + d];
    }
    return mige_rows_gather(&t->images, (int)dim, m->mine, s->all);
}

/* Whether most images have the values of the next one, but for rounding: the median distance, and scores of that
 * width, would be of rounding. The same on every rank. */
static int check_spread(const trainer *t, const mige_term *m, int v) {
    enum { ROUNDED = 1 << 18 }; /* of 2^24 by which a float tells numbers apart: sums lose some */
    int n = t->plan->batch, dim = m->variable[v].dim, same = 0;
    const double *all = m->source[v].all;
    double level = cblas_ddot(n * dim, all, 1, all, 1) / n / ROUNDED / ROUNDED;
    for (int i = 0; i < n; i++) {
        const double *a = all + (size_t)i * (size_t)dim, *b = all + (size_t)((i + 1) % n) * (size_t)dim;
        double apart = 0;
        for (int d = 0; d < dim; d++) apart += (a[d] - b[d]) * (a[d] - b[d]);
        same += apart <= level;
    }
    MIGE_CHECK(t->plan->score->width > 0 || 2 * same <= n, MIGE_ENUMERIC,
               "%s: is the same for most of %d images, but for rounding, which scores would follow (equal images? "
               "or it has collapsed: a smaller learning rate, or a fixed --width)",
               m->variable[v].name, n);
    return MIGE_OK;
}

/* upstream -= weight times this rank's rows of the gradient, carried back through the projection. */
static void send_back(trainer *t, mige_term *m, int v, double weight) {
    const source *s = &m->source[v];
    size_t dim = (size_t)m->variable[v].dim, copies = (size_t)t->plan->copies, count = (size_t)t->images.count;
    const double *mine = s->gradient + (size_t)t->images.first * dim;
    float *up = t->upstream[s->layer];
    if (s->projected) {
        mige_projection_adjoint(&s->projection, (int)count, mine, m->scratch, m->back);
        size_t n = count * (size_t)mige_net_size(t->encoder, s->layer);
        for (size_t i = 0; i < n; i++) up[i] -= (float)weight * m->back[i];
        return;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t d = 0; d < dim; d++)
            up[(i * copies + (size_t)s->copy) * dim + d] -= (float)(weight * mine[i * dim + d]);
}

static void report(trainer *t, const term *k, const mige_term *m) {
    for (int i = 0; i < mige_mi_num_problems(m->mi); i++) {
        mige_mi_problem p = mige_mi_get_problem(m->mi, i);
        double *values = t->values + k->series + VALUES * i;
        values[J] = p.J;
        values[WIDTH] = p.width;
        values[STEIN] = p.stein;
    }
}

/* The value is that whose gradient this is with the scores held constant: what automatic differentiation would
 * print. No estimate of I: by Stein's identity a marginal's part of it is its dimension when the scores are
 * unbiased. */
static int apply(trainer *t, term *k) {
    mige_term *m = k->self;
    const double *values[MOST_VARIABLES];
    double *gradients[MOST_VARIABLES];
    if (t->o->fresh_projection) MIGE_TRY(mige_agree(t->c, draw_projections(t, m)));
    mige_clock_start(MIGE_PHASE_GATHER);
    for (int v = 0; v < m->n; v++) {
        MIGE_TRY(gather(t, m, v));
        values[v] = m->source[v].all;
        gradients[v] = m->source[v].gradient;
    }
    mige_clock_stop(MIGE_PHASE_GATHER, 0);
    int err = MIGE_OK;
    for (int v = 0; !err && v < m->n; v++) err = check_spread(t, m, v);
    MIGE_TRY(mige_agree(t->c, err));
    MIGE_TRY(mige_mi_gradient(m->mi, values, gradients));
    for (int v = 0; v < m->n; v++) {
        if (!m->variable[v].gradient) continue;
        int size = t->plan->batch * m->variable[v].dim;
        t->loss -= k->weight * cblas_ddot(size, gradients[v], 1, values[v], 1);
        send_back(t, m, v, k->weight);
    }
    report(t, k, m);
    return MIGE_OK;
}

static void destroy(term *k) {
    mige_term *m = k->self;
    for (int v = 0; v < m->n; v++) mige_projection_destroy(&m->source[v].projection);
    mige_mi_destroy(&m->mi);
}

const term_ops term_mige = {sizeof(mige_term), check, create, settle, bytes, apply, destroy};
