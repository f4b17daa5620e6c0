/*
 * Growth of the index, a group at a time. Spec 6.8.
 *
 * When a bucket is full, either its group is split in two, by the next bit of
 * its keys' hashes, or the bucket gets an overflow bucket. A split builds both
 * halves beside the old group and swings the directory words; readers go on in
 * whichever they found, since the contents are the same until the shard's lock
 * is released, and in a live group no entry moves [OP-16]. The directory doubles
 * the same way; depths only grow [LAYOUT-21]. The work is one group (some 450
 * entries, if few keys collide) and, when the directory doubles, a copy of it: that
 * one grows with the store, 8 bytes for a few hundred entries of one shard.
 *
 * Pages and cells are needed for this, and those are other domains. So a writer
 * that meets a full bucket releases the shard, fetches what it needs into its
 * owner slot, and comes back. It may then find the work done by another; what it
 * fetched is given back.
 *
 * A split that meets an entry which has expired, or lost its owner, is given up, and the
 * writer sweeps the group first [OP-32]: so a store that nobody sweeps does not grow by what
 * is gone. A split reads every record anyway; where nothing ever ends it costs nothing more.
 */
#include "internal.h"

/* Below this many entries a full bucket is chained; from it on the group is split. */
#define SPLIT_FROM 320
/* A directory has at most this many words per group's worth of entries, so that
 * keys which share many hash bits chain instead of doubling it for ever. */
#define DIRECTORY_SLACK 16

/* ----------------------------------------------------------------- group pages */

/* The page of the data part at @p off, or NULL. */
static run_t *page_at(struct segment *seg, shmkv_off_t off) {
    return off >= seg->data_offset && off % SHMKV_PAGE_SIZE == 0 ? seg_at(seg, off, SHMKV_PAGE_SIZE)
                                                                 : NULL;
}

static int group_take(struct context *ctx, uint32_t shard, uint64_t *field) {
    int err = run_take(ctx, 1, 1, run_head(SHMKV_RUN_KIND_LARGE, 0, 0, 0), field, 0);
    if (err)
        return err;
    run_t *group = page_at(ctx->seg, load_relaxed_u64(field));
    if (!group)
        return damaged(ctx->seg, seg_offset(ctx->seg, field), "a page just taken is out of bounds");
    /* ORDER recycle: [LOCK-27] whatever withdrew this page from its former use, then the
     * new contents. Pairs with the acquire loads of a reader that still looks at
     * the page as what it was: seeing a new word, it sees the withdrawal. */
    fence_release();
    for (unsigned b = 0; b < SHMKV_GROUP_BUCKETS; b++)
        for (unsigned i = 0; i < SHMKV_BUCKET_SIZE / 8; i++)
            store_relaxed_u64((uint64_t *)(void *)group_bucket(group, b) + i, 0);
    FAULT_POINT("group-before-kind");
    /* CRASH group-kind: until now the page is not a group, and a reaper will not
     * follow the links that its former life left in it. */
    store_release_u64(&group->head, run_head(SHMKV_RUN_KIND_GROUP, 0, shard, 1));
    return SHMKV_OK;
}

/* Return a group that no directory leads to: its overflow buckets, then itself. */
int group_return(struct context *ctx, uint64_t *field) {
    if (!load_relaxed_u64(field))
        return SHMKV_OK;
    run_t *group = page_at(ctx->seg, load_relaxed_u64(field));
    int err = SHMKV_OK;
    if (group && FIELD(head_of(group), RUN_KIND) == SHMKV_RUN_KIND_GROUP)
        for (unsigned b = 0; !err && b < SHMKV_GROUP_BUCKETS; b++)
            err = chain_return(ctx, &group_bucket(group, b)->link);
    return err ? err : run_return(ctx, field);
}

/* The group of @p shard in a field of our slot, and its offset, read once; NULL if
 * there is none, or another shard's, left by an operation that failed. */
static run_t *group_in_hand(struct context *ctx, const uint64_t *field, uint32_t shard,
                            shmkv_off_t *off) {
    *off = load_relaxed_u64(field);
    run_t *group = page_at(ctx->seg, *off);
    uint64_t head = group ? head_of(group) : 0;
    return FIELD(head, RUN_KIND) == SHMKV_RUN_KIND_GROUP && FIELD(head, RUN_INDEX) == shard ? group
                                                                                            : NULL;
}

