/*
 * Put and delete. Spec 6.3 and 6.4.
 *
 * A record is built where nobody looks, in a cell that belongs to the writer,
 * and becomes the key's value by one 8-byte store into its slot. A published
 * record is never edited [OP-10], so there is no moment at which a key is half old and
 * half new, for readers or after a death.
 *
 * The cell of the replaced record stays in the writer's hand and takes the next
 * record of its size class. So overwriting needs no allocator at all, and the
 * memory it writes to is the memory it has just read.
 */
#include "hash.h"
#include "internal.h"

/* Cells larger than this are not kept for the next record. */
#define KEEP_LARGEST 512

/* Have a cell for @p size bytes in own->cell. Its word is read once, into @p cell:
 * what is done later is done with that, whatever becomes of the field. */
static int prepare_cell(struct context *ctx, uint64_t size, uint64_t *cell) {
    uint64_t *field = &ctx->own->cell;
    unsigned cls = class_for(size);
    *cell = load_relaxed_u64(field);
    if (*cell && cls && FIELD(*cell, CELL_CLASS) == cls)
        return SHMKV_OK;
    int err = cell_return(ctx, field);
    if (!err)
        err = cls ? cell_take(ctx, cls, field) : large_take(ctx, size, field);
    *cell = load_relaxed_u64(field);
    return err;
}

/*
 * Write the record into our cell.
 *
 * The cell may have been a record a moment ago, and a slow reader may still be
 * copying it. The odd version, ordered before the new bytes, tells it so.
 */
static void build_record(struct context *ctx, record_t *rec, const void *key, size_t key_len,
                         const void *val, size_t val_len) {
    owner_t *own = ctx->own;
    uint64_t version = own->version;
    /* [LOCK-16] [LAYOUT-23] Advanced first: no death lets a version be used twice. */
    store_release_u64(&own->version, version + 2);
    fence_program_order();
    store_relaxed_u64(&rec->version, version + 1);
    /* ORDER build-odd: [LOCK-27] the odd version before any byte of the record. Pairs with
     * read-recheck in read.c: a reader that copied a new byte sees a new version. */
    fence_release();
    uint64_t lengths =
        (uint64_t)val_len | (uint64_t)(key_len - 1) << 32 | (uint64_t)SHMKV_VALUE_TYPE_BYTES << 48;
    store_relaxed_u64((uint64_t *)(void *)&rec->value_len, lengths);
    racy_store((uint8_t *)rec + SHMKV_RECORD_HEADER_SIZE, key, key_len);
    racy_store((uint8_t *)rec + record_value_offset(key_len, false), val, val_len);
    FAULT_POINT("record-before-even");
    /* ORDER build-even: all bytes, then the even version. Pairs with read-version. */
    store_release_u64(&rec->version, version + 2);
}

_Static_assert(offsetof(record_t, value_len) == 8 && offsetof(record_t, key_len) == 12 &&
                   offsetof(record_t, type) == 14 && offsetof(record_t, flags) == 15,
               "value_len, key_len, type and flags share one word");

static void publish_over(struct context *ctx, const struct domain *d, shard_t *shard,
                         const struct place *place, uint64_t new_word) {
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_set(&t, place->slot, new_word);
    txn_set(&t, &ctx->own->cell, place->word & CELL_IN_WORD);
    txn_set(&t, &shard->changes, shard->changes + 1);
    txn_commit(&t, SHMKV_OP_PUT);
}

static void publish_new(struct context *ctx, const struct domain *d, shard_t *shard,
                        const struct place *place, uint64_t new_word) {
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_set(&t, place->slot, new_word);
    txn_set(&t, &ctx->own->cell, 0);
    txn_set(&t, &shard->count, shard->count + 1);
    txn_set(&t, &shard->changes, shard->changes + 1);
    txn_commit(&t, SHMKV_OP_PUT);
}

