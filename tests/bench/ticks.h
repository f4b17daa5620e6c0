/*
 * A clock that costs little: the processor's counter where there is one. Ticks
 * are only ever subtracted, within one process; ticks_per_ns() makes them time.
 */
#ifndef SHMKV_TESTS_BENCH_TICKS_H
#define SHMKV_TESTS_BENCH_TICKS_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* All that comes before is done when the counter is read, and nothing after has begun. */
static inline uint64_t ticks_now(void) {
#if defined(__x86_64__)
    __builtin_ia32_lfence();
    uint64_t t = __builtin_ia32_rdtsc();
    __builtin_ia32_lfence();
    return t;
#else
    return clock_ns();
#endif
}

/* Measures for some milliseconds; the driver does it once. */
static inline double ticks_per_ns(void) {
    uint64_t t0 = ticks_now(), n0 = clock_ns(), n1;
    do
        n1 = clock_ns();
    while (n1 - n0 < 20000000);
    return (double)(ticks_now() - t0) / (double)(n1 - n0);
}

/* What two readings with nothing in between are apart. */
static inline uint64_t ticks_cost(void) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        uint64_t t = ticks_now();
        t = ticks_now() - t;
        least = t < least ? t : least;
    }
    return least;
}

#endif