/* ------------------------------------------------------------------- directories */

static int directory_take(struct context *ctx, unsigned words, uint64_t *field) {
    return room_take(ctx, sizeof(directory_t) + 8ULL * words, field);
}

/* The memory in own->dir, for at least @p words, and its word, read once; or NULL. */
static directory_t *directory_in_hand(struct context *ctx, unsigned words, uint64_t *cell) {
    *cell = load_relaxed_u64(&ctx->own->dir);
    return *cell ? cell_at(ctx->seg, *cell, sizeof(directory_t) + 8ULL * words) : NULL;
}

/* Begin and end writing a directory; its version makes a reader of whatever the
 * cell was before notice. */
static uint64_t directory_begin(struct context *ctx, directory_t *dir, unsigned depth) {
    uint64_t version = ctx->own->version;
    store_release_u64(&ctx->own->version, version + 2);
    fence_program_order(); /* [OP-11] */
    store_relaxed_u64(&dir->version, version + 1);
    fence_release();
    store_relaxed_u64(&dir->depth, depth);
    return version + 2;
}

static void directory_end(directory_t *dir, uint64_t version) {
    store_release_u64(&dir->version, version);
}

static uint64_t root_word(uint64_t cell, unsigned depth) {
    return (cell & CELL_IN_WORD) | MAKE(ROOT_DEPTH, depth);
}
static uint64_t directory_word(shmkv_off_t group, unsigned depth) {
    return (group & PAGE_IN_WORD) | MAKE(DIRECTORY_DEPTH, depth);
}

/* --------------------------------------------------------------------- decisions */

static unsigned group_entries(struct segment *seg, run_t *group) {
    unsigned n = 0;
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++) {
        struct chain walk = {0};
        for (bucket_t *b = group_bucket(group, i); b && n < SPLIT_FROM && !chain_loops(&walk, b);) {
            for (int s = 0; s < SHMKV_BUCKET_SLOTS; s++)
                n += load_relaxed_u64(&b->slots[s]) != 0;
            uint64_t link = load_relaxed_u64(&b->link);
            b = link ? bucket_at_link(seg, link) : NULL;
        }
    }
    return n;
}

static bool may_double(struct segment *seg, const shard_t *shard, unsigned depth) {
    uint64_t fair = 1 + load_relaxed_u64(&shard->count) / (SPLIT_FROM / 2);
    return depth < seg->max_depth && (2ULL << depth) <= DIRECTORY_SLACK * fair;
}

static bool should_split(struct segment *seg, const shard_t *shard, const struct place *place) {
    return (place->depth < place->root_depth || may_double(seg, shard, place->root_depth)) &&
           group_entries(seg, place->group) >= SPLIT_FROM;
}

/* ----------------------------------------------------------------------- prepare */

static int prepare_directory(struct context *ctx, unsigned words) {
    uint64_t cell;
    if (directory_in_hand(ctx, words, &cell))
        return SHMKV_OK;
    int err = cell_return(ctx, &ctx->own->dir);
    return err ? err : directory_take(ctx, words, &ctx->own->dir);
}

static int prepare_group(struct context *ctx, uint32_t shard, uint64_t *field) {
    shmkv_off_t off;
    if (group_in_hand(ctx, field, shard, &off))
        return SHMKV_OK;
    int err = group_return(ctx, field);
    return err ? err : group_take(ctx, shard, field);
}

int table_prepare(struct context *ctx, uint32_t shard, const struct place *place) {
    owner_t *own = ctx->own;
    int err = group_return(ctx, &own->old);
    if (!err && place->need_groups >= 1)
        err = prepare_group(ctx, shard, &own->low);
    if (!err && place->need_groups >= 2)
        err = prepare_group(ctx, shard, &own->high);
    if (!err && place->need_words)
        err = prepare_directory(ctx, place->need_words);
    for (unsigned i = 0; !err && i < place->need_spares; i++)
        err = cell_take_spare(ctx);
    return err;
}

