/* np: 1 2 3 5 */
/* Agreement on errors, shares, gathers, sums and shared memory. */
#include "mige/rng.h"
#include "ranks.h"
#include <stdint.h>
#include <stdlib.h>

/* The largest code wins, with the message of the lowest rank that has it. */
static void agreement(void **state) {
    (void)state;
    assert_int_equal(mige_agree(&world, MIGE_OK), MIGE_OK);
    assert_false(mige_agreed());
    for (int a = 0; a < world.size; a++)
        for (int b = 0; b < world.size; b++) {
            char expected[64];
            int code = MIGE_OK;
            mige_raise(MIGE_EFAIL, "rank %d: something old", world.rank);
            if (world.rank == a) code = mige_raise(MIGE_EINPUT, "rank %d: cannot read", world.rank);
            if (world.rank == b) code = mige_raise(MIGE_EOUTPUT, "rank %d: cannot write", world.rank);
            int agreed = mige_agree(&world, code);
            snprintf(expected, sizeof expected, "rank %d: cannot write", b);
            assert_all(agreed == MIGE_EOUTPUT && strcmp(mige_error(), expected) == 0);
            assert_all(mige_agreed() == (world.size > 1));
        }
    /* Two ranks with the same code: the lower one's message. */
    for (int a = 0; a < world.size; a++) {
        char expected[64];
        int code = world.rank >= a ? mige_raise(MIGE_ENUMERIC, "rank %d: not finite", world.rank) : MIGE_OK;
        int agreed = mige_agree(&world, code);
        snprintf(expected, sizeof expected, "rank %d: not finite", a);
        assert_all(agreed == MIGE_ENUMERIC && strcmp(mige_error(), expected) == 0);
    }
    assert_all(mige_agree(&world, MIGE_ESTOPPED) == MIGE_ESTOPPED);
    assert_all(mige_agree(&world, MIGE_OK) == MIGE_OK && mige_agreed() == (world.size > 1));
    /* Of the message remembered: the next one is this rank's alone. */
    mige_raise(MIGE_EINPUT, "rank %d: another", world.rank);
    assert_false(mige_agreed());
}

static void splitting(void **state) {
    mige_comm part;
    (void)state;
    assert_true(world.nodes >= 1 && world.node_size >= 1 && world.node_rank < world.node_size);
    mige_comm_split(&world, world.rank % 2, &part);
    int size = (world.size + 1 - world.rank % 2) / 2;
    assert_all(part.size == size && part.rank == world.rank / 2);
    /* An error of one part is that part's. */
    int code = world.rank == 0 ? mige_raise(MIGE_EINPUT, "only here") : MIGE_OK;
    assert_all(mige_agree(&part, code) == (world.rank % 2 ? MIGE_OK : MIGE_EINPUT));
    mige_comm_destroy(&part);
}

static void shares(void **state) {
    static const int64_t totals[] = {0, 1, 2, 3, 7, 64, 100, 1000003, INT64_C(1) << 40};
    (void)state;
    for (size_t k = 0; k < sizeof totals / sizeof *totals; k++)
        for (int P = 1; P <= 70; P++) {
            int64_t next = 0, least = INT64_MAX, most = 0;
            for (int r = 0; r < P; r++) {
                int64_t first, count;
                mige_share(totals[k], P, r, &first, &count);
                assert_true(first == next && count >= 0);
                next += count;
                least = count < least ? count : least;
                most = count > most ? count : most;
            }
            assert_true(next == totals[k] && most - least <= 1);
        }
}

static double entry(int64_t row, int64_t col) {
    return (double)(1000 * row + col) + 0.25;
}

