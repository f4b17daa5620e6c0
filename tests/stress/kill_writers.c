/*
 * Writers are killed with SIGKILL at moments that nobody chose, and
 * started again, some three hundred times. Every write that was acknowledged is
 * there, every value is whole, and the segment is sound whenever anybody looks.
 *
 * Each writer has keys of its own and keeps a log in shared memory: before a call
 * it notes what it is about to do, after the call that it is done. A key whose
 * last call was acknowledged must be as that call left it; one whose last call
 * was cut short must be as it was before or as that call would have left it.
 * All write to a few common keys as well, whose values need only be whole.
 *
 * proves [CRASH-07] [CRASH-08]
 *
 * Argument: number of kills. SHMKV_TEST_SEED chooses the operations.
 */
#include "tests/stress/stress.h"

#include <signal.h>
#include <unistd.h>

#define WRITERS 4
#define KEYS 600   /* of each writer */
#define COMMON 8   /* keys of all */
#define LARGEST 40000

/* A state of a key: 0 is absent, otherwise the seed of its value. */
struct key_log {
    uint64_t before, after;
    uint64_t acknowledged; /* the call that led to `after` has returned */
};

static struct log {
    struct key_log keys[KEYS];
    uint64_t calls, deletes, large;
} *logs;

static const char *name;
static uint64_t run_seed;

struct name_of_key {
    uint32_t writer, number;
};

/* ------------------------------------------------------------------------ values */

static size_t length_of(uint64_t seed) {
    uint64_t h = seed * 0x9e3779b97f4a7c15u >> 32;
    return h % 50 == 0 ? 1000 + h % (LARGEST - 1000) : 16 + h % 300;
}

/* The seed, then bytes that follow from it, then their hash. */
static size_t make_value(uint64_t seed, uint8_t *value) {
    size_t len = length_of(seed);
    memcpy(value, &seed, 8);
    for (size_t i = 8; i < len - 8; i++)
        value[i] = (uint8_t)(seed >> (i % 7 * 8)) ^ (uint8_t)i;
    uint64_t hash = hash_bytes(value, len - 8, 0);
    memcpy(value + len - 8, &hash, 8);
    return len;
}

/* The seed of what the key has, 0 if it is absent; ends the program if it is torn. */
static uint64_t state_of(shmkv_t *kv, uint32_t writer, uint32_t number) {
    static uint8_t value[LARGEST], expected[LARGEST];
    struct name_of_key key = {writer, number};
    size_t len;
    uint64_t seed;
    int err = shmkv_get(kv, &key, sizeof key, value, sizeof value, &len);
    if (err == SHMKV_ENOTFOUND)
        return 0;
    must(err);
    memcpy(&seed, value, sizeof seed);
    if (len < 16 || len != length_of(seed) || make_value(seed, expected) != len || memcmp(value, expected, len) != 0)
        die("key %u of writer %u is torn: %zu bytes", number, writer, len);
    return seed;
}

/* ----------------------------------------------------------------------- writers */

static int put_or_delete(shmkv_t *kv, uint32_t writer, uint32_t number, uint64_t seed) {
    static uint8_t value[LARGEST];
    struct name_of_key key = {writer, number};
    if (!seed) {
        int err = shmkv_delete(kv, &key, sizeof key);
        return err == SHMKV_ENOTFOUND ? SHMKV_OK : err;
    }
    return shmkv_put(kv, &key, sizeof key, value, make_value(seed, value));
}

static void note(volatile uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }

static void write_for_ever(void *arg) {
    uint32_t me = (uint32_t)(uintptr_t)arg;
    struct log *log = &logs[me];
    struct random r = {run_seed + (uint64_t)getpid() * 1000003};
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    for (;;) {
        uint32_t number = (uint32_t)random_below(&r, KEYS);
        struct key_log *k = &log->keys[number];
        if (!k->acknowledged) { /* cut short by a death: see what became of it */
            uint64_t now = state_of(kv, me, number);
            if (now != k->before && now != k->after)
                die("key %u of writer %u is neither old nor new", number, me);
            note(&k->before, now);
            note(&k->after, now);
            note(&k->acknowledged, 1);
        }
        uint64_t seed = random_below(&r, 4) == 0 ? 0 : random_next(&r) | 1;
        note(&k->before, k->after);
        note(&k->acknowledged, 0);
        note(&k->after, seed);
        must(put_or_delete(kv, me, number, seed));
        note(&k->acknowledged, 1);
        log->calls++;
        log->deletes += seed == 0;
        log->large += seed && length_of(seed) >= 1000;
        if (random_below(&r, 8) == 0)
            must(put_or_delete(kv, WRITERS, (uint32_t)random_below(&r, COMMON), random_next(&r) | 1));
    }
}

