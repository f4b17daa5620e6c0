/*
 * Several keys that change together or not at all, whoever is killed when.
 * Spec 6.15.
 *
 * The caller's function sees the values of its keys as they were at one moment, and
 * says what becomes of them. No lock is held meanwhile. Then the locks of all shards
 * concerned are taken, ascending; if no key has changed since, everything that is to
 * be stored is written down in a block of memory that our owner slot names, and each
 * shard's intent says: what the block lists for this shard, if its first word has
 * this value. Storing that word, once, is the commit of the whole. Before it no
 * intent has any effect; after it each shard is finished by us or by whoever takes its
 * lock next, in any order.
 *
 * The cells of the new records are named by the block before the commit, and those
 * of the old ones after it: the same words, stored with the slots. So whoever cleans
 * up after us need not know whether we got so far. It must only finish all
 * shards before it touches the block [TXN-03].
 *
 * Two-phase locking was passed over: it would hold locks while the caller's code
 * runs, and deadlock on keys that are named one by one. So were undo records: they
 * would let readers see what never happened.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* What is to become of a key. */
enum wish { LEAVE, STORE, REMOVE };

#define E_FULL (-1020)   /* a shard has no room within its bound */
#define E_VICTIM (-1021) /* own->victim has to be returned first */

/* A declared key. */
struct keyed {
    const void *key;
    size_t len;
    uint64_t hash;
    uint32_t shard, bucket;
    /* What was seen: seen.version 0 is absent. */
    struct shmkv_item seen;
    void *room;
    size_t room_size;
    bool stale;
    /* What is wished. */
    enum wish wish;
    struct shmkv_item item;
    void *data;
    /* The commit: the new record, the word in the block that names it, its slot. */
    uint64_t cell;
    unsigned row;
    struct place place;
};

struct shmkv_txn {
    const shmkv_t *kv; /* for what is said about arguments */
    size_t n;
    struct keyed *keys;
    struct keyed **sorted; /* by shard, then bucket */
    uint64_t mapping;      /* that was seen: versions, and the order, are of one segment */
    bool running;          /* the caller's function is */
    /* On the way to room in the index. */
    bool swept;    /* a group in which there was none */
    bool grew;     /* or tried to */
    bool cramped;  /* it cannot grow */
    uint64_t left; /* see evict_again() */
    uint64_t deadline;
    /* The commit. */
    struct txn_block block;
    struct after *after; /* as the entries in the block */
    unsigned after_count;
    struct part *parts; /* of the sorted keys: at the first of each shard */
};

/* ------------------------------------------------------------------------- the block */

bool txn_block_look(struct segment *seg, uint64_t word, struct txn_block *b) {
    unsigned cls = (unsigned)FIELD(word, TXN_CLASS), n = (unsigned)FIELD(word, TXN_CELLS);
    uint64_t need = sizeof(block_t) + 8ULL * n, off = word & OFFSET_IN_WORD;
    if (n == 0 || n > SHMKV_MAX_TRANSACTION || !cell_at(seg, word & CELL_IN_WORD, need))
        return false;
    uint64_t room = cls ? shmkv_class_sizes[cls] : large_bound(seg, off);
    if (room < need || !seg_at(seg, off, room))
        return false;
    b->head = (block_t *)(void *)(seg->base + off);
    b->cells = (uint64_t *)(void *)(b->head + 1);
    b->entries = (entry_t *)(void *)(b->cells + n);
    b->cell_count = n;
    b->capacity = (unsigned)((room - need) / sizeof(entry_t));
    return true;
}

