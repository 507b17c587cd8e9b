/* What asks a long run to stop: SIGTERM, SIGUSR1, SIGINT, --stop-file, --max-hours. */
#ifndef MIGE_APP_STOP_H
#define MIGE_APP_STOP_H

#include "app/app.h"

enum { STOP_NOT, STOP_HOURS, STOP_FILE, STOP_SIGNAL };

/* From now on the first signal is remembered, and one that comes more than two seconds later ends the process at
 * once. Before MPI starts, so that a start is not a moment at which a signal kills. Not collective. */
void stop_catch_signals(void);
/* From now on the hours count. A stop file that is there already counts from its next change. Collective; errors:
 * MIGE_EUSAGE, for a stop file that cannot be one. */
int stop_listen(const app *a);
/* One of the above, as this rank sees it (rank 0 alone looks at the file, once a second); ranks agree on the
 * largest.
 */
int stop_asked(void);
/* "by a signal", "by --stop-file", "after --max-hours". */
const char *stop_reason(int asked);

#endif
