/* What speaks against a value of mutual information, in the samples. */
#include "base/hash.h"
#include "mige/error.h"
#include "mige/log.h"
#include "mige/mi.h"
#include "mige/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Standard errors beyond which something is no chance. */
static const double SURE = 5;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of M numbers: sorted, the most that are alike, how many are different, and in standard deviations how far from
 * their mean the farthest is, and how wide the widest gap between many and many; of the range of the middle ones
 * the share that is gaps. */
typedef struct {
    int column;
    int alike, next, different; /* next: of the number after the most frequent one */
    double mode;                /* the number that most are */
    double far, gap, empty;
} spread;

/* Of sorted x, from its first fifth to its last: gaps are what smooth densities have few of. Rounded values have
 * them everywhere, but no clusters between them. */
static double empty_share(int M, const double *x) {
    static const double WIDE = 0.04;
    enum { EACH = 4 };
    int from = M / 5, to = M - 1 - M / 5, values = 1, gaps = 0;
    double range = x[to] - x[from], sum = 0;
    for (int m = from + 1; m <= to; m++) {
        double step = x[m] - x[m - 1];
        values += step > 0;
        gaps += step > WIDE * range;
        sum += step > WIDE * range ? step : 0;
    }
    return range > 0 && values > EACH * (gaps + 1) ? sum / range : 0;
}

static spread look_at(int M, int column, double *x) {
    spread k = {.column = column};
    double mean = 0, square = 0;
    qsort(x, (size_t)M, sizeof *x, ascending);
    for (int from = 0, m = 1; m <= M; m++) {
        if (m < M && x[m] == x[from]) continue;
        int n = m - from;
        k.next = n > k.alike ? k.alike : n > k.next ? n : k.next;
        if (n > k.alike) k.mode = x[from];
        k.alike = n > k.alike ? n : k.alike;
        k.different++;
        from = m;
    }
    for (int m = 0; m < M; m++) mean += x[m] / M;
    for (int m = 0; m < M; m++) square += (x[m] - mean) * (x[m] - mean) / M;
    if (square > 0) k.far = fmax(mean - x[0], x[M - 1] - mean) / sqrt(square);
    for (int m = M / 20 + 1; square > 0 && m < M - M / 20; m++)
        k.gap = fmax(k.gap, (x[m] - x[m - 1]) / sqrt(square));
    k.empty = empty_share(M, x);
    return k;
}

/* Marks the rows in which column k is a number that it is far more often than any other. */
static void mark_mode(int M, int D, int k, const double *v, const spread *s, int *marked) {
    enum { FEW = 4 }; /* so often, or it is none */
    if (s->alike < FEW || s->alike >= M / 2 || s->alike <= 2 * s->next + SURE * sqrt(s->next)) return;
    for (int m = 0; m < M; m++)
        if (v[(size_t)m * (size_t)D + (size_t)k] == s->mode) marked[m] = 1;
}

/* Normal scores of equal values are no normal variable: what comes of them may be nats too little or too much. And
 * where margins are taken as they are, few values that are far out are all that covariances see. *different: of the
 * column that has most. */
