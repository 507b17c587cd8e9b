/* toy: gradients of mutual information where the true one is known. */
#include "study/toy.h"
#include "mige/clock.h"
#include "mige/log.h"
#include "mige/rng.h"
#include "train/stop.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Progress goes by the cells' estimated cost, which differs a thousandfold, not by their number. */
enum { PARTS = 1000 };
/* Above, a cell of mige is worth all ranks together. */
enum { ALONE = 2048 };
/* All pairs of a separable critic are M^2 floats. */
enum { MOST_PAIRED = 16384 };

/* What computes: one estimator of mige and one critic at a time, made anew when another is needed. */
typedef struct {
    toy t;
    mige_comm self;
    const mige_comm *c;      /* of the cells of mige */
    truth_problem *problems; /* [ndims] */
    truth_estimator mige;
    double *pair; /* [M][2 D] x and y, for values; NULL: none */
    baseline *critic;
    int mige_of, critic_of; /* place in dims; in dims times methods */
    queue *queue;
    double total, done; /* of all cells' costs, by rank 0 */
    int64_t cells_done, cells;
} work;

int64_t toy_repeats(const toy *t, int method) {
    return method != METHOD_MIGE && t->o->critic_repeats ? t->o->critic_repeats : t->o->repeats;
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

/* In ms, roughly: for the order and for the time that is left. */
static double estimate_cost(const toy *t, int d, int m) {
    double D = (double)t->dims[d], M = t->M, paired = method_is_paired(t->methods[m]);
    double step = (paired ? 1.5 : 2) * M * (D + 550) * 4e-5 + (paired ? M * M * 1e-5 : 0);
    if (t->methods[m] == METHOD_MIGE) return 1 + 4e-7 * M * M * M;
    return step * (double)(method_until_flat(t->methods[m]) ? (t->o->joint_steps < 4000 ? t->o->joint_steps : 4000)
                                                            : t->o->critic_steps);
}

/* Draws do not depend on the method: the methods are compared on draws of the same stream. */
static uint64_t cell_seed(const work *w, cell k) {
    uint32_t words[2];
    uint64_t which = (uint64_t)(w->t.dims[k.d] - 1) << 20 | (uint64_t)k.repeat; /* 12 and 20 bits */
    mige_rng_bits(w->t.study->seed, MIGE_RNG_SAMPLE, which, (uint64_t)k.rho, 2, words);
    return (uint64_t)words[1] << 32 | words[0];
}

static int use_mige(work *w, int d) {
    if (w->mige.mi && w->mige_of == d) return MIGE_OK;
    truth_estimator_destroy(&w->mige);
    w->mige_of = d;
    return truth_estimator_create(w->c, w->t.o->problem, w->t.M, (int)w->t.dims[d], &w->t.study->score, &w->mige);
}

/* I(x;y) of the samples that were drawn, with the defaults of mige mi. */
static int work_value(work *w, int d, uint64_t seed, double *value) {
    const truth_estimator *e = &w->mige;
    mige_mi_value_options o = mige_mi_value_defaults();
    mige_mi_estimate found = {.value = NAN};
    o.seed = seed;
    int D = (int)w->t.dims[d], dims[] = {D, D};
    size_t row = (size_t)D * sizeof *w->pair;
    for (int m = 0; m < w->t.M; m++) {
        memcpy(w->pair + 2 * (size_t)m * (size_t)D, e->x + (size_t)m * (size_t)D, row);
        memcpy(w->pair + (2 * (size_t)m + 1) * (size_t)D, e->y + (size_t)m * (size_t)D, row);
    }
    MIGE_TRY(mige_mi_value(w->c, w->t.M, 2, dims, w->pair, &o, NULL, &found));
    *value = found.value;
    return MIGE_OK;
}

static int work_mige(work *w, cell k, double *values) {
    MIGE_TRY(use_mige(w, k.d));
    MIGE_TRY(truth_estimator_draw(&w->mige, &w->problems[k.d], w->t.rho[k.rho], cell_seed(w, k), 0));
    MIGE_TRY(truth_estimator_run(&w->mige));
    values[GRADIENT] = truth_estimator_value(&w->mige);
    values[EIGEN_MARGINAL] = mige_mi_get_problem(w->mige.mi, 0).J;
    values[EIGEN_JOINT] = mige_mi_get_problem(w->mige.mi, 1).J;
    return w->t.o->mi ? work_value(w, k.d, cell_seed(w, k), &values[MI]) : MIGE_OK;
}

static baseline_options options_of(const toy *t, int d, int m) {
    const study_options *o = t->o;
    int flat = method_until_flat(t->methods[m]);
    return baseline_of((enum method)t->methods[m], t->M, (int)t->dims[d], flat ? o->joint_rate : o->critic_rate,
                       flat ? o->joint_steps : o->critic_steps);
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
    return queue_stopped(((work *)ctx)->queue);
}

static int work_cell(void *ctx, int64_t number, double values[QUEUE_VALUES]) {
    work *w = ctx;
    cell k = toy_cell(&w->t, number);
    baseline_result r;
    for (int v = 0; v < QUEUE_VALUES; v++) values[v] = NAN;
    if (w->t.methods[k.method] == METHOD_MIGE) return work_mige(w, k, values);
    MIGE_TRY(use_critic(w, k));
    MIGE_TRY(baseline_run(w->critic, &w->problems[k.d], w->t.rho[k.rho], cell_seed(w, k), stopped, w, &r));
    values[GRADIENT] = r.gradient;
    values[MI] = r.mi;
    values[STEPS] = (double)r.steps;
    return MIGE_OK;
}

static void take_cell(void *ctx, int64_t number, const double values[QUEUE_VALUES]) {
    work *w = ctx;
    char text[64];
    cell k = toy_cell(&w->t, number);
    for (int v = 0; v < VALUES; v++) w->t.values[v][number] = values[v];
    w->done += estimate_cost(&w->t, k.d, k.method);
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

/* Cells not done of mige, or of the critics: the dear methods first, so that the ranks end together; within a
 * method one repeat after the other, so that what there is after a while is a whole figure. */
static int64_t list_cells(const toy *t, int mige, int64_t *list) {
    int64_t n = 0, most = 0;
    for (int m = 0; m < t->nmethods; m++) most = fmax((double)most, (double)toy_repeats(t, t->methods[m]));
    for (int method = METHOD_INFONCE; method >= METHOD_MIGE; method--)
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
    MIGE_TRY(mige_agree(w->t.study->c, mige_alloc((size_t)w->t.ncells, sizeof *list, &list)));
    n = list_cells(&w->t, 0, list);
    nmige = list_cells(&w->t, 1, list + n);
    w->cells = n + nmige;
    for (int64_t i = 0; i < w->cells; i++) {
        cell k = toy_cell(&w->t, list[i]);
        w->total += estimate_cost(&w->t, k.d, k.method);
    }
    mige_progress_begin("toy, per mille", PARTS);
    (void)mige_progress_due(1); /* its clock begins here */
    if (together) err = queue_together(w->queue, nmige, list + n);
    if (!err) err = queue_run(w->queue, together ? n : n + nmige, list);
    mige_progress_end();
    free(list);
    return err;
}

static int restore(work *w) {
    const mige_comm *c = w->t.study->c;
    const char *output = w->t.study->output;
    int found = 0, err = MIGE_OK;
    if (w->t.study->resume && c->rank == 0) err = toy_restore(&w->t, &found);
    MIGE_TRY(mige_agree(c, err));
    MIGE_TRY(mige_bcast(c, 0, w->t.values[0], VALUES * (size_t)w->t.ncells * sizeof(double)));
    int64_t done = 0;
    for (int64_t i = 0; i < w->t.ncells; i++) done += !isnan(w->t.values[GRADIENT][i]);
    if (found) mige_say("toy: %s has %lld of %lld cells", output, (long long)done, (long long)w->t.ncells);
    if (w->t.study->resume && !found) mige_say("toy: no %s yet, starting from the beginning", output);
    if (done == w->t.ncells) mige_say("toy: nothing left to do");
    w->cells = w->t.ncells - done;
    return MIGE_OK;
}

/* And room for a pair in the most dimensions. */
static int create_problems(work *w) {
    const toy *t = &w->t;
    int64_t most = 0;
    MIGE_TRY(mige_alloc((size_t)t->ndims, sizeof *w->problems, &w->problems));
    for (int d = 0; d < t->ndims; d++) {
        MIGE_TRY(truth_create(t->o->problem, t->o->rotate, (int)t->dims[d], t->study->seed, &w->problems[d]));
        most = t->dims[d] > most ? t->dims[d] : most;
    }
    return t->o->mi ? mige_alloc(2 * (size_t)t->M * (size_t)most, sizeof *w->pair, &w->pair) : MIGE_OK;
}

static int take_table(toy *t) {
    MIGE_TRY(mige_alloc(VALUES * (size_t)t->ncells, sizeof(double), &t->values[0]));
    for (int v = 1; v < VALUES; v++) t->values[v] = t->values[v - 1] + t->ncells;
    for (int64_t i = 0; i < VALUES * t->ncells; i++) t->values[0][i] = NAN;
    return MIGE_OK;
}

static int compute(work *w) {
    queue_task task = {w, work_cell, take_cell, save_cells};
    MIGE_TRY(mige_agree(w->t.study->c, take_table(&w->t)));
    MIGE_TRY(restore(w));
    if (!w->cells) return MIGE_OK;
    MIGE_TRY(mige_agree(w->t.study->c, create_problems(w)));
    MIGE_TRY(queue_create(w->t.study->c, &task, &w->queue));
    mige_clock_reset();
    int err = run_cells(w);
    if (err != MIGE_ESTOPPED) return err;
    mige_raise(err, "toy: stopped %s at %lld of %lld cells (the same command with --resume goes on)",
               mige_stop_reason(queue_reason(w->queue)), (long long)w->cells_done, (long long)w->cells);
    return mige_agree(w->t.study->c, err);
}

/* ---- the plan */

/* Bytes a rank, for M samples. */
static double memory(const void *ctx, int M) {
    const work *w = ctx;
    toy t = w->t;
    int ranks = M > ALONE ? w->t.study->c->size : 1;
    mige_mi_value_options value = mige_mi_value_defaults();
    double most = 0, values = 0;
    t.M = M;
    for (int d = 0; d < t.ndims; d++) {
        int D = (int)t.dims[d];
        if (t.o->mi) values = fmax(values, mige_mi_value_bytes(M, 2 * D, &value) + 16. * M * D);
        for (int m = 0; m < t.nmethods; m++) {
            baseline_options o = options_of(&t, d, m);
            double bytes = t.methods[m] == METHOD_MIGE
                               ? truth_estimator_bytes(t.o->problem, M, D, ranks, &w->t.study->score)
                               : baseline_bytes(&o);
            most = bytes > most ? bytes : most;
        }
    }
    return most + values + 8. * VALUES * (double)t.ncells;
}

static int check_sizes(const toy *t, int nsamples, int64_t samples) {
    MIGE_CHECK(nsamples == 1, MIGE_EUSAGE, "--samples: %s: toy takes one number", t->o->samples);
    MIGE_CHECK(t->study->score.eigen.eigen <= samples, MIGE_EUSAGE, "--eigen: %d is more than the %lld samples",
               t->study->score.eigen.eigen, (long long)samples);
    for (int m = 0; m < t->nmethods; m++)
        MIGE_CHECK(samples <= MOST_PAIRED || !method_is_paired(t->methods[m]), MIGE_EUSAGE,
                   "--samples: %lld are too many for mine, mine-f and infonce, which take all pairs (%d at most)",
                   (long long)samples, MOST_PAIRED);
    return MIGE_OK;
}

static int parse(toy *t) {
    const study_options *o = t->o;
    int64_t *samples;
    int n;
    MIGE_TRY(mige_list_integers("--dims", o->dims, 1, 4096, &t->ndims, &t->dims));
    MIGE_TRY(mige_list_names("--methods", o->methods, METHODS, &t->nmethods, &t->methods));
    MIGE_TRY(truth_grid(o->rho, "-0.8:0.8:32", &t->nrho, &t->rho));
    for (int d = 0; d < t->ndims; d++) MIGE_TRY(truth_check(o->problem, (int)t->dims[d], t->nrho, t->rho));
    for (int m = 0; m < t->nmethods; m++)
        MIGE_CHECK(t->methods[m] == METHOD_MIGE || !truth_moves_x(o->problem), MIGE_EUSAGE,
                   "--methods: critics follow y only, and in this problem x moves, too (mige)");
    MIGE_TRY(mige_list_integers("--samples", *o->samples ? o->samples : "256", 2, 1 << 24, &n, &samples));
    t->M = (int)samples[0];
    free(samples);
    MIGE_TRY(check_sizes(t, n, t->M));
    for (int d = 0; o->mi && d < t->ndims; d++)
        MIGE_CHECK(t->M >= mige_mi_least(2 * (int)t->dims[d]), MIGE_EUSAGE,
                   "--mi: %d samples are too few in %lld and %lld dimensions (%d at least)", t->M,
                   (long long)t->dims[d], (long long)t->dims[d], mige_mi_least(2 * (int)t->dims[d]));
    t->ncells = toy_first(t, t->ndims, 0);
    return MIGE_OK;
}

static void say_plan(const work *w) {
    const study_options *o = w->t.o;
    char estimator[MIGE_OPT_TEXT_SIZE], problem[MIGE_OPT_TEXT_SIZE];
    mige_options_value(&w->t.study->given, "estimator", estimator);
    mige_options_value(&w->t.study->given, "problem", problem);
    mige_say("toy: %s%s in %s dimensions, %d samples, %d correlations, methods %s", problem,
             o->rotate ? " rotated" : "", o->dims, w->t.M, w->t.nrho, o->methods);
    mige_say("toy: %lld cells (%lld repeats, of critics %lld) on %d ranks%s, estimator %s, about %.3g MB a rank",
             (long long)w->t.ncells, (long long)o->repeats, (long long)toy_repeats(&w->t, METHOD_MINE),
             w->t.study->c->size, w->t.M > ALONE ? ", those of mige on all together" : "", estimator,
             memory(w, w->t.M) / 1e6);
}

static void release(work *w) {
    void *blocks[] = {w->t.dims, w->t.methods, w->t.rho, w->problems, w->pair, w->t.values[0]};
    for (int d = 0; w->problems && d < w->t.ndims; d++) truth_destroy(&w->problems[d]);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    truth_estimator_destroy(&w->mige);
    baseline_destroy(&w->critic);
    queue_destroy(&w->queue);
    mige_comm_destroy(&w->self);
}

int toy_run(const study *s) {
    work w = {.t.study = s, .t.o = s->o};
    MIGE_TRY(mige_comm_create(MPI_COMM_SELF, &w.self));
    int err = mige_agree(s->c, parse(&w.t));
    w.c = w.t.M > ALONE ? s->c : &w.self;
    if (!err) say_plan(&w);
    if (!err) err = mige_memory_check(&s->memory, "--samples", w.t.M, memory, &w);
    if (!err) err = study_check_output(s);
    if (!err && !s->dry_run) {
        err = compute(&w);
        if (!err && s->c->rank == 0) toy_print(&w.t);
        if (!err) mige_say("toy: done, written to %s", s->output);
    }
    release(&w);
    return err;
}
