/* Private to data: a data file, of whatever types it has, as bytes and classes; and what the readers of official
 * files and of folders of pictures share. Not collective. */
#ifndef MIGE_DATA_READERS_H
#define MIGE_DATA_READERS_H

#include "mige/array.h"
#include "mige/data.h"

enum { MIGE_TRAIN, MIGE_TEST, MIGE_SPLITS };

/* What every rank needs to know of the file before it is read; without padding. */
typedef struct {
    int64_t n[MIGE_SPLITS], labelled[MIGE_SPLITS]; /* images, and whether they have labels */
    int64_t c, h, w, classes, names;               /* names: bytes of the block of names */
    int64_t factor[MIGE_SPLITS];                   /* of pixels: 255 where they are stored within 0 to 1 */
} mige_header;

/* One of the two is there; to be closed after an error as well. */
typedef struct {
    mige_file *f;
    mige_array *a; /* images alone, all for training */
    mige_layout images[MIGE_SPLITS];
} mige_source;

/* *names [h->classes], one block; NULL if there are no classes. What is done to the images is said. */
int mige_source_open(const char *path, mige_source *s, mige_header *h, char ***names);
void mige_source_close(mige_source *s);
/* x [n][c][h][w], and y [n] unless it has no labels. */
int mige_source_read(const mige_source *s, const mige_header *h, int split, uint8_t *x, int32_t *y);

/* A file's bytes, at most 2^30, to be freed; MIGE_EUSAGE for the file that will be written. */
int mige_convert_load(const mige_convert_request *q, const char *path, uint8_t **bytes, size_t *size);
/* n names of at most `width` characters, empty, in one block. */
int mige_convert_names(int n, size_t width, char ***names);

/* As mige_convert_read. */
int mige_official_read(const mige_convert_request *q, mige_images *train, mige_images *test, int *classes,
                       char ***names);
int mige_folder_read(const mige_convert_request *q, mige_images *train, mige_images *test, int *classes,
                     char ***names);

#endif
