/*
 * Walking all entries without a lock. Spec 6.5.
 *
 * Order is by shard, then by directory prefix in reverse-binary order (the hash
 * bits read from the lowest), then by bucket. A split divides a prefix into two
 * that lie next to each other in this order, and leaves every key in a bucket of
 * the same number. So a position (shard, prefix, depth, bucket) stays meaningful
 * however the index grows: for one bucket number, all groups that now cover the
 * prefix are looked at, be it one or several.
 *
 * Reverse-binary cursors over growing tables come from Redis' SCAN (P. Noordhuis).
 *
 * The keys of one bucket are copied together, each checked as in read.c, and
 * then handed out one by one, each with the value it has at that moment.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MAX_ATTEMPTS 100000
#define MAX_STILL 50 /* failures while the shard does not change */

struct bytes {
    uint8_t *data;
    size_t len, capacity;
};

struct shmkv_cursor {
    shmkv_t *kv;
    unsigned moves; /* kv->moves when the walk began */
    unsigned flags;
    uint32_t shard;
    uint64_t position; /* in [0, 2^32): the prefix with its bits reversed */
    unsigned depth;    /* pinned for the current prefix */
    bool pinned;
    unsigned bucket;
    struct bytes keys; /* of the bucket: length (4 bytes), key, length, key, … */
    size_t next_key;   /* position in keys */
    struct bytes value;
};

static int bytes_reserve(struct bytes *b, size_t capacity) {
    if (capacity <= b->capacity)
        return SHMKV_OK;
    size_t larger = capacity > 2 * b->capacity ? capacity : 2 * b->capacity;
    uint8_t *data = realloc(b->data, larger);
    if (!data)
        return fail(ENOMEM, "cursor, %zu bytes", larger);
    b->data = data;
    b->capacity = larger;
    return SHMKV_OK;
}

static uint32_t reverse_bits(uint32_t x) {
    x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
    x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
    return __builtin_bswap32(x);
}

/* -------------------------------------------------------------- keys of a bucket */

/* Append the key of the record that @p slot names, if the view has it. E_RETRY:
 * something moved, or nothing there makes sense. The checks are those of read.c. */
static int copy_key(struct segment *seg, struct bytes *keys, const struct group_view *view,
                    const uint64_t *slot, uint64_t word) {
    const uint64_t *rec = seg_at(seg, word & OFFSET_IN_WORD, SHMKV_RECORD_HEADER_SIZE);
    if (!rec)
        return E_RETRY;
    uint64_t version = load_acquire_u64(&rec[0]);
    struct shape shape;
    if (version & 1 || version == 0 || !record_look(seg, word, &shape))
        return E_RETRY;
    uint32_t len = (uint32_t)shape.key_len;
    /* Keys lie in cells of their own: together they are not longer than the file,
     * unless many slots lead to one of them. */
    if (keys->len > load_relaxed_u64(&seg->safe_limit))
        return E_RETRY;
    int err = bytes_reserve(keys, keys->len + sizeof len + len);
    if (err)
        return err;
    uint8_t *out = keys->data + keys->len;
    memcpy(out, &len, sizeof len);
    racy_copy(out + sizeof len, (const uint8_t *)rec + record_key_offset(shape.extra), len);
    uint64_t expiry_ns = shape.extra ? load_relaxed_u64(&rec[2]) : 0;
    uint64_t owner = shape.extra ? load_relaxed_u64(&rec[3]) : 0;
    fence_acquire();
    if (((load_acquire_u64(slot) ^ word) & SLOT_IDENTITY) != 0 ||
        load_relaxed_u64(&rec[0]) != version)
        return E_RETRY;
    if (group_view_has(seg, view, out + sizeof len, len) &&
        (!shape.extra || entry_visible(seg, expiry_ns, owner)) && !shape.hidden)
        keys->len += sizeof len + len;
    return SHMKV_OK;
}

/* All keys of the cursor's bucket and its overflow that belong to the view. */
static int copy_bucket(struct shmkv_cursor *c, struct segment *seg, const struct group_view *view) {
    const bucket_t *b = group_bucket(view->group, c->bucket);
    for (struct chain walk = {0}; b && !chain_loops(&walk, b);) {
        for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++) {
            uint64_t word = load_acquire_u64(&b->slots[i]);
            if (!(word & OFFSET_IN_WORD))
                continue;
            int err = copy_key(seg, &c->keys, view, &b->slots[i], word);
            if (err)
                return err;
        }
        uint64_t link = load_acquire_u64(&b->link);
        if (!link)
            return SHMKV_OK;
        b = bucket_at_link(seg, link);
    }
    return E_RETRY;
}

