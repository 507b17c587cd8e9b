/* mige score: the estimator as a tool. */
#include "app/app.h"
#include "mige/log.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int M, Q, D;
    mige_array *in, *at;             /* samples, points */
    double *X, *P, *S, *SP, *H, *HP; /* H, HP: NULL unless asked for */
    mige_score_error error;
    mige_pool memory; /* of these */
} samples;

int open_samples(const config *c, const char *path, const char *name, const char *usual, mige_array **a) {
    MIGE_TRY(mige_array_open(path, name, c->transpose, a));
    if (!strcmp(mige_array_what(*a), path) && strcmp(name, usual) != 0)
        mige_warn("%s: holds one array, which has no name: %s is not read", path, name);
    return MIGE_OK;
}

/* Sizes, before anything is read: every rank reads the files itself. */
static int look(const config *c, samples *s) {
    int d = 0;
    MIGE_TRY(open_samples(c, c->input, c->dataset, "/samples", &s->in));
    MIGE_TRY(mige_array_samples(s->in, &s->M, &s->D));
    MIGE_CHECK(s->M > 1, MIGE_EINPUT, "%s has a single row: samples are rows (--transpose takes the columns)",
               mige_array_what(s->in));
    MIGE_CHECK(c->eigen <= s->M, MIGE_EUSAGE, "--eigen: %lld is more than the %d samples of %s",
               (long long)c->eigen, s->M, c->input);
    if (!*c->points) return MIGE_OK;
    MIGE_TRY(open_samples(c, c->points, c->points_dataset, "/points", &s->at));
    MIGE_TRY(mige_array_samples(s->at, &s->Q, &d));
    MIGE_CHECK(d == s->D, MIGE_EINPUT, "%s: points have %d dimensions, samples %d", c->points, d, s->D);
    return MIGE_OK;
}

int read_samples(const mige_array *a, int n, int D, double *x) {
    MIGE_TRY(mige_array_read(a, 0, n, x));
    for (int i = 0; i < n; i++)
        MIGE_CHECK(!mige_not_finite((size_t)D, x + (size_t)i * (size_t)D), MIGE_EINPUT,
                   "%s: row %d is not finite (remove it or mend it)", mige_array_what(a), i);
    return MIGE_OK;
}

static int load(samples *s, int hessian) {
    size_t n = (size_t)s->M * (size_t)s->D, q = (size_t)s->Q * (size_t)s->D;
    MIGE_TRY(
        MIGE_TAKE(&s->memory, MIGE_BLOCK(s->X, n), MIGE_BLOCK(s->S, n), MIGE_BLOCK(s->P, q), MIGE_BLOCK(s->SP, q)));
    if (hessian) MIGE_TRY(MIGE_TAKE(&s->memory, MIGE_BLOCK(s->H, n), MIGE_BLOCK(s->HP, q)));
    MIGE_TRY(read_samples(s->in, s->M, s->D, s->X));
    return s->Q ? read_samples(s->at, s->Q, s->D, s->P) : MIGE_OK;
}

enum { DRAWN = 1 << 24 }; /* numbers that are kept beside the scores, for pictures */

static int write_all(mige_file *f, const config *c, const samples *s, const mige_score_info *info) {
    const char *units = "1/units of samples", *squared = "1/units of samples^2";
    mige_layout at_samples = {MIGE_F64, 2, {s->M, s->D}}, at_points = {MIGE_F64, 2, {s->Q, s->D}};
    mige_layout pairs = {MIGE_F64, 1, {info->pairs.J}};
    MIGE_TRY(
        mige_file_write(f, "/score", at_samples, s->S, units, "gradient of the log density at the samples", 0));
    if ((size_t)s->M * (size_t)s->D <= DRAWN)
        MIGE_TRY(mige_file_write(f, "/samples", at_samples, s->X, "units of samples", "the samples as read", 0));
    if (s->Q)
        MIGE_TRY(mige_file_write(f, "/score_points", at_points, s->SP, units,
                                 "gradient of the log density at the points", 0));
    if (s->H)
        MIGE_TRY(mige_file_write(f, "/hessian_diagonal", at_samples, s->H, squared,
                                 "diagonal of the Hessian of the log density at the samples", 0));
    if (s->HP && s->Q)
        MIGE_TRY(mige_file_write(f, "/hessian_diagonal_points", at_points, s->HP, squared,
                                 "diagonal of the Hessian of the log density at the points", 0));
    if (info->pairs.J)
        MIGE_TRY(mige_file_write(f, "/eigenvalues", pairs, info->pairs.lambda, "1",
                                 "leading eigenvalues of the Gram matrix, descending", 0));
    MIGE_TRY(mige_file_set_real(f, "/", "relative_error_squared", mige_score_error_square(&s->error)));
    MIGE_TRY(mige_file_set_real(f, "/", "relative_error_squared_deviation", s->error.uncertain / s->error.truth));
    MIGE_TRY(mige_file_set_real(f, "/", "width", info->width));
    MIGE_TRY(mige_file_set_int(f, "/", "eigen", info->pairs.J));
    MIGE_TRY(mige_file_set_real(f, "/", "threshold", c->threshold));
    return mige_file_set_text(f, "/", "solver", info->solver);
}