static void part_doubts(int M, int D, int first, int dim, const char *name, const double *v, int plain, double *x,
                        int *different, int *marked) {
    static const double MANY = 0.05 /* of all, and more than a pair */, FAR = 10;
    static const double GAP = 0.75, EMPTY = 0.5; /* and enough samples that it is none by chance */
    enum { EACH = 8, FEW = 50 /* values so often on average, and no more of them: not rounding */, GAPS = 200 };
    spread most = {0}, few = {.different = M}, out = {0}, apart = {0};
    for (int k = 0; k < dim; k++) {
        for (int m = 0; m < M; m++) x[m] = v[(size_t)m * (size_t)D + (size_t)(first + k)];
        spread s = look_at(M, k, x);
        mark_mode(M, D, first + k, v, &s, marked);
        if (s.alike > most.alike) most = s;
        if (s.different < few.different) few = s;
        if (s.far > out.far) out = s;
        if (s.empty > EMPTY ? s.empty > apart.empty : apart.empty <= EMPTY && s.gap > apart.gap) apart = s;
        *different = s.different > *different ? s.different : *different;
    }
    if (plain && out.far > FAR)
        mige_warn(
            "mi: column %d of %s has a value %.0f standard deviations from the mean: a few such may decide the "
            "result (--precondition normal-scores)",
            out.column, name, out.far);
    if (most.alike > 2 && most.alike > MANY * M && most.alike < M)
        mige_warn(
            "mi: %d of the %d values in column %d of %s are one number: the value may be wrong by much, it is "
            "for continuous variables (classes may be y, as integers)",
            most.alike, M, most.column, name);
    else if (few.different > 1 && few.different < FEW && few.different < M / EACH)
        mige_warn(
            "mi: column %d of %s has %d different values in %d samples: the value may be wrong by much, it is "
            "for continuous variables (classes may be y, as integers)",
            few.column, name, few.different, M);
    else if (M >= GAPS && (apart.gap > GAP || apart.empty > EMPTY))
        mige_warn("mi: column %d of %s has a gap of %.2g standard deviations: clusters so far apart are smoothed, "
                  "and the value may be wrong by much (classes may be y, as integers)",
                  apart.column, name, apart.gap);
}

/* What rows have to do with each other, at distances of up to so many rows. */
enum { LAGS = 12 };
static const double FOLLOW = 0.3;

/* Of x, of which element m is x[m D], centred by its class if there are any: correlations of a row with that so
 * many rows before, of the same class, where they are no chance of few large values; r is raised to them. 0: the
 * rows are sorted by x. mean [2 classes] is scratch. */
static int following(int M, int D, const double *x, int classes, const int *label, double *mean, double r[LAGS]) {
    double square = 0, product[LAGS] = {0}, chance[LAGS] = {0}, *n = mean + classes;
    int rises = 0, falls = 0;
    for (int k = 0; k < classes; k++) mean[k] = n[k] = 0;
    for (int m = 0; m < M; m++) n[label[m]]++;
    for (int m = 0; m < M; m++) mean[label[m]] += x[(size_t)m * (size_t)D] / n[label[m]];
    for (int m = 0; m < M; m++) {
        double here = x[(size_t)m * (size_t)D] - mean[label[m]];
        square += here * here;
        for (int l = 0; l < LAGS && l < m; l++) {
            int other = m - 1 - l;
            if (label[other] != label[m]) continue;
            double both = here * (x[(size_t)other * (size_t)D] - mean[label[m]]);
            product[l] += both;
            chance[l] += both * both;
            rises += l == 0 && x[(size_t)m * (size_t)D] > x[(size_t)other * (size_t)D];
            falls += l == 0 && x[(size_t)m * (size_t)D] < x[(size_t)other * (size_t)D];
        }
    }
    for (int l = 0; l < LAGS; l++)
        if (fabs(product[l]) > SURE * sqrt(chance[l])) r[l] = fmax(r[l], fabs(product[l]) / square);
    return !rises == !falls;
}

/* The most of a part's columns; none where the rows are sorted by one of them, of which others may be functions. */
static void part_follows(int M, int D, int dim, const double *x, int classes, const int *label, double *mean,
                         double most[LAGS]) {
    int unsorted = 1;
    for (int l = 0; l < LAGS; l++) most[l] = 0;
    for (int k = 0; k < dim; k++) unsorted &= following(M, D, x + k, classes, label, mean, most);
    for (int l = 0; l < LAGS; l++) most[l] *= unsorted;
}

static void tell_order(int M, const double least[LAGS]) {
    int at = 0;
    for (int l = 1; l < LAGS; l++)
        if (least[l] > least[at]) at = l;
    if (least[at] > FOLLOW && least[at] * sqrt(M) > SURE)
        mige_warn("mi: rows follow one another (correlation with the row %d before %.2f at least): error and "
                  "p-value take them for independent (thin a time series out)",
                  at + 1, least[at]);
}

