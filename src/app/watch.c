/* mige watch: the curves of a run in the terminal, out of its metrics, which are whole whenever they are read. One
 * rank works. */
#include "app/app.h"
#include "mige/log.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HEIGHT = 5, WIDEST = 120, LABELS = 10, MOST = 8 }; /* characters; panels */

/* A character is a braille pattern of 2 x 4 dots, a bit each, as Unicode numbers them. */
typedef struct {
    char title[128];
    double low, high;
    int width, dot; /* characters; the last point's row of dots from the top, -1: none */
    unsigned char cell[HEIGHT][WIDEST];
} panel;

/* What is drawn, the first that there are: table, then a name or, after a star, its end. */
static const char *const series[][2] = {{"test", "error"},          {"train", "loss"},
                                        {"train", "bound"},         {"train", "cross_entropy"},
                                        {"train", "*_stein"},       {"train", "code_deviation"},
                                        {"train", "*_eigen"},       {"train", "rate"},
                                        {"train", "gradient_norm"}, {"train", "images_per_second"}};

static void mark(panel *p, int x, double value) {
    static const unsigned char bit[2][4] = {{1, 2, 4, 64}, {8, 16, 32, 128}};
    if (!isfinite(value)) {
        p->dot = -1;
        return;
    }
    int to = (int)lround((p->high - value) / (p->high - p->low) * (4 * HEIGHT - 1)),
        from = p->dot < 0 ? to : p->dot;
    for (int y = to;; y += from > to ? 1 : -1) {
        p->cell[y / 4][x / 2] |= bit[x % 2][y % 4];
        if (abs(y - from) <= 1) break;
    }
    p->dot = to;
}

/* A column of dots is the mean of its share of the n values. */
static void plot(panel *p, int64_t n, const double *y) {
    double mean[2 * WIDEST];
    int across = 2 * p->width;
    p->low = INFINITY;
    p->high = -INFINITY;
    p->dot = -1;
    for (int x = 0; x < across; x++) {
        int64_t first = n * x / across, past = n * (x + 1) / across;
        double sum = 0;
        for (int64_t i = first; i < past || i == first; i++) sum += y[i];
        mean[x] = sum / (double)(past > first ? past - first : 1);
        p->low = fmin(p->low, mean[x]);
        p->high = fmax(p->high, mean[x]);
    }
    if (!(p->high - p->low > 1e-6 * fabs(p->high))) { /* one value but for rounding: in the middle */
        double room = p->high == 0 ? 1 : 0.05 * fabs(p->high);
        p->low -= room;
        p->high += room;
    }
    for (int x = 0; x < across; x++) mark(p, x, mean[x]);
}

static int read_series(const mige_file *f, const char *path, int64_t *n, double **y) {
    mige_layout layout;
    MIGE_TRY(mige_file_layout(f, path, &layout));
    MIGE_CHECK(layout.ndim == 1, MIGE_EINPUT, "%s: %s is not a series", mige_file_path(f), path);
    *n = layout.dims[0];
    MIGE_TRY(mige_alloc((size_t)*n + 1, sizeof **y, y));
    int err = mige_file_read(f, path, MIGE_F64, 0, *n, *y);
    if (err) free(*y);
    return err;
}

/* *used stays where there is nothing to show. */
static int add_panel(const mige_file *f, const char *table, const char *name, int width, panel *p, int *used) {
    char path[192], units[32] = "";
    int64_t n;
    double *y;
    int any = 0;
    snprintf(path, sizeof path, "/%s/%s", table, name);
    MIGE_TRY(read_series(f, path, &n, &y));
    for (int64_t i = 0; i < n && !any; i++) any = y[i] != 0;
    int err = any ? mige_file_get_text(f, path, "units", units, sizeof units) : MIGE_OK;
    if (any && !err) {
        p += (*used)++;
        *p = (panel){.width = width};
        int pure = !strcmp(units, "1");
        snprintf(p->title, sizeof p->title, "%.20s%.40s%s%s%s  %.4g", !strcmp(table, "test") ? "test " : "", name,
                 pure ? "" : " [", pure ? "" : units, pure ? "" : "]", y[n - 1]);
        plot(p, n, y);
    }
    free(y);
    return err;
}

static int fits(const char *name, const char *wanted) {
    size_t end = strlen(wanted) - 1, length = strlen(name);
    return *wanted != '*' ? !strcmp(name, wanted) : length > end && !strcmp(name + length - end, wanted + 1);
}

static int read_panels(const mige_file *f, int width, panel *p, int *used) {
    *used = 0;
    for (size_t s = 0; s < sizeof series / sizeof *series; s++) {
        char step[32], **names;
        int n, err = MIGE_OK;
        snprintf(step, sizeof step, "/%s/step", series[s][0]);
        if (!mige_file_has(f, step)) continue;
        MIGE_TRY(mige_file_list(f, series[s][0], &n, &names));
        for (int i = 0; !err && i < n && *used < MOST; i++)
            if (fits(names[i], series[s][1])) err = add_panel(f, series[s][0], names[i], width, p, used);
        free(names);
        MIGE_TRY(err);
    }
    return MIGE_OK;
}

