/*
 * The threads of one process among each other, where they seldom meet: a lock that
 * a signal handler and a forked child cannot hang on, and protection from
 * cancellation. Nothing here is in shared memory.
 */
#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

int thread_lock(struct thread_lock *l) {
    pid_t me = (pid_t)syscall(SYS_gettid), holder = 0;
    while (!atomic_compare_exchange_strong(&l->holder, &holder, me)) {
        if (holder == me)
            return fail(SHMKV_EDEADLK, "inside the handle");
        /* After a fork the holder may be a thread that only the parent has. */
        if (syscall(SYS_tgkill, getpid(), holder, 0) != 0 && errno == ESRCH) {
            if (atomic_compare_exchange_strong(&l->holder, &holder, me))
                return SHMKV_OK;
        } else {
            sched_yield();
        }
        holder = 0;
    }
    return SHMKV_OK;
}

void thread_unlock(struct thread_lock *l) { atomic_store(&l->holder, 0); }

int cancel_off(void) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

void cancel_restore(int state) { pthread_setcancelstate(state, NULL); }
