/* That no command writes over what it reads, nor over the files of a run. */
#include "app/app.h"
#include "mige/checkpoint.h"
#include <fnmatch.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether a path has the name of a run's own file and lies in its folder; folder NULL: of any that holds a run, but
 * for what mige probe writes if `probing`. */
static int is_of_run(const char *path, const char *folder, int probing) {
    static const char *const names[] = {"metrics.h5*", "config.ini*", ".lock", "checkpoint-*.h5*", "probe.h5*"};
    char whole[PATH_MAX], copy[PATH_MAX], mark[PATH_MAX + 16];
    int named = 0;
    char *real = realpath(path, NULL);
    snprintf(whole, sizeof whole, "%s", real ? real : path);
    free(real);
    for (size_t i = 0; i < sizeof names / sizeof *names - (size_t)probing; i++)
        named = named || !fnmatch(names[i], basename(strcpy(copy, whole)), 0);
    if (!named) return 0;
    const char *in = dirname(strcpy(copy, whole));
    if (folder) return mige_same_file(in, folder);
    snprintf(mark, sizeof mark, "%s/config.ini", in);
    return !access(mark, F_OK);
}

static int check_reads(const config *c, const char *output) {
    int bad = mige_output_is_linked(output); /* by sets that were read so far */
    int sets = *c->input != 0;               /* --x and its like are, of that file, and no files */
    const char *const read[] = {c->input,     c->points,        c->train.data,    c->config,
                                c->stop_file, sets ? "" : c->x, sets ? "" : c->y, sets ? "" : c->given};
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) bad = bad || mige_output_is(output, read[i]);
    MIGE_CHECK(!bad, MIGE_EUSAGE, "--output: %s is also read (give another name)", output);
    return MIGE_OK;
}

int check_output(const config *c, int probing) {
    const char *output = c->output;
    char *target;
    if (!*output) return MIGE_OK;
    MIGE_TRY(mige_output_target(output, &target));
    int err = check_reads(c, output);
    if (!err && is_of_run(target, NULL, probing))
        err = mige_raise(MIGE_EUSAGE, "--output: %s is a file of a run (give another name)", output);
    if (!err) err = mige_file_try(output, c->dry_run);
    free(target);
    return err;
}

/* A configuration of ours holds every option. */
static int is_ours(const char *path) {
    char line[64];
    int ours = 0;
    FILE *f = fopen(path, "r");
    while (f && !ours && fgets(line, sizeof line, f)) ours = !strncmp(line, "dump-config =", 13);
    if (f) fclose(f);
    return ours;
}

/* What stands where the run's configuration will: a user's own file, or a link to another, would be lost. */
static int check_place(const char *out) {
    char path[MIGE_RUN_PATH], *target;
    struct stat st;
    MIGE_TRY(mige_run_path(out, "config.ini", path));
    MIGE_TRY(mige_output_target(path, &target));
    free(target);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || !st.st_size) return MIGE_OK; /* writing will tell */
    MIGE_CHECK(
        is_ours(path), MIGE_EUSAGE,
        "%s: is no file of a run, which would take its place (move it; options of a file are read by --config)",
        path);
    return MIGE_OK;
}

int check_run_folder(const config *c) {
    const char *out = c->train.out, *ini = c->resume ? "" : c->config; /* a run goes on by its own, too */
    char written[MIGE_RUN_PATH];
    if (!*out) return MIGE_OK;
    MIGE_TRY(mige_run_path(out, "config.ini", written));
    const char *bad = is_of_run(c->train.data, out, 0)                                   ? c->train.data
                      : is_of_run(ini, out, 0) || (*ini && mige_output_is(written, ini)) ? ini
                                                                                         : NULL;
    MIGE_CHECK(!bad, MIGE_EUSAGE,
               "--out: %s is read, and a file of the run by its name or by a link there (rename it)", bad);
    int any = 0; /* a checkpoint tells that the configuration is a run's, whoever edited it */
    if (c->dry_run) MIGE_TRY(mige_try_folder(out));
    if (c->resume) MIGE_TRY(mige_checkpoint_any(out, &any));
    return any ? MIGE_OK : check_place(out);
}
