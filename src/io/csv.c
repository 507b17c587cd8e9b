/* Tables of text: numbers in lines, divided by commas, semicolons, tabs or blanks, under a line of names or none.
 * Of columns that are asked for by name the others may hold anything. */
#include "io/array.h"
#include "io/file.h"
#include "mige/log.h"
#include "mige/options.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 30 };

typedef struct {
    mige_array *a;
    char separator; /* ' ': any blanks; 0: not known yet */
    int tail;       /* lines end with a tab that divides nothing */
    int64_t line, cols, rows;
    int64_t *take;         /* [taken] columns that are asked for, by number, in their order */
    int taken;             /* 0: all are */
    int open;              /* a quote at the beginning of a field is not closed in its line */
    int integers;          /* no number has a point or an exponent */
    int64_t empty;         /* the first empty line behind samples */
    const char *above;     /* the last line of # above the first, without the mark */
    int remarked;          /* it names the columns */
    int64_t behind, among; /* lines of # behind samples, and those that others follow */
    int pairs;             /* digits behind the only comma of every line, as in 1,234; -1: names, or not so */
    int whole, decimals;   /* lines of two whole numbers; those that are not written like two: 0,05 and -0,5 */
} table;

/* The next field of a line, which is cut at its end, without blanks and quotes around it; *line = NULL at the last.
 */
static char *next_field(table *t, char **line) {
    char *field = *line + strspn(*line, " ");
    char *quote = *field == '"' ? strchr(field + 1, '"') : NULL; /* what is in quotes divides nothing */
    while (quote && quote[1] == '"') quote = strchr(quote + 2, '"');
    t->open |= *field == '"' && !quote;
    char *from = quote ? quote : field,
         *end = from + strcspn(from, t->separator == ' ' ? " \t" : (char[]){t->separator, 0});
    char *next = *end ? end + 1 : NULL;
    if (next && t->separator == ' ') next += strspn(next, " \t");
    *line = next && (*next || t->separator != ' ') ? next : NULL;
    while (end > field && strchr(" \t", end[-1])) end--;
    *end = 0;
    if (end - field >= 2 && *field == '"' && end[-1] == '"') {
        end[-1] = 0;
        field++;
    }
    return field;
}

static int is_integer(const char *field) {
    return !field[strspn(field, "+-0123456789")];
}

static int parse_number(const char *field, double *v) {
    char *end;
    errno = 0;
    *v = strtod(field, &end);
    return *field && !*end && !(errno == ERANGE && isinf(*v)) && (!is_integer(field) || fabs(*v) < 0x1p53);
}

/* Whether blanks, too, lie between numbers where there are tabs. */
static int is_mixed(const char *line) {
    if (!strchr(line, ' ') || strstr(line, "\t\t")) return 0;
    for (const char *at = line + strspn(line, " \t"); *at; at += strspn(at, " \t")) {
        char *end;
        strtod(at, &end);
        if (end == at || (*end && !strchr(" \t", *end))) return 0;
        at = end;
    }
    return 1;
}

/* What divides the fields of the first line: semicolons before commas, which are decimal ones, where all are
 * numbers. Tabs and blanks may be mixed. */
static char find_separator(const char *line) {
    static const char known[] = ",;\t";
    if (strchr(line, ';') && !line[strspn(line, "0123456789+-.,;eE \t")]) return ';';
    for (const char *p = known; *p; p++) {
        int quoted = 0;
        for (const char *at = line; *at; at++) { /* quotes begin at the beginning of a field */
            if (*at == '"' && (quoted || at == line || strchr(",;\t ", at[-1]))) quoted = !quoted;
            if (*at == *p && !quoted) return *p == '\t' && is_mixed(line) ? ' ' : *p;
        }
    }
    return ' ';
}

