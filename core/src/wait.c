/*
 * Waiting until something changes, without polling. Spec 6.12.
 *
 * Every shard counts its changes, and that counter is a futex. Who wants to sleep
 * takes the shard's lock, sees that what it waits for is not there yet, leaves a
 * flag and notes the counter; a writer that has changed something looks at the
 * flag before it releases the lock. The lock orders the two: either the sleeper sees
 * the change or the writer sees the flag. So nobody needs a fence, and where
 * nobody waits a write costs one load more, of a line that it is writing to.
 *
 * Sleepers are woken while the lock is still held. A writer killed on the way
 * leaves a lock that names it, and whoever takes that over finds the flag and wakes
 * them. Were it done after the release, the flag would be gone and nobody would know.
 *
 * To watch the store as a whole is to leave a flag in every shard, and to sleep on one
 * counter of the header that whoever finds such a flag counts up.
 *
 * Some things change without a store: an entry's time comes, or its owner is
 * killed. A sleeper knows the time beforehand, and asks after the owner now and
 * then. All others are woken; that they also look about them once a second is for a
 * writer that died with the lock, and whose lock nobody else wants.
 */
#include <errno.h>

#include "internal.h"

#define LONGEST_NAP_NS 1000000000u
/* While what is waited for may go with its owner. */
#define FIRST_OWNED_NAP_NS 20000000u
#define LONGEST_OWNED_NAP_NS 50000000u

/* The part of a counter that is a futex: the low half, which comes first. */
static uint32_t *futex_of(uint64_t *counter) { return (uint32_t *)(void *)counter; }

/* ----------------------------------------------------------------------- waking */

/* [WAIT-02] [WAIT-03] Caller holds the shard's lock, and there is a flag. */
COLD void shard_alarm(struct segment *seg, uint32_t index) {
    shard_t *shard = &seg->shards[index];
    uint64_t waiters = load_relaxed_u64(&shard->waiters);
    /* Counted first: who has left the flag and does not sleep yet will not. Most often a
     * commit has counted already, but a replacement or a freeze has not. */
    store_release_u64(&shard->changes, load_relaxed_u64(&shard->changes) + 1);
    FAULT_POINT("alarm-before-wake");
    if (FIELD(waiters, WAITERS_KEY))
        futex_wake(futex_of(&shard->changes), INT_MAX);
    if (FIELD(waiters, WAITERS_STORE)) {
        /* ORDER sleeper-event: pairs with watch_round(). */
        add_release_u64(&seg->hdr->events, 1);
        futex_wake(futex_of(&seg->hdr->events), INT_MAX);
    }
    FAULT_POINT("alarm-after-wake");
    /* CRASH alarm: death before this store leaves the flag and a lock that names a
     * dead owner, whose successor wakes everybody again. [WAIT-03] */
    store_relaxed_u64(&shard->waiters, 0);
}

void shards_alarm(struct segment *seg) {
    for (uint32_t i = 0; i < seg->shard_count; i++) {
        struct domain d = shard_domain(seg, i);
        domain_alarm(seg, &d);
    }
}

/* --------------------------------------------------------------------- sleeping */

uint64_t deadline_after(int timeout_ms) {
    return timeout_ms < 0 ? UINT64_MAX : now_ns() + (uint64_t)timeout_ms * 1000000u;
}

