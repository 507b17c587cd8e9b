#include "io/file.h"
#include "mige/log.h"

enum { CHUNK = 1 << 18, DEFLATE = 9 };

mige_item mige_item_of(enum mige_type type) {
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
    return mige_set_write(f, name, mige_item_of(layout.type), layout, data, units, long_name, options);
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

static int open_numbers(const mige_file *f, const char *name, mige_set *s, mige_packing *p) {
    MIGE_TRY(mige_set_open(f, name, s));
    int err = s->text ? mige_raise(MIGE_EINPUT, "%s: %s holds text, not numbers", f->path, name)
                      : mige_packing_read(f, s, name, p);
    if (err) mige_set_close(s);
    return err;
}

int mige_file_read(const mige_file *f, const char *name, enum mige_type type, int64_t first, int64_t nrows,
                   void *rows) {
    mige_set s;
    mige_packing p;
    MIGE_TRY(open_numbers(f, name, &s, &p));
    int err = MIGE_OK;
    MIGE_CHECK_GOTO(!p.packed || type == MIGE_F64, done, MIGE_EINPUT,
                    "%s: %s is packed (scale_factor, add_offset or _Unsigned; unpack it first)", f->path, name);
    MIGE_TRY_GOTO(mige_set_read(f, &s, name, mige_item_of(type).memory, first, nrows, rows), done);
    MIGE_TRY_GOTO(mige_packing_undo(f, &s, name, &p, type, first, nrows, rows), done);
    int whole = s.exact && type == s.layout.type && nrows == s.layout.dims[0];
    if (whole && mige_io_has_attribute(f, name, "crc32"))
        err = mige_io_check_crc(f, name, mige_io_crc(0, rows, (size_t)s.bytes));
done:
    mige_set_close(&s);
    return err;
}

int mige_file_layout(const mige_file *f, const char *name, mige_layout *layout) {
    static const char *const sign[] = {" (with sign)", "", " (without sign)"};
    mige_set s;
    mige_packing p;
    MIGE_TRY(open_numbers(f, name, &s, &p));
    mige_set_warn(f, &s, name);
    if (p.packed) {
        s.layout.type = MIGE_F64;
        mige_say("%s: %s is unpacked: %g x stored value%s + %g", f->path, name, p.scale, sign[p.wraps + 1],
                 p.offset);
    }
    *layout = s.layout;
    mige_set_close(&s);
    return MIGE_OK;
}

int mige_file_has(const mige_file *f, const char *name) {
    hid_t set = H5Dopen2(f->id, name, mige_io_links());
    if (set >= 0) H5Dclose(set);
    return set >= 0 || (name[0] != '/' && mige_io_has_attribute(f, "/", name));
}
