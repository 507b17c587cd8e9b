/* Opening a stored data set, whoever wrote it, and saying what hinders. */
#include "io/file.h"
#include "mige/log.h"
#include <stdio.h>
#include <string.h>

/* An item is stored in at least 1/EXPANSION of its size: deflate's best is 1032. SLACK: for small files. LONGEST:
 * bytes of a string. */
enum { EXPANSION = 1100, SLACK = 1 << 24, LONGEST = 1 << 18 };

/* ---- the type */

/* What holds neither numbers nor text. `text`: fields of a table. */
static const char *other_class(hid_t type, char *text, size_t size) {
    static const char *const others[H5T_NCLASSES] = {
        [H5T_REFERENCE] = "holds references to other objects (cells?), not numbers",
        [H5T_OPAQUE] = "holds opaque bytes, not numbers",
        [H5T_BITFIELD] = "holds bit fields, not numbers",
        [H5T_VLEN] = "holds rows of different lengths",
        [H5T_ARRAY] = "has arrays as its items",
    };
    H5T_class_t c = H5Tget_class(type);
    const char *other = c >= 0 && c < H5T_NCLASSES ? others[c] : NULL;
    if (c != H5T_COMPOUND) return other ? other : "holds neither numbers nor text";
    snprintf(text, size, "is a table (compound) of the fields");
    for (int i = 0, n = H5Tget_nmembers(type); i < n; i++) {
        char *field = H5Tget_member_name(type, (unsigned)i);
        size_t at = strlen(text);
        snprintf(text + at, size - at, "%s %.40s", i ? "," : "", field ? field : "?");
        H5free_memory(field);
    }
    return text;
}

/* An enumeration is read as its numbers; h5py's truth values are one, which counts as reals within 0 to 1. */
static int number_type(mige_set *s) {
    hid_t base = H5Tget_class(s->type) == H5T_ENUM ? H5Tget_super(s->type) : H5Tcopy(s->type);
    int sign = H5Tget_sign(base) != H5T_SGN_NONE, real = H5Tget_class(base) == H5T_FLOAT;
    H5Tclose(base);
    if (H5Tget_class(s->type) == H5T_ENUM && H5Tget_member_index(s->type, "TRUE") >= 0) return MIGE_F32;
    if (real) return s->size <= 4 ? MIGE_F32 : MIGE_F64;
    if (s->size == 1 && !sign) return MIGE_U8;
    return s->size < 4 || (s->size == 4 && sign) ? MIGE_I32 : MIGE_I64;
}

static int check_type(const mige_file *f, const char *name, mige_set *s) {
    char text[256];
    H5T_class_t c = H5Tget_class(s->type);
    s->size = H5Tget_size(s->type);
    s->text = c == H5T_STRING;
    s->variable = s->text && H5Tis_variable_str(s->type) > 0;
    MIGE_CHECK(s->text || c == H5T_INTEGER || c == H5T_FLOAT || c == H5T_ENUM, MIGE_EINPUT,
               "%s: %s %s (copy the numbers to a plain data set)", f->path, name,
               other_class(s->type, text, sizeof text));
    MIGE_CHECK(s->size > 0 && s->size <= (s->text ? LONGEST : 16), MIGE_EINPUT, "%s: %s has items of %zu bytes",
               f->path, name, s->size);
    if (s->text) return MIGE_OK;
    s->layout.type = (enum mige_type)number_type(s);
    s->exact = H5Tequal(s->type, mige_item_of(s->layout.type).stored) > 0;
    return MIGE_OK;
}

/* ---- dimensions and storage */

static int check_dims(const mige_file *f, const char *name, mige_set *s) {
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(s->id);
    int n = space < 0 ? -1 : H5Sget_simple_extent_ndims(space), null = H5Sget_simple_extent_type(space) == H5S_NULL;
    if (n >= 1 && n <= 4 && H5Sget_simple_extent_dims(space, dims, NULL) < 0) n = -1;
    if (space >= 0) H5Sclose(space);
    MIGE_CHECK(!null, MIGE_EINPUT, "%s: %s is empty", f->path, name);
    MIGE_CHECK(n != 0, MIGE_EINPUT, "%s: %s is a single value, not an array", f->path, name);
    MIGE_CHECK(n >= 1 && n <= 4, MIGE_EINPUT, "%s: %s does not have 1 to 4 dimensions", f->path, name);
    int ok = 1;
    s->layout.ndim = n;
    s->row_bytes = (int64_t)s->size;
    for (int i = n - 1; ok && i >= 0; i--) {
        MIGE_CHECK(i == 0 || dims[i] > 0, MIGE_EINPUT, "%s: %s is empty: dimension %d is 0", f->path, name, i + 1);
        ok = dims[i] <= INT64_MAX;
        s->layout.dims[i] = (int64_t)dims[i];
        int64_t *bytes = i > 0 ? &s->row_bytes : &s->bytes;
        ok = ok && !__builtin_mul_overflow(s->row_bytes, s->layout.dims[i], bytes);
    }
    MIGE_CHECK(ok, MIGE_EINPUT, "%s: %s has absurd dimensions (is the file damaged?)", f->path, name);
    return MIGE_OK;
}

