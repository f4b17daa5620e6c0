/*
 * One change of one key, which every writing operation is. Spec 6.3, 6.4, 6.11.
 *
 * A change gives the key a new value or removes it, always or under a condition,
 * and may hand out the value that was there. It goes: build the new record, take
 * the shard's lock, find the key, ask the condition, commit, release, copy the
 * old value. Operations differ in what they fill into struct change, not in
 * steps of their own.
 *
 * A record is built where nobody looks, in a cell that belongs to the writer,
 * and becomes the key's value by one 8-byte store into its slot. A published
 * record is never edited [OP-10], so there is no moment at which a key is half old and
 * half new, for readers or after a death.
 *
 * The cell of the replaced record stays in the writer's hand and takes the next
 * record of its size class. So overwriting needs no allocator at all, and the
 * memory it writes to is the memory it has just read. It also is where the old
 * value is copied from: after the commit the record is ours alone [OP-22], and
 * copying needs no lock, however long the value.
 *
 * Under the lock work is bounded whatever the lengths: a value that is to be
 * compared with a long one is compared without the lock, and only its version
 * under it; a number is computed from eight bytes.
 */
#include <string.h>

#include "hash.h"
#include "internal.h"

/* Cells larger than this are not kept for the next record. */
#define KEEP_LARGEST 512
/* Values longer than this are not compared under a lock. */
#define COMPARE_LOCKED 1024
/* How often what is there is looked at without the lock, because it changed meanwhile. */
#define MAX_LOOKS 1000

/* What the work under the lock asks for, before it can be done. */
#define NEED_EXTRA (-1010)   /* a record with the optional part */
#define NEED_COMPARE (-1011) /* c->found compared with c->expected */
#define NEED_OWNER (-1012)   /* to know whether the owner of c->found lives */
#define NEED_ROOM (-1013)    /* own->victim returned, and the lock free for a moment */

/* A change under way. */
struct work {
    struct context *ctx;
    struct change *c;
    struct domain d;
    shard_t *shard;
    uint64_t hash;
    struct place place;
    bool asks; /* more than a plain put or delete: a condition, or for the old value */
    /* The new record: its cell, where the entry ends, the computed value. */
    uint64_t cell, val_len, expiry_ns, owner, value;
    record_t *rec;
    bool extra;
    /* What was there. */
    struct found found;
    /* What comparing with the record of this version, without the lock, said; if it was done. No
     * value of the version tells that: what was found may have any. */
    uint64_t compared;
    bool has_compared, equal;
    unsigned looks;
    /* Owners that were asked after without the lock: one that is dead, one that is not. */
    uint64_t gone, lives;
    /* In a segment that evicts. */
    struct victim victim;
    uint64_t left; /* see evict_again() */
    bool cramped;  /* the index cannot grow */
    bool swept;    /* the key's group was */
};

/* ------------------------------------------------------------------ the new record */

/* Have a cell for @p size bytes in *field. Its word is read once, into @p cell:
 * what is done later is done with that, whatever becomes of the field. @p shard: where to
 * begin evicting, if that is to be. */
static int prepare_cell(struct context *ctx, uint32_t shard, uint64_t size, uint64_t *field,
                        uint64_t *cell) {
    unsigned cls = class_for(size);
    *cell = load_relaxed_u64(field);
    if (*cell && cls && FIELD(*cell, CELL_CLASS) == cls)
        return SHMKV_OK;
    int err = cell_return(ctx, field);
    if (!err)
        err = room_take(ctx, size, field);
    if (unlikely(err == SHMKV_ENOSPC) && ctx->seg->evicts)
        err = room_by_eviction(ctx, shard, size, field);
    *cell = load_relaxed_u64(field);
    return err;
}

static void store_extra(record_t *rec, uint64_t expiry_ns, uint64_t owner) {
    extra_t *extra = (extra_t *)(void *)(rec + 1);
    store_relaxed_u64(&extra->expiry_ns, expiry_ns);
    store_relaxed_u64(&extra->owner, owner);
}