/* What others write where a number is missing. */
static int is_missing(const char *field) {
    static const char *const words[] = {"NA",    "N/A",    "n/a",    "NULL",    "null",    "None",   "?",
                                        "-",     ".",      "--",     "no data", "No data", "nodata", "#N/A",
                                        "#REF!", "#NAME?", "#NULL!", "#NUM!",   "#DIV/0!", "#VALUE!"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(field, words[i])) return 1;
    return 0;
}

/* What is meant as a number, though none that a double holds: too large, 1.#IND of Windows, a minus of Unicode, a
 * decimal comma. */
static int is_meant(const char *field) {
    char *end;
    int minus = !strncmp(field, "\xe2\x88\x92", 3);
    if (minus) field += 3;
    strtod(field, &end);
    return end > field &&
           (!*end || minus || *end == '#' || (*end == ',' && end[1] && !end[1 + strspn(end + 1, "0123456789")]));
}

/* The columns that are asked for, of a line of names. */
static int choose_columns(table *t, const char *line) {
    char *copy, *rest, *choices;
    int64_t fields = 0;
    int twice = 0;
    free(t->take);
    t->take = NULL;
    t->taken = 0;
    MIGE_CHECK(!strchr(line, '|'), MIGE_EINPUT, "%s: columns with | in their names cannot be chosen (rename them)",
               t->a->file);
    MIGE_TRY(mige_alloc(strlen(line) + 2, 1, &choices));
    int err = mige_text(&copy, "%s", line);
    for (rest = err ? NULL : copy; rest; strcat(choices, rest ? "|" : ""), fields++) {
        const char *field = next_field(t, &rest);
        twice |= mige_options_place(choices, field, strlen(field)) >= 0;
        strcat(choices, field);
    }
    free(copy);
    if (!err) err = mige_list_names(t->a->file, t->a->name, choices, &t->taken, &t->take) ? MIGE_EINPUT : MIGE_OK;
    free(choices);
    MIGE_TRY(err);
    MIGE_CHECK(fields == t->cols, MIGE_EINPUT, "%s: the remark above line %lld has %lld names, that %lld fields",
               t->a->file, (long long)t->line, (long long)fields, (long long)t->cols);
    MIGE_CHECK(!twice, MIGE_EINPUT, "%s: has columns of the same name (rename them)", t->a->file);
    return MIGE_OK;
}

/* Columns by the first line, or, where that does not have them, by the remark above it, if it names as many: NumPy
 * writes names there. *are: whether the first line has the names; before, whether it looks so. */
static int choose(table *t, const char *line, int *are) {
    char *message;
    int looks = *are, open = t->open, err = choose_columns(t, line);
    *are = 1;
    if (err != MIGE_EINPUT || !t->above) return err;
    MIGE_TRY(mige_text(&message, "%s", mige_error()));
    t->remarked = choose_columns(t, t->above) == MIGE_OK;
    t->open = open;
    *are = !t->remarked;
    if (!t->remarked && looks) mige_error_set(message, 0); /* of numbers the remark's says more */
    free(message);
    return t->remarked ? MIGE_OK : MIGE_EINPUT;
}

/* Whether the first line has names: no field is a number. Pandas writes numbers of columns and rows where there are
 * no names. */
static int names(table *t, const char *line, int *are) {
    char *copy, *rest;
    int numbers = 0, counted = 0, index = 0, unknown = 0;
    double v, start = 0;
    MIGE_TRY(mige_text(&copy, "%s", line));
    for (t->cols = 0, rest = copy; rest; t->cols++) {
        const char *field = next_field(t, &rest);
        int number = parse_number(field, &v);
        if (!t->cols) index = !*field || !strncmp(field, "Unnamed: 0", 10);
        if (number && !t->cols) start = v;
        numbers += number || is_meant(field);
        unknown += is_missing(field);
        counted += number && v == floor(start) + (double)t->cols;
    }
    free(copy);
    *are = !numbers;
    if (*t->a->name) return MIGE_OK; /* what is chosen will tell */
    MIGE_CHECK(unknown < t->cols, MIGE_EINPUT, "%s: line %lld has nothing but missing values (leave it out)",
               t->a->what, (long long)t->line);
    MIGE_CHECK(
        !index || t->cols == 1, MIGE_EINPUT,
        "%s: its first column has no name: the numbers of the rows? (leave it out: to_csv(..., index=False))",
        t->a->what);
    if (t->cols > 1 + (start != 0) && counted == t->cols)
        mige_warn("%s: line %lld counts from %g, as if it named the columns; it is read as a sample", t->a->what,
                  (long long)t->line, start);
    return MIGE_OK;
}

