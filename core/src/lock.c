/*
 * Domains and their locks. Spec 4.
 *
 * A lock is one 32-bit word that names its owner: an owner slot, with the low
 * bits of the slot's generation, and a bit that says somebody sleeps on it. It
 * is taken by compare-and-swap from zero and released by storing zero. A waiter
 * that finds the owner dead swaps its own name in and finishes the dead owner's
 * intent before it touches anything: that is all the recovery there is.
 *
 * A robust pthread mutex was passed over: docs/decisions has the measurements.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <assert.h>

#include "internal.h"

#define SPINS 100
#define FIRST_WAIT_NS 1000000ULL
#define LONGEST_WAIT_NS 20000000ULL
#define WAITERS ((uint32_t)IN_PLACE(LOCK_WAITERS))

struct domain arena_domain(struct segment *seg, uint32_t index) {
    arena_t *a = &seg->arenas[index];
    return (struct domain){&a->lock,         &a->intent, a->entries, SHMKV_ARENA_ENTRIES,
                           SHMKV_LOCK_ARENA, index};
}

struct domain space_domain(struct segment *seg) {
    space_t *s = seg->space;
    return (struct domain){&s->lock,         &s->intent, s->entries, SHMKV_SPACE_ENTRIES,
                           SHMKV_LOCK_SPACE, 0};
}

uint32_t domain_count(const struct segment *seg) { return seg->shard_count + seg->arena_count + 1; }

struct domain domain_at(struct segment *seg, uint32_t i) {
    if (i < seg->shard_count)
        return shard_domain(seg, i);
    if (i < seg->shard_count + seg->arena_count)
        return arena_domain(seg, i - seg->shard_count);
    return space_domain(seg);
}

int futex_wait(uint32_t *word, uint32_t seen, uint64_t ns) {
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    return syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, NULL, 0) == 0 ? 0 : errno;
}

void futex_wake(uint32_t *word, int sleepers) {
    syscall(SYS_futex, word, FUTEX_WAKE, sleepers, NULL, NULL, 0);
}

static bool try_take(struct context *ctx, const struct domain *d, uint32_t expected,
                     uint32_t extra) {
    /* ORDER lock-take: pairs with lock-free in lock_release(): we see every
     * store of the last holder. Spec 4.3 step 1.
     * ORDER own-thread: who we are, then the word that names us. Pairs with
     * held_by_this_thread(), which must not take us for the last one who used
     * this context. */
    return cas_acq_rel_u32(d->lock, &expected, ctx->lock_word | extra);
}

/* [LOCK-09] Is the lock held by this very thread, by way of another context of
 * the same handle? Then waiting would be for ever. The generation counts: a slot
 * that we have just claimed may still be named by its dead owner's locks.
 * ORDER own-thread: the word was loaded with acquire, so the thread is who took it. */
static bool held_by_this_thread(struct context *ctx, uint32_t word) {
    struct segment *seg = ctx->seg;
    unsigned n = atomic_load(&seg->context_count);
    for (unsigned i = 0; i < n; i++) {
        struct context *other = &seg->contexts[i];
        if (other->lock_word == (word & ~WAITERS) && atomic_load(&other->busy))
            return pthread_equal(atomic_load_explicit(&other->thread, memory_order_relaxed),
                                 pthread_self());
    }
    return false;
}

static const char *const kind_names[] = {"shard", "arena", "space"};

static int timed_out(struct context *ctx, const struct domain *d, uint32_t slot) {
    char who[128] = "nobody";
    if (slot < ctx->seg->owner_count)
        owner_describe(ctx->seg, slot, who, sizeof who);
    return fail(SHMKV_ETIMEDOUT, "%s: %s %u is held by %s", ctx->seg->loc->path,
                kind_names[d->kind], d->index, who);
}

/* Wait a little while the word is @p seen. */
static void sleep_on(const struct domain *d, uint32_t seen, uint64_t ns) {
    if (!(seen & WAITERS)) {
        uint32_t expected = seen;
        if (!cas_acquire_u32(d->lock, &expected, seen | WAITERS))
            return;
    }
    futex_wait(d->lock, seen | WAITERS, ns);
}

/* What the slot that a lock word names is good for. A word that names no slot
 * can only be damage; nobody will ever release it. */
