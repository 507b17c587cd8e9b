/* Links that lead out of a file, and the files that they have led to. */
#include "io/file.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    size_t n;
    struct file {
        dev_t dev;
        ino_t ino;
    } * file;
} reached;

static int has_reached(const struct stat *st) {
    for (size_t i = 0; i < reached.n; i++)
        if (reached.file[i].dev == st->st_dev && reached.file[i].ino == st->st_ino) return 1;
    return 0;
}

static int note(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 || has_reached(&st)) return MIGE_OK;
    MIGE_TRY(mige_grow(reached.n, sizeof *reached.file, &reached.file));
    reached.file[reached.n++] = (struct file){st.st_dev, st.st_ino};
    return MIGE_OK;
}

int mige_io_note_home(const mige_file *f, hid_t set) {
    char path[PATH_MAX] = "";
    hid_t home = H5Iget_file_id(set);
    if (home >= 0) H5Fget_name(home, path, sizeof path);
    if (home >= 0) H5Fclose(home);
    return strcmp(path, f->path) ? note(path) : MIGE_OK;
}

/* Of links to links, the files in between. */
static herr_t on_link(const char *parent, const char *group, const char *child, const char *object, unsigned *flags,
                      hid_t access, void *ctx) {
    (void)group, (void)child, (void)object, (void)flags, (void)access, (void)ctx;
    return note(parent) ? -1 : 0;
}

hid_t mige_io_links(void) {
    static hid_t links = -1;
    if (links >= 0) return links;
    hid_t a = mige_io_access(NULL);
    links = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_elink_fapl(links, a);
    H5Pset_elink_cb(links, on_link, NULL);
    H5Pclose(a);
    return links;
}

static int is_reached(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && has_reached(&st);
}

int mige_output_is_linked(const char *output) {
    char part[PATH_MAX], *target;
    if (!*output || mige_output_target(output, &target)) return 0;
    snprintf(part, sizeof part, "%.*s.part", PATH_MAX - 6, target);
    int linked = is_reached(target) || is_reached(part);
    free(target);
    return linked;
}
