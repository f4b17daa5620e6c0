/*
 * What the files of the core share with each other.
 *
 * From the bottom up: a name leads to a place (name.c), a segment is one mapped
 * file there (segment.c, create.c). A context is a writer's owner slot in it
 * (owner.c, with process.c, fork.c, thread.c). A domain is a lock with the
 * words it guards (lock.c), changed by transactions (intent.c). The space
 * domain gives out runs of pages (space.c), arenas give out cells (arena.c),
 * shards hold the index (table.c, grow.c). On these stand reading (read.c),
 * changing (change.c, which makes room by evict.c where that is wanted), and on
 * that the calls that write (write.c, many.c, number.c, update.c, named_lock.c,
 * walk.c), with values checked by value.c; changing several keys at once
 * (transaction.c); walking (cursor.c, snapshot.c), replacing and freezing
 * (replace.c, freeze.c), waiting for changes (wait.c), outliving the machine
 * (sync.c), checking (verify.c, on a view.c) and reporting (report.c). A handle
 * (handle.c) is what the caller has: a name, and the segment that bears it now;
 * guard.c keeps that mapped while a thread is inside. once.h is for what is done
 * once in a process.
 */
#ifndef SHMKV_INTERNAL_H
#define SHMKV_INTERNAL_H

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <shmkv/shmkv.h>

#include "namespace.h"

#include "atomics.h"
#include "fault.h"
#include "layout.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((noinline, cold))

/* Internal results, never returned to a caller of the public API. */
#define E_MOVED (-1000)   /* the segment is REPLACED: follow the name and repeat */
#define E_RETRY (-1001)   /* something moved under an unlocked read: repeat */
#define E_GROW (-1002)    /* the index needs room first */
#define E_SAME (-1003)    /* the value is what it was to become */
#define E_NOTHING (-1004) /* there is nothing that may be evicted */
#define E_GONE (-1005)    /* the index needs room, and entries that are gone have some */

/* ------------------------------------------------------------------ error.c */

/* Set the thread's detail text to "<story>: <general text>" and return @p err, an
 * errno that means a full file system as SHMKV_ENOSPC. */
int fail(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Add the key, shortened and escaped, to the text of a failure; @p err. */
int fail_at_key(int err, const void *key, size_t key_len);
/* Likewise, and how many of a call's keys had their turn before. */
int fail_at_one_of(int err, const struct shmkv_bytes *key, size_t done, size_t n);
/* Around work whose failures are nobody's business. */
#define DETAIL_SIZE 512
void error_detail_keep(char story[DETAIL_SIZE]);
void error_detail_restore(const char story[DETAIL_SIZE]);

/* ------------------------------------------------------------------------ time */

/* For deadlines: nanoseconds on a clock that nobody sets. */
static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What created_ns, attached_ns and expiry_ns count: nanoseconds since 1970 UTC. */
static inline uint64_t wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ------------------------------------------------------------------- name.c */

/* Where a name leads: the directory and the entry in it, and both as one path. */
struct location {
    char *path; /* absolute */
    char *dir;
    const char *entry;  /* in path */
    bool shared_memory; /* a plain name, in /dev/shm */
};
int location_find(const char *name, struct location *loc);
void location_free(struct location *loc);

/* ------------------------------------------------------------------- hash.c */

uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed);

/* ---------------------------------------------------------------- segment.c */

/* What the short way of reading may touch behind an offset that it follows: a
 * directory word, a group, or a record of any size class. */
#define SHORT_READ 16384

#define MAX_CONTEXTS 64 /* threads of one handle that write at the same moment */

struct segment;

/* Keeps the threads of one process apart where they seldom meet. It names its
 * holder, so that a signal handler does not wait for the thread it interrupted,
 * nor a forked child for a thread it does not have. */
struct thread_lock {
    _Atomic(pid_t) holder; /* thread id; 0 is free */
};

/* A writer: an owner slot that this process has claimed. */
struct context {
    struct segment *seg;
    owner_t *own; /* the slot whose fields it works with; a reaper's, the dead one's */
    _Atomic(uint32_t) slot;
    _Atomic(uint32_t) lock_word; /* what a lock contains while we hold it, waiters aside */
    atomic_uint busy;            /* a thread uses it */
    _Atomic(pthread_t) thread;   /* which */
    uint32_t patience_ms;        /* wait for a lock of a live process */
    uint32_t found_dead;         /* what the last lock of a dead owner contained; 0: none */
    unsigned locks;              /* locks held, for assertions */
};

/* One mapped file. Everything here is private to the process. */
struct segment {
    /* All that the short way of reading needs, in one line of the cache. */
    uint8_t *base;
    uint64_t safe_span; /* so many bytes from data_offset on have SHORT_READ more behind them */
    uint64_t data_offset, seed;
    shard_t *shards;
    uint32_t shard_mask, shard_bits;
    bool marks; /* gets mark their slots: it evicts, and is mapped for writing */

    uint64_t reserve;
    uint64_t safe_limit; /* bytes known to be inside the file; only grows; relaxed access */
    int fd;
    _Atomic(int) size_error; /* errno why we could not ask for the file's size; 0 if we could */
    bool writable;
    bool huge;       /* pages are wanted */
    uint64_t number; /* of this mapping: no other in this process has had it, and it is not 0 */
    dev_t dev;
    ino_t ino;
    const struct location *loc; /* the handle's */
    uint32_t lock_timeout_ms;

