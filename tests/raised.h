/* The call that gave `err` raised `code`, with `part` in its message. */
#ifndef MIGE_TESTS_RAISED_H
#define MIGE_TESTS_RAISED_H

#include "mige/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static inline void assert_raised(int err, int code, const char *part) {
    if (err != code || !strstr(mige_error(), part)) print_error("%d: %s (expected: %s)\n", err, mige_error(), part);
    assert_int_equal(err, code);
    assert_non_null(strstr(mige_error(), part));
}

#endif
