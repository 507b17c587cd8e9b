/* np: 1 2 3 4 5 8 */
/* Eigenpairs of a distributed matrix, the same expected values for every number of ranks. */
#include "gram.h"
#include "mige/blas.h"
#include "mige/linalg.h"
#include "ranks.h"

/* A problem: the whole matrix and, from dsyevd, all that is to be known of it. */
typedef struct {
    int M;
    double *K, *lambda, *U; /* column-major; descending */
} problem;

static problem reference(int M, double *K) {
    problem p = {M, K, malloc((size_t)M * sizeof(double)), malloc((size_t)M * (size_t)M * sizeof(double))};
    int lwork = 1 + 6 * M + 2 * M * M, liwork = 3 + 5 * M, info;
    double *work = malloc((size_t)lwork * sizeof *work), *w = malloc((size_t)M * sizeof *w);
    int *iwork = malloc((size_t)liwork * sizeof *iwork);
    double *A = malloc((size_t)M * (size_t)M * sizeof *A);
    memcpy(A, K, (size_t)M * (size_t)M * sizeof *A);
    dsyevd_("V", "U", &M, A, &M, w, work, &lwork, iwork, &liwork, &info);
    for (int j = 0; j < M; j++) {
        p.lambda[j] = w[M - 1 - j];
        memcpy(p.U + (size_t)j * (size_t)M, A + (size_t)(M - 1 - j) * (size_t)M, (size_t)M * sizeof *A);
    }
    free(work);
    free(iwork);
    free(w);
    free(A);
    return p;
}

static problem gram(int M, int D, double width, uint32_t salt) {
    return reference(M, gram_matrix(M, D, width, salt));
}

static problem diagonal(int M, const double *d) {
    double *K = calloc((size_t)(M * M), sizeof *K);
    for (int i = 0; i < M; i++) K[i * M + i] = d[i];
    return reference(M, K);
}

static void forget(problem *p) {
    free(p->K);
    free(p->lambda);
    free(p->U);
}

static void put(mige_eigen *e, const problem *p) {
    mige_matrix *A = mige_eigen_matrix(e);
    for (int jl = 0; jl < A->nl; jl++)
        for (int il = 0; il < A->ml; il++)
            A->a[(size_t)jl * (size_t)A->lld + (size_t)il] =
                p->K[(size_t)mige_col(A, jl) * (size_t)p->M + (size_t)mige_row(A, il)];
}

static int rule(const problem *p, const mige_eigen_options *o) {
    int J = 0;
    double share = 0;
    for (; J < p->M; J++) {
        share += p->lambda[J] / p->M;
        if (o->eigen ? J >= o->eigen : share >= o->threshold && o->threshold < 1) break;
        if (p->lambda[J] < o->floor * p->lambda[0]) break;
    }
    return J > 0 ? J : 1;
}

/* U [J][M], vector j of lambda[j], on every rank. */
static double *vectors(int M, const mige_eigenpairs *p) {
    double *U = calloc((size_t)M * (size_t)p->J, sizeof *U);
    for (int jl = mige_cols_below(p->U, p->first); jl < mige_cols_below(p->U, p->first + p->J); jl++)
        for (int il = 0; il < p->U->ml; il++) {
            int j = p->first + p->J - 1 - mige_col(p->U, jl);
            U[(size_t)j * (size_t)M + (size_t)mige_row(p->U, il)] =
                p->U->a[(size_t)jl * (size_t)p->U->lld + (size_t)il];
        }
    mige_sum(&world, U, (size_t)M * (size_t)p->J);
    return U;
}

enum { COLUMNS = 3 };

