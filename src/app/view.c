/* What is printed about the machine and about time. */
#include "app/app.h"
#include "mige/blas.h"
#include "mige/clock.h"
#include "mige/error.h"
#include "mige/io.h"
#include "mige/log.h"
#include "mige/version.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int print_phases(const mige_comm *c) {
    double low[MIGE_PHASES], high[MIGE_PHASES], sum[MIGE_PHASES], flops[MIGE_PHASES];
    for (int p = 0; p < MIGE_PHASES; p++) {
        high[p] = sum[p] = mige_clock_seconds((enum mige_phase)p);
        low[p] = -high[p];
        flops[p] = mige_clock_flops((enum mige_phase)p);
    }
    MIGE_TRY(mige_max(c, low, MIGE_PHASES));
    MIGE_TRY(mige_max(c, high, MIGE_PHASES));
    MIGE_TRY(mige_sum(c, sum, MIGE_PHASES));
    MIGE_TRY(mige_sum(c, flops, MIGE_PHASES));
    mige_print("%-14s %8s %10s %10s %10s %9s", "phase", "count", "min s", "mean s", "max s", "GFLOP/s");
    for (int p = 0; p < MIGE_PHASES; p++) {
        char rate[32] = "", name[32];
        if (high[p] <= 0) continue;
        if (flops[p] > 0) snprintf(rate, sizeof rate, "%.1f", 1e-9 * flops[p] / high[p]);
        snprintf(name, sizeof name, "%*s%s", 2 * mige_clock_depth((enum mige_phase)p), "",
                 mige_clock_name((enum mige_phase)p));
        mige_print("%-14s %8lld %10.3f %10.3f %10.3f %9s", name, (long long)mige_clock_count((enum mige_phase)p),
                   -low[p], sum[p] / c->size, high[p], rate);
    }
    return MIGE_OK;
}

enum { HOST = 64 };

int host_names(const mige_comm *c, char **hosts) {
    char mine[HOST] = "", *all = NULL;
    gethostname(mine, HOST - 1);
    int err = mige_alloc((size_t)c->size, HOST, &all);
    if (!err) err = mige_alloc((size_t)c->size, HOST + 1, hosts);
    MIGE_TRY(mige_agree(c, err));
    MPI_Allgather(mine, HOST, MPI_CHAR, all, HOST, MPI_CHAR, c->mpi);
    for (int r = 0; r < c->size; r++) {
        int known = 0;
        for (int q = 0; q < r && !known; q++) known = !strcmp(all + q * HOST, all + r * HOST);
        if (!known) sprintf(*hosts + strlen(*hosts), "%s%s", r ? "," : "", all + r * HOST);
    }
    free(all);
    return MIGE_OK;
}

static void print_warnings(const app *a, long cores) {
    const char *better = mige_blas_advice();
    if (better)
        mige_warn(
            "BLAS runs its %s kernels though the processor can do more (unset OPENBLAS_CORETYPE, or set it to %s)",
            mige_blas_kernel(), better);
    if (!strcmp(mige_blas_kernel(), "unknown"))
        mige_warn("the BLAS library does not tell which kernels it runs (OpenBLAS does)");
    if (a->comm.node_size * a->cfg.threads > cores)
        mige_warn("%d ranks x %d threads on %ld cores of this host: they take turns (fewer ranks or threads)",
                  a->comm.node_size, (int)a->cfg.threads, cores);
}

int cmd_info(app *a) {
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING], *hosts;
    int length;
    MPI_Get_library_version(mpi, &length);
    mpi[strcspn(mpi, ",\n")] = 0;
    MIGE_TRY(host_names(&a->comm, &hosts));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    double rate = mige_blas_rate(0.05);
    mige_print("mige       %s (%s)", MIGE_VERSION, mige_revision());
    mige_print("MPI        %s", mpi);
    mige_print("HDF5       %s", mige_hdf5_version());
    mige_print("BLAS       %s", mige_blas_config());
    mige_print("kernels    %s%s, dgemm %.1f GFLOP/s on one rank", mige_blas_kernel(),
               mige_blas_restarted() ? " (chosen by mige: the library had taken slower ones)" : "", rate);
    mige_print("ranks      %d x %d threads, %d on this host of %ld cores, %d hosts", a->comm.size,
               (int)a->cfg.threads, a->comm.node_size, cores, a->comm.nodes);
    mige_print("hosts      %s", hosts);
    print_warnings(a, cores);
    free(hosts);
    return MIGE_OK;
}
