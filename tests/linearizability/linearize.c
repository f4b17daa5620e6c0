/*
 * Several processes, one of them with threads, put, get, delete and ask for keys at the
 * same time, some are killed with SIGKILL and replaced by others; what each call
 * returned, and when, is recorded, and every key's history must be linearizable: as if
 * each call took effect at one moment between its invocation and its response, and a call
 * cut short by a kill at one moment after its invocation, or never. Linearizability is
 * local (Herlihy and Wing, 1990): the whole is, if each key is.
 *
 * When is told by one counter in shared memory, incremented before each call and after
 * it. The number taken before a call is taken before it begins, the one after it when it
 * is over; so a call whose number says that it was over before another began really was,
 * and whatever is a violation by the numbers is one. The intervals are somewhat longer
 * than the calls, which hides a little, and each number is a full memory barrier.
 *
 * A record in the log is written before the call and completed after it, in memory that
 * survives the process. Each put has a value of its own, of a length and with bytes that
 * follow from its first word: a mixture of two would be noticed at once.
 *
 * Most calls go to a few hot keys; the others to ever more keys, so that the index grows
 * under the readers.
 *
 * proves [OP-04] [OP-05]
 *
 * Arguments: operations in a round, kills in a round, rounds, hot keys, percentage of calls
 * to other keys. The environment: SHMKV_TEST_SEED.
 */
#include "history.h"
#include "tests/stress/stress.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 5
#define THREADS 3 /* of process 0 */
#define RECORDERS (PROCESSES - 1 + THREADS)
#define LARGEST 100000

struct log {
    uint64_t used, capacity;
    struct call *calls;
};

static struct settings {
    uint64_t operations, kills, rounds, hot, others;
} settings = {1000000, 30, 1, 12, 25};

/* What the processes share. */
static struct common {
    _Alignas(64) uint64_t clock;
    _Alignas(64) uint64_t begun; /* calls */
    struct log logs[RECORDERS];
} * common;

static const char *name;
static uint64_t round_seed;

static uint64_t tick(void) { return __atomic_add_fetch(&common->clock, 1, __ATOMIC_SEQ_CST); }

static uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15;
    return x ^ x >> 29;
}

/* ------------------------------------------------------------------------ values */

static size_t length_of(uint64_t id) {
    uint64_t m = mixed(id), n = m >> 20;
    uint64_t words = m % 4096 == 0 ? n % (LARGEST / 8) : m % 32 == 0 ? n % 600 : n % 24;
    return 8 * (words + 1);
}

static size_t make_value(uint64_t id, uint64_t *value) {
    size_t len = length_of(id);
    for (size_t i = 0; i < len / 8; i++)
        value[i] = id + i * 0x100000001;
    return len;
}

static uint64_t id_of(const uint64_t *value, size_t len, uint32_t key) {
    uint64_t id = value[0];
    bool whole = len >= 8 && len == length_of(id);
    for (size_t i = 0; whole && i < len / 8; i++)
        whole = value[i] == id + i * 0x100000001;
    if (!whole)
        die("key %u: a torn value of %zu bytes that begins with %llx", key, len, (unsigned long long)id);
    return id;
}

/* ---------------------------------------------------------------------- recorders */

struct recorder {
    unsigned who;
    shmkv_t *kv;
    struct random random;
    uint64_t value[LARGEST / 8 + 1];
};

/* SHMKV_OK: the answer is yes. */
static uint64_t yes(int err) {
    if (err != SHMKV_ENOTFOUND)
        must(err);
    return err == SHMKV_OK;
}

/* The result. */
static uint64_t carry_out(struct recorder *r, const struct call *c) {
    size_t len;
    int err;
    switch (c->kind) {
    case PUT:
        must(shmkv_put(r->kv, &c->key, sizeof c->key, r->value, make_value(c->value, r->value)));
        return c->value;
    case DELETE:
        return yes(shmkv_delete(r->kv, &c->key, sizeof c->key));
    case EXISTS:
        return yes(shmkv_exists(r->kv, &c->key, sizeof c->key));
    default:
        err = shmkv_get(r->kv, &c->key, sizeof c->key, r->value, sizeof r->value, &len);
        return yes(err) ? id_of(r->value, len, c->key) : 0;
    }
}

