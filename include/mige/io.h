/* HDF5 files, the same way for every kind: written aside as NAME.part, synced, renamed to NAME; `complete` = 1 is
 * the last attribute written, and each data set carries the CRC-32 of its bytes (attribute `crc32`), so that a
 * file that is damaged or cut is known as such. A seal behind the last byte, one line of text with the CRC-32 of
 * the whole file, is checked before HDF5 sees it, whose library can crash on a damaged one; attribute `sealed` says
 * that there must be one. This is the only room that includes hdf5.h.
 *
 * Nothing here is collective: one rank writes; any rank may read. Numbers are stored little-endian. HDF5's own
 * error printing is off; messages are ours. Errors: MIGE_EINPUT for what cannot be read, MIGE_EOUTPUT for what
 * cannot be written. */
#ifndef MIGE_IO_H
#define MIGE_IO_H

#include "mige/options.h"
#include <stddef.h>
#include <stdint.h>

enum mige_type { MIGE_U8, MIGE_I32, MIGE_I64, MIGE_F32, MIGE_F64 };

/* Set once by main, written to the root of every file: software, git_revision, command_line, config, created,
 * ranks, threads, hosts, seed. Strings must stay. */
typedef struct {
    const char *command_line;
    const char *config; /* all options as INI text */
    const char *hosts;  /* comma separated */
    int ranks, threads;
    int64_t seed;
} mige_provenance;
void mige_provenance_set(const mige_provenance *p);
/* What the sources were when this was built: `git describe`, or "unknown". */
const char *mige_revision(void);
/* Version of the HDF5 library in use, "1.10.8". */
const char *mige_hdf5_version(void);

typedef struct mige_file mige_file;

/* The file that an output really is: *target = path with symbolic links followed, those that lead nowhere too; to
 * be freed. Errors: MIGE_EOUTPUT: a folder, what is there and is no regular file (a device, pipe or socket), or may
 * not be written. */
int mige_output_target(const char *path, char **target);
/* Whether to write `output` would replace `file`, by whatever names: it is the target or the .part beside it. */
int mige_output_is(const char *output, const char *file);
/* Whether it would replace a file that data sets were read of by way of links out of other files. */
int mige_output_is_linked(const char *output);
/* Whether two names are of one file or folder that is there; "" is none's. */
int mige_same_file(const char *a, const char *b);

/* A new file that will be `path`, links followed; `format` is one of the contract's ("mige-data", ...). A .part
 * left over from an earlier death is replaced. */
int mige_file_create(const char *path, const char *format, mige_file **f);
/* err = 0: marks the file complete, closes, syncs and renames it. Else gives it up and returns err. *f = NULL
 * whatever happens; after an error the .part is gone and `path` is what it was. */
int mige_file_commit(mige_file **f, int err);
/* Whether a file can be written there: begun and given up again or, of a dry run, by what is there. */
int mige_file_try(const char *path, int dry);
/* Of a file that was not committed: deletes the .part. No effect on NULL. */
void mige_file_close(mige_file **f);

/* An existing file, which must be complete and of this format (NULL: any of ours; MIGE_ANY_HDF5: of whatever
 * program, for samples that users bring; one of ours must be complete all the same). Messages name what is wrong:
 * missing, not HDF5, cut, of another format, of a newer format_version, not complete. */
#define MIGE_ANY_HDF5 ""
int mige_file_open(const char *path, const char *format, mige_file **f);
/* That nothing is at `path` but a good file of this format, whose place another may take unasked. Errors:
 * MIGE_EUSAGE, with what it is. */
int mige_file_may_replace(const char *path, const char *format);
const char *mige_file_path(const mige_file *f);

/* What the first bytes of a file show it to be, with what to do about it, "a gzipped file (gunzip it first)"; NULL:
 * unknown. */
const char *mige_bytes_kind(const void *bytes, size_t size);

/* What a data set is. 1 to 4 dimensions. */
typedef struct {
    enum mige_type type;
    int ndim;
    int64_t dims[4];
} mige_layout;

