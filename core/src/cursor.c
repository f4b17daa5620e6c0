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
 * then handed out one by one, each with the value it has at that moment, in the
 * order of two hashes of theirs. So the walk as a whole has an order that depends on
 * the keys and on the depths that prefixes were read at, and on nothing else; and
 * the last key's hashes with the depth of its prefix are a position, from which
 * another cursor can go on, whatever has happened to the index in between [OP-27].
 * The second hash is there for keys that agree in the first: keys are too long to be
 * part of a position.
 *
 * A prefix of keys is looked at where a key lies, before it is copied. It spares copies
 * and values, but no bucket: there is no order of keys in a hash table.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "internal.h"

#define MAX_ATTEMPTS 100000
#define LONGEST_NS 1000000000u /* of attempts together: somebody may have made a long chain */
#define MAX_STILL 50           /* failures while the shard does not change */
/* [OP-30] So long a living owner is taken for living, that not each of many bound entries asks. */
#define TOLD_FOR_NS 1000000u

struct bytes {
    uint8_t *data;
    size_t len, capacity;
};

/* Where a key stands among those of its bucket. */
struct rank {
    uint64_t hash, second;
};

/* A key that was copied. */
struct copied {
    struct rank rank; /* or of the hash only the tag, as the slot has it, and 0 */
    size_t at;        /* in the cursor's keys: its length (4 bytes), then the key */
};

/* As in the byte of a position. */
enum standing { BEFORE_THE_FIRST = 0, BEHIND_A_KEY = 1, AT_THE_END = 2 };

struct standpoint {
    enum standing standing;
    unsigned depth;   /* that the key's prefix was read at */
    struct rank rank; /* the key's */
};

struct shmkv_cursor {
    shmkv_t *kv;
    unsigned moves; /* kv->moves when the walk began */
    unsigned flags;
    bool hidden;         /* named locks are wanted, and no keys */
    struct bytes prefix; /* of the keys that are wanted */
    uint32_t shard;
    uint64_t position; /* in [0, 2^32): the prefix with its bits reversed */
    unsigned depth;    /* pinned for the current prefix */
    bool pinned;
    bool entered; /* one of its groups was found */
    bool unread;  /* the bucket is still to be copied */
    unsigned bucket;
    struct bytes keys;   /* of the bucket: length (4 bytes), key, length, key, … */
    struct bytes copied; /* struct copied, as many as keys */
    size_t next, given;  /* the one to give, and the one given last, as indices */
    struct standpoint stands;
    bool unranked; /* its rank is still to be computed: of copied key `given` */
    bool resumed;  /* of the bucket, what is not behind the standpoint was given before */
    struct bytes value;
    uint64_t passed, passing; /* words of index and keys: in this call, and in this attempt */
    struct answers told;      /* of the owners that entries are bound to */
};

static COLD int bytes_enlarge(struct bytes *b, size_t capacity) {
    size_t larger = capacity > 2 * b->capacity ? capacity : 2 * b->capacity;
    uint8_t *data = realloc(b->data, larger);
    if (!data)
        return fail(ENOMEM, "cursor, %zu bytes", larger);
    b->data = data;
    b->capacity = larger;
    return SHMKV_OK;
}

static inline int bytes_reserve(struct bytes *b, size_t capacity) {
    return likely(capacity <= b->capacity) ? SHMKV_OK : bytes_enlarge(b, capacity);
}

static uint32_t reverse_bits(uint32_t x) {
    x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
    x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
    return __builtin_bswap32(x);
}

/* -------------------------------------------------------------------- their order */

/* Not a seed that is akin to the other: keys that agree with one must not agree with both. */
#define SECOND_SEED 0x9e3779b97f4a7c15u

static struct rank rank_of(const struct segment *seg, const void *key, size_t len) {
    return (struct rank){hash_inline(key, len, seg->seed),
                         hash_inline(key, len, seg->seed + SECOND_SEED)};
}

