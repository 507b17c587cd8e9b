#include "train/saver.h"
#include "mige/error.h"
#include "mige/io.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct saver {
    const char *run;
    int lock; /* of that folder */
    const mige_metrics *metrics;
    int64_t rows[MIGE_METRICS_TABLES];
    int wants_checkpoint;
    mige_checkpoint copy; /* its vectors lie in `memory` */
    float *memory;
    pthread_t thread;
    int begun; /* there is a thread to be joined */
    atomic_int ended;
    int err;
    char message[1024];
};

/* Copies the vectors of k one after the other to `to`, and k has the copies from then on (NULL: only counts). */
static size_t copy_vectors(mige_checkpoint *k, float *to) {
    size_t used = 0;
    for (int i = 0; i < k->n; i++) {
        mige_checkpoint_member *a = &k->member[i];
        float **vectors[] = {&a->params, &a->m, &a->v, &a->average, &a->state};
        for (int j = 0; j < 5; j++) {
            size_t n = j < 4 ? mige_net_num_params(a->net) : mige_net_num_state(a->net);
            if (!*vectors[j]) continue;
            if (to) *vectors[j] = memcpy(to + used, *vectors[j], n * sizeof *to);
            used += n;
        }
    }
    return used;
}

int saver_create(const char *run, int lock, const mige_metrics *metrics, const mige_checkpoint *like, saver **out) {
    mige_checkpoint counted = *like;
    MIGE_TRY(mige_alloc(1, sizeof **out, out));
    (*out)->run = run;
    (*out)->lock = lock;
    (*out)->metrics = metrics;
    int err = mige_alloc(copy_vectors(&counted, NULL), sizeof(float), &(*out)->memory);
    if (err) saver_destroy(out);
    return err;
}

void saver_destroy(saver **s) {
    if (!*s) return;
    if ((*s)->begun) pthread_join((*s)->thread, NULL);
    free((*s)->memory);
    free(*s);
    *s = NULL;
}

static void *write_files(void *of) {
    saver *s = of;
    s->err = mige_check_folder(s->run, s->lock);
    if (!s->err) s->err = mige_metrics_write(s->metrics, s->rows);
    if (!s->err && s->wants_checkpoint) s->err = mige_check_folder(s->run, s->lock);
    if (!s->err && s->wants_checkpoint) s->err = mige_checkpoint_write(s->run, &s->copy);
    if (s->err) snprintf(s->message, sizeof s->message, "%s", mige_error());
    atomic_store(&s->ended, 1);
    return NULL;
}

/* Signals are for the thread that trains. Where no thread is to be had, the writing is done here. */
static void start_thread(saver *s) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->begun = pthread_create(&s->thread, NULL, write_files, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!s->begun) write_files(s);
}

void saver_begin(saver *s, const mige_checkpoint *k) {
    if (saver_wait(s)) return;
    for (int i = 0; i < MIGE_METRICS_TABLES; i++) s->rows[i] = mige_metrics_rows(s->metrics, i);
    s->wants_checkpoint = k != NULL;
    if (k) {
        s->copy = *k;
        copy_vectors(&s->copy, s->memory);
    }
    atomic_store(&s->ended, 0);
    start_thread(s);
}

int saver_poll(saver *s) {
    return s->begun && !atomic_load(&s->ended) ? MIGE_OK : saver_wait(s);
}

int saver_wait(saver *s) {
    if (s->begun) pthread_join(s->thread, NULL);
    s->begun = 0;
    if (s->err) mige_error_set(s->message, 0);
    return s->err;
}
