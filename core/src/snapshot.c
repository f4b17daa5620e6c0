/*
 * All entries as they were at one moment [OP-15]. Spec 6.7.
 *
 * A writable handle takes every shard lock, ascending, and copies. A read-only
 * one cannot, so it copies without and then asks whether any shard changed: each
 * has a stamp of words that no commit leaves as they were. If one moved, it
 * copies again, a few times at least, and as long as a lock would be waited for.
 *
 * The copy goes to one anonymous mapping, reserved beforehand: nothing is
 * allocated while locks are held.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

#define MIN_ATTEMPTS 3

/* An entry of the copy: this, the key, the value, no padding. */
struct item {
    uint32_t key_len, val_len;
    uint64_t expires_ns, version;
    uint8_t type;
    bool bound;
};

struct shmkv_snapshot {
    uint8_t *base;
    uint64_t capacity, used, count, next;
    uint64_t passed; /* words of the index and of keys that were looked at */
    /* What a transaction will still store in the shard being copied. */
    const entry_t *decided;
    unsigned decided_count;
    /* [OP-15] The time when the copy began: an entry whose end comes while it is made is in it. */
    uint64_t began_ns;
    /* [OP-15] What was told of the owners that entries are bound to, by slot: 0 or the owner, and
     * whether he was gone. One answer for all entries of one owner. */
    uint32_t owner_count;
    struct verdict {
        uint64_t owner;
        bool gone;
    } * verdicts;
};

/* ------------------------------------------------------------------------- copy */

static bool owner_was_gone(struct segment *seg, shmkv_snapshot_t *s, uint64_t owner) {
    uint32_t slot = (uint32_t)owner - 1;
    if (slot >= s->owner_count)
        return true;
    struct verdict *v = &s->verdicts[slot];
    if (v->owner != owner)
        *v = (struct verdict){owner, owner_gone(seg, owner)};
    return v->gone;
}

/* One owner was found dead and then another alive, who died in between: no moment was like
 * that. So those who lived are asked after again, when all have been. */
static bool owners_still_live(struct segment *seg, const shmkv_snapshot_t *s) {
    for (uint32_t i = 0; i < s->owner_count; i++)
        if (s->verdicts[i].owner && !s->verdicts[i].gone && owner_gone(seg, s->verdicts[i].owner))
            return false;
    return true;
}

/* Take note of the optional part. Is the entry still there? */
static bool note_extra(struct segment *seg, shmkv_snapshot_t *s, const record_t *rec,
                       struct item *item) {
    const extra_t *extra = (const extra_t *)(const void *)(rec + 1);
    uint64_t owner = load_relaxed_u64(&extra->owner);
    item->expires_ns = load_relaxed_u64(&extra->expiry_ns);
    item->bound = owner != 0;
    if (item->expires_ns && s->began_ns >= item->expires_ns)
        return false;
    return !owner || (owner_in_place(seg, owner) && !owner_was_gone(seg, s, owner));
}

/* [OP-01] Each word of the index and of the keys is passed once. More than fit into the file:
 * somebody has made chains, groups or slots lead to the same. */
static bool too_many(struct segment *seg, shmkv_snapshot_t *s, uint64_t words) {
    s->passed += words;
    return s->passed > 2 * load_relaxed_u64(&seg->safe_limit) / sizeof(uint64_t);
}