/* A sum over the directory words that the prefix covers. */
static uint64_t words_sum(const struct shmkv_cursor *c, const uint64_t *words, uint64_t n,
                          uint64_t prefix) {
    uint64_t sum = 0;
    for (uint64_t i = prefix; i < n; i += 1ULL << c->depth)
        sum = (sum ^ load_acquire_u64(&words[i])) * 0x9e3779b97f4a7c15u;
    return sum;
}

/* The bucket of every group that covers (prefix, depth). */
static int copy_groups(struct shmkv_cursor *c, struct segment *seg, uint64_t root,
                       uint64_t prefix) {
    directory_t *dir = table_directory(seg, root);
    if (!dir)
        return E_RETRY;
    const uint64_t *words = directory_words(dir);
    unsigned root_depth = (unsigned)FIELD(root, ROOT_DEPTH);
    uint64_t budget = group_view_budget(root_depth);
    uint64_t n = 1ULL << root_depth, sum = words_sum(c, words, n, prefix);
    for (uint64_t i = prefix; i < n; i += 1ULL << c->depth) {
        struct group_view view;
        int err = group_view_at(seg, words, root_depth, prefix, c->depth, i, &budget, &view);
        if (!err && view.group)
            err = copy_bucket(c, seg, &view);
        if (err)
            return err;
    }
    fence_acquire();
    return words_sum(c, words, n, prefix) == sum ? SHMKV_OK : E_RETRY;
}

/* The bits of @p prefix: the depth it must at least be read at. */
static unsigned bit_length(uint32_t prefix) {
    return prefix ? 32 - (unsigned)__builtin_clz(prefix) : 0;
}

static int pin(struct shmkv_cursor *c, struct segment *seg, uint64_t root) {
    directory_t *dir = table_directory(seg, root);
    if (!dir)
        return E_RETRY;
    uint32_t mask = (uint32_t)((1ULL << FIELD(root, ROOT_DEPTH)) - 1);
    uint32_t prefix = reverse_bits((uint32_t)c->position) & mask;
    uint64_t word = load_acquire_u64(&directory_words(dir)[prefix]);
    uint64_t depth = FIELD(word, DIRECTORY_DEPTH);
    /* A half-done split: the prefix before this one was read at a greater depth. */
    if (depth < bit_length(prefix))
        depth = bit_length(prefix);
    fence_acquire();
    if (load_relaxed_u64(&seg->shards[c->shard].root) != root || depth > FIELD(root, ROOT_DEPTH))
        return E_RETRY;
    c->depth = (unsigned)depth;
    c->pinned = true;
    return SHMKV_OK;
}

static int attempt_fill(struct shmkv_cursor *c, struct segment *seg) {
    const uint64_t *root_word = &seg->shards[c->shard].root;
    uint64_t root = load_acquire_u64(root_word);
    c->keys.len = c->next_key = 0;
    if (!root) {
        c->depth = 0;
        c->pinned = true;
        c->bucket = SHMKV_GROUP_BUCKETS - 1; /* nothing more in this shard */
        return SHMKV_OK;
    }
    int err = c->pinned ? SHMKV_OK : pin(c, seg, root);
    if (!err)
        err = copy_groups(c, seg, root,
                          reverse_bits((uint32_t)c->position) & (uint32_t)((1ULL << c->depth) - 1));
    fence_acquire();
    if (!err && load_relaxed_u64(root_word) != root)
        err = E_RETRY;
    return err;
}

/* [OP-02] A bucket that makes no sense although nothing changes is damage. */
static int fill(struct shmkv_cursor *c, struct segment *seg) {
    const shard_t *shard = &seg->shards[c->shard];
    for (unsigned n = 0, still = 0; n < MAX_ATTEMPTS; n++) {
        uint64_t changes = load_acquire_u64(&shard->changes);
        int err = attempt_fill(c, seg);
        if (err != E_RETRY)
            return err;
        still = load_acquire_u64(&shard->changes) == changes ? still + 1 : 0;
        if (still > MAX_STILL)
            return damaged(seg, seg_offset(seg, shard), "a bucket of this shard leads nowhere");
        cpu_relax();
    }
    return fail(SHMKV_EBUSY, "%s: walking it", seg->loc->path);
}

