#include "mige/nn.h"
#include <string.h>

void mige_encoder_spec(int z, mige_layer_spec spec[MIGE_ENCODER_LAYERS]) {
    const mige_layer_spec table[MIGE_ENCODER_LAYERS] = {
        {.kind = MIGE_CONV, .name = "conv1", .out = 64, .kernel = 4, .stride = 2, .pad = 1},
        {.kind = MIGE_NORM, .name = "norm1", .relu = 1},
        {.kind = MIGE_CONV, .name = "conv2", .out = 128, .kernel = 4, .stride = 2, .pad = 1},
        {.kind = MIGE_NORM, .name = "norm2", .relu = 1},
        {.kind = MIGE_CONV, .name = "conv3", .out = 256, .kernel = 4, .stride = 2, .pad = 1},
        {.kind = MIGE_NORM, .name = "norm3", .relu = 1},
        {.kind = MIGE_LINEAR, .name = "fc", .out = 1024},
        {.kind = MIGE_NORM, .name = "norm4", .relu = 1},
        {.kind = MIGE_LINEAR, .name = "y", .out = z, .bias = 1},
    };
    memcpy(spec, table, sizeof table);
}

const char *mige_encoder_feature(const char *feature) {
    static const char *const layers[][2] = {{"conv", "norm3"}, {"fc", "norm4"}, {"y", "y"}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if (strcmp(feature, layers[i][0]) == 0) return layers[i][1];
    return NULL;
}
