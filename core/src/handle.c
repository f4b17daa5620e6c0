/*
 * The public calls: arguments checked, the right segment found, the work handed
 * to the file that does it. Nothing is decided here but which segment the handle
 * means now.
 *
 * A handle follows its name. When another process opened it EXCLUSIVE, the old
 * segment says REPLACED, and the next call on the handle attaches to the new one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define DEFAULT_LOCK_TIMEOUT_MS 5000

/* ------------------------------------------------------------------------ open */

void segment_leave(struct segment *seg) {
    if (seg && seg->writable)
        owners_detach(seg);
    segment_unmap(seg);
}

/* [LIFE-26] A replacer has a slot in both segments: one of the dead may have been one. */
static void sweep_after_dead(struct segment *seg, const struct location *loc,
                             const struct shmkv_options *opts) {
    if (atomic_exchange(&seg->met_dead, false))
        swap_sweep(loc, opts);
}

/* Claim a slot now: an opener that cannot write should hear it from open. */
static int claim_first_slot(struct segment *seg) {
    struct context *ctx;
    int err = context_acquire(seg, &ctx);
    if (!err)
        context_release(ctx);
    return err;
}

/* Map the file and be a writer, or not at all. @p fd is the segment's, or closed. */
static int enter_file(int fd, bool writable, const struct location *loc,
                      const struct shmkv_options *opts, struct segment **out) {
    int err = segment_map(fd, writable, loc, opts, out);
    if (!err && writable)
        err = segment_check_boot(*out);
    if (!err && writable)
        err = claim_first_slot(*out);
    if (err) {
        segment_unmap(*out);
        *out = NULL;
        return err;
    }
    sweep_after_dead(*out, loc, opts);
    return SHMKV_OK;
}

int segment_create(const struct location *loc, const struct shmkv_options *opts,
                   uint64_t incarnation, struct segment **out, struct new_file *file) {
    *out = NULL;
    int err = file_create(loc, opts, incarnation, file);
    if (err)
        return err;
    int copy = fd_copy(file->fd);
    err = copy < 0 ? fail(errno, "%s", loc->path) : enter_file(copy, true, loc, opts, out);
    if (err)
        file_discard(file);
    return err;
}

/* [LIFE-01] The link comes last: what can fail has not failed by then, and an open
 * that fails leaves nothing behind. */
int segment_link_new(const struct location *loc, const struct shmkv_options *opts,
                     struct segment **out) {
    struct new_file file;
    int err = segment_create(loc, opts, 1, out, &file);
    if (err)
        return err;
    err = file_link(&file, loc->path);
    if (err) {
        segment_leave(*out);
        *out = NULL;
    }
    file_discard(&file); /* the descriptor; the private name, if it is still there */
    return err;
}

static int attach(const struct location *loc, const struct shmkv_options *opts, bool writable,
                  struct segment **out) {
    int fd, err = file_open(loc, writable, opts->flags, &fd);
    return err ? err : enter_file(fd, writable, loc, opts, out);
}

static int attach_or_create(const struct location *loc, const struct shmkv_options *opts,
                            struct segment **out) {
    int err;
    do {
        err = attach(loc, opts, true, out);
        if (err == SHMKV_ENOSEGMENT)
            err = segment_link_new(loc, opts, out);
        /* Another creator won. What it linked is whole: attach to that. */
    } while (err == EEXIST);
    return err;
}

int segment_open(const struct location *loc, const struct shmkv_options *opts, int mode,
                 struct segment **out) {
    int err;
    switch (mode) {
    case SHMKV_SHARED:
        return attach_or_create(loc, opts, out);
    case SHMKV_EXCLUSIVE:
        return segment_replace(loc, opts, out);
    default:
        err = attach(loc, opts, mode != SHMKV_READONLY, out);
        return err == SHMKV_ENOSEGMENT ? fail(err, "%s", loc->path) : err;
    }
}

static int check_options(const struct shmkv_options *opts, struct shmkv_options *checked) {
    memset(checked, 0, sizeof *checked);
    if (opts) {
        if (opts->size != sizeof *opts)
            return fail(SHMKV_EARGUMENT, "shmkv_options.size is %zu, expected %zu", opts->size,
                        sizeof *opts);
        *checked = *opts;
    }
    if (checked->mode < SHMKV_SHARED || checked->mode > SHMKV_READONLY)
        return fail(SHMKV_EARGUMENT, "mode %d", checked->mode);
    if (checked->flags & ~(unsigned)(SHMKV_STAY | SHMKV_ANY_OWNER | SHMKV_HUGE_PAGES))
        return fail(SHMKV_EARGUMENT, "flags 0x%x", checked->flags);
    if (checked->owner_slots > SHMKV_MAX_OWNERS)
        return fail(SHMKV_EARGUMENT, "%u owner slots; the most are %u", checked->owner_slots,
                    SHMKV_MAX_OWNERS);
    if (checked->permissions & ~0777u)
        return fail(SHMKV_EARGUMENT, "permissions 0%o", checked->permissions);
    if (!checked->lock_timeout_ms)
        checked->lock_timeout_ms = DEFAULT_LOCK_TIMEOUT_MS;
    return SHMKV_OK;
}

