/*
 * The other limit: memcpy from an array in shared memory. No key is looked for:
 * its number is worked out of it, which only this benchmark's keys allow. What a
 * large value costs beyond this is the store's own.
 */
#include <errno.h>
#include <stdlib.h>

#include "tests/bench/keys.h"
#include "tests/bench/stores/flat_table.h"

static void *open_store(const struct store_setup *setup, bool fresh) {
    struct table *t = malloc(sizeof *t);
    if (t && !table_map(t, setup, fresh)) {
        free(t);
        return NULL;
    }
    return t;
}

static void *create(const struct store_setup *setup) { return open_store(setup, true); }
static void *attach(const struct store_setup *setup) { return open_store(setup, false); }

static void detach(void *handle) {
    table_unmap(handle);
    free(handle);
}

static uint8_t *place(const struct table *t, const void *key, size_t size) {
    uint64_t number = key_number(key);
    return number < t->capacity && size == t->value_size ? t->entries + number * t->entry_size
                                                         : NULL;
}

static int get(void *handle, const void *key, void *value, size_t size) {
    const uint8_t *from = place(handle, key, size);
    if (!from)
        return -1;
    table_copy(value, from, size);
    return 0;
}

static int put(void *handle, const void *key, const void *value, size_t size) {
    uint8_t *to = place(handle, key, size);
    if (!to)
        return -1;
    table_copy(to, value, size);
    return 0;
}

const struct store store_array = {
    .name = "array",
    .what = "memcpy from an array, the place worked out of the key",
    .create = create,
    .attach = attach,
    .detach = detach,
    .get = get,
    .put = put,
    .room = 2.5,
    .aside = true,
};