/* Correlations of rows in one of x and y alone change nothing; in both they look like dependence. So does a sorted
 * file, whose rows may be independent all the same. */
static int order_doubts(int M, int D, int nparts, const int *dims, const double *v) {
    double least[LAGS], most[LAGS], *mean;
    int *one;
    mige_pool pool = {0};
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(one, M), MIGE_BLOCK(mean, 2)));
    for (int l = 0; l < LAGS; l++) least[l] = 1;
    for (int i = 0, first = 0; i < nparts; first += dims[i++]) {
        if (i > 0 && i < nparts - 1) continue; /* what is given */
        part_follows(M, D, dims[i], v + first, 1, one, mean, most);
        for (int l = 0; l < LAGS; l++) least[l] = fmin(least[l], most[l]);
    }
    tell_order(M, least);
    mige_pool_free(&pool);
    return MIGE_OK;
}

/* Labels that come in runs, by how much more often than by chance a row has that of the row l before. */
static double label_runs(int M, int classes, const int *label, int l, const double *share) {
    double alike = 0, chance = 0;
    for (int m = l; m < M; m++) alike += label[m] == label[m - l];
    for (int k = 0; k < classes; k++) chance += share[k] * share[k];
    return chance < 1 ? (alike / (M - l) - chance) / (1 - chance) : 0;
}

int mige_mi_label_doubts(int M, int D, const double *v, int classes, const int *label) {
    double r[LAGS], *mean, *share;
    mige_pool pool = {0};
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(mean, 2 * classes), MIGE_BLOCK(share, classes)));
    part_follows(M, D, D, v, classes, label, mean, r);
    for (int m = 0; m < M; m++) share[label[m]] += 1. / M;
    for (int l = 0; l < LAGS; l++) r[l] = fmin(r[l], fabs(label_runs(M, classes, label, l + 1, share)));
    tell_order(M, r);
    mige_pool_free(&pool);
    return MIGE_OK;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Rows that are those of earlier ones again. */
static int repeats(int M, int D, const double *v, uint64_t *hash) {
    int found = 0;
    for (size_t m = 0; m < (size_t)M; m++) hash[m] = mige_hash((size_t)D * sizeof *v, v + m * (size_t)D);
    qsort(hash, (size_t)M, sizeof *hash, by_value);
    for (int m = 1; m < M; m++) found += hash[m] == hash[m - 1];
    return found;
}

/* Rows in which both x and y are numbers that each has often; 0 where that may be chance. */
static int filled(int M, const int *x, const int *y) {
    static const double OFTEN = 3; /* than by chance */
    int nx = 0, ny = 0, both = 0;
    for (int m = 0; m < M; m++) {
        both += x[m] && y[m];
        nx += x[m];
        ny += y[m];
    }
    double chance = (double)nx * ny / M;
    return both > 3 && both > OFTEN * chance && both > chance + SURE * sqrt(chance) ? both : 0;
}

/* Whether so many rows are those of others by being copies: rounded values coincide by chance, and then columns
 * have fewer values than there are rows. Of one column nobody can tell. */
static int are_copies(int M, int D, int again, int different) {
    static const double REPEATED = 0.01, OWN = 0.9;
    return D > 1 && again > REPEATED * M && (different >= M / 2 || different >= OWN * (M - again));
}

