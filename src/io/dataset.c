#include "io/file.h"
#include <string.h>

/* An item is stored in at least 1/EXPANSION of its size: deflate's best is 1032. SLACK: for small files. */
enum { CHUNK = 1 << 18, EXPANSION = 1100, SLACK = 1 << 24, DEFLATE = 9 };

static mige_item item_of(enum mige_type type) {
    const mige_item items[] = {
        [MIGE_U8] = {H5T_STD_U8LE, H5T_NATIVE_UINT8, 1},     [MIGE_I32] = {H5T_STD_I32LE, H5T_NATIVE_INT32, 4},
        [MIGE_I64] = {H5T_STD_I64LE, H5T_NATIVE_INT64, 8},   [MIGE_F32] = {H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 4},
        [MIGE_F64] = {H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 8},
    };
    return items[type];
}

/* ---- writing ---- */

static int check_layout(const mige_file *f, const char *name, const mige_layout *l) {
    int ok = l->ndim >= 1 && l->ndim <= 4 && l->dims[0] >= 0;
    for (int i = 1; ok && i < l->ndim; i++) ok = l->dims[i] > 0;
    MIGE_CHECK(ok, MIGE_EFAIL, "%s: %s has an impossible layout", f->path, name);
    return MIGE_OK;
}

static int set_chunks(hid_t plist, const mige_layout *l, size_t size) {
    hsize_t chunk[4], left = CHUNK / size > 0 ? CHUNK / size : 1;
    for (int i = l->ndim - 1; i >= 0; i--) {
        hsize_t n = l->dims[i] > 0 ? (hsize_t)l->dims[i] : 1;
        chunk[i] = n < left ? n : left;
        left = left / chunk[i] > 0 ? left / chunk[i] : 1;
    }
    return H5Pset_chunk(plist, l->ndim, chunk) < 0;
}

static hid_t creation_list(const mige_layout *l, size_t size, int options) {
    hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    if (p < 0) return p;
    /* No times, and no stray memory in the last chunk: equal contents are equal bytes. */
    int bad = H5Pset_obj_track_times(p, 0) < 0;
    if (options & (MIGE_COMPRESS | MIGE_EXTENSIBLE))
        bad = bad || set_chunks(p, l, size) || H5Pset_fill_time(p, H5D_FILL_TIME_ALLOC) < 0;
    if (options & MIGE_COMPRESS) bad = bad || H5Pset_deflate(p, DEFLATE) < 0;
    if (!bad) return p;
    H5Pclose(p);
    return -1;
}

static hid_t create_set(mige_file *f, const char *name, hid_t type, size_t size, const mige_layout *l,
                        int options) {
    hsize_t dims[4], most[4];
    for (int i = 0; i < l->ndim; i++) dims[i] = most[i] = (hsize_t)l->dims[i];
    if (options & MIGE_EXTENSIBLE) most[0] = H5S_UNLIMITED;
    hid_t space = H5Screate_simple(l->ndim, dims, most), plist = creation_list(l, size, options);
    hid_t links = H5Pcreate(H5P_LINK_CREATE), set = -1;
    if (space >= 0 && plist >= 0 && links >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0)
        set = H5Dcreate2(f->id, name, type, space, links, plist, H5P_DEFAULT);
    if (set < 0) mige_io_written(f, name, 1);
    if (links >= 0) H5Pclose(links);
    if (plist >= 0) H5Pclose(plist);
    if (space >= 0) H5Sclose(space);
    return set;
}

int mige_set_write(mige_file *f, const char *name, mige_item item, mige_layout layout, const void *data,
                   const char *units, const char *long_name, int options) {
    size_t bytes = item.size;
    MIGE_CHECK(!f->broken, MIGE_EOUTPUT, "%s: given up after an earlier failure to write", f->path);
    MIGE_TRY(check_layout(f, name, &layout));
    for (int i = 0; i < layout.ndim; i++) bytes *= (size_t)layout.dims[i];
    hid_t set = create_set(f, name, item.stored, item.size, &layout, options);
    if (set < 0) return MIGE_EOUTPUT;
    int err = mige_file_set_text(f, name, "units", units);
    if (!err) err = mige_file_set_text(f, name, "long_name", long_name);
    if (!err && bytes > 0)
        err = mige_io_written(f, name, H5Dwrite(set, item.memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0);
    if (!err) err = mige_io_set_crc(f, name, bytes > 0 ? mige_io_crc(0, data, bytes) : 0);
    int bad = H5Dclose(set) < 0;
    return err ? err : mige_io_written(f, name, bad);
}

int mige_file_write(mige_file *f, const char *name, mige_layout layout, const void *data, const char *units,
                    const char *long_name, int options) {
    return mige_set_write(f, name, item_of(layout.type), layout, data, units, long_name, options);
}

/* ---- reading ---- */

/* Rows of `space` and a space for them in memory; -1 when that fails. */
static hid_t select_rows(hid_t space, const mige_layout *l, int64_t first, int64_t nrows) {
    hsize_t start[4] = {0}, count[4];
    for (int i = 0; i < l->ndim; i++) count[i] = (hsize_t)l->dims[i];
    start[0] = (hsize_t)first;
    count[0] = (hsize_t)nrows;
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0) return -1;
    return H5Screate_simple(l->ndim, count, NULL);
}

