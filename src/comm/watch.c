#include "mige/clock.h"
#include "mige/comm.h"
#include "mige/error.h"
#include "mige/log.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ADDRESSES = 8, BEAT_MS = 1000, NAME_SIZE = 64 };
/* A thread that wakes up this much late was stopped, like its process. */
static const double STOPPED_SECONDS = 2.5;
/* Datagrams can be lost: what matters is sent more than once. */
enum { SENDINGS = 3, KILL_SECONDS = 3 };

/* Where a rank is to be found. Network byte order. */
typedef struct {
    uint32_t address[ADDRESSES]; /* all of its host's */
    int naddresses;
    uint16_t port;
    int node; /* rank of the first rank on its node */
    int pid;
    ino_t pid_space; /* numbers of processes mean the same in it */
    char host[NAME_SIZE];
} place;

typedef struct {
    uint64_t token;     /* of the job: other datagrams are not ours */
    int32_t from, lost; /* lost: a rank, -1 for a beat */
} datagram;

static struct {
    int socket, rank, size;
    place *places; /* [size] */
    uint64_t token;
    double seconds, began, heard; /* when the rank before was; 0: never */
    int warned;
} watch;

static int before(void) {
    return (watch.rank + watch.size - 1) % watch.size;
}

static void find_addresses(place *p) {
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) return;
    for (struct ifaddrs *i = all; i && p->naddresses < ADDRESSES; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP) ||
            (i->ifa_flags & IFF_LOOPBACK))
            continue;
        struct sockaddr_in in;
        memcpy(&in, i->ifa_addr, sizeof in);
        p->address[p->naddresses++] = in.sin_addr.s_addr;
    }
    freeifaddrs(all);
}

static int find_place(const mige_comm *c, place *p) {
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t size = sizeof in;
    struct stat st;
    *p = (place){.pid = (int)getpid()};
    watch.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int good = watch.socket >= 0 && bind(watch.socket, (struct sockaddr *)&in, size) == 0 &&
               getsockname(watch.socket, (struct sockaddr *)&in, &size) == 0;
    p->port = good ? in.sin_port : 0;
    find_addresses(p);
    if (stat("/proc/self/ns/pid", &st) == 0) p->pid_space = st.st_ino;
    gethostname(p->host, sizeof p->host - 1);
    p->node = c->rank;
    MPI_Bcast(&p->node, 1, MPI_INT, 0, c->node);
    return good;
}

static void send_to(const place *p, uint32_t address, const datagram *d) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = p->port, .sin_addr.s_addr = address};
    sendto(watch.socket, d, sizeof *d, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&in, sizeof in);
}

static void send_datagram(int to, int lost) {
    const place *p = &watch.places[to];
    datagram d = {watch.token, watch.rank, lost};
    if (p->node == watch.places[watch.rank].node)
        send_to(p, htonl(INADDR_LOOPBACK), &d);
    else
        for (int i = 0; i < p->naddresses; i++) send_to(p, p->address[i], &d);
}

/* The lost rank's process is killed by those who can: some launchers would wait for it for ever. Others do it
 * themselves, and report the status of the first process that ends: that is to be ours, so this one is followed. */
static _Noreturn void leave(int lost) {
    const place *p = &watch.places[lost], *mine = &watch.places[watch.rank];
    if (p->node == mine->node && p->pid_space == mine->pid_space && fork() == 0) {
        sleep(KILL_SECONDS);
        kill(p->pid, SIGKILL);
    }
    _exit(MIGE_EFAIL);
}

static _Noreturn void give_up(int lost) {
    for (int n = 0; n < SENDINGS; n++)
        for (int r = 0; r < watch.size; r++)
            if (r != watch.rank && r != lost) send_datagram(r, lost);
    fprintf(stderr,
            "mige: rank %d on %s: no sign of life for %.0f s: stopped, killed, or its host cut off (what was "
            "saved is kept, and can be resumed)\n",
            lost, watch.places[lost].host, watch.seconds);
    leave(lost);
}

static void receive(void) {
    datagram d;
    while (recv(watch.socket, &d, sizeof d, MSG_DONTWAIT) == (ssize_t)sizeof d) {
        if (d.token != watch.token || d.from < 0 || d.from >= watch.size) continue;
        if (d.lost >= 0 && d.lost < watch.size) leave(d.lost);
        if (d.from == before()) watch.heard = mige_now();
    }
}

/* A firewall, say. */
static void warn_if_deaf(double now) {
    if (watch.heard > 0 || watch.warned || now - watch.began < watch.seconds) return;
    watch.warned = 1;
    fprintf(stderr, "mige: warning: rank %d on %s cannot be heard: it will not be noticed if it is lost\n",
            before(), watch.places[before()].host);
}

static void *keep_watch(void *unused) {
    struct pollfd p = {.fd = watch.socket, .events = POLLIN};
    double beat = 0;
    (void)unused;
    watch.began = mige_now();
    for (;;) {
        double now = mige_now();
        if (1e3 * (now - beat) >= BEAT_MS) {
            send_datagram((watch.rank + 1) % watch.size, -1);
            beat = now;
        }
        poll(&p, 1, BEAT_MS / 2);
        if (watch.heard > 0 && mige_now() - now > STOPPED_SECONDS) watch.heard = mige_now();
        receive();
        warn_if_deaf(now);
        if (watch.heard > 0 && mige_now() - watch.heard > watch.seconds) give_up(before());
    }
    return NULL;
}

static int start_thread(void) {
    sigset_t all, former;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    int good = pthread_create(&thread, NULL, keep_watch, NULL) == 0 && pthread_detach(thread) == 0;
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    return good;
}

int mige_watch_start(const mige_comm *c, double seconds) {
    if (c->size == 1 || seconds <= 0 || watch.places) return MIGE_OK;
    MIGE_TRY(mige_agree(c, mige_alloc((size_t)c->size, sizeof *watch.places, &watch.places)));
    place mine;
    double bad = !find_place(c, &mine);
    watch.rank = c->rank;
    watch.size = c->size;
    watch.seconds = seconds;
    if (c->rank == 0 && getrandom(&watch.token, sizeof watch.token, GRND_NONBLOCK) < 0)
        watch.token = (uint64_t)(1e6 * mige_now()) ^ (uint64_t)getpid();
    MIGE_TRY(mige_bcast(c, 0, &watch.token, sizeof watch.token));
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, watch.places, sizeof mine, MPI_BYTE, c->mpi);
    MIGE_TRY(mige_max(c, &bad, 1));
    if (bad == 0) bad = !start_thread();
    MIGE_TRY(mige_max(c, &bad, 1));
    if (bad > 0) mige_warn("no sockets or threads for signs of life: a rank that is stopped will not be noticed");
    return MIGE_OK;
}
