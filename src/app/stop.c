#include "app/stop.h"
#include <signal.h>
#include <stddef.h>
#include <time.h>

/* mpirun passes a signal on, and the job system sends it to the ranks as well, or mpirun again: one wish, not two.
 */
enum { SAME_WISH = 2 };

static volatile sig_atomic_t asked;
static volatile time_t asked_at;

static time_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static void on_signal(int number) {
    if (!asked) {
        asked = number;
        asked_at = now();
    } else if (now() - asked_at > SAME_WISH) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

void stop_listen(void) {
    struct sigaction s = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &s, NULL);
    sigaction(SIGUSR1, &s, NULL);
    sigaction(SIGINT, &s, NULL);
}

int stop_asked(void) {
    return asked;
}
