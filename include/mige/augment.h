/* Random views of images: crop, flip, jitter of colours, grey.
 *
 * A view is a function of (seed, epoch, image's index in its split, view) alone. Its uniforms are
 * mige_rng_uniform(seed, MIGE_RNG_AUGMENT, step = epoch, index = 2 image + view), whatever is switched on:
 *   u0 area, u1 aspect, u2 left and u3 top of the crop, u4 flip, u5 whether colours are changed, u6 brightness,
 *   u7 contrast, u8 saturation, u9 hue, u10 grey.
 * In this order, on values in [0, 1], W and H the image's size in pixels, pixel k covering k to k + 1:
 *
 *   - crop    a = crop + (1 - crop) u0, r = (3/4)^(1 - 2 u1), w = min(W, sqrt(a W H r)), h = min(H, sqrt(a W H /
 * r)), window from (u2 (W - w), u3 (H - h)), stretched to W x H: bilinear at the middles of the new pixels, the
 * image's outermost pixels going on beyond it (PyTorch's grid_sample, align_corners=False, border)
 *   - flip    left to right if u4 < flip
 *   - colour  if u5 < 0.8, with factors f = 1 + colour (2 u - 1) and grey g = 0.299 R + 0.587 G + 0.114 B:
 *             x f6; m + f7 (x - m), m the mean of g over the view; g + f8 (x - g); then x - g, seen along the grey
 *             axis, turns from red towards green by colour / 4 (2 u9 - 1) of a circle and keeps g
 *   - grey    all channels g if u10 < grey
 *
 * The result is cut to [0, 1]. Only images of 3 channels have colours: others are cropped and flipped. */
#ifndef MIGE_AUGMENT_H
#define MIGE_AUGMENT_H

#include "mige/data.h"

/* 0: off. */
typedef struct {
    double crop;   /* smallest area of a crop, as a share */
    double flip;   /* probability */
    double colour; /* strength */
    double grey;   /* probability */
} mige_augment;

/* "crop,flip,colour,grey" or some of them, each alone or with a number above 0 and at most 1, "crop:0.2"; the
 * defaults are 0.2, 0.5, 0.4, 0.2. "" and "none": nothing. Errors: MIGE_EUSAGE. */
int mige_augment_parse(const char *list, mige_augment *a);

/* Bytes of scratch that mige_augment_load needs. */
size_t mige_augment_scratch(const mige_data *d);
/* x[i][v] = view v (of 1 or 2) of image index[i], floats in [-1, 1], [n][views][h][w][c]. Not collective. */
void mige_augment_load(const mige_data *d, const mige_split *s, const mige_augment *a, uint64_t seed,
                       uint64_t epoch, const int64_t *index, int n, int views, void *scratch, float *x);

#endif