/* Chunks of the set as its dimensions ask for them, and their size; -1: absurd. */
static int64_t chunk_bytes(hid_t plist, const mige_set *s, int64_t *chunks) {
    hsize_t chunk[H5S_MAX_RANK];
    int n = H5Pget_chunk(plist, 4, chunk);
    int64_t bytes = (int64_t)s->size;
    *chunks = 1;
    for (int i = 0; i < n && i < 4; i++) {
        if (!chunk[i] || chunk[i] > INT32_MAX || __builtin_mul_overflow(bytes, (int64_t)chunk[i], &bytes))
            return INT64_MAX;
        *chunks *= (s->layout.dims[i] + (int64_t)chunk[i] - 1) / (int64_t)chunk[i];
    }
    return n > 0 ? bytes : INT64_MAX;
}

static int check_filters(const mige_file *f, const char *name, hid_t plist) {
    for (int i = 0; i < H5Pget_nfilters(plist); i++) {
        unsigned flags, config;
        size_t none = 0;
        char what[64] = "";
        H5Z_filter_t id = H5Pget_filter2(plist, (unsigned)i, &flags, &none, NULL, sizeof what, what, &config);
        MIGE_CHECK(id < 0 || H5Zfilter_avail(id) > 0, MIGE_EINPUT,
                   "%s: %s is compressed by a filter that the HDF5 library here lacks: %s, number %d (write it "
                   "with gzip, or convert the file where that filter is: h5repack -f GZIP=4 OLD NEW)",
                   f->path, name, *what ? what : "without a name", id);
    }
    return MIGE_OK;
}

/* A set cannot be (much) larger than the file it is in: memory is not asked for on the word of a damaged header. */
static int check_size(const mige_file *f, const char *name, const mige_set *s, hid_t plist) {
    H5D_layout_t kind = H5Pget_layout(plist);
    int64_t file = f->bytes, chunks, stored = (int64_t)H5Dget_storage_size(s->id);
    hid_t home = H5Iget_file_id(s->id); /* another one where a link leads out of the file */
    hsize_t bytes;
    if (home >= 0 && H5Fget_filesize(home, &bytes) >= 0 && bytes <= INT64_MAX) file = (int64_t)bytes;
    if (home >= 0) H5Fclose(home);
    int64_t most = file < INT64_MAX / EXPANSION - SLACK ? file * EXPANSION + SLACK : INT64_MAX;
    MIGE_CHECK((kind == H5D_CHUNKED || kind == H5D_CONTIGUOUS || kind == H5D_COMPACT) &&
                   H5Pget_external_count(plist) <= 0,
               MIGE_EINPUT, "%s: %s keeps its values in other %s (copy them into it)", f->path, name,
               kind == H5D_VIRTUAL ? "data sets" : "files");
    MIGE_CHECK(stored != 0 || s->bytes == 0 || s->variable, MIGE_EINPUT,
               "%s: %s was never written: all its values are fill values (did its writer stop?)", f->path, name);
    int ok = s->variable           ? 1
             : kind == H5D_CHUNKED ? s->bytes <= most && chunk_bytes(plist, s, &chunks) <= most
                                   : s->bytes <= file && stored == s->bytes;
    MIGE_CHECK(ok, MIGE_EINPUT, "%s: %s is larger than what the file holds of it (is the file damaged?)", f->path,
               name);
    return MIGE_OK;
}

static int check_storage(const mige_file *f, const char *name, const mige_set *s) {
    hid_t plist = H5Dget_create_plist(s->id);
    if (plist < 0) return mige_io_unread(f, name);
    int err = check_size(f, name, s, plist);
    if (!err) err = check_filters(f, name, plist);
    H5Pclose(plist);
    return err;
}

