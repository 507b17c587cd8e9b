/* How far scores are off, from samples alone: they are estimated from some and looked at on others, where the true
 * score s obeys E[s' W g] = -E[tr W dg] for every g (Stein's identity). With g the estimate, W the columns'
 * variances,
 *
 *   E |g - s|^2 = E |g|^2 + 2 E tr(W dg) + E |s|^2     (Hyvarinen 2005)
 *
 * of which the last is not known. It is at least what the score l of a normal distribution of the same covariance
 * explains of s, which for normal samples is all; and what g does, or the scores of columns by themselves, each of
 * its own: of such a function f, E[tr W df]^2 / E |f|^2. */
#include "base/simd.h"
#include "mige/blas.h"
#include "mige/error.h"
#include "mige/log.h"
#include "mige/rng.h"
#include "mige/score.h"
#include "score/doubts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    MOST = 2560, /* samples that are looked at */
    LEAST = 100,
    PART = 5,  /* one in so many is held out */
    MANY = 50, /* held out, of which slopes can be told */
    BUMPS = 512,
    MOST_DIMENSIONS = 512
};

/* A column with more of its values more than once is not looked at by itself. */
static const double TIED = 0.1;

typedef struct {
    int n, held, D; /* samples that are taken, of which the first are held out */
    double *X, *Z;  /* [n][D], and in units of the deviations, white where they can be */
    double *S, *H;  /* [held][D] scores and second derivatives of the others' estimate */
    double *fitted; /* [n - held][D] scores there, which nobody looks at */
    white w;
    int together;                  /* whether Z is white */
    double normal;                 /* E |l|^2, */
    double mean_length;            /* and as the samples that are taken have it */
    double by_columns;             /* E |s|^2 at least */
    double *size, *slope, *length; /* [held] see measure */
    mige_pool pool;                /* of these */
} trial;

static int count(int M) {
    return M < MOST ? M : MOST;
}

static int possible(int M, int D, const mige_score_options *o) {
    return M >= LEAST && D <= MOST_DIMENSIONS && o->estimator != MIGE_ESTIMATOR_SSM;
}

/* By a stored solver: there are few. */
static mige_score_options options_of(int n, const mige_score_options *o) {
    mige_score_options few = *o;
    few.stein.solver = MIGE_STEIN_AUTO;
    few.eigen.solver = mige_eigen_defaults().solver;
    few.eigen.check = 0;
    few.eigen.eigen = o->eigen.eigen < n ? o->eigen.eigen : n;
    return few;
}

double mige_score_judge_bytes(int M, int D, int ranks, const mige_score_options *o) {
    int n = count(M), held = n / PART;
    double d = D;
    if (!possible(M, D, o)) return 0;
    mige_score_options few = options_of(n - held, o);
    return mige_score_forecast(n - held, D, ranks, &few).bytes +
           mige_score_hessian_bytes(n - held, D, held, ranks) + 8 * (3 * n * d + held * (2 * d + 3) + d * d + M);
}

/* Z = -W^1/2 l, of the samples that are taken; the mean square of what is estimated of a normal distribution is too
 * large by that of the inverse of a covariance. */
static int whiten(trial *t) {
    int n = t->n, D = t->D;
    MIGE_TRY(white_create(&t->pool, n, D, t->X, t->Z, &t->w, &t->together));
    if (t->together)
        cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit, n, D, 1, t->w.L, D, t->Z, D);
    t->normal = 0;
    for (size_t i = 0; i < (size_t)n * (size_t)D; i++) t->normal += t->Z[i] * t->Z[i] / n;
    t->mean_length = t->normal;
    if (t->together) t->normal *= (n - D - 2.) / n;
    return MIGE_OK;
}

/* What a function explains of a score at least, of the function's squares and slopes at n points: (mean slope)^2 /
 * mean square, less what chance may have added. */
static double explains(int n, const double *size, const double *slope) {
    double a = 0, b = 0, mean = 0, square = 0;
    for (int i = 0; i < n; i++) a += size[i] / n, b -= slope[i] / n;
    if (!(a > 0 && b > 0)) return 0;
    for (int i = 0; i < n; i++) { /* how the ratio goes with each */
        double part = -2 * b / a * slope[i] - b * b / (a * a) * size[i];
        mean += part / n, square += part * part / n;
    }
    return b * b / a - 3 * sqrt(fmax(square - mean * mean, 0) / n);
}

/* Of column d by itself, in units of its deviation: the score g of a sum of normal bumps around samples at x, its
 * square and derivative. 1 where x is one of these samples. */
