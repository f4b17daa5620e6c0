/*
 * The linker puts these in the place of the C library's (--wrap): every mapping of a
 * file stands between two PROT_NONE regions, so that a read or write outside is a
 * signal, and does not happen to meet other memory.
 */
#include <errno.h>
#include <sys/mman.h>

#include "tests/fuzz/images.h"

#define GUARD (64u << 20)
#define MAX_MAPPINGS 16

void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
int __real_munmap(void *at, size_t len);
ssize_t __real_getrandom(void *buf, size_t len, unsigned flags);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
int __wrap_munmap(void *at, size_t len);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);

/* Rooms stay, for the next mapping of the same length: two system calls instead of four. */
static struct room {
    uint8_t *at; /* of the mapping, GUARD behind the room's beginning */
    size_t len;  /* of the mapping */
    bool used;
} rooms[MAX_MAPPINGS];

static struct room *room_for(size_t len) {
    struct room *unused = NULL;
    for (int i = 0; i < MAX_MAPPINGS; i++) {
        if (rooms[i].used)
            continue;
        if (rooms[i].at && rooms[i].len == len)
            return &rooms[i];
        if (!unused || !rooms[i].at)
            unused = &rooms[i];
    }
    if (!unused)
        return NULL;
    if (unused->at)
        __real_munmap(unused->at - GUARD, unused->len + 2 * (size_t)GUARD);
    uint8_t *p = __real_mmap(NULL, len + 2 * (size_t)GUARD, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    unused->at = p == MAP_FAILED ? NULL : p + GUARD;
    unused->len = len;
    return unused->at ? unused : NULL;
}

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off) {
    if (fd < 0 || at)
        return __real_mmap(at, len, prot, flags, fd, off);
    struct room *room = room_for(round_up(len, SHMKV_PAGE_SIZE));
    if (!room) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *p = __real_mmap(room->at, len, prot, flags | MAP_FIXED, fd, off);
    room->used = p != MAP_FAILED;
    return p;
}

int __wrap_munmap(void *at, size_t len) {
    for (int i = 0; i < MAX_MAPPINGS; i++)
        if (rooms[i].used && rooms[i].at == at) {
            rooms[i].used = false;
            /* Nothing is there again. */
            void *p = __real_mmap(at, rooms[i].len, PROT_NONE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
            return p == MAP_FAILED ? -1 : 0;
        }
    return __real_munmap(at, len);
}

void *plain_mmap(size_t len, int prot, int flags, int fd) {
    return __real_mmap(NULL, len, prot, flags, fd, 0);
}

void plain_munmap(void *at, size_t len) { __real_munmap(at, len); }

static bool fixed_randomness;
void randomness_fix(bool fixed) { fixed_randomness = fixed; }

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags) {
    static struct random r = {1};
    if (!fixed_randomness)
        return __real_getrandom(buf, len, flags);
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)random_next(&r);
    return (ssize_t)len;
}
