/*
 * Growth of the index, a group at a time. Spec 6.3, steps 8 to 12.
 *
 * When a bucket is full, either its group is split in two, by the next bit of
 * its keys' hashes, or the bucket gets an overflow bucket. A split builds both
 * halves beside the old group and swings the directory words; readers go on in
 * whichever they found, since the contents are the same until the shard's lock
 * is released, and in a live group no entry moves [OP-16]. The directory doubles
 * the same way; depths only grow [LAYOUT-21]. The work is bounded by one
 * group (some 450 entries) and one directory, whatever the store's size.
 *
 * Pages and cells are needed for this, and those are other domains. So a writer
 * that meets a full bucket releases the shard, fetches what it needs into its
 * owner slot, and comes back. It may then find the work done by another; what it
 * fetched is given back.
 */
#include "internal.h"

/* Below this many entries a full bucket is chained; from it on the group is split. */
#define SPLIT_FROM 320
/* A directory has at most this many words per group's worth of entries, so that
 * keys which share many hash bits chain instead of doubling it for ever. */
#define DIRECTORY_SLACK 16

/* ----------------------------------------------------------------- group pages */

static int group_take(struct context *ctx, uint32_t shard, uint64_t *field) {
    int err = run_take(ctx, 1, 1, run_head(SHMKV_RUN_KIND_LARGE, 0, 0, 0), field, 0);
    if (err)
        return err;
    run_t *group = (run_t *)(void *)(ctx->seg->base + *field);
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
    run_t *group = seg_at(ctx->seg, load_relaxed_u64(field), SHMKV_PAGE_SIZE);
    int err = SHMKV_OK;
    if (group && FIELD(head_of(group), RUN_KIND) == SHMKV_RUN_KIND_GROUP)
        for (unsigned b = 0; !err && b < SHMKV_GROUP_BUCKETS; b++)
            err = chain_return(ctx, &group_bucket(group, b)->link);
    return err ? err : run_return(ctx, field);
}

/* ------------------------------------------------------------------- directories */

static int directory_take(struct context *ctx, unsigned words, uint64_t *field) {
    uint64_t size = sizeof(directory_t) + 8ULL * words;
    unsigned cls = class_for(size);
    return cls ? cell_take(ctx, cls, field) : large_take(ctx, size, field);
}

static uint64_t directory_capacity(struct segment *seg, uint64_t cell) {
    unsigned cls = (unsigned)FIELD(cell, CELL_CLASS);
    if (cls)
        return shmkv_class_sizes[cls];
    run_t *run = (run_t *)(void *)(seg->base + (cell & OFFSET_IN_WORD) - SHMKV_RUN_HEADER_SIZE);
    return FIELD(head_of(run), RUN_PAGES) * SHMKV_PAGE_SIZE - SHMKV_RUN_HEADER_SIZE;
}

static bool have_directory(struct context *ctx, unsigned words) {
    return ctx->own->dir &&
           directory_capacity(ctx->seg, ctx->own->dir) >= sizeof(directory_t) + 8ULL * words;
}

static directory_t *own_directory(struct context *ctx) {
    return (directory_t *)(void *)(ctx->seg->base + (ctx->own->dir & OFFSET_IN_WORD));
}

/* Begin and end writing own->dir; its version makes a reader of whatever the
 * cell was before notice. */
static void directory_begin(struct context *ctx, unsigned depth) {
    directory_t *dir = own_directory(ctx);
    uint64_t version = ctx->own->version;
    store_release_u64(&ctx->own->version, version + 2);
    store_relaxed_u64(&dir->version, version + 1);
    fence_release();
    store_relaxed_u64(&dir->depth, depth);
}

static void directory_end(struct context *ctx) {
    directory_t *dir = own_directory(ctx);
    store_release_u64(&dir->version, dir->version + 1);
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
    if (have_directory(ctx, words))
        return SHMKV_OK;
    int err = cell_return(ctx, &ctx->own->dir);
    return err ? err : directory_take(ctx, words, &ctx->own->dir);
}