/* F = U diag(1/lambda^power) U' B for J vectors [J][M] and B [3][M], whose entries are +-1/2 at most. */
static void apply(int M, int J, int power, const double *lambda, const double *U, double *F) {
    memset(F, 0, (size_t)(COLUMNS * M) * sizeof *F);
    for (int c = 0; c < COLUMNS; c++)
        for (int j = 0; j < J; j++) {
            const double *u = U + (size_t)j * (size_t)M;
            double dot = 0;
            for (int i = 0; i < M; i++) dot += u[i] * (double)ref_value((size_t)(c * M + i), 77);
            for (int i = 0; i < M; i++) F[c * M + i] += dot / pow(lambda[j], power) * u[i];
        }
}

typedef struct {
    double lambda, residual, orthogonality, f, f2, vectors;
} errors;

/* Residuals and orthogonality of the vectors U, and what they make of B. */
static void compare_vectors(const problem *p, const mige_eigenpairs *e, errors *worst) {
    int M = p->M, J = e->J;
    double *U = vectors(M, e), *F = malloc((size_t)(2 * COLUMNS * M) * sizeof *F), *R = F + COLUMNS * M;
    double *KU = malloc((size_t)M * (size_t)J * sizeof *KU), *G = malloc((size_t)J * (size_t)J * sizeof *G);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, M, J, M, 1, p->K, M, U, M, 0, KU, M);
    cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, J, J, M, 1, U, M, U, M, 0, G, J);
    for (int j = 0; j < J; j++) {
        double r = 0;
        for (int i = 0; i < M; i++) {
            double d = KU[(size_t)j * (size_t)M + (size_t)i] - e->lambda[j] * U[(size_t)j * (size_t)M + (size_t)i];
            r += d * d;
        }
        worst->residual = fmax(worst->residual, sqrt(r) / p->lambda[0]);
        for (int i = 0; i < J; i++)
            worst->orthogonality =
                fmax(worst->orthogonality, fabs(G[(size_t)j * (size_t)J + (size_t)i] - (i == j)));
    }
    apply(M, J, 1, e->lambda, U, F);
    apply(M, J, 1, p->lambda, p->U, R);
    worst->vectors = ref_distance(F, R, (size_t)(COLUMNS * M));
    free(U);
    free(F);
    free(KU);
    free(G);
}

/* F = f(K) B by mige_eigen_apply against the reference's vectors. */
static double compare_products(const problem *p, mige_eigen *e, int J, int power) {
    int M = p->M;
    size_t n = (size_t)(COLUMNS * M);
    double *F = malloc(4 * n * sizeof *F), *R = F + n, *B = R + n, *T = B + n;
    for (int c = 0; c < COLUMNS; c++)
        for (int i = 0; i < M; i++) B[i * COLUMNS + c] = (double)ref_value((size_t)(c * M + i), 77);
    assert_ok(mige_eigen_apply(e, power, COLUMNS, B, T));
    assert_true(same_everywhere(T, n * sizeof *T));
    for (int c = 0; c < COLUMNS; c++)
        for (int i = 0; i < M; i++) F[c * M + i] = T[i * COLUMNS + c];
    apply(M, J, power, p->lambda, p->U, R);
    double worst = ref_distance(F, R, n);
    free(F);
    return worst;
}

static errors compare(const problem *p, mige_eigen *e, const mige_eigenpairs *pairs) {
    errors worst = {0, 0, 0, 0, 0, 0};
    for (int j = 0; j < pairs->J; j++)
        worst.lambda = fmax(worst.lambda, fabs(pairs->lambda[j] - p->lambda[j]) / p->lambda[0]);
    if (pairs->U) compare_vectors(p, pairs, &worst);
    worst.f = compare_products(p, e, pairs->J, 1);
    worst.f2 = compare_products(p, e, pairs->J, 2);
    return worst;
}

static mige_eigen_options options(enum mige_solver solver, double threshold, int eigen) {
    mige_eigen_options o = mige_eigen_defaults();
    o.solver = solver;
    o.threshold = threshold;
    o.eigen = eigen;
    return o;
}

