/*
 * Does memory come back? All keys are deleted and as many bytes stored again in
 * values of another size, ten times. What the file has grown to is compared with
 * new files that hold each of these contents and never held another: beyond the
 * largest of them is what the store has lost to holes.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "tests/bench/operate.h"
#include "tests/bench/report.h"
#include "tests/bench/works.h"

static const size_t sizes[] = {32, 100, 24, 200, 48, 400, 16, 300, 64, 1000, 32};
enum { CONTENTS = sizeof sizes / sizeof *sizes, LARGEST = 1000, SMALLEST = 16 };

enum { FIRST, LAST, FRESH, GROWN, LOST };

static const struct column columns[] = {
    [FIRST] = {"first_bytes", "at first", UNIT_BYTES},
    [LAST] = {"last_bytes", "at last", UNIT_BYTES},
    [FRESH] = {"largest_fresh_bytes", "largest new", UNIT_BYTES},
    [GROWN] = {"grown_percent", "grown", UNIT_PERCENT},
    [LOST] = {"lost_percent", "beyond new", UNIT_PERCENT},
    {0},
};

/* Keys of the content @p i that make as many bytes as @p keys with the first size. */
static uint64_t keys_of(uint64_t keys, unsigned i) {
    return keys * (KEY_SIZE + sizes[0]) / (KEY_SIZE + sizes[i]);
}

/* ---------------------------------------------------------------- in the workers */

static void put_all(struct work *w, const struct order *o, struct answer *a) {
    uint8_t key[KEY_SIZE];
    errno = 0;
    for (uint64_t n = 0; n < o->keys; n++) {
        key_for(key, o->first_key + n);
        if (!put_value(w, a, key, o->value_size) || !get_checked(w, a, key, o->value_size))
            return;
    }
}

static void remove_all(struct work *w, const struct order *o, struct answer *a) {
    uint8_t key[KEY_SIZE];
    errno = 0;
    for (uint64_t n = 0; n < o->keys; n++) {
        key_for(key, o->first_key + n);
        if (w->job->store->remove(w->handle, key) != 0) {
            operations_fail(w, a, "a key could not be deleted");
            return;
        }
    }
}

/* ---------------------------------------------------------------- in the driver */

static bool obey(struct contender *c, order_fn *work, uint64_t keys, unsigned content) {
    struct order order = {
        .work = work, .keys = keys_of(keys, content), .value_size = sizes[content], .cpu = ANY_CPU};
    order.first_key = keys * content * 3; /* other keys each time, too */
    return contender_order(c, 0, &order) && contender_wait(c, 0);
}

static bool create(struct contender *c) {
    return contender_add(c, &(struct order){.work = create_store, .cpu = ANY_CPU}) != NULL;
}

/* The largest of new files, each with one content. */
static bool fill_new(struct contender *c, uint64_t keys, double *largest) {
    *largest = 0;
    for (unsigned i = 0; i < CONTENTS; i++) {
        if (!create(c) || !obey(c, put_all, keys, i))
            return false;
        *largest = fmax(*largest, (double)contender_bytes(c));
        contender_stop(c);
    }
    return true;
}

static bool refill(struct contender *c, uint64_t keys, double figures[COLUMNS_MAX]) {
    if (!create(c) || !obey(c, put_all, keys, 0))
        return false;
    figures[FIRST] = (double)contender_bytes(c);
    for (unsigned i = 1; i < CONTENTS; i++)
        if (!obey(c, remove_all, keys, i - 1) || !obey(c, put_all, keys, i))
            return false;
    figures[LAST] = (double)contender_bytes(c);
    contender_stop(c);
    figures[GROWN] = 100 * (figures[LAST] / figures[FIRST] - 1);
    figures[LOST] = 100 * (figures[LAST] / figures[FRESH] - 1);
    return true;
}

/* Plain tables have nothing to lose. */
static bool takes_part(const struct store *s) { return s->remove != NULL; }

bool run_refill(const struct options *o, const struct dataset *data) {
    /* The smallest values make the most keys, and the largest decide over maps of fixed size. */
    struct store_setup setup = {.keys = data->keys * (KEY_SIZE + sizes[0]) / (KEY_SIZE + SMALLEST),
                                .value_size = LARGEST,
                                .grows = true};
    struct result r =
        result_begin("refill", "delete everything, refill with other sizes, ten times", columns);
    result_parameter(&r, "bytes", (double)data->keys * (KEY_SIZE + (double)sizes[0]));
    contenders_begin(o, &setup, takes_part);
    bool ok = true;
    for (unsigned i = 0; ok && i < STORES; i++) {
        struct contender *c = contender_in_turn(0, i);
        if (!c)
            continue;
        fprintf(stderr, "bench: %s: refilling\n", c->store->name);
        r.present[i] = true;
        ok = fill_new(c, data->keys, &r.figures[i][FRESH]) && refill(c, data->keys, r.figures[i]);
    }
    if (ok)
        report_result(&r);
    contenders_end();
    return ok;
}
