/* From a table of layers to shapes, named tensors and one block of memory. */
#include "net.h"
#include <stdio.h>
#include <string.h>

/* Keeps every product of two sizes of a layer in 64 bits, and every dimension of a GEMM in BLAS's int. */
enum { MAX_SAMPLE = 1 << 26 };

const layer_ops *mige_layer_ops(const layer *l) {
    static const layer_ops *const ops[] = {
        [MIGE_CONV] = &mige_conv_ops,  [MIGE_LINEAR] = &mige_linear_ops,   [MIGE_NORM] = &mige_norm_ops,
        [MIGE_RELU] = &mige_relu_ops,  [MIGE_DROPOUT] = &mige_dropout_ops, [MIGE_GAUSSIAN] = &mige_gaussian_ops,
        [MIGE_NOISE] = &mige_noise_ops};
    return ops[l->spec.kind];
}

static size_t shape_size(mige_shape s) {
    if (s.h < 1 || s.w < 1 || s.c < 1) return 0;
    int64_t area = (int64_t)s.h * s.w;
    if (area > MAX_SAMPLE || area * s.c > MAX_SAMPLE) return 0;
    return (size_t)(area * s.c);
}

static void add_tensor(mige_net *net, const layer *l, const char *what, size_t offset, int is_state, int ndim,
                       const int64_t *dims) {
    mige_tensor *t = &net->tensors[net->num_tensors++];
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s.%s", l->name, what);
    t->ndim = ndim;
    t->count = 1;
    for (int i = 0; i < ndim; i++) {
        t->dims[i] = dims[i];
        t->count *= (size_t)dims[i];
    }
    t->offset = offset;
    t->is_state = is_state;
}

static void add_tensors(mige_net *net, const layer *l) {
    int64_t c = l->in.c, out = l->spec.out, k = l->spec.kernel;
    size_t bias = l->param + l->num_params - (size_t)l->out.c;
    switch (l->spec.kind) {
    case MIGE_CONV:
        add_tensor(net, l, "weight", l->param, 0, 4, (int64_t[]){out, k, k, c});
        if (l->spec.bias) add_tensor(net, l, "bias", bias, 0, 1, &out);
        break;
    case MIGE_LINEAR:
        add_tensor(net, l, "weight", l->param, 0, 2, (int64_t[]){out, (int64_t)l->in_size});
        if (l->spec.bias) add_tensor(net, l, "bias", bias, 0, 1, &out);
        break;
    case MIGE_NORM:
        add_tensor(net, l, "weight", l->param, 0, 1, &c);
        add_tensor(net, l, "bias", bias, 0, 1, &c);
        add_tensor(net, l, "running_mean", l->state, 1, 1, &c);
        add_tensor(net, l, "running_var", l->state + (size_t)c, 1, 1, &c);
        break;
    default:
        break;
    }
}

static int check_name(const mige_net *net, const char *name, int i) {
    MIGE_CHECK(name && *name, MIGE_EUSAGE, "layer %d: has no name (give each layer one)", i);
    MIGE_CHECK(strlen(name) < MAX_LAYER_NAME, MIGE_EUSAGE, "layer %s: name too long (at most %d characters)", name,
               MAX_LAYER_NAME - 1);
    for (int j = 0; j < i; j++)
        MIGE_CHECK(strcmp(net->layers[j].name, name) != 0, MIGE_EUSAGE,
                   "layer %s: two layers have this name (each needs its own)", name);
    return MIGE_OK;
}

static int plan_layer(mige_net *net, layer *l, const mige_layer_spec *spec) {
    MIGE_TRY(check_name(net, spec->name, l->index));
    MIGE_CHECK((unsigned)spec->kind <= MIGE_NOISE, MIGE_EUSAGE, "layer %s: unknown kind %d", spec->name,
               (int)spec->kind);
    l->spec = *spec;
    snprintf(l->name, sizeof l->name, "%s", spec->name);
    l->spec.name = l->name;
    l->in_size = shape_size(l->in);
    MIGE_TRY(mige_layer_ops(l)->plan(l));
    if (l->chunk > net->max_batch) l->chunk = net->max_batch;
    l->out_size = shape_size(l->out);
    MIGE_CHECK(l->out_size > 0, MIGE_EUSAGE, "layer %s: output %d x %d x %d too large (at most %d values a sample)",
               l->name, l->out.h, l->out.w, l->out.c, MAX_SAMPLE);
    return MIGE_OK;
}

/* Whether its outputs go in pairs, and the inner dimensions of its products are counted in an int. */
static int suits_half(const layer *l) {
    size_t kernel = (size_t)l->spec.kernel, back = kernel * kernel * (size_t)l->out.c;
    return l->out.c % 2 == 0 && l->fan_in <= MAX_SAMPLE && back <= MAX_SAMPLE;
}

