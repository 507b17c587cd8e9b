/* np: 1 2 3 5 */
/* Several score problems at a time. */
#include "samples.h"

/* Several problems, spread over the ranks or not, are what each is alone. */
static void check_problems(int n, const int *dims, int M, const mige_score_options *o, int solves) {
    mige_problems *p;
    assert_ok(mige_problems_create(&world, M, n, dims, o, &p));
    for (int again = 0; again < solves; again++) {
        for (int i = 0; i < n; i++) {
            double *x = samples("crooked", M, dims[i], (uint32_t)(60 + i + again));
            memcpy(mige_problems_get(p, i)->input, x, (size_t)(M * dims[i]) * sizeof *x);
            free(x);
        }
        assert_ok(mige_problems_solve(p));
        for (int i = 0; i < n; i++) {
            size_t size = (size_t)(M * dims[i]);
            double *alone = malloc(size * sizeof *alone), w;
            const mige_problem *r = mige_problems_get(p, i);
            scores(o, M, dims[i], mige_problems_get(p, i)->input, alone, 0, NULL, NULL, &w);
            assert_small(ref_distance(mige_problems_get(p, i)->scores, alone, size), 1e-10);
            assert_true(same_everywhere(mige_problems_get(p, i)->scores, size * sizeof *alone));
            assert_all(fabs(r->width - w) <= 1e-13 * w && r->J >= 0 && r->J <= M);
            assert_true(same_everywhere(&r->J, sizeof r->J) && same_everywhere(&r->width, sizeof r->width));
            free(alone);
        }
    }
    mige_problems_destroy(&p);
}

static void problems(void **state) {
    static const int dims[] = {3, 5, 1, 4, 2, 3};
    double bytes = 0;
    mige_score_options o = with_solver(MIGE_SOLVER_SCALAPACK);
    (void)state;
    for (int n = 1; n <= 6; n += n > 1 ? 2 : 1)
        for (int M = 60; M <= 131; M += 71) check_problems(n, dims, M, &o, 2);
    for (int i = 0; i < 6; i++) bytes += 16. * 60 * dims[i] + mige_score_forecast(60, dims[i], 1, &o).bytes;
    assert_small(fabs(mige_problems_bytes(60, 6, dims, 1, &o) / bytes - 1), 1e-14);
}

/* Where samples are many for the ranks there are, problems come in turn on all of them. */
static void problems_in_turn(void **state) {
    static const int dims[] = {3, 5};
    mige_score_options o = mige_score_defaults();
    int M = 2048 * world.size;
    (void)state;
    if (world.size > 3) skip();
    assert_int_equal(mige_problems_groups(M, 2, world.size), 1);
    assert_int_equal(mige_problems_groups(M - 1, 2, world.size), world.size > 1 ? 2 : 1);
    o.estimator = MIGE_ESTIMATOR_STEIN;
    check_problems(2, dims, M, &o, 1);
}

/* One group of ranks fails: all must hear of it, and go on afterwards. */
static void problem_fails(void **state) {
    enum { M = 60 };
    static const int dims[] = {3, 5, 2};
    mige_score_options o = mige_score_defaults();
    mige_problems *p;
    (void)state;
    assert_ok(mige_problems_create(&world, M, 3, dims, &o, &p));
    for (int bad = -1; bad < 3; bad++) {
        for (int i = 0; i < 3; i++) {
            double *x = samples("gauss", M, dims[i], (uint32_t)(80 + i));
            memcpy(mige_problems_get(p, i)->input, x, (size_t)(M * dims[i]) * sizeof *x);
            free(x);
        }
        if (bad >= 0) mige_problems_get(p, bad)->input[11 * dims[bad]] = NAN;
        if (bad >= 0) assert_fails(mige_problems_solve(p), MIGE_EINPUT, "row 11 ");
        if (bad >= 0) mige_problems_get(p, bad)->input[11 * dims[bad]] = 0;
        assert_ok(mige_problems_solve(p));
    }
    mige_problems_destroy(&p);
    o.width = -1;
    assert_fails(mige_problems_create(&world, M, 3, dims, &o, &p), MIGE_EUSAGE, "width");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problems),
        cmocka_unit_test(problems_in_turn),
        cmocka_unit_test(problem_fails),
    };
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("problems", tests, NULL, NULL));
}
