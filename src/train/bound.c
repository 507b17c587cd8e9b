/* Bounds on mutual information by scores T_ij of pairs (i, j), what is minimised in nats; + true pairs, - others:
 *   jsd      -mean+ (log 2 - softplus(-T)) + mean- (softplus(T) - log 2)
 *   infonce  -mean_i (T_i+ - log sum_j exp T_ij)
 *   dv       -mean+ T + log mean- exp T                                      (Donsker-Varadhan)
 * Rows i are of one rank, columns j of all; gradients of columns are summed back to their owners. Pairs:
 *   dot      U = critic_map(feature map), V = critic_code(code), T = U V'
 *   concat   T_ij = critic_pair(critic_map(features)_i + critic_code(code)_j)
 *   views    T_ij = z1_i . z2_j; for infonce of all 2B codes, normalised, over the temperature, none with itself */
#include "train/term.h"
#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <string.h>

typedef struct {
    int kind, views, concat, all_codes; /* all_codes: rows and columns are the codes of both views */
    mige_net *map, *code, *pair;        /* NULL: none */
    int map_layer;                      /* of the encoder, what map maps */
    int n, N, width;        /* rows of this rank, and its columns; columns of all ranks; numbers of each */
    mige_rows *over;        /* how columns are spread */
    float *A, *C, *all, *T; /* rows [n][width], columns [n][width], [N][width]; [n][N] */
    float *dA, *dC, *dall, *sums;
    float *norms; /* [n] lengths of codes */
} bound;

/* ---- the critics' networks */

enum { TOWER = 5, CONCAT_PAIR = 4, DOT_WIDTH = 2048, CONCAT_WIDTH = 512 };
static const mige_layer_spec tower[TOWER] = {
    {.kind = MIGE_CONV, .name = "conv1", .out = 256, .kernel = 4, .stride = 2, .pad = 1},
    {.kind = MIGE_NORM, .name = "norm1", .relu = 1},
    {.kind = MIGE_LINEAR, .name = "fc", .out = 1024},
    {.kind = MIGE_NORM, .name = "norm2", .relu = 1},
    {.kind = MIGE_LINEAR, .name = "out", .out = DOT_WIDTH, .bias = 1},
};
static const mige_layer_spec dot_code[] = {{.kind = MIGE_LINEAR, .name = "out", .out = DOT_WIDTH, .bias = 1}};
static const mige_layer_spec concat_map[] = {{.kind = MIGE_LINEAR, .name = "fc", .out = CONCAT_WIDTH}};
static const mige_layer_spec concat_code[] = {{.kind = MIGE_LINEAR, .name = "fc", .out = CONCAT_WIDTH, .bias = 1}};
static const mige_layer_spec concat_pair[CONCAT_PAIR] = {
    {.kind = MIGE_RELU, .name = "relu1"},
    {.kind = MIGE_LINEAR, .name = "fc2", .out = CONCAT_WIDTH, .bias = 1},
    {.kind = MIGE_RELU, .name = "relu2"},
    {.kind = MIGE_LINEAR, .name = "out", .out = 1, .bias = 1},
};

/* The layer whose map a critic sees: of Deep InfoMax's encoder, the second convolution's or, concatenated, the
 * third's.
 */
static int map_layer(const train_plan *p) {
    return mige_net_layer(p->encoder, p->o->critic == CRITIC_CONCAT ? "norm3" : "norm2");
}

static int list_parts(const train_plan *p, train_network parts[3]) {
    int n = p->images, pairs = (int)fmin((double)n * p->batch, INT_MAX), concat = p->o->critic == CRITIC_CONCAT;
    if (p->o->circumstance == CIRCUMSTANCE_VIEWS) return 0;
    mige_shape map = mige_net_shape(p->encoder, map_layer(p)), code = {1, 1, p->code};
    if (!concat) {
        parts[0] = (train_network){"critic_map", tower, TOWER, n, map};
        parts[1] = (train_network){"critic_code", dot_code, 1, n, code};
        return 2;
    }
    parts[0] = (train_network){"critic_map", concat_map, 1, n, map};
    parts[1] = (train_network){"critic_code", concat_code, 1, n, code};
    parts[2] = (train_network){"critic_pair", concat_pair, CONCAT_PAIR, pairs, {1, 1, CONCAT_WIDTH}};
    return 3;
}

