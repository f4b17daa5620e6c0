/*
 * How long a new process needs until it is attached, has its first value, has
 * stored its first. It has mapped nothing yet, so page faults count.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/operate.h"
#include "tests/bench/report.h"
#include "tests/bench/statistics.h"
#include "tests/bench/ticks.h"
#include "tests/bench/works.h"

enum { OPEN, OPEN_MAX, GET, PUT, RATIO };

static const struct column columns[] = {
    [OPEN] = {"open_ns", "open ns", UNIT_NS},
    [OPEN_MAX] = {"open_max_ns", "longest", UNIT_NS},
    [GET] = {"first_get_ns", "first get", UNIT_NS},
    [PUT] = {"first_put_ns", "first put", UNIT_NS},
    [RATIO] = {"shmkv_ratio", "shmkv is", UNIT_RATIO},
    {0},
};

/* In a worker. */
static void open_store(struct work *w, const struct order *o, struct answer *a) {
    uint8_t key[KEY_SIZE];
    key_for(key, o->keys / 2);
    uint64_t t0 = clock_ns();
    attach_store(w, o, a);
    uint64_t t1 = clock_ns();
    if (!w->handle || !get_checked(w, a, key, o->value_size))
        return;
    uint64_t t2 = clock_ns();
    if (!put_value(w, a, key, o->value_size))
        return;
    uint64_t t3 = clock_ns();
    a->opened_ns = t1 - t0;
    a->first_get_ns = t2 - t1;
    a->first_put_ns = t3 - t2;
}

static double times[STORES][3][ROUNDS_MAX]; /* open, get, put */

static bool open_once(struct contender *c, const struct dataset *data, unsigned round) {
    struct order order = {
        .work = open_store, .keys = data->keys, .value_size = data->value_size, .cpu = ANY_CPU};
    const struct answer *answer = contender_add(c, &order);
    if (!answer)
        return false;
    unsigned i = contender_index(c);
    times[i][0][round] = (double)answer->opened_ns;
    times[i][1][round] = (double)answer->first_get_ns;
    times[i][2][round] = (double)answer->first_put_ns;
    worker_end(&c->workers[--c->started]);
    return true;
}

static void report_all(const struct dataset *data, unsigned rounds) {
    struct result r = result_begin("open", "attaching, by a new process each time", columns);
    result_parameter(&r, "keys", (double)data->keys);
    result_parameter(&r, "value_size", (double)data->value_size);
    for (unsigned i = STORES; i-- > 0;) { /* ours last: medians sort the times */
        r.present[i] = contenders[i].store != NULL;
        if (!r.present[i])
            continue;
        if (i > 0 && contenders[0].store)
            r.figures[i][RATIO] = median_ratio(times[i][0], times[0][0], rounds);
        r.figures[i][OPEN] = sort_median(times[i][0], rounds);
        r.figures[i][OPEN_MAX] = times[i][0][rounds - 1];
        r.figures[i][GET] = sort_median(times[i][1], rounds);
        r.figures[i][PUT] = sort_median(times[i][2], rounds);
    }
    report_result(&r);
}

bool run_opening(const struct options *o, const struct dataset *data) {
    if (!contenders_have_room(o, data))
        return true;
    struct store_setup setup = {.keys = data->keys, .value_size = (size_t)data->value_size};
    contenders_begin(o, &setup, NULL);
    bool ok = true;
    for (unsigned i = 0; ok && i < STORES; i++) {
        struct contender *c = contender_in_turn(0, i);
        if (!c)
            continue;
        fprintf(stderr, "bench: %s: filling with %.0f keys, to be opened\n", c->store->name,
                (double)data->keys);
        ok = contender_add(c, &(struct order){.work = fill_store, .cpu = ANY_CPU}) != NULL;
    }
    unsigned rounds = o->rounds * 3 < ROUNDS_MAX ? o->rounds * 3 : ROUNDS_MAX;
    for (unsigned round = 0; ok && round < rounds; round++)
        for (unsigned i = 0; ok && i < STORES; i++) {
            struct contender *c = contender_in_turn(round, i);
            ok = !c || open_once(c, data, round);
        }
    if (ok)
        report_all(data, rounds);
    contenders_end();
    return ok;
}
