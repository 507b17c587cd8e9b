/* mige train: the loop around the training step, and everything that makes a run survive. */
#include "app/infomax.h"
#include "app/memory.h"
#include "app/same.h"
#include "app/saver.h"
#include "app/stop.h"
#include "mige/checkpoint.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/io.h"
#include "mige/log.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { METRICS_EVERY_SECONDS = 10 };

typedef struct {
    app *a;
    infomax t;
    mige_metrics *metrics; /* rank 0 */
    saver *saver;          /* rank 0 */
    int lock;              /* rank 0: of the folder */
    int nvalues;
    char *trajectory;
    int64_t step, last;           /* done; the last one */
    int64_t saved;                /* the step of the newest checkpoint, -1 */
    int64_t number;               /* periodic checkpoints so far */
    int64_t old[2];               /* the two newest checkpoints, newest first: what `old` will be for each */
    int64_t every_steps;          /* between them; 0: by time, or none */
    double every_seconds;         /* 0: by steps, or none */
    double checkpointed, flushed; /* when they, and the metrics, were last written */
} training;

static int add_images(int64_t images, char **text) {
    char *whole;
    if (asprintf(&whole, "%simages = %lld\n", *text, (long long)images) < 0)
        return mige_raise(MIGE_EFAIL, "memory: no room for the configuration");
    free(*text);
    *text = whole;
    return MIGE_OK;
}

/* What the trajectory depends on, the options and the number of images, as lines of INI text. */
static int describe_trajectory(const app *a, int64_t images, char **text) {
    static const char *const free_to_change[] = {
        "data", "out", "config", "threads", "epochs", "steps", "checkpoint-every", "keep-every", "check", NULL};
    MIGE_TRY(mige_options_config(&option_table, a->command, &a->cfg, text));
    same_lines(*text, free_to_change);
    return add_images(images, text);
}

static mige_checkpoint checkpoint_of(training *r) {
    const infomax *t = &r->t;
    return (mige_checkpoint){.net = t->net,
                             .params = t->update.params,
                             .state = mige_net_state(t->net),
                             .m = t->update.m,
                             .v = t->update.v,
                             .step = r->step,
                             .number = r->number,
                             .trajectory = r->trajectory};
}

/* On rank 0, up to the newest good checkpoint. */
static int restore_files(training *r, mige_checkpoint *k) {
    const char *run = r->a->cfg.out;
    MIGE_TRY(mige_checkpoint_newest(run, k, say_damaged));
    if (k->step < 0) return MIGE_OK;
    MIGE_TRY(mige_checkpoint_set_aside(run, k->step));
    MIGE_TRY(mige_metrics_load(r->metrics, k->step));
    r->old[0] = k->keep ? -1 : k->step;
    if (mige_metrics_rows(r->metrics) != k->step)
        mige_warn("%s/metrics.h5: has %lld of the %lld steps up to this checkpoint; the others are lost", run,
                  (long long)mige_metrics_rows(r->metrics), (long long)k->step);
    return MIGE_OK;
}

/* Rank 0 reads; the others get its numbers. */
static int restore(training *r) {
    const mige_comm *c = r->t.c;
    mige_checkpoint k = checkpoint_of(r);
    MIGE_TRY(mige_agree(c, c->rank == 0 ? restore_files(r, &k) : MIGE_OK));
    MIGE_TRY(mige_bcast(c, 0, &k.step, sizeof k.step));
    MIGE_TRY(mige_bcast(c, 0, &k.number, sizeof k.number));
    if (k.step < 0) {
        mige_say("train: no checkpoint in %s yet, starting from the beginning", r->a->cfg.out);
        return MIGE_OK;
    }
    MIGE_TRY(mige_bcast(c, 0, mige_net_state(r->t.net), mige_net_num_state(r->t.net) * sizeof(float)));
    MIGE_TRY(update_spread(&r->t.update));
    r->step = r->saved = k.step;
    r->number = k.number;
    mige_say("train: resumed at step %lld", (long long)k.step);
    return MIGE_OK;
}