int transaction_return(struct context *ctx) {
    uint64_t *field = &ctx->own->txn, word = load_relaxed_u64(field);
    if (likely(!word))
        return SHMKV_OK;
    if (FIELD(word, TXN_CELLS)) {
        struct txn_block b;
        if (!txn_block_look(ctx->seg, word, &b))
            return damaged(ctx->seg, seg_offset(ctx->seg, field),
                           "an owner slot names no transaction block");
        for (unsigned i = 0; i < b.cell_count; i++) {
            int err = cell_return(ctx, &b.cells[i]);
            if (err)
                return err;
        }
        /* [TXN-02] Now its cells mean nothing any more. */
        store_release_u64(field, word & CELL_IN_WORD);
        FAULT_POINT("block-without-cells");
    }
    return cell_return(ctx, field);
}

/* A block for @p n records and what is stored with them. */
static int block_take(struct context *ctx, unsigned n, unsigned shards, struct txn_block *b) {
    uint64_t *field = &ctx->own->txn;
    uint64_t size = sizeof(block_t) + 8ULL * n + sizeof(entry_t) * (2ULL * n + 3ULL * shards);
    int err = transaction_return(ctx);
    if (!err)
        err = room_take(ctx, size, field);
    if (err == SHMKV_ENOSPC && ctx->seg->evicts)
        err = room_by_eviction(ctx, 0, size, field);
    if (err)
        return err;
    uint64_t word = (load_relaxed_u64(field) & CELL_IN_WORD) | MAKE(TXN_CELLS, n);
    if (!txn_block_look(ctx->seg, word, b) || b->capacity < 2 * n + 3 * shards)
        return damaged(ctx->seg, seg_offset(ctx->seg, field), "our own slot names no cell");
    FAULT_POINT("block-before-cells");
    /* ORDER recycle: the memory was something else a moment ago. */
    fence_release();
    store_relaxed_u64(&b->head->decision, 0);
    for (unsigned i = 0; i < n; i++)
        store_relaxed_u64(&b->cells[i], 0);
    /* [TXN-02] Only now do they mean something. */
    store_release_u64(field, word);
    return SHMKV_OK;
}

/* --------------------------------------------------------------------------- locks */

static bool new_shard(const struct shmkv_txn *txn, size_t i) {
    return i == 0 || txn->sorted[i]->shard != txn->sorted[i - 1]->shard;
}

/* Those of the first @p n sorted keys. */
static void unlock_shards(struct context *ctx, const struct shmkv_txn *txn, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (new_shard(txn, i)) {
            struct domain d = shard_domain(ctx->seg, txn->sorted[i]->shard);
            lock_release(ctx, &d);
        }
}

/* [LOCK-03] Ascending: two transactions, or one and a snapshot, never wait for each other. */
static int lock_shards(struct context *ctx, const struct shmkv_txn *txn) {
    for (size_t i = 0; i < txn->n; i++)
        if (new_shard(txn, i)) {
            struct domain d = shard_domain(ctx->seg, txn->sorted[i]->shard);
            int err = lock_take(ctx, &d);
            if (err) {
                unlock_shards(ctx, txn, i);
                return err;
            }
        }
    int err = segment_check_live(ctx->seg);
    if (err)
        unlock_shards(ctx, txn, txn->n);
    return err;
}

/* ----------------------------------------------------------------------------- see */

/* [TXN-01] Is the key what was seen? Caller holds its shard's lock. Finds its place. */
static int compare_seen(struct context *ctx, struct keyed *k) {
    struct segment *seg = ctx->seg;
    int err = table_find(ctx, &seg->shards[k->shard], k->hash, k->key, k->len, &k->place);
    if (err)
        return err;
    struct found f = {.present = false};
    if (k->place.word)
        err = entry_look(seg, k->place.slot, k->place.word, &f);
    if (err)
        return err;
    /* As a get sees it, or what was seen would be another for ever. */
    if (f.present && f.owner && owner_gone(seg, f.owner))
        f.present = false;
    k->stale = (f.present ? f.version : 0) != k->seen.version;
    return SHMKV_OK;
}

