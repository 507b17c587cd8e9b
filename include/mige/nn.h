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

/* gaussian: 2 K inputs a sample, mu [K] and rho [K], to S draws of a code, {h = S, w = 1, c = K}:
 *   z[s][k] = mu[k] + sigma[k] eps[s][k], sigma = softplus(rho - 5), or within a range lo to hi: sigma =
 * softplus(rho), rho clipped to it and without a gradient beyond. eps ~ N(0, 1). noise: the input's values, then
 * `out` draws of N(0, 1), as a vector. Both draw in evaluation too, by the purpose MIGE_RNG_NOISE, as dropout does
 * by its own: see mige_pass. */
enum mige_layer_kind { MIGE_CONV, MIGE_LINEAR, MIGE_NORM, MIGE_RELU, MIGE_DROPOUT, MIGE_GAUSSIAN, MIGE_NOISE };

/* One layer, as a row of a table. Fields that a kind does not use are 0. */
typedef struct {
    enum mige_layer_kind kind;
    const char *name;        /* unique in the network: "conv1", "norm1", ...; names its tensors in files */
    int out;                 /* conv, linear: output channels or features; noise: values drawn */
    int kernel, stride, pad; /* conv: square */
    int bias;                /* conv, linear: 1 if it has a bias */
    int relu;                /* norm: 1 if a ReLU follows in the same pass */
    double rate;             /* dropout: probability of a zero, in [0, 1) */
    int draws;               /* gaussian: S */
    double lo, hi;           /* gaussian: range of sigma; 0, 0: none */
} mige_layer_spec;

/* The layers of a critic or discriminator: two hidden ones, then `last` numbers. */
enum { MIGE_CRITIC_LAYERS = 5 };
#define MIGE_CRITIC_OF(hidden1, hidden2, last)                                                                     \
    {                                                                                                              \
        {.kind = MIGE_LINEAR, .name = "fc1", .out = hidden1, .bias = 1}, {.kind = MIGE_RELU, .name = "relu1"},     \
            {.kind = MIGE_LINEAR, .name = "fc2", .out = hidden2, .bias = 1}, {.kind = MIGE_RELU, .name = "relu2"}, \
        {                                                                                                          \
            .kind = MIGE_LINEAR, .name = "out", .out = last, .bias = 1                                             \
        }                                                                                                          \
    }

/* Sums buf[0..n) over all ranks, in place, the same result on each. Returns an error code. */
typedef int (*mige_reduce_fn)(void *ctx, double *buf, int n);

