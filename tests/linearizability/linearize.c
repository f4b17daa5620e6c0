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
 * One more process looks at all keys at once: by snapshots, with the locks and, on a
 * read-only handle, without, and by walks with a cursor. There must be a moment at which
 * every key was as the snapshot says; what was there throughout a walk must have been given
 * once (moments.h says how that is known). A hot key must then also have been so at that
 * very moment: the snapshot is added to its history as a get.
 *
 * proves [OP-04] [OP-05] [OP-14] [OP-15]
 *
 * Arguments: operations in a round, kills in a round, rounds, hot keys, percentage of calls
 * to other keys. The environment: SHMKV_TEST_SEED.
 */
#include "tests/linearizability/looks.h"
#include "tests/stress/stress.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 5
#define THREADS 3 /* of process 0 */
#define RECORDERS (PROCESSES - 1 + THREADS)
#define ONLOOKER PROCESSES /* one process more */
#define LARGEST 100000
#define LOOKS 90
#define SIGHTINGS (1u << 26)
#define UNLOCKED_MS 100

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
    _Alignas(64) uint64_t begun;    /* calls */
    _Alignas(64) uint64_t pause_us; /* how long, at most, recorders rest after a call */
    struct log logs[RECORDERS];
    uint64_t looked; /* looks that are complete */
    struct look looks[LOOKS];
} * common;
static struct sighting *sightings; /* likewise */

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
        die("key %u: a torn value of %zu bytes that begins with %llx", key, len,
            (unsigned long long)id);
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

/* The key between some hot ones, all of which must be whole. */
static uint64_t get_among_others(struct recorder *r, const struct call *c) {
    enum { OTHERS = 4 };
    uint32_t keys[OTHERS + 1];
    struct shmkv_bytes asked[OTHERS + 1];
    struct shmkv_item items[OTHERS + 1];
    uint64_t place = random_below(&r->random, OTHERS + 1), found = 0;
    for (unsigned i = 0; i <= OTHERS; i++) {
        keys[i] = i == place ? c->key : (uint32_t)random_below(&r->random, settings.hot);
        asked[i] = (struct shmkv_bytes){&keys[i], sizeof keys[i]};
    }
    size_t done = 0;
    while (done <= OTHERS) {
        size_t n;
        int err = shmkv_get_many(r->kv, OTHERS + 1 - done, asked + done, items + done, r->value,
                                 sizeof r->value, &n);
        if (err != SHMKV_ETOOSMALL)
            must(err);
        for (; n--; done++) {
            if (!yes(items[done].result))
                continue;
            uint64_t id = id_of(items[done].data, items[done].len, keys[done]);
            if (done == place)
                found = id;
        }
    }
    return found;
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
        if (random_below(&r->random, 3) == 0)
            return get_among_others(r, c);
        err = shmkv_get(r->kv, &c->key, sizeof c->key, r->value, sizeof r->value, &len);
        return yes(err) ? id_of(r->value, len, c->key) : 0;
    }
}

/* Others: near the newest of a growing number of keys, which are the most likely to move. */
static uint32_t choose_key(struct recorder *r) {
    if (random_below(&r->random, 100) >= settings.others)
        return (uint32_t)random_below(&r->random, settings.hot);
    uint64_t newest = __atomic_load_n(&common->begun, __ATOMIC_RELAXED) * settings.others / 400;
    uint64_t back = random_below(&r->random, 2)
                        ? random_below(&r->random, newest + 1)
                        : random_below(&r->random, newest < 16 ? newest + 1 : 16);
    return (uint32_t)(settings.hot + newest - back);
}

static enum kind choose_kind(struct recorder *r, uint32_t key) {
    uint64_t dice = random_below(&r->random, 100);
    bool hot = key < settings.hot;
    return dice < 40 ? GET : dice < 50 ? EXISTS : dice < (hot ? 85 : 97) ? PUT : DELETE;
}

