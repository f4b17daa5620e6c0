/*
 * Locks that have names, and what is made of them. Spec 6.14.
 *
 * A named lock is an entry of a key space of its own: it is held while the entry is
 * there, and the entry is bound to its holder, so it goes with the holder's process,
 * however that ends. To lock is to add the entry, to unlock is to delete the very one that
 * was added, to wait is to wait for the entry. There is no other state, and so no other
 * repair: who finds a dead holder's lock cleans up after the dead and takes it.
 *
 * These are locks among those who use them. They are not the store's own, which are
 * held for a microsecond and never while somebody else's code runs.
 *
 * get_or_compute is a lock of the key's name around the computation: one computes,
 * the others sleep until the value or the lock changes; both are in one shard.
 *
 * The value of a lock is the number of the thread that holds it, to tell a thread that
 * locks twice from one that waits for another.
 */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

/* ------------------------------------------------------------------------ holding */

static uint64_t this_thread(void) { return (uint64_t)syscall(SYS_gettid); }

/* The number of the thread that holds it. False: it was not this record's any more. */
static bool thread_of(struct segment *seg, const void *name, size_t len, const struct peek *p,
                      uint64_t *thread) {
    *thread = p->val_len == 8 ? load_relaxed_u64((const uint64_t *)(const void *)p->value) : 0;
    struct peek again;
    return read_peek(seg, name, len, true, &again) == SHMKV_OK && again.version == p->version;
}

/* Do we hold it, in this very thread? Its owner is a slot of this handle then. */
static bool held_by_us(struct segment *seg, const void *name, size_t len, const struct peek *p) {
    uint64_t thread;
    return slot_is_ours(seg, (uint32_t)p->owner - 1) && thread_of(seg, name, len, p, &thread) &&
           thread == this_thread();
}

/* EEXISTS: it is held, by the entry of that version (0: not any more). EDEADLK: by us. */
static int look_at_holder(shmkv_t *kv, const void *name, size_t len, struct waited *f, char *holder,
                          size_t size) {
    struct segment *seg;
    struct peek p;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    err = read_peek(seg, name, len, true, &p);
    f->version = err ? 0 : p.version;
    if (!err && held_by_us(seg, name, len, &p))
        err = fail(SHMKV_EDEADLK, "%s: the named lock is held by this very thread", seg->loc->path);
    if (!err && (uint32_t)p.owner - 1 < seg->owner_count)
        owner_describe(seg, (uint32_t)p.owner - 1, holder, size);
    handle_leave();
    return err == SHMKV_OK || err == SHMKV_ENOTFOUND ? SHMKV_EEXISTS : err;
}

/* [NAMED-01] [NAMED-02] An add, which buries a dead holder. EEXISTS: a living one has it. */
static int try_lock(shmkv_t *kv, const void *name, size_t len, uint64_t *token) {
    uint64_t me = this_thread();
    const struct shmkv_item item = {
        .data = &me, .len = sizeof me, .flags = SHMKV_BOUND | SHMKV_NO_DEFAULT_EXPIRY};
    struct change c = {
        .key = name, .key_len = len, .item = &item, .when = IF_ABSENT, .hidden = true};
    int err = handle_change(kv, &c);
    if (!err) /* else it may still be the one of the lock that the caller holds */
        *token = c.made;
    return err;
}

/* Sleep until the lock, or the key of its name, is worth another look. */
static int wait_for_holder(shmkv_t *kv, const void *name, size_t len, bool or_key,
                           uint64_t deadline) {
    char holder[128] = "nobody any more";
    struct waited f = {.key = name, .key_len = len, .hidden = true, .or_key = or_key};
    int err = look_at_holder(kv, name, len, &f, holder, sizeof holder);
    if (err != SHMKV_EEXISTS)
        return err;
    err = f.version ? wait_for(kv, &f, deadline) : SHMKV_OK;
    if (err == SHMKV_ETIMEDOUT) {
        fail(err, "%s: the lock is held by %s", kv->loc.path, holder);
        return fail_at_key(err, name, len);
    }
    return err;
}

int shmkv_lock(shmkv_t *kv, const void *name, size_t name_len, int timeout_ms, uint64_t *token) {
    if (!token)
        return fail(SHMKV_EARGUMENT, "no place for the token");
    uint64_t deadline = deadline_after(timeout_ms);
    for (;;) {
        int err = try_lock(kv, name, name_len, token);
        if (err == SHMKV_EEXISTS)
            err = wait_for_holder(kv, name, name_len, false, deadline);
        else
            return err;
        if (err)
            return err;
    }
}

/* [NAMED-03] Only the very lock that was taken, and not by a forked child, which has its parent's token. */
int shmkv_unlock(shmkv_t *kv, const void *name, size_t name_len, uint64_t token) {
    struct change c = {.key = name,
                       .key_len = name_len,
                       .when = IF_VERSION,
                       .version = token,
                       .hidden = true,
                       .ours = true};
    int err = handle_change(kv, &c);
    return err == SHMKV_ENOTFOUND ? SHMKV_ECHANGED : err;
}

