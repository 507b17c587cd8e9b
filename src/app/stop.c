#include "app/stop.h"
#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t asked;

static void on_signal(int number) {
    asked = number;
    signal(number, SIG_DFL);
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
