/* What options.c and ini.c share. */
#ifndef MIGE_BASE_OPTIONS_H
#define MIGE_BASE_OPTIONS_H

#include "mige/options.h"

enum { PIECE = 100, UNCUT = 50 }; /* characters of a line; of a stretch that cannot be cut, at most */

const mige_option *options_find(const mige_option_table *t, const char *name); /* NULL: none */
/* As mige_options_set says of errors. */
int options_lookup(const mige_option_table *t, const mige_command *cmd, const char *where, const char *name,
                   const mige_option **o);
int options_set_value(const mige_option *o, void *config, const char *where, const char *value);
/* An option's value as text. */
void options_text(const mige_option *o, const void *config, char *text, size_t size);
/* Where the value of an option in the program's configuration came from: "FILE:LINE: ", or "" of the command line.
 */
void options_came_from(const mige_option_table *t, const mige_option *o, const char *where);

#endif