static int check_type(const mige_file *f, const char *name, mige_set *s) {
    H5T_class_t c = H5Tget_class(s->type);
    s->size = H5Tget_size(s->type);
    s->text = c == H5T_STRING && H5Tis_variable_str(s->type) == 0;
    MIGE_CHECK(s->text || c == H5T_INTEGER || c == H5T_FLOAT, MIGE_EINPUT,
               "%s: %s holds neither numbers nor strings of fixed length (convert it)", f->path, name);
    MIGE_CHECK(s->size > 0 && s->size <= (s->text ? CHUNK : 16), MIGE_EINPUT, "%s: %s has items of %zu bytes",
               f->path, name, s->size);
    if (s->text) return MIGE_OK;
    if (c == H5T_FLOAT)
        s->layout.type = s->size <= 4 ? MIGE_F32 : MIGE_F64;
    else if (s->size == 1 && H5Tget_sign(s->type) == H5T_SGN_NONE)
        s->layout.type = MIGE_U8;
    else
        s->layout.type =
            s->size < 4 || (s->size == 4 && H5Tget_sign(s->type) != H5T_SGN_NONE) ? MIGE_I32 : MIGE_I64;
    s->exact = H5Tequal(s->type, item_of(s->layout.type).stored) > 0;
    return MIGE_OK;
}

static int check_dims(const mige_file *f, const char *name, mige_set *s) {
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(s->id);
    int n = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (n >= 1 && n <= 4 && H5Sget_simple_extent_dims(space, dims, NULL) < 0) n = -1;
    if (space >= 0) H5Sclose(space);
    MIGE_CHECK(n >= 1 && n <= 4, MIGE_EINPUT, "%s: %s does not have 1 to 4 dimensions", f->path, name);
    int ok = 1;
    s->layout.ndim = n;
    s->row_bytes = (int64_t)s->size;
    for (int i = n - 1; ok && i >= 0; i--) {
        ok = dims[i] <= INT64_MAX && (i == 0 || dims[i] > 0);
        s->layout.dims[i] = (int64_t)dims[i];
        int64_t *bytes = i > 0 ? &s->row_bytes : &s->bytes;
        ok = ok && !__builtin_mul_overflow(s->row_bytes, s->layout.dims[i], bytes);
    }
    MIGE_CHECK(ok, MIGE_EINPUT, "%s: %s has absurd dimensions (is the file damaged?)", f->path, name);
    return MIGE_OK;
}

static int64_t chunk_bytes(hid_t plist, const mige_set *s) {
    hsize_t chunk[H5S_MAX_RANK];
    int n = H5Pget_chunk(plist, 4, chunk);
    int64_t bytes = (int64_t)s->size;
    for (int i = 0; i < n && i < 4; i++)
        if (chunk[i] > INT32_MAX || __builtin_mul_overflow(bytes, (int64_t)chunk[i], &bytes)) return INT64_MAX;
    return n > 0 ? bytes : INT64_MAX;
}

/* A set cannot be (much) larger than the file it is in: memory is not asked for on the word of a damaged header. */
static int check_storage(const mige_file *f, const char *name, const mige_set *s) {
    hid_t plist = H5Dget_create_plist(s->id);
    int chunked = 0, ok = plist >= 0, elsewhere = 0;
    if (ok) {
        H5D_layout_t kind = H5Pget_layout(plist);
        chunked = kind == H5D_CHUNKED;
        elsewhere = (!chunked && kind != H5D_CONTIGUOUS && kind != H5D_COMPACT) || H5Pget_external_count(plist) > 0;
    }
    if (ok && chunked) {
        int64_t most = f->bytes < INT64_MAX / EXPANSION - SLACK ? f->bytes * EXPANSION + SLACK : INT64_MAX;
        ok = s->bytes <= most && chunk_bytes(plist, s) <= most;
    } else if (ok && !elsewhere) {
        ok = s->bytes <= f->bytes && H5Dget_storage_size(s->id) == (hsize_t)s->bytes;
    }
    if (plist >= 0) H5Pclose(plist);
    MIGE_CHECK(!elsewhere, MIGE_EINPUT, "%s: %s keeps its values in other files (copy them into it)", f->path,
               name);
    MIGE_CHECK(ok, MIGE_EINPUT, "%s: %s is larger than what the file holds of it (is the file damaged?)", f->path,
               name);
    return MIGE_OK;
}

