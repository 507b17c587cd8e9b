/* Values that are not what is stored: netCDF's conventions for packing and for missing values. */
#include "io/file.h"
#include <math.h>
#include <string.h>

enum { MOST = sizeof((mige_packing *)0)->fill / sizeof(double) };

/* The numbers of an attribute; *n = 0 if there is none. *single (may be NULL): they are in single precision. */
static int read_numbers(const mige_file *f, const mige_set *s, const char *set, const char *name, int most,
                        double *v, int *n, int *single) {
    *n = 0;
    if (H5Aexists(s->id, name) <= 0) return MIGE_OK;
    hid_t a = H5Aopen(s->id, name, H5P_DEFAULT), type = H5Aget_type(a), space = H5Aget_space(a);
    H5T_class_t c = H5Tget_class(type);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    int good = (c == H5T_INTEGER || c == H5T_FLOAT) && count >= 1 && count <= most &&
               H5Aread(a, H5T_NATIVE_DOUBLE, v) >= 0;
    if (single) *single = c == H5T_FLOAT && H5Tget_size(type) <= sizeof(float);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (a >= 0) H5Aclose(a);
    MIGE_CHECK(good, MIGE_EINPUT, "%s: attribute `%s` of %s is not 1 to %d numbers (mend or delete it)", f->path,
               name, set, most);
    *n = (int)count;
    return MIGE_OK;
}

/* Whether an attribute is a real number. */
static int is_real(const mige_set *s, const char *name) {
    if (H5Aexists(s->id, name) <= 0) return 0;
    hid_t a = H5Aopen(s->id, name, H5P_DEFAULT), type = H5Aget_type(a);
    int real = H5Tget_class(type) == H5T_FLOAT;
    if (type >= 0) H5Tclose(type);
    if (a >= 0) H5Aclose(a);
    return real;
}

/* A range of packed integers that is given in real numbers is one of what they unpack to (NetCDF Users' Guide). */
static void pack_range(const mige_set *s, mige_packing *p) {
    static const double ROUNDING = 0.01; /* packed numbers are whole; bounds may be in single precision */
    int whole = s->layout.type != MIGE_F32 && s->layout.type != MIGE_F64;
    if (!whole || (p->scale == 1 && p->offset == 0)) return;
    double lo = (p->lo - p->offset) / p->scale, hi = (p->hi - p->offset) / p->scale;
    int down = p->scale < 0, both = is_real(s, "valid_range"),
        low = both || is_real(s, down ? "valid_max" : "valid_min"),
        high = both || is_real(s, down ? "valid_min" : "valid_max");
    if (low) p->lo = (down ? hi : lo) - ROUNDING;
    if (high) p->hi = (down ? lo : hi) + ROUNDING;
    p->unpacked = low || high;
}

static int read_range(const mige_file *f, const mige_set *s, const char *name, mige_packing *p) {
    double range[2];
    int n;
    MIGE_TRY(read_numbers(f, s, name, "valid_range", 2, range, &n, NULL));
    MIGE_CHECK(n != 1, MIGE_EINPUT, "%s: attribute `valid_range` is not two numbers (mend or delete it)", f->path);
    if (n == 2) {
        p->lo = range[0];
        p->hi = range[1];
    }
    MIGE_TRY(read_numbers(f, s, name, "valid_min", 1, &p->lo, &n, NULL));
    MIGE_TRY(read_numbers(f, s, name, "valid_max", 1, &p->hi, &n, NULL));
    pack_range(s, p);
    return MIGE_OK;
}

/* _Unsigned: 1 for whole numbers whose sign bit is a digit, -1 for those whose highest digit is a sign. */
static int wraps(const mige_set *s) {
    char text[16] = "", *longer = NULL;
    if (H5Aexists(s->id, "_Unsigned") <= 0) return 0;
    hid_t a = H5Aopen(s->id, "_Unsigned", H5P_DEFAULT), type = H5Aget_type(a);
    int string = H5Tget_class(type) == H5T_STRING, any = string && H5Tis_variable_str(type) > 0;
    int read =
        string && (any || H5Tget_size(type) < sizeof text) && H5Aread(a, type, any ? (void *)&longer : text) >= 0;
    if (any && read && longer) {
        text[0] = longer[0];
        H5free_memory(longer);
    }
    if (type >= 0) H5Tclose(type);
    if (a >= 0) H5Aclose(a);
    int real = s->layout.type == MIGE_F32 || s->layout.type == MIGE_F64,
        no = read && (text[0] == 'f' || text[0] == 'F');
    return real ? 0 : no ? -(H5Tget_sign(s->type) == H5T_SGN_NONE) : !read || text[0] == 't' || text[0] == 'T';
}

