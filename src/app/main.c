#include "app/app.h"
#include "base/hash.h"
#include "mige/blas.h"
#include "mige/log.h"
#include "train/stop.h"
#include "train/train.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND(BIT, NAME, FLAGS, NEEDS, WRITES, USAGE, HELP) {cmd_##NAME, FLAGS, NEEDS, WRITES},
static const struct {
    int (*run)(app *a);
    int flags;
    const char *needs, *writes; /* options, or "" */
} commands[] = {COMMANDS(COMMAND)};

static int place(const app *a) {
    return (int)(a->command - option_table.commands);
}

/* Before the command line is read: what is no command's name says so later. */
static int takes_signals(const char *name) {
    const mige_command *k = mige_options_command(&option_table, name);
    return k && commands[k - option_table.commands].flags & SIGNALS;
}

static void print_help(void) {
    mige_print("mige trains encoders by the gradient of mutual information.\n\n"
               "usage: mige COMMAND [--config FILE] [--OPTION VALUE]...\n"
               "       mpirun -np P mige COMMAND ...   srun mige COMMAND ...\n");
    for (int i = 0; i < option_table.ncommands; i++)
        mige_print("  %-9s %s", option_table.commands[i].name, option_table.commands[i].help);
    mige_print("\nmige COMMAND --help (or mige help COMMAND) lists its options; mige --version tells the version.");
}

/* A launcher that this MPI does not know starts N programs that each believe they are alone, and would write over
 * each other. */
static int check_launch(const mige_comm *c) {
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS"), *procid = getenv("SLURM_PROCID"),
               *step = getenv("SLURM_STEP_ID");
    int launched = tasks && procid && step && strcmp(step, "4294967291") != 0;
    for (int i = 0; i < 2; i++) {
        const char *size = getenv(sizes[i]);
        MIGE_CHECK(
            !size || c->size > 1 || atoi(size) <= 1, MIGE_EUSAGE,
            "launch: %s ranks were started but MPI sees one (take the mpirun of the MPI that mige is built with)",
            size);
        launched = launched && !size;
    }
    MIGE_CHECK(!launched || c->size > 1 || atoi(tasks) <= 1, MIGE_EUSAGE,
               "srun: started %s tasks but MPI sees one rank (try srun --mpi=pmix or --mpi=pmi2, or mpirun)",
               tasks);
    return MIGE_OK;
}

/* Its texts stay to the end. */
static int record_provenance(const app *a, int argc, char **argv) {
    char *hosts, *text, *line;
    size_t size = 0;
    MIGE_TRY(host_names(&a->comm, &hosts));
    MIGE_TRY(mige_options_config(&option_table, a->command, &a->cfg, &text));
    FILE *f = open_memstream(&line, &size);
    MIGE_CHECK(f, MIGE_EFAIL, "memory: no room for the command line");
    fputs("mige", f);
    for (int i = 1; i < argc; i++) fprintf(f, " %s", argv[i]);
    fclose(f);
    mige_provenance_set(&(mige_provenance){line, text, hosts, a->comm.size, (int)a->cfg.threads, a->cfg.seed});
    return MIGE_OK;
}

/* Splits off the words that are not options (the files of verify). */
static int take_files(app *a, int *argc, char **argv) {
    int kept = 0;
    MIGE_TRY(mige_alloc((size_t)*argc + 1, sizeof *a->files, &a->files));
    if (!(commands[place(a)].flags & FILES)) return MIGE_OK;
    for (int i = 0; i < *argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            a->files[a->nfiles++] = argv[i];
            continue;
        }
        int value = mige_options_takes_value(&option_table, argv[i]) && i + 1 < *argc;
        argv[kept++] = argv[i];
        if (value) argv[kept++] = argv[++i];
    }
    *argc = kept;
    return MIGE_OK;
}

/* Of an option that is given twice the last counts. */
static void warn_twice(int n, char **words) {
    for (int i = 0; i < n; i++) {
        size_t length = strcspn(words[i], "=");
        if (strncmp(words[i], "--", 2) != 0 || (length == 8 && !strncmp(words[i], "--config", 8))) continue;
        for (int j = i + 1; j < n; j++) {
            if (strncmp(words[i], words[j], length) != 0 || strcspn(words[j], "=") != length) continue;
            const char *a = words[i][length] ? words[i] + length + 1 : words[i + 1];
            const char *b = words[j][length] ? words[j] + length + 1 : j + 1 < n ? words[j + 1] : a;
            int valued = words[j][length] || mige_options_takes_value(&option_table, words[j]);
            if (valued && strcmp(a, b) != 0)
                mige_warn("%.*s: given more than once; %s does not count", (int)length, words[i], a);
            break;
        }
    }
}