    /* Copies of sealed header fields, as are some above, so that no later scribble
     * moves a bound. */
    uint32_t shard_count, arena_count, owner_count;
    uint64_t max_size, max_key, max_value, default_ttl_ns, incarnation, max_entries, max_bytes;
    bool evicts;
    uint64_t shard_max_entries, shard_max_bytes; /* a shard's part; UINT64_MAX: no bound */
    unsigned max_depth;
    header_t *hdr; /* at base */
    owner_t *owners;
    arena_t *arenas;
    space_t *space;

    /* Writers only. */
    _Atomic(int) lock_fd; /* its open file description holds the owner locks */
    struct thread_lock claiming;
    atomic_uint context_count;
    _Atomic(uint64_t) sweep_at, pop_at; /* where walk.c goes on */
    struct context contexts[MAX_CONTEXTS];
    atomic_bool met_dead; /* has cleaned up after somebody, and not swept since */

    struct segment *next_lockable; /* list of segments with a lock_fd, for fork */
    struct segment *next_retired;
};

/* Map an open file. On success the segment owns @p fd; on failure it is closed. */
int segment_map(int fd, bool writable, const struct location *loc, const struct shmkv_options *opts,
                struct segment **out);
void segment_unmap(struct segment *seg);

/* ECORRUPT with the place and what is wrong there; ERESERVE if that explains it. */
int damaged(const struct segment *seg, shmkv_off_t off, const char *what);

/* Slow half of seg_at(): has the file grown to cover it? */
bool segment_covers(struct segment *seg, uint64_t end);

/* A pointer to @p len bytes at @p off, or NULL when they are not all inside the
 * file. The only way to turn an offset from the segment into a pointer. */
static inline void *seg_at(struct segment *seg, shmkv_off_t off, uint64_t len) {
    uint64_t end = off + len;
    if (__builtin_expect(end > load_relaxed_u64(&seg->safe_limit) || end < off, 0) &&
        (end < off || !segment_covers(seg, end)))
        return NULL;
    return seg->base + off;
}
static inline shmkv_off_t seg_offset(const struct segment *seg, const void *p) {
    return (shmkv_off_t)((const uint8_t *)p - seg->base);
}

/* ------------------------------------------------------------------- huge.c */

/* As mmap() of the file from its start, if possible at an address that huge pages can be
 * had at. */
void *map_aligned(uint64_t size, int prot, int fd);
/* Make them of what the file has, as far as the system lets us, and let it go on. */
void huge_pages(const struct segment *seg, uint64_t file_size);
/* Where a segment of them ends that reaches to @p limit at least. */
uint64_t huge_limit(uint64_t limit);
/* What was just allocated between the limits. */
void huge_grow(const struct segment *seg, uint64_t from, uint64_t to);
/* How much of the mapping has them. */
uint64_t huge_mapped(const struct segment *seg);

/* ---------------------------------------------------------------- segment.c */

/* Check what is true of every segment's header before anything else is believed. */
int segment_check_header(const header_t *hdr, uint64_t file_size, bool writable, const char *path);

/* ----------------------------------------------------------------- create.c */

int file_open(const struct location *loc, bool writable, unsigned flags, int *fd);
/* One that was created and does not have its name yet. */
struct new_file {
    int fd;
    bool linked;                 /* it has, or had, a name for others */
    char private_path[PATH_MAX]; /* empty: it is nameless */
};
int file_create(const struct location *loc, const struct shmkv_options *opts, uint64_t incarnation,
                struct new_file *file);
int fd_above_standard(int fd);
int fd_copy(int fd);
int file_link(struct new_file *file, const char *path);
/* Make [from, to) of the file real, so that touching it cannot fail later. */
int file_allocate(int fd, uint64_t from, uint64_t to, const char *path);
void file_discard(struct new_file *file);
int random_bytes(void *out, size_t len);

/* ------------------------------------------------------------------ owner.c */

int context_acquire(struct segment *seg, struct context **out);
void context_release(struct context *ctx);
int owners_detach(struct segment *seg); /* give back all contexts */
void owners_reap(struct context *ctx);  /* clean up after the dead */
bool slot_is_ours(struct segment *seg, uint32_t slot);
/* Clean up after the writer that an entry is bound to, if it is dead. */
void owner_bury(struct segment *seg, uint64_t owner);
/* Clean up after one, if it is dead. True: it is free now. */
bool owner_reap(struct context *ctx, uint32_t slot);
enum shmkv_liveness owner_liveness(struct segment *seg, uint32_t slot);
/* Does the slot that an entry's owner word names still have this generation, and is it live? */
bool owner_in_place(struct segment *seg, uint64_t owner);
/* Is the writer dead, or has he left, that an entry is bound to? False if it cannot be told. Some
 * ten system calls if he lives, but none if he is this handle. */
bool owner_gone(struct segment *seg, uint64_t owner);
/* Answers to that, by owner; all zeroes are none. [OP-30] They are forgotten after some time, if
 * there is one. */
#define TOLD 16
struct answers {
    uint64_t for_ns, since_ns;
    uint64_t owner[TOLD];
    bool gone[TOLD];
};
bool owner_gone_as_told(struct segment *seg, uint64_t owner, struct answers *t);
void owner_describe(struct segment *seg, uint32_t slot, char *buf, size_t size);
int lock_descriptor_open(struct segment *seg);

/* ----------------------------------------------------------------- thread.c */

