/* The one table of options, and what is made from it. */
#include "app/app.h"
#include "app/lists.h"
#include "mige/error.h"
#include "mige/io.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    TRAIN = 1,
    PROBE = 2,
    ENCODE = 4,
    SCORE = 8,
    CONVERT = 16,
    INFO = 32,
    VERIFY = 64,
    TOY = 128,
    SCALE = 256,
    ALL = 511
};
enum { ESTIMATE = TRAIN | SCORE | TOY | SCALE };

static const mige_command commands[] = {
    {"train", TRAIN,
     "Trains an encoder by the gradient of mutual information; keeps metrics and checkpoints in RUN.",
     "--data F.h5 --out RUN [--OPTION VALUE]..."},
    {"probe", PROBE, "Trains classifiers on the frozen encoder of a run; prints and keeps their test accuracy.",
     "--run RUN [--layers conv,fc,y]"},
    {"encode", ENCODE, "Writes the learnt features of a data file, in its order.",
     "--run RUN --data F.h5 --output G.h5"},
    {"score", SCORE, "Estimates the score (gradient of the log density) of anyone's samples.",
     "--input F.h5 --dataset /NAME --output S.h5"},
    {"toy", TOY,
     "Gradients of mutual information where the true one is known: correlated Gaussians, and maps of them.",
     "--dims 5,10,20 --methods mige,mine,mine-f --output F.h5 [--OPTION VALUE]..."},
    {"scale", SCALE,
     "Time per phase and error of the gradient of mutual information against the number of samples.",
     "--samples 256,1024,4096 --dim D --output F.h5 [--OPTION VALUE]..."},
    {"convert", CONVERT, "Makes a data file from the official files of MNIST, CIFAR-10 or CIFAR-100.",
     "--format mnist|cifar10|cifar100 --from DIR --output F.h5"},
    {"info", INFO, "Tells versions, ranks, threads and BLAS kernels, and warns of what is slow.", ""},
    {"verify", VERIFY, "Checks files of this program: complete, right format, sums match.", "F.h5..."},
};

#define AT(field) offsetof(config, field)
#define FLAG MIGE_OPT_FLAG
#define INT MIGE_OPT_INT
#define REAL MIGE_OPT_REAL
#define CHOICE MIGE_OPT_CHOICE
#define TEXT MIGE_OPT_TEXT