/* Read the value into memory of ours, however long it is. */
static int read_key(struct segment *seg, struct keyed *k) {
    int err;
    while ((err = read_item(seg, k->key, k->len, k->room, k->room_size, true, NULL, &k->seen)) ==
           SHMKV_ETOOSMALL) {
        size_t size = k->seen.len;
        void *room = realloc(k->room, size);
        if (!room)
            return fail(ENOMEM, "a value of %zu bytes", size);
        k->room = room;
        k->room_size = size;
    }
    if (err == SHMKV_ENOTFOUND)
        k->seen = (struct shmkv_item){.result = SHMKV_ENOTFOUND};
    else if (!err && !k->seen.data)
        k->seen.data = "";
    return err == SHMKV_ENOTFOUND ? SHMKV_OK : err;
}

/* Under all locks: E_RETRY if one has changed since it was read. */
static int compare_all(struct context *ctx, struct shmkv_txn *txn) {
    int err = lock_shards(ctx, txn);
    if (err)
        return err;
    bool stale = false;
    for (size_t i = 0; !err && i < txn->n; i++) {
        err = compare_seen(ctx, txn->sorted[i]);
        stale |= txn->sorted[i]->stale;
    }
    unlock_shards(ctx, txn, txn->n);
    return err ? err : stale ? E_RETRY : SHMKV_OK;
}

static int too_busy(const struct shmkv_txn *txn, const struct segment *seg) {
    return now_ns() < txn->deadline
               ? SHMKV_OK
               : fail(SHMKV_EBUSY, "%s: the keys of a transaction change too fast", seg->loc->path);
}

static int by_place(const void *a, const void *b) {
    const struct keyed *x = *(struct keyed *const *)a, *y = *(struct keyed *const *)b;
    if (x->shard != y->shard)
        return x->shard < y->shard ? -1 : 1;
    if (x->bucket != y->bucket)
        return x->bucket < y->bucket ? -1 : 1;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return memcmp(x->key, y->key, x->len);
}

/* In which order the keys are locked, which depends on the segment. */
static int sort_keys(struct segment *seg, struct shmkv_txn *txn) {
    txn->mapping = seg->number;
    for (size_t i = 0; i < txn->n; i++) {
        struct keyed *k = &txn->keys[i];
        k->hash = hash_bytes(k->key, k->len, seg->seed);
        k->shard = hash_shard(seg, k->hash);
        k->bucket = (uint32_t)hash_bucket(k->hash);
        k->stale = true;
        txn->sorted[i] = k;
    }
    qsort(txn->sorted, txn->n, sizeof *txn->sorted, by_place);
    for (size_t i = 1; i < txn->n; i++)
        if (by_place(&txn->sorted[i - 1], &txn->sorted[i]) == 0) {
            int err = fail(SHMKV_EARGUMENT, "%s: a key is named twice", seg->loc->path);
            return fail_at_key(err, txn->sorted[i]->key, txn->sorted[i]->len);
        }
    return SHMKV_OK;
}

/* Not by its uuid: a segment may bear any, and that of the one before it. */
static bool same_segment(const struct segment *seg, const struct shmkv_txn *txn) {
    return seg->number == txn->mapping;
}

/*
 * The values of all keys at one moment: each is read without a lock, and then, with
 * all locks, none has changed. A version never comes back, so all were there when
 * the last lock was taken.
 */
static int see(struct context *ctx, void *arg) {
    struct shmkv_txn *txn = arg;
    struct segment *seg = ctx->seg;
    int err = same_segment(seg, txn) ? SHMKV_OK : sort_keys(seg, txn);
    while (!err) {
        for (size_t i = 0; !err && i < txn->n; i++)
            if (txn->sorted[i]->stale)
                err = read_key(seg, txn->sorted[i]);
        if (!err)
            err = compare_all(ctx, txn);
        if (err != E_RETRY)
            return err;
        err = too_busy(txn, seg);
    }
    return err;
}

/* --------------------------------------------------------------- room for new keys */

/* Does another new key of this transaction get the slot? Those of one bucket are
 * neighbours in the order. */