/* ORDER build-even: all bytes, then the even version. Pairs with read-version. */
static inline void finish_record(const struct work *w) {
    FAULT_POINT("record-before-even");
    store_release_u64(&w->rec->version, w->c->made);
}

/* The value at @p base, which is shared, and @p len bytes of ours behind it. */
static COLD void store_behind(uint8_t *out, const struct peek *base, const uint8_t *ours,
                              size_t len) {
    uint64_t whole = base->val_len & ~7ULL, last = base->val_len & 7, taken = 0;
    racy_move(out, base->value, whole);
    if (last) {
        /* The word that both have a part in. */
        uint64_t word = load_relaxed_u64((const uint64_t *)(const void *)(base->value + whole));
        taken = len < 8 - last ? len : 8 - last;
        uint8_t bytes[8] = {0};
        memcpy(bytes, &word, last);
        if (taken)
            memcpy(bytes + last, ours, taken);
        racy_store(out + whole, bytes, 8);
        whole += 8;
    }
    if (len > taken)
        racy_store(out + whole, ours + taken, len - taken);
}

/*
 * Write the record into our cell; but for a value that is computed under the lock,
 * and then the even version.
 *
 * The cell may have been a record a moment ago, and a slow reader may still be
 * copying it. The odd version, ordered before the new bytes, tells it so.
 */
static inline void build_record(struct work *w) {
    const struct change *c = w->c;
    owner_t *own = w->ctx->own;
    record_t *rec = w->rec;
    uint64_t version = own->version;
    /* [LOCK-16] [LAYOUT-23] Advanced first: no death lets a version be used twice. */
    store_release_u64(&own->version, version + 2);
    fence_program_order();
    store_relaxed_u64(&rec->version, version + 1);
    w->c->made = version + 2;
    /* ORDER build-odd: [LOCK-27] the odd version before any byte of the record. Pairs with
     * read-recheck in read.c: a reader that copied a new byte sees a new version. */
    fence_release();
    const struct shmkv_item *item = c->item;
    uint64_t lengths = w->val_len | (uint64_t)(c->key_len - 1) << 32 | (uint64_t)item->type << 48 |
                       (w->extra ? EXTRA_FLAG : 0) | (c->hidden ? HIDDEN_FLAG : 0);
    store_relaxed_u64((uint64_t *)(void *)&rec->value_len, lengths);
    if (unlikely(w->extra))
        store_extra(rec, w->expiry_ns, w->owner);
    racy_store((uint8_t *)rec + record_key_offset(w->extra), c->key, c->key_len);
    uint8_t *value = (uint8_t *)rec + record_value_offset(c->key_len, w->extra);
    if (unlikely(w->asks) && c->compute)
        return;
    if (unlikely(w->asks) && c->base)
        store_behind(value, c->base, item->data, item->len);
    else
        racy_store(value, item->data, item->len);
    finish_record(w);
}

_Static_assert(offsetof(record_t, value_len) == 8 && offsetof(record_t, key_len) == 12 &&
                   offsetof(record_t, type) == 14 && offsetof(record_t, flags) == 15,
               "value_len, key_len, type and flags share one word");

/* Whom an entry dies with that is bound to us. Its slot's state says it to all. */
static uint64_t owner_word(struct context *ctx) {
    return FIELD(load_relaxed_u64(&ctx->own->state), OWNER_STATE_GENERATION) << 32 |
           (ctx->slot + 1);
}

/* [OP-26] The end of an entry that is given none. @p ttl comes from the segment. */
static COLD uint64_t default_end(uint64_t ttl) {
    uint64_t end;
    return __builtin_add_overflow(wall_ns(), ttl, &end) ? UINT64_MAX : end;
}

/* What the item says of the entry's end, and the segment if the item does not. */
static inline void plan_end(struct work *w) {
    const struct shmkv_item *item = w->c->item;
    uint64_t ttl = w->ctx->seg->default_ttl_ns;
    w->expiry_ns = item->expires_ns;
    if (unlikely(ttl) && !item->expires_ns && !(item->flags & SHMKV_NO_DEFAULT_EXPIRY))
        w->expiry_ns = default_end(ttl);
    w->owner = unlikely(item->flags & SHMKV_BOUND) ? owner_word(w->ctx) : 0;
    if (likely(!w->asks) || !w->c->base)
        return;
    w->owner = w->c->base->owner;
    if (!w->c->new_end)
        w->expiry_ns = w->c->base->expiry_ns;
}

