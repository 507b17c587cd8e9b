/* The text of --help, from the table of options. */
#include "mige/error.h"
#include "mige/options.h"
#include <stdio.h>
#include <string.h>

static void help_line(FILE *f, const mige_option *o) {
    static const char *const kinds[] = {"", "N", "X", "", "TEXT"};
    char left[160], range[80] = "";
    const char *kind = o->type == MIGE_OPT_CHOICE ? o->choices : o->units[0] ? o->units : kinds[o->type];
    snprintf(left, sizeof left, "  --%s %s", o->name, o->type == MIGE_OPT_FLAG ? "" : kind);
    if (o->min != 0 || o->max != 0) snprintf(range, sizeof range, "; %.10g to %.10g", o->min, o->max);
    fprintf(f, strlen(left) > 33 ? "%s\n%-34s%s" : "%-34s%s%s", left, strlen(left) > 33 ? "" : o->help,
            strlen(left) > 33 ? o->help : "");
    if (o->type != MIGE_OPT_FLAG && o->value[0])
        fprintf(f, " (default %s%s)", o->value, range);
    else if (range[0])
        fprintf(f, " (%s)", range + 2);
    fputc('\n', f);
}

int mige_options_help(const mige_option_table *t, const mige_command *cmd, const char *program, char **text) {
    size_t size = 0;
    FILE *f = open_memstream(text, &size);
    MIGE_CHECK(f, MIGE_EFAIL, "memory: no room for the help's text");
    fprintf(f, "%s %s %s\n%s\n\nOptions (also as `name = value` in an INI file given by --config):\n", program,
            cmd->name, cmd->usage, cmd->help);
    for (int i = 0; i < t->noptions; i++)
        if (t->options[i].commands & cmd->bit) help_line(f, &t->options[i]);
    fclose(f);
    return MIGE_OK;
}
