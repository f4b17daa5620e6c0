/*
 * A fresh segment takes the name of an old one, atomically and at any time.
 * Spec 5.5.
 *
 * The replacer builds the new segment nameless, then takes every shard lock of
 * the old one, so that no write to it can be acknowledged any more, declares
 * REPLACING, and exchanges the two names in one system call: the commit. Then
 * it declares the old one REPLACED and lets the waiting writers go, who see that
 * and move to the new segment.
 *
 * Replacers of the same segment queue at its first shard lock; those behind find
 * it REPLACED and start over with its successor. A replacer that dies leaves
 * shard locks for the next writers to take over; whoever finds REPLACING then
 * asks the directory whether the exchange took place, and completes or undoes.
 *
 * The exchange takes whatever has the name, and between the look and the exchange
 * that may have become another segment: unlinking needs no lock. Then that one has
 * been replaced, and is locked and told so afterwards. Putting it back would be
 * another exchange, with the same doubt about what it takes; it is for what may not be
 * replaced, foreign objects, and leaves the name to the newest.
 *
 * The new segment needs some name before the exchange, and the old one has it after.
 * It is a random one: a fixed name could be taken by a stranger, or by what a dead
 * replacer left in it, and either would stop every later replacement. Leftovers are
 * found by reading the directory, by those who have reason to look.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define RENAME_NOREPLACE_FLAG 1 /* linux/fs.h */
#define RENAME_EXCHANGE_FLAG 2

/* --------------------------------------------------------------------- the locks */

void shards_unlock(struct context *ctx, uint32_t count) {
    while (count-- > 0) {
        struct domain d = shard_domain(ctx->seg, count);
        lock_release(ctx, &d);
    }
}

/* [LOCK-03] All of them, ascending. A transaction takes those of its keys in the same order;
 * nobody else holds more than one lock. */
int shards_lock(struct context *ctx) {
    for (uint32_t i = 0; i < ctx->seg->shard_count; i++) {
        struct domain d = shard_domain(ctx->seg, i);
        int err = lock_take(ctx, &d);
        if (err) {
            shards_unlock(ctx, i);
            return err;
        }
    }
    return SHMKV_OK;
}

/* --------------------------------------------------------------------- the state */

static bool name_is(const char *path, const struct segment *seg) {
    struct stat st;
    return lstat(path, &st) == 0 && st.st_dev == seg->dev && st.st_ino == seg->ino;
}

/* Certainly another object, or none: not just a name that we cannot look up. */
static bool name_is_not(const char *path, const struct segment *seg) {
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT;
    return st.st_dev != seg->dev || st.st_ino != seg->ino;
}

/* [LIFE-16] Is the segment one to leave? Without a lock, REPLACING may be the
 * last word of a dead replacer: the name tells whether the exchange took place. */
bool segment_left(struct segment *seg) {
    uint64_t state = load_acquire_u64(&seg->hdr->state);
    return state == SHMKV_SEGMENT_STATE_REPLACED ||
           (state == SHMKV_SEGMENT_STATE_REPLACING && name_is_not(seg->loc->path, seg));
}

/* [LIFE-14] We hold a shard lock and the state is REPLACING, so the replacer is dead. */
static int settle_replacement(struct segment *seg, const char *path) {
    bool ours = name_is(path, seg);
    if (!ours && !name_is_not(path, seg))
        return fail(errno, "%s: a replacement is to be finished", path);
    store_release_u64(&seg->hdr->state,
                      ours ? SHMKV_SEGMENT_STATE_LIVE : SHMKV_SEGMENT_STATE_REPLACED);
    return SHMKV_OK;
}

int segment_check_live(struct segment *seg) {
    uint64_t state = load_acquire_u64(&seg->hdr->state);
    if (state == SHMKV_SEGMENT_STATE_REPLACING) {
        int err = settle_replacement(seg, seg->loc->path);
        if (err)
            return err;
        state = load_acquire_u64(&seg->hdr->state);
    }
    switch (state) {
    case SHMKV_SEGMENT_STATE_LIVE:
        return SHMKV_OK;
    case SHMKV_SEGMENT_STATE_REPLACED:
        return E_MOVED;
    default:
        return damaged(seg, seg_offset(seg, &seg->hdr->state),
                       "the segment's state makes no sense");
    }
}

/* ---------------------------------------------------------------- the swap names */

#define SWAP_PREFIX_SIZE 40
#define SWEEP_PATIENCE_MS 50

/* Where new segments wait for the exchange: the same beginning for all of one name,
 * so that what a dead replacer left there is found. */
