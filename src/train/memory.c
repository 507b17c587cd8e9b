#include "train/memory.h"
#include "mige/error.h"
#include "mige/log.h"
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of what is free: the rest is for what comes beside (buffers of MPI and BLAS), and for the other programs. */
static const double USABLE = 0.95;
/* cgroups without a limit have a huge one. */
static const double NO_LIMIT = 1e18;

/* The number behind `key` in a file of lines "key number" or "key: number", or ("") at the start of its first line;
 * -1 if there is none. */
static double read_value(const char *folder, const char *name, const char *key) {
    char path[PATH_MAX], line[256], *end;
    size_t n = strlen(key);
    double value = -1;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return -1;
    FILE *f = fopen(path, "r");
    while (f && value < 0 && fgets(line, sizeof line, f)) {
        if (strncmp(line, key, n) != 0 || (n && !strchr(": \t", line[n]))) continue;
        char *number = line + n + strspn(line + n, ": \t");
        value = strtod(number, &end);
        if (end == number) value = -1;
    }
    if (f) fclose(f);
    return value;
}

/* What a cgroup leaves: its limit without what is used, but for the file cache that the kernel gives up first. */
static double group_left(const char *folder, int v2) {
    double limit = read_value(folder, v2 ? "memory.max" : "memory.limit_in_bytes", ""),
           used = read_value(folder, v2 ? "memory.current" : "memory.usage_in_bytes", ""),
           cache = read_value(folder, "memory.stat", v2 ? "inactive_file" : "total_inactive_file");
    if (limit < 0 || limit >= NO_LIMIT || used < 0) return INFINITY;
    return fmax(limit - used + fmax(cache, 0), 0);
}

/* The least that is left in a cgroup and those that it is in; inside a container only some of them can be seen. */
static double groups_left(const char *root, const char *group, int v2) {
    char folder[PATH_MAX];
    double least = INFINITY;
    size_t base = strlen(root);
    if (snprintf(folder, sizeof folder, "%s%s", root, group) >= (int)sizeof folder) return INFINITY;
    for (;;) {
        least = fmin(least, group_left(folder, v2));
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < base) return least;
        *slash = 0;
    }
}

/* Over the lines "number:controllers:path" of this process's cgroups. */
static double limits_left(void) {
    char line[PATH_MAX];
    double least = INFINITY;
    FILE *f = fopen("/proc/self/cgroup", "r");
    if (!f) return INFINITY;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        if (!strcmp(controllers, ":")) least = fmin(least, groups_left("/sys/fs/cgroup", group, 1));
        if (!strcmp(controllers, ":memory")) least = fmin(least, groups_left("/sys/fs/cgroup/memory", group, 0));
    }
    fclose(f);
    return least;
}

/* Free is what the kernel calls available, within the limits of this process's cgroups (a job's, a container's). */
int mige_memory_share(const mige_memory *m, double *share) {
    double available = read_value("/proc", "meminfo", "MemAvailable");
    double mine = m->limit_gb > 0 ? m->limit_gb * 1e9 : USABLE * fmin(1024 * available, limits_left());
    double least = mine > 0 ? -mine / m->c->node_size : -INFINITY; /* unknown forbids nothing */
    MIGE_TRY(mige_max(m->c, &least, 1));
    *share = isfinite(least) ? -least : 0;
    return MIGE_OK;
}

/* The largest number of samples that fits, 0 if none does; a round one, since what is free changes all the time. */
static int largest_fit(double share, int M, mige_memory_need need, const void *ctx) {
    int fits = 0, too_many = M;
    while (too_many - fits > 1) {
        int middle = fits + (too_many - fits) / 2;
        if (need(ctx, middle) <= share)
            fits = middle;
        else
            too_many = middle;
    }
    int rounded = fits - fits % (fits >= 1024 ? 64 : 1);
    return need(ctx, rounded) <= share ? rounded : fits;
}

int mige_memory_check(const mige_memory *m, const char *what, int M, mige_memory_need need, const void *ctx) {
    double bytes = need(ctx, M), ranks = m->c->node_size, share;
    char most[96] = "no number of samples would fit: what else is asked for is too much";
    MIGE_TRY(mige_memory_share(m, &share));
    if (share <= 0 || bytes <= share) return MIGE_OK;
    int fits = largest_fit(share, M, need, ctx);
    if (fits >= 2) snprintf(most, sizeof most, "at most %d would fit", fits);
    int err = mige_raise(MIGE_EUSAGE,
                         "%s: %d samples need %.3g GB on this node (ranks on it: %d), %.3g GB %s (%s%s, or %s)",
                         what, M, 1e-9 * bytes * ranks, m->c->node_size, 1e-9 * share * ranks,
                         m->limit_gb > 0 ? "is what it may take" : "are free for it", most, m->hint,
                         m->limit_gb > 0 ? "a larger limit" : "more nodes");
    if (!m->dry_run || m->limit_gb > 0) return err;
    mige_warn("%s", mige_error());
    return MIGE_OK;
}

double mige_memory_peak(void) {
    return 1024 * fmax(read_value("/proc/self", "status", "VmHWM"), 0);
}

double mige_memory_resident(void) {
    return 1024 * fmax(read_value("/proc/self", "status", "VmRSS"), 0);
}

void mige_memory_peak_reset(void) {
#ifdef __GLIBC__
    malloc_trim(0); /* or what was freed before would hide what is taken next */
#endif
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}