static const mige_option options[] = {
    {"data", TEXT, AT(data), "", 0, 0, NULL, TRAIN | PROBE | ENCODE, "F.h5",
     "the data file (probe, encode: the run's own if not given)"},
    {"out", TEXT, AT(out), "", 0, 0, NULL, TRAIN, "RUN", "folder of the run: metrics, checkpoints, configuration"},
    {"run", TEXT, AT(run), "", 0, 0, NULL, PROBE | ENCODE, "RUN", "folder of a trained run"},
    {"input", TEXT, AT(input), "", 0, 0, NULL, SCORE, "F.h5", "HDF5 file with the samples"},
    {"dataset", TEXT, AT(dataset), "/samples", 0, 0, NULL, SCORE, "/NAME",
     "data set of the samples, [M,D], any number type"},
    {"points", TEXT, AT(points), "", 0, 0, NULL, SCORE, "G.h5",
     "HDF5 file with other points to give the scores at"},
    {"points-dataset", TEXT, AT(points_dataset), "/points", 0, 0, NULL, SCORE, "/NAME",
     "data set of the points, [Q,D]"},
    {"format", CHOICE, AT(format), "cifar10", 0, 0, "mnist|cifar10|cifar100", CONVERT, "",
     "format of the official files"},
    {"from", TEXT, AT(from), "", 0, 0, NULL, CONVERT, "DIR", "folder of the official files"},
    {"output", TEXT, AT(output), "", 0, 0, NULL, ENCODE | SCORE | CONVERT | TOY | SCALE, "F.h5",
     "the file to write"},
    {"train", INT, AT(train), "0", 0, 1e9, NULL, CONVERT, "N",
     "keep this many training images, balanced over classes; 0: all"},
    {"test", INT, AT(test), "0", 0, 1e9, NULL, CONVERT, "N", "keep this many test images; 0: all"},
    {"compress", FLAG, AT(compress), "no", 0, 0, NULL, CONVERT, "", "deflate the images (smaller, slower to read)"},
    {"task", CHOICE, AT(task), "infomax", 0, 0, "infomax", TRAIN, "", "what is learnt"},
    {"objective", CHOICE, AT(objective), "mige", 0, 0, "mige", TRAIN, "", "by which gradient"},
    {"circumstance", CHOICE, AT(circumstance), "I", 0, 0, "I|II|I+II", TRAIN, "",
     "I: I(x;z) of image and code; II: I(h;z) of conv features and code; I+II: their sum"},
    {"batch", INT, AT(batch), "128", 2, 1e6, NULL, TRAIN, "images", "images a step, over all ranks together"},
    {"epochs", INT, AT(epochs), "10", 0, 1e6, NULL, TRAIN, "N", "passes over the training images"},
    {"steps", INT, AT(steps), "0", 0, 1e12, NULL, TRAIN, "N", "number of steps, in place of epochs; 0: by epochs"},
    {"learning-rate", REAL, AT(rate), "1e-4", 1e-12, 1e3, NULL, TRAIN, "X", "learning rate of Adam"},
    {"beta1", REAL, AT(beta1), "0.5", 0, 0.999999, NULL, TRAIN, "X", "of Adam"},
    {"beta2", REAL, AT(beta2), "0.999", 0, 0.999999, NULL, TRAIN, "X", "of Adam"},
    {"code", INT, AT(code), "64", 1, 4096, NULL, TRAIN, "N", "dimensions of the code z (layer y)"},
    {"projection", INT, AT(projection), "64", 1, 65536, NULL, TRAIN, "N",
     "dimensions that images and features are projected to"},
    {"fresh-projection", FLAG, AT(fresh_projection), "no", 0, 0, NULL, TRAIN, "",
     "draw the projection anew each step"},
    {"resume", FLAG, AT(resume), "no", 0, 0, NULL, TRAIN | TOY | SCALE, "",
     "go on from the newest good checkpoint, or from the output file's finished part, if there is one"},
    {"max-hours", REAL, AT(max_hours), "0", 0, 1e5, NULL, TRAIN | TOY | SCALE, "H",
     "checkpoint and stop with status 75 after this time; 0: never"},
    {"stop-file", TEXT, AT(stop_file), "", 0, 0, NULL, TRAIN | TOY | SCALE, "FILE",
     "checkpoint and stop with status 75 when this file appears or is touched"},
    {"checkpoint-every", TEXT, AT(checkpoint_every), "500", 0, 0, NULL, TRAIN, "N|Nmin",
     "write a checkpoint every N steps, or N minutes; 0: only at the end"},
    {"keep-every", INT, AT(keep_every), "0", 0, 1e6, NULL, TRAIN, "K",
     "keep each K-th periodic checkpoint besides the two newest; 0: none"},
    {"layers", TEXT, AT(layers), "conv,fc,y", 0, 0, NULL, PROBE | ENCODE, "LIST", "features, among conv, fc, y"},
    {"untrained", FLAG, AT(untrained), "no", 0, 0, NULL, PROBE | ENCODE, "",
     "probe: the untrained encoder too; encode: in place of the trained one"},
    {"probe-epochs", INT, AT(probe_epochs), "20", 1, 1e5, NULL, PROBE, "N", "passes over the training features"},
    {"probe-batch", INT, AT(probe_batch), "64", 2, 1e6, NULL, PROBE, "images", "images a step of a classifier"},
    {"probe-rate", REAL, AT(probe_rate), "1e-4", 1e-12, 1e3, NULL, PROBE, "X",
     "learning rate; a tenth after 1/2 and 3/4 of the epochs"},
    {"dropout", REAL, AT(dropout), "0.1", 0, 0.99, NULL, PROBE, "X", "rate in the classifiers"},
    {"dims", TEXT, AT(dims), "5,10,20", 0, 0, NULL, TOY, "LIST", "dimensions of x and of y"},
    {"methods", TEXT, AT(methods), "mige,mine,mine-f", 0, 0, NULL, TOY, "LIST",
     "among mige, mine, mine-f (separable critics), mine-joint, mine-f-joint (joint critics, trained out)"},
    {"samples", TEXT, AT(samples), "", 0, 0, NULL, TOY | SCALE, "LIST",
     "samples a problem; toy: one number, 256 if not given; scale: a list, 256,1024,4096 if not given"},
    {"dim", INT, AT(dim), "32", 1, 4096, NULL, SCALE, "D", "dimensions of x and of y"},
    {"rho", TEXT, AT(rho), "", 0, 0, NULL, TOY | SCALE, "A:B:N",
     "N correlations from A to B; if not given, toy: -0.8:0.8:32, scale: -0.8:0.8:4"},
    {"repeats", INT, AT(repeats), "1", 1, 1e6, NULL, TOY | SCALE, "N", "draws of the samples"},
    {"problem", CHOICE, AT(problem), "gaussian", 0, 0, "gaussian|cubic|asinh|sine|radial|scaled", TOY | SCALE, "",
     "map of y: none, y^3, asinh y, y + 0.4 sin 2y, y/(1+|y|^2/D), dimensions scaled 0.1 to 10"},
    {"rotate", FLAG, AT(rotate), "no", 0, 0, NULL, TOY | SCALE, "", "a random rotation of y after the map"},
    {"critic-repeats", INT, AT(critic_repeats), "0", 0, 1e6, NULL, TOY, "N",
     "draws for the methods that train critics; 0: as --repeats"},
    {"critic-steps", INT, AT(critic_steps), "200", 1, 1e7, NULL, TOY, "N", "steps of mine and mine-f"},
    {"critic-rate", REAL, AT(critic_rate), "1e-4", 1e-9, 10, NULL, TOY, "X", "learning rate of mine and mine-f"},
    {"joint-steps", INT, AT(joint_steps), "20000", 1, 1e7, NULL, TOY, "N",
     "most steps of mine-joint and mine-f-joint, which stop when their bound does not rise any more"},
    {"joint-rate", REAL, AT(joint_rate), "5e-4", 1e-9, 10, NULL, TOY, "X",
     "learning rate of mine-joint and mine-f-joint"},
    {"estimator", CHOICE, AT(estimator), "ssge", 0, 0, MIGE_ESTIMATORS, ESTIMATE, "",
     "of the scores: spectral Stein; iterated Tikhonov; a network trained by sliced score matching"},
    {"eta", REAL, AT(eta), "0.01", 1e-12, 1e6, NULL, ESTIMATE, "E", "ridge of estimator stein"},
    {"iterations", INT, AT(iterations), "3", 1, 1000, NULL, ESTIMATE, "K",
     "iterations of estimator stein; 1: Li and Turner's"},
    {"calibrate", CHOICE, AT(calibrate), "none", 0, 0, MIGE_CALIBRATIONS, ESTIMATE, "",
     "scores restored to Stein's identity by a factor or a matrix"},
    {"threshold", REAL, AT(threshold), "0.99", 1e-6, 1, NULL, ESTIMATE, "R",
     "leading eigenvalues: those below this share of the trace"},
    {"eigen", INT, AT(eigen), "0", 0, 1e6, NULL, ESTIMATE, "J",
     "this many leading eigenvalues instead; 0: by threshold"},
    {"width", TEXT, AT(width), "median", 0, 0, NULL, ESTIMATE, "median|W", "width of the RBF kernel"},
    {"width-scale", REAL, AT(width_scale), "1", 1e-6, 1e6, NULL, ESTIMATE, "F",
     "factor on the median width; none on a fixed one"},
    {"solver", CHOICE, AT(solver), "auto", 0, 0, MIGE_SCORE_SOLVERS, ESTIMATE, "",
     "ssge: of the eigenproblem; stein: cholesky, or cg, which never stores the matrix"},
    {"tolerance", REAL, AT(tolerance), "1e-8", 1e-14, 1, NULL, ESTIMATE, "X",
     "tolerance of --solver subspace (residuals) and cg (scores)"},
    {"check", TEXT, AT(check), "", 0, 0, NULL, ESTIMATE, "LIST",
     "eigen: verify every solve of the eigenproblem; train also nan: find the first number that is not finite, and "
     "replica: compare the ranks' parameters, each step"},
    {"precondition", CHOICE, AT(precondition), "none", 0, 0, MIGE_PRECONDITIONERS, ESTIMATE, "",
     "map x and y, each by itself, to where scores are easier, and the gradient back"},
    {"ssm-steps", INT, AT(ssm_steps), "2000", 1, 1e8, NULL, ESTIMATE, "N", "training steps of estimator ssm"},
    {"ssm-hidden", INT, AT(ssm_hidden), "256", 1, 65536, NULL, ESTIMATE, "N", "width of its network's layers"},
    {"ssm-rate", REAL, AT(ssm_rate), "1e-3", 1e-9, 10, NULL, ESTIMATE, "X", "its learning rate"},
    {"memory", REAL, AT(memory), "0", 0, 1e6, NULL, ESTIMATE, "GB",
     "memory that all ranks of a node may take for scores; 0: what is free"},
    {"config", TEXT, AT(config), "", 0, 0, NULL, ALL, "FILE", "read options from an INI file"},
    {"seed", INT, AT(seed), "1", 0, 9e15, NULL, ALL, "N", "of all random numbers"},
    {"threads", INT, AT(threads), "1", 1, 1024, NULL, ALL, "N", "BLAS threads a rank"},
    {"watch", REAL, AT(watch), "20", 0, 1e6, NULL, ALL, "seconds",
     "end the job when a rank gives no sign of life for this long (stopped, or its host lost); 0: never"},
    {"quiet", FLAG, AT(quiet), "no", 0, 0, NULL, ALL, "", "print results, warnings and errors only"},
    {"progress", CHOICE, AT(progress), "auto", 0, 0, "auto|bar|line|none", ALL, "",
     "auto: a bar on a terminal, else lines"},
    {"log-view", FLAG, AT(log_view), "no", 0, 0, NULL, ALL, "", "print time and GFLOP/s per phase at the end"},
    {"dump-config", FLAG, AT(dump_config), "no", 0, 0, NULL, ALL, "", "print all options as an INI file and stop"},
    {"dry-run", FLAG, AT(dry_run), "no", 0, 0, NULL, ALL, "",
     "check inputs, print sizes and memory, write nothing"},
};