int table_tidy(struct context *ctx) {
    owner_t *own = ctx->own;
    int err = cell_return(ctx, &own->dir);
    int e = chain_return(ctx, &own->spare);
    err = err ? err : e;
    e = group_return(ctx, &own->low);
    err = err ? err : e;
    e = group_return(ctx, &own->high);
    err = err ? err : e;
    e = group_return(ctx, &own->old);
    return err ? err : e;
}

/* An earlier attempt may have begun to fill it. */
static void empty_group(run_t *group, struct segment *seg) {
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++) {
        struct chain walk = {0};
        for (bucket_t *b = group_bucket(group, i); b && !chain_loops(&walk, b);) {
            for (int s = 0; s < SHMKV_BUCKET_SLOTS; s++)
                store_relaxed_u64(&b->slots[s], 0);
            b = b->link ? bucket_at_link(seg, b->link) : NULL;
        }
    }
}

/* ------------------------------------------------------------------- first group */

static int first_group(struct context *ctx, const struct domain *d, shard_t *shard,
                       struct place *place) {
    owner_t *own = ctx->own;
    uint64_t cell;
    shmkv_off_t off;
    directory_t *dir = directory_in_hand(ctx, 1, &cell);
    run_t *group = group_in_hand(ctx, &own->low, d->index, &off);
    place->need_groups = 1;
    place->need_words = 1;
    if (!dir || !group)
        return E_GROW;
    empty_group(group, ctx->seg);
    uint64_t version = directory_begin(ctx, dir, 0);
    store_relaxed_u64(&directory_words(dir)[0], directory_word(off, 0));
    directory_end(dir, version);
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_set(&t, &shard->root, root_word(cell, 0));
    txn_set(&t, &own->dir, 0);
    txn_set(&t, &own->low, 0);
    txn_commit(&t, SHMKV_OP_GROUP);
    return SHMKV_OK;
}

/* ------------------------------------------------------------------------- chain */

/* Link the first spare bucket behind @p last, which is in a live group or in one
 * being built. */
static int chain(struct context *ctx, const struct domain *d, bucket_t *last) {
    owner_t *own = ctx->own;
    if (!own->spare)
        return E_GROW;
    bucket_t *b = bucket_at_link(ctx->seg, own->spare);
    if (!b)
        return damaged(ctx->seg, own->spare & OFFSET_IN_WORD, "a spare bucket is out of bounds");
    uint64_t cell = own->spare, rest = load_relaxed_u64(&b->link);
    fence_release(); /* ORDER recycle, as in group_take() */
    for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++)
        store_relaxed_u64(&b->slots[i], 0);
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_set(&t, &own->spare, rest);
    txn_set(&t, &b->link, 0);
    txn_set(&t, &last->link, cell);
    txn_commit_always(&t, SHMKV_OP_CHAIN);
    return SHMKV_OK;
}

/* ------------------------------------------------------------------------ double */

/* @p root as it was read when @p old_dir and the new one were checked against its depth. */
static void double_directory(struct context *ctx, const struct domain *d, shard_t *shard,
                             uint64_t root, directory_t *old_dir, directory_t *dir, uint64_t cell) {
    unsigned depth = (unsigned)FIELD(root, ROOT_DEPTH);
    const uint64_t *old = directory_words(old_dir);
    uint64_t *new_ = directory_words(dir), n = 1ULL << depth;
    uint64_t version = directory_begin(ctx, dir, depth + 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t word = load_relaxed_u64(&old[i]);
        store_relaxed_u64(&new_[i], word);
        store_relaxed_u64(&new_[n + i], word);
    }
    directory_end(dir, version);
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_set(&t, &shard->root, root_word(cell, depth + 1));
    txn_set(&t, &ctx->own->dir, root & CELL_IN_WORD);
    txn_commit(&t, SHMKV_OP_DOUBLE);
}

/* ------------------------------------------------------------------------- split */

/* One half being built: the bucket that entries are put into at the moment. */
struct half {
    run_t *group;
    bucket_t *tail;
    uint64_t key_bytes;
};