/* Writes a whole data set, groups on the way included. `units` ("1" for a pure number, "nat", "s", ...) and
 * `long_name` are required. Options, or-ed: */
enum {
    MIGE_COMPRESS = 1,  /* deflate, for files that are kept in a repository */
    MIGE_EXTENSIBLE = 2 /* unlimited first dimension (chunked), for series */
};
int mige_file_write(mige_file *f, const char *name, mige_layout layout, const void *data, const char *units,
                    const char *long_name, int options);

/* Attributes of the root or of an object ("/" or a data set's name). */
int mige_file_set_text(mige_file *f, const char *object, const char *name, const char *text);
int mige_file_set_int(mige_file *f, const char *object, const char *name, int64_t value);
int mige_file_set_real(mige_file *f, const char *object, const char *name, double value);
int mige_file_get_text(const mige_file *f, const char *object, const char *name, char *text, size_t size);
int mige_file_get_int(const mige_file *f, const char *object, const char *name, int64_t *value);

/* The options that a file was made with, as its provenance tells, an INI text; the caller frees it. Errors:
 * MIGE_EINPUT. The other compares them with those given: mige_options_same. */
int mige_file_config(const mige_file *f, char **text);
int mige_file_same_options(const mige_file *f, const mige_options_given *given, const char *advice);

/* Is there a data set of this name or, for a name that does not begin with '/', an attribute of the root? 1 or 0,
 * never an error. */
int mige_file_has(const mige_file *f, const char *name);
/* Of a file of another program: the type that holds its numbers best (float16 as MIGE_F32, uint16 as MIGE_I32...).
 */
int mige_file_layout(const mige_file *f, const char *name, mige_layout *layout);
/* Rows [first, first + nrows) as `type` (converted by HDF5 where it differs from the stored one). A whole data set
 * read in its own type is compared with its CRC-32 if it has one. */
int mige_file_read(const mige_file *f, const char *name, enum mige_type type, int64_t first, int64_t nrows,
                   void *rows);
/* A vector of strings, read and written (class names). Reading: *names = nrows pointers in one block, free() it. */
int mige_file_write_names(mige_file *f, const char *name, int n, const char *const *names, const char *long_name);
int mige_file_read_names(const mige_file *f, const char *name, int *n, char ***names);

/* Names in a group, in their alphabetical order, cut at 127 bytes: *names = n pointers in one block, free() it. */
int mige_file_list(const mige_file *f, const char *group, int *n, char ***names);

/* Reads every data set of `f` and compares its CRC-32; *sums = how many have one. A data set without one is an
 * error where sums is NULL, or where the file has a seal, so that this program wrote it. */
int mige_file_verify(const mige_file *f, int *sums);
/* Whether the file has a seal, so that all of its bytes were compared with their sum when it was opened. */
int mige_file_sealed(const mige_file *f);

/* path = that of a file in a run's folder. Errors: MIGE_EUSAGE (too long). */
enum { MIGE_RUN_PATH = 1024 };
int mige_run_path(const char *run, const char *name, char path[MIGE_RUN_PATH]);

/* mkdir -p. */
int mige_make_folder(const char *path);
/* Whether a folder is there, or could be made, and may be written to, for a dry run. Errors: MIGE_EOUTPUT. */
int mige_try_folder(const char *path);
/* That no other process writes in a folder: a lock on its file .lock, which the system takes back when the process
 * ends, however that is, or closes it, a descriptor (-1: none). Waits some seconds for one that is about to end.
 * File systems without locks are trusted. Errors: MIGE_EOUTPUT, another has it. */
int mige_lock_folder(const char *path, int *lock);
/* That this name is still that folder's, by the lock's file; -1: it is trusted. Errors: MIGE_EOUTPUT. */
int mige_check_folder(const char *path, int lock);
/* Whether a process, of this host or another, has that lock: asked without taking it. */
int mige_folder_locked(const char *path);

#define MIGE_VERSION "0.1.0"

#endif
