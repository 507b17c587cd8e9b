/* mige scale: time, memory and error of the gradient of mutual information against the number of samples. */
#include "app/app.h"
#include "mige/error.h"
#include "train/stop.h"

int cmd_scale(app *a) {
    study s;
    MIGE_TRY(mige_stop_listen(&a->comm, a->cfg.max_hours, a->cfg.stop_file));
    MIGE_TRY(study_of(a, &s));
    return scale_run(&s);
}