static int check(const train_plan *p) {
    int c = p->o->circumstance;
    MIGE_CHECK(c == CIRCUMSTANCE_I || c == CIRCUMSTANCE_VIEWS, MIGE_EUSAGE,
               "objective %s: has circumstances I and views (II and I+II are those of mige)", p->objective->name);
    MIGE_CHECK(c == CIRCUMSTANCE_VIEWS || map_layer(p) >= 0, MIGE_EUSAGE,
               "objective %s: its critic needs the maps of encoder dim (or circumstance views)",
               p->objective->name);
    return MIGE_OK;
}

static int create(trainer *t, term *k) {
    const train_plan *p = t->plan;
    bound *b = k->self;
    train_network parts[3];
    b->kind = k->variant;
    b->views = p->o->circumstance == CIRCUMSTANCE_VIEWS;
    b->concat = !b->views && p->o->critic == CRITIC_CONCAT;
    b->all_codes = b->views && b->kind == BOUND_INFONCE;
    b->n = (b->all_codes ? 2 : 1) * (int)t->images.count;
    b->N = (b->all_codes ? 2 : 1) * p->batch;
    b->width = b->views ? p->code : b->concat ? CONCAT_WIDTH : DOT_WIDTH;
    b->over = b->all_codes ? &t->rows : &t->images;
    mige_net **nets[] = {&b->map, &b->code, &b->pair};
    int n = list_parts(p, parts);
    for (int i = 0; i < n; i++) MIGE_TRY(trainer_add_member(t, parts[i], nets[i]));
    b->map_layer = n ? map_layer(p) : -1;
    if (n) MIGE_TRY(trainer_want(t, b->map_layer));
    size_t rows = (size_t)b->n * (size_t)b->width, columns = (size_t)b->N * (size_t)b->width;
    size_t pairs = (size_t)b->n * (size_t)b->N;
    MIGE_TRY(MIGE_TAKE(&t->pool, MIGE_BLOCK(b->A, rows), MIGE_BLOCK(b->C, rows), MIGE_BLOCK(b->dA, rows),
                       MIGE_BLOCK(b->dC, rows), MIGE_BLOCK(b->all, columns), MIGE_BLOCK(b->dall, columns),
                       MIGE_BLOCK(b->T, pairs), MIGE_BLOCK(b->norms, b->n)));
    if (b->concat) MIGE_TRY(MIGE_TAKE(&t->pool, MIGE_BLOCK(b->sums, pairs * CONCAT_WIDTH)));
    return trainer_add_series(t, k, "", "bound", "nat", "the bound on the mutual information, in this batch");
}

/* ---- from scores to the bound: T becomes its gradient */

/* Column of row i's partner. */
static int partner(const bound *b, int64_t row) {
    return (int)(b->all_codes ? row ^ 1 : row);
}

static double jsd_row(const bound *b, int pos, float *T) {
    double positive = b->N, negative = positive * (positive - 1), sum = 0;
    for (int j = 0; j < b->N; j++) {
        double v = (double)T[j];
        if (j == pos) {
            sum -= (log(2) - mige_softplus(-v)) / positive;
            T[j] = (float)(-mige_sigmoid(-v) / positive);
        } else {
            sum += (mige_softplus(v) - log(2)) / negative;
            T[j] = (float)(mige_sigmoid(v) / negative);
        }
    }
    return sum;
}

static double infonce_row(const bound *b, int pos, int self, float *T) {
    double positive = (double)T[pos], one = 1. / b->N;
    float most = mige_largest(b->N, T, self);
    double sum = mige_exponentials(b->N, T, self, most);
    for (int j = 0; j < b->N; j++) T[j] *= (float)(one / sum);
    T[pos] -= (float)one;
    return -(positive - (double)most - log(sum)) * one;
}