static bool slot_taken(const struct shmkv_txn *txn, size_t i, const uint64_t *slot) {
    const struct keyed *k = txn->sorted[i];
    while (i-- > 0 && txn->sorted[i]->shard == k->shard && txn->sorted[i]->bucket == k->bucket)
        if (txn->sorted[i]->wish == STORE && txn->sorted[i]->place.slot == slot)
            return true;
    return false;
}

/* A slot for the new key @p i. If there is none: place.slot is NULL, as from table_find(). */
static int find_slot(struct segment *seg, const struct shmkv_txn *txn, size_t i) {
    struct place *p = &txn->sorted[i]->place;
    if (!p->slot || !slot_taken(txn, i, p->slot))
        return SHMKV_OK;
    p->slot = NULL;
    bucket_t *b = group_bucket(p->group, txn->sorted[i]->bucket);
    for (struct chain walk = {0}; b && !chain_loops(&walk, b);) {
        for (int s = 0; s < SHMKV_BUCKET_SLOTS; s++)
            if (!(load_relaxed_u64(&b->slots[s]) & OFFSET_IN_WORD) &&
                !slot_taken(txn, i, &b->slots[s])) {
                p->slot = &b->slots[s];
                return SHMKV_OK;
            }
        p->last = b;
        uint64_t link = load_relaxed_u64(&b->link);
        if (!link)
            return SHMKV_OK;
        b = bucket_at_link(seg, link);
    }
    return damaged(seg, seg_offset(seg, p->last), "a chain of overflow buckets does not end");
}

static COLD int nothing_may_go(const struct segment *seg) {
    return fail(SHMKV_ENOSPC,
                "%s: what is in its way is bound to processes, or the transaction's own",
                seg->loc->path);
}

/* Where the index cannot grow any more: a slot of the key's own chain. Its entry may be a
 * key of the transaction: that is seen then, as if another had deleted it. */
static COLD int make_slot(struct context *ctx, const struct domain *d, const struct keyed *k) {
    if (load_relaxed_u64(&ctx->own->victim))
        return E_VICTIM;
    bucket_t *b = group_bucket(k->place.group, k->bucket);
    int err = evict_from_chain(ctx, d, b, &ctx->own->victim);
    return err == E_NOTHING ? nothing_may_go(ctx->seg) : err;
}

/* The place has no slot. SHMKV_OK: look again. */
static int make_place(struct context *ctx, const struct shmkv_txn *txn, struct keyed *k) {
    struct domain d = shard_domain(ctx->seg, k->shard);
    if (txn->cramped && k->place.group)
        return make_slot(ctx, &d, k);
    return table_grow(ctx, &d, &ctx->seg->shards[k->shard], k->hash, &k->place, txn->swept);
}

/* Find all places again and again, since making room in a shard moves what is there.
 * E_GROW: *where tells what is missing. */
static int find_places(struct context *ctx, struct shmkv_txn *txn, size_t *where) {
    struct segment *seg = ctx->seg;
    for (size_t i = 0; i < txn->n; i++) {
        struct keyed *k = txn->sorted[i];
        int err = compare_seen(ctx, k);
        if (!err && k->stale)
            err = E_RETRY;
        if (!err && k->wish == STORE && !k->place.word)
            err = find_slot(seg, txn, i);
        if (err)
            return err;
        if (k->wish != STORE || k->place.slot)
            continue;
        *where = i;
        err = make_place(ctx, txn, k);
        if (err)
            return err;
        i = (size_t)-1; /* from the start */
    }
    return SHMKV_OK;
}

/* --------------------------------------------------------------------------- commit */

static void to_store(struct shmkv_txn *txn, uint64_t *word, uint64_t value) {
    txn->after[txn->after_count++] = (struct after){.word = word, .value = value, .count = 1};
}

