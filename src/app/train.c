/* mige train: an encoder by the objective that is asked for. */
#include "app/app.h"
#include "train/stop.h"

int cmd_train(app *a) {
    config *c = &a->cfg;
    mige_score_options score;
    mige_data d = {0};
    train_request q = {.c = &a->comm,
                       .o = &c->train,
                       .score = &score,
                       .data = &d,
                       .seed = (uint64_t)c->seed,
                       .threads = (int)c->threads,
                       .memory = memory_of(a),
                       .given = given_options(a),
                       .go_on = "the same command with --resume goes on",
                       .holds_run = "--resume goes on with it; or give another --out",
                       .other_run = "give the same options, or another --out",
                       .other_data = "give that file as --data; or --other-data, if this is meant",
                       .batch_option = "--batch"};
    c->train.resume = c->resume;
    MIGE_TRY(config_score(c, &score));
    MIGE_TRY(config_checks(c, &q.checks));
    MIGE_TRY(mige_stop_listen(&a->comm, c->max_hours, c->stop_file));
    MIGE_TRY(warn_shared_cores(&a->comm));
    MIGE_TRY(mige_data_open(&a->comm, c->train.data, &d));
    int err = mige_data_hold_out(&a->comm, c->train.validation, &d);
    if (!err) err = train_run(&q);
    mige_data_close(&d);
    return err;
}