static int copy_record(struct segment *seg, shmkv_snapshot_t *s, const struct group_view *view,
                       uint64_t word) {
    struct shape shape;
    record_t *rec = record_look(seg, word, &shape);
    uint64_t version = rec ? load_acquire_u64(&rec->version) : 0;
    if (version == 0 || version & 1 || too_many(seg, s, shape.key_len / sizeof(uint64_t)))
        return SHMKV_ECORRUPT;
    const uint8_t *key = (const uint8_t *)rec + SHMKV_RECORD_HEADER_SIZE +
                         (shape.extra ? SHMKV_RECORD_EXTRA_SIZE : 0);
    struct item item = {.key_len = (uint32_t)shape.key_len,
                        .val_len = (uint32_t)shape.val_len,
                        .version = version,
                        .type = (uint8_t)shape.type};
    if (shape.hidden || !group_view_has(seg, view, key, shape.key_len) ||
        (shape.extra && !note_extra(seg, s, rec, &item)))
        return SHMKV_OK;
    uint64_t need = sizeof item + item.key_len + (uint64_t)item.val_len;
    if (need > s->capacity - s->used)
        return SHMKV_ETOOSMALL;
    uint8_t *out = s->base + s->used;
    memcpy(out, &item, sizeof item);
    racy_copy(out + sizeof item, key, item.key_len);
    racy_copy(out + sizeof item + item.key_len,
              (const uint8_t *)rec + record_value_offset(item.key_len, shape.extra), item.val_len);
    s->used += need;
    s->count++;
    return SHMKV_OK;
}

/* [TXN-06] The slot's word, or what it is as soon as somebody finishes the transaction
 * that a dead or stopped writer has committed: in other shards it may be finished. */
static uint64_t word_of(struct segment *seg, const shmkv_snapshot_t *s, const uint64_t *slot) {
    uint64_t word = load_acquire_u64(slot);
    for (unsigned i = 0; i < s->decided_count; i++)
        if (load_relaxed_u64(&s->decided[i].offset) == seg_offset(seg, slot))
            return load_relaxed_u64(&s->decided[i].value);
    return word;
}

static int copy_group(struct segment *seg, shmkv_snapshot_t *s, const struct group_view *view) {
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++) {
        const bucket_t *b = group_bucket(view->group, i);
        for (struct chain walk = {0}; b;) {
            if (chain_loops(&walk, b) || too_many(seg, s, SHMKV_BUCKET_SIZE / sizeof(uint64_t)))
                return SHMKV_ECORRUPT;
            for (int k = 0; k < SHMKV_BUCKET_SLOTS; k++) {
                uint64_t word = word_of(seg, s, &b->slots[k]);
                int err = word & OFFSET_IN_WORD ? copy_record(seg, s, view, word) : SHMKV_OK;
                if (err)
                    return err;
            }
            uint64_t link = load_acquire_u64(&b->link);
            b = link ? bucket_at_link(seg, link) : NULL;
            if (link && !b)
                return SHMKV_ECORRUPT;
        }
    }
    return SHMKV_OK;
}

static int copy_shard(struct segment *seg, shmkv_snapshot_t *s, const shard_t *shard) {
    uint64_t root = load_acquire_u64(&shard->root);
    directory_t *dir = root ? table_directory(seg, root) : NULL;
    if (!root)
        return SHMKV_OK;
    if (!dir)
        return SHMKV_ECORRUPT;
    /* ORDER decided: the decision, then the slots. Pairs with decide in transaction.c; whether it
     * was the last word is for the stamps to say. */
    struct domain d = shard_domain(seg, (uint32_t)(shard - seg->shards));
    s->decided_count = 0;
    s->decided = intent_decided(seg, &d, &s->decided_count);
    if (!s->decided)
        s->decided_count = 0;
    unsigned depth = (unsigned)FIELD(root, ROOT_DEPTH);
    uint64_t budget = group_view_budget(depth);
    if (too_many(seg, s, 1ULL << depth))
        return SHMKV_ECORRUPT;
    for (uint64_t i = 0; i < 1ULL << depth; i++) {
        struct group_view view;
        int err = group_view_at(seg, directory_words(dir), depth, 0, 0, i, &budget, &view);
        if (err)
            return SHMKV_ECORRUPT;
        if (view.group)
            err = copy_group(seg, s, &view);
        if (err)
            return err;
    }
    return SHMKV_OK;
}

/* E_RETRY: somebody died that entries are bound to. */
static int copy_once(struct segment *seg, shmkv_snapshot_t *s) {
    s->used = s->count = s->next = s->passed = 0;
    s->began_ns = wall_ns();
    memset(s->verdicts, 0, s->owner_count * sizeof *s->verdicts);
    int err = SHMKV_OK;
    for (uint32_t i = 0; !err && i < seg->shard_count; i++)
        err = copy_shard(seg, s, &seg->shards[i]);
    return err || owners_still_live(seg, s) ? err : E_RETRY;
}

