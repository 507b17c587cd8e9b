#include "mige/error.h"
#include "mige/options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The next word, without the blanks around it; *text goes on behind its comma. */
static const char *next_word(const char **text, int *length) {
    const char *word = *text + strspn(*text, " "), *end = word + strcspn(word, ",");
    *text = end + (*end == ',');
    while (end > word && end[-1] == ' ') end--;
    *length = (int)(end - word);
    return word;
}

static int parse_integer(const char *where, const char *word, int length, int64_t min, int64_t max,
                         int64_t *value) {
    char *end;
    double v = strtod(word, &end); /* 1e3 is one, too */
    MIGE_CHECK(length > 0 && end == word + length && word[0] != '+' && v == floor(v), MIGE_EUSAGE,
               "%s: \"%.*s\" is not a whole number (a list such as 5,10,20)", where, length, word);
    MIGE_CHECK(v >= (double)min && v <= (double)max && fabs(v) <= 0x1p53, MIGE_EUSAGE,
               "%s: %.*s is out of range (%lld to %lld)", where, length, word, (long long)min, (long long)max);
    *value = (int64_t)v;
    return MIGE_OK;
}

static int parse_name(const char *where, const char *word, int length, const char *choices, int64_t *place) {
    *place = mige_options_place(choices, word, (size_t)length);
    MIGE_CHECK(*place >= 0, MIGE_EUSAGE, "%s: \"%.*s\" is not known (%s)", where, length, word, choices);
    return MIGE_OK;
}

/* choices NULL: whole numbers. */
static int parse_list(const char *where, const char *text, const char *choices, int64_t min, int64_t max, int *n,
                      int64_t **values) {
    int length, err = MIGE_OK, count = 1;
    for (const char *p = text; *p; p++) count += *p == ',';
    MIGE_TRY(mige_alloc((size_t)count, sizeof **values, values));
    for (*n = 0; *n < count; ++*n) {
        const char *word = next_word(&text, &length);
        int64_t *v = &(*values)[*n];
        err =
            choices ? parse_name(where, word, length, choices, v) : parse_integer(where, word, length, min, max, v);
        if (err) goto failed;
        for (int i = 0; i < *n; i++)
            MIGE_CHECK_GOTO((*values)[i] != *v, failed, MIGE_EUSAGE, "%s: %.*s is named twice", where, length,
                            word);
    }
    return MIGE_OK;
failed:
    free(*values);
    *values = NULL;
    return err;
}

int mige_list_integers(const char *where, const char *text, int64_t min, int64_t max, int *n, int64_t **values) {
    return parse_list(where, text, NULL, min, max, n, values);
}

int mige_list_names(const char *where, const char *text, const char *choices, int *n, int64_t **places) {
    return parse_list(where, text, choices, 0, 0, n, places);
}
