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
 * A directory word never returns to a former value, since depths only grow.
 *
 * Until the check, everything read may be nonsense: every offset goes through
 * seg_at(), every length is clamped to the cell, every loop is bounded.
 */
#include "internal.h"

#define MAX_ATTEMPTS 200000
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
    return load_relaxed_u64(r->directory_word) == r->directory && load_relaxed_u64(r->root_word) == r->root;
}

/* Follow root and directory to the bucket of the hash. NULL with *err 0: the
 * shard is empty. */
static inline const bucket_t *find_bucket(struct segment *seg, uint64_t hash, struct route *r, int *err) {
    *err = SHMKV_OK;
    r->root_word = &seg->shards[hash_shard(seg, hash)].root;
    r->root = load_acquire_u64(r->root_word);
    if (!r->root)
        return NULL;
    uint64_t depth = FIELD(r->root, ROOT_DEPTH);
    uint64_t index = hash_directory(seg, hash) & ((1ULL << depth) - 1);
    r->directory_word = depth > seg->max_depth
                            ? NULL
                            : seg_at(seg, (r->root & OFFSET_IN_WORD) + sizeof(directory_t) + index * 8, 8);
    if (!r->directory_word) {
        *err = load_relaxed_u64(r->root_word) == r->root ? damaged(seg, seg_offset(seg, r->root_word), "a root leads nowhere") : E_RETRY;
        return NULL;
    }
    r->directory = load_acquire_u64(r->directory_word);
    shmkv_off_t group = r->directory & PAGE_IN_WORD;
    run_t *run = group < seg->data_offset ? NULL : seg_at(seg, group, SHMKV_PAGE_SIZE);
    if (!run) {
        fence_acquire();
        *err = route_holds(r) ? damaged(seg, seg_offset(seg, r->directory_word), "a directory word leads nowhere") : E_RETRY;
        return NULL;
    }
    return group_bucket(run, hash_bucket(hash));
}

/* The bytes a record's cell may use: everything in it is inside the file. */
static inline uint64_t cell_bound(struct segment *seg, uint64_t word) {
    unsigned cls = (unsigned)FIELD(word, SLOT_CLASS);
    shmkv_off_t off = word & OFFSET_IN_WORD;
    if (off < seg->data_offset || cls >= SHMKV_CLASS_COUNT)
        return 0;
    if (cls)
        return seg_at(seg, off, shmkv_class_sizes[cls]) ? shmkv_class_sizes[cls] : 0;
    if (!seg_at(seg, off, SHMKV_RECORD_HEADER_SIZE))
        return 0;
    return load_relaxed_u64(&seg->safe_limit) - off;
}

/* Does the record's total fit its cell? For a large run the file may have grown. */
static inline bool record_fits(struct segment *seg, uint64_t word, uint64_t bound, uint64_t size) {
    return size <= bound || (!FIELD(word, SLOT_CLASS) && seg_at(seg, word & OFFSET_IN_WORD, size));
}

/*
 * Read the record that @p word names, if it is the key's.
 * SHMKV_OK: its value is in the buffer, ETOOSMALL: its size is known; both are
 * still to be confirmed by the caller. ENOTFOUND: confirmed to be another key's.
 */
static inline int read_record(struct segment *seg, const uint64_t *slot, uint64_t word, struct want *w,
                              unsigned *odd) {
    uint64_t bound = cell_bound(seg, word);
    if (!bound) {
        fence_acquire();
        return load_relaxed_u64(slot) == word && ++*odd > MAX_ODD
                   ? damaged(seg, seg_offset(seg, slot), "a slot leads nowhere")
                   : E_RETRY;
    }
    const uint8_t *rec = seg->base + (word & OFFSET_IN_WORD);
    const uint64_t *words = (const uint64_t *)(const void *)rec;
    /* ORDER read-version: an even version, then the bytes. Pairs with build-even. */
    uint64_t version = load_acquire_u64(&words[0]);
    uint64_t lengths = load_relaxed_u64(&words[1]);
    uint64_t key_len = (lengths >> 32 & 0xffff) + 1, val_len = lengths & 0xffffffff;
    bool extra = lengths >> 56 & SHMKV_RECORD_FLAG_EXTRA;
    int result = SHMKV_ENOTFOUND;
    bool sane = record_fits(seg, word, bound, record_size(key_len, val_len, extra));
    if (sane && key_len == w->key_len) {
        const uint8_t *key = rec + SHMKV_RECORD_HEADER_SIZE + (extra ? SHMKV_RECORD_EXTRA_SIZE : 0);
        if (racy_equal(key, w->key, key_len)) {
            w->val_len = val_len;
            result = w->exists_only ? SHMKV_OK : val_len > w->buf_len ? SHMKV_ETOOSMALL : SHMKV_OK;
            if (result == SHMKV_OK && !w->exists_only)
                racy_copy(w->buf, rec + record_value_offset(key_len, extra), val_len);
        }
    }
    fence_acquire();
    if ((version & 1) || !sane) {
        bool published = ((load_relaxed_u64(slot) ^ word) & SLOT_IDENTITY) == 0;
        return published && ++*odd > MAX_ODD
                   ? damaged(seg, word & OFFSET_IN_WORD, "a published record is unfinished or has impossible lengths")
                   : E_RETRY;
    }
    if (load_relaxed_u64(&words[0]) != version || ((load_relaxed_u64(slot) ^ word) & SLOT_IDENTITY) != 0)
        return E_RETRY;
    return result;
}

static inline int search_bucket(struct segment *seg, const bucket_t *b, struct want *w, unsigned *odd) {
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
    for (unsigned n = 0; n < CHAIN_MAX; n++) {
        int result = search_bucket(seg, b, w, odd);
        if (result != SHMKV_ENOTFOUND && result != E_RETRY && result != SHMKV_OK && result != SHMKV_ETOOSMALL)
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
            return route_holds(&route) ? damaged(seg, seg_offset(seg, b), "a link leads nowhere") : E_RETRY;
        }
        b = next;
    }
    return damaged(seg, seg_offset(seg, b), "a chain of overflow buckets does not end");
}

static int read_until_stable(struct segment *seg, struct want *w) {
    unsigned odd = 0;
    for (unsigned n = 0; n < MAX_ATTEMPTS; n++) {
        int result = attempt(seg, w, &odd);
        if (result != E_RETRY)
            return result;
        cpu_relax();
    }
    return fail(SHMKV_EBUSY, "%s: %d attempts to read a key", seg->loc->path, MAX_ATTEMPTS);
}

static int read_key(struct segment *seg, struct want *w) {
    w->hash = hash_bytes(w->key, w->key_len, seg->seed);
    return read_until_stable(seg, w);
}

int read_value(struct segment *seg, const void *key, size_t key_len, void *buf, size_t buf_len, size_t *val_len) {
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
