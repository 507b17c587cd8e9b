/* Private to data: what the readers of official files and of folders of pictures share. */
#ifndef MIGE_DATA_CONVERT_H
#define MIGE_DATA_CONVERT_H

#include "mige/data.h"

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
