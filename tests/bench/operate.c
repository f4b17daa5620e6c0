#include "tests/bench/operate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/bench/ticks.h"

/* Most keys that are looked up before the first turn: enough to touch every page. */
#define WARM_KEYS (1 << 21)

/* ------------------------------------------------------------------------- work */

bool work_init(struct work *w, const struct job *job) {
    *w = (struct work){
        .job = job, .random = {job->seed}, .clock_cost = ticks_cost(), .cpu = ANY_CPU};
    if (sched_getaffinity(0, sizeof w->cpus, &w->cpus) != 0)
        return false;
    w->in = calloc(BATCH_OPS, job->setup.value_size);
    w->out = calloc(1, job->setup.value_size);
    return w->in && w->out;
}

void work_end(struct work *w) {
    if (w->handle)
        w->job->store->detach(w->handle);
    free(w->in);
    free(w->out);
}

void keep_to(struct work *w, int cpu) {
    if (cpu == w->cpu)
        return;
    w->cpu = cpu;
    cpu_set_t one;
    CPU_ZERO(&one);
    int usable = CPU_COUNT(&w->cpus);
    for (int i = 0, n = 0; i < CPU_SETSIZE && cpu != ANY_CPU; i++)
        if (CPU_ISSET((unsigned)i, &w->cpus) && n++ == cpu % usable)
            CPU_SET((unsigned)i, &one);
    sched_setaffinity(0, sizeof one, cpu == ANY_CPU ? &w->cpus : &one);
}

long preemptions(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_nivcsw : 0;
}

/* ------------------------------------------------------------------- operations */

static bool fail(struct answer *a, const struct store *store, const char *what) {
    const char *why = store->why ? store->why() : errno ? strerror(errno) : "";
    snprintf(a->trouble, sizeof a->trouble, "%s%s%s", what, *why ? ": " : "", why);
    return false;
}

bool operations_fail(struct work *w, struct answer *a, const char *what) {
    return fail(a, w->job->store, what);
}

static inline bool get(struct work *w, const uint8_t *key, size_t size) {
    return w->job->store->get(w->handle, key, w->in, size) == 0 &&
           value_is_of(w->in, key, size, w->job->whole);
}

static inline bool put(struct work *w, const uint8_t *key, size_t size) {
    value_for(w->out, key, size, w->job->whole);
    return w->job->store->put(w->handle, key, w->out, size) == 0;
}

bool get_checked(struct work *w, struct answer *a, const uint8_t *key, size_t size) {
    return get(w, key, size) ||
           fail(a, w->job->store, "a get failed, or the value was another key's");
}

bool put_value(struct work *w, struct answer *a, const uint8_t *key, size_t size) {
    return put(w, key, size) || fail(a, w->job->store, "a put failed");
}

/* Operations @p from to @p to of the block. */
static bool operate(struct work *w, unsigned from, unsigned to) {
    const struct block *b = &w->block;
    size_t size = w->job->setup.value_size;
    for (unsigned i = from; i < to; i++)
        if (!(b->read[i] ? get(w, b->keys[i], size) : put(w, b->keys[i], size)))
            return false;
    return true;
}

/* The same, reads only, in batches. */
static bool operate_many(struct work *w, unsigned from, unsigned to) {
    const struct store *store = w->job->store;
    size_t size = w->job->setup.value_size;
    if (!store->get_many)
        return operate(w, from, to);
    for (; from < to; from += BATCH_OPS) {
        const uint8_t *keys = w->block.keys[from];
        if (store->get_many(w->handle, keys, BATCH_OPS, w->in, size) != 0)
            return false;
        for (unsigned i = 0; i < BATCH_OPS; i++)
            if (!value_is_of(w->in + i * size, keys + i * KEY_SIZE, size, w->job->whole))
                return false;
    }
    return true;
}