/* Put @p word behind what the half has of this bucket, chaining when it is full. */
static int build_entry(struct context *ctx, const struct domain *d, struct half *h, uint64_t word) {
    for (struct chain walk = {0}; !chain_loops(&walk, h->tail);) {
        for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++)
            if (!load_relaxed_u64(&h->tail->slots[i])) {
                store_relaxed_u64(&h->tail->slots[i], word);
                return SHMKV_OK;
            }
        if (!load_relaxed_u64(&h->tail->link)) {
            int err = chain(ctx, d, h->tail);
            if (err)
                return err;
        }
        bucket_t *next = bucket_at_link(ctx->seg, load_relaxed_u64(&h->tail->link));
        if (!next)
            return damaged(ctx->seg, seg_offset(ctx->seg, h->tail), "a link leads nowhere");
        h->tail = next;
    }
    return damaged(ctx->seg, seg_offset(ctx->seg, h->tail),
                   "a chain of overflow buckets does not end");
}

/* The keys' hashes are needed again, and the records are all over memory: ask
 * for them ahead of use. */
static void prefetch_bucket(struct segment *seg, const bucket_t *b) {
    for (int s = 0; s < SHMKV_BUCKET_SLOTS; s++) {
        uint64_t off = load_relaxed_u64(&b->slots[s]) & OFFSET_IN_WORD;
        if (off && off < load_relaxed_u64(&seg->safe_limit))
            prefetch(seg->base + off);
    }
}

/* Does the entry count as absent? */
static COLD bool is_gone(struct segment *seg, const record_t *rec, const struct shape *shape,
                         struct answers *told) {
    const extra_t *extra = (const extra_t *)(const void *)(rec + 1);
    uint64_t expiry_ns = load_relaxed_u64(&extra->expiry_ns);
    uint64_t owner = load_relaxed_u64(&extra->owner);
    return shape->hidden ? !entry_in_place(seg, expiry_ns, owner)
                         : !entry_visible(seg, expiry_ns, owner, told);
}

/* @p told: of owners; NULL: entries that are gone are as good as others. */
static int build_bucket(struct context *ctx, const struct domain *d, const bucket_t *b,
                        unsigned depth, struct half halves[2], struct answers *told) {
    struct segment *seg = ctx->seg;
    for (int s = 0; s < SHMKV_BUCKET_SLOTS; s++) {
        uint64_t word = load_relaxed_u64(&b->slots[s]);
        if (!word)
            continue;
        struct shape shape;
        const record_t *rec = record_look(seg, word, &shape);
        if (!rec)
            return damaged(seg, seg_offset(seg, &b->slots[s]), "a slot leads nowhere");
        if (unlikely(shape.extra) && told && is_gone(seg, rec, &shape, told))
            return E_GONE;
        uint64_t hash = hash_bytes(key_of_record(rec, &shape), shape.key_len, seg->seed);
        struct half *half = &halves[hash_directory(seg, hash) >> depth & 1];
        /* [OP-01] Many slots lead to one key, which costs its length each time. */
        half->key_bytes += shape.key_len;
        if (half->key_bytes > load_relaxed_u64(&seg->safe_limit))
            return damaged(seg, seg_offset(seg, b), "its keys are longer than the file");
        int err = build_entry(ctx, d, half, word);
        if (err)
            return err;
    }
    return SHMKV_OK;
}

static int build_halves(struct context *ctx, const struct domain *d, const struct place *place,
                        struct half halves[2], struct answers *told) {
    struct segment *seg = ctx->seg;
    empty_group(halves[0].group, seg);
    empty_group(halves[1].group, seg);
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++) {
        if (i == 0)
            for (unsigned j = 0; j < 8; j++)
                prefetch_bucket(seg, group_bucket(place->group, j));
        else if (i + 7 < SHMKV_GROUP_BUCKETS)
            prefetch_bucket(seg, group_bucket(place->group, i + 7));
        halves[0].tail = group_bucket(halves[0].group, i);
        halves[1].tail = group_bucket(halves[1].group, i);
        struct chain walk = {0};
        for (bucket_t *b = group_bucket(place->group, i); b && !chain_loops(&walk, b);) {
            int err = build_bucket(ctx, d, b, place->depth, halves, told);
            if (err)
                return err;
            b = b->link ? bucket_at_link(seg, b->link) : NULL;
        }
    }
    return SHMKV_OK;
}

