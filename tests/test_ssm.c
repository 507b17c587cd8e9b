/* np: 1 2 3 */
/* Sliced score matching: objective, gradient and scores of the network against PyTorch's, and what training makes
 * of samples whose scores are known. */
#include "mige/score.h"
#include "ranks.h"
#include "ref.h"
#include "score/ssm.h"

enum { D4 = 4, M4 = 2048, N4 = M4 * D4 };
static ref_file ref;

static void derivatives(void **state) {
    enum { D = 3, H = 5, M = 6, SIZE = H * D + H + H * H + H + D * H + D + D * D };
    float x[M * D], v[M * D], s[M * D], objective;
    ssm_net net;
    mige_pool pool = {0};
    (void)state;
    for (int rows = M; rows <= M + 3; rows += 3) {
        assert_ok(ssm_net_create(D, H, rows, &pool, &net));
        assert_int_equal(net.size, SIZE);
        ref_fill(net.params, 0, SIZE, 1);
        ref_fill(net.linear, 0, D * D, 2);
        ref_fill(x, 0, M * D, 3);
        ref_fill(v, 0, M * D, 4);
        for (int i = 0; i < M * D; i++) x[i] *= 3, v[i] *= 2;
        for (int again = 0; again < 2; again++) {
            ssm_net_scores(&net, M, x, s);
            assert_small(ref_error(&ref, "scores", s, M * D), 1e-5);
            objective = (float)ssm_net_objective(&net, M, x, v, 1, NULL);
            assert_small(ref_error(&ref, "objective", &objective, 1), 1e-5);
            assert_small(ref_error(&ref, "gradient", net.grads, SIZE), 1e-5);
        }
        float same = (float)ssm_net_objective(&net, M, x, v, 0, NULL);
        assert_all(same == objective);
        mige_pool_free(&pool);
    }
}

/* As in tests/ref/make_ssm.py: samples and their true scores. */
static void draw(int bent, double *x, double *s) {
    static const double L[D4][D4] = {{1}, {0.5, 1}, {0, -0.5, 1}, {0.25, 0, 0.5, 2}};
    for (int m = 0; m < M4; m++, x += D4, s += D4) {
        double z[D4];
        for (int d = 0; d < D4; d++) {
            size_t i = (size_t)(m * D4 + d);
            double u = (double)ref_value(i, 5) + 0.5 + 0x1p-25, w = (double)ref_value(i, 6) + 0.5 + 0x1p-25;
            z[d] = sqrt(-2 * log(u)) * cos(2 * acos(-1) * w);
        }
        for (int d = 0; d < D4; d++) {
            x[d] = 0;
            for (int j = 0; j <= d; j++) x[d] += L[d][j] * z[j];
        }
        for (int d = D4 - 1; d >= 0; d--) { /* L' s = -z */
            s[d] = -z[d];
            for (int j = d + 1; j < D4; j++) s[d] -= L[j][d] * s[j];
            s[d] /= L[d][d];
        }
        for (int a = 0; bent && a < D4; a += 2) {
            x[a + 1] += (x[a] * x[a] - 1) / 2;
            s[a] -= x[a] * s[a + 1];
        }
    }
}

static mige_score_options usual(void) {
    mige_score_options o = mige_score_defaults();
    o.estimator = MIGE_ESTIMATOR_SSM;
    o.ssm.hidden = 64;
    return o;
}

/* Once through: scores at samples and, unless NULL, at Q points. */
static void scores(const mige_comm *c, int M, int D, const mige_score_options *o, const double *x, double *s, int Q,
                   const double *q, double *sq) {
    mige_score *p;
    assert_ok(mige_score_create(c, M, D, o, &p));
    assert_ok(mige_score_samples(p, x, s));
    assert_string_equal(mige_score_last(p)->solver, "network");
    if (q) assert_ok(mige_score_points(p, Q, q, sq));
    mige_score_destroy(&p);
}

/* Against the truth, and against what PyTorch makes of the same samples. */
static void trained(void **state) {
    static double x[N4], true_s[N4], s[N4], t[N4];
    static const struct {
        const char *name;
        double most;
    } cases[] = {{"error.gauss", 0.10}, {"error.bent", 0.35}};
    mige_score_options o = usual();
    (void)state;
    for (int bent = 0; bent < 2; bent++) {
        const ref_record *r = ref_find(&ref, cases[bent].name);
        draw(bent, x, true_s);
        scores(&world, M4, D4, &o, x, s, M4, x, t);
        double error = ref_distance(s, true_s, N4);
        if (world.rank == 0) print_message("%s: %.4f, PyTorch's %.4f\n", cases[bent].name, error, r->values[0]);
        assert_small(error, cases[bent].most);
        assert_small(error / r->values[0], 1.2);
        assert_all(memcmp(s, t, sizeof s) == 0);
        assert_true(same_everywhere(s, sizeof s));
    }
}

/* A rank by itself gets what all get together, bit for bit. */
static void any_number_of_ranks(void **state) {
    enum { M = 700 };
    static double x[N4], true_s[N4], s[M * D4], t[M * D4], sq[N4], tq[N4];
    mige_score_options o = usual();
    mige_comm alone;
    (void)state;
    o.ssm.steps = 200;
    draw(1, x, true_s);
    scores(&world, M, D4, &o, x, s, M4, x, sq);
    assert_ok(mige_comm_split(&world, world.rank, &alone));
    scores(&alone, M, D4, &o, x, t, M4, x, tq);
    mige_comm_destroy(&alone);
    assert_all(memcmp(s, t, sizeof s) == 0 && memcmp(sq, tq, sizeof sq) == 0);
    o.seed = 2;
    scores(&world, M, D4, &o, x, t, 0, NULL, NULL);
    assert_all(memcmp(s, t, sizeof s) != 0);
}

