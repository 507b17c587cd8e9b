/* What speaks against a value of mutual information, in the samples. */
#include "mige/error.h"
#include "mige/log.h"
#include "mige/mi.h"
#include "mige/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of M numbers: sorted, the most that are alike, how many are different, and in standard deviations how far from
 * their mean the farthest is, and how wide the widest gap between many and many. */
typedef struct {
    int alike, different;
    double far, gap;
} spread;

static spread look_at(int M, double *x) {
    spread k = {0};
    double mean = 0, square = 0;
    qsort(x, (size_t)M, sizeof *x, ascending);
    for (int from = 0, m = 1; m <= M; m++) {
        if (m < M && x[m] == x[from]) continue;
        k.alike = m - from > k.alike ? m - from : k.alike;
        k.different++;
        from = m;
    }
    for (int m = 0; m < M; m++) mean += x[m] / M;
    for (int m = 0; m < M; m++) square += (x[m] - mean) * (x[m] - mean) / M;
    if (square > 0) k.far = fmax(mean - x[0], x[M - 1] - mean) / sqrt(square);
    for (int m = M / 20 + 1; square > 0 && m < M - M / 20; m++)
        k.gap = fmax(k.gap, (x[m] - x[m - 1]) / sqrt(square));
    return k;
}

/* Normal scores of equal values are no normal variable: what comes of them may be nats too little or too much. And
 * where margins are taken as they are, few values that are far out are all that covariances see. *different: of the
 * column that has most. */
static void part_doubts(int M, int D, int first, int dim, const char *name, const double *v, int plain, double *x,
                        int *different) {
    static const double MANY = 0.05 /* of all, and more than a pair */, FAR = 10;
    static const double GAP = 0.75; /* and enough samples that it is none by chance */
    enum { EACH = 8, FEW = 50 /* values so often on average, and no more of them: not rounding */, GAPS = 200 };
    int most = 0, where = 0, few = M, lattice = 0, out = 0, apart = 0;
    double far = 0, gap = 0;
    for (int k = 0; k < dim; k++) {
        for (int m = 0; m < M; m++) x[m] = v[(size_t)m * (size_t)D + (size_t)(first + k)];
        spread s = look_at(M, x);
        if (s.alike > most) where = k;
        most = s.alike > most ? s.alike : most;
        if (s.different < few) lattice = k;
        few = s.different < few ? s.different : few;
        if (s.far > far) out = k;
        far = fmax(far, s.far);
        if (s.gap > gap) apart = k;
        gap = fmax(gap, s.gap);
        *different = s.different > *different ? s.different : *different;
    }
    if (plain && far > FAR)
        mige_warn(
            "mi: column %d of %s has a value %.0f standard deviations from the mean: a few such may decide the "
            "result (--precondition normal-scores)",
            out, name, far);
    if (most > 2 && most > MANY * M && most < M)
        mige_warn(
            "mi: %d of the %d values in column %d of %s are one number: the value may be wrong by much, it is "
            "for continuous variables (classes may be y, as integers)",
            most, M, where, name);
    else if (few > 1 && few < FEW && few < M / EACH)
        mige_warn(
            "mi: column %d of %s has %d different values in %d samples: the value may be wrong by much, it is "
            "for continuous variables (classes may be y, as integers)",
            lattice, name, few, M);
    else if (M >= GAPS && gap > GAP)
        mige_warn("mi: column %d of %s has a gap of %.1f standard deviations: clusters so far apart are smoothed, "
                  "and the value may be wrong by much (classes may be y, as integers)",
                  apart, name, gap);
}

/* Of column k from one row to the next; 0 where the rows are sorted by it. */
static double following(int M, int D, int k, const double *v) {
    double mean = 0, square = 0, product = 0;
    int rises = 0, falls = 0;
    for (size_t m = 0; m < (size_t)M; m++) mean += v[m * (size_t)D + (size_t)k] / M;
    for (size_t m = 0; m < (size_t)M; m++) {
        double x = v[m * (size_t)D + (size_t)k] - mean, last = m ? v[(m - 1) * (size_t)D + (size_t)k] - mean : x;
        square += x * x;
        if (m) product += x * last;
        rises += x > last;
        falls += x < last;
    }
    return rises && falls && square > 0 ? product / square : 0;
}

/* Correlations of a row with the next in one of x and y alone change nothing; in both they look like dependence. So
 * does a sorted file, whose rows may be independent all the same. */
static void order_doubts(int M, int D, int nparts, const int *dims, const double *v) {
    static const double FOLLOW = 0.3, FAR = 5; /* and in standard errors */
    double least = 1;
    for (int i = 0, first = 0; i < nparts; first += dims[i++]) {
        double most = 0;
        int known = i > 0 && i < nparts - 1; /* what is given */
        for (int k = 0; k < dims[i]; k++) most = fmax(most, following(M, D, first + k, v));
        if (!known) least = fmin(least, most);
    }
    if (least > FOLLOW && least * sqrt(M) > FAR)
        mige_warn(
            "mi: rows follow one another (correlation with the next %.2f at least): error and p-value take them "
            "for independent (thin a time series out)",
            least);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Rows that are those of earlier ones again; by FNV-1a. */
static int repeats(int M, int D, const double *v, uint64_t *hash) {
    int found = 0;
    for (size_t m = 0; m < (size_t)M; m++) {
        const unsigned char *row = (const void *)(v + m * (size_t)D);
        hash[m] = 14695981039346656037u;
        for (size_t i = 0; i < (size_t)D * sizeof *v; i++) hash[m] = (hash[m] ^ row[i]) * 1099511628211u;
    }
    qsort(hash, (size_t)M, sizeof *hash, by_value);
    for (int m = 1; m < M; m++) found += hash[m] == hash[m - 1];
    return found;
}

int mige_mi_sample_doubts(int M, int nparts, const int *dims, const char *const *names, const double *v,
                          int plain) {
    static const double REPEATED = 0.01;
    int D = 0, different = 0;
    double *x;
    uint64_t *hash;
    mige_pool pool = {0};
    for (int i = 0; i < nparts; i++) D += dims[i];
    MIGE_TRY(MIGE_TAKE(&pool, MIGE_BLOCK(x, M), MIGE_BLOCK(hash, M)));
    for (int i = 0, first = 0; i < nparts; first += dims[i++])
        part_doubts(M, D, first, dims[i], names[i], v, plain, x, &different);
    order_doubts(M, D, nparts, dims, v);
    /* Rounded values coincide by chance. */
    int again = different >= M / 2 ? repeats(M, D, v, hash) : 0;
    if (again > REPEATED * M)
        mige_warn("mi: %d of the %d rows are those of others again: error and p-value take them for independent",
                  again, M);
    mige_pool_free(&pool);
    return MIGE_OK;
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
