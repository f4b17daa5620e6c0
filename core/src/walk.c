/*
 * Entries taken out wherever they are: sweep, clear, pop. Spec 6.13.
 *
 * [OP-25] A step locks a shard, looks at one bucket with its overflow, and takes out at most
 * one entry, by the intent of a delete. Nothing is held from step to step but a
 * place: (shard, directory prefix, bucket), in the order of the cursor (6.5), in
 * which the halves of a split lie next to each other. Under the lock the directory
 * holds still, so a place is simply the group that its prefix leads to by now; what
 * was there when the round began is met in it once at least.
 */
#include "internal.h"

/* In the order of the walk. The prefix has its bits reversed. */
struct spot {
    uint64_t shard, prefix, bucket;
};

static uint64_t pack(const struct spot *s) { return s->shard << 38 | s->prefix << 6 | s->bucket; }

static struct spot unpack(uint64_t word, const struct segment *seg) {
    struct spot s = {word >> 38, word >> 6 & 0xffffffff, word & 63};
    return s.shard < seg->shard_count && s.bucket < SHMKV_GROUP_BUCKETS ? s : (struct spot){0};
}

static uint32_t reverse(uint32_t x) {
    uint32_t r = 0;
    for (int i = 0; i < 32; i++, x >>= 1)
        r = r << 1 | (x & 1);
    return r;
}

static void next_shard(struct spot *s) { *s = (struct spot){.shard = s->shard + 1}; }

/* On from a bucket of a group of this depth. */
static void next_bucket(struct spot *s, uint64_t depth) {
    if (++s->bucket < SHMKV_GROUP_BUCKETS)
        return;
    s->bucket = 0;
    s->prefix += 1ULL << (32 - depth);
    if (s->prefix >> 32)
        next_shard(s);
}

/* Which entries, and what becomes of those taken out. */
struct walk {
    bool (*wants)(const struct found *f);
    int (*before)(struct walk *w, const struct found *f); /* may refuse; under the lock */
    void (*after)(struct walk *w, const struct found *f); /* it is ours now */
    uint64_t *field; /* of our owner slot, where they are until then */
    struct spot at;
    uint64_t removed; /* of those that were there, as far as a reader could tell */
    uint64_t passed;  /* words of chains in which nothing was wanted any more */
    void *arg;
    struct answers told; /* of the owners that entries are bound to */
};

/* [OP-01] A round passes each word of a chain once, and no call goes round more than twice. More
 * than fit into the file: somebody has made chains, or groups, lead to each other. */
static int passed(const struct segment *seg, struct walk *w, uint64_t words, const bucket_t *b) {
    w->passed += words;
    if (w->passed > 2 * load_relaxed_u64(&seg->safe_limit) / sizeof(uint64_t))
        return damaged(seg, seg_offset(seg, b), "its chains do not end");
    return SHMKV_ENOTFOUND;
}

/* The first entry of the chain that is wanted. ENOTFOUND: none. */
static int find_wanted(struct segment *seg, bucket_t *b, struct walk *w, uint64_t **slot,
                       uint64_t *word, struct found *f) {
    uint64_t words = 0;
    for (struct chain walk = {0}; !chain_loops(&walk, b);) {
        for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++) {
            *word = load_relaxed_u64(&b->slots[i]);
            if (!(*word & OFFSET_IN_WORD))
                continue;
            int err = entry_look(seg, &b->slots[i], *word, f);
            *slot = &b->slots[i];
            /* [NAMED-02] A lock is held until somebody has cleaned up after its holder. */
            if (!err && f->present && f->owner && !f->shape.hidden)
                f->present = !owner_gone_as_told(seg, f->owner, &w->told);
            if (err || w->wants(f))
                return err;
        }
        uint64_t link = load_relaxed_u64(&b->link);
        words += SHMKV_BUCKET_SIZE / sizeof(uint64_t);
        if (!link)
            return passed(seg, w, words, b);
        bucket_t *next = bucket_at_link(seg, link);
        if (!next)
            return damaged(seg, seg_offset(seg, b), "a link leads nowhere");
        b = next;
    }
    return damaged(seg, seg_offset(seg, b), "a chain of overflow buckets does not end");
}

