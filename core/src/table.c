/*
 * Where a key lives. Spec 3.7.
 *
 * A shard's directory leads, by the hash bits after the shard's, to a group: one
 * page of 63 buckets. Other bits choose the bucket, others again are the tag in
 * the slot, so that splitting a group by directory bits leaves every key in a
 * bucket of the same number. A bucket has seven slots and a link to an overflow
 * bucket; entries never move while their group lives.
 *
 * The lookup here is the writer's, under the shard lock: nothing it reads can
 * change or be freed. The reader's, without a lock, is in read.c.
 */
#include "internal.h"

directory_t *table_directory(struct segment *seg, uint64_t root) {
    uint64_t depth = FIELD(root, ROOT_DEPTH);
    unsigned cls = (unsigned)FIELD(root, ROOT_CLASS);
    shmkv_off_t off = root & OFFSET_IN_WORD;
    uint64_t size = sizeof(directory_t) + (8ULL << depth);
    if (depth > seg->max_depth || cls >= SHMKV_CLASS_COUNT || off < seg->data_offset ||
        size > (cls ? shmkv_class_sizes[cls] : large_bound(seg, off)))
        return NULL;
    return seg_at(seg, off, size);
}

bool entry_in_place(struct segment *seg, uint64_t expiry_ns, uint64_t owner) {
    if (expiry_ns && wall_ns() >= expiry_ns)
        return false;
    return !owner || owner_in_place(seg, owner);
}

bool entry_visible(struct segment *seg, uint64_t expiry_ns, uint64_t owner, struct answers *t) {
    if (!entry_in_place(seg, expiry_ns, owner))
        return false;
    return !owner || !(t ? owner_gone_as_told(seg, owner, t) : owner_gone(seg, owner));
}

record_t *record_look(struct segment *seg, uint64_t word, struct shape *shape) {
    unsigned cls = (unsigned)FIELD(word, SLOT_CLASS);
    shmkv_off_t off = word & OFFSET_IN_WORD;
    if (cls >= SHMKV_CLASS_COUNT || off < seg->data_offset)
        return NULL;
    record_t *rec = seg_at(seg, off, sizeof *rec);
    if (!rec)
        return NULL;
    *shape = shape_of(load_relaxed_u64((const uint64_t *)(const void *)rec + 1));
    uint64_t size = record_size(shape->key_len, shape->val_len, shape->extra);
    if (size > (cls ? shmkv_class_sizes[cls] : large_bound(seg, off)))
        return NULL;
    return seg_at(seg, off, size) ? rec : NULL;
}

/* The memory at @p off if a short read stays inside the file. */
static inline const uint64_t *near(const struct segment *seg, shmkv_off_t off) {
    return likely(off - seg->data_offset < load_relaxed_u64(&seg->safe_span))
               ? (const uint64_t *)(const void *)(seg->base + off)
               : NULL;
}

const bucket_t *bucket_ahead(const struct segment *seg, uint64_t hash) {
    uint64_t root = load_relaxed_u64(&seg->shards[hash_shard(seg, hash)].root);
    uint64_t index = hash_directory(seg, hash) & ~(~0ULL << FIELD(root, ROOT_DEPTH));
    const uint64_t *word = near(seg, (root & OFFSET_IN_WORD) + sizeof(directory_t) + index * 8);
    const uint64_t *group = word ? near(seg, load_relaxed_u64(word) & PAGE_IN_WORD) : NULL;
    if (!group)
        return NULL;
    const uint8_t *bucket = (const uint8_t *)group + hash_bucket_offset(hash);
    prefetch(bucket);
    return (const bucket_t *)(const void *)bucket;
}

void record_ahead(const struct segment *seg, const bucket_t *b, uint64_t hash) {
    uint32_t hits = b ? racy_tags(b->slots, hash) : 0;
    if (hits)
        prefetch(seg->base + (load_relaxed_u64(racy_tag_first(b->slots, hits)) & OFFSET_IN_WORD));
}

/* record_look(), in line for the nearly all that are in a cell far from the end. */
static inline record_t *record_near(struct segment *seg, uint64_t word, struct shape *shape) {
    unsigned cls = (unsigned)FIELD(word, SLOT_CLASS);
    shmkv_off_t off = word & OFFSET_IN_WORD;
    const uint64_t *words = near(seg, off);
    if (likely(words != NULL && cls)) {
        *shape = shape_of(load_relaxed_u64(words + 1));
        /* 0 for a class that does not exist */
        if (likely(record_size(shape->key_len, shape->val_len, shape->extra) <=
                   shmkv_class_sizes[cls]))
            return (record_t *)(void *)(seg->base + off);
    }
    return record_look(seg, word, shape);
}

/* Look through one bucket. 1: found, 0: not here, negative: damage. */
static inline int find_in_bucket(struct context *ctx, bucket_t *b, uint64_t tag, const void *key,
                                 size_t key_len, bool hidden, struct place *place) {
    for (uint32_t hits = racy_tags(b->slots, tag); hits; hits &= hits - 1) {
        uint64_t *slot = b->slots + (racy_tag_first(b->slots, hits) - b->slots);
        uint64_t word = load_relaxed_u64(slot);
        if (!(word & OFFSET_IN_WORD)) /* and the tag 0 */
            continue;
        struct shape shape;
        const record_t *rec = record_near(ctx->seg, word, &shape);
        if (unlikely(!rec))
            return damaged(ctx->seg, seg_offset(ctx->seg, slot), "a slot leads nowhere");
        if (likely(shape.key_len == key_len && shape.hidden == hidden &&
                   racy_equal(key_of_record(rec, &shape), key, key_len))) {
            place->slot = slot;
            place->word = word;
            return 1;
        }
    }
    for (int i = 0; i < SHMKV_BUCKET_SLOTS && !place->slot; i++)
        if (!(load_relaxed_u64(&b->slots[i]) & OFFSET_IN_WORD))
            place->slot = &b->slots[i];
    return 0;
}