/* 1,234 and 1,234.5 are one number to some. */
static void look_for_pairs(table *t, const char *line) {
    size_t left = strspn(line, "+-0123456789"),
           right = line[left] == ',' ? strspn(line + left + 1, "0123456789") : 0;
    const char *rest = line + left + 1 + (line[left] ? right : 0) - !line[left];
    int thousands = right == 3 && *rest == '.' && !rest[1 + strspn(rest + 1, "0123456789")];
    int is = left && right > 1 && (!*rest || thousands);
    t->pairs = is && (!t->pairs || t->pairs == (int)right) ? (int)right : -1;
    int two = left && right && !*rest;
    t->whole += two;
    t->decimals += two && ((right > 1 && line[left + 1] == '0') || !strncmp(line, "-0,", 3));
}

/* Bytes of a field that a message has. */
static int shown(const char *field) {
    size_t n = strcspn(field, "\r\x1a");
    return n < 40 ? (int)n : 40;
}

/* Where a column goes in a row; -1: it is not asked for. */
static int64_t place_of(const table *t, int64_t col) {
    for (int i = 0; i < t->taken; i++)
        if (t->take[i] == col) return i;
    return t->taken ? -1 : col;
}

static int parse_field(table *t, const char *field, int64_t col, double *to) {
    MIGE_CHECK(parse_number(field, to), MIGE_EINPUT,
               "%s: line %lld, field %lld: \"%.*s\" is not a number that "
               "a double holds%s",
               t->a->what, (long long)t->line, (long long)col + 1, shown(field), field,
               strchr(field, ',')    ? " (decimal points, not commas)"
               : strchr(field, '\r') ? " (lines end with CR alone: save it anew)"
               : *field              ? ""
                                     : " (nothing may be missing)");
    t->integers &= is_integer(field);
    return MIGE_OK;
}

static int parse_row(table *t, char *line) {
    int64_t col = 0, width = t->taken ? t->taken : t->cols, place;
    MIGE_CHECK(!t->empty || t->cols > 1, MIGE_EINPUT, "%s: line %lld is empty (nothing may be missing)", t->a->what,
               (long long)t->empty);
    look_for_pairs(t, line);
    t->among = t->behind;
    MIGE_TRY(mige_grow((size_t)t->rows, (size_t)width * sizeof *t->a->values, &t->a->values));
    for (; line; col++) {
        const char *field = next_field(t, &line);
        MIGE_CHECK(col < t->cols, MIGE_EINPUT, "%s: line %lld has more than the %lld fields of the first",
                   t->a->what, (long long)t->line, (long long)t->cols);
        if ((place = place_of(t, col)) >= 0)
            MIGE_TRY(parse_field(t, field, col, t->a->values + t->rows * width + place));
    }
    MIGE_CHECK(!t->open, MIGE_EINPUT,
               "%s: line %lld: a quote is not closed in it (text of several lines? leave it out)", t->a->what,
               (long long)t->line);
    MIGE_CHECK(col == t->cols, MIGE_EINPUT, "%s: line %lld has %lld fields, the first %lld", t->a->what,
               (long long)t->line, (long long)col, (long long)t->cols);
    t->rows++;
    return MIGE_OK;
}

/* A word for what is missing that is no remark: #N/A of Excel. */
static int begins_missing(const char *line) {
    char word[16];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(line, ",;\t "), line);
    return is_missing(word);
}