run_t *group_at_prefix(struct segment *seg, uint32_t shard, uint32_t prefix, uint64_t *depth,
                       int *err) {
    uint64_t root = load_relaxed_u64(&seg->shards[shard].root);
    *err = SHMKV_OK;
    if (!root)
        return NULL;
    directory_t *dir = table_directory(seg, root);
    *err =
        dir ? SHMKV_OK : damaged(seg, seg_offset(seg, &seg->shards[shard]), "a root leads nowhere");
    if (*err)
        return NULL;
    uint64_t mask = (1ULL << FIELD(root, ROOT_DEPTH)) - 1;
    uint64_t word = load_relaxed_u64(&directory_words(dir)[reverse(prefix) & mask]);
    run_t *group = seg_at(seg, word & PAGE_IN_WORD, SHMKV_PAGE_SIZE);
    *depth = FIELD(word, DIRECTORY_DEPTH);
    if (group && (word & PAGE_IN_WORD) >= seg->data_offset && *depth <= FIELD(root, ROOT_DEPTH) &&
        FIELD(head_of(group), RUN_KIND) == SHMKV_RUN_KIND_GROUP)
        return group;
    *err = damaged(seg, seg_offset(seg, dir), "a directory word leads to no group");
    return NULL;
}

/* Caller holds the shard's lock. SHMKV_OK: one entry was taken out, and may be followed by
 * another in this place. ENOTFOUND: none; on to the next place. */
static int step_locked(struct context *ctx, const struct domain *d, struct walk *w,
                       struct found *f) {
    struct segment *seg = ctx->seg;
    uint64_t depth = 0, word = 0, *slot = NULL;
    int err;
    run_t *group = group_at_prefix(seg, d->index, (uint32_t)w->at.prefix, &depth, &err);
    if (err)
        return err;
    if (!group) {
        next_shard(&w->at);
        return SHMKV_ENOTFOUND;
    }
    err = find_wanted(seg, group_bucket(group, w->at.bucket), w, &slot, &word, f);
    if (err == SHMKV_ENOTFOUND)
        next_bucket(&w->at, depth);
    if (!err && w->before)
        err = w->before(w, f);
    if (!err)
        slot_withdraw(ctx, d, &seg->shards[d->index], slot, word, w->field, f->shape.hidden);
    return err;
}

static int step(struct context *ctx, struct walk *w) {
    struct segment *seg = ctx->seg;
    if (load_relaxed_u64(&seg->shards[w->at.shard].count) == 0) {
        next_shard(&w->at);
        return SHMKV_ENOTFOUND;
    }
    /* The withdrawn entry will be put there. */
    int err = cell_return(ctx, w->field);
    if (err)
        return err;
    struct found f;
    struct domain d = shard_domain(seg, (uint32_t)w->at.shard);
    err = shard_lock_live(ctx, &d);
    if (err)
        return err;
    err = step_locked(ctx, &d, w, &f);
    lock_release(ctx, &d);
    if (err)
        return err;
    w->removed += f.present;
    if (w->after)
        w->after(w, &f);
    (void)cell_return(ctx, w->field); /* at the latest when the slot is reaped */
    return SHMKV_OK;
}

/* ----------------------------------------------------------------------- which ones */

/* [NAMED-04] Locks are no entries; only those of the dead are swept with the others. */
static bool is_gone(const struct found *f) { return !f->present; }
static bool is_there(const struct found *f) { return f->present && !f->shape.hidden; }
static bool is_any(const struct found *f) { return f->rec && !f->shape.hidden; }

/* ---------------------------------------------------------------------------- sweep */

struct sweep {
    uint64_t max_steps, removed;
};

/* One round at most, from where the last one of this handle ended. */
static int sweep(struct context *ctx, void *arg) {
    struct segment *seg = ctx->seg;
    struct sweep *s = arg;
    uint64_t start = atomic_load_explicit(&seg->sweep_at, memory_order_relaxed);
    struct walk w = {.wants = is_gone, .field = &ctx->own->cell, .at = unpack(start, seg)};
    bool wrapped = false;
    int err = SHMKV_OK;
    s->removed = 0;
    owners_reap(ctx);
    for (uint64_t n = 0; !s->max_steps || n < s->max_steps; n++) {
        err = step(ctx, &w);
        if (err && err != SHMKV_ENOTFOUND)
            break;
        s->removed += err == SHMKV_OK;
        err = SHMKV_OK;
        if (w.at.shard >= seg->shard_count) {
            if (wrapped)
                break;
            w.at = (struct spot){0};
            wrapped = true;
        }
        if (wrapped && pack(&w.at) >= start)
            break;
    }
    if (w.at.shard >= seg->shard_count)
        w.at = (struct spot){0};
    atomic_store_explicit(&seg->sweep_at, pack(&w.at), memory_order_relaxed);
    return err;
}