static void record_call(struct recorder *r, struct log *log) {
    uint64_t n = log->used;
    struct call *c = &log->calls[n];
    c->response = 0;
    c->key = choose_key(r);
    c->kind = (uint8_t)choose_kind(r, c->key);
    c->who = (uint8_t)r->who;
    c->value = c->kind == PUT ? (uint64_t)(r->who + 1) << 32 | (n + 1) : 0;
    __atomic_store_n(&c->invoke, tick(), __ATOMIC_SEQ_CST);
    __atomic_store_n(&log->used, n + 1,
                     __ATOMIC_SEQ_CST); /* before the call: its id is not used again */
    __atomic_store_n(&c->value, carry_out(r, c), __ATOMIC_SEQ_CST);
    __atomic_store_n(&c->response, tick(), __ATOMIC_SEQ_CST);
}

/* Several puts, or several deletes, by one call: each of them is at some moment of it. */
#define MANY 5

static void carry_out_many(struct recorder *r, struct call *calls, enum kind kind) {
    struct shmkv_bytes keys[MANY];
    struct shmkv_item items[MANY];
    int results[MANY];
    uint64_t *values[MANY] = {0};
    for (int i = 0; i < MANY; i++) {
        keys[i] = (struct shmkv_bytes){&calls[i].key, sizeof calls[i].key};
        if (kind == DELETE)
            continue;
        values[i] = malloc(length_of(calls[i].value));
        if (!values[i])
            die("no memory");
        items[i] = (struct shmkv_item){.data = values[i], .len = make_value(calls[i].value, values[i])};
    }
    if (kind == PUT)
        must(shmkv_put_many(r->kv, MANY, keys, items, NULL));
    else
        must(shmkv_delete_many(r->kv, MANY, keys, results, NULL, NULL));
    for (int i = 0; i < MANY; i++) {
        if (kind == DELETE)
            __atomic_store_n(&calls[i].value, yes(results[i]), __ATOMIC_SEQ_CST);
        free(values[i]);
    }
}

static void call_many(struct recorder *r, struct log *log) {
    uint64_t n = log->used;
    struct call *calls = &log->calls[n];
    enum kind kind = random_below(&r->random, 4) ? PUT : DELETE;
    uint32_t first = choose_key(r), hot = (uint32_t)settings.hot;
    for (uint32_t i = 0; i < MANY; i++)
        /* Of one key at a time: calls under way at once are what the search takes time for. */
        calls[i] = (struct call){.key = first < hot ? (first + i) % hot : first + i,
                                 .kind = (uint8_t)kind,
                                 .who = (uint8_t)r->who,
                                 .value = kind == PUT ? (uint64_t)(r->who + 1) << 32 | (n + i + 1) : 0};
    for (int i = 0; i < MANY; i++)
        __atomic_store_n(&calls[i].invoke, tick(), __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&common->begun, MANY - 1, __ATOMIC_RELAXED); /* one was counted */
    __atomic_store_n(&log->used, n + MANY, __ATOMIC_SEQ_CST);
    carry_out_many(r, calls, kind);
    for (int i = 0; i < MANY; i++)
        __atomic_store_n(&calls[i].response, tick(), __ATOMIC_SEQ_CST);
}

static void rest(struct recorder *r) {
    uint64_t longest = __atomic_load_n(&common->pause_us, __ATOMIC_RELAXED);
    if (longest)
        usleep((useconds_t)random_below(&r->random, longest));
}

