/* cholesky.c in single precision. */
#define MIGE_SINGLE
#include "linalg/cholesky.c" // NOLINT(bugprone-suspicious-include)