/* What is to be stored for key @p k. */
static void write_down(const struct segment *seg, struct shmkv_txn *txn, const struct keyed *k) {
    if (k->wish == LEAVE || (k->wish == REMOVE && !k->place.word))
        return;
    uint64_t new_word = k->wish == STORE ? (k->cell & CELL_IN_WORD) | hash_tag(k->hash) : 0;
    if (seg->evicts && k->wish == STORE && k->place.word)
        new_word |= USED_MARK;
    to_store(txn, k->place.slot, new_word);
    to_store(txn, &txn->block.cells[k->row], k->place.word & CELL_IN_WORD);
}

/* What a transaction adds to a shard. */
struct growth {
    int64_t entries, bytes;
    uint64_t new_bytes; /* of all that it stores there */
};

/* The same for all keys of one shard, from the sorted key @p i on. */
static struct growth growth_of(struct segment *seg, const struct shmkv_txn *txn, size_t i) {
    struct growth g = {0};
    do {
        const struct keyed *k = txn->sorted[i];
        uint64_t more = k->wish == STORE ? cell_bytes(seg, k->cell) : 0;
        uint64_t less = k->wish != LEAVE ? cell_bytes(seg, k->place.word) : 0;
        g.entries += (k->wish == STORE) - (k->wish != LEAVE && k->place.word);
        g.bytes += (int64_t)(more - less);
        g.new_bytes += more;
    } while (++i < txn->n && !new_shard(txn, i));
    return g;
}

/* [EVICT-01] With all locks held and all places found. E_FULL: the shard of the sorted
 * key *where must lose an entry first. */
static int check_bounds(struct segment *seg, const struct shmkv_txn *txn, size_t *where) {
    for (size_t i = 0; i < txn->n; i++) {
        if (!new_shard(txn, i))
            continue;
        const shard_t *shard = &seg->shards[txn->sorted[i]->shard];
        struct growth g = growth_of(seg, txn, i);
        if (shard_has_room(seg, shard, g.entries, g.bytes))
            continue;
        if (g.new_bytes > seg->shard_max_bytes ||
            (g.entries > 0 && (uint64_t)g.entries > seg->shard_max_entries))
            return fail(SHMKV_ENOSPC,
                        "%s: the transaction is more than a shard's part of the bound",
                        seg->loc->path);
        *where = i;
        return E_FULL;
    }
    return SHMKV_OK;
}

/* [TXN-04] All of one shard's keys, from the sorted key @p i on, in one part of the block. */
static void write_part(struct segment *seg, struct shmkv_txn *txn, size_t i) {
    shard_t *shard = &seg->shards[txn->sorted[i]->shard];
    struct part *part = &txn->parts[i];
    struct growth g = growth_of(seg, txn, i);
    part->first = txn->after_count;
    size_t next = i;
    do
        write_down(seg, txn, txn->sorted[next++]);
    while (next < txn->n && !new_shard(txn, next));
    if (txn->after_count > part->first) {
        if (g.entries)
            to_store(txn, &shard->count, load_relaxed_u64(&shard->count) + (uint64_t)g.entries);
        if (seg->max_bytes && g.bytes)
            to_store(txn, &shard->bytes, load_relaxed_u64(&shard->bytes) + (uint64_t)g.bytes);
        to_store(txn, &shard->changes, load_relaxed_u64(&shard->changes) + 1);
    }
    part->count = txn->after_count - part->first;
}

static void write_block(struct segment *seg, struct shmkv_txn *txn) {
    txn->after_count = 0;
    for (size_t i = 0; i < txn->n; i++)
        if (new_shard(txn, i))
            write_part(seg, txn, i);
    for (unsigned i = 0; i < txn->after_count; i++) {
        store_relaxed_u64(&txn->block.entries[i].offset, seg_offset(seg, txn->after[i].word));
        store_relaxed_u64(&txn->block.entries[i].value, txn->after[i].value);
    }
}

