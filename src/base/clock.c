#include "mige/clock.h"
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    int depth;
} phases[MIGE_PHASES] = {
    [MIGE_PHASE_STEP] = {"step", 0},         [MIGE_PHASE_LOAD] = {"load", 1},
    [MIGE_PHASE_FORWARD] = {"forward", 1},   [MIGE_PHASE_GATHER] = {"gather", 1},
    [MIGE_PHASE_SCORE] = {"score", 1},       [MIGE_PHASE_GRAM] = {"gram", 2},
    [MIGE_PHASE_EIGEN] = {"eigen", 2},       [MIGE_PHASE_APPLY] = {"apply", 2},
    [MIGE_PHASE_BACKWARD] = {"backward", 1}, [MIGE_PHASE_REDUCE] = {"all-reduce", 1},
    [MIGE_PHASE_UPDATE] = {"update", 1},     [MIGE_PHASE_OUTPUT] = {"output", 0},
};

static struct {
    double began, seconds, flops;
    int64_t count;
} clocks[MIGE_PHASES];

double mige_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void mige_clock_start(enum mige_phase p) {
    clocks[p].began = mige_now();
}

void mige_clock_stop(enum mige_phase p, double flops) {
    clocks[p].seconds += mige_now() - clocks[p].began;
    clocks[p].flops += flops;
    clocks[p].count++;
}

void mige_clock_add(enum mige_phase p, double seconds) {
    clocks[p].seconds += seconds;
}

void mige_clock_count_flops(enum mige_phase p, double flops) {
    clocks[p].flops += flops;
}

void mige_clock_reset(void) {
    memset(clocks, 0, sizeof clocks);
}

mige_clock_values mige_clock_get(enum mige_phase p) {
    return (mige_clock_values){phases[p].name, phases[p].depth, clocks[p].seconds, clocks[p].flops,
                               clocks[p].count};
}
