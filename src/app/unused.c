/* Options that were given a value and that nothing reads, in what was asked for. */
#include "app/app.h"
#include "mige/log.h"
#include "train/term.h"
#include <stdio.h>
#include <string.h>

/* Whether `word` is one of the words of `list`. */
static int has(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || strchr(" ,", p[-1])) && strchr(" ,", p[n])) return 1;
    return 0;
}

/* Names of options, and whether they are used. */
typedef struct {
    const char *names;
    int used;
} rule;

static int broken(const rule *rules, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (!rules[i].used && has(rules[i].names, name)) return 1;
    return 0;
}

/* Of the scores' estimator; scores 0: nothing is estimated. */
static int unused_score(const config *c, int scores, const char *name) {
    int ssge = c->estimator == MIGE_ESTIMATOR_SSGE, stein = c->estimator == MIGE_ESTIMATOR_STEIN;
    int ssm = c->estimator == MIGE_ESTIMATOR_SSM, fixed = strcmp(c->width, "median") != 0;
    char solver[16];
    mige_options_choice(MIGE_SCORE_SOLVERS, c->solver, solver, sizeof solver);
    const rule rules[] = {{"estimator calibrate precondition solver", scores},
                          {"eigen", scores && ssge},
                          {"threshold", scores && ssge && !c->eigen},
                          {"eta iterations", scores && stein},
                          {"ssm-steps ssm-hidden ssm-rate", scores && ssm},
                          {"width", scores && !ssm},
                          {"width-scale", scores && !ssm && !fixed},
                          {"tolerance", scores && !ssm && has("auto subspace cg", solver)}};
    return broken(rules, sizeof rules / sizeof *rules, name);
}

static int unused_train(const config *c, const char *name) {
    const train_options *o = &c->train;
    const objective *j = objective_find(o->task, o->objective);
    const char *n = j ? j->name : "";
    int views = o->circumstance == CIRCUMSTANCE_VIEWS, ib = o->task == TASK_IB, bound = has("jsd infonce dv", n);
    const rule rules[] = {{"critic", bound && !views},
                          {"temperature", !strcmp(n, "infonce") && views},
                          {"projection fresh-projection", !strcmp(n, "mige") && !views},
                          {"beta", has("dvb mine-ib mige-ib", n)},
                          {"marginal-draws conditional", !strcmp(n, "mige-ib")},
                          {"test-every average", ib},
                          {"hidden-dropout", !strcmp(n, "dropout")},
                          {"smoothing", !strcmp(n, "label-smoothing")},
                          {"confidence", !strcmp(n, "confidence-penalty")},
                          {"decay decay-every", o->schedule == MIGE_STEPS},
                          {"epochs", !o->steps}};
    return broken(rules, sizeof rules / sizeof *rules, name) ||
           unused_score(c, !strcmp(n, "mige") || (!strcmp(n, "mige-ib") && o->beta > 0), name);
}

static int unused(const app *a, const char *name) {
    const config *c = &a->cfg;
    int flat = strstr(c->study.methods, "joint") != NULL || has(c->study.methods, "infonce"),
        fixed = has(c->study.methods, "mine") || has(c->study.methods, "mine-f");
    const rule toy[] = {{"critic-steps critic-rate", fixed},
                        {"joint-steps joint-rate", flat},
                        {"critic-repeats", fixed || flat},
                        {"mi", has(c->study.methods, "mige")}};
    char format[16];
    switch (a->command->bit) {
    case TRAIN:
        return unused_train(c, name);
    case TOY:
        return broken(toy, sizeof toy / sizeof *toy, name) || unused_score(c, has(c->study.methods, "mige"), name);
    case CONVERT:
        mige_options_choice(MIGE_FORMATS, c->format, format, sizeof format);
        return !strcmp(name, "resize") && strcmp(format, "folder") != 0;
    case SCORE:
        return (!*c->points && !strcmp(name, "points-dataset")) || unused_score(c, 1, name);
    default:
        return (a->command->bit & (SCALE | MI)) && unused_score(c, 1, name);
    }
}

int config_unused(const app *a) {
    static config preset;
    mige_options_given given = given_options(a), usual = {&option_table, a->command, &preset};
    char names[512] = "", value[MIGE_OPT_TEXT_SIZE], otherwise[MIGE_OPT_TEXT_SIZE];
    const char *estimator = mige_estimator_get((enum mige_estimator)a->cfg.estimator)->name;
    int checks, train = a->command->bit == TRAIN, presets = train || a->command->bit == MI;
    MIGE_TRY(config_checks(&a->cfg, &checks));
    MIGE_TRY(presets ? config_presets(a, &preset) : mige_options_defaults(&option_table, &preset));
    for (int i = 0; i < option_table.noptions; i++) {
        const mige_option *o = &option_table.options[i];
        size_t at = strlen(names);
        if (!(o->commands & a->command->bit) || !unused(a, o->name)) continue;
        mige_options_value(&given, o->name, value);
        mige_options_value(&usual, o->name, otherwise);
        int dropped = strcmp(value, otherwise) != 0, eigen = !train && has("eigen threshold", o->name);
        MIGE_CHECK(!dropped || !eigen || a->cfg.estimator == MIGE_ESTIMATOR_SSGE, MIGE_EUSAGE,
                   "--%s: estimator %s has no eigenvalues (leave it out)", o->name, estimator);
        if (dropped) snprintf(names + at, sizeof names - at, "%s--%s", *names ? ", " : "", o->name);
    }
    MIGE_CHECK(!(checks & CHECK_EIGEN) || a->cfg.estimator == MIGE_ESTIMATOR_SSGE, MIGE_EUSAGE,
               "--check: eigen checks nothing with estimator %s, which has no eigenvalues (leave it out)",
               estimator);
    if (*names) mige_warn("%s: of no use to what is asked for here, and not read", names);
    MIGE_CHECK(train || !(checks & ~CHECK_EIGEN), MIGE_EUSAGE,
               "--check: nan and replica are of mige train (eigen)");
    return MIGE_OK;
}
