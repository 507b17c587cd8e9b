#include "mige/options.h"
#include "mige/error.h"
#include "mige/log.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static void *variable(const mige_option *o, void *config) {
    return (char *)config + o->offset;
}

static const mige_option *find(const mige_option_table *t, const char *name) {
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
    int least = distance(name, best);
    for (int i = 0; i < t->noptions; i++) {
        int d = distance(name, t->options[i].name);
        if ((t->options[i].commands & cmd->bit) && d < least) {
            least = d;
            best = t->options[i].name;
        }
    }
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

static int set_choice(const mige_option *o, const char *where, const char *value, int *out) {
    *out = mige_options_place(o->choices, value, strlen(value));
    MIGE_CHECK(*out >= 0, MIGE_EUSAGE, "%s: \"%s\" is not a choice (one of %s)", where, value, o->choices);
    return MIGE_OK;
}

static int set_flag(const char *where, const char *value, int *out) {
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (int i = 0; i < 8; i++) {
        *out = i % 2;
        if (!strcasecmp(value, words[i])) return MIGE_OK;
    }
    return mige_raise(MIGE_EUSAGE, "%s: \"%s\" is not yes or no", where, value);
}

static int in_range(const mige_option *o, double x) {
    return isfinite(x) && ((o->min == 0 && o->max == 0) || (x >= o->min && x <= o->max));
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
    MIGE_CHECK(in_range(o, x), MIGE_EUSAGE, "%s: %s is out of range (%.10g to %.10g)", where, value, o->min,
               o->max);
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

enum { WHERE = 66 };              /* of a message about the command line, at most */
enum { PIECE = 100, UNCUT = 50 }; /* characters of a line; of a stretch that cannot be cut, at most */

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

static int set_value(const mige_option *o, void *config, const char *where, const char *value) {
    void *v = variable(o, config);
    switch (o->type) {
    case MIGE_OPT_FLAG:
        return set_flag(where, value, v);
    case MIGE_OPT_CHOICE:
        return set_choice(o, where, value, v);
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
        MIGE_TRY(set_value(&t->options[i], config, t->options[i].name, t->options[i].value));
    return MIGE_OK;
}

static int lookup(const mige_option_table *t, const mige_command *cmd, const char *where, const char *name,
                  const mige_option **o) {
    *o = find(t, name);
    MIGE_CHECK(*o, MIGE_EUSAGE, "%s: unknown option (nearest: %s; see mige %s --help)", where,
               nearest_option(t, cmd, name), cmd->name);
    MIGE_CHECK((*o)->commands & cmd->bit, MIGE_EUSAGE, "%s: not an option of %s (see mige %s --help)", where,
               cmd->name, cmd->name);
    return MIGE_OK;
}

int mige_options_set(const mige_option_table *t, const mige_command *cmd, void *config, const char *where,
                     const char *name, const char *value) {
    const mige_option *o;
    MIGE_TRY(lookup(t, cmd, where, name, &o));
    return set_value(o, config, where, value);
}

enum { MOST_OPTIONS = 256 };

struct reading {
    const mige_option_table *table;
    const mige_command *cmd;
    void *config;
    const char *path;
    FILE *f;
    int line, err;
    int keyed;                 /* a key stood before in the section: 1, or 2 if that one was indented */
    int continued;             /* the line is indented: the value of the one before goes on */
    int earlier;               /* a text that is to be compared, which another version may have written */
    int seen[MOST_OPTIONS][2]; /* the line where an option was set: before any section, in the command's */
};

/* inih tells of a section only when there is a key in it, and passes over what stands behind it. */
static int check_section(const struct reading *r, const char *line) {
    char name[64];
    size_t n = strcspn(line, "]\r\n");
    const char *rest = line + n + (line[n] == ']');
    snprintf(name, sizeof name, "%.*s", (int)n, line);
    MIGE_CHECK(mige_options_command(r->table, name), MIGE_EUSAGE, "%s:%d: [%s] is no command's section", r->path,
               r->line, name);
    rest += strspn(rest, " \t\r\n");
    MIGE_CHECK(!*rest || strchr(";#", *rest), MIGE_EUSAGE, "%s:%d: \"%.20s\" behind a section (give it a line)",
               r->path, r->line, rest);
    return MIGE_OK;
}

/* Whether a line is an option's, whatever stands before it. */
static int is_key(const mige_option_table *t, const char *start) {
    char name[64];
    size_t n = strcspn(start, "= \t\r\n");
    snprintf(name, sizeof name, "%.*s", (int)n, start);
    return start[n + strspn(start + n, " \t")] == '=' && n < sizeof name && find(t, name);
}

/* inih does not tell its handler the line, so the reader counts; a line that inih would cut in two is refused. */
static char *read_line(char *text, int size, void *user) {
    struct reading *r = user;
    char *got = fgets(text, size, r->f);
    if (!got) return NULL;
    const char *start = ++r->line == 1 && !strncmp(got, "\xef\xbb\xbf", 3) ? got + 3 : got;
    start += strspn(start, " \t");
    int indented = isspace((unsigned char)*got) != 0, section = *start == '[';
    int key = is_key(r->table, start);
    r->continued = indented && r->keyed && !section && !(r->keyed == 2 && key);
    if (indented && !r->continued) start = memmove(got, start, strlen(start) + 1);
    if (section || !r->keyed) r->keyed = key ? 1 + indented : 0;
    if (section && !r->err && !r->earlier) r->err = check_section(r, start + 1);
    if (strchr(got, '\n') || feof(r->f)) return got;
    int remark = *start == ';' || *start == '#'; /* which may be longer than inih reads */
    if (remark) strcpy(got + 1, "\n");
    for (int c = 0; remark && c != EOF && c != '\n';) c = getc(r->f);
    if (!remark && !r->err)
        r->err = mige_raise(MIGE_EUSAGE, "%s:%d: longer than %d characters", r->path, r->line, size - 2);
    return got;
}

/* A long text is written in several lines, since inih reads no more than 198 characters of one. */
static int go_on(const mige_option *o, void *config, const char *where, const char *value, int earlier) {
    char whole[2 * MIGE_OPT_TEXT_SIZE];
    /* What was written here goes on only behind a piece of a long value. */
    MIGE_CHECK(o->type == MIGE_OPT_TEXT && (earlier || strlen(variable(o, config)) > PIECE - UNCUT), MIGE_EUSAGE,
               "%s: the line is indented, as if the value before went on", where);
    snprintf(whole, sizeof whole, "%s%s", (const char *)variable(o, config), value);
    return set_value(o, config, where, whole);
}

/* Whether the value of an option in an earlier text matters. */
static int compared(const mige_command *cmd, const mige_option *o) {
    return o && (o->commands & cmd->bit) && !(o->free_for & cmd->bit) && strcmp(o->name, "config") != 0;
}

/* What other programs take for a comment, and for no part of the value. */
static void warn_of_marks(const char *where, const char *value) {
    size_t n = strlen(value);
    if (strstr(value, " #")) mige_warn("%s: the value goes on behind \" #\" (comments begin with \" ;\")", where);
    if (n > 1 && strchr("\"'", value[0]) && value[n - 1] == value[0])
        mige_warn("%s: the quotes are part of the value (leave them out)", where);
}

/* A key counts once in a place, and no INI file reads another. */
static int check_key(struct reading *r, const mige_option *o, int place, const char *where, int ours) {
    int *seen = &r->seen[o - r->table->options][place];
    MIGE_CHECK(strcmp(o->name, "config") != 0, MIGE_EUSAGE,
               "%s: an INI file cannot name another (put its lines here)", where);
    if (r->continued || !ours) return MIGE_OK;
    MIGE_CHECK(!*seen, MIGE_EUSAGE, "%s: is set already in line %d (leave one of them out)", where, *seen);
    *seen = r->line;
    return MIGE_OK;
}

static int on_key(void *user, const char *section, const char *name, const char *value) {
    struct reading *r = user;
    if (r->err) return 0; /* the first error is the one to tell */
    if (r->earlier && !compared(r->cmd, find(r->table, name))) return 1;
    char where[MIGE_OPT_TEXT_SIZE + 128];
    snprintf(where, sizeof where, "%s:%d: %s", r->path, r->line, name);
    const mige_command *cmd = r->cmd;
    if (*section && strcmp(section, cmd->name)) {
        cmd = mige_options_command(r->table, section);
        if (!cmd) {
            r->err = mige_raise(MIGE_EUSAGE, "%s:%d: [%s] is no command's section", r->path, r->line, section);
            return 0;
        }
    }
    const mige_option *o;
    r->err = lookup(r->table, cmd, where, name, &o);
    if (!r->earlier) warn_of_marks(where, value ? value : "");
    if (!r->err && !r->earlier) r->err = check_key(r, o, *section != 0, where, cmd == r->cmd);
    if (!r->err && cmd == r->cmd)
        r->err = r->continued ? go_on(o, r->config, where, value, r->earlier)
                              : set_value(o, r->config, where, value ? value : "");
    return r->err == MIGE_OK;
}

static int read_ini(struct reading *r) {
    MIGE_CHECK(r->f, MIGE_EINPUT, "%s: %s (give the path of an INI file)", r->path, strerror(errno));
    int line = ini_parse_stream(read_line, r, on_key, r);
    int unreadable = ferror(r->f);
    fclose(r->f);
    MIGE_CHECK(!unreadable, MIGE_EINPUT, "%s: could not be read (give the path of an INI file)", r->path);
    if (r->err) return r->err;
    MIGE_CHECK(line == 0, MIGE_EUSAGE, "%s:%d: not \"name = value\" nor \"[section]\"", r->path, line);
    return MIGE_OK;
}

/* Text, and such as can be read again: some commands' defaults depend on what it says. */
static int check_file(const char *path, FILE *f) {
    struct stat st;
    int c, line = 1;
    MIGE_CHECK(fstat(fileno(f), &st) == 0 && !S_ISDIR(st.st_mode), MIGE_EINPUT,
               "%s: could not be read (give the path of an INI file)", path);
    MIGE_CHECK(S_ISREG(st.st_mode), MIGE_EINPUT, "%s: is not a regular file (write the lines to one)", path);
    while ((c = getc(f)) != EOF) {
        MIGE_CHECK(c, MIGE_EUSAGE, "%s:%d: holds NUL bytes: cut by a crash, or not in UTF-8 (write it again)", path,
                   line);
        line += c == '\n';
    }
    rewind(f);
    return MIGE_OK;
}

int mige_options_file(const mige_option_table *t, const mige_command *cmd, void *config, const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct reading r = {
        .table = t, .cmd = cmd, .config = config, .path = path, .f = fd < 0 ? NULL : fdopen(fd, "r")};
    int err = r.f ? check_file(path, r.f) : MIGE_OK;
    if (err) {
        fclose(r.f);
        return err;
    }
    MIGE_TRY(read_ini(&r));
    int any = 0;
    for (int i = 0; i < MOST_OPTIONS; i++) any |= r.seen[i][0] | r.seen[i][1];
    if (!any)
        mige_warn("%s: has nothing for %s (options stand before any section, or in that of the command)", path,
                  cmd->name);
    return MIGE_OK;
}

int mige_options_takes_value(const mige_option_table *t, const char *word) {
    const mige_option *o = strncmp(word, "--", 2) ? NULL : find(t, word + 2);
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
    MIGE_TRY(lookup(t, cmd, where, where + 2, o));
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
            if (file && !strcmp(o->name, "config") && value) MIGE_TRY(mige_options_file(t, cmd, config, value));
            if (!file) MIGE_TRY(set_value(o, config, where, value ? value : "yes"));
        }
    return MIGE_OK;
}

static void value_text(const mige_option *o, const void *config, char *text, size_t size) {
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
    const mige_option *o = find(g->table, name);
    *value = 0;
    if (o) value_text(o, g->config, value, MIGE_OPT_TEXT_SIZE);
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
        value_text(o, config, value, sizeof value);
        if ((o->commands & cmd->bit) && strcmp(o->name, "config")) write_line(f, o->name, value);
    }
    fclose(f);
    return MIGE_OK;
}

/* Bytes that the variables of a table reach over. */
static size_t extent(const mige_option_table *t) {
    size_t most = 0;
    for (int i = 0; i < t->noptions; i++)
        if (t->options[i].offset > most) most = t->options[i].offset;
    return most + MIGE_OPT_TEXT_SIZE;
}

static int compare(const mige_options_given *g, const void *config, const char *where, const char *advice) {
    for (int i = 0; i < g->table->noptions; i++) {
        const mige_option *o = &g->table->options[i];
        char theirs[MIGE_OPT_TEXT_SIZE], ours[MIGE_OPT_TEXT_SIZE];
        if (!compared(g->command, o)) continue;
        value_text(o, config, theirs, sizeof theirs);
        value_text(o, g->config, ours, sizeof ours);
        MIGE_CHECK(!strcmp(theirs, ours), MIGE_EUSAGE, "--%s: %.200s has \"%.200s\", this command \"%.200s\" (%s)",
                   o->name, where, theirs, ours, advice);
    }
    return MIGE_OK;
}

int mige_options_same(const mige_options_given *g, const char *where, const char *text, const char *advice) {
    void *config;
    size_t length = strlen(text);
    struct reading r = {.table = g->table, .cmd = g->command, .path = where, .earlier = 1};
    MIGE_TRY(mige_alloc(1, extent(g->table), &config));
    r.config = config;
    int err = mige_options_defaults(g->table, config);
    if (!err && length) {
        r.f = fmemopen((void *)(uintptr_t)text, length, "r");
        err = read_ini(&r);
    }
    if (!err) err = compare(g, config, where, advice);
    free(config);
    return err;
}

struct search {
    const char *name;
    char *value;
};

static int on_search(void *user, const char *section, const char *name, const char *value) {
    const struct search *s = user;
    (void)section;
    if (!strcmp(name, s->name)) snprintf(s->value, MIGE_OPT_TEXT_SIZE, "%s", value);
    return 1;
}

void mige_options_find(const char *text, const char *name, char value[MIGE_OPT_TEXT_SIZE]) {
    struct search s = {name, value};
    *value = 0;
    ini_parse_string(text, on_search, &s);
}
