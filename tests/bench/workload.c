#include "tests/bench/workload.h"

#include <math.h>

uint64_t random_next(struct random *r) { return mix(r->state += 0x9e3779b97f4a7c15); }

static uint64_t random_below(struct random *r, uint64_t n) { return scale_down(random_next(r), n); }

static double random_unit(struct random *r) { return (double)(random_next(r) >> 11) * 0x1p-53; }

void popularity_init(struct popularity *p, uint64_t keys, double theta) {
    *p = (struct popularity){.keys = keys, .theta = theta};
    if (theta == 0)
        return;
    for (uint64_t i = 1; i <= keys; i++)
        p->zeta_n += pow((double)i, -theta);
    double zeta_2 = 1 + pow(2, -theta);
    p->alpha = 1 / (1 - theta);
    p->eta = (1 - pow(2.0 / (double)keys, 1 - theta)) / (1 - zeta_2 / p->zeta_n);
    p->second = zeta_2;
}

static uint64_t draw(const struct popularity *p, struct random *r) {
    if (p->theta == 0)
        return random_below(r, p->keys);
    double u = random_unit(r), uz = u * p->zeta_n;
    uint64_t rank;
    if (uz < 1)
        rank = 0;
    else if (uz < p->second)
        rank = 1;
    else
        rank = (uint64_t)((double)p->keys * pow(p->eta * u - p->eta + 1, p->alpha));
    /* Scattered over the keys by a prime, one to one: those that were stored first lie close
     * together in some stores, and should not be the popular ones. */
    return (rank < p->keys ? rank : p->keys - 1) * 2654435761 % p->keys;
}

void block_draw(struct block *b, unsigned ops, const struct popularity *p, struct random *r,
                unsigned read_percent) {
    b->ops = ops;
    for (unsigned i = 0; i < ops; i++) {
        key_for(b->keys[i], draw(p, r));
        b->read[i] = random_below(r, 100) < read_percent;
    }
}

void block_walk(struct block *b, uint64_t first, uint64_t step, uint64_t keys, bool read) {
    b->ops = 0;
    for (uint64_t n = first; n < keys && b->ops < STRETCH_OPS + SINGLE_OPS; n += step, b->ops++) {
        key_for(b->keys[b->ops], n);
        b->read[b->ops] = read;
    }
}