int shmkv_open(const char *name, const struct shmkv_options *opts, shmkv_t **out) {
    if (!out)
        return fail(SHMKV_EARGUMENT, "no place for the handle");
    *out = NULL;
    struct shmkv_options checked;
    int err = check_options(opts, &checked);
    if (!err)
        err = fork_watch();
    /* What a thread needs for its first call is had now, rather than missed by a get. */
    int memory = err || guard_mine ? 0 : guard_create();
    if (memory)
        err = fail(memory, "preparing a thread");
    if (err)
        return err;
    shmkv_t *kv = calloc(1, sizeof *kv);
    if (!kv)
        return fail(ENOMEM, "opening a segment");
    kv->opts = checked;
    err = location_find(name, &kv->loc);
    struct segment *seg = NULL;
    if (!err)
        err = segment_open(&kv->loc, &kv->opts, checked.mode, &seg);
    if (err) {
        location_free(&kv->loc);
        free(kv);
        return err;
    }
    atomic_store(&kv->seg, seg);
    *out = kv;
    return SHMKV_OK;
}

static void unmap_retired(shmkv_t *kv) {
    struct segment *next;
    for (struct segment *seg = kv->retired; seg; seg = next) {
        next = seg->next_retired;
        segment_unmap(seg);
    }
}

int shmkv_close(shmkv_t *kv) {
    if (!kv)
        return SHMKV_OK;
    struct segment *seg = atomic_exchange(&kv->seg, NULL);
    int err = seg->writable ? owners_detach(seg) : SHMKV_OK;
    sweep_after_dead(seg, &kv->loc, &kv->opts);
    segment_unmap(seg);
    unmap_retired(kv);
    location_free(&kv->loc);
    free(kv);
    return err;
}

/* [LIFE-18] Only a segment is unlinked: the magic is read first. */
int shmkv_unlink(const char *name) {
    struct location loc;
    int err = location_find(name, &loc);
    if (err)
        return err;
    int fd;
    err = file_open(&loc, false, 0, &fd);
    if (err == SHMKV_ENOSEGMENT)
        fail(err, "%s", loc.path);
    if (!err) {
        uint8_t magic[SHMKV_MAGIC_SIZE];
        ssize_t n = pread(fd, magic, sizeof magic, 0);
        if (n < 0)
            err = fail(errno, "%s", loc.path);
        else if (n != (ssize_t)sizeof magic || memcmp(magic, SHMKV_MAGIC, sizeof magic) != 0)
            err = fail(SHMKV_EFOREIGN, "%s", loc.path);
        else if (unlink(loc.path) != 0)
            err = errno == ENOENT ? fail(SHMKV_ENOSEGMENT, "%s", loc.path)
                                  : fail(errno, "%s", loc.path);
        close(fd);
    }
    /* [LIFE-26] With the name goes what dead replacers left of it. */
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = DEFAULT_LOCK_TIMEOUT_MS};
    if (fork_watch() == SHMKV_OK)
        swap_sweep(&loc, &opts);
    location_free(&loc);
    return err;
}

/* ---------------------------------------------------------------------- follow */

/* Unmap what the handle has left and no thread is inside of. */
static void reclaim(shmkv_t *kv) {
    struct segment *keep = NULL, *next;
    for (struct segment *seg = kv->retired; seg; seg = next) {
        next = seg->next_retired;
        if (guard_in_use(seg)) {
            seg->next_retired = keep;
            keep = seg;
        } else {
            segment_unmap(seg);
        }
    }
    atomic_store(&kv->retired, keep);
}

static int move(shmkv_t *kv, struct segment *old) {
    struct segment *seg;
    int mode = kv->opts.mode == SHMKV_READONLY ? SHMKV_READONLY : SHMKV_EXISTING;
    int err = segment_open(&kv->loc, &kv->opts, mode, &seg);
    if (err)
        return err;
    if (seg->dev == old->dev && seg->ino == old->ino) {
        segment_unmap(seg);
        return damaged(old, offsetof(header_t, state),
                       "it says that it was replaced, and still has the name");
    }
    /* ORDER moves: counted, then moved. Pairs with enter() in cursor.c: who finds the new segment
     * finds that the handle has moved. */
    atomic_fetch_add(&kv->moves, 1);
    atomic_store(&kv->seg, seg);
    sweep_after_dead(old, &kv->loc, &kv->opts);
    old->next_retired = kv->retired;
    atomic_store(&kv->retired, old);
    return SHMKV_OK;
}

/* The segment is looked at again under the lock: another thread may have moved
 * the handle, and the address of the old one may be in use again. */