static inline int build_in(struct work *w, uint64_t *field) {
    struct segment *seg = w->ctx->seg;
    w->val_len = w->c->item->len;
    if (unlikely(w->asks) && w->c->base)
        w->val_len += w->c->base->val_len;
    uint64_t size = record_size(w->c->key_len, w->val_len, w->extra);
    int err = prepare_cell(w->ctx, hash_shard(seg, w->hash), size, field, &w->cell);
    if (unlikely(err))
        return err;
    w->rec = cell_at(seg, w->cell, size);
    if (unlikely(!w->rec))
        return damaged(seg, seg_offset(seg, field), "our own slot names no cell");
    build_record(w);
    return SHMKV_OK;
}
static inline int build(struct work *w) { return build_in(w, &w->ctx->own->cell); }

int change_build(struct context *ctx, struct change *c, uint64_t *field, uint64_t *cell) {
    struct work w = {.ctx = ctx, .c = c, .hash = hash_bytes(c->key, c->key_len, ctx->seg->seed)};
    plan_end(&w);
    w.extra = (w.expiry_ns | w.owner) != 0;
    int err = build_in(&w, field);
    *cell = w.cell;
    return err;
}

/* ------------------------------------------------------------------- the condition */

int entry_look(struct segment *seg, const uint64_t *slot, uint64_t word, struct found *f) {
    *f = (struct found){0};
    f->rec = record_look(seg, word, &f->shape);
    if (!f->rec)
        return damaged(seg, seg_offset(seg, slot), "a slot leads nowhere");
    f->version = load_relaxed_u64(&f->rec->version);
    if (f->shape.extra) {
        const extra_t *extra = (const extra_t *)(const void *)(f->rec + 1);
        f->expiry_ns = load_relaxed_u64(&extra->expiry_ns);
        f->owner = load_relaxed_u64(&extra->owner);
    }
    f->present = !f->shape.extra || entry_in_place(seg, f->expiry_ns, f->owner);
    return SHMKV_OK;
}

/* The type as it counts: a value whose length is not its type's is bytes [LAYOUT-26]. */
static int found_type(const struct found *f) {
    return type_of_value(f->shape.type, f->shape.val_len);
}

void found_tell(const struct found *f, void *buf, struct shmkv_item *item) {
    *item = (struct shmkv_item){
        .data = buf,
        .len = f->shape.val_len,
        .type = found_type(f),
        .flags = f->owner ? SHMKV_BOUND : 0,
        .expires_ns = f->expiry_ns,
        .version = f->version,
    };
}

static bool same_value(const struct found *f, const struct shmkv_item *item) {
    return !item->len || racy_equal(found_value(f), item->data, item->len);
}

/* Is the value the expected one? Caller holds the lock. */
static int compare(const struct work *w) {
    const struct found *f = &w->found;
    const struct shmkv_item *expected = w->c->expected;
    if (found_type(f) != expected->type || f->shape.val_len != expected->len)
        return SHMKV_ECHANGED;
    if (w->has_compared && w->compared == f->version)
        return w->equal ? SHMKV_OK : SHMKV_ECHANGED;
    if (f->shape.val_len > COMPARE_LOCKED)
        return NEED_COMPARE;
    return same_value(f, expected) ? SHMKV_OK : SHMKV_ECHANGED;
}

/* The key is present: may it be changed? */
static int allow(const struct work *w) {
    const struct found *f = &w->found;
    switch (w->c->when) {
    case IF_ABSENT:
        return SHMKV_EEXISTS;
    case IF_VERSION:
        return f->version == w->c->version ? SHMKV_OK : SHMKV_ECHANGED;
    case IF_VALUE:
        return compare(w);
    default:
        return SHMKV_OK;
    }
}

