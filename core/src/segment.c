/*
 * One mapped segment: checked once, mapped once, bounded for ever.
 *
 * The mapping is a reservation larger than the file. When another process grows
 * the file, the new part appears in place; nobody remaps, so no pointer ever
 * goes stale. The price is that an offset inside the reservation may lie beyond
 * the file, where touching it is SIGBUS. So the process keeps `safe_limit`, the
 * file's size as fstat() told it, and seg_at() refuses what lies beyond. The
 * allocation limit in the segment is never believed for this: a peer may have
 * scribbled over it. The file never shrinks [LIFE-10], so
 * safe_limit only grows.
 *
 * The sealed part of the header is checked and copied when the segment is
 * opened; no bound is ever read from shared memory again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "internal.h"

#define TMPFS_MAGIC 0x01021994
#define DEFAULT_RESERVE (32ULL << 30)

static uint64_t default_reserve(void) {
    struct sysinfo si;
    if (sysinfo(&si) != 0)
        return DEFAULT_RESERVE;
    uint64_t twice = 2 * (uint64_t)si.totalram * si.mem_unit;
    return twice > DEFAULT_RESERVE ? round_up(twice, 1ULL << 30) : DEFAULT_RESERVE;
}

/* Another thread may raise it at the same time, further or not as far. */
static void raise(uint64_t *limit, uint64_t value) {
    uint64_t known = load_relaxed_u64(limit);
    while (known < value && !cas_relaxed_u64(limit, &known, value))
        ;
}

/* The file has @p size bytes, or had. */
static void learn_size(struct segment *seg, uint64_t size) {
    size = size < seg->reserve ? size : seg->reserve;
    raise(&seg->safe_limit, size);
    if (size > seg->data_offset + SHORT_READ)
        raise(&seg->safe_span, size - SHORT_READ - seg->data_offset);
}

bool segment_covers(struct segment *seg, uint64_t end) {
    struct stat st;
    if (end > seg->reserve)
        return false;
    int failed = fstat(seg->fd, &st) == 0 ? 0 : errno;
    atomic_store(&seg->size_error, failed);
    if (failed)
        return false;
    learn_size(seg, (uint64_t)st.st_size);
    return end <= load_relaxed_u64(&seg->safe_limit);
}

/* Something at @p off is not what it should be: because it lies beyond our
 * reservation, in a file that has outgrown it, because the system did not tell
 * how long the file is by now, or because it is damaged. */
int damaged(const struct segment *seg, shmkv_off_t off, const char *what) {
    struct stat st;
    int failed = atomic_load(&seg->size_error);
    if (failed)
        return fail(failed, "%s: asking for its size", seg->loc->path);
    if (fstat(seg->fd, &st) == 0 && (uint64_t)st.st_size > seg->reserve)
        return fail(SHMKV_ERESERVE, "%s has %llu bytes, the reserve is %llu", seg->loc->path,
                    (unsigned long long)st.st_size, (unsigned long long)seg->reserve);
    return fail(SHMKV_ECORRUPT, "%s: at 0x%llx: %s", seg->loc->path, (unsigned long long)off, what);
}

/* ------------------------------------------------------------- header check */

static bool power_of_two(uint64_t n) { return n && !(n & (n - 1)); }

/* Does [off, off + count * size) lie behind the header, aligned, before data? */
static bool table_fits(const header_t *h, uint64_t off, uint64_t count, uint64_t size) {
    return off >= sizeof *h && off % SHMKV_LINE_SIZE == 0 && off <= h->data_offset &&
           count * size <= h->data_offset - off;
}

/* No byte belongs to two of the tables, each of which fits. */
static bool tables_apart(const header_t *h) {
    const uint64_t begin[] = {h->owners_offset, h->shards_offset, h->arenas_offset,
                              h->space_offset};
    const uint64_t size[] = {h->owner_count * sizeof(owner_t), h->shard_count * sizeof(shard_t),
                             h->arena_count * sizeof(arena_t), sizeof(space_t)};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            if (begin[i] < begin[j] + size[j] && begin[j] < begin[i] + size[i])
                return false;
    return true;
}

