/* What a program of this folder insists on; it ends at the first thing that is not so. */
#ifndef SHMKV_TESTS_FAULTS_MUST_H
#define SHMKV_TESTS_FAULTS_MUST_H

#include <stdio.h>
#include <unistd.h>

#include <shmkv/shmkv.h>

static char story[300]; /* what is being tried, for the message */

#define MUST(what)                                                                              \
    do {                                                                                        \
        if (!(what)) {                                                                          \
            fprintf(stderr, "%s: line %d: not true: %s (detail: %s)\n", story, __LINE__, #what, \
                    shmkv_error_detail());                                                      \
            fflush(NULL);                                                                       \
            _exit(1);                                                                           \
        }                                                                                       \
    } while (0)

#endif
