/*
 * A private view of a segment, as a successor of all dead and stopped writers
 * would find it: a copy-on-write mapping in which every intent that has taken
 * effect is replayed. The file is not touched. Pages of the view that the replay
 * did not write to still show what others store meanwhile.
 */
#include <errno.h>
#include <sys/mman.h>

#include "internal.h"

static void rebase(struct segment *view, const struct segment *seg, uint8_t *base) {
    *view = (struct segment){
        .base = base,
        .fd = seg->fd,
        .lock_fd = -1,
        .writable = true,
        .dev = seg->dev,
        .ino = seg->ino,
        .loc = seg->loc,
        .seed = seg->seed,
        .shard_mask = seg->shard_mask,
        .shard_bits = seg->shard_bits,
        .shard_count = seg->shard_count,
        .arena_count = seg->arena_count,
        .owner_count = seg->owner_count,
        .data_offset = seg->data_offset,
        .max_depth = seg->max_depth,
        .evicts = seg->evicts,
        .max_entries = seg->max_entries,
        .max_bytes = seg->max_bytes,
        .shard_max_entries = seg->shard_max_entries,
        .shard_max_bytes = seg->shard_max_bytes,
        .hdr = (header_t *)(void *)base,
        .owners = (owner_t *)(void *)(base + seg_offset(seg, seg->owners)),
        .shards = (shard_t *)(void *)(base + seg_offset(seg, seg->shards)),
        .arenas = (arena_t *)(void *)(base + seg_offset(seg, seg->arenas)),
        .space = (space_t *)(void *)(base + seg_offset(seg, seg->space)),
    };
}

/* Map the file privately, all that there is of it now, and replay. @p bad becomes
 * the offset of an intent that makes no sense, 0 if there is none. */
int view_open(struct segment *seg, struct segment *view, shmkv_off_t *bad) {
    *bad = 0;
    segment_covers(seg, seg->reserve); /* looks at the size again */
    uint64_t size = load_relaxed_u64(&seg->safe_limit);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, seg->fd, 0);
    if (p == MAP_FAILED)
        return fail(errno, "%s: private view", seg->loc->path);
    rebase(view, seg, p);
    view->reserve = view->safe_limit = size;
    for (uint32_t i = 0; i < domain_count(view); i++) {
        struct domain d = domain_at(view, i);
        if (load_relaxed_u64(d.intent) && intent_replay(view, &d) != SHMKV_OK)
            *bad = seg_offset(view, d.intent);
    }
    return SHMKV_OK;
}

void view_close(struct segment *view) {
    munmap(view->base, view->reserve);
    view->base = NULL;
}