static int write_scores(const config *c, const samples *s, const mige_score_info *info, int mapped) {
    mige_file *f;
    MIGE_TRY(mige_score_doubts(s->M, s->D, s->X, s->S, mapped, &s->error));
    MIGE_TRY(mige_score_point_doubts(s->M, s->Q, s->D, s->X, s->S, s->P, s->SP));
    MIGE_TRY(mige_file_create(c->output, "mige-score", &f));
    return mige_file_commit(&f, write_all(f, c, s, info));
}

/* What mige_memory_check asks for. */
typedef struct {
    int D, Q, ranks, hessian;
    const mige_score_options *o;
} demand;

static double need(const void *ctx, int M) {
    const demand *d = ctx;
    double piece = d->Q ? 8. * M * (256 + d->D) : 0; /* of the kernel at other points */
    if (d->hessian) piece = mige_score_hessian_bytes(M, d->D, M > d->Q ? M : d->Q, d->ranks);
    /* Samples and scores, of points, too; what doubts are looked for in; mapped samples, and the map. */
    double map = d->o->precondition ? mige_map_bytes(d->o->precondition, M, d->D) + 8. * fmax(M, d->Q) * d->D : 0;
    return mige_score_forecast(M, d->D, d->ranks, d->o).bytes + 8. * (2 + d->hessian) * (M + (double)d->Q) * d->D +
           mige_score_doubts_bytes(M, d->Q, d->D) + mige_score_judge_bytes(M, d->D, d->ranks, d->o) + piece + map;
}

/* Refuses what does not fit. With the solver left open, the estimator's that takes least goes on. */
static int check_memory(const app *a, const samples *s, mige_score_options *o, double *bytes, int *fits) {
    demand d = {s->D, s->Q, a->comm.size, a->cfg.hessian, o};
    const mige_estimator_facts *f = mige_estimator_get(o->estimator);
    mige_memory m = memory_of(a);
    double share;
    MIGE_TRY(mige_memory_share(&m, &share));
    if (!a->cfg.solver && f->lean_solver && !strcmp(f->lean_estimator, f->name) && share > 0 &&
        need(&d, s->M) > share) {
        MIGE_TRY(mige_score_set_solver(o, f->lean_solver));
        m.hint = "";
        mige_say("score: the matrix does not fit and is not stored (--solver %s)", f->lean_solver);
    }
    *bytes = need(&d, s->M);
    *fits = share <= 0 || *bytes <= share;
    return mige_memory_check(&m, a->cfg.input, s->M, need, &d);
}

static int plain(mige_score *score, samples *s) {
    MIGE_TRY(mige_score_samples(score, s->X, s->S));
    if (s->H) MIGE_TRY(mige_score_hessian(score, s->M, s->X, s->H));
    if (s->H) mige_score_hessian_doubts(s->M, s->D, s->S, s->H);
    if (s->HP && s->Q) MIGE_TRY(mige_score_hessian(score, s->Q, s->P, s->HP));
    return s->Q ? mige_score_points(score, s->Q, s->P, s->SP) : MIGE_OK;
}

