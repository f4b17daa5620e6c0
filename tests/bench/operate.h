/* What a worker does with its store: operations, and blocks of them that are timed. */
#ifndef SHMKV_TESTS_BENCH_OPERATE_H
#define SHMKV_TESTS_BENCH_OPERATE_H

#include <sched.h>

#include "tests/bench/worker.h"

/* What a working process has. */
struct work {
    const struct job *job;
    void *handle;
    struct random random;
    struct block block;
    uint8_t *in, *out; /* values: a batch of them, and one */
    uint64_t clock_cost;
    cpu_set_t cpus; /* those it may use */
    int cpu;        /* the one it keeps to, or ANY_CPU */
};

bool work_init(struct work *w, const struct job *job);
void work_end(struct work *w);

/* Let the processor number @p cpu of those that we may use be ours. */
void keep_to(struct work *w, int cpu);

/* Each is false after a failure, with the story in the answer. */
bool get_checked(struct work *w, struct answer *a, const uint8_t *key, size_t size);
bool put_value(struct work *w, struct answer *a, const uint8_t *key, size_t size);
bool operations_fail(struct work *w, struct answer *a, const char *what);

/*
 * The block, timed: a stretch as a whole for the throughput, as a program would
 * run it, where the processor may begin an operation before the last one has
 * ended; the rest by themselves, for the latency, all at once if it is a batch.
 */
bool time_block(struct work *w, const struct order *o, struct answer *a);

/* Times the processor was taken away, other than by waiting for something. */
long preemptions(void);

/* Orders. */
order_fn create_store; /* make it, and no more */
order_fn fill_store;   /* make it, put every key */
order_fn attach_store; /* and no more */
order_fn attach_warm;  /* attach, look at all of it once */
order_fn take_turn;    /* operate until the end of the turn */

#endif
