/* Tables of text: numbers in lines, divided by commas, semicolons, tabs or blanks, under a line of names or none.
 */
#include "io/array.h"
#include "io/file.h"
#include "mige/log.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 30 };

typedef struct {
    mige_array *a;
    char separator; /* ' ': any blanks */
    int64_t line, cols, rows;
} table;

/* The next field of a line, which is cut at its end, without blanks and quotes around it; *line = NULL at the last.
 */
static char *next_field(const table *t, char **line) {
    char *field = *line + strspn(*line, " "),
         *end = field + strcspn(field, t->separator == ' ' ? " \t" : (char[]){t->separator, 0});
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

static int parse_number(const char *field, double *v) {
    char *end;
    errno = 0;
    *v = strtod(field, &end);
    int whole = field[strspn(field, "+-0123456789")] == 0;
    return *field && !*end && !(errno == ERANGE && isinf(*v)) && (!whole || fabs(*v) < 0x1p53);
}

/* What divides the fields of the first line. */
static char find_separator(const char *line) {
    static const char known[] = ",;\t";
    for (const char *p = known; *p; p++)
        if (strchr(line, *p)) return *p;
    return ' ';
}

/* What others write where a number is missing. */
static int is_missing(const char *field) {
    static const char *const words[] = {"NA", "N/A", "n/a", "NULL", "null", "None", "?", "-", "."};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(field, words[i])) return 1;
    return 0;
}

/* Whether the first line has names: no field is a number. Pandas writes numbers of columns and rows where there are
 * no names. */
static int names(table *t, const char *line, int *are) {
    char *copy, *rest;
    int numbers = 0, counted = 0, index = 0, unknown = 0;
    double v;
    MIGE_TRY(mige_text(&copy, "%s", line));
    for (t->cols = 0, rest = copy; rest; t->cols++) {
        const char *field = next_field(t, &rest);
        int number = parse_number(field, &v);
        if (!t->cols) index = !*field || !strncmp(field, "Unnamed: 0", 10);
        numbers += number;
        unknown += is_missing(field);
        counted += number && v == (double)t->cols;
    }
    free(copy);
    *are = !numbers;
    MIGE_CHECK(unknown < t->cols, MIGE_EINPUT, "%s: line %lld has nothing but missing values (leave it out)",
               t->a->what, (long long)t->line);
    MIGE_CHECK(
        !index || t->cols == 1, MIGE_EINPUT,
        "%s: its first column has no name: the numbers of the rows? (leave it out: to_csv(..., index=False))",
        t->a->what);
    if (t->cols > 1 && counted == t->cols)
        mige_warn("%s: line %lld counts from 0, as if it named the columns; it is read as a sample", t->a->what,
                  (long long)t->line);
    return MIGE_OK;
}

static int parse_row(table *t, char *line) {
    int64_t col = 0;
    MIGE_TRY(mige_grow((size_t)t->rows, (size_t)t->cols * sizeof *t->a->values, &t->a->values));
    for (; line; col++) {
        const char *field = next_field(t, &line);
        double v = 0;
        MIGE_CHECK(col < t->cols, MIGE_EINPUT, "%s: line %lld has more than the %lld fields of the first",
                   t->a->what, (long long)t->line, (long long)t->cols);
        MIGE_CHECK(parse_number(field, &v), MIGE_EINPUT,
                   "%s: line %lld, field %lld: \"%.40s\" is not a number that "
                   "a double holds%s",
                   t->a->what, (long long)t->line, (long long)col + 1, field,
                   strchr(field, ',') ? " (decimal points, not commas)"
                   : *field           ? ""
                                      : " (nothing may be missing)");
        t->a->values[t->rows * t->cols + col] = v;
    }
    MIGE_CHECK(col == t->cols, MIGE_EINPUT, "%s: line %lld has %lld fields, the first %lld", t->a->what,
               (long long)t->line, (long long)col, (long long)t->cols);
    t->rows++;
    return MIGE_OK;
}

static int parse_line(table *t, char *line) {
    size_t n = strlen(line);
    while (n && strchr("\r \t", line[n - 1]) && !(line[n - 1] == '\t' && t->separator == '\t')) line[--n] = 0;
    if (!n || *line == '#') return MIGE_OK; /* NumPy's savetxt begins so */
    if (!t->cols) {
        int are = 0;
        t->separator = find_separator(line);
        MIGE_TRY(names(t, line, &are));
        if (are) mige_say("%s: line %lld is taken for names: %.60s", t->a->what, (long long)t->line, line);
        if (are) return MIGE_OK;
    }
    return parse_row(t, line);
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
    t->a->layout = (mige_layout){MIGE_F64, 2, {t->rows, t->cols}};
    return MIGE_OK;
}

int mige_csv_open(mige_array *a, int64_t bytes) {
    char *text;
    size_t n;
    table t = {.a = a};
    MIGE_CHECK(bytes <= MOST_BYTES, MIGE_EINPUT, "%s: more than 1 GB of text (save it as .npy)", a->what);
    MIGE_TRY(mige_alloc((size_t)bytes + 1, 1, &text));
    int why = mige_io_read_at(a->fd, 0, text, (size_t)bytes, &n);
    int err =
        why ? mige_raise(MIGE_EINPUT, "%s: could not be read: %s", a->what, strerror(why)) : parse(&t, text, n);
    free(text);
    return err;
}
