#include "mige/clock.h"
#include "study/study.h"
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
    double item, values[QUEUE_VALUES];
} message;

struct queue {
    const mige_comm *c;
    queue_task task;
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

int queue_create(const mige_comm *c, const queue_task *task, queue **q) {
    int err = mige_alloc(1, sizeof **q, q);
    if (!err) **q = (queue){.c = c, .task = *task, .began = mige_now(), .saved = mige_now()};
    return mige_agree(c, err);
}

void queue_destroy(queue **q) {
    free(*q);
    *q = NULL;
}

int queue_reason(const queue *q) {
    return q->reason;
}

static void nap(void) {
    const struct timespec t = {0, 200000};
    nanosleep(&t, NULL);
}

static int arrived(const queue *q, int from, MPI_Status *s) {
    int flag;
    MPI_Iprobe(from, TAG, q->c->mpi, &flag, s);
    return flag;
}

static void note_reason(queue *q, int reason) {
    if (reason > q->reason) q->reason = reason;
    if (reason) q->stop = 1;
}

/* Soon after the beginning, so that a file that cannot be written is known early, then once a minute. */
static int save_if_due(queue *q) {
    double now = mige_now();
    if (q->failed || now - q->saved < fmin(SAVE_SECONDS, 0.1 + 0.2 * (now - q->began))) return q->failed;
    q->failed = q->task.save(q->task.ctx);
    q->saved = mige_now();
    return q->failed;
}

/* ---- rank 0 */

static void send_item(queue *q, int to, int64_t item) {
    MPI_Send(&item, 1, MPI_INT64_T, to, TAG, q->c->mpi);
}

static void give(queue *q, int to) {
    if (q->stop || q->next >= q->n) return;
    send_item(q, to, q->items[q->next++]);
    q->out++;
}

static void take(queue *q, int64_t item, const double values[QUEUE_VALUES]) {
    q->task.take(q->task.ctx, item, values);
    q->taken++;
}

static void end_all(queue *q) {
    if (q->ended) return;
    for (int r = 1; r < q->c->size; r++) send_item(q, r, END);
    q->ended = 1;
}

static void receive(queue *q, int from) {
    message m;
    MPI_Recv(&m, (int)(sizeof m / sizeof(double)), MPI_DOUBLE, from, TAG, q->c->mpi, MPI_STATUS_IGNORE);
    if (m.item >= 0) {
        take(q, (int64_t)m.item, m.values);
        q->out--;
        give(q, from);
    } else if ((int)m.item == WANTS_TO_STOP) {
        q->stop = 1;
        note_reason(q, (int)m.values[0]);
    } else {
        q->workers--;
    }
}

static void look_as_first(queue *q) {
    MPI_Status s;
    while (q->c->size > 1 && arrived(q, MPI_ANY_SOURCE, &s)) receive(q, s.MPI_SOURCE);
    if (save_if_due(q)) q->stop = 1;
    if (q->stop) end_all(q);
}

static int lead(queue *q) {
    message m;
    int err = MIGE_OK;
    for (int i = 0; i < AHEAD; i++)
        for (int r = 1; r < q->c->size; r++) give(q, r);
    while (!queue_stopped(q) && q->next < q->n) {
        int64_t item = q->items[q->next++];
        err = q->task.work(q->task.ctx, item, m.values);
        if (err) break;
        take(q, item, m.values);
    }
    if (err) q->stop = 1;
    while (!queue_stopped(q) && q->out > 0) nap();
    end_all(q);
    while (q->workers > 0) {
        look_as_first(q);
        nap();
    }
    return err;
}

/* ---- the others */

static void tell(queue *q, double what, double values[QUEUE_VALUES]) {
    message m = {what, {0}};
    for (int i = 0; values && i < QUEUE_VALUES; i++) m.values[i] = values[i];
    MPI_Send(&m, (int)(sizeof m / sizeof(double)), MPI_DOUBLE, 0, TAG, q->c->mpi);
}

static void look_as_worker(queue *q) {
    MPI_Status s;
    int64_t item;
    while (!q->end && arrived(q, 0, &s)) {
        MPI_Recv(&item, 1, MPI_INT64_T, 0, TAG, q->c->mpi, MPI_STATUS_IGNORE);
        if (item == END)
            q->end = q->stop = 1;
        else
            q->waiting[q->count++] = item;
    }
    if (!q->stop || q->asked || q->end) return;
    double values[QUEUE_VALUES] = {q->reason};
    q->asked = 1;
    tell(q, WANTS_TO_STOP, values);
}

static int follow(queue *q) {
    int err = MIGE_OK;
    while (!q->end) {
        queue_stopped(q);
        if (q->stop || !q->count) {
            nap();
            continue;
        }
        message m;
        int64_t item = q->waiting[0];
        q->waiting[0] = q->waiting[--q->count];
        int code = q->task.work(q->task.ctx, item, m.values);
        if (code) {
            q->stop = 1;
            if (code != MIGE_ESTOPPED) err = code;
        } else {
            tell(q, (double)item, m.values);
        }
    }
    tell(q, LEAVES, NULL);
    return err;
}

/* ---- all */

int queue_stopped(queue *q) {
    note_reason(q, mige_stop_asked());
    if (q->c->rank == 0)
        look_as_first(q);
    else
        look_as_worker(q);
    return q->stop;
}

/* What all ranks return: an error, or that the work was broken off. */
static int conclude(queue *q, int err) {
    if (err == MIGE_ESTOPPED) err = MIGE_OK;
    if (q->c->rank == 0 && !q->failed) q->failed = q->task.save(q->task.ctx);
    if (!err) err = q->failed;
    double flags[2] = {q->reason, q->c->rank == 0 && q->taken < q->n};
    MIGE_TRY(mige_agree(q->c, err));
    MIGE_TRY(mige_max(q->c, flags, 2));
    q->reason = (int)flags[0];
    return flags[1] > 0 ? MIGE_ESTOPPED : MIGE_OK;
}

static void begin(queue *q, int64_t n, const int64_t *items) {
    q->items = items;
    q->n = n;
    q->next = q->out = q->taken = 0;
    q->workers = q->c->size - 1;
    q->ended = q->count = q->end = q->stop = q->asked = 0;
}

int queue_run(queue *q, int64_t n, const int64_t *items) {
    begin(q, n, items);
    return conclude(q, q->c->rank == 0 ? lead(q) : follow(q));
}

int queue_together(queue *q, int64_t n, const int64_t *items) {
    int err = MIGE_OK;
    begin(q, n, items);
    for (int64_t i = 0; i < n && !err; i++) {
        double values[QUEUE_VALUES], stop;
        note_reason(q, mige_stop_asked());
        if (q->c->rank == 0 && save_if_due(q)) q->stop = 1;
        stop = q->stop;
        MIGE_TRY(mige_max(q->c, &stop, 1));
        q->stop = stop > 0;
        if (q->stop) break;
        err = q->task.work(q->task.ctx, items[i], values);
        if (!err && q->c->rank == 0) take(q, items[i], values);
    }
    return conclude(q, err);
}
