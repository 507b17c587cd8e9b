/* Whether another job of this user is bound to the same cores: launchers on one node each begin at the first. */
#include "app/app.h"
#include "mige/log.h"
#include <ctype.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The cores that a process may use, where those are not all. */
static int bound(int pid, cpu_set_t *cores) {
    CPU_ZERO(cores);
    return sched_getaffinity(pid, sizeof *cores, cores) == 0 && CPU_COUNT(cores) < sysconf(_SC_NPROCESSORS_ONLN);
}

static int same_program(int pid) {
    char path[64], name[2][32] = {"", ""};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%d/comm", i ? pid : (int)getpid());
        FILE *f = fopen(path, "r");
        if (!f) return 0;
        if (!fgets(name[i], sizeof name[i], f)) *name[i] = 0;
        fclose(f);
    }
    return *name[0] && !strcmp(name[0], name[1]);
}

/* The process of another job that shares a core with this one; 0: none. pids [n]: this job's on this node. */
static int other_on_cores(int n, const int *pids) {
    cpu_set_t mine, theirs, both;
    struct dirent *e;
    int found = 0;
    DIR *all = bound(0, &mine) ? opendir("/proc") : NULL;
    while (all && !found && (e = readdir(all))) {
        int pid = isdigit((unsigned char)*e->d_name) ? atoi(e->d_name) : 0, ours = !pid;
        for (int i = 0; i < n && !ours; i++) ours = pids[i] == pid;
        if (ours || !same_program(pid) || !bound(pid, &theirs)) continue;
        CPU_AND(&both, &mine, &theirs);
        if (CPU_COUNT(&both)) found = pid;
    }
    if (all) closedir(all);
    return found;
}

int warn_shared_cores(const mige_comm *c) {
    int pid = (int)getpid(), *pids = NULL;
    MIGE_TRY(mige_agree(c, mige_alloc((size_t)c->node_size, sizeof *pids, &pids)));
    MPI_Allgather(&pid, 1, MPI_INT, pids, 1, MPI_INT, c->node);
    double other = other_on_cores(c->node_size, pids), ranks = other > 0;
    free(pids);
    MIGE_TRY(mige_max(c, &other, 1));
    MIGE_TRY(mige_sum(c, &ranks, 1));
    if (ranks > 0)
        mige_warn("%.0f of %d ranks bound to cores that another job uses, too, as process %.0f: they take turns "
                  "(mpirun --bind-to none, or other cores: --cpu-set)",
                  ranks, c->size, other);
    return MIGE_OK;
}
