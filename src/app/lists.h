/* Lists in options: "5,10,20", "mige,mine". */
#ifndef MIGE_APP_LISTS_H
#define MIGE_APP_LISTS_H

#include <stdint.h>

/* values [n] = the whole numbers of `text`, each in [min, max] and none twice; malloc'ed. Not collective. Errors:
 * MIGE_EUSAGE, which begin with --option. */
int list_integers(const char *option, const char *text, int64_t min, int64_t max, int *n, int64_t **values);
/* indices [n] = the places of the names of `text` in `choices`, "a|b|c", none twice; malloc'ed. As above. */
int list_names(const char *option, const char *text, const char *choices, int *n, int **indices);

#endif
