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
    .remove = remove_key,
    .room = 1.3,
};
