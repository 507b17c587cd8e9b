#include "io/file.h"
#include <stdlib.h>
#include <string.h>

/* No text of ours is longer; a damaged file's may claim to be. */
enum { MAX_TEXT = 1 << 26 };

int mige_io_has_attribute(const mige_file *f, const char *object, const char *name) {
    return H5Aexists_by_name(f->id, object, name, mige_io_links()) > 0;
}

static int set_attribute(mige_file *f, const char *object, const char *name, hid_t type, hid_t memory,
                         const void *value) {
    hid_t space = H5Screate(H5S_SCALAR), a = -1;
    int bad = space < 0;
    if (!bad && mige_io_has_attribute(f, object, name))
        bad = H5Adelete_by_name(f->id, object, name, H5P_DEFAULT) < 0;
    if (!bad) a = H5Acreate_by_name(f->id, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bad = bad || a < 0 || H5Awrite(a, memory, value) < 0;
    int err = mige_io_written(f, name, bad);
    if (a >= 0 && H5Aclose(a) < 0 && !err) err = mige_io_written(f, name, 1);
    if (space >= 0) H5Sclose(space);
    return err;
}

int mige_file_set_int(mige_file *f, const char *object, const char *name, int64_t value) {
    return set_attribute(f, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

int mige_file_set_real(mige_file *f, const char *object, const char *name, double value) {
    return set_attribute(f, object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

int mige_io_set_crc(mige_file *f, const char *object, uint32_t crc) {
    return set_attribute(f, object, "crc32", H5T_STD_U32LE, H5T_NATIVE_UINT32, &crc);
}

int mige_io_text_type(mige_file *f, const char *name, size_t size, hid_t *type) {
    hid_t t = *type = H5Tcopy(H5T_C_S1);
    int bad = t < 0 || H5Tset_size(t, size) < 0 || H5Tset_strpad(t, H5T_STR_NULLPAD) < 0 ||
              H5Tset_cset(t, H5T_CSET_UTF8) < 0;
    int err = mige_io_written(f, name, bad);
    if (err && t >= 0) H5Tclose(t);
    if (err) *type = -1;
    return err;
}

int mige_file_set_text(mige_file *f, const char *object, const char *name, const char *text) {
    hid_t type;
    MIGE_TRY(mige_io_text_type(f, name, *text ? strlen(text) : 1, &type));
    int err = set_attribute(f, object, name, type, type, text);
    H5Tclose(type);
    return err;
}

/* One item: text, or a number. Truth values, h5py's True, are an enumeration. */
static int open_attribute(const mige_file *f, const char *object, const char *name, int text, hid_t *attribute,
                          hid_t *type) {
    *attribute = *type = -1;
    MIGE_CHECK(mige_io_has_attribute(f, object, name), MIGE_EINPUT, "%s: %s has no attribute `%s`", f->path, object,
               name);
    hid_t a = H5Aopen_by_name(f->id, object, name, H5P_DEFAULT, mige_io_links()), t = a < 0 ? -1 : H5Aget_type(a);
    hid_t space = t < 0 ? -1 : H5Aget_space(a);
    int err = space < 0 ? mige_io_unread(f, name) : MIGE_OK;
    H5T_class_t class = err ? H5T_NO_CLASS : H5Tget_class(t);
    int right = text ? class == H5T_STRING : class == H5T_INTEGER || class == H5T_ENUM || class == H5T_FLOAT;
    if (!err && !(right && H5Sget_simple_extent_npoints(space) == 1))
        err = mige_raise(MIGE_EINPUT, "%s: attribute `%s` of %s is not of the right type (one %s)", f->path, name,
                         object, text ? "text" : "number");
    if (space >= 0) H5Sclose(space);
    if (err && t >= 0) H5Tclose(t);
    if (err && a >= 0) H5Aclose(a);
    if (err) return err;
    *attribute = a;
    *type = t;
    return MIGE_OK;
}

int mige_file_get_int(const mige_file *f, const char *object, const char *name, int64_t *value) {
    hid_t a, t;
    *value = 0;
    MIGE_TRY(open_attribute(f, object, name, 0, &a, &t));
    int err = H5Aread(a, H5T_NATIVE_INT64, value) < 0 ? mige_io_unread(f, name) : MIGE_OK;
    H5Tclose(t);
    H5Aclose(a);
    return err;
}

int mige_file_get_text(const mige_file *f, const char *object, const char *name, char *text, size_t size) {
    hid_t a, t;
    char *stored = NULL;
    text[0] = 0;
    MIGE_TRY(open_attribute(f, object, name, 1, &a, &t));
    size_t n = H5Tget_size(t);
    int variable = H5Tis_variable_str(t) > 0;
    int err = n > 0 && n <= MAX_TEXT
                  ? MIGE_OK
                  : mige_raise(MIGE_EINPUT, "%s: attribute `%s` of %s is damaged", f->path, name, object);
    if (!err && !variable) err = mige_alloc(n + 1, 1, &stored);
    if (!err && H5Aread(a, t, variable ? (void *)&stored : stored) < 0) err = mige_io_unread(f, name);
    if (!err && stored && strlen(stored) >= size)
        err = mige_raise(MIGE_EINPUT, "%s: attribute `%s` of %s is too long", f->path, name, object);
    if (!err && stored) strcpy(text, stored);
    if (variable)
        H5free_memory(stored);
    else
        free(stored);
    H5Tclose(t);
    H5Aclose(a);
    return err;
}
