/* Image sets: the data file (mige-data), the official formats it is made from, and the order of training. */
#ifndef MIGE_DATA_H
#define MIGE_DATA_H

#include "mige/comm.h"
#include "mige/io.h"
#include <stdint.h>

/* One split, as in the file: images [n][c][h][w], 0..255, and labels [n], or NULL. */
typedef struct {
    int64_t n;
    const uint8_t *images;
    const int32_t *labels;
} mige_split;

typedef struct {
    mige_split train, test;
    int c, h, w;
    int classes;        /* 0: no labels */
    char **class_names; /* `classes` strings, one block */
    uint32_t crc;       /* CRC-32 of the images and labels of both splits */
    mige_shared memory; /* holds images and labels, one copy a node */
} mige_data;

/* Reads a data file into memory shared by each node's ranks: node rank 0 reads, the others see. Images are uint8,
 * or of any number type within 0 to 255, floats also within 0 to 1 (which is said), [N,C,H,W] or [N,H,W]; labels
 * whole numbers [N] or [N,1]. There may be no labels, no test split (n = 0), no names of classes; a .npy holds
 * training images alone. Checks shapes, pixels, and that labels are within 0..classes-1 (message names the first
 * bad record). Collective on c. Errors: MIGE_EINPUT, agreed. */
int mige_data_open(const mige_comm *c, const char *path, mige_data *d);
/* One more than the largest of the n labels in each of `splits` splits (train, test) of an open file: n = 0: none.
 * Not collective. Errors: MIGE_EINPUT. */
int mige_data_count_classes(mige_file *f, int splits, const int64_t *n, int64_t *classes);
void mige_data_close(mige_data *d);

/* Validation: from now on n of the training images, the same whatever the run and its seed, are d->test in place of
 * the test set, and not in d->train; both stay in the file's order. n = 0: nothing is held out. Collective on c,
 * once; errors agreed: MIGE_EUSAGE (nothing would be left), MIGE_EFAIL. */
int mige_data_hold_out(const mige_comm *c, int64_t n, mige_data *d);

/* x[i] = image index[i] as floats in [-1, 1] (2 v / 255 - 1), channels last [n][h][w][c]; labels[i] too unless
 * NULL. Not collective. */
void mige_data_load(const mige_data *d, const mige_split *s, const int64_t *index, int n, float *x,
                    int32_t *labels);

/* An official set in memory, whole. */
typedef struct {
    int64_t n;
    int c, h, w;
    uint8_t *images; /* [n][c][h][w] */
    int32_t *labels;
} mige_images;
void mige_images_free(mige_images *m);

/* What is read. format, of official files: "mnist" ({train,t10k}-{images-idx3,labels-idx1}-ubyte, each plain or
 * .gz, or with a dot in place of the dash before idx, as some copies are named), "cifar10" (data_batch_1..5.bin,
 * test_batch.bin), "cifar100" (train.bin, test.bin; fine labels), "stl10" ({train,test}_{X,y}.bin). Subfolders that
 * the official archives unpack to (cifar-10-batches-bin, cifar-100-binary, stl10_binary) are looked into too.
 * "folder": a folder of pictures, PNG or JPEG, a class, in `from` or its subfolders train and test (or val). */
#define MIGE_FORMATS "mnist|cifar10|cifar100|stl10|folder"
typedef struct {
    const char *format, *from;
    const char *output; /* the file that will be written, which none of those read may be; "": none */
    int h, w;           /* folder: the size that pictures are brought to; 0: they all have one */
} mige_convert_request;

/* names: class names, from the set's text file where there is one (batches.meta.txt, fine_label_names.txt), else
 * built in or digits; of pictures the folders' names, in the order of their bytes. Every length, magic number,
 * dimension and label is checked. Pictures that are damaged, partly transparent or of CMYK are named in a warning
 * and left out. Errors: MIGE_EINPUT naming file and what is wrong, MIGE_EUSAGE for an unknown format or an output
 * that is read. Not collective. */
int mige_convert_read(const mige_convert_request *q, mige_images *train, mige_images *test, int *classes,
                      char ***names);
/* Keeps n images, n/classes of each class (the remainder to the first classes), chosen by (seed) and left in the
 * set's order; n = 0 or n = m->n keeps all. */
int mige_convert_sample(mige_images *m, int classes, int64_t n, uint64_t seed);
/* Writes the data file; no test split where test->n = 0. compress: deflate. */
int mige_convert_write(const char *path, const mige_images *train, const mige_images *test, int classes,
                       const char *const *names, int compress);

/* The parsers of the official formats, on bytes in memory: what the fuzzers drive. Each allocates its output,
 * which the caller frees, after an error as well. */
int mige_bytes_read(const char *path, uint8_t **bytes, size_t *size); /* a file's, at most 2^30, to be freed */
int mige_parse_idx_images(const uint8_t *bytes, size_t size, mige_images *m);
int mige_parse_idx_labels(const uint8_t *bytes, size_t size, mige_images *m); /* m->n must match */
int mige_parse_stl(const uint8_t *x, size_t nx, const uint8_t *y, size_t ny, mige_images *m);
int mige_parse_cifar(const uint8_t *bytes, size_t size, int label_bytes, int classes, mige_images *m);

/* A picture, PNG or JPEG by its first bytes: pixels [h][w][c], c 1 (grey) or 3; 16 bits a colour become 8.
 * MIGE_EINPUT with what is wrong, "is cut", for what is damaged, partly transparent, of CMYK or no such picture. */
typedef struct {
    int c, h, w;
    int deep;        /* it had 16 bits a colour */
    uint8_t *pixels; /* to be freed, after an error as well */
} mige_picture;
int mige_picture_read(const uint8_t *bytes, size_t size, mige_picture *p);
/* To another size: each pixel a mean of those around its place, weighted by a triangle as wide as two pixels of the
 * coarser grid. */
int mige_picture_resize(mige_picture *p, int h, int w);

/* Warns of classes without training images, of test images of such, and of a single class. path: for the message.
 * Not collective. Errors: MIGE_EFAIL (memory). */
int mige_data_class_doubts(const char *path, const mige_data *d);
/* Warns of training images that are all equal. Not collective. */
void mige_data_image_doubts(const char *path, const mige_data *d);

#endif
