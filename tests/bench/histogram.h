/*
 * How often each duration was seen. Buckets are a 32nd of a power of two wide,
 * so a quantile is right to three percent; the largest value is kept exactly.
 */
#ifndef SHMKV_TESTS_BENCH_HISTOGRAM_H
#define SHMKV_TESTS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_STEPS = 32, HISTOGRAM_BUCKETS = 60 * HISTOGRAM_STEPS };

struct histogram {
    uint64_t count, max;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t value) {
    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned shift = 58 - (unsigned)__builtin_clzll(value); /* value >> shift is 32 to 63 */
    return shift * HISTOGRAM_STEPS + (unsigned)(value >> shift);
}

static inline void histogram_add(struct histogram *h, uint64_t value) {
    h->buckets[histogram_bucket(value)]++;
    h->count++;
    if (value > h->max)
        h->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that the share @p q (0 to 1) of all values does not exceed. */
double histogram_quantile(const struct histogram *h, double q);

#endif