/* Lines that hold no samples: empty ones, remarks as of NumPy's savetxt. */
static int is_beside(table *t, const char *line) {
    line += strspn(line, " \t");
    int remark = *line == '#' && !begins_missing(line) &&
                 (!t->taken || t->remarked); /* columns not asked for may begin so */
    if (!*line && t->rows && !t->empty) t->empty = t->line;
    t->behind += remark && t->rows;
    if (remark && !t->cols && line[1 + strspn(line + 1, " \t")]) t->above = line + 1 + strspn(line + 1, " \t");
    return !*line || remark;
}

static int parse_line(table *t, char *line) {
    size_t n = strlen(line);
    if (t->line == 1 && !strncmp(line, "sep=", 4) && line[4]) { /* Excel's word */
        t->separator = line[4];
        return MIGE_OK;
    }
    while (n && strchr("\r ", line[n - 1])) line[--n] = 0;
    if (!t->cols) t->tail = n && line[n - 1] == '\t';
    if (t->tail && n && line[n - 1] == '\t') line[--n] = 0;
    while (n && strchr(" \t", line[n - 1]) && !(line[n - 1] == '\t' && t->separator == '\t')) line[--n] = 0;
    if (is_beside(t, line)) return MIGE_OK;
    if (!t->cols) {
        int are = 0;
        if (!t->separator) t->separator = find_separator(line);
        MIGE_TRY(names(t, line, &are));
        if (*t->a->name)
            MIGE_TRY(choose(t, line, &are));
        else if (are)
            mige_say("%s: line %lld is taken for names: %.60s", t->a->what, (long long)t->line, line);
        if (are) t->pairs = -1;
        if (are) return MIGE_OK;
    }
    return parse_row(t, line);
}

static void tell(const table *t) {
    if (t->among)
        mige_warn("%s: lines that begin with # lie among the samples and are left out (%lld)", t->a->what,
                  (long long)t->among);
    if (t->pairs > 0 && t->rows > 2)
        mige_warn(
            "%s: each line is two numbers, the second of %d digits%s: they are read as two columns (is 1,234 one "
            "number? write it without comma)",
            t->a->what, t->pairs, t->pairs == 3 ? " before its point, if any" : "");
    else if (t->decimals && t->whole == t->rows)
        mige_warn(
            "%s: each line is two whole numbers, some written like 0,05 or -0,5: they are read as two columns "
            "(is that one number? write it with a point)",
            t->a->what);
}

static int parse(table *t, char *text, size_t size) {
    char *end;
    MIGE_CHECK(!memchr(text, 0, size), MIGE_EINPUT, "%s: is not text (of UTF-16? save it as UTF-8)", t->a->what);
    if (!strncmp(text, "\xef\xbb\xbf", 3)) text += 3;
    for (; text; text = end) {
        end = strchr(text, '\n');
        if (end) *end++ = 0;
        t->line++;
        MIGE_TRY(parse_line(t, text));
    }
    MIGE_CHECK(t->rows, MIGE_EINPUT, "%s: holds no numbers", t->a->what);
    tell(t);
    int64_t cols = t->taken ? t->taken : t->cols;
    t->a->layout = (mige_layout){cols == 1 && t->integers ? MIGE_I64 : MIGE_F64, 2, {t->rows, cols}};
    return MIGE_OK;
}

int mige_csv_open(mige_array *a, int64_t bytes) {
    char *text;
    size_t n;
    table t = {.a = a, .integers = 1};
    MIGE_CHECK(bytes <= MOST_BYTES, MIGE_EINPUT, "%s: more than 1 GB of text (save it as .npy)", a->what);
    MIGE_TRY(mige_alloc((size_t)bytes + 1, 1, &text));
    int why = mige_io_read_at(a->fd, 0, text, (size_t)bytes, &n);
    int err =
        why ? mige_raise(MIGE_EINPUT, "%s: could not be read: %s", a->what, strerror(why)) : parse(&t, text, n);
    free(t.take);
    free(text);
    return err;
}
