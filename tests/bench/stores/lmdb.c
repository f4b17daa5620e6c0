/*
 * LMDB: one transaction per operation. Durability is off, which is its fastest
 * way; a read transaction is renewed and not begun anew, as its manual advises.
 */
#include "tests/bench/stores/store.h"

#ifdef SHMKV_BENCH_LMDB

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

struct handle {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *read; /* reset between reads */
};

static int open_env(struct handle *h, const struct store_setup *setup) {
    int err = mdb_env_create(&h->env);
    if (err)
        return err;
    /* Pages that are half full, several versions of them, and a base. */
    uint64_t size = setup->keys * (setup->value_size + 128) * 4 + (64ULL << 20);
    err = mdb_env_set_mapsize(h->env, size);
    if (!err)
        err = mdb_env_open(h->env, setup->path, MDB_NOSUBDIR | MDB_WRITEMAP | MDB_NOSYNC, 0600);
    MDB_txn *txn;
    if (!err)
        err = mdb_txn_begin(h->env, NULL, 0, &txn);
    if (err)
        return err;
    err = mdb_dbi_open(txn, NULL, 0, &h->dbi);
    if (err) {
        mdb_txn_abort(txn);
        return err;
    }
    err = mdb_txn_commit(txn);
    if (!err)
        err = mdb_txn_begin(h->env, NULL, MDB_RDONLY, &h->read);
    if (!err)
        mdb_txn_reset(h->read);
    return err;
}

static void *attach(const struct store_setup *setup) {
    struct handle *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    int err = open_env(h, setup);
    if (err) {
        mdb_env_close(h->env);
        free(h);
        errno = err > 0 ? err : 0;
        return NULL;
    }
    return h;
}

static void detach(void *handle) {
    struct handle *h = handle;
    mdb_txn_abort(h->read);
    mdb_env_close(h->env);
    free(h);
}

/* LMDB's interface takes bytes it only reads by a plain pointer. */
static MDB_val val(const void *bytes, size_t size) {
    return (MDB_val){size, (void *)(uintptr_t)bytes};
}

/* Within the read transaction. */
static int copy_out(struct handle *h, const void *key, void *value, size_t size) {
    MDB_val k = val(key, KEY_SIZE), v;
    int err = mdb_get(h->read, h->dbi, &k, &v);
    if (!err && v.mv_size != size)
        err = -1;
    if (!err)
        memcpy(value, v.mv_data, size);
    return err;
}

static int get_many(void *handle, const uint8_t *keys, unsigned n, uint8_t *values, size_t size) {
    struct handle *h = handle;
    int err = mdb_txn_renew(h->read);
    if (err)
        return err;
    for (unsigned i = 0; i < n && !err; i++)
        err = copy_out(h, keys + i * KEY_SIZE, values + i * size, size);
    mdb_txn_reset(h->read);
    return err;
}

static int get(void *handle, const void *key, void *value, size_t size) {
    return get_many(handle, key, 1, value, size);
}

static int put(void *handle, const void *key, const void *value, size_t size) {
    struct handle *h = handle;
    MDB_txn *txn;
    int err = mdb_txn_begin(h->env, NULL, 0, &txn);
    if (err)
        return err;
    MDB_val k = val(key, KEY_SIZE), v = val(value, size);
    err = mdb_put(txn, h->dbi, &k, &v, 0);
    if (err) {
        mdb_txn_abort(txn);
        return err;
    }
    return mdb_txn_commit(txn);
}

static int remove_key(void *handle, const void *key) {
    struct handle *h = handle;
    MDB_txn *txn;
    int err = mdb_txn_begin(h->env, NULL, 0, &txn);
    if (err)
        return err;
    MDB_val k = val(key, KEY_SIZE);
    err = mdb_del(txn, h->dbi, &k, NULL);
    if (err) {
        mdb_txn_abort(txn);
        return err;
    }
    return mdb_txn_commit(txn);
}

#define CALLS                                                                     \
    .create = attach, .attach = attach, .detach = detach, .get = get, .put = put, \
    .get_many = get_many, .remove = remove_key
#else
#define CALLS .create = NULL
#endif

const struct store store_lmdb = {
    .name = "lmdb",
    .what = "LMDB, one transaction per operation, MDB_NOSYNC and MDB_WRITEMAP",
    .package = "liblmdb-dev",
    .second_file = "-lock",
    .room = 2.5,
    CALLS,
};
