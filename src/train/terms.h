/* What rows of objectives and terms both name. */
#ifndef MIGE_TRAIN_TERMS_H
#define MIGE_TRAIN_TERMS_H

#include "train/term.h"

/* Of term bound and of term classify. */
enum { BOUND_JSD, BOUND_INFONCE, BOUND_DV };
enum { CLASSIFY_PLAIN, CLASSIFY_SMOOTH, CLASSIFY_CONFIDENCE };
/* The layers of a critic or discriminator: two hidden ones, then a number. */
enum { CRITIC_LAYERS = 5 };
#define CRITIC_OF(hidden1, hidden2)                                                                                \
    {                                                                                                              \
        {.kind = MIGE_LINEAR, .name = "fc1", .out = hidden1, .bias = 1}, {.kind = MIGE_RELU, .name = "relu1"},     \
            {.kind = MIGE_LINEAR, .name = "fc2", .out = hidden2, .bias = 1}, {.kind = MIGE_RELU, .name = "relu2"}, \
        {                                                                                                          \
            .kind = MIGE_LINEAR, .name = "out", .out = 1, .bias = 1                                                \
        }                                                                                                          \
    }
/* The member that term classify adds. */
#define DECODER "decoder"

#endif