static bool geometry_sane(const header_t *h) {
    return h->header_size == sizeof *h && h->page_size == SHMKV_PAGE_SIZE &&
           power_of_two(h->shard_count) && h->shard_count <= SHMKV_MAX_SHARDS &&
           h->arena_count >= 1 && h->arena_count <= SHMKV_MAX_ARENAS && h->owner_count >= 1 &&
           h->owner_count <= SHMKV_MAX_OWNERS && h->data_offset % SHMKV_PAGE_SIZE == 0 &&
           h->data_offset <= SHMKV_MAX_SEGMENT &&
           table_fits(h, h->owners_offset, h->owner_count, sizeof(owner_t)) &&
           table_fits(h, h->shards_offset, h->shard_count, sizeof(shard_t)) &&
           table_fits(h, h->arenas_offset, h->arena_count, sizeof(arena_t)) &&
           table_fits(h, h->space_offset, 1, sizeof(space_t)) && tables_apart(h) &&
           h->max_key >= 1 && h->max_key <= SHMKV_MAX_KEY && h->max_value <= SHMKV_MAX_VALUE;
}

static int check_revision(const header_t *h, const char *path) {
    if (h->revision == SHMKV_REVISION)
        return SHMKV_OK;
    return fail(SHMKV_EFORMAT, "%s has format revision %u, this library knows %u", path,
                h->revision, SHMKV_REVISION);
}

int segment_check_header(const header_t *h, uint64_t file_size, bool writable, const char *path) {
    if (memcmp(h->magic, SHMKV_MAGIC, sizeof h->magic) != 0)
        return fail(SHMKV_EFOREIGN, "%s does not begin with shmkv's magic bytes", path);
    int err = check_revision(h, path);
    if (err)
        return err;
    if (hash_bytes(h, offsetof(header_t, checksum), 0) != h->checksum)
        return fail(SHMKV_ECORRUPT, "%s: the header's checksum does not match", path);
    if (h->incompat & ~SHMKV_FEATURES_INCOMPAT)
        return fail(SHMKV_EFORMAT, "%s uses features this library does not know (incompat 0x%llx)",
                    path, (unsigned long long)h->incompat);
    if (writable && (h->ro_compat & ~SHMKV_FEATURES_RO_COMPAT))
        return fail(
            SHMKV_EFORMAT,
            "%s uses features this library can only read (ro_compat 0x%llx); open it READONLY",
            path, (unsigned long long)h->ro_compat);
    if (!geometry_sane(h))
        return fail(SHMKV_ECORRUPT, "%s: the header's geometry makes no sense", path);
    if (file_size < h->data_offset)
        return fail(SHMKV_ECORRUPT, "%s is truncated: %llu bytes, its header needs %llu", path,
                    (unsigned long long)file_size, (unsigned long long)h->data_offset);
    return SHMKV_OK;
}

/* [LIFE-09] All below the limit was allocated. In memory (tmpfs), a hole there is an
 * attack or a damaged copy: whoever merely looks at it, by a mapping, has to pay for the
 * pages, and gets SIGBUS when there are none left. Other file systems may
 * compress, or count late. */
static int check_allocated(int fd, uint64_t limit, const char *path, const struct stat *st) {
    struct statfs fs;
    if ((uint64_t)st->st_blocks * 512 >= limit || fstatfs(fd, &fs) != 0 || fs.f_type != TMPFS_MAGIC)
        return SHMKV_OK;
    return fail(SHMKV_ECORRUPT, "%s has holes: %llu bytes are allocated, its limit is %llu", path,
                (unsigned long long)st->st_blocks * 512, (unsigned long long)limit);
}

/* The file must reach to the allocation limit. Read first, and the size after it:
 * a live segment may be growing, and its file grows before its limit does. */