/* Caller holds the locks of all shards concerned; they are free afterwards. */
static void publish(struct context *ctx, struct shmkv_txn *txn) {
    struct segment *seg = ctx->seg;
    write_block(seg, txn);
    /* A value that the decision never had: [LAYOUT-23] as a version. */
    uint64_t decision = load_relaxed_u64(&ctx->own->version) + 2;
    store_release_u64(&ctx->own->version, decision);
    fence_program_order(); /* [OP-11] */
    for (size_t i = 0; i < txn->n; i++)
        if (new_shard(txn, i) && txn->parts[i].count) {
            struct domain d = shard_domain(seg, txn->sorted[i]->shard);
            intent_join(ctx, &d, &txn->block, decision, txn->parts[i]);
        }
    FAULT_POINT("decide-before");
    /* CRASH decide: death before this store leaves all keys old, after it all are
     * new, or will be as soon as somebody takes their locks. [TXN-05]
     * ORDER decide: all intents, then the decision, then any slot. Pairs with
     * decided in snapshot.c. */
    store_release_u64(&txn->block.head->decision, decision);
    FAULT_POINT("decide-after");
    for (size_t i = 0; i < txn->n; i++)
        if (new_shard(txn, i)) {
            struct domain d = shard_domain(seg, txn->sorted[i]->shard);
            const struct part *part = &txn->parts[i];
            if (part->count)
                intent_carry_out(seg, &d, txn->after + part->first, part->count);
            lock_release(ctx, &d);
        }
}

/* Evict one entry. It may be a key of the transaction, as in make_slot(). */
static int lose_one(struct context *ctx, uint32_t shard) {
    uint64_t *field = &ctx->own->victim;
    int err = evict_one(ctx, shard, 0, field);
    if (err == E_NOTHING)
        err = nothing_may_go(ctx->seg);
    return err ? err : cell_return(ctx, field);
}

/* Do without the locks what was asked for under them, for @p k. SHMKV_OK: try again. */
static int make_room(struct context *ctx, struct shmkv_txn *txn, int need, struct keyed *k) {
    int err;
    switch (need) {
    case E_FULL:
        err = evict_again(ctx->seg, &txn->left);
        return err ? err : lose_one(ctx, k->shard);
    case E_VICTIM:
        err = evict_again(ctx->seg, &txn->left);
        return err ? err : cell_return(ctx, &ctx->own->victim);
    case E_GONE:
        txn->swept = true;
        return group_sweep(ctx, k->hash);
    case E_GROW:
        txn->grew = true;
        return prepare_or_evict(ctx, k->shard, &k->place, &txn->cramped);
    default:
        return need;
    }
}

/* The work under the locks. E_FULL and so on: what the sorted key *where needs first. */
static int locked_step(struct context *ctx, struct shmkv_txn *txn, size_t *where) {
    int err = lock_shards(ctx, txn);
    if (err)
        return err;
    err = segment_check_thawed(ctx->seg);
    if (!err)
        err = find_places(ctx, txn, where);
    if (!err && ctx->seg->evicts)
        err = check_bounds(ctx->seg, txn, where);
    if (err)
        unlock_shards(ctx, txn, txn->n);
    else
        publish(ctx, txn);
    return err;
}

/* That, making room until there is enough. */
static int publish_when_found(struct context *ctx, struct shmkv_txn *txn) {
    size_t where;
    int err;
    txn->swept = txn->grew = txn->cramped = false;
    txn->left = 0;
    do {
        where = 0;
        err = locked_step(ctx, txn, &where);
        if (!err)
            break;
        err = make_room(ctx, txn, err, txn->sorted[where]);
    } while (!err);
    /* What cannot be put away now goes back later, as in change_make(). */
    if (txn->grew)
        (void)table_tidy(ctx);
    if (ctx->seg->evicts)
        (void)cell_return(ctx, &ctx->own->victim);
    return err;
}

