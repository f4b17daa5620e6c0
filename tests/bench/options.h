/* The command line. */
#ifndef SHMKV_TESTS_BENCH_OPTIONS_H
#define SHMKV_TESTS_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/stores/store.h"

enum { LIST_MAX = 16, MAX_PROCESSES = 64, ROUNDS_MAX = 1000 };

enum work_kind {
    WORK_MIX,
    WORK_MANY,
    WORK_HOT,
    WORK_HOT_READ,
    WORK_GROW,
    WORK_OPEN,
    WORK_REFILL,
    WORKS
};

struct list {
    unsigned n;
    double values[LIST_MAX];
};

struct options {
    bool works[WORKS];
    struct list keys, value_sizes, reads, processes, zipfs;
    unsigned rounds, grow_rounds, slice_ms;
    uint64_t seed;
    const char *dir;
    const char *json; /* a file; "-": standard output, in place of tables */
    bool chosen[STORES];
    bool roam, undisturbed, check, list, help;
    uint64_t count; /* without processes and clocks: that many operations */
};

/* False: wrong usage, and the reason has been printed. */
bool options_parse(struct options *o, int argc, char **argv);
void options_help(void);

#endif
