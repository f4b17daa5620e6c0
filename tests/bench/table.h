/* Results as tables on the standard output. */
#ifndef SHMKV_TESTS_BENCH_TABLE_H
#define SHMKV_TESTS_BENCH_TABLE_H

#include "tests/bench/machine.h"
#include "tests/bench/options.h"
#include "tests/bench/result.h"

void table_begin(const struct options *o, const struct machine *m);
void table_result(const struct result *r);

#endif
