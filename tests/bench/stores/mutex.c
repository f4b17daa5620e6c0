/* The same table under one robust mutex: what a program does that needs no library. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "tests/bench/stores/flat_table.h"

_Static_assert(sizeof(pthread_mutex_t) <= TABLE_HEAD, "the mutex stands before the entries");

static pthread_mutex_t *mutex_of(struct table *t) { return (pthread_mutex_t *)(void *)t->base; }

static int mutex_create(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attr;
    int err = pthread_mutexattr_init(&attr);
    if (!err)
        err = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (!err)
        err = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    return err ? err : pthread_mutex_init(mutex, &attr);
}

static void *open_store(const struct store_setup *setup, bool fresh) {
    struct table *t = malloc(sizeof *t);
    if (t && !table_map(t, setup, fresh)) {
        free(t);
        return NULL;
    }
    if (t && fresh && (errno = mutex_create(mutex_of(t))) != 0) {
        table_unmap(t);
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

static int lock(struct table *t) {
    int err = pthread_mutex_lock(mutex_of(t));
    return err == EOWNERDEAD ? pthread_mutex_consistent(mutex_of(t)) : err;
}

static int get(void *handle, const void *key, void *value, size_t size) {
    int err = lock(handle);
    if (!err) {
        err = table_get(handle, key, value, size);
        pthread_mutex_unlock(mutex_of(handle));
    }
    return err;
}

static int put(void *handle, const void *key, const void *value, size_t size) {
    int err = lock(handle);
    if (!err) {
        err = table_put(handle, key, value, size);
        pthread_mutex_unlock(mutex_of(handle));
    }
    return err;
}

static int get_many(void *handle, const uint8_t *keys, unsigned n, uint8_t *values, size_t size) {
    int err = lock(handle);
    if (err)
        return err;
    for (unsigned i = 0; i < n && !err; i++)
        err = table_get(handle, keys + i * KEY_SIZE, values + i * size, size);
    pthread_mutex_unlock(mutex_of(handle));
    return err;
}

const struct store store_mutex = {
    .name = "mutex",
    .what = "the flat table under one robust process-shared mutex",
    .create = create,
    .attach = attach,
    .detach = detach,
    .get = get,
    .put = put,
    .get_many = get_many,
    .room = 2.5,
};
