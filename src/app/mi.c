/* mige mi: the value of the mutual information of anyone's paired samples. */
#include "mige/mi.h"
#include "app/app.h"
#include "mige/log.h"
#include <math.h>
#include <string.h>

/* The samples side by side: x, what is given, y. With labels y is no column. */
typedef struct {
    int M, D, nparts, dims[MIGE_MI_PARTS]; /* of x, y, given */
    double *v;                             /* [M][D] */
    int classes, *label;                   /* 0: y is no label */
    double *shuffled;
    mige_pool memory;
} pairs;

static int read_array(const config *c, const mige_array *a, pairs *p, int part, double **x, enum mige_type *type) {
    int rows;
    MIGE_CHECK(!*c->input || strcmp(mige_array_what(a), c->input) != 0, MIGE_EINPUT,
               "%s: holds one array, mi wants two or more (name columns of a .csv, --x a,b --y c, or leave --input "
               "out and give files, --x x.npy --y y.npy)",
               c->input);
    MIGE_TRY(mige_array_samples(a, &rows, &p->dims[part]));
    MIGE_CHECK(!part || rows == p->M, MIGE_EINPUT, "%s has %d rows, %s has %d (one each for a pair%s)",
               mige_array_what(a), rows, c->x, p->M, p->dims[part] == p->M ? "; store it as its transpose" : "");
    p->M = rows;
    *type = mige_array_truth(a) ? MIGE_U8 : mige_array_layout(a).type;
    MIGE_TRY(mige_pool_alloc(&p->memory, (size_t)rows * (size_t)p->dims[part], sizeof **x, x));
    return read_samples(a, rows, p->dims[part], *x);
}

/* name: in --input; or, without, a file of its own. */
static int read_part(const config *c, const char *name, pairs *p, int part, double **x, enum mige_type *type) {
    mige_array *a;
    const char *set = *c->input ? name : "/samples";
    MIGE_TRY(open_samples(c, *c->input ? c->input : name, set, set, &a));
    int err = read_array(c, a, p, part, x, type);
    mige_array_close(&a);
    return err;
}

/* Integers in one column are labels: renumbered in ascending order. */
static int take_labels(const config *c, pairs *p, const double *y) {
    const char *in = c->input, *colon = *in ? ": " : "";
    double *values;
    MIGE_TRY(mige_pool_alloc(&p->memory, (size_t)p->M, sizeof *p->label, &p->label));
    MIGE_TRY(mige_pool_alloc(&p->memory, (size_t)p->M, sizeof *values, &values));
    for (int m = 0; m < p->M; m++) {
        int k = 0;
        while (k < p->classes && values[k] < y[m]) k++;
        if (k < p->classes && values[k] == y[m]) continue;
        memmove(values + k + 1, values + k, (size_t)(p->classes++ - k) * sizeof *values);
        values[k] = y[m];
        MIGE_CHECK(
            p->classes <= p->M / mige_mi_least(p->dims[0]), MIGE_EINPUT,
            "%s%s%s has integers, so classes, but more of them than %d samples in %d dimensions allow (store "
            "them as real numbers if they are none)",
            in, colon, c->y, p->M, p->dims[0]);
    }
    for (int m = 0; m < p->M; m++)
        while (values[p->label[m]] != y[m]) p->label[m]++;
    for (int k = 0; k < p->classes; k++) {
        int n = 0, least = mige_mi_least(p->dims[0]);
        for (int m = 0; m < p->M; m++) n += p->label[m] == k;
        MIGE_CHECK(n >= least, MIGE_EINPUT,
                   "%s%sclass %.15g of %s has %d samples, too few for %d dimensions (%d at least; or leave it out)",
                   in, colon, values[k], c->y, n, p->dims[0], least);
    }
    MIGE_CHECK(p->classes > 1, MIGE_EINPUT, "%s%s%s has a single class (two at least)", in, colon, c->y);
    return MIGE_OK;
}

static void put(pairs *p, const double *x, int dim, int from) {
    for (size_t m = 0; m < (size_t)p->M; m++)
        memcpy(p->v + m * (size_t)p->D + from, x + m * (size_t)dim, (size_t)dim * sizeof *x);
}

