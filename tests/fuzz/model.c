/*
 * Operations against a model: what the store answers is what an array answers that
 * forgets nothing.
 *
 * The input is a string of bytes, read as operations: put, get, delete, count, walk,
 * snapshot, close and open again. Keys come from a small set of all lengths, so that they are
 * overwritten and deleted often, values of all sizes are made of the operation's
 * number. The first byte says whether the store is a cache: then an entry may be gone, at any time
 * but right after it was put, and nothing else, and the bounds are kept. LLVMFuzzerTestOneInput()
 * is what libFuzzer calls, built by libfuzzer_test.sh; the main() here draws inputs at random, and
 * needs no clang.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

#define KEYS 256
#define LONGEST_KEY 65536
#define LONGEST_VALUE (1u << 20)

static struct {
    bool present, walked;
    size_t len;
    uint32_t stamp;
} model[KEYS];
static unsigned present; /* of a cache: at the most */
static bool cache;
#define BOUND 100
#define BOUND_BYTES (2u << 20)
static const char *path;
static uint64_t operations;
static uint8_t key_room[LONGEST_KEY], value_room[LONGEST_VALUE], got[LONGEST_VALUE];

#define EXPECT(condition)                                                       \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "VIOLATION: %s (operation %llu; %s)\n", #condition, \
                    (unsigned long long)operations, shmkv_error_detail());      \
            abort();                                                            \
        }                                                                       \
    } while (0)

/* Key @p k: its number, and a length of its own. */
static size_t key_of(unsigned k) {
    static const uint32_t lengths[] = {1,   2,   7,   8,    9,     16,    31,    64,
                                       250, 255, 256, 4000, 16300, 65535, 65536, 33};
    size_t len = lengths[k % 16];
    memset(key_room, (int)(k * 7), len);
    key_room[0] = (uint8_t)k;
    return len;
}

static void value_of(uint32_t stamp, size_t len) {
    for (size_t i = 0; i < len; i += 64)
        value_room[i] = (uint8_t)(stamp + i / 64);
    if (len)
        value_room[len - 1] = (uint8_t)stamp;
}

static bool same(unsigned k, const uint8_t *val, size_t len) {
    if (len != model[k].len)
        return false;
    for (size_t i = 0; i + 1 < len; i += 64)
        if (val[i] != (uint8_t)(model[k].stamp + i / 64))
            return false;
    return !len || val[len - 1] == (uint8_t)model[k].stamp;
}

/* What the store says of the presence of key @p k; what a cache has evicted is forgotten. */
static bool agrees(unsigned k, int err) {
    if (err == SHMKV_ENOTFOUND && cache && model[k].present) {
        model[k].present = false;
        present--;
    }
    return err == (model[k].present ? SHMKV_OK : SHMKV_ENOTFOUND);
}

static shmkv_t *open_it(void) {
    struct shmkv_options o = {.size = sizeof o,
                              .owner_slots = 4,
                              .reserve = 1u << 30,
                              .max_entries = cache ? BOUND : 0,
                              .max_bytes = cache ? BOUND_BYTES : 0};
    shmkv_t *kv;
    EXPECT(shmkv_open(path, &o, &kv) == SHMKV_OK);
    return kv;
}

static void put(shmkv_t *kv, unsigned k, size_t len) {
    model[k].stamp = (uint32_t)operations;
    value_of(model[k].stamp, len);
    EXPECT(shmkv_put(kv, key_room, key_of(k), value_room, len) == SHMKV_OK);
    present += !model[k].present;
    model[k].present = true;
    model[k].len = len;
    EXPECT(!cache || shmkv_exists(kv, key_room, key_of(k)) == SHMKV_OK);
}