static size_t swap_prefix(const struct location *loc, char prefix[SWAP_PREFIX_SIZE]) {
    uint64_t h = hash_bytes(loc->entry, strlen(loc->entry), 0);
    return (size_t)snprintf(prefix, SWAP_PREFIX_SIZE, ".shmkv-swap-%016llx-",
                            (unsigned long long)h);
}

/* [LIFE-12] Under all shard locks of what lies at the swap name: its replacer is dead, and
 * nobody is writing to it. Somebody may be putting it back at the name of @p loc at this very
 * moment, if he may not write to it: so the name has the last word.
 * CRASH swept: death in between leaves REPLACING, for whoever looks next. */
static void remove_locked(struct segment *seg, const struct location *loc, const char *swap) {
    if (!name_is(swap, seg))
        return;
    store_release_u64(&seg->hdr->state, SHMKV_SEGMENT_STATE_REPLACING);
    unlink(swap);
    (void)settle_replacement(seg, loc->path);
    shards_alarm(seg);
}

static void remove_left_over(struct segment *seg, uint32_t patience_ms, const struct location *loc,
                             const char *swap) {
    struct context *ctx;
    if (segment_check_boot(seg) != SHMKV_OK || context_acquire(seg, &ctx) != SHMKV_OK)
        return;
    ctx->patience_ms = patience_ms;
    if (shards_lock(ctx) == SHMKV_OK) {
        remove_locked(seg, loc, swap);
        shards_unlock(ctx, seg->shard_count);
    }
    context_release(ctx);
}

static int swap_open(const struct location *swap, const struct shmkv_options *opts,
                     struct segment **out) {
    int fd, err = file_open(swap, true, opts->flags, &fd);
    return err ? err : segment_map(fd, true, swap, opts, out);
}

/* What lies at a swap name is a new segment that a dead replacer never brought to its
 * name, an old one that it did not remove, or what a living one has just put there. */
static void clear_swap_name(const struct location *loc, const struct shmkv_options *opts,
                            char *swap) {
    struct location there = *loc;
    struct segment *seg;
    there.path = swap;
    if (swap_open(&there, opts, &seg) != SHMKV_OK)
        return;
    remove_left_over(seg, SWEEP_PATIENCE_MS, loc, swap);
    segment_leave(seg);
}

static void sweep(DIR *dir, const struct location *loc, const struct shmkv_options *opts) {
    char prefix[SWAP_PREFIX_SIZE], swap[PATH_MAX];
    size_t len = swap_prefix(loc, prefix);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strncmp(e->d_name, prefix, len) == 0 &&
            snprintf(swap, sizeof swap, "%s/%s", loc->dir, e->d_name) < (int)sizeof swap)
            clear_swap_name(loc, opts, swap);
}

/* Remove what dead replacers of this name left. What cannot be removed now (it is in
 * use, not a segment, or somebody else's) is in nobody's way, and left; it is no failure of
 * the caller's either, whose own story is kept. */
void swap_sweep(const struct location *loc, const struct shmkv_options *opts) {
    char story[DETAIL_SIZE];
    int cancel = cancel_off();
    error_detail_keep(story);
    DIR *dir = opendir(loc->dir);
    if (dir) {
        sweep(dir, loc, opts);
        closedir(dir);
    }
    error_detail_restore(story);
    cancel_restore(cancel);
}

/* -------------------------------------------------------------------- the exchange */

static int rename2(const char *from, const char *to, unsigned flags) {
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags) == 0 ? 0 : errno;
}

static int exchange(const char *a, const char *b) { return rename2(a, b, RENAME_EXCHANGE_FLAG); }

/* Where the new segment waits, and what came out of the exchange. */
struct swap {
    char path[PATH_MAX];
    struct location there;     /* the same */
    bool old_came_out;         /* as it should */
    struct segment *displaced; /* this one did: it had got the name since we looked */
};

/* [LIFE-25] Nobody can guess it, and so nobody can have it before us. */
static int swap_choose(const struct location *loc, struct swap *s) {
    char prefix[SWAP_PREFIX_SIZE];
    uint64_t r;
    int err = random_bytes(&r, sizeof r);
    if (err)
        return err;
    swap_prefix(loc, prefix);
    s->there = *loc;
    s->there.path = s->path;
    int n =
        snprintf(s->path, sizeof s->path, "%s/%s%016llx", loc->dir, prefix, (unsigned long long)r);
    return n > 0 && (size_t)n < sizeof s->path ? SHMKV_OK : fail(ENAMETOOLONG, "%s", loc->path);
}

