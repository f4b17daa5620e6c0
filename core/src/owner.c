/*
 * Owner slots: who writes, whether they live, and what the dead leave behind.
 *
 * A process that writes claims an owner slot per thread that does so at the same
 * time. The claim is an open-file-description lock on one byte of the file, far
 * beyond its end (spec 4.4): the kernel drops it at the process's death, however
 * that comes about, and it needs no cooperation of pids, which mean nothing
 * across PID namespaces. The descriptor is a dedicated one, not the mapped one:
 * a mapping keeps its file description, and so its locks, alive in a forked
 * child. The child closes its copy and claims slots of its own when it writes.
 *
 * Whoever holds the lock of a slot may write to it: its owner, or, when the
 * owner is dead, the one claimer that got the lock next. That one first finishes
 * whatever the dead owner had begun (reap), so a slot is never reused while any
 * lock or intent still names it.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define REAP_PATIENCE_MS 50

/* --------------------------------------------------------------- owner locks */

static int owner_lock(int fd, int cmd, short type, uint32_t slot, short *found) {
    struct flock fl = {.l_type = type,
                       .l_whence = SEEK_SET,
                       .l_len = 1,
                       .l_start = (off_t)(SHMKV_OWNER_LOCK_BASE + slot)};
    int r;
    do
        r = fcntl(fd, cmd, &fl);
    while (r != 0 && errno == EINTR);
    if (found)
        *found = fl.l_type;
    return r;
}

/* 0, or the errno: EAGAIN if somebody has it. */
static int slot_try_lock(struct segment *seg, uint32_t slot) {
    if (owner_lock(seg->lock_fd, F_OFD_SETLK, F_WRLCK, slot, NULL) == 0)
        return 0;
    return errno == EACCES ? EAGAIN : errno; /* POSIX allows either */
}

static void slot_unlock(struct segment *seg, uint32_t slot) {
    owner_lock(seg->lock_fd, F_OFD_SETLK, F_UNLCK, slot, NULL);
}

/* [LOCK-11] A second open file description of the same file, for the locks alone;
 * [LOCK-13] gone on exec. */
