#include "train/stop.h"
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

static void on_signal(int number) {
    if (!signalled) {
        signalled_at = (time_t)mige_now();
        signalled = number;
    } else if ((time_t)mige_now() - signalled_at > SAME_WISH) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

static struct stat look(const char *file) {
    struct stat st;
    return stat(file, &st) == 0 && S_ISREG(st.st_mode) ? st : (struct stat){0};
}

void mige_stop_catch(void) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};
    struct sigaction s = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (sigaction(numbers[i], NULL, &before) || before.sa_handler == SIG_IGN) continue; /* nohup */
        sigaction(numbers[i], &s, NULL);
    }
}

/* A folder would never be seen as a stop file. */
static int begin_to_look(const char *file) {
    struct stat st;
    wish.file = file;
    wish.before = look(file);
    MIGE_CHECK(wish.before.st_mode || stat(file, &st) != 0, MIGE_EUSAGE,
               "%s: is not a regular file (a stop file is one that is to be made, or touched, for the stop)", file);
    if (wish.before.st_mode) mige_warn("%s: the stop file is there already; it counts when it is touched", file);
    return MIGE_OK;
}

int mige_stop_listen(const mige_comm *c, double max_hours, const char *file) {
    wish.end = max_hours > 0 ? mige_now() + 3600 * max_hours : 0;
    return mige_agree(c, *file && c->rank == 0 ? begin_to_look(file) : MIGE_OK);
}

static int file_asks(double time) {
    if (wish.seen || !wish.file || time - wish.looked < 1) return wish.seen;
    wish.looked = time;
    struct stat st = look(wish.file), *before = &wish.before;
    wish.seen = st.st_mode && (st.st_ino != before->st_ino || st.st_mtim.tv_sec != before->st_mtim.tv_sec ||
                               st.st_mtim.tv_nsec != before->st_mtim.tv_nsec);
    return wish.seen;
}

int mige_stop_asked(void) {
    double time = mige_now();
    if (signalled) return MIGE_STOP_SIGNAL;
    if (file_asks(time)) return MIGE_STOP_FILE;
    return wish.end > 0 && time >= wish.end ? MIGE_STOP_HOURS : MIGE_STOP_NOT;
}

const char *mige_stop_reason(int asked) {
    static const char *const text[] = {"", "after its hours", "by its stop file", "by a signal"};
    return text[asked];
}
