/*
 * Files: opening one without trusting it, and making one that nobody sees
 * before it is whole. Spec 5.2 and 5.3.
 *
 * A new segment is built in a nameless file (O_TMPFILE) and then linked to its
 * name, which either succeeds with everything in place or finds the name taken.
 * Where the file system does not allow that, the file is built under a private
 * name first; the link is the same. /proc must be mounted: it is how an open file
 * is told to the linking call.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define ALLOCATE_AT_ONCE (16ULL << 20)

/* For a few bytes, of which getrandom() never gives a part. It fails where a
 * filter of system calls forbids it. */
int random_bytes(void *out, size_t len) {
    ssize_t n;
    do
        n = getrandom(out, len, 0);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len ? SHMKV_OK : fail(n < 0 ? errno : EIO, "getrandom");
}

/* ------------------------------------------------------------------------ open */

static int check_object(const struct location *loc, int fd, unsigned flags) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(errno, "%s", loc->path);
    if (!S_ISREG(st.st_mode))
        return fail(SHMKV_EFOREIGN, "%s is not a regular file", loc->path);
    uid_t me = geteuid();
    if (st.st_uid != me && st.st_uid != 0 && !(flags & SHMKV_ANY_OWNER))
        return fail(SHMKV_EOWNER, "%s belongs to user %u, we are user %u", loc->path,
                    (unsigned)st.st_uid, (unsigned)me);
    return SHMKV_OK;
}

/* Another descriptor for the same, above the standard ones; -1 and errno. */
int fd_copy(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (copy < 0 && errno == EINVAL)
        errno = EMFILE; /* RLIMIT_NOFILE forbids all of those */
    return copy;
}

/* A program whose standard descriptors are closed would get the segment as one of
 * them, and its next message would be written over our header. */
int fd_above_standard(int fd) {
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int moved = fd_copy(fd), saved = errno;
    close(fd);
    errno = saved;
    return moved;
}

/* Open what has the name, if it may be a segment. O_NONBLOCK: a FIFO must not
 * hold us up; O_NOFOLLOW: a link may lead anywhere. */