/* The records of all new values, each named by a cell word of the block. */
static int build_records(struct context *ctx, struct shmkv_txn *txn) {
    unsigned row = 0;
    for (size_t i = 0; i < txn->n; i++) {
        struct keyed *k = txn->sorted[i];
        if (k->wish == LEAVE)
            continue;
        k->row = row++;
        if (k->wish == REMOVE)
            continue;
        struct change c = {.key = k->key, .key_len = k->len, .item = &k->item};
        int err = change_build(ctx, &c, &txn->block.cells[k->row], &k->cell);
        if (err)
            return err;
    }
    return SHMKV_OK;
}

static int check_lengths(const struct segment *seg, const struct shmkv_txn *txn) {
    for (size_t i = 0; i < txn->n; i++) {
        const struct keyed *k = &txn->keys[i];
        if (k->wish == STORE && k->len > seg->max_key)
            return fail(SHMKV_EKEY, "%s: %zu bytes, its keys have at most %llu", seg->loc->path,
                        k->len, (unsigned long long)seg->max_key);
        if (k->wish == STORE && k->item.len > seg->max_value)
            return fail(SHMKV_EVALUE, "%s: %zu bytes, its values have at most %llu", seg->loc->path,
                        k->item.len, (unsigned long long)seg->max_value);
    }
    return segment_check_thawed(seg);
}

static int commit(struct context *ctx, void *arg) {
    struct shmkv_txn *txn = arg;
    if (!same_segment(ctx->seg, txn))
        return E_RETRY;
    unsigned wishes = 0, shards = 0;
    for (size_t i = 0; i < txn->n; i++) {
        wishes += txn->sorted[i]->wish != LEAVE;
        shards += new_shard(txn, i);
    }
    int err = check_lengths(ctx->seg, txn);
    if (!err)
        err = block_take(ctx, wishes, shards, &txn->block);
    if (!err)
        err = build_records(ctx, txn);
    if (!err)
        err = publish_when_found(ctx, txn);
    /* Before the commit the new records, after it the old ones. */
    (void)transaction_return(ctx);
    return err;
}

/* ------------------------------------------------------------- the caller's function */

static int refuse(const char *what) { return fail(SHMKV_EARGUMENT, "%s", what); }

/* Key number @p i, or NULL. */
static struct keyed *key_of(const struct shmkv_txn *txn, size_t i) {
    if (!txn || !txn->running)
        refuse("not inside a transaction");
    else if (i >= txn->n)
        fail(SHMKV_EARGUMENT, "%s: key %zu of a transaction of %zu", kv_name(txn->kv), i, txn->n);
    else
        return &txn->keys[i];
    return NULL;
}

int shmkv_txn_get(shmkv_txn_t *txn, size_t i, struct shmkv_item *item) {
    const struct keyed *k = key_of(txn, i);
    if (!k)
        return SHMKV_EARGUMENT;
    if (!item)
        return refuse("no place for the item");
    if (k->wish == REMOVE || (k->wish == LEAVE && !k->seen.version)) {
        *item = (struct shmkv_item){.result = SHMKV_ENOTFOUND};
        return SHMKV_ENOTFOUND;
    }
    *item = k->wish == STORE ? k->item : k->seen;
    return SHMKV_OK;
}

int shmkv_txn_put(shmkv_txn_t *txn, size_t i, const struct shmkv_item *item) {
    struct keyed *k = key_of(txn, i);
    if (!k)
        return SHMKV_EARGUMENT;
    int err = item_check(txn->kv, item);
    if (err)
        return fail_at_key(err, k->key, k->len);
    void *data = malloc(item->len ? item->len : 1);
    if (!data)
        return fail(ENOMEM, "a value of %zu bytes", item->len);
    if (item->len)
        memcpy(data, item->data, item->len);
    free(k->data); /* the item may be what a get gave: not before it was copied */
    k->data = data;
    k->item = (struct shmkv_item){.data = data,
                                  .len = item->len,
                                  .type = item->type,
                                  .flags = item->flags,
                                  .expires_ns = item->expires_ns};
    k->wish = STORE;
    return SHMKV_OK;
}