static int check_whole(int fd, const header_t *h, const char *path, struct stat *st) {
    if (h->state < SHMKV_SEGMENT_STATE_LIVE || h->state > SHMKV_SEGMENT_STATE_REPLACED)
        return fail(SHMKV_ECORRUPT, "%s: segment state %llu", path, (unsigned long long)h->state);
    if (h->frozen > 1)
        return fail(SHMKV_ECORRUPT, "%s: its frozen word is %llu", path,
                    (unsigned long long)h->frozen);
    uint64_t limit;
    ssize_t n =
        pread(fd, &limit, sizeof limit, (off_t)(h->space_offset + offsetof(space_t, limit)));
    if (n < 0 || fstat(fd, st) != 0)
        return fail(errno, "%s", path);
    if (n != (ssize_t)sizeof limit)
        return fail(SHMKV_ECORRUPT, "%s is truncated in its space block", path);
    if (limit < h->data_offset || limit % SHMKV_PAGE_SIZE || limit > (uint64_t)st->st_size)
        return fail(SHMKV_ECORRUPT,
                    "%s is truncated or its limit is wrong: %llu bytes, the limit is %llu", path,
                    (unsigned long long)st->st_size, (unsigned long long)limit);
    return check_allocated(fd, limit, path, st);
}

/* Read the header with pread: a mapping of a short file could be SIGBUS. */
static int read_header(int fd, bool writable, const char *path, header_t *h, struct stat *st) {
    ssize_t n = pread(fd, h, sizeof *h, 0);
    if (n < 0 || fstat(fd, st) != 0)
        return fail(errno, "%s", path);
    if (n == 0)
        return fail(SHMKV_EFOREIGN, "%s is empty", path);
    if ((size_t)n < sizeof h->magic || memcmp(h->magic, SHMKV_MAGIC, sizeof h->magic) != 0)
        return fail(SHMKV_EFOREIGN, "%s does not begin with shmkv's magic bytes", path);
    /* Another revision may well have a shorter header. [EVOL-02] */
    int err = (size_t)n < offsetof(header_t, header_size) ? SHMKV_OK : check_revision(h, path);
    if (err)
        return err;
    if ((size_t)n < sizeof *h)
        return fail(SHMKV_ECORRUPT, "%s is truncated: %zd bytes", path, n);
    err = segment_check_header(h, (uint64_t)st->st_size, writable, path);
    return err ? err : check_whole(fd, h, path, st);
}

/* -------------------------------------------------------------------- mapping */

/* Reserve as much address space as the system grants, down to the file's size. */
static int map_reserve(struct segment *seg, uint64_t wanted, uint64_t file_size, const char *path) {
    /* [LIFE-07] The processor itself holds a reader to reading. */
    int prot = PROT_READ | (seg->writable ? PROT_WRITE : 0);
    uint64_t least = round_up(file_size, SHMKV_PAGE_SIZE);
    if (wanted < least)
        return fail(SHMKV_ERESERVE, "%s has %llu bytes, the reserve is %llu", path,
                    (unsigned long long)file_size, (unsigned long long)wanted);
    for (;;) {
        void *p = map_aligned(wanted, prot, seg->fd);
        if (p != MAP_FAILED) {
            seg->base = p;
            seg->reserve = wanted;
            return SHMKV_OK;
        }
        if (errno != ENOMEM)
            return fail(errno, "mapping %s", path);
        if (wanted == least)
            return fail(SHMKV_ERESERVE, "mapping %llu bytes of %s", (unsigned long long)wanted,
                        path);
        /* Whole pages: the reserve bounds the allocation limit. */
        wanted = round_up(wanted / 2, SHMKV_PAGE_SIZE);
        wanted = wanted > least ? wanted : least;
    }
}

/* [EVICT-01] */
static uint64_t part_of_bound(uint64_t bound, uint32_t shard_bits) {
    uint64_t part = bound >> shard_bits;
    return !bound ? UINT64_MAX : part ? part : 1;
}