int mige_mi_sample_doubts(int M, int nparts, const int *dims, const char *const *names, const double *v,
                          int plain) {
    int D = 0, different = 0, *marked;
    double *x;
    uint64_t *hash;
    mige_pool pool = {0};
    for (int i = 0; i < nparts; i++) D += dims[i];
    MIGE_TRY(
        MIGE_TAKE(&pool, MIGE_BLOCK(x, M), MIGE_BLOCK(hash, M), MIGE_BLOCK(marked, (size_t)nparts * (size_t)M)));
    for (int i = 0, first = 0; i < nparts; first += dims[i++])
        part_doubts(M, D, first, dims[i], names[i], v, plain, x, &different, marked + (size_t)i * (size_t)M);
    int err = order_doubts(M, D, nparts, dims, v), again = repeats(M, D, v, hash),
        fills = filled(M, marked, marked + (size_t)(nparts - 1) * (size_t)M);
    if (are_copies(M, D, again - fills, different))
        mige_warn("mi: %d of the %d rows are those of others again: error and p-value take them for independent",
                  again, M);
    else if (fills)
        mige_warn("mi: in %d rows x and y both have numbers that each has often: if these stand for missing values "
                  "they look like dependence (leave such rows out)",
                  fills);
    mige_pool_free(&pool);
    return err;
}

/* Columns by their medians and the medians of what is left. */
static void standardise(int M, int D, double *v, double *x) {
    for (int d = 0; d < D; d++) {
        for (int m = 0; m < M; m++) x[m] = v[(size_t)m * (size_t)D + (size_t)d];
        qsort(x, (size_t)M, sizeof *x, ascending);
        double middle = x[M / 2];
        for (int m = 0; m < M; m++) x[m] = fabs(x[m] - middle);
        qsort(x, (size_t)M, sizeof *x, ascending);
        double scale = x[M / 2] > 0 ? x[M / 2] : 1;
        for (int m = 0; m < M; m++) {
            double *to = &v[(size_t)m * (size_t)D + (size_t)d];
            *to = (*to - middle) / scale;
        }
    }
}

/* Of how many dimensions the samples look nearby: by the distances to the two nearest (Facco et al. 2017). */
static double dimension(int M, int D, int queries, const double *v) {
    double sum = 0, n = 0;
    for (int q = 0; q < queries; q++) {
        const double *a = v + (size_t)((int64_t)q * M / queries) * (size_t)D, *b = v;
        double first = INFINITY, second = INFINITY;
        for (int m = 0; m < M; m++, b += D) {
            double d2 = 0;
            for (int d = 0; d < D; d++) d2 += (a[d] - b[d]) * (a[d] - b[d]);
            if (a == b || d2 >= second) continue;
            second = d2 < first ? first : d2;
            first = d2 < first ? d2 : first;
        }
        if (!(first > 0)) continue;
        sum += 0.5 * log(second / first);
        n++;
    }
    return sum > 0 ? n / sum : INFINITY;
}

int mige_mi_surface(int M, int D, int first, int dim, int moved, const double *v, double *share) {
    enum { LEAST = 200, MOST = 1000 };
    static const double WORK = 2e9; /* differences of coordinates */
    int queries = (int)fmin(fmin(M, MOST), WORK / M / dim);
    double *x, *w;
    int64_t *perm;
    mige_pool pool = {0};
    size_t d = (size_t)dim, n = (size_t)M * d;
    *share = 1;
    if (queries < LEAST || dim < 2) return MIGE_OK;
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(x, M), MIGE_BLOCK(w, 2 * n), MIGE_BLOCK(perm, M)));
    for (size_t m = 0; m < (size_t)M; m++) memcpy(w + m * d, v + m * (size_t)D + first, d * sizeof *w);
    standardise(M, dim, w, x);
    mige_rng_permutation(1, MIGE_RNG_SHUFFLE, 0, M, perm);
    for (size_t m = 0; m < (size_t)M; m++)
        for (size_t k = 0; k < d; k++) {
            size_t by = moved ? m : (m + k * ((size_t)M / d)) % (size_t)M;
            w[n + m * d + k] = w[((int)k < moved ? m : (size_t)perm[by]) * d + k];
        }
    *share = dimension(M, dim, queries, w) / dimension(M, dim, queries, w + n);
    if (*share > 1 - 3 * sqrt(2. / queries)) *share = 1; /* within its error */
    mige_pool_free(&pool);
    return MIGE_OK;
}
