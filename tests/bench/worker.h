/*
 * A process that works on one store, in turns, as the driver tells it.
 *
 * It lives as long as its store is measured, so that attaching and first touches
 * of memory are over when it counts. Between its turns it sleeps.
 */
#ifndef SHMKV_TESTS_BENCH_WORKER_H
#define SHMKV_TESTS_BENCH_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/histogram.h"
#include "tests/bench/stores/store.h"
#include "tests/bench/workload.h"

struct job {
    const struct store *store;
    struct store_setup setup;
    const struct popularity *popularity;
    uint64_t seed;
};

struct worker {
    const struct job *job;
    pid_t pid;
    int socket;
};

enum order_kind {
    ORDER_FILL,   /* create the store, put every key */
    ORDER_ATTACH, /* attach, look at all of it once */
    ORDER_RUN,    /* one turn */
};

struct order {
    enum order_kind kind;
    unsigned read_percent;
    uint64_t start_ns, end_ns; /* of the turn, on the monotonic clock */
    bool undisturbed;          /* leave out blocks during which the processor was taken away */
    int cpu;                   /* work there; ANY_CPU: wherever the scheduler likes */
};

enum { TROUBLE_SIZE = 256 };

struct answer {
    char trouble[TROUBLE_SIZE]; /* empty: all went well */
    uint64_t ops, ticks;       /* in whole stretches of undisturbed blocks */
    uint64_t blocks, left_out; /* blocks of operations, and those of them that were disturbed */
    uint64_t wall_ns;          /* length of the turn, by the clock */
    uint64_t aside_ticks;      /* of that, not for the stretches: drawing, single operations */
    struct histogram latency;  /* ticks */
};

enum { ANY_CPU = -1 };

/* Begin a worker. False: no process, or no socket. @p job must outlive it. */
bool worker_start(struct worker *w, const struct job *job);
bool worker_order(const struct worker *w, const struct order *order);
/* The answer to the last order. False: the process is gone. */
bool worker_answer(const struct worker *w, struct answer *answer);
void worker_end(struct worker *w);

/* In this process: fill, then @p count operations. Empty text: all went well. */
void work_untimed(const struct job *job, unsigned read_percent, uint64_t count, char trouble[TROUBLE_SIZE]);

#endif