/* EDEADLK: the holder is this thread. */
int thread_lock(struct thread_lock *l);
void thread_unlock(struct thread_lock *l);
/* [LOCK-10] A thread must not be cancelled half way through. For slow paths: the
 * fast ones contain no cancellation point. */
int cancel_off(void);
void cancel_restore(int state);

/* ---------------------------------------------------------------- process.c */

int boot_id_read(uint8_t id[16]);
void program_name_read(uint8_t name[32]);
uint64_t pid_namespace(void);
void process_introduce(owner_t *own);
owner_t process_facts(const owner_t *own);
bool process_gone(const owner_t *facts);
bool process_stopped(const owner_t *facts);

/* ------------------------------------------------------------------- fork.c */

int fork_watch(void);
void fork_check(void);
int segment_open_locks(struct segment *seg);
void segment_close_locks(struct segment *seg);

/* ------------------------------------------------------------------- lock.c */

/* A lock, and the intent of whoever holds it. */
struct domain {
    uint32_t *lock;
    uint64_t *intent;
    entry_t *entries;
    unsigned capacity;
    enum shmkv_lock_kind kind;
    uint32_t index;
};
static inline struct domain shard_domain(struct segment *seg, uint32_t index) {
    shard_t *s = &seg->shards[index];
    return (struct domain){&s->lock,         &s->intent, s->entries, SHMKV_SHARD_ENTRIES,
                           SHMKV_LOCK_SHARD, index};
}
struct domain arena_domain(struct segment *seg, uint32_t index);
struct domain space_domain(struct segment *seg);
/* All of them in turn: shards, arenas, space. */
uint32_t domain_count(const struct segment *seg);
struct domain domain_at(struct segment *seg, uint32_t i);

int lock_take(struct context *ctx, const struct domain *d);
void lock_release(struct context *ctx, const struct domain *d);
/* Sleep while the word is @p seen, for @p ns at the most. 0, or the errno. */
int futex_wait(uint32_t *word, uint32_t seen, uint64_t ns);
void futex_wake(uint32_t *word, int sleepers);

/* ------------------------------------------------------------------- wait.c */

void shard_alarm(struct segment *seg, uint32_t index);
/* A shard's flag lies beside its intent. */
#define WAITERS_FROM_INTENT ((offsetof(shard_t, waiters) - offsetof(shard_t, intent)) / 8)
/* ORDER sleeper-flag: pairs with leave_flag() in wait.c, by way of the lock.
 * [WAIT-02] Wake those who sleep until something changes in the domain, whose lock is held, and
 * whose intent is idle. */
static inline void domain_alarm(struct segment *seg, const struct domain *d) {
    if (d->kind == SHMKV_LOCK_SHARD &&
        unlikely(load_relaxed_u64(d->intent + WAITERS_FROM_INTENT) != 0))
        shard_alarm(seg, d->index);
}
/* The same for all shards, whose locks are held. */
void shards_alarm(struct segment *seg);

uint64_t deadline_after(int timeout_ms);
/* For a version other than this one: of a key, or of a named lock, and then perhaps
 * also for a key of the lock's name. */
struct waited {
    const void *key;
    size_t key_len;
    uint64_t version;
    bool hidden, or_key;
};
int wait_for(shmkv_t *kv, const struct waited *f, uint64_t deadline);

/* Who sleeps until a shard changes. */
struct sleeper {
    uint32_t shard;
    uint64_t deadline, nap; /* by now_ns(); look again after so many ns at the latest */
    /* E_SAME: go on sleeping. Anything else ends it. */
    int (*look)(struct segment *seg, struct sleeper *s);
};
/* Sleep once, if the look under the shard's lock says so. E_RETRY: something may
 * have changed. EINTR: a signal handler ran. Otherwise what the look says. */
int shard_sleep(struct segment *seg, struct sleeper *s);

/* -------------------------------------------------------- intent.c */

/* A transaction: after-values of words, collected here and in the domain's intent. */
struct txn {
    struct context *ctx;
    const struct domain *d;
    unsigned n;
    struct after {
        uint64_t *word;                /* the first of them, for a fill */
        uint64_t value, count, stride; /* bytes from one to the next, with a count above 1 */
    } after[SHMKV_SPACE_ENTRIES];
};
static inline void txn_begin(struct txn *t, struct context *ctx, const struct domain *d) {
    assert(ctx->locks > 0);
    t->ctx = ctx;
    t->d = d;
    t->n = 0;
}
/* The word becomes the value. */
static inline struct after *txn_set(struct txn *t, uint64_t *word, uint64_t value) {
    /* The capacities in the layout are the longest transactions there are. */
    assert(t->n < t->d->capacity);
    struct after *a = &t->after[t->n++];
    a->word = word;
    a->value = value;
    a->count = 1;
    return a;
}
uint64_t txn_get(const struct txn *t, const uint64_t *word);
void txn_fill(struct txn *t, uint64_t *first, uint64_t value, uint64_t stride, uint64_t count);
void txn_commit(struct txn *t, enum shmkv_op op);        /* entry 0's store is the commit */
void txn_commit_always(struct txn *t, enum shmkv_op op); /* the intent's store is the commit */
int intent_replay(struct segment *seg, const struct domain *d);