/* Step to the next bucket. False at the end. */
static bool advance(struct shmkv_cursor *c, struct segment *seg) {
    if (!c->pinned)
        return true; /* the first */
    if (++c->bucket < SHMKV_GROUP_BUCKETS)
        return true;
    c->bucket = 0;
    c->pinned = false;
    c->position += 1ULL << (32 - c->depth);
    if (c->position < 1ULL << 32)
        return true;
    c->position = 0;
    return ++c->shard < seg->shard_count;
}

/* ----------------------------------------------------------------------- public */

int shmkv_cursor_open(shmkv_t *kv, unsigned flags, shmkv_cursor_t **out) {
    if (!out || flags & ~(unsigned)SHMKV_KEYS_ONLY)
        return fail(SHMKV_EARGUMENT, "cursor flags 0x%x", flags);
    *out = NULL;
    struct segment *seg;
    int err = handle_enter(kv, &seg); /* only to follow or to hear why not */
    if (err)
        return err;
    handle_leave();
    shmkv_cursor_t *c = calloc(1, sizeof *c);
    if (!c)
        return fail(ENOMEM, "cursor");
    c->kv = kv;
    c->moves = atomic_load(&kv->moves);
    c->flags = flags;
    *out = c;
    return SHMKV_OK;
}

static int fetch_value(struct shmkv_cursor *c, struct segment *seg, const void *key, size_t key_len,
                       struct shmkv_item *item) {
    int err;
    while ((err = read_item(seg, key, key_len, c->value.data, c->value.capacity, item)) ==
           SHMKV_ETOOSMALL) {
        err = bytes_reserve(&c->value, item->len);
        if (err)
            return err;
    }
    if (!c->value.data)
        item->data = ""; /* empty, and nothing was ever longer */
    return err;
}

/* The next key that was copied, with its value unless only keys are wanted.
 * ENOTFOUND: it has gone since. */
static int give(struct shmkv_cursor *c, struct segment *seg, const void **key, size_t *key_len,
                struct shmkv_item *item) {
    uint32_t len;
    memcpy(&len, c->keys.data + c->next_key, sizeof len);
    *key = c->keys.data + c->next_key + sizeof len;
    *key_len = len;
    c->next_key += sizeof len + len;
    if (!(c->flags & SHMKV_KEYS_ONLY))
        return fetch_value(c, seg, *key, len, item);
    *item = (struct shmkv_item){0};
    return SHMKV_OK;
}

static int next(struct shmkv_cursor *c, struct segment *seg, const void **key, size_t *key_len,
                struct shmkv_item *item) {
    for (;;) {
        while (c->next_key < c->keys.len) {
            int err = give(c, seg, key, key_len, item);
            if (err != SHMKV_ENOTFOUND)
                return err;
        }
        if (c->shard >= seg->shard_count || !advance(c, seg))
            return SHMKV_ENOTFOUND;
        int err = fill(c, seg);
        if (err)
            return err;
    }
}

int shmkv_cursor_next_item(shmkv_cursor_t *c, const void **key, size_t *key_len,
                           struct shmkv_item *item) {
    if (!c || !key || !key_len || !item)
        return fail(SHMKV_EARGUMENT, "cursor");
    struct segment *seg;
    int err = guard_enter(c->kv, &seg);
    if (err)
        return err;
    if (c->moves != atomic_load(&c->kv->moves) || segment_left(seg))
        err = fail(SHMKV_ESTALE, "%s: walking it", c->kv->loc.path);
    else
        err = next(c, seg, key, key_len, item);
    guard_leave();
    return err;
}

int shmkv_cursor_next(shmkv_cursor_t *c, const void **key, size_t *key_len, const void **val,
                      size_t *val_len) {
    struct shmkv_item item;
    int err = shmkv_cursor_next_item(c, key, key_len, &item);
    if (err)
        return err;
    if (val)
        *val = item.data;
    if (val_len)
        *val_len = item.len;
    return SHMKV_OK;
}

void shmkv_cursor_close(shmkv_cursor_t *c) {
    if (!c)
        return;
    free(c->keys.data);
    free(c->value.data);
    free(c);
}