/* On rank 0, beside the training; an error comes with a later step. */
static void begin_to_save(training *r, const mige_checkpoint *k) {
    mige_clock_start(MIGE_PHASE_OUTPUT);
    r->flushed = mige_now();
    if (r->saver) saver_begin(r->saver, k);
    mige_clock_stop(MIGE_PHASE_OUTPUT, 0);
}

/* A checkpoint of this step; `periodic` ones count for --keep-every. */
static void checkpoint(training *r, int periodic) {
    int64_t keep_every = r->a->cfg.keep_every, every = r->every_steps;
    r->number += periodic;
    r->checkpointed = mige_now();
    r->saved = r->step;
    mige_checkpoint k = checkpoint_of(r);
    if (periodic && keep_every) k.keep = (every ? r->step / every : r->number) % keep_every == 0;
    k.old = r->old[1];
    r->old[1] = r->old[0];
    r->old[0] = k.keep ? -1 : k.step;
    begin_to_save(r, &k);
}

/* All that was begun is written. */
static int finish_saving(training *r) {
    mige_clock_start(MIGE_PHASE_OUTPUT);
    int err = r->saver ? saver_wait(r->saver) : MIGE_OK;
    mige_clock_stop(MIGE_PHASE_OUTPUT, 0);
    return mige_agree(r->t.c, err);
}

/* The values of a step, and how the writing gets on. */
static int record(training *r, const double *values) {
    if (!r->saver) return MIGE_OK;
    MIGE_TRY(mige_metrics_full(r->metrics) ? saver_wait(r->saver) : saver_poll(r->saver));
    return mige_metrics_append(r->metrics, r->step, values);
}

/* What all ranks must decide alike at a step boundary, in one small reduction. */
typedef struct {
    double stop, checkpoint, flush;
} boundary;

static int meet(training *r, boundary *b) {
    double now = mige_now();
    *b = (boundary){stop_asked(), r->every_seconds > 0 && now - r->checkpointed >= r->every_seconds,
                    now - r->flushed > METRICS_EVERY_SECONDS};
    return mige_max(r->t.c, (double *)b, 3);
}

static int last_checkpoint(training *r, int periodic) {
    if (r->saved != r->step) checkpoint(r, periodic);
    return finish_saving(r);
}

static int stop(training *r, int reason, int periodic) {
    MIGE_TRY(last_checkpoint(r, periodic));
    mige_raise(MIGE_ESTOPPED, "train: stopped %s at step %lld of %lld (the same command with --resume goes on)",
               stop_reason(reason), (long long)r->step, (long long)r->last);
    return mige_agree(r->t.c, MIGE_ESTOPPED);
}

static void show(const training *r, const double *v) {
    char text[128];
    if (!mige_progress_due((long)r->step)) return;
    snprintf(text, sizeof text, "loss %.4g  |g| %.3g  %.0f images/s", v[0], v[1], v[4]);
    mige_progress_update((long)r->step, text);
}

static int loop(training *r) {
    double values[64];
    boundary b;
    while (r->step < r->last) {
        MIGE_TRY(infomax_step(&r->t, r->step + 1, values));
        r->step++;
        MIGE_TRY(mige_agree(r->t.c, record(r, values)));
        show(r, values);
        MIGE_TRY(meet(r, &b));
        int periodic = b.checkpoint > 0 || (r->every_steps && r->step % r->every_steps == 0);
        if (r->step < r->last && b.stop > 0) return stop(r, (int)b.stop, periodic);
        if (periodic)
            checkpoint(r, 1);
        else if (b.flush > 0)
            begin_to_save(r, NULL);
    }
    return last_checkpoint(r, 0);
}

/* The metrics of a run that failed show how; the message is kept. */
static void save_trace(training *r) {
    char message[1024];
    int agreed = mige_agreed();
    if (!r->saver) return;
    snprintf(message, sizeof message, "%s", mige_error());
    saver_begin(r->saver, NULL);
    if (saver_wait(r->saver)) mige_warn("%s", mige_error());
    mige_error_set(message, agreed);
}

