/*
 * What the benchmark asks of a store. Each file in this folder answers for one.
 *
 * A store is one file, at setup.path, which only the benchmark touches. create()
 * makes it anew, in the process that is going to fill it; every other process
 * attach()es. All of them stay attached until the end. Nothing is open in the
 * parent, so that a store need not care about fork.
 *
 * Keys are KEY_SIZE bytes and values setup.value_size bytes, and no key goes
 * away: enough for a plain table to be a fair yardstick.
 */
#ifndef SHMKV_TESTS_BENCH_STORES_STORE_H
#define SHMKV_TESTS_BENCH_STORES_STORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KEY_SIZE 16

/* A number below @p n from 64 random bits, without a division. */
static inline uint64_t scale_down(uint64_t random, uint64_t n) {
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)random * n) >> 64);
}

struct store_setup {
    const char *path;
    uint64_t keys;
    size_t value_size;
};

struct store {
    const char *name;
    const char *what;    /* for --list */
    const char *package; /* Debian's, when it needs one */

    /* NULL when the store was not found on this system and is skipped. */
    void *(*create)(const struct store_setup *setup);
    void *(*attach)(const struct store_setup *setup); /* both: NULL, and errno where it says something */
    void (*detach)(void *handle);

    /* What went wrong last, in words. NULL: errno knows. */
    const char *(*why)(void);

    /* 0, or anything else for a failure, an absent key included. */
    int (*get)(void *handle, const void *key, void *value);
    int (*put)(void *handle, const void *key, const void *value);

    /* Another file that belongs to the store: this suffix on its path. NULL: none. */
    const char *second_file;
};

extern const struct store store_shmkv, store_flat, store_mutex, store_lmdb, store_tdb, store_boost;

/* The first is ours, the second the limit, the others the peers. */
enum { STORES = 6 };
extern const struct store *const stores[STORES];

#ifdef __cplusplus
}
#endif

#endif
