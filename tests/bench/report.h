/* Results for people, as tables, and for programs, as JSON. */
#ifndef SHMKV_TESTS_BENCH_REPORT_H
#define SHMKV_TESTS_BENCH_REPORT_H

#include "tests/bench/options.h"
#include "tests/bench/result.h"

void report_list(void);
/* Name the stores that were asked for and not found; on the error output. */
void report_skipped(const struct options *o);

/* False: the file for JSON cannot be written; said. */
bool report_begin(const struct options *o);
void report_result(const struct result *result);
/* With @p complete false the JSON says so. False: it could not be written. */
bool report_end(bool complete);

#endif