/* Scores of t = T(x), carried back to x. */
static int mapped(app *a, mige_score *score, enum mige_precondition kind, const mige_score_options *o, samples *s) {
    mige_map *map = NULL;
    double *T = NULL;
    size_t most = (size_t)(s->M > s->Q ? s->M : s->Q);
    int err = mige_map_create(&a->comm, kind, s->M, s->D, &map);
    if (!err) err = mige_agree(&a->comm, mige_alloc(most * (size_t)s->D, sizeof *T, &T));
    if (!err) err = mige_map_fit(map, s->X, T);
    if (!err) err = mige_score_judge(&a->comm, s->M, s->D, T, o, &s->error);
    if (!err) err = mige_score_samples(score, T, s->S);
    if (!err) err = mige_agree(&a->comm, mige_map_scores(map, s->M, s->S));
    if (!err && s->Q) err = mige_agree(&a->comm, mige_map_points(map, s->Q, s->P, T));
    if (!err && s->Q) err = mige_score_points(score, s->Q, T, s->SP);
    if (!err && s->Q) err = mige_agree(&a->comm, mige_map_scores(map, s->Q, s->SP));
    mige_map_destroy(&map);
    free(T);
    return err;
}

static int estimate(app *a, samples *s) {
    const config *c = &a->cfg;
    mige_score_options o;
    mige_score *score = NULL;
    double bytes;
    int fits;
    MIGE_TRY(config_score(c, &o));
    MIGE_TRY(mige_score_check(s->M, s->D, &o));
    MIGE_CHECK(o.precondition == MIGE_PRECONDITION_NONE || o.precondition == MIGE_PRECONDITION_WHITEN, MIGE_EUSAGE,
               "--precondition: scores by themselves can be had with none and whiten; normal-scores and ica serve "
               "gradients of mutual information");
    MIGE_CHECK(!c->hessian || (!o.precondition && o.estimator != MIGE_ESTIMATOR_SSM), MIGE_EUSAGE,
               "--hessian: goes with --precondition none and estimators ssge and stein");
    MIGE_TRY(check_memory(a, s, &o, &bytes, &fits));
    mige_score_plan plan = mige_score_forecast(s->M, s->D, a->comm.size, &o);
    mige_say("score: %d samples in %d dimensions%s, %d ranks, grid %d x %d, %.3g MB a rank", s->M, s->D,
             s->Q ? " and other points" : "", a->comm.size, plan.rows, plan.cols, bytes / 1e6);
    int err = mige_agree(&a->comm, fits || !c->dry_run ? load(s, c->hessian) : MIGE_OK);
    if (err || c->dry_run) return err;
    enum mige_precondition kind = o.precondition;
    o.precondition = MIGE_PRECONDITION_NONE;
    if (!kind) err = mige_score_judge(&a->comm, s->M, s->D, s->X, &o, &s->error);
    if (!err) err = mige_score_create(&a->comm, s->M, s->D, &o, &score);
    if (!err) err = kind ? mapped(a, score, kind, &o, s) : plain(score, s);
    if (!err) {
        const mige_score_info *info = mige_score_last(score);
        char pairs[32] = "", off[64];
        if (info->pairs.J) snprintf(pairs, sizeof pairs, ", J %d", info->pairs.J);
        err = mige_agree(&a->comm, a->comm.rank == 0 ? write_scores(c, s, info, kind != 0) : MIGE_OK);
        if (!err)
            mige_say("score: width %.6g%s%s, written to %s", info->width, pairs,
                     mige_score_error_text(&s->error, off), c->output);
        if (!err && o.eigen.check && info->pairs.J)
            mige_say("score: residual %.2e, orthogonality %.2e", info->pairs.residual, info->pairs.orthogonality);
    }
    mige_score_destroy(&score);
    return err;
}

int cmd_score(app *a) {
    samples s = {0};
    int err = mige_agree(&a->comm, look(&a->cfg, &s));
    /* Once more: only now it is known where links lead. */
    if (!err) err = mige_agree(&a->comm, a->comm.rank == 0 ? check_output(&a->cfg, 0) : MIGE_OK);
    if (!err) err = estimate(a, &s);
    mige_array_close(&s.in);
    mige_array_close(&s.at);
    mige_pool_free(&s.memory);
    return err;
}