int shmkv_txn_delete(shmkv_txn_t *txn, size_t i) {
    struct shmkv_item item;
    int err = shmkv_txn_get(txn, i, &item);
    if (!err)
        txn->keys[i].wish = REMOVE;
    return err;
}

static bool anything_wished(const struct shmkv_txn *txn) {
    for (size_t i = 0; i < txn->n; i++)
        if (txn->keys[i].wish != LEAVE)
            return true;
    return false;
}

/* Once. E_RETRY is ours alone: what the function returns is handed on in any case. */
static int run(shmkv_t *kv, struct shmkv_txn *txn, shmkv_txn_fn fn, void *arg, bool *again) {
    *again = false;
    for (size_t i = 0; i < txn->n; i++)
        txn->keys[i].wish = LEAVE;
    int err = handle_write(kv, see, txn);
    if (err)
        return err;
    txn->running = true;
    err = fn(arg, txn);
    txn->running = false;
    if (err || !anything_wished(txn))
        return err;
    err = handle_write(kv, commit, txn);
    *again = err == E_RETRY;
    return err;
}

/* ------------------------------------------------------------------------------ all */

static void forget(struct shmkv_txn *txn) {
    for (size_t i = 0; txn->keys && i < txn->n; i++) {
        free(txn->keys[i].room);
        free(txn->keys[i].data);
    }
    free(txn->keys);
    free(txn->sorted);
    free(txn->after);
    free(txn->parts);
}

static int prepare(struct shmkv_txn *txn, size_t n, const struct shmkv_bytes *keys) {
    txn->n = n;
    txn->keys = calloc(n, sizeof *txn->keys);
    txn->sorted = calloc(n, sizeof *txn->sorted);
    txn->after = calloc(5 * n, sizeof *txn->after); /* two for each key, three for each shard */
    txn->parts = calloc(n, sizeof *txn->parts);
    if (!txn->keys || !txn->sorted || !txn->after || !txn->parts)
        return fail(ENOMEM, "a transaction of %zu keys", n);
    for (size_t i = 0; i < n; i++) {
        txn->keys[i].key = keys[i].data;
        txn->keys[i].len = keys[i].len;
    }
    return SHMKV_OK;
}

static int check_arguments(const shmkv_t *kv, size_t n, const struct shmkv_bytes *keys,
                           shmkv_txn_fn fn) {
    if (!fn)
        return refuse("no function");
    if (!n || !keys)
        return fail(SHMKV_EARGUMENT, "%s: a transaction of no keys", kv_name(kv));
    if (n > SHMKV_MAX_TRANSACTION)
        return fail(SHMKV_EARGUMENT, "%s: %zu keys; a transaction has at most %d", kv_name(kv), n,
                    SHMKV_MAX_TRANSACTION);
    for (size_t i = 0; i < n; i++) {
        int err = key_check(kv, keys[i].data, keys[i].len);
        if (err)
            return fail_at_key(err, keys[i].data, keys[i].len);
    }
    return SHMKV_OK;
}

int shmkv_transaction(shmkv_t *kv, size_t n, const struct shmkv_bytes *keys, shmkv_txn_fn fn,
                      void *arg) {
    int err = check_arguments(kv, n, keys, fn);
    if (err)
        return err;
    if (!kv)
        return fail(SHMKV_ECLOSED, "segment");
    struct shmkv_txn txn = {.kv = kv,
                            .deadline = now_ns() + (uint64_t)kv->opts.lock_timeout_ms * 1000000u};
    err = prepare(&txn, n, keys);
    for (bool again = !err; again;) {
        err = run(kv, &txn, fn, arg, &again);
        if (again && now_ns() >= txn.deadline) {
            err = fail(SHMKV_EBUSY, "%s: the keys of a transaction change too fast", kv->loc.path);
            break;
        }
    }
    forget(&txn);
    return err;
}
