/* One table binds each option's name, type, default, range and help to a variable; the command line, INI files,
 * --help, --dump-config and the provenance in files all come from it. Not collective. */
#ifndef MIGE_OPTIONS_H
#define MIGE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

enum mige_option_type {
    MIGE_OPT_FLAG,   /* int: 0 or 1; alone on the command line, yes/no in a file */
    MIGE_OPT_INT,    /* int64_t */
    MIGE_OPT_REAL,   /* double */
    MIGE_OPT_CHOICE, /* int: index into `choices` */
    MIGE_OPT_TEXT    /* char[MIGE_OPT_TEXT_SIZE] */
};
enum { MIGE_OPT_TEXT_SIZE = 1024 };

typedef struct {
    const char *name; /* without the dashes */
    enum mige_option_type type;
    size_t offset;       /* of the variable in the struct that all functions below get as `config` */
    const char *value;   /* the default, as the user would write it; "" for no text */
    double min, max;     /* of INT and REAL, inclusive; both 0: any finite number */
    const char *choices; /* of CHOICE: "lapack|scalapack|subspace" */
    unsigned commands;   /* bit mask of the commands that have it */
    unsigned free_for;   /* those whose results do not depend on it: what they began may go on with another value */
    const char *units;   /* "images", "s", ... or "" */
    const char *help;    /* one line */
} mige_option;

typedef struct {
    const char *name; /* of the command: its section in INI files */
    unsigned bit;     /* its bit in mige_option.commands */
    const char *help; /* what it does, one line */
    const char *usage;
} mige_command;

typedef struct {
    const mige_option *options;
    int noptions;
    const mige_command *commands;
    int ncommands;
} mige_option_table;

/* A command with its options: what a run or a file was asked for. */
typedef struct {
    const mige_option_table *table;
    const mige_command *command;
    const void *config;
} mige_options_given;

/* Every variable to its default. */
int mige_options_defaults(const mige_option_table *t, void *config);
/* Sets one option from text. `where` begins the message ("--batch", "run.ini:7: batch"). Errors: MIGE_EUSAGE:
 * unknown name (the nearest known one is named), not an option of this command, a value that is no number or out of
 * range. */
int mige_options_set(const mige_option_table *t, const mige_command *cmd, void *config, const char *where,
                     const char *name, const char *value);
/* Reads an INI file: keys before any section or under [NAME-OF-THE-COMMAND] are set; those under another command's
 * section are checked for their names and passed over. own: it is the program's, which mige_options_origin tells
 * of. Errors: MIGE_EUSAGE naming file and line; MIGE_EINPUT if it cannot be read. */
int mige_options_file(const mige_option_table *t, const mige_command *cmd, void *config, const char *path, int own);
/* Whether the word "--NAME" is followed by a value in the next word. */
int mige_options_takes_value(const mige_option_table *t, const char *word);
/* Reads argv[0..argc): --name value, --name=value, --flag. --config FILE is read first, wherever it stands, so that
 * the command line beats the file. *help = 1 if --help or -h is there (nothing else is then an error). */
int mige_options_parse(const mige_option_table *t, const mige_command *cmd, void *config, int argc, char **argv,
                       int *help);

/* Texts, malloc'ed into *text. Config: all options of the command as an INI section that reads back to the same
 * values. Help: preset is the command's own defaults, words NAME=VALUE, or "". */
int mige_options_config(const mige_option_table *t, const mige_command *cmd, const void *config, char **text);
int mige_options_help(const mige_option_table *t, const mige_command *cmd, const char *program, const char *preset,
                      char **text);
/* Compares the options in an INI text that this program wrote earlier, with or without its section, with those
 * given: one that the text lacks counts as its default, a name that the table does not know (another version's) is
 * passed over, and so are those that are free for the command. Errors: MIGE_EUSAGE, the first difference, as
 * "--NAME: WHERE has "A", this command "B" (ADVICE)". */
int mige_options_same(const mige_options_given *g, const char *where, const char *text, const char *advice);
/* The value of a name, in any section, in such a text; "" if it is not there. */
void mige_options_find(const char *text, const char *name, char value[MIGE_OPT_TEXT_SIZE]);
/* The value of an option as text, by its name; "" if there is none. */
void mige_options_value(const mige_options_given *g, const char *name, char value[MIGE_OPT_TEXT_SIZE]);
/* The command called `name`, or NULL with a MIGE_EUSAGE message that names the nearest. */
const mige_command *mige_options_command(const mige_option_table *t, const char *name);
/* Name of value i of a choice ("lapack|scalapack", 1 -> "scalapack"), copied to text. */
void mige_options_choice(const char *choices, int i, char *text, size_t size);
/* The place in `choices` of a word of `length` characters; -1 if there is none such. */
int mige_options_place(const char *choices, const char *word, size_t length);

/* For a message that begins with an option, "--NAME..." or "NAME...": "FILE:LINE: " if mige_options_parse has its
 * value from an INI file, else "". Names may be those of the library's messages. */
const char *mige_options_origin(const mige_option_table *t, const char *message);

/* Lists in texts, "5,10,20", "mige,mine"; malloc'ed. values [n] = whole numbers, each in [min, max] and none twice;
 * places [n] = those of the names in `choices`, "a|b|c", none twice. Errors: MIGE_EUSAGE, which begin with
 * `where`. */
int mige_list_integers(const char *where, const char *text, int64_t min, int64_t max, int *n, int64_t **values);
int mige_list_names(const char *where, const char *text, const char *choices, int *n, int64_t **places);

#endif
