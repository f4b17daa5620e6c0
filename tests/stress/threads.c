/*
 * Eight threads on one handle, with all operations mixed: own keys that nobody
 * else writes must always be as their thread left them, common keys whole.
 * Meant to be run under ThreadSanitizer too.
 *
 * Argument: operations of each thread. SHMKV_TEST_SEED chooses them.
 */
#include "tests/stress/stress.h"

#include <pthread.h>

#define THREADS 8
#define OWN_KEYS 200
#define COMMON_KEYS 16
#define LARGEST 6000

static shmkv_t *kv;
static uint64_t operations, run_seed;

struct thread {
    pthread_t id;
    uint64_t number, calls, walks, snapshots;
};

struct key {
    uint64_t thread, number;
};

/* Every word of a value is its seed; the length follows from it. */
static size_t make_value(uint64_t seed, uint64_t *value) {
    size_t words = seed % 97 == 0 ? LARGEST / 8 : 1 + seed % 40;
    for (size_t i = 0; i < words; i++)
        value[i] = seed;
    return words * 8;
}

static uint64_t check_value(const uint64_t *value, size_t len) {
    uint64_t expected[LARGEST / 8];
    if (len == 0 || len != make_value(value[0], expected) || memcmp(value, expected, len) != 0)
        die("a value of %zu bytes is torn", len);
    return value[0];
}

static void write_key(struct key key, uint64_t seed) {
    uint64_t value[LARGEST / 8];
    if (seed) {
        must(shmkv_put(kv, &key, sizeof key, value, make_value(seed, value)));
        return;
    }
    int err = shmkv_delete(kv, &key, sizeof key);
    if (err != SHMKV_ENOTFOUND)
        must(err);
}

static uint64_t read_key(struct key key) {
    uint64_t value[LARGEST / 8];
    size_t len;
    int err = shmkv_get(kv, &key, sizeof key, value, sizeof value, &len);
    if (err == SHMKV_ENOTFOUND)
        return 0;
    must(err);
    return check_value(value, len);
}

static void walk(void) {
    shmkv_cursor_t *c;
    const void *key, *val;
    size_t key_len, val_len;
    int err;
    must(shmkv_cursor_open(kv, 0, &c));
    while ((err = shmkv_cursor_next(c, &key, &key_len, &val, &val_len)) == SHMKV_OK) {
        uint64_t value[LARGEST / 8];
        memcpy(value, val, val_len);
        check_value(value, val_len);
    }
    if (err != SHMKV_ENOTFOUND)
        must(err);
    shmkv_cursor_close(c);
}

static void take_snapshot(void) {
    shmkv_snapshot_t *s;
    const void *key, *val;
    size_t key_len, val_len;
    uint64_t n = 0;
    must(shmkv_snapshot(kv, &s));
    for (; shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK; n++) {
        uint64_t value[LARGEST / 8];
        memcpy(value, val, val_len);
        check_value(value, val_len);
    }
    if (n != shmkv_snapshot_count(s))
        die("the snapshot counts wrong");
    shmkv_snapshot_free(s);
}

static void *work(void *arg) {
    struct thread *t = arg;
    struct random r = {run_seed + t->number};
    uint64_t own[OWN_KEYS] = {0}, count;
    for (uint64_t i = 0; i < operations; i++, t->calls++) {
        uint64_t n = random_below(&r, OWN_KEYS), what = random_below(&r, 1000);
        if (what < 400) {
            own[n] = random_below(&r, 5) ? random_next(&r) | 1 : 0;
            write_key((struct key){t->number, n}, own[n]);
        } else if (what < 700) {
            if (read_key((struct key){t->number, n}) != own[n])
                die("thread %llu: its key %llu is not as it left it", (unsigned long long)t->number,
                    (unsigned long long)n);
        } else if (what < 850) {
            write_key((struct key){~0ULL, n % COMMON_KEYS}, random_below(&r, 10) ? random_next(&r) | 1 : 0);
        } else if (what < 985) {
            read_key((struct key){~0ULL, n % COMMON_KEYS});
        } else if (what < 990) {
            must(shmkv_count(kv, &count));
        } else if (what < 998) {
            walk();
            t->walks++;
        } else {
            take_snapshot();
            t->snapshots++;
        }
    }
    for (uint64_t n = 0; n < OWN_KEYS; n++)
        if (read_key((struct key){t->number, n}) != own[n])
            die("thread %llu: its key %llu is lost", (unsigned long long)t->number, (unsigned long long)n);
    return NULL;
}

static int run(int argc, char **argv) {
    operations = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000;
    run_seed = random_begin("threads").state;
    const char *name = unique_name();
    must(shmkv_open(name, &patient, &kv));
    static struct thread threads[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        threads[i].number = i;
        if (pthread_create(&threads[i].id, NULL, work, &threads[i]) != 0)
            die("no thread");
    }
    uint64_t calls = 0, walks = 0, snapshots = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        calls += threads[i].calls, walks += threads[i].walks, snapshots += threads[i].snapshots;
    }
    printf("%llu calls by %d threads, %llu walks, %llu snapshots\n", (unsigned long long)calls, THREADS,
           (unsigned long long)walks, (unsigned long long)snapshots);
    return finish(kv, name);
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