/* Which layers compute with bfloat16, and which of them give it: all that can, but for the code at the network's
 * end and what a density is made of, whose values are used as they are. */
static void plan_half(mige_net *net) {
    for (int i = 0; i < net->num_layers; i++) {
        layer *l = &net->layers[i];
        enum mige_layer_kind kind = l->spec.kind, next = i + 1 < net->num_layers ? l[1].spec.kind : MIGE_GAUSSIAN;
        int weighs = kind == MIGE_LINEAR || (kind == MIGE_CONV && suits_half(l));
        l->half = weighs || (mige_layer_ops(l)->half && kind != MIGE_CONV && i && l[-1].half_out);
        l->half_out = l->half && !(kind == MIGE_LINEAR && next == MIGE_GAUSSIAN);
        if (kind == MIGE_CONV && l->half) l->winograd = 0;
    }
}

int mige_net_plan(mige_net *net, mige_shape in, const mige_layer_spec *spec) {
    net->in = in;
    net->first = net->num_layers;
    MIGE_CHECK(shape_size(in) > 0, MIGE_EUSAGE, "network: input %d x %d x %d (needs 1 to %d values a sample)", in.h,
               in.w, in.c, MAX_SAMPLE);
    for (int i = 0; i < net->num_layers; i++) {
        layer *l = &net->layers[i];
        l->index = i;
        l->in = i ? net->layers[i - 1].out : in;
        MIGE_TRY(plan_layer(net, l, &spec[i]));
        l->param = net->num_params;
        l->state = net->num_state;
        net->num_params += l->num_params;
        net->num_state += l->num_state;
        add_tensors(net, l);
        if (l->num_params && net->first == net->num_layers) net->first = i;
    }
    if (net->input_gradient) net->first = 0;
    if (net->half) plan_half(net);
    return MIGE_OK;
}

/* The next array of count items at base + *used, on a cache line of its own. */
static void *place(char *base, size_t *used, size_t count, size_t size) {
    size_t at = *used, bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || at == SIZE_MAX || bytes > SIZE_MAX - 128 - at) {
        *used = SIZE_MAX;
        return NULL;
    }
    *used = at + (bytes + 63) / 64 * 64;
    return base ? base + at : NULL;
}

static void place_layer(const mige_net *net, layer *l, char *base, size_t *used) {
    size_t samples = (size_t)net->max_batch * l->out_size, c = (size_t)l->in.c;
    l->y = place(base, used, samples, sizeof *l->y);
    if (l->half_out) l->y16 = place(base, used, samples, sizeof *l->y16);
    if (l->half && !(l->index && l[-1].half_out))
        l->x16 = place(base, used, (size_t)net->max_batch * l->in_size, sizeof *l->x16);
    if (l->spec.kind == MIGE_DROPOUT) l->bits = place(base, used, samples, sizeof *l->bits);
    if (l->spec.kind == MIGE_GAUSSIAN) {
        size_t deviations = (size_t)net->max_batch * (size_t)l->out.c;
        l->noise = place(base, used, samples, sizeof *l->noise);
        l->sigma = place(base, used, deviations, sizeof *l->sigma);
        l->slope = place(base, used, deviations, sizeof *l->slope);
    }
    if (l->spec.kind == MIGE_GAUSSIAN || l->spec.kind == MIGE_NOISE)
        l->normal = place(base, used, l->out_size, sizeof *l->normal);
    if (l->spec.kind == MIGE_NORM) {
        l->sums = place(base, used, 2 * c + 1, sizeof *l->sums);
        l->coef = place(base, used, NORM_COEFS * c, sizeof *l->coef);
    }
}

size_t mige_net_place(mige_net *net, char *base) {
    size_t used = 0, widest = shape_size(net->in), patches = 0;
    for (int i = 0; i < net->num_layers; i++) {
        layer *l = &net->layers[i];
        if (l->out_size > widest) widest = l->out_size;
        const half_ops *half = l->half ? mige_layer_ops(l)->half : NULL;
        size_t scratch = half && half->scratch ? half->scratch(l, net->max_batch) / sizeof(float) + 1 : 0;
        if (!half && l->spec.kind == MIGE_CONV) scratch = mige_conv_scratch(l);
        if (scratch > patches) patches = scratch;
    }
    net->params = place(base, &used, net->num_params, sizeof(float));
    net->grads = place(base, &used, net->num_params, sizeof(float));
    net->state = place(base, &used, net->num_state, sizeof(float));
    net->patches = place(base, &used, patches, sizeof(float));
    for (int i = 0; i < 2; i++) net->flow[i] = place(base, &used, (size_t)net->max_batch * widest, sizeof(float));
    for (int i = 0; i < net->num_layers; i++) place_layer(net, &net->layers[i], base, &used);
    return used;
}