static int column_score(const trial *t, int d, double x, double h, double *size, double *slope) {
    double u[BUMPS], e[BUMPS], f = 0, f1 = 0, f2 = 0, w = t->w.deviation[d];
    int n = t->n - t->held < BUMPS ? t->n - t->held : BUMPS, tied = 0;
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)(t->held + i) * (size_t)t->D + (size_t)d;
        u[i] = (x - (t->X[at] - t->w.mean[d]) / w) / h;
        e[i] = u[i] * u[i] / 2;
        tied = tied || u[i] == 0;
    }
    mige_exp((size_t)n, 1, e);
    for (int i = 0; i < n; i++) f += e[i], f1 -= u[i] * e[i], f2 += (u[i] * u[i] - 1) * e[i];
    *size = f > 0 ? pow(f1 / f / h, 2) : 0;
    *slope = f > 0 ? f2 / f / (h * h) - *size : 0;
    return tied;
}

/* E |s|^2 at least, by the columns; those of few values (integers, cut off) have no density by which it could be
 * told. Overwrites what was measured. */
static double columns(trial *t) {
    const double bumps = t->n - t->held < BUMPS ? t->n - t->held : BUMPS, h = 0.9 * pow(bumps, -0.2);
    double sum = 0;
    for (int d = 0; d < t->D; d++) {
        double mean = t->w.mean[d], w = t->w.deviation[d];
        int tied = 0;
        if (!(w > 0)) continue;
        for (int i = 0; i < t->held; i++)
            tied += column_score(t, d, (t->X[(size_t)i * (size_t)t->D + (size_t)d] - mean) / w, h, &t->size[i],
                                 &t->slope[i]);
        sum += tied > TIED * t->held ? 1 : fmax(explains(t->held, t->size, t->slope), 1);
    }
    return sum;
}

static int prepare(int M, int D, const double *X, uint64_t seed, trial *t) {
    *t = (trial){.n = count(M), .held = count(M) / PART, .D = D};
    size_t n = (size_t)t->n, held = (size_t)t->held, d = (size_t)D;
    MIGE_TRY(MIGE_TAKE(&t->pool, MIGE_BLOCK(t->X, n * d), MIGE_BLOCK(t->Z, n * d), MIGE_BLOCK(t->S, held * d),
                       MIGE_BLOCK(t->H, held * d), MIGE_BLOCK(t->fitted, (n - held) * d), MIGE_BLOCK(t->size, held),
                       MIGE_BLOCK(t->slope, held), MIGE_BLOCK(t->length, held)));
    MIGE_TRY(mige_rng_rows(seed, MIGE_RNG_SUBSET, 2, M, D, X, t->n, t->X));
    MIGE_TRY(whiten(t));
    t->by_columns = columns(t);
    return MIGE_OK;
}

static int estimate(const mige_comm *c, const mige_score_options *o, trial *t) {
    mige_score_options few = options_of(t->n - t->held, o);
    mige_score *s = NULL;
    int err = mige_score_create(c, t->n - t->held, t->D, &few, &s);
    if (!err) err = mige_score_samples(s, t->X + (size_t)t->held * (size_t)t->D, t->fitted);
    if (!err) err = mige_score_points(s, t->held, t->X, t->S);
    if (!err) err = mige_score_hessian(s, t->held, t->X, t->H);
    mige_score_destroy(&s);
    return err;
}

/* Of each that is held out |g|^2, tr W dg and |l|^2. */
static void measure(trial *t) {
    for (size_t i = 0, at = 0; i < (size_t)t->held; i++) {
        t->size[i] = t->slope[i] = t->length[i] = 0;
        for (size_t d = 0; d < (size_t)t->D; d++, at++) {
            double w = t->w.deviation[d], g = w * t->S[at];
            t->size[i] += g * g;
            t->slope[i] += w * w * t->H[at];
            t->length[i] += t->Z[at] * t->Z[at];
        }
    }
}

/* The mean of |g|^2 + 2 tr W dg, and its standard error. Of many it is known better from how it goes with |l|^2,
 * whose mean over all samples that are taken is known. */
static double objective(const trial *t, double *error) {
    double n = t->held, y = 0, yy = 0, z = 0, zz = 0, zy = 0;
    for (size_t i = 0; i < (size_t)t->held; i++) {
        double v = t->size[i] + 2 * t->slope[i], length = t->length[i];
        y += v / n, yy += v * v / n, z += length / n, zz += length * length / n, zy += length * v / n;
    }
    double spread = zz - z * z, together = zy - z * y, away = z - t->mean_length;
    double slope = t->held >= MANY && spread > 0 ? together / spread : 0;
    double left = fmax(yy - y * y - slope * together, 0) / n;
    *error = sqrt(left + (slope != 0 ? left * away * away / spread : 0));
    return y - slope * away;
}

