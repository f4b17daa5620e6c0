/* shmkv itself, through its public calls, with default options; and again, in huge pages. */
#include <shmkv/shmkv.h>

#include "tests/bench/stores/store.h"

static void *open_store(const struct store_setup *setup, int mode, unsigned flags) {
    struct shmkv_options opts = {.size = sizeof opts, .mode = mode, .flags = flags};
    shmkv_t *kv;
    return shmkv_open(setup->path, &opts, &kv) == SHMKV_OK ? kv : NULL;
}

static void *create(const struct store_setup *setup) {
    return open_store(setup, SHMKV_EXCLUSIVE, 0);
}
static void *attach(const struct store_setup *setup) {
    return open_store(setup, SHMKV_EXISTING, 0);
}
static void *create_huge(const struct store_setup *setup) {
    return open_store(setup, SHMKV_EXCLUSIVE, SHMKV_HUGE_PAGES);
}
static void *attach_huge(const struct store_setup *setup) {
    return open_store(setup, SHMKV_EXISTING, SHMKV_HUGE_PAGES);
}
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

/* What the two have in common. */
#define SHMKV_STORE                                                                            \
    .detach = detach, .why = shmkv_error_detail, .get = get, .put = put, .get_many = get_many, \
    .remove = remove_key

const struct store store_shmkv = {
    .name = "shmkv",
    .what = "this library",
    .create = create,
    .attach = attach,
    SHMKV_STORE,
    .room = 1.3,
};

const struct store store_huge = {
    .name = "huge",
    .what = "this library, asking for huge pages",
    .create = create_huge,
    .attach = attach_huge,
    SHMKV_STORE,
    .room = 1.3,
    .aside = true,
};
