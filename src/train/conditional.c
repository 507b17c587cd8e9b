/* I(x;z) of a code that is drawn, z = E(x, eps), by scores (MIGE, circumstance III): of S draws of each image the
 * first m enter the marginal, M = B m samples, and are moved by
 *   (weight / M) (-s_z(z) + s_(z|x)(z))
 * s_(z|x) exact where the encoder is Gaussian, -eps / sigma, or estimated as s_z is, from the S draws of the image:
 * small problems, each solved by the rank that has the image. */
#include "mige/clock.h"
#include "mige/log.h"
#include "train/term.h"

enum { WINDOW = 100 }; /* steps */

typedef struct {
    mige_comm self;
    int alone;                        /* the communicator is there */
    mige_rows rows;                   /* of the marginal */
    mige_score *of_all, *of_each;     /* marginal; conditional, NULL: exact */
    double *mine, *Z, *S;             /* [images m][K], [M][K] samples and scores */
    double *z, *s;                    /* [images][S][K] draws, conditional scores */
    double J, width;                  /* of this step's conditional problems, sums over this rank's images */
    double size_of_all, size_of_each; /* mean squares of both scores, over this window's steps */
    int steps, warned;
} conditional;

static int estimated(const train_plan *p) {
    return p->o->conditional == CONDITIONAL_SSGE || p->o->implicit;
}

static int check(const train_plan *p) {
    MIGE_CHECK(!p->score->precondition, MIGE_EUSAGE,
               "objective mige-ib: its samples are not mapped (precondition none)");
    MIGE_CHECK(
        !estimated(p) || p->draws >= 3, MIGE_EUSAGE,
        "conditional score: %d draws of each image are too few to estimate it from (3 or more; 16 served well)",
        p->draws);
    int64_t most = p->o->marginal_draws * p->batch;
    if (estimated(p) && p->draws < most) most = p->draws;
    MIGE_CHECK(p->score->eigen.eigen <= most, MIGE_EUSAGE,
               "eigen: %d eigenpairs are more than the %lld draws they are of", p->score->eigen.eigen,
               (long long)most);
    return MIGE_OK;
}

static int create(trainer *t, term *k) {
    const train_plan *p = t->plan;
    size_t n = (size_t)t->images.count, m = (size_t)p->o->marginal_draws, K = (size_t)p->code, S = (size_t)p->draws;
    conditional *q = k->self;
    size_t M = (size_t)p->batch * m;
    MIGE_TRY(MIGE_TAKE(&t->pool, MIGE_BLOCK(q->mine, n * m * K), MIGE_BLOCK(q->Z, M * K), MIGE_BLOCK(q->S, M * K),
                       MIGE_BLOCK(q->z, n * S * K), MIGE_BLOCK(q->s, n * S * K)));
    MIGE_TRY(trainer_add_series(t, k, "z", "_eigen", "1", "J, eigenpairs kept for the score"));
    MIGE_TRY(trainer_add_series(t, k, "z", "_width", "1", "kernel width for the score"));
    MIGE_TRY(trainer_add_series(t, k, "z", "_score", "1", "mean of |s|^2"));
    MIGE_TRY(trainer_add_series(t, k, "zx", "_score", "1", "mean of |s|^2, given the image,"));
    if (!estimated(p)) return MIGE_OK;
    MIGE_TRY(trainer_add_series(t, k, "zx", "_eigen", "1", "J, mean over the images' problems, for the score"));
    return trainer_add_series(t, k, "zx", "_width", "1",
                              "kernel width, mean over the images' problems, for the score");
}

static double bytes(const train_plan *p, const term *k) {
    int M = (int)p->o->marginal_draws * p->batch;
    (void)k;
    return mige_score_forecast(M, p->code, p->ranks, p->score).bytes +
           (estimated(p) ? mige_score_forecast(p->draws, p->code, 1, p->score).bytes : 0);
}

static int settle(trainer *t, term *k) {
    const train_plan *p = t->plan;
    conditional *q = k->self;
    int m = (int)p->o->marginal_draws;
    MIGE_TRY(mige_rows_create(t->c, p->batch, m, &q->rows));
    MIGE_TRY(mige_score_create(t->c, p->batch * m, p->code, p->score, &q->of_all));
    if (!estimated(p)) return MIGE_OK;
    int err = mige_comm_create(MPI_COMM_SELF, &q->self);
    q->alone = !err;
    MIGE_TRY(mige_agree(t->c, err));
    return mige_agree(t->c, mige_score_create(&q->self, p->draws, p->code, p->score, &q->of_each));
}