/* Make the number. Its entry's end stays what it was. */
static int compute(struct work *w) {
    const struct found *f = &w->found;
    const struct change *c = w->c;
    const char *path = w->ctx->seg->loc->path;
    uint64_t old = 0;
    plan_end(w);
    if (f->present) {
        if (found_type(f) != c->item->type)
            return fail(SHMKV_ETYPE, "%s: it is %s, not %s", path, type_name(found_type(f)),
                        type_name(c->item->type));
        old = load_relaxed_u64((const uint64_t *)(const void *)found_value(f));
        w->expiry_ns = f->expiry_ns;
        w->owner = f->owner;
    }
    if ((w->expiry_ns | w->owner) && !w->extra)
        return NEED_EXTRA;
    int err = c->compute(c->arg, f->present ? &old : NULL, &w->value);
    return err == SHMKV_EOVERFLOW ? fail(err, "%s", path) : err;
}

/* [OP-08] Does the entry count, that is bound to somebody? Whether he is dead is asked without the
 * lock, once for each owner that is met. */
static COLD int decide_bound(struct work *w) {
    uint64_t owner = w->found.owner;
    bool ours = slot_is_ours(w->ctx->seg, (uint32_t)owner - 1);
    if (w->c->ours && !ours)
        return SHMKV_ECHANGED;
    if (owner == w->gone)
        w->found.present = false;
    else if (owner != w->lives && !ours)
        return NEED_OWNER;
    return SHMKV_OK;
}

static void tell_facts(const struct work *w) { found_tell(&w->found, w->c->buf, w->c->old); }

/* [OP-21] Decided under the lock, by what the slot leads to now. */
static COLD int decide(struct work *w) {
    const struct change *c = w->c;
    int err = SHMKV_OK;
    w->found.present = false;
    if (w->place.word)
        err = entry_look(w->ctx->seg, w->place.slot, w->place.word, &w->found);
    if (!err && w->found.present && unlikely(w->found.owner != 0))
        err = decide_bound(w);
    if (err)
        return err;
    if (w->found.present)
        err = allow(w);
    else if (!c->item || (c->when != ALWAYS && c->when != IF_ABSENT))
        err = SHMKV_ENOTFOUND;
    if (!err && c->old && w->found.present && w->found.shape.val_len > c->buf_len) {
        tell_facts(w);
        err = SHMKV_ETOOSMALL;
    }
    return !err && c->compute ? compute(w) : err;
}

/* ----------------------------------------------------------------------- the commit */

/* [LIFE-13] [LIFE-20] The first things to look at under the lock. */
static inline int lock_live(struct context *ctx, const struct domain *d) {
    struct segment *seg = ctx->seg;
    int err = lock_take(ctx, d);
    if (unlikely(err))
        return err;
    if (likely(segment_live_and_thawed(seg)))
        return SHMKV_OK;
    err = segment_check_live(seg);
    if (!err)
        err = segment_check_thawed(seg);
    if (err)
        lock_release(ctx, d);
    return err;
}

int shard_lock_live(struct context *ctx, const struct domain *d) { return lock_live(ctx, d); }

/* What else a put changes in a segment that evicts. [EVICT-03] What was evicted for it is kept
 * for the next, as what was replaced would be. */
static COLD void add_evicting(struct txn *t, const struct work *w) {
    struct segment *seg = w->ctx->seg;
    owner_t *own = w->ctx->own;
    uint64_t victim = load_relaxed_u64(&own->victim) & CELL_IN_WORD;
    if (victim && !w->place.word) {
        txn_set(t, &own->cell, victim);
        txn_set(t, &own->victim, 0);
    } else {
        txn_set(t, &own->cell, w->place.word & CELL_IN_WORD);
    }
    if (seg->max_bytes && !w->c->hidden)
        txn_set(t, &w->shard->bytes,
                w->shard->bytes + cell_bytes(seg, w->cell) - cell_bytes(seg, w->place.word));
}

