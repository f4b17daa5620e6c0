#include "tests/bench/run.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/ticks.h"
#include "tests/bench/worker.h"

#define ROUNDS_MAX 1000
/* Time for the workers to wake up and wait for the start of the turn. */
#define START_DELAY_NS 2000000

/* One store with its workers. */
struct contender {
    const struct store *store;
    char path[PATH_MAX], second[PATH_MAX];
    struct job jobs[MAX_PROCESSES];
    struct worker workers[MAX_PROCESSES];
    unsigned started;

    double bytes_per_entry;
    double rates[ROUNDS_MAX]; /* of one workload */
    struct histogram latency;
    uint64_t blocks, left_out;
};

static struct contender contenders[STORES];
static struct popularity popularity;
static double tick_rate; /* ticks per nanosecond */

/* ---------------------------------------------------------------------- cleaning */

static void remove_files(void) {
    for (unsigned i = 0; i < STORES; i++) {
        if (contenders[i].path[0])
            unlink(contenders[i].path);
        if (contenders[i].second[0])
            unlink(contenders[i].second);
    }
}

static void stopped(int signal_number) {
    remove_files();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* The workers may be told by the same Ctrl-C; they hold no files by name. */
static void remove_files_when_stopped(void) {
    signal(SIGINT, stopped);
    signal(SIGTERM, stopped);
    signal(SIGHUP, stopped);
    signal(SIGPIPE, stopped);
}

static void cleanup(void) {
    for (unsigned i = 0; i < STORES; i++)
        while (contenders[i].started)
            worker_end(&contenders[i].workers[--contenders[i].started]);
    remove_files();
    memset(contenders, 0, sizeof contenders);
}

/* ------------------------------------------------------------------------ setup */

static bool complain(const struct contender *c, const char *trouble) {
    fprintf(stderr, "bench: %s: %s\n", c->store->name, trouble);
    return false;
}

static void job_init(struct contender *c, unsigned i, const struct options *o, const struct dataset *data) {
    c->jobs[i] = (struct job){
        .store = c->store,
        .setup = {.path = c->path, .keys = data->keys, .value_size = (size_t)data->value_size},
        .popularity = &popularity,
        /* Every store sees the same operations, every process its own. */
        .seed = o->seed * 1000003 + i,
    };
}

static void contender_init(struct contender *c, const struct store *store, const struct options *o) {
    memset(c, 0, sizeof *c);
    c->store = store;
    snprintf(c->path, sizeof c->path, "%s/shmkv-bench.%ld.%s", o->dir, (long)getpid(), store->name);
    if (store->second_file)
        snprintf(c->second, sizeof c->second, "%.*s%s", PATH_MAX - 16, c->path, store->second_file);
}

static bool wait_for(struct contender *c, unsigned worker, struct answer *answer) {
    if (!worker_answer(&c->workers[worker], answer))
        return complain(c, "a process died");
    return answer->trouble[0] ? complain(c, answer->trouble) : true;
}

static bool start_worker(struct contender *c, unsigned i, const struct options *o, const struct dataset *data,
                         enum order_kind kind, struct answer *answer) {
    job_init(c, i, o, data);
    if (!worker_start(&c->workers[i], &c->jobs[i]))
        return complain(c, strerror(errno));
    c->started = i + 1;
    return worker_order(&c->workers[i], &(struct order){.kind = kind}) && wait_for(c, i, answer);
}

static double million_per_second(uint64_t ops, double ns) { return ops ? (double)ops * 1e3 / ns : 0; }

static unsigned most_processes(const struct options *o) {
    unsigned most = 1;
    for (unsigned i = 0; i < o->processes.n; i++)
        if (o->processes.values[i] > most)
            most = (unsigned)o->processes.values[i];
    return most;
}

static void add_answer(struct contender *c, const struct answer *answer) {
    histogram_merge(&c->latency, &answer->latency);
    c->blocks += answer->blocks;
    c->left_out += answer->left_out;
}

static void forget_answers(struct contender *c) {
    memset(&c->latency, 0, sizeof c->latency);
    c->blocks = c->left_out = 0;
}

/* The first worker fills, the others attach to what is there. */
static bool prepare(struct contender *c, const struct options *o, const struct dataset *data) {
    static struct answer answer;
    if (!start_worker(c, 0, o, data, ORDER_FILL, &answer))
        return false;
    c->rates[0] = million_per_second(answer.ops, (double)answer.ticks / tick_rate);
    add_answer(c, &answer);
    struct stat st;
    if (stat(c->path, &st) == 0)
        c->bytes_per_entry = (double)st.st_blocks * 512 / (double)data->keys;
    for (unsigned i = 1; i < most_processes(o); i++)
        if (!start_worker(c, i, o, data, ORDER_ATTACH, &answer))
            return false;
    return true;
}

/* ---------------------------------------------------------------------- measure */

/* One process: the operations of its stretches, by the time of the turn less what was set aside. So
 * it counts when the processor is taken away, unless that is what is to be left out. */
static double rate_of(const struct answer *a, bool undisturbed) {
    double ns = undisturbed ? (double)a->ticks / tick_rate
                            : (double)a->wall_ns - (double)a->aside_ticks / tick_rate;
    return million_per_second(a->ops, ns);
}

/* Everybody's rate is added up. */
static bool take_turn(struct contender *c, const struct options *o, const struct result *what, double *rate) {
    static struct answer answer;
    uint64_t start = clock_ns() + START_DELAY_NS;
    struct order order = {.kind = ORDER_RUN, .read_percent = what->read_percent, .start_ns = start,
                          .end_ns = start + o->slice_ms * 1000000ULL};
    /* Several could take turns without ever meeting, and each look undisturbed. */
    order.undisturbed = o->undisturbed && what->processes == 1;
    for (unsigned i = 0; i < what->processes; i++) {
        /* Several keep apart, lest they sleep through the turn on one processor. */
        order.cpu = what->processes > 1 && !o->roam ? (int)i : ANY_CPU;
        if (!worker_order(&c->workers[i], &order))
            return complain(c, "a process died");
    }
    *rate = 0;
    for (unsigned i = 0; i < what->processes; i++) {
        if (!wait_for(c, i, &answer))
            return false;
        *rate += rate_of(&answer, order.undisturbed);
        add_answer(c, &answer);
    }
    return true;
}

static bool take_turns(const struct options *o, const struct result *what, unsigned round, bool keep) {
    for (unsigned i = 0; i < STORES; i++) {
        struct contender *c = &contenders[round % 2 ? STORES - 1 - i : i];
        if (!c->store)
            continue;
        if (!take_turn(c, o, what, &c->rates[round]))
            return false;
        if (!keep)
            forget_answers(c);
    }
    return true;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double sort_median(double *values, unsigned n) {
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void summarise(const struct contender *c, unsigned rounds, struct figures *f) {
    static double sorted[ROUNDS_MAX];
    *f = (struct figures){.valid = true, .bytes_per_entry = c->bytes_per_entry};
    memcpy(sorted, c->rates, rounds * sizeof *sorted);
    f->rate = sort_median(sorted, rounds);
    f->lowest = sorted[0];
    f->highest = sorted[rounds - 1];
    f->samples = c->latency.count;
    f->left_out = c->blocks ? (double)c->left_out / (double)c->blocks : 0;
    f->p50 = histogram_quantile(&c->latency, 0.5) / tick_rate;
    f->p99 = histogram_quantile(&c->latency, 0.99) / tick_rate;
    f->p999 = histogram_quantile(&c->latency, 0.999) / tick_rate;
    f->max = (double)c->latency.max / tick_rate;
    unsigned n = 0;
    for (unsigned r = 0; r < rounds && contenders[0].store; r++)
        if (contenders[0].rates[r] > 0 && c->rates[r] > 0)
            sorted[n++] = contenders[0].rates[r] / c->rates[r];
    f->ratio = n ? sort_median(sorted, n) : 0;
}

static void finish(struct result *what, unsigned rounds, void (*report)(const struct result *)) {
    for (unsigned i = 0; i < STORES; i++)
        if (contenders[i].store)
            summarise(&contenders[i], rounds, &what->figures[i]);
    report(what);
    for (unsigned i = 0; i < STORES; i++)
        forget_answers(&contenders[i]);
}

static bool measure(const struct options *o, struct result *what, void (*report)(const struct result *)) {
    if (!take_turns(o, what, 0, false))
        return false;
    for (unsigned round = 0; round < o->rounds; round++)
        if (!take_turns(o, what, round, true))
            return false;
    finish(what, o->rounds, report);
    return true;
}

static bool prepare_all(const struct options *o, const struct dataset *data) {
    for (unsigned i = 0; i < STORES; i++) {
        if (!o->chosen[i] || !stores[i]->create)
            continue;
        contender_init(&contenders[i], stores[i], o);
        if (!prepare(&contenders[i], o, data))
            return false;
    }
    return true;
}

static bool measure_all(const struct options *o, const struct dataset *data, void (*report)(const struct result *)) {
    struct result fill = {.data = *data, .fill = true, .processes = 1};
    finish(&fill, 1, report);
    for (unsigned p = 0; p < o->processes.n; p++)
        for (unsigned r = 0; r < o->reads.n; r++) {
            struct result result = {.data = *data, .read_percent = (unsigned)o->reads.values[r],
                                    .processes = (unsigned)o->processes.values[p]};
            if (!measure(o, &result, report))
                return false;
        }
    return true;
}

bool run_dataset(const struct options *o, const struct dataset *data, void (*report)(const struct result *)) {
    if (tick_rate == 0)
        tick_rate = ticks_per_ns();
    popularity_init(&popularity, data->keys, o->zipf);
    remove_files_when_stopped();
    bool ok = prepare_all(o, data) && measure_all(o, data, report);
    cleanup();
    return ok;
}

bool run_untimed(const struct options *o, const struct dataset *data) {
    char trouble[TROUBLE_SIZE] = "";
    popularity_init(&popularity, data->keys, o->zipf);
    remove_files_when_stopped();
    for (unsigned i = 0; i < STORES && !trouble[0]; i++) {
        struct contender *c = &contenders[i];
        if (!o->chosen[i] || !stores[i]->create)
            continue;
        contender_init(c, stores[i], o);
        job_init(c, 0, o, data);
        work_untimed(&c->jobs[0], (unsigned)o->reads.values[0], o->count, trouble);
        if (trouble[0])
            complain(c, trouble);
    }
    cleanup();
    return !trouble[0];
}
