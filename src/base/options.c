#include "base/options.h"
#include "mige/error.h"
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const mige_option *options_find(const mige_option_table *t, const char *name) {
    for (int i = 0; i < t->noptions; i++)
        if (!strcmp(t->options[i].name, name)) return &t->options[i];
    return NULL;
}

/* Levenshtein distance; names are short. */
static int distance(const char *a, const char *b) {
    enum { LONGEST = 64 };
    int row[LONGEST + 1], n = (int)strlen(b);
    if (n > LONGEST || strlen(a) > LONGEST) return LONGEST;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]), gap = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            diagonal = row[j];
            row[j] = change < gap ? change : gap;
        }
    }
    return row[n];
}

static const char *nearest_option(const mige_option_table *t, const mige_command *cmd, const char *name) {
    const char *best = "help";
    for (const mige_option *o = t->options; o < t->options + t->noptions; o++)
        if ((o->commands & cmd->bit) && distance(name, o->name) < distance(name, best)) best = o->name;
    return best;
}

const mige_command *mige_options_command(const mige_option_table *t, const char *name) {
    const mige_command *best = &t->commands[0];
    for (int i = 0; i < t->ncommands; i++) {
        if (!strcmp(t->commands[i].name, name)) return &t->commands[i];
        if (distance(name, t->commands[i].name) < distance(name, best->name)) best = &t->commands[i];
    }
    mige_raise(MIGE_EUSAGE, "%s: unknown command (nearest: %s; see mige --help)", name, best->name);
    return NULL;
}

void mige_options_choice(const char *choices, int i, char *text, size_t size) {
    while (i-- > 0 && strchr(choices, '|')) choices = strchr(choices, '|') + 1;
    snprintf(text, size, "%.*s", (int)strcspn(choices, "|"), choices);
}

int mige_options_place(const char *choices, const char *word, size_t length) {
    for (int i = 0; length > 0 && *choices; i++) {
        size_t n = strcspn(choices, "|");
        if (n == length && !strncmp(choices, word, n)) return i;
        choices += n + (choices[n] == '|');
    }
    return -1;
}

static int set_flag(const char *where, const char *value, int *out) {
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (int i = 0; i < 8; i++) {
        *out = i % 2;
        if (!strcasecmp(value, words[i])) return MIGE_OK;
    }
    return mige_raise(MIGE_EUSAGE, "%s: \"%s\" is not yes or no", where, value);
}

static int set_number(const mige_option *o, const char *where, const char *value, void *out) {
    char *end;
    errno = 0;
    double x = strtod(value, &end);
    int whole = o->type == MIGE_OPT_INT;
    MIGE_CHECK(*value && !*end && errno != ERANGE, MIGE_EUSAGE, "%s: \"%s\" is not a number", where, value);
    /* Beyond 2^53 a double skips whole numbers. */
    MIGE_CHECK(!whole || (x == floor(x) && fabs(x) <= 0x1p53), MIGE_EUSAGE, "%s: \"%s\" is not a whole number",
               where, value);
    MIGE_CHECK(isfinite(x) && ((o->min == 0 && o->max == 0) || (x >= o->min && x <= o->max)), MIGE_EUSAGE,
               "%s: %s is out of range (%.10g to %.10g)", where, value, o->min, o->max);
    if (whole)
        *(int64_t *)out = (int64_t)x;
    else
        *(double *)out = x;
    return MIGE_OK;
}

/* Where a value may go on on the next line of an INI file: a piece never begins or ends with a space, nor begins
 * with what inih takes for something else. */
static int may_be_cut(const char *value, size_t i) {
    return i > 0 && value[i - 1] != ' ' && !strchr(" ;#[", value[i]);
}

enum { WHERE = 66 }; /* of a message about the command line, at most */

/* What an INI file would not give back: inih takes " ;" for a comment and spaces at the ends for none; and what no
 * name of a file should have. */
static int check_text(const char *where, const char *value) {
    size_t n = strlen(value), uncut = 0;
    int kept = !n || (value[0] != ' ' && value[n - 1] != ' ');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)value[i];
        kept = kept && c >= ' ' && c != 127 && uncut < UNCUT && !(c == ';' && (i == 0 || value[i - 1] == ' '));
        uncut = may_be_cut(value, i) ? 0 : uncut + 1;
    }
    MIGE_CHECK(
        kept, MIGE_EUSAGE,
        "%s: \"%s\" begins or ends with a space, or holds \" ;\", a control character or a long row of spaces or "
        "brackets (which an INI file cannot keep)",
        where, value);
    return MIGE_OK;
}

int options_set_value(const mige_option *o, void *config, const char *where, const char *value) {
    void *v = (char *)config + o->offset;
    switch (o->type) {
    case MIGE_OPT_FLAG:
        return set_flag(where, value, v);
    case MIGE_OPT_CHOICE:
        *(int *)v = mige_options_place(o->choices, value, strlen(value));
        MIGE_CHECK(*(int *)v >= 0, MIGE_EUSAGE, "%s: \"%s\" is not a choice (one of %s)", where, value, o->choices);
        return MIGE_OK;
    case MIGE_OPT_INT:
    case MIGE_OPT_REAL:
        return set_number(o, where, value, v);
    case MIGE_OPT_TEXT:
        break;
    }
    MIGE_CHECK(strlen(value) < MIGE_OPT_TEXT_SIZE, MIGE_EUSAGE, "%s: longer than %d characters", where,
               MIGE_OPT_TEXT_SIZE - 1);
    MIGE_TRY(check_text(where, value));
    strcpy(v, value);
    return MIGE_OK;
}