/* The transaction block that an owner slot holds. Spec 3.3, 6.15. */
struct txn_block {
    block_t *head;
    uint64_t *cells;
    entry_t *entries;
    unsigned cell_count, capacity; /* capacity: entries that it has room for */
};
/* What the word `txn` of an owner slot leads to. False: nonsense. */
bool txn_block_look(struct segment *seg, uint64_t word, struct txn_block *b);
/* The part of a transaction that is one domain's: entries of the block. */
struct part {
    unsigned first, count;
};
/* Let the domain's intent say: these entries, if the transaction has happened. */
void intent_join(struct context *ctx, const struct domain *d, const struct txn_block *b,
                 uint64_t decision, struct part part);
/* It has: store them. @p after as they are in the block. */
void intent_carry_out(struct segment *seg, const struct domain *d, const struct after *after,
                      unsigned count);
/* What the word of entry 0 holds, by which an active conditional intent is decided. */
uint64_t intent_first_word(struct segment *seg, const struct domain *d);
/* The entries, if the domain's intent is one of a transaction that has happened; or NULL. */
const entry_t *intent_decided(struct segment *seg, const struct domain *d, unsigned *count);

/* ------------------------------------------------------------------ space.c */

/* Take @p pages pages, starting on a multiple of @p align pages, as a run whose
 * header begins with @p head. *field (of the owner slot) becomes the run's
 * offset plus @p add. */
int run_take(struct context *ctx, uint64_t pages, uint64_t align, uint64_t head, uint64_t *field,
             uint64_t add);
/* Return the run that *field names (its start, or the record in it); *field becomes 0. */
int run_return(struct context *ctx, uint64_t *field);
unsigned space_bin(uint64_t pages);

/* A run's first word. Its owner may change the kind while we look. */
static inline uint64_t head_of(const run_t *run) { return load_relaxed_u64(&run->head); }
static inline uint64_t run_head(enum shmkv_run_kind kind, unsigned cls, uint32_t index,
                                uint64_t pages) {
    return MAKE(RUN_KIND, kind) | MAKE(RUN_CLASS, cls) | MAKE(RUN_INDEX, index) |
           MAKE(RUN_PAGES, pages);
}

/* ------------------------------------------------------------------ arena.c */

/* Bytes that a record in the large run at @p off may have; 0 if there is no such run. */
uint64_t large_bound(struct segment *seg, shmkv_off_t off);
/* The memory of a cell word that came from shared memory, even from our own owner
 * slot: at least @p size bytes, or NULL. */
void *cell_at(struct segment *seg, uint64_t word, uint64_t size);
int cell_take(struct context *ctx, unsigned cls, uint64_t *field);
int cell_take_spare(struct context *ctx); /* one more on own->spare */
int cell_return(struct context *ctx, uint64_t *field);
int chain_return(struct context *ctx, uint64_t *field); /* all of a chain of buckets */
int large_take(struct context *ctx, uint64_t size, uint64_t *field);
/* A cell or a large run, as the size demands. */
static inline int room_take(struct context *ctx, uint64_t size, uint64_t *field) {
    unsigned cls = class_for(size);
    return cls ? cell_take(ctx, cls, field) : large_take(ctx, size, field);
}

/* ------------------------------------------------------------------ table.c */

/* Where a key is, or would go, in a shard whose lock is held. */
struct place {
    uint64_t *slot; /* the key's, or the first empty one; NULL: no room */
    uint64_t word;  /* the slot's word; 0 if the key is absent */
    bucket_t *last; /* last bucket of the chain, when there is no room */
    run_t *group;
    unsigned depth; /* the group's */
    unsigned root_depth;
    /* Set by table_grow() with E_GROW: what to fetch into the owner slot. */
    unsigned need_groups; /* new group pages */
    unsigned need_words;  /* directory words */
    unsigned need_spares; /* more overflow buckets */
};
static inline uint32_t hash_shard(const struct segment *seg, uint64_t hash) {
    return (uint32_t)hash & seg->shard_mask;
}
static inline uint64_t hash_directory(const struct segment *seg, uint64_t hash) {
    return hash >> seg->shard_bits;
}
static inline uint64_t hash_bucket(uint64_t hash) {
    return (FIELD(hash, HASH_BUCKET) * SHMKV_GROUP_BUCKETS) >> SHMKV_HASH_BUCKET_BITS;
}
#define BUCKET_SHIFT 6
_Static_assert(1 << BUCKET_SHIFT == SHMKV_BUCKET_SIZE, "a bucket is a line");
static inline uint64_t hash_tag(uint64_t hash) { return hash & IN_PLACE(SLOT_TAG); }

/* Where the hash's bucket is in its group: bytes from the page's start. */
static inline uint64_t hash_bucket_offset(uint64_t hash) {
    uint64_t scaled = FIELD(hash, HASH_BUCKET) * SHMKV_GROUP_BUCKETS;
    /* The whole part of the product is the number; as many bytes, in one shift less. */
    return SHMKV_RUN_HEADER_SIZE +
           (scaled >> (SHMKV_HASH_BUCKET_BITS - BUCKET_SHIFT) & ~(SHMKV_BUCKET_SIZE - 1ULL));
}

static inline bucket_t *group_bucket(run_t *group, uint64_t b) {
    return (bucket_t *)(void *)((uint8_t *)group + SHMKV_RUN_HEADER_SIZE) + b;
}
static inline uint64_t *directory_words(directory_t *dir) {
    return (uint64_t *)(void *)((uint8_t *)dir + sizeof *dir);
}
/* The bucket that a link leads to, or NULL when the link is nonsense. */
static inline bucket_t *bucket_at_link(struct segment *seg, uint64_t link) {
    shmkv_off_t off = link & OFFSET_IN_WORD;
    if (link & (SHMKV_BUCKET_SIZE - 1) || off < seg->data_offset)
        return NULL;
    return seg_at(seg, off, SHMKV_BUCKET_SIZE);
}
/* Ask for the memory that table_find() will look at: the bucket, and some time later
 * the record. Hints, without the lock: what is followed may be nonsense by now. NULL: no
 * telling. */