/* The mean over all negatives takes two sums over the ranks: the largest score, then that of exponentials. */
static int dv(trainer *t, const bound *b, double *loss) {
    double most = -INFINITY, sum = 0, positive = 0, count = (double)b->N * (b->N - 1);
    int64_t first = t->images.first;
    for (int i = 0; i < b->n; i++)
        most = fmax(most, (double)mige_largest(b->N, b->T + (size_t)i * (size_t)b->N, first + i));
    MIGE_TRY(mige_max(t->c, &most, 1));
    for (int i = 0; i < b->n; i++) {
        float *T = b->T + (size_t)i * (size_t)b->N;
        positive += (double)T[first + i] / b->N;
        sum += mige_exponentials(b->N, T, first + i, (float)most);
    }
    double both[2] = {positive, sum};
    MIGE_TRY(mige_sum(t->c, both, 2));
    for (int i = 0; i < b->n; i++) {
        float *T = b->T + (size_t)i * (size_t)b->N;
        for (int j = 0; j < b->N; j++) T[j] = (float)((double)T[j] / both[1]);
        T[first + i] = -1.f / (float)b->N;
    }
    *loss = -both[0] + (double)(float)most + log(both[1] / count);
    return MIGE_OK;
}

static int by_rows(trainer *t, const bound *b, double *loss) {
    double sum = 0;
    if (b->kind == BOUND_DV) return dv(t, b, loss);
    for (int i = 0; i < b->n; i++) {
        float *T = b->T + (size_t)i * (size_t)b->N;
        int64_t row = b->over->first + i;
        sum += b->kind == BOUND_JSD ? jsd_row(b, partner(b, row), T)
                                    : infonce_row(b, partner(b, row), b->all_codes ? (int)row : -1, T);
    }
    *loss = sum;
    return mige_sum(t->c, loss, 1);
}

/* ---- pairs */

/* T and, after `by_rows`, gradients of rows and of this rank's columns. */
static int score_dot(trainer *t, bound *b, double *loss) {
    MIGE_TRY(mige_rows_gather_float(b->over, b->width, b->C, b->all));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, b->n, b->N, b->width, 1, b->A, b->width, b->all, b->width,
                0, b->T, b->N);
    MIGE_TRY(by_rows(t, b, loss));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, b->n, b->width, b->N, 1, b->T, b->N, b->all, b->width, 0,
                b->dA, b->width);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, b->N, b->width, b->n, 1, b->T, b->N, b->A, b->width, 0,
                b->dall, b->width);
    return mige_rows_sum(b->over, b->width, b->dall, b->dC);
}

static int score_concat(trainer *t, bound *b, double *loss) {
    const float *y, *dx;
    size_t W = (size_t)b->width, N = (size_t)b->N;
    MIGE_TRY(mige_rows_gather_float(b->over, b->width, b->C, b->all));
    for (size_t i = 0; i < (size_t)b->n; i++)
        for (size_t j = 0; j < N; j++)
            for (size_t w = 0; w < W; w++) b->sums[(i * N + j) * W + w] = b->A[i * W + w] + b->all[j * W + w];
    MIGE_TRY(trainer_forward(t, b->pair, b->sums, b->n * b->N, &y));
    memcpy(b->T, y, (size_t)b->n * N * sizeof *y);
    MIGE_TRY(by_rows(t, b, loss));
    MIGE_TRY(trainer_backward(t, b->pair, b->T, b->n * b->N, &dx));
    memset(b->dA, 0, (size_t)b->n * W * sizeof *b->dA);
    memset(b->dall, 0, N * W * sizeof *b->dall);
    for (size_t i = 0; i < (size_t)b->n; i++)
        for (size_t j = 0; j < N; j++)
            for (size_t w = 0; w < W; w++) {
                b->dA[i * W + w] += dx[(i * N + j) * W + w];
                b->dall[j * W + w] += dx[(i * N + j) * W + w];
            }
    return mige_rows_sum(b->over, b->width, b->dall, b->dC);
}

/* up += weight * d, rows of d `stride` rows of up apart. */
static void add(size_t rows, size_t width, size_t stride, double weight, const float *d, float *up) {
    for (size_t i = 0; i < rows; i++)
        for (size_t w = 0; w < width; w++) up[i * stride * width + w] += (float)weight * d[i * width + w];
}