int mige_options_defaults(const mige_option_table *t, void *config) {
    for (int i = 0; i < t->noptions; i++)
        MIGE_TRY(options_set_value(&t->options[i], config, t->options[i].name, t->options[i].value));
    return MIGE_OK;
}

int options_lookup(const mige_option_table *t, const mige_command *cmd, const char *where, const char *name,
                   const mige_option **o) {
    *o = options_find(t, name);
    MIGE_CHECK(*o, MIGE_EUSAGE, "%s: unknown option (nearest: %s; see mige %s --help)", where,
               nearest_option(t, cmd, name), cmd->name);
    MIGE_CHECK((*o)->commands & cmd->bit, MIGE_EUSAGE, "%s: not an option of %s (see mige %s --help)", where,
               cmd->name, cmd->name);
    return MIGE_OK;
}

int mige_options_set(const mige_option_table *t, const mige_command *cmd, void *config, const char *where,
                     const char *name, const char *value) {
    const mige_option *o;
    MIGE_TRY(options_lookup(t, cmd, where, name, &o));
    return options_set_value(o, config, where, value);
}

int mige_options_takes_value(const mige_option_table *t, const char *word) {
    const mige_option *o = strncmp(word, "--", 2) ? NULL : options_find(t, word + 2);
    return o && o->type != MIGE_OPT_FLAG;
}

/* What argv[*i] sets, taking the next word as value where it must; where: "--NAME"; *value = NULL for a lone flag.
 */
static int split(const mige_option_table *t, const mige_command *cmd, int argc, char **argv, int *i,
                 char where[WHERE], const mige_option **o, const char **value) {
    const char *word = argv[*i];
    MIGE_CHECK(!strncmp(word, "--", 2) && word[2], MIGE_EUSAGE, "%s: not an option (options begin with --)", word);
    size_t length = strcspn(word, "=");
    snprintf(where, WHERE, "%.*s", (int)(length < WHERE ? length : WHERE), word);
    *value = word[length] == '=' ? word + length + 1 : NULL;
    MIGE_TRY(options_lookup(t, cmd, where, where + 2, o));
    if (*value || (*o)->type == MIGE_OPT_FLAG) return MIGE_OK;
    MIGE_CHECK(*i + 1 < argc && strncmp(argv[*i + 1], "--", 2), MIGE_EUSAGE, "%s: a value is missing", where);
    *value = argv[++*i];
    return MIGE_OK;
}

int mige_options_parse(const mige_option_table *t, const mige_command *cmd, void *config, int argc, char **argv,
                       int *help) {
    *help = 0;
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) *help = 1;
    if (*help) return MIGE_OK;
    for (int file = 1; file >= 0; file--) /* the file first, so that the command line beats it */
        for (int i = 0; i < argc; i++) {
            char where[WHERE];
            const mige_option *o = NULL;
            const char *value = NULL;
            MIGE_TRY(split(t, cmd, argc, argv, &i, where, &o, &value));
            MIGE_CHECK(!value || value != argv[i] || *value, MIGE_EUSAGE,
                       "%s: its value is empty (leave it out; %s= clears it)", where, where);
            if (file && !strcmp(o->name, "config") && value) MIGE_TRY(mige_options_file(t, cmd, config, value, 1));
            if (file) continue;
            options_came_from(t, o, "");
            MIGE_TRY(options_set_value(o, config, where, value ? value : "yes"));
        }
    return MIGE_OK;
}

void options_text(const mige_option *o, const void *config, char *text, size_t size) {
    const void *v = (const char *)config + o->offset;
    switch (o->type) {
    case MIGE_OPT_FLAG:
        snprintf(text, size, "%s", *(const int *)v ? "yes" : "no");
        break;
    case MIGE_OPT_INT:
        snprintf(text, size, "%lld", (long long)*(const int64_t *)v);
        break;
    case MIGE_OPT_REAL: /* 17 digits read back exactly; fewer read better where they do too */
        snprintf(text, size, "%.6g", *(const double *)v);
        if (strtod(text, NULL) != *(const double *)v) snprintf(text, size, "%.17g", *(const double *)v);
        break;
    case MIGE_OPT_CHOICE:
        mige_options_choice(o->choices, *(const int *)v, text, size);
        break;
    case MIGE_OPT_TEXT:
        snprintf(text, size, "%s", (const char *)v);
        break;
    }
}

void mige_options_value(const mige_options_given *g, const char *name, char value[MIGE_OPT_TEXT_SIZE]) {
    const mige_option *o = options_find(g->table, name);
    *value = 0;
    if (o) options_text(o, g->config, value, MIGE_OPT_TEXT_SIZE);
}

/* NAME = VALUE, its end on indented lines where it is long. */
static void write_line(FILE *f, const char *name, const char *value) {
    fprintf(f, "%s = ", name);
    while (strlen(value) > PIECE) {
        int n = PIECE;
        while (n > 1 && !may_be_cut(value, (size_t)n)) n--;
        fprintf(f, "%.*s\n  ", n, value);
        value += n;
    }
    fprintf(f, "%s\n", value);
}

int mige_options_config(const mige_option_table *t, const mige_command *cmd, const void *config, char **text) {
    size_t size = 0;
    FILE *f = open_memstream(text, &size);
    MIGE_CHECK(f, MIGE_EFAIL, "memory: no room for the configuration's text");
    fprintf(f, "[%s]\n", cmd->name);
    for (int i = 0; i < t->noptions; i++) {
        const mige_option *o = &t->options[i];
        char value[MIGE_OPT_TEXT_SIZE];
        options_text(o, config, value, sizeof value);
        if ((o->commands & cmd->bit) && strcmp(o->name, "config")) write_line(f, o->name, value);
    }
    fclose(f);
    return MIGE_OK;
}
