/*
 * What is asked of the stores, the same of each: which keys, in which order,
 * whether they are read or overwritten, and what the values are.
 *
 * Operations are drawn in blocks, outside the time that is measured, so neither
 * the random numbers nor the keys count, however dear they are.
 */
#ifndef SHMKV_TESTS_BENCH_WORKLOAD_H
#define SHMKV_TESTS_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/keys.h"

enum { MIN_VALUE = 8 };

/* Which keys are popular. */
struct popularity {
    uint64_t keys;
    double theta; /* 0: all alike; 0.99: zipf as YCSB has it */
    /* Of the zipf generator by Gray and others, "Quickly generating billion-record synthetic
     * databases". */
    double alpha, zeta_n, eta, second;
};
void popularity_init(struct popularity *p, uint64_t keys, double theta);

struct random {
    uint64_t state;
};
uint64_t random_next(struct random *r);

/* A block is one stretch, timed as a whole, and a few operations timed by themselves. */
enum { STRETCH_OPS = 256, SINGLE_OPS = 4, BLOCK_MAX = STRETCH_OPS + BATCH_OPS };

struct block {
    unsigned ops;
    bool read[BLOCK_MAX];
    uint8_t keys[BLOCK_MAX][KEY_SIZE];
};

/* @p read_percent of the operations are reads, the others overwrite. */
void block_draw(struct block *b, unsigned ops, const struct popularity *p, struct random *r,
                unsigned read_percent);
/* The keys first, first + step, ... as far as there are any; all reads, or all writes. */
void block_walk(struct block *b, uint64_t first, uint64_t step, uint64_t keys, bool read);

/* A value begins with its key's first bytes, and every read is checked for them. With --check the
 * key is repeated through the whole value, and all of it is compared. */
static inline void value_for(uint8_t *value, const uint8_t *key, size_t size, bool whole) {
    memcpy(value, key, MIN_VALUE);
    for (size_t i = MIN_VALUE; whole && i < size; i++)
        value[i] = (uint8_t)(key[i % KEY_SIZE] + i / KEY_SIZE);
}

static inline bool value_is_of(const uint8_t *value, const uint8_t *key, size_t size, bool whole) {
    bool same = memcmp(value, key, MIN_VALUE) == 0;
    for (size_t i = MIN_VALUE; whole && same && i < size; i++)
        same = value[i] == (uint8_t)(key[i % KEY_SIZE] + i / KEY_SIZE);
    return same;
}

#endif