/* What an earlier, failed operation left in our slot may be another shard's. */
static int return_if_of_another(struct context *ctx, uint32_t shard, uint64_t *field) {
    const run_t *group = *field ? seg_at(ctx->seg, *field, SHMKV_PAGE_SIZE) : NULL;
    return group && FIELD(head_of(group), RUN_INDEX) == shard
               ? SHMKV_OK
               : group_return(ctx, field);
}

int table_prepare(struct context *ctx, uint32_t shard, const struct place *place) {
    owner_t *own = ctx->own;
    int err = group_return(ctx, &own->old);
    if (!err)
        err = return_if_of_another(ctx, shard, &own->low);
    if (!err)
        err = return_if_of_another(ctx, shard, &own->high);
    if (!err && place->need_groups >= 1 && !own->low)
        err = group_take(ctx, shard, &own->low);
    if (!err && place->need_groups >= 2 && !own->high)
        err = group_take(ctx, shard, &own->high);
    if (!err && place->need_words)
        err = prepare_directory(ctx, place->need_words);
    if (!err && place->need_spare)
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
    place->need_groups = 1;
    place->need_words = 1;
    if (!own->low || !have_directory(ctx, 1))
        return E_GROW;
    run_t *group = seg_at(ctx->seg, own->low, SHMKV_PAGE_SIZE);
    if (!group)
        return damaged(ctx->seg, seg_offset(ctx->seg, own), "an owner's group is out of bounds");
    empty_group(group, ctx->seg);
    directory_begin(ctx, 0);
    store_relaxed_u64(&directory_words(own_directory(ctx))[0], directory_word(own->low, 0));
    directory_end(ctx);
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_set(&t, &shard->root, root_word(own->dir, 0));
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

static void double_directory(struct context *ctx, const struct domain *d, shard_t *shard) {
    struct segment *seg = ctx->seg;
    uint64_t root = load_relaxed_u64(&shard->root);
    unsigned depth = (unsigned)FIELD(root, ROOT_DEPTH);
    const uint64_t *old = directory_words(table_directory(seg, root));
    uint64_t *new_ = directory_words(own_directory(ctx)), n = 1ULL << depth;
    directory_begin(ctx, depth + 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t word = load_relaxed_u64(&old[i]);
        store_relaxed_u64(&new_[i], word);
        store_relaxed_u64(&new_[n + i], word);
    }
    directory_end(ctx);
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_set(&t, &shard->root, root_word(ctx->own->dir, depth + 1));
    txn_set(&t, &ctx->own->dir, root & CELL_IN_WORD);
    txn_commit(&t, SHMKV_OP_DOUBLE);
}

/* ------------------------------------------------------------------------- split */

/* Put @p word into bucket @p b of @p group, chaining when it is full. */
static int build_entry(struct context *ctx, const struct domain *d, run_t *group, unsigned b,
                       uint64_t word) {
    bucket_t *bucket = group_bucket(group, b);
    for (struct chain walk = {0}; !chain_loops(&walk, bucket);) {
        for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++)
            if (!load_relaxed_u64(&bucket->slots[i])) {
                store_relaxed_u64(&bucket->slots[i], word);
                return SHMKV_OK;
            }
        if (!bucket->link) {
            int err = chain(ctx, d, bucket);
            if (err)
                return err;
        }
        bucket_t *next = bucket_at_link(ctx->seg, bucket->link);
        if (!next)
            return damaged(ctx->seg, seg_offset(ctx->seg, bucket), "a link leads nowhere");
        bucket = next;
    }
    return damaged(ctx->seg, seg_offset(ctx->seg, bucket),
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

static int build_bucket(struct context *ctx, const struct domain *d, const bucket_t *b, unsigned i,
                        unsigned depth, run_t *low, run_t *high) {
    struct segment *seg = ctx->seg;
    for (int s = 0; s < SHMKV_BUCKET_SLOTS; s++) {
        uint64_t word = load_relaxed_u64(&b->slots[s]);
        if (!word)
            continue;
        const record_t *rec = record_at(seg, word);
        if (!rec)
            return damaged(seg, seg_offset(seg, &b->slots[s]), "a slot leads nowhere");
        uint64_t hash = hash_bytes(record_key(rec), record_key_len(rec), seg->seed);
        int err = build_entry(ctx, d, hash_directory(seg, hash) >> depth & 1 ? high : low, i, word);
        if (err)
            return err;
    }
    return SHMKV_OK;
}

static int build_halves(struct context *ctx, const struct domain *d, const struct place *place,
                        run_t *low, run_t *high) {
    struct segment *seg = ctx->seg;
    empty_group(low, seg);
    empty_group(high, seg);
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++) {
        if (i == 0)
            for (unsigned j = 0; j < 8; j++)
                prefetch_bucket(seg, group_bucket(place->group, j));
        else if (i + 7 < SHMKV_GROUP_BUCKETS)
            prefetch_bucket(seg, group_bucket(place->group, i + 7));
        struct chain walk = {0};
        for (bucket_t *b = group_bucket(place->group, i); b && !chain_loops(&walk, b);) {
            int err = build_bucket(ctx, d, b, i, place->depth, low, high);
            if (err)
                return err;
            b = b->link ? bucket_at_link(seg, b->link) : NULL;
        }
    }
    return SHMKV_OK;
}

static int split(struct context *ctx, const struct domain *d, shard_t *shard, uint64_t hash,
                 struct place *place) {
    struct segment *seg = ctx->seg;
    owner_t *own = ctx->own;
    bool full = place->depth == place->root_depth;
    place->need_groups = 2;
    place->need_words = full ? 2U << place->root_depth : 0;
    if (!own->low || !own->high || own->old || (full && !have_directory(ctx, place->need_words)))
        return E_GROW;
    if (full)
        double_directory(ctx, d, shard);
    run_t *low = seg_at(seg, own->low, SHMKV_PAGE_SIZE),
          *high = seg_at(seg, own->high, SHMKV_PAGE_SIZE);
    if (!low || !high)
        return damaged(seg, seg_offset(seg, own), "an owner's group is out of bounds");
    int err = build_halves(ctx, d, place, low, high);
    if (err) {
        place->need_spare = err == E_GROW;
        return err;
    }
    uint64_t root = load_relaxed_u64(&shard->root);
    uint64_t *words = directory_words(table_directory(seg, root));
    unsigned depth = place->depth;
    uint64_t stride = 2ULL << depth, count = (1ULL << FIELD(root, ROOT_DEPTH)) / stride;
    uint64_t prefix = hash_directory(seg, hash) & ((1ULL << depth) - 1);
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_fill(&t, &words[prefix], directory_word(own->low, depth + 1), stride * 8, count);
    txn_fill(&t, &words[prefix + (1ULL << depth)], directory_word(own->high, depth + 1), stride * 8,
             count);
    txn_set(&t, &own->low, 0);
    txn_set(&t, &own->high, 0);
    txn_set(&t, &own->old, seg_offset(seg, place->group));
    /* [OP-13] Though no entry changes, an unlocked snapshot must not mix the two. */
    txn_set(&t, &shard->changes, shard->changes + 1);
    txn_commit_always(&t, SHMKV_OP_SPLIT);
    return SHMKV_OK;
}

int table_grow(struct context *ctx, const struct domain *d, shard_t *shard, uint64_t hash,
               struct place *place) {
    if (!place->group)
        return first_group(ctx, d, shard, place);
    if (should_split(ctx->seg, shard, place))
        return split(ctx, d, shard, hash, place);
    place->need_spare = true;
    return chain(ctx, d, place->last);
}
