#include "mige/clock.h"
#include "mige/comm.h"
#include "mige/error.h"
#include "mige/log.h"
#include <stdio.h>

int mige_print_phases(const mige_comm *c) {
    double low[MIGE_PHASES], high[MIGE_PHASES], sum[MIGE_PHASES], flops[MIGE_PHASES];
    for (int p = 0; p < MIGE_PHASES; p++) {
        mige_clock_values v = mige_clock_get((enum mige_phase)p);
        high[p] = sum[p] = v.seconds;
        low[p] = -v.seconds;
        flops[p] = v.flops;
    }
    MIGE_TRY(mige_max(c, low, MIGE_PHASES));
    MIGE_TRY(mige_max(c, high, MIGE_PHASES));
    MIGE_TRY(mige_sum(c, sum, MIGE_PHASES));
    MIGE_TRY(mige_sum(c, flops, MIGE_PHASES));
    mige_print("%-14s %8s %10s %10s %10s %9s", "phase", "count", "min s", "mean s", "max s", "GFLOP/s");
    for (int p = 0; p < MIGE_PHASES; p++) {
        mige_clock_values v = mige_clock_get((enum mige_phase)p);
        char rate[32] = "", name[32];
        if (high[p] <= 0) continue;
        if (flops[p] > 0) snprintf(rate, sizeof rate, "%.1f", 1e-9 * flops[p] / high[p]);
        snprintf(name, sizeof name, "%*s%s", 2 * v.depth, "", v.name);
        mige_print("%-14s %8lld %10.3f %10.3f %10.3f %9s", name, (long long)v.count, -low[p], sum[p] / c->size,
                   high[p], rate);
    }
    return MIGE_OK;
}
