/* mige toy: gradients of mutual information where the true one is known. */
#include "app/toy.h"
#include "app/deal.h"
#include "app/lists.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/log.h"
#include "train/memory.h"
#include "train/stop.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Progress goes by the cells' estimated cost, which differs a thousandfold, not by their number. */
enum { PARTS = 1000 };
/* Above, a cell of mige is worth all ranks together. */
enum { ALONE = 2048 };
/* All pairs of a separable critic are M^2 floats. */
enum { MOST_PAIRED = 16384 };

/* What computes: one estimator of mige and one critic at a time, made anew when another is needed. */
typedef struct {
    toy t;
    app *a;
    mige_comm self;
    const mige_comm *c; /* of the cells of mige */
    mige_score_options score;
    known *known; /* [ndims] */
    double *x, *y, *dy, *dz;
    mige_mi *mi;
    baseline *critic;
    int mi_of, critic_of; /* place in dims; in dims times methods */
    deal *deal;
    double *cost;       /* [ndims * nmethods] of a cell, estimated, ms */
    double total, done; /* of all costs, by rank 0 */
    int64_t cells_done, cells;
} work;

int64_t toy_repeats(const toy *t, int method) {
    return method != METHOD_MIGE && t->c->critic_repeats ? t->c->critic_repeats : t->c->repeats;
}

int64_t toy_first(const toy *t, int d, int method) {
    int64_t row = 0, before = 0;
    for (int m = 0; m < t->nmethods; m++) {
        if (m == method) before = row;
        row += toy_repeats(t, t->methods[m]) * t->nrho;
    }
    return d * row + before;
}

cell toy_cell(const toy *t, int64_t number) {
    cell k = {0, t->nmethods - 1, 0, 0};
    while (toy_first(t, k.d + 1, 0) <= number) k.d++;
    while (toy_first(t, k.d, k.method) > number) k.method--;
    number -= toy_first(t, k.d, k.method);
    k.repeat = number / t->nrho;
    k.rho = (int)(number % t->nrho);
    return k;
}

/* ---- one cell */

