/*
 * Values of a type, and numbers that change in place. Spec 6.11, "Numbers".
 *
 * A number is a record of eight bytes like any other: so readers see the old one or
 * the new one, and death leaves one of them. The sum is made under the shard's
 * lock, from what is there then, so none is ever lost. An atomic addition in the
 * record itself was passed over: it would edit a published record [OP-10], and a
 * writer killed next to it could not know whether it had happened.
 */
#include <math.h>
#include <string.h>

#include "internal.h"

/* ------------------------------------------------------------------------- put, get */

static int put_typed(shmkv_t *kv, const void *key, size_t key_len, int type, const void *data,
                     size_t len) {
    const struct shmkv_item item = {.data = data, .len = len, .type = type};
    return shmkv_put_item(kv, key, key_len, &item);
}

int shmkv_put_i64(shmkv_t *kv, const void *key, size_t key_len, int64_t value) {
    return put_typed(kv, key, key_len, SHMKV_INT64, &value, sizeof value);
}

int shmkv_put_f64(shmkv_t *kv, const void *key, size_t key_len, double value) {
    return put_typed(kv, key, key_len, SHMKV_FLOAT64, &value, sizeof value);
}

int shmkv_put_bool(shmkv_t *kv, const void *key, size_t key_len, int value) {
    const uint8_t byte = value != 0;
    return put_typed(kv, key, key_len, SHMKV_BOOLEAN, &byte, 1);
}

int shmkv_put_null(shmkv_t *kv, const void *key, size_t key_len) {
    return put_typed(kv, key, key_len, SHMKV_NULL, NULL, 0);
}

int shmkv_put_text(shmkv_t *kv, const void *key, size_t key_len, const char *text, size_t len) {
    return put_typed(kv, key, key_len, SHMKV_TEXT, text, len);
}

int shmkv_put_json(shmkv_t *kv, const void *key, size_t key_len, const char *json, size_t len) {
    return put_typed(kv, key, key_len, SHMKV_JSON, json, len);
}

/* A value of @p len bytes, if it is of this type. */
static int get_typed(shmkv_t *kv, const void *key, size_t key_len, int type, void *value,
                     size_t len, bool place) {
    struct shmkv_item item;
    if (!place)
        return fail(SHMKV_EARGUMENT, "no place for the value");
    int err = shmkv_get_item(kv, key, key_len, value, len, &item);
    if (err && err != SHMKV_ETOOSMALL)
        return err;
    if (item.type == type)
        return SHMKV_OK;
    fail(SHMKV_ETYPE, "%s: it is %s, not %s", kv->loc.path, type_name(item.type), type_name(type));
    return fail_at_key(SHMKV_ETYPE, key, key_len);
}

int shmkv_get_i64(shmkv_t *kv, const void *key, size_t key_len, int64_t *value) {
    int64_t got;
    int err = get_typed(kv, key, key_len, SHMKV_INT64, &got, sizeof got, value != NULL);
    if (!err)
        *value = got;
    return err;
}

int shmkv_get_f64(shmkv_t *kv, const void *key, size_t key_len, double *value) {
    double got;
    int err = get_typed(kv, key, key_len, SHMKV_FLOAT64, &got, sizeof got, value != NULL);
    if (!err)
        *value = got;
    return err;
}

int shmkv_get_bool(shmkv_t *kv, const void *key, size_t key_len, int *value) {
    uint8_t got;
    int err = get_typed(kv, key, key_len, SHMKV_BOOLEAN, &got, sizeof got, value != NULL);
    if (!err)
        *value = got != 0;
    return err;
}

/* ------------------------------------------------------------------------ integers */

enum how { PLUS, LARGEST, SMALLEST };

struct i64_change {
    enum how how;
    int64_t operand, initial, result;
};

