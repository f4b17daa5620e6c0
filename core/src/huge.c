/*
 * Huge pages, for those who ask: SHMKV_HUGE_PAGES.
 *
 * A lookup in a store of many millions of entries touches pages at random, and with
 * pages of 4 KiB nearly each touch is also a walk through the page tables, in a virtual
 * machine through two of them. Pages of 2 MiB spare most of that. They are a property of a
 * mapping and of the file's memory, not of the format: other processes see the same
 * bytes at the same offsets, whatever their pages.
 *
 * A huge page needs three things: addresses that agree with offsets in the file below
 * 2 MiB (map_aligned), a mapping that is marked for it, so that the kernel makes them in
 * its own time too (MADV_HUGEPAGE), and somebody to do it at once (MADV_COLLAPSE, Linux 6.1;
 * in memory it works whatever shmem_enabled says). Each may be refused: by an older
 * kernel, by its settings, by the file system, for want of memory in one piece. Then the
 * pages stay small, and nothing else changes. huge_mapped() tells what came of it.
 *
 * What the file has is done when it is mapped. A segment that grows grows to the end of a
 * huge page, which is allocated as always and, after the lock, made one: a put waits about a
 * millisecond for each 2 MiB. (A hole cannot be collapsed, and fallocate knows nothing of the
 * mark.)
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define HUGE_PAGE (2ULL << 20)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Everybody's mapping is: where one process has made huge pages, the others then see them
 * as such. */
void *map_aligned(uint64_t size, int prot, int fd) {
    uint8_t *hole =
        mmap(NULL, size + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (hole == MAP_FAILED) /* there may be room for that much, and no more */
        return mmap(NULL, size, prot, MAP_SHARED | MAP_NORESERVE, fd, 0);
    uint64_t front = -(uintptr_t)hole % HUGE_PAGE;
    void *p = mmap(hole + front, size, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
    int error = errno;
    if (p == MAP_FAILED) {
        munmap(hole, size + HUGE_PAGE);
    } else {
        if (front)
            munmap(hole, front);
        munmap(hole + front + size, HUGE_PAGE - front);
    }
    errno = error;
    return p;
}

/* A piece at a time: the kernel may have no memory for one, and for the next it has. */
static void collapse(const struct segment *seg, uint64_t from, uint64_t to) {
    for (uint64_t off = from; off + HUGE_PAGE <= to; off += HUGE_PAGE)
        if (madvise(seg->base + off, HUGE_PAGE, MADV_COLLAPSE) != 0 && errno == EINVAL)
            return; /* it does not know how, or not for this file */
}

void huge_pages(const struct segment *seg, uint64_t file_size) {
    if (madvise(seg->base, seg->reserve, MADV_HUGEPAGE) == 0)
        collapse(seg, 0, file_size);
}

uint64_t huge_limit(uint64_t limit) { return round_up(limit, HUGE_PAGE); }

void huge_grow(const struct segment *seg, uint64_t from, uint64_t to) {
    collapse(seg, huge_limit(from), to);
}

/* What is read of /proc/self/smaps, line by line. */
struct maps {
    const struct segment *seg;
    bool ours; /* the lines are about a piece of our mapping */
    uint64_t huge;
};

static void look_at_line(struct maps *m, const char *line) {
    uintptr_t from, to, base = (uintptr_t)m->seg->base;
    uint64_t kib;
    /* "7f0012345000-7f0812345000 rw-s ..." begins a mapping. */
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
        m->ours = from >= base && from - base < m->seg->reserve;
    else if (m->ours && (sscanf(line, "ShmemPmdMapped: %" SCNu64, &kib) == 1 ||
                         sscanf(line, "FilePmdMapped: %" SCNu64, &kib) == 1))
        m->huge += kib * 1024;
}

/* The whole lines in @p text; how much is left of the last. */
static size_t look_at_lines(struct maps *m, char *text) {
    char *end;
    char *line = text;
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        look_at_line(m, line);
    }
    size_t left = strlen(line);
    memmove(text, line, left + 1);
    return left;
}

static COLD ssize_t read_more(int fd, char *to, size_t room) {
    ssize_t n;
    do
        n = read(fd, to, room);
    while (n < 0 && errno == EINTR);
    return n;
}

uint64_t huge_mapped(const struct segment *seg) {
    struct maps m = {.seg = seg};
    int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char text[8192]; /* a line has a path in it */
    size_t have = 0;
    ssize_t n;
    while (have < sizeof text - 1 && (n = read_more(fd, text + have, sizeof text - 1 - have)) > 0) {
        text[have + (size_t)n] = '\0';
        have = look_at_lines(&m, text);
    }
    close(fd);
    return m.huge;
}