const bucket_t *bucket_ahead(const struct segment *seg, uint64_t hash);
void record_ahead(const struct segment *seg, const bucket_t *bucket, uint64_t hash);
/* @p hidden: among the named locks, which have a key space of their own [LAYOUT-27]. */
int table_find_in(struct context *ctx, shard_t *shard, uint64_t hash, const void *key,
                  size_t key_len, bool hidden, struct place *place);
static inline int table_find(struct context *ctx, shard_t *shard, uint64_t hash, const void *key,
                             size_t key_len, struct place *place) {
    return table_find_in(ctx, shard, hash, key, key_len, false, place);
}
directory_t *table_directory(struct segment *seg, uint64_t root);
/* What a record's second word says. [LAYOUT-03] Read by one load, and checked and
 * used as it was read: its cell may be free by now, or another record's. */
struct shape {
    uint64_t key_len, val_len;
    unsigned type;
    bool extra, hidden;
};
#define HIDDEN_FLAG ((uint64_t)SHMKV_RECORD_FLAG_HIDDEN << 56)
#define EXTRA_FLAG ((uint64_t)SHMKV_RECORD_FLAG_EXTRA << 56)
static inline struct shape shape_of(uint64_t lengths) {
    return (struct shape){
        .key_len = (lengths >> 32 & 0xffff) + 1,
        .val_len = lengths & 0xffffffff,
        .type = lengths >> 48 & 0xff,
        .extra = lengths & EXTRA_FLAG,
        .hidden = lengths & HIDDEN_FLAG,
    };
}
/* The record that @p word names, all of it inside its cell and the file; NULL if
 * that is nonsense. */
record_t *record_look(struct segment *seg, uint64_t word, struct shape *shape);
/* Where the key of a record of this shape is. */
static inline const uint8_t *key_of_record(const record_t *rec, const struct shape *shape) {
    return (const uint8_t *)rec + record_key_offset(shape->extra);
}

/* A walk along a chain of buckets, which notices when it goes in circles (R. Brent,
 * 1980) or does not end. */
#define CHAIN_MAX (1u << 22)
struct chain {
    const bucket_t *mark;
    unsigned steps, lap, total;
};
static inline bool chain_loops(struct chain *c, const bucket_t *b) {
    if (b == c->mark || ++c->total > CHAIN_MAX)
        return true;
    if (++c->steps > c->lap) {
        c->mark = b;
        c->lap = 2 * c->lap + 1;
        c->steps = 0;
    }
    return false;
}

/*
 * A group as one directory word names it, for those who visit all groups without
 * the lock. A writer stopped in the middle of a split leaves some words naming
 * the old group and some a new one, with every key in both. So a key counts only
 * in the group that the word at the key's own position names. [OP-14]
 */
struct group_view {
    run_t *group;
    uint64_t word;
    const uint64_t *words;        /* the directory */
    uint64_t mask;                /* its size less one */
    uint64_t prefix, prefix_mask; /* the part of the directory being visited */
    bool exact;                   /* every key in the group belongs to it and to the prefix */
};
/* The group named at @p index, or NULL in @p view->group: visited already at a
 * smaller index of the same prefix. E_RETRY: the word makes no sense. */
int group_view_at(struct segment *seg, const uint64_t *words, unsigned root_depth, uint64_t prefix,
                  unsigned prefix_depth, uint64_t index, uint64_t *budget, struct group_view *view);
/* Looks that visiting all groups of a directory may take together: a few for each
 * word. More means that its words do not follow from each other. */
static inline uint64_t group_view_budget(unsigned root_depth) { return 64 + (8ULL << root_depth); }
bool group_view_has(struct segment *seg, const struct group_view *view, const void *key,
                    size_t key_len);

/* Is an entry with this expiry and owner still there? Spec 6.2, [OP-07], [OP-08]. @p t: what was
 * told before; or NULL. Asks the kernel, if there is an owner. */
bool entry_visible(struct segment *seg, uint64_t expiry_ns, uint64_t owner, struct answers *t);
/* Likewise, as far as the segment tells: of an owner who is dead, only once somebody cleans up
 * after him. All that counts for named locks, and never a system call. */
bool entry_in_place(struct segment *seg, uint64_t expiry_ns, uint64_t owner);

/* ------------------------------------------------------------------- grow.c */

/* Make room for one more entry where @p place found none. Caller holds the shard
 * lock. E_GROW: the owner slot lacks what place->need_… says. E_GONE, unless @p swept: rather
 * sweep the group, see group_sweep(); nothing has changed. */
int table_grow(struct context *ctx, const struct domain *d, shard_t *shard, uint64_t hash,
               struct place *place, bool swept);
/* Fetch it. Caller holds no lock. */
int table_prepare(struct context *ctx, uint32_t shard, const struct place *place);
/* Give back what is left over. Caller holds no lock. */
int table_tidy(struct context *ctx);
int group_return(struct context *ctx, uint64_t *field);

/* ------------------------------------------------------------------- read.c */

