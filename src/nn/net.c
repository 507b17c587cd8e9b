/* A network's life: creation, and the way of a batch up and down its layers. */
#include "net.h"
#include "mige/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int mige_net_blueprint(mige_shape in, const mige_layer_spec *spec, int nlayers, int max_batch, int input_gradient,
                       mige_net **out) {
    *out = NULL;
    MIGE_CHECK(nlayers > 0 && max_batch > 0, MIGE_EUSAGE, "network: %d layers, batch %d (both must be positive)",
               nlayers, max_batch);
    MIGE_TRY(mige_alloc(1, sizeof **out, out));
    mige_net *net = *out;
    net->num_layers = nlayers;
    net->max_batch = max_batch;
    net->input_gradient = input_gradient;
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

int mige_net_create(mige_shape in, const mige_layer_spec *spec, int nlayers, int max_batch, int input_gradient,
                    mige_net **out) {
    MIGE_TRY(mige_net_blueprint(in, spec, nlayers, max_batch, input_gradient, out));
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
    free((*net)->tensors);
    free((*net)->layers);
    free(*net);
    *net = NULL;
}

size_t mige_net_memory(const mige_net *net) {
    mige_net counted = *net; /* placed nowhere */
    return mige_net_place(&counted, NULL);
}

void mige_net_move(mige_net *net, float *params, float *grads) {
    net->params = params;
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

int mige_net_forward(mige_net *net, const float *x, int n, const mige_pass *pass) {
    net->trained = 0;
    MIGE_CHECK(n >= 0 && n <= net->max_batch, MIGE_EUSAGE, "network: %d samples (it was made for at most %d)", n,
               net->max_batch);
    net->x = x;
    net->n = n;
    for (int i = 0; i < net->num_layers; i++) {
        layer *l = &net->layers[i];
        MIGE_TRY(mige_layer_ops(l)->forward(net, l, x, n, pass));
        x = l->y;
    }
    net->trained = pass->train;
    return MIGE_OK;
}

const float *mige_net_output(const mige_net *net, int i) {
    return net->layers[i].y;
}

/* Adds what enters the network at layer l's output to what comes from above, if anything does. */
static void merge(size_t size, const float *upstream, int from_above, float *restrict dy) {
    if (!from_above) {
        if (upstream && size > 0)
            memcpy(dy, upstream, size * sizeof *dy);
        else
            memset(dy, 0, size * sizeof *dy);
    } else if (upstream) {
        for (size_t i = 0; i < size; i++) dy[i] += upstream[i];
    }
}

/* upstream NULL: `ends` at the last layer's output alone. */
static int descend(mige_net *net, const float *const *upstream, const float *ends, const mige_pass *pass) {
    MIGE_CHECK(net->trained, MIGE_EUSAGE, "network: backward without a forward in training before it");
    int now = 0, last = net->num_layers - 1;
    for (int i = last; i >= net->first; i--) {
        layer *l = &net->layers[i];
        const layer_ops *ops = mige_layer_ops(l);
        const float *x = i ? net->layers[i - 1].y : net->x;
        int next = ops->in_place ? now : 1 - now, wanted = i > net->first || net->input_gradient;
        const float *enters = upstream ? upstream[i] : i == last ? ends : NULL;
        merge((size_t)net->n * l->out_size, enters, i < last, net->flow[now]);
        float *dx = wanted ? net->flow[next] : NULL;
        MIGE_TRY(ops->backward(net, l, x, net->flow[now], dx, net->n, pass));
        now = next;
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

double mige_net_flops(const mige_net *net, int backward) {
    double sum = 0;
    for (int i = backward ? net->first : 0; i < net->num_layers; i++) {
        const layer *l = &net->layers[i];
        int gemms = backward ? 1 + (i > net->first || net->input_gradient) : 1;
        sum += gemms * 2 * (double)l->out_size * (double)l->fan_in;
    }
    return sum;
}