static int rank_compare(const struct rank *a, const struct rank *b) {
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return (a->second > b->second) - (a->second < b->second);
}

static int by_rank(const void *a, const void *b) {
    return rank_compare(&((const struct copied *)a)->rank, &((const struct copied *)b)->rank);
}

static struct copied *copied_keys(const struct shmkv_cursor *c) {
    return (struct copied *)(void *)c->copied.data;
}
static size_t copied_count(const struct shmkv_cursor *c) {
    return c->copied.len / sizeof(struct copied);
}
static const void *copied_key(const struct shmkv_cursor *c, const struct copied *this,
                              size_t *len) {
    uint32_t length;
    memcpy(&length, c->keys.data + this->at, sizeof length);
    *len = length;
    return c->keys.data + this->at + sizeof length;
}

/* A bucket has seven slots, and seldom another seven; but one whose hashes somebody has
 * chosen may have a hundred thousand. */
static void sort_copied(struct copied *all, size_t n) {
    if (n > 24) {
        qsort(all, n, sizeof *all, by_rank);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct copied this = all[i];
        size_t at = i;
        for (; at > 0 && rank_compare(&this.rank, &all[at - 1].rank) < 0; at--)
            all[at] = all[at - 1];
        all[at] = this;
    }
}

static bool any_equal(const struct copied *all, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (rank_compare(&all[i - 1].rank, &all[i].rank) == 0)
            return true;
    return false;
}

/* All of the hashes, in place of the tags. */
static COLD void complete_ranks(struct shmkv_cursor *c, const struct segment *seg) {
    struct copied *all = copied_keys(c);
    for (size_t i = 0, n = copied_count(c); i < n; i++) {
        size_t len;
        const void *key = copied_key(c, &all[i], &len);
        all[i].rank = rank_of(seg, key, len);
    }
    sort_copied(all, copied_count(c));
}

/* Before the key that was given last is overwritten, or somebody wants to know. */
static void note_rank(struct shmkv_cursor *c, const struct segment *seg) {
    size_t len;
    if (!c->unranked)
        return;
    const void *key = copied_key(c, &copied_keys(c)[c->given], &len);
    c->stands.rank = rank_of(seg, key, len);
    c->unranked = false;
}

/* Put the bucket in order, and begin behind what was given before the cursor resumed. The
 * tags are the upper bits of the hashes, and nearly always tell the order: then no key
 * is hashed, and its memory not waited for. */
static void arrange(struct shmkv_cursor *c, const struct segment *seg) {
    struct copied *all = copied_keys(c);
    size_t n = copied_count(c);
    sort_copied(all, n);
    if (unlikely(c->resumed || any_equal(all, n)))
        complete_ranks(c, seg);
    if (unlikely(c->resumed))
        while (c->next < n && rank_compare(&all[c->next].rank, &c->stands.rank) <= 0)
            c->next++;
    c->resumed = false;
}

/* -------------------------------------------------------------- keys of a bucket */

/* Append the key, which is @p len bytes long, from the place where it lies. */
static inline int append_key(struct shmkv_cursor *c, const uint8_t *key, uint32_t len) {
    int err = bytes_reserve(&c->keys, c->keys.len + sizeof len + len);
    if (!err)
        err = bytes_reserve(&c->copied, c->copied.len + sizeof(struct copied));
    if (err)
        return err;
    memcpy(c->keys.data + c->keys.len, &len, sizeof len);
    racy_copy(c->keys.data + c->keys.len + sizeof len, key, len);
    return SHMKV_OK;
}

/* It counts. */
static inline void keep_key(struct shmkv_cursor *c, uint64_t word, uint32_t len) {
    struct copied *new = &copied_keys(c)[copied_count(c)];
    new->at = c->keys.len;
    new->rank = (struct rank){hash_tag(word), 0};
    c->keys.len += sizeof len + len;
    c->copied.len += sizeof *new;
}

