/* mige convert: official files to the data file. One rank works. */
#include "app/app.h"
#include "mige/data.h"
#include "mige/error.h"
#include "mige/log.h"
#include <stdlib.h>

static int convert(const config *c) {
    mige_images train = {0}, test = {0};
    char **names = NULL, format[32];
    int classes = 0;
    mige_options_choice("mnist|cifar10|cifar100", c->format, format, sizeof format);
    int err = mige_convert_read(format, c->from, &train, &test, &classes, &names);
    if (!err) err = mige_convert_sample(&train, classes, c->keep_train, (uint64_t)c->seed);
    if (!err) err = mige_convert_sample(&test, classes, c->keep_test, (uint64_t)c->seed);
    if (!err)
        mige_say("convert: %s, %lld + %lld images of %d x %d x %d in %d classes", format, (long long)train.n,
                 (long long)test.n, train.c, train.h, train.w, classes);
    if (!err && !c->dry_run)
        err = mige_convert_write(c->output, &train, &test, classes, (const char *const *)names, c->compress);
    if (!err && !c->dry_run) mige_say("convert: written to %s", c->output);
    mige_images_free(&train);
    mige_images_free(&test);
    free(names);
    return err;
}

int cmd_convert(app *a) {
    return mige_agree(&a->comm, a->comm.rank == 0 ? convert(&a->cfg) : MIGE_OK);
}
