/* The program's own parts: its configuration, and what every command is given. */
#ifndef MIGE_APP_H
#define MIGE_APP_H

#include "app/commands.h"
#include "mige/array.h"
#include "mige/comm.h"
#include "mige/data.h"
#include "mige/error.h"
#include "mige/io.h"
#include "mige/nn.h"
#include "mige/options.h"
#include "mige/precondition.h"
#include "mige/score.h"
#include "study/probe.h"
#include "study/study.h"
#include "study/truth.h"
#include "train/run.h"

/* One variable an option; see the table in config.c for meaning, units and ranges. */
typedef struct {
    char config[MIGE_OPT_TEXT_SIZE];
    int64_t seed, threads;
    double watch, every;
    int quiet, progress, log_view, dump_config, dry_run;
    /* score estimation */
    int estimator, solver, calibrate;
    double threshold, width_scale, tolerance, eta, ssm_rate, memory;
    int64_t eigen, iterations, ssm_steps, ssm_hidden;
    int precondition;
    char width[MIGE_OPT_TEXT_SIZE], check[MIGE_OPT_TEXT_SIZE];
    int resume;
    char stop_file[MIGE_OPT_TEXT_SIZE];
    double max_hours;
    train_options train; /* its data is that of probe and encode, too */
    study_options study; /* toy, scale */
    /* probe, encode */
    char run[MIGE_OPT_TEXT_SIZE], layers[MIGE_OPT_TEXT_SIZE];
    int untrained;
    probe_options probe;
    char classifier[MIGE_OPT_TEXT_SIZE];
    int64_t neighbours;
    /* files */
    char input[MIGE_OPT_TEXT_SIZE], dataset[MIGE_OPT_TEXT_SIZE], output[MIGE_OPT_TEXT_SIZE];
    char points[MIGE_OPT_TEXT_SIZE], points_dataset[MIGE_OPT_TEXT_SIZE];
    int transpose, format, compress, hessian;
    char from[MIGE_OPT_TEXT_SIZE], resize[MIGE_OPT_TEXT_SIZE];
    char x[MIGE_OPT_TEXT_SIZE], y[MIGE_OPT_TEXT_SIZE], given[MIGE_OPT_TEXT_SIZE]; /* mi */
    int64_t shuffles, block;
    int64_t keep_train, keep_test;
} config;

typedef struct {
    mige_comm comm;
    config cfg;
    const mige_command *command;
    int nfiles; /* verify: the words that are not options */
    char **files;
} app;

extern const mige_option_table option_table;
mige_options_given given_options(const app *a);
/* What scores may take, with what to do where that is too little. */
mige_memory memory_of(const app *a);

/* Score options out of the configuration. Errors: MIGE_EUSAGE (a width that is neither "median" nor a positive
 * number). */
int config_score(const config *c, mige_score_options *o);
/* --check, as a sum of CHECK_... of train/model.h. Errors: MIGE_EUSAGE (an unknown name). */
int config_checks(const config *c, int *checks);
#define MI_PRESET "estimator=stein eta=0.1 width-scale=0.5 calibrate=stein precondition=normal-scores"
/* The defaults that the objective asked for, or mi, prefers, then once more what was given. */
int config_presets(const app *a, config *c);
/* Warns of options that were given and that nothing reads. Errors: MIGE_EUSAGE, what belongs to eigenvalues where
 * the estimator has none, and a --check that the command has not. */
int config_unused(const app *a);
/* Whether an output can be written, before the work is done for it (by a dry run as its folder tells); and that it
 * is none of the files that are read, once the sets are open also by way of links, nor one of a run, but for
 * probe.h5 if probing. On one rank. */
int check_output(const config *c, int probing);
/* That a training writes over none of what it reads, nor over a configuration that is no run's. On one rank. */
int check_run_folder(const config *c);
/* A data set of samples, by `usual` if none is named. On any rank. */
int open_samples(const config *c, const char *path, const char *name, const char *usual, mige_array **a);
/* All n rows of D values; MIGE_EINPUT for a row that is not finite. */
int read_samples(const mige_array *a, int n, int D, double *x);

/* The commands. Collective. */
#define COMMAND_FUNCTION(BIT, NAME, ...) int cmd_##NAME(app *a);
COMMANDS(COMMAND_FUNCTION)

/* Names of all hosts, comma separated, on every rank; malloc'ed. Collective. */
int host_names(const mige_comm *c, char **hosts);

/* Warns where ranks are bound to the same cores as another job of this program and user. Collective. */
int warn_shared_cores(const mige_comm *c);

/* The features of a whole data set from a run's frozen encoder, one copy a node. */
enum { MOST_LAYERS = 3 };

typedef struct {
    int n;                         /* layers asked for */
    const char *name[MOST_LAYERS]; /* "conv", "fc", "y" */
    int layer[MOST_LAYERS];        /* in the network */
    int width[MOST_LAYERS];
} layer_list;

/* The encoder of a run as it was trained (its newest good checkpoint) or, untrained, as it began, and the layers
 * that are asked for. Collective, errors agreed. */
int run_open(const app *a, const mige_data *d, int untrained, layer_list *l, mige_net **net, int64_t *step);
/* The configuration that a run was started with (RUN/config.ini). Every rank reads it. */
int run_config(const char *run, config *c);

typedef struct {
    mige_shared memory;                            /* to be destroyed */
    float *train[MOST_LAYERS], *test[MOST_LAYERS]; /* [n][width], inside memory */
    void *rest;                                    /* what lies behind them */
} features;

/* Room for those of so many images, of all layers of the list, and `more` bytes. Collective, errors agreed. */
int features_room(const mige_comm *c, const layer_list *l, int64_t train, int64_t test, size_t more, features *f);

/* Running statistics in batch norm. The ranks of a node share the images; each node does all. Collective, errors
 * agreed. */
int features_create(const mige_comm *c, const mige_data *d, mige_net *net, const layer_list *l, features *f);
/* Those in the file --input, [n][width] each, named by --layers, and of d the labels and classes. Collective,
 * errors agreed: MIGE_EUSAGE, MIGE_EINPUT. */
int features_read(app *a, layer_list *l, features *x, mige_data *d);

/* The data file given by --data, or else the one that the run was trained on, and what is held out of it for
 * validation. Collective, errors agreed. */
int data_of_run(app *a, mige_data *d);

#endif
