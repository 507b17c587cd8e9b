/* np: 1 2 3 */
/* Gradients of mutual information: put together from scores, and against Gaussian variables, whose information is
 * known. */
#include "mige/mi.h"
#include "mige/rng.h"
#include "ranks.h"
#include "ref.h"
#include <math.h>
#include <stdlib.h>

/* Variables x, h, z in the order of arguments; which pairs: (x,z), (h,z), both, or (x,z) with gradients of both. */
enum { I = 1, II = 2, BOTH = I | II, VIEWS = 4 };
static int create(int which, int M, int dx, int dh, int dz, const mige_score_options *o, mige_mi **m) {
    const mige_mi_variable v[] = {{"x", dx, which == VIEWS}, {"h", dh, 1}, {"z", dz, 1}};
    static const mige_mi_pair pairs[] = {{0, 2}, {1, 2}};
    return mige_mi_create(&world, M, 3, v, which == BOTH ? 2 : 1, which == II ? pairs + 1 : pairs, o, m);
}

/* dH: of h, or with VIEWS of x. */
static int gradient(mige_mi *m, const double *x, const double *h, const double *z, double *dZ, double *dH) {
    return mige_mi_gradient(m, (const double *[]){x, h, z}, (double *[]){dH, dH, dZ});
}

static double *normal(int M, int d, uint64_t stream) {
    double *x = malloc((size_t)(M * d) * sizeof *x);
    mige_rng_normal(5, MIGE_RNG_SAMPLE, stream, 0, (size_t)(M * d), x);
    return x;
}

/* Scores by a call of their own of the columns of a and, unless NULL, b side by side: those of the last `keep`
 * columns, or (keep < 0) the first. */
static double *columns(int M, const double *a, int da, const double *b, int db, int keep,
                       const mige_score_options *o) {
    int D = da + (b ? db : 0), n = abs(keep), from = keep < 0 ? 0 : D - keep;
    double *X = malloc((size_t)(M * D) * sizeof *X), *S = malloc((size_t)(M * D) * sizeof *S);
    mige_score *s;
    for (int m = 0; m < M; m++) {
        memcpy(X + m * D, a + m * da, (size_t)da * sizeof *X);
        if (b) memcpy(X + m * D + da, b + m * db, (size_t)db * sizeof *X);
    }
    assert_ok(mige_score_create(&world, M, D, o, &s));
    assert_ok(mige_score_samples(s, X, S));
    mige_score_destroy(&s);
    for (int m = 0; m < M; m++) memcpy(X + m * n, S + m * D + from, (size_t)n * sizeof *X);
    free(S);
    return X;
}

