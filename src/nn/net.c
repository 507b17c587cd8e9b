/* A network's life: creation, and the way of a batch up and down its layers. */
#include "mige/rng.h"
#include "nn/half.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int mige_net_blueprint(mige_shape in, const mige_layer_spec *spec, int nlayers, int max_batch, int flags,
                       mige_net **out) {
    *out = NULL;
    MIGE_CHECK(nlayers > 0 && max_batch > 0, MIGE_EUSAGE, "network: %d layers, batch %d (both must be positive)",
               nlayers, max_batch);
    MIGE_TRY(mige_alloc(1, sizeof **out, out));
    mige_net *net = *out;
    net->num_layers = nlayers;
    net->max_batch = max_batch;
    net->input_gradient = (flags & MIGE_NET_INPUT_GRADIENT) != 0;
    net->half = (flags & MIGE_NET_BFLOAT16) != 0;
    int err = mige_alloc((size_t)nlayers, sizeof *net->layers, &net->layers);
    if (!err) err = mige_alloc((size_t)nlayers * MAX_LAYER_TENSORS, sizeof *net->tensors, &net->tensors);
    if (!err) err = mige_net_plan(net, in, spec);
    if (err) mige_net_destroy(out);
    return err;
}

static void fill_norms(mige_net *net) {
    for (int i = 0; i < net->num_layers; i++) {
        const layer *l = &net->layers[i];
        if (l->spec.kind != MIGE_NORM) continue;
        for (int j = 0; j < l->in.c; j++) net->state[l->state + (size_t)(l->in.c + j)] = 1;
    }
}

int mige_net_create(mige_shape in, const mige_layer_spec *spec, int nlayers, int max_batch, int flags,
                    mige_net **out) {
    MIGE_TRY(mige_net_blueprint(in, spec, nlayers, max_batch, flags, out));
    mige_net *net = *out;
    int err = mige_alloc(mige_net_place(net, NULL), 1, &net->memory);
    if (err) {
        mige_net_destroy(out);
        return err;
    }
    mige_net_place(net, net->memory);
    fill_norms(net);
    return MIGE_OK;
}

void mige_net_destroy(mige_net **net) {
    if (!*net) return;
    free((*net)->memory);
    free((*net)->kept_work);
    free((*net)->tensors);
    free((*net)->layers);
    free(*net);
    *net = NULL;
}

size_t mige_net_memory(const mige_net *net) {
    mige_net counted = *net; /* placed nowhere */
    return mige_net_place(&counted, NULL);
}

void mige_net_move(mige_net *net, float *params, uint32_t *packed, float *grads) {
    net->params = params;
    net->packed = net->half ? packed : NULL;
    net->grads = grads;
}

float *mige_net_params(const mige_net *net) {
    return net->params;
}
float *mige_net_grads(const mige_net *net) {
    return net->grads;
}
float *mige_net_state(const mige_net *net) {
    return net->state;
}
size_t mige_net_num_params(const mige_net *net) {
    return net->num_params;
}
size_t mige_net_num_state(const mige_net *net) {
    return net->num_state;
}
int mige_net_num_tensors(const mige_net *net) {
    return net->num_tensors;
}
void mige_net_tensor(const mige_net *net, int i, mige_tensor *tensor) {
    *tensor = net->tensors[i];
}

int mige_net_layer(const mige_net *net, const char *name) {
    for (int i = 0; i < net->num_layers; i++)
        if (strcmp(net->layers[i].name, name) == 0) return i;
    return -1;
}

int mige_net_num_layers(const mige_net *net) {
    return net->num_layers;
}

const char *mige_net_layer_name(const mige_net *net, int i) {
    return net->layers[i].name;
}

mige_shape mige_net_shape(const mige_net *net, int i) {
    return i < 0 ? net->in : net->layers[i].out;
}

int mige_net_size(const mige_net *net, int i) {
    mige_shape s = mige_net_shape(net, i);
    return s.h * s.w * s.c;
}

int mige_net_init(mige_net *net, uint64_t seed, uint32_t purpose, uint64_t stream) {
    for (int i = 0; net->memory && i < net->num_layers; i++) {
        const layer *l = &net->layers[i];
        float *p = net->params + l->param, *s = net->state + l->state;
        if (l->spec.kind == MIGE_NORM) {
            for (size_t j = 0; j < l->num_params; j++) p[j] = j < l->num_params / 2;
            for (size_t j = 0; j < l->num_state; j++) s[j] = j >= l->num_state / 2;
            continue;
        }
        double bound = 1 / sqrt((double)l->fan_in), u;
        for (size_t j = 0; j < l->num_params; j++) {
            mige_rng_uniform(seed, purpose, stream, l->param + j, 1, &u);
            p[j] = (float)((2 * u - 1) * bound);
        }
    }
    return MIGE_OK;
}

/* The output of layer i, -1: the network's input, as floats: of bfloat16 a copy, made when it is first asked for.
 */
const float *mige_net_output(const mige_net *net, int i) {
    if (i < 0) return net->x;
    layer *l = &net->layers[i];
    if (l->half_out && !l->copied) {
        mige_half_to_float((size_t)net->n * l->out_size, l->y16, l->y);
        l->copied = 1;
    }
    return l->y;
}

/* The input of layer i in bfloat16; of floats a copy that forward has made. */
static const uint16_t *half_input(const mige_net *net, int i) {
    return i && net->layers[i - 1].half_out ? net->layers[i - 1].y16 : net->layers[i].x16;
}

