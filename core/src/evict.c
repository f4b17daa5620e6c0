/*
 * Making room in a segment that is a cache: second-chance eviction. Spec 6.16.
 *
 * Each shard has its part of the bound, and a hand that goes over its slots. A get sets the
 * mark of its slot, unless it is set: an entry that is read all the time costs its
 * readers no shared store. When the shard is full, the hand clears the marks it meets
 * and takes out the first entry without one, by the intent of a delete. So what
 * was used since the hand last passed stays for another round. A recency list was passed over:
 * every get would store to it.
 *
 * A mark is set without a lock by a compare-and-swap from the very word that was read. After
 * the slot was given another word it fails. If the slot got the same word again, for
 * another entry in the same cell, that entry gets a mark it has not earned, which is
 * harmless. Nor may it ever hit anything that is no slot: so what was a group in such
 * a segment stays one [EVICT-05], see split() in grow.c.
 *
 * Under one lock the hand looks at LOOKS slots, whatever is in them. Whoever needs more
 * room than that finds lets the others have the lock in between.
 */
#include "internal.h"

/* Slots looked at under one lock. */
#define LOOKS 256
/* Marks cleared for one eviction; the next entry goes whatever its mark. */
#define CHANCES 64
/* [EVICT-07] Before the first end of the shard a search has seen a part of it; in the next round,
 * all of it, and taken marks away; in the last it takes whatever may go. Readers may set a mark
 * again and again. */
#define LAST_ROUND 2
/* When the file is full: entries that may go for one. */
#define MAX_EVICTED (1u << 20)

/* ------------------------------------------------------------------------ marks */

/* [EVICT-04] Nobody's get may depend on whether this succeeds. */
COLD void slot_mark(const struct segment *seg, const uint64_t *slot, uint64_t word) {
    if (load_relaxed_u64(&seg->hdr->frozen) != 0)
        return;
    /* The segment's reader sees it as constant; its mapping is writable. */
    uint64_t *here = (uint64_t *)(void *)(seg->base + ((const uint8_t *)slot - seg->base));
    (void)cas_relaxed_u64(here, &word, word | USED_MARK);
}

/* ------------------------------------------------------------------------- bounds */

uint64_t cell_bytes(struct segment *seg, uint64_t word) {
    unsigned cls = (unsigned)FIELD(word, CELL_CLASS);
    if (!(word & OFFSET_IN_WORD))
        return 0;
    if (cls)
        return shmkv_class_sizes[cls];
    uint64_t bound = large_bound(seg, word & OFFSET_IN_WORD);
    return bound ? bound + SHMKV_RUN_HEADER_SIZE : 0;
}

bool shard_has_room(const struct segment *seg, const shard_t *shard, int64_t entries,
                    int64_t bytes) {
    uint64_t count = load_relaxed_u64(&shard->count), used = load_relaxed_u64(&shard->bytes);
    /* What does not grow is no worse than it was. */
    return (entries <= 0 || count + (uint64_t)entries <= seg->shard_max_entries) &&
           (bytes <= 0 || used + (uint64_t)bytes <= seg->shard_max_bytes);
}

/* -------------------------------------------------------------------------- the hand */

/* Where it is, in the order of walk.c. The prefix has its bits reversed. */
struct hand {
    uint64_t prefix, bucket, place;
    /* Under this lock: the bucket of the chain that the last step found, and the number of its
     * first slot. So a chain, however long somebody made it, is walked along once. */
    bucket_t *at;
    uint64_t first;
};

static struct hand hand_of(uint64_t word) {
    struct hand h = {.prefix = FIELD(word, HAND_PREFIX),
                     .bucket = FIELD(word, HAND_BUCKET),
                     .place = FIELD(word, HAND_PLACE)};
    if (h.bucket >= SHMKV_GROUP_BUCKETS)
        h.bucket = h.place = 0;
    return h;
}

static uint64_t hand_word(const struct hand *h) {
    return MAKE(HAND_PREFIX, h->prefix) | MAKE(HAND_BUCKET, h->bucket) | MAKE(HAND_PLACE, h->place);
}

/* On to the next bucket of a group of this depth. True: a new round begins. */
static bool next_bucket(struct hand *h, uint64_t depth) {
    h->place = 0;
    h->at = NULL;
    if (++h->bucket < SHMKV_GROUP_BUCKETS)
        return false;
    h->bucket = 0;
    h->prefix = (h->prefix + (1ULL << (32 - depth))) & ~(~0ULL >> 32 >> depth);
    bool round = h->prefix >> 32;
    h->prefix &= 0xffffffff;
    return round;
}

