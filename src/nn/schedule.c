#include "mige/nn.h"
#include <math.h>

double mige_rate(const mige_schedule *s, int64_t step) {
    double warm = step < s->warmup ? (double)step / (double)s->warmup : 1, past = (double)(step - 1);
    if (s->kind == MIGE_COSINE) {
        double part = step > s->warmup ? (past - (double)s->warmup) / (double)(s->steps - s->warmup) : 0;
        return s->rate * warm * (part < 1 ? (1 + cos(3.14159265358979323846 * part)) / 2 : 0);
    }
    return s->rate * warm * (s->kind == MIGE_STEPS ? pow(s->decay, floor(past / (double)s->every)) : 1);
}