static inline void commit_put(struct work *w) {
    uint64_t new_word = (w->cell & CELL_IN_WORD) | hash_tag(w->hash);
    struct txn t;
    txn_begin(&t, w->ctx, &w->d);
    if (unlikely(w->ctx->seg->evicts)) {
        /* Who changes an entry uses it. */
        txn_set(&t, w->place.slot, new_word | (w->place.word ? USED_MARK : 0));
        add_evicting(&t, w);
    } else {
        txn_set(&t, w->place.slot, new_word);
        txn_set(&t, &w->ctx->own->cell, w->place.word & CELL_IN_WORD);
    }
    if (!w->place.word && likely(!w->c->hidden))
        txn_set(&t, &w->shard->count, w->shard->count + 1);
    txn_set(&t, &w->shard->changes, w->shard->changes + 1);
    txn_commit(&t, SHMKV_OP_PUT);
}

/* All that every removal of an entry changes. */
static inline void remove_entry(struct txn *t, shard_t *shard, uint64_t *slot, uint64_t word,
                                uint64_t *field, bool hidden) {
    struct segment *seg = t->ctx->seg;
    txn_set(t, slot, 0);
    txn_set(t, field, word & CELL_IN_WORD);
    if (likely(!hidden))
        txn_set(t, &shard->count, shard->count - 1);
    txn_set(t, &shard->changes, shard->changes + 1);
    if (unlikely(seg->max_bytes) && !hidden)
        txn_set(t, &shard->bytes, shard->bytes - cell_bytes(seg, word));
}

void slot_withdraw(struct context *ctx, const struct domain *d, shard_t *shard, uint64_t *slot,
                   uint64_t word, uint64_t *field, bool hidden) {
    struct txn t;
    txn_begin(&t, ctx, d);
    remove_entry(&t, shard, slot, word, field, hidden);
    txn_commit(&t, SHMKV_OP_DELETE);
}

void slot_evict(struct context *ctx, const struct domain *d, shard_t *shard, uint64_t *slot,
                uint64_t word, uint64_t *field, bool present) {
    struct txn t;
    txn_begin(&t, ctx, d);
    remove_entry(&t, shard, slot, word, field, false);
    if (present)
        txn_set(&t, &shard->evictions, shard->evictions + 1);
    txn_commit(&t, SHMKV_OP_DELETE);
}

static inline int find(struct work *w) {
    return table_find_in(w->ctx, w->shard, w->hash, w->c->key, w->c->key_len, w->c->hidden,
                         &w->place);
}

/* [OP-24] Only now, and once: with one version a record has one value. A reader who came by
 * the slot's word long ago, when it named this same cell, would take what is
 * there under an even version. */
static void finish_number(struct work *w) {
    if (w->extra)
        store_extra(w->rec, w->expiry_ns, w->owner);
    uint8_t *value = (uint8_t *)w->rec + record_value_offset(w->c->key_len, w->extra);
    store_relaxed_u64((uint64_t *)(void *)value, w->value);
    finish_record(w);
}

/* ---------------------------------------------------------------------- making room */

/* What the eviction of an entry says, and what that means for the put. */
static COLD int evicted(const struct work *w, int err) {
    if (err == E_RETRY)
        return NEED_ROOM;
    return err == E_NOTHING
               ? fail(SHMKV_ENOSPC, "%s: the entries in its way are bound to processes",
                      w->ctx->seg->loc->path)
               : err;
}

/* [EVICT-01] Is there room for the record? E_RETRY: there may be now. */
static COLD int keep_bounds(struct work *w) {
    struct segment *seg = w->ctx->seg;
    uint64_t bytes = cell_bytes(seg, w->cell), old = cell_bytes(seg, w->place.word);
    if (w->c->hidden || shard_has_room(seg, w->shard, !w->place.word, (int64_t)(bytes - old)))
        return SHMKV_OK;
    if (bytes > seg->shard_max_bytes)
        return fail(SHMKV_EVALUE, "%s: %llu bytes with its key; max_bytes leaves %llu in a shard",
                    seg->loc->path, (unsigned long long)bytes,
                    (unsigned long long)seg->shard_max_bytes);
    if (load_relaxed_u64(&w->ctx->own->victim))
        return NEED_ROOM;
    w->victim.keep = w->place.word ? w->place.slot : NULL;
    w->victim.field = &w->ctx->own->victim;
    int err = evict_locked(w->ctx, &w->d, &w->victim);
    /* It may take another; the next search begins afresh. */
    if (!err)
        w->victim = (struct victim){0};
    return err ? evicted(w, err) : E_RETRY;
}