static void get(shmkv_t *kv, unsigned k) {
    size_t len;
    int err = shmkv_get(kv, key_room, key_of(k), got, sizeof got, &len);
    EXPECT(agrees(k, err));
    EXPECT(err || same(k, got, len));
    struct shmkv_bytes key[2] = {{key_room, key_of(k)}, {key_room, key_of(k)}};
    struct shmkv_item item[2];
    err = shmkv_get_many(kv, 2, key, item, got, sizeof got, &len);
    EXPECT(err == SHMKV_OK || (err == SHMKV_ETOOSMALL && len == 1 && item[1].len == model[k].len));
    EXPECT(item[0].result == (model[k].present ? SHMKV_OK : SHMKV_ENOTFOUND));
    EXPECT(item[0].result || same(k, item[0].data, item[0].len));
}

static void delete_(shmkv_t *kv, unsigned k) {
    int err = shmkv_delete(kv, key_room, key_of(k));
    EXPECT(agrees(k, err));
    present -= model[k].present;
    model[k].present = false;
}

/* Some keys from @p k on, one of them perhaps twice, each with a value as long as its number. */
static void put_many(shmkv_t *kv, unsigned k, size_t n) {
    static uint8_t key_bytes[8][LONGEST_KEY], values[8][KEYS];
    struct shmkv_bytes keys[8];
    struct shmkv_item items[8];
    size_t done;
    for (size_t i = 0; i < n; i++, operations += i < n) {
        unsigned this = (k + (unsigned)i * 85) % KEYS;
        keys[i] = (struct shmkv_bytes){key_bytes[i], key_of(this)};
        memcpy(key_bytes[i], key_room, keys[i].len);
        items[i] = (struct shmkv_item){.data = values[i], .len = this};
        present += !model[this].present;
        model[this].present = true;
        model[this].len = this;
        model[this].stamp = (uint32_t)operations;
        value_of(model[this].stamp, this);
        memcpy(values[i], value_room, this);
    }
    EXPECT(shmkv_put_many(kv, n, keys, items, &done) == SHMKV_OK && done == n);
}

static void delete_many(shmkv_t *kv, unsigned k, size_t n) {
    static uint8_t key_bytes[8][LONGEST_KEY];
    struct shmkv_bytes keys[8];
    unsigned these[8];
    int results[8];
    size_t removed, gone = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned this = (k + (unsigned)i * 85) % KEYS;
        keys[i] = (struct shmkv_bytes){key_bytes[i], key_of(this)};
        memcpy(key_bytes[i], key_room, keys[i].len);
        these[i] = this;
    }
    EXPECT(shmkv_delete_many(kv, n, keys, results, NULL, &removed) == SHMKV_OK);
    for (size_t i = 0; i < n; i++) {
        EXPECT(agrees(these[i], results[i]));
        gone += model[these[i]].present;
        present -= model[these[i]].present;
        model[these[i]].present = false;
    }
    EXPECT(removed == gone);
}

static void seen(const void *key, size_t key_len, const void *val, size_t val_len) {
    unsigned k = *(const uint8_t *)key;
    model[k].walked = true;
    EXPECT(key_of(k) == key_len && memcmp(key_room, key, key_len) == 0);
    EXPECT(model[k].present && same(k, val, val_len));
}

static void walk(shmkv_t *kv) {
    const void *key, *val;
    size_t key_len, val_len;
    unsigned n = 0;
    shmkv_cursor_t *c;
    for (unsigned k = 0; k < KEYS; k++)
        model[k].walked = false;
    EXPECT(shmkv_cursor_open(kv, 0, &c) == SHMKV_OK);
    for (; shmkv_cursor_next(c, &key, &key_len, &val, &val_len) == SHMKV_OK; n++)
        seen(key, key_len, val, val_len);
    shmkv_cursor_close(c);
    /* Nobody puts anything meanwhile, so what is there is there throughout. */
    for (unsigned k = 0; k < KEYS; k++)
        EXPECT(agrees(k, model[k].walked ? SHMKV_OK : SHMKV_ENOTFOUND));
    EXPECT(n == present && (!cache || n <= BOUND));
    shmkv_snapshot_t *s;
    EXPECT(shmkv_snapshot(kv, &s) == SHMKV_OK);
    EXPECT(shmkv_snapshot_count(s) == present);
    while (shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK)
        seen(key, key_len, val, val_len);
    shmkv_snapshot_free(s);
    uint64_t count;
    EXPECT(shmkv_count(kv, &count) == SHMKV_OK && count == present);
    EXPECT(shmkv_verify(kv, NULL, NULL, NULL) == SHMKV_OK);
}