/* Others: near the newest of a growing number of keys, which are the most likely to move. */
static uint32_t choose_key(struct recorder *r) {
    if (random_below(&r->random, 100) >= settings.others)
        return (uint32_t)random_below(&r->random, settings.hot);
    uint64_t newest = __atomic_load_n(&common->begun, __ATOMIC_RELAXED) * settings.others / 400;
    uint64_t back = random_below(&r->random, 2) ? random_below(&r->random, newest + 1)
                                                : random_below(&r->random, newest < 16 ? newest + 1 : 16);
    return (uint32_t)(settings.hot + newest - back);
}

static enum kind choose_kind(struct recorder *r, uint32_t key) {
    uint64_t dice = random_below(&r->random, 100);
    bool hot = key < settings.hot;
    return dice < 40 ? GET : dice < 50 ? EXISTS : dice < (hot ? 85 : 97) ? PUT : DELETE;
}

static void call_once(struct recorder *r, struct log *log) {
    uint64_t n = log->used;
    struct call *c = &log->calls[n];
    c->response = 0;
    c->key = choose_key(r);
    c->kind = (uint8_t)choose_kind(r, c->key);
    c->who = (uint8_t)r->who;
    c->value = c->kind == PUT ? (uint64_t)(r->who + 1) << 32 | (n + 1) : 0;
    __atomic_store_n(&c->invoke, tick(), __ATOMIC_SEQ_CST);
    __atomic_store_n(&log->used, n + 1, __ATOMIC_SEQ_CST); /* before the call: its id is not used again */
    __atomic_store_n(&c->value, carry_out(r, c), __ATOMIC_SEQ_CST);
    __atomic_store_n(&c->response, tick(), __ATOMIC_SEQ_CST);
}

static void *record(void *arg) {
    struct recorder *r = arg;
    struct log *log = &common->logs[r->who];
    r->random = (struct random){round_seed + mixed(r->who + 1) + log->used};
    while (log->used < log->capacity &&
           __atomic_fetch_add(&common->begun, 1, __ATOMIC_RELAXED) < settings.operations)
        call_once(r, log);
    return NULL;
}

