#include "app/same.h"
#include "mige/error.h"
#include <stdlib.h>
#include <string.h>

enum { CONFIG_SIZE = 1 << 16 };

/* An option in an INI text that this program wrote: its name, and its value with the indented lines that go on. */
typedef struct {
    const char *name, *value;
    int name_length, value_length;
} entry;

static int next_entry(const char **text, entry *e) {
    while (**text) {
        const char *line = *text, *end = strchr(line, '\n'), *equals = strstr(line, " =");
        while (end && end[1] == ' ') end = strchr(end + 1, '\n');
        if (!end) end = line + strlen(line);
        *text = end + (*end == '\n');
        if (!equals || equals > end) continue;
        const char *value = equals + 2 + (equals[2] == ' ');
        if (value > end) value = end;
        *e = (entry){line, value, (int)(equals - line), (int)(end - value)};
        return 1;
    }
    return 0;
}

static int find(const char *text, const entry *like, entry *e) {
    while (next_entry(&text, e))
        if (e->name_length == like->name_length && !strncmp(e->name, like->name, (size_t)like->name_length))
            return 1;
    return 0;
}

/* Of every command: how a run looks and ends, and where it goes. */
static const char *const always_free[] = {"output", "quiet",     "progress", "log-view",  "dump-config", "dry-run",
                                          "resume", "max-hours", "memory",   "stop-file", "watch",       NULL};

static int named(const entry *e, const char *const *list) {
    for (; *list; list++)
        if (strlen(*list) == (size_t)e->name_length && !strncmp(*list, e->name, (size_t)e->name_length)) return 1;
    return 0;
}

void same_lines(char *text, const char *const *list) {
    char *to = text;
    entry e;
    for (const char *at = text; next_entry(&at, &e);) {
        if (named(&e, always_free) || named(&e, list)) continue;
        size_t length = (size_t)(e.value + e.value_length - e.name);
        memmove(to, e.name, length);
        to += length;
        *to++ = '\n';
    }
    *to = 0;
}

static int compare(const char *path, const char *theirs, const char *defaults, const char *ours,
                   const char *const *list) {
    entry our, other;
    while (next_entry(&ours, &our)) {
        if (named(&our, always_free) || named(&our, list) ||
            (!find(theirs, &our, &other) && !find(defaults, &our, &other)))
            continue;
        int equal =
            our.value_length == other.value_length && !strncmp(our.value, other.value, (size_t)our.value_length);
        MIGE_CHECK(
            equal, MIGE_EUSAGE,
            "--%.*s: %.200s has \"%.*s\", this command \"%.*s\" (give the same options, or another --output)",
            our.name_length, our.name, path, other.value_length, other.value, our.value_length, our.value);
    }
    return MIGE_OK;
}

int same_config(const mige_file *f, const app *a, const char *const *list) {
    char *theirs = NULL, *ours = NULL, *defaults = NULL;
    config *plain = NULL;
    int err = MIGE_OK;
    MIGE_TRY_GOTO(mige_alloc(CONFIG_SIZE, 1, &theirs), done);
    MIGE_TRY_GOTO(mige_alloc(1, sizeof *plain, &plain), done);
    MIGE_TRY_GOTO(mige_file_get_text(f, "/", "config", theirs, CONFIG_SIZE), done);
    MIGE_TRY_GOTO(mige_options_defaults(&option_table, plain), done);
    MIGE_TRY_GOTO(mige_options_config(&option_table, a->command, plain, &defaults), done);
    MIGE_TRY_GOTO(mige_options_config(&option_table, a->command, &a->cfg, &ours), done);
    err = compare(mige_file_path(f), theirs, defaults, ours, list);
done:
    free(theirs);
    free(plain);
    free(defaults);
    free(ours);
    return err;
}
