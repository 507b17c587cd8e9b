/* np: 1 2 3 4 5 8 */
/* Process grids and block-cyclic matrices, for every number of ranks. */
#include "mige/linalg.h"
#include "ranks.h"
#include <stdlib.h>

static int blocks(int m, int nb) {
    return (m + nb - 1) / nb;
}

static void grid_shapes(void **state) {
    static const int orders[] = {1,   2,   3,   15,  16,  17,  31,  32,   33,   63,   64,   65,   100,  116,
                                 127, 128, 212, 255, 256, 300, 511, 1000, 1023, 1024, 1025, 2048, 4000, 65536};
    (void)state;
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++) {
        int before = 0, m = orders[k];
        for (int ranks = 1; ranks <= 70; ranks++) {
            int rows, cols, nb = 0, best = 1;
            mige_grid_shape(m, ranks, &nb, &rows, &cols);
            assert_true(nb > 0 && rows >= 1 && rows <= cols && rows * cols <= ranks);
            /* Two blocks or more in each direction, unless one rank has all. */
            assert_true(rows * cols == 1 || blocks(m, nb) >= 2 * cols);
            assert_true(rows * cols >= before);
            before = rows * cols;
            for (int p = 1; p * p <= ranks; p++)
                for (int q = p; p * q <= ranks; q++)
                    if (m / nb >= 2 * q && p * q > best) best = p * q;
            assert_int_equal(rows * cols, best);
        }
    }
    int rows, cols, nb = 0;
    mige_grid_shape(300, 3, &nb, &rows, &cols);
    assert_int_equal(rows, 1);
    assert_int_equal(cols, 3);
}

static void grid_places(void **state) {
    static const int orders[] = {1, 60, 131, 300};
    (void)state;
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++)
        for (int ranks = 1; ranks <= world.size + 1; ranks++) {
            mige_grid g;
            int used[64] = {0}, inside = 0, good;
            assert_ok(mige_grid_create(&world, orders[k], ranks, 0, &g));
            assert_all(g.rows * g.cols <= ranks && g.rows * g.cols <= world.size);
            if (g.inside) used[g.row * g.cols + g.col]++;
            good = g.inside ? g.row >= 0 && g.row < g.rows && g.col >= 0 && g.col < g.cols &&
                                  g.comm.size == g.rows * g.cols
                            : g.row == -1 && g.col == -1;
            assert_all(good);
            MPI_Allreduce(MPI_IN_PLACE, used, 64, MPI_INT, MPI_SUM, world.mpi);
            for (int i = 0; i < 64; i++) {
                good = good && used[i] <= 1;
                inside += used[i];
            }
            assert_all(good && inside == g.rows * g.cols);
            mige_grid_destroy(&g);
        }
}

static void rows_of_ranks(void **state) {
    static const int orders[] = {1, 31, 64, 131, 300};
    (void)state;
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++)
        for (int nb = 8; nb <= 32; nb *= 2) {
            mige_grid g;
            int most = orders[k] / nb / 2 > 1 ? orders[k] / nb / 2 : 1, all = most < world.size ? most : world.size;
            assert_ok(mige_grid_create(&world, orders[k], world.size, nb, &g));
            assert_all(g.rows == 1 && g.cols == all && g.nb == nb && g.inside == (world.rank < all));
            assert_all(g.inside ? g.row == 0 && g.col == world.rank && g.comm.size == all : g.row == -1);
            mige_grid_destroy(&g);
        }
}

/* Every element has one owner, the one that the definition of block-cyclic says. */
static void index_maps(void **state) {
    static const int sizes[][2] = {{53, 37}, {1, 1}, {16, 16}, {17, 212}, {212, 17}, {300, 300}};
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        mige_grid g;
        mige_matrix A;
        int m = sizes[k][0], n = sizes[k][1], good = 1;
        assert_ok(mige_grid_create(&world, 212, world.size, 0, &g));
        assert_ok(mige_matrix_create(&g, m, n, &A));
        double *owners = calloc((size_t)(m * n), sizeof *owners);
        for (int jl = 0; jl < A.nl; jl++)
            for (int il = 0; il < A.ml; il++) {
                int ig = mige_row(&A, il), jg = mige_col(&A, jl);
                good = good && ig < m && jg < n && ig / g.nb % g.rows == g.row && jg / g.nb % g.cols == g.col;
                if (good) owners[ig * n + jg]++;
                good = good && A.a[(size_t)jl * (size_t)A.lld + (size_t)il] == 0;
            }
        for (int ig = 0; ig <= n; ig++) {
            int below = 0;
            for (int j = 0; j < ig; j++) below += g.inside && j / g.nb % g.cols == g.col;
            good = good && mige_cols_below(&A, ig) == below;
        }
        mige_sum(&world, owners, (size_t)(m * n));
        for (int i = 0; i < m * n; i++) good = good && owners[i] == 1;
        good = good && (g.inside || (A.ml == 0 && A.nl == 0));
        free(owners);
        mige_matrix_destroy(&A);
        mige_grid_destroy(&g);
        assert_all(good);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grid_shapes),
        cmocka_unit_test(grid_places),
        cmocka_unit_test(rows_of_ranks),
        cmocka_unit_test(index_maps),
    };
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("grid", tests, NULL, NULL));
}
