/*
 * The stores that take part, each with its file and its worker processes. What
 * was begun is ended, and the files removed, also when the driver is interrupted.
 */
#ifndef SHMKV_TESTS_BENCH_CONTENDER_H
#define SHMKV_TESTS_BENCH_CONTENDER_H

#include <limits.h>

#include "tests/bench/options.h"
#include "tests/bench/worker.h"

struct dataset {
    uint64_t keys;
    uint64_t value_size;
};

struct contender {
    const struct store *store; /* NULL: does not take part */
    char path[PATH_MAX], second_path[PATH_MAX];
    struct job jobs[MAX_PROCESSES];
    struct worker workers[MAX_PROCESSES];
    unsigned started;
};

extern struct contender contenders[STORES];
/* Ticks per nanosecond. */
extern double tick_rate;

void contenders_init(void);
/* Those that were chosen and found, and for which @p fits (NULL: all). */
void contenders_begin(const struct options *o, const struct store_setup *setup,
                      bool (*fits)(const struct store *));
void contenders_end(void);

/* Stores take turns, A B C, C B A, A B C, ...: the one for turn @p i of the round, or NULL. */
struct contender *contender_in_turn(unsigned round, unsigned i);
static inline unsigned contender_index(const struct contender *c) {
    return (unsigned)(c - contenders);
}

/* Each is false after a failure, and the reason has been printed. */
bool contender_complain(const struct contender *c, const char *trouble);
bool contender_start(struct contender *c);
bool contender_order(struct contender *c, unsigned worker, const struct order *order);
const struct answer *contender_wait(struct contender *c, unsigned worker); /* NULL: failure */
/* Start one more worker and have the order obeyed. NULL: failure. */
const struct answer *contender_add(struct contender *c, const struct order *order);
/* End the workers and remove the files. */
void contender_stop(struct contender *c);

/* What the file system has given to the store's file. */
uint64_t contender_bytes(const struct contender *c);

/* Whether all stores together will find room. If not, that is reported. */
bool contenders_have_room(const struct options *o, const struct dataset *data);

#endif
