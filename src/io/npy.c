/* NumPy's .npy: a magic word, a version, a header that is a dictionary of Python, and the items. */
#include "io/array.h"
#include "io/file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 1 << 16, BLOCK = 1 << 20 };

/* The value behind 'KEY': in the header, or NULL. */
static const char *value_of(const char *header, const char *key) {
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s'", key);
    const char *at = strstr(header, quoted);
    if (!at) return NULL;
    at += strlen(quoted);
    at += strspn(at, " ");
    return *at == ':' ? at + 1 + strspn(at + 1, " ") : NULL;
}

static int parse_type(mige_array *a, const char *text) {
    static const struct {
        const char *name;
        enum mige_type type;
    } types[] = {{"f2", MIGE_F32}, {"f4", MIGE_F32}, {"f8", MIGE_F64}, {"i1", MIGE_I32},
                 {"i2", MIGE_I32}, {"i4", MIGE_I32}, {"i8", MIGE_I64}, {"u1", MIGE_U8},
                 {"u2", MIGE_I32}, {"u4", MIGE_I64}, {"u8", MIGE_I64}, {"b1", MIGE_F32}};
    size_t n = text && *text == '\'' ? strcspn(text + 1, "'") : 0;
    for (size_t i = 0; n == 3 && i < sizeof types / sizeof *types; i++)
        if (strchr("<>|=", text[1]) && !strncmp(text + 2, types[i].name, 2)) {
            memcpy(a->descr, text + 1, 3);
            a->layout.type = types[i].type;
            a->truth = text[2] == 'b';
            return MIGE_OK;
        }
    int shown = !text ? 0 : n ? (int)n + 2 : (int)strcspn(text, "]") + 1;
    int complex = n && text[2] == 'c';
    return mige_raise(MIGE_EINPUT, "%s: holds items of type %.*s, not plain numbers (%s)", a->what, shown,
                      text ? text : "",
                      complex ? "its real and imaginary parts are two arrays: np.hstack([x.real, x.imag])"
                              : "store plain numbers: each field, or time, as a column of floats");
}

static int parse_shape(mige_array *a, const char *text) {
    mige_layout *l = &a->layout;
    int good = text && *text == '(';
    MIGE_CHECK(!good || text[1] != ')', MIGE_EINPUT, "%s: is a single value, not an array", a->what);
    for (l->ndim = 0, text = good ? text + 1 : ""; good && *text != ')'; text += strspn(text, ", ")) {
        char *end;
        long long n = strtoll(text, &end, 10);
        good = end > text && n >= 0 && n <= (1LL << 40);
        MIGE_CHECK(l->ndim < 4, MIGE_EINPUT, "%s: does not have 1 to 4 dimensions", a->what);
        if (good) l->dims[l->ndim++] = n;
        if (good && *end == 'L') end++; /* of Python 2 */
        text = end;
    }
    MIGE_CHECK(good, MIGE_EINPUT, "%s: its header is damaged", a->what);
    for (int i = 0; i < l->ndim; i++)
        MIGE_CHECK(l->dims[i] > 0, MIGE_EINPUT, "%s: is empty: dimension %d is 0", a->what, i + 1);
    return MIGE_OK;
}

static int item_size(const mige_array *a) {
    return a->descr[2] - '0';
}

static int check_size(const mige_array *a, int64_t bytes) {
    int64_t wanted = item_size(a);
    int good = 1;
    for (int i = 0; i < a->layout.ndim; i++)
        good = good && !__builtin_mul_overflow(wanted, a->layout.dims[i], &wanted);
    MIGE_CHECK(good && wanted <= bytes - a->start, MIGE_EINPUT, "%s: is cut: %lld of %lld bytes of values", a->what,
               (long long)(bytes - a->start), (long long)wanted);
    MIGE_CHECK(wanted == bytes - a->start, MIGE_EINPUT, "%s: something follows its values (one array a file)",
               a->what);
    return MIGE_OK;
}

