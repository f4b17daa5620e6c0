/* shmkv itself, through its public calls, with default options. */
#include <shmkv/shmkv.h>

#include "tests/bench/stores/store.h"

static void *open_store(const struct store_setup *setup, int mode) {
    struct shmkv_options opts = {.size = sizeof opts, .mode = mode};
    shmkv_t *kv;
    return shmkv_open(setup->path, &opts, &kv) == SHMKV_OK ? kv : NULL;
}

static void *create(const struct store_setup *setup) { return open_store(setup, SHMKV_EXCLUSIVE); }
static void *attach(const struct store_setup *setup) { return open_store(setup, SHMKV_EXISTING); }
static void detach(void *handle) { shmkv_close(handle); }

static int get(void *handle, const void *key, void *value, size_t size) {
    size_t len;
    int err = shmkv_get(handle, key, KEY_SIZE, value, size, &len);
    return err ? err : len != size;
}

static int put(void *handle, const void *key, const void *value, size_t size) {
    return shmkv_put(handle, key, KEY_SIZE, value, size);
}

/* The library puts the values one behind the other too. */
static int get_many(void *handle, const uint8_t *keys, unsigned n, uint8_t *values, size_t size) {
    struct shmkv_bytes wanted[BATCH_OPS] = {{0}};
    struct shmkv_item items[BATCH_OPS];
    for (unsigned i = 0; i < n; i++)
        wanted[i] = (struct shmkv_bytes){keys + i * KEY_SIZE, KEY_SIZE};
    int err = shmkv_get_many(handle, n, wanted, items, values, n * size, NULL);
    for (unsigned i = 0; i < n && !err; i++)
        err = items[i].result ? items[i].result : items[i].len != size;
    return err;
}

static int remove_key(void *handle, const void *key) { return shmkv_delete(handle, key, KEY_SIZE); }

const struct store store_shmkv = {
    .name = "shmkv",
    .what = "this library",
    .create = create,
    .attach = attach,
    .detach = detach,
    .why = shmkv_error_detail,
    .get = get,
    .put = put,
    .get_many = get_many,
    .remove = remove_key,
    .room = 1.3,
};
