/* What goes over all data sets of a file, and the vectors of strings. */
#include "io/file.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 1000000, BLOCK = 1 << 23 };

int mige_file_write_names(mige_file *f, const char *name, int n, const char *const *names, const char *long_name) {
    size_t width = 1;
    char *block = NULL;
    mige_layout layout = {MIGE_U8, 1, {n}};
    for (int i = 0; i < n; i++) width = strlen(names[i]) > width ? strlen(names[i]) : width;
    MIGE_TRY(mige_alloc((size_t)n, width, &block));
    for (int i = 0; i < n; i++) memcpy(block + (size_t)i * width, names[i], strlen(names[i]));
    hid_t type;
    int err = mige_io_text_type(f, name, width, &type);
    if (!err) err = mige_set_write(f, name, (mige_item){type, type, width}, layout, block, "1", long_name, 0);
    if (type >= 0) H5Tclose(type);
    free(block);
    return err;
}

int mige_file_read_names(const mige_file *f, const char *name, int *n, char ***names) {
    mige_set s;
    char *block = NULL, **list = NULL;
    *names = NULL;
    *n = 0;
    MIGE_TRY(mige_set_open(f, name, &s));
    int err = MIGE_OK;
    int64_t count = s.layout.dims[0];
    MIGE_CHECK_GOTO(s.text && s.layout.ndim == 1 && count <= MAX_NAMES, done, MIGE_EINPUT,
                    "%s: %s is not a list of names", f->path, name);
    MIGE_TRY_GOTO(mige_alloc((size_t)count, s.size, &block), done);
    MIGE_TRY_GOTO(mige_set_read(f, &s, name, s.type, 0, count, block), done);
    char *const *words = (char **)(void *)block; /* of variable length */
    size_t width = s.size;
    for (int64_t i = 0; s.variable && i < count; i++) {
        if (words[i] && strlen(words[i]) > width) width = strlen(words[i]);
    }
    MIGE_TRY_GOTO(mige_alloc((size_t)count, sizeof *list + width + 1, &list), done);
    char *text = (char *)(list + count);
    for (int64_t i = 0; i < count; i++) {
        list[i] = text + (size_t)i * (width + 1);
        if (!s.variable)
            memcpy(list[i], block + (size_t)i * s.size, s.size);
        else if (words[i])
            strcpy(list[i], words[i]);
    }
    *names = list;
    *n = (int)count;
done:
    if (s.variable && block)
        for (int64_t i = 0; i < count; i++) H5free_memory(((char **)(void *)block)[i]);
    free(block);
    mige_set_close(&s);
    return err;
}

/* Pointers and texts of all in one block, as above. */
int mige_file_list(const mige_file *f, const char *group, int *n, char ***names) {
    enum { WIDTH = 128 };
    H5G_info_t info;
    char **list = NULL;
    int err = MIGE_OK;
    *names = NULL;
    *n = 0;
    hid_t id = H5Gopen2(f->id, group, H5P_DEFAULT);
    if (id < 0) return mige_io_unread(f, group);
    if (H5Gget_info(id, &info) < 0 || info.nlinks > MAX_NAMES) MIGE_TRY_GOTO(mige_io_unread(f, group), done);
    MIGE_TRY_GOTO(mige_alloc(info.nlinks + 1, sizeof *list + WIDTH, &list), done);
    for (hsize_t i = 0; i < info.nlinks; i++) {
        list[i] = (char *)(list + info.nlinks + 1) + i * WIDTH;
        if (H5Lget_name_by_idx(id, ".", H5_INDEX_NAME, H5_ITER_INC, i, list[i], WIDTH, H5P_DEFAULT) < 0)
            MIGE_TRY_GOTO(mige_io_unread(f, group), done);
    }
    *n = (int)info.nlinks;
    *names = list;
    list = NULL;
done:
    free(list);
    H5Gclose(id);
    return err;
}

static int sum_set(const mige_file *f, const mige_set *s, const char *name, uint32_t *crc) {
    char *block = NULL;
    int64_t rows = s->row_bytes < BLOCK ? BLOCK / s->row_bytes : 1;
    if (rows > s->layout.dims[0]) rows = s->layout.dims[0];
    *crc = 0;
    MIGE_TRY(mige_alloc((size_t)rows, (size_t)s->row_bytes, &block));
    int err = MIGE_OK;
    for (int64_t at = 0; !err && at < s->layout.dims[0]; at += rows) {
        int64_t n = s->layout.dims[0] - at < rows ? s->layout.dims[0] - at : rows;
        err = mige_set_read(f, s, name, s->type, at, n, block);
        if (!err) *crc = mige_io_crc(*crc, block, (size_t)(n * s->row_bytes));
    }
    free(block);
    return err;
}

/* Where sums are counted, files of others need none; every value is read all the same. */
static int verify_set(const mige_file *f, const char *name, int *sums) {
    mige_set s;
    uint32_t crc = 0;
    int known = !sums || f->sealed || mige_io_has_attribute(f, name, "crc32");
    MIGE_TRY(mige_set_open(f, name, &s));
    int err = s.variable ? MIGE_OK : sum_set(f, &s, name, &crc);
    mige_set_close(&s);
    if (sums) *sums += known;
    return err || !known ? err : mige_io_check_crc(f, name, crc);
}

typedef struct {
    const mige_file *f;
    int err, *sums;
} visit;

static herr_t verify_object(hid_t at, const char *name, const H5O_info_t *info, void *ctx) {
    visit *v = ctx;
    char *full = NULL;
    (void)at;
    if (info->type != H5O_TYPE_DATASET) return 0;
    v->err = mige_text(&full, "/%s", name);
    if (!v->err) v->err = verify_set(v->f, full, v->sums);
    free(full);
    return v->err;
}

/* By visiting each object once, a ring of groups in a damaged file comes to an end. */
int mige_file_verify(const mige_file *f, int *sums) {
    if (sums) *sums = 0;
    visit v = {f, MIGE_OK, sums};
    herr_t end = H5Ovisit(f->id, H5_INDEX_NAME, H5_ITER_INC, verify_object, &v);
    return end < 0 && !v.err ? mige_io_unread(f, "its list of contents") : v.err;
}