/* Where the index cannot grow any more: a slot of the key's own chain. */
static COLD int make_slot(struct work *w) {
    if (load_relaxed_u64(&w->ctx->own->victim))
        return NEED_ROOM;
    bucket_t *b = group_bucket(w->place.group, hash_bucket(w->hash));
    int err = evict_from_chain(w->ctx, &w->d, b, &w->ctx->own->victim);
    return err ? evicted(w, err) : SHMKV_OK;
}

/* The place has no slot. SHMKV_OK: look again. */
static COLD int make_place(struct work *w) {
    if (w->cramped && w->place.group)
        return make_slot(w);
    return table_grow(w->ctx, &w->d, w->shard, w->hash, &w->place, w->swept);
}

/* Under the shard lock: publish the record that was built, growing the index with
 * what is at hand. E_GROW: the place tells what is missing. */
static inline int publish(struct work *w) {
    for (;;) {
        int err = find(w);
        if (!err && unlikely(w->asks))
            err = decide(w);
        if (unlikely(err))
            return err;
        if (unlikely(w->ctx->seg->evicts)) {
            err = keep_bounds(w);
            if (err == E_RETRY)
                continue;
            if (err)
                return err;
        }
        if (likely(w->place.slot != NULL))
            break;
        err = make_place(w);
        if (err)
            return err;
    }
    if (unlikely(w->asks) && w->c->compute)
        finish_number(w);
    commit_put(w);
    return SHMKV_OK;
}

/* Does the record that a slot of the locked shard names have the optional part? */
static bool has_extra(struct segment *seg, uint64_t word) {
    const uint64_t *words = (const uint64_t *)(const void *)(seg->base + (word & OFFSET_IN_WORD));
    return load_relaxed_u64(words + 1) & EXTRA_FLAG;
}

static int withdraw(struct work *w) {
    int err = find(w);
    if (err)
        return err;
    if (!w->place.word)
        return SHMKV_ENOTFOUND;
    if (w->asks || has_extra(w->ctx->seg, w->place.word))
        err = decide(w);
    /* [OP-23] An entry that counts as absent already goes all the same. */
    if (!err || err == SHMKV_ENOTFOUND)
        slot_withdraw(w->ctx, &w->d, w->shard, w->place.slot, w->place.word, &w->ctx->own->cell,
                      w->c->hidden);
    return err;
}

/* -------------------------------------------------------------------- the change */

static inline bool may_keep(uint64_t cell) {
    unsigned cls = (unsigned)FIELD(cell, CELL_CLASS);
    return cls && cls < SHMKV_CLASS_COUNT && shmkv_class_sizes[cls] <= KEEP_LARGEST;
}

/* [OP-22] The old value, from the record that is ours since the commit. */
static COLD void hand_out(const struct work *w) {
    if (!w->found.present) {
        *w->c->old = (struct shmkv_item){.result = SHMKV_ENOTFOUND};
        return;
    }
    racy_copy(w->c->buf, found_value(&w->found), w->found.shape.val_len);
    tell_facts(w);
}

/*
 * Does the owner of what was found live? After the dead we clean up, so that what they had
 * begun is finished before the caller takes their place. If that cannot be done now, the key is
 * absent all the same; but a named lock is still held [NAMED-02].
 */
static COLD void ask_after_owner(struct work *w) {
    struct segment *seg = w->ctx->seg;
    uint64_t owner = w->found.owner;
    bool gone =
        owner_gone(seg, owner) && (owner_reap(w->ctx, (uint32_t)owner - 1) || !w->c->hidden);
    *(gone ? &w->gone : &w->lives) = owner;
    FAULT_POINT("owner-asked");
}

/* Compare without the lock. The record may go meanwhile, and its cell hold anything: what was
 * seen counts if the slot still leads to this version then. */
static COLD void compare_unlocked(struct work *w) {
    w->equal = same_value(&w->found, w->c->expected);
    fence_acquire();
    w->compared = w->found.version;
    w->has_compared = true;
}

