/* mige probe: what frozen features tell of the classes. A classifier is small and trained by one rank alone, so
 * that its result does not depend on the number of ranks; the classifiers are dealt out to the ranks. */
#include "app/app.h"
#include "mige/log.h"
#include "train/train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRAINED = 0, UNTRAINED = 1, KINDS = 2 };
static const char *const kind_names[KINDS] = {"trained", "untrained"};
/* In files, by classifier. */
static const char *const result_names[PROBE_KINDS] = {"accuracy", "linear_accuracy"};

/* One classifier: its features, and what came out. */
typedef struct {
    const char *layer;
    int kind, classifier;
    probe_features features;
    double *accuracy; /* [epochs], test, percent */
    int64_t before;   /* epochs of this rank's classifiers before it */
} job;

typedef struct {
    layer_list layers;
    features x[KINDS];
    job jobs[KINDS * MOST_LAYERS * PROBE_KINDS];
    int n;
    double *accuracy[KINDS][MOST_LAYERS][PROBE_KINDS]; /* the jobs' */
    double neighbours[KINDS][MOST_LAYERS];
    int nclassifiers;
    int64_t *classifier; /* [nclassifiers] */
} probing;

static void tell(void *ctx, int64_t epochs, double accuracy) {
    const job *j = ctx;
    char text[128], name[16];
    mige_options_choice(PROBE_CLASSIFIERS, j->classifier, name, sizeof name);
    snprintf(text, sizeof text, "%s%s, %s %.1f %%", j->layer, j->kind == UNTRAINED ? " untrained" : "", name,
             accuracy);
    mige_progress_update((long)(j->before + epochs), text);
}

/* Deals the classifiers out, the widest first, and brings the results together. */
static int run_jobs(app *a, int n, job *jobs) {
    probe_options o = a->cfg.probe;
    int err = MIGE_OK, mine = 0;
    o.seed = (uint64_t)a->cfg.seed;
    o.flags = train_net_flags(&a->cfg.train);
    for (int i = a->comm.rank; i < n; i += a->comm.size) jobs[i].before = mine++ * o.epochs;
    mige_progress_begin("probe", (long)(mine * o.epochs));
    for (int i = a->comm.rank; !err && i < n; i += a->comm.size)
        err = probe_train(&jobs[i].features, jobs[i].classifier, &o, tell, &jobs[i], jobs[i].accuracy);
    mige_progress_end();
    MIGE_TRY(mige_agree(&a->comm, err));
    for (int i = 0; i < n; i++)
        MIGE_TRY(mige_bcast(&a->comm, i % a->comm.size, jobs[i].accuracy, (size_t)o.epochs * sizeof(double)));
    return MIGE_OK;
}

static double best_of(int64_t n, const double *accuracy) {
    double best = accuracy[0];
    for (int64_t i = 1; i < n; i++) best = fmax(best, accuracy[i]);
    return best;
}

/* That they can be written is known before hours of work; and that the file in the run's folder, where none is
 * named, takes the place of one of its kind only. */
static int check_results(config *c) {
    if (*c->output) return check_output(c, 1);
    MIGE_TRY(mige_run_path(c->run, "probe.h5", c->output));
    MIGE_TRY(mige_file_may_replace(c->output, "mige-probe"));
    return check_output(c, 1);
}

static int write_job(const config *c, mige_file *f, const job *j) {
    char name[128];
    mige_layout layout = {MIGE_F64, 1, {c->probe.epochs}};
    snprintf(name, sizeof name, "/%s/%s/%s", kind_names[j->kind], j->layer, result_names[j->classifier]);
    MIGE_TRY(mige_file_write(f, name, layout, j->accuracy, "percent",
                             "test accuracy of the classifier after each epoch", 0));
    MIGE_TRY(mige_file_set_real(f, name, "last", j->accuracy[c->probe.epochs - 1]));
    return mige_file_set_real(f, name, "best", best_of(c->probe.epochs, j->accuracy));
}

