/* mige convert: official files to the data file. One rank works. */
#include "app/app.h"
#include "mige/log.h"
#include <stdio.h>
#include <stdlib.h>

/* "64" or "48x64", rows by columns. */
static int parse_size(const char *text, int *h, int *w) {
    int end = 0, n = *text ? sscanf(text, "%d%nx%d%n", h, &end, w, &end) : 0;
    if (n == 1) *w = *h;
    MIGE_CHECK(!*text || (n >= 1 && !text[end] && *h >= 1 && *w >= 1 && *h <= 4096 && *w <= 4096), MIGE_EUSAGE,
               "--resize: \"%s\" is neither N nor HxW, 1 to 4096", text);
    return MIGE_OK;
}

static int convert(const config *c) {
    mige_images train = {0}, test = {0};
    char **names = NULL, format[32];
    int classes = 0;
    mige_convert_request q = {.format = format, .from = c->from, .output = c->output};
    mige_options_choice(MIGE_FORMATS, c->format, format, sizeof format);
    MIGE_TRY(parse_size(c->resize, &q.h, &q.w));
    int err = mige_convert_read(&q, &train, &test, &classes, &names);
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
