/* The Spectral Stein Gradient Estimator. */
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/options.h"
#include "score/score.h"
#include <math.h>
#include <stddef.h>

typedef struct {
    mige_eigen *eigen; /* has the Gram matrix */
    gram gram;         /* C = -U_J diag(1/lambda^2) U_J' B, made when first asked for */
    int has_C;
} ssge;

static mige_score_plan plan(int M, int D, int ranks, const mige_score_options *o) {
    double m = M, square = m * m * D;
    int full = o->eigen.solver == MIGE_SOLVER_SCALAPACK, gathered = full ? M : 0;
    int vectors = full || o->eigen.solver == MIGE_SOLVER_LAPACK;
    mige_score_plan p = {
        .gram = 3 * square, .eigen = m * m * m * (vectors ? 14. / 3 : 4. / 3), .apply = 4 * square};
    p.bytes = mige_eigen_bytes(M, ranks, &o->eigen) + gram_bytes(M, D, gathered, ceil(m / ranks), 1);
    mige_eigen_grid(M, ranks, &o->eigen, &p.rows, &p.cols);
    return p;
}

static int create(mige_score *s) {
    ssge *e = s->self;
    MIGE_TRY(mige_eigen_create(s->c, s->M, &s->o.eigen, &e->eigen));
    return mige_agree(s->c, gram_create(s, mige_eigen_matrix(e->eigen), &e->gram));
}

static void destroy(void *self) {
    mige_eigen_destroy(&((ssge *)self)->eigen);
}

static int samples(mige_score *s, const double *X, double *S) {
    ssge *e = s->self;
    mige_eigenpairs *pairs = &s->info.pairs;
    double M = s->M;
    (void)X;
    e->has_C = 0;
    mige_clock_start(MIGE_PHASE_GRAM);
    MIGE_TRY(gram_kernel(s, &e->gram, NULL));
    MIGE_TRY(kernel_pull(&e->gram.kernel, e->gram.V, e->gram.B));
    mige_clock_stop(MIGE_PHASE_GRAM, 3 * M * M * s->D / s->c->size);
    mige_clock_start(MIGE_PHASE_EIGEN);
    MIGE_TRY(mige_eigen_solve(e->eigen, M, pairs));
    mige_clock_stop(MIGE_PHASE_EIGEN, pairs->flops / s->c->size);
    mige_options_choice(MIGE_SOLVERS, (int)pairs->solver, s->info.solver, sizeof s->info.solver);
    mige_clock_start(MIGE_PHASE_APPLY);
    score_take_wanted(s, e->gram.B);
    MIGE_TRY(mige_eigen_apply(e->eigen, 1, s->wanted, e->gram.B, S));
    double J = pairs->U ? pairs->J : M; /* the filter's products are with all of Q */
    mige_clock_stop(MIGE_PHASE_APPLY, 4 * M * s->wanted * J / s->c->size);
    for (size_t i = 0; i < (size_t)s->M * (size_t)s->wanted; i++) S[i] = -S[i];
    return MIGE_OK;
}

static int make_C(mige_score *s) {
    ssge *e = s->self;
    gram *g = &e->gram;
    int err = g->C ? MIGE_OK : MIGE_TAKE(&s->pool, MIGE_BLOCK(g->C, (size_t)s->M * (size_t)s->D));
    MIGE_TRY(mige_agree(s->c, err));
    if (!e->has_C) MIGE_TRY(mige_eigen_apply(e->eigen, 2, s->D, g->B, g->C));
    e->has_C = 1;
    return MIGE_OK;
}

static int points(mige_score *s, int Q, const double *P, double *S) {
    MIGE_TRY(make_C(s));
    return gram_points(s, &((const ssge *)s->self)->gram, NULL, Q, P, S);
}

static int hessian(mige_score *s, int Q, const double *P, double *H) {
    MIGE_TRY(make_C(s));
    return gram_hessian(s, &((const ssge *)s->self)->gram, -1, 0, Q, P, H);
}

const estimator_ops ssge_ops = {{"ssge", MIGE_SOLVERS, 1, "stein", "cg"},
                                sizeof(ssge),
                                offsetof(mige_score_options, eigen.solver),
                                NULL,
                                plan,
                                create,
                                destroy,
                                samples,
                                points,
                                hessian};
