/* mige toy: gradients of mutual information where the true one is known. */
#include "app/app.h"
#include "mige/error.h"
#include "train/stop.h"

int cmd_toy(app *a) {
    study s;
    MIGE_TRY(mige_stop_listen(&a->comm, a->cfg.max_hours, a->cfg.stop_file));
    MIGE_TRY(study_of(a, &s));
    return toy_run(&s);
}
