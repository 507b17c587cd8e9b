/* What rows of objectives and terms both name. */
#ifndef MIGE_TRAIN_TERMS_H
#define MIGE_TRAIN_TERMS_H

#include "train/term.h"

/* Of term bound and of term classify. */
enum { BOUND_JSD, BOUND_INFONCE, BOUND_DV };
enum { CLASSIFY_PLAIN, CLASSIFY_SMOOTH, CLASSIFY_CONFIDENCE };
/* The member that term classify adds. */
#define DECODER "decoder"

#endif
