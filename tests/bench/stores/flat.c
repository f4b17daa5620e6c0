/* The limit: a table without any synchronisation. With several processes it is no store that
 * anybody could use (values tear), only the speed of the memory. */
#include <stdlib.h>

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

static int get(void *handle, const void *key, void *value, size_t size) {
    return table_get(handle, key, value, size);
}

static int put(void *handle, const void *key, const void *value, size_t size) {
    return table_put(handle, key, value, size);
}

const struct store store_flat = {
    .name = "flat",
    .what = "the limit: open addressing at half load, entries inline, no lock, no growth",
    .create = create,
    .attach = attach,
    .detach = detach,
    .get = get,
    .put = put,
    .room = 2.5,
};
