/* np: 1 2 3 */
/* How far scores are said to be off, by samples held out, against how far they are: of distributions with a known
 * score, on fresh samples. */
#include "mige/rng.h"
#include "mige/score.h"
#include "ranks.h"
#include <math.h>
#include <stdlib.h>

enum { D = 6, MOST = 1200, FRESH = 600 };

/* n samples, and their scores. */
typedef void distribution(int n, const double *normal, double *x, double *s);

static void normals(int n, const double *normal, double *x, double *s) {
    for (int i = 0; i < n * D; i++) x[i] = normal[i], s[i] = -x[i];
}

/* Each column but the last goes with the next, x_d = z_d + z_(d+1) / 2: s = -A^-T z. */
static void depend(int n, const double *normal, double *x, double *s) {
    for (int i = 0; i < n; i++, normal += D, x += D, s += D)
        for (int d = 0; d < D; d++) {
            x[d] = normal[d] + (d + 1 < D ? normal[d + 1] / 2 : 0);
            s[d] = -normal[d] - (d ? s[d - 1] / 2 : 0);
        }
}

/* The last column lies around two places, the others are normal. */
static void clusters(int n, const double *normal, double *x, double *s) {
    normals(n, normal, x, s);
    for (int i = 0; i < n; i++) {
        double z = normal[i * D + D - 1], side = normal[i * D] * normal[i * D + 1] > 0 ? 2 : -2, y = side + 0.5 * z;
        x[i * D + D - 1] = y;
        s[i * D + D - 1] = -(y - 2 * tanh(8 * y)) / 0.25;
    }
}

typedef struct {
    const char *name;
    distribution *of;
    int M, smooth; /* 0: SSGE; 1, 2: see options */
    int known;     /* all of E |s|^2 is: else they are this far off at least */
} held_case;

static const held_case cases[] = {
    {"normal", normals, 1000, 0, 1},
    {"normal, smooth", normals, 1000, 1, 1},
    {"normal, rough: better where they are made from", normals, 1000, 2, 1},
    {"normal, few", normals, 200, 0, 1},
    {"columns depend", depend, 1000, 0, 1},
    {"clusters", clusters, 1000, 0, 0},
    {"clusters, smooth", clusters, 1000, 1, 0},
};

static mige_score_options options(int smooth) {
    mige_score_options o = mige_score_defaults();
    if (!smooth) return o;
    o.estimator = MIGE_ESTIMATOR_STEIN;
    o.stein.eta = smooth == 1 ? 1 : 0.03;
    o.width_scale = smooth == 1 ? 3 : 1.5;
    o.calibrate = MIGE_CALIBRATE_SCALE;
    return o;
}

/* sqrt(E |g - s|^2 / E |s|^2) at fresh samples, columns in units of the deviations of X. */
static double truly(const held_case *t, const double *x, const mige_score_options *o, const double *fresh,
                    const double *s) {
    double *mem = calloc((size_t)((MOST + FRESH) * D), sizeof *mem), *g = mem + MOST * D, off = 0, all = 0;
    mige_score *e;
    assert_ok(mige_score_create(&world, t->M, D, o, &e));
    assert_ok(mige_score_samples(e, x, mem));
    assert_ok(mige_score_points(e, FRESH, fresh, g));
    for (int d = 0; d < D; d++) {
        double sum = 0, square = 0;
        for (int m = 0; m < t->M; m++) sum += x[m * D + d] / t->M, square += x[m * D + d] * x[m * D + d] / t->M;
        for (int i = d; i < FRESH * D; i += D) {
            off += (square - sum * sum) * pow(g[i] - s[i], 2);
            all += (square - sum * sum) * s[i] * s[i];
        }
    }
    mige_score_destroy(&e);
    free(mem);
    return sqrt(off / all);
}

static void held_out(void **state) {
    static double normal[(MOST + FRESH) * D], x[(MOST + FRESH) * D], s[(MOST + FRESH) * D];
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const held_case *t = &cases[k];
        mige_score_options o = options(t->smooth);
        mige_score_error e;
        mige_rng_normal(7, MIGE_RNG_SAMPLE, k, 0, (size_t)((t->M + FRESH) * D), normal);
        t->of(t->M + FRESH, normal, x, s);
        assert_ok(mige_score_judge(&world, t->M, D, x, &o, &e));
        double said = sqrt(fmax(mige_score_error_square(&e), 0)), is = truly(t, x, &o, x + t->M * D, s + t->M * D);
        if (world.rank == 0)
            print_message("# %s: said %.3f, is %.3f (deviation of the square %.3f)\n", t->name, said, is,
                          e.uncertain / e.truth);
        assert_all(e.points == t->M / 5 && e.samples == t->M - t->M / 5);
        if (t->known) assert_small(fabs(said * said - is * is), 3 * e.uncertain / e.truth + 0.01);
        if (!t->known) assert_all(said > 0.7 * is && said < is + 0.02);
        assert_true(same_everywhere(&e, sizeof e));
    }
}

/* Any ranks, the solvers that are for more samples, and scores of another scale. */
static void alike(void **state) {
    static double normal[MOST * D], x[MOST * D], s[MOST * D];
    mige_comm self;
    mige_score_error one, e;
    (void)state;
    mige_comm_create(MPI_COMM_SELF, &self);
    mige_rng_normal(7, MIGE_RNG_SAMPLE, 0, 0, MOST * D, normal);
    depend(MOST, normal, x, s);
    mige_score_options o = options(1);
    assert_ok(mige_score_judge(&self, MOST, D, x, &o, &one));
    o.stein.solver = MIGE_STEIN_CG;
    assert_ok(mige_score_judge(&world, MOST, D, x, &o, &e));
    assert_small(fabs(e.objective - one.objective), 1e-6);
    assert_small(fabs(e.truth - one.truth), 1e-6);
    for (int i = 0; i < MOST * D; i++) x[i] = 1e5 + 1e3 * x[i];
    assert_ok(mige_score_judge(&world, MOST, D, x, &o, &e));
    assert_small(fabs(e.objective - one.objective), 1e-4);
    mige_comm_destroy(&self);
}

static void unknown(void **state) {
    static double x[200 * D];
    mige_score_options o = options(0);
    mige_score_error e;
    char text[64];
    (void)state;
    mige_rng_normal(7, MIGE_RNG_SAMPLE, 0, 0, 200 * D, x);
    assert_ok(mige_score_judge(&world, 99, D, x, &o, &e));
    assert_all(e.points == 0 && isnan(mige_score_error_square(&e)) && !*mige_score_error_text(&e, text));
    for (int i = 0; i < 160 * D; i++) x[i] = 1; /* most pairs are equal: there is no width */
    assert_ok(mige_score_judge(&world, 200, D, x, &o, &e));
    assert_all(e.points == 0);
    o.estimator = MIGE_ESTIMATOR_SSM;
    assert_ok(mige_score_judge(&world, 200, D, x, &o, &e));
    assert_all(e.points == 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(held_out), cmocka_unit_test(alike),
                                       cmocka_unit_test(unknown)};
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("heldout", tests, NULL, NULL));
}
