/* The one table of options, and what is made from it. */
#include "app/app.h"
#include "train/term.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ESTIMATE = TRAIN | SCORE | MI | TOY | SCALE };

#define COMMAND(BIT, NAME, FLAGS, NEEDS, WRITES, USAGE, HELP) {#NAME, BIT, HELP, USAGE},
static const mige_command commands[] = {COMMANDS(COMMAND)};

/* Rows: name, variable, default, range or choices, commands, those whose results it leaves alone, units, help; what
 * a type has no use for is left out, and a flag's default is no. */
#define ROW(name, type, at, value, min, max, choices, ...)                                                         \
    { name, MIGE_OPT_##type, offsetof(config, at), value, min, max, choices, __VA_ARGS__ }
#define FLAG(name, at, commands, free, help) ROW(name, FLAG, at, "no", 0, 0, NULL, commands, free, "", help)
#define INT(name, at, value, min, max, ...) ROW(name, INT, at, value, min, max, NULL, __VA_ARGS__)
#define REAL(name, at, value, min, max, ...) ROW(name, REAL, at, value, min, max, NULL, __VA_ARGS__)
#define TEXT(name, at, value, ...) ROW(name, TEXT, at, value, 0, 0, NULL, __VA_ARGS__)
#define CHOICE(name, at, value, choices, commands, free, help)                                                     \
    ROW(name, CHOICE, at, value, 0, 0, choices, commands, free, "", help)

static const mige_option options[] = {
    TEXT("data", train.data, "", TRAIN | PROBE | ENCODE, TRAIN, "F.h5",
         "the data file (probe, encode: the run's own if not given)"),
    INT("validation", train.validation, "0", 0, 1e12, TRAIN | PROBE | ENCODE, 0, "N",
        "training images that are held out, always the same, and take the test set's place (probe, encode: as the "
        "run, unless other data is given)"),
    TEXT("out", train.out, "", TRAIN, TRAIN, "RUN", "folder of the run: metrics, checkpoints, configuration"),
    TEXT("run", run, "", PROBE | ENCODE, 0, "RUN", "folder of a trained run"),
    TEXT("input", input, "", SCORE | MI | PROBE, 0, "FILE",
         "the samples: an HDF5 file, .npy or .csv (probe: features as encode writes them, in place of a run)"),
    TEXT("dataset", dataset, "/samples", SCORE, 0, "/NAME",
         "data set of the samples in an HDF5 file, [M,D] or [M], any number type; of a .csv names of columns: a,b"),
    TEXT("points", points, "", SCORE, 0, "FILE", "other points to give the scores at: a file of any such kind"),
    TEXT("points-dataset", points_dataset, "/points", SCORE, 0, "/NAME", "data set of the points, [Q,D]"),
    FLAG("transpose", transpose, SCORE | MI, 0,
         "samples are the columns of what is read (MATLAB's are turned by themselves)"),
    TEXT("x", x, "/x", MI, 0, "/NAME",
         "data set of the one variable, [M,D], any number type; columns of a .csv by name, a,b; or, without "
         "--input, a "
         "file"),
    TEXT("y", y, "/y", MI, 0, "/NAME",
         "data set, or columns, of the other; integers in one column are class labels"),
    TEXT("given", given, "", MI, 0, "/NAME", "data set of what is known beside: I(x;y|given), with --shuffles 0"),
    INT("shuffles", shuffles, "19", 0, 1e6, MI, 0, "N", "of y, for the p-value: where the information is 0"),
    INT("block", block, "5120", 8, 1e6, MI, 0, "samples", "most of a score problem: more are split at random"),
    FLAG("hessian", hessian, SCORE, 0, "the diagonal of the Hessian of the log density, too"),
    CHOICE("format", format, "cifar10", MIGE_FORMATS, CONVERT, 0,
           "official files; or a folder of pictures, PNG or JPEG, a class"),
    TEXT("from", from, "", CONVERT, 0, "DIR", "folder of the files"),
    TEXT("resize", resize, "", CONVERT, 0, "N|HxW", "of folder: bring all pictures to this size"),
    TEXT("output", output, "", PROBE | ENCODE | SCORE | MI | CONVERT | TOY | SCALE, ALL, "F.h5",
         "the file to write (probe: RUN/probe.h5 if not given)"),
    INT("train", keep_train, "0", 0, 1e9, CONVERT, 0, "N",
        "keep this many training images, balanced over classes; 0: all"),
    INT("test", keep_test, "0", 0, 1e9, CONVERT, 0, "N", "keep this many test images; 0: all"),
    FLAG("compress", compress, CONVERT, 0, "deflate the images (smaller, slower to read)"),
    CHOICE(
        "task", train.task, "infomax", "infomax|ib", TRAIN, 0,
        "what is learnt: codes that tell much of the image; or of its label, and little of the image (bottleneck)"),
    TEXT("objective", train.objective, "mige", TRAIN, 0, "NAME", "what is minimised: see below"),
    CHOICE("circumstance", train.circumstance, "I", "I|II|I+II|views", TRAIN, 0,
           "I: I(x;z) of image and code; II: I(h;z) of conv features and code; I+II: their sum; views: I(z1;z2) of "
           "the codes of two views of each image"),
    TEXT("augment", train.augment, "", TRAIN, 0, "LIST",
         "of images, among crop, flip, colour, grey, each with :STRENGTH if wanted (views: all of them if not "
         "given); none"),
    TEXT("encoder", train.encoder, "dim", TRAIN, 0, "NAME", "dim, or mlp[:1024,1024]"),
    CHOICE("precision", train.precision, "auto", "auto|float|bfloat16", TRAIN | PROBE | ENCODE, 0,
           "of the networks' activations and products; auto: bfloat16 where the processor has instructions "
           "for it and ranks have one thread"),
    CHOICE("critic", train.critic, "dot", "dot|concat", TRAIN, 0,
           "of jsd, infonce, dv: products of two networks' outputs, or one network of both inputs (dear)"),
    REAL("temperature", train.temperature, "0.2", 1e-6, 1e6, TRAIN, 0, "X", "of infonce with views"),
    REAL("prior-matching", train.prior_matching, "0", 0, 1e6, TRAIN, 0, "GAMMA",
         "weight of codes being uniform to a discriminator"),
    REAL("beta", train.beta, "1e-3", 0, 1e6, TRAIN, 0, "X", "weight of I(x;z) in the bottleneck"),
    INT("draws", train.draws, "1", 1, 1024, TRAIN, 0, "S", "codes drawn of each image"),
    INT("marginal-draws", train.marginal_draws, "1", 1, 1024, TRAIN, 0, "N",
        "of mige-ib: of them, those that the score of z is estimated from"),
    CHOICE("conditional", train.conditional, "gaussian", "gaussian|ssge", TRAIN, 0,
           "of mige-ib: the score of z given x, exact or estimated from the draws as --estimator says"),
    FLAG("implicit", train.implicit, TRAIN, 0, "noise enters the encoder's first layer: a code without a density"),
    TEXT("sigma-range", train.sigma_range, "", TRAIN, 0, "LO:HI",
         "of the code's standard deviation (from 0 if not given)"),
    REAL("scale-penalty", train.scale_penalty, "0", 0, 1e6, TRAIN, 0, "X", "weight of |z|^2"),
    REAL("hidden-dropout", train.dropout, "0.2", 0, 0.99, TRAIN, 0, "X", "rate of objective dropout"),
    REAL("smoothing", train.smoothing, "0.1", 0, 1, TRAIN, 0, "X", "of objective label-smoothing"),
    REAL("confidence", train.confidence, "0.1", 0, 1e3, TRAIN, 0, "X", "of objective confidence-penalty"),
    INT("batch", train.batch, "128", 2, 1e6, TRAIN, 0, "images", "images a step, over all ranks together"),
    INT("epochs", train.epochs, "10", 0, 1e6, TRAIN, TRAIN, "N", "passes over the training images"),
    INT("steps", train.steps, "0", 0, 1e12, TRAIN, TRAIN, "N", "number of steps, in place of epochs; 0: by epochs"),
    REAL("learning-rate", train.rate, "1e-4", 1e-12, 1e3, TRAIN, 0, "X", "learning rate of Adam"),
    REAL("beta1", train.beta1, "0.5", 0, 0.999999, TRAIN, 0, "X", "of Adam"),
    REAL("beta2", train.beta2, "0.999", 0, 0.999999, TRAIN, 0, "X", "of Adam"),
    REAL("weight-decay", train.weight_decay, "0", 0, 1e3, TRAIN, 0, "X", "decoupled, as of AdamW"),
    REAL("clip", train.clip, "0", 0, 1e12, TRAIN, 0, "X", "largest norm of the gradient; 0: any"),
    CHOICE("schedule", train.schedule, "constant", MIGE_SCHEDULES, TRAIN, 0,
           "of the learning rate: cosine falls to 0 at the end of --epochs or --steps, which are to stay the same "
           "then"),
    INT("warmup", train.warmup, "0", 0, 1e9, TRAIN, 0, "steps", "in which the learning rate rises from 0"),
    REAL("decay", train.decay, "0.1", 1e-9, 1, TRAIN, 0, "X", "of schedule step: factor ..."),
    REAL("decay-every", train.decay_every, "10", 1e-6, 1e9, TRAIN, 0, "epochs", "... each so many epochs"),
    REAL("average", train.average, "0", 0, 0.9999999, TRAIN, 0, "X",
         "decay of the moving average of the weights that tests use; 0: none"),
    INT("test-every", train.test_every, "1", 0, 1e9, TRAIN, TRAIN, "epochs",
        "between tests of a bottleneck; 0: none"),
    INT("code", train.code, "64", 1, 4096, TRAIN, 0, "N", "dimensions of the code z (layer y)"),
    INT("projection", train.projection, "64", 1, 65536, TRAIN, 0, "N",
        "dimensions that images and features are projected to"),
    FLAG("fresh-projection", train.fresh_projection, TRAIN, 0, "draw the projection anew each step"),
    FLAG("resume", resume, TRAIN | TOY | SCALE, ALL,
         "go on from the newest good checkpoint, or from the output file's finished part, if there is one"),
    FLAG("other-data", train.other_data, TRAIN, TRAIN,
         "go on though the data are not those that the run began with"),
    REAL("max-hours", max_hours, "0", 0, 1e5, TRAIN | TOY | SCALE, ALL, "H",
         "checkpoint and stop with status 75 after this time; 0: never"),
    TEXT("stop-file", stop_file, "", TRAIN | TOY | SCALE, ALL, "FILE",
         "checkpoint and stop with status 75 when this file appears or is touched"),
    TEXT("checkpoint-every", train.checkpoint_every, "500", TRAIN, TRAIN, "N|Nmin",
         "write a checkpoint every N steps, or N minutes; 0: only at the end"),
    INT("keep-every", train.keep_every, "0", 0, 1e6, TRAIN, TRAIN, "K",
        "keep each K-th periodic checkpoint besides the two newest; 0: none"),
    TEXT("layers", layers, "", PROBE | ENCODE, 0, "LIST",
         "features of the encoder, among conv, fc, y; all that it has if not given"),
    FLAG("untrained", untrained, PROBE | ENCODE, 0,
         "probe: the untrained encoder too; encode: in place of the trained one"),
    INT("probe-epochs", probe.epochs, "20", 1, 1e5, PROBE, 0, "N", "passes over the training features"),
    INT("probe-batch", probe.batch, "128", 2, 1e6, PROBE, 0, "images", "images a step of a classifier"),
    REAL("probe-rate", probe.rate, "0", 0, 1e3, PROBE, 0, "X",
         "learning rate, a tenth after 7/10 of the epochs; 0: 1e-3, or 2e-4 for 3,000 features and more"),
    REAL("dropout", probe.dropout, "0.1", 0, 0.99, PROBE, 0, "X", "rate in the classifiers"),
    TEXT("classifier", classifier, "mlp", PROBE, 0, "LIST", "mlp (a hidden layer of 200), linear, or both"),
    INT("neighbours", neighbours, "0", 0, 1000, PROBE, 0, "K",
        "also the class of most of the K training images whose features are most alike (cosine); 0: not"),
    TEXT("dims", study.dims, "5,10,20", TOY, 0, "LIST", "dimensions of x and of y"),
    TEXT("methods", study.methods, "mige,mine,mine-f", TOY, 0, "LIST",
         "among mige, mine, mine-f (separable critics), mine-joint, mine-f-joint (joint critics, trained out), "
         "infonce "
         "(separable, trained out)"),
    TEXT("samples", study.samples, "", TOY | SCALE, SCALE, "LIST",
         "samples a problem; toy: one number, 256 if not given; scale: a list, 256,1024,4096 if not given"),
    INT("dim", study.dim, "32", 1, 4096, SCALE, 0, "D", "dimensions of x and of y"),
    TEXT("rho", study.rho, "", TOY | SCALE, 0, "A:B:N",
         "N correlations from A to B; if not given, toy: -0.8:0.8:32, scale: -0.8:0.8:4"),
    INT("repeats", study.repeats, "1", 1, 1e6, TOY | SCALE, 0, "N", "draws of the samples"),
    CHOICE(
        "problem", study.problem, "gaussian", TRUTH_PROBLEMS, TOY | SCALE, 0,
        "correlated normal x and y, the latter as it is, y^3, asinh y, y + 0.4 sin 2y, y/(1+|y|^2/D), scaled 0.1 "
        "to "
        "10; both through the normal distribution function, |u|^1.5, spirals; two pairs of D correlated; all of x "
        "and y alike; Student's with 2 and 3 degrees of freedom; uniform x and noise of width rho"),
    FLAG("mi", study.mi, TOY, 0, "the value of I, too, as mige mi finds it from the samples"),
    FLAG("rotate", study.rotate, TOY | SCALE, 0, "a random rotation of y after the map"),
    INT("critic-repeats", study.critic_repeats, "0", 0, 1e6, TOY, 0, "N",
        "draws for the methods that train critics; 0: as --repeats"),
    INT("critic-steps", study.critic_steps, "200", 1, 1e7, TOY, 0, "N", "steps of mine and mine-f"),
    REAL("critic-rate", study.critic_rate, "1e-4", 1e-9, 10, TOY, 0, "X", "learning rate of mine and mine-f"),
    INT("joint-steps", study.joint_steps, "20000", 1, 1e7, TOY, 0, "N",
        "most steps of mine-joint, mine-f-joint and infonce, which stop when their bound does not rise any more"),
    REAL("joint-rate", study.joint_rate, "5e-4", 1e-9, 10, TOY, 0, "X",
         "learning rate of mine-joint, mine-f-joint and infonce"),
    CHOICE("estimator", estimator, "ssge", MIGE_ESTIMATORS, ESTIMATE, 0,
           "of the scores: spectral Stein; iterated Tikhonov; a network trained by sliced score matching"),
    REAL("eta", eta, "0.01", 1e-12, 1e6, ESTIMATE, 0, "E", "ridge of estimator stein"),
    INT("iterations", iterations, "3", 1, 1000, ESTIMATE, 0, "K",
        "iterations of estimator stein; 1: Li and Turner's"),
    CHOICE("calibrate", calibrate, "none", MIGE_CALIBRATIONS, ESTIMATE, 0,
           "scores restored to Stein's identity by a factor or a matrix"),
    REAL("threshold", threshold, "0.99", 1e-6, 1, ESTIMATE, 0, "R",
         "leading eigenvalues: those below this share of the trace"),
    INT("eigen", eigen, "0", 0, 1e6, ESTIMATE, 0, "J", "this many leading eigenvalues instead; 0: by threshold"),
    TEXT("width", width, "median", ESTIMATE, 0, "median|W", "width of the RBF kernel"),
    REAL("width-scale", width_scale, "1", 1e-6, 1e6, ESTIMATE, 0, "F",
         "factor on the median width; none on a fixed one"),
    CHOICE("solver", solver, "auto", MIGE_SCORE_SOLVERS, ESTIMATE, 0,
           "ssge: of the eigenproblem; stein: cholesky, or cg, which never stores the matrix"),
    REAL("tolerance", tolerance, "0", 0, 1, ESTIMATE, 0, "X",
         "tolerance of --solver subspace (residuals) and cg (scores); 0: 1e-8 and 5e-5"),
    TEXT("check", check, "", ESTIMATE, TRAIN | TOY, "LIST",
         "eigen: verify every solve of the eigenproblem; train also nan: find the first number that is not finite, "
         "and replica: compare the ranks' parameters, each step"),
    CHOICE("precondition", precondition, "none", MIGE_PRECONDITIONERS, ESTIMATE, 0,
           "map x and y, each by itself, to where scores are easier, and the gradient back (score: none, whiten)"),
    INT("ssm-steps", ssm_steps, "2000", 1, 1e8, ESTIMATE, 0, "N", "training steps of estimator ssm"),
    INT("ssm-hidden", ssm_hidden, "256", 1, 65536, ESTIMATE, 0, "N", "width of its network's layers"),
    REAL("ssm-rate", ssm_rate, "1e-3", 1e-9, 10, ESTIMATE, 0, "X", "its learning rate"),
    REAL("memory", memory, "0", 0, 1e6, ESTIMATE, ALL, "GB",
         "memory that all ranks of a node may take for scores; 0: what is free"),
    REAL("every", every, "0", 0, 1e6, WATCH, ALL, "seconds", "draw anew each so many, until the run ends; 0: once"),
    TEXT("config", config, "", ALL, 0, "FILE", "read options from an INI file"),
    INT("seed", seed, "1", 0, 9e15, ALL, 0, "N", "of all random numbers"),
    INT("threads", threads, "1", 1, 1024, ALL, TRAIN | TOY, "N", "BLAS threads a rank"),
    REAL("watch", watch, "20", 0, 1e6, ALL, ALL, "seconds",
         "end the job when a rank gives no sign of life for this long (stopped, or its host lost); 0: never"),
    FLAG("quiet", quiet, ALL, ALL, "print results, warnings and errors only"),
    CHOICE("progress", progress, "auto", "auto|bar|line|none", ALL, ALL, "auto: a bar on a terminal, else lines"),
    FLAG("log-view", log_view, ALL, ALL, "print time and GFLOP/s per phase at the end"),
    FLAG("dump-config", dump_config, ALL, ALL, "print all options as an INI file and stop"),
    FLAG("dry-run", dry_run, ALL, ALL, "check inputs, print sizes and memory, write nothing"),
};

const mige_option_table option_table = {options, sizeof options / sizeof *options, commands,
                                        sizeof commands / sizeof *commands};

mige_options_given given_options(const app *a) {
    return (mige_options_given){&option_table, a->command, &a->cfg};
}

/* What else would help: the estimator and solver that take less, unless it is those already; kept until the next.
 */
static const char *other_solver(const app *a) {
    static char text[96];
    const mige_estimator_facts *f = mige_estimator_get((enum mige_estimator)a->cfg.estimator);
    mige_options_given given = given_options(a);
    char solver[MIGE_OPT_TEXT_SIZE];
    mige_options_value(&given, "solver", solver);
    int same = f->lean_estimator && !strcmp(f->lean_estimator, f->name);
    *text = 0;
    if (f->lean_solver && (!same || strcmp(f->lean_solver, solver) != 0))
        snprintf(text, sizeof text, ", or %s%s%s--solver %s", same ? "" : "--estimator ",
                 same ? "" : f->lean_estimator, same ? "" : " ", f->lean_solver);
    return text;
}

mige_memory memory_of(const app *a) {
    return (mige_memory){&a->comm, a->cfg.memory, a->cfg.dry_run, other_solver(a)};
}

int config_checks(const config *c, int *checks) {
    int n = 0;
    int64_t *bits = NULL;
    *checks = 0;
    if (!*c->check) return MIGE_OK;
    MIGE_TRY(mige_list_names("--check", c->check, "eigen|nan|replica", &n, &bits));
    for (int i = 0; i < n; i++) *checks |= 1 << bits[i];
    free(bits);
    return MIGE_OK;
}

int config_score(const config *c, mige_score_options *o) {
    *o = mige_score_defaults();
    o->eigen.threshold = c->threshold;
    o->estimator = (enum mige_estimator)c->estimator;
    if (o->estimator == MIGE_ESTIMATOR_SSGE) o->eigen.eigen = (int)c->eigen; /* else not read */
    o->stein.eta = c->eta;
    o->stein.iterations = (int)c->iterations;
    if (c->tolerance > 0) o->eigen.tolerance = o->stein.tolerance = c->tolerance;
    o->ssm = (mige_ssm_options){c->ssm_steps, (int)c->ssm_hidden, c->ssm_rate};
    o->calibrate = (enum mige_calibrate)c->calibrate;
    o->width_scale = c->width_scale;
    o->precondition = (enum mige_precondition)c->precondition;
    o->seed = (uint64_t)c->seed;
    char solver[16];
    int checks;
    mige_options_choice(MIGE_SCORE_SOLVERS, c->solver, solver, sizeof solver);
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

/* Presets are words NAME=VALUE. */
static int apply_preset(const app *a, config *c, const char *preset) {
    char word[128];
    for (int n = 0; sscanf(preset, "%127s%n", word, &n) == 1; preset += n) {
        char *value = strchr(word, '=');
        *value++ = 0;
        MIGE_TRY(mige_options_set(&option_table, a->command, c, word, word, value));
    }
    return MIGE_OK;
}

int config_presets(const app *a, config *c) {
    const train_options *o = &a->cfg.train;
    if (a->command->bit == MI) {
        MIGE_TRY(mige_options_defaults(&option_table, c));
        return apply_preset(a, c, MI_PRESET);
    }
    const objective *j = objective_find(o->task, o->objective);
    if (!j) return MIGE_EUSAGE;
    MIGE_TRY(mige_options_defaults(&option_table, c));
    MIGE_TRY(apply_preset(a, c, j->preset));
    return o->circumstance == CIRCUMSTANCE_VIEWS ? apply_preset(a, c, j->preset_views) : MIGE_OK;
}
