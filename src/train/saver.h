/* Writes a run's metrics and checkpoints beside the training: what changes is copied, and a thread writes the copy.
 * One rank has one; nothing here is collective. HDF5 knows no threads: between saver_begin and saver_wait nobody
 * else may read or write such a file. */
#ifndef MIGE_TRAIN_SAVER_H
#define MIGE_TRAIN_SAVER_H

#include "mige/checkpoint.h"
#include "mige/metrics.h"

typedef struct saver saver;

/* `lock` is the folder's: what is another's meanwhile is not written to. `metrics` belongs to the caller; rows may
 * be appended meanwhile, see mige_metrics_full. Checkpoints will have the vectors of `like`. Errors: MIGE_EFAIL. */
int saver_create(const char *run, int lock, const mige_metrics *metrics, const mige_checkpoint *like, saver **s);
/* Waits for what is being written. */
void saver_destroy(saver **s);
/* Begins to write the metrics so far and, unless it is NULL, then the checkpoint k (a checkpoint never is ahead of
 * the metrics); k may change as soon as this returns. Waits for what was begun before; after an error nothing is
 * begun any more. */
void saver_begin(saver *s, const mige_checkpoint *k);
/* The first error of all that has been written; at once, or when nothing is being written any more. MIGE_EOUTPUT.
 */
int saver_poll(saver *s);
int saver_wait(saver *s);

#endif
