/*
 * What is asked of the stores, the same of each: which keys, in which order, and
 * whether they are read or overwritten.
 *
 * Operations are drawn in blocks, outside the time that is measured, so neither
 * the random numbers nor the keys count, however dear they are.
 */
#ifndef SHMKV_TESTS_BENCH_WORKLOAD_H
#define SHMKV_TESTS_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/stores/store.h"

enum { MIN_VALUE = 8 };

/* Which keys are popular. */
struct popularity {
    uint64_t keys;
    double theta; /* 0: all alike; 0.99: zipf as YCSB has it */
    /* Of the zipf generator by Gray and others, "Quickly generating billion-record synthetic databases". */
    double alpha, zeta_n, eta, second;
};
void popularity_init(struct popularity *p, uint64_t keys, double theta);

struct random {
    uint64_t state;
};
uint64_t random_next(struct random *r);

enum { BLOCK_TIMED = 256, BLOCK_SAMPLED = 4, BLOCK_OPS = BLOCK_TIMED + BLOCK_SAMPLED };

struct block {
    unsigned ops;
    bool read[BLOCK_OPS];
    uint8_t keys[BLOCK_OPS][KEY_SIZE];
};

/* @p read_percent of the operations are reads, the others overwrite. */
void block_draw(struct block *b, const struct popularity *p, struct random *r, unsigned read_percent);
/* The keys first, first + step, ... as far as there are any; all reads, or all writes. */
void block_walk(struct block *b, uint64_t first, uint64_t step, uint64_t keys, bool read);

/* A value begins with its key's first bytes, and every read is checked for them. */
static inline void value_for(uint8_t *value, const uint8_t *key) { __builtin_memcpy(value, key, MIN_VALUE); }
static inline bool value_is_of(const uint8_t *value, const uint8_t *key) {
    return __builtin_memcmp(value, key, MIN_VALUE) == 0;
}

#endif