const mige_option_table option_table = {options, sizeof options / sizeof *options, commands,
                                        sizeof commands / sizeof *commands};

int config_checks(const config *c, int *checks) {
    int n = 0, *bits = NULL;
    *checks = 0;
    if (!*c->check) return MIGE_OK;
    MIGE_TRY(list_names("check", c->check, "eigen|nan|replica", &n, &bits));
    for (int i = 0; i < n; i++) *checks |= 1 << bits[i];
    free(bits);
    return MIGE_OK;
}

int config_score(const config *c, mige_score_options *o) {
    *o = mige_score_defaults();
    o->eigen.threshold = c->threshold;
    o->eigen.eigen = (int)c->eigen;
    o->eigen.tolerance = c->tolerance;
    o->estimator = (enum mige_estimator)c->estimator;
    o->stein = (mige_stein_options){MIGE_STEIN_AUTO, c->eta, (int)c->iterations, c->tolerance};
    o->ssm = (mige_ssm_options){c->ssm_steps, (int)c->ssm_hidden, c->ssm_rate};
    o->calibrate = (enum mige_calibrate)c->calibrate;
    o->width_scale = c->width_scale;
    o->precondition = (enum mige_precondition)c->precondition;
    o->seed = (uint64_t)c->seed;
    char solver[CHOICE_SIZE];
    int checks;
    config_choice(c, "solver", solver);
    MIGE_TRY(mige_score_set_solver(o, solver));
    MIGE_TRY(config_checks(c, &checks));
    o->eigen.check = (checks & CHECK_EIGEN) != 0;
    if (strcmp(c->width, "median") != 0) {
        char *end;
        o->width = strtod(c->width, &end);
        MIGE_CHECK(*c->width && !*end && isfinite(o->width) && o->width > 0, MIGE_EUSAGE,
                   "--width: \"%s\" is neither median nor a positive number", c->width);
    }
    return MIGE_OK;
}