/* Scores do not depend on the calls before. */
static void called_again(void **state) {
    static double x[N4], y[N4], true_s[N4], other[N4], first[N4], s[N4];
    mige_score_options o = usual();
    mige_score *p;
    (void)state;
    draw(1, x, true_s);
    draw(0, y, other);
    assert_ok(mige_score_create(&world, M4, D4, &o, &p));
    assert_ok(mige_score_samples(p, x, first));
    assert_ok(mige_score_samples(p, y, s));
    assert_small(ref_distance(s, other, N4), 0.10);
    assert_ok(mige_score_samples(p, x, s));
    assert_all(memcmp(s, first, sizeof s) == 0);
    mige_score_destroy(&p);
}

/* Too few to train: s = -C^-1 (x - mean), which satisfies Stein's identity sum_m s (x - mean)' = -M I. */
static void few_samples(void **state) {
    enum { M = 40, D = 3 };
    static double x[N4], true_s[N4], s[N4], X[M * D];
    double mean[D] = {0};
    mige_score_options o = usual();
    (void)state;
    draw(0, x, true_s);
    for (int i = 0; i < M * D; i++) X[i] = 1000 + 1e-3 * x[i / D * D4 + i % D];
    for (int i = 0; i < M * D; i++) mean[i % D] += X[i] / M;
    scores(&world, M, D, &o, X, s, 0, NULL, NULL);
    for (int a = 0; a < D; a++)
        for (int b = 0; b < D; b++) {
            double sum = 0;
            for (int m = 0; m < M; m++) sum += s[m * D + a] * (X[m * D + b] - mean[b]) / M;
            assert_small(fabs(sum + (a == b)), 1e-4);
        }
    for (int m = 1; m <= 8; m++) {
        int good = 1;
        scores(&world, m, D4, &o, x, s, 1, x, true_s);
        for (int i = 0; i < m * D4; i++) good = good && isfinite(s[i]) && (m > 1) == (s[i] != 0);
        assert_all(good && memcmp(s, true_s, D4 * sizeof *s) == 0);
    }
}

/* A dimension that does not vary has score 0 and does not disturb the others. */
static void flat_dimension(void **state) {
    static double x[N4], true_s[N4], s[N4];
    mige_score_options o = usual();
    (void)state;
    draw(0, x, true_s);
    for (int m = 0; m < M4; m++) {
        x[m * D4 + 3] = -0.1;
        true_s[m * D4 + 3] = 0;
    }
    scores(&world, M4, D4, &o, x, s, 0, NULL, NULL);
    int good = 1;
    double error = 0, size = 0;
    for (int m = 0; m < M4; m++) { /* x_0 and x_1 = x_0 / 2 + z_1, x_2 = z_2 - z_1 / 2 */
        const double *q = x + m * D4, z1 = q[1] - q[0] / 2, z2 = q[2] + z1 / 2, want = -z2;
        good = good && s[m * D4 + 3] == 0;
        error += (s[m * D4 + 2] - want) * (s[m * D4 + 2] - want);
        size += want * want;
    }
    assert_all(good);
    assert_small(sqrt(error / size), 0.10);
}

static int fails(int M, const mige_score_options *o, const double *x) {
    static double s[N4];
    mige_score *p;
    assert_ok(mige_score_create(&world, M, D4, o, &p));
    int err = mige_score_samples(p, x, s);
    mige_score_destroy(&p);
    return err;
}

static void failures(void **state) {
    static double x[N4], s[N4];
    mige_score_options o = usual(), wide = o;
    mige_score *p;
    (void)state;
    for (int i = 0; i < N4; i++) x[i] = 5 + i % D4;
    assert_fails(fails(100, &o, x), MIGE_ENUMERIC, "all 100 samples are equal");
    draw(1, x, s);
    x[9] = 1e200;
    assert_fails(fails(100, &o, x), MIGE_ENUMERIC, "row 2");
    x[9] = 0;
    o.ssm.rate = 1e15;
    assert_fails(fails(100, &o, x), MIGE_ENUMERIC, "learning rate");
    o.ssm.rate = 0;
    assert_fails(mige_score_create(&world, 100, D4, &o, &p), MIGE_EUSAGE, "rate 0");
    assert_null(p);
    o = usual();
    assert_ok(mige_score_create(&world, 100, D4, &o, &p));
    double far[D4] = {1e300, 0, 0, 0};
    assert_ok(mige_score_samples(p, x, s));
    assert_fails(mige_score_points(p, 1, far, s), MIGE_ENUMERIC, "far from the samples");
    assert_ok(mige_score_points(p, 0, far, s));
    mige_score_destroy(&p);
    wide.ssm.hidden = 128;
    o.ssm.hidden = 32;
    assert_all(mige_score_forecast(256, 3, 1, &wide).bytes > mige_score_forecast(256, 3, 1, &o).bytes &&
               mige_score_forecast(256, 3, 1, &o).bytes > 8 * 256 * 3);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivatives),  cmocka_unit_test(trained),     cmocka_unit_test(any_number_of_ranks),
        cmocka_unit_test(called_again), cmocka_unit_test(few_samples), cmocka_unit_test(flat_dimension),
        cmocka_unit_test(failures),
    };
    ranks_begin(&argc, &argv);
    ref = ref_load("tests/ref/ssm.txt");
    int failed = cmocka_run_group_tests_name("ssm", tests, NULL, NULL);
    ref_free(&ref);
    return ranks_end(failed);
}
