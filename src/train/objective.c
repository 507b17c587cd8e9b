/* The objectives, a row each:
 *   task, name, help, TERM(name of a term, its weight: ONE or WEIGHT(an option), which of its kinds)...,
 *   whether the code is drawn, whether hidden layers drop, defaults of options, more of them with views */
#include "train/term.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *const tasks[] = {[TASK_INFOMAX] = "infomax", [TASK_IB] = "ib"};

#define WEIGHT(field) offsetof(train_options, field)
enum { ONE = 0 }; /* no weight is the first of the options */

/* Defaults: of two views, and of the bottleneck on permutation-invariant images. */
#define VIEWS "batch=256 learning-rate=1e-3 augment=crop,flip,colour,grey"
#define BOTTLENECK "encoder=mlp code=256 batch=100 epochs=200 schedule=step decay=0.97 decay-every=2 average=0.999"
#define PRIOR TERM(prior, WEIGHT(prior_matching), 0)
#define PENALTY TERM(penalty, WEIGHT(scale_penalty), 0)

/* clang-format off */
#define OBJECTIVES(ROW) \
    ROW(TASK_INFOMAX, "mige", "gradient of mutual information by scores", \
        TERM(mige, ONE, 0) PRIOR, 0, 0, "", VIEWS " estimator=stein eta=0.1 width-scale=2 calibrate=scale") \
    ROW(TASK_INFOMAX, "jsd", "Jensen-Shannon bound by a critic", TERM(bound, ONE, BOUND_JSD) PRIOR, 0, 0, "", VIEWS) \
    ROW(TASK_INFOMAX, "infonce", "noise-contrastive bound by a critic; of views NT-Xent", \
        TERM(bound, ONE, BOUND_INFONCE) PRIOR, 0, 0, "", VIEWS) \
    ROW(TASK_INFOMAX, "dv", "Donsker-Varadhan bound by a critic", TERM(bound, ONE, BOUND_DV) PRIOR, 0, 0, "", VIEWS) \
    ROW(TASK_IB, "ce", "cross entropy alone", TERM(classify, ONE, CLASSIFY_PLAIN), 0, 0, BOTTLENECK, "") \
    ROW(TASK_IB, "dropout", "cross entropy, dropout in the hidden layers", \
        TERM(classify, ONE, CLASSIFY_PLAIN), 0, 1, BOTTLENECK, "") \
    ROW(TASK_IB, "confidence-penalty", "cross entropy less the entropy of what is predicted", \
        TERM(classify, ONE, CLASSIFY_CONFIDENCE), 0, 0, BOTTLENECK, "") \
    ROW(TASK_IB, "label-smoothing", "cross entropy of smoothed labels", \
        TERM(classify, ONE, CLASSIFY_SMOOTH), 0, 0, BOTTLENECK, "") \
    ROW(TASK_IB, "dvb", "deep variational bottleneck", \
        TERM(classify, ONE, CLASSIFY_PLAIN) TERM(rate, WEIGHT(beta), 0) PENALTY, 1, 0, BOTTLENECK, "") \
    ROW(TASK_IB, "mine-ib", "bottleneck by a critic's bound", \
        TERM(classify, ONE, CLASSIFY_PLAIN) TERM(mine, WEIGHT(beta), 0) PENALTY, 1, 0, BOTTLENECK, "") \
    ROW(TASK_IB, "mige-ib", "bottleneck by scores", \
        TERM(classify, ONE, CLASSIFY_PLAIN) TERM(conditional, WEIGHT(beta), 0) PENALTY, 1, 0, \
        BOTTLENECK " estimator=stein eta=1 calibrate=scale scale-penalty=1e-4", "")
/* clang-format on */

/* The terms that rows name, then the rows. */
#define TERM(name, weight, variant) extern const term_ops term_##name;
#define DECLARE(task, name, help, terms, ...) terms
OBJECTIVES(DECLARE)
#undef TERM
#define TERM(name, weight, variant) {&term_##name, weight, variant},
#define ROW(task, name, help, terms, ...) {task, name, help, {terms}, __VA_ARGS__},
static const objective objectives[] = {OBJECTIVES(ROW)};
enum { NUMBER = sizeof objectives / sizeof *objectives };

/* "mige" is mige-ib where the task is ib. */
static int has_name(const objective *j, const char *name) {
    size_t n = strlen(name);
    return !strcmp(j->name, name) ||
           (!strncmp(j->name, name, n) && j->name[n] == '-' && !strcmp(j->name + n + 1, tasks[j->task]));
}

const objective *objective_find(int task, const char *name) {
    char known[256] = "";
    const objective *other = NULL;
    for (int i = 0; i < NUMBER; i++) {
        const objective *j = &objectives[i];
        if (j->task != task) {
            if (!strcmp(j->name, name)) other = j;
            continue;
        }
        if (has_name(j, name)) return j;
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", j->name);
    }
    if (other)
        mige_raise(MIGE_EUSAGE, "objective: \"%s\" is one of task %s, not of task %s", name, tasks[other->task],
                   tasks[task]);
    else
        mige_raise(MIGE_EUSAGE, "objective: \"%s\" is not one of task %s (%s)", name, tasks[task], known);
    return NULL;
}

/* before: what the row above has. */
static void list_defaults(FILE *f, const char *when, const char *preset, const char *before) {
    if (*preset) fprintf(f, "%12sdefaults%s: %s\n", "", when, strcmp(preset, before) ? preset : "as above");
}

int objective_list(char **text) {
    size_t size = 0;
    FILE *f = open_memstream(text, &size);
    MIGE_CHECK(f, MIGE_EFAIL, "memory: no room for the list of objectives");
    for (int i = 0; i < NUMBER; i++) {
        const objective *j = &objectives[i];
        fprintf(f, "  %-8s %-19s %s\n", tasks[j->task], j->name, j->help);
        list_defaults(f, "", j->preset, i ? j[-1].preset : "");
        list_defaults(f, " with views", j->preset_views, i ? j[-1].preset_views : "");
    }
    fclose(f);
    return MIGE_OK;
}
