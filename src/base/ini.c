/* Options from INI files, and from the texts of configurations. */
#include "base/options.h"
#include "mige/error.h"
#include "mige/log.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_OPTIONS = 256 };
/* "FILE:LINE: " of the values that the program's own configuration has from INI files. */
static char origins[MOST_OPTIONS][256];

void options_came_from(const mige_option_table *t, const mige_option *o, const char *where) {
    snprintf(origins[o - t->options], sizeof *origins, "%s", where);
}

const char *mige_options_origin(const mige_option_table *t, const char *message) {
    char name[64];
    message += 2 * !strncmp(message, "--", 2);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(message, ": "), message);
    const mige_option *o = options_find(t, name);
    return o ? origins[o - t->options] : "";
}

struct reading {
    const mige_option_table *table;
    const mige_command *cmd;
    void *config;
    const char *path;
    int own; /* it is the program's, which errors are about */
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
    return start[n + strspn(start + n, " \t")] == '=' && n < sizeof name && options_find(t, name);
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
    options_text(o, config, whole, MIGE_OPT_TEXT_SIZE);
    size_t n = strlen(whole);
    /* What was written here goes on only behind a piece of a long value. */
    MIGE_CHECK(o->type == MIGE_OPT_TEXT && (earlier || n > PIECE - UNCUT), MIGE_EUSAGE,
               "%s: the line is indented, as if the value before went on", where);
    snprintf(whole + n, sizeof whole - n, "%s", value);
    return options_set_value(o, config, where, whole);
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
    if (r->earlier && !compared(r->cmd, options_find(r->table, name))) return 1;
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
    r->err = options_lookup(r->table, cmd, where, name, &o);
    if (!r->earlier) warn_of_marks(where, value ? value : "");
    if (!r->err && !r->earlier) r->err = check_key(r, o, *section != 0, where, cmd == r->cmd);
    if (!r->err && cmd == r->cmd)
        r->err = r->continued ? go_on(o, r->config, where, value, r->earlier)
                              : options_set_value(o, r->config, where, value ? value : "");
    where[strlen(where) - strlen(name)] = 0;
    if (!r->err && cmd == r->cmd && r->own) options_came_from(r->table, o, where);
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

int mige_options_file(const mige_option_table *t, const mige_command *cmd, void *config, const char *path,
                      int own) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct reading r = {
        .table = t, .cmd = cmd, .config = config, .path = path, .own = own, .f = fd < 0 ? NULL : fdopen(fd, "r")};
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
        options_text(o, config, theirs, sizeof theirs);
        options_text(o, g->config, ours, sizeof ours);
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
    size_t n = strlen(s->value); /* a long value comes in pieces */
    if (!strcmp(name, s->name)) snprintf(s->value + n, MIGE_OPT_TEXT_SIZE - n, "%s", value);
    return 1;
}

void mige_options_find(const char *text, const char *name, char value[MIGE_OPT_TEXT_SIZE]) {
    struct search s = {name, value};
    *value = 0;
    ini_parse_string(text, on_search, &s);
}
