/*
 * Get without a lock. Spec 6.2.
 *
 * A reader writes nothing that others see, but for a mark in a segment that evicts
 * (evict.c), and waits for nobody. It follows
 * directory, bucket and slot to a record, copies what it wants, and only then
 * asks whether all of that was still true: the record's version, its slot, the
 * directory word and the root are as they were. If so, the record was the key's
 * value at the moment of the check. If not, some writer made progress, and the
 * reader starts again.
 *
 * Memory that is reused cannot fool this check. A cell that takes another record
 * gets a version it never had before (A, B, A, B under one hot key changes the
 * version each time). Memory that has become something else in between can show
 * the same slot word again only by being that record again, with a new version.
 * A directory word never returns to a former value, since depths only grow
 * [LAYOUT-21].
 *
 * Until the check, everything read may be nonsense: every offset goes through
 * seg_at(), every length is clamped to the cell, every loop is bounded.
 *
 * The slot is checked before the version. A cell that was withdrawn, returned
 * (which overwrites its lengths), built anew and published in the same slot would
 * pass in the other order: version looked at before the building, slot after the
 * publishing. [OP-04]
 *
 * Nearly always there is a root, one slot with the tag in the first bucket, and a
 * plain record of the key. read_short_way() is the protocol for that case alone, in
 * a straight line: what counts when the memory is far away is how many
 * instructions wait for it. It gives up on everything else, which is then up to
 * read_whole_way(), and so it never has to say what is wrong.
 */
#include "hash.h"
#include "internal.h"

#define MAX_ATTEMPTS 200000
#define LONGEST_NS 1000000000u /* of attempts together: a large value may take long each time */
/* A published record that stays odd this often, in an unchanged slot, is damage. */
#define MAX_ODD 1000

/* What was read on the way to a bucket, to be looked at again. Before there is a
 * directory word, the root stands in for it. */
struct route {
    const uint64_t *root_word, *directory_word;
    uint64_t root, directory;
};

struct want {
    const void *key;
    size_t key_len;
    uint64_t hash;
    void *buf;
    size_t buf_len;
    size_t val_len;
    bool exists_only, hidden, passing; /* passing: it is not marked as used */
    unsigned odd;                      /* how often what was found made no sense */
    const uint8_t *value;
    unsigned type;
    uint64_t version, expiry_ns, owner;
    struct answers *told; /* of the owners of other keys; or NULL */
};

/* ORDER read-recheck: the copied bytes, then the words again. Pairs with
 * build-odd in change.c and publish in intent.c. Caller has fenced.
 * [OP-05] The root last: a directory that was withdrawn keeps its words until
 * it is overwritten. 0: nothing has changed. */
static inline uint64_t route_changes(const struct route *r) {
    uint64_t changes = load_acquire_u64(r->directory_word) ^ r->directory;
    return changes | (load_relaxed_u64(r->root_word) ^ r->root);
}

/* [OP-04] The slot, and then the version, against what they were. */
static inline uint64_t record_changes(const uint64_t *slot, uint64_t word, const uint64_t *rec,
                                      uint64_t version) {
    uint64_t changes = (load_acquire_u64(slot) ^ word) & SLOT_IDENTITY;
    return changes | (load_acquire_u64(rec) ^ version);
}

/* What was found at @p where makes no sense. If it still is what the route leads
 * to, it is damage [OP-02]; otherwise start again. */
static COLD int lost(struct segment *seg, const struct route *r, const void *where,
                     const char *what) {
    fence_acquire();
    return route_changes(r) ? E_RETRY : damaged(seg, seg_offset(seg, where), what);
}

/* Likewise of a record; a while is allowed for it. */
static COLD int nonsense(struct segment *seg, const uint64_t *slot, uint64_t word, struct want *w) {
    fence_acquire();
    bool published = ((load_relaxed_u64(slot) ^ word) & SLOT_IDENTITY) == 0;
    return published && ++w->odd > MAX_ODD
               ? damaged(seg, seg_offset(seg, slot),
                         "a slot leads to no record, or to an unfinished or impossible one")
               : E_RETRY;
}

/* Follow root and directory to the bucket of the hash. NULL with *err 0: the
 * shard is empty. */
