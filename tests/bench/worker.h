/*
 * A process that works on one store, as the driver tells it.
 *
 * It lives as long as its store is measured, so that attaching and first touches
 * of memory are over when it counts. Between orders it sleeps. Driver and workers
 * are one program, forked: an order names a function of it.
 */
#ifndef SHMKV_TESTS_BENCH_WORKER_H
#define SHMKV_TESTS_BENCH_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/histogram.h"
#include "tests/bench/workload.h"

struct job {
    const struct store *store;
    struct store_setup setup;
    uint64_t seed;
    bool whole; /* compare whole values */
};

struct work;
struct order;
struct answer;
typedef void order_fn(struct work *w, const struct order *o, struct answer *a);

enum { ANY_CPU = -1 };

struct order {
    order_fn *work;
    struct popularity popularity;
    unsigned read_percent;
    bool batch;                /* read many keys in one call */
    uint64_t start_ns, end_ns; /* of the turn, on the monotonic clock */
    bool undisturbed;          /* leave out blocks during which the processor was taken away */
    int cpu;                   /* keep to it; ANY_CPU: wherever the scheduler likes */
    uint64_t first_key, keys;  /* for work that goes through keys by number */
    size_t value_size;
    struct progress *progress; /* shared by two that work at the same time; growth.c */
};

enum { TROUBLE_SIZE = 256, HISTOGRAMS = 8 };

struct answer {
    char trouble[TROUBLE_SIZE]; /* empty: all went well */
    uint64_t ops, ticks;        /* in whole stretches of undisturbed blocks */
    uint64_t blocks, left_out;  /* blocks of operations, and those of them that were disturbed */
    uint64_t wall_ns;           /* length of the turn, by the clock */
    uint64_t aside_ticks;       /* of that, not for the stretches: drawing, single operations */
    struct histogram latency[HISTOGRAMS]; /* ticks; what the indices mean is up to the work */
    uint64_t undisturbed_max[HISTOGRAMS]; /* ticks: the longest that no other program interrupted */
    uint64_t opened_ns, first_get_ns, first_put_ns; /* opening.c */
};

struct worker {
    pid_t pid;
    int socket;
    struct answer *answer; /* memory shared with the worker; to be read after worker_wait() */
};

/* Begin a worker. False: no process, no memory or no socket, and errno. @p job must outlive it. */
bool worker_start(struct worker *w, const struct job *job);
bool worker_order(const struct worker *w, const struct order *order);
/* Until the last order has been obeyed. False: the process is gone. */
bool worker_wait(const struct worker *w);
void worker_end(struct worker *w);

#endif