int mige_set_open(const mige_file *f, const char *name, mige_set *s) {
    memset(s, 0, sizeof *s);
    s->id = s->type = -1;
    MIGE_CHECK(H5Lexists(f->id, name, H5P_DEFAULT) > 0, MIGE_EINPUT, "%s: there is no data set %s in it", f->path,
               name);
    s->id = H5Dopen2(f->id, name, H5P_DEFAULT);
    if (s->id < 0) return mige_io_unread(f, name);
    s->type = H5Dget_type(s->id);
    int err = s->type < 0 ? mige_io_unread(f, name) : MIGE_OK;
    if (!err) err = check_type(f, name, s);
    if (!err) err = check_dims(f, name, s);
    if (!err) err = check_storage(f, name, s);
    if (err) mige_set_close(s);
    return err;
}

void mige_set_close(mige_set *s) {
    if (s->type >= 0) H5Tclose(s->type);
    if (s->id >= 0) H5Dclose(s->id);
    s->id = s->type = -1;
}

int mige_set_read(const mige_file *f, const mige_set *s, const char *name, hid_t type, int64_t first, int64_t nrows,
                  void *rows) {
    MIGE_CHECK(first >= 0 && nrows >= 0 && first <= s->layout.dims[0] && nrows <= s->layout.dims[0] - first,
               MIGE_EINPUT, "%s: %s has %lld rows, rows %lld to %lld were asked for", f->path, name,
               (long long)s->layout.dims[0], (long long)first, (long long)first + (long long)nrows - 1);
    if (nrows == 0) return MIGE_OK;
    hid_t space = H5Dget_space(s->id), memory = select_rows(space, &s->layout, first, nrows);
    int bad = memory < 0 || H5Dread(s->id, type, memory, space, H5P_DEFAULT, rows) < 0;
    int err = bad ? mige_io_unread(f, name) : MIGE_OK;
    if (memory >= 0) H5Sclose(memory);
    if (space >= 0) H5Sclose(space);
    return err;
}

int mige_io_check_crc(const mige_file *f, const char *name, uint32_t crc) {
    int64_t stored = 0;
    MIGE_TRY(mige_file_get_int(f, name, "crc32", &stored));
    MIGE_CHECK(stored == (int64_t)crc, MIGE_EINPUT,
               "%s: %s is damaged: its sum does not match (copy or make the file again)", f->path, name);
    return MIGE_OK;
}

int mige_file_read(const mige_file *f, const char *name, enum mige_type type, int64_t first, int64_t nrows,
                   void *rows) {
    mige_set s;
    MIGE_TRY(mige_set_open(f, name, &s));
    int err = MIGE_OK;
    MIGE_CHECK_GOTO(!s.text, done, MIGE_EINPUT, "%s: %s holds text, not numbers", f->path, name);
    MIGE_TRY_GOTO(mige_set_read(f, &s, name, item_of(type).memory, first, nrows, rows), done);
    int whole = s.exact && type == s.layout.type && nrows == s.layout.dims[0];
    if (whole && mige_io_has_attribute(f, name, "crc32"))
        err = mige_io_check_crc(f, name, mige_io_crc(0, rows, (size_t)s.bytes));
done:
    mige_set_close(&s);
    return err;
}

int mige_file_layout(const mige_file *f, const char *name, mige_layout *layout) {
    mige_set s;
    MIGE_TRY(mige_set_open(f, name, &s));
    int err = MIGE_OK;
    MIGE_CHECK_GOTO(!s.text, done, MIGE_EINPUT, "%s: %s holds text, not numbers", f->path, name);
    *layout = s.layout;
done:
    mige_set_close(&s);
    return err;
}

int mige_file_has(const mige_file *f, const char *name) {
    hid_t set = H5Dopen2(f->id, name, H5P_DEFAULT);
    if (set >= 0) H5Dclose(set);
    return set >= 0 || (name[0] != '/' && mige_io_has_attribute(f, "/", name));
}
