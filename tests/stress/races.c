/*
 * Threads on one handle, while the segment under it grows, is replaced by EXCLUSIVE,
 * and the process forks: everything that threads do to each other in one mapping.
 * ThreadSanitizer sees races only within one process and one mapping; so this is
 * what it is to be run on. See threads.c for the same keys without replacement.
 *
 * Each writer has keys of its own. What it reads back is what it wrote; or, if the
 * segment was replaced since, nothing.
 *
 * Argument: operations of each writer. SHMKV_TEST_SEED chooses them.
 */
#include "tests/stress/stress.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITERS 4
#define OWN_KEYS 64
#define WORDS 40
#define AT_LEAST 10 /* replacements, forks, however fast the writers are */

static shmkv_t *kv;
static const char *name;
static uint64_t operations, run_seed;
static atomic_uint working;   /* writers that have not finished */
static atomic_uint replacing; /* odd while a replacement is under way */
static atomic_ullong writes, walked, told, forked;

struct key {
    uint64_t writer, number;
};

static void check_value(const uint64_t *value, size_t len) {
    if (len == 0 || len % 8 || len > WORDS * 8 || len / 8 != 1 + value[0] % WORDS)
        die("a value of %zu bytes is torn", len);
    for (size_t i = 1; i < len / 8; i++)
        if (value[i] != value[0])
            die("a value of %zu bytes is torn", len);
}

static void put(struct key key, uint64_t seed) {
    uint64_t value[WORDS];
    for (size_t i = 0; i < WORDS; i++)
        value[i] = seed;
    must(shmkv_put(kv, &key, sizeof key, value, (1 + seed % WORDS) * 8));
    atomic_fetch_add(&writes, 1);
}

/* 0: there is none. */
static uint64_t get(struct key key) {
    uint64_t value[WORDS];
    size_t len;
    int err = shmkv_get(kv, &key, sizeof key, value, sizeof value, &len);
    if (err == SHMKV_ENOTFOUND)
        return 0;
    must(err);
    check_value(value, len);
    return value[0];
}

/* What a writer knows of a key of its own. */
struct known {
    uint64_t seed;
    unsigned when; /* of replacing, before it was written */
};

static void expect(struct key key, const struct known *k) {
    uint64_t found = get(key);
    bool replaced = k->when % 2 || atomic_load(&replacing) != k->when;
    if (found != k->seed && !(replaced && found == 0))
        die("writer %llu: its key %llu is not as it left it", (unsigned long long)key.writer,
            (unsigned long long)key.number);
}

static bool others_did_enough(void) {
    return atomic_load(&forked) >= AT_LEAST && atomic_load(&replacing) / 2 >= AT_LEAST;
}

static void *write_and_read(void *arg) {
    uint64_t me = *(const uint64_t *)arg;
    struct random r = {run_seed + me};
    struct known own[OWN_KEYS] = {0};
    for (uint64_t i = 0; i < operations || !others_did_enough(); i++) {
        uint64_t n = random_below(&r, OWN_KEYS), what = random_below(&r, 100);
        struct key key = {me, n}, fresh = {me, 1000 + i}, old = {me, 1000 + i - 500};
        if (what < 40) {
            own[n] = (struct known){random_next(&r) | 1, atomic_load(&replacing)};
            put(key, own[n].seed);
        } else if (what < 50) { /* the index grows */
            put(fresh, i | 1);
        } else if (what < 60) {
            int err = shmkv_delete(kv, &old, sizeof old);
            if (err != SHMKV_ENOTFOUND)
                must(err);
        } else if (what < 80) {
            expect(key, &own[n]);
        } else { /* somebody else's */
            get((struct key){random_below(&r, WRITERS), n});
        }
    }
    atomic_fetch_sub(&working, 1);
    return NULL;
}

