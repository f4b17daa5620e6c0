/*
 * A store grows from empty to all keys, and every single put is timed: does the
 * longest pause grow with the store? Beside the writer, a process reads keys that
 * are already there.
 *
 * A pause may be the machine's and not the store's. So there is a store that does
 * not grow, to compare with; the longest of those during which the scheduler did
 * not take the processor away is told as well; and of several rounds the smallest
 * maximum: what a store must do itself is in every round.
 */
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/bench/operate.h"
#include "tests/bench/report.h"
#include "tests/bench/statistics.h"
#include "tests/bench/ticks.h"
#include "tests/bench/works.h"

/* Between the two processes. */
struct progress {
    _Alignas(128) _Atomic uint64_t stored; /* keys 0 to stored-1 are there */
    _Alignas(128) _Atomic bool done;
};
static struct progress *progress;

/* ---------------------------------------------------------------- in the workers */

/* Shorter than that was nobody's interruption. */
#define INTERRUPTION_NS 20000

static double ticks_per_interruption(void) { return INTERRUPTION_NS * tick_rate; }

/* 0: below 1000 keys; then one for each power of ten. */
static unsigned decade(uint64_t keys) {
    unsigned d = 0;
    for (uint64_t limit = 1000; keys >= limit && d < HISTOGRAMS - 1; limit *= 10)
        d++;
    return d;
}

/* One operation's time; @p before is the number of preemptions before it. */
static void note(struct answer *a, unsigned histogram, uint64_t ticks, long before) {
    histogram_add(&a->latency[histogram], ticks);
    if (ticks > a->undisturbed_max[histogram] &&
        ((double)ticks < ticks_per_interruption() || preemptions() == before))
        a->undisturbed_max[histogram] = ticks;
}

static void grow(struct work *w, const struct order *o, struct answer *a) {
    uint8_t key[KEY_SIZE];
    keep_to(w, o->cpu);
    errno = 0;
    for (uint64_t n = 0; n < o->keys; n++) {
        key_for(key, n);
        long before = preemptions();
        uint64_t t0 = ticks_now();
        bool ok = put_value(w, a, key, o->value_size);
        uint64_t ticks = ticks_now() - t0 - w->clock_cost;
        if (!ok)
            break;
        a->ticks += ticks;
        note(a, decade(n), ticks, before);
        atomic_store_explicit(&o->progress->stored, n + 1, memory_order_release);
    }
    atomic_store(&o->progress->done, true);
}

static void watch(struct work *w, const struct order *o, struct answer *a) {
    uint8_t key[KEY_SIZE];
    keep_to(w, o->cpu);
    errno = 0;
    while (!atomic_load_explicit(&o->progress->done, memory_order_relaxed)) {
        uint64_t stored = atomic_load_explicit(&o->progress->stored, memory_order_acquire);
        if (stored == 0) {
            sched_yield();
            continue;
        }
        key_for(key, scale_down(random_next(&w->random), stored));
        long before = preemptions();
        uint64_t t0 = ticks_now();
        bool ok = get_checked(w, a, key, o->value_size);
        uint64_t ticks = ticks_now() - t0 - w->clock_cost;
        if (!ok)
            return;
        note(a, 0, ticks, before);
    }
}

/* ---------------------------------------------------------------- in the driver */

enum { COUNT, P50, P99, P999, P9999, MAX, QUIET_MAX, LEAST_MAX, RATE, RATIO, BYTES };

static const struct column columns[COLUMNS_MAX] = {
    [COUNT] = {"operations", "operations", UNIT_COUNT},
    [P50] = {"p50_ns", "p50 ns", UNIT_NS},
    [P99] = {"p99_ns", "p99", UNIT_NS},
    [P999] = {"p999_ns", "p99.9", UNIT_NS},
    [P9999] = {"p9999_ns", "p99.99", UNIT_NS},
    [MAX] = {"max_ns", "max", UNIT_NS},
    [QUIET_MAX] = {"undisturbed_max_ns", "undisturbed", UNIT_NS},
    [LEAST_MAX] = {"least_max_ns", "least max", UNIT_NS},
    [RATE] = {"mops", "M ops/s", UNIT_RATE},
    [RATIO] = {"shmkv_ratio", "shmkv is", UNIT_RATIO},
    [BYTES] = {"bytes_per_entry", "B/entry", UNIT_BYTES},
};

/* Of one store and all rounds; histogram HISTOGRAMS is the reader's. */
static struct growth {
    struct histogram latency[HISTOGRAMS + 1];
    double quiet_max[HISTOGRAMS + 1], least_max[HISTOGRAMS + 1];
    double rates[ROUNDS_MAX];
    double bytes_per_entry;
} growths[STORES];

static void add(struct growth *g, unsigned which, const struct answer *a, unsigned histogram,
                unsigned round) {
    double max = (double)a->latency[histogram].max / tick_rate;
    double quiet = (double)a->undisturbed_max[histogram] / tick_rate;
    histogram_merge(&g->latency[which], &a->latency[histogram]);
    g->quiet_max[which] = fmax(g->quiet_max[which], quiet);
    g->least_max[which] = round == 0 ? max : fmin(g->least_max[which], max);
}