static inline const bucket_t *find_bucket(struct segment *seg, uint64_t hash, struct route *r,
                                          int *err) {
    *err = SHMKV_OK;
    r->directory_word = r->root_word = &seg->shards[hash_shard(seg, hash)].root;
    r->directory = r->root = load_acquire_u64(r->root_word);
    if (unlikely(!r->root))
        return NULL;
    uint64_t depth = FIELD(r->root, ROOT_DEPTH);
    uint64_t index = hash_directory(seg, hash) & ((1ULL << depth) - 1);
    const uint64_t *word =
        seg_at(seg, (r->root & OFFSET_IN_WORD) + sizeof(directory_t) + index * 8, 8);
    if (unlikely(depth > seg->max_depth || !word)) {
        *err = lost(seg, r, r->root_word, "a root leads nowhere");
        return NULL;
    }
    r->directory_word = word;
    r->directory = load_acquire_u64(word);
    shmkv_off_t group = r->directory & PAGE_IN_WORD;
    run_t *run = seg_at(seg, group, SHMKV_PAGE_SIZE);
    if (unlikely(!run || group < seg->data_offset ||
                 FIELD(r->directory, DIRECTORY_DEPTH) > depth)) {
        *err = lost(seg, r, word, "a directory word leads nowhere");
        return NULL;
    }
    return group_bucket(run, hash_bucket(hash));
}

/* The bytes a record's cell may use, all of them inside the file; 0: no such cell. */
static inline uint64_t cell_bound(struct segment *seg, uint64_t word) {
    unsigned cls = (unsigned)FIELD(word, SLOT_CLASS);
    shmkv_off_t off = word & OFFSET_IN_WORD;
    if (cls == 0)
        return large_bound(seg, off);
    uint64_t size = shmkv_class_sizes[cls];
    return off < seg->data_offset || !seg_at(seg, off, size) ? 0 : size;
}

/* [NAMED-02] A named lock is held until somebody has cleaned up after its holder. */
static COLD bool still_there(struct segment *seg, const struct want *w) {
    return w->hidden ? entry_in_place(seg, w->expiry_ns, w->owner)
                     : entry_visible(seg, w->expiry_ns, w->owner, w->told);
}

/*
 * Read the record that @p word names, if it is the key's.
 * SHMKV_OK: its value is in the buffer, ETOOSMALL: its size is known. ENOTFOUND:
 * another key's, or not visible.
 */
static inline int read_record(struct segment *seg, const struct route *route, const uint64_t *slot,
                              uint64_t word, struct want *w) {
    uint64_t bound = cell_bound(seg, word);
    if (unlikely(!bound))
        return nonsense(seg, slot, word, w);
    const uint8_t *rec = seg->base + (word & OFFSET_IN_WORD);
    const uint64_t *words = (const uint64_t *)(const void *)rec;
    /* ORDER read-version: an even version, then the bytes. Pairs with build-even. */
    uint64_t version = load_acquire_u64(&words[0]);
    struct shape shape = shape_of(load_relaxed_u64(&words[1]));
    if (unlikely((version & 1) || version == 0 ||
                 record_size(shape.key_len, shape.val_len, shape.extra) > bound))
        return nonsense(seg, slot, word, w);
    if (unlikely(shape.key_len != w->key_len || shape.hidden != w->hidden ||
                 !racy_equal(key_of_record((const record_t *)words, &shape), w->key, w->key_len))) {
        fence_acquire();
        return record_changes(slot, word, words, version) ? E_RETRY : SHMKV_ENOTFOUND;
    }
    uint64_t expiry = 0, owner = 0;
    if (unlikely(shape.extra)) {
        expiry = load_relaxed_u64(&words[2]);
        owner = load_relaxed_u64(&words[3]);
    }
    w->val_len = shape.val_len;
    w->value = rec + record_value_offset(shape.key_len, shape.extra);
    w->type = shape.type;
    w->version = version;
    w->expiry_ns = expiry;
    w->owner = owner;
    int result = SHMKV_OK;
    if (!w->exists_only) {
        if (likely(shape.val_len <= w->buf_len))
            racy_copy(w->buf, rec + record_value_offset(shape.key_len, shape.extra), shape.val_len);
        else
            result = SHMKV_ETOOSMALL;
    }
    fence_acquire();
    if (unlikely(record_changes(slot, word, words, version) | route_changes(route)))
        return E_RETRY;
    if (unlikely(shape.extra) && !still_there(seg, w)) {
        /* [OP-29] It is absent since then; that it still was the key's entry counts from here. */
        fence_acquire();
        return record_changes(slot, word, words, version) | route_changes(route) ? E_RETRY
                                                                                 : SHMKV_ENOTFOUND;
    }
    if (likely(!w->passing))
        slot_used(seg, slot, word);
    return result;
}