/* [OP-01] An owner dies once, whatever the segment says. */
static int copy_all(struct segment *seg, shmkv_snapshot_t *s) {
    int err = E_RETRY;
    for (uint32_t n = 0; err == E_RETRY && n <= s->owner_count; n++)
        err = copy_once(seg, s);
    return err == E_RETRY
               ? fail(SHMKV_EBUSY, "%s: its writers come and go too fast", seg->loc->path)
               : err;
}

/* ----------------------------------------------------------------------- memory */

static void release(shmkv_snapshot_t *s) {
    if (s->base)
        munmap(s->base, s->capacity);
    s->base = NULL;
    s->capacity = 0;
}

/* Every key and value lies in a cell of its own below the limit, so that much
 * and the item headers is enough. Pages never touched cost nothing. */
static uint64_t enough_for(struct segment *seg) {
    uint64_t entries = 0, limit = load_relaxed_u64(&seg->space->limit);
    for (uint32_t i = 0; i < seg->shard_count; i++)
        entries += load_relaxed_u64(&seg->shards[i].count);
    if (limit > seg->reserve)
        limit = seg->reserve;
    if (entries > limit / SHMKV_CELL_ALIGN)
        entries = limit / SHMKV_CELL_ALIGN;
    if (limit < seg->data_offset)
        limit = seg->data_offset;
    return limit - seg->data_offset + entries * sizeof(struct item);
}

static int reserve(shmkv_snapshot_t *s, uint64_t size) {
    release(s);
    size = round_up(size + size / 8 + SHMKV_SLICE_SIZE, SHMKV_PAGE_SIZE);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        return fail(errno, "snapshot, %llu bytes", (unsigned long long)size);
    s->base = p;
    s->capacity = size;
    return SHMKV_OK;
}

/* ----------------------------------------------------------------------- locked */

static int take_locked(struct context *ctx, shmkv_snapshot_t *s) {
    struct segment *seg = ctx->seg;
    for (;;) {
        /* [OP-01] More each time, whatever the segment says. */
        uint64_t enough = enough_for(seg);
        int err = reserve(s, enough > s->capacity ? enough : s->capacity);
        if (!err)
            err = shards_lock(ctx);
        if (err)
            return err;
        err = segment_check_live(seg);
        bool room = enough_for(seg) <= s->capacity;
        if (!err && room)
            err = copy_all(seg, s);
        shards_unlock(ctx, seg->shard_count);
        if (err == SHMKV_ECORRUPT || err == SHMKV_ETOOSMALL)
            return damaged(seg, seg_offset(seg, seg->shards), "the index leads nowhere");
        if (err || room)
            return err;
    }
}

/* --------------------------------------------------------------------- unlocked */

/*
 * What a shard looks like from outside. A commit makes the intent active, stores
 * to entry 0's word, counts a change and clears the intent; so if neither the
 * count nor the intent nor that word differ between two looks, nothing was
 * committed between them. A dead or stopped writer leaves them at rest.
 */
struct stamp {
    uint64_t changes, intent, first, root;
};

static struct stamp stamp_of(struct segment *seg, const shard_t *shard) {
    struct domain d = shard_domain(seg, (uint32_t)(shard - seg->shards));
    struct stamp s = {.intent = load_acquire_u64(&shard->intent)};
    s.changes = load_acquire_u64(&shard->changes);
    s.root = load_acquire_u64(&shard->root);
    s.first = intent_first_word(seg, &d);
    return s;
}

static bool stamps_hold(struct segment *seg, const struct stamp *stamps) {
    fence_acquire();
    for (uint32_t i = 0; i < seg->shard_count; i++) {
        struct stamp now = stamp_of(seg, &seg->shards[i]);
        if (memcmp(&now, &stamps[i], sizeof now) != 0)
            return false;
    }
    return true;
}