/* Go along the chain that begins with @p b to the bucket that has the hand's place. ENOTFOUND: it
 * is shorter. */
static int find_place(struct segment *seg, bucket_t *b, struct hand *h) {
    if (!h->at) {
        h->at = b;
        h->first = 0;
    }
    for (struct chain walk = {0}; !chain_loops(&walk, h->at);) {
        if (h->place - h->first < SHMKV_BUCKET_SLOTS)
            return SHMKV_OK;
        uint64_t link = load_relaxed_u64(&h->at->link);
        if (!link)
            return SHMKV_ENOTFOUND;
        b = bucket_at_link(seg, link);
        if (!b)
            return damaged(seg, seg_offset(seg, h->at), "a link leads nowhere");
        h->at = b;
        h->first += SHMKV_BUCKET_SLOTS;
    }
    return damaged(seg, seg_offset(seg, h->at), "a chain of overflow buckets does not end");
}

/* ------------------------------------------------------------------------- the choice */

/* [EVICT-02] */
static bool may_go(const struct found *f) { return !f->shape.hidden && (!f->present || !f->owner); }

/* Take out what the slot names. */
static void take_out(struct context *ctx, const struct domain *d, const struct victim *v,
                     uint64_t *slot, uint64_t word, const struct found *f) {
    slot_evict(ctx, d, &ctx->seg->shards[d->index], slot, word, v->field, f->present);
}

/* Look at one slot. SHMKV_OK: its entry was taken out; ENOTFOUND: go on. */
static int look(struct context *ctx, const struct domain *d, struct victim *v, uint64_t *slot) {
    uint64_t word = load_relaxed_u64(slot);
    if (!(word & OFFSET_IN_WORD) || slot == v->keep)
        return SHMKV_ENOTFOUND;
    struct found f;
    int err = entry_look(ctx->seg, slot, word, &f);
    if (err)
        return err;
    if (!may_go(&f))
        return SHMKV_ENOTFOUND;
    if (f.present && v->rounds < LAST_ROUND) {
        /* A cell of the right size can be used at once: look for one, but not for ever. */
        if (v->cls && FIELD(word, SLOT_CLASS) != v->cls && v->seen++ < LOOKS / 2)
            return SHMKV_ENOTFOUND;
        if (word & USED_MARK && v->chances < CHANCES) {
            /* A reader can only set it again, and everybody else waits for our lock.
             * ORDER publish: who reads this word follows it as the one that was published. */
            store_release_u64(slot, word & ~USED_MARK);
            v->chances++;
            return SHMKV_ENOTFOUND;
        }
    }
    take_out(ctx, d, v, slot, word, &f);
    return SHMKV_OK;
}

/* Look where the hand is, and move it on. */
static int step(struct context *ctx, const struct domain *d, struct victim *v, struct hand *h) {
    struct segment *seg = ctx->seg;
    uint64_t depth = 0;
    int err;
    /* [OP-01] A round takes a step for each slot and one for the end of each chain in a group,
     * which lies where an eighth slot would. More than fit into the file: somebody has made them
     * lead to each other. */
    if (++v->steps > (LAST_ROUND + 1) * load_relaxed_u64(&seg->safe_limit) / sizeof(uint64_t))
        return damaged(seg, seg_offset(seg, &seg->shards[d->index]), "its slots do not end");
    run_t *group = group_at_prefix(seg, d->index, (uint32_t)h->prefix, &depth, &err);
    if (!group)
        return err ? err : E_NOTHING;
    err = find_place(seg, group_bucket(group, h->bucket), h);
    if (err && err != SHMKV_ENOTFOUND)
        return err;
    if (err || h->place == SHMKV_HAND_PLACE_MASK) {
        v->rounds += next_bucket(h, depth);
        return v->rounds > LAST_ROUND ? E_NOTHING : SHMKV_ENOTFOUND;
    }
    return look(ctx, d, v, &h->at->slots[h->place++ - h->first]);
}

int evict_locked(struct context *ctx, const struct domain *d, struct victim *v) {
    shard_t *shard = &ctx->seg->shards[d->index];
    /* A search goes on where it was: others, who moved the hand, may have passed over what we would
     * take. */
    struct hand h = hand_of(v->begun ? v->hand : load_relaxed_u64(&shard->hand));
    int err = SHMKV_ENOTFOUND;
    for (unsigned looks = 0; err == SHMKV_ENOTFOUND && looks < LOOKS; looks++)
        err = step(ctx, d, v, &h);
    v->begun = true;
    v->hand = hand_word(&h);
    store_relaxed_u64(&shard->hand, v->hand);
    return err == SHMKV_ENOTFOUND ? E_RETRY : err;
}