static inline int search_bucket(struct segment *seg, const struct route *route, const bucket_t *b,
                                struct want *w) {
    for (uint32_t hits = racy_tags(b->slots, w->hash); hits; hits &= hits - 1) {
        const uint64_t *slot = racy_tag_first(b->slots, hits);
        uint64_t word = load_acquire_u64(slot);
        if (!(word & OFFSET_IN_WORD)) /* and the tag 0 */
            continue;
        int result = read_record(seg, route, slot, word, w);
        if (likely(result != SHMKV_ENOTFOUND))
            return result;
    }
    return SHMKV_ENOTFOUND;
}

static int attempt(struct segment *seg, struct want *w) {
    struct route route;
    int err;
    const bucket_t *b = find_bucket(seg, w->hash, &route, &err);
    if (!b)
        return err ? err : SHMKV_ENOTFOUND;
    for (struct chain walk = {0}; !chain_loops(&walk, b);) {
        int result = search_bucket(seg, &route, b, w);
        if (result != SHMKV_ENOTFOUND)
            return result;
        uint64_t link = load_acquire_u64(&b->link);
        fence_acquire();
        if (route_changes(&route))
            return E_RETRY;
        /* Absent: this still was the key's group when the link was read. */
        if (!link)
            return SHMKV_ENOTFOUND;
        const bucket_t *next = bucket_at_link(seg, link);
        if (!next)
            return lost(seg, &route, b, "a link leads nowhere");
        b = next;
    }
    return lost(seg, &route, b, "a chain of overflow buckets does not end");
}

static COLD int read_whole_way(struct segment *seg, struct want *w) {
    uint64_t deadline = 0;
    for (unsigned n = 0; n < MAX_ATTEMPTS; n++) {
        int result = attempt(seg, w);
        if (result != E_RETRY)
            return result;
        if (n == 10)
            deadline = now_ns() + LONGEST_NS;
        else if (n > 10 && now_ns() > deadline)
            break;
        cpu_relax();
    }
    return fail(SHMKV_EBUSY, "%s: a key changes too fast to read", seg->loc->path);
}

/* --------------------------------------------------------------- the short way */

/* The place of the directory word; NULL: not that easily. */
static inline const uint64_t *directory_word_short(const struct segment *seg, uint64_t span,
                                                   uint64_t hash, struct route *r) {
    r->root_word = &seg->shards[hash_shard(seg, hash)].root;
    r->root = load_acquire_u64(r->root_word);
    uint64_t index = hash_directory(seg, hash) & ~(~0ULL << FIELD(r->root, ROOT_DEPTH));
    /* Also if there is no root: it begins at 0, before the data. */
    shmkv_off_t off = (r->root & OFFSET_IN_WORD) + index * 8;
    return likely(off - seg->data_offset < span)
               ? (const uint64_t *)(const void *)(seg->base + off + sizeof(directory_t))
               : NULL;
}

/* The key's bucket, in the group that the directory word leads to; NULL likewise. */
static inline const bucket_t *bucket_short(const struct segment *seg, uint64_t span, uint64_t hash,
                                           struct route *r) {
    r->directory = load_acquire_u64(r->directory_word);
    shmkv_off_t off = r->directory & PAGE_IN_WORD;
    /* The depths, with whatever should be 0 above them. */
    bool deeper = r->directory >> SHMKV_DIRECTORY_DEPTH_SHIFT > r->root >> SHMKV_ROOT_DEPTH_SHIFT;
    if (unlikely(off - seg->data_offset >= span) || unlikely(deeper))
        return NULL;
    return (const bucket_t *)(const void *)(seg->base + off + hash_bucket_offset(hash));
}