int mige_npy_open(mige_array *a, int64_t bytes) {
    unsigned char head[12];
    char *text;
    size_t n, length;
    int why = mige_io_read_at(a->fd, 0, head, sizeof head, &n), wide = head[6] > 1;
    MIGE_CHECK(!why && n == sizeof head && head[6] >= 1 && head[6] <= 3, MIGE_EINPUT,
               "%s: its beginning cannot be read, or is of a newer NumPy", a->what);
    length = head[8] | (size_t)head[9] << 8 | (wide ? (size_t)head[10] << 16 | (size_t)head[11] << 24 : 0);
    a->start = (wide ? 12 : 10) + (int64_t)length;
    MIGE_CHECK(length < LONGEST && a->start <= bytes, MIGE_EINPUT, "%s: its header is damaged", a->what);
    MIGE_TRY(mige_alloc(length + 1, 1, &text));
    why = mige_io_read_at(a->fd, wide ? 12 : 10, text, length, &n);
    const char *fortran = value_of(text, "fortran_order");
    a->fortran = fortran && !strncmp(fortran, "True", 4);
    int err = !why && n == length && !fortran
                  ? mige_raise(MIGE_EINPUT, "%s: its header tells no order (is it NumPy's?)", a->what)
              : why || n < length ? mige_raise(MIGE_EINPUT, "%s: its header cannot be read", a->what)
                                  : parse_type(a, value_of(text, "descr"));
    if (!err) err = parse_shape(a, value_of(text, "shape"));
    free(text);
    return err ? err : check_size(a, bytes);
}

/* Half precision: 5 bits of exponent, 10 of fraction. */
static double half(unsigned v) {
    int exponent = v >> 10 & 31, fraction = v & 1023, special = exponent == 31;
    double x = special ? (fraction ? NAN : INFINITY)
                       : ldexp(exponent ? 1024 + fraction : fraction, (exponent ? exponent : 1) - 25);
    return v >> 15 ? -x : x;
}

static double item(const mige_array *a, const unsigned char *at) {
    int size = item_size(a), big = a->descr[0] == '>';
    uint64_t bits = 0;
    for (int i = 0; i < size; i++) bits |= (uint64_t)at[big ? size - 1 - i : i] << 8 * i;
    switch (a->descr[1]) {
    case 'f': {
        float single;
        double x;
        uint32_t low = (uint32_t)bits;
        memcpy(&single, &low, sizeof single);
        memcpy(&x, &bits, sizeof x);
        return size == 2 ? half((unsigned)bits) : size == 4 ? (double)single : x;
    }
    case 'i':
        return (double)((int64_t)(bits << (64 - 8 * size)) >> (64 - 8 * size));
    default:
        return (double)bits;
    }
}

/* Items as they lie in the file, [first, first + n). */
static int read_items(const mige_array *a, int64_t first, int64_t n, double *x) {
    unsigned char *block;
    size_t size = (size_t)item_size(a), done, most = BLOCK / size;
    int err = MIGE_OK;
    MIGE_TRY(mige_alloc(most, size, &block));
    for (int64_t at = 0; at < n && !err; at += (int64_t)most) {
        size_t some = n - at < (int64_t)most ? (size_t)(n - at) : most;
        int why = mige_io_read_at(a->fd, a->start + (first + at) * (int64_t)size, block, some * size, &done);
        if (why || done < some * size) err = mige_raise(MIGE_EINPUT, "%s: could not be read to its end", a->what);
        for (size_t i = 0; i < some && !err; i++) x[at + (int64_t)i] = item(a, block + i * size);
    }
    free(block);
    return err;
}

int mige_npy_read(const mige_array *a, int64_t first, int64_t nrows, double *rows) {
    mige_layout l = a->layout;
    int64_t each = 1, place[4] = {0}, R;
    double *column;
    if (a->transposed) { /* the layout has them exchanged */
        l.dims[0] = a->layout.dims[1];
        l.dims[1] = a->layout.dims[0];
    }
    R = l.dims[0];
    for (int i = 1; i < l.ndim; i++) each *= l.dims[i];
    int err = MIGE_OK;
    if (!a->fortran) {
        err = read_items(a, first * each, nrows * each, rows);
    } else {
        MIGE_TRY(mige_alloc((size_t)nrows, sizeof *column, &column));
        for (int64_t k = 0; k < each && !err; k++) { /* the place of column k, first dimension fastest */
            int64_t to = 0, rest = k;
            for (int i = 1; i < l.ndim; i++) {
                place[i] = rest % l.dims[i];
                rest /= l.dims[i];
            }
            for (int i = 1; i < l.ndim; i++) to = to * l.dims[i] + place[i];
            err = read_items(a, k * R + first, nrows, column);
            for (int64_t i = 0; i < nrows && !err; i++) rows[i * each + to] = column[i];
        }
        free(column);
    }
    for (int64_t i = 0; i < nrows * each && !err && l.type == MIGE_I64; i++)
        MIGE_CHECK(fabs(rows[i]) < 0x1p53, MIGE_EINPUT,
                   "%s: row %lld holds %.0f: beyond 2^53 doubles skip whole numbers (subtract something)", a->what,
                   (long long)(first + i / each), rows[i]);
    return err;
}