static int make_i64(void *arg, const uint64_t *old_bits, uint64_t *value) {
    struct i64_change *n = arg;
    int64_t old, new;
    if (old_bits)
        memcpy(&old, old_bits, sizeof old);
    else
        old = n->initial;
    if (n->how == PLUS) {
        if (__builtin_add_overflow(old, n->operand, &new))
            return SHMKV_EOVERFLOW;
    } else {
        bool keep = n->how == LARGEST ? old >= n->operand : old <= n->operand;
        new = old_bits &&keep ? old : n->operand;
    }
    n->result = new;
    memcpy(value, &new, sizeof new);
    return old_bits && new == old && n->how != PLUS ? E_SAME : SHMKV_OK;
}

static int change_number(shmkv_t *kv, const void *key, size_t key_len, int type,
                         int (*make)(void *, const uint64_t *, uint64_t *), void *arg) {
    const struct shmkv_item item = {.len = 8, .type = type};
    struct change c = {.key = key, .key_len = key_len, .item = &item, .compute = make, .arg = arg};
    return handle_change(kv, &c);
}

static int change_i64(shmkv_t *kv, const void *key, size_t key_len, struct i64_change n,
                      int64_t *result) {
    int err = change_number(kv, key, key_len, SHMKV_INT64, make_i64, &n);
    if (!err && result)
        *result = n.result;
    return err;
}

int shmkv_incr_i64(shmkv_t *kv, const void *key, size_t key_len, int64_t delta, int64_t initial,
                   int64_t *result) {
    return change_i64(kv, key, key_len, (struct i64_change){PLUS, delta, initial, 0}, result);
}

int shmkv_max_i64(shmkv_t *kv, const void *key, size_t key_len, int64_t value, int64_t *result) {
    return change_i64(kv, key, key_len, (struct i64_change){LARGEST, value, 0, 0}, result);
}

int shmkv_min_i64(shmkv_t *kv, const void *key, size_t key_len, int64_t value, int64_t *result) {
    return change_i64(kv, key, key_len, (struct i64_change){SMALLEST, value, 0, 0}, result);
}

/* -------------------------------------------------------------------------- floats */

struct f64_change {
    enum how how;
    double operand, initial, result;
};

static int make_f64(void *arg, const uint64_t *old_bits, uint64_t *value) {
    struct f64_change *n = arg;
    double old, new;
    if (old_bits)
        memcpy(&old, old_bits, sizeof old);
    else
        old = n->initial;
    bool keep = false;
    if (n->how == PLUS) {
        new = old + n->operand;
        if (!isfinite(new))
            return SHMKV_EOVERFLOW;
    } else {
        /* What is not a number gives way to one. */
        keep = old_bits && (n->how == LARGEST ? old >= n->operand : old <= n->operand);
        new = keep ? old : n->operand;
    }
    n->result = new;
    memcpy(value, &new, sizeof new);
    return keep ? E_SAME : SHMKV_OK;
}

static int refuse_number(const shmkv_t *kv, const void *key, size_t key_len) {
    fail(SHMKV_EARGUMENT, "%s: the number is not finite", kv_name(kv));
    return fail_at_key(SHMKV_EARGUMENT, key, key_len);
}

static int change_f64(shmkv_t *kv, const void *key, size_t key_len, struct f64_change n,
                      double *result) {
    if (!isfinite(n.operand) || !isfinite(n.initial))
        return refuse_number(kv, key, key_len);
    int err = change_number(kv, key, key_len, SHMKV_FLOAT64, make_f64, &n);
    if (!err && result)
        *result = n.result;
    return err;
}

int shmkv_incr_f64(shmkv_t *kv, const void *key, size_t key_len, double delta, double initial,
                   double *result) {
    return change_f64(kv, key, key_len, (struct f64_change){PLUS, delta, initial, 0}, result);
}

int shmkv_max_f64(shmkv_t *kv, const void *key, size_t key_len, double value, double *result) {
    return change_f64(kv, key, key_len, (struct f64_change){LARGEST, value, 0, 0}, result);
}

int shmkv_min_f64(shmkv_t *kv, const void *key, size_t key_len, double value, double *result) {
    return change_f64(kv, key, key_len, (struct f64_change){SMALLEST, value, 0, 0}, result);
}