/* What a record without the optional part says of its value. */
struct facts {
    size_t len;
    unsigned type;
    uint64_t version;
};

static inline void tell_facts(const struct facts *facts, void *data, struct shmkv_item *item) {
    *item = (struct shmkv_item){.data = data,
                                .len = facts->len,
                                .type = type_of_value(facts->type, facts->len),
                                .version = facts->version};
}

/* The slot that has the tag, and nothing yet of the record it leads to. */
struct candidate {
    const uint64_t *slot;
    uint64_t word;
    const uint8_t *rec;
};

/* SHMKV_OK: the only record to look at first. ENOTFOUND. E_RETRY: not that easily. */
static inline int candidate_short(const struct segment *seg, uint64_t span, const bucket_t *b,
                                  uint64_t hash, const struct route *route, struct candidate *c) {
    uint32_t hits = racy_tags(b->slots, hash);
    if (unlikely(!hits)) {
        uint64_t link = load_acquire_u64(&b->link);
        fence_acquire();
        return link | route_changes(route) ? E_RETRY : SHMKV_ENOTFOUND;
    }
    c->slot = racy_tag_first(b->slots, hits);
    c->word = load_acquire_u64(c->slot);
    shmkv_off_t off = c->word & OFFSET_IN_WORD;
    c->rec = seg->base + off;
    return likely(off - seg->data_offset < span) ? SHMKV_OK : E_RETRY;
}

/* The candidate's value, if it is the key's. Of @p facts all are set but the data,
 * whatever the result. */
static inline __attribute__((always_inline)) int
value_short(const struct segment *seg, const struct route *route, const struct candidate *c,
            const void *key, size_t key_len, bool exists_only, void *buf, size_t buf_len,
            struct facts *facts) {
    const uint64_t *words = (const uint64_t *)(const void *)c->rec;
    /* To be marked, which costs a call. */
    if (unlikely(seg->marks) && !(c->word & USED_MARK))
        return E_RETRY;
    /* ORDER read-version: as in read_record(). */
    uint64_t version = load_acquire_u64(&words[0]);
    uint64_t lengths = load_relaxed_u64(&words[1]);
    size_t len = lengths & 0xffffffff, value = record_value_offset(key_len, false);
    *facts = (struct facts){.len = len, .type = lengths >> 48 & 0xff, .version = version};
    /* An even version; the key's length and no flags, whatever the type; inside the cell;
     * the key. */
    if (unlikely(version & 1) || unlikely((lengths >> 32 & 0xff00ffff) != key_len - 1) ||
        unlikely(value + len > shmkv_class_sizes[FIELD(c->word, SLOT_CLASS)]) ||
        unlikely(!racy_equal(c->rec + SHMKV_RECORD_HEADER_SIZE, key, key_len)))
        return E_RETRY;
    bool fits = exists_only || len <= buf_len;
    if (likely(fits && !exists_only))
        racy_copy(buf, c->rec + value, len);
    fence_acquire();
    if (unlikely(record_changes(c->slot, c->word, words, version) | route_changes(route)))
        return E_RETRY;
    return likely(fits) ? SHMKV_OK : SHMKV_ETOOSMALL;
}

/* E_RETRY: it is not as in nearly all cases, so go the whole way. The facts are set on
 * SHMKV_OK and ETOOSMALL. */
static inline __attribute__((always_inline)) int
read_short_way(const struct segment *seg, const void *key, size_t key_len, bool exists_only,
               void *buf, size_t buf_len, struct facts *facts) {
    struct route route;
    struct candidate c;
    uint64_t hash = hash_inline(key, key_len, seg->seed);
    uint64_t span = load_relaxed_u64(&seg->safe_span);
    route.directory_word = directory_word_short(seg, span, hash, &route);
    if (unlikely(!route.directory_word))
        return E_RETRY;
    const bucket_t *b = bucket_short(seg, span, hash, &route);
    if (unlikely(!b))
        return E_RETRY;
    int err = candidate_short(seg, span, b, hash, &route, &c);
    if (unlikely(err))
        return err;
    return value_short(seg, &route, &c, key, key_len, exists_only, buf, buf_len, facts);
}

