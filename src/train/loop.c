/* The loop around the training step, and everything that makes a run survive. */
#include "mige/clock.h"
#include "mige/log.h"
#include "train/interval.h"
#include "train/saver.h"
#include "train/stop.h"
#include "train/term.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { METRICS_EVERY_SECONDS = 10 };
enum { TRAIN, INTERVAL, TEST, TABLES }; /* of the metrics */

static const mige_series test_series[] = {
    {"error", "percent", "test images whose class is not the likeliest; averaged weights, mean over draws"}};

typedef struct {
    const train_request *q;
    const mige_comm *c;
    const train_options *o;
    train_plan plan;
    trainer t;
    interval interval;
    mige_metrics *metrics; /* rank 0 */
    saver *saver;          /* rank 0 */
    int lock;              /* rank 0: of the folder */
    char *trajectory;
    int64_t step, last;           /* done; the last one */
    int64_t saved;                /* the step of the newest checkpoint, -1 */
    int64_t number;               /* periodic checkpoints so far */
    int64_t old[2];               /* the two newest checkpoints, newest first: what `old` will be for each */
    int64_t every_steps;          /* between them; 0: by time, or none */
    double every_seconds;         /* 0: by steps, or none */
    double checkpointed, flushed; /* when they, and the metrics, were last written */
    double error;                 /* the newest test error, percent; NaN: none yet */
} training;

/* What the trajectory depends on, the options and the data, as INI text. */
static int describe_trajectory(training *r) {
    char *text, data[TRAIN_DATA_TEXT];
    train_data_text(r->q->data, data);
    MIGE_TRY(mige_options_config(r->q->given.table, r->q->given.command, r->q->given.config, &text));
    int err = mige_text(&r->trajectory, "%s%s", text, data);
    free(text);
    return err;
}

/* Whether a file of the run was made with the options of this one. */
static int check_options(const training *r, const char *path, const char *text) {
    char theirs[MIGE_OPT_TEXT_SIZE], *whole; /* runs of earlier versions do not name their precision */
    mige_options_find(text, "precision", theirs);
    MIGE_TRY(mige_text(&whole, "%s%s", text, *theirs ? "" : "precision = float\n"));
    int err = mige_options_same(&r->q->given, path, whole, r->q->other_run) ? MIGE_EINPUT : MIGE_OK;
    free(whole);
    return err;
}

static int check_trajectory(void *ctx, const char *path, const char *trajectory) {
    const training *r = ctx;
    char theirs[MIGE_OPT_TEXT_SIZE], ours[MIGE_OPT_TEXT_SIZE];
    mige_options_find(trajectory, "images", theirs);
    mige_options_find(r->trajectory, "images", ours);
    MIGE_CHECK(!strcmp(theirs, ours), MIGE_EINPUT, "data: %s has %s training images, this command's %s (%s)", path,
               theirs, ours, r->q->other_run);
    MIGE_TRY(train_data_same(r->q->data, r->o->data, path, trajectory, r->o->other_data, r->q->other_data));
    return check_options(r, path, trajectory);
}

/* The newest good checkpoint, and that the metrics beside it are not another run's. On rank 0. */
static int find_newest(const training *r, mige_checkpoint *k, void (*warn)(const char *message)) {
    char path[MIGE_RUN_PATH], *text = NULL;
    mige_file *f;
    MIGE_TRY(mige_checkpoint_newest(r->o->out, k, warn));
    MIGE_TRY(mige_run_path(r->o->out, "metrics.h5", path));
    if (k->step < 0 || access(path, F_OK) != 0) return MIGE_OK;
    MIGE_TRY(mige_file_open(path, "mige-run", &f));
    int err = mige_file_config(f, &text);
    if (!err) err = check_options(r, path, text);
    free(text);
    mige_file_close(&f);
    return err;
}

/* Of a dry run: whether this is the run that it would go on with. On rank 0. */
static int could_resume(training *r) {
    mige_checkpoint k = {.check = check_trajectory, .ctx = r};
    MIGE_TRY(describe_trajectory(r));
    return find_newest(r, &k, NULL);
}

static mige_checkpoint checkpoint_of(training *r) {
    mige_checkpoint k = {.step = r->step, .number = r->number, .trajectory = r->trajectory};
    model_describe(&r->t.model, &k);
    return k;
}

/* On rank 0, up to the newest good checkpoint. */
static int restore_files(training *r, mige_checkpoint *k) {
    const char *run = r->o->out;
    MIGE_TRY(find_newest(r, k, mige_checkpoint_warn));
    if (k->step < 0) return MIGE_OK;
    MIGE_TRY(mige_checkpoint_set_aside(run, k->step));
    MIGE_TRY(mige_metrics_load(r->metrics, k->step));
    r->old[0] = k->keep ? -1 : k->step;
    if (mige_metrics_rows(r->metrics, TRAIN) != k->step)
        mige_warn("%s/metrics.h5: has %lld of the %lld steps up to this checkpoint; the others are lost", run,
                  (long long)mige_metrics_rows(r->metrics, TRAIN), (long long)k->step);
    return MIGE_OK;
}

