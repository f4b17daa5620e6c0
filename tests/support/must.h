/* What a program without a test framework insists on; it ends at the first thing that is not so. */
#ifndef SHMKV_TESTS_SUPPORT_MUST_H
#define SHMKV_TESTS_SUPPORT_MUST_H

#include <stdio.h>
#include <unistd.h>

#include <shmkv/shmkv.h>

static char story[300];      /* what is being tried, for the message */
static unsigned must_checks; /* in this process and its ancestors */

#define MUST(what)                                                                              \
    do {                                                                                        \
        must_checks++;                                                                          \
        if (!(what)) {                                                                          \
            fprintf(stderr, "%s: line %d: not true: %s (detail: %s)\n", story, __LINE__, #what, \
                    shmkv_error_detail());                                                      \
            fflush(NULL);                                                                       \
            _exit(1);                                                                           \
        }                                                                                       \
    } while (0)

#endif
