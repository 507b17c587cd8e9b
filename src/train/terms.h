/* All terms, for the rows of objectives. */
#ifndef MIGE_TRAIN_TERMS_H
#define MIGE_TRAIN_TERMS_H

#include "train/term.h"

/* I(x;z) and the like by scores: mige.c. Variational bounds on it by critics, or of two views' codes: bound.c. Codes
 * matched to a uniform prior: prior.c. */
enum { BOUND_JSD, BOUND_INFONCE, BOUND_DV };
extern const term_ops term_mige, term_bound, term_prior;
/* H(y|z) by a linear classifier, a member of this name: classify.c. */
#define DECODER "decoder"
enum { CLASSIFY_PLAIN, CLASSIFY_SMOOTH, CLASSIFY_CONFIDENCE };
extern const term_ops term_classify;
/* I(x;z) of a bottleneck: its bound by KL(p(z|x) | N(0, I)), and |z|^2: rate.c; by a critic: mine.c; by scores of z and
 * of z given x: conditional.c. */
extern const term_ops term_rate, term_penalty, term_mine, term_conditional;

#endif
