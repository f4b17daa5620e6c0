/*
 * Looks at many keys at once, and whether they fit the history: a snapshot and a walk by
 * a cursor.
 */
#ifndef SHMKV_TESTS_LOOKS_H
#define SHMKV_TESTS_LOOKS_H

#include "tests/linearizability/moments.h"

enum look_kind { LOCKED_SNAPSHOT, UNLOCKED_SNAPSHOT, WALK, LOOK_KINDS };
extern const char *const look_names[];

struct sighting {
    uint64_t value;
    uint32_t key;
};

struct look {
    uint64_t invoke, response;
    uint64_t first, n; /* its sightings */
    uint8_t kind;
    bool refused; /* EBUSY */
};

/* The keys that anybody ever put or asked for, ascending; each with its calls. */
struct key_history {
    uint32_t key;
    struct call *calls;
    size_t n;
    struct timeline timeline;
};
struct histories {
    struct key_history *all;
    size_t n;
    /* The put of a value that was seen; NULL: nobody put it. */
    const struct call *(*put_of)(uint64_t value);
};

/* Both put the sightings in the order of their keys, and say on @p out what is wrong. */

/* There is a moment at which every key could have been as the snapshot says, those that it
 * does not have included. All such moments are left in @p when. */
bool snapshot_fits(FILE *out, const struct histories *h, const struct look *look,
                   struct sighting *seen, struct spans *when);
/* What was there all the time was given, and once; what was given could have been there. @p certain
 * counts the keys that were there all the time. */
bool walk_fits(FILE *out, const struct histories *h, const struct look *look, struct sighting *seen,
               uint64_t *certain);

#endif
