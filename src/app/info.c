/* mige info: what the program is built with and runs on. */
#include "app/app.h"
#include "mige/blas.h"
#include "mige/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    mige_print("bfloat16   %s, %.1f GFLOP/s on one rank", mige_bfloat16_kernel(), mige_bfloat16_rate(0.05));
    mige_print("ranks      %d x %d threads, %d on this host of %ld cores, %d hosts", a->comm.size,
               (int)a->cfg.threads, a->comm.node_size, cores, a->comm.nodes);
    mige_print("hosts      %s", hosts);
    print_warnings(a, cores);
    free(hosts);
    return warn_shared_cores(&a->comm);
}