/* The key's group as the directory has it, and the depths; NULL: the word is nonsense. */
static inline run_t *find_group(struct segment *seg, directory_t *dir, uint64_t root, uint64_t hash,
                                struct place *place) {
    place->root_depth = (unsigned)FIELD(root, ROOT_DEPTH);
    uint64_t mask = (1ULL << place->root_depth) - 1;
    uint64_t word = load_relaxed_u64(&directory_words(dir)[hash_directory(seg, hash) & mask]);
    place->depth = (unsigned)FIELD(word, DIRECTORY_DEPTH);
    shmkv_off_t off = word & PAGE_IN_WORD;
    if (unlikely(off < seg->data_offset || place->depth > place->root_depth))
        return NULL;
    return seg_at(seg, off, SHMKV_PAGE_SIZE);
}

/* Likewise through the chain that begins with the bucket. */
static inline int find_in_chain(struct context *ctx, bucket_t *b, uint64_t tag, const void *key,
                                size_t key_len, bool hidden, struct place *place) {
    struct segment *seg = ctx->seg;
    for (struct chain walk = {0}; !chain_loops(&walk, b);) {
        int found = find_in_bucket(ctx, b, tag, key, key_len, hidden, place);
        if (found)
            return found;
        place->last = b;
        uint64_t link = load_relaxed_u64(&b->link);
        if (!link)
            return 0;
        b = bucket_at_link(seg, link);
        if (!b)
            return damaged(seg, seg_offset(seg, place->last), "a link leads nowhere");
    }
    return damaged(seg, seg_offset(seg, b), "a chain of overflow buckets does not end");
}

int table_find_in(struct context *ctx, shard_t *shard, uint64_t hash, const void *key,
                  size_t key_len, bool hidden, struct place *place) {
    struct segment *seg = ctx->seg;
    *place = (struct place){0};
    uint64_t root = load_relaxed_u64(&shard->root);
    if (!root)
        return SHMKV_OK;
    directory_t *dir = table_directory(seg, root);
    if (unlikely(!dir))
        return damaged(seg, seg_offset(seg, &shard->root), "the root leads nowhere");
    place->group = find_group(seg, dir, root, hash, place);
    if (unlikely(!place->group))
        return damaged(seg, seg_offset(seg, dir), "a directory word leads to no group");
    bucket_t *b = group_bucket(place->group, hash_bucket(hash));
    int found = find_in_chain(ctx, b, hash_tag(hash), key, key_len, hidden, place);
    /* What has led to the key was a slot. Only otherwise is the group's header looked at,
     * which is one more line of memory to wait for. */
    if (likely(found == 1))
        return SHMKV_OK;
    if (unlikely(FIELD(head_of(place->group), RUN_KIND) != SHMKV_RUN_KIND_GROUP))
        return damaged(seg, seg_offset(seg, dir), "a directory word leads to no group");
    return found;
}

/* ------------------------------------------------------------- all groups in turn */

/* Is @p word also at a smaller index of the prefix? All its positions agree with
 * @p index in the low bits that it says its keys share. */
static bool seen_before(const uint64_t *words, uint64_t word, uint64_t prefix,
                        unsigned prefix_depth, uint64_t index, uint64_t *budget) {
    unsigned depth = (unsigned)FIELD(word, DIRECTORY_DEPTH);
    uint64_t stride = 1ULL << (depth > prefix_depth ? depth : prefix_depth);
    uint64_t first = depth > prefix_depth ? index & (stride - 1) : prefix;
    for (uint64_t i = first; i < index && *budget; i += stride, --*budget)
        if (load_relaxed_u64(&words[i]) == word)
            return true;
    return false;
}

static bool named_everywhere(const uint64_t *words, uint64_t mask, uint64_t word, unsigned depth,
                             uint64_t index, uint64_t *budget) {
    uint64_t stride = 1ULL << depth;
    for (uint64_t i = index & (stride - 1); i <= mask && *budget; i += stride, --*budget)
        if (load_relaxed_u64(&words[i]) != word)
            return false;
    return *budget != 0;
}

int group_view_at(struct segment *seg, const uint64_t *words, unsigned root_depth, uint64_t prefix,
                  unsigned prefix_depth, uint64_t index, uint64_t *budget,
                  struct group_view *view) {
    uint64_t word = load_acquire_u64(&words[index]), mask = (1ULL << root_depth) - 1;
    unsigned depth = (unsigned)FIELD(word, DIRECTORY_DEPTH);
    *view = (struct group_view){.word = word,
                                .words = words,
                                .mask = mask,
                                .prefix = prefix,
                                .prefix_mask = (1ULL << prefix_depth) - 1};
    if (depth > root_depth)
        return E_RETRY;
    if (seen_before(words, word, prefix, prefix_depth, index, budget))
        return SHMKV_OK;
    if (!*budget)
        return E_RETRY;
    view->exact =
        depth >= prefix_depth && named_everywhere(words, mask, word, depth, index, budget);
    shmkv_off_t off = word & PAGE_IN_WORD;
    view->group = off < seg->data_offset ? NULL : seg_at(seg, off, SHMKV_PAGE_SIZE);
    return view->group ? SHMKV_OK : E_RETRY;
}

bool group_view_has(struct segment *seg, const struct group_view *view, const void *key,
                    size_t key_len) {
    if (view->exact)
        return true;
    uint64_t index = hash_directory(seg, hash_bytes(key, key_len, seg->seed));
    return (index & view->prefix_mask) == view->prefix &&
           load_relaxed_u64(&view->words[index & view->mask]) == view->word;
}