static int write_neighbours(mige_file *f, const probing *p) {
    char name[128];
    mige_layout layout = {MIGE_F64, 1, {1}};
    for (int kind = 0; kind < KINDS; kind++)
        for (int l = 0; p->x[kind].train[0] && l < p->layers.n; l++) {
            snprintf(name, sizeof name, "/%s/%s/neighbours", kind_names[kind], p->layers.name[l]);
            MIGE_TRY(mige_file_write(f, name, layout, &p->neighbours[kind][l], "percent",
                                     "test accuracy of the vote of the nearest training images, by cosine", 0));
        }
    return MIGE_OK;
}

static int write_results(const config *c, const mige_data *d, const probing *p, int64_t step) {
    mige_file *f;
    MIGE_TRY(mige_file_create(c->output, "mige-probe", &f));
    int err = mige_file_set_int(f, "/", "step", step);
    if (!err) err = mige_file_set_int(f, "/", "test_images", d->test.n);
    if (!err) err = mige_file_set_int(f, "/", "validation", c->train.validation);
    for (int i = 0; !err && i < p->n; i++) err = write_job(c, f, &p->jobs[i]);
    if (!err && c->neighbours) err = write_neighbours(f, p);
    return mige_file_commit(&f, err);
}

/* A line a layer, and one more of the untrained encoder's; of each classifier the last epoch and the best. */
static void print_results(const config *c, const mige_data *d, const probing *p) {
    char line[256], name[64];
    int64_t last = c->probe.epochs - 1;
    int n = snprintf(line, sizeof line, "%-16s", "layer");
    for (int k = 0; k < p->nclassifiers; k++) {
        mige_options_choice(PROBE_CLASSIFIERS, (int)p->classifier[k], name, sizeof name);
        n += snprintf(line + n, sizeof line - (size_t)n, " %9s %9s", name, "best");
    }
    mige_print("accuracy in %% (%lld %s images), last and best of %lld epochs", (long long)d->test.n,
               c->train.validation ? "held out" : "test", (long long)c->probe.epochs);
    mige_print("%s%s", line, c->neighbours ? " neighbours" : "");
    for (int i = 0; i < p->layers.n * (1 + c->untrained); i++) {
        int l = i / (1 + c->untrained), kind = i % (1 + c->untrained);
        snprintf(name, sizeof name, "%.40s%s", p->layers.name[l], kind == UNTRAINED ? " untrained" : "");
        n = snprintf(line, sizeof line, "%-16s", name);
        for (int k = 0; k < p->nclassifiers; k++) {
            const double *a = p->accuracy[kind][l][k];
            n += snprintf(line + n, sizeof line - (size_t)n, " %9.2f %9.2f", a[last], best_of(last + 1, a));
        }
        if (c->neighbours) snprintf(line + n, sizeof line - (size_t)n, " %10.2f", p->neighbours[kind][l]);
        mige_print("%s", line);
    }
}

static int plan_jobs(const app *a, const mige_data *d, probing *p, int kind) {
    const layer_list *l = &p->layers;
    for (int i = 0; i < l->n * p->nclassifiers; i++) {
        int at = i / p->nclassifiers;
        job *j = &p->jobs[p->n++];
        *j = (job){.layer = l->name[at], .kind = kind, .classifier = (int)p->classifier[i % p->nclassifiers]};
        j->features = (probe_features){d, l->width[at], p->x[kind].train[at], p->x[kind].test[at]};
        MIGE_TRY(mige_alloc((size_t)a->cfg.probe.epochs, sizeof *j->accuracy, &j->accuracy));
        p->accuracy[kind][at][i % p->nclassifiers] = j->accuracy;
    }
    return MIGE_OK;
}

