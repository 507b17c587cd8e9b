/* mige toy, mige scale: studies where the true gradient of mutual information is known. */
#include "app/app.h"
#include "train/stop.h"

static int run_study(app *a, int (*run)(const study *s)) {
    const config *c = &a->cfg;
    study s = {.c = &a->comm,
               .o = &c->study,
               .given = given_options(a),
               .memory = memory_of(a),
               .seed = (uint64_t)c->seed,
               .resume = c->resume,
               .dry_run = c->dry_run,
               .output = c->output};
    MIGE_TRY(mige_stop_listen(&a->comm, c->max_hours, c->stop_file));
    MIGE_TRY(config_score(c, &s.score));
    return run(&s);
}

int cmd_toy(app *a) {
    return run_study(a, toy_run);
}
int cmd_scale(app *a) {
    return run_study(a, scale_run);
}
