#include "io/array.h"
#include "io/file.h"
#include "mige/log.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static int ends_with(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    return n > m && !strcasecmp(path + n - m, end);
}

/* Where a link leads out of the file, the other one's name. */
static int find_home(mige_array *a, hid_t set) {
    char path[4096] = "";
    hid_t home = H5Iget_file_id(set);
    if (home >= 0) H5Fget_name(home, path, sizeof path - 1);
    if (home >= 0) H5Fclose(home);
    return mige_text(&a->file, "%s", *path ? path : mige_file_path(a->h5));
}

static int open_set(mige_array *a, const char *path, const char *name, int transpose) {
    mige_set s;
    MIGE_TRY(mige_file_open(path, MIGE_ANY_HDF5, &a->h5));
    MIGE_TRY(mige_file_layout(a->h5, name, &a->layout));
    MIGE_TRY(mige_set_open(a->h5, name, &s));
    int matlab = H5Aexists(s.id, "MATLAB_class") > 0, empty = H5Aexists(s.id, "MATLAB_empty") > 0;
    a->truth = H5Tget_class(s.type) == H5T_ENUM && a->layout.type == MIGE_F32;
    int err = find_home(a, s.id);
    mige_set_close(&s);
    MIGE_TRY(err);
    MIGE_CHECK(!empty, MIGE_EINPUT, "%s is an empty array of MATLAB", a->what);
    a->transposed = transpose != matlab && a->layout.ndim >= 2;
    if (matlab && a->layout.ndim == 2)
        mige_say("%s is of MATLAB: samples are its %s there", a->what, transpose ? "columns" : "rows");
    return MIGE_OK;
}

/* One array a file, told by its beginning, or text by its name. *other = 0 when it is done. */
static int open_plain(mige_array *a, const char *path, int *other) {
    char head[6] = "";
    struct stat st;
    *other = 1;
    a->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (a->fd < 0 || fstat(a->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0) return MIGE_OK;
    ssize_t n = pread(a->fd, head, sizeof head, 0);
    int npy = n == 6 && !memcmp(head, "\x93NUMPY", 6);
    int text = ends_with(path, ".csv") || ends_with(path, ".tsv") || ends_with(path, ".txt");
    if (!npy && (!text || mige_bytes_kind(head, sizeof head))) return MIGE_OK;
    *other = 0;
    MIGE_TRY(mige_text(&a->file, "%s", path));
    if (npy || *a->name == '/') *a->name = 0; /* columns of a table have names, an array has none */
    if (!*a->name) free(a->what);
    if (!*a->name) MIGE_TRY(mige_text(&a->what, "%s", path));
    return npy ? mige_npy_open(a, st.st_size) : mige_csv_open(a, st.st_size);
}

static int open_array(mige_array *a, const char *path, const char *name, int transpose) {
    int other;
    a->fd = -1;
    MIGE_TRY(mige_text(&a->name, "%s", name));
    MIGE_TRY(mige_text(&a->what, "%s: %s", path, name));
    MIGE_TRY(open_plain(a, path, &other));
    MIGE_TRY(other ? open_set(a, path, name, transpose) : MIGE_OK);
    if (!other) a->transposed = transpose && a->layout.ndim >= 2;
    if (!a->transposed) return MIGE_OK;
    MIGE_CHECK(a->layout.ndim == 2, MIGE_EINPUT, "%s has %d dimensions: only matrices can be transposed", a->what,
               a->layout.ndim);
    int64_t rows = a->layout.dims[0];
    a->layout.dims[0] = a->layout.dims[1];
    a->layout.dims[1] = rows;
    return MIGE_OK;
}

int mige_array_open(const char *path, const char *name, int transpose, mige_array **a) {
    MIGE_TRY(mige_alloc(1, sizeof **a, a));
    int err = open_array(*a, path, name, transpose);
    if (err) mige_array_close(a);
    return err;
}

void mige_array_close(mige_array **out) {
    mige_array *a = *out;
    if (!a) return;
    mige_file_close(&a->h5);
    if (a->fd >= 0) close(a->fd);
    free(a->what);
    free(a->file);
    free(a->name);
    free(a->values);
    free(a);
    *out = NULL;
}

int mige_array_truth(const mige_array *a) {
    return a->truth;
}

mige_layout mige_array_layout(const mige_array *a) {
    return a->layout;
}

const char *mige_array_what(const mige_array *a) {
    return a->what;
}

const char *mige_array_file(const mige_array *a) {
    return a->file;
}

/* As stored. */
static int read_rows(const mige_array *a, int64_t first, int64_t nrows, double *rows) {
    if (a->h5) return mige_file_read(a->h5, a->name, MIGE_F64, first, nrows, rows);
    if (!a->values) return mige_npy_read(a, first, nrows, rows);
    size_t each = (size_t)(a->transposed ? a->layout.dims[0] : a->layout.dims[1]);
    memcpy(rows, a->values + (size_t)first * each, (size_t)nrows * each * sizeof *rows);
    return MIGE_OK;
}

int mige_array_read(const mige_array *a, int64_t first, int64_t nrows, double *rows) {
    double *stored;
    size_t R = (size_t)a->layout.dims[0], C = (size_t)a->layout.dims[1];
    if (!a->transposed) return read_rows(a, first, nrows, rows);
    MIGE_CHECK(first == 0 && nrows == (int64_t)R, MIGE_EFAIL, "%s: is transposed as a whole", a->what);
    MIGE_TRY(mige_alloc(R * C, sizeof *stored, &stored));
    int err = read_rows(a, 0, (int64_t)C, stored);
    for (size_t i = 0; !err && i < R; i++)
        for (size_t j = 0; j < C; j++) rows[i * C + j] = stored[j * R + i];
    free(stored);
    return err;
}

int mige_array_samples(const mige_array *a, int *M, int *D) {
    mige_layout l = a->layout;
    if (l.ndim == 1) l.dims[1] = 1;
    MIGE_CHECK(l.ndim <= 2, MIGE_EINPUT, "%s has %d dimensions, samples are [M,D] or [M] (reshape it)", a->what,
               l.ndim);
    MIGE_CHECK(l.dims[0] >= 1 && l.dims[1] >= 1, MIGE_EINPUT, "%s is empty", a->what);
    MIGE_CHECK(l.dims[0] <= 1 << 24 && l.dims[1] <= 1 << 24, MIGE_EINPUT,
               "%s: %lld samples in %lld dimensions are more than 2^24", a->what, (long long)l.dims[0],
               (long long)l.dims[1]);
    *M = (int)l.dims[0];
    *D = (int)l.dims[1];
    return MIGE_OK;
}
