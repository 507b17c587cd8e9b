/* Networks: a list of layers over flat vectors. Knows no MPI: batch norm sums over ranks through a callback.
 *
 * Tensors are float, row-major. Images are channels last, [N][H][W][C]; a vector is H = W = 1.
 * Parameters, gradients and running statistics are each ONE flat vector, so that an all-reduce, an optimiser
 * step or a checkpoint is one call. Inside them, per layer:
 *   conv     weight [out][kh][kw][in], then bias [out] if it has one
 *   linear   weight [out][in] (in = h*w*c of the input, in that order), then bias [out] if it has one
 *   norm     weight (gamma) [c], bias (beta) [c]; state: running mean [c], running variance [c]
 */
#ifndef MIGE_NN_H
#define MIGE_NN_H

#include "mige/adam.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int h, w, c;
} mige_shape;

enum mige_layer_kind { MIGE_CONV, MIGE_LINEAR, MIGE_NORM, MIGE_RELU, MIGE_DROPOUT };

/* One layer, as a row of a table. Fields that a kind does not use are 0. */
typedef struct {
    enum mige_layer_kind kind;
    const char *name;        /* unique in the network: "conv1", "norm1", ...; names its tensors in files */
    int out;                 /* conv, linear: output channels or features */
    int kernel, stride, pad; /* conv: square */
    int bias;                /* conv, linear: 1 if it has a bias */
    int relu;                /* norm: 1 if a ReLU follows in the same pass */
    double rate;             /* dropout: probability of a zero, in [0, 1) */
} mige_layer_spec;

/* Sums buf[0..n) over all ranks, in place, the same result on each. Returns an error code. */
typedef int (*mige_reduce_fn)(void *ctx, double *buf, int n);

/* Told when the gradients grads[offset .. offset+count) are final, during backward, last layer first. */
typedef int (*mige_ready_fn)(void *ctx, size_t offset, size_t count);

/* How one pass runs. All-zero is valid: evaluation, alone. */
typedef struct {
    int train;             /* 1: batch statistics (and running ones updated), dropout on; 0: running statistics */
    mige_reduce_fn reduce; /* NULL: this rank has the whole batch */
    void *reduce_ctx;
    mige_ready_fn ready; /* NULL: nobody to tell */
    void *ready_ctx;
    uint64_t seed, step;  /* for dropout; with first_sample they make the mask independent of ranks */
    int64_t first_sample; /* global index in the batch of this rank's first sample */
} mige_pass;

typedef struct mige_net mige_net;

/* A named tensor inside the flat vectors. */
typedef struct {
    char name[64]; /* "conv1.weight", "norm1.running_mean", ... */
    int ndim;      /* 1 to 4 */
    int64_t dims[4];
    size_t offset; /* into mige_net_params (is_state 0) or mige_net_state (is_state 1) */
    size_t count;
    int is_state;
} mige_tensor;

/* Builds a network for inputs of shape `in` and at most `max_batch` samples at once; all memory is taken here,
 * none in a pass. Gradients of the input are computed only if `input_gradient`. Parameters are zero, running
 * variances 1. Errors: MIGE_EUSAGE (a shape that does not fit, named), MIGE_EFAIL (memory). Not collective. */
int mige_net_create(mige_shape in, const mige_layer_spec *spec, int nlayers, int max_batch, int input_gradient,
                    mige_net **net);
void mige_net_destroy(mige_net **net);

/* Flat vectors and their lengths; owned by the network, fixed for its life. */
float *mige_net_params(const mige_net *net);
float *mige_net_grads(const mige_net *net);
float *mige_net_state(const mige_net *net);
size_t mige_net_num_params(const mige_net *net);
size_t mige_net_num_state(const mige_net *net);
int mige_net_num_tensors(const mige_net *net);
void mige_net_tensor(const mige_net *net, int i, mige_tensor *tensor);

/* From now on parameters and gradients live at `params` and `grads` (each of mige_net_num_params floats), which
 * belong to the caller and outlive the network: memory that ranks share. What params holds is taken as it is. */
void mige_net_move(mige_net *net, float *params, float *grads);

/* Index of the layer called `name`, -1 if there is none; shape of a layer's output (layer -1: the input's). */
int mige_net_layer(const mige_net *net, const char *name);
int mige_net_num_layers(const mige_net *net);
const char *mige_net_layer_name(const mige_net *net, int layer);
mige_shape mige_net_shape(const mige_net *net, int layer);
/* Bytes that mige_net_create would take for such a network; 0 if the shapes do not fit. */
size_t mige_net_bytes(mige_shape in, const mige_layer_spec *spec, int nlayers, int max_batch);

/* PyTorch's defaults: weights and biases U(-b, b), b = 1/sqrt(fan in); gamma 1, beta 0; running mean 0,
 * variance 1. A function of (seed, purpose) alone: element i of the flat vector draws at index i. */
int mige_net_init(mige_net *net, uint64_t seed, uint32_t purpose);

/* x [n][h][w][c] -> every layer's output, kept for backward. n may be 0 on a rank that has no sample (its
 * reductions are still joined). x must stay as it is until backward is done. Floating-point operations are in
 * mige_net_flops. A NaN is passed on by every layer. Collective over the ranks behind pass->reduce. Errors:
 * MIGE_EUSAGE (n beyond max_batch), those of the callbacks. */
int mige_net_forward(mige_net *net, const float *x, int n, const mige_pass *pass);
/* Output of a layer after forward, [n][shape]; valid until the next forward. */
const float *mige_net_output(const mige_net *net, int layer);

/* Back-propagates. upstream[l], where not NULL, is dLoss/d(output of layer l), [n][shape], and is added to
 * what comes from above; upstream has one entry a layer, the last is usually the only one. Gradients overwrite
 * the flat gradient vector (sums over this rank's samples; the caller reduces over ranks). Collective as forward.
 * Errors: MIGE_EUSAGE unless the forward before it was in training; those of the callbacks. */
int mige_net_backward(mige_net *net, const float *const *upstream, const mige_pass *pass);
/* Gradient of the input after backward, valid until the next one, or NULL if not asked for at creation. */
const float *mige_net_input_gradient(const mige_net *net);

/* Multiplications and additions of one sample's forward (backward 0) or backward (1) pass through convolutions and
 * linear layers, of the direct algorithm: some convolutions are computed with fewer. */
double mige_net_flops(const mige_net *net, int backward);

/* Softmax cross entropy: logits [n][classes], labels [n] in 0 .. classes - 1 -> sum over samples of -log p(label),
 * in nats; dlogits (may be NULL) = scale * gradient of that sum; *correct (may be NULL) counts argmax == label. */
double mige_cross_entropy(const float *logits, const int32_t *labels, int n, int classes, double scale,
                          float *dlogits, int64_t *correct);

/* The Deep InfoMax encoder: conv 64, 128, 256 (k4 s2 p1, batch norm, ReLU, no bias), linear 1024 (batch norm,
 * ReLU, no bias), linear `z` with bias, written to spec. */
enum { MIGE_ENCODER_LAYERS = 9 };
void mige_encoder_spec(int z, mige_layer_spec spec[MIGE_ENCODER_LAYERS]);
/* Layer name of feature "conv", "fc" or "y"; NULL for any other. */
const char *mige_encoder_feature(const char *feature);

#endif
