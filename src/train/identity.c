/* Whether data are those that a run was trained on. */
#include "mige/error.h"
#include "mige/log.h"
#include "train/run.h"
#include <stdio.h>
#include <string.h>

void train_data_text(const mige_data *d, char text[TRAIN_DATA_TEXT]) {
    snprintf(text, TRAIN_DATA_TEXT, "images = %lld\nimage-size = %d x %d x %d\ndata-crc32 = %08x\n",
             (long long)d->train.n, d->c, d->h, d->w, (unsigned)d->crc);
}

int train_data_same(const mige_data *d, const char *data, const char *trained, const char *text, int allowed,
                    const char *advice) {
    static const char *const names[] = {"images", "image-size", "data-crc32"};
    char ours[TRAIN_DATA_TEXT], a[3][MIGE_OPT_TEXT_SIZE], b[3][MIGE_OPT_TEXT_SIZE];
    int differ[3];
    train_data_text(d, ours);
    for (int i = 0; i < 3; i++) {
        mige_options_find(text, names[i], a[i]);
        mige_options_find(ours, names[i], b[i]);
        differ[i] = *a[i] && strcmp(a[i], b[i]) != 0; /* earlier versions kept only the number */
    }
    MIGE_CHECK(!differ[1], MIGE_EINPUT, "data: %s was trained on images of %s, those of %s are %s (%s)", trained,
               a[1], data, b[1], advice);
    if (*a[2] ? !differ[2] : !differ[0]) return MIGE_OK; /* of the same file some may be held out */
    MIGE_CHECK(allowed, MIGE_EINPUT,
               "data: %s was trained on %s images, crc32 %s; %s is another file: %s training images, crc32 %s (%s)",
               trained, a[0], a[2], data, b[0], b[2], advice);
    mige_say("data: %s is not the file that %s was trained on: %s training images, crc32 %s, in place of %s, %s",
             data, trained, b[0], b[2], a[0], a[2]);
    return MIGE_OK;
}
