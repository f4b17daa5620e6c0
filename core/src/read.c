/*
 * Get without a lock. Spec 6.2.
 *
 * A reader writes nothing that others see and waits for nobody. It follows
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
 */
#include "hash.h"
#include "internal.h"

#define MAX_ATTEMPTS 200000
#define LONGEST_NS 1000000000u /* of attempts together: a large value may take long each time */
/* A published record that stays odd this often, in an unchanged slot, is damage. */
#define MAX_ODD 1000

/* What was read on the way to a bucket, to be looked at again. */
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
    bool exists_only;
};

/* ORDER read-recheck: the copied bytes, then the words again. Pairs with
 * build-odd in write.c and publish in intent.c. Caller has fenced. */
static inline bool route_holds(const struct route *r) {
    /* [OP-05] The root last: a directory that was withdrawn keeps its words until
     * it is overwritten. */
    return load_acquire_u64(r->directory_word) == r->directory &&
           load_relaxed_u64(r->root_word) == r->root;
}

/* Follow root and directory to the bucket of the hash. NULL with *err 0: the
 * shard is empty. */
static inline const bucket_t *find_bucket(struct segment *seg, uint64_t hash, struct route *r,
                                          int *err) {
    *err = SHMKV_OK;
    r->root_word = &seg->shards[hash_shard(seg, hash)].root;
    r->root = load_acquire_u64(r->root_word);
    if (!r->root)
        return NULL;
    uint64_t depth = FIELD(r->root, ROOT_DEPTH);
    uint64_t index = hash_directory(seg, hash) & ((1ULL << depth) - 1);
    r->directory_word =
        depth > seg->max_depth
            ? NULL
            : seg_at(seg, (r->root & OFFSET_IN_WORD) + sizeof(directory_t) + index * 8, 8);
    if (!r->directory_word) {
        *err = load_relaxed_u64(r->root_word) == r->root
                   ? damaged(seg, seg_offset(seg, r->root_word), "a root leads nowhere")
                   : E_RETRY;
        return NULL;
    }
    r->directory = load_acquire_u64(r->directory_word);
    shmkv_off_t group = r->directory & PAGE_IN_WORD;
    run_t *run = group < seg->data_offset || FIELD(r->directory, DIRECTORY_DEPTH) > depth
                     ? NULL
                     : seg_at(seg, group, SHMKV_PAGE_SIZE);
    if (!run) {
        fence_acquire();
        *err = route_holds(r) ? damaged(seg, seg_offset(seg, r->directory_word),
                                        "a directory word leads nowhere")
                              : E_RETRY;
        return NULL;
    }
    return group_bucket(run, hash_bucket(hash));
}

/* The bytes a record's cell may use, all of them inside the file; 0: no such cell. */
static inline uint64_t cell_bound(struct segment *seg, uint64_t word) {
    unsigned cls = (unsigned)FIELD(word, SLOT_CLASS);
    shmkv_off_t off = word & OFFSET_IN_WORD;
    if (__builtin_expect(cls == 0, 0))
        return large_bound(seg, off);
    if (off < seg->data_offset || cls >= SHMKV_CLASS_COUNT ||
        !seg_at(seg, off, shmkv_class_sizes[cls]))
        return 0;
    return shmkv_class_sizes[cls];
}

/* [OP-04] The slot, and then the version, are as they were. Caller has fenced. */
static inline bool record_holds(const uint64_t *slot, uint64_t word, const uint64_t *rec,
                                uint64_t version) {
    return ((load_acquire_u64(slot) ^ word) & SLOT_IDENTITY) == 0 &&
           load_acquire_u64(rec) == version;
}

/* What was found makes no sense. Start again; but if it stays published like
 * that, it is damage. [OP-02] */
static int nonsense(struct segment *seg, const uint64_t *slot, uint64_t word, unsigned *odd) {
    bool published = ((load_relaxed_u64(slot) ^ word) & SLOT_IDENTITY) == 0;
    return published && ++*odd > MAX_ODD
               ? damaged(seg, seg_offset(seg, slot),
                         "a slot leads to no record, or to an unfinished or impossible one")
               : E_RETRY;
}

/*
 * Read the record that @p word names, if it is the key's.
 * SHMKV_OK: its value is in the buffer, ETOOSMALL: its size is known; both hold
 * if the route does, which the caller checks. ENOTFOUND: another key's, or not
 * visible.
 */