/* Rank 0 reads; the others get its numbers. */
static int restore(training *r) {
    const mige_comm *c = r->c;
    mige_checkpoint k = checkpoint_of(r);
    k.check = check_trajectory;
    k.ctx = r;
    MIGE_TRY(mige_agree(c, c->rank == 0 ? restore_files(r, &k) : MIGE_OK));
    MIGE_TRY(mige_bcast(c, 0, &k.step, sizeof k.step));
    MIGE_TRY(mige_bcast(c, 0, &k.number, sizeof k.number));
    if (k.step < 0) {
        mige_say("train: no checkpoint in %s yet, starting from the beginning", r->o->out);
        return MIGE_OK;
    }
    MIGE_TRY(model_spread(&r->t.model));
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
static int checkpoint(training *r, int periodic) {
    int64_t keep_every = r->o->keep_every, every = r->every_steps;
    MIGE_TRY(update_catch_up(&r->t.model.update));
    r->number += periodic;
    r->checkpointed = mige_now();
    r->saved = r->step;
    mige_checkpoint k = checkpoint_of(r);
    if (periodic && keep_every) k.keep = (every ? r->step / every : r->number) % keep_every == 0;
    k.old = r->old[1];
    r->old[1] = r->old[0];
    r->old[0] = k.keep ? -1 : k.step;
    begin_to_save(r, &k);
    return MIGE_OK;
}

/* All that was begun is written. */
static int finish_saving(training *r) {
    mige_clock_start(MIGE_PHASE_OUTPUT);
    int err = r->saver ? saver_wait(r->saver) : MIGE_OK;
    mige_clock_stop(MIGE_PHASE_OUTPUT, 0);
    return mige_agree(r->c, err);
}

/* A row of the metrics, and how the writing gets on. */
static int record(training *r, int table, const double *values) {
    int err = MIGE_OK;
    if (r->saver) err = mige_metrics_full(r->metrics, table) ? saver_wait(r->saver) : saver_poll(r->saver);
    if (r->saver && !err) err = mige_metrics_append(r->metrics, table, r->step, values);
    return mige_agree(r->c, err);
}

/* What all ranks must decide alike at a step boundary, in one small reduction. */
typedef struct {
    double stop, checkpoint, flush;
} boundary;

static int meet(training *r, boundary *b) {
    double now = mige_now();
    *b = (boundary){mige_stop_asked(), r->every_seconds > 0 && now - r->checkpointed >= r->every_seconds,
                    now - r->flushed > METRICS_EVERY_SECONDS};
    return mige_max(r->c, (double *)b, 3);
}

static int last_checkpoint(training *r, int periodic) {
    if (r->saved != r->step) MIGE_TRY(checkpoint(r, periodic));
    return finish_saving(r);
}

static int stop(training *r, int reason, int periodic) {
    MIGE_TRY(last_checkpoint(r, periodic));
    mige_raise(MIGE_ESTOPPED, "train: stopped %s at step %lld of %lld (%s)", mige_stop_reason(reason),
               (long long)r->step, (long long)r->last, r->q->go_on);
    return mige_agree(r->c, MIGE_ESTOPPED);
}

/* The terms' values, by their series: "z J 52 w 3.1" of a score, "bound 0.53" of others. */
static void describe_terms(const trainer *t, FILE *f) {
    for (int i = FIXED; i < t->nseries; i++) {
        const char *name = t->series[i].name, *of = strrchr(name, '_');
        double v = t->values[i];
        if (of && !strcmp(of, "_eigen"))
            fprintf(f, v > 0 ? "  %.*s J %.0f" : "  %.*s", (int)(of - name), name, v);
        else if (of && !strcmp(of, "_width"))
            fprintf(f, " w %.3g", v);
        else if (!of || (strcmp(of, "_stein") != 0 && strcmp(of, "_score") != 0))
            fprintf(f, "  %s %.3g%s", name, v, !strcmp(t->series[i].units, "percent") ? " %" : "");
    }
}

static void show(const training *r) {
    char text[512] = "";
    const double *v = r->t.values;
    if (!mige_progress_due((long)r->step)) return;
    FILE *f = fmemopen(text, sizeof text, "w");
    if (!f) return;
    fprintf(f, "epoch %.3g  loss %.4g  |g| %.3g  %.0f images/s", v[EPOCH], v[LOSS], v[GRADIENT_NORM], v[SPEED]);
    if (!isnan(r->error)) fprintf(f, "  test error %.2f %%", r->error);
    describe_terms(&r->t, f);
    fclose(f);
    mige_progress_update((long)r->step, text);
}

/* At the end of every so many epochs, and of the training. */
static int test_if_due(training *r) {
    int64_t every = r->o->test_every * (r->q->data->train.n / r->plan.batch);
    if (r->o->task != TASK_IB || !every || !r->q->data->test.labels || (r->step % every && r->step != r->last))
        return MIGE_OK;
    MIGE_TRY(trainer_test(&r->t, &r->error));
    return record(r, TEST, &r->error);
}

static int loop(training *r) {
    boundary b;
    while (r->step < r->last) {
        MIGE_TRY(trainer_step(&r->t, r->step + 1));
        r->step++;
        MIGE_TRY(record(r, TRAIN, r->t.values));
        MIGE_TRY(meet(r, &b));
        int periodic = b.checkpoint > 0 || (r->every_steps && r->step % r->every_steps == 0);
        if (periodic || b.flush > 0 || b.stop > 0 || r->step == r->last) { /* a test would leave its own codes */
            MIGE_TRY(interval_measure(&r->t, &r->interval));
            MIGE_TRY(record(r, INTERVAL, r->interval.values));
        }
        MIGE_TRY(test_if_due(r));
        show(r);
        if (r->step < r->last && b.stop > 0) return stop(r, (int)b.stop, periodic);
        if (periodic)
            MIGE_TRY(checkpoint(r, 1));
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
static int check_folder(const training *r) {
    char path[MIGE_OPT_TEXT_SIZE];
    int any;
    struct stat st;
    MIGE_CHECK(!stat(r->o->out, &st) || errno != ENAMETOOLONG, MIGE_EOUTPUT, "%s: %s", r->o->out,
               strerror(ENAMETOOLONG));
    MIGE_TRY(mige_run_path(r->o->out, "metrics.h5", path));
    MIGE_TRY(mige_checkpoint_any(r->o->out, &any));
    if (!any && r->o->resume) return mige_file_may_replace(path, "mige-run");
    any = any || access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
    MIGE_CHECK(r->o->resume || !any, MIGE_EUSAGE, "%s: holds a run already (%s)", r->o->out, r->q->holds_run);
    return MIGE_OK;
}

/* Once more under the lock: another process may have begun a run meanwhile. */
static int take_folder(training *r) {
    MIGE_TRY(mige_make_folder(r->o->out));
    MIGE_TRY(mige_lock_folder(r->o->out, &r->lock));
    return check_folder(r);
}

static int write_synced(const char *path, const char *text) {
    unlink(path); /* what an earlier death left, or is no file */
    FILE *f = fopen(path, "wx");
    if (!f) return -1;
    int good = fputs(text, f) >= 0 && fflush(f) == 0 && fsync(fileno(f)) == 0;
    return fclose(f) == 0 && good ? 0 : -1;
}

static int write_config(const training *r) {
    const mige_options_given *g = &r->q->given;
    char path[MIGE_OPT_TEXT_SIZE], part[MIGE_OPT_TEXT_SIZE], *text, *target;
    MIGE_TRY(mige_run_path(r->o->out, "config.ini", path));
    MIGE_TRY(mige_run_path(r->o->out, "config.ini.part", part));
    MIGE_TRY(mige_output_target(path, &target));
    int err = mige_options_config(g->table, g->command, g->config, &text);
    int good = !err && write_synced(part, text) == 0 && rename(part, target) == 0;
    if (!good) unlink(part);
    free(target);
    MIGE_TRY(err);
    free(text);
    MIGE_CHECK(good, MIGE_EOUTPUT, "%s: could not be written (check space and permission)", path);
    return MIGE_OK;
}

/* On rank 0. */
static int create_writers(training *r) {
    char path[MIGE_OPT_TEXT_SIZE];
    const mige_metrics_table tables[TABLES] = {[TRAIN] = {"train", r->t.nseries, r->t.series},
                                               [INTERVAL] = {"interval", r->interval.n, r->interval.series},
                                               [TEST] = {"test", 1, test_series}};
    mige_checkpoint like = checkpoint_of(r);
    MIGE_TRY(mige_run_path(r->o->out, "metrics.h5", path));
    MIGE_TRY(mige_metrics_create(path, r->o->task == TASK_IB ? TABLES : TEST, tables, &r->metrics));
    return saver_create(r->o->out, r->lock, r->metrics, &like, &r->saver);
}

static void say_end(const training *r) {
    if (r->o->task == TASK_IB && !isnan(r->error))
        mige_print("train: done, %lld steps, test error %.2f %%", (long long)r->step, r->error);
    else
        mige_say("train: done, %lld steps; next: mige probe --run %s", (long long)r->step, r->o->out);
}

static int train(training *r) {
    int first = r->c->rank == 0, err = first ? take_folder(r) : MIGE_OK;
    if (!err) err = describe_trajectory(r);
    MIGE_TRY(mige_agree(r->c, err));
    MIGE_TRY(mige_agree(r->c, first ? create_writers(r) : MIGE_OK));
    if (r->o->resume) MIGE_TRY(restore(r));
    MIGE_TRY(mige_agree(r->c, first ? write_config(r) : MIGE_OK)); /* not before it is known to fit */
    begin_to_save(r, NULL); /* what cannot be written is known before the first step, not after hours */
    MIGE_TRY(finish_saving(r));
    r->checkpointed = mige_now();
    if (r->step >= r->last) mige_say("train: nothing left to do");
    mige_clock_reset();
    mige_progress_begin("train", (long)r->last);
    err = loop(r);
    mige_progress_end();
    if (err == MIGE_ENUMERIC) save_trace(r);
    if (!err) say_end(r);
    return err;
}

static int say_plan(training *r) {
    const train_options *o = r->o;
    const mige_data *d = r->q->data;
    int64_t per_epoch = d->train.n / o->batch;
    char where[MIGE_OPT_TEXT_SIZE] = "", circumstance[MIGE_OPT_TEXT_SIZE];
    mige_options_value(&r->q->given, "circumstance", circumstance);
    if (o->circumstance == CIRCUMSTANCE_VIEWS)
        snprintf(where, sizeof where, " of two views (%.200s)", *o->augment ? o->augment : "not augmented");
    else if (o->task == TASK_INFOMAX)
        snprintf(where, sizeof where, ", circumstance %.20s", circumstance);
    mige_say("train: %lld images of %d x %d x %d, %lld steps of %lld images (%.4g epochs), %d ranks x %d threads, "
             "%s%s",
             (long long)d->train.n, d->c, d->h, d->w, (long long)r->last, (long long)o->batch,
             (double)r->last / (double)per_epoch, r->c->size, r->q->threads,
             o->precision == PRECISION_BFLOAT16 ? "bfloat16 by " : "float",
             o->precision == PRECISION_BFLOAT16 ? mige_bfloat16_kernel() : "");
    mige_say("train: objective %s%s, encoder %s, code %lld, about %.3g MB a rank, into %s", r->plan.objective->name,
             where, o->encoder, (long long)o->code, train_plan_bytes(&r->plan, (int)o->batch) / 1e6,
             *o->out ? o->out : "(nowhere)");
    mige_memory memory = r->q->memory;
    if (!train_plan_scores(&r->plan)) memory.hint = ""; /* another estimator would not help */
    return mige_memory_check(&memory, r->q->batch_option, (int)o->batch, train_plan_bytes, &r->plan);
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
                      "checkpoint-every: \"%s\" is neither a number of steps nor a time (500, or 10min)", text);
}

int train_run(const train_request *q) {
    training r = {
        .q = q, .c = q->c, .o = q->o, .lock = -1, .saved = -1, .old = {-1, MIGE_CHECKPOINT_ANY_OLD}, .error = NAN};
    const train_options *o = q->o;
    MIGE_TRY(parse_every(o->checkpoint_every, &r));
    MIGE_TRY(mige_agree(q->c, train_plan_create(o, q->score, q->data, q->seed, q->c, &r.plan)));
    r.last = o->steps ? o->steps : o->epochs * (q->data->train.n / o->batch);
    int err = *o->out ? mige_agree(q->c, q->c->rank == 0 ? check_folder(&r) : MIGE_OK) : MIGE_OK;
    if (!err) mige_data_image_doubts(o->data, q->data);
    if (!err && o->task == TASK_IB) err = mige_agree(q->c, mige_data_class_doubts(o->data, q->data));
    if (!err) err = say_plan(&r);
    if (!err && q->memory.dry_run && o->resume && *o->out)
        err = mige_agree(q->c, q->c->rank == 0 ? could_resume(&r) : MIGE_OK);
    if (!err && !q->memory.dry_run) {
        err = trainer_create(q->c, &r.plan, q->checks, &r.t);
        if (!err) err = mige_agree(q->c, interval_create(&r.plan, &r.interval));
        if (!err) err = train(&r);
        saver_destroy(&r.saver);
        mige_metrics_destroy(&r.metrics);
        interval_destroy(&r.interval);
        trainer_destroy(&r.t);
        if (r.lock >= 0) close(r.lock);
    }
    free(r.trajectory);
    train_plan_destroy(&r.plan);
    return err;
}