static bool same_object(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* What lies at @p swap is not ours to replace, and goes back in the place of @p new_. The
 * name may have been taken from that one meanwhile, and by something else: what is newest
 * there keeps it. 0, and neither the name nor anybody but us has @p new_; or an errno. */
static int put_back(const char *path, const struct segment *new_, const char *swap) {
    struct stat placed = {.st_dev = new_->dev, .st_ino = new_->ino}; /* at the name, by us */
    for (;;) {
        struct stat next, out;
        if (lstat(swap, &next) != 0)
            return errno;
        int err = exchange(swap, path);
        if (err == ENOENT) /* unlinked */
            return rename2(swap, path, RENAME_NOREPLACE_FLAG);
        if (err)
            return err;
        if (lstat(swap, &out) != 0)
            return errno;
        if (same_object(&out, &placed))
            return name_is(swap, new_) ? 0 : EEXIST;
        placed = next;
    }
}

static int give_up(struct segment *new_, const struct swap *s, const char *path) {
    int err = put_back(path, new_, s->path);
    /* Whoever attached to the new segment in that moment must move on. */
    if (name_is_not(path, new_))
        store_release_u64(&new_->hdr->state, SHMKV_SEGMENT_STATE_REPLACED);
    return err ? fail(err, "putting back what had become %s and is %s now", path, s->path)
               : E_RETRY;
}

/* Another object came out than the old segment. A segment has been replaced like any other that
 * has the name, and is told so; its locks are taken when we hold no others: whoever has
 * them may be waiting for ours. Until then, whoever looks at it asks the name. */
static int displace(struct segment *old, struct segment *new_, struct swap *s,
                    const struct shmkv_options *opts) {
    struct segment *out;
    int err = swap_open(&s->there, opts, &out);
    if (err == SHMKV_ENOSEGMENT)
        return SHMKV_OK; /* swept already */
    if (err)
        return give_up(new_, s, old->loc->path);
    s->old_came_out =
        out->dev == old->dev && out->ino == old->ino; /* it could not be told before */
    if (s->old_came_out) {
        segment_unmap(out);
        return SHMKV_OK;
    }
    store_release_u64(&out->hdr->state, SHMKV_SEGMENT_STATE_REPLACING);
    s->displaced = out;
    return SHMKV_OK;
}

/* The commit: what waits at the swap name takes the name. */
static int take_name(struct segment *old, struct segment *new_, struct swap *s,
                     const struct shmkv_options *opts) {
    const char *path = old->loc->path;
    FAULT_POINT("replace-before-exchange");
    int err = exchange(s->path, path);
    FAULT_POINT("replace-after-exchange");
    if (err == EINVAL || err == ENOSYS) { /* a file system without it */
        if (!name_is(path, old))
            return E_RETRY;
        s->old_came_out = rename(s->path, path) == 0;
        return s->old_came_out ? SHMKV_OK : fail(errno, "replacing %s", path);
    }
    if (err)
        return err == ENOENT ? E_RETRY : fail(err, "replacing %s", path);
    s->old_came_out = name_is(s->path, old);
    return s->old_came_out ? SHMKV_OK : displace(old, new_, s, opts);
}

/* Remove what is now at the swap name, if it is one of the two we know. */
static void drop_swap(const char *swap, const struct segment *old, const struct segment *new_) {
    if (name_is(swap, old) || name_is(swap, new_))
        unlink(swap);
}

/* Every shard lock of both is ours. Those of the new one keep others from removing it from
 * the swap name [LIFE-12], and from writing to it before it is certain that it stays. */
static int replace_locked(struct segment *old, struct segment *new_, struct new_file *file,
                          struct swap *s, const struct shmkv_options *opts) {
    int err = segment_check_live(old);
    if (!name_is(old->loc->path, old))
        return E_RETRY;        /* unlinked, or replaced */
    if (err && err != E_MOVED) /* REPLACED, and still at the name, is damage that this cures */
        return err;
    err = swap_choose(old->loc, s);
    if (err)
        return err;
    store_release_u64(&old->hdr->state, SHMKV_SEGMENT_STATE_REPLACING);
    FAULT_POINT("replace-after-replacing");
    err = file_link(file, s->path);
    bool linked = !err;
    if (err == EEXIST)
        err = E_RETRY; /* under another swap name */
    if (!err)
        err = take_name(old, new_, s, opts);
    /* CRASH replaced: death before this store leaves REPLACING, which the next
     * who looks settles by the name. */
    store_release_u64(&old->hdr->state,
                      s->old_came_out ? SHMKV_SEGMENT_STATE_REPLACED : SHMKV_SEGMENT_STATE_LIVE);
    FAULT_POINT("replace-after-state");
    if (s->old_came_out)
        shards_alarm(old); /* who waits here waits for nothing */
    if (linked)
        drop_swap(s->path, old, new_);
    return err;
}

/* [LIFE-11] All shard locks of both, from here to the end. */
static int replace_under_locks(struct context *ctx, struct context *new_ctx, struct new_file *file,
                               struct swap *s, const struct shmkv_options *opts) {
    int err = shards_lock(new_ctx); /* free: nobody else knows the new segment */
    if (err)
        return err;
    err = shards_lock(ctx);
    if (!err) {
        err = replace_locked(ctx->seg, new_ctx->seg, file, s, opts);
        shards_unlock(ctx, ctx->seg->shard_count);
    }
    shards_unlock(new_ctx, new_ctx->seg->shard_count);
    return err;
}

static int replace_in(struct segment *old, struct segment *new_, struct new_file *file,
                      const struct shmkv_options *opts) {
    struct swap s = {.old_came_out = false};
    struct context *ctx, *new_ctx;
    int err = context_acquire(old, &ctx);
    if (err)
        return err;
    err = context_acquire(new_, &new_ctx);
    if (!err) {
        err = replace_under_locks(ctx, new_ctx, file, &s, opts);
        context_release(new_ctx);
    }
    context_release(ctx);
    if (s.displaced) {
        remove_left_over(s.displaced, opts->lock_timeout_ms, old->loc, s.path);
        segment_leave(s.displaced);
    }
    return err;
}

/* What takes the name: made when it is wanted, or prepared, and then the caller's. */
struct replacement {
    struct segment *seg;
    struct new_file *file;
    bool prepared;
};

/* Its incarnation follows from the segment that it replaces, which may be another each time. */
static int replacement_for(const struct location *loc, const struct shmkv_options *opts,
                           uint64_t incarnation, struct replacement *r) {
    if (!r->prepared)
        return segment_create(loc, opts, incarnation, &r->seg, r->file);
    /* Nobody else has it mapped, and what is sealed is what gets a name. */
    header_t *h = r->seg->hdr;
    r->seg->incarnation = h->incarnation = incarnation;
    h->checksum = hash_bytes(h, offsetof(header_t, checksum), 0);
    return SHMKV_OK;
}

/* Both segments are mapped and have a slot of ours before anything is exchanged: an
 * EXCLUSIVE open that fails has replaced nothing. */
static int replace_existing(const struct location *loc, const struct shmkv_options *opts,
                            int old_fd, struct replacement *r) {
    struct segment *old;
    int err = segment_map(old_fd, true, loc, opts, &old);
    if (err)
        return err;
    err = replacement_for(loc, opts, old->incarnation + 1, r);
    if (!err) {
        err = replace_in(old, r->seg, r->file, opts);
        if (!r->prepared)
            file_discard(r->file);
        if (err && !r->prepared)
            segment_leave(r->seg);
    }
    bool met_dead = atomic_load(&old->met_dead);
    segment_leave(old);
    if (met_dead) /* [LIFE-26] since we swept */
        swap_sweep(loc, opts);
    /* A nameless file that had a name cannot be given another. */
    if (err == E_RETRY && r->prepared && r->file->linked)
        return fail(SHMKV_EBUSY, "%s: something else took the name", loc->path);
    return err;
}

static int replace_nothing(const struct location *loc, const struct shmkv_options *opts,
                           struct replacement *r) {
    int err;
    if (r->prepared) {
        err = replacement_for(loc, opts, 1, r);
        if (!err)
            err = file_link(r->file, loc->path);
    } else {
        err = segment_link_new(loc, opts, &r->seg);
    }
    return err == EEXIST ? E_RETRY : err;
}

static int replace_once(const struct location *loc, const struct shmkv_options *opts,
                        struct replacement *r) {
    int old_fd, err = file_open(loc, true, opts->flags, &old_fd);
    if (err == SHMKV_ENOSEGMENT)
        return replace_nothing(loc, opts, r);
    return err ? err : replace_existing(loc, opts, old_fd, r);
}

static int replace_by(const struct location *loc, const struct shmkv_options *opts,
                      struct replacement *r) {
    int err, cancel = cancel_off();
    swap_sweep(loc, opts);
    do
        err = replace_once(loc, opts, r);
    while (err == E_RETRY);
    cancel_restore(cancel);
    return err;
}

int segment_replace(const struct location *loc, const struct shmkv_options *opts,
                    struct segment **out) {
    struct new_file file;
    struct replacement r = {.file = &file};
    int err = replace_by(loc, opts, &r);
    *out = err ? NULL : r.seg;
    return err;
}

int segment_replace_by(const struct location *loc, const struct shmkv_options *opts,
                       struct segment *new_, struct new_file *file) {
    return replace_by(loc, opts, &(struct replacement){new_, file, true});
}