static COLD int read_with_hash(struct segment *seg, const void *key, size_t key_len, uint64_t hash,
                               bool exists_only, void *buf, size_t buf_len, size_t *val_len) {
    struct want w = {.key = key,
                     .key_len = key_len,
                     .hash = hash,
                     .exists_only = exists_only,
                     .buf = buf,
                     .buf_len = buf_len};
    int result = read_whole_way(seg, &w);
    *val_len = w.val_len;
    return result;
}

int read_value(struct segment *seg, const void *key, size_t key_len, void *buf, size_t buf_len,
               size_t *val_len) {
    struct facts facts = {0};
    int result = read_short_way(seg, key, key_len, false, buf, buf_len, &facts);
    if (unlikely(result == E_RETRY))
        result = read_with_hash(seg, key, key_len, hash_bytes(key, key_len, seg->seed), false, buf,
                                buf_len, &facts.len);
    if (val_len)
        *val_len = facts.len;
    return result;
}

static COLD int read_item_whole_way(struct segment *seg, const void *key, size_t key_len, void *buf,
                                    size_t buf_len, bool use, struct answers *told,
                                    struct shmkv_item *item) {
    struct want w = {.key = key,
                     .key_len = key_len,
                     .hash = hash_bytes(key, key_len, seg->seed),
                     .buf = buf,
                     .buf_len = buf_len,
                     .passing = !use,
                     .told = told};
    int result = read_whole_way(seg, &w);
    if (result == SHMKV_OK || result == SHMKV_ETOOSMALL)
        *item = (struct shmkv_item){.data = buf,
                                    .len = w.val_len,
                                    .type = type_of_value(w.type, w.val_len),
                                    .flags = w.owner ? SHMKV_BOUND : 0,
                                    .expires_ns = w.expiry_ns,
                                    .version = w.version};
    return result;
}

int read_item(struct segment *seg, const void *key, size_t key_len, void *buf, size_t buf_len,
              bool use, struct answers *told, struct shmkv_item *item) {
    struct facts facts;
    int result = read_short_way(seg, key, key_len, false, buf, buf_len, &facts);
    if (unlikely(result == E_RETRY))
        return read_item_whole_way(seg, key, key_len, buf, buf_len, use, told, item);
    if (result != SHMKV_ENOTFOUND)
        tell_facts(&facts, buf, item);
    return result;
}

int read_peek(struct segment *seg, const void *key, size_t key_len, bool hidden, struct peek *p) {
    struct want w = {.key = key,
                     .key_len = key_len,
                     .hidden = hidden,
                     .hash = hash_inline(key, key_len, seg->seed),
                     .exists_only = true};
    int result = read_whole_way(seg, &w);
    *p = (struct peek){.value = w.value,
                       .val_len = w.val_len,
                       .version = w.version,
                       .expiry_ns = w.expiry_ns,
                       .owner = w.owner,
                       .type = w.type};
    return result;
}

/* ----------------------------------------------------------------------- many keys */

/*
 * A get waits for its bucket and then for its record, one after the other. Those of
 * many keys can be waited for together: each key goes through four steps, each of
 * which asks for the memory that the next will look at, and AHEAD other keys take a
 * step before its next. Only the last step, and what it checks, makes a key's answer.
 */
#define AHEAD 8
#define STEPS 4

/* A key on its way. A bucket or record of NULL: it goes the whole way, at the end. */
struct lookup {
    uint64_t hash;
    struct route route;
    const bucket_t *bucket;
    struct candidate candidate;
    bool absent;
};

/* The last key's value in the buffer, and the room behind it. */
struct room {
    uint8_t *at;
    size_t left;
    struct answers told;
};

static inline void look_for_root(const struct segment *seg, uint64_t span,
                                 const struct shmkv_bytes *key, struct lookup *l) {
    l->hash = hash_inline(key->data, key->len, seg->seed);
    l->candidate.rec = NULL;
    l->absent = false;
    l->route.directory_word = directory_word_short(seg, span, l->hash, &l->route);
    if (likely(l->route.directory_word != NULL))
        prefetch(l->route.directory_word);
}