int read_value(struct segment *seg, const void *key, size_t key_len, void *buf, size_t buf_len,
               size_t *val_len);

/* Where the value and the facts of an entry go, with SHMKV_OK and SHMKV_ETOOSMALL. @p use: it
 * is a get, and marks. @p told: as for entry_visible(). */
int read_item(struct segment *seg, const void *key, size_t key_len, void *buf, size_t buf_len,
              bool use, struct answers *told, struct shmkv_item *item);

/* An entry as it was at one moment. Its value may be read until further notice, but
 * counts only if the version is still the slot's, under the lock, afterwards. */
struct peek {
    const uint8_t *value;
    uint64_t val_len, version, expiry_ns, owner;
    unsigned type;
};
int read_peek(struct segment *seg, const void *key, size_t key_len, bool hidden, struct peek *p);

/* ----------------------------------------------------------------- cursor.c */

/* A walk over the names of the named locks, in place of the keys. */
int cursor_open_locks(shmkv_t *kv, shmkv_cursor_t **out);

/* ------------------------------------------------------------------ value.c */

bool utf8_valid(const uint8_t *p, size_t len);
/* May this be stored? */
int item_check(const shmkv_t *kv, const struct shmkv_item *item);
const char *type_name(int type);
/* What a value of this type and length counts as: bytes, unless they fit each other
 * [LAYOUT-26]. */
static inline int type_of_value(unsigned type, uint64_t len) {
    switch (type) {
    case SHMKV_TEXT:
    case SHMKV_JSON:
    case SHMKV_CODED:
        return (int)type;
    case SHMKV_INT64:
    case SHMKV_FLOAT64:
        return len == 8 ? (int)type : SHMKV_BYTES;
    case SHMKV_BOOLEAN:
        return len == 1 ? (int)type : SHMKV_BYTES;
    case SHMKV_NULL:
        return len == 0 ? (int)type : SHMKV_BYTES;
    default:
        return SHMKV_BYTES;
    }
}

/* ----------------------------------------------------------------- change.c */

enum when { ALWAYS, IF_ABSENT, IF_PRESENT, IF_VERSION, IF_VALUE };

/* A change of one key. */
struct change {
    const void *key;
    size_t key_len;
    const struct shmkv_item *item; /* the new value; NULL: remove */
    enum when when;
    uint64_t version;                  /* with IF_VERSION */
    const struct shmkv_item *expected; /* with IF_VALUE */
    /* The value is made of the old one (NULL: absent) under the lock: 8 bytes, and item
     * tells the type. E_SAME: leave it as it is. */
    int (*compute)(void *arg, const uint64_t *old, uint64_t *value);
    void *arg;
    /* The value is this one's, which was looked at without the lock, and the item's behind
     * it; with IF_VERSION and its version. So is the entry's end, but for new_end. */
    const struct peek *base;
    bool new_end;
    /* Where the old value goes. NULL: nowhere. ETOOSMALL if it does not fit, and
     * nothing has changed. */
    struct shmkv_item *old;
    void *buf;
    size_t buf_len;
    bool hidden;               /* it is a named lock */
    bool ours;                 /* one that is bound to others than this handle is ECHANGED */
    uint64_t made, expires_ns; /* out: of the new value */
};
int change_make(struct context *ctx, struct change *c);
/* Of a key with this hash, for those who have asked for its memory before. */
int change_make_hashed(struct context *ctx, struct change *c, uint64_t hash);
/* Only build the record, in a cell that becomes *field's; its word in @p cell. */
int change_build(struct context *ctx, struct change *c, uint64_t *field, uint64_t *cell);

/* Parts of it, for those who look at slots by themselves (walk.c). */
/* What a slot leads to, looked at under the lock. */
struct found {
    bool present; /* and neither expired nor without its owner, see entry_in_place() */
    const record_t *rec;
    struct shape shape;
    uint64_t version, expiry_ns, owner;
};

int entry_look(struct segment *seg, const uint64_t *slot, uint64_t word, struct found *f);
static inline const uint8_t *found_value(const struct found *f) {
    return (const uint8_t *)f->rec + record_value_offset(f->shape.key_len, f->shape.extra);
}
void found_tell(const struct found *f, void *buf, struct shmkv_item *item);
/* Take the lock of a segment that is live and not frozen. */
int shard_lock_live(struct context *ctx, const struct domain *d);
/* Take the entry that the slot's word names out, into *field, which is 0. Caller holds the lock. */
void slot_withdraw(struct context *ctx, const struct domain *d, shard_t *shard, uint64_t *slot,
                   uint64_t word, uint64_t *field, bool hidden);

/* The same by eviction, into *field, which is 0. @p present: it was there, and counts as evicted.
 */
void slot_evict(struct context *ctx, const struct domain *d, shard_t *shard, uint64_t *slot,
                uint64_t word, uint64_t *field, bool present);

/* ------------------------------------------------------------------ evict.c */

#define USED_MARK (1ULL << SHMKV_SLOT_MARK_SHIFT)
/* A get has found the entry that the slot's word names. Only with seg->marks. */
void slot_mark(const struct segment *seg, const uint64_t *slot, uint64_t word);
static inline void slot_used(const struct segment *seg, const uint64_t *slot, uint64_t word) {
    if (unlikely(seg->marks) && !(word & USED_MARK))
        slot_mark(seg, slot, word);
}
/* Bytes of the cell or run that a slot or cell word names; 0 if it names none. */
uint64_t cell_bytes(struct segment *seg, uint64_t word);
/* May it have so many entries and bytes more? Caller holds the lock. */
bool shard_has_room(const struct segment *seg, const shard_t *shard, int64_t entries,
                    int64_t bytes);