/* What HDF5 itself puts where nothing was written, if the writer chose it; 0, what netCDF always chooses for bytes
 * (which have no missing values there), and the white of pictures are values like others.
 */
static void read_fill(const mige_set *s, mige_packing *p) {
    H5D_fill_value_t defined;
    double v = 0;
    int picture = s->layout.type == MIGE_U8 && s->layout.ndim >= 3;
    hid_t plist = H5Dget_create_plist(s->id);
    if (plist >= 0 && !picture && H5Pfill_value_defined(plist, &defined) >= 0 &&
        defined == H5D_FILL_VALUE_USER_DEFINED && H5Pget_fill_value(plist, H5T_NATIVE_DOUBLE, &v) >= 0 && v != 0 &&
        !(s->size == 1 && (v == 255 || v == -127)) && p->nfill < MOST)
        p->fill[p->nfill++] = v;
    if (plist >= 0) H5Pclose(plist);
}

int mige_packing_read(const mige_file *f, const mige_set *s, const char *name, mige_packing *p) {
    static const char *const fills[] = {"_FillValue", "missing_value"};
    int n, single = 0;
    *p = (mige_packing){.scale = 1, .offset = 0, .lo = -INFINITY, .hi = INFINITY};
    MIGE_TRY(read_numbers(f, s, name, "scale_factor", 1, &p->scale, &n, NULL));
    MIGE_TRY(read_numbers(f, s, name, "add_offset", 1, &p->offset, &n, NULL));
    for (int i = 0; i < 2; i++) {
        MIGE_TRY(read_numbers(f, s, name, fills[i], MOST - p->nfill, p->fill + p->nfill, &n, &single));
        for (int k = 0; k < n; k++) p->single[p->nfill + k] = single;
        p->nfill += n;
    }
    read_fill(s, p);
    MIGE_TRY(read_range(f, s, name, p));
    p->wraps = wraps(s);
    MIGE_CHECK(isfinite(p->scale) && p->scale != 0 && isfinite(p->offset), MIGE_EINPUT,
               "%s: scale_factor %g and add_offset %g of %s unpack nothing (mend or delete them)", f->path,
               p->scale, p->offset, name);
    p->packed = p->scale != 1 || p->offset != 0 || p->wraps;
    p->used = p->packed || p->nfill || p->lo > -INFINITY || p->hi < INFINITY;
    return MIGE_OK;
}

static double item(enum mige_type type, const void *rows, int64_t i) {
    switch (type) {
    case MIGE_U8:
        return ((const uint8_t *)rows)[i];
    case MIGE_I32:
        return ((const int32_t *)rows)[i];
    case MIGE_I64:
        return (double)((const int64_t *)rows)[i];
    case MIGE_F32:
        return (double)((const float *)rows)[i];
    case MIGE_F64:
        break;
    }
    return ((const double *)rows)[i];
}

/* As a number without sign, or with. */
static double unwrapped(const mige_set *s, int wraps, double v) {
    double range = ldexp(1, 8 * (int)s->size);
    return wraps > 0 && v < 0 ? v + range : wraps < 0 && v >= range / 2 ? v - range : v;
}

static int missing(const mige_set *s, const mige_packing *p, double v) {
    int single = s->layout.type == MIGE_F32;
    for (int k = 0; k < p->nfill; k++)
        if (v == p->fill[k] || ((single || p->single[k]) && (float)v == (float)p->fill[k]) ||
            (p->wraps && unwrapped(s, p->wraps, v) == p->fill[k]))
            return 1;
    if (p->unpacked || p->wraps < 0) v = unwrapped(s, p->wraps, v);
    return v < p->lo || v > p->hi;
}

int mige_packing_undo(const mige_file *f, const mige_set *s, const char *name, const mige_packing *p,
                      enum mige_type type, int64_t first, int64_t nrows, void *rows) {
    int64_t each = s->row_bytes / (int64_t)s->size, n = nrows * each;
    int large = type == MIGE_F64 && s->layout.type == MIGE_I64;
    double *x = rows;
    if (!p->used && !large) return MIGE_OK;
    for (int64_t i = 0; i < n; i++) {
        double v = item(type, rows, i);
        long long row = (long long)(first + i / each);
        MIGE_CHECK(!missing(s, p, v), MIGE_EINPUT,
                   "%s: row %lld of %s holds %g, which its fill value or attributes (_FillValue, missing_value, "
                   "valid_range) call missing (leave such rows out)",
                   f->path, row, name, v);
        MIGE_CHECK(!large || fabs(v) < 0x1p53, MIGE_EINPUT,
                   "%s: row %lld of %s holds %.0f: beyond 2^53 doubles skip whole numbers (subtract something)",
                   f->path, row, name, v);
        if (p->packed) x[i] = unwrapped(s, p->wraps, v) * p->scale + p->offset;
    }
    return MIGE_OK;
}