static void assert_pairs(const problem *p, const mige_eigen_options *o, mige_eigen *e,
                         const mige_eigenpairs *pairs) {
    int iterative = pairs->solver == MIGE_SOLVER_SUBSPACE;
    assert_all(pairs->J == rule(p, o) && (pairs->U == NULL) == (pairs->solver == MIGE_SOLVER_FILTER));
    assert_true(same_everywhere(pairs->lambda, (size_t)pairs->J * sizeof *pairs->lambda));
    errors x = compare(p, e, pairs);
    assert_small(x.lambda, 1e-12);
    assert_small(x.residual, iterative ? 1e-8 : 1e-12);
    assert_small(x.orthogonality, 1e-12);
    assert_small(x.vectors, iterative ? 1e-6 : 1e-8);
    assert_small(x.f, iterative ? 1e-6 : 1e-8);
    assert_small(x.f2, iterative ? 1e-6 : 1e-8);
}

/* Solves p once; returns the solver that did it. */
static enum mige_solver solve_and_compare(const problem *p, mige_eigen_options o) {
    mige_eigen *e;
    mige_eigenpairs pairs;
    assert_ok(mige_eigen_create(&world, p->M, &o, &e));
    put(e, p);
    assert_ok(mige_eigen_solve(e, p->M, &pairs));
    assert_pairs(p, &o, e, &pairs);
    assert_all(o.check ? pairs.residual >= 0 && pairs.residual < 1e-8 && pairs.orthogonality >= 0 &&
                             pairs.orthogonality < 1e-10
                       : pairs.residual == -1 && pairs.orthogonality == -1);
    enum mige_solver used = pairs.solver;
    mige_eigen_destroy(&e);
    assert_null(e);
    return used;
}

static enum mige_solver direct(int M) {
    int rows, cols, nb = 0;
    mige_grid_shape(M, world.size, &nb, &rows, &cols);
    return rows * cols > 1 ? MIGE_SOLVER_SCALAPACK : MIGE_SOLVER_LAPACK;
}

/* 212 is the order that went wrong at 10 of 28 rank counts with a published solver. */
static void solvers_against_lapack(void **state) {
    static const struct {
        int M, D;
        double width, threshold;
    } cases[] = {
        {212, 5, 0.9, 0.99}, {300, 5, 0.9, 0.99}, {212, 20, 1.8, 0.9}, {300, 3, 0.5, 0.999}, {116, 4, 0.6, 0.99}};
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        problem p = gram(cases[k].M, cases[k].D, cases[k].width, (uint32_t)k + 1);
        double t = cases[k].threshold;
        assert_int_equal(solve_and_compare(&p, options(MIGE_SOLVER_LAPACK, t, 0)), MIGE_SOLVER_LAPACK);
        assert_int_equal(solve_and_compare(&p, options(MIGE_SOLVER_SCALAPACK, t, 0)), direct(p.M));
        assert_int_equal(solve_and_compare(&p, options(MIGE_SOLVER_SUBSPACE, t, 0)),
                         p.M < 128 ? direct(p.M) : MIGE_SOLVER_SUBSPACE);
        assert_int_equal(solve_and_compare(&p, options(MIGE_SOLVER_FILTER, t, 0)), MIGE_SOLVER_FILTER);
        assert_int_equal(solve_and_compare(&p, options(MIGE_SOLVER_AUTO, t, 0)), MIGE_SOLVER_FILTER);
        forget(&p);
    }
}

/* Where most of the spectrum is wanted, subspace iteration must give way to a direct solver. */
static void subspace_gives_up(void **state) {
    problem p = gram(212, 20, 0.9, 9);
    (void)state;
    assert_int_equal(solve_and_compare(&p, options(MIGE_SOLVER_SUBSPACE, 0.9, 0)), direct(212));
    assert_int_equal(solve_and_compare(&p, options(MIGE_SOLVER_SUBSPACE, 0.9, 212)), direct(212));
    forget(&p);
}

