/*
 * Work on stores that were filled before: what is asked of them differs, the
 * stores, their processes and the turns are the same.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/operate.h"
#include "tests/bench/report.h"
#include "tests/bench/statistics.h"
#include "tests/bench/ticks.h"
#include "tests/bench/works.h"

/* Time for the workers to wake up and wait for the start of the turn. */
#define START_DELAY_NS 2000000

enum { MOPS, LOWEST, HIGHEST, RATIO, P50, P99, P999, MAX, SAMPLES, BYTES, LEFT_OUT, BESIDE };

static const struct column columns[] = {
    [MOPS] = {"mops", "M ops/s", UNIT_RATE},
    [LOWEST] = {"lowest_mops", "from", UNIT_RATE},
    [HIGHEST] = {"highest_mops", "to", UNIT_RATE},
    [RATIO] = {"shmkv_ratio", "shmkv is", UNIT_RATIO},
    [P50] = {"p50_ns", "p50 ns", UNIT_NS},
    [P99] = {"p99_ns", "p99", UNIT_NS},
    [P999] = {"p999_ns", "p99.9", UNIT_NS},
    [MAX] = {"max_ns", "max", UNIT_NS},
    [SAMPLES] = {"samples", NULL, UNIT_COUNT},
    [BYTES] = {"bytes_per_entry", "B/entry", UNIT_BYTES},
    [LEFT_OUT] = {"left_out_percent", "left out", UNIT_PERCENT},
    [BESIDE] = {"writer_mops", "writer", UNIT_RATE},
};
_Static_assert(sizeof columns / sizeof *columns == COLUMNS_MAX, "each has its place in a result");

/* What is asked for in one measurement. */
struct task {
    unsigned read_percent, processes;
    struct popularity popularity;
    bool batch;
    bool first_writes; /* the first process overwrites, and does not count */
};

/* What a store gave in its turns. */
struct tally {
    double rates[ROUNDS_MAX], beside[ROUNDS_MAX];
    struct histogram latency;
    uint64_t blocks, left_out;
};
static struct tally tallies[STORES];
static double bytes_per_entry[STORES];

/* ------------------------------------------------------------------------ turns */

/* One process: the operations of its stretches, by the time of the turn less what was set aside. So
 * it counts when the processor is taken away, unless that is what is to be left out. */
static double rate_of(const struct answer *a, bool undisturbed) {
    double ns = undisturbed ? (double)a->ticks / tick_rate
                            : (double)a->wall_ns - (double)a->aside_ticks / tick_rate;
    return a->ops ? (double)a->ops * 1e3 / ns : 0;
}

static struct order order_for(const struct options *o, const struct task *t, unsigned process,
                              uint64_t start) {
    return (struct order){
        .work = take_turn,
        .popularity = t->popularity,
        .read_percent = t->first_writes && process == 0 ? 0 : t->read_percent,
        .batch = t->batch,
        .start_ns = start,
        .end_ns = start + o->slice_ms * 1000000ULL,
        /* Several could take turns without ever meeting, and each look undisturbed. */
        .undisturbed = o->undisturbed && t->processes == 1,
        /* Several keep apart, lest they sleep through the turn on one processor. */
        .cpu = t->processes > 1 && !o->roam ? (int)process : ANY_CPU,
    };
}

static void add_answer(struct tally *tally, const struct answer *answer) {
    histogram_merge(&tally->latency, &answer->latency[0]);
    tally->blocks += answer->blocks;
    tally->left_out += answer->left_out;
}

/* Everybody's rate is added up. */
static bool turn(struct contender *c, const struct options *o, const struct task *t,
                 unsigned round) {
    struct tally *tally = &tallies[contender_index(c)];
    uint64_t start = clock_ns() + START_DELAY_NS;
    bool undisturbed = o->undisturbed && t->processes == 1;
    for (unsigned i = 0; i < t->processes; i++) {
        struct order order = order_for(o, t, i, start);
        if (!contender_order(c, i, &order))
            return false;
    }
    tally->rates[round] = tally->beside[round] = 0;
    for (unsigned i = 0; i < t->processes; i++) {
        const struct answer *answer = contender_wait(c, i);
        if (!answer)
            return false;
        if (t->first_writes && i == 0) {
            tally->beside[round] = rate_of(answer, undisturbed);
            continue;
        }
        tally->rates[round] += rate_of(answer, undisturbed);
        add_answer(tally, answer);
    }
    return true;
}

