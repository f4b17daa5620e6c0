/* shmkv itself, through its public calls, with default options. */
#include <stdlib.h>

#include <shmkv/shmkv.h>

#include "tests/bench/stores/store.h"

struct handle {
    shmkv_t *kv;
    size_t value_size;
};

static void *open_store(const struct store_setup *setup, int mode) {
    struct shmkv_options opts = {.size = sizeof opts, .mode = mode};
    struct handle *h = malloc(sizeof *h);
    if (!h)
        return NULL;
    if (shmkv_open(setup->path, &opts, &h->kv)) {
        free(h);
        return NULL;
    }
    h->value_size = setup->value_size;
    return h;
}

static void *create(const struct store_setup *setup) { return open_store(setup, SHMKV_EXCLUSIVE); }
static void *attach(const struct store_setup *setup) { return open_store(setup, SHMKV_EXISTING); }

static void detach(void *handle) {
    struct handle *h = handle;
    shmkv_close(h->kv);
    free(h);
}

static int get(void *handle, const void *key, void *value) {
    struct handle *h = handle;
    size_t len;
    int err = shmkv_get(h->kv, key, KEY_SIZE, value, h->value_size, &len);
    return err ? err : len != h->value_size;
}

static int put(void *handle, const void *key, const void *value) {
    struct handle *h = handle;
    return shmkv_put(h->kv, key, KEY_SIZE, value, h->value_size);
}

const struct store store_shmkv = {
    .name = "shmkv",
    .what = "this library",
    .create = create,
    .attach = attach,
    .detach = detach,
    .why = shmkv_error_detail,
    .get = get,
    .put = put,
};