static void *record(void *arg) {
    struct recorder *r = arg;
    struct log *log = &common->logs[r->who];
    r->random = (struct random){round_seed + mixed(r->who + 1) + log->used};
    while (log->used < log->capacity &&
           __atomic_fetch_add(&common->begun, 1, __ATOMIC_RELAXED) < settings.operations) {
        if (log->used + MANY <= log->capacity && random_below(&r->random, 60) == 0)
            call_many(r, log);
        else
            record_call(r, log);
        rest(r);
    }
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

/* ------------------------------------------------------------------------ onlooker */

static void see(struct look *look, const void *key, size_t key_len, const void *value, size_t len) {
    static uint64_t copy[LARGEST / 8 + 1];
    struct sighting *s = &sightings[look->first + look->n];
    if (key_len != sizeof s->key || len < 8 || len > sizeof copy)
        die("%s gives a key of %zu bytes with a value of %zu", look_names[look->kind], key_len,
            len);
    if (look->first + look->n++ == SIGHTINGS)
        die("more than %u sightings", SIGHTINGS);
    memcpy(&s->key, key, key_len);
    memcpy(copy, value, len);
    s->value = id_of(copy, len, s->key);
}

static void look_by_snapshot(shmkv_t *kv, struct look *look) {
    shmkv_snapshot_t *snapshot;
    const void *key, *value;
    size_t key_len, len;
    look->invoke = tick();
    int err = shmkv_snapshot(kv, &snapshot);
    look->response = tick();
    look->refused = err == SHMKV_EBUSY && look->kind == UNLOCKED_SNAPSHOT;
    if (look->refused)
        return;
    must(err);
    while ((err = shmkv_snapshot_next(snapshot, &key, &key_len, &value, &len)) == SHMKV_OK)
        see(look, key, key_len, value, len);
    if (err != SHMKV_ENOTFOUND)
        must(err);
    shmkv_snapshot_free(snapshot);
}

/* At most so many steps. False: at the end. */
static bool walk_on(shmkv_cursor_t *cursor, struct look *look, uint64_t most) {
    const void *key, *value;
    size_t key_len, len;
    int err = SHMKV_OK;
    for (; most && !(err = shmkv_cursor_next(cursor, &key, &key_len, &value, &len)); most--)
        see(look, key, key_len, value, len);
    if (err != SHMKV_ENOTFOUND)
        must(err);
    return !err;
}

/* In pieces that others go on with from a position, on the other handle; the last one to the end.
 */
static void look_by_walk(shmkv_t *const kv[2], struct look *look, struct random *r) {
    struct shmkv_position position;
    uint64_t pieces = 1 + (random_below(r, 2) ? random_below(r, 8) : 0);
    bool more = true;
    look->invoke = tick();
    for (uint64_t i = 0; more; i++) {
        shmkv_cursor_t *cursor;
        must(shmkv_cursor_open(kv[i % 2], 0, &cursor));
        if (i)
            must(shmkv_cursor_seek(cursor, &position));
        more = walk_on(cursor, look, i + 1 < pieces ? random_below(r, 5000) : UINT64_MAX);
        must(shmkv_cursor_position(cursor, &position));
        shmkv_cursor_close(cursor);
    }
    look->response = tick();
}

/* While a snapshot is taken without locks the others rest, now more, now less: at full speed it
 * would never succeed. */
static void look_once(shmkv_t *locking, shmkv_t *reading, struct random *r, uint64_t n) {
    struct look *look = &common->looks[n];
    uint64_t first = n ? look[-1].first + look[-1].n : 0;
    *look = (struct look){.first = first, .kind = (uint8_t)(n % LOOK_KINDS)};
    if (look->kind == UNLOCKED_SNAPSHOT) {
        __atomic_store_n(&common->pause_us, 1ULL << random_below(r, 15), __ATOMIC_RELAXED);
        look_by_snapshot(reading, look);
        __atomic_store_n(&common->pause_us, 0, __ATOMIC_RELAXED);
    } else if (look->kind == LOCKED_SNAPSHOT) {
        look_by_snapshot(locking, look);
    } else {
        bool lock = random_below(r, 2);
        look_by_walk((shmkv_t *[]){lock ? locking : reading, lock ? reading : locking}, look, r);
    }
    __atomic_store_n(&common->looked, n + 1, __ATOMIC_SEQ_CST);
}

/* More of them while there are few keys, when they are short. */
static uint64_t begun_before_look(uint64_t n) {
    return settings.operations * n / LOOKS * n / LOOKS;
}

static void look_on(void *arg) {
    (void)arg;
    struct shmkv_options opts = {
        .size = sizeof opts, .mode = SHMKV_READONLY, .lock_timeout_ms = UNLOCKED_MS};
    struct random r = {round_seed + common->looked};
    shmkv_t *locking, *reading;
    __atomic_store_n(&common->pause_us, 0, __ATOMIC_RELAXED); /* of one that was killed */
    must(shmkv_open(name, NULL, &locking));
    must(shmkv_open(name, &opts, &reading));
    while (__atomic_load_n(&common->begun, __ATOMIC_RELAXED) < settings.operations)
        if (common->looked < LOOKS &&
            __atomic_load_n(&common->begun, __ATOMIC_RELAXED) >= begun_before_look(common->looked))
            look_once(locking, reading, &r, common->looked);
        else
            usleep(50);
    must(shmkv_close(reading));
    must(shmkv_close(locking));
}

/* ------------------------------------------------------------------------- a round */

static pid_t start(unsigned process) {
    return child_start(process == ONLOOKER ? look_on : record_all, (void *)(uintptr_t)process);
}

/* The kills, spread over the calls. Returns how many there were. */
static uint64_t kill_some(pid_t pids[PROCESSES + 1], struct random *r) {
    uint64_t kills = 0;
    while (kills < settings.kills) {
        uint64_t next = settings.operations * (kills + 1) / (settings.kills + 1);
        int status;
        while (__atomic_load_n(&common->begun, __ATOMIC_RELAXED) < next)
            for (unsigned i = 0; i <= PROCESSES; i++) {
                if (waitpid(pids[i], &status, WNOHANG) == pids[i])
                    die("process %u ended by itself, with status %x", i, (unsigned)status);
                usleep(20);
            }
        unsigned victim = (unsigned)random_below(r, PROCESSES + 1);
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

/* ----------------------------------------------------------------------- checking */

static int by_key_and_invocation(const void *a, const void *b) {
    const struct call *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->invoke < y->invoke ? -1 : x->invoke > y->invoke;
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
    qsort(calls, *n, sizeof *calls, by_key_and_invocation);
    return calls;
}

/* Its id says where it was recorded. */
static const struct call *put_of(uint64_t value) {
    uint64_t who = value >> 32, n = value & 0xffffffff;
    bool known = who >= 1 && who <= RECORDERS && n >= 1 && n <= common->logs[who - 1].used;
    return known ? &common->logs[who - 1].calls[n - 1] : NULL;
}

static struct histories histories_of(struct call *calls, uint64_t n) {
    struct histories h = {malloc((n + 1) * sizeof *h.all), 0, put_of};
    if (!h.all)
        die("no memory for the histories of %llu calls", (unsigned long long)n);
    for (uint64_t first = 0, next; first < n; first = next) {
        for (next = first; next < n && calls[next].key == calls[first].key;)
            next++;
        struct key_history *k = &h.all[h.n++];
        *k = (struct key_history){calls[first].key, calls + first, next - first, {0}};
        timeline_make(&k->timeline, k->calls, k->n);
    }
    return h;
}

static struct totals {
    uint64_t calls, keys, pending, pieces, longest, widest, kills;
    uint64_t looks[LOOK_KINDS], refused, sightings, certain;
} totals;

/* The gets of hot keys that the snapshots are, as of the moments that all keys allow. */
struct gets {
    struct call *all;
    uint64_t n;
};

static void add_gets(struct gets *gets, const struct histories *h, const struct look *look,
                     const struct sighting *seen, const struct spans *when) {
    uint64_t at = 0;
    for (size_t i = 0; i < h->n && h->all[i].key < settings.hot; i++) {
        uint32_t key = h->all[i].key;
        bool there = at < look->n && seen[at].key == key;
        gets->all[gets->n++] = (struct call){
            when->all[0].from, when->all[when->n - 1].to, there ? seen[at].value : 0, key, GET,
            RECORDERS};
        at += there;
    }
}

static struct gets check_looks(const struct histories *h) {
    struct gets gets = {malloc(LOOKS * settings.hot * sizeof(struct call) + 1), 0};
    struct spans when = {0};
    if (!gets.all)
        die("no memory for gets");
    for (uint64_t i = 0; i < common->looked; i++) {
        const struct look *look = &common->looks[i];
        struct sighting *seen = &sightings[look->first];
        totals.refused += look->refused;
        totals.looks[look->kind] += !look->refused;
        totals.sightings += look->n;
        if (look->refused)
            continue;
        if (look->kind == WALK ? !walk_fits(stderr, h, look, seen, &totals.certain)
                               : !snapshot_fits(stderr, h, look, seen, &when))
            die("%s that nothing explains", look_names[look->kind]);
        if (look->kind != WALK)
            add_gets(&gets, h, look, seen, &when);
    }
    spans_free(&when);
    return gets;
}

static void check_key(const struct key_history *k, const struct gets *gets) {
    struct call *calls = malloc((k->n + gets->n) * sizeof *calls);
    size_t n = k->n;
    if (!calls)
        die("no memory for %zu calls", n);
    memcpy(calls, k->calls, n * sizeof *calls);
    for (uint64_t i = 0; k->key < settings.hot && i < gets->n; i++)
        if (gets->all[i].key == k->key)
            calls[n++] = gets->all[i];
    for (size_t i = 0; i < n; i++)
        totals.pending += calls[i].response == 0;
    struct verdict v = history_check(calls, n);
    if (!v.ok) {
        history_print(stderr, calls, &v);
        die("not linearizable");
    }
    free(calls);
    totals.keys++;
    totals.pieces += v.pieces;
    totals.longest = v.longest > totals.longest ? v.longest : totals.longest;
    totals.widest = v.widest > totals.widest ? v.widest : totals.widest;
}

static void check_all(void) {
    uint64_t n;
    struct call *calls = gather(&n);
    struct histories h = histories_of(calls, n);
    struct gets gets = check_looks(&h);
    for (size_t i = 0; i < h.n; i++) {
        check_key(&h.all[i], &gets);
        timeline_free(&h.all[i].timeline);
    }
    totals.calls += n;
    free(gets.all);
    free(h.all);
    free(calls);
}

static void one_round(struct random *r) {
    pid_t pids[PROCESSES + 1];
    common->clock = common->begun = common->pause_us = common->looked = 0;
    for (unsigned i = 0; i < RECORDERS; i++)
        common->logs[i].used = 0;
    round_seed = random_next(r);
    name = unique_name();
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    for (unsigned i = 0; i <= PROCESSES; i++)
        pids[i] = start(i);
    totals.kills += kill_some(pids, r);
    bool succeeded = true;
    for (unsigned i = 0; i <= PROCESSES; i++)
        succeeded = child_succeeded(pids[i]) && succeeded;
    if (!succeeded)
        die("a process failed");
    check_all();
    finish(kv, name);
}

static int run(int argc, char **argv) {
    uint64_t *const all[] = {&settings.operations, &settings.kills, &settings.rounds, &settings.hot,
                             &settings.others};
    for (int i = 1; i < argc && i <= 5; i++)
        *all[i - 1] = strtoull(argv[i], NULL, 0);
    struct random r = random_begin("linearize");
    common = shared_memory(sizeof *common);
    sightings =
        shared_memory(SIGHTINGS * sizeof *sightings); /* pages that are not used cost nothing */
    for (unsigned i = 0; i < RECORDERS; i++) {
        common->logs[i].capacity = settings.operations;
        common->logs[i].calls = shared_memory(settings.operations * sizeof(struct call));
    }
    for (uint64_t i = 0; i < settings.rounds; i++)
        one_round(&r);
    printf("%llu calls on %llu keys by %d processes, %d threads; %llu kills, %llu calls pending\n",
           (unsigned long long)totals.calls, (unsigned long long)totals.keys, PROCESSES, RECORDERS,
           (unsigned long long)totals.kills, (unsigned long long)totals.pending);
    printf("linearizable: %llu pieces, the longest search looked at %llu configurations, up to "
           "%llu calls at once\n",
           (unsigned long long)totals.pieces, (unsigned long long)totals.longest,
           (unsigned long long)totals.widest);
    printf("%llu snapshots with locks, %llu without (%llu refused, too busy), each of one moment; "
           "%llu walks, in which "
           "%llu keys that were there all the time were given once; %llu sightings\n",
           (unsigned long long)totals.looks[LOCKED_SNAPSHOT],
           (unsigned long long)totals.looks[UNLOCKED_SNAPSHOT], (unsigned long long)totals.refused,
           (unsigned long long)totals.looks[WALK], (unsigned long long)totals.certain,
           (unsigned long long)totals.sightings);
    return 0;
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
