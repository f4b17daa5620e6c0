/*
 * Read-only for ever. Spec 5.8.
 *
 * One word of the header, stored once, under every shard lock: so no change is half
 * done when it is stored, and whoever takes a shard lock afterwards finds it there
 * and changes nothing. Readers do not look at it and pay nothing. What is not a
 * change of an entry goes on: finishing what the dead had begun in arenas and in
 * the space block, and returning what owner slots hold [LIFE-21].
 *
 * A state of the segment beside LIVE was passed over: every get looks at the
 * state, and would have had to tell two good values from the others.
 */
#include "internal.h"

/* [LIFE-20] Called under a shard lock, after the state; and before anything is built, which is
 * only a courtesy. */
int segment_check_thawed(const struct segment *seg) {
    if (likely(load_relaxed_u64(&seg->hdr->frozen) == 0))
        return SHMKV_OK;
    return fail(SHMKV_EFROZEN, "%s", seg->loc->path);
}

/* Caller holds every shard lock. */
static int freeze_locked(struct segment *seg) {
    int err = segment_check_live(seg);
    if (err)
        return err;
    FAULT_POINT("freeze-before-store");
    /* CRASH frozen: death before this store leaves the segment as it was, with locks
     * that name a dead owner; after it, frozen. There is no third case. [LIFE-19] */
    store_release_u64(&seg->hdr->frozen, 1);
    FAULT_POINT("freeze-after-store");
    shards_alarm(seg); /* there is nothing more to wait for */
    return SHMKV_OK;
}

static int freeze_as_owner(struct segment *seg) {
    struct context *ctx;
    int err = context_acquire(seg, &ctx);
    if (err)
        return err;
    err = shards_lock(ctx);
    if (!err) {
        err = freeze_locked(seg);
        shards_unlock(ctx, seg->shard_count);
    }
    context_release(ctx);
    return err;
}

static int freeze_once(shmkv_t *kv) {
    struct segment *seg;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    if (!seg->writable)
        err = fail(SHMKV_EREADONLY, "%s", seg->loc->path);
    else if (!load_acquire_u64(&seg->hdr->frozen))
        err = freeze_as_owner(seg);
    handle_leave();
    return err;
}

int shmkv_freeze(shmkv_t *kv) {
    int err;
    do
        err = freeze_once(kv);
    while (err == E_MOVED);
    return err;
}
