/* Encoders: one function that writes the layers, and one row of the table. */
#include "mige/error.h"
#include "mige/nn.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_HIDDEN = 8, MAX_WIDTH = 65536, SMALLEST = 8 };

static void add(mige_encoder *e, mige_layer_spec layer) {
    e->layers[e->n++] = layer;
}

/* A network's end: the code y; or z, and the means and deviations that it is drawn by. Feature y is the code. */
static void add_code(mige_encoder *e, const mige_encoder_options *o) {
    int drawn = o->stochastic == MIGE_ENCODER_GAUSSIAN;
    add(e, (mige_layer_spec){.kind = MIGE_LINEAR, .name = "y", .out = drawn ? 2 * o->out : o->out, .bias = 1});
    if (!drawn) return;
    add(e, (mige_layer_spec){
               .kind = MIGE_GAUSSIAN, .name = "z", .draws = o->draws > 0 ? o->draws : 1, .lo = o->lo, .hi = o->hi});
    for (int i = 0; i < MIGE_ENCODER_FEATURES && e->feature[i].name; i++)
        if (!strcmp(e->feature[i].name, "y")) e->feature[i].layer = "z";
}

static int add_dim(const char *setting, mige_shape in, const mige_encoder_options *o, mige_encoder *e) {
    static const mige_layer_spec table[] = {
        {.kind = MIGE_CONV, .name = "conv1", .out = 64, .kernel = 4, .stride = 2, .pad = 1},
        {.kind = MIGE_NORM, .name = "norm1", .relu = 1},
        {.kind = MIGE_CONV, .name = "conv2", .out = 128, .kernel = 4, .stride = 2, .pad = 1},
        {.kind = MIGE_NORM, .name = "norm2", .relu = 1},
        {.kind = MIGE_CONV, .name = "conv3", .out = 256, .kernel = 4, .stride = 2, .pad = 1},
        {.kind = MIGE_NORM, .name = "norm3", .relu = 1},
        {.kind = MIGE_LINEAR, .name = "fc", .out = 1024},
        {.kind = MIGE_NORM, .name = "norm4", .relu = 1},
    };
    MIGE_CHECK(!*setting, MIGE_EUSAGE, "encoder dim: \"%s\" after its name (it has nothing to set)", setting);
    MIGE_CHECK(in.h >= SMALLEST && in.w >= SMALLEST, MIGE_EINPUT,
               "encoder dim: images of %d x %d are too small (%d x %d at least; mlp takes any)", in.h, in.w,
               SMALLEST, SMALLEST);
    MIGE_CHECK(o->stochastic != MIGE_ENCODER_IMPLICIT && o->dropout == 0, MIGE_EUSAGE,
               "encoder dim: has no noise among its inputs and no dropout (mlp has)");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) add(e, table[i]);
    add_code(e, o);
    return MIGE_OK;
}

/* "1024,512" -> 2 widths; "" -> the default's. */
static int parse_widths(const char *list, int width[MOST_HIDDEN], int *n) {
    const char *p = *list ? list : "1024,1024";
    for (*n = 0; *n < MOST_HIDDEN; p++) {
        char *end;
        long w = *p >= '0' && *p <= '9' ? strtol(p, &end, 10) : 0;
        if (w < 1 || w > MAX_WIDTH) break;
        width[(*n)++] = (int)w;
        p = end;
        if (!*p) return MIGE_OK;
        if (*p != ',') break;
    }
    return mige_raise(MIGE_EUSAGE,
                      "encoder mlp: \"%s\" (widths of 1 to %d hidden layers, each 1 to %d, as in "
                      "mlp:1024,1024)",
                      list, MOST_HIDDEN, MAX_WIDTH);
}

static int add_mlp(const char *setting, mige_shape in, const mige_encoder_options *o, mige_encoder *e) {
    static const char *const names[][MOST_HIDDEN] = {
        {"fc1", "fc2", "fc3", "fc4", "fc5", "fc6", "fc7", "fc8"},
        {"relu1", "relu2", "relu3", "relu4", "relu5", "relu6", "relu7", "relu8"},
        {"drop1", "drop2", "drop3", "drop4", "drop5", "drop6", "drop7", "drop8"}};
    int width[MOST_HIDDEN], n;
    (void)in;
    MIGE_TRY(parse_widths(setting, width, &n));
    if (o->stochastic == MIGE_ENCODER_IMPLICIT)
        add(e, (mige_layer_spec){.kind = MIGE_NOISE, .name = "noise", .out = o->out});
    for (int i = 0; i < n; i++) {
        add(e, (mige_layer_spec){.kind = MIGE_LINEAR, .name = names[0][i], .out = width[i], .bias = 1});
        add(e, (mige_layer_spec){.kind = MIGE_RELU, .name = names[1][i]});
        if (o->dropout > 0)
            add(e, (mige_layer_spec){.kind = MIGE_DROPOUT, .name = names[2][i], .rate = o->dropout});
    }
    e->feature[0].layer = names[1][n - 1];
    add_code(e, o);
    return MIGE_OK;
}

/* A row: the name and how it is written, the layers, and the features in the order of the network. */
static const struct {
    const char *name, *usage;
    int (*add)(const char *setting, mige_shape in, const mige_encoder_options *o, mige_encoder *e);
    mige_feature feature[MIGE_ENCODER_FEATURES];
} encoders[] = {
    {"dim", "dim", add_dim, {{"conv", "norm3"}, {"fc", "norm4"}, {"y", "y"}}},
    {"mlp", "mlp[:1024,1024]", add_mlp, {{"fc", NULL /* the last hidden one */}, {"y", "y"}}},
};
enum { NUM_ENCODERS = sizeof encoders / sizeof *encoders };

/* Adds a word to a list "a, b". */
static void append(char *list, size_t size, const char *separator, const char *word) {
    size_t length = strlen(list);
    snprintf(list + length, size - length, "%s%s", length ? separator : "", word);
}

int mige_encoder_create(const char *what, mige_shape in, const mige_encoder_options *o, mige_encoder *e) {
    size_t length = strcspn(what, ":");
    char names[128] = "";
    memset(e, 0, sizeof *e);
    MIGE_CHECK(o->out > 0, MIGE_EUSAGE, "encoder %s: a code of %d dimensions (must be positive)", what, o->out);
    for (int i = 0; i < NUM_ENCODERS; i++) {
        if (strlen(encoders[i].name) != length || strncmp(what, encoders[i].name, length) != 0) continue;
        memcpy(e->feature, encoders[i].feature, sizeof e->feature);
        for (int k = 0; k < MIGE_ENCODER_FEATURES && e->feature[k].name; k++)
            append(e->features, sizeof e->features, ",", e->feature[k].name);
        return encoders[i].add(what + length + (what[length] == ':'), in, o, e);
    }
    for (int i = 0; i < NUM_ENCODERS; i++) append(names, sizeof names, ", ", encoders[i].usage);
    return mige_raise(MIGE_EUSAGE, "encoder \"%s\": there is none of this name (%s)", what, names);
}

const char *mige_encoder_feature(const mige_encoder *e, const char *feature) {
    for (int i = 0; i < MIGE_ENCODER_FEATURES && e->feature[i].name; i++)
        if (strcmp(feature, e->feature[i].name) == 0) return e->feature[i].layer;
    return NULL;
}
