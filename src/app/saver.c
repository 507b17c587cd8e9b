#include "app/saver.h"
#include "mige/error.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct saver {
    const char *run;
    const mige_metrics *metrics;
    int64_t rows;
    int wants_checkpoint;
    mige_checkpoint copy; /* its vectors lie in `memory` */
    float *memory;
    pthread_t thread;
    int begun; /* there is a thread to be joined */
    atomic_int ended;
    int err;
    char message[1024];
};

int saver_create(const char *run, const mige_metrics *metrics, const mige_net *net, saver **out) {
    size_t n = mige_net_num_params(net), state = mige_net_num_state(net);
    saver *s;
    MIGE_TRY(mige_alloc(1, sizeof *s, out));
    s = *out;
    s->run = run;
    s->metrics = metrics;
    int err = mige_alloc(3 * n + state, sizeof *s->memory, &s->memory);
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

static void copy_checkpoint(saver *s, const mige_checkpoint *k) {
    size_t n = mige_net_num_params(k->net), state = mige_net_num_state(k->net);
    const float *from[] = {k->params, k->m, k->v, k->state};
    float **to[] = {&s->copy.params, &s->copy.m, &s->copy.v, &s->copy.state};
    s->copy = *k;
    for (int i = 0; i < 4; i++) {
        *to[i] = s->memory + (size_t)i * n;
        memcpy(*to[i], from[i], (i < 3 ? n : state) * sizeof(float));
    }
}

static void *write_files(void *of) {
    saver *s = of;
    s->err = mige_metrics_write(s->metrics, s->rows);
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
    s->rows = mige_metrics_rows(s->metrics);
    s->wants_checkpoint = k != NULL;
    if (k) copy_checkpoint(s, k);
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