int lock_descriptor_open(struct segment *seg) {
    char proc[32];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", seg->fd);
    int fd = fd_above_standard(open(proc, O_RDWR | O_CLOEXEC));
    bool by_name = fd < 0 && errno == ENOENT; /* /proc is not mounted */
    if (by_name)
        fd = fd_above_standard(open(seg->loc->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (fd < 0)
        return fail(errno, "%s: opening it for the owner locks%s", seg->loc->path,
                    by_name ? " (is /proc mounted?)" : "");
    struct stat st;
    int err = SHMKV_OK;
    if (fstat(fd, &st) != 0)
        err = fail(errno, "%s: opening it for the owner locks", seg->loc->path);
    else if (st.st_dev != seg->dev || st.st_ino != seg->ino)
        err = by_name
                  ? fail(ENOENT, "%s is another file by now (is /proc mounted?)", seg->loc->path)
                  : fail(SHMKV_EBUSY, "%s was replaced while being opened", seg->loc->path);
    if (err)
        close(fd);
    else
        seg->lock_fd = fd;
    return err;
}

/* -------------------------------------------------------------------- liveness */

bool slot_is_ours(struct segment *seg, uint32_t slot) {
    unsigned n = atomic_load(&seg->context_count);
    for (unsigned i = 0; i < n; i++)
        if (seg->contexts[i].slot == slot)
            return true;
    return false;
}

enum shmkv_liveness owner_liveness(struct segment *seg, uint32_t slot) {
    const owner_t *own = &seg->owners[slot];
    if (FIELD(load_acquire_u64(&own->state), OWNER_STATE_STATE) == 0)
        return SHMKV_FREE;
    if (slot_is_ours(seg, slot))
        return SHMKV_ALIVE;
    short found;
    int fd = seg->lock_fd >= 0 ? seg->lock_fd : seg->fd;
    /* For a read lock: nobody but an owner can be in its way. */
    if (owner_lock(fd, F_OFD_GETLK, F_RDLCK, slot, &found) != 0)
        return SHMKV_ALIVE; /* cannot tell: never rob on a doubt */
    owner_t facts = process_facts(own);
    return found == F_UNLCK || process_gone(&facts) ? SHMKV_DEAD : SHMKV_ALIVE;
}

bool owner_in_place(struct segment *seg, uint64_t owner) {
    uint32_t slot = (uint32_t)owner - 1;
    uint64_t state = slot < seg->owner_count ? load_acquire_u64(&seg->owners[slot].state) : 0;
    return FIELD(state, OWNER_STATE_STATE) != 0 &&
           FIELD(state, OWNER_STATE_GENERATION) == owner >> 32;
}

/*
 * [OP-29] The slot's state, the owner lock, the state again. A generation that was live and has
 * no lock any more never gets one: so "dead" needs no second look. "Alive" may be said of
 * whoever has taken the slot since; then, as [LOCK-28] has it, the generation is another before
 * anything else about the slot is.
 *
 * A get may be called in a signal handler, and under a lock nobody may be cancelled [LOCK-10].
 */
COLD bool owner_gone(struct segment *seg, uint64_t owner) {
    if (!owner_in_place(seg, owner))
        return true;
    int cancel = cancel_off(), error = errno;
    fork_check(); /* a child does not have its parent's slots */
    enum shmkv_liveness l = owner_liveness(seg, (uint32_t)owner - 1);
    errno = error;
    cancel_restore(cancel);
    /* ORDER condemn: the facts, then the state. Pairs with slot_condemn(). */
    fence_acquire();
    return l != SHMKV_ALIVE || !owner_in_place(seg, owner);
}

/* Who asks about many entries takes an answer for the next of the same owner as well. */
bool owner_gone_as_told(struct segment *seg, uint64_t owner, struct answers *t) {
    unsigned place = (unsigned)owner % TOLD;
    uint64_t now = t->for_ns ? now_ns() : 0;
    if (now - t->since_ns > t->for_ns)
        *t = (struct answers){.for_ns = t->for_ns, .since_ns = now};
    if (t->owner[place] == owner)
        return t->gone[place];
    bool gone = owner_gone(seg, owner);
    t->owner[place] = owner;
    t->gone[place] = gone;
    return gone;
}

void owner_describe(struct segment *seg, uint32_t slot, char *buf, size_t size) {
    owner_t facts = process_facts(&seg->owners[slot]);
    char name[33];
    memcpy(name, facts.name, 32);
    name[32] = '\0';
    for (char *p = name; *p; p++)
        if (!isprint((unsigned char)*p))
            *p = '?';
    snprintf(buf, size, "process %u (%s)%s%s", facts.pid, *name ? name : "unknown",
             facts.pid_ns == pid_namespace() ? "" : " of another PID namespace",
             process_stopped(&facts) ? ", which is stopped" : "");
}

/* ------------------------------------------------------------------------ reap */

static uint64_t state_word(uint64_t old, bool live, bool count) {
    uint64_t gen = FIELD(old, OWNER_STATE_GENERATION) + (count ? 1 : 0);
    return MAKE(OWNER_STATE_STATE, live ? 1 : 0) | MAKE(OWNER_STATE_GENERATION, gen);
}

/*
 * [LOCK-28] The slot's owner lock is ours, so whoever had its generation is dead. Nobody can see
 * that by the lock any more, now that we have it: the generation says so, before anything else of
 * the slot is changed. It stays marked live, for there may be something to finish.
 *
 * ORDER condemn: the state, then whatever follows. Pairs with owner_gone().
 */
static void slot_condemn(owner_t *own) {
    store_release_u64(&own->state, state_word(own->state, true, true));
    FAULT_POINT("condemn-after");
    fence_release();
}

/* Must the domain be locked once before the fields of @p slot can be believed?
 * Its dead owner may hold the lock, or an intent may be under way that stores to
 * those fields: his own, or that of a former reaper of his who died as well. */
static bool domain_names(const struct domain *d, uint32_t slot) {
    uint32_t word = load_acquire_u32(d->lock);
    uint64_t intent = load_acquire_u64(d->intent);
    return (word && FIELD(word, LOCK_OWNER) == slot + 1) ||
           (FIELD(intent, INTENT_ACTIVE) && FIELD(intent, INTENT_OWNER) == slot + 1);
}

/* Give back all that the slot's fields name. The run first [LOCK-24]: returning
 * the others may need that field. */
static int context_empty(struct context *ctx) {
    owner_t *own = ctx->own;
    int err = run_return(ctx, &own->run);
    if (!err)
        err = cell_return(ctx, &own->cell);
    if (!err)
        err = cell_return(ctx, &own->victim);
    if (!err)
        err = cell_return(ctx, &own->dir);
    if (!err)
        err = chain_return(ctx, &own->spare);
    if (!err)
        err = group_return(ctx, &own->low);
    if (!err)
        err = group_return(ctx, &own->high);
    if (!err)
        err = group_return(ctx, &own->old);
    return err ? err : transaction_return(ctx);
}

/* Finish what the dead owner of @p slot had begun. Caller holds the slot's owner
 * lock, so nobody else does this and no lock can come to name the slot. Each
 * step may be repeated: the caller may die as well. Spec 4.5. */
static int slot_reap(struct context *ctx, uint32_t slot) {
    struct segment *seg = ctx->seg;
    /* [LOCK-23] Our locks, the dead owner's fields. Not our patience: what a stopped
     * process keeps us from finishing, the next reaper finishes. */
    struct context stand_in = {.seg = seg,
                               .own = &seg->owners[slot],
                               .slot = ctx->slot,
                               .lock_word = ctx->lock_word,
                               .patience_ms = REAP_PATIENCE_MS};
    atomic_store(&seg->met_dead, true);
    for (uint32_t i = 0; i < domain_count(seg); i++) {
        struct domain d = domain_at(seg, i);
        if (!domain_names(&d, slot))
            continue;
        int err = lock_take(&stand_in, &d);
        if (err)
            return err;
        lock_release(&stand_in, &d);
    }
    FAULT_POINT("reap-after-locks");
    return context_empty(&stand_in);
}

/* True: the slot is free now, if it was not before. */
static bool reap_if_dead(struct context *ctx, uint32_t slot) {
    struct segment *seg = ctx->seg;
    owner_t *own = &seg->owners[slot];
    if (FIELD(load_relaxed_u64(&own->state), OWNER_STATE_STATE) == 0)
        return true;
    if (slot_is_ours(seg, slot) || slot_try_lock(seg, slot) != 0)
        return false;
    slot_condemn(own);
    /* A failure (a lock that times out, damage) leaves the slot to the next. */
    bool reaped = slot_reap(ctx, slot) == SHMKV_OK;
    if (reaped)
        store_release_u64(&own->state, state_word(own->state, false, false));
    slot_unlock(seg, slot);
    return reaped;
}

static void reap_all(struct context *ctx) {
    for (uint32_t i = 0; i < ctx->seg->owner_count; i++)
        (void)reap_if_dead(ctx, i);
}

/* ----------------------------------------------------------------------- claim */

static void context_init(struct context *ctx, struct segment *seg, uint32_t slot) {
    owner_t *own = &seg->owners[slot];
    uint64_t gen = FIELD(own->state, OWNER_STATE_GENERATION);
    ctx->seg = seg;
    ctx->own = own;
    ctx->lock_word = (uint32_t)(MAKE(LOCK_OWNER, slot + 1) | MAKE(LOCK_GENERATION, gen));
    ctx->patience_ms = seg->lock_timeout_ms;
    ctx->found_dead = 0;
    ctx->locks = 0;
}

/* We hold the owner lock of @p slot. Make it ours, cleaning up first if it is @p dirty. */
static int slot_adopt(struct segment *seg, uint32_t slot, bool dirty, struct context *ctx) {
    owner_t *own = &seg->owners[slot];
    /* Live in name before the clean-up: locks taken by it must be seen as held
     * by a live owner. The generation goes first, so that a lock word of the
     * dead owner can no longer be mistaken for ours. */
    uint64_t r = 0;
    int err = own->version ? SHMKV_OK : random_bytes(&r, sizeof r);
    if (err)
        return err;
    process_introduce(own);
    if (own->version == 0)
        own->version = MAKE(SLOT_TAG, slot + 1) | (r & 0xffffffffffULL) << 1;
    store_release_u64(&own->state, state_word(own->state, true, true));
    context_init(ctx, seg, slot);
    FAULT_POINT("claim-after-live");
    return dirty ? slot_reap(ctx, slot) : SHMKV_OK;
}

/* Context @p n becomes the writer of the first slot that nobody alive has. */
static int slot_find(struct segment *seg, unsigned n) {
    struct context *ctx = &seg->contexts[n];
    int failure = SHMKV_OK;
    for (uint32_t i = 0; i < seg->owner_count; i++) {
        if (slot_is_ours(seg, i))
            continue;
        int locked = slot_try_lock(seg, i);
        if (locked == EAGAIN)
            continue;
        if (locked != 0) /* no such locks here, or no memory for one: it may work with the next */
            failure = fail(locked, "%s: locking owner slot %u", seg->loc->path, i);
        if (locked != 0)
            continue;
        /* [LOCK-28] Before it is listed: our other threads would take its dead owner for us, and
         * keys of his for present. */
        bool dirty = FIELD(seg->owners[i].state, OWNER_STATE_STATE) != 0;
        if (dirty)
            slot_condemn(&seg->owners[i]);
        /* [LOCK-17] Listed before any lock can name it: the kernel tells our other
         * threads that a byte which this handle has locked is free. */
        ctx->slot = i;
        atomic_store(&seg->context_count, n + 1);
        int err = slot_adopt(seg, i, dirty, ctx);
        if (!err)
            return SHMKV_OK;
        /* [LOCK-25] Its last owner cannot be cleaned up after now: try another. */
        failure = err;
        atomic_store(&seg->context_count, n);
        slot_unlock(seg, i);
    }
    return failure ? failure
                   : fail(SHMKV_ENOSLOTS, "%s has %u slots", seg->loc->path, seg->owner_count);
}

static int context_claim(struct segment *seg, struct context **out) {
    if (seg->lock_fd < 0) {
        int err = segment_open_locks(seg);
        if (err)
            return err;
    }
    unsigned n = atomic_load(&seg->context_count);
    struct context *ctx = &seg->contexts[n];
    /* No memset: another thread may still look at an attempt that failed. */
    atomic_store(&ctx->lock_word, 0);
    atomic_store(&ctx->busy, 1);
    atomic_store_explicit(&ctx->thread, pthread_self(), memory_order_relaxed);
    int err = slot_find(seg, n);
    if (err)
        return err;
    if (n == 0)
        reap_all(ctx);
    *out = ctx;
    return SHMKV_OK;
}

/* -------------------------------------------------------------------- contexts */

static inline struct context *idle_context(struct segment *seg) {
    unsigned n = atomic_load_explicit(&seg->context_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        struct context *ctx = &seg->contexts[i];
        unsigned idle = 0;
        if (atomic_load_explicit(&ctx->busy, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&ctx->busy, &idle, 1, memory_order_acquire,
                                                    memory_order_relaxed)) {
            atomic_store_explicit(&ctx->thread, pthread_self(), memory_order_relaxed);
            return ctx;
        }
    }
    return NULL;
}

static int claim_serialised(struct segment *seg, struct context **out) {
    int err = thread_lock(&seg->claiming);
    if (err)
        return err;
    int cancel = cancel_off();
    if (atomic_load(&seg->context_count) < MAX_CONTEXTS)
        err = context_claim(seg, out);
    cancel_restore(cancel);
    thread_unlock(&seg->claiming);
    return err;
}

/* Clean up after all the dead. The owner locks do not keep two threads of one
 * handle apart; hence not while another claims or reaps. */
void owners_reap(struct context *ctx) {
    if (thread_lock(&ctx->seg->claiming) != SHMKV_OK)
        return;
    int cancel = cancel_off();
    reap_all(ctx);
    cancel_restore(cancel);
    thread_unlock(&ctx->seg->claiming);
}

bool owner_reap(struct context *ctx, uint32_t slot) {
    if (slot >= ctx->seg->owner_count || thread_lock(&ctx->seg->claiming) != SHMKV_OK)
        return false;
    int cancel = cancel_off();
    bool reaped = reap_if_dead(ctx, slot);
    cancel_restore(cancel);
    thread_unlock(&ctx->seg->claiming);
    return reaped;
}

void owner_bury(struct segment *seg, uint64_t owner) {
    uint32_t slot = (uint32_t)owner - 1;
    struct context *ctx;
    if (slot >= seg->owner_count || owner_liveness(seg, slot) != SHMKV_DEAD ||
        context_acquire(seg, &ctx) != SHMKV_OK)
        return; /* it is for the next who looks */
    (void)owner_reap(ctx, slot);
    context_release(ctx);
}

int context_acquire(struct segment *seg, struct context **out) {
    fork_check();
    *out = idle_context(seg);
    uint64_t deadline = 0;
    while (!*out) {
        int err = claim_serialised(seg, out);
        /* Without a further slot our threads take turns with those we have. */
        if (err == SHMKV_EDEADLK || (err && !atomic_load(&seg->context_count)))
            return err;
        if (!*out)
            *out = idle_context(seg);
        if (*out)
            break;
        if (!deadline)
            deadline = now_ns() + (uint64_t)seg->lock_timeout_ms * 1000000u;
        if (now_ns() > deadline)
            return fail(SHMKV_EBUSY, "%s: %u threads of this handle are writing", seg->loc->path,
                        atomic_load(&seg->context_count));
        sched_yield();
    }
    return SHMKV_OK;
}

void context_release(struct context *ctx) {
    atomic_store_explicit(&ctx->busy, 0, memory_order_release);
}

/* [LIFE-17] No lock is held here: every call releases what it takes. */
int owners_detach(struct segment *seg) {
    fork_check();
    unsigned n = atomic_load(&seg->context_count);
    int result = SHMKV_OK;
    for (unsigned i = 0; i < n; i++) {
        struct context *ctx = &seg->contexts[i];
        atomic_store_explicit(&ctx->thread, pthread_self(), memory_order_relaxed);
        int err = context_empty(ctx);
        if (err)
            result = err; /* the slot stays marked; the next opener finishes */
        else
            store_release_u64(&ctx->own->state, state_word(ctx->own->state, false, false));
    }
    atomic_store(&seg->context_count, 0);
    return result;
}
