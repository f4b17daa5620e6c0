/* The command line. */
#ifndef SHMKV_TESTS_BENCH_OPTIONS_H
#define SHMKV_TESTS_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/stores/store.h"

enum { LIST_MAX = 16, MAX_PROCESSES = 64 };

struct list {
    unsigned n;
    uint64_t values[LIST_MAX];
};

struct options {
    struct list keys, value_sizes, reads, processes;
    double zipf; /* 0: uniform */
    unsigned rounds, slice_ms;
    uint64_t seed;
    const char *dir;
    bool chosen[STORES];
    bool roam, undisturbed, json, list, help;
    uint64_t count; /* without processes and clocks: that many operations */
};

/* False: wrong usage, and the reason has been printed. */
bool options_parse(struct options *o, int argc, char **argv);
void options_help(void);

#endif