static inline int read_record(struct segment *seg, const uint64_t *slot, uint64_t word,
                              struct want *w, unsigned *odd) {
    uint64_t bound = cell_bound(seg, word);
    if (!bound) {
        fence_acquire();
        return nonsense(seg, slot, word, odd);
    }
    const uint8_t *rec = seg->base + (word & OFFSET_IN_WORD);
    const uint64_t *words = (const uint64_t *)(const void *)rec;
    /* ORDER read-version: an even version, then the bytes. Pairs with build-even. */
    uint64_t version = load_acquire_u64(&words[0]);
    uint64_t lengths = load_relaxed_u64(&words[1]);
    uint64_t key_len = (lengths >> 32 & 0xffff) + 1, val_len = lengths & 0xffffffff;
    bool extra = lengths >> 56 & SHMKV_RECORD_FLAG_EXTRA;
    if ((version & 1) || version == 0 || record_size(key_len, val_len, extra) > bound) {
        fence_acquire();
        return nonsense(seg, slot, word, odd);
    }
    int result = SHMKV_ENOTFOUND;
    uint64_t expiry = extra ? load_relaxed_u64(&words[2]) : 0,
             owner = extra ? load_relaxed_u64(&words[3]) : 0;
    const uint8_t *key = rec + SHMKV_RECORD_HEADER_SIZE + (extra ? SHMKV_RECORD_EXTRA_SIZE : 0);
    if (key_len == w->key_len && racy_equal(key, w->key, key_len)) {
        w->val_len = val_len;
        result = w->exists_only || val_len <= w->buf_len ? SHMKV_OK : SHMKV_ETOOSMALL;
        if (result == SHMKV_OK && !w->exists_only)
            racy_copy(w->buf, rec + record_value_offset(key_len, extra), val_len);
    }
    fence_acquire();
    if (!record_holds(slot, word, words, version))
        return E_RETRY;
    if (__builtin_expect(extra, 0) && result != SHMKV_ENOTFOUND &&
        !entry_visible(seg, expiry, owner))
        return SHMKV_ENOTFOUND;
    return result;
}

static inline int search_bucket(struct segment *seg, const bucket_t *b, struct want *w,
                                unsigned *odd) {
    uint64_t tag = hash_tag(w->hash);
    for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++) {
        uint64_t word = load_acquire_u64(&b->slots[i]);
        if ((word & IN_PLACE(SLOT_TAG)) != tag || !(word & OFFSET_IN_WORD))
            continue;
        int result = read_record(seg, &b->slots[i], word, w, odd);
        if (result != SHMKV_ENOTFOUND)
            return result;
    }
    return SHMKV_ENOTFOUND;
}

static int attempt(struct segment *seg, struct want *w, unsigned *odd) {
    struct route route;
    int err;
    const bucket_t *b = find_bucket(seg, w->hash, &route, &err);
    if (!b)
        return err ? err : SHMKV_ENOTFOUND;
    for (struct chain walk = {0}; !chain_loops(&walk, b);) {
        int result = search_bucket(seg, b, w, odd);
        if (result != SHMKV_ENOTFOUND && result != E_RETRY && result != SHMKV_OK &&
            result != SHMKV_ETOOSMALL)
            return result;
        fence_acquire();
        if (result == E_RETRY || !route_holds(&route))
            return E_RETRY;
        if (result != SHMKV_ENOTFOUND)
            return result;
        uint64_t link = load_acquire_u64(&b->link);
        if (!link) {
            /* Absent, if this still was the key's group when the link was read. */
            fence_acquire();
            return route_holds(&route) ? SHMKV_ENOTFOUND : E_RETRY;
        }
        const bucket_t *next = bucket_at_link(seg, link);
        if (!next) {
            fence_acquire();
            return route_holds(&route) ? damaged(seg, seg_offset(seg, b), "a link leads nowhere")
                                       : E_RETRY;
        }
        b = next;
    }
    fence_acquire();
    return route_holds(&route)
               ? damaged(seg, seg_offset(seg, b), "a chain of overflow buckets does not end")
               : E_RETRY;
}

static int read_until_stable(struct segment *seg, struct want *w) {
    unsigned odd = 0;
    uint64_t deadline = 0;
    for (unsigned n = 0; n < MAX_ATTEMPTS; n++) {
        int result = attempt(seg, w, &odd);
        if (__builtin_expect(result != E_RETRY, 1))
            return result;
        if (n == 10)
            deadline = now_ns() + LONGEST_NS;
        else if (n > 10 && now_ns() > deadline)
            break;
        cpu_relax();
    }
    return fail(SHMKV_EBUSY, "%s: a key changes too fast to read", seg->loc->path);
}

static int read_key(struct segment *seg, struct want *w) {
    w->hash = hash_inline(w->key, w->key_len, seg->seed);
    return read_until_stable(seg, w);
}

int read_value(struct segment *seg, const void *key, size_t key_len, void *buf, size_t buf_len,
               size_t *val_len) {
    struct want w = {.key = key, .key_len = key_len, .buf = buf, .buf_len = buf_len};
    int result = read_key(seg, &w);
    if (val_len)
        *val_len = w.val_len;
    return result;
}

int read_exists(struct segment *seg, const void *key, size_t key_len) {
    struct want w = {.key = key, .key_len = key_len, .exists_only = true};
    return read_key(seg, &w);
}
