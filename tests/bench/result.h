/*
 * What was measured, in one shape for every kind of work: the figures of each
 * store, under parameters that tell results of the same work apart.
 */
#ifndef SHMKV_TESTS_BENCH_RESULT_H
#define SHMKV_TESTS_BENCH_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/stores/store.h"

enum unit { UNIT_RATE, UNIT_NS, UNIT_BYTES, UNIT_COUNT, UNIT_PERCENT, UNIT_RATIO };

struct column {
    const char *key;     /* in JSON; its end names the unit */
    const char *heading; /* in the table */
    enum unit unit;
};

struct parameter {
    const char *name;
    double value;
};

enum { PARAMETERS_MAX = 8, COLUMNS_MAX = 12 };

struct result {
    const char *work;                            /* in JSON */
    const char *title;                           /* over the table */
    struct parameter parameters[PARAMETERS_MAX]; /* up to the first without a name */
    const struct column *columns;                /* likewise */
    bool present[STORES];
    double figures[STORES][COLUMNS_MAX]; /* NAN: not known */
};

/* Any number of them may be alive; results are reported in the order in which they end. */
struct result result_begin(const char *work, const char *title, const struct column *columns);
void result_parameter(struct result *r, const char *name, double value);

#endif
