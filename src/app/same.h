/* Whether a file that is to be gone on with was made with the same options. Some only say how a run looks and ends,
 * and where it goes; those, of every command, are known here. */
#ifndef MIGE_APP_SAME_H
#define MIGE_APP_SAME_H

#include "app/app.h"
#include "mige/io.h"

/* Compares the options kept in the file with those of `a`, but for those, and for the names in `free`
 * (NULL-terminated), which what is in the file does not depend on either; an option that the file does not know yet
 * counts as its default. Not collective. Errors: MIGE_EUSAGE (a difference: option and both values), MIGE_EINPUT.
 */
int same_config(const mige_file *f, const app *a, const char *const *free);
/* Takes those, the names in `free` and the section out of an INI text of this program, in place. */
void same_lines(char *text, const char *const *free);

#endif