static int load(const config *c, pairs *p, int speaks) {
    double *x[MIGE_MI_PARTS] = {NULL};
    enum mige_type type;
    p->nparts = *c->given ? 3 : 2;
    MIGE_CHECK(*c->input || (strcmp(c->x, "/x") != 0 && strcmp(c->y, "/y") != 0), MIGE_EUSAGE,
               "--input: must be given, or a file each as --x and --y (see --help)");
    MIGE_TRY(read_part(c, c->x, p, 0, &x[0], &type));
    MIGE_TRY(read_part(c, c->y, p, 1, &x[1], &type));
    if (type != MIGE_F32 && type != MIGE_F64 && p->dims[1] == 1) {
        MIGE_CHECK(!*c->given, MIGE_EUSAGE, "--given: %s has class labels, with which nothing can be given", c->y);
        MIGE_TRY(take_labels(c, p, x[1]));
        p->dims[1] = 0;
    }
    if (*c->given) MIGE_TRY(read_part(c, c->given, p, 2, &x[2], &type));
    p->D = p->dims[0] + p->dims[1] + p->dims[2];
    MIGE_TRY(mige_pool_alloc(&p->memory, (size_t)p->M * (size_t)p->D, sizeof *p->v, &p->v));
    put(p, x[0], p->dims[0], 0);
    if (*c->given) put(p, x[2], p->dims[2], p->dims[0]);
    put(p, x[1], p->dims[1], p->dims[0] + p->dims[2]);
    if (speaks)
        MIGE_TRY(mige_mi_sample_doubts(p->M, MIGE_MI_PARTS, (int[]){p->dims[0], p->dims[2], p->dims[1]},
                                       (const char *[]){c->x, c->given, c->y}, p->v,
                                       c->precondition == MIGE_PRECONDITION_NONE ||
                                           c->precondition == MIGE_PRECONDITION_WHITEN));
    if (speaks && p->classes) MIGE_TRY(mige_mi_label_doubts(p->M, p->D, p->v, p->classes, p->label));
    return mige_pool_alloc(&p->memory, (size_t)c->shuffles, sizeof *p->shuffled, &p->shuffled);
}

static int write_all(mige_file *f, const config *c, const pairs *p, const mige_mi_estimate *e) {
    mige_layout times = {MIGE_F64, 1, {MIGE_MI_TIMES}}, shuffles = {MIGE_F64, 1, {c->shuffles}};
    const char *long_name = "-d/dt of the mutual information of samples noised to time t";
    MIGE_TRY(
        mige_file_write(f, "/time", times, e->time, "1", "time of the noise: exp(-t) v + sqrt(1 - exp(-2t)) n", 0));
    MIGE_TRY(mige_file_write(f, "/integrand", times, e->integrand, "nat", long_name, 0));
    if (c->shuffles)
        MIGE_TRY(mige_file_write(f, "/shuffled", shuffles, p->shuffled, "nat",
                                 "mutual information with y shuffled, where it is 0", 0));
    MIGE_TRY(mige_file_set_real(f, "/", "mutual_information", e->value));
    MIGE_TRY(mige_file_set_real(f, "/", "normal_part", e->normal));
    MIGE_TRY(mige_file_set_real(f, "/", "rest", e->rest));
    MIGE_TRY(mige_file_set_real(f, "/", "extrapolation_factor", e->factor));
    MIGE_TRY(mige_file_set_real(f, "/", "missed_by_parts", e->missed));
    MIGE_TRY(mige_file_set_real(f, "/", "standard_error", e->standard_error));
    return mige_file_set_real(f, "/", "p_value", e->p_value);
}

static int write_estimate(const config *c, const pairs *p, const mige_mi_estimate *e) {
    mige_file *f;
    MIGE_TRY(mige_file_create(c->output, "mige-mi", &f));
    return mige_file_commit(&f, write_all(f, c, p, e));
}

/* Of the labels, nats: no variable knows more of them. */
static double entropy(const pairs *p) {
    double sum = 0;
    for (int k = 0; k < p->classes; k++) {
        int n = 0;
        for (int m = 0; m < p->M; m++) n += p->label[m] == k;
        sum -= (double)n / p->M * log((double)n / p->M);
    }
    return sum;
}