/* How one pass runs. All-zero is valid: evaluation, alone. */
typedef struct {
    int train;             /* 1: batch statistics (and running ones updated), dropout on; 0: running statistics */
    mige_reduce_fn reduce; /* NULL: this rank has the whole batch */
    void *reduce_ctx;
    int mean;             /* 1: gaussian and noise layers take zeros for their draws: every z is mu */
    uint64_t seed, step;  /* of what is drawn; with first_sample they make it independent of ranks */
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
 * none in a pass. flags is a sum:
 *   MIGE_NET_INPUT_GRADIENT  gradients of the input are computed
 *   MIGE_NET_BFLOAT16        activations and their gradients are kept in bfloat16, and convolutions and linear
 * layers multiply in it, with sums in float; parameters, their gradients, statistics of batch norm, and the output
 * of a linear layer at the end or before a gaussian one stay float Parameters are zero, running variances 1.
 * Errors: MIGE_EUSAGE (a shape that does not fit, named), MIGE_EFAIL (memory). Not collective. */
enum { MIGE_NET_INPUT_GRADIENT = 1, MIGE_NET_BFLOAT16 = 2 };
int mige_net_create(mige_shape in, const mige_layer_spec *spec, int nlayers, int max_batch, int flags,
                    mige_net **net);
void mige_net_destroy(mige_net **net);
/* The same without any memory, for shapes, tensors and sizes alone: its first weights are nowhere. And the bytes
 * that it would have taken; not of other networks. */
int mige_net_blueprint(mige_shape in, const mige_layer_spec *spec, int nlayers, int max_batch, int flags,
                       mige_net **net);
size_t mige_net_memory(const mige_net *net);

/* What multiplies bfloat16 on this processor: "AMX-BF16", "AVX512-BF16", or "none: emulated", which is slower than
 * float; whether it is instructions; and its rate in products of a thread that takes `seconds`, GFLOP/s. */
const char *mige_bfloat16_kernel(void);
int mige_bfloat16_fast(void);
double mige_bfloat16_rate(double seconds);

/* Flat vectors and their lengths; owned by the network, fixed for its life. */
float *mige_net_params(const mige_net *net);
float *mige_net_grads(const mige_net *net);
float *mige_net_state(const mige_net *net);
size_t mige_net_num_params(const mige_net *net);
size_t mige_net_num_state(const mige_net *net);
int mige_net_num_tensors(const mige_net *net);
void mige_net_tensor(const mige_net *net, int i, mige_tensor *tensor);

/* From now on parameters and gradients live at `params` and `grads` (each of mige_net_num_params floats), which
 * belong to the caller and outlive the network: memory that ranks share. What params holds is taken as it is.
 * packed: the weights of linear layers in bfloat16, as products read them, of mige_net_packed_bytes, 0 at first,
 * also the caller's, who calls mige_net_pack after each change of weights; NULL: they are packed in each pass. */
void mige_net_move(mige_net *net, float *params, uint32_t *packed, float *grads);
/* Bytes of packed weights, 0 without MIGE_NET_BFLOAT16. Whether layer i has some, and where its weights, [out][in],
 * begin in the flat vector. Packs `rows` of them from row `row` on; both are multiples of MIGE_NET_ROWS but at the
 * end, and what other rows are packed into is not written. Not collective. */
enum { MIGE_NET_ROWS = 32 };
size_t mige_net_packed_bytes(const mige_net *net);
int mige_net_packs(const mige_net *net, int layer, size_t *first);
void mige_net_pack(mige_net *net, int layer, int row, int rows);

/* Index of the layer called `name`, -1 if there is none; shape of a layer's output (layer -1: the input's), and
 * its values. */
int mige_net_layer(const mige_net *net, const char *name);
int mige_net_num_layers(const mige_net *net);
const char *mige_net_layer_name(const mige_net *net, int layer);
mige_shape mige_net_shape(const mige_net *net, int layer);
int mige_net_size(const mige_net *net, int layer);

/* PyTorch's defaults: weights and biases U(-b, b), b = 1/sqrt(fan in); gamma 1, beta 0; running mean 0,
 * variance 1. A function of (seed, purpose, stream) alone: element i of the flat vector draws at index i, step
 * `stream`. */
int mige_net_init(mige_net *net, uint64_t seed, uint32_t purpose, uint64_t stream);

/* x [n][h][w][c] -> every layer's output, kept for backward. n may be 0 on a rank that has no sample (its
 * reductions are still joined). x must stay as it is until backward is done. Floating-point operations are in
 * mige_net_flops. A NaN is passed on by every layer. Collective over the ranks behind pass->reduce. Errors:
 * MIGE_EUSAGE (n beyond max_batch), those of the callbacks. */
int mige_net_forward(mige_net *net, const float *x, int n, const mige_pass *pass);
/* After a forward pass out of training, the same samples with other draws: only layers from the first that draws on
 * are computed. Collective and errors as forward. */
int mige_net_draw_again(mige_net *net, const mige_pass *pass);
/* Output of a layer after forward, [n][shape]; valid until the next forward. */
const float *mige_net_output(const mige_net *net, int layer);

/* Back-propagates. upstream[l], where not NULL, is dLoss/d(output of layer l), [n][shape], and is added to
 * what comes from above; upstream has one entry a layer. Gradients overwrite
 * the flat gradient vector (sums over this rank's samples; the caller reduces over ranks). Collective as forward.
 * Errors: MIGE_EUSAGE unless the forward before it was in training; those of the callbacks. */
int mige_net_backward(mige_net *net, const float *const *upstream, const mige_pass *pass);
/* The same, of the gradient of the last layer's output alone. */
int mige_net_backward_last(mige_net *net, const float *upstream, const mige_pass *pass);
/* Weight gradients by rows of the weights instead of by samples, with bfloat16 where ranks share memory: from now
 * on backward leaves the weights of linear layers that have far more weights than `total` samples have values out
 * of the gradient, and the samples in `area` (mige_net_kept_bytes, 0 where no layer is such; the caller's, on a
 * cache line), where this rank's are sample `first` of `total` and those after it. mige_net_kept: whether layer i
 * is one of these. Once all ranks are through backward (and the caller has seen to it that their memory is seen),
 * mige_net_kept_gradient gives `rows` <= MIGE_NET_ROWS of a layer's weights from `row` on, summed over all samples:
 * grad [rows][in]. Not collective. Errors: MIGE_EFAIL (memory). */
size_t mige_net_kept_bytes(const mige_net *net, int total);
int mige_net_keep(mige_net *net, void *area, int first, int total);
int mige_net_kept(const mige_net *net, int layer);
void mige_net_kept_gradient(mige_net *net, int layer, int row, int rows, float *grad);
/* Gradient of the input after backward, valid until the next one, or NULL if not asked for at creation. */
const float *mige_net_input_gradient(const mige_net *net);

/* Of a gaussian layer, about the n samples of the last forward pass: the exact score of z given the input,
 * -eps / sigma [n][S][K]. The sum over samples of KL(N(mu, sigma^2) || N(0, 1)) in nats, which adds scale * its
 * gradient with respect to the layer's input to upstream [n][2 K] unless that is NULL. */
void mige_gaussian_score(const mige_net *net, int layer, int n, double *score);
double mige_gaussian_kl(const mige_net *net, int layer, int n, double scale, float *upstream);

/* Multiplications and additions of one sample's forward (backward 0) or backward (1) pass through convolutions and
 * linear layers, of the direct algorithm: some convolutions are computed with fewer. */
double mige_net_flops(const mige_net *net, int backward);

/* Learning rate of a step, from 1: rate * warm * kind, warm rising in equal parts to 1 at step `warmup`, and
 *   constant 1
 *   cosine   (1 + cos(pi (step - 1 - warmup) / (steps - warmup))) / 2 after the warm-up: 0 once all steps are done
 *   step     decay^floor((step - 1) / every) */
#define MIGE_SCHEDULES "constant|cosine|step"
enum mige_schedule_kind { MIGE_CONSTANT, MIGE_COSINE, MIGE_STEPS };
typedef struct {
    enum mige_schedule_kind kind;
    double rate;
    int64_t warmup; /* steps; 0: none */
    int64_t steps;  /* cosine: of the whole training */
    int64_t every;  /* steps: > 0 */
    double decay;   /* steps */
} mige_schedule;
double mige_rate(const mige_schedule *s, int64_t step);

/* log(1 + e^x), without overflow, and its slope, 1 / (1 + e^-x). */
double mige_softplus(double x);
double mige_sigmoid(double x);

/* Of n numbers but number `but` (-1: of all): the largest, NaN if one is; each to exp(f - most), number `but` to 0,
 * and their sum. */
float mige_largest(int64_t n, const float *f, int64_t but);
double mige_exponentials(int64_t n, float *f, int64_t but, float most);

/* Softmax cross entropy: logits [n][classes], labels [n] in 0 .. classes - 1 -> sum over samples of -log p(label),
 * in nats, with targets of (1 - smoothing) at the label and smoothing / classes everywhere (label smoothing), less
 * confidence * entropy of the softmax (confidence penalty; Pereyra et al. 2017). dlogits (may be NULL) = scale *
 * gradient of that sum; *correct (may be NULL) counts argmax == label. */
typedef struct {
    double smoothing, confidence;
} mige_softness;
double mige_cross_entropy(mige_softness o, const float *logits, const int32_t *labels, int n, int classes,
                          double scale, float *dlogits, int64_t *correct);

/* Encoders, from an image to a code:
 *   dim          that of Deep InfoMax: conv1, conv2, conv3 of 64, 128, 256 channels (k4 s2 p1, no bias) with norm1,
 *                norm2, norm3 (ReLU), fc of 1024 without bias, norm4 (ReLU), y with bias. Features conv (norm3), fc
 *                (norm4), y. Images of any channels, at least 8 x 8.
 *   mlp:W1,W2... fc1 relu1 fc2 relu2 ... y, with biases; drop1, drop2, ... after the ReLUs where there is dropout.
 *                Features fc (the last hidden layer, after its ReLU), y. Images of any size.
 * gaussian: y has 2 K outputs, mu and rho, and a layer z draws from them; feature y is z. implicit: a first layer,
 * noise, adds K draws to the inputs. The last layer is the code. */
enum { MIGE_ENCODER_MOST = 28, MIGE_ENCODER_FEATURES = 4 };
enum mige_stochastic { MIGE_ENCODER_EXACT, MIGE_ENCODER_GAUSSIAN, MIGE_ENCODER_IMPLICIT };

typedef struct {
    int out; /* K, dimensions of the code */
    enum mige_stochastic stochastic;
    int draws;      /* gaussian: S; 0 is 1 */
    double lo, hi;  /* gaussian: range of sigma; 0, 0: none */
    double dropout; /* mlp: rate after each hidden layer; 0: no such layers */
} mige_encoder_options;

typedef struct {
    const char *name, *layer;
} mige_feature;

/* May be copied; its strings are constants. */
typedef struct {
    int n;
    mige_layer_spec layers[MIGE_ENCODER_MOST];
    mige_feature feature[MIGE_ENCODER_FEATURES]; /* ends with a NULL name where not full */
    char features[32];                           /* their names, "conv,fc,y" */
} mige_encoder;

/* what: "dim", "mlp", "mlp:1024,1024". Errors: MIGE_EUSAGE (unknown name, bad widths), MIGE_EINPUT (images too
 * small).
 */
int mige_encoder_create(const char *what, mige_shape in, const mige_encoder_options *o, mige_encoder *e);
/* Layer name of a feature; NULL if the encoder has none of that name. */
const char *mige_encoder_feature(const mige_encoder *e, const char *feature);

#endif
