/* Private to io: the open file, and what its parts share. */
#ifndef MIGE_IO_FILE_H
#define MIGE_IO_FILE_H

#define H5_USE_110_API 1 /* the same calls whatever the library's version */
#include <hdf5.h>

#include "mige/error.h"
#include "mige/io.h"

enum { MIGE_FORMAT_VERSION = 1 };

/* Where a file that is written goes to, and the errno of the first write that failed. */
typedef struct {
    int fd, why;
} mige_sink;

struct mige_file {
    hid_t id;
    mige_sink sink;
    char *path;
    char *target;  /* what path is when links are followed, and */
    char *part;    /* what is written to; both NULL when reading */
    int64_t bytes; /* size of a file that is read */
    int sealed;    /* it has a seal, which was found to fit */
    int broken;    /* a write has failed: never to be committed */
};

/* How items are stored and held in memory, and their bytes, the same in both. */
typedef struct {
    hid_t stored, memory;
    size_t size;
} mige_item;

/* A stored data set, checked so far that reading it cannot ask for absurd memory. */
typedef struct {
    hid_t id, type; /* type: as stored */
    mige_layout layout;
    int text;     /* strings; layout.type means nothing then */
    int variable; /* strings of variable length */
    int exact;    /* stored as layout.type is in memory */
    size_t size;
    int64_t row_bytes; /* as stored, as is bytes */
    int64_t bytes;
} mige_set;

mige_item mige_item_of(enum mige_type type);
int mige_set_open(const mige_file *f, const char *name, mige_set *s);
/* Warns of parts that nobody wrote. */
void mige_set_warn(const mige_file *f, const mige_set *s, const char *name);
void mige_set_close(mige_set *s);
/* Rows as `type`; not more than the set has. */
int mige_set_read(const mige_file *f, const mige_set *s, const char *name, hid_t type, int64_t first, int64_t nrows,
                  void *rows);

/* What attributes of netCDF's conventions say of stored values: those that are missing, the range of the others,
 * and that value = stored x scale + offset (packed: not 1 and 0, or integers that are to be taken without sign). */
typedef struct {
    int packed, used, nfill, wraps, unpacked; /* unpacked: lo and hi are of what the numbers unpack to */
    int single[16]; /* fill values that are in single precision: so they are compared, whatever the data */
    double scale, offset, fill[16], lo, hi;
} mige_packing;
int mige_packing_read(const mige_file *f, const mige_set *s, const char *name, mige_packing *p);
/* Rows as read by mige_set_read: unpacks doubles; MIGE_EINPUT names the first row with a missing value, or with a
 * number that a double does not hold. */
int mige_packing_undo(const mige_file *f, const mige_set *s, const char *name, const mige_packing *p,
                      enum mige_type type, int64_t first, int64_t nrows, void *rows);

/* mige_file_write for any kind of item. */
int mige_set_write(mige_file *f, const char *name, mige_item item, mige_layout layout, const void *data,
                   const char *units, const char *long_name, int options);

/* After calls that write: `bad` when the library failed, or it is found that the disk did. */
int mige_io_written(mige_file *f, const char *name, int bad);
/* The error of the library's last call, to be raised before any other call to it. */
int mige_io_unread(const mige_file *f, const char *name);

/* Whether the target's folder is there and may be written to, for a dry run. Errors: MIGE_EOUTPUT. */
int mige_output_folder(const char *path, const char *target);
/* Takes the lock of an open file, until it is closed; 1: another process has it. */
int mige_io_locked_by_other(int fd);

/* The access list that files are opened with, to be closed; NULL: for reading. */
hid_t mige_io_access(mige_sink *sink);
/* The access list that data sets are opened with: links out of a file, back to it as well, are followed; they open
 * another file as this one is, or the library refuses where they are the same. */
hid_t mige_io_links(void);
/* Keeps in mind where an open set lies, if a link has led out of the file. */
int mige_io_note_home(const mige_file *f, hid_t set);
/* Lets HDF5 write to the sink, which must outlive the file; 0 when that was done. */
int mige_io_set_driver(hid_t access, mige_sink *sink);
/* 0 or an errno. *done: less than size at the end of the file. */
int mige_io_read_at(int fd, int64_t at, void *bytes, size_t size, size_t *done);
int mige_io_write_at(int fd, int64_t at, const void *bytes, size_t size);

/* Text of `size` bytes, more than 0, padded with NULs: no heap that a damaged file could lead astray. After an
 * error, MIGE_EOUTPUT, *type is -1. */
int mige_io_text_type(mige_file *f, const char *name, size_t size, hid_t *type);
int mige_io_has_attribute(const mige_file *f, const char *object, const char *name);
int mige_io_set_crc(mige_file *f, const char *object, uint32_t crc);
/* Compares a sum with the data set's attribute. */
int mige_io_check_crc(const mige_file *f, const char *object, uint32_t crc);
uint32_t mige_io_crc(uint32_t crc, const void *bytes, size_t size);

/* The attributes that every file begins with. */
int mige_io_stamp(mige_file *f, const char *format);

/* The seal is one line of text behind the last byte that HDF5 knows of: length and CRC-32 of all before it. So a
 * damaged file is known before the library, which can crash on one, sees it. Sealing syncs as well. */
int mige_io_seal(const char *path, int fd);
/* *sealed = whether there is one; MIGE_EINPUT when it does not match. */
int mige_io_check_seal(const char *path, int fd, int64_t bytes, int *sealed);

#endif
