/*
 * Kinds of work. Each measures all stores on one data set and reports; false after
 * a failure of a store, whose reason has been printed.
 *
 * Stores take turns, A B C C B A A B C ..., and ratios are taken within a round.
 * So a machine that slows down, or a neighbour that wakes up, meets all of them.
 */
#ifndef SHMKV_TESTS_BENCH_WORKS_H
#define SHMKV_TESTS_BENCH_WORKS_H

#include "tests/bench/contender.h"

/* On a store that is filled once: mixed gets and overwrites, get_many, hot keys. standing.c */
bool run_standing(const struct options *o, const struct dataset *data);
/* From empty to all keys, and a reader beside. growth.c */
bool run_growth(const struct options *o, const struct dataset *data);
/* How long it takes to attach. opening.c */
bool run_opening(const struct options *o, const struct dataset *data);
/* Delete everything, put values of other sizes, ten times. refill.c */
bool run_refill(const struct options *o, const struct dataset *data);
/* For profilers: --count. untimed.c */
bool run_untimed(const struct options *o, const struct dataset *data);

#endif