static void print_text(char *text) {
    mige_print("%.*s", (int)strlen(text) - 1, text); /* its last newline is the printer's */
    free(text);
}

/* --help and --dump-config. */
static int print_options(app *a, int help) {
    char *text;
    a->cfg.dump_config = a->cfg.dry_run = 0; /* it is to be read back */
    MIGE_TRY(
        help ? mige_options_help(&option_table, a->command, "mige", a->command->bit == MI ? MI_PRESET : "", &text)
             : mige_options_config(&option_table, a->command, &a->cfg, &text));
    print_text(text);
    if (!help || a->command->bit != TRAIN) return MIGE_OK;
    mige_print("\nobjectives (task, name):");
    MIGE_TRY(objective_list(&text));
    print_text(text);
    return MIGE_OK;
}

/* What the table of options cannot say. */
static int check_options(const app *a) {
    const char *needed[] = {commands[place(a)].needs, a->cfg.dry_run ? "" : commands[place(a)].writes};
    mige_options_given given = given_options(a);
    char value[MIGE_OPT_TEXT_SIZE];
    for (int i = 0; i < 2; i++) {
        mige_options_value(&given, needed[i], value);
        MIGE_CHECK(!*needed[i] || *value, MIGE_EUSAGE, "--%s: must be given (see --help)", needed[i]);
    }
    MIGE_TRY(config_unused(a));
    MIGE_CHECK(a->cfg.watch <= 0 || a->cfg.watch >= 5, MIGE_EUSAGE,
               "--watch: %g s is too short (5 or more; 0: never)", a->cfg.watch);
    return MIGE_OK;
}

static int check_files(const app *a) {
    if (a->command->bit == TRAIN) return check_run_folder(&a->cfg);
    return check_output(&a->cfg, a->command->bit == PROBE);
}

/* Defaults of train depend on what is trained, and mi has its own: their options are read twice. */
static int parse(app *a, int count, char **words, int *help) {
    MIGE_TRY(mige_options_defaults(&option_table, &a->cfg));
    MIGE_TRY(mige_options_parse(&option_table, a->command, &a->cfg, count, words, help));
    if (*help || !(a->command->bit & (TRAIN | MI))) return MIGE_OK;
    static config preset;
    MIGE_TRY(config_presets(a, &preset));
    a->cfg = preset;
    mige_log_setup(0, 0, MIGE_PROGRESS_NONE); /* warnings came with the first reading */
    int err = mige_options_parse(&option_table, a->command, &a->cfg, count, words, help);
    mige_log_setup(a->comm.rank == 0, 0, MIGE_PROGRESS_NONE);
    return err;
}

/* That of a run that was begun; those of earlier versions do not name theirs, float. PRECISION_AUTO: there is none,
 * or it cannot be read, which the checkpoint will tell. */
static int begun_precision(const char *run) {
    char path[MIGE_OPT_TEXT_SIZE];
    config *begun;
    int precision = PRECISION_AUTO;
    if (mige_run_path(run, "config.ini", path) || access(path, R_OK) || mige_alloc(1, sizeof *begun, &begun))
        return PRECISION_AUTO;
    if (run_config(run, begun) == MIGE_OK)
        precision = begun->train.precision == PRECISION_AUTO ? PRECISION_FLOAT : begun->train.precision;
    free(begun);
    return precision;
}

/* A run goes on with the precision that it began with, wherever it goes on, unless another is asked for. */
static int settle_precision(app *a) {
    int *precision = &a->cfg.train.precision;
    if (commands[place(a)].run == cmd_train && a->cfg.resume && *precision == PRECISION_AUTO) {
        if (a->comm.rank == 0) *precision = begun_precision(a->cfg.train.out);
        MIGE_TRY(mige_bcast(&a->comm, 0, precision, sizeof *precision));
    }
    return train_precision(&a->comm, (int)a->cfg.threads, precision);
}

