#include "io/file.h"
#include <stdlib.h>
#include <time.h>

#ifndef MIGE_REVISION
#define MIGE_REVISION "unknown"
#endif

static mige_provenance now = {.ranks = 1, .threads = 1};

const char *mige_hdf5_version(void) {
    static char text[32];
    unsigned major, minor, release;
    H5get_libversion(&major, &minor, &release);
    snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    return text;
}

const char *mige_revision(void) {
    return MIGE_REVISION;
}

void mige_provenance_set(const mige_provenance *p) {
    now = *p;
}

int mige_file_config(const mige_file *f, char **text) {
    enum { CONFIG_SIZE = 1 << 16 };
    MIGE_TRY(mige_alloc(CONFIG_SIZE, 1, text));
    return mige_file_get_text(f, "/", "config", *text, CONFIG_SIZE);
}

int mige_file_same_options(const mige_file *f, const mige_options_given *given, const char *advice) {
    char *text = NULL;
    int err = mige_file_config(f, &text);
    if (!err) err = mige_options_same(given, mige_file_path(f), text, advice);
    free(text);
    return err;
}

int mige_io_stamp(mige_file *f, const char *format) {
    char created[32] = "";
    time_t t = time(NULL);
    struct tm utc;
    if (gmtime_r(&t, &utc)) strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &utc);
    const struct {
        const char *name, *text;
    } texts[] = {{"format", format},
                 {"software", "mige " MIGE_VERSION},
                 {"git_revision", MIGE_REVISION},
                 {"command_line", now.command_line},
                 {"config", now.config},
                 {"created", created},
                 {"hosts", now.hosts}};
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"format_version", MIGE_FORMAT_VERSION},
                   {"ranks", now.ranks},
                   {"threads", now.threads},
                   {"seed", now.seed},
                   {"sealed", 1}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        MIGE_TRY(mige_file_set_text(f, "/", texts[i].name, texts[i].text ? texts[i].text : ""));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        MIGE_TRY(mige_file_set_int(f, "/", numbers[i].name, numbers[i].value));
    return MIGE_OK;
}