/* All problems of this rank's images, each by itself. */
static int solve_each(trainer *t, conditional *q) {
    size_t size = (size_t)t->plan->draws * (size_t)t->plan->code, n = (size_t)t->images.count * size;
    const float *z = trainer_code(t);
    if (!q->of_each) {
        mige_gaussian_score(t->encoder, t->code_layer, t->n, q->s);
        return MIGE_OK;
    }
    for (size_t i = 0; i < n; i++) q->z[i] = (double)z[i];
    q->J = q->width = 0;
    for (size_t i = 0; i < n; i += size) {
        MIGE_TRY(mige_score_samples(q->of_each, q->z + i, q->s + i));
        q->J += mige_score_last(q->of_each)->pairs.J;
        q->width += mige_score_last(q->of_each)->width;
    }
    return MIGE_OK;
}

static int solve_all(trainer *t, conditional *q) {
    size_t m = (size_t)t->o->marginal_draws, K = (size_t)t->plan->code, S = (size_t)t->plan->draws;
    const float *z = trainer_code(t);
    for (size_t i = 0; i < (size_t)t->images.count; i++)
        for (size_t d = 0; d < m * K; d++) q->mine[i * m * K + d] = (double)z[i * S * K + d];
    mige_clock_start(MIGE_PHASE_GATHER);
    MIGE_TRY(mige_rows_gather(&q->rows, (int)K, q->mine, q->Z));
    mige_clock_stop(MIGE_PHASE_GATHER, 0);
    return mige_score_samples(q->of_all, q->Z, q->S);
}

/* s_z is the mean of s_(z|x) over the x that may have given z, so that E|s_z|^2 is at most E|s_(z|x)|^2. An
 * estimate that is larger is noise, which the code is then trained to follow: after some epochs z collapses. */
static void check_size(conditional *q, double of_all, double of_each) {
    q->size_of_all += of_all / WINDOW;
    q->size_of_each += of_each / WINDOW;
    if (++q->steps < WINDOW) return;
    if (q->size_of_all > 1.1 * q->size_of_each && !q->warned++)
        mige_warn("mige-ib: the score of z is larger than that of z given x (mean |s|^2 %.3g and %.3g), which no "
                  "distribution has: noise of too few samples (a larger eta, or more marginal draws)",
                  q->size_of_all, q->size_of_each);
    q->size_of_all = q->size_of_each = q->steps = 0;
}

/* Adds the gradient; its value with the scores held constant, and both scores' squares, summed over ranks. */
static int send_back(trainer *t, term *k, conditional *q) {
    size_t m = (size_t)t->o->marginal_draws, K = (size_t)t->plan->code, S = (size_t)t->plan->draws;
    double M = (double)q->rows.rows, sums[5] = {0, 0, 0, q->J, q->width};
    const float *z = trainer_code(t);
    float *up = t->upstream[t->code_layer];
    for (size_t i = 0; i < (size_t)t->images.count; i++)
        for (size_t d = 0; d < m * K; d++) {
            size_t at = i * S * K + d;
            double of_all = q->S[(size_t)q->rows.first * K + i * m * K + d], of_each = q->s[at];
            double g = (of_each - of_all) / M;
            up[at] += (float)(k->weight * g);
            sums[0] += g * (double)z[at];
            sums[1] += of_all * of_all / M;
            sums[2] += of_each * of_each / M;
        }
    MIGE_TRY(mige_sum(t->c, sums, 5));
    t->loss += k->weight * sums[0];
    double *values = t->values + k->series;
    values[0] = mige_score_last(q->of_all)->pairs.J;
    values[1] = mige_score_last(q->of_all)->width;
    values[2] = sums[1];
    values[3] = sums[2];
    for (int i = 4; i < k->nseries; i++) values[i] = sums[i - 1] / t->plan->batch;
    if (!q->of_each) check_size(q, sums[1], sums[2]);
    return MIGE_OK;
}

static int apply(trainer *t, term *k) {
    conditional *q = k->self;
    mige_clock_start(MIGE_PHASE_SCORE);
    int err = solve_each(t, q);
    MIGE_TRY(mige_agree(t->c, err));
    MIGE_TRY(solve_all(t, q));
    mige_clock_stop(MIGE_PHASE_SCORE, 0);
    return send_back(t, k, q);
}

static void destroy(term *k) {
    conditional *q = k->self;
    mige_score_destroy(&q->of_all);
    mige_score_destroy(&q->of_each);
    if (q->alone) mige_comm_destroy(&q->self);
    mige_rows_destroy(&q->rows);
}

const term_ops term_conditional = {sizeof(conditional), check, create, settle, bytes, apply, destroy};