static void numbers_of_pairs(void **state) {
    static const int orders[] = {1, 2, 3, 17, 150};
    (void)state;
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++) {
        int M = orders[k], some[] = {1, 2, M / 3, M};
        problem p = gram(M, 40, 1.6, (uint32_t)M); /* no tail: all eigenvalues above the floor */
        for (int s = MIGE_SOLVER_LAPACK; s <= MIGE_SOLVER_FILTER; s++) {
            for (int i = 0; i < 4; i++)
                if (some[i] >= 1 && some[i] <= M) {
                    assert_true(p.lambda[M - 1] > 1e-4);
                    solve_and_compare(&p, options((enum mige_solver)s, 0.5, some[i]));
                }
            solve_and_compare(&p, options((enum mige_solver)s, 1e-6, 0));
            solve_and_compare(&p, options((enum mige_solver)s, 0.99, 0));
        }
        forget(&p);
    }
}

static int pairs_of(const problem *p, mige_eigen_options o, double trace) {
    mige_eigen *e;
    mige_eigenpairs pairs;
    assert_ok(mige_eigen_create(&world, p->M, &o, &e));
    put(e, p);
    assert_ok(mige_eigen_solve(e, trace, &pairs));
    int J = pairs.J;
    assert_true(same_everywhere(&J, sizeof J));
    mige_eigen_destroy(&e);
    return J;
}

static void threshold_rule(void **state) {
    static const double halves[] = {2, 8, 2, 4}, steep[] = {1e-3, 1e-9, 1, 1e-11, 1e-12};
    static const struct {
        double threshold;
        int J;
    } cases[] = {{0.1, 1}, {0.5, 1}, {0.500001, 1}, {0.75, 1}, {0.750001, 2}, {0.875, 2}, {0.876, 3}, {1, 4}};
    problem p = diagonal(4, halves), q = diagonal(5, steep);
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        assert_int_equal(pairs_of(&p, options(MIGE_SOLVER_AUTO, cases[k].threshold, 0), 16), cases[k].J);
    assert_int_equal(pairs_of(&q, options(MIGE_SOLVER_AUTO, 1, 0), 2), 3); /* 1e-9 is above 1e-10, 1e-11 is not */
    assert_int_equal(pairs_of(&q, options(MIGE_SOLVER_AUTO, 0.5, 5), 2), 3);
    mige_eigen_options o = options(MIGE_SOLVER_AUTO, 1, 0);
    o.floor = 1e-2;
    assert_int_equal(pairs_of(&q, o, 2), 1);
    forget(&p);
    forget(&q);
}

/* The vectors of the solve before are the start of the next: of the same matrix, of one near it, of quite another.
 */
static void warm_start(void **state) {
    problem p = gram(300, 5, 0.9, 2), near = gram(300, 5, 0.92, 2), other = gram(300, 3, 0.5, 4);
    const problem *sequence[] = {&p, &p, &near, &other, &p};
    mige_eigen_options o = options(MIGE_SOLVER_SUBSPACE, 0.99, 0);
    mige_eigen *e;
    int first = 0, J[5];
    (void)state;
    assert_ok(mige_eigen_create(&world, 300, &o, &e));
    for (int i = 0; i < 5; i++) {
        mige_eigenpairs pairs;
        put(e, sequence[i]);
        assert_ok(mige_eigen_solve(e, 300, &pairs));
        assert_pairs(sequence[i], &o, e, &pairs);
        assert_all(pairs.solver == MIGE_SOLVER_SUBSPACE);
        if (i == 0) first = pairs.iterations;
        if (i == 1) assert_all(pairs.iterations <= first);
        J[i] = pairs.J;
    }
    assert_true(J[0] == J[1] && J[0] == J[4]);
    mige_eigen_destroy(&e);
    forget(&p);
    forget(&near);
    forget(&other);
}

/* ScaLAPACK keeps which broadcasts it uses in global variables, which some of its routines leave changed: problems
 * on grids of different ranks, one after the other, must not meet with different settings. */
