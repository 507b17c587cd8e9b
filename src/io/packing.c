/* Values that are not what is stored: netCDF's conventions for packing and for missing values. */
#include "io/file.h"
#include <math.h>

enum { MOST = sizeof((mige_packing *)0)->fill / sizeof(double) };

/* The numbers of an attribute; *n = 0 if there is none. *real: 0 whole ones, SINGLE of that precision, else 1. */
enum { SINGLE = 2 };
static int read_numbers(const mige_file *f, const mige_set *s, const char *set, const char *name, int most,
                        double *v, int *n, int *real) {
    *n = *real = 0;
    if (H5Aexists(s->id, name) <= 0) return MIGE_OK;
    hid_t a = H5Aopen(s->id, name, H5P_DEFAULT), type = H5Aget_type(a), space = H5Aget_space(a);
    H5T_class_t c = H5Tget_class(type);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    int good = (c == H5T_INTEGER || c == H5T_FLOAT) && count >= 1 && count <= most &&
               H5Aread(a, H5T_NATIVE_DOUBLE, v) >= 0;
    if (c == H5T_FLOAT) *real = H5Tget_size(type) <= sizeof(float) ? SINGLE : 1;
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (a >= 0) H5Aclose(a);
    MIGE_CHECK(good, MIGE_EINPUT, "%s: attribute `%s` of %s is not 1 to %d numbers (mend or delete it)", f->path,
               name, set, most);
    *n = (int)count;
    return MIGE_OK;
}

/* A range of packed integers that is given in real numbers is one of what they unpack to (NetCDF Users' Guide).
 * real: valid_range, valid_min, valid_max are. */
static void pack_range(const mige_set *s, const int real[3], mige_packing *p) {
    static const double ROUNDING = 0.01; /* packed numbers are whole; bounds may be in single precision */
    int whole = s->layout.type != MIGE_F32 && s->layout.type != MIGE_F64;
    if (!whole || (p->scale == 1 && p->offset == 0)) return;
    double lo = (p->lo - p->offset) / p->scale, hi = (p->hi - p->offset) / p->scale;
    int down = p->scale < 0, low = real[0] || real[1 + down], high = real[0] || real[2 - down];
    if (low) p->lo = (down ? hi : lo) - ROUNDING;
    if (high) p->hi = (down ? lo : hi) + ROUNDING;
    p->unpacked = low || high;
}

static int read_range(const mige_file *f, const mige_set *s, const char *name, mige_packing *p) {
    double range[2];
    int n, real[3];
    MIGE_TRY(read_numbers(f, s, name, "valid_range", 2, range, &n, &real[0]));
    MIGE_CHECK(n != 1, MIGE_EINPUT, "%s: attribute `valid_range` is not two numbers (mend or delete it)", f->path);
    if (n == 2) {
        p->lo = range[0];
        p->hi = range[1];
    }
    MIGE_TRY(read_numbers(f, s, name, "valid_min", 1, &p->lo, &n, &real[1]));
    MIGE_TRY(read_numbers(f, s, name, "valid_max", 1, &p->hi, &n, &real[2]));
    pack_range(s, real, p);
    return MIGE_OK;
}

/* _Unsigned: 1 for whole numbers whose sign bit is a digit, -1 for those whose highest digit is a sign. */
static int wraps(const mige_file *f, const mige_set *s, const char *name) {
    char text[64];
    if (H5Aexists(s->id, "_Unsigned") <= 0) return 0;
    int read = !mige_file_get_text(f, name, "_Unsigned", text, sizeof text);
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
    int n, real;
    *p = (mige_packing){.scale = 1, .offset = 0, .lo = -INFINITY, .hi = INFINITY};
    MIGE_TRY(read_numbers(f, s, name, "scale_factor", 1, &p->scale, &n, &real));
    MIGE_TRY(read_numbers(f, s, name, "add_offset", 1, &p->offset, &n, &real));
    for (int i = 0; i < 2; i++) {
        MIGE_TRY(read_numbers(f, s, name, fills[i], MOST - p->nfill, p->fill + p->nfill, &n, &real));
        for (int k = 0; k < n; k++) p->single[p->nfill + k] = real == SINGLE;
        p->nfill += n;
    }
    read_fill(s, p);
    MIGE_TRY(read_range(f, s, name, p));
    p->wraps = wraps(f, s, name);
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
