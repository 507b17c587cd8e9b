/* scale: time, memory and error of the gradient of mutual information against the number of samples. */
#include "study/scale.h"
#include "mige/blas.h"
#include "mige/clock.h"
#include "mige/log.h"
#include "mige/mi.h"
#include "study/truth.h"
#include "train/stop.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A case that takes long is also saved in between. */
enum { SAVE_SECONDS = 30 };
enum { MOST_DRAWS = 1000000 };
/* A first gradient that takes less is done twice, and the first not counted: it meets memory for the first time. */
static const double WARM_SECONDS = 1;

/* The command at work, on one case after the other. */
typedef struct {
    scale *s;
    double saved; /* when, in seconds */
    int stop;     /* why to stop, by stop.h */
    scale_case *k;
    truth_problem problem;
    truth_estimator e;
    double base, peak; /* resident memory before the case, and its largest until then */
} work;

static const enum mige_phase phases[PARTS] = {MIGE_PHASE_GRAM, MIGE_PHASE_EIGEN, MIGE_PHASE_APPLY};

/* ---- one draw */

static void read_clocks(double seconds[PARTS], double flops[PARTS]) {
    for (int p = 0; p < PARTS; p++) {
        seconds[p] = mige_clock_get(phases[p]).seconds;
        flops[p] = mige_clock_get(phases[p]).flops;
    }
}

/* Adds what a gradient took: phases of the rank that was busiest in them, the longest total, flops of all. */
static int add_times(work *w, double seconds[PARTS], double total, double flops[PARTS]) {
    const mige_comm *c = w->s->study->c;
    double busy = 0, most[2], first;
    for (int p = 0; p < PARTS; p++) busy += seconds[p];
    most[0] = busy;
    most[1] = total;
    MIGE_TRY(mige_max(c, most, 2));
    first = busy >= most[0] ? -c->rank : -c->size;
    MIGE_TRY(mige_max(c, &first, 1));
    MIGE_TRY(mige_bcast(c, (int)-first, seconds, PARTS * sizeof *seconds));
    MIGE_TRY(mige_sum(c, flops, PARTS));
    w->k->total += most[1];
    for (int p = 0; p < PARTS; p++) {
        w->k->seconds[p] += seconds[p];
        w->k->flops[p] += flops[p];
    }
    return MIGE_OK;
}

/* Where the peak cannot be reset, an earlier case's may hide this one's: then what is resident counts. */
static int add_memory(work *w) {
    double peak = mige_memory_peak(), grown = mige_memory_resident() - w->base;
    if (peak > w->peak) grown = fmax(grown, peak - w->base);
    MIGE_TRY(mige_max(w->s->study->c, &grown, 1));
    w->k->bytes = fmax(w->k->bytes, grown);
    return MIGE_OK;
}

/* A gradient and what it took; again, if it should be warm and took little. */
static int timed_gradient(work *w, int warm) {
    const mige_comm *c = w->s->study->c;
    double seconds[PARTS], flops[PARTS], before[PARTS], flops_before[PARTS], total, most;
    do {
        read_clocks(before, flops_before);
        double start = mige_now();
        MIGE_TRY(truth_estimator_run(&w->e));
        most = total = mige_now() - start;
        MIGE_TRY(mige_max(c, &most, 1));
    } while (!warm++ && most < WARM_SECONDS);
    read_clocks(seconds, flops);
    for (int p = 0; p < PARTS; p++) {
        seconds[p] -= before[p];
        flops[p] -= flops_before[p];
    }
    return add_times(w, seconds, total, flops);
}

/* Draw n is the first M samples of sequence n. */
static int draw(work *w, int64_t n, int warm) {
    scale *s = w->s;
    scale_case *k = w->k;
    MIGE_TRY(truth_estimator_draw(&w->e, &w->problem, s->rho[n % s->nrho], s->study->seed, (uint64_t)n));
    MIGE_TRY(timed_gradient(w, warm));
    MIGE_TRY(add_memory(w));
    k->J_marginal += mige_mi_get_problem(w->e.mi, 0).J;
    k->J += mige_mi_get_problem(w->e.mi, 1).J;
    scale_gradient(s, (int)(k - s->cases))[n] = truth_estimator_value(&w->e);
    k->draws = n + 1;
    return MIGE_OK;
}

/* ---- one case */

