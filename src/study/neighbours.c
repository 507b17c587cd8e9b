#include "mige/blas.h"
#include "mige/error.h"
#include "study/probe.h"
#include <math.h>
#include <string.h>

/* Test images at a time, and training images that they are compared with at a time. */
enum { ROWS = 64, COLUMNS = 1024 };

typedef struct {
    const probe_features *f;
    int64_t K;
    float *product;  /* [ROWS][COLUMNS] */
    float *scale;    /* [training images] one over the features' norm; the test image's is the same for all */
    float *likeness; /* [ROWS][K] of a test image the K most alike so far, the most alike first */
    int32_t *label, *votes;
    mige_pool pool;
} search;

static int create(const probe_features *f, int64_t K, search *s) {
    *s = (search){.f = f, .K = K};
    MIGE_TRY(MIGE_TAKE(&s->pool, MIGE_BLOCK(s->product, ROWS * COLUMNS), MIGE_BLOCK(s->scale, f->data->train.n),
                       MIGE_BLOCK(s->likeness, ROWS * K), MIGE_BLOCK(s->label, ROWS * K),
                       MIGE_BLOCK(s->votes, f->data->classes)));
    for (int64_t i = 0; i < f->data->train.n; i++) {
        float norm = cblas_snrm2(f->width, f->train + i * f->width, 1);
        s->scale[i] = norm > 0 ? 1 / norm : 0;
    }
    return MIGE_OK;
}

static void insert(search *s, int row, float likeness, int32_t label) {
    int64_t i = (row + 1) * s->K - 1;
    for (; i > row * s->K && s->likeness[i - 1] < likeness; i--) {
        s->likeness[i] = s->likeness[i - 1];
        s->label[i] = s->label[i - 1];
    }
    s->likeness[i] = likeness;
    s->label[i] = label;
}

/* n test images from number `at` on. */
static void find(search *s, int64_t at, int n) {
    const probe_features *f = s->f;
    for (int64_t i = 0; i < ROWS * s->K; i++) s->likeness[i] = -INFINITY;
    for (int64_t j = 0; j < f->data->train.n; j += COLUMNS) {
        int m = (int)(f->data->train.n - j < COLUMNS ? f->data->train.n - j : COLUMNS);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, m, f->width, 1, f->test + at * f->width, f->width,
                    f->train + j * f->width, f->width, 0, s->product, COLUMNS);
        for (int r = 0; r < n; r++)
            for (int i = 0; i < m; i++) {
                float likeness = s->product[r * COLUMNS + i] * s->scale[j + i];
                if (likeness > s->likeness[(r + 1) * s->K - 1])
                    insert(s, r, likeness, f->data->train.labels[j + i]);
            }
    }
}

static int32_t vote(search *s, int row) {
    int32_t best = 0;
    memset(s->votes, 0, (size_t)s->f->data->classes * sizeof *s->votes);
    for (int64_t i = 0; i < s->K; i++) s->votes[s->label[row * s->K + i]]++;
    for (int32_t c = 1; c < s->f->data->classes; c++)
        if (s->votes[c] > s->votes[best]) best = c;
    return best;
}

int probe_neighbours(const mige_comm *c, const probe_features *f, int64_t K, double *accuracy) {
    search s;
    int64_t first, count;
    double right = 0;
    MIGE_CHECK(K <= f->data->train.n, MIGE_EUSAGE, "neighbours: %lld are more than the %lld training images",
               (long long)K, (long long)f->data->train.n);
    mige_share(f->data->test.n, c->size, c->rank, &first, &count);
    int err = create(f, K, &s);
    for (int64_t at = first; !err && at < first + count; at += ROWS) {
        int n = (int)(first + count - at < ROWS ? first + count - at : ROWS);
        find(&s, at, n);
        for (int r = 0; r < n; r++) right += vote(&s, r) == f->data->test.labels[at + r];
    }
    mige_pool_free(&s.pool);
    MIGE_TRY(mige_agree(c, err));
    MIGE_TRY(mige_sum(c, &right, 1));
    *accuracy = 100 * right / (double)f->data->test.n;
    return MIGE_OK;
}
