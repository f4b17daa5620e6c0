/* Opening segments and judging results: see segment.c. */
#ifndef SHMKV_TOOLS_INSPECT_SEGMENT_H
#define SHMKV_TOOLS_INSPECT_SEGMENT_H

#include "tools/inspect/inspect.h"

/* The exit status that tells of @p err: 0, SHMKV_E… or an errno. */
int status_of(int err);

/* Say what went wrong with @p segment, and return status_of(err). Call it at once
 * after the failing call: the library's own account of it is used. */
int explain(const char *segment, int err);

/* Open for reading: read-only mapping, no lock, anybody's segment. */
int open_reader(const char *segment, shmkv_t **out);

/* As open_reader(), and after a failure print the message and set *status. */
shmkv_t *open_or_complain(const char *segment, int *status);

/* Open for writing, as programs do; the segment is the first operand. */
shmkv_t *open_writer(const struct args *args, int *status);

#endif