static void check_bounds(const pairs *p, const mige_mi_estimate *e) {
    double most = p->classes ? entropy(p) : INFINITY;
    if (e->value > most)
        mige_warn("mi: more than the %.4f nats that the classes have at all: far apart they are too sharp for this "
                  "estimate, the value is at most that",
                  most);
    if (e->value < -3 * e->standard_error)
        mige_warn("mi: the value is below 0 by more than its error, so wrong: too few samples, or values of no "
                  "continuous variable");
}

/* Of a value that normal variables would not have, or only if all but alike, whether one variable may be a function
 * of the other. */
static int check_surface(const config *c, const pairs *p, const mige_mi_estimate *e) {
    static const double SURFACE = 0.84, REST = 0.25, ALIKE = 1.5; /* nats a dimension */
    int least = p->dims[0] < p->dims[1] ? p->dims[0] : p->dims[1];
    double share = 1;
    if (!p->classes && e->value > 3 * e->standard_error &&
        (e->rest > REST * (e->normal + e->rest) || e->normal > ALIKE * least))
        MIGE_TRY(mige_mi_surface(p->M, p->D, 0, p->D, p->D - p->dims[1], p->v, &share));
    if (share < SURFACE)
        mige_warn(
            "mi: nearby the samples have %.0f %% of the dimensions of independent ones: if %s or %s is a function "
            "of the other%s%s, their information is infinite",
            100 * share, c->x, c->y, *c->given ? " and " : "", c->given);
    return MIGE_OK;
}

typedef struct {
    int D;
    const mige_mi_value_options *o;
} demand;

static double need(const void *ctx, int M) {
    const demand *d = ctx;
    return mige_mi_value_bytes(M, d->D, d->o) + 16. * M * d->D;
}

static int estimate(app *a, pairs *p) {
    const config *c = &a->cfg;
    mige_mi_value_options o = {.seed = (uint64_t)c->seed, .block = (int)c->block, .shuffles = (int)c->shuffles};
    mige_mi_estimate e;
    mige_memory m = memory_of(a);
    demand d = {p->D, &o};
    MIGE_TRY(config_score(c, &o.score));
    MIGE_CHECK(!*c->given || !c->shuffles, MIGE_EUSAGE,
               "--shuffles: shuffles of y would break its dependence on %s, too (--shuffles 0)", c->given);
    MIGE_TRY(mige_memory_check(&m, *c->input ? c->input : c->x, p->M, need, &d));
    mige_say("mi: %d samples in %d%+d%+d dimensions, %d classes, %d ranks, %.3g MB a rank", p->M, p->dims[0],
             p->dims[1], p->dims[2], p->classes, a->comm.size, need(&d, p->M) / 1e6);
    MIGE_TRY(mige_agree(&a->comm, mige_mi_value_check(p->M, p->D, &o)));
    if (c->dry_run) return MIGE_OK;
    if (p->classes)
        MIGE_TRY(mige_mi_of_labels(&a->comm, p->M, p->D, p->v, p->classes, p->label, &o, p->shuffled, &e));
    else
        MIGE_TRY(mige_mi_value(&a->comm, p->M, p->nparts, p->dims, p->v, &o, p->shuffled, &e));
    if (*c->output) MIGE_TRY(mige_agree(&a->comm, a->comm.rank == 0 ? write_estimate(c, p, &e) : MIGE_OK));
    mige_print("I(x;y%s%s) = %.4f +- %.4f nats = %.4f +- %.4f bits", *c->given ? "|" : "", c->given, e.value,
               e.standard_error, e.value / M_LN2, e.standard_error / M_LN2);
    if (c->shuffles) mige_print("p = %.3g, by %lld shuffles of y", e.p_value, (long long)c->shuffles);
    check_bounds(p, &e);
    return mige_agree(&a->comm, a->comm.rank == 0 ? check_surface(c, p, &e) : MIGE_OK);
}

int cmd_mi(app *a) {
    pairs p = {0};
    const config *c = &a->cfg;
    int err = mige_agree(&a->comm, load(c, &p, a->comm.rank == 0));
    /* Once more: only now it is known where links lead. */
    if (!err) err = mige_agree(&a->comm, a->comm.rank == 0 ? check_output(c, 0) : MIGE_OK);
    if (!err) err = estimate(a, &p);
    mige_pool_free(&p.memory);
    return err;
}