void config_choice(const config *c, const char *option, char text[CHOICE_SIZE]) {
    text[0] = 0;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const int *value = (const int *)(const void *)((const char *)c + options[i].offset);
        if (options[i].type == CHOICE && !strcmp(options[i].name, option))
            mige_options_choice(options[i].choices, *value, text, CHOICE_SIZE);
    }
}

int config_need(const char *option, const char *value) {
    MIGE_CHECK(*value, MIGE_EUSAGE, "--%s: must be given (see --help)", option);
    return MIGE_OK;
}

static int same_file(const char *a, const char *b) {
    struct stat x, y;
    return a && b && *a && *b && !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int check_output(const char *output, const char *input, const char *other) {
    mige_file *f;
    MIGE_CHECK(!same_file(output, input) && !same_file(output, other), MIGE_EUSAGE,
               "--output: %s is also read (give another name)", output);
    MIGE_TRY(mige_file_create(output, "mige-data", &f));
    mige_file_discard(&f);
    return MIGE_OK;
}

int run_path(const char *run, const char *name, char *path) {
    int n = snprintf(path, MIGE_OPT_TEXT_SIZE, "%s/%s", run, name);
    MIGE_CHECK(n < MIGE_OPT_TEXT_SIZE, MIGE_EUSAGE, "%.40s...: path too long (%d characters at most)", run,
               MIGE_OPT_TEXT_SIZE - 1);
    return MIGE_OK;
}
