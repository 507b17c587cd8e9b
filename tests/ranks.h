/* Tests on several ranks. A test that fails on one rank alone would leave the others waiting in the next
 * collective: so what ranks find is brought together first, and all ranks pass or fail alike. Rank 0 does the
 * talking. */
#ifndef MIGE_TESTS_RANKS_H
#define MIGE_TESTS_RANKS_H

#include "mige/comm.h"
#include "mige/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static mige_comm world;

/* 1 on every rank if `good` is true on every rank. Collective. */
static inline int all_ranks(int good) {
    int all;
    MPI_Allreduce(&good, &all, 1, MPI_INT, MPI_MIN, world.mpi);
    return all;
}
#define assert_all(good) assert_true(all_ranks(good))

/* The call returned MIGE_OK everywhere; else rank 0's message is shown. Collective. */
#define assert_ok(call)                                                                                            \
    do {                                                                                                           \
        int err_ = (call), good_ = all_ranks(err_ == MIGE_OK);                                                     \
        if (!good_) print_error("%s: %d, %s\n", #call, err_, mige_error());                                        \
        assert_true(good_);                                                                                        \
    } while (0)

/* The call returned `code` everywhere, with `part` in every rank's message. Collective. */
#define assert_fails(call, code, part)                                                                             \
    do {                                                                                                           \
        int err_ = (call), good_ = all_ranks(err_ == (code) && strstr(mige_error(), part) != NULL);                \
        if (!good_) print_error("%s: %d, %s (expected %d, %s)\n", #call, err_, mige_error(), code, part);          \
        assert_true(good_);                                                                                        \
    } while (0)

/* x <= most on every rank (false for NaN); the figure is shown where it is not. Collective. */
#define assert_small(x, most)                                                                                      \
    do {                                                                                                           \
        double x_ = (x);                                                                                           \
        int good_ = all_ranks(x_ <= (most));                                                                       \
        if (!good_) print_error("%s is %.3e on rank 0 (at most %.1e)\n", #x, x_, (double)(most));                  \
        assert_true(good_);                                                                                        \
    } while (0)

/* The same bytes on every rank. Collective. */
static inline int same_everywhere(const void *x, size_t bytes) {
    int good = 1;
    for (size_t at = 0; at < bytes; at += 4096) {
        unsigned char block[4096];
        size_t n = bytes - at < sizeof block ? bytes - at : sizeof block;
        memcpy(block, (const char *)x + at, n);
        MPI_Bcast(block, (int)n, MPI_BYTE, 0, world.mpi);
        good = good && memcmp(block, (const char *)x + at, n) == 0;
    }
    return all_ranks(good);
}

static inline void ranks_begin(int *argc, char ***argv) {
    MPI_Init(argc, argv);
    mige_comm_create(MPI_COMM_WORLD, &world);
    if (world.rank > 0 && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
        MPI_Abort(MPI_COMM_WORLD, 1);
}

static inline int ranks_end(int failed) {
    mige_comm_destroy(&world);
    MPI_Finalize();
    return failed != 0;
}

#endif