int shmkv_sweep(shmkv_t *kv, uint64_t max_steps, uint64_t *removed) {
    struct sweep s = {.max_steps = max_steps};
    int err = handle_write(kv, sweep, &s);
    if (removed)
        *removed = s.removed;
    return err;
}

/* What a put may spend when there is no room: some thousand entries looked at. */
#define STEPS_FOR_ROOM 1024

void sweep_for_room(struct context *ctx) {
    struct sweep s = {.max_steps = STEPS_FOR_ROOM};
    (void)sweep(ctx, &s); /* what was in its way is in the way of the next try as well */
}

/* More steps than that and others fill it as fast as we look. */
#define STEPS_FOR_GROUP 1024

/* Of the group, or of what it has become meanwhile: the part of it that the hash leads to. */
int group_sweep(struct context *ctx, uint64_t hash) {
    struct segment *seg = ctx->seg;
    const struct spot start = {.shard = hash_shard(seg, hash),
                               .prefix = reverse((uint32_t)hash_directory(seg, hash))};
    /* A record has been built in own->cell. */
    struct walk w = {.wants = is_gone, .field = &ctx->own->victim, .at = start};
    int err = SHMKV_OK;
    for (unsigned n = 0; n < STEPS_FOR_GROUP && (!err || err == SHMKV_ENOTFOUND) &&
                         w.at.shard == start.shard && w.at.prefix == start.prefix;
         n++)
        err = step(ctx, &w);
    return err == SHMKV_ENOTFOUND ? SHMKV_OK : err;
}

/* ---------------------------------------------------------------------------- clear */

static int clear(struct context *ctx, void *arg) {
    struct walk w = {.wants = is_any, .field = &ctx->own->cell};
    int err = SHMKV_OK;
    while (w.at.shard < ctx->seg->shard_count && (!err || err == SHMKV_ENOTFOUND))
        err = step(ctx, &w);
    *(uint64_t *)arg = w.removed;
    return err == SHMKV_ENOTFOUND ? SHMKV_OK : err;
}

int shmkv_clear(shmkv_t *kv, uint64_t *removed) {
    uint64_t n = 0;
    int err = handle_write(kv, clear, &n);
    if (removed)
        *removed = n;
    return err;
}

/* ------------------------------------------------------------------------------ pop */

struct pop {
    void *key, *buf;
    size_t key_room, room, key_len;
    struct shmkv_item *item;
};

static int pop_fits(struct walk *w, const struct found *f) {
    struct pop *p = w->arg;
    p->key_len = f->shape.key_len;
    found_tell(f, p->buf, p->item);
    return p->key_len <= p->key_room && p->item->len <= p->room ? SHMKV_OK : SHMKV_ETOOSMALL;
}

/* [OP-22] The record is ours. */
static void pop_copy(struct walk *w, const struct found *f) {
    struct pop *p = w->arg;
    racy_copy(p->key, key_of_record(f->rec, &f->shape), f->shape.key_len);
    racy_copy(p->buf, found_value(f), f->shape.val_len);
}

static int pop(struct context *ctx, void *arg) {
    struct segment *seg = ctx->seg;
    uint64_t start = atomic_load_explicit(&seg->pop_at, memory_order_relaxed);
    struct walk w = {.wants = is_there,
                     .before = pop_fits,
                     .after = pop_copy,
                     .field = &ctx->own->cell,
                     .at = unpack(start, seg),
                     .arg = arg};
    bool wrapped = false;
    int err;
    do {
        err = step(ctx, &w);
        if (w.at.shard >= seg->shard_count) {
            if (wrapped)
                break;
            w.at = (struct spot){0};
            wrapped = true;
        }
        /* To the end of the bucket it began in, which may have been left half way. */
    } while (err == SHMKV_ENOTFOUND && !(wrapped && pack(&w.at) > start));
    if (w.at.shard < seg->shard_count)
        atomic_store_explicit(&seg->pop_at, pack(&w.at), memory_order_relaxed);
    return err;
}

int shmkv_pop(shmkv_t *kv, void *key_buf, size_t key_buf_len, size_t *key_len, void *buf,
              size_t buf_len, struct shmkv_item *item) {
    if (!key_len || !item || (!key_buf && key_buf_len) || (!buf && buf_len))
        return fail(SHMKV_EARGUMENT, "no place for key and value");
    struct pop p = {
        .key = key_buf, .buf = buf, .key_room = key_buf_len, .room = buf_len, .item = item};
    int err = handle_write(kv, pop, &p);
    *key_len = p.key_len;
    return err;
}
