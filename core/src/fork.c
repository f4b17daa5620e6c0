/*
 * What a child forgets of its parent. Spec 4.4.
 *
 * [LOCK-12] The child must not keep the parent's lock descriptor open: the parent's death
 * would go unnoticed as long as the child lives. A handler of pthread_atfork
 * closes it. A fork that runs no handlers is noticed by a page the kernel wipes
 * in every child (MADV_WIPEONFORK), at the child's first write.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "once.h"

static pthread_mutex_t lockable_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct segment *lockable;
static uint32_t *fork_page; /* 1 in the process that set it; 0 in a child that ran no handler */
static struct once watched;

static void forget_parent(void) {
    for (struct segment *seg = lockable; seg; seg = seg->next_lockable) {
        if (seg->lock_fd >= 0)
            close(seg->lock_fd);
        seg->lock_fd = -1;
        atomic_store(&seg->context_count, 0);
        atomic_store(&seg->claiming.holder, 0);
    }
    guard_forget_threads();
    __atomic_store_n(fork_page, 1, __ATOMIC_RELEASE);
}

static void before_fork(void) { pthread_mutex_lock(&lockable_mutex); }
static void after_fork_parent(void) { pthread_mutex_unlock(&lockable_mutex); }
static void after_fork_child(void) {
    forget_parent();
    pthread_mutex_unlock(&lockable_mutex);
    /* We run, so we are registered, even if the parent's thread had not come to say so. */
    once_end(&watched, true);
}

static int watch_forks(void) {
    if (!fork_page) {
        void *p =
            mmap(NULL, SHMKV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return errno;
        /* Kernels before 4.14 do not know it; then the handler alone must do. */
        madvise(p, SHMKV_PAGE_SIZE, MADV_WIPEONFORK);
        fork_page = p;
        *fork_page = 1;
    }
    return pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int fork_watch(void) {
    if (!once_begin(&watched))
        return SHMKV_OK;
    int err = watch_forks();
    once_end(&watched, !err);
    return err ? fail(err, "preparing for fork") : SHMKV_OK;
}

void fork_check(void) {
    if (__builtin_expect(__atomic_load_n(fork_page, __ATOMIC_ACQUIRE) == 1, 1))
        return;
    /* No handler ran in this child, so its only thread is ours. */
    forget_parent();
}

static struct segment **listed(struct segment *seg) {
    struct segment **p = &lockable;
    while (*p && *p != seg)
        p = &(*p)->next_lockable;
    return p;
}

/* Opening and listing are one step for a fork, and so are unlisting and closing: a
 * child in between would keep a descriptor that nobody closes. */
int segment_open_locks(struct segment *seg) {
    pthread_mutex_lock(&lockable_mutex);
    int err = lock_descriptor_open(seg);
    if (!err && !*listed(seg)) {
        seg->next_lockable = lockable;
        lockable = seg;
    }
    pthread_mutex_unlock(&lockable_mutex);
    return err;
}

/* Closing the lock descriptor is what drops the owner locks. */
void segment_close_locks(struct segment *seg) {
    pthread_mutex_lock(&lockable_mutex);
    struct segment **p = listed(seg);
    if (*p)
        *p = seg->next_lockable;
    if (seg->lock_fd >= 0)
        close(seg->lock_fd);
    seg->lock_fd = -1;
    pthread_mutex_unlock(&lockable_mutex);
}