static void grids_in_turn(void **state) {
    static const int orders[] = {139, 200, 131, 17, 212, 128, 300, 65};
    static const enum mige_solver solvers[] = {MIGE_SOLVER_SUBSPACE, MIGE_SOLVER_SCALAPACK, MIGE_SOLVER_FILTER};
    (void)state;
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++)
        for (size_t s = 0; s < 3; s++) {
            problem p = gram(orders[k], 4, 0.9, 20);
            solve_and_compare(&p, options(solvers[(s + k) % 3], 0.985, 0));
            forget(&p);
        }
}

static void bad_matrices(void **state) {
    problem good = gram(150, 5, 0.9, 3);
    (void)state;
    for (int s = MIGE_SOLVER_LAPACK; s <= MIGE_SOLVER_FILTER; s++) {
        mige_eigen_options o = options((enum mige_solver)s, 0.99, 0);
        mige_eigen *e;
        mige_eigenpairs pairs;
        assert_ok(mige_eigen_create(&world, 150, &o, &e));
        for (int k = 0; k < 4; k++) {
            double value = k == 0 ? NAN : k == 1 ? INFINITY : k == 2 ? -INFINITY : NAN, *entry;
            put(e, &good);
            mige_matrix *A = mige_eigen_matrix(e);
            int ig = k == 3 ? 0 : 149, jg = k == 3 ? 149 : k;
            for (int jl = 0; jl < A->nl; jl++)
                for (int il = 0; il < A->ml; il++) {
                    entry = &A->a[(size_t)jl * (size_t)A->lld + (size_t)il];
                    if (mige_row(A, il) == ig && mige_col(A, jl) == jg) *entry = value;
                }
            assert_fails(mige_eigen_solve(e, 150, &pairs), MIGE_ENUMERIC, "not finite");
        }
        put(e, &good);
        assert_ok(mige_eigen_solve(e, 150, &pairs));
        assert_pairs(&good, &o, e, &pairs);
        for (int sign = 0; sign >= -1; sign--) { /* zero, then minus the identity: no Gram matrices */
            mige_matrix *A = mige_eigen_matrix(e);
            for (int jl = 0; jl < A->nl; jl++)
                for (int il = 0; il < A->ml; il++)
                    A->a[(size_t)jl * (size_t)A->lld + (size_t)il] = mige_row(A, il) == mige_col(A, jl) ? sign : 0;
            assert_fails(mige_eigen_solve(e, 150, &pairs), MIGE_ENUMERIC, "eigen");
        }
        mige_eigen_destroy(&e);
    }
    forget(&good);
}

static void checks(void **state) {
    problem p = gram(212, 5, 0.9, 1);
    (void)state;
    for (int s = MIGE_SOLVER_AUTO; s <= MIGE_SOLVER_FILTER; s++) {
        mige_eigen_options o = options((enum mige_solver)s, 0.99, 0);
        o.check = 1;
        solve_and_compare(&p, o);
    }
    forget(&p);
}

static void bad_options(void **state) {
    static const struct {
        int m, eigen;
        double threshold;
    } cases[] = {{0, 0, 0.99}, {10, -1, 0.99}, {10, 11, 0.99}, {10, 0, 0}, {10, 0, -1}, {10, 0, 1.5}, {10, 0, NAN}};
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        mige_eigen_options o = options(MIGE_SOLVER_AUTO, cases[k].threshold, cases[k].eigen);
        mige_eigen *e;
        assert_fails(mige_eigen_create(&world, cases[k].m, &o, &e), MIGE_EUSAGE, "not possible");
        assert_null(e);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        /* grids_in_turn first of those that solve: what one has left must not help it. */
        cmocka_unit_test(grids_in_turn),     cmocka_unit_test(solvers_against_lapack),
        cmocka_unit_test(subspace_gives_up), cmocka_unit_test(numbers_of_pairs),
        cmocka_unit_test(threshold_rule),    cmocka_unit_test(warm_start),
        cmocka_unit_test(bad_matrices),      cmocka_unit_test(checks),
        cmocka_unit_test(bad_options),
    };
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("eigen", tests, NULL, NULL));
}