static unsigned chain_length(struct segment *seg, uint64_t link) {
    struct chain walk = {0};
    unsigned n = 0;
    for (bucket_t *b; link && (b = bucket_at_link(seg, link)) && !chain_loops(&walk, b); n++)
        link = load_relaxed_u64(&b->link);
    return n;
}

/* Overflow buckets that the halves may need beyond those in hand: for each bucket,
 * together no more than the old one has. [OP-01] False: those are more than fit into the file, so
 * somebody has made its chains lead to each other. */
static bool spares_missing(struct context *ctx, run_t *old, unsigned *missing) {
    struct segment *seg = ctx->seg;
    unsigned need = 0, have = chain_length(seg, load_relaxed_u64(&ctx->own->spare));
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++)
        need += chain_length(seg, load_relaxed_u64(&group_bucket(old, i)->link));
    *missing = need > have ? need - have : 0;
    return need <= load_relaxed_u64(&seg->safe_limit) / SHMKV_BUCKET_SIZE;
}

static int split(struct context *ctx, const struct domain *d, shard_t *shard, uint64_t hash,
                 struct place *place, bool swept) {
    struct segment *seg = ctx->seg;
    owner_t *own = ctx->own;
    uint64_t cell = 0;
    shmkv_off_t low, high;
    bool full = place->depth == place->root_depth;
    place->need_groups = 2;
    place->need_words = full ? 2U << place->root_depth : 0;
    if (!spares_missing(ctx, place->group, &place->need_spares))
        return damaged(seg, seg_offset(seg, place->group), "its chains do not end");
    struct half halves[2] = {{.group = group_in_hand(ctx, &own->low, d->index, &low)},
                             {.group = group_in_hand(ctx, &own->high, d->index, &high)}};
    directory_t *new_ = full ? directory_in_hand(ctx, place->need_words, &cell) : NULL;
    uint64_t root = load_relaxed_u64(&shard->root);
    directory_t *dir = table_directory(seg, root);
    if (!halves[0].group || !halves[1].group || place->need_spares || own->old || (full && !new_))
        return E_GROW;
    if (!dir || FIELD(root, ROOT_DEPTH) != place->root_depth)
        return damaged(seg, seg_offset(seg, &shard->root), "the root leads nowhere");
    struct answers told = {0};
    int err = build_halves(ctx, d, place, halves, swept ? NULL : &told);
    if (err) {
        place->need_spares = err == E_GROW;
        return err;
    }
    if (full) {
        double_directory(ctx, d, shard, root, dir, new_, cell);
        dir = new_;
    }
    unsigned depth = place->depth, root_depth = place->root_depth + full;
    uint64_t *words = directory_words(dir);
    uint64_t stride = 2ULL << depth, count = (1ULL << root_depth) / stride;
    uint64_t prefix = hash_directory(seg, hash) & ((1ULL << depth) - 1);
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_fill(&t, &words[prefix], directory_word(low, depth + 1), stride * 8, count);
    txn_fill(&t, &words[prefix + (1ULL << depth)], directory_word(high, depth + 1), stride * 8,
             count);
    txn_set(&t, &own->low, 0);
    txn_set(&t, &own->high, 0);
    /* [EVICT-05] A late mark may still go into one of its slots. */
    if (unlikely(seg->evicts))
        txn_set(&t, &place->group->head, run_head(SHMKV_RUN_KIND_LEFT, 0, d->index, 1));
    else
        txn_set(&t, &own->old, seg_offset(seg, place->group));
    /* [OP-13] Though no entry changes, an unlocked snapshot must not mix the two. */
    txn_set(&t, &shard->changes, shard->changes + 1);
    txn_commit_always(&t, SHMKV_OP_SPLIT);
    return SHMKV_OK;
}

int table_grow(struct context *ctx, const struct domain *d, shard_t *shard, uint64_t hash,
               struct place *place, bool swept) {
    if (!place->group)
        return first_group(ctx, d, shard, place);
    if (should_split(ctx->seg, shard, place))
        return split(ctx, d, shard, hash, place, swept);
    place->need_spares = 1;
    return chain(ctx, d, place->last);
}