static int take_unlocked(struct segment *seg, shmkv_snapshot_t *s) {
    struct stamp *stamps = calloc(seg->shard_count, sizeof *stamps);
    if (!stamps)
        return fail(ENOMEM, "snapshot");
    int err = SHMKV_OK;
    uint64_t deadline = now_ns() + (uint64_t)seg->lock_timeout_ms * 1000000u;
    for (int n = 0; n < MIN_ATTEMPTS || now_ns() < deadline; n++) {
        err = reserve(s, enough_for(seg));
        if (err)
            break;
        for (uint32_t i = 0; i < seg->shard_count; i++)
            stamps[i] = stamp_of(seg, &seg->shards[i]);
        err = copy_all(seg, s);
        if (stamps_hold(seg, stamps)) {
            if (err && err != SHMKV_EBUSY)
                err = damaged(seg, seg_offset(seg, seg->shards), "the index leads nowhere");
            break;
        }
        err = fail(SHMKV_EBUSY, "%s: snapshot", seg->loc->path);
        sched_yield();
    }
    free(stamps);
    return err;
}

/* ----------------------------------------------------------------------- public */

static int take_as_may_be(struct segment *seg, shmkv_snapshot_t *s) {
    if (!seg->writable)
        return take_unlocked(seg, s);
    struct context *ctx;
    int err = context_acquire(seg, &ctx);
    if (err)
        return err;
    err = take_locked(ctx, s);
    context_release(ctx);
    return err;
}

static int take(struct segment *seg, shmkv_snapshot_t *s) {
    s->owner_count = seg->owner_count;
    s->verdicts = calloc(s->owner_count, sizeof *s->verdicts);
    if (!s->verdicts)
        return fail(ENOMEM, "snapshot");
    int err = take_as_may_be(seg, s);
    free(s->verdicts);
    s->verdicts = NULL;
    return err;
}

int shmkv_snapshot(shmkv_t *kv, shmkv_snapshot_t **out) {
    if (!out)
        return fail(SHMKV_EARGUMENT, "no place for the snapshot");
    *out = NULL;
    shmkv_snapshot_t *s = calloc(1, sizeof *s);
    if (!s)
        return fail(ENOMEM, "snapshot");
    int err;
    do {
        struct segment *seg;
        err = handle_enter(kv, &seg);
        if (!err) {
            err = take(seg, s);
            handle_leave();
        }
    } while (err == E_MOVED);
    if (err) {
        shmkv_snapshot_free(s);
        return err;
    }
    *out = s;
    return SHMKV_OK;
}

uint64_t shmkv_snapshot_count(const shmkv_snapshot_t *s) { return s->count; }

void snapshot_rewind(shmkv_snapshot_t *s) { s->next = 0; }

int shmkv_snapshot_next_item(shmkv_snapshot_t *s, const void **key, size_t *key_len,
                             struct shmkv_item *out) {
    if (s->next >= s->used)
        return SHMKV_ENOTFOUND;
    struct item item;
    memcpy(&item, s->base + s->next, sizeof item);
    *key = s->base + s->next + sizeof item;
    *key_len = item.key_len;
    *out = (struct shmkv_item){.data = (const uint8_t *)*key + item.key_len,
                               .len = item.val_len,
                               .type = type_of_value(item.type, item.val_len),
                               .flags = item.bound ? SHMKV_BOUND : 0,
                               .expires_ns = item.expires_ns,
                               .version = item.version};
    s->next += sizeof item + item.key_len + (uint64_t)item.val_len;
    return SHMKV_OK;
}

int shmkv_snapshot_next(shmkv_snapshot_t *s, const void **key, size_t *key_len, const void **val,
                        size_t *val_len) {
    struct shmkv_item item;
    int err = shmkv_snapshot_next_item(s, key, key_len, &item);
    if (err)
        return err;
    *val = item.data;
    *val_len = item.len;
    return SHMKV_OK;
}

void shmkv_snapshot_free(shmkv_snapshot_t *s) {
    if (!s)
        return;
    release(s);
    free(s);
}