static int apply_critic(trainer *t, term *k, bound *b, double *loss) {
    const float *u, *v, *dx;
    int n = b->n;
    MIGE_TRY(trainer_forward(t, b->map, mige_net_output(t->encoder, b->map_layer), n, &u));
    MIGE_TRY(trainer_forward(t, b->code, trainer_code(t), n, &v));
    size_t size = (size_t)n * (size_t)b->width;
    memcpy(b->A, u, size * sizeof *u);
    memcpy(b->C, v, size * sizeof *v);
    MIGE_TRY(b->concat ? score_concat(t, b, loss) : score_dot(t, b, loss));
    MIGE_TRY(trainer_backward(t, b->map, b->dA, n, &dx));
    add((size_t)n, (size_t)mige_net_size(t->encoder, b->map_layer), 1, k->weight, dx, t->upstream[b->map_layer]);
    MIGE_TRY(trainer_backward(t, b->code, b->dC, n, &dx));
    add((size_t)n, (size_t)t->plan->code, 1, k->weight, dx, t->upstream[t->code_layer]);
    return MIGE_OK;
}

/* Codes of length 1, over the root of the temperature, so that their products are what is wanted. */
static void normalise(bound *b, double temperature, const float *z) {
    size_t W = (size_t)b->width;
    float scale = (float)(1 / sqrt(temperature));
    for (size_t i = 0; i < (size_t)b->n; i++) {
        double square = 0;
        for (size_t w = 0; w < W; w++) square += (double)z[i * W + w] * (double)z[i * W + w];
        b->norms[i] = (float)sqrt(square) / scale;
        float factor = b->norms[i] > 0 ? 1 / b->norms[i] : 0;
        for (size_t w = 0; w < W; w++) b->A[i * W + w] = b->C[i * W + w] = z[i * W + w] * factor;
    }
}

/* Upstream of u = z scale / |z|: (d - u (u . d) / scale^2) / norm, norm = |z| / scale. */
static void normalise_back(const bound *b, double temperature, double weight, float *up) {
    size_t W = (size_t)b->width;
    for (size_t i = 0; i < (size_t)b->n; i++) {
        const float *u = b->A + i * W, *a = b->dA + i * W, *c = b->dC + i * W;
        double along = 0, factor = b->norms[i] > 0 ? weight / (double)b->norms[i] : 0;
        for (size_t w = 0; w < W; w++) along += (double)u[w] * ((double)a[w] + (double)c[w]);
        for (size_t w = 0; w < W; w++)
            up[i * W + w] += (float)(factor * ((double)a[w] + (double)c[w] - along * temperature * (double)u[w]));
    }
}

static int apply_views(trainer *t, term *k, bound *b, double *loss) {
    const float *z = trainer_code(t);
    float *up = t->upstream[t->code_layer];
    size_t W = (size_t)b->width, n = (size_t)b->n;
    if (b->all_codes) {
        normalise(b, t->o->temperature, z);
        MIGE_TRY(score_dot(t, b, loss));
        normalise_back(b, t->o->temperature, k->weight, up);
        return MIGE_OK;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(b->A + i * W, z + 2 * i * W, W * sizeof *z);
        memcpy(b->C + i * W, z + (2 * i + 1) * W, W * sizeof *z);
    }
    MIGE_TRY(score_dot(t, b, loss));
    add(n, W, 2, k->weight, b->dA, up);
    add(n, W, 2, k->weight, b->dC, up + W);
    return MIGE_OK;
}

static int apply(trainer *t, term *k) {
    bound *b = k->self;
    double loss;
    MIGE_TRY(b->views ? apply_views(t, k, b, &loss) : apply_critic(t, k, b, &loss));
    t->loss += k->weight * loss;
    t->values[k->series] = -loss + (b->kind == BOUND_INFONCE ? log(b->N - b->all_codes) : 0);
    return MIGE_OK;
}

const term_ops term_bound = {sizeof(bound), check, create, NULL, NULL, apply, NULL};
