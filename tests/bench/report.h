/* Results for people, and for programs. */
#ifndef SHMKV_TESTS_BENCH_REPORT_H
#define SHMKV_TESTS_BENCH_REPORT_H

#include "tests/bench/run.h"

void report_list(void);
/* Name the stores that were asked for and not found; on the error output. */
void report_skipped(const struct options *o);

void report_begin(const struct options *o);
void report_result(const struct result *result);
void report_end(void);

#endif
