#include "app/stop.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/log.h"
#include <signal.h>
#include <stddef.h>
#include <sys/stat.h>
#include <time.h>

/* mpirun passes a signal on, and the job system sends it to the ranks as well, or mpirun again: one wish, not two.
 */
enum { SAME_WISH = 2 };

static volatile sig_atomic_t signalled;
static volatile time_t signalled_at;

static struct {
    double end; /* of the hours; 0: none */
    const char *file;
    struct stat before; /* what the file was, or all 0 */
    double looked;
    int seen;
} wish;

static time_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static void on_signal(int number) {
    if (!signalled) {
        signalled_at = now();
        signalled = number;
    } else if (now() - signalled_at > SAME_WISH) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

static struct stat look(const char *file) {
    struct stat st;
    return stat(file, &st) == 0 && S_ISREG(st.st_mode) ? st : (struct stat){0};
}

void stop_catch_signals(void) {
    struct sigaction s = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &s, NULL);
    sigaction(SIGUSR1, &s, NULL);
    sigaction(SIGINT, &s, NULL);
}

/* A folder would never be seen as a stop file. */
static int begin_to_look(const char *file) {
    struct stat st;
    wish.file = file;
    wish.before = look(file);
    MIGE_CHECK(wish.before.st_mode || stat(file, &st) != 0, MIGE_EUSAGE,
               "--stop-file: %s: is not a regular file (name one that is to be made, or touched, for the stop)",
               file);
    if (wish.before.st_mode) mige_warn("--stop-file: %s is there already; it counts when it is touched", file);
    return MIGE_OK;
}

int stop_listen(const app *a) {
    const config *c = &a->cfg;
    wish.end = c->max_hours > 0 ? mige_now() + 3600 * c->max_hours : 0;
    return mige_agree(&a->comm, *c->stop_file && a->comm.rank == 0 ? begin_to_look(c->stop_file) : MIGE_OK);
}

static int file_asks(double time) {
    if (wish.seen || !wish.file || time - wish.looked < 1) return wish.seen;
    wish.looked = time;
    struct stat st = look(wish.file), *before = &wish.before;
    wish.seen = st.st_mode && (st.st_ino != before->st_ino || st.st_mtim.tv_sec != before->st_mtim.tv_sec ||
                               st.st_mtim.tv_nsec != before->st_mtim.tv_nsec);
    return wish.seen;
}

int stop_asked(void) {
    double time = mige_now();
    if (signalled) return STOP_SIGNAL;
    if (file_asks(time)) return STOP_FILE;
    return wish.end > 0 && time >= wish.end ? STOP_HOURS : STOP_NOT;
}

const char *stop_reason(int asked) {
    static const char *const text[] = {"", "after --max-hours", "by --stop-file", "by a signal"};
    return text[asked];
}