static void walk(void) {
    const void *key, *val;
    size_t key_len, val_len;
    uint64_t value[WORDS];
    shmkv_cursor_t *c;
    int err;
    must(shmkv_cursor_open(kv, 0, &c));
    while ((err = shmkv_cursor_next(c, &key, &key_len, &val, &val_len)) == SHMKV_OK) {
        memcpy(value, val, val_len < sizeof value ? val_len : sizeof value);
        check_value(value, val_len);
    }
    /* A walk does not go on in another segment. */
    if (err != SHMKV_ENOTFOUND && err != SHMKV_ESTALE)
        must(err);
    shmkv_cursor_close(c);
    shmkv_snapshot_t *s;
    must(shmkv_snapshot(kv, &s));
    while (shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK) {
        memcpy(value, val, val_len < sizeof value ? val_len : sizeof value);
        check_value(value, val_len);
    }
    shmkv_snapshot_free(s);
}

static void *walk_on(void *arg) {
    (void)arg;
    for (; atomic_load(&working); atomic_fetch_add(&walked, 1))
        walk();
    return NULL;
}

static void tell(void) {
    struct shmkv_info info = {.size = sizeof info};
    struct shmkv_stats stats = {.size = sizeof stats};
    struct shmkv_lock locks[64];
    struct shmkv_owner owners[64];
    uint64_t count;
    size_t n;
    must(shmkv_info(kv, &info));
    must(shmkv_stats(kv, &stats));
    must(shmkv_locks(kv, locks, 64, &n));
    must(shmkv_owners(kv, owners, 64, &n));
    must(shmkv_count(kv, &count));
}

static void *tell_on(void *arg) {
    (void)arg;
    for (; atomic_load(&working); atomic_fetch_add(&told, 1))
        tell();
    return NULL;
}

/* After so many more writes, or when there will be none. */
static void await_writes(uint64_t more) {
    uint64_t from = atomic_load(&writes);
    while (atomic_load(&working) && atomic_load(&writes) - from < more)
        sched_yield();
}

static void *replace_on(void *arg) {
    (void)arg;
    struct shmkv_options o = patient;
    o.mode = SHMKV_EXCLUSIVE;
    while (atomic_load(&working)) {
        shmkv_t *new;
        await_writes(operations / 4);
        atomic_fetch_add(&replacing, 1);
        must(shmkv_open(name, &o, &new));
        atomic_fetch_add(&replacing, 1);
        must(shmkv_close(new));
    }
    return NULL;
}

/* A child has one thread and all locks of the process as they were. With a sanitizer
 * its runtime's own are among them: the child may not allocate. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
static void live_in_child(void) { _exit(0); }
#else
static void live_in_child(void) {
    struct known k = {run_seed | 1, atomic_load(&replacing)};
    struct key key = {~0ULL, (uint64_t)getpid()};
    put(key, k.seed);
    /* Of replacements from now on this process knows nothing. */
    uint64_t found = get(key);
    if (found && found != k.seed)
        die("the child's key is not as it left it");
    walk();
    must(shmkv_close(kv));
    _exit(0);
}
#endif

static void *fork_on(void *arg) {
    (void)arg;
    for (; atomic_load(&working); atomic_fetch_add(&forked, 1)) {
        await_writes(operations / 20);
        int status;
        pid_t pid = fork();
        if (pid == 0)
            live_in_child();
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            die("a child failed, or there was none");
    }
    return NULL;
}

static int run(int argc, char **argv) {
    void *(*const others[])(void *) = {walk_on, tell_on, replace_on, fork_on};
    enum { OTHERS = sizeof others / sizeof *others };
    static uint64_t numbers[WRITERS];
    pthread_t threads[WRITERS + OTHERS];
    operations = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000;
    run_seed = random_begin("races").state;
    name = unique_name();
    must(shmkv_open(name, &patient, &kv));
    atomic_store(&working, WRITERS);
    for (unsigned i = 0; i < WRITERS + OTHERS; i++) {
        if (i < WRITERS)
            numbers[i] = i;
        if (pthread_create(&threads[i], NULL, i < WRITERS ? write_and_read : others[i - WRITERS],
                           i < WRITERS ? &numbers[i] : NULL) != 0)
            die("no thread");
    }
    for (unsigned i = 0; i < WRITERS + OTHERS; i++)
        pthread_join(threads[i], NULL);
    printf("%llu writes, %llu walks, %llu reports, %u replacements, %llu forks\n",
           (unsigned long long)writes, (unsigned long long)walked, (unsigned long long)told,
           atomic_load(&replacing) / 2, (unsigned long long)forked);
    return finish(kv, name);
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