static inline void look_for_bucket(const struct segment *seg, uint64_t span, struct lookup *l) {
    l->bucket = NULL;
    if (likely(l->route.directory_word != NULL))
        l->bucket = bucket_short(seg, span, l->hash, &l->route);
    if (likely(l->bucket != NULL))
        prefetch(l->bucket);
}

static inline void look_for_record(const struct segment *seg, uint64_t span, struct lookup *l) {
    if (unlikely(!l->bucket))
        return;
    int err = candidate_short(seg, span, l->bucket, l->hash, &l->route, &l->candidate);
    if (likely(err == SHMKV_OK)) {
        prefetch(l->candidate.rec);
    } else {
        l->candidate.rec = NULL;
        l->absent = err == SHMKV_ENOTFOUND;
    }
}

static inline int look_at_value(struct segment *seg, const struct lookup *l,
                                const struct shmkv_bytes *key, struct shmkv_item *item,
                                struct room *room) {
    struct facts facts;
    int result = E_RETRY;
    if (unlikely(l->absent))
        return SHMKV_ENOTFOUND;
    if (likely(l->candidate.rec != NULL))
        result = value_short(seg, &l->route, &l->candidate, key->data, key->len, false, room->at,
                             room->left, &facts);
    if (unlikely(result == E_RETRY))
        return read_item_whole_way(seg, key->data, key->len, room->at, room->left, true,
                                   &room->told, item);
    tell_facts(&facts, room->at, item);
    return result;
}

/* One key's answer. SHMKV_OK: go on with the next. */
static inline int answer(struct segment *seg, const struct lookup *l, const struct shmkv_bytes *key,
                         struct shmkv_item *item, struct room *room) {
    int result = look_at_value(seg, l, key, item, room);
    if (unlikely(result)) {
        if (result != SHMKV_ETOOSMALL)
            *item = (struct shmkv_item){0};
        item->data = NULL;
        item->result = result;
        return result == SHMKV_ENOTFOUND ? SHMKV_OK : result;
    }
    room->at += item->len;
    room->left -= item->len;
    return SHMKV_OK;
}

static int read_many(struct segment *seg, size_t n, const struct shmkv_bytes *keys,
                     struct shmkv_item *items, struct room *room, size_t *done) {
    struct lookup ring[AHEAD * STEPS];
    uint64_t span = load_relaxed_u64(&seg->safe_span);
#define AT(i) (&ring[(i) % (AHEAD * STEPS)])
    for (size_t i = 0; i < n + (STEPS - 1) * AHEAD; i++) {
        if (i < n)
            look_for_root(seg, span, &keys[i], AT(i));
        if (i - AHEAD < n)
            look_for_bucket(seg, span, AT(i - AHEAD));
        if (i - 2 * AHEAD < n)
            look_for_record(seg, span, AT(i - 2 * AHEAD));
        size_t last = i - 3 * AHEAD;
        if (last < n) {
            int err = answer(seg, AT(last), &keys[last], &items[last], room);
            if (unlikely(err))
                return err;
            *done = last + 1;
        }
    }
#undef AT
    return SHMKV_OK;
}

/* ---------------------------------------------------------------- public calls */

static COLD int get_slowly(shmkv_t *kv, const void *key, size_t key_len, void *buf, size_t buf_len,
                           size_t *val_len) {
    struct segment *seg;
    int err = key_check(kv, key, key_len);
    if (err)
        return fail_at_key(err, key, key_len);
    if (!buf && buf_len)
        return fail(SHMKV_EARGUMENT, "no buffer");
    err = handle_enter(kv, &seg);
    if (err)
        return err;
    err = read_value(seg, key, key_len, buf, buf_len, val_len);
    handle_leave();
    return err;
}

/* The usual call is all in line, entry and hash and all: a thread that is in no other
 * call, a live segment, a key of 9 to 16 bytes, and the short way. E_RETRY: it is
 * another one. */