static int layer_forward(mige_net *net, int i, const mige_pass *pass) {
    layer *l = &net->layers[i];
    const layer_ops *ops = mige_layer_ops(l);
    l->copied = 0;
    if (!l->half) return ops->forward(net, l, mige_net_output(net, i - 1), net->n, pass);
    if (l->x16) mige_bfloat16_round((size_t)net->n * l->in_size, mige_net_output(net, i - 1), l->x16);
    return ops->half->forward(net, l, half_input(net, i), net->n, pass);
}

static int layer_backward(mige_net *net, int i, void *dy, void *dx, const mige_pass *pass) {
    layer *l = &net->layers[i];
    const layer_ops *ops = mige_layer_ops(l);
    if (!l->half) return ops->backward(net, l, mige_net_output(net, i - 1), dy, dx, net->n, pass);
    return ops->half->backward(net, l, half_input(net, i), dy, dx, net->n, pass);
}

int mige_net_forward(mige_net *net, const float *x, int n, const mige_pass *pass) {
    net->trained = 0;
    MIGE_CHECK(n >= 0 && n <= net->max_batch, MIGE_EUSAGE, "network: %d samples (it was made for at most %d)", n,
               net->max_batch);
    net->x = x;
    net->n = n;
    for (int i = 0; i < net->num_layers; i++) MIGE_TRY(layer_forward(net, i, pass));
    net->trained = pass->train;
    return MIGE_OK;
}

int mige_net_draw_again(mige_net *net, const mige_pass *pass) {
    int i = 0;
    net->trained = 0;
    while (i < net->num_layers && net->layers[i].spec.kind != MIGE_GAUSSIAN &&
           net->layers[i].spec.kind != MIGE_NOISE)
        i++;
    for (; i < net->num_layers; i++) MIGE_TRY(layer_forward(net, i, pass));
    return MIGE_OK;
}

/* Adds what enters the network at layer l's output to what comes from above, if anything does, in l's precision. */
static void merge(const layer *l, size_t size, const float *upstream, int from_above, void *dy) {
    float *d = dy;
    if (from_above && upstream && l->half_out)
        mige_half_add(size, upstream, dy);
    else if (from_above && upstream)
        for (size_t i = 0; i < size; i++) d[i] += upstream[i];
    else if (!from_above && upstream && l->half_out)
        mige_bfloat16_round(size, upstream, dy);
    else if (!from_above && upstream && size > 0)
        memcpy(dy, upstream, size * sizeof *d);
    else if (!from_above)
        memset(dy, 0, size * (l->half_out ? sizeof(uint16_t) : sizeof *d));
}

/* The gradient of layer i's input, from the precision that it was computed in to that of the layer below, -1:
 * float. Which half of flow it is in then. */
static int hand_down(mige_net *net, int i, int now) {
    const layer *l = &net->layers[i];
    int has = l->half, wants = i > 0 && net->layers[i - 1].half_out;
    if (has == wants) return now;
    size_t size = (size_t)net->n * l->in_size;
    if (has)
        mige_half_to_float(size, net->flow[now], net->flow[1 - now]);
    else
        mige_bfloat16_round(size, net->flow[now], net->flow[1 - now]);
    return 1 - now;
}

int mige_layer_goes_down(const mige_net *net, const layer *l) {
    return l->index > net->first || net->input_gradient;
}

/* upstream NULL: `ends` at the last layer's output alone. */
static int descend(mige_net *net, const float *const *upstream, const float *ends, const mige_pass *pass) {
    MIGE_CHECK(net->trained, MIGE_EUSAGE, "network: backward without a forward in training before it");
    int now = 0, last = net->num_layers - 1;
    for (int i = last; i >= net->first; i--) {
        const layer *l = &net->layers[i];
        int next = mige_layer_ops(l)->in_place ? now : 1 - now, wanted = mige_layer_goes_down(net, l);
        const float *enters = upstream ? upstream[i] : i == last ? ends : NULL;
        merge(l, (size_t)net->n * l->out_size, enters, i < last, net->flow[now]);
        MIGE_TRY(layer_backward(net, i, net->flow[now], wanted ? net->flow[next] : NULL, pass));
        now = wanted ? hand_down(net, i, next) : next;
    }
    net->input_grad = net->flow[now];
    return MIGE_OK;
}

int mige_net_backward(mige_net *net, const float *const *upstream, const mige_pass *pass) {
    return descend(net, upstream, NULL, pass);
}

int mige_net_backward_last(mige_net *net, const float *upstream, const mige_pass *pass) {
    return descend(net, NULL, upstream, pass);
}

const float *mige_net_input_gradient(const mige_net *net) {
    return net->input_gradient ? net->input_grad : NULL;
}

const char *mige_bfloat16_kernel(void) {
    return mige_half_best()->name;
}

int mige_bfloat16_fast(void) {
    return mige_half_best()->fast;
}

double mige_net_flops(const mige_net *net, int backward) {
    double sum = 0;
    for (int i = backward ? net->first : 0; i < net->num_layers; i++) {
        const layer *l = &net->layers[i];
        int gemms = backward ? 1 + mige_layer_goes_down(net, l) : 1;
        sum += gemms * 2 * (double)l->out_size * (double)l->fan_in;
    }
    return sum;
}