static int save(work *w) {
    const mige_comm *c = w->s->study->c;
    mige_clock_start(MIGE_PHASE_OUTPUT);
    int err = mige_agree(c, c->rank == 0 ? scale_save(w->s) : MIGE_OK);
    mige_clock_stop(MIGE_PHASE_OUTPUT, 0);
    w->saved = mige_now();
    return err;
}

/* Whether to stop, and whether to save: all ranks alike. */
static int meet(work *w, int *save_now) {
    double asked[2] = {mige_stop_asked(), mige_now() - w->saved > SAVE_SECONDS};
    MIGE_TRY(mige_max(w->s->study->c, asked, 2));
    w->stop = (int)asked[0];
    *save_now = asked[1] > 0;
    return MIGE_OK;
}

static int draw_all(work *w) {
    scale *s = w->s;
    char label[32];
    int64_t first = w->k->draws;
    int save_now;
    snprintf(label, sizeof label, "M %lld", (long long)w->k->M);
    mige_progress_begin(label, (long)s->draws);
    for (int64_t n = first; n < s->draws && !w->stop; n++) {
        MIGE_TRY(draw(w, n, n > first));
        if (n + 1 < s->draws) mige_progress_update((long)n + 1, "gradients"); /* the table's line tells the end */
        MIGE_TRY(meet(w, &save_now));
        if (save_now && !w->stop && n + 1 < s->draws) MIGE_TRY(save(w));
    }
    mige_progress_end();
    return save(w);
}

static int run_case(work *w) {
    scale *s = w->s;
    scale_case *k = w->k;
    const mige_comm *c = s->study->c;
    /* On the slowest rank while all are at it: what the machine has to give, caches and memory shared. */
    double slowest = -mige_blas_rate(0.2);
    MIGE_TRY(mige_max(c, &slowest, 1));
    k->dgemm = -slowest;
    k->predicted = scale_bytes(s, (int)k->M);
    mige_say("scale: M %lld: %.4g MB a rank expected, dgemm %.3g GFLOP/s a rank", (long long)k->M,
             1e-6 * k->predicted, k->dgemm);
    mige_memory_peak_reset();
    w->base = mige_memory_resident();
    w->peak = mige_memory_peak();
    int err = truth_estimator_create(c, s->o->problem, (int)k->M, s->D, &s->study->score, &w->e);
    if (!err) err = draw_all(w);
    mige_progress_end();
    truth_estimator_destroy(&w->e);
    return err;
}

/* ---- all cases */

/* The case of M samples at this number of ranks; -1: not there. */
static int find_case(const scale *s, int64_t M) {
    for (int i = 0; i < s->ncases; i++)
        if (s->cases[i].M == M && s->cases[i].ranks == s->study->c->size) return i;
    return -1;
}

static int64_t case_left(const scale *s, int64_t M) {
    int i = find_case(s, M);
    return s->draws - (i < 0 ? 0 : s->cases[i].draws);
}

int64_t scale_left(const scale *s) {
    int64_t left = 0;
    for (int i = 0; i < s->nsamples; i++)
        if (find_case(s, s->samples[i]) < 0) left += s->draws;
    for (int i = 0; i < s->ncases; i++) left += s->draws - s->cases[i].draws;
    return left;
}

/* Rank 0 reads the file that is gone on with, and tells. */
static int restore(scale *s) {
    const mige_comm *c = s->study->c;
    const char *output = s->study->output;
    int resume = s->study->resume, err = MIGE_OK;
    if (c->rank == 0 && resume) err = scale_restore(s);
    MIGE_TRY(mige_agree(c, err));
    MIGE_TRY(mige_bcast(c, 0, &s->ncases, sizeof s->ncases));
    if (!s->cases) err = scale_take_room(s);
    MIGE_TRY(mige_agree(c, err));
    if (resume && s->ncases) mige_say("scale: going on with %s, which has %d cases", output, s->ncases);
    if (resume && !s->ncases) mige_say("scale: no %s yet, starting from the beginning", output);
    MIGE_TRY(mige_bcast(c, 0, s->cases, (size_t)s->ncases * sizeof *s->cases));
    return mige_bcast(c, 0, s->gradient, (size_t)s->ncases * (size_t)s->draws * sizeof *s->gradient);
}

