/*
 * Many keys in one call that writes: each by a change of its own, one after the other.
 *
 * What is saved is waiting. A change waits for the key's bucket, and then for the record
 * that it replaces; here both are asked for while the changes of the keys before
 * are made. Entering the segment and being its writer are done once.
 *
 * Not saved are locks and intents. To change several keys of a shard under one lock and
 * one intent would need another order than the caller's and longer intents, and a
 * death would leave some of them done, in no order that anybody knows. As it is, whoever
 * dies leaves so many done from the first on, each of which is old or new.
 *
 * All arguments are looked at before anything is changed. What fails then is not the
 * arguments' fault, and ends the call where it stands.
 */
#include "hash.h"
#include "internal.h"

/* Changes that are made between one step towards a key and the next. */
#define AHEAD 6

struct many {
    size_t n;
    const struct shmkv_bytes *keys;
    bool remove;
    struct shmkv_item *items; /* of those that are stored */
    int *results;             /* of those that are removed; may be NULL */
    size_t next, removed;
};

/* A key on its way. */
struct coming {
    uint64_t hash;
    const bucket_t *bucket;
};

static struct change change_of(const struct many *m, size_t i) {
    return (struct change){
        .key = m->keys[i].data, .key_len = m->keys[i].len, .item = m->remove ? NULL : &m->items[i]};
}

static void tell(struct many *m, size_t i, int result) {
    if (!m->remove)
        m->items[i].result = result;
    else if (m->results)
        m->results[i] = result;
}

/* The next one's turn. */
static int make_next(struct context *ctx, struct many *m, uint64_t hash) {
    struct change c = change_of(m, m->next);
    int err = change_make_hashed(ctx, &c, hash);
    if (err == E_MOVED)
        return err;
    tell(m, m->next, err);
    if (!m->remove && !err)
        m->items[m->next].version = c.made;
    if (m->remove) {
        m->removed += !err;
        err = err == SHMKV_ENOTFOUND ? SHMKV_OK : err;
    }
    m->next += !err;
    return err;
}

/* Those that have not had their turn. */
static int make_all(struct context *ctx, struct many *m) {
    const struct segment *seg = ctx->seg;
    const struct shmkv_bytes *keys = m->keys + m->next;
    size_t n = m->n - m->next;
    struct coming ring[2 * AHEAD + 1];
#define AT(i) (&ring[(i) % (2 * AHEAD + 1)])
    for (size_t i = 0; i < n + 2 * AHEAD; i++) {
        if (i < n) {
            AT(i)->hash = hash_inline(keys[i].data, keys[i].len, seg->seed);
            AT(i)->bucket = bucket_ahead(seg, AT(i)->hash);
        }
        if (i - AHEAD < n)
            record_ahead(seg, AT(i - AHEAD)->bucket, AT(i - AHEAD)->hash);
        if (i - 2 * AHEAD < n) {
            int err = make_next(ctx, m, AT(i - 2 * AHEAD)->hash);
            if (unlikely(err))
                return err;
        }
    }
#undef AT
    return SHMKV_OK;
}

/* In a segment that was not looked at before; the next is to blame. */
static int refuse(struct many *m, size_t i, int err) {
    tell(m, i, err);
    return fail_at_one_of(err, &m->keys[i], m->next, m->n);
}

static int check_then_make(struct context *ctx, void *arg) {
    struct many *m = arg;
    for (size_t i = m->next; i < m->n; i++) {
        struct change c = change_of(m, i);
        int err = change_check_lengths(ctx->seg, &c);
        if (unlikely(err))
            return refuse(m, i, err);
    }
    int err = make_all(ctx, m);
    return likely(!err) || err == E_MOVED ? err
                                          : fail_at_one_of(err, &m->keys[m->next], m->next, m->n);
}

static int check_arguments(const shmkv_t *kv, struct many *m) {
    for (size_t i = 0; i < m->n; i++) {
        int err = key_check(kv, m->keys[i].data, m->keys[i].len);
        if (!err && !m->remove)
            err = item_check(kv, &m->items[i]);
        if (err)
            return refuse(m, i, err);
    }
    return SHMKV_OK;
}

static int change_many(shmkv_t *kv, struct many *m) {
    int err = check_arguments(kv, m);
    return err ? err : handle_write(kv, check_then_make, m);
}

int shmkv_put_many(shmkv_t *kv, size_t n, const struct shmkv_bytes *keys, struct shmkv_item *items,
                   size_t *done) {
    struct many m = {.n = n, .keys = keys, .items = items};
    if (done)
        *done = 0;
    if (n && (!keys || !items))
        return fail(SHMKV_EARGUMENT, "no keys or no items");
    int err = change_many(kv, &m);
    if (done)
        *done = m.next;
    return err;
}

int shmkv_delete_many(shmkv_t *kv, size_t n, const struct shmkv_bytes *keys, int *results,
                      size_t *done, size_t *removed) {
    struct many m = {.n = n, .keys = keys, .remove = true, .results = results};
    int err = n && !keys ? fail(SHMKV_EARGUMENT, "no keys") : change_many(kv, &m);
    if (done)
        *done = m.next;
    if (removed)
        *removed = m.removed;
    return err;
}