static bool grow_one(struct contender *c, const struct dataset *data, unsigned round) {
    struct growth *g = &growths[contender_index(c)];
    fprintf(stderr, "bench: %s: growing to %.0f keys, round %u\n", c->store->name,
            (double)data->keys, round + 1);
    *progress = (struct progress){0};
    struct order order = {.keys = data->keys, .value_size = data->value_size, .progress = progress};
    order.work = create_store;
    if (!contender_add(c, &order))
        return false;
    order.work = attach_store;
    order.cpu = 1;
    if (!contender_add(c, &order))
        return false;
    order.work = watch;
    if (!contender_order(c, 1, &order))
        return false;
    order.work = grow;
    order.cpu = 0;
    if (!contender_order(c, 0, &order))
        return false;
    const struct answer *writer = contender_wait(c, 0),
                        *reader = writer ? contender_wait(c, 1) : NULL;
    if (!reader)
        return false;
    for (unsigned d = 0; d < HISTOGRAMS; d++)
        add(g, d, writer, d, round);
    add(g, HISTOGRAMS, reader, 0, round);
    g->rates[round] = (double)data->keys * 1e3 / ((double)writer->ticks / tick_rate);
    g->bytes_per_entry = (double)contender_bytes(c) / (double)data->keys;
    contender_stop(c);
    return true;
}

static void summarise(const struct growth *g, unsigned which, double figures[COLUMNS_MAX]) {
    const struct histogram *h = &g->latency[which];
    figures[COUNT] = (double)h->count;
    figures[P50] = histogram_quantile(h, 0.5) / tick_rate;
    figures[P99] = histogram_quantile(h, 0.99) / tick_rate;
    figures[P999] = histogram_quantile(h, 0.999) / tick_rate;
    figures[P9999] = histogram_quantile(h, 0.9999) / tick_rate;
    figures[MAX] = (double)h->max / tick_rate;
    figures[QUIET_MAX] = g->quiet_max[which];
    figures[LEAST_MAX] = g->least_max[which];
}

static void report_one(const char *work, const char *title, const struct dataset *data,
                       unsigned which) {
    struct result r = result_begin(work, title, columns);
    result_parameter(&r, "keys", (double)data->keys);
    result_parameter(&r, "value_size", (double)data->value_size);
    if (which < HISTOGRAMS)
        result_parameter(&r, "up_to_keys", fmin(1000 * pow(10, which), (double)data->keys));
    for (unsigned i = 0; i < STORES; i++) {
        r.present[i] = contenders[i].store != NULL;
        if (r.present[i])
            summarise(&growths[i], which, r.figures[i]);
    }
    report_result(&r);
}

static void report_rates(const struct options *o, const struct dataset *data) {
    struct result r = result_begin("growth", "puts from empty", columns);
    result_parameter(&r, "keys", (double)data->keys);
    result_parameter(&r, "value_size", (double)data->value_size);
    for (unsigned i = 0; i < STORES; i++) {
        struct growth *g = &growths[i];
        r.present[i] = contenders[i].store != NULL;
        if (!r.present[i])
            continue;
        double sorted[ROUNDS_MAX];
        memcpy(sorted, g->rates, sizeof sorted);
        r.figures[i][COUNT] = (double)data->keys * o->grow_rounds;
        r.figures[i][RATE] = sort_median(sorted, o->grow_rounds);
        r.figures[i][BYTES] = g->bytes_per_entry;
        if (i > 0 && contenders[0].store)
            r.figures[i][RATIO] = median_ratio(growths[0].rates, g->rates, o->grow_rounds);
    }
    report_result(&r);
}

static void report_all(const struct options *o, const struct dataset *data) {
    for (unsigned d = 0; d <= decade(data->keys - 1); d++)
        report_one("growth-put", "every put while growing", data, d);
    report_one("growth-get", "gets beside the growing", data, HISTOGRAMS);
    report_rates(o, data);
}

/* The flat table does not grow: it shows what the machine alone makes of the same puts. */
static bool takes_part(const struct store *s) { return s->remove != NULL || s == &store_flat; }

bool run_growth(const struct options *o, const struct dataset *data) {
    if (!contenders_have_room(o, data))
        return true;
    progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED) {
        perror("bench");
        return false;
    }
    memset(growths, 0, sizeof growths);
    struct store_setup setup = {
        .keys = data->keys, .value_size = (size_t)data->value_size, .grows = true, .touch = true};
    bool ok = true;
    contenders_begin(o, &setup, takes_part);
    for (unsigned round = 0; ok && round < o->grow_rounds; round++)
        for (unsigned i = 0; ok && i < STORES; i++) {
            struct contender *c = contender_in_turn(round, i);
            ok = !c || grow_one(c, data, round);
        }
    if (ok)
        report_all(o, data);
    contenders_end();
    munmap(progress, sizeof *progress);
    return ok;
}
