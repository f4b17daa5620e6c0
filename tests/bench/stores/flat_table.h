/*
 * A plain hash table in a mapped file: XXH3, open addressing, entries inline, no
 * lock, no growth. About the least work that finds a key in shared memory; the
 * limit is this alone, the mutex store is this under a lock.
 *
 * An entry is a key and its value, and starts a cache line when it fits into one.
 * A key is never all zero, so that is what an empty entry looks like.
 */
#ifndef SHMKV_TESTS_BENCH_STORES_FLAT_TABLE_H
#define SHMKV_TESTS_BENCH_STORES_FLAT_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tests/bench/stores/store.h"

/* Space before the entries, for what the users of the table keep there. */
#define TABLE_HEAD 4096

struct table {
    uint8_t *base; /* the mapping */
    uint8_t *entries;
    uint64_t size; /* of the mapping, bytes */
    uint64_t capacity;
    size_t entry_size, value_size;
};

/* Map the file, all of its pages at once if setup.touch. With @p fresh it is made anew, full of
 * zeros. */
bool table_map(struct table *t, const struct store_setup *setup, bool fresh);
void table_unmap(struct table *t);

static inline uint8_t *table_find(const struct table *t, const void *key) {
    uint64_t i = scale_down(XXH3_64bits(key, KEY_SIZE), t->capacity);
    uint64_t wanted[2], zero[2] = {0, 0};
    memcpy(wanted, key, KEY_SIZE);
    for (;;) {
        uint8_t *entry = t->entries + i * t->entry_size;
        if (memcmp(entry, wanted, KEY_SIZE) == 0 || memcmp(entry, zero, KEY_SIZE) == 0)
            return entry;
        if (++i == t->capacity)
            i = 0;
    }
}

/* The size that is measured most is worth a copy without a call. */
static inline void table_copy(void *to, const void *from, size_t size) {
    if (size == 32)
        memcpy(to, from, 32);
    else
        memcpy(to, from, size);
}

static inline int table_get(const struct table *t, const void *key, void *value, size_t size) {
    const uint8_t *entry = table_find(t, key);
    if (size != t->value_size || memcmp(entry, key, KEY_SIZE) != 0)
        return -1;
    table_copy(value, entry + KEY_SIZE, size);
    return 0;
}

static inline int table_put(const struct table *t, const void *key, const void *value,
                            size_t size) {
    if (size != t->value_size)
        return -1;
    uint8_t *entry = table_find(t, key);
    memcpy(entry, key, KEY_SIZE);
    table_copy(entry + KEY_SIZE, value, size);
    return 0;
}

#endif