/* A run is gone on with only when that is asked for. */
static int check_folder(const app *a) {
    char path[MIGE_OPT_TEXT_SIZE];
    int any;
    MIGE_TRY(run_path(a->cfg.out, "metrics.h5", path));
    MIGE_TRY(mige_checkpoint_any(a->cfg.out, &any));
    any = any || access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
    MIGE_CHECK(a->cfg.resume || !any, MIGE_EUSAGE,
               "%s: holds a run already (--resume goes on with it; or give another --out)", a->cfg.out);
    return MIGE_OK;
}

/* Once more under the lock: another process may have begun a run meanwhile. */
static int take_folder(const app *a, training *r) {
    MIGE_TRY(mige_make_folder(a->cfg.out));
    MIGE_TRY(mige_lock_folder(a->cfg.out, &r->lock));
    return check_folder(a);
}

static int write_synced(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    if (!f) return -1;
    int good = fputs(text, f) >= 0 && fflush(f) == 0 && fsync(fileno(f)) == 0;
    return fclose(f) == 0 && good ? 0 : -1;
}

static int write_config(const app *a) {
    const config *c = &a->cfg;
    char path[MIGE_OPT_TEXT_SIZE], part[MIGE_OPT_TEXT_SIZE], *text;
    MIGE_TRY(run_path(c->out, "config.ini", path));
    MIGE_TRY(run_path(c->out, "config.ini.part", part));
    MIGE_TRY(mige_options_config(&option_table, a->command, c, &text));
    int good = write_synced(part, text) == 0 && rename(part, path) == 0;
    if (!good) unlink(part);
    free(text);
    MIGE_CHECK(good, MIGE_EOUTPUT, "%s: could not be written (check space and permission)", path);
    return MIGE_OK;
}

static int check_sizes(const app *a, const mige_data *d) {
    long long B = a->cfg.batch, n = d->train.n;
    MIGE_CHECK(B <= n, MIGE_EUSAGE, "--batch: %lld is more than the %lld training images", B, n);
    MIGE_CHECK(a->comm.size <= B, MIGE_EUSAGE, "--batch: %lld images are too few for %d ranks", B, a->comm.size);
    MIGE_CHECK(a->cfg.eigen <= B, MIGE_EUSAGE, "--eigen: %lld is more than the batch of %lld",
               (long long)a->cfg.eigen, B);
    return MIGE_OK;
}

static int train(app *a, training *r) {
    const config *c = &a->cfg;
    const mige_series *series;
    char path[MIGE_OPT_TEXT_SIZE];
    int err = a->comm.rank == 0 ? take_folder(a, r) : MIGE_OK;
    if (!err) err = describe_trajectory(a, r->t.data->train.n, &r->trajectory);
    MIGE_TRY(mige_agree(&a->comm, err));
    r->nvalues = infomax_series(&r->t, &series);
    MIGE_TRY(run_path(c->out, "metrics.h5", path));
    if (a->comm.rank == 0) err = mige_metrics_create(path, r->nvalues, series, &r->metrics);
    if (!err && a->comm.rank == 0) err = saver_create(c->out, r->metrics, r->t.net, &r->saver);
    MIGE_TRY(mige_agree(&a->comm, err));
    if (c->resume) MIGE_TRY(restore(r));
    MIGE_TRY(
        mige_agree(&a->comm, a->comm.rank == 0 ? write_config(a) : MIGE_OK)); /* not before it is known to fit */
    begin_to_save(r, NULL); /* what cannot be written is known before the first step, not after hours */
    MIGE_TRY(finish_saving(r));
    r->checkpointed = mige_now();
    if (r->step >= r->last) mige_say("train: nothing left to do");
    mige_clock_reset();
    mige_progress_begin("train", (long)r->last);
    err = loop(r);
    mige_progress_end();
    if (err == MIGE_ENUMERIC) save_trace(r);
    if (!err) mige_say("train: done, %lld steps; next: mige probe --run %s", (long long)r->step, c->out);
    return err;
}