static uint64_t time_left(uint64_t deadline) {
    uint64_t now = now_ns();
    return deadline > now ? deadline - now : 0;
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static int too_late(const struct segment *seg) {
    return fail(SHMKV_ETIMEDOUT, "%s: nothing has changed in time", seg->loc->path);
}

/* Take the lock, with the caller's patience where that is less than ours. */
static int lock_until(struct context *ctx, const struct domain *d, uint64_t deadline) {
    uint32_t patience = ctx->patience_ms;
    ctx->patience_ms = (uint32_t)least(patience, time_left(deadline) / 1000000u + 1);
    int err = lock_take(ctx, d);
    ctx->patience_ms = patience;
    return err;
}

/* E_RETRY: look again. */
static int nap(const struct segment *seg, uint64_t *counter, uint32_t seen, uint64_t ns) {
    int err = futex_wait(futex_of(counter), seen, ns);
    if (err == 0 || err == EAGAIN || err == ETIMEDOUT)
        return E_RETRY;
    return err == EINTR ? EINTR : fail(err, "%s: waiting", seg->loc->path);
}

/* ORDER sleeper-flag: pairs with domain_alarm(), by way of the lock.
 * Leave a flag in the locked shard. E_MOVED, EFROZEN: there is nothing to wait for. */
static int leave_flag(struct segment *seg, shard_t *shard, uint64_t flag) {
    int err = segment_check_live(seg);
    if (!err)
        err = segment_check_thawed(seg);
    if (!err)
        store_relaxed_u64(&shard->waiters, load_relaxed_u64(&shard->waiters) | flag);
    return err;
}

/* [WAIT-01] The look and the flag under one lock. E_SAME: it is left. */
static int look_and_leave_flag(struct context *ctx, struct sleeper *s, uint32_t *seen) {
    struct segment *seg = ctx->seg;
    struct domain d = shard_domain(seg, s->shard);
    shard_t *shard = &seg->shards[s->shard];
    int err = lock_until(ctx, &d, s->deadline);
    if (err)
        return err;
    err = segment_check_live(seg);
    if (!err)
        err = s->look(seg, s);
    if (err == E_SAME) {
        int refused = leave_flag(seg, shard, MAKE(WAITERS_KEY, 1));
        err = refused ? refused : E_SAME;
    }
    *seen = load_relaxed_u32(futex_of(&shard->changes));
    lock_release(ctx, &d);
    return err;
}

int shard_sleep(struct segment *seg, struct sleeper *s) {
    if (!time_left(s->deadline))
        return too_late(seg);
    if (!seg->writable)
        return fail(SHMKV_EREADONLY, "%s: it can be looked at, but not waited for", seg->loc->path);
    struct context *ctx;
    uint32_t seen = 0;
    int err = context_acquire(seg, &ctx);
    if (err)
        return err;
    err = look_and_leave_flag(ctx, s, &seen);
    context_release(ctx);
    if (err != E_SAME)
        return err;
    return nap(seg, &seg->shards[s->shard].changes, seen,
               least(least(s->nap, LONGEST_NAP_NS), time_left(s->deadline)));
}

/* ------------------------------------------------------------------------- a key */

struct wait {
    struct sleeper sleeper;
    const struct waited *for_;
    uint64_t owned_nap;
    struct peek found;
};

/* Is the version another? With or without the lock. */
static int look_at_version(struct segment *seg, struct sleeper *s) {
    struct wait *w = (struct wait *)(void *)s;
    const struct waited *f = w->for_;
    struct peek key;
    /* The key and the lock of its name have one hash, and so one shard to sleep on. */
    int err = f->or_key ? read_peek(seg, f->key, f->key_len, false, &key) : SHMKV_ENOTFOUND;
    if (err == SHMKV_ENOTFOUND) {
        err = read_peek(seg, f->key, f->key_len, f->hidden, &w->found);
        if (err == SHMKV_ENOTFOUND) {
            w->found = (struct peek){0};
            err = SHMKV_OK;
        }
        if (!err && w->found.version == f->version)
            err = E_SAME;
    }
    return err;
}
_Static_assert(offsetof(struct wait, sleeper) == 0, "a wait begins with its sleeper");

/* [WAIT-05] The entry goes without a store when its time comes or its owner dies. */
static uint64_t longest_nap(struct segment *seg, struct wait *w) {
    uint64_t ns = LONGEST_NAP_NS;
    if (w->found.expiry_ns) {
        uint64_t now = wall_ns();
        ns = least(ns, w->found.expiry_ns > now ? w->found.expiry_ns - now : 1);
    }
    if (w->found.owner) {
        /* A key of the dead is absent by itself, a named lock when somebody cleans up. */
        if (w->for_->hidden)
            owner_bury(seg, w->found.owner);
        w->owned_nap = least(w->owned_nap * 2, LONGEST_OWNED_NAP_NS);
        ns = least(ns, w->owned_nap);
    }
    return ns;
}

static int wait_round(struct segment *seg, struct wait *w) {
    int err = look_at_version(seg, &w->sleeper);
    if (err != E_SAME)
        return err;
    if (seg->writable)
        w->sleeper.nap = longest_nap(seg, w);
    return shard_sleep(seg, &w->sleeper);
}

static int wait_here(shmkv_t *kv, struct wait *w) {
    struct segment *seg;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    w->sleeper.shard = hash_shard(seg, hash_bytes(w->for_->key, w->for_->key_len, seg->seed));
    w->owned_nap = FIRST_OWNED_NAP_NS / 2;
    do
        err = wait_round(seg, w);
    while (err == E_RETRY);
    handle_leave();
    return err;
}

int wait_for(shmkv_t *kv, const struct waited *f, uint64_t deadline) {
    struct wait w = {.sleeper = {.look = look_at_version, .deadline = deadline}, .for_ = f};
    int err;
    do
        err = wait_here(kv, &w);
    while (err == E_MOVED);
    return err;
}

int shmkv_wait(shmkv_t *kv, const void *key, size_t key_len, uint64_t version, int timeout_ms) {
    int err = key_check(kv, key, key_len);
    struct waited f = {.key = key, .key_len = key_len, .version = version};
    return err ? fail_at_key(err, key, key_len) : wait_for(kv, &f, deadline_after(timeout_ms));
}

/* --------------------------------------------------------------------- the store */

/* Of this segment after so many changes, and of no other. The caller's 0 is none. */
static uint64_t position_of(const struct segment *seg, uint64_t changes) {
    uint64_t position = seg->seed + changes;
    return position ? position : 1;
}

static uint64_t changes_so_far(const struct segment *seg) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < seg->shard_count; i++)
        sum += load_acquire_u64(&seg->shards[i].changes);
    return sum;
}