static inline __attribute__((always_inline)) int get_in_line(shmkv_t *kv, const void *key,
                                                             size_t key_len, void *buf,
                                                             size_t buf_len, struct facts *facts) {
    struct guard *g = guard_mine;
    if (unlikely(!g) || unlikely(!kv) || unlikely(!key) || unlikely(!buf) ||
        unlikely(key_len - 9 >= 8) ||
        unlikely(atomic_load_explicit(&g->inside[0], memory_order_relaxed) != NULL))
        return E_RETRY;
    struct segment *seg = guard_show(&g->inside[0], kv);
    int result = E_RETRY;
    if (segment_is_live(seg))
        result = read_short_way(seg, key, key_len, false, buf, buf_len, facts);
    guard_hide(&g->inside[0]);
    return result;
}

int shmkv_get(shmkv_t *kv, const void *key, size_t key_len, void *buf, size_t buf_len,
              size_t *val_len) {
    struct facts facts;
    int result = get_in_line(kv, key, key_len, buf, buf_len, &facts);
    if (unlikely(result == E_RETRY) || unlikely(!val_len))
        return get_slowly(kv, key, key_len, buf, buf_len, val_len);
    if (likely(result != SHMKV_ENOTFOUND))
        *val_len = facts.len;
    return result;
}

static int read_exists(struct segment *seg, const void *key, size_t key_len) {
    struct facts facts;
    int result = read_short_way(seg, key, key_len, true, NULL, 0, &facts);
    if (unlikely(result == E_RETRY))
        result = read_with_hash(seg, key, key_len, hash_bytes(key, key_len, seg->seed), true, NULL,
                                0, &facts.len);
    return result;
}

int shmkv_exists(shmkv_t *kv, const void *key, size_t key_len) {
    struct segment *seg;
    int err = key_check(kv, key, key_len);
    if (err)
        return fail_at_key(err, key, key_len);
    err = handle_enter(kv, &seg);
    if (err)
        return err;
    err = read_exists(seg, key, key_len);
    handle_leave();
    return err;
}

/* The keys that can be looked up, from the first on. */
static size_t good_keys(size_t n, const struct shmkv_bytes *keys) {
    size_t good = 0;
    while (good < n && keys[good].data && keys[good].len - 1 < SHMKV_MAX_KEY)
        good++;
    return good;
}

int shmkv_get_many(shmkv_t *kv, size_t n, const struct shmkv_bytes *keys, struct shmkv_item *items,
                   void *buf, size_t buf_len, size_t *done) {
    size_t ignored, *finished = done ? done : &ignored;
    *finished = 0;
    if ((n && (!keys || !items)) || (!buf && buf_len))
        return fail(SHMKV_EARGUMENT, "no keys, no items or no buffer");
    struct segment *seg;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    size_t good = good_keys(n, keys);
    err = read_many(seg, good, keys, items, &(struct room){.at = buf, .left = buf_len}, finished);
    handle_leave();
    if (err || good == n)
        return err;
    err = items[good].result = refuse_key(kv, keys[good].data, keys[good].len);
    return fail_at_key(err, keys[good].data, keys[good].len);
}

static COLD int get_item_slowly(shmkv_t *kv, const void *key, size_t key_len, void *buf,
                                size_t buf_len, struct shmkv_item *item) {
    struct segment *seg;
    int err = key_check(kv, key, key_len);
    if (err)
        return fail_at_key(err, key, key_len);
    if ((!item || (!buf && buf_len)))
        err = fail(SHMKV_EARGUMENT, "no place for the item");
    if (!err)
        err = handle_enter(kv, &seg);
    if (err)
        return err;
    err = read_item(seg, key, key_len, buf, buf_len, true, NULL, item);
    handle_leave();
    return err;
}

int shmkv_get_item(shmkv_t *kv, const void *key, size_t key_len, void *buf, size_t buf_len,
                   struct shmkv_item *item) {
    struct facts facts;
    int result = get_in_line(kv, key, key_len, buf, buf_len, &facts);
    if (unlikely(result == E_RETRY) || unlikely(!item))
        return get_item_slowly(kv, key, key_len, buf, buf_len, item);
    if (likely(result != SHMKV_ENOTFOUND))
        tell_facts(&facts, buf, item);
    return result;
}