/* ------------------------------------------------------------------------- checks */

/* What a writer's log promises; only while that writer is dead. */
static void check_log(shmkv_t *kv, uint32_t writer, uint64_t *cut_short) {
    for (uint32_t i = 0; i < KEYS; i++) {
        const struct key_log *k = &logs[writer].keys[i];
        uint64_t now = state_of(kv, writer, i);
        if (now != k->after && (k->acknowledged || now != k->before))
            die("key %u of writer %u: %s write lost", i, writer, k->acknowledged ? "acknowledged" : "earlier");
        *cut_short += !k->acknowledged;
    }
}

static int run(int argc, char **argv) {
    unsigned kills = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 300;
    struct random r = random_begin("kill_writers");
    run_seed = r.state;
    logs = shared_memory(WRITERS * sizeof *logs);
    for (int w = 0; w < WRITERS; w++)
        for (int i = 0; i < KEYS; i++)
            logs[w].keys[i].acknowledged = 1;
    name = unique_name();
    struct shmkv_options reading = {.size = sizeof reading, .mode = SHMKV_READONLY};
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    must(shmkv_close(kv));
    must(shmkv_open(name, &reading, &kv)); /* looks without repairing */

    pid_t pids[WRITERS];
    for (uintptr_t i = 0; i < WRITERS; i++)
        pids[i] = child_start(write_for_ever, (void *)i);
    uint64_t cut_short = 0, sound = 0, busy = 0;
    for (unsigned n = 0; n < kills; n++) {
        /* Not a wait for an event: any moment will do, the more different the better. */
        usleep((useconds_t)(500 + random_below(&r, 20000)));
        unsigned victim = (unsigned)random_below(&r, WRITERS);
        if (!child_kill(pids[victim]))
            die("writer %u had ended by itself", victim);
        check_log(kv, victim, &cut_short);
        for (uint32_t i = 0; i < COMMON; i++)
            state_of(kv, WRITERS, i);
        if (n % 10 == 0) {
            int err = shmkv_verify(kv, print_problem, NULL, NULL);
            if (err != SHMKV_EBUSY)
                must(err);
            sound += err == SHMKV_OK;
            busy += err == SHMKV_EBUSY;
        }
        pids[victim] = child_start(write_for_ever, (void *)(uintptr_t)victim);
    }
    for (int i = 0; i < WRITERS; i++)
        if (!child_kill(pids[i]))
            die("writer %d had ended by itself", i);
    must_be_whole(kv); /* four dead in the middle of something, and nothing repaired */
    uint64_t calls = 0, deletes = 0, large = 0, present = 0, count;
    for (uint32_t i = 0; i < WRITERS; i++) {
        check_log(kv, i, &cut_short);
        calls += logs[i].calls, deletes += logs[i].deletes, large += logs[i].large;
    }
    must(shmkv_close(kv));

    must(shmkv_open(name, NULL, &kv)); /* repairs */
    must_be_whole(kv);
    for (uint32_t w = 0; w <= WRITERS; w++)
        for (uint32_t i = 0; i < (w < WRITERS ? KEYS : COMMON); i++) {
            present += state_of(kv, w, i) != 0;
            must(put_or_delete(kv, w, i, random_next(&r) | 1));
            must(put_or_delete(kv, w, i, 0));
        }
    must(shmkv_count(kv, &count));
    struct shmkv_stats st = {.size = sizeof st};
    must(shmkv_stats(kv, &st));
    if (count != 0 || st.large_bytes != 0 || st.owners_live != 1)
        die("%llu entries, %llu bytes of large values, %u owners are left", (unsigned long long)count,
            (unsigned long long)st.large_bytes, st.owners_live);
    printf("%u kills, %llu calls acknowledged (%llu deletes, %llu large values), %llu cut short; "
           "%llu keys were present; sound %llu times in between, too busy to tell %llu times\n",
           kills, (unsigned long long)calls, (unsigned long long)deletes, (unsigned long long)large,
           (unsigned long long)cut_short, (unsigned long long)present, (unsigned long long)sound,
           (unsigned long long)busy);
    return finish(kv, name);
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