static int stopped(const work *w) {
    int done = 0;
    for (int i = 0; i < w->s->nsamples; i++) done += !case_left(w->s, w->s->samples[i]);
    int err =
        mige_raise(MIGE_ESTOPPED, "scale: stopped %s at %d of %d cases (the same command with --resume goes on)",
                   mige_stop_reason(w->stop), done, w->s->nsamples);
    return mige_agree(w->s->study->c, err);
}

static int run_cases(work *w) {
    scale *s = w->s;
    scale_print_head();
    for (int i = 0; i < s->nsamples; i++) {
        int at = find_case(s, s->samples[i]);
        if (at < 0) {
            at = s->ncases++;
            s->cases[at] = (scale_case){.M = s->samples[i], .ranks = s->study->c->size};
        }
        w->k = &s->cases[at];
        if (w->k->draws < s->draws) MIGE_TRY(run_case(w));
        if (w->k->draws == s->draws) scale_print(s, at);
        for (int j = i; w->stop && j < s->nsamples; j++)
            if (case_left(s, s->samples[j])) return stopped(w);
    }
    return MIGE_OK;
}

/* Before anything is computed. */
static int check_memory(const scale *s) {
    for (int i = 0; i < s->nsamples; i++)
        if (s->study->dry_run || case_left(s, s->samples[i]))
            MIGE_TRY(mige_memory_check(&s->study->memory, "--samples", (int)s->samples[i], scale_bytes, s));
    return MIGE_OK;
}

static int compute(scale *s) {
    work w = {.s = s, .saved = mige_now()};
    MIGE_TRY(restore(s));
    MIGE_TRY(check_memory(s));
    MIGE_TRY(mige_agree(s->study->c, truth_create(s->o->problem, s->o->rotate, s->D, s->study->seed, &w.problem)));
    mige_clock_reset();
    int err = run_cases(&w);
    truth_destroy(&w.problem);
    if (!err) mige_say("scale: done, written to %s", s->study->output);
    return err;
}

static int parse(scale *s) {
    const study_options *o = s->o;
    s->D = (int)o->dim;
    MIGE_TRY(truth_grid(o->rho, "-0.8:0.8:4", &s->nrho, &s->rho));
    MIGE_TRY(truth_check(o->problem, s->D, s->nrho, s->rho));
    MIGE_TRY(mige_list_integers("--samples", *o->samples ? o->samples : "256,1024,4096", 2, 1 << 24, &s->nsamples,
                                &s->samples));
    for (int i = 0; i < s->nsamples; i++)
        MIGE_CHECK(s->study->score.eigen.eigen <= s->samples[i], MIGE_EUSAGE,
                   "--eigen: %d is more than %lld samples", s->study->score.eigen.eigen, (long long)s->samples[i]);
    s->draws = o->repeats * s->nrho;
    MIGE_CHECK(s->draws <= MOST_DRAWS, MIGE_EUSAGE, "--repeats: %lld of %d correlations are too many (%d in all)",
               (long long)o->repeats, s->nrho, MOST_DRAWS);
    return MIGE_OK;
}

static void say_plan(const scale *s) {
    static const char *const names[] = {"estimator", "solver", "problem", "threads"};
    const study_options *o = s->o;
    char text[4][MIGE_OPT_TEXT_SIZE];
    for (int i = 0; i < 4; i++) mige_options_value(&s->study->given, names[i], text[i]);
    mige_say("scale: %s%s in %d dimensions, samples %s, %lld gradients each (%d correlations, %lld repeats), "
             "estimator %s, solver %s, %d ranks x %s threads",
             text[2], o->rotate ? " rotated" : "", s->D, *o->samples ? o->samples : "256,1024,4096",
             (long long)s->draws, s->nrho, (long long)o->repeats, text[0], text[1], s->study->c->size, text[3]);
}

int scale_run(const study *of) {
    scale s = {.study = of, .o = of->o};
    int err = mige_agree(of->c, parse(&s));
    if (!err) say_plan(&s);
    if (!err) err = study_check_output(of);
    if (!err && of->dry_run) {
        for (int i = 0; i < s.nsamples; i++) scale_print_plan(&s, (int)s.samples[i]);
        err = check_memory(&s);
    } else if (!err) {
        err = compute(&s);
    }
    void *blocks[] = {s.samples, s.rho, s.cases, s.gradient};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    return err;
}
