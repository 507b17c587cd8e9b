/* Preloaded where MPICH runs more ranks than there are cores: Debian's (ch4:ucx) waits without ever giving the core
 * away, so that a message costs the receiver the sender's whole time slice. Open MPI has an option for it, MPICH
 * has none. */
#include <dlfcn.h>
#include <sched.h>

unsigned ucp_worker_progress(void *worker);
unsigned ucp_worker_progress(void *worker) {
    static unsigned (*real)(void *);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "ucp_worker_progress");
    unsigned done = real(worker);
    if (!done) sched_yield();
    return done;
}