/* Process 0 has recorders 0 to THREADS - 1, process p > 0 has THREADS - 1 + p. */
static void record_all(void *arg) {
    unsigned process = (unsigned)(uintptr_t)arg, n = process ? 1 : THREADS;
    static struct recorder recorders[THREADS];
    pthread_t threads[THREADS];
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    for (unsigned i = 0; i < n; i++) {
        recorders[i].who = process ? THREADS - 1 + process : i;
        recorders[i].kv = kv;
        if (pthread_create(&threads[i], NULL, record, &recorders[i]) != 0)
            die("pthread_create");
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    must(shmkv_close(kv));
}

/* ------------------------------------------------------------------------- a round */

static pid_t start(unsigned process) { return child_start(record_all, (void *)(uintptr_t)process); }

/* The kills, spread over the calls. Returns how many there were. */
static uint64_t kill_some(pid_t pids[PROCESSES], struct random *r) {
    uint64_t kills = 0;
    while (kills < settings.kills) {
        uint64_t next = settings.operations * (kills + 1) / (settings.kills + 1);
        int status;
        while (__atomic_load_n(&common->begun, __ATOMIC_RELAXED) < next)
            for (unsigned i = 0; i < PROCESSES; i++) {
                if (waitpid(pids[i], &status, WNOHANG) == pids[i])
                    die("process %u ended by itself, with status %x", i, (unsigned)status);
                usleep(20);
            }
        unsigned victim = (unsigned)random_below(r, PROCESSES);
        kill(pids[victim], SIGKILL);
        status = child_wait(pids[victim]);
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
            die("process %u failed", victim);
        kills += WIFSIGNALED(status);
        pids[victim] = start(victim);
        if (__atomic_load_n(&common->begun, __ATOMIC_RELAXED) >= settings.operations)
            break;
    }
    return kills;
}

static int by_key(const void *a, const void *b) {
    uint32_t x = ((const struct call *)a)->key, y = ((const struct call *)b)->key;
    return x < y ? -1 : x > y;
}

static struct call *gather(uint64_t *n) {
    uint64_t all = 0;
    for (unsigned i = 0; i < RECORDERS; i++)
        all += common->logs[i].used;
    struct call *calls = malloc((all + 1) * sizeof *calls);
    if (!calls)
        die("no memory for %llu calls", (unsigned long long)all);
    *n = 0;
    for (unsigned i = 0; i < RECORDERS; i++) {
        memcpy(calls + *n, common->logs[i].calls, common->logs[i].used * sizeof *calls);
        *n += common->logs[i].used;
    }
    qsort(calls, *n, sizeof *calls, by_key);
    return calls;
}

static struct totals { uint64_t calls, keys, pending, pieces, longest, widest, kills; } totals;

static void check_all(void) {
    uint64_t n;
    struct call *calls = gather(&n);
    for (uint64_t first = 0, next; first < n; first = next) {
        for (next = first; next < n && calls[next].key == calls[first].key; next++)
            totals.pending += calls[next].response == 0;
        struct verdict v = history_check(calls + first, next - first);
        if (!v.ok) {
            history_print(stderr, calls + first, &v);
            die("not linearizable");
        }
        totals.keys++;
        totals.pieces += v.pieces;
        totals.longest = v.longest > totals.longest ? v.longest : totals.longest;
        totals.widest = v.widest > totals.widest ? v.widest : totals.widest;
    }
    totals.calls += n;
    free(calls);
}

static void one_round(struct random *r) {
    pid_t pids[PROCESSES];
    common->clock = common->begun = 0;
    for (unsigned i = 0; i < RECORDERS; i++)
        common->logs[i].used = 0;
    round_seed = random_next(r);
    name = unique_name();
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    for (unsigned i = 0; i < PROCESSES; i++)
        pids[i] = start(i);
    totals.kills += kill_some(pids, r);
    bool succeeded = true;
    for (unsigned i = 0; i < PROCESSES; i++)
        succeeded = child_succeeded(pids[i]) && succeeded;
    if (!succeeded)
        die("a process failed");
    check_all();
    finish(kv, name);
}

static int run(int argc, char **argv) {
    uint64_t *const all[] = {&settings.operations, &settings.kills, &settings.rounds, &settings.hot, &settings.others};
    for (int i = 1; i < argc && i <= 5; i++)
        *all[i - 1] = strtoull(argv[i], NULL, 0);
    struct random r = random_begin("linearize");
    common = shared_memory(sizeof *common);
    for (unsigned i = 0; i < RECORDERS; i++) { /* pages that are not used cost nothing */
        common->logs[i].capacity = settings.operations;
        common->logs[i].calls = shared_memory(settings.operations * sizeof(struct call));
    }
    for (uint64_t i = 0; i < settings.rounds; i++)
        one_round(&r);
    printf("%llu calls on %llu keys by %d processes, %d threads; %llu kills, %llu calls pending\n",
           (unsigned long long)totals.calls, (unsigned long long)totals.keys, PROCESSES, RECORDERS,
           (unsigned long long)totals.kills, (unsigned long long)totals.pending);
    printf("linearizable: %llu pieces, the longest search looked at %llu configurations, up to %llu calls at once\n",
           (unsigned long long)totals.pieces, (unsigned long long)totals.longest, (unsigned long long)totals.widest);
    return 0;
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
