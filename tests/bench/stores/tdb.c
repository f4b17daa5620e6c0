/* TDB with mutex locking, and a hash chain for every key. */
#include "tests/bench/stores/store.h"

#ifdef SHMKV_BENCH_TDB

/* tdb.h leaves these to its user. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <tdb.h>

static void *attach(const struct store_setup *setup) {
    /* Mutexes come only with CLEAR_IF_FIRST; whoever comes later is not the first. */
    if (!tdb_runtime_check_for_robust_mutexes())
        return NULL;
    return tdb_open(setup->path, (int)setup->keys,
                    TDB_MUTEX_LOCKING | TDB_CLEAR_IF_FIRST | TDB_NOSYNC | TDB_INCOMPATIBLE_HASH,
                    O_RDWR | O_CREAT, 0600);
}

static void detach(void *handle) { tdb_close(handle); }

static TDB_DATA data(const void *bytes, size_t size) {
    return (TDB_DATA){.dptr = (unsigned char *)(uintptr_t)bytes, .dsize = size};
}

static int copy_out(TDB_DATA key, TDB_DATA found, void *wanted) {
    (void)key;
    TDB_DATA *value = wanted;
    if (found.dsize != value->dsize)
        return -1;
    memcpy(value->dptr, found.dptr, found.dsize);
    return 0;
}

/* Without the allocation that tdb_fetch() makes. */
static int get(void *handle, const void *key, void *value, size_t size) {
    TDB_DATA wanted = data(value, size);
    return tdb_parse_record(handle, data(key, KEY_SIZE), copy_out, &wanted);
}

static int put(void *handle, const void *key, const void *value, size_t size) {
    return tdb_store(handle, data(key, KEY_SIZE), data(value, size), TDB_REPLACE);
}

static int remove_key(void *handle, const void *key) {
    return tdb_delete(handle, data(key, KEY_SIZE));
}

#define CALLS                                                                     \
    .create = attach, .attach = attach, .detach = detach, .get = get, .put = put, \
    .remove = remove_key
#else
#define CALLS .create = NULL
#endif

const struct store store_tdb = {
    .name = "tdb",
    .what = "TDB, mutex locking, a hash chain for every key",
    .package = "libtdb-dev",
    .room = 1.5,
    CALLS,
};