/* Well mixed, so that the streams of two cells have nothing in common. */
static uint64_t mix(uint64_t seed, uint64_t value) {
    uint64_t z = seed * 0x9e3779b97f4a7c15u + value + 1;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Draws do not depend on the method: the methods are compared on draws of the same stream. */
static uint64_t cell_seed(const work *w, cell k) {
    uint64_t seed = mix((uint64_t)w->t.c->seed, (uint64_t)w->t.dims[k.d]);
    return mix(mix(seed, (uint64_t)k.repeat), (uint64_t)k.rho);
}

static int use_mi(work *w, int d) {
    if (w->mi && w->mi_of == d) return MIGE_OK;
    int D = (int)w->t.dims[d];
    mige_mi_destroy(&w->mi);
    w->mi_of = d;
    return known_mi_create(w->c, w->t.M, D, &w->score, &w->mi);
}

static int work_mige(work *w, cell k, double *values) {
    int D = (int)w->t.dims[k.d], M = w->t.M;
    MIGE_TRY(use_mi(w, k.d));
    int err = known_draw(&w->known[k.d], M, w->t.rho[k.rho], cell_seed(w, k), 0, w->x, w->y, w->dy);
    MIGE_TRY(mige_agree(w->c, err));
    mige_clock_start(MIGE_PHASE_STEP);
    MIGE_TRY(known_mi_gradient(w->mi, w->x, w->y, w->dz));
    mige_clock_stop(MIGE_PHASE_STEP, 0);
    values[GRADIENT] = known_contract(M, D, w->dz, w->dy);
    values[EIGEN_MARGINAL] = mige_mi_get_problem(w->mi, 0).J;
    values[EIGEN_JOINT] = mige_mi_get_problem(w->mi, 1).J;
    return MIGE_OK;
}

static baseline_options options_of(const toy *t, int d, int m) {
    const config *c = t->c;
    int joint = t->methods[m] >= METHOD_MINE_JOINT;
    return baseline_of((enum method)t->methods[m], t->M, (int)t->dims[d], joint ? c->joint_rate : c->critic_rate,
                       joint ? c->joint_steps : c->critic_steps);
}

static int use_critic(work *w, cell k) {
    int of = k.d * w->t.nmethods + k.method;
    if (w->critic && w->critic_of == of) return MIGE_OK;
    baseline_options o = options_of(&w->t, k.d, k.method);
    baseline_destroy(&w->critic);
    w->critic_of = of;
    return baseline_create(&o, &w->critic);
}

static int stopped(void *ctx) {
    return deal_stopped(((work *)ctx)->deal);
}

static int work_cell(void *ctx, int64_t number, double values[DEAL_VALUES]) {
    work *w = ctx;
    cell k = toy_cell(&w->t, number);
    baseline_result r;
    for (int v = 0; v < DEAL_VALUES; v++) values[v] = NAN;
    if (w->t.methods[k.method] == METHOD_MIGE) return work_mige(w, k, values);
    MIGE_TRY(use_critic(w, k));
    MIGE_TRY(baseline_run(w->critic, &w->known[k.d], w->t.rho[k.rho], cell_seed(w, k), stopped, w, &r));
    values[GRADIENT] = r.gradient;
    values[MI] = r.mi;
    values[STEPS] = (double)r.steps;
    return MIGE_OK;
}

static void take_cell(void *ctx, int64_t number, const double values[DEAL_VALUES]) {
    work *w = ctx;
    char text[64];
    cell k = toy_cell(&w->t, number);
    for (int v = 0; v < VALUES; v++) w->t.values[v][number] = values[v];
    w->done += w->cost[k.d * w->t.nmethods + k.method];
    w->cells_done++;
    long part = (long)(PARTS * w->done / w->total);
    if (!mige_progress_due(part)) return;
    snprintf(text, sizeof text, "%lld/%lld cells", (long long)w->cells_done, (long long)w->cells);
    mige_progress_update(part, text);
}

static int save_cells(void *ctx) {
    mige_clock_start(MIGE_PHASE_OUTPUT);
    MIGE_TRY(toy_save(&((work *)ctx)->t));
    mige_clock_stop(MIGE_PHASE_OUTPUT, 0);
    return MIGE_OK;
}

/* ---- all cells */

/* In ms, roughly: for the order and for the time that is left. */
static double estimate_cost(const toy *t, int d, int m) {
    double D = (double)t->dims[d], M = t->M, joint = t->methods[m] >= METHOD_MINE_JOINT;
    double step = (joint ? 2 : 1.5) * M * (D + 550) * 4e-5 + (joint ? 0 : M * M * 1e-5);
    if (t->methods[m] == METHOD_MIGE) return 1 + 4e-7 * M * M * M;
    return step * (double)(joint ? (t->c->joint_steps < 4000 ? t->c->joint_steps : 4000) : t->c->critic_steps);
}

/* Cells not done of mige, or of the critics: the dear methods first, so that the ranks end together; within a
 * method one repeat after the other, so that what there is after a while is a whole figure. */
static int64_t list_cells(const toy *t, int mige, int64_t *list) {
    int64_t n = 0, most = 0;
    for (int m = 0; m < t->nmethods; m++) most = fmax((double)most, (double)toy_repeats(t, t->methods[m]));
    for (int method = METHOD_MINE_F_JOINT; method >= METHOD_MIGE; method--)
        for (int64_t r = 0; r < most; r++)
            for (int d = t->ndims - 1; d >= 0; d--)
                for (int m = 0; m < t->nmethods; m++) {
                    if (t->methods[m] != method || (method == METHOD_MIGE) != mige || r >= toy_repeats(t, method))
                        continue;
                    for (int i = 0; i < t->nrho; i++) {
                        int64_t number = toy_first(t, d, m) + r * t->nrho + i;
                        if (isnan(t->values[GRADIENT][number])) list[n++] = number;
                    }
                }
    return n;
}

static int run_cells(work *w) {
    int64_t *list, n, nmige;
    int together = w->t.M > ALONE, err = MIGE_OK;
    MIGE_TRY(mige_agree(&w->a->comm, mige_alloc((size_t)w->t.ncells, sizeof *list, &list)));
    n = list_cells(&w->t, 0, list);
    nmige = list_cells(&w->t, 1, list + n);
    w->cells = n + nmige;
    for (int64_t i = 0; i < w->cells; i++) {
        cell k = toy_cell(&w->t, list[i]);
        w->total += w->cost[k.d * w->t.nmethods + k.method];
    }
    mige_progress_begin("toy, per mille", PARTS);
    (void)mige_progress_due(1); /* its clock begins here */
    if (together) err = deal_together(w->deal, nmige, list + n);
    if (!err) err = deal_run(w->deal, together ? n : n + nmige, list);
    mige_progress_end();
    free(list);
    return err;
}

static int restore(work *w) {
    const mige_comm *c = &w->a->comm;
    int found = 0, err = MIGE_OK;
    if (w->t.c->resume) {
        if (c->rank == 0) err = toy_restore(&w->t, w->a, &found);
    } else if (c->rank == 0) {
        err = check_output(w->t.c->output, NULL, NULL);
    }
    MIGE_TRY(mige_agree(c, err));
    for (int v = 0; v < VALUES; v++)
        MIGE_TRY(mige_bcast(c, 0, w->t.values[v], (size_t)w->t.ncells * sizeof(double)));
    int64_t done = 0;
    for (int64_t i = 0; i < w->t.ncells; i++) done += !isnan(w->t.values[GRADIENT][i]);
    if (found) mige_say("toy: %s has %lld of %lld cells", w->t.c->output, (long long)done, (long long)w->t.ncells);
    if (w->t.c->resume && !found) mige_say("toy: no %s yet, starting from the beginning", w->t.c->output);
    if (done == w->t.ncells) mige_say("toy: nothing left to do");
    w->cells = w->t.ncells - done;
    return MIGE_OK;
}

static int stop_message(const work *w) {
    return mige_raise(MIGE_ESTOPPED,
                      "toy: stopped %s at %lld of %lld cells (the same command with --resume goes on)",
                      mige_stop_reason(deal_reason(w->deal)), (long long)w->cells_done, (long long)w->cells);
}

static int take_memory(work *w) {
    int64_t widest = 0;
    for (int d = 0; d < w->t.ndims; d++) widest = w->t.dims[d] > widest ? w->t.dims[d] : widest;
    double **blocks[] = {&w->x, &w->y, &w->dy, &w->dz};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        MIGE_TRY(mige_alloc((size_t)w->t.M * (size_t)widest, sizeof(double), blocks[i]));
    MIGE_TRY(mige_alloc((size_t)w->t.ndims, sizeof *w->known, &w->known));
    for (int d = 0; d < w->t.ndims; d++)
        MIGE_TRY(
            known_create(w->t.c->problem, w->t.c->rotate, (int)w->t.dims[d], (uint64_t)w->t.c->seed, &w->known[d]));
    return MIGE_OK;
}

static int take_table(toy *t) {
    for (int v = 0; v < VALUES; v++) {
        MIGE_TRY(mige_alloc((size_t)t->ncells, sizeof(double), &t->values[v]));
        for (int64_t i = 0; i < t->ncells; i++) t->values[v][i] = NAN;
    }
    return MIGE_OK;
}

static int compute(work *w) {
    deal_task task = {w, work_cell, take_cell, save_cells};
    MIGE_TRY(mige_agree(&w->a->comm, take_table(&w->t)));
    MIGE_TRY(restore(w));
    if (!w->cells) return MIGE_OK;
    MIGE_TRY(mige_agree(&w->a->comm, take_memory(w)));
    MIGE_TRY(deal_create(&w->a->comm, &task, &w->deal));
    mige_clock_reset();
    int err = run_cells(w);
    if (err == MIGE_ESTOPPED) {
        stop_message(w);
        return mige_agree(&w->a->comm, MIGE_ESTOPPED);
    }
    return err;
}

/* ---- the plan */

/* Bytes a rank, for M samples. */
static double memory(const void *ctx, int M) {
    const work *w = ctx;
    toy t = w->t;
    int ranks = M > ALONE ? w->a->comm.size : 1;
    int64_t widest = 0;
    double most = 0;
    t.M = M;
    for (int d = 0; d < t.ndims; d++) {
        int D = (int)t.dims[d];
        widest = D > widest ? D : widest;
        for (int m = 0; m < t.nmethods; m++) {
            baseline_options o = options_of(&t, d, m);
            double bytes =
                t.methods[m] == METHOD_MIGE ? known_mi_bytes(M, D, ranks, &w->score) : baseline_bytes(&o);
            most = bytes > most ? bytes : most;
        }
    }
    return most + 32. * M * (double)widest + 8. * VALUES * (double)t.ncells;
}

static int check_sizes(const toy *t, int nsamples, int64_t samples) {
    MIGE_CHECK(nsamples == 1, MIGE_EUSAGE, "--samples: %s: toy takes one number", t->c->samples);
    MIGE_CHECK(t->c->eigen <= samples, MIGE_EUSAGE, "--eigen: %lld is more than the %lld samples",
               (long long)t->c->eigen, (long long)samples);
    for (int m = 0; m < t->nmethods; m++)
        MIGE_CHECK(samples <= MOST_PAIRED || (t->methods[m] != METHOD_MINE && t->methods[m] != METHOD_MINE_F),
                   MIGE_EUSAGE,
                   "--samples: %lld are too many for mine and mine-f, which take all pairs (%d at most)",
                   (long long)samples, MOST_PAIRED);
    return MIGE_OK;
}

static int parse(work *w) {
    toy *t = &w->t;
    const config *c = t->c;
    int64_t *samples;
    int n;
    MIGE_TRY(config_score(c, &w->score));
    MIGE_TRY(list_integers("dims", c->dims, 1, 4096, &t->ndims, &t->dims));
    MIGE_TRY(list_names("methods", c->methods, METHODS, &t->nmethods, &t->methods));
    MIGE_TRY(known_grid(c->rho, "-0.8:0.8:32", &t->nrho, &t->rho));
    MIGE_TRY(list_integers("samples", *c->samples ? c->samples : "256", 2, 1 << 24, &n, &samples));
    t->M = (int)samples[0];
    free(samples);
    MIGE_TRY(check_sizes(t, n, t->M));
    t->ncells = toy_first(t, t->ndims, 0);
    MIGE_TRY(mige_alloc((size_t)t->ndims * (size_t)t->nmethods, sizeof *w->cost, &w->cost));
    for (int i = 0; i < t->ndims * t->nmethods; i++)
        w->cost[i] = estimate_cost(t, i / t->nmethods, i % t->nmethods);
    return MIGE_OK;
}

static void say_plan(const work *w) {
    const config *c = w->t.c;
    char estimator[CHOICE_SIZE], problem[CHOICE_SIZE];
    config_choice(c, "estimator", estimator);
    config_choice(c, "problem", problem);
    mige_say("toy: %s%s in %s dimensions, %d samples, %d correlations, methods %s", problem,
             c->rotate ? " rotated" : "", c->dims, w->t.M, w->t.nrho, c->methods);
    mige_say("toy: %lld cells (%lld repeats, of critics %lld) on %d ranks%s, estimator %s, about %.3g MB a rank",
             (long long)w->t.ncells, (long long)c->repeats, (long long)toy_repeats(&w->t, METHOD_MINE),
             w->a->comm.size, w->t.M > ALONE ? ", those of mige on all together" : "", estimator,
             memory(w, w->t.M) / 1e6);
}

static void release(work *w) {
    void *blocks[] = {w->t.dims, w->t.methods, w->t.rho, w->x, w->y, w->dy, w->dz, w->cost};
    for (int d = 0; w->known && d < w->t.ndims; d++) known_destroy(&w->known[d]);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    for (int v = 0; v < VALUES; v++) free(w->t.values[v]);
    free(w->known);
    mige_mi_destroy(&w->mi);
    baseline_destroy(&w->critic);
    deal_destroy(&w->deal);
    mige_comm_destroy(&w->self);
}

int cmd_toy(app *a) {
    work w = {.a = a, .t.c = &a->cfg};
    if (!a->cfg.dry_run) MIGE_TRY(config_need("output", a->cfg.output));
    MIGE_TRY(mige_stop_listen(&a->comm, a->cfg.max_hours, a->cfg.stop_file));
    MIGE_TRY(mige_comm_create(MPI_COMM_SELF, &w.self));
    int err = mige_agree(&a->comm, parse(&w));
    w.c = w.t.M > ALONE ? &a->comm : &w.self;
    if (!err) say_plan(&w);
    mige_memory m = memory_of(a);
    if (!err) err = mige_memory_check(&m, "--samples", w.t.M, memory, &w);
    if (!err && !a->cfg.dry_run) {
        err = compute(&w);
        if (!err && a->comm.rank == 0) toy_print(&w.t);
        if (!err) mige_say("toy: done, written to %s", a->cfg.output);
    }
    release(&w);
    return err;
}
