/*
 * One data set, that is a number of keys and a value size: fill every store with
 * it, measure every workload on all of them, clean up.
 *
 * Stores take turns, A B C C B A A B C ..., each turn a fraction of a second, and
 * ratios are taken within a round. So a machine that slows down, or a neighbour
 * that wakes up, meets all of them.
 */
#ifndef SHMKV_TESTS_BENCH_RUN_H
#define SHMKV_TESTS_BENCH_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/options.h"

struct dataset {
    uint64_t keys;
    uint64_t value_size;
};

/* Durations in nanoseconds; rates in million operations per second. */
struct figures {
    bool valid; /* the store took part */
    double rate, lowest, highest; /* median, and the extremes, of the rounds */
    double ratio; /* how many times its rate ours is: median of the rounds; 0: unknown */
    double p50, p99, p999, max;
    uint64_t samples; /* behind the quantiles */
    double left_out;  /* share of the work that --undisturbed left out */
    double bytes_per_entry;
};

struct result {
    struct dataset data;
    bool fill; /* the first filling, by one process, once */
    unsigned read_percent, processes;
    struct figures figures[STORES];
};

/* False: a store failed, and the reason has been printed. */
bool run_dataset(const struct options *o, const struct dataset *data, void (*report)(const struct result *));
/* For profilers: --count. */
bool run_untimed(const struct options *o, const struct dataset *data);

#endif