bool time_block(struct work *w, const struct order *o, struct answer *a) {
    bool (*some)(struct work *, unsigned, unsigned) = o->batch ? operate_many : operate;
    unsigned whole = w->block.ops < STRETCH_OPS ? w->block.ops : STRETCH_OPS;
    unsigned size = o->batch ? BATCH_OPS : 1, singles = (w->block.ops - whole) / size;
    uint64_t single[BLOCK_MAX - STRETCH_OPS] = {0};
    long before = o->undisturbed ? preemptions() : 0;
    errno = 0;
    uint64_t t0 = ticks_now();
    bool ok = some(w, 0, whole);
    uint64_t ticks = ticks_now() - t0 - w->clock_cost;
    for (unsigned i = 0; ok && i < singles; i++) {
        t0 = ticks_now();
        ok = some(w, whole + i * size, whole + (i + 1) * size);
        single[i] = ticks_now() - t0 - w->clock_cost;
        a->aside_ticks += single[i];
    }
    if (!ok)
        return fail(a, w->job->store, "an operation failed, or a value was another key's");
    a->blocks++;
    if (o->undisturbed && preemptions() != before) {
        a->left_out++;
        return true;
    }
    a->ops += whole;
    a->ticks += ticks;
    for (unsigned i = 0; i < singles; i++)
        histogram_add(&a->latency[0], single[i]);
    return true;
}

/* ----------------------------------------------------------------------- orders */

static bool open_by(struct work *w, struct answer *a, void *(*call)(const struct store_setup *),
                    const char *failed) {
    errno = 0;
    w->handle = call(&w->job->setup);
    return w->handle || fail(a, w->job->store, failed);
}

void create_store(struct work *w, const struct order *o, struct answer *a) {
    keep_to(w, o->cpu);
    open_by(w, a, w->job->store->create, "it could not be created");
}

void attach_store(struct work *w, const struct order *o, struct answer *a) {
    keep_to(w, o->cpu);
    open_by(w, a, w->job->store->attach, "attaching failed");
}

static void walk(struct work *w, const struct order *o, struct answer *a, uint64_t step,
                 bool read) {
    uint64_t keys = w->job->setup.keys;
    for (uint64_t n = 0; n < keys && !a->trouble[0]; n += w->block.ops * step) {
        block_walk(&w->block, n, step, keys, read);
        time_block(w, o, a);
    }
}

void fill_store(struct work *w, const struct order *o, struct answer *a) {
    create_store(w, o, a);
    if (w->handle)
        walk(w, o, a, 1, false);
}

void attach_warm(struct work *w, const struct order *o, struct answer *a) {
    attach_store(w, o, a);
    if (w->handle)
        walk(w, o, a, w->job->setup.keys / WARM_KEYS + 1, true);
}

/* Draw the next operations, and set that time aside, but not if the processor was taken away
 * meanwhile: waiting for it counts, wherever it happens. */
static void draw(struct work *w, const struct order *o, uint64_t *least, struct answer *a) {
    uint64_t ticks = ticks_now();
    unsigned ops = STRETCH_OPS + (o->batch ? BATCH_OPS : SINGLE_OPS);
    block_draw(&w->block, ops, &o->popularity, &w->random, o->read_percent);
    ticks = ticks_now() - ticks;
    *least = ticks < *least ? ticks : *least;
    a->aside_ticks += ticks < *least * 2 ? ticks : *least * 2;
}

void take_turn(struct work *w, const struct order *o, struct answer *a) {
    struct timespec start = {.tv_sec = (time_t)(o->start_ns / 1000000000u),
                             .tv_nsec = (long)(o->start_ns % 1000000000u)};
    keep_to(w, o->cpu);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL) == EINTR)
        ;
    uint64_t least = UINT64_MAX, now;
    do {
        draw(w, o, &least, a);
        if (!time_block(w, o, a))
            return;
        now = clock_ns();
    } while (now < o->end_ns);
    a->wall_ns = now - o->start_ns;
}