static void adopt_header(struct segment *seg, const header_t *h) {
    seg->seed = h->hash_seed;
    seg->shard_count = h->shard_count;
    seg->shard_mask = h->shard_count - 1;
    seg->shard_bits = (uint32_t)__builtin_ctz(h->shard_count);
    seg->max_depth = SHMKV_HASH_BUCKET_SHIFT - seg->shard_bits;
    if (seg->max_depth > SHMKV_MAX_DEPTH)
        seg->max_depth = SHMKV_MAX_DEPTH;
    seg->arena_count = h->arena_count;
    seg->owner_count = h->owner_count;
    seg->data_offset = h->data_offset;
    seg->max_size = h->max_size;
    seg->max_key = h->max_key;
    seg->max_value = h->max_value;
    seg->default_ttl_ns = h->default_ttl_ns;
    seg->incarnation = h->incarnation;
    seg->evicts = h->ro_compat & SHMKV_RO_COMPAT_EVICTS;
    seg->marks = seg->evicts && seg->writable;
    /* [LAYOUT-28] Otherwise they are 0, and mean nothing if they are not. */
    seg->max_entries = seg->evicts ? h->max_entries : 0;
    seg->max_bytes = seg->evicts ? h->max_bytes : 0;
    seg->shard_max_entries = part_of_bound(seg->max_entries, seg->shard_bits);
    seg->shard_max_bytes = part_of_bound(seg->max_bytes, seg->shard_bits);
    seg->hdr = (header_t *)(void *)seg->base;
    seg->owners = (owner_t *)(void *)(seg->base + h->owners_offset);
    seg->shards = (shard_t *)(void *)(seg->base + h->shards_offset);
    seg->arenas = (arena_t *)(void *)(seg->base + h->arenas_offset);
    seg->space = (space_t *)(void *)(seg->base + h->space_offset);
}

static int map_segment(struct segment *seg, const struct shmkv_options *opts) {
    header_t *h = malloc(sizeof *h);
    if (!h)
        return fail(ENOMEM, "%s", seg->loc->path);
    struct stat st;
    int err = read_header(seg->fd, seg->writable, seg->loc->path, h, &st);
    uint64_t reserve = opts->reserve ? round_up(opts->reserve, SHMKV_PAGE_SIZE) : default_reserve();
    if (!err)
        err = map_reserve(seg, reserve, (uint64_t)st.st_size, seg->loc->path);
    if (!err) {
        seg->dev = st.st_dev;
        seg->ino = st.st_ino;
        adopt_header(seg, h);
        learn_size(seg, (uint64_t)st.st_size);
        /* A core dump of a process is not the place for everybody's data. */
        madvise(seg->base, seg->reserve, MADV_DONTDUMP);
        if (seg->huge)
            huge_pages(seg, (uint64_t)st.st_size);
    }
    free(h);
    return err;
}

int segment_map(int fd, bool writable, const struct location *loc, const struct shmkv_options *opts,
                struct segment **out) {
    static _Atomic(uint64_t) mappings;
    *out = NULL;
    struct segment *seg = calloc(1, sizeof *seg);
    if (!seg) {
        close(fd);
        return fail(ENOMEM, "%s", loc->path);
    }
    seg->number = atomic_fetch_add_explicit(&mappings, 1, memory_order_relaxed) + 1;
    seg->fd = fd;
    seg->lock_fd = -1;
    seg->writable = writable;
    seg->loc = loc;
    seg->lock_timeout_ms = opts->lock_timeout_ms;
    seg->huge = opts->flags & SHMKV_HUGE_PAGES;
    int err = map_segment(seg, opts);
    if (!err && writable)
        err = segment_open_locks(seg);
    if (err) {
        segment_unmap(seg);
        return err;
    }
    *out = seg;
    return SHMKV_OK;
}

void segment_unmap(struct segment *seg) {
    if (!seg)
        return;
    segment_close_locks(seg);
    if (seg->base)
        munmap(seg->base, seg->reserve);
    close(seg->fd);
    free(seg);
}
