#include "mige/log.h"
#include "mige/score.h"
#include <math.h>
#include <string.h>

/* Of one column: mean of x, deviation of x, root mean square of s; -E[s (x - mean)], which is 1 (Stein's identity).
 */
typedef struct {
    double deviation, size, share;
} column;

static column look_at(int M, int D, int d, const double *X, const double *S) {
    double mean = 0, xx = 0, ss = 0, xs = 0;
    size_t n = (size_t)M * (size_t)D, step = (size_t)D;
    for (size_t at = (size_t)d; at < n; at += step) mean += X[at] / M;
    for (size_t at = (size_t)d; at < n; at += step) {
        double x = X[at] - mean;
        xx += x * x / M;
        ss += S[at] * S[at] / M;
        xs -= x * S[at] / M;
    }
    return (column){sqrt(xx), sqrt(ss), xs};
}

/* Shares this far from 1, and scores so many times those of a normal variable, are told. */
static const double FAR = 2, LARGE = 10, UNEQUAL = 5;

void mige_score_doubts(int M, int D, const double *X, const double *S) {
    column least = {0}, largest = {0};
    double narrow = INFINITY, wide = 0, off = 0;
    int worst = -1, rough = -1;
    for (int d = 0; d < D; d++) {
        column k = look_at(M, D, d, X, S);
        if (!(k.deviation > 0)) continue;
        narrow = fmin(narrow, k.deviation);
        wide = fmax(wide, k.deviation);
        double away = k.share > 0 ? fabs(log(k.share)) : INFINITY;
        if (away > off || worst < 0) {
            worst = d;
            off = away;
            least = k;
        }
        if (rough < 0 || k.size * k.deviation > largest.size * largest.deviation) {
            rough = d;
            largest = k;
        }
    }
    if (rough >= 0 && largest.size * largest.deviation > LARGE)
        mige_warn(
            "score: those of column %d are %.3g times those of normal samples: clusters or tails far out, samples "
            "on a surface, too many eigenpairs or too small a ridge",
            rough, largest.size * largest.deviation);
    else if (worst >= 0 && off > log(FAR))
        mige_warn("score: those of column %d fulfil %.2g of Stein's identity, 1 if they are right (%s)", worst,
                  least.share,
                  wide > UNEQUAL * narrow ? "columns of unequal scale: --precondition whiten"
                                          : "--calibrate stein, or another width");
}

void mige_score_point_doubts(int Q, int D, const double *S) {
    int zero = 0;
    for (int q = 0; q < Q; q++) {
        int d = 0;
        while (d < D && S[(size_t)q * (size_t)D + (size_t)d] == 0) d++;
        zero += d == D;
    }
    if (zero)
        mige_warn("score: %d of %d points are so far from all samples that their scores are 0, which is wrong",
                  zero, Q);
}