/* The keys that begin with the first @p len bytes of key @p k; each step by a cursor of its own. */
static void walk_by_steps(shmkv_t *kv, unsigned k, size_t len) {
    static uint8_t prefix[LONGEST_KEY];
    struct shmkv_position at;
    shmkv_cursor_t *c;
    const void *key, *val;
    size_t key_len, val_len;
    unsigned n = 0, expected = 0;
    int err;
    if (cache)
        walk(kv); /* to know what there is */
    len %= key_of(k) + 1;
    memcpy(prefix, key_room, len);
    for (unsigned i = 0; i < KEYS; i++)
        if (model[i].present && key_of(i) >= len)
            expected += !len || memcmp(key_room, prefix, len) == 0;
    for (err = SHMKV_OK; !err; n += !err) {
        EXPECT(shmkv_cursor_open(kv, 0, &c) == SHMKV_OK);
        EXPECT(!n || shmkv_cursor_seek(c, &at) == SHMKV_OK);
        EXPECT(shmkv_cursor_prefix(c, prefix, len) == SHMKV_OK);
        err = shmkv_cursor_next(c, &key, &key_len, &val, &val_len);
        EXPECT(err == SHMKV_OK || err == SHMKV_ENOTFOUND);
        EXPECT(err || (key_len >= len && (!len || memcmp(key, prefix, len) == 0)));
        if (!err)
            seen(key, key_len, val, val_len);
        EXPECT(shmkv_cursor_position(c, &at) == SHMKV_OK);
        shmkv_cursor_close(c);
    }
    EXPECT(n == expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    names_begin();
    if (!path)
        path = scratch_path("model");
    memset(model, 0, sizeof model);
    present = 0;
    cache = size && data[0] & 1;
    shmkv_t *kv = open_it();
    for (; size >= 4; data += 4, size -= 4, operations++) {
        unsigned k = data[1];
        size_t len = data[2] | (size_t)(data[3] & 15) << 8;
        switch (data[0] % 16) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
        case 5:
            put(kv, k, data[3] < 250 ? len % 700 : data[3] < 254 ? len * 17 : len * 256);
            break;
        case 6:
        case 7:
        case 8:
            delete_(kv, k);
            break;
        case 9:
            if (data[1] < 32)
                walk(kv);
            else if (data[1] < 64)
                walk_by_steps(kv, data[2], data[3] % 4);
            break;
        case 10:
            if (data[1] < 32) {
                EXPECT(shmkv_close(kv) == SHMKV_OK);
                kv = open_it();
            }
            break;
        case 11:
            if (data[2] & 1)
                put_many(kv, k, data[3] % 9);
            else
                delete_many(kv, k, data[3] % 9);
            break;
        default:
            get(kv, k);
        }
    }
    walk(kv);
    EXPECT(shmkv_close(kv) == SHMKV_OK);
    EXPECT(shmkv_unlink(path) == SHMKV_OK);
    return 0;
}

#ifndef LIBFUZZER
int main(int argc, char **argv) {
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : 300;
    struct random r = random_begin("model");
    static uint8_t input[16000];
    names_begin();
    for (uint64_t i = 0; i < runs; i++) {
        for (size_t b = 0; b < sizeof input; b += 8) {
            uint64_t n = random_next(&r);
            memcpy(input + b, &n, 8);
        }
        LLVMFuzzerTestOneInput(input, random_below(&r, sizeof input));
    }
    printf("%llu operations in %llu runs agree with the model\n", (unsigned long long)operations,
           (unsigned long long)runs);
    names_sweep(false);
    return 0;
}
#endif