/* What memory_check asks for. */
typedef struct {
    const app *a;
    const mige_data *d;
    const mige_score_options *o;
} demand;

static double need(const void *ctx, int batch) {
    const demand *n = ctx;
    config c = n->a->cfg;
    c.batch = batch;
    return infomax_bytes(&c, n->d, n->a->comm.size, n->o);
}

static int plan(app *a, const mige_data *d, training *r) {
    const config *c = &a->cfg;
    mige_score_options o;
    char name[CHOICE_SIZE];
    MIGE_TRY(config_score(c, &o));
    demand n = {a, d, &o};
    int64_t per_epoch = d->train.n / c->batch;
    r->last = c->steps ? c->steps : c->epochs * per_epoch;
    config_choice(c, "circumstance", name);
    mige_say("train: %lld images of %d x %d x %d, %lld steps of %lld images (%.4g epochs), %d ranks x %d threads",
             (long long)d->train.n, d->c, d->h, d->w, (long long)r->last, (long long)c->batch,
             (double)r->last / (double)per_epoch, a->comm.size, (int)c->threads);
    mige_say(
        "train: MIGE, circumstance %s, code %lld, projection %lld, threshold %g, about %.3g MB a rank, into %s",
        name, (long long)c->code, (long long)c->projection, c->threshold, need(&n, (int)c->batch) / 1e6,
        *c->out ? c->out : "(nowhere)");
    return memory_check(a, "--batch", (int)c->batch, need, &n);
}

/* "500", "500 steps", "10min", "10 minutes", "1h": steps, or time. */
static int parse_every(const char *text, training *r) {
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"", 0},        {"step", 0},     {"steps", 0}, {"s", 1},        {"min", 60},
                 {"minute", 60}, {"minutes", 60}, {"h", 3600.}, {"hour", 3600.}, {"hours", 3600.}};
    char *unit;
    double n = strtod(text, &unit);
    int good = unit != text && n >= 0 && n <= 1e12;
    unit += strspn(unit, " ");
    for (size_t i = 0; good && i < sizeof units / sizeof *units; i++) {
        if (strcmp(units[i].name, unit) != 0) continue;
        if (units[i].seconds == 0 && n != floor(n)) break;
        r->every_seconds = n * units[i].seconds;
        r->every_steps = units[i].seconds > 0 ? 0 : (int64_t)n;
        return MIGE_OK;
    }
    return mige_raise(MIGE_EUSAGE,
                      "--checkpoint-every: \"%s\" is neither a number of steps nor a time (500, or 10min)", text);
}

int cmd_train(app *a) {
    mige_data d = {0};
    training r = {.a = a, .lock = -1, .saved = -1, .old = {-1, MIGE_CHECKPOINT_ANY_OLD}};
    MIGE_TRY(config_need("data", a->cfg.data));
    if (!a->cfg.dry_run) MIGE_TRY(config_need("out", a->cfg.out));
    MIGE_TRY(parse_every(a->cfg.checkpoint_every, &r));
    MIGE_TRY(stop_listen(a));
    MIGE_TRY(mige_data_open(&a->comm, a->cfg.data, &d));
    int err = check_sizes(a, &d);
    if (!err && *a->cfg.out) err = mige_agree(&a->comm, a->comm.rank == 0 ? check_folder(a) : MIGE_OK);
    if (!err) err = plan(a, &d, &r);
    if (!err && !a->cfg.dry_run) {
        err = infomax_create(a, &d, &r.t);
        if (!err) err = train(a, &r);
        saver_destroy(&r.saver);
        mige_metrics_destroy(&r.metrics);
        infomax_destroy(&r.t);
        free(r.trajectory);
        mige_unlock_folder(r.lock);
    }
    mige_data_close(&d);
    return err;
}
