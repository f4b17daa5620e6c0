/*
 * The calls that write one key: each says what it wants in a struct change, and
 * change.c does it. Spec 6.3, 6.4, 6.11.
 */
#include "internal.h"

static int refuse_place(void) { return fail(SHMKV_EARGUMENT, "no place for the old value"); }

/* A place for the old value, if one is given at all. */
static bool bad_place(const void *buf, size_t buf_len, const struct shmkv_item *old) {
    return !old || (!buf && buf_len);
}

/* --------------------------------------------------------------------- put, delete */

static int refuse_value(const shmkv_t *kv, int err, const void *key, size_t key_len, size_t len) {
    fail(err, err == SHMKV_EVALUE ? "%s: a value of %zu bytes" : "%s: no value, of %zu bytes",
         kv_name(kv), len);
    return fail_at_key(err, key, key_len);
}

int shmkv_put(shmkv_t *kv, const void *key, size_t key_len, const void *val, size_t val_len) {
    if (unlikely(val_len > SHMKV_MAX_VALUE))
        return refuse_value(kv, SHMKV_EVALUE, key, key_len, val_len);
    if (unlikely(!val && val_len))
        return refuse_value(kv, SHMKV_EARGUMENT, key, key_len, val_len);
    const struct shmkv_item item = {.data = val, .len = val_len};
    struct change c = {.key = key, .key_len = key_len, .item = &item};
    return handle_change(kv, &c);
}

/* The version of what was stored, for those who asked. */
static int change_and_tell(shmkv_t *kv, struct change *c, uint64_t *version) {
    int err = item_check(kv, c->item);
    if (unlikely(err))
        return fail_at_key(err, c->key, c->key_len);
    err = handle_change(kv, c);
    if (!err && version)
        *version = c->made;
    return err;
}

int shmkv_put_item(shmkv_t *kv, const void *key, size_t key_len, const struct shmkv_item *item) {
    return change_and_tell(kv, &(struct change){.key = key, .key_len = key_len, .item = item},
                           NULL);
}

int shmkv_delete(shmkv_t *kv, const void *key, size_t key_len) {
    return handle_change(kv, &(struct change){.key = key, .key_len = key_len});
}

/* --------------------------------------------------------------- under a condition */

int shmkv_add(shmkv_t *kv, const void *key, size_t key_len, const struct shmkv_item *item,
              uint64_t *version) {
    return change_and_tell(
        kv, &(struct change){.key = key, .key_len = key_len, .item = item, .when = IF_ABSENT},
        version);
}

int shmkv_replace(shmkv_t *kv, const void *key, size_t key_len, const struct shmkv_item *item,
                  uint64_t *version) {
    return change_and_tell(
        kv, &(struct change){.key = key, .key_len = key_len, .item = item, .when = IF_PRESENT},
        version);
}

/* Absent or present when it should be otherwise: not what was expected either. */
static int as_changed(int err) {
    return err == SHMKV_ENOTFOUND || err == SHMKV_EEXISTS ? SHMKV_ECHANGED : err;
}

int shmkv_cas(shmkv_t *kv, const void *key, size_t key_len, uint64_t version,
              const struct shmkv_item *item) {
    struct change c = {.key = key,
                       .key_len = key_len,
                       .item = item,
                       .when = version ? IF_VERSION : IF_ABSENT,
                       .version = version};
    return as_changed(change_and_tell(kv, &c, NULL));
}

int shmkv_cas_value(shmkv_t *kv, const void *key, size_t key_len, const struct shmkv_item *expected,
                    const struct shmkv_item *item) {
    int err = item_check(kv, expected);
    if (err)
        return fail_at_key(err, key, key_len);
    struct change c = {
        .key = key, .key_len = key_len, .item = item, .when = IF_VALUE, .expected = expected};
    return as_changed(change_and_tell(kv, &c, NULL));
}

int shmkv_delete_if(shmkv_t *kv, const void *key, size_t key_len, uint64_t version) {
    return handle_change(
        kv,
        &(struct change){.key = key, .key_len = key_len, .when = IF_VERSION, .version = version});
}

int shmkv_delete_value(shmkv_t *kv, const void *key, size_t key_len,
                       const struct shmkv_item *expected) {
    int err = item_check(kv, expected);
    return err ? fail_at_key(err, key, key_len)
               : handle_change(kv, &(struct change){.key = key,
                                                    .key_len = key_len,
                                                    .when = IF_VALUE,
                                                    .expected = expected});
}

/* ----------------------------------------------------------- with what was there */

int shmkv_swap(shmkv_t *kv, const void *key, size_t key_len, const struct shmkv_item *item,
               void *buf, size_t buf_len, struct shmkv_item *old) {
    if (bad_place(buf, buf_len, old))
        return refuse_place();
    struct change c = {
        .key = key, .key_len = key_len, .item = item, .old = old, .buf = buf, .buf_len = buf_len};
    return change_and_tell(kv, &c, NULL);
}

int shmkv_take(shmkv_t *kv, const void *key, size_t key_len, void *buf, size_t buf_len,
               struct shmkv_item *item) {
    if (bad_place(buf, buf_len, item))
        return refuse_place();
    struct change c = {.key = key, .key_len = key_len, .old = item, .buf = buf, .buf_len = buf_len};
    return handle_change(kv, &c);
}
