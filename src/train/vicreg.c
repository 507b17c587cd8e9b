/* Variance-invariance-covariance regularisation (Bardes, Ponce, LeCun 2022) of codes z1, z2 of two views. With C
 * the covariance of a view's codes, over B - 1, what is minimised is
 *   LAMBDA mean_i |z1_i - z2_i|^2 / K                    invariance
 *   + MU mean_k max(0, 1 - S_k) / 2, of each view        variance, S_k = sqrt(C_kk + EPSILON)
 *   + NU sum_(a != b) C_ab^2 / K, of each view           covariance
 * Upstream of z1 and z2 is +- 2 LAMBDA (z1 - z2) / (B K), and deviations from the view's mean times G:
 *   G_ab = 4 NU C_ab / (K (B - 1)),   G_kk = -MU / (2 K (B - 1) S_k) where S_k < 1, else 0 */
#include "mige/error.h"
#include "train/terms.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

static const double LAMBDA = 25, MU = 25, NU = 1, EPSILON = 1e-4;

enum { VIEWS = 2, INVARIANCE = 0, VARIANCE, COVARIANCE, VALUES };

typedef struct {
    double *mean;    /* [2][K] */
    double *d;       /* [images][2][K] deviations from it */
    double *C;       /* [2][K][K] covariances, then G */
    double *product; /* [images][K] d G of a view */
} vicreg;

static int check(const train_plan *p) {
    MIGE_CHECK(p->o->circumstance == CIRCUMSTANCE_VIEWS, MIGE_EUSAGE, "objective %s: has circumstance views only",
               p->objective->name);
    return MIGE_OK;
}

static int create(trainer *t, term *k) {
    size_t n = (size_t)t->images.count, K = (size_t)t->plan->code;
    vicreg *m = k->self;
    MIGE_TRY(MIGE_TAKE(&t->pool, MIGE_BLOCK(m->mean, VIEWS * K), MIGE_BLOCK(m->d, n * VIEWS * K),
                       MIGE_BLOCK(m->C, VIEWS * K * K), MIGE_BLOCK(m->product, n * K)));
    MIGE_TRY(trainer_add_series(t, k, "", "invariance", "1", "mean of |z1 - z2|^2 / K"));
    MIGE_TRY(trainer_add_series(t, k, "", "variance", "1", "mean of max(0, 1 - deviation) / 2, sum of the views"));
    return trainer_add_series(t, k, "", "covariance", "1", "sum of C_ab^2 / K off the diagonal, of the views");
}

/* Deviations of this rank's codes from the means, and the covariances. */
static int covariances(trainer *t, vicreg *m) {
    int n = (int)t->images.count, K = t->plan->code;
    size_t row = VIEWS * (size_t)K, size = row * (size_t)n;
    double B = t->plan->batch;
    const float *z = trainer_code(t);
    memset(m->mean, 0, row * sizeof *m->mean);
    for (size_t i = 0; i < size; i++) m->mean[i % row] += (double)z[i] / B;
    MIGE_TRY(mige_sum(t->c, m->mean, row));
    for (size_t i = 0; i < size; i++) m->d[i] = (double)z[i] - m->mean[i % row];
    for (int v = 0; v < VIEWS; v++) {
        const double *d = m->d + v * K;
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, K, K, n, 1 / (B - 1), d, VIEWS * K, d, VIEWS * K, 0,
                    m->C + (size_t)v * (size_t)K * (size_t)K, K);
    }
    return mige_sum(t->c, m->C, row * (size_t)K);
}

/* A view's C becomes G. */
static void regularise(double *C, size_t K, double B, double values[VALUES]) {
    double size = (double)K;
    for (size_t a = 0; a < K; a++) {
        double S = sqrt(C[a * K + a] + EPSILON);
        for (size_t b = 0; b < K; b++) {
            if (b == a) continue;
            values[COVARIANCE] += C[a * K + b] * C[a * K + b] / size;
            C[a * K + b] *= 4 * NU / (size * (B - 1));
        }
        values[VARIANCE] += fmax(0, 1 - S) / (2 * size);
        C[a * K + a] = S < 1 ? -MU / (2 * size * (B - 1) * S) : 0;
    }
}

/* upstream += weight d G */
static void send_back(trainer *t, const vicreg *m, int view, double weight) {
    int n = (int)t->images.count, K = t->plan->code;
    float *up = t->upstream[t->code_layer] + view * K;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, K, K, weight, m->d + view * K, VIEWS * K,
                m->C + (size_t)view * (size_t)K * (size_t)K, K, 0, m->product, K);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t d = 0; d < (size_t)K; d++)
            up[i * VIEWS * (size_t)K + d] += (float)m->product[i * (size_t)K + d];
}

static int invariance(trainer *t, double weight, double *value) {
    size_t n = (size_t)t->images.count, K = (size_t)t->plan->code;
    double one = 1 / ((double)t->plan->batch * (double)K);
    for (size_t i = 0; i < n; i++) {
        const float *z1 = trainer_code(t) + i * VIEWS * K, *z2 = z1 + K;
        float *up = t->upstream[t->code_layer] + i * VIEWS * K;
        for (size_t d = 0; d < K; d++) {
            double apart = (double)z1[d] - (double)z2[d];
            *value += apart * apart * one;
            up[d] += (float)(2 * LAMBDA * weight * apart * one);
            up[K + d] -= (float)(2 * LAMBDA * weight * apart * one);
        }
    }
    return mige_sum(t->c, value, 1);
}

static int apply(trainer *t, term *k) {
    vicreg *m = k->self;
    size_t K = (size_t)t->plan->code;
    double values[VALUES] = {0};
    MIGE_TRY(invariance(t, k->weight, &values[INVARIANCE]));
    MIGE_TRY(covariances(t, m));
    for (int v = 0; v < VIEWS; v++) {
        regularise(m->C + (size_t)v * K * K, K, t->plan->batch, values);
        send_back(t, m, v, k->weight);
    }
    t->loss += k->weight * (LAMBDA * values[INVARIANCE] + MU * values[VARIANCE] + NU * values[COVARIANCE]);
    memcpy(t->values + k->series, values, sizeof values);
    return MIGE_OK;
}

const term_ops term_vicreg = {sizeof(vicreg), check, create, NULL, NULL, apply, NULL};
