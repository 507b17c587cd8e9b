#include "app/deal.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "train/stop.h"
#include <math.h>
#include <stdlib.h>
#include <time.h>

/* To the workers an item's number, or END; from them a number with its values, or one of these. */
enum { END = -1, WANTS_TO_STOP = -2, LEAVES = -3 };
/* Items that a worker has before it: the next is there when one is done. */
enum { AHEAD = 2 };
enum { TAG = 7, SAVE_SECONDS = 60 };

typedef struct {
    double item, values[DEAL_VALUES];
} message;

struct deal {
    const mige_comm *c;
    deal_task task;
    double began, saved;
    int stop;                  /* this rank's work must end */
    int reason, asked, failed; /* why to stop, by stop.h; failed: rank 0 could not save, or a code of a worker */
    /* rank 0 */
    const int64_t *items;
    int64_t n, next, out, taken; /* out: with the workers */
    int workers, ended;
    /* workers: what came and is not begun */
    int64_t waiting[AHEAD];
    int count, end;
};

int deal_create(const mige_comm *c, const deal_task *task, deal **d) {
    int err = mige_alloc(1, sizeof **d, d);
    if (!err) **d = (deal){.c = c, .task = *task, .began = mige_now(), .saved = mige_now()};
    return mige_agree(c, err);
}

void deal_destroy(deal **d) {
    free(*d);
    *d = NULL;
}

int deal_reason(const deal *d) {
    return d->reason;
}

static void nap(void) {
    const struct timespec t = {0, 200000};
    nanosleep(&t, NULL);
}

static int arrived(const deal *d, int from, MPI_Status *s) {
    int flag;
    MPI_Iprobe(from, TAG, d->c->mpi, &flag, s);
    return flag;
}

static void note_reason(deal *d, int reason) {
    if (reason > d->reason) d->reason = reason;
    if (reason) d->stop = 1;
}

/* Soon after the beginning, so that a file that cannot be written is known early, then once a minute. */
static int save_if_due(deal *d) {
    double now = mige_now();
    if (d->failed || now - d->saved < fmin(SAVE_SECONDS, 0.1 + 0.2 * (now - d->began))) return d->failed;
    d->failed = d->task.save(d->task.ctx);
    d->saved = mige_now();
    return d->failed;
}

/* ---- rank 0 */

static void send_item(deal *d, int to, int64_t item) {
    MPI_Send(&item, 1, MPI_INT64_T, to, TAG, d->c->mpi);
}

static void give(deal *d, int to) {
    if (d->stop || d->next >= d->n) return;
    send_item(d, to, d->items[d->next++]);
    d->out++;
}

static void take(deal *d, int64_t item, const double values[DEAL_VALUES]) {
    d->task.take(d->task.ctx, item, values);
    d->taken++;
}

static void end_all(deal *d) {
    if (d->ended) return;
    for (int r = 1; r < d->c->size; r++) send_item(d, r, END);
    d->ended = 1;
}

static void receive(deal *d, int from) {
    message m;
    MPI_Recv(&m, (int)(sizeof m / sizeof(double)), MPI_DOUBLE, from, TAG, d->c->mpi, MPI_STATUS_IGNORE);
    if (m.item >= 0) {
        take(d, (int64_t)m.item, m.values);
        d->out--;
        give(d, from);
    } else if ((int)m.item == WANTS_TO_STOP) {
        d->stop = 1;
        note_reason(d, (int)m.values[0]);
    } else {
        d->workers--;
    }
}

static void look_as_first(deal *d) {
    MPI_Status s;
    while (d->c->size > 1 && arrived(d, MPI_ANY_SOURCE, &s)) receive(d, s.MPI_SOURCE);
    if (save_if_due(d)) d->stop = 1;
    if (d->stop) end_all(d);
}

