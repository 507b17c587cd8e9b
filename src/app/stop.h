/* Signals that ask a long run to stop: SIGTERM, SIGUSR1, SIGINT. */
#ifndef MIGE_APP_STOP_H
#define MIGE_APP_STOP_H

/* From now on the first signal is remembered; one that comes more than two seconds later ends the process at once.
 */
void stop_listen(void);
/* The signal that came, or 0. */
int stop_asked(void);

#endif
