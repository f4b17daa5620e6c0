/*
 * What the races share: a shared memory of their own to count in, events that processes
 * wait for, and what a process has open.
 */
#ifndef SHMKV_TESTS_RACES_H
#define SHMKV_TESTS_RACES_H

#include "tests/stress/stress.h"
#include "tests/support/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------- a shared memory of our own */

/* Where segments lie, and can be counted: an empty /dev/shm that nobody else sees, or,
 * where the system grants no mount namespace, a directory of our own. */
struct place_of_segments {
    bool own_shm;
    const char *dir;
    uint64_t blocks, objects; /* of the file system, free at the beginning */
};

static inline struct statfs free_in(const struct place_of_segments *p) {
    struct statfs fs;
    if (statfs(p->dir, &fs) != 0)
        die("%s: %s", p->dir, strerror(errno));
    return fs;
}

static inline struct place_of_segments place_make(void) {
    struct place_of_segments p = {.dir = "/dev/shm"};
    p.own_shm = apart(CLONE_NEWNS) && mounted_apart("/dev/shm", "tmpfs", "size=512m,mode=1777");
    if (!p.own_shm) {
        p.dir = scratch_dir();
        printf("no mount namespace: segments are files in %s, and memory is not counted\n", p.dir);
    }
    struct statfs fs = free_in(&p);
    p.blocks = fs.f_bfree;
    p.objects = fs.f_ffree;
    return p;
}

static inline const char *place_name(const struct place_of_segments *p, const char *entry) {
    return p->own_shm ? entry : scratch_path(entry);
}

/* Nothing is there any more, and nothing nameless that takes memory. */
static inline void place_must_be_empty(const struct place_of_segments *p) {
    unsigned n = directory_count(p->dir);
    if (n)
        die("%u objects are left in %s", n, p->dir);
    if (!p->own_shm)
        return;
    struct statfs fs = free_in(p);
    if (fs.f_bfree != p->blocks || fs.f_ffree != p->objects)
        die("%lld blocks and %lld objects without a name are left",
            (long long)(p->blocks - fs.f_bfree), (long long)(p->objects - fs.f_ffree));
}

/* ---------------------------------------------------------------------------- events */

/* A number in shared memory that only grows, and that processes wait for. */
struct event {
    _Atomic(uint32_t) count;
};

static inline uint32_t event_count(struct event *e) { return atomic_load(&e->count); }

static inline void event_happens(struct event *e) {
    atomic_fetch_add(&e->count, 1);
    syscall(SYS_futex, &e->count, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Until it has happened again since the count was @p seen, or for a second. */
static inline void event_wait(struct event *e, uint32_t seen) {
    struct timespec second = {.tv_sec = 1};
    syscall(SYS_futex, &e->count, FUTEX_WAIT, seen, &second, NULL, 0);
}

/* Until it has happened @p n times; however long that takes. */
static inline void event_reach(struct event *e, uint32_t n) {
    for (uint32_t now; (int32_t)((now = event_count(e)) - n) < 0;)
        event_wait(e, now);
}

/* ------------------------------------------------------------------------- processes */

/* A child that should be there still. */
static inline void must_live(pid_t pid, const char *who) {
    int status;
    if (waitpid(pid, &status, WNOHANG) == pid)
        die("%s has ended by itself, status 0x%x", who, status);
}

static inline unsigned descriptors_open(void) { return directory_count("/proc/self/fd"); }

static inline unsigned mappings(void) {
    unsigned n = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    if (!f)
        die("/proc/self/maps: %s", strerror(errno));
    for (int c; (c = getc(f)) != EOF;)
        n += c == '\n';
    fclose(f);
    return n;
}

/* Let some time pass that nobody chose, up to @p ns nanoseconds. */
static inline void pass_time(struct random *r, uint64_t ns) {
    uint64_t t = random_below(r, ns + 1);
    nanosleep(
        &(struct timespec){.tv_sec = (time_t)(t / 1000000000u), .tv_nsec = (long)(t % 1000000000u)},
        NULL);
}

#endif