/* Where the value is read as well, that tells; and a named lock is held until somebody has cleaned
 * up after its holder. */
static COLD bool still_there(struct shmkv_cursor *c, struct segment *seg, uint64_t expiry_ns,
                             uint64_t owner) {
    if (c->hidden || !owner || !(c->flags & SHMKV_KEYS_ONLY))
        return entry_in_place(seg, expiry_ns, owner);
    return entry_visible(seg, expiry_ns, owner, &c->told);
}

/* [OP-04] Slot and version, against what they were. */
static inline bool record_moved(const uint64_t *slot, uint64_t word, const uint64_t *rec,
                                uint64_t version) {
    return ((load_acquire_u64(slot) ^ word) & SLOT_IDENTITY) != 0 ||
           load_relaxed_u64(&rec[0]) != version;
}

/* [OP-01] A call passes each word of the index once, and of few keys that it does not keep. More
 * than fit into the file: somebody has made chains, groups or slots lead to the same. */
static bool too_many(const struct segment *seg, uint64_t words) {
    return words > 2 * load_relaxed_u64(&seg->safe_limit) / sizeof(uint64_t);
}

/* Append the key of the record that @p slot names, if it is wanted and the view has
 * it. E_RETRY: something moved, or nothing there makes sense. The checks are those of read.c. */
static int copy_key(struct shmkv_cursor *c, struct segment *seg, const struct group_view *view,
                    const uint64_t *slot, uint64_t word) {
    const uint64_t *rec = seg_at(seg, word & OFFSET_IN_WORD, SHMKV_RECORD_HEADER_SIZE);
    if (!rec)
        return E_RETRY;
    uint64_t version = load_acquire_u64(&rec[0]);
    struct shape shape;
    if (version & 1 || version == 0 || !record_look(seg, word, &shape))
        return E_RETRY;
    uint32_t len = (uint32_t)shape.key_len;
    const uint8_t *key = key_of_record((const record_t *)(const void *)rec, &shape);
    bool wanted = shape.hidden == c->hidden &&
                  (!c->prefix.len ||
                   (len >= c->prefix.len && racy_equal(key, c->prefix.data, c->prefix.len)));
    /* Keys lie in cells of their own: together they are not longer than the file,
     * unless many slots lead to one of them. */
    if (c->keys.len > load_relaxed_u64(&seg->safe_limit) || too_many(seg, c->passing))
        return E_RETRY;
    int err = wanted ? append_key(c, key, len) : SHMKV_OK;
    if (err)
        return err;
    uint64_t expiry_ns = shape.extra ? load_relaxed_u64(&rec[2]) : 0;
    uint64_t owner = shape.extra ? load_relaxed_u64(&rec[3]) : 0;
    fence_acquire();
    if (record_moved(slot, word, rec, version))
        return E_RETRY;
    if (!wanted)
        return SHMKV_OK;
    if (!group_view_has(seg, view, c->keys.data + c->keys.len + sizeof len, len)) {
        c->passing += len / sizeof(uint64_t);
        return SHMKV_OK;
    }
    if (shape.extra && !still_there(c, seg, expiry_ns, owner)) {
        /* [OP-29] It is absent since then; that it still was there counts from here. */
        fence_acquire();
        return record_moved(slot, word, rec, version) ? E_RETRY : SHMKV_OK;
    }
    keep_key(c, word, len);
    return SHMKV_OK;
}

