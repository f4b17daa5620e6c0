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

/* End with a message. */
#define die(...)                                        \
    do {                                                \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
        fprintf(stderr, __VA_ARGS__);                   \
        fprintf(stderr, "\n");                          \
        exit(1);                                        \
    } while (0)

#define must(call)                                                                        \
    do {                                                                                  \
        int err_ = (call);                                                                \
        if (err_)                                                                         \
            die("%s: %s (%s)", #call, shmkv_strerror(err_), shmkv_error_detail());        \
    } while (0)

/* Threads under a sanitizer on a busy machine wait for each other longer than usual. */
static const struct shmkv_options patient = {.size = sizeof patient, .lock_timeout_ms = 60000};

static inline void print_problem(void *arg, uint64_t offset, const char *text) {
    (void)arg;
    fprintf(stderr, "  0x%llx: %s\n", (unsigned long long)offset, text);
}

static inline void must_be_whole(shmkv_t *kv) { must(shmkv_verify(kv, print_problem, NULL, NULL)); }

/* As a run ends: the segment is whole, and goes. */
static inline int finish(shmkv_t *kv, const char *name) {
    must_be_whole(kv);
    must(shmkv_close(kv));
    must(shmkv_unlink(name));
    return 0;
}

struct arguments {
    int (*run)(int argc, char **argv);
    int argc;
    char **argv;
};

static inline void run_in_child(void *arg) {
    const struct arguments *a = arg;
    exit(a->run(a->argc, a->argv));
}

/* main(): the run is a child, so that what it leaves is swept however it ends. */
static inline int supervise(int (*run)(int argc, char **argv), int argc, char **argv) {
    names_begin();
    bool succeeded = child_succeeded(child_start(run_in_child, &(struct arguments){run, argc, argv}));
    return names_sweep(true) || !succeeded;
}

#endif
