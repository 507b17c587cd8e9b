/* thin.c in single precision. */
#define MIGE_SINGLE
#include "linalg/thin.c" // NOLINT(bugprone-suspicious-include)
