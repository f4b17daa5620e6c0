/*
 * New values made of old ones, where making them takes longer than a lock may be
 * held. Spec 6.11, "Made outside the lock".
 *
 * The old value is read without the lock, the new one is made of it, and the
 * change is committed if the version is still the one that was read: a version
 * never comes back, so nothing can have happened in between. Otherwise once more.
 * Whoever has to repeat does so because somebody else's change was made.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MAX_ATTEMPTS 10000

/* Is it worth another try? */
static bool lost_the_race(int err) {
    return err == SHMKV_ECHANGED || err == SHMKV_ENOTFOUND || err == SHMKV_EEXISTS;
}

/* -------------------------------------------------------------------------- append */

struct append {
    const void *key, *data;
    size_t key_len, len, new_len;
    int type; /* what a value begins as */
};

/* The change that appends to what is there now. */
static int plan_append(struct segment *seg, const struct append *a, struct peek *base,
                       struct shmkv_item *item, struct change *c) {
    *item = (struct shmkv_item){.data = a->data, .len = a->len, .type = a->type};
    *c = (struct change){.key = a->key, .key_len = a->key_len, .item = item, .when = IF_ABSENT};
    int err = read_peek(seg, a->key, a->key_len, false, base);
    if (err == SHMKV_ENOTFOUND) {
        base->val_len = 0;
        return SHMKV_OK;
    }
    if (err)
        return err;
    int type = item->type = type_of_value(base->type, base->val_len);
    if (type != SHMKV_BYTES && type != SHMKV_TEXT)
        return fail(SHMKV_ETYPE, "%s: it is %s, neither bytes nor text", seg->loc->path,
                    type_name(type));
    if (type == SHMKV_TEXT && !utf8_valid(a->data, a->len))
        return fail(SHMKV_EVALUE, "%s: what is appended is not text", seg->loc->path);
    c->when = IF_VERSION;
    c->version = base->version;
    c->base = base;
    return SHMKV_OK;
}

static int append_once(struct context *ctx, struct append *a) {
    struct segment *seg = ctx->seg;
    struct peek base;
    struct shmkv_item item;
    struct change c;
    int err = plan_append(seg, a, &base, &item, &c);
    if (err)
        return err;
    if (a->key_len > seg->max_key)
        return fail(SHMKV_EKEY, "%s: %zu bytes, its keys have at most %llu", seg->loc->path,
                    a->key_len, (unsigned long long)seg->max_key);
    a->new_len = base.val_len + a->len;
    if (a->new_len > seg->max_value)
        return fail(SHMKV_EVALUE, "%s: %zu bytes, its values have at most %llu", seg->loc->path,
                    a->new_len, (unsigned long long)seg->max_value);
    return change_make(ctx, &c);
}

static int append(struct context *ctx, void *arg) {
    struct append *a = arg;
    for (int n = 0; n < MAX_ATTEMPTS; n++) {
        int err = append_once(ctx, a);
        if (!lost_the_race(err))
            return err;
    }
    return fail(SHMKV_EBUSY, "%s: a value changes too fast to append to", ctx->seg->loc->path);
}

static int append_as(int type, shmkv_t *kv, const void *key, size_t key_len, const void *data,
                     size_t len, size_t *new_len) {
    struct append a = {.key = key, .data = data, .key_len = key_len, .len = len, .type = type};
    const struct shmkv_item item = {.data = data, .len = len, .type = type};
    int err = key_check(kv, key, key_len);
    if (!err)
        err = item_check(kv, &item);
    if (!err)
        err = handle_write(kv, append, &a);
    if (err)
        return fail_at_key(err, key, key_len);
    if (new_len)
        *new_len = a.new_len;
    return SHMKV_OK;
}

int shmkv_append(shmkv_t *kv, const void *key, size_t key_len, const void *data, size_t len,
                 size_t *new_len) {
    return append_as(SHMKV_BYTES, kv, key, key_len, data, len, new_len);
}

int shmkv_append_text(shmkv_t *kv, const void *key, size_t key_len, const char *text, size_t len,
                      size_t *new_len) {
    return append_as(SHMKV_TEXT, kv, key, key_len, text, len, new_len);
}

/* --------------------------------------------------------------------------- touch */

struct touch {
    const void *key;
    size_t key_len;
    uint64_t expires_ns;
};

/* The same value in a record with another end. */
static int touch(struct context *ctx, void *arg) {
    const struct touch *t = arg;
    for (int n = 0; n < MAX_ATTEMPTS; n++) {
        struct peek base;
        int err = read_peek(ctx->seg, t->key, t->key_len, false, &base);
        if (err)
            return err;
        const struct shmkv_item item = {
            .type = (int)base.type, .flags = SHMKV_NO_DEFAULT_EXPIRY, .expires_ns = t->expires_ns};
        struct change c = {.key = t->key,
                           .key_len = t->key_len,
                           .item = &item,
                           .when = IF_VERSION,
                           .version = base.version,
                           .base = &base,
                           .new_end = true};
        err = change_make(ctx, &c);
        if (!lost_the_race(err))
            return err;
    }
    return fail(SHMKV_EBUSY, "%s: a value changes too fast to touch", ctx->seg->loc->path);
}

