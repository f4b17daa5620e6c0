/*
 * Results as one JSON object: facts of the run, and a list of results. Each has
 * "work", its parameters, and "stores": {name: {figure: number}}. A figure that is
 * not known is left out; the end of its name tells the unit.
 */
#ifndef SHMKV_TESTS_BENCH_JSON_H
#define SHMKV_TESTS_BENCH_JSON_H

#include <stdio.h>

#include "tests/bench/machine.h"
#include "tests/bench/options.h"
#include "tests/bench/result.h"

void json_begin(FILE *f, const struct options *o, const struct machine *m);
void json_result(FILE *f, const struct result *r);
void json_end(FILE *f, bool complete);

#endif