/* A search for an entry to evict, which may go on under one lock after another. */
struct victim {
    uint64_t *field;                /* where its cell goes; 0 before */
    const uint64_t *keep;           /* the slot of one that must stay */
    unsigned cls;                   /* rather one of this class; 0: any */
    unsigned seen, chances, rounds; /* of another class; marked; ends of the shard */
    uint64_t steps;
    bool begun; /* and its hand is */
    uint64_t hand;
};
/* [EVICT-08] Before another entry is evicted for the same change; *left is 0 at first. EBUSY: more
 * than all that there was have gone, so others take the room that is made. */
int evict_again(const struct segment *seg, uint64_t *left);
/* Evict one. Caller holds the shard's lock. E_RETRY: not found yet, but let others have
 * the lock. E_NOTHING: there is none that may go. */
int evict_locked(struct context *ctx, const struct domain *d, struct victim *v);
/* The same, out of the chain that begins with the bucket. */
int evict_from_chain(struct context *ctx, const struct domain *d, bucket_t *b, uint64_t *field);
/* Return what *field names and evict one into it. Caller holds no lock. */
int evict_one(struct context *ctx, uint32_t shard, unsigned cls, uint64_t *field);
/* As room_take() where there is no room. */
int room_by_eviction(struct context *ctx, uint32_t shard, uint64_t size, uint64_t *field);
/* As table_prepare(). In a cache whose index cannot have what it lacks, a shard without a group
 * gets one, whatever that costs; the others can do with what they have: *cramped is set, and the
 * caller takes a slot of the key's own chain by evict_from_chain(). */
int prepare_or_evict(struct context *ctx, uint32_t shard, const struct place *place, bool *cramped);

/* ------------------------------------------------------------------- walk.c */

/* The group of the locked shard that a prefix, its bits reversed, leads to, and its depth. NULL
 * with *err 0: the shard is empty. */
run_t *group_at_prefix(struct segment *seg, uint32_t shard, uint32_t prefix, uint64_t *depth,
                       int *err);
/* Some steps of a sweep: expired entries go. */
void sweep_for_room(struct context *ctx);
/* A sweep of the group that the hash leads to. What own->cell names stays. Caller holds no lock. */
int group_sweep(struct context *ctx, uint64_t hash);

/* ------------------------------------------------------------ transaction.c */

/* Return what the block in own->txn names, and the block. Caller holds no lock. */
int transaction_return(struct context *ctx);

/* --------------------------------------------------------------- snapshot.c */

void snapshot_rewind(shmkv_snapshot_t *s);

/* ------------------------------------------------------------------- view.c */

int view_open(struct segment *seg, struct segment *view, shmkv_off_t *bad);
void view_close(struct segment *view);

/* ---------------------------------------------------------------- replace.c */

int segment_replace(const struct location *loc, const struct shmkv_options *opts,
                    struct segment **out);
/* By @p new_, from segment_create(), which was filled meanwhile. It stays the caller's. */
int segment_replace_by(const struct location *loc, const struct shmkv_options *opts,
                       struct segment *new_, struct new_file *file);
/* Remove what dead replacers left. Caller holds no lock. */
void swap_sweep(const struct location *loc, const struct shmkv_options *opts);
/* The state after a lock of the segment was taken: SHMKV_OK if it is live. */
int segment_check_live(struct segment *seg);
/* SHMKV_EFROZEN if it is to be read only; else SHMKV_OK. See freeze.c. */
int segment_check_thawed(const struct segment *seg);
/* Neither of them has anything to say, as nearly always. */
static inline bool segment_live_and_thawed(const struct segment *seg) {
    return load_acquire_u64(&seg->hdr->state) == SHMKV_SEGMENT_STATE_LIVE &&
           load_relaxed_u64(&seg->hdr->frozen) == 0;
}
/* Without a lock: has the segment lost its name to another? */
bool segment_left(struct segment *seg);
int shards_lock(struct context *ctx);
void shards_unlock(struct context *ctx, uint32_t count);

/* ----------------------------------------------------------------- verify.c */

int segment_verify(struct segment *seg, shmkv_problem_fn fn, void *arg, uint64_t *problems);

/* ------------------------------------------------------------------- sync.c */

/* The present boot in one word; 0 if it is not known. */
uint64_t boot_word(void);
/* Before the first store: ECORRUPT if the machine stopped and left it damaged. */
int segment_check_boot(struct segment *seg);

/* ----------------------------------------------------------------- handle.c */

/* What the caller holds. */
struct shmkv {
    _Atomic(struct segment *) seg; /* NULL once closed */
    struct location loc;
    struct shmkv_options opts;
    atomic_uint moves;                 /* how often it moved to another segment */
    struct thread_lock following;      /* one thread moves it at a time */
    _Atomic(struct segment *) retired; /* left behind, still mapped; changed by the follower */
};

int segment_open(const struct location *loc, const struct shmkv_options *opts, int mode,
                 struct segment **out);
/* A new segment without a name, mapped, with a slot claimed. @p file is for file_link(),
 * and to be closed or discarded. */
int segment_create(const struct location *loc, const struct shmkv_options *opts,
                   uint64_t incarnation, struct segment **out, struct new_file *file);
