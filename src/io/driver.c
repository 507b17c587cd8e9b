/* How HDF5 reaches a file that is written: a driver of our own whose writes never fail in the library's eyes. The
 * first error is kept and nothing is written from then on; whoever called the library looks at it afterwards. With
 * the library's drivers a flush that fails on a full disk leaves the file open and its objects half freed, and
 * later calls crash. */
#include "io/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

typedef struct {
    H5FD_t head; /* the library's, first */
    mige_sink *sink;
    haddr_t eoa, eof;
} driver_file;

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t most) {
    mige_sink *const *sink = H5Pget_driver_info(access);
    driver_file *d = sink ? calloc(1, sizeof *d) : NULL;
    (void)name;
    (void)flags;
    (void)most;
    if (!d) return NULL;
    d->sink = *sink;
    return &d->head;
}

/* The descriptor is not the driver's. */
static herr_t driver_close(H5FD_t *file) {
    free(file);
    return 0;
}

static herr_t driver_query(const H5FD_t *file, unsigned long *flags) {
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_eoa(const H5FD_t *file, H5FD_mem_t type) {
    (void)type;
    return ((const driver_file *)file)->eoa;
}

static herr_t driver_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t eoa) {
    (void)type;
    ((driver_file *)file)->eoa = eoa;
    return 0;
}

static haddr_t driver_eof(const H5FD_t *file, H5FD_mem_t type) {
    (void)type;
    return ((const driver_file *)file)->eof;
}

static herr_t driver_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size, void *to) {
    size_t done;
    (void)type;
    (void)transfer;
    if (mige_io_read_at(((driver_file *)file)->sink->fd, (int64_t)at, to, size, &done)) return -1;
    memset((char *)to + done, 0, size - done); /* behind the end */
    return 0;
}

static herr_t driver_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size,
                           const void *from) {
    driver_file *d = (driver_file *)file;
    (void)type;
    (void)transfer;
    if (!d->sink->why) d->sink->why = mige_io_write_at(d->sink->fd, (int64_t)at, from, size);
    if (at + size > d->eof) d->eof = at + size;
    return 0;
}

static herr_t driver_truncate(H5FD_t *file, hid_t transfer, hbool_t closing) {
    driver_file *d = (driver_file *)file;
    (void)transfer;
    (void)closing;
    if (d->eof == d->eoa) return 0;
    if (!d->sink->why && ftruncate(d->sink->fd, (off_t)d->eoa) != 0) d->sink->why = errno;
    d->eof = d->eoa;
    return 0;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value = 511, /* of those free for a program's own use */
#endif
    .name = "mige",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(mige_sink *),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_eof,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

int mige_io_set_driver(hid_t access, mige_sink *sink) {
    static hid_t id = -1;
    if (id < 0) id = H5FDregister(&driver);
    return id < 0 || H5Pset_driver(access, id, &sink) < 0;
}
