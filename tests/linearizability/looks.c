/* Snapshots and walks against the history: see looks.h. */
#include "tests/linearizability/looks.h"

#include <stdlib.h>

const char *const look_names[] = {"a locked snapshot", "an unlocked snapshot", "a walk"};

static int by_key(const void *a, const void *b) {
    uint32_t x = ((const struct sighting *)a)->key, y = ((const struct sighting *)b)->key;
    return x < y ? -1 : x > y;
}

static void accuse(FILE *out, const struct look *look, uint32_t key, const char *what) {
    fprintf(out, "%s between %llu and %llu: key %u %s\n", look_names[look->kind],
            (unsigned long long)look->invoke, (unsigned long long)look->response, key, what);
}

/* The sightings of one key; *at moves behind them. */
static size_t sightings_of(const struct look *look, const struct sighting *seen, size_t *at,
                           uint32_t key) {
    size_t first = *at;
    while (*at < look->n && seen[*at].key == key)
        ++*at;
    return *at - first;
}

/* The moments of @p seen in the key's history; none: nobody ever put that value there. */
static struct span moments_of(const struct histories *h, const struct key_history *k,
                              const struct sighting *seen) {
    const struct call *put = h->put_of(seen->value);
    if (!put || put->kind != PUT || put->key != k->key || put->value != seen->value)
        return (struct span){0, 0};
    return timeline_value(&k->timeline, put);
}

/* One key narrows the moments. */
static bool narrow(FILE *out, const struct histories *h, const struct look *look,
                   const struct key_history *k, const struct sighting *seen, struct spans *when) {
    struct span there = seen ? moments_of(h, k, seen) : (struct span){0, 0};
    struct span before = {when->all[0].from, when->all[when->n - 1].to};
    spans_narrow(when, seen ? &there : k->timeline.absent.all, seen ? 1 : k->timeline.absent.n);
    if (when->n)
        return true;
    accuse(out, look, k->key,
           seen ? "has a value of another moment than the keys before" : "is missing");
    fprintf(out, "  the keys before are of a moment between %llu and %llu\n",
            (unsigned long long)before.from, (unsigned long long)before.to);
    if (seen)
        fprintf(out, "  the value %llx is of one between %llu and %llu\n",
                (unsigned long long)seen->value, (unsigned long long)there.from,
                (unsigned long long)there.to);
    return false;
}

/* Is everything that was seen a key of the history? */
static bool all_known(FILE *out, const struct look *look, const struct sighting *seen, size_t at) {
    if (at < look->n)
        accuse(out, look, seen[at].key, "was never put");
    return at == look->n;
}

bool snapshot_fits(FILE *out, const struct histories *h, const struct look *look,
                   struct sighting *seen, struct spans *when) {
    size_t at = 0;
    if (look->n > 0)
        qsort(seen, look->n, sizeof *seen, by_key);
    spans_set(when, (struct span){look->invoke, look->response});
    for (size_t i = 0; i < h->n; i++) {
        const struct key_history *k = &h->all[i];
        const struct sighting *mine = &seen[at];
        size_t n = sightings_of(look, seen, &at, k->key);
        if (n > 1) {
            accuse(out, look, k->key, "is there twice");
            return false;
        }
        if (!narrow(out, h, look, k, n ? mine : NULL, when))
            return false;
    }
    return all_known(out, look, seen, at);
}

static bool walk_fits_key(FILE *out, const struct histories *h, const struct look *look,
                          const struct key_history *k, const struct sighting *seen, size_t n,
                          uint64_t *certain) {
    struct spans all_the_time = {0};
    spans_set(&all_the_time, (struct span){look->invoke, look->response});
    spans_narrow(&all_the_time, k->timeline.absent.all, k->timeline.absent.n);
    bool throughout = all_the_time.n == 0;
    *certain += throughout;
    const char *wrong = throughout && n == 0 ? "was there all the time, and was not given"
                        : throughout && n > 1
                            ? "was there all the time, and was given more than once"
                            : NULL;
    for (size_t i = 0; i < n && !wrong; i++) {
        struct span there = moments_of(h, k, &seen[i]);
        spans_set(&all_the_time, (struct span){look->invoke, look->response});
        spans_narrow(&all_the_time, &there, 1);
        if (!all_the_time.n)
            wrong = "was given with a value that it did not have";
    }
    if (wrong)
        accuse(out, look, k->key, wrong);
    spans_free(&all_the_time);
    return !wrong;
}

bool walk_fits(FILE *out, const struct histories *h, const struct look *look, struct sighting *seen,
               uint64_t *certain) {
    size_t at = 0;
    if (look->n > 0)
        qsort(seen, look->n, sizeof *seen, by_key);
    for (size_t i = 0; i < h->n; i++) {
        const struct sighting *mine = &seen[at];
        size_t n = sightings_of(look, seen, &at, h->all[i].key);
        if (!walk_fits_key(out, h, look, &h->all[i], mine, n, certain))
            return false;
    }
    return all_known(out, look, seen, at);
}