/* The same with the name. EEXIST: it is taken, and nothing was made. */
int segment_link_new(const struct location *loc, const struct shmkv_options *opts,
                     struct segment **out);
/* Give back the slots, and unmap. NULL is allowed. */
void segment_leave(struct segment *seg);

/* handle_enter() begins a call: the handle's segment, after following the name if
 * it was replaced. It stays mapped until handle_leave(). On failure there is
 * nothing to leave. Both are below, behind the guards they are made of. */

/* ------------------------------------------------------------------ guard.c */

/* A call can nest in another of the same thread only by a signal handler. */
#define MAX_NESTING 4

#define SYSTEM_TEXT_SIZE 128

/* What we keep of a thread: which segments it is inside of (guard.c), and the
 * texts it was told (error.c). */
struct guard {
    /* From the outermost call inwards, NULL behind the innermost. A call writes its own
     * place only, and puts NULL back, so one that interrupts another finds it as it was. */
    _Atomic(struct segment *) inside[MAX_NESTING];
    /* Its thread's only. */
    char detail[DETAIL_SIZE], system_text[SYSTEM_TEXT_SIZE];
    atomic_uint taken;  /* a thread has it */
    struct guard *next; /* list of all; records are reused, never freed */
};

/* One instruction to reach, where the C library keeps room for such variables in
 * modules loaded late; a call elsewhere. The room is small, so this pointer is the
 * only thread-local variable there is. */
#if defined(__GLIBC__)
#define GUARD_TLS __attribute__((tls_model("initial-exec")))
#else
#define GUARD_TLS
#endif
extern _Thread_local struct guard *guard_mine GUARD_TLS;
/* Give this thread its record; an errno if there is no memory for it. */
int guard_create(void);

/* Begin a call, in a free place of this thread's record. */
static inline struct segment *guard_show(_Atomic(struct segment *) *place, shmkv_t *kv) {
    struct segment *seg = atomic_load_explicit(&kv->seg, memory_order_acquire);
    for (;;) {
        atomic_store_explicit(place, seg, memory_order_relaxed);
        /* ORDER guard-show: the record, then the look at the handle. Pairs with
         * guard-look, whose membarrier stands in for the fence missing here. */
        atomic_signal_fence(memory_order_seq_cst);
        struct segment *now = atomic_load_explicit(&kv->seg, memory_order_acquire);
        if (likely(now == seg))
            return seg;
        seg = now;
    }
}
static inline void guard_hide(_Atomic(struct segment *) *place) {
    atomic_store_explicit(place, NULL, memory_order_release);
}

/* How many calls this thread is inside of. */
static inline unsigned guard_depth(struct guard *g) {
    unsigned n = 0;
    while (n < MAX_NESTING && atomic_load_explicit(&g->inside[n], memory_order_relaxed))
        n++;
    return n;
}

static inline int guard_enter(shmkv_t *kv, struct segment **out) {
    *out = NULL;
    if (unlikely(!guard_mine)) {
        int err = guard_create();
        if (err)
            return fail(err, "preparing a thread");
    }
    unsigned depth = guard_depth(guard_mine);
    if (unlikely(depth == MAX_NESTING))
        return fail(SHMKV_EDEADLK, "%d calls inside each other", MAX_NESTING);
    *out = guard_show(&guard_mine->inside[depth], kv);
    return SHMKV_OK;
}

static inline void guard_leave(void) {
    guard_hide(&guard_mine->inside[guard_depth(guard_mine) - 1]);
}

bool guard_in_use(const struct segment *seg);
void guard_forget_threads(void);

int handle_enter_slowly(shmkv_t *kv, struct segment **out);

/* [LIFE-15] At the beginning of every operation. */
static inline bool segment_is_live(const struct segment *seg) {
    const header_t *hdr = (const header_t *)(const void *)seg->base;
    return likely(load_relaxed_u64(&hdr->state) == SHMKV_SEGMENT_STATE_LIVE);
}

static inline int handle_enter(shmkv_t *kv, struct segment **out) {
    if (__builtin_expect(!kv, 0))
        return fail(SHMKV_ECLOSED, "segment");
    int err = guard_enter(kv, out);
    if (__builtin_expect(err != SHMKV_OK, 0))
        return err;
    if (segment_is_live(*out))
        return SHMKV_OK;
    guard_leave();
    return handle_enter_slowly(kv, out);
}
static inline void handle_leave(void) { guard_leave(); }

/* Make the change in the segment that the handle means now. */
int handle_change(shmkv_t *kv, struct change *c);
/* Do the work there, as a writer. It is done again from the start if the segment was
 * replaced meanwhile (E_MOVED), or if space was short and some of the dead had some. */
int handle_write(shmkv_t *kv, int (*work)(struct context *ctx, void *arg), void *arg);
/* [LAYOUT-25] EKEY or EVALUE if key or value are longer than this segment's may be. */
int change_check_lengths(const struct segment *seg, const struct change *c);

/* For messages about arguments, before any segment has been entered. */
const char *kv_name(const shmkv_t *kv);
int refuse_key(const shmkv_t *kv, const void *key, size_t key_len);

/* What the caller says with fail_at_key() is still to be added. */
static inline int key_check(const shmkv_t *kv, const void *key, size_t key_len) {
    bool good = key && key_len - 1 < SHMKV_MAX_KEY;
    return likely(good) ? SHMKV_OK : refuse_key(kv, key, key_len);
}

#endif