/* [LIFE-13] [LIFE-20] The first things to look at under the lock. */
static int lock_live_shard(struct context *ctx, const struct domain *d) {
    int err = lock_take(ctx, d);
    if (err)
        return err;
    err = segment_check_live(ctx->seg);
    if (!err)
        err = segment_check_thawed(ctx->seg);
    if (err)
        lock_release(ctx, d);
    return err;
}

/* Under the shard lock: publish the record that @p new_word names, growing the index with
 * what is at hand. E_GROW: @p place tells what is missing. */
static int publish(struct context *ctx, const struct domain *d, shard_t *shard, uint64_t hash,
                   const void *key, size_t key_len, uint64_t new_word, struct place *place) {
    for (;;) {
        int err = table_find(ctx, shard, hash, key, key_len, place);
        if (err)
            return err;
        if (place->word) {
            publish_over(ctx, d, shard, place, new_word);
            return SHMKV_OK;
        }
        if (place->slot) {
            publish_new(ctx, d, shard, place, new_word);
            return SHMKV_OK;
        }
        err = table_grow(ctx, d, shard, hash, place);
        if (err)
            return err;
    }
}

static bool may_keep(uint64_t cell) {
    unsigned cls = (unsigned)FIELD(cell, CELL_CLASS);
    return cls && cls < SHMKV_CLASS_COUNT && shmkv_class_sizes[cls] <= KEEP_LARGEST;
}

int write_put(struct context *ctx, const void *key, size_t key_len, const void *val,
              size_t val_len) {
    struct segment *seg = ctx->seg;
    uint64_t size = record_size(key_len, val_len, false), cell;
    int err = prepare_cell(ctx, size, &cell);
    if (err)
        return err;
    record_t *rec = cell_at(seg, cell, size);
    if (!rec)
        return damaged(seg, seg_offset(seg, &ctx->own->cell), "our own slot names no cell");
    build_record(ctx, rec, key, key_len, val, val_len);

    uint64_t hash = hash_inline(key, key_len, seg->seed);
    uint32_t index = hash_shard(seg, hash);
    shard_t *shard = &seg->shards[index];
    struct domain d = shard_domain(seg, index);
    bool grew = false;
    struct place place;
    for (;;) {
        err = lock_live_shard(ctx, &d);
        if (err)
            break;
        err = publish(ctx, &d, shard, hash, key, key_len, (cell & CELL_IN_WORD) | hash_tag(hash),
                      &place);
        lock_release(ctx, &d);
        if (err != E_GROW)
            break;
        grew = true;
        err = table_prepare(ctx, index, &place);
        if (err)
            break;
    }
    /* What cannot be put away stays in our slot and goes back at the next
     * occasion, at the latest when the slot is reaped: the value counts. */
    if (grew)
        (void)table_tidy(ctx);
    if (!may_keep(load_relaxed_u64(&ctx->own->cell)))
        (void)cell_return(ctx, &ctx->own->cell);
    return err;
}

int write_delete(struct context *ctx, const void *key, size_t key_len) {
    struct segment *seg = ctx->seg;
    /* The transaction will put the withdrawn record here. */
    int err = cell_return(ctx, &ctx->own->cell);
    if (err)
        return err;
    uint64_t hash = hash_inline(key, key_len, seg->seed);
    uint32_t index = hash_shard(seg, hash);
    shard_t *shard = &seg->shards[index];
    struct domain d = shard_domain(seg, index);
    err = lock_live_shard(ctx, &d);
    if (err)
        return err;
    struct place place;
    err = table_find(ctx, shard, hash, key, key_len, &place);
    if (!err && !place.word)
        err = SHMKV_ENOTFOUND;
    if (!err) {
        struct txn t;
        txn_begin(&t, ctx, &d);
        txn_set(&t, place.slot, 0);
        txn_set(&t, &ctx->own->cell, place.word & CELL_IN_WORD);
        txn_set(&t, &shard->count, shard->count - 1);
        txn_set(&t, &shard->changes, shard->changes + 1);
        txn_commit(&t, SHMKV_OP_DELETE);
    }
    lock_release(ctx, &d);
    if (!err)
        (void)cell_return(ctx, &ctx->own->cell); /* as after a put */
    return err;
}
