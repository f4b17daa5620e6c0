#include "tests/bench/stores/store.h"

const struct store *const stores[STORES] = {
    &store_shmkv, &store_flat, &store_array, &store_mutex,
    &store_lmdb,  &store_tdb,  &store_boost, &store_huge,
};
