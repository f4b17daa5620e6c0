/*
 * When may a segment that the handle has left be unmapped? When no thread of the
 * process is inside a call on it. Nothing here is in shared memory.
 *
 * Each thread says in a record of its own which segment it is working on: a
 * plain store on the way in, another on the way out, no atomic operation and no
 * fence. The one who wants to unmap pays instead: the membarrier system call
 * makes every thread pass a full barrier, after which each either shows the old
 * segment in its record, or will find the handle's new one when it looks. These
 * are hazard pointers (M. Michael, 2004) with the asymmetric fence of liburcu's
 * "memb" flavour (M. Desnoyers et al., 2012).
 *
 * A reference count in the handle was passed over: two atomic operations on a
 * line that all threads share would cost more than a whole get.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"
#include "once.h"

static _Atomic(struct guard *) guards;
static pthread_key_t guard_key;
static struct once key_made;

_Thread_local struct guard *guard_mine GUARD_TLS;

static void thread_ends(void *arg) {
    struct guard *g = arg;
    guard_mine = NULL;
    /* A cancelled thread may not have come to the end of its call. */
    for (int i = 0; i < MAX_NESTING; i++)
        atomic_store(&g->inside[i], NULL);
    atomic_store(&g->taken, 0);
}

static int make_key(void) {
    if (!once_begin(&key_made))
        return 0;
    int err = pthread_key_create(&guard_key, thread_ends);
    once_end(&key_made, !err);
    return err;
}

static struct guard *reuse(void) {
    for (struct guard *g = atomic_load(&guards); g; g = g->next) {
        unsigned idle = 0;
        if (atomic_compare_exchange_strong(&g->taken, &idle, 1))
            return g;
    }
    return NULL;
}

/* mmap and not malloc: the first call of a thread may be in a signal handler. */
static struct guard *new_guard(void) {
    struct guard *g =
        mmap(NULL, SHMKV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g == MAP_FAILED)
        return NULL;
    atomic_store(&g->taken, 1);
    g->next = atomic_load(&guards);
    while (!atomic_compare_exchange_weak(&guards, &g->next, g))
        ;
    return g;
}

int guard_create(void) {
    int err = make_key();
    if (err)
        return err;
    struct guard *g = reuse();
    if (!g)
        g = new_guard();
    if (!g)
        return errno;
    err = pthread_setspecific(guard_key, g);
    if (err) {
        atomic_store(&g->taken, 0);
        return err;
    }
    g->detail[0] = '\0';
    guard_mine = g;
    return 0;
}

/* Does any thread work on @p seg, which no handle leads to any more? */
bool guard_in_use(const struct segment *seg) {
    /* ORDER guard-look: the handle's new segment, then the records. */
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0 ||
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
        return true; /* cannot tell: it stays until the handle is closed */
    for (struct guard *g = atomic_load(&guards); g; g = g->next)
        for (int i = 0; i < MAX_NESTING; i++)
            if (atomic_load_explicit(&g->inside[i], memory_order_acquire) == seg)
                return true;
    return false;
}

/* In a forked child, the other threads and what they were doing are gone. */
void guard_forget_threads(void) {
    for (struct guard *g = atomic_load(&guards); g; g = g->next) {
        if (g == guard_mine)
            continue;
        for (int i = 0; i < MAX_NESTING; i++)
            atomic_store(&g->inside[i], NULL);
        atomic_store(&g->taken, 0);
    }
}