static enum shmkv_liveness word_liveness(struct context *ctx, uint32_t word, uint32_t *slot) {
    *slot = (uint32_t)FIELD(word, LOCK_OWNER) - 1;
    if (*slot >= ctx->seg->owner_count)
        return SHMKV_DEAD;
    enum shmkv_liveness l = owner_liveness(ctx->seg, *slot);
    if (l != SHMKV_ALIVE)
        return SHMKV_DEAD; /* a freed slot is named by a lock only when scribbled */
    uint64_t state = load_acquire_u64(&ctx->seg->owners[*slot].state);
    bool same = MAKE(LOCK_GENERATION, FIELD(state, OWNER_STATE_GENERATION)) ==
                (word & IN_PLACE(LOCK_GENERATION));
    return same ? SHMKV_ALIVE : SHMKV_DEAD;
}

/* [LOCK-06] The generation in the word makes this fail if the slot was reaped and claimed
 * anew since we looked. */
static bool take_over(struct context *ctx, const struct domain *d, uint32_t word) {
    FAULT_POINT("takeover-before-swap");
    bool taken = try_take(ctx, d, word, WAITERS);
    ctx->found_dead = taken ? word & ~WAITERS : 0;
    return taken;
}

static int wait_and_take(struct context *ctx, const struct domain *d, bool *taken_over) {
    uint64_t deadline = 0, wait = FIRST_WAIT_NS;
    uint32_t slept = 0;
    for (unsigned spins = 0;;) {
        uint32_t word = load_acquire_u32(d->lock); /* before its owner is examined */
        if ((word & ~WAITERS) == 0) {
            /* Having slept, we cannot know that nobody else does. */
            if (try_take(ctx, d, word, slept | (word & WAITERS)))
                return SHMKV_OK;
            continue;
        }
        /* The dead holder of one lock may have held many: we do not wait for the next. */
        bool dead_before = (word & ~WAITERS) == ctx->found_dead;
        if (!dead_before && spins++ < SPINS) {
            cpu_relax();
            continue;
        }
        uint32_t slot;
        if (!deadline) {
            deadline = now_ns() + (uint64_t)ctx->patience_ms * 1000000u;
            if (held_by_this_thread(ctx, word))
                return fail(SHMKV_EDEADLK, "%s: %s %u", ctx->seg->loc->path, kind_names[d->kind],
                            d->index);
        }
        if (!dead_before) {
            sleep_on(d, word, wait);
            slept = WAITERS;
        }
        uint32_t now = load_acquire_u32(d->lock); /* before its owner is examined */
        if ((now & ~WAITERS) != (word & ~WAITERS)) {
            if (now && now_ns() >= deadline)
                return timed_out(ctx, d, (uint32_t)FIELD(now, LOCK_OWNER) - 1);
            spins = 0;
            continue;
        }
        if (word_liveness(ctx, now, &slot) == SHMKV_DEAD) {
            *taken_over = take_over(ctx, d, now);
            if (*taken_over)
                return SHMKV_OK;
            continue;
        }
        if (now_ns() >= deadline)
            return timed_out(ctx, d, slot);
        ctx->found_dead = 0;
        wait = wait * 2 < LONGEST_WAIT_NS ? wait * 2 : LONGEST_WAIT_NS;
    }
}

static int take_slowly(struct context *ctx, const struct domain *d, bool *taken_over) {
    int cancel = cancel_off();
    int err = wait_and_take(ctx, d, taken_over);
    cancel_restore(cancel);
    return err;
}

int lock_take(struct context *ctx, const struct domain *d) {
    bool taken_over = false;
    if (!try_take(ctx, d, 0, 0)) {
        int err = take_slowly(ctx, d, &taken_over);
        if (err)
            return err;
    }
    ctx->locks++;
    /* [LOCK-07] An intent still here is that of a dead holder, or of the dead
     * who was finishing his. */
    if (load_relaxed_u64(d->intent) != 0) {
        FAULT_POINT("takeover-before-replay");
        int err = intent_replay(ctx->seg, d);
        if (err) {
            lock_release(ctx, d);
            return err;
        }
    }
    /* [WAIT-03] The dead holder may have changed something and told nobody. */
    if (unlikely(taken_over))
        domain_alarm(ctx->seg, d);
    return SHMKV_OK;
}

void lock_release(struct context *ctx, const struct domain *d) {
    assert(ctx->locks > 0);
    ctx->locks--;
    /* ORDER lock-free: every store under the lock, then the free word.
     * Pairs with lock-take. Spec 4.3 step 4. */
    if (exchange_release_u32(d->lock, 0) & WAITERS)
        futex_wake(d->lock, 1);
}
