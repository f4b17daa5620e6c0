/*
 * Keys whose hashes are equal in all 64 bits, made by somebody who has read the
 * seed: whoever may read a segment can. XXH3 multiplies, for keys of 17 to 128
 * bytes, one word of the key (mixed with the seed) by the next: make the first
 * factor zero, and the second word does not matter. Such keys differ in nothing
 * that the index looks at, so one chain takes them all.
 *
 * What they may cost: time in proportion to their number for each operation on
 * one of them, one cell of 64 bytes for seven of them, and nothing for other keys.
 * The directory doubles no further than as many keys that do not collide would have
 * made it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/src/hash.h"
#include "tests/support/support.h"

#define KEY 32
#define LIMIT_MS 100

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void colliding_key(uint64_t seed, uint64_t number, uint8_t key[KEY]) {
    uint64_t secret;
    memcpy(&secret, XXH3_kSecret, 8);
    secret += seed;
    memset(key, 0, KEY);
    memcpy(key, &secret, 8);
    memcpy(key + 8, &number, 8);
}

static double longest;
static bool bad;

static double begun;
static void begin(void) { begun = cpu_ms(); }

static int timed(int err, const char *what) {
    double ms = cpu_ms() - begun;
    longest = ms > longest ? ms : longest;
    if (err != SHMKV_OK || ms > LIMIT_MS) {
        fprintf(stderr, "VIOLATION: %s: %s, %.1f ms\n", what, shmkv_strerror(err), ms);
        bad = true;
    }
    return err;
}
#define TIMED(call) (begin(), timed(call, #call))

static uint64_t bystander(shmkv_t *kv) {
    double from = cpu_ms();
    char val[8];
    for (int i = 0; i < 10000; i++)
        if (shmkv_get(kv, "bystander", 9, val, sizeof val, NULL) != SHMKV_OK)
            bad = true;
    return (uint64_t)((cpu_ms() - from) * 100); /* ns each */
}

int main(int argc, char **argv) {
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    names_begin();
    const char *path = scratch_path("collide");
    shmkv_t *kv;
    if (shmkv_open(path, NULL, &kv) != SHMKV_OK)
        return 2;
    uint64_t seed = segment_of(kv)->seed;
    uint8_t key[KEY], other[KEY], val[8] = {0};
    colliding_key(seed, 0, key);
    colliding_key(seed, 1, other);
    if (hash_of(kv, key, KEY) != hash_of(kv, other, KEY)) {
        fprintf(stderr, "collide: the keys do not collide\n");
        return 2;
    }
    shmkv_put(kv, "bystander", 9, "b", 1);
    double from = cpu_ms();
    /* The cost of all puts is quadratic, by nature: a chain is looked through to its end. */
    uint64_t at = 0;
    for (; at < n && !bad && cpu_ms() - from < 100000; at++) {
        colliding_key(seed, at, key);
        TIMED(shmkv_put(kv, key, KEY, val, sizeof val));
    }
    double puts = cpu_ms() - from, put_longest = longest;
    struct shmkv_stats st = {.size = sizeof st};
    shmkv_stats(kv, &st);
    longest = 0;
    for (uint64_t i = 0; i < 20 && !bad; i++) {
        colliding_key(seed, at - 1 - i, key);
        TIMED(shmkv_get(kv, key, KEY, val, sizeof val, NULL));
        TIMED(shmkv_put(kv, key, KEY, val, sizeof val));
        TIMED(shmkv_delete(kv, key, KEY));
    }
    double late = longest;
    uint64_t aside = bystander(kv);
    if (st.directory_words > 64 + 16 * (1 + n / 160) || st.limit > n * 256 + (4u << 20)) {
        fprintf(stderr, "VIOLATION: the index grew: %llu directory words, %llu bytes\n",
                (unsigned long long)st.directory_words, (unsigned long long)st.limit);
        bad = true;
    }
    from = cpu_ms();
    int err = shmkv_verify(kv, NULL, NULL, NULL);
    double verified = cpu_ms() - from;
    uint64_t walked = 0;
    shmkv_cursor_t *c;
    const void *k;
    size_t len;
    from = cpu_ms();
    shmkv_cursor_open(kv, SHMKV_KEYS_ONLY, &c);
    while (shmkv_cursor_next(c, &k, &len, NULL, NULL) == SHMKV_OK)
        walked++;
    shmkv_cursor_close(c);
    bad |= err != SHMKV_OK || walked != at - 20 + 1;
    printf(
        "%llu colliding keys: %.0f s of puts, the longest %.2f ms; at the end of the chain get, "
        "put, "
        "delete at most %.2f ms; another key %llu ns; %llu directory words, %llu groups, %llu KiB; "
        "verify %.0f ms (%d), walk %.0f ms (%llu)\n",
        (unsigned long long)at, puts / 1000, put_longest, late, (unsigned long long)aside,
        (unsigned long long)st.directory_words, (unsigned long long)st.group_bytes / 4096,
        (unsigned long long)st.limit >> 10, verified, err, cpu_ms() - from,
        (unsigned long long)walked);
    shmkv_close(kv);
    shmkv_unlink(path);
    names_sweep(false);
    return bad;
}