int shmkv_touch(shmkv_t *kv, const void *key, size_t key_len, uint64_t expires_ns) {
    struct touch t = {.key = key, .key_len = key_len, .expires_ns = expires_ns};
    int err = key_check(kv, key, key_len);
    if (!err)
        err = handle_write(kv, touch, &t);
    return err ? fail_at_key(err, key, key_len) : SHMKV_OK;
}

/* -------------------------------------------------------------------------- update */

/* The value in memory of ours, however long. */
static int fetch(shmkv_t *kv, const void *key, size_t key_len, void **room, size_t *capacity,
                 struct shmkv_item *item) {
    int err;
    while ((err = shmkv_get_item(kv, key, key_len, *room, *capacity, item)) == SHMKV_ETOOSMALL) {
        void *larger = realloc(*room, item->len);
        if (!larger)
            return fail(ENOMEM, "a value of %zu bytes", item->len);
        *room = larger;
        *capacity = item->len;
    }
    if (!err && !item->data)
        item->data = "";
    return err;
}

/* What the function is given to fill: as the old one, but for the value. */
static struct shmkv_item begin_new(const struct shmkv_item *old) {
    return old ? (struct shmkv_item){.type = old->type,
                                     .expires_ns = old->expires_ns,
                                     .flags = old->expires_ns ? 0 : SHMKV_NO_DEFAULT_EXPIRY}
               : (struct shmkv_item){0};
}

/* Once. *again: somebody came between. */
static int update_once(shmkv_t *kv, const void *key, size_t key_len, shmkv_update_fn fn, void *arg,
                       void **room, size_t *capacity, bool *again) {
    struct shmkv_item item, *old = &item;
    *again = false;
    int err = fetch(kv, key, key_len, room, capacity, &item);
    if (err == SHMKV_ENOTFOUND)
        old = NULL;
    else if (err)
        return err;
    struct shmkv_item new = begin_new(old);
    err = fn(arg, old, &new);
    if (err == SHMKV_OK)
        err = shmkv_cas(kv, key, key_len, old ? old->version : 0, &new);
    else if (err == SHMKV_ENOTFOUND)
        err = old ? shmkv_delete_if(kv, key, key_len, old->version) : SHMKV_OK;
    else
        return err;
    *again = lost_the_race(err);
    return err;
}

int shmkv_update(shmkv_t *kv, const void *key, size_t key_len, shmkv_update_fn fn, void *arg) {
    if (!fn)
        return fail(SHMKV_EARGUMENT, "no function");
    if (!kv)
        return fail(SHMKV_ECLOSED, "segment");
    void *room = NULL;
    size_t capacity = 0;
    int err;
    bool again;
    uint64_t deadline = now_ns() + (uint64_t)kv->opts.lock_timeout_ms * 1000000u;
    do
        err = update_once(kv, key, key_len, fn, arg, &room, &capacity, &again);
    while (again && now_ns() < deadline);
    free(room);
    if (!again)
        return err;
    fail(SHMKV_EBUSY, "%s: a value changes too fast to update", kv->loc.path);
    return fail_at_key(SHMKV_EBUSY, key, key_len);
}

/* ---------------------------------------------------------------------- get_or_set */

/* Store it, unless somebody did meanwhile. */
static int set(shmkv_t *kv, const void *key, size_t key_len, const struct shmkv_item *initial,
               void *buf, size_t buf_len, struct shmkv_item *out) {
    struct change c = {.key = key, .key_len = key_len, .item = initial, .when = IF_ABSENT};
    *out = (struct shmkv_item){.data = buf, .len = initial->len, .type = initial->type};
    if (initial->len > buf_len)
        return SHMKV_ETOOSMALL;
    int err = handle_change(kv, &c);
    if (err)
        return err;
    if (initial->len)
        memcpy(buf, initial->data, initial->len);
    out->flags = initial->flags & SHMKV_BOUND;
    out->expires_ns = c.expires_ns;
    out->version = c.made;
    out->result = SHMKV_ENOTFOUND;
    return SHMKV_OK;
}

int shmkv_get_or_set(shmkv_t *kv, const void *key, size_t key_len, const struct shmkv_item *initial,
                     void *buf, size_t buf_len, struct shmkv_item *out) {
    int err = item_check(kv, initial);
    if (err)
        return fail_at_key(err, key, key_len);
    for (int n = 0; n < MAX_ATTEMPTS; n++) {
        err = shmkv_get_item(kv, key, key_len, buf, buf_len, out);
        if (err == SHMKV_ENOTFOUND)
            err = set(kv, key, key_len, initial, buf, buf_len, out);
        if (err != SHMKV_EEXISTS)
            return err;
    }
    fail(SHMKV_EBUSY, "%s: a key comes and goes too fast", kv->loc.path);
    return fail_at_key(SHMKV_EBUSY, key, key_len);
}
