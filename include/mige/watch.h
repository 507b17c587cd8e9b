/* Signs of life between ranks, so that a job ends when one of them cannot go on and does not say so: stopped,
 * killed under a launcher that does not mind, or on a host that is cut off. MPI calls would wait for it for ever.
 *
 * Each rank has a thread that sends a datagram (UDP) a second to the next rank, round a ring, and listens to the
 * one before. A rank that was heard once and then is silent for `seconds` ends the job: the one that misses it
 * prints a line and tells all others; every rank then exits with status 1, and one that shares the lost rank's node
 * kills it. A process that was itself stopped meanwhile (a job suspended and resumed) starts to count anew. */
#ifndef MIGE_WATCH_H
#define MIGE_WATCH_H

#include "mige/comm.h"

/* From now to the end of the process. seconds: at least twice the 2.5 after which a process that wakes up late
 * knows that it was stopped, or 0. One rank, or seconds = 0, is not watched; nor is what cannot be (no sockets, no
 * threads). Collective. */
int mige_watch_start(const mige_comm *c, double seconds);

#endif
