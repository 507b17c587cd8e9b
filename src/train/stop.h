/* What asks a long run to stop: SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU unless they were ignored when
 * it began (nohup), a file that is made or touched, the end of the time it has. */
#ifndef MIGE_TRAIN_STOP_H
#define MIGE_TRAIN_STOP_H

#include "mige/comm.h"

enum { MIGE_STOP_NOT, MIGE_STOP_HOURS, MIGE_STOP_FILE, MIGE_STOP_SIGNAL };

/* From now on the first signal is remembered, and one that comes more than two seconds later ends the process at
 * once. Before MPI starts, so that a start is not a moment at which a signal kills. Not collective. */
void mige_stop_catch(void);
/* From now on the hours count (0: no end). A stop file ("": none; the text must stay) that is there already counts
 * from its next change. Collective; errors: MIGE_EUSAGE, for a stop file that cannot be one. */
int mige_stop_listen(const mige_comm *c, double max_hours, const char *file);
/* One of the above, as this rank sees it (rank 0 alone looks at the file, once a second); ranks agree on the
 * largest.
 */
int mige_stop_asked(void);
/* "by a signal", "by its stop file", "after its hours". */
const char *mige_stop_reason(int asked);

#endif