static void gathers(void **state) {
    static const int64_t sizes[][2] = {{1, 1}, {2, 3}, {4, 1}, {7, 5}, {64, 2}, {101, 33}, {0, 3}};
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t rows = sizes[k][0], width = sizes[k][1], first, count;
        mige_share(rows, world.size, world.rank, &first, &count);
        double *mine = malloc((size_t)(count * width + 1) * sizeof *mine);
        double *all = malloc((size_t)(rows * width + 1) * sizeof *all);
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j < width; j++) mine[i * width + j] = entry(first + i, j);
        all[rows * width] = -1;
        assert_ok(mige_gather_rows(&world, rows, width, mine, all));
        int good = all[rows * width] == -1;
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < width; j++) good = good && all[i * width + j] == entry(i, j);
        free(mine);
        free(all);
        assert_all(good);
    }
}

/* Rounding depends on the order of a sum; what may not differ is the result between ranks. */
static void sums(void **state) {
    static const size_t sizes[] = {0, 1, 2, 3, 17, 1000, 4097, 300001};
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        size_t n = sizes[k];
        double *x = malloc((n + 1) * sizeof *x), *one = malloc((n + 1) * sizeof *one);
        double *expected = calloc(n + 1, sizeof *expected);
        for (int r = 0; r < world.size; r++) {
            mige_rng_normal(3, MIGE_RNG_SAMPLE, k, (uint64_t)r, n, one);
            for (size_t i = 0; i < n; i++) expected[i] += one[i];
            if (r == world.rank && n) memcpy(x, one, n * sizeof *x);
        }
        x[n] = 7;
        assert_ok(mige_sum(&world, x, n));
        assert_true(same_everywhere(x, n * sizeof *x));
        int good = x[n] == 7;
        for (size_t i = 0; i < n; i++) good = good && x[i] - expected[i] < 1e-14 && expected[i] - x[i] < 1e-14;
        free(x);
        free(one);
        free(expected);
        assert_all(good);
    }
}

static void largest(void **state) {
    double x[] = {world.rank, -world.rank, 5};
    (void)state;
    assert_ok(mige_max(&world, x, 3));
    assert_all(x[0] == world.size - 1 && x[1] == 0 && x[2] == 5);
}

static void broadcasts(void **state) {
    (void)state;
    for (int root = 0; root < world.size; root++) {
        char text[100] = "";
        if (world.rank == root) snprintf(text, sizeof text, "from rank %d", root);
        assert_ok(mige_bcast(&world, root, text, sizeof text));
        char expected[100] = "";
        snprintf(expected, sizeof expected, "from rank %d", root);
        assert_all(memcmp(text, expected, sizeof text) == 0);
    }
    assert_ok(mige_bcast(&world, 0, NULL, 0));
}

static void shared_memory(void **state) {
    static const size_t sizes[] = {1, 4096, 1000003};
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        mige_shared s;
        assert_ok(mige_shared_create(&world, sizes[k], &s));
        unsigned char *x = s.base;
        assert_all(x != NULL);
        if (world.node_rank == 0)
            for (size_t i = 0; i < sizes[k]; i++) x[i] = (unsigned char)(i * 7 + 3);
        assert_ok(mige_shared_sync(&world, &s));
        int good = 1;
        for (size_t i = 0; i < sizes[k]; i++) good = good && x[i] == (unsigned char)(i * 7 + 3);
        assert_all(good);
        /* It is one block: what the last rank of the node stores, the first sees. */
        assert_ok(mige_shared_sync(&world, &s));
        if (world.node_rank == world.node_size - 1) x[0] = 99;
        assert_ok(mige_shared_sync(&world, &s));
        assert_all(x[0] == 99);
        mige_shared_destroy(&s);
        assert_null(s.base);
        mige_shared_destroy(&s);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agreement),  cmocka_unit_test(splitting),     cmocka_unit_test(shares),
        cmocka_unit_test(gathers),    cmocka_unit_test(sums),          cmocka_unit_test(largest),
        cmocka_unit_test(broadcasts), cmocka_unit_test(shared_memory),
    };
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("comm", tests, NULL, NULL));
}