/* dZ and dH are (1/M) (joint - marginal), term by term. */
static void composition(void **state) {
    enum { M = 150, DX = 4, DH = 3, DZ = 2 };
    static double dZ[M * DZ], dH[M * DX], wantZ[M * DZ], wantH[M * DX];
    mige_score_options o = mige_score_defaults();
    double *x = normal(M, DX, 1), *h = normal(M, DH, 2), *z = normal(M, DZ, 3);
    (void)state;
    for (int i = 0; i < M * DZ; i++) z[i] = z[i] * 0.5 + x[i / DZ * DX + i % DZ] + sin(h[i / DZ * DH]);
    double *s_z = columns(M, z, DZ, NULL, 0, DZ, &o), *s_h = columns(M, h, DH, NULL, 0, DH, &o),
           *xz_z = columns(M, x, DX, z, DZ, DZ, &o), *hz_z = columns(M, h, DH, z, DZ, DZ, &o),
           *hz_h = columns(M, h, DH, z, DZ, -DH, &o), *s_x = columns(M, x, DX, NULL, 0, DX, &o),
           *xz_x = columns(M, x, DX, z, DZ, -DX, &o);
    for (int which = I; which <= VIEWS; which++) {
        int one = which & (I | VIEWS) ? 1 : 0, two = which & II ? 1 : 0;
        mige_mi *m;
        for (int i = 0; i < M * DZ; i++) wantZ[i] = (one * (xz_z[i] - s_z[i]) + two * (hz_z[i] - s_z[i])) / M;
        int n = which == VIEWS ? M * DX : two ? M * DH : 0;
        for (int i = 0; i < n; i++) wantH[i] = (two ? hz_h[i] - s_h[i] : xz_x[i] - s_x[i]) / M;
        assert_ok(create(which, M, one ? DX : 0, two ? DH : 0, DZ, &o, &m));
        for (int again = 0; again < 2; again++) {
            memset(dZ, 7, sizeof dZ);
            assert_ok(gradient(m, x, h, z, dZ, n ? dH : NULL));
            assert_small(ref_distance(dZ, wantZ, M * DZ), 1e-11);
            if (n) assert_small(ref_distance(dH, wantH, (size_t)n), 1e-11);
            assert_true(same_everywhere(dZ, sizeof dZ) && same_everywhere(dH, (size_t)n * sizeof *dH));
        }
        mige_mi_destroy(&m);
    }
    double *all[] = {x, h, z, s_z, s_h, xz_z, hz_z, hz_h, s_x, xz_x};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void problem_descriptions(void **state) {
    enum { M = 200, D = 3 };
    static const char *const names[] = {"z", "xz", "h", "hz"};
    static const int dims[] = {D, 2 * D, D, 2 * D};
    static double dZ[M * D], dH[M * D];
    mige_score_options o = mige_score_defaults();
    double *x = normal(M, D, 11), *h = normal(M, D, 12), *z = normal(M, D, 13);
    mige_mi *m;
    (void)state;
    assert_ok(create(BOTH, M, D, D, D, &o, &m));
    assert_ok(gradient(m, x, h, z, dZ, dH));
    assert_int_equal(mige_mi_num_problems(m), 4);
    for (int i = 0; i < 4; i++) {
        mige_mi_problem p = mige_mi_get_problem(m, i);
        assert_string_equal(p.name, names[i]);
        assert_int_equal(p.dim, dims[i]);
        /* Of standard normal samples: distances about sqrt(2 D); the estimate keeps most of Stein's identity. */
        assert_all(p.J > 1 && p.J < M && fabs(p.width / sqrt(2 * p.dim) - 1) < 0.15 && p.stein > 0.7 &&
                   p.stein < 1.05);
    }
    mige_mi_destroy(&m);
    assert_null(m);
    assert_ok(create(II, M, 0, D, D, &o, &m));
    assert_int_equal(mige_mi_num_problems(m), 3);
    assert_string_equal(mige_mi_get_problem(m, 1).name, "h");
    mige_mi_destroy(&m);
    const mige_mi_variable views[] = {{"z1", D, 1}, {"z2", D, 1}, {"too long", D, 1}};
    assert_ok(mige_mi_create(&world, M, 2, views, 1, &(mige_mi_pair){0, 1}, &o, &m));
    assert_int_equal(mige_mi_num_problems(m), 3);
    assert_string_equal(mige_mi_get_problem(m, 0).name, "z2");
    assert_string_equal(mige_mi_get_problem(m, 2).name, "z1z2");
    mige_mi_destroy(&m);
    assert_fails(mige_mi_create(&world, M, 2, views, 1, &(mige_mi_pair){0, 2}, &o, &m), MIGE_EUSAGE, "pair");
    assert_fails(mige_mi_create(&world, M, 3, views, 1, &(mige_mi_pair){0, 1}, &o, &m), MIGE_EUSAGE, "too long");
    assert_fails(mige_mi_create(&world, M, 2, views, 9, NULL, &o, &m), MIGE_EUSAGE, "9 pairs");
    free(x);
    free(h);
    free(z);
}

/* I of two variables in R^d with correlation rho, dimension by dimension, and its derivative by differences. */
static double information(double rho, int d) {
    return -d / 2. * log(1 - rho * rho);
}

static double derivative(double rho, int d) {
    double h = 1e-5;
    return (information(rho + h, d) - information(rho - h, d)) / (2 * h);
}

static double dot(const double *a, const double *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

typedef struct {
    int d;
    double rho, most; /* relative error allowed; measured 0.009, 0.002, 0.035 and 0.003 */
} gaussian_case;

/* z = rho x + sqrt(1 - rho^2) eps: sum over samples of dI/dz . dz/drho is dI/drho. In circumstance I z depends on
 * rho; in II the same through h, with z given. Errors are those of the estimate, so the bounds are loose; the sign,
 * factor or term of a wrong gradient is far outside of them. */
static void gaussian(const gaussian_case *t, const mige_score_options *o) {
    enum { M = 1024 };
    int d = t->d, n = M * d;
    double rho = t->rho, rest = sqrt(1 - rho * rho), exact = derivative(rho, d);
    double *x = normal(M, d, 21), *eps = normal(M, d, 22), *y = malloc((size_t)n * sizeof *y),
           *dy = malloc((size_t)n * sizeof *dy), *dZ = malloc((size_t)n * sizeof *dZ),
           *dH = malloc((size_t)n * sizeof *dH);
    mige_mi *m;
    assert_small(fabs(exact - rho * d / (1 - rho * rho)), 1e-6);
    for (int i = 0; i < n; i++) {
        y[i] = rho * x[i] + rest * eps[i];
        dy[i] = x[i] - rho / rest * eps[i];
    }
    assert_ok(create(I, M, d, 0, d, o, &m));
    assert_ok(gradient(m, x, NULL, y, dZ, NULL));
    mige_mi_destroy(&m);
    assert_small(fabs(dot(dZ, dy, n) / exact - 1), t->most);
    assert_ok(create(II, M, 0, d, d, o, &m));
    assert_ok(gradient(m, NULL, y, x, dZ, dH));
    assert_small(fabs(dot(dH, dy, n) / exact - 1), t->most);
    assert_ok(gradient(m, NULL, x, y, dZ, dH));
    mige_mi_destroy(&m);
    assert_small(fabs(dot(dZ, dy, n) / exact - 1), t->most);
    free(x);
    free(eps);
    free(y);
    free(dy);
    free(dZ);
    free(dH);
}

static void gaussians(void **state) {
    static const gaussian_case cases[] = {
        {2, 0.5, 0.02},
        {2, -0.7, 0.01},
        {4, 0.3, 0.05},
        {4, 0.6, 0.01},
    };
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        mige_score_options o = mige_score_defaults();
        gaussian(&cases[k], &o);
    }
}

static void failures(void **state) {
    enum { M = 60, D = 3 };
    static double dZ[M * D], dH[M * D];
    mige_score_options o = mige_score_defaults();
    double *x = normal(M, D, 31), *h = normal(M, D, 32), *z = normal(M, D, 33);
    double *bad[] = {x, h, z};
    mige_mi *m;
    (void)state;
    assert_ok(create(BOTH, M, D, D, D, &o, &m));
    for (int i = 0; i < 3; i++) { /* x is in one group of ranks only */
        double kept = bad[i][7 * D + 1];
        bad[i][7 * D + 1] = NAN;
        assert_fails(gradient(m, x, h, z, dZ, dH), MIGE_EINPUT, "row 7 ");
        bad[i][7 * D + 1] = kept;
        assert_ok(gradient(m, x, h, z, dZ, dH));
    }
    for (int i = 0; i < M * D; i++) z[i] = 1; /* the code has collapsed */
    assert_fails(gradient(m, x, h, z, dZ, dH), MIGE_ENUMERIC, "distance");
    mige_mi_destroy(&m);
    o.width_scale = -1;
    assert_fails(create(BOTH, M, D, D, D, &o, &m), MIGE_EUSAGE, "width");
    assert_null(m);
    free(x);
    free(h);
    free(z);
}

/* Columns of unit norm, a function of seed and stream, close to an isometry on average. */
static void projections(void **state) {
    enum { K = 16, D = 100, N = 50 };
    static float x[N * D], scratch[N * D], back[N * D];
    static double y[N * D], z[N * D];
    mige_projection p, q;
    (void)state;
    assert_ok(mige_projection_create(1, 0, K, D, &p));
    assert_true(p.k == K && p.d == D && same_everywhere(p.R, K * D * sizeof *p.R));
    double worst = 0, cross = 0;
    for (int j = 0; j < D; j++) {
        double norm = 0, other = 0;
        for (int i = 0; i < K; i++) {
            norm += (double)p.R[i * D + j] * (double)p.R[i * D + j];
            other += (double)p.R[i * D + j] * (double)p.R[i * D + (j + 1) % D];
        }
        worst = fmax(worst, fabs(norm - 1));
        cross += other * other / D;
    }
    assert_small(worst, 1e-6);
    assert_small(fabs(cross * K - 1), 0.4); /* columns are independent: E cos^2 = 1/k */
    mige_rng_normal(3, MIGE_RNG_SAMPLE, 0, 0, N * D, y);
    for (int i = 0; i < N * D; i++) x[i] = (float)y[i];
    mige_rng_normal(3, MIGE_RNG_SAMPLE, 1, 0, N * K, z);
    mige_projection_apply(&p, N, x, scratch, y);
    mige_projection_adjoint(&p, N, z, scratch, back);
    double left = 0, right = 0, size = 0, ratio = 0;
    for (int i = 0; i < N * K; i++) left += y[i] * z[i];
    for (int i = 0; i < N * D; i++) right += (double)x[i] * (double)back[i];
    for (int i = 0; i < N * D; i++) size += (double)x[i] * (double)x[i];
    for (int i = 0; i < N * K; i++) ratio += y[i] * y[i] / size;
    assert_small(fabs(left - right), 1e-3);
    assert_small(fabs(ratio - 1), 0.1);
    for (int m = 0; m < N; m++) /* y = x R' by definition */
        for (int i = 0; i < K; i++) {
            double sum = 0;
            for (int j = 0; j < D; j++) sum += (double)x[m * D + j] * (double)p.R[i * D + j];
            worst = fmax(worst, fabs(sum - y[m * K + i]));
        }
    assert_small(worst, 1e-5);
    for (uint64_t other = 1; other <= 3; other++) {
        int same = other == 3, equal;
        assert_ok(mige_projection_create(other == 1 ? 2 : 1, other == 2 ? 1 : 0, K, D, &q));
        equal = memcmp(p.R, q.R, K * D * sizeof *p.R) == 0;
        mige_projection_destroy(&q);
        assert_true(equal == same);
    }
    mige_projection_destroy(&p);
}

static void identity_projection(void **state) {
    float x[6] = {1, 2, 3, 4, 5, 6}, scratch[6], dx[6];
    double y[6];
    mige_projection p;
    (void)state;
    for (int k = 3; k < 6; k += 2) {
        assert_ok(mige_projection_create(1, 0, k, 3, &p));
        assert_true(p.k == 3 && p.d == 3 && !p.R);
        mige_projection_apply(&p, 2, x, scratch, y);
        mige_projection_adjoint(&p, 2, y, scratch, dx);
        for (int i = 0; i < 6; i++) assert_true(y[i] == i + 1 && dx[i] == (float)(i + 1));
        mige_projection_destroy(&p);
    }
    assert_ok(mige_projection_create(1, 0, 2, 3, &p));
    mige_projection_apply(&p, 0, x, scratch, y); /* a rank without samples */
    mige_projection_adjoint(&p, 0, y, scratch, dx);
    mige_projection_destroy(&p);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(composition), cmocka_unit_test(problem_descriptions),
        cmocka_unit_test(gaussians),   cmocka_unit_test(failures),
        cmocka_unit_test(projections), cmocka_unit_test(identity_projection),
    };
    ranks_begin(&argc, &argv);
    return ranks_end(cmocka_run_group_tests_name("mi", tests, NULL, NULL));
}