/* Each rank reads --config for itself, which may be another file on another node, or in another folder. */
static int same_on_ranks(const app *a) {
    char *text;
    if (!*a->cfg.config) return MIGE_OK;
    int err = mige_options_config(&option_table, a->command, &a->cfg, &text);
    MIGE_TRY(mige_agree(&a->comm, err));
    double sum = (double)(mige_hash(strlen(text), text) >> 11), both[2] = {sum, -sum};
    free(text);
    MIGE_TRY(mige_max(&a->comm, both, 2));
    MIGE_CHECK(both[0] == -both[1], MIGE_EUSAGE,
               "--config: ranks read different files (put %s where every node sees the same)", a->cfg.config);
    return MIGE_OK;
}

static int run_command(app *a, int argc, char **argv) {
    char **words = NULL;
    int help = 0, count = argc - 2;
    MIGE_TRY(mige_alloc((size_t)argc, sizeof *words, &words));
    memcpy(words, argv + 2, (size_t)count * sizeof *words);
    int err = take_files(a, &count, words);
    if (!err) err = parse(a, count, words, &help);
    if (!err && !help) warn_twice(count, words);
    free(words);
    MIGE_TRY(mige_agree(&a->comm, err));
    if (!help) MIGE_TRY(same_on_ranks(a));
    if (help || a->cfg.dump_config) return print_options(a, help);
    MIGE_TRY(check_options(a));
    mige_log_setup(a->comm.rank == 0, a->cfg.quiet, (enum mige_progress)a->cfg.progress);
    mige_blas_threads((int)a->cfg.threads);
    MIGE_TRY(settle_precision(a));
    MIGE_TRY(mige_agree(&a->comm, record_provenance(a, argc, argv)));
    MIGE_TRY(mige_watch_start(&a->comm, a->cfg.watch));
    MIGE_TRY(mige_agree(&a->comm, a->comm.rank == 0 ? check_files(a) : MIGE_OK));
    MIGE_TRY(commands[place(a)].run(a));
    return a->cfg.log_view ? mige_print_phases(&a->comm) : MIGE_OK;
}

static int run(app *a, int argc, char **argv) {
    mige_log_setup(a->comm.rank == 0, 0, MIGE_PROGRESS_NONE);
    MIGE_TRY(mige_agree(&a->comm, check_launch(&a->comm)));
    int asked = argc >= 2 && !strcmp(argv[1], "help");
    if (argc < 2 || (asked && argc == 2) || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        print_help();
        return argc < 2 ? mige_raise(MIGE_EUSAGE, "no command given (one of the above)") : MIGE_OK;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        mige_print("mige %s", MIGE_VERSION);
        return MIGE_OK;
    }
    a->command = mige_options_command(&option_table, argv[1 + asked]);
    if (!a->command) return MIGE_EUSAGE;
    return asked ? print_options(a, 1) : run_command(a, argc, argv);
}

int main(int argc, char **argv) {
    mige_blas_restart(argv);
    mige_before_mpi();
    static app a;
    int threads; /* of ours, only the first calls MPI */
    int catches = argc > 1 && takes_signals(argv[1]);
    if (catches) mige_stop_catch();
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &threads);
    /* Again: MPICH takes SIGUSR1 for news of a dead rank and asks a launcher, which one rank may not have. */
    if (catches) mige_stop_catch();
    mige_comm_create(MPI_COMM_WORLD, &a.comm);
    int err = run(&a, argc, argv);
    if (!err) err = mige_agree(&a.comm, a.comm.rank == 0 ? mige_line_check() : MIGE_OK);
    /* Usage errors are found by every rank alike, others are agreed; only what a rank met alone ends the others by
     * force. */
    int alone = err && err != MIGE_EUSAGE && !mige_agreed() && a.comm.size > 1;
    const char *origin =
        err == MIGE_EUSAGE || err == MIGE_EINPUT ? mige_options_origin(&option_table, mige_error()) : "";
    if (err && *mige_error() && (a.comm.rank == 0 || alone)) fprintf(stderr, "mige: %s%s\n", origin, mige_error());
    if (alone) MPI_Abort(MPI_COMM_WORLD, err);
    free(a.files);
    mige_comm_destroy(&a.comm);
    MPI_Finalize();
    return err;
}
