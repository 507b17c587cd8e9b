/* Of the process, before MPI has begun. */
#include "mige/comm.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

/* What is opened later must not get the number of a standard stream that the caller has closed; writing to it stays
 * an error. */
static void hold_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) < 0) return;
}

/* Without a launcher the only rank is this one. Open MPI would start a daemon for it and look for networks: 0.36 s
 * for `mige --help` instead of 0.06. Without the daemon all such processes have one name, so there must be no
 * folder of that name, which the first to end would take from the others. What the user has set stays. */
static void expect_no_others(void) {
    static const char *const launched[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_FD",
                                           "SLURM_PROCID"};
    static const char *const alone[][2] = {{"OMPI_MCA_ess_singleton_isolated", "1"},
                                           {"OMPI_MCA_orte_create_session_dirs", "0"},
                                           {"OMPI_MCA_pml", "ob1"},
                                           {"OMPI_MCA_btl", "self"}};
    for (size_t i = 0; i < sizeof launched / sizeof *launched; i++)
        if (getenv(launched[i])) return;
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) setenv(alone[i][0], alone[i][1], 0);
}

void mige_before_mpi(void) {
    hold_streams();
    signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes is an error of writing like others */
    expect_no_others();
}