int evict_from_chain(struct context *ctx, const struct domain *d, bucket_t *b, uint64_t *field) {
    struct segment *seg = ctx->seg;
    struct victim v = {.field = field};
    bucket_t *first = b;
    for (v.rounds = LAST_ROUND - 1; v.rounds <= LAST_ROUND; v.rounds++, b = first)
        for (struct chain walk = {0}; b && !chain_loops(&walk, b);) {
            for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++) {
                int err = look(ctx, d, &v, &b->slots[i]);
                if (err != SHMKV_ENOTFOUND)
                    return err;
            }
            uint64_t link = load_relaxed_u64(&b->link);
            b = link ? bucket_at_link(seg, link) : NULL;
        }
    return E_NOTHING;
}

/* ---------------------------------------------------------------------- without a lock */

/* [EVICT-08] So many more than twice what there was, for one change. */
#define MORE_EVICTED 1000

int evict_again(const struct segment *seg, uint64_t *left) {
    if (!*left) {
        for (uint32_t i = 0; i < seg->shard_count; i++)
            *left += 2 * load_relaxed_u64(&seg->shards[i].count);
        *left += MORE_EVICTED;
    }
    return --*left ? SHMKV_OK
                   : fail(SHMKV_EBUSY, "%s: others take the room that is made", seg->loc->path);
}

int evict_one(struct context *ctx, uint32_t shard, unsigned cls, uint64_t *field) {
    struct domain d = shard_domain(ctx->seg, shard);
    struct victim v = {.field = field, .cls = cls};
    int err = cell_return(ctx, field);
    while (!err) {
        err = shard_lock_live(ctx, &d);
        if (err)
            break;
        err = evict_locked(ctx, &d, &v);
        lock_release(ctx, &d);
        if (err != E_RETRY)
            break;
        err = SHMKV_OK;
    }
    return err;
}

/*
 * Evict from this shard and the others until the attempt is no longer ENOSPC, or *field has a
 * cell of the class, which is not 0. An evicted cell goes back to the arena that its slab belongs
 * to, which may be another process's. So one of the class that is wanted is kept, and used as it
 * is.
 */
static int evict_until(struct context *ctx, uint32_t shard, unsigned cls, uint64_t *field,
                       int (*attempt)(struct context *ctx, void *arg), void *arg) {
    struct segment *seg = ctx->seg;
    uint32_t idle = 0;
    for (unsigned n = 0; n < MAX_EVICTED && idle < seg->shard_count;
         shard = (shard + 1) & seg->shard_mask) {
        int err = evict_one(ctx, shard, cls, field);
        if (err == E_NOTHING) {
            idle++;
            continue;
        }
        if (err)
            return err;
        n++;
        idle = 0;
        if (cls && FIELD(load_relaxed_u64(field), CELL_CLASS) == cls)
            return SHMKV_OK;
        err = cell_return(ctx, field);
        if (!err)
            err = attempt(ctx, arg);
        if (err != SHMKV_ENOSPC)
            return err;
    }
    return fail(SHMKV_ENOSPC, "%s: nothing is left to evict", seg->loc->path);
}

struct wanted {
    uint64_t size, *field;
};

static int take(struct context *ctx, void *arg) {
    const struct wanted *w = arg;
    return room_take(ctx, w->size, w->field);
}

int room_by_eviction(struct context *ctx, uint32_t shard, uint64_t size, uint64_t *field) {
    return evict_until(ctx, shard, class_for(size), field, take, &(struct wanted){size, field});
}

struct unprepared {
    uint32_t shard;
    const struct place *place;
};

static int prepare_again(struct context *ctx, void *arg) {
    const struct unprepared *u = arg;
    return table_prepare(ctx, u->shard, u->place);
}

int prepare_or_evict(struct context *ctx, uint32_t shard, const struct place *place,
                     bool *cramped) {
    int err = table_prepare(ctx, shard, place);
    if (likely(err != SHMKV_ENOSPC) || !ctx->seg->evicts)
        return err;
    if (!place->group)
        return evict_until(ctx, shard, 0, &ctx->own->victim, prepare_again,
                           &(struct unprepared){shard, place});
    *cramped = true;
    return SHMKV_OK;
}
