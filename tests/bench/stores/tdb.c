/* TDB with mutex locking, and a hash chain for every key. */
#include "tests/bench/stores/store.h"

#ifdef SHMKV_BENCH_TDB

/* tdb.h leaves these to its user. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <tdb.h>

struct handle {
    struct tdb_context *tdb;
    size_t value_size;
};

static void *attach(const struct store_setup *setup) {
    struct handle *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->value_size = setup->value_size;
    /* Mutexes come only with CLEAR_IF_FIRST; whoever comes later is not the first. */
    h->tdb = tdb_runtime_check_for_robust_mutexes()
                 ? tdb_open(setup->path, (int)setup->keys,
                            TDB_MUTEX_LOCKING | TDB_CLEAR_IF_FIRST | TDB_NOSYNC | TDB_INCOMPATIBLE_HASH,
                            O_RDWR | O_CREAT, 0600)
                 : NULL;
    if (!h->tdb) {
        free(h);
        return NULL;
    }
    return h;
}

static void detach(void *handle) {
    struct handle *h = handle;
    tdb_close(h->tdb);
    free(h);
}

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
static int get(void *handle, const void *key, void *value) {
    struct handle *h = handle;
    TDB_DATA wanted = data(value, h->value_size);
    return tdb_parse_record(h->tdb, data(key, KEY_SIZE), copy_out, &wanted);
}

static int put(void *handle, const void *key, const void *value) {
    struct handle *h = handle;
    return tdb_store(h->tdb, data(key, KEY_SIZE), data(value, h->value_size), TDB_REPLACE);
}

#define CALLS .create = attach, .attach = attach, .detach = detach, .get = get, .put = put
#else
#define CALLS .create = NULL
#endif

const struct store store_tdb = {
    .name = "tdb",
    .what = "TDB, mutex locking, a hash chain for every key",
    .package = "libtdb-dev",
    CALLS,
};