static int follow(shmkv_t *kv) {
    if (kv->opts.flags & SHMKV_STAY)
        return fail(SHMKV_ESTALE, "%s", kv->loc.path);
    int err = thread_lock(&kv->following);
    if (err)
        return err;
    struct segment *seg = atomic_load(&kv->seg);
    if (segment_left(seg))
        err = move(kv, seg);
    if (!err)
        reclaim(kv);
    thread_unlock(&kv->following);
    return err;
}

/* What could not be unmapped at the move, because a thread was inside. */
static void reclaim_later(shmkv_t *kv) {
    if (thread_lock(&kv->following) != SHMKV_OK)
        return;
    reclaim(kv);
    thread_unlock(&kv->following);
}

/* The state was not LIVE. */
int handle_enter_slowly(shmkv_t *kv, struct segment **out) {
    for (;;) {
        struct segment *seg = NULL;
        int err = guard_enter(kv, &seg);
        if (err)
            return err;
        if (!segment_left(seg)) {
            *out = seg;
            return SHMKV_OK;
        }
        guard_leave();
        err = follow(kv);
        if (err)
            return err;
    }
}

/* ------------------------------------------------------------------------ read */

const char *kv_name(const shmkv_t *kv) { return kv ? kv->loc.path : "segment"; }

int refuse_key(const shmkv_t *kv, const void *key, size_t key_len) {
    return fail(SHMKV_EKEY, "%s: a key of %zu bytes", kv_name(kv), key ? key_len : 0);
}

int shmkv_count(shmkv_t *kv, uint64_t *n) {
    struct segment *seg;
    if (!n)
        return fail(SHMKV_EARGUMENT, "no place for the count");
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < seg->shard_count; i++)
        sum += load_relaxed_u64(&seg->shards[i].count);
    handle_leave();
    *n = sum;
    return SHMKV_OK;
}

/* ----------------------------------------------------------------------- write */

/* May this segment be written to? */
static inline int check_writable(const struct segment *seg) {
    if (unlikely(!seg->writable))
        return fail(SHMKV_EREADONLY, "%s", seg->loc->path);
    if (unlikely(!segment_live_and_thawed(seg)))
        return segment_check_thawed(seg);
    return SHMKV_OK;
}

typedef int work_fn(struct context *ctx, void *arg);

static inline int work_as_owner(shmkv_t *kv, struct segment *seg, work_fn *work, void *arg) {
    struct context *ctx;
    int err = context_acquire(seg, &ctx);
    if (unlikely(err))
        return err;
    err = work(ctx, arg);
    if (unlikely(err == SHMKV_ENOSPC)) {
        /* The dead may be sitting on what we need. */
        owners_reap(ctx);
        sweep_after_dead(seg, &kv->loc, &kv->opts);
        /* And so may entries whose time has come. */
        sweep_for_room(ctx);
        err = work(ctx, arg);
    }
    context_release(ctx);
    return err;
}

static inline int work_once(shmkv_t *kv, work_fn *work, void *arg) {
    struct segment *seg;
    int err = handle_enter(kv, &seg);
    if (unlikely(err))
        return err;
    err = check_writable(seg);
    if (likely(!err))
        err = work_as_owner(kv, seg, work, arg);
    handle_leave();
    return err;
}

static inline __attribute__((always_inline)) int work_following(shmkv_t *kv, work_fn *work,
                                                                void *arg) {
    int err;
    do
        err = work_once(kv, work, arg);
    while (unlikely(err == E_MOVED));
    if (unlikely(kv && atomic_load_explicit(&kv->retired, memory_order_relaxed) != NULL))
        reclaim_later(kv);
    return err;
}

int handle_write(shmkv_t *kv, work_fn *work, void *arg) { return work_following(kv, work, arg); }

/* [LAYOUT-25] */
static COLD int refuse_lengths(const struct segment *seg, const struct change *c) {
    if (c->key_len > seg->max_key)
        return fail(SHMKV_EKEY, "%s: %zu bytes, its keys have at most %llu", seg->loc->path,
                    c->key_len, (unsigned long long)seg->max_key);
    return fail(SHMKV_EVALUE, "%s: %zu bytes, its values have at most %llu", seg->loc->path,
                c->item->len, (unsigned long long)seg->max_value);
}

static inline int check_lengths(const struct segment *seg, const struct change *c) {
    if (unlikely(c->key_len > seg->max_key) || unlikely(c->item && c->item->len > seg->max_value))
        return refuse_lengths(seg, c);
    return SHMKV_OK;
}

int change_check_lengths(const struct segment *seg, const struct change *c) {
    return check_lengths(seg, c);
}

static inline int make_checked(struct context *ctx, void *arg) {
    int err = check_lengths(ctx->seg, arg);
    return unlikely(err) ? err : change_make(ctx, arg);
}

int handle_change(shmkv_t *kv, struct change *c) {
    int err = key_check(kv, c->key, c->key_len);
    if (unlikely(err))
        return fail_at_key(err, c->key, c->key_len);
    err = work_following(kv, make_checked, c);
    return likely(!err) ? err : fail_at_key(err, c->key, c->key_len);
}
