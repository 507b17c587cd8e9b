/* The commands, a row each: BIT in the table of options, name (of its function too: cmd_NAME, in a file of its
 * own), what is peculiar to it, an option that must be given, one that must unless it is a dry run, usage, help. */
#ifndef MIGE_APP_COMMANDS_H
#define MIGE_APP_COMMANDS_H

enum {
    SIGNALS = 1, /* a signal stops it at its next step, and not at once */
    FILES = 2    /* words that are not options are files */
};

/* clang-format off */
#define COMMANDS(ROW) \
    ROW(TRAIN, train, SIGNALS, "data", "out", "--data F.h5 --out RUN [--OPTION VALUE]...", \
        "Trains an encoder, without labels or as a bottleneck; keeps metrics and checkpoints in RUN.") \
    ROW(PROBE, probe, 0, "", "", "--run RUN [--layers conv,fc,y] | --input G.h5 --layers y --output P.h5", \
        "Trains classifiers on the frozen encoder of a run, or on features; prints and keeps their test accuracy.") \
    ROW(ENCODE, encode, 0, "run", "output", "--run RUN --data F.h5 --output G.h5", \
        "Writes the learnt features of a data file, in its order.") \
    ROW(SCORE, score, 0, "input", "output", "--input F.h5 --dataset /NAME --output S.h5", \
        "Estimates the score (gradient of the log density) of anyone's samples: /score [M,D] of the output.") \
    ROW(MI, mi, 0, "", "", "--input F.h5 --x /NAME --y /NAME | --x x.npy --y y.npy [--output S.h5]", \
        "Estimates the mutual information of anyone's paired samples, with its error and a test against 0.") \
    ROW(TOY, toy, SIGNALS, "", "output", \
        "--dims 5,10,20 --methods mige,mine,mine-f --output F.h5 [--OPTION VALUE]...", \
        "Gradients of mutual information where the true one is known: correlated Gaussians, and maps of them.") \
    ROW(SCALE, scale, SIGNALS, "", "output", \
        "--samples 256,1024,4096 --dim D --output F.h5 [--OPTION VALUE]...", \
        "Time per phase and error of the gradient of mutual information against the number of samples.") \
    ROW(CONVERT, convert, 0, "from", "output", "--format NAME --from DIR --output F.h5", \
        "Makes a data file from the official files of MNIST, CIFAR or STL-10, or from folders of pictures.") \
    ROW(WATCH, watch, FILES, "", "", "RUN [--every SECONDS]", \
        "Draws the curves of a run, while it trains as well, in the terminal.") \
    ROW(INFO, info, 0, "", "", "", \
        "Tells versions, ranks, threads and BLAS kernels, and warns of what is slow.") \
    ROW(VERIFY, verify, FILES, "", "", "F.h5...", \
        "Checks files of this program: complete, right format, sums match.")
/* clang-format on */

#define COMMAND_PLACE(BIT, NAME, ...) PLACE_OF_##BIT,
enum { COMMANDS(COMMAND_PLACE) NUMBER_OF_COMMANDS };
#define COMMAND_BIT(BIT, NAME, ...) BIT = 1 << PLACE_OF_##BIT,
enum { COMMANDS(COMMAND_BIT) ALL = (1 << NUMBER_OF_COMMANDS) - 1 };

#endif
