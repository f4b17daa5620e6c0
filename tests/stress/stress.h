/*
 * What the stress programs share: they are no Check suites, but say what went
 * wrong, leave nothing behind, and end with numbers.
 */
#ifndef SHMKV_TESTS_STRESS_H
#define SHMKV_TESTS_STRESS_H

#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* End with a message, and without the segments of this run. */
#define die(...)                                               \
    do {                                                       \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);        \
        fprintf(stderr, __VA_ARGS__);                          \
        fprintf(stderr, "\n");                                 \
        names_sweep(false);                                    \
        exit(1);                                               \
    } while (0)

#define must(call)                                                                        \
    do {                                                                                  \
        int err_ = (call);                                                                \
        if (err_)                                                                         \
            die("%s: %s (%s)", #call, shmkv_strerror(err_), shmkv_error_detail());        \
    } while (0)

static inline void print_problem(void *arg, uint64_t offset, const char *text) {
    (void)arg;
    fprintf(stderr, "  0x%llx: %s\n", (unsigned long long)offset, text);
}

static inline void must_be_whole(shmkv_t *kv) { must(shmkv_verify(kv, print_problem, NULL, NULL)); }

/* As main() ends: the segment is whole, and goes. */
static inline int finish(shmkv_t *kv, const char *name) {
    must_be_whole(kv);
    must(shmkv_close(kv));
    must(shmkv_unlink(name));
    if (names_sweep(true))
        die("something was left behind");
    return 0;
}

#endif