/* All keys of the cursor's bucket and its overflow that belong to the view. */
static int copy_bucket(struct shmkv_cursor *c, struct segment *seg, const struct group_view *view) {
    const bucket_t *b = group_bucket(view->group, c->bucket);
    for (struct chain walk = {0}; b && !chain_loops(&walk, b);) {
        c->passing += SHMKV_BUCKET_SIZE / sizeof(uint64_t);
        for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++) {
            uint64_t word = load_acquire_u64(&b->slots[i]);
            if (!(word & OFFSET_IN_WORD))
                continue;
            int err = copy_key(c, seg, view, &b->slots[i], word);
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
    if (c->bucket == 0) /* the others look at the same words */
        c->passing += n >> c->depth;
    for (uint64_t i = prefix; i < n; i += 1ULL << c->depth) {
        struct group_view view;
        int err = group_view_at(seg, words, root_depth, prefix, c->depth, i, &budget, &view);
        if (!err && view.group) {
            c->entered = true;
            err = copy_bucket(c, seg, &view);
        }
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
    c->keys.len = c->copied.len = c->next = c->passing = 0;
    c->entered = false;
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

static int passed(struct shmkv_cursor *c, struct segment *seg) {
    c->passed += c->passing;
    if (too_many(seg, c->passed))
        return damaged(seg, seg_offset(seg, &seg->shards[c->shard]), "its chains do not end");
    return SHMKV_OK;
}

/* [OP-02] A bucket that makes no sense although nothing changes is damage. */
static int fill(struct shmkv_cursor *c, struct segment *seg) {
    const shard_t *shard = &seg->shards[c->shard];
    uint64_t deadline = 0;
    note_rank(c, seg);
    for (unsigned n = 0, still = 0; n < MAX_ATTEMPTS; n++) {
        uint64_t changes = load_acquire_u64(&shard->changes);
        int err = attempt_fill(c, seg);
        if (!err)
            err = passed(c, seg);
        if (!err)
            arrange(c, seg);
        if (err != E_RETRY)
            return err;
        still = load_acquire_u64(&shard->changes) == changes ? still + 1 : 0;
        if (still > MAX_STILL)
            return damaged(seg, seg_offset(seg, shard), "a bucket of this shard leads nowhere");
        if (n == 10)
            deadline = now_ns() + LONGEST_NS;
        else if (n > 10 && now_ns() > deadline)
            break;
        cpu_relax();
    }
    return fail(SHMKV_EBUSY, "%s: walking it", seg->loc->path);
}

/* Step to the next bucket, if this one has been read. False at the end. */
static bool advance(struct shmkv_cursor *c, struct segment *seg) {
    if (c->unread)
        return true;
    c->unread = true;
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

/* What cannot be read is told once, and the next step begins behind it: so the rest of a damaged
 * segment can still be had. Behind the bucket; behind the prefix, if none of it was entered; or, if
 * the shard has no directory, behind that. */
static COLD void pass_over(struct shmkv_cursor *c, struct segment *seg) {
    uint64_t root = load_relaxed_u64(&seg->shards[c->shard].root);
    c->keys.len = c->copied.len = c->next = 0;
    c->unread = c->resumed = false;
    if (c->entered)
        return;
    if (!c->pinned)
        c->depth = table_directory(seg, root) ? (unsigned)FIELD(root, ROOT_DEPTH) : 0;
    c->bucket = SHMKV_GROUP_BUCKETS - 1;
}

/* ----------------------------------------------------------------------- public */

/* ORDER moves: the segment, then how often the handle moved. Pairs with move() in handle.c.
 * The handle has not moved to another segment since the cursor was opened. */
static int enter(struct shmkv_cursor *c, struct segment **seg) {
    int err = guard_enter(c->kv, seg);
    if (err)
        return err;
    if (c->moves == atomic_load(&c->kv->moves) && !segment_left(*seg))
        return SHMKV_OK;
    guard_leave();
    return fail(SHMKV_ESTALE, "%s: walking it", c->kv->loc.path);
}

static int cursor_open(shmkv_t *kv, unsigned flags, bool hidden, shmkv_cursor_t **out) {
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
    c->hidden = hidden;
    c->unread = true;
    c->told.for_ns = TOLD_FOR_NS;
    *out = c;
    return SHMKV_OK;
}

int shmkv_cursor_open(shmkv_t *kv, unsigned flags, shmkv_cursor_t **out) {
    if (!out || flags & ~(unsigned)SHMKV_KEYS_ONLY)
        return fail(SHMKV_EARGUMENT, "cursor flags 0x%x", flags);
    return cursor_open(kv, flags, false, out);
}

int cursor_open_locks(shmkv_t *kv, shmkv_cursor_t **out) {
    return cursor_open(kv, SHMKV_KEYS_ONLY, true, out);
}

int shmkv_cursor_prefix(shmkv_cursor_t *c, const void *prefix, size_t len) {
    if (!c || (!prefix && len))
        return fail(SHMKV_EARGUMENT, "cursor");
    if (len > SHMKV_MAX_KEY)
        return fail(SHMKV_EKEY, "%s: a prefix of %zu bytes", kv_name(c->kv), len);
    if (!c->unread) /* in the middle of a bucket, which was copied by the old one */
        return fail(SHMKV_EARGUMENT, "a prefix for a cursor that is under way");
    int err = bytes_reserve(&c->prefix, len);
    if (err)
        return err;
    if (len)
        memcpy(c->prefix.data, prefix, len);
    c->prefix.len = len;
    return SHMKV_OK;
}

static int fetch_value(struct shmkv_cursor *c, struct segment *seg, const void *key, size_t key_len,
                       struct shmkv_item *item) {
    int err;
    /* Who walks over all of them uses none. Spec 6.16. */
    while ((err = read_item(seg, key, key_len, c->value.data, c->value.capacity, false, &c->told,
                            item)) == SHMKV_ETOOSMALL) {
        err = bytes_reserve(&c->value, item->len);
        if (err)
            return err;
    }
    if (!c->value.data)
        item->data = ""; /* empty, and nothing was ever longer */
    return err;
}

/* The next key that was copied, with its value unless only keys are wanted.
 * ENOTFOUND: it has gone since. ECORRUPT: it cannot be read. After another failure it still is
 * the next. */
static int give(struct shmkv_cursor *c, struct segment *seg, const void **key, size_t *key_len,
                struct shmkv_item *item) {
    *key = copied_key(c, &copied_keys(c)[c->next], key_len);
    *item = (struct shmkv_item){0};
    int err = SHMKV_OK;
    if (!(c->flags & SHMKV_KEYS_ONLY))
        err = fetch_value(c, seg, *key, *key_len, item);
    if (!err) {
        c->stands = (struct standpoint){.standing = BEHIND_A_KEY, .depth = c->depth};
        c->given = c->next;
        c->unranked = true;
    }
    c->next += !err || err == SHMKV_ENOTFOUND || err == SHMKV_ECORRUPT;
    return err;
}

static int next(struct shmkv_cursor *c, struct segment *seg, const void **key, size_t *key_len,
                struct shmkv_item *item) {
    for (;;) {
        while (!c->unread && c->next < copied_count(c)) {
            int err = give(c, seg, key, key_len, item);
            if (err != SHMKV_ENOTFOUND)
                return err;
        }
        if (c->shard >= seg->shard_count || !advance(c, seg)) {
            c->stands = (struct standpoint){.standing = AT_THE_END};
            c->unranked = false;
            return SHMKV_ENOTFOUND;
        }
        int err = fill(c, seg);
        if (err == SHMKV_ECORRUPT)
            pass_over(c, seg);
        if (err)
            return err;
        c->unread = false;
    }
}

int shmkv_cursor_next_item(shmkv_cursor_t *c, const void **key, size_t *key_len,
                           struct shmkv_item *item) {
    if (!c || !key || !key_len || !item)
        return fail(SHMKV_EARGUMENT, "cursor");
    struct segment *seg;
    int err = enter(c, &seg);
    if (err)
        return err;
    c->passed = 0;
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

/* ---------------------------------------------------------------------- positions */

/* Spec 6.5, table of a position. Change both or neither. */
struct position {
    uint64_t segment; /* the first bytes of its uuid */
    uint64_t hash, second;
    uint8_t standing, depth;
    uint16_t zero;
    uint32_t check; /* of the bytes before; it tells what was never a position */
};
_Static_assert(sizeof(struct position) == SHMKV_POSITION_SIZE &&
                   offsetof(struct position, check) == SHMKV_POSITION_SIZE - 4,
               "a position has no padding");

static uint32_t position_check(const struct position *p) {
    return (uint32_t)hash_bytes(p, offsetof(struct position, check), 0);
}

static uint64_t segment_mark(const struct segment *seg) {
    uint64_t mark;
    memcpy(&mark, seg->hdr->uuid, sizeof mark);
    return mark;
}

int shmkv_cursor_position(shmkv_cursor_t *c, struct shmkv_position *out) {
    if (!c || !out)
        return fail(SHMKV_EARGUMENT, "cursor");
    struct segment *seg;
    int err = enter(c, &seg);
    if (err)
        return err;
    note_rank(c, seg);
    struct position p = {.segment = segment_mark(seg),
                         .hash = c->stands.rank.hash,
                         .second = c->stands.rank.second,
                         .standing = (uint8_t)c->stands.standing,
                         .depth = (uint8_t)c->stands.depth};
    guard_leave();
    p.check = position_check(&p);
    memcpy(out->bytes, &p, sizeof p);
    return SHMKV_OK;
}

/* [OP-28] Is it one that a cursor over this segment can have had? Anybody can make the check
 * fit, so everything is looked at. */
static int position_look(struct segment *seg, const struct position *p) {
    bool behind = p->standing == BEHIND_A_KEY;
    if (p->check != position_check(p) || p->standing > AT_THE_END || p->zero ||
        (!behind && (p->depth || p->hash || p->second)))
        return fail(SHMKV_EARGUMENT, "%s: that is no position", seg->loc->path);
    if (p->segment != segment_mark(seg))
        return fail(SHMKV_ESTALE, "%s: the position is of another segment", seg->loc->path);
    /* Depths do not decrease [LAYOUT-21]. */
    uint64_t root = load_relaxed_u64(&seg->shards[hash_shard(seg, p->hash)].root);
    if (p->depth > seg->max_depth || p->depth > FIELD(root, ROOT_DEPTH))
        return fail(SHMKV_EARGUMENT, "%s: the position leads nowhere", seg->loc->path);
    return SHMKV_OK;
}

static void stand_at(struct shmkv_cursor *c, const struct segment *seg, const struct position *p) {
    uint32_t prefix = (uint32_t)(hash_directory(seg, p->hash) & ((1ULL << p->depth) - 1));
    bool behind = p->standing == BEHIND_A_KEY;
    c->stands = (struct standpoint){p->standing, p->depth, {p->hash, p->second}};
    c->shard = behind ? hash_shard(seg, p->hash) : p->standing == AT_THE_END ? seg->shard_count : 0;
    c->position = behind ? reverse_bits(prefix) : 0;
    /* [OP-27] Not the depth that the group has now: what was given before was given by this one. */
    c->depth = p->depth;
    c->pinned = c->resumed = behind;
    c->bucket = behind ? (unsigned)hash_bucket(p->hash) : 0;
    c->unread = true;
    c->unranked = false;
}

int shmkv_cursor_seek(shmkv_cursor_t *c, const struct shmkv_position *position) {
    if (!c || !position)
        return fail(SHMKV_EARGUMENT, "cursor");
    struct segment *seg;
    int err = enter(c, &seg);
    if (err)
        return err;
    struct position p;
    memcpy(&p, position->bytes, sizeof p);
    err = position_look(seg, &p);
    if (!err)
        stand_at(c, seg, &p);
    guard_leave();
    return err;
}

void shmkv_cursor_close(shmkv_cursor_t *c) {
    if (!c)
        return;
    free(c->prefix.data);
    free(c->keys.data);
    free(c->copied.data);
    free(c->value.data);
    free(c);
}
