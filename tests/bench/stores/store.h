/*
 * What the benchmark asks of a store. Each file in this folder answers for one.
 *
 * A store is one file, at setup.path, which only the benchmark touches. create()
 * makes it anew, in the process that is going to fill it; every other process
 * attach()es. Nothing is open in the parent, so that a store need not care about
 * fork. A get copies the whole value into the caller's memory, in every store.
 */
#ifndef SHMKV_TESTS_BENCH_STORES_STORE_H
#define SHMKV_TESTS_BENCH_STORES_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KEY_SIZE 16
#define BATCH_OPS 64 /* most keys of a get_many() */

/* A number below @p n from 64 random bits, without a division. */
static inline uint64_t scale_down(uint64_t random, uint64_t n) {
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)random * n) >> 64);
}

struct store_setup {
    const char *path;
    uint64_t keys;     /* never more than that */
    size_t value_size; /* never larger */
    bool grows;        /* begin small: nobody knows yet how many there will be */
    bool touch;        /* tables that are sized in advance: map every page on attaching */
};

struct store {
    const char *name;
    const char *what;    /* for --list */
    const char *package; /* Debian's, when it needs one */

    /* NULL when the store was not found on this system and is skipped. */
    void *(*create)(const struct store_setup *setup);
    void *(*attach)(
        const struct store_setup *setup); /* both: NULL, and errno where it says something */
    void (*detach)(void *handle);

    /* What went wrong last, in words. NULL: errno knows. */
    const char *(*why)(void);

    /* 0, or anything else for a failure, an absent key or a value of another size included. */
    int (*get)(void *handle, const void *key, void *value, size_t size);
    int (*put)(void *handle, const void *key, const void *value, size_t size);

    /* Several keys at once, the way the store offers it; values one after another. NULL: get after
     * get. */
    int (*get_many)(void *handle, const uint8_t *keys, unsigned n, uint8_t *values, size_t size);

    /* NULL: a plain table, from which no key goes, and whose values all have setup.value_size
     * bytes. */
    int (*remove)(void *handle, const void *key);

    /* Another file that belongs to the store: this suffix on its path. NULL: none. */
    const char *second_file;

    double room; /* file size, about, by the bytes of keys and values and 64 for each */
    bool aside;  /* takes part only when --stores names it */
};

extern const struct store store_shmkv, store_flat, store_array, store_mutex, store_lmdb, store_tdb,
    store_boost, store_huge;

/* The first and the last are ours; flat and array are limits, the others the peers. */
enum { STORES = 8 };
extern const struct store *const stores[STORES];

#ifdef __cplusplus
}
#endif

#endif
