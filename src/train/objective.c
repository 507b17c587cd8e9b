/* The objectives: one row each. */
#include "mige/error.h"
#include "train/terms.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const tasks[] = {[TASK_INFOMAX] = "infomax", [TASK_IB] = "ib"};

enum { ONE = 0 }; /* no weight is the first of the options */
#define WEIGHT(field) offsetof(train_options, field)
/* Defaults: of two views, and of the bottleneck on permutation-invariant images. */
#define VIEWS "batch=256 learning-rate=1e-3 augment=crop,flip,colour,grey"
#define BOTTLENECK "encoder=mlp code=256 batch=100 epochs=200 schedule=step decay=0.97 decay-every=2 average=0.999"
#define PRIOR {&term_prior, WEIGHT(prior_matching), 0}
#define PENALTY {&term_penalty, WEIGHT(scale_penalty), 0}

static const objective objectives[] = {
    {TASK_INFOMAX, "mige", "gradient of mutual information by scores", {{&term_mige, ONE, 0}, PRIOR}, 0, 0, "",
     VIEWS " estimator=stein eta=0.1 width-scale=2 calibrate=scale"},
    {TASK_INFOMAX, "jsd", "Jensen-Shannon bound", {{&term_bound, ONE, BOUND_JSD}, PRIOR}, 0, 0, "",
     VIEWS},
    {TASK_INFOMAX, "infonce", "noise-contrastive bound; with views NT-Xent", {{&term_bound, ONE, BOUND_INFONCE}, PRIOR},
     0, 0, "", VIEWS},
    {TASK_INFOMAX, "dv", "Donsker-Varadhan bound", {{&term_bound, ONE, BOUND_DV}, PRIOR}, 0, 0, "",
     VIEWS},
    {TASK_IB, "ce", "cross entropy alone", {{&term_classify, ONE, CLASSIFY_PLAIN}}, 0, 0, BOTTLENECK, ""},
    {TASK_IB, "dropout", "cross entropy, dropout in the hidden layers", {{&term_classify, ONE, CLASSIFY_PLAIN}}, 0, 1, BOTTLENECK,
     ""},
    {TASK_IB, "confidence-penalty", "cross entropy less the entropy of what is predicted",
     {{&term_classify, ONE, CLASSIFY_CONFIDENCE}}, 0, 0, BOTTLENECK, ""},
    {TASK_IB, "label-smoothing", "cross entropy of smoothed labels", {{&term_classify, ONE, CLASSIFY_SMOOTH}}, 0, 0, BOTTLENECK,
     ""},
    {TASK_IB, "dvb", "deep variational bottleneck", {{&term_classify, ONE, CLASSIFY_PLAIN}, {&term_rate, WEIGHT(beta), 0},
     PENALTY}, 1, 0, BOTTLENECK, ""},
    {TASK_IB, "mine-ib", "bottleneck by a critic's bound", {{&term_classify, ONE, CLASSIFY_PLAIN},
     {&term_mine, WEIGHT(beta), 0}, PENALTY}, 1, 0, BOTTLENECK, ""},
    {TASK_IB, "mige-ib", "bottleneck by scores", {{&term_classify, ONE, CLASSIFY_PLAIN},
     {&term_conditional, WEIGHT(beta), 0}, PENALTY}, 1, 0,
     BOTTLENECK " estimator=stein calibrate=scale scale-penalty=1e-4", ""},
};
enum { OBJECTIVES = sizeof objectives / sizeof *objectives };

/* "mige" is mige-ib where the task is ib. */
static int has_name(const objective *j, const char *name) {
    size_t n = strlen(name);
    return !strcmp(j->name, name) || (!strncmp(j->name, name, n) && j->name[n] == '-' && !strcmp(j->name + n + 1, tasks[j->task]));
}

const objective *objective_find(int task, const char *name) {
    char known[256] = "";
    for (int i = 0; i < OBJECTIVES; i++) {
        const objective *j = &objectives[i];
        if (j->task != task) continue;
        if (has_name(j, name)) return j;
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", j->name);
    }
    mige_raise(MIGE_EUSAGE, "objective: \"%s\" is not one of task %s (%s)", name, tasks[task], known);
    return NULL;
}

int objective_list(char **text) {
    size_t size = 0;
    FILE *f = open_memstream(text, &size);
    MIGE_CHECK(f, MIGE_EFAIL, "memory: no room for the list of objectives");
    for (int i = 0; i < OBJECTIVES; i++)
        fprintf(f, "  %-8s %-19s %s\n", tasks[objectives[i].task], objectives[i].name, objectives[i].help);
    fclose(f);
    return MIGE_OK;
}