/* A row of panels beside each other, in colours that the colour-blind tell apart where there is a terminal. */
static void print_row(const panel *p, int n, int coloured) {
    static const int colours[] = {36, 33, 35, 32};
    for (int k = 0; k < n; k++)
        printf("%*s%-*.*s%s", LABELS, "", p[k].width, p[k].width, p[k].title, k + 1 < n ? "  " : "\n");
    for (int r = 0; r < HEIGHT; r++)
        for (int k = 0; k < n; k++) {
            char label[32] = "";
            if (r == 0 || r == HEIGHT - 1) snprintf(label, sizeof label, "%.4g", r ? p[k].low : p[k].high);
            printf("%*s%s", LABELS - 1, label, r == 0 || r == HEIGHT - 1 ? "┤" : "│");
            if (coloured) printf("\033[%dm", colours[k % 4]);
            for (int x = 0; x < p[k].width; x++) {
                int bits = p[k].cell[r][x];
                printf("\xE2%c%c", 0xA0 | bits >> 6, 0x80 | (bits & 0x3F));
            }
            printf("%s%s", coloured ? "\033[0m" : "", k + 1 < n ? "  " : "\n");
        }
}

typedef struct {
    int64_t step, last; /* last 0: not known yet */
    double epoch, speed, batch;
    int locked;
} progress;

static double option(const char *text, const char *name) {
    char value[MIGE_OPT_TEXT_SIZE];
    mige_options_find(text, name, value);
    return strtod(value, NULL);
}

static int read_progress(const mige_file *f, progress *g) {
    static const char *const names[] = {"/train/step", "/train/epoch", "/train/images_per_second"};
    double last[3] = {0}, *y;
    char text[1 << 14];
    int64_t n;
    for (int i = 0; i < 3; i++) {
        MIGE_TRY(read_series(f, names[i], &n, &y));
        int64_t from = i < 2 ? n - 1 : n > 20 ? n - 20 : 0;
        for (int64_t k = from < 0 ? 0 : from; k < n; k++) last[i] += y[k] / (double)(n - from);
        free(y);
    }
    MIGE_TRY(mige_file_get_text(f, "/", "config", text, sizeof text));
    *g = (progress){(int64_t)last[0], (int64_t)option(text, "steps"), last[1],
                    last[2],          option(text, "batch"),          g->locked};
    if (!g->last && g->epoch > 0) g->last = llround(option(text, "epochs") * (double)g->step / g->epoch);
    return MIGE_OK;
}

static void print_progress(const char *run, const progress *g) {
    char left[32] = "";
    int done = g->last && g->step >= g->last;
    if (g->speed > 0 && g->last > g->step) mige_time_text((double)(g->last - g->step) * g->batch / g->speed, left);
    printf("%s: %s, step %lld of %lld, epoch %.3g, %.0f images/s%s%s\n", run,
           done        ? "done"
           : g->locked ? "running"
                       : "stopped",
           (long long)g->step, (long long)g->last, g->epoch, g->speed, *left && g->locked ? ", left " : "",
           g->locked ? left : "");
}

static int draw(const char *run, int clear, progress *g) {
    static panel panels[MOST];
    char path[MIGE_RUN_PATH];
    mige_file *f;
    int used = 0, terminal = mige_columns(), columns = terminal ? terminal : 100, beside = columns < 80 ? 1 : 2;
    int width = columns / beside - LABELS - 3;
    MIGE_TRY(mige_run_path(run, "metrics.h5", path));
    MIGE_TRY(mige_file_open(path, "mige-run", &f));
    int err = read_progress(f, g);
    if (!err) err = read_panels(f, width < WIDEST ? width : WIDEST, panels, &used);
    mige_file_close(&f);
    MIGE_TRY(err);
    if (clear && terminal) fputs("\033[H\033[J", stdout);
    print_progress(run, g);
    for (int k = 0; k < used; k += beside)
        print_row(panels + k, used - k < beside ? 1 : beside, terminal && !getenv("NO_COLOR"));
    fflush(stdout);
    return MIGE_OK;
}

static int watch(const char *run, double every) {
    progress g = {0};
    do {
        g.locked = mige_folder_locked(run); /* before the metrics are read: they are the last ones then */
        MIGE_TRY(draw(run, every > 0, &g));
        if (every > 0 && g.locked)
            nanosleep(&(struct timespec){(time_t)every, (long)(1e9 * (every - floor(every)))}, NULL);
    } while (every > 0 && g.locked);
    return MIGE_OK;
}

int cmd_watch(app *a) {
    MIGE_CHECK(a->nfiles == 1, MIGE_EUSAGE, "watch: %d runs given (mige watch RUN)", a->nfiles);
    return mige_agree(&a->comm, a->comm.rank == 0 ? watch(a->files[0], a->cfg.every) : MIGE_OK);
}
