/*
 * When could a key have had a value, by what its calls returned? For calls that look at
 * many keys: a snapshot must be the state of all of them at one moment, and so there must
 * be a moment at which each of them could have had what the snapshot says; a cursor must
 * give what was there all the time.
 *
 * A value is there after the beginning of its put, at the earliest, and until the end of
 * the first call that began after the put had ended and found or made it otherwise, at the
 * latest. A key is absent at first, and from the beginning of a delete until the end of
 * the first call after it that shows that there is something again. These bounds are never too
 * narrow, so what contradicts them is a violation. They may be too wide: a put that a kill
 * cut short bounds nothing, and reads do not bound from below.
 */
#ifndef SHMKV_TESTS_MOMENTS_H
#define SHMKV_TESTS_MOMENTS_H

#include "tests/linearizability/history.h"

/* The moments after tick from and before tick to. */
struct span {
    uint64_t from, to;
};

/* In order, apart from each other. */
struct spans {
    struct span *all;
    size_t n, capacity;
};

void spans_set(struct spans *s, struct span to);
/* Leave what is in one of @p others as well. */
void spans_narrow(struct spans *s, const struct span *others, size_t n);
void spans_free(struct spans *s);

/* One key's calls, by invocation, which must stay where they are. */
struct timeline {
    const struct call *calls;
    size_t n;
    uint64_t *gone; /* by when a value is gone that was complete before call i began */
    struct spans absent;
};
void timeline_make(struct timeline *t, const struct call *calls, size_t n);
void timeline_free(struct timeline *t);

/* When the key could have the value of @p put, which need not be one of the calls' places. */
struct span timeline_value(const struct timeline *t, const struct call *put);

#endif