static int lead(deal *d) {
    message m;
    int err = MIGE_OK;
    for (int i = 0; i < AHEAD; i++)
        for (int r = 1; r < d->c->size; r++) give(d, r);
    while (!deal_stopped(d) && d->next < d->n) {
        int64_t item = d->items[d->next++];
        err = d->task.work(d->task.ctx, item, m.values);
        if (err) break;
        take(d, item, m.values);
    }
    if (err) d->stop = 1;
    while (!deal_stopped(d) && d->out > 0) nap();
    end_all(d);
    while (d->workers > 0) {
        look_as_first(d);
        nap();
    }
    return err;
}

/* ---- the others */

static void tell(deal *d, double what, double values[DEAL_VALUES]) {
    message m = {what, {0}};
    for (int i = 0; values && i < DEAL_VALUES; i++) m.values[i] = values[i];
    MPI_Send(&m, (int)(sizeof m / sizeof(double)), MPI_DOUBLE, 0, TAG, d->c->mpi);
}

static void look_as_worker(deal *d) {
    MPI_Status s;
    int64_t item;
    while (!d->end && arrived(d, 0, &s)) {
        MPI_Recv(&item, 1, MPI_INT64_T, 0, TAG, d->c->mpi, MPI_STATUS_IGNORE);
        if (item == END)
            d->end = d->stop = 1;
        else
            d->waiting[d->count++] = item;
    }
    if (!d->stop || d->asked || d->end) return;
    double values[DEAL_VALUES] = {d->reason};
    d->asked = 1;
    tell(d, WANTS_TO_STOP, values);
}

static int follow(deal *d) {
    int err = MIGE_OK;
    while (!d->end) {
        deal_stopped(d);
        if (d->stop || !d->count) {
            nap();
            continue;
        }
        message m;
        int64_t item = d->waiting[0];
        d->waiting[0] = d->waiting[--d->count];
        int code = d->task.work(d->task.ctx, item, m.values);
        if (code) {
            d->stop = 1;
            if (code != MIGE_ESTOPPED) err = code;
        } else {
            tell(d, (double)item, m.values);
        }
    }
    tell(d, LEAVES, NULL);
    return err;
}

/* ---- all */

int deal_stopped(deal *d) {
    note_reason(d, mige_stop_asked());
    if (d->c->rank == 0)
        look_as_first(d);
    else
        look_as_worker(d);
    return d->stop;
}

/* What all ranks return: an error, or that the work was broken off. */
static int conclude(deal *d, int err) {
    if (err == MIGE_ESTOPPED) err = MIGE_OK;
    if (d->c->rank == 0 && !d->failed) d->failed = d->task.save(d->task.ctx);
    if (!err) err = d->failed;
    double flags[2] = {d->reason, d->c->rank == 0 && d->taken < d->n};
    MIGE_TRY(mige_agree(d->c, err));
    MIGE_TRY(mige_max(d->c, flags, 2));
    d->reason = (int)flags[0];
    return flags[1] > 0 ? MIGE_ESTOPPED : MIGE_OK;
}

static void begin(deal *d, int64_t n, const int64_t *items) {
    d->items = items;
    d->n = n;
    d->next = d->out = d->taken = 0;
    d->workers = d->c->size - 1;
    d->ended = d->count = d->end = d->stop = d->asked = 0;
}

int deal_run(deal *d, int64_t n, const int64_t *items) {
    begin(d, n, items);
    return conclude(d, d->c->rank == 0 ? lead(d) : follow(d));
}

int deal_together(deal *d, int64_t n, const int64_t *items) {
    int err = MIGE_OK;
    begin(d, n, items);
    for (int64_t i = 0; i < n && !err; i++) {
        double values[DEAL_VALUES], stop;
        note_reason(d, mige_stop_asked());
        if (d->c->rank == 0 && save_if_due(d)) d->stop = 1;
        stop = d->stop;
        MIGE_TRY(mige_max(d->c, &stop, 1));
        d->stop = stop > 0;
        if (d->stop) break;
        err = d->task.work(d->task.ctx, items[i], values);
        if (!err && d->c->rank == 0) take(d, items[i], values);
    }
    return conclude(d, err);
}