/* [WAIT-04] A flag in every shard, and what each has counted by then. */
static int leave_flags(struct context *ctx, uint64_t deadline, uint64_t *changes) {
    struct segment *seg = ctx->seg;
    *changes = 0;
    for (uint32_t i = 0; i < seg->shard_count; i++) {
        struct domain d = shard_domain(seg, i);
        shard_t *shard = &seg->shards[i];
        int err = lock_until(ctx, &d, deadline);
        if (err)
            return err;
        err = leave_flag(seg, shard, MAKE(WAITERS_STORE, 1));
        *changes += load_relaxed_u64(&shard->changes);
        lock_release(ctx, &d);
        if (err)
            return err;
    }
    return SHMKV_OK;
}

/* Flags, unless the position is another by then. E_SAME: they are left. */
static int leave_flags_at(struct segment *seg, uint64_t *position, uint64_t deadline) {
    struct context *ctx;
    uint64_t changes;
    int err = context_acquire(seg, &ctx);
    if (err)
        return err;
    err = leave_flags(ctx, deadline, &changes);
    context_release(ctx);
    if (err && err != SHMKV_EFROZEN)
        return err;
    if (err) /* it froze on the way: what changed before that has been counted by now */
        changes = changes_so_far(seg);
    if (position_of(seg, changes) == *position)
        return err ? err : E_SAME;
    *position = position_of(seg, changes);
    return SHMKV_OK;
}

static int watch_round(struct segment *seg, uint64_t *position, uint64_t deadline) {
    uint64_t now = position_of(seg, changes_so_far(seg));
    if (*position != now && *position != 0) {
        *position = now;
        return SHMKV_OK;
    }
    *position = now;
    if (!time_left(deadline))
        return too_late(seg);
    if (!seg->writable)
        return fail(SHMKV_EREADONLY, "%s: it can be looked at, but not waited for", seg->loc->path);
    /* ORDER sleeper-event: before the flags. Pairs with shard_alarm(): who finds one of them
     * counts an event after this look. [WAIT-04] */
    uint32_t seen = load_acquire_u32(futex_of(&seg->hdr->events));
    int err = leave_flags_at(seg, position, deadline);
    if (err != E_SAME)
        return err;
    return nap(seg, &seg->hdr->events, seen, least(LONGEST_NAP_NS, time_left(deadline)));
}

static int watch_here(shmkv_t *kv, uint64_t *position, uint64_t deadline) {
    struct segment *seg;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    do
        err = watch_round(seg, position, deadline);
    while (err == E_RETRY);
    handle_leave();
    return err;
}

int shmkv_watch(shmkv_t *kv, uint64_t *position, int timeout_ms) {
    if (!position)
        return fail(SHMKV_EARGUMENT, "no place for the position");
    uint64_t deadline = deadline_after(timeout_ms);
    int err;
    do
        err = watch_here(kv, position, deadline);
    while (err == E_MOVED);
    return err;
}
