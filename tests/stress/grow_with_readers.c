/*
 * One process grows the store from nothing to a million keys of 16 bytes with
 * values of 32, while two others read keys that are there already: each must be
 * found, with its value, at every size. proves [OP-05] [OP-16] [OP-17]
 *
 * Argument: number of keys.
 */
#include "tests/stress/stress.h"

#define READERS 2

static const char *name;

static volatile struct {
    uint64_t published; /* keys below this are present */
    uint64_t finished;
    uint64_t reads[READERS], walks[READERS];
} *shared;

struct key {
    uint64_t number, salt;
};
struct value {
    uint64_t words[4];
};

static struct key key_of(uint64_t n) { return (struct key){n, n * 0x9e3779b97f4a7c15u}; }
static struct value value_of(uint64_t n) { return (struct value){{n, ~n, n << 7, n * 31}}; }

static void check_key(shmkv_t *kv, uint64_t n) {
    struct key key = key_of(n);
    struct value value, expected = value_of(n);
    size_t len;
    int err = shmkv_get(kv, &key, sizeof key, &value, sizeof value, &len);
    if (err)
        die("key %llu of %llu: %s (%s)", (unsigned long long)n, (unsigned long long)shared->published,
            shmkv_strerror(err), shmkv_error_detail());
    if (len != sizeof value || memcmp(&value, &expected, sizeof value) != 0)
        die("key %llu has another key's value, or a torn one", (unsigned long long)n);
}

/* All keys that were present when the walk began are given once. */
static void check_walk(shmkv_t *kv, uint8_t *seen) {
    uint64_t present = shared->published, found = 0, n;
    memset(seen, 0, present);
    shmkv_cursor_t *c;
    must(shmkv_cursor_open(kv, SHMKV_KEYS_ONLY, &c));
    const void *key;
    size_t len;
    int err;
    while ((err = shmkv_cursor_next(c, &key, &len, NULL, NULL)) == SHMKV_OK) {
        memcpy(&n, key, sizeof n);
        if (n >= present)
            continue;
        if (seen[n]++)
            die("the cursor gave key %llu twice", (unsigned long long)n);
        found++;
    }
    if (err != SHMKV_ENOTFOUND)
        must(err);
    shmkv_cursor_close(c);
    if (found != present)
        die("the cursor missed %llu of %llu keys", (unsigned long long)(present - found), (unsigned long long)present);
}

static void read_all_along(void *arg) {
    uintptr_t me = (uintptr_t)arg;
    struct shmkv_options opts = {.size = sizeof opts, .mode = me ? SHMKV_READONLY : SHMKV_EXISTING};
    struct random r = {me};
    shmkv_t *kv;
    must(shmkv_open(name, &opts, &kv));
    uint8_t *seen = malloc(100u << 20);
    while (!shared->finished) {
        uint64_t present = __atomic_load_n(&shared->published, __ATOMIC_ACQUIRE);
        for (int i = 0; i < 20000 && present; i++) {
            /* Half of them among the newest, where splits are under way. */
            uint64_t n = random_below(&r, present);
            check_key(kv, i % 2 ? n : present - 1 - n % (present < 1000 ? present : 1000));
            shared->reads[me]++;
            present = __atomic_load_n(&shared->published, __ATOMIC_ACQUIRE);
        }
        if (shared->reads[me] / 200000 > shared->walks[me]) {
            check_walk(kv, seen);
            shared->walks[me]++;
        }
    }
    free(seen);
    must(shmkv_close(kv));
}

static int run(int argc, char **argv) {
    uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000;
    shared = shared_memory(sizeof *shared);
    name = unique_name();
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    pid_t readers[READERS];
    for (uintptr_t i = 0; i < READERS; i++)
        readers[i] = child_start(read_all_along, (void *)i);
    uint64_t began = now_ms();
    for (uint64_t n = 0; n < keys; n++) {
        struct key key = key_of(n);
        struct value value = value_of(n);
        must(shmkv_put(kv, &key, sizeof key, &value, sizeof value));
        __atomic_store_n(&shared->published, n + 1, __ATOMIC_RELEASE);
    }
    uint64_t took = now_ms() - began;
    shared->finished = 1;
    for (int i = 0; i < READERS; i++)
        if (!child_succeeded(readers[i]))
            die("reader %d failed", i);
    uint64_t count;
    must(shmkv_count(kv, &count));
    if (count != keys)
        die("%llu keys instead of %llu", (unsigned long long)count, (unsigned long long)keys);
    for (uint64_t n = 0; n < keys; n++)
        check_key(kv, n);
    printf("%llu keys in %llu ms; meanwhile %llu + %llu reads, %llu + %llu walks, nothing missed\n",
           (unsigned long long)keys, (unsigned long long)took, (unsigned long long)shared->reads[0],
           (unsigned long long)shared->reads[1], (unsigned long long)shared->walks[0],
           (unsigned long long)shared->walks[1]);
    return finish(kv, name);
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