/* Unless they were read. */
static int extract(app *a, const mige_data *d, probing *p, int kind, int64_t *step) {
    mige_net *net;
    layer_list *l = &p->layers;
    if (!*a->cfg.input) {
        MIGE_TRY(run_open(a, d, kind == UNTRAINED, l, &net, step));
        int err = features_create(&a->comm, d, net, l, &p->x[kind]);
        mige_net_destroy(&net);
        MIGE_TRY(err);
    }
    for (int i = 0; a->cfg.neighbours && i < l->n; i++) {
        probe_features f = {d, l->width[i], p->x[kind].train[i], p->x[kind].test[i]};
        MIGE_TRY(probe_neighbours(&a->comm, &f, a->cfg.neighbours, &p->neighbours[kind][i]));
    }
    return mige_agree(&a->comm, plan_jobs(a, d, p, kind));
}

static int widest_first(const void *x, const void *y) {
    return ((const job *)y)->features.width - ((const job *)x)->features.width;
}

static int probe(app *a, const mige_data *d, probing *p) {
    config *c = &a->cfg;
    int64_t step = 0, zero;
    mige_net *net;
    MIGE_TRY(mige_list_names("--classifier", c->classifier, PROBE_CLASSIFIERS, &p->nclassifiers, &p->classifier));
    mige_say("probe: layers %s of %s%s, %lld + %lld images, %lld epochs", *c->layers ? c->layers : "(all)",
             *c->input ? c->input : c->run, c->untrained ? ", and untrained" : "", (long long)d->train.n,
             (long long)d->test.n, (long long)c->probe.epochs);
    MIGE_CHECK(d->train.labels && d->test.labels, MIGE_EINPUT, "%s: classifiers want labels of %s images",
               c->train.data, d->train.labels ? "test" : "training");
    MIGE_TRY(mige_agree(&a->comm, mige_data_class_doubts(*c->input ? c->input : c->train.data, d)));
    MIGE_TRY(mige_agree(&a->comm, a->comm.rank == 0 ? check_results(c) : MIGE_OK));
    MIGE_CHECK(c->neighbours <= d->train.n, MIGE_EUSAGE,
               "--neighbours: %lld are more than the %lld training images", (long long)c->neighbours,
               (long long)d->train.n);
    if (c->dry_run && *c->input) return MIGE_OK;
    if (c->dry_run) {
        MIGE_TRY(run_open(a, d, 0, &p->layers, &net, &step));
        mige_net_destroy(&net);
        return MIGE_OK;
    }
    MIGE_TRY(extract(a, d, p, TRAINED, &step));
    if (c->untrained) MIGE_TRY(extract(a, d, p, UNTRAINED, &zero));
    qsort(p->jobs, (size_t)p->n, sizeof *p->jobs, widest_first);
    MIGE_TRY(run_jobs(a, p->n, p->jobs));
    MIGE_TRY(mige_agree(&a->comm, a->comm.rank == 0 ? write_results(c, d, p, step) : MIGE_OK));
    print_results(c, d, p);
    return MIGE_OK;
}

int cmd_probe(app *a) {
    static probing p;
    mige_data d = {0};
    const config *c = &a->cfg;
    MIGE_CHECK(*c->run || *c->input, MIGE_EUSAGE, "--run: must be given, or --input (see --help)");
    MIGE_CHECK(!*c->input || (*c->output && !*c->run && !*c->train.data && !c->untrained && !c->train.validation),
               MIGE_EUSAGE, "--input: wants --output, and no --run, --data, --untrained or --validation beside it");
    int err = *c->input ? features_read(a, &p.layers, &p.x[TRAINED], &d) : data_of_run(a, &d);
    if (!err) err = probe(a, &d, &p);
    free(p.classifier);
    for (int i = 0; i < p.n; i++) free(p.jobs[i].accuracy);
    for (int k = 0; k < KINDS; k++) mige_shared_destroy(&p.x[k].memory);
    mige_data_close(&d);
    return err;
}
