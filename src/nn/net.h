/* What the files of this room share: a layer, the network, and the table of what each kind of layer does. */
#ifndef MIGE_NN_NET_H
#define MIGE_NN_NET_H

#include "mige/error.h"
#include "mige/nn.h"

enum { MAX_LAYER_TENSORS = 4, MAX_LAYER_NAME = 40 };

typedef struct {
    mige_layer_spec spec; /* spec.name points to `name` */
    char name[MAX_LAYER_NAME];
    int index;
    mige_shape in, out;
    size_t in_size, out_size; /* floats of one sample */
    size_t param, num_params; /* offset and length in the flat vectors */
    size_t state, num_state;
    size_t fan_in; /* conv, linear: inputs of each output */
    int chunk;     /* conv: images turned into patches, or into Winograd's terms, at once */
    int winograd;  /* conv: by the fast algorithm */
    int half;      /* computed with bfloat16: input and gradients are; and so is the output if half_out */
    int half_out;
    int copied;    /* y holds what y16 does */
    float *y;      /* output [max_batch][out]; of half_out, a copy for those who ask for floats */
    uint16_t *y16; /* half_out: output */
    uint16_t *x16; /* half after floats: input */
    uint16_t *kept_x,
        *kept_dy;   /* linear, half: of all the node's samples, [kept_total][in] and [..][out]; or NULL */
    uint32_t *bits; /* dropout: random words behind the mask, [max_batch][out] */
    float *noise;   /* gaussian: eps, [max_batch][out] */
    float *sigma;   /* gaussian: deviations, [max_batch][K] */
    float *slope;   /* gaussian: d sigma / d rho, [max_batch][K] */
    double *normal; /* gaussian, noise: one sample's draws */
    double *sums;   /* norm: sums over the batch and their count, [2c + 1] */
    double count;   /* norm: rows of the batch on all ranks, in the last forward */
    float *coef;    /* norm: NORM_COEFS vectors [c] */
} layer;

struct mige_net {
    mige_shape in;
    int num_layers, max_batch, input_gradient, half, num_tensors;
    int first; /* lowest layer that backward reaches: those below have nothing to learn */
    layer *layers;
    mige_tensor *tensors;
    size_t num_params, num_state;
    float *params, *grads, *state;
    uint32_t
        *packed;    /* linear layers' weights in bfloat16, as products read them (half_linear.c); NULL: not kept */
    float *patches; /* conv: patch matrix, or Winograd's terms, of one chunk */
    void *flow[2];  /* gradients on their way down, [max_batch][largest layer] each; linear: work in forward */
    float *input_grad;          /* the one of flow that holds it after backward */
    void *memory;               /* all of the arrays */
    int kept_first, kept_total; /* this rank's first sample among the node's, and how many these are */
    void *kept_work;            /* of products of kept samples */
    const layer *panelled;      /* whose inputs kept_work holds */
    const float *x;             /* of the last forward */
    int n, trained;
};

/* What a kind of layer does. x is the layer's input, dy the gradient of its output [n][out]; dx is where the
 * gradient of its input goes, NULL if nobody wants it. A kind that is in place gets dx = dy. */
typedef struct {
    int in_place;
    int (*plan)(layer *l); /* checks the spec; sets out, num_params, num_state, fan_in */
    int (*forward)(mige_net *net, layer *l, const float *x, int n, const mige_pass *pass);
    int (*backward)(mige_net *net, layer *l, const float *x, float *dy, float *dx, int n, const mige_pass *pass);
    const struct half_ops *half; /* the same with bfloat16, NULL where there is no such thing */
} layer_ops;

/* Of a layer that is `half`: x and dx are bfloat16, and dy is if half_out. scratch: bytes of net->patches that it
 * needs; NULL: none. */
typedef struct half_ops {
    size_t (*scratch)(const layer *l, int max_batch);
    int (*forward)(mige_net *net, layer *l, const uint16_t *x, int n, const mige_pass *pass);
    int (*backward)(mige_net *net, layer *l, const uint16_t *x, void *dy, uint16_t *dx, int n,
                    const mige_pass *pass);
} half_ops;
extern const half_ops mige_half_conv_ops, mige_half_linear_ops;

extern const layer_ops mige_conv_ops, mige_linear_ops, mige_norm_ops, mige_relu_ops, mige_dropout_ops,
    mige_gaussian_ops, mige_noise_ops;
const layer_ops *mige_layer_ops(const layer *l);
/* Whether backward computes the gradient of the layer's input. */
int mige_layer_goes_down(const mige_net *net, const layer *l);

enum { NORM_COEFS = 6 };

/* Fills net's layers, tensors and sizes from the table; takes no memory for samples. */
int mige_net_plan(mige_net *net, mige_shape in, const mige_layer_spec *spec);
/* Places the arrays from `base` on (NULL: only counts) and returns their bytes, SIZE_MAX if beyond counting. */
size_t mige_net_place(mige_net *net, char *base);

/* Length of a patch: kernel * kernel * channels. Floats of net->patches that the layer needs. How many images to
 * take when `left` > 0 are: at most the chunk, and no small rest, on which GEMM would be slow, at the end. */
size_t mige_conv_patch(const layer *l);
size_t mige_conv_scratch(const layer *l);
int mige_conv_part(const layer *l, int left);

/* Patches of an image [h][w] of pixels of some bytes: kh x kw pixels each, the first at (top, left), which may lie
 * outside, where all is zero; the next `stride` on, rows x cols of them. Each becomes a run of bytes, pixel by
 * pixel along lines, with `gap` zeros after it. */
typedef struct {
    int h, w, kh, kw, stride, top, left, rows, cols;
    size_t pixel, gap; /* bytes */
} mige_window;
void mige_window_gather(const mige_window *w, const void *image, void *rows);
/* That of a convolution's forward pass, of values of so many bytes. */
mige_window mige_conv_window(const layer *l, size_t value);

/* Winograd's algorithm: whether it applies to a layer, the images of a chunk, floats of scratch for them, and the
 * passes; backward overwrites the gradient of the filters and leaves that of the bias alone. */
int mige_winograd_fits(const layer *l);
int mige_winograd_chunk(const layer *l);
size_t mige_winograd_scratch(const layer *l);
void mige_winograd_forward(mige_net *net, const layer *l, const float *x, int n);
void mige_winograd_backward(mige_net *net, const layer *l, const float *x, const float *dy, float *dx, int n);

/* bias[:] = sum over rows of dy[r][:], summed in double. */
void mige_bias_grad(size_t rows, int c, const float *dy, float *bias);

#endif
