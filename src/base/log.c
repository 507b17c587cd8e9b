#include "mige/log.h"
#include "mige/clock.h"
#include "mige/error.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct {
    int speaks, quiet;
    enum mige_progress mode;
    int why; /* errno of the first write to standard output that failed */
} out = {1, 0, MIGE_PROGRESS_NONE, 0};

static struct {
    const char *label;
    long total, shown, first; /* first: done before the clock began, -1 until it is known */
    double began, last;
    int drawn; /* a bar is on the screen */
    int depth; /* of what is in progress inside something else */
} bar;

/* mpirun gives its ranks a terminal of their own even when its output goes to a file; then its own output decides.
 */
static int on_terminal(void) {
    char link[64], to[256] = "";
    if (!isatty(STDOUT_FILENO)) return 0;
    if (!getenv("OMPI_COMM_WORLD_SIZE")) return 1;
    snprintf(link, sizeof link, "/proc/%d/fd/1", (int)getppid());
    ssize_t n = readlink(link, to, sizeof to - 1);
    return n > 0 && (!strncmp(to, "/dev/pts/", 9) || !strncmp(to, "/dev/tty", 8));
}

void mige_log_setup(int speaks, int quiet, enum mige_progress mode) {
    out.speaks = speaks;
    out.quiet = quiet;
    if (mode == MIGE_PROGRESS_AUTO) mode = on_terminal() ? MIGE_PROGRESS_BAR : MIGE_PROGRESS_LINE;
    out.mode = quiet ? MIGE_PROGRESS_NONE : mode;
}

static void flush(void) {
    if (fflush(stdout) != 0 && !out.why) out.why = errno;
}

/* Some file systems tell only when a descriptor is closed. */
int mige_line_check(void) {
    flush();
    int copy = dup(STDOUT_FILENO);
    if (copy >= 0 && close(copy) != 0 && !out.why) out.why = errno;
    if (!out.why && ferror(stdout)) out.why = EIO;
    MIGE_CHECK(!out.why, MIGE_EOUTPUT, "standard output: could not be written: %s (send it elsewhere)",
               strerror(out.why));
    return MIGE_OK;
}

/* A line must not end up behind a bar. */
static void wipe_bar(void) {
    if (bar.drawn) fputs("\r\033[K", stdout);
    bar.drawn = 0;
}

void mige_line(enum mige_line_kind kind, const char *fmt, ...) {
    FILE *to = kind == MIGE_LINE_WARN ? stderr : stdout;
    va_list ap;
    if (!out.speaks || (kind == MIGE_LINE_SAY && out.quiet)) return;
    wipe_bar();
    flush();
    if (kind == MIGE_LINE_WARN) fputs("mige: warning: ", to);
    va_start(ap, fmt);
    vfprintf(to, fmt, ap);
    va_end(ap);
    fputc('\n', to);
    if (to == stdout) flush();
}

void mige_progress_begin(const char *label, long total) {
    if (bar.depth++) return;
    bar.label = label;
    bar.total = total > 0 ? total : 1;
    bar.shown = 0;
    bar.first = -1;
    bar.began = bar.last = mige_now();
    bar.drawn = 0;
}

int mige_progress_due(long done) {
    if (!out.speaks || bar.depth != 1 || out.mode == MIGE_PROGRESS_NONE) return 0;
    double since = mige_now() - bar.last;
    if (bar.first < 0) bar.first = done - 1;
    if (done >= bar.total) return done != bar.shown;
    if (out.mode == MIGE_PROGRESS_BAR) return since > 0.1;
    return since > 2 && (done - bar.shown >= bar.total / 10 || since > 30);
}

int mige_columns(void) {
    struct winsize w;
    if (!on_terminal()) return 0;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 100;
}

void mige_time_text(double seconds, char text[32]) {
    long s = (long)(seconds + 0.5);
    if (s < 3600)
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

void mige_progress_update(long done, const char *text) {
    if (!mige_progress_due(done)) return;
    bar.last = mige_now();
    bar.shown = done;
    double used = bar.last - bar.began;
    char left[32];
    mige_time_text(used * (double)(bar.total - done) / (double)(done - bar.first), left);
    if (out.mode == MIGE_PROGRESS_BAR) {
        char line[640];
        int full = (int)(20 * done / bar.total);
        snprintf(line, sizeof line, "%s [%.*s%*s] %ld/%ld  %s left  %s", bar.label, full,
                 "====================", 20 - full, "", done, bar.total, left, text);
        int columns = mige_columns(); /* a longer bar would not be wiped whole */
        printf("\r\033[K%.*s", columns ? columns - 1 : 99, line);
        bar.drawn = 1;
    } else {
        printf("%s %ld/%ld  %s left  %s\n", bar.label, done, bar.total, left, text);
    }
    flush();
}

void mige_progress_end(void) {
    if (--bar.depth) return;
    if (bar.drawn) fputc('\n', stdout);
    flush();
    bar.drawn = 0;
    bar.label = NULL;
}