void mige_set_warn(const mige_file *f, const mige_set *s, const char *name) {
#if H5_VERSION_GE(1, 10, 5)
    hid_t plist = H5Dget_create_plist(s->id), space = H5Dget_space(s->id);
    int64_t chunks;
    hsize_t written;
    if (plist >= 0 && space >= 0 && H5Pget_layout(plist) == H5D_CHUNKED &&
        chunk_bytes(plist, s, &chunks) < INT64_MAX && H5Dget_num_chunks(s->id, space, &written) >= 0 &&
        (int64_t)written < chunks)
        mige_warn(
            "%s: %s: only %lld of its %lld chunks were ever written; the values of the others are fill values",
            f->path, name, (long long)written, (long long)chunks);
    if (space >= 0) H5Sclose(space);
    if (plist >= 0) H5Pclose(plist);
#endif
}

/* ---- the name */

typedef struct {
    char text[512];
    int n;
} listing;

static herr_t list_set(hid_t at, const char *name, const H5O_info_t *info, void *ctx) {
    enum { MOST = 12 };
    listing *l = ctx;
    size_t used = strlen(l->text);
    if (info->type != H5O_TYPE_DATASET) return 0;
    hid_t set = H5Dopen2(at, name, mige_io_links()), space = set < 0 ? -1 : H5Dget_space(set);
    hsize_t dims[H5S_MAX_RANK];
    int n = space < 0 ? 0 : H5Sget_simple_extent_dims(space, dims, NULL);
    used += (size_t)snprintf(l->text + used, sizeof l->text - used, "%s/%.60s [", l->n ? ", " : "", name);
    for (int i = 0; i < n && i < 4 && used < sizeof l->text; i++)
        used += (size_t)snprintf(l->text + used, sizeof l->text - used, "%s%llu", i ? "," : "",
                                 (unsigned long long)dims[i]);
    if (used < sizeof l->text) snprintf(l->text + used, sizeof l->text - used, "]");
    if (space >= 0) H5Sclose(space);
    if (set >= 0) H5Dclose(set);
    return ++l->n >= MOST;
}

/* Why there is no data set of this name. */
static int not_a_set(const mige_file *f, const char *name) {
    H5L_info_t link;
    H5O_info_t object;
    listing l = {"", 0};
    char value[512] = "";
    const char *to = value, *file = "";
    int linked = H5Lget_info(f->id, name, &link, H5P_DEFAULT) >= 0;
    int found = linked && H5Oget_info_by_name(f->id, name, &object, mige_io_links()) >= 0;
    if ((found && object.type == H5O_TYPE_DATASET) || (linked && !found && link.type == H5L_TYPE_HARD)) {
        hid_t again = H5Dopen2(f->id, name, mige_io_links()); /* for its reason */
        if (again >= 0) H5Dclose(again);
        return mige_io_unread(f, name);
    }
    if (linked && link.type != H5L_TYPE_HARD && link.u.val_size < sizeof value)
        H5Lget_val(f->id, name, value, sizeof value - 1, H5P_DEFAULT);
    if (linked && link.type == H5L_TYPE_EXTERNAL && link.u.val_size < sizeof value)
        H5Lunpack_elink_val(value, link.u.val_size, NULL, &file, &to);
    H5Ovisit(f->id, H5_INDEX_NAME, H5_ITER_INC, list_set, &l);
    if (found)
        return mige_raise(MIGE_EINPUT, "%s: %s is a group, not a data set (there are: %s)", f->path, name,
                          *l.text ? l.text : "none");
    if (linked && link.type != H5L_TYPE_HARD)
        return mige_raise(MIGE_EINPUT, "%s: %s is a link to %s%s%s, which is not there (there are: %s)", f->path,
                          name, to, *file ? " of the file " : "", file, *l.text ? l.text : "none");
    return mige_raise(MIGE_EINPUT, "%s: there is no data set %s in it (there are: %s)", f->path, name,
                      *l.text ? l.text : "none");
}

int mige_set_open(const mige_file *f, const char *name, mige_set *s) {
    memset(s, 0, sizeof *s);
    s->type = -1;
    s->id = H5Dopen2(f->id, name, mige_io_links());
    if (s->id < 0) return not_a_set(f, name);
    s->type = H5Dget_type(s->id);
    int err = s->type < 0 ? mige_io_unread(f, name) : mige_io_note_home(f, s->id);
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