int file_open(const struct location *loc, bool writable, unsigned flags, int *out) {
    int mode = (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = fd_above_standard(open(loc->path, mode));
    if (fd < 0) {
        if (errno == ENOENT)
            return SHMKV_ENOSEGMENT;
        if (errno == ELOOP)
            return fail(SHMKV_EFOREIGN, "%s is a symbolic link, which is not followed", loc->path);
        if (errno == EISDIR)
            return fail(SHMKV_EFOREIGN, "%s is a directory", loc->path);
        if (errno == ENXIO || errno == ENODEV)
            return fail(SHMKV_EFOREIGN, "%s is a socket or a device", loc->path);
        return fail(errno, "%s", loc->path);
    }
    int err = check_object(loc, fd, flags);
    if (err) {
        close(fd);
        return err;
    }
    *out = fd;
    return SHMKV_OK;
}

/* ---------------------------------------------------------------------- create */

/* A bound is kept shard by shard, and keys are not spread quite evenly: fewer shards,
 * so that each has enough of it to use its part well. */
#define SHARD_ENTRIES_LEAST 1024
#define SHARD_BYTES_LEAST (4ULL << 20)

static bool evicts(const struct shmkv_options *opts) {
    return opts->max_entries || opts->max_bytes || opts->evict;
}

static uint32_t shards_for(const struct shmkv_options *opts) {
    uint32_t n = SHMKV_DEFAULT_SHARDS;
    while (n > 1 && ((opts->max_entries && opts->max_entries / n < SHARD_ENTRIES_LEAST) ||
                     (opts->max_bytes && opts->max_bytes / n < SHARD_BYTES_LEAST) ||
                     (evicts(opts) && opts->max_size && opts->max_size / n < SHARD_BYTES_LEAST)))
        n /= 2;
    return n;
}

/* [EVOL-04] Of the feature bits, those that the options ask for. [EVOL-05] @p h is all zero. */
static int fill_header(header_t *h, const struct shmkv_options *opts, uint64_t incarnation) {
    memcpy(h->magic, SHMKV_MAGIC, sizeof h->magic);
    h->revision = SHMKV_REVISION;
    h->header_size = sizeof *h;
    int err = random_bytes(h->uuid, sizeof h->uuid);
    if (!err)
        err = random_bytes(&h->hash_seed, sizeof h->hash_seed);
    if (err)
        return err;
    h->uuid[6] = (uint8_t)((h->uuid[6] & 0x0f) | 0x40); /* version 4, RFC 9562 */
    h->uuid[8] = (uint8_t)((h->uuid[8] & 0x3f) | 0x80);
    h->incarnation = incarnation;
    h->shard_count = shards_for(opts);
    h->arena_count = SHMKV_DEFAULT_ARENAS;
    h->owner_count = opts->owner_slots ? opts->owner_slots : SHMKV_DEFAULT_OWNERS;
    h->page_size = SHMKV_PAGE_SIZE;
    h->owners_offset = sizeof *h;
    h->shards_offset = h->owners_offset + h->owner_count * sizeof(owner_t);
    h->arenas_offset = h->shards_offset + h->shard_count * sizeof(shard_t);
    h->space_offset = h->arenas_offset + h->arena_count * sizeof(arena_t);
    h->data_offset = round_up(h->space_offset + sizeof(space_t), SHMKV_PAGE_SIZE);
    h->max_key = SHMKV_MAX_KEY;
    h->max_value = SHMKV_MAX_VALUE;
    h->max_size = opts->max_size;
    h->default_ttl_ns = opts->default_ttl_ns;
    h->max_entries = opts->max_entries;
    h->max_bytes = opts->max_bytes;
    if (evicts(opts))
        h->ro_compat |= SHMKV_RO_COMPAT_EVICTS;
    h->created_ns = wall_ns();
    h->creator_uid = geteuid();
    h->creator_pid = (uint32_t)getpid();
    if (boot_id_read(h->boot_id) != 0)
        memset(h->boot_id, 0, sizeof h->boot_id); /* unknown, without /proc */
    program_name_read(h->creator_name);
    h->checksum = hash_bytes(h, offsetof(header_t, checksum), 0);
    h->state = SHMKV_SEGMENT_STATE_LIVE;
    h->boot = boot_word();
    return SHMKV_OK;
}

/* RLIMIT_FSIZE kills with SIGXFSZ where it could say no; ask it first. */
static int check_file_limit(uint64_t size, const char *path) {
    struct rlimit rl;
    if (getrlimit(RLIMIT_FSIZE, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY && size > rl.rlim_cur)
        return fail(SHMKV_ENOSPC, "%s: RLIMIT_FSIZE (%llu bytes) is in the way", path,
                    (unsigned long long)rl.rlim_cur);
    return SHMKV_OK;
}

/* In pieces, so that a process which gets signals all the time gets on. What a
 * failure leaves beyond the limit is given back. */
static int allocate_by_pieces(int fd, uint64_t from, uint64_t to) {
    for (uint64_t at = from; at < to;) {
        uint64_t n = to - at < ALLOCATE_AT_ONCE ? to - at : ALLOCATE_AT_ONCE;
        if (fallocate(fd, 0, (off_t)at, (off_t)n) == 0) {
            at += n;
        } else if (errno != EINTR) {
            int err = errno;
            if (at > from)
                fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                          (off_t)(at - from));
            return err;
        }
    }
    return 0;
}

/* At once if possible: then a failure changes nothing. */
static int allocate(int fd, uint64_t from, uint64_t to) {
    if (fallocate(fd, 0, (off_t)from, (off_t)(to - from)) == 0)
        return 0;
    return errno == EINTR ? allocate_by_pieces(fd, from, to) : errno;
}

int file_allocate(int fd, uint64_t from, uint64_t to, const char *path) {
    int err = check_file_limit(to, path);
    if (err)
        return err;
    int cancel = cancel_off();
    err = allocate(fd, from, to);
    cancel_restore(cancel);
    if (!err)
        return SHMKV_OK;
    errno = err;
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return fail(SHMKV_ENOSPC, "%s, %llu bytes more", path, (unsigned long long)(to - from));
    return fail(errno, "allocating space for %s", path);
}

static int write_whole(int fd, const void *bytes, size_t len, off_t at) {
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(fd, (const char *)bytes + done, len - done, at + (off_t)done);
        if (n < 0 && errno != EINTR)
            return errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int fill_file(int fd, const struct location *loc, const struct shmkv_options *opts,
                     uint64_t incarnation) {
    header_t *h = calloc(1, sizeof *h);
    if (!h)
        return fail(ENOMEM, "%s", loc->path);
    int err = fill_header(h, opts, incarnation);
    if (!err)
        err = file_allocate(fd, 0, h->data_offset, loc->path);
    if (!err) {
        space_t space = {.limit = h->data_offset};
        int e = write_whole(fd, &space, sizeof space, (off_t)h->space_offset);
        if (!e)
            e = write_whole(fd, h, sizeof *h, 0);
        if (!e && fchmod(fd, opts->permissions ? opts->permissions : 0600) != 0)
            e = errno;
        if (e)
            err = fail(e, "building %s", loc->path);
    }
    free(h);
    return err;
}

/* Without O_TMPFILE: a private name, removed again once the file is linked. */
static int open_private_name(const struct location *loc, struct new_file *file) {
    uint64_t r;
    if (random_bytes(&r, sizeof r) != SHMKV_OK)
        return -1;
    if (snprintf(file->private_path, sizeof file->private_path, "%s/.shmkv-new-%016llx", loc->dir,
                 (unsigned long long)r) >= (int)sizeof file->private_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(file->private_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        file->private_path[0] = '\0'; /* not ours to remove */
        return -1;
    }
    return fd_above_standard(fd);
}

static int open_nameless(const struct location *loc, struct new_file *file) {
    file->private_path[0] = '\0';
    int fd = fd_above_standard(open(loc->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT))
        return fd;
    return open_private_name(loc, file);
}

static void drop_private_name(struct new_file *file) {
    if (file->private_path[0])
        unlink(file->private_path);
    file->private_path[0] = '\0';
}

/* Forget a file that was created and never got its name. */
void file_discard(struct new_file *file) {
    drop_private_name(file);
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

/* Give the file the name @p path. EEXIST: taken; the file is as before. */
int file_link(struct new_file *file, const char *path) {
    char proc[32];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", file->fd);
    const char *from = file->private_path[0] ? file->private_path : proc;
    FAULT_POINT("create-before-link");
    int err = linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
    FAULT_POINT("create-after-link");
    if (err == EEXIST)
        return EEXIST;
    if (err == ENOENT && from == proc)
        return fail(err, "naming %s (is /proc mounted?)", path);
    if (err)
        return fail(err, "naming %s", path);
    file->linked = true;
    drop_private_name(file);
    return SHMKV_OK;
}

int file_create(const struct location *loc, const struct shmkv_options *opts, uint64_t incarnation,
                struct new_file *file) {
    file->linked = false;
    file->fd = open_nameless(loc, file);
    int err = file->fd < 0 ? fail(errno, "creating %s", loc->path)
                           : fill_file(file->fd, loc, opts, incarnation);
    if (err)
        file_discard(file);
    return err;
}