static bool turns(const struct options *o, const struct task *t, unsigned round) {
    for (unsigned i = 0; i < STORES; i++) {
        struct contender *c = contender_in_turn(round, i);
        if (c && !turn(c, o, t, round))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------------- results */

static void summarise(unsigned store, unsigned rounds, const struct task *t,
                      double figures[COLUMNS_MAX]) {
    struct tally *tally = &tallies[store];
    double sorted[ROUNDS_MAX];
    memcpy(sorted, tally->rates, rounds * sizeof *sorted);
    figures[MOPS] = sort_median(sorted, rounds);
    if (rounds > 1) {
        figures[LOWEST] = sorted[0];
        figures[HIGHEST] = sorted[rounds - 1];
    }
    if (contenders[0].store && store > 0)
        figures[RATIO] = median_ratio(tallies[0].rates, tally->rates, rounds);
    figures[P50] = histogram_quantile(&tally->latency, 0.5) / tick_rate;
    figures[P99] = histogram_quantile(&tally->latency, 0.99) / tick_rate;
    figures[P999] = histogram_quantile(&tally->latency, 0.999) / tick_rate;
    figures[MAX] = (double)tally->latency.max / tick_rate;
    figures[SAMPLES] = (double)tally->latency.count;
    figures[BYTES] = bytes_per_entry[store];
    if (tally->left_out)
        figures[LEFT_OUT] = 100 * (double)tally->left_out / (double)tally->blocks;
    if (t->first_writes)
        figures[BESIDE] = sort_median(tally->beside, rounds);
}

static void finish(struct result *r, unsigned rounds, const struct task *t) {
    for (unsigned i = 0; i < STORES; i++) {
        r->present[i] = contenders[i].store != NULL;
        if (r->present[i])
            summarise(i, rounds, t, r->figures[i]);
    }
    report_result(r);
    memset(tallies, 0, sizeof tallies);
}

static struct result result_for(const char *work, const char *title, const struct dataset *data,
                                const struct task *t) {
    struct result r = result_begin(work, title, columns);
    result_parameter(&r, "keys", (double)data->keys);
    result_parameter(&r, "value_size", (double)data->value_size);
    result_parameter(&r, "processes", t->processes);
    return r;
}

static bool measure(const struct options *o, struct result *r, const struct task *t) {
    if (!turns(o, t, 0))
        return false;
    memset(tallies, 0, sizeof tallies); /* that one was to warm up */
    for (unsigned round = 0; round < o->rounds; round++)
        if (!turns(o, t, round))
            return false;
    finish(r, o->rounds, t);
    return true;
}

/* ------------------------------------------------------------------------- work */

static bool mixed(const struct options *o, const struct dataset *data, struct task t) {
    for (unsigned r = 0; r < o->reads.n; r++) {
        t.read_percent = (unsigned)o->reads.values[r];
        struct result result = result_for("mix", "gets and overwrites", data, &t);
        result_parameter(&result, "read_percent", t.read_percent);
        result_parameter(&result, "zipf", t.popularity.theta);
        if (!measure(o, &result, &t))
            return false;
    }
    return true;
}

static bool many(const struct options *o, const struct dataset *data, struct task t) {
    t.read_percent = 100;
    t.batch = true;
    struct result result = result_for("many", "gets in batches; latency is a batch's", data, &t);
    result_parameter(&result, "batch", BATCH_OPS);
    result_parameter(&result, "zipf", t.popularity.theta);
    return measure(o, &result, &t);
}

static bool hot(const struct options *o, const struct dataset *data, struct task t, bool read) {
    if (read && t.processes < 2)
        return true;
    popularity_init(&t.popularity, 1, 0);
    t.read_percent = read ? 100 : 0;
    t.first_writes = read;
    struct result result =
        read ? result_for("hot-read", "one process overwrites one key, the others get it", data, &t)
             : result_for("hot", "all overwrite one key", data, &t);
    return measure(o, &result, &t);
}

static bool all_work(const struct options *o, const struct dataset *data) {
    for (unsigned p = 0; p < o->processes.n; p++) {
        struct task t = {.processes = (unsigned)o->processes.values[p]};
        for (unsigned z = 0; z < o->zipfs.n; z++) {
            popularity_init(&t.popularity, data->keys, o->zipfs.values[z]);
            if ((o->works[WORK_MIX] && !mixed(o, data, t)) ||
                (o->works[WORK_MANY] && !many(o, data, t)))
                return false;
        }
        if ((o->works[WORK_HOT] && !hot(o, data, t, false)) ||
            (o->works[WORK_HOT_READ] && !hot(o, data, t, true)))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------------- fill */

static unsigned most_processes(const struct options *o) {
    unsigned most = 1;
    for (unsigned i = 0; i < o->processes.n; i++)
        most = o->processes.values[i] > most ? (unsigned)o->processes.values[i] : most;
    return most;
}

/* The first worker fills, the others attach to what is there, at the same time. */
static bool prepare(struct contender *c, const struct options *o, const struct dataset *data) {
    struct tally *tally = &tallies[contender_index(c)];
    struct order attach = {.work = attach_warm, .cpu = ANY_CPU};
    fprintf(stderr, "bench: %s: filling with %.0f keys of %.0f bytes\n", c->store->name,
            (double)data->keys, (double)data->value_size);
    const struct answer *answer =
        contender_add(c, &(struct order){.work = fill_store, .cpu = ANY_CPU});
    if (!answer)
        return false;
    tally->rates[0] = rate_of(answer, true);
    add_answer(tally, answer);
    bytes_per_entry[contender_index(c)] = (double)contender_bytes(c) / (double)data->keys;
    for (unsigned i = 1; i < most_processes(o); i++)
        if (!contender_start(c) || !contender_order(c, i, &attach))
            return false;
    for (unsigned i = 1; i < most_processes(o); i++)
        if (!contender_wait(c, i))
            return false;
    return true;
}

static bool prepare_all(const struct options *o, const struct dataset *data) {
    for (unsigned i = 0; i < STORES; i++) {
        struct contender *c = contender_in_turn(0, i);
        if (c && !prepare(c, o, data))
            return false;
    }
    struct task once = {.processes = 1};
    struct result r = result_for("fill", "first fill, once", data, &once);
    finish(&r, 1, &once);
    return true;
}

bool run_standing(const struct options *o, const struct dataset *data) {
    if (!contenders_have_room(o, data))
        return true;
    struct store_setup setup = {
        .keys = data->keys, .value_size = (size_t)data->value_size, .touch = true};
    contenders_begin(o, &setup, NULL);
    bool ok = prepare_all(o, data) && all_work(o, data);
    contenders_end();
    return ok;
}