/* -------------------------------------------------------------------- all of them */

/* Of one that changes hands: how often it is looked at. */
#define MAX_LOOKS 1000

/* ENOTFOUND: it is held no more. */
static int look_at_lock(struct segment *seg, struct shmkv_held *lock) {
    struct peek p;
    int err = SHMKV_OK;
    for (int i = 0; i < MAX_LOOKS; i++) {
        err = read_peek(seg, lock->name, lock->name_len, true, &p);
        if (err || thread_of(seg, lock->name, lock->name_len, &p, &lock->thread))
            break;
    }
    lock->token = p.version;
    lock->owner = (uint32_t)p.owner <= seg->owner_count ? (int32_t)(uint32_t)p.owner - 1 : -1;
    return err;
}

static int tell_of_lock(shmkv_t *kv, struct shmkv_held *lock, shmkv_held_fn fn, void *arg) {
    struct segment *seg;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    err = look_at_lock(seg, lock);
    handle_leave();
    if (!err)
        fn(arg, lock);
    return err == SHMKV_ENOTFOUND ? SHMKV_OK : err;
}

int shmkv_held(shmkv_t *kv, shmkv_held_fn fn, void *arg) {
    if (!fn)
        return fail(SHMKV_EARGUMENT, "no function");
    shmkv_cursor_t *cursor;
    struct shmkv_held lock;
    struct shmkv_item item;
    int err = cursor_open_locks(kv, &cursor);
    if (err)
        return err;
    while (!(err = shmkv_cursor_next_item(cursor, &lock.name, &lock.name_len, &item))) {
        err = tell_of_lock(kv, &lock, fn, arg);
        if (err)
            break;
    }
    shmkv_cursor_close(cursor);
    return err == SHMKV_ENOTFOUND ? SHMKV_OK : err;
}

/* ------------------------------------------------------------------ get_or_compute */

/* What get_or_compute was asked for. */
struct wish {
    shmkv_t *kv;
    const void *key;
    size_t key_len;
    shmkv_compute_fn fn;
    void *arg, *buf;
    size_t buf_len;
    struct shmkv_item *out;
};

static int get(const struct wish *w) {
    return shmkv_get_item(w->kv, w->key, w->key_len, w->buf, w->buf_len, w->out);
}

/* The stored value goes to the caller, as far as it fits. */
static int hand_over(const struct wish *w, const struct shmkv_item *item, const struct change *c) {
    *w->out = (struct shmkv_item){.data = w->buf,
                                  .len = item->len,
                                  .type = item->type,
                                  .flags = item->flags & SHMKV_BOUND,
                                  .expires_ns = c->expires_ns,
                                  .version = c->made,
                                  .result = SHMKV_ENOTFOUND};
    if (item->len > w->buf_len)
        return SHMKV_ETOOSMALL;
    if (item->len)
        memcpy(w->buf, item->data, item->len);
    return SHMKV_OK;
}

/* The lock of the key's name is ours; no lock of the store is. */
static int compute(const struct wish *w) {
    struct shmkv_item item = {0};
    int err = get(w); /* somebody may have stored it while we took the lock */
    if (err != SHMKV_ENOTFOUND)
        return err;
    err = w->fn(w->arg, &item);
    if (!err)
        err = item_check(w->kv, &item);
    if (err)
        return err;
    struct change c = {.key = w->key, .key_len = w->key_len, .item = &item};
    err = handle_change(w->kv, &c);
    return err ? err : hand_over(w, &item, &c);
}

static int compute_and_unlock(const struct wish *w, uint64_t token) {
    int err = compute(w);
    int unlocked = shmkv_unlock(w->kv, w->key, w->key_len, token);
    /* A lock that went with its segment is no loss: what matters has been stored. */
    return err || unlocked == SHMKV_ECHANGED ? err : unlocked;
}

int shmkv_get_or_compute(shmkv_t *kv, const void *key, size_t key_len, shmkv_compute_fn fn,
                         void *arg, int timeout_ms, void *buf, size_t buf_len,
                         struct shmkv_item *item) {
    if (!fn || !item || (!buf && buf_len))
        return fail(SHMKV_EARGUMENT, "no function, or no place for the value");
    struct wish w = {kv, key, key_len, fn, arg, buf, buf_len, item};
    uint64_t deadline = deadline_after(timeout_ms), token;
    for (;;) {
        int err = get(&w);
        if (err != SHMKV_ENOTFOUND)
            return err;
        err = try_lock(kv, key, key_len, &token);
        if (!err)
            return compute_and_unlock(&w, token);
        if (err == SHMKV_EEXISTS)
            err = wait_for_holder(kv, key, key_len, true, deadline);
        if (err)
            return err;
    }
}