static COLD int look_without_lock(struct work *w, int need) {
    if (++w->looks > MAX_LOOKS)
        return fail(SHMKV_EBUSY, "%s: an entry changes too fast to be looked at",
                    w->ctx->seg->loc->path);
    if (need == NEED_COMPARE)
        compare_unlocked(w);
    else
        ask_after_owner(w);
    return SHMKV_OK;
}

/* Do without the lock what was asked for under it. SHMKV_OK: try again. */
static COLD int meet(struct work *w, int need) {
    if (need == NEED_EXTRA) {
        w->extra = true;
        return build(w);
    }
    if (need == NEED_ROOM) {
        int err = evict_again(w->ctx->seg, &w->left);
        return err ? err : cell_return(w->ctx, &w->ctx->own->victim);
    }
    return look_without_lock(w, need);
}

static inline int locked_step(struct work *w) {
    int err = lock_live(w->ctx, &w->d);
    if (unlikely(err))
        return err;
    err = likely(w->c->item != NULL) ? publish(w) : withdraw(w);
    lock_release(w->ctx, &w->d);
    return err;
}

/* The work under the lock, and what it asks for before it can be done. */
static inline int all_steps(struct work *w, bool *grew) {
    for (;;) {
        int err = locked_step(w);
        if (likely(!err))
            return SHMKV_OK;
        if (err == E_GROW) {
            *grew = true;
            err = prepare_or_evict(w->ctx, w->d.index, &w->place, &w->cramped);
        } else if (err == E_GONE) {
            w->swept = true;
            err = group_sweep(w->ctx, w->hash);
        } else if (err <= NEED_EXTRA) {
            err = meet(w, err);
        } else {
            return err;
        }
        if (err)
            return err;
    }
}

/* @p ahead: the bucket, on its way while the record is built, or NULL. */
static inline __attribute__((always_inline)) int make(struct context *ctx, struct change *c,
                                                      uint64_t hash, const bucket_t *ahead) {
    struct segment *seg = ctx->seg;
    struct work w;
    w.ctx = ctx;
    w.c = c;
    w.asks = c->when != ALWAYS || c->old || c->compute;
    w.looks = 0;
    w.swept = w.cramped = w.has_compared = false;
    w.gone = w.lives = 0;
    w.hash = hash;
    if (unlikely(seg->evicts)) {
        w.victim = (struct victim){0};
        w.left = 0;
    }
    int err;
    if (likely(c->item != NULL)) {
        plan_end(&w);
        w.extra = (w.expiry_ns | w.owner) != 0;
        c->expires_ns = w.expiry_ns;
        err = build(&w);
    } else {
        /* The transaction will put the withdrawn record here. */
        err = cell_return(ctx, &ctx->own->cell);
    }
    if (unlikely(err))
        return err;
    record_ahead(seg, ahead, w.hash);
    uint32_t index = hash_shard(seg, w.hash);
    w.shard = &seg->shards[index];
    w.d = shard_domain(seg, index);
    bool grew = false;
    err = all_steps(&w, &grew);
    if (unlikely(w.asks)) {
        if (c->old && !err)
            hand_out(&w);
        if (c->item)
            c->expires_ns = w.expiry_ns;
        if (err == E_SAME)
            err = SHMKV_OK;
    }
    /* What cannot be put away stays in our slot and goes back at the next
     * occasion, at the latest when the slot is reaped: the change counts. */
    if (unlikely(grew))
        (void)table_tidy(ctx);
    if (unlikely(seg->evicts))
        (void)cell_return(ctx, &ctx->own->victim);
    if (!c->item || !may_keep(load_relaxed_u64(&ctx->own->cell)))
        (void)cell_return(ctx, &ctx->own->cell);
    return err;
}

int change_make(struct context *ctx, struct change *c) {
    uint64_t hash = hash_inline(c->key, c->key_len, ctx->seg->seed);
    return make(ctx, c, hash, bucket_ahead(ctx->seg, hash));
}

int change_make_hashed(struct context *ctx, struct change *c, uint64_t hash) {
    return make(ctx, c, hash, NULL);
}
