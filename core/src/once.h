/*
 * What is done once in a process, by whoever needs it first.
 *
 * Not pthread_once(): what fails for want of memory is tried again by the next one. Nor a
 * mutex: a child forked while another thread has it would wait for that thread, which it has
 * not got. Here it finds its parent's number, and does it for itself.
 */
#ifndef SHMKV_ONCE_H
#define SHMKV_ONCE_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#define ONCE_DONE (-1)
struct once {
    _Atomic(pid_t) by; /* the process whose thread is at it; 0: nobody yet */
};

/* Is it for us to do? Then once_end() is to follow. */
static inline bool once_begin(struct once *once) {
    const pid_t self = getpid();
    for (pid_t by = 0; !atomic_compare_exchange_strong(&once->by, &by, self);) {
        if (by == ONCE_DONE)
            return false;
        if (by == self) {
            sched_yield(); /* another thread of ours will soon have done it, or failed */
            by = 0;
        }
    }
    return true;
}

static inline void once_end(struct once *once, bool done) {
    atomic_store(&once->by, done ? ONCE_DONE : 0);
}

#endif