/* Of the options' scores, by samples that are prepared: rank 0's result on all. */
static int look(const mige_comm *c, const mige_score_options *o, trial *t, mige_score_error *e) {
    *e = (mige_score_error){.points = 0};
    int err = estimate(c, o, t);
    if (err && err != MIGE_ENUMERIC) return err;
    if (err) mige_error_set("", 0); /* of all samples it may be otherwise, or will be told again */
    if (err) return MIGE_OK;
    measure(t);
    e->samples = t->n - t->held;
    e->points = t->held;
    e->objective = objective(t, &e->uncertain);
    e->truth = fmax(t->by_columns, fmax(explains(t->held, t->size, t->slope), t->normal));
    return mige_bcast(c, 0, e, sizeof *e);
}

/* ---- what is said of it */

/* Scores that are so far off are told; other options that leave so much of it are named. */
static const double FAR = 0.4, BETTER = 0.7;

double mige_score_error_square(const mige_score_error *e) {
    return 1 + e->objective / e->truth;
}

/* Surely, by more than chance. */
static int farther(const mige_score_error *e, double least) {
    return e->points && mige_score_error_square(e) - 2 * e->uncertain / e->truth > least * least;
}

const char *mige_score_error_text(const mige_score_error *e, char text[64]) {
    *text = 0;
    if (farther(e, 0))
        snprintf(text, 64, ", about %.0f %% off at other points (%d held out)",
                 100 * sqrt(mige_score_error_square(e)), e->points);
    return text;
}

/* Smoother estimates, the best of them. */
static int look_for_better(const mige_comm *c, const mige_score_options *o, trial *t, mige_score_error *best) {
    static const double eta[] = {0.1, 1, 1}, width[] = {2, 2, 3};
    *best = (mige_score_error){.objective = INFINITY};
    for (int i = 0; i < 3; i++) {
        mige_score_options other = *o;
        mige_score_error e;
        other.estimator = MIGE_ESTIMATOR_STEIN;
        other.stein.eta = eta[i];
        other.width = 0;
        other.width_scale = width[i];
        other.calibrate = MIGE_CALIBRATE_SCALE;
        MIGE_TRY(look(c, &other, t, &e));
        if (!e.points || e.objective >= best->objective) continue;
        *best = e;
        snprintf(best->better, sizeof best->better, "--estimator stein --eta %g --width-scale %g --calibrate scale",
                 eta[i], width[i]);
    }
    return MIGE_OK;
}

/* E |g - s|^2 is at least 0 with the best options, too: where this is all that E |s|^2 is known by, it cannot be
 * said how far these are off, and they are not named. */
static void compare(const mige_score_error *best, mige_score_error *e) {
    double least = fmax(e->truth, best->truth);
    if (!best->points) return;
    e->truth = fmax(least, -best->objective);
    e->then = 1 + best->objective / e->truth;
    if (e->truth > least || e->then > BETTER * BETTER * mige_score_error_square(e)) return;
    memcpy(e->better, best->better, sizeof e->better);
}

int mige_score_judge(const mige_comm *c, int M, int D, const double *X, const mige_score_options *o,
                     mige_score_error *e) {
    mige_score_error best = {.points = 0};
    trial t;
    *e = best;
    if (!possible(M, D, o)) return MIGE_OK;
    int err = mige_agree(c, prepare(M, D, X, o->seed, &t));
    if (!err) err = look(c, o, &t, e);
    if (!err && farther(e, FAR)) err = look_for_better(c, o, &t, &best);
    if (!err) compare(&best, e);
    mige_pool_free(&t.pool);
    return err;
}

void heldout_tell(const mige_score_error *e, int D) {
    if (!farther(e, FAR)) return;
    double off = 100 * sqrt(mige_score_error_square(e));
    if (*e->better)
        mige_warn("score: by %d of the samples they are about %.0f %% off at others, by %s alone %.0f %%",
                  e->samples, off, e->better, 100 * sqrt(fmax(e->then, 0)));
    else
        mige_warn(
            "score: by %d of the samples they are about %.0f %% off at others: few for %d dimensions, or for what "
            "their density is like (clusters, edges)",
            e->samples, off, D);
}
