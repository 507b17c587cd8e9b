/* The text of --help, from the table of options. */
#include "mige/error.h"
#include "mige/options.h"
#include <stdio.h>
#include <string.h>

/* The option's default: what a word NAME=VALUE of the preset says, or the table. */
static void find_default(const mige_option *o, const char *preset, char value[64]) {
    size_t n = strlen(o->name);
    snprintf(value, 64, "%s", o->value);
    for (; *preset; preset += strcspn(preset, " "), preset += strspn(preset, " "))
        if (!strncmp(preset, o->name, n) && preset[n] == '=')
            snprintf(value, 64, "%.*s", (int)strcspn(preset + n + 1, " "), preset + n + 1);
}

static void help_line(FILE *f, const mige_option *o, const char *preset) {
    static const char *const kinds[] = {"", "N", "X", "", "TEXT"};
    char left[160], range[80] = "", value[64];
    find_default(o, preset, value);
    const char *kind = o->type == MIGE_OPT_CHOICE ? o->choices : o->units[0] ? o->units : kinds[o->type];
    snprintf(left, sizeof left, "  --%s %s", o->name, o->type == MIGE_OPT_FLAG ? "" : kind);
    if (o->min != 0 || o->max != 0) snprintf(range, sizeof range, "; %.10g to %.10g", o->min, o->max);
    fprintf(f, strlen(left) > 33 ? "%s\n%34s%s" : "%-34s%s%s", left, "", o->help);
    if (o->type != MIGE_OPT_FLAG && *value)
        fprintf(f, " (default %s%s)", value, range);
    else if (range[0])
        fprintf(f, " (%s)", range + 2);
    fputc('\n', f);
}

int mige_options_help(const mige_option_table *t, const mige_command *cmd, const char *program, const char *preset,
                      char **text) {
    size_t size = 0;
    FILE *f = open_memstream(text, &size);
    MIGE_CHECK(f, MIGE_EFAIL, "memory: no room for the help's text");
    fprintf(f, "%s %s %s\n%s\n\nOptions (also as `name = value` in an INI file given by --config):\n", program,
            cmd->name, cmd->usage, cmd->help);
    for (int i = 0; i < t->noptions; i++)
        if (t->options[i].commands & cmd->bit) help_line(f, &t->options[i], preset);
    fclose(f);
    return MIGE_OK;
}
