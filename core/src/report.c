/*
 * What operators ask: what a segment is, how full, who writes, who holds which
 * lock. Everything here only reads, takes no lock, and so works on a read-only
 * mapping while writers run, are stopped or are dead. Spec 3.2, 3.5, 4.2, 4.4.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

#define MAX_ATTEMPTS 100 /* walks over the runs while they are being cut and joined */

static void copy_name(char out[33], const uint8_t in[32]) {
    memcpy(out, in, 32);
    out[32] = '\0';
}

static int report_info(struct segment *seg, struct shmkv_info *info) {
    struct stat st;
    if (fstat(seg->fd, &st) != 0)
        return fail(errno, "%s", seg->loc->path);
    const header_t *h = seg->hdr;
    *info = (struct shmkv_info){
        .size = sizeof *info,
        .revision = h->revision,
        .state = (uint32_t)load_relaxed_u64(&h->state),
        .frozen = load_relaxed_u64(&h->frozen) != 0,
        .compat = h->compat,
        .ro_compat = h->ro_compat,
        .incompat = h->incompat,
        .incarnation = seg->incarnation,
        .shard_count = seg->shard_count,
        .arena_count = seg->arena_count,
        .owner_count = seg->owner_count,
        .max_key = h->max_key,
        .max_value = h->max_value,
        .max_size = seg->max_size,
        .default_ttl_ns = seg->default_ttl_ns,
        .max_entries = seg->max_entries,
        .max_bytes = seg->max_bytes,
        .evicts = seg->evicts,
        .created_ns = h->created_ns,
        .creator_uid = h->creator_uid,
        .creator_pid = h->creator_pid,
        .permissions = st.st_mode & 0777,
        .uid = st.st_uid,
        .file_size = (uint64_t)st.st_size,
        .file_allocated = (uint64_t)st.st_blocks * 512,
        .huge_bytes = seg->huge ? huge_mapped(seg) : 0,
    };
    memcpy(info->uuid, h->uuid, sizeof info->uuid);
    copy_name(info->creator_name, h->creator_name);
    return SHMKV_OK;
}

int shmkv_info(shmkv_t *kv, struct shmkv_info *info) {
    if (!info || info->size != sizeof *info)
        return fail(SHMKV_EARGUMENT, "shmkv_info.size");
    struct segment *seg;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    err = report_info(seg, info);
    handle_leave();
    return err;
}

/* ----------------------------------------------------------------------- stats */

static void count_slab(struct shmkv_stats *st, uint64_t head, uint64_t fill) {
    unsigned cls = (unsigned)FIELD(head, RUN_CLASS);
    if (cls == 0 || cls >= SHMKV_CLASS_COUNT)
        return;
    uint64_t used = FIELD(fill, SLAB_USED), capacity = class_capacity(cls);
    st->cells_used += used;
    st->cells_free += used < capacity ? capacity - used : 0;
}

/* One walk over the runs. False when it met a header in the middle of a change. */
static bool count_runs(struct segment *seg, struct shmkv_stats *st) {
    uint64_t limit = load_acquire_u64(&seg->space->limit);
    st->limit = limit;
    for (uint64_t off = seg->data_offset; off < limit;) {
        const run_t *run = seg_at(seg, off, SHMKV_PAGE_SIZE);
        uint64_t head = run ? load_acquire_u64(&run->head) : 0;
        uint64_t bytes = FIELD(head, RUN_PAGES) * SHMKV_PAGE_SIZE;
        if (!bytes || bytes > limit - off)
            return false;
        switch (FIELD(head, RUN_KIND)) {
        case SHMKV_RUN_KIND_FREE:
            st->free_bytes += bytes;
            break;
        case SHMKV_RUN_KIND_GROUP:
        case SHMKV_RUN_KIND_LEFT:
            st->group_bytes += bytes;
            break;
        case SHMKV_RUN_KIND_SLAB:
            st->slab_bytes += bytes;
            count_slab(st, head, load_relaxed_u64(&run->slab));
            break;
        case SHMKV_RUN_KIND_LARGE:
            st->large_bytes += bytes;
            break;
        default:
            return false;
        }
        off += bytes;
    }
    return true;
}

static void count_shards(struct segment *seg, struct shmkv_stats *st) {
    for (uint32_t i = 0; i < seg->shard_count; i++) {
        uint64_t root = load_relaxed_u64(&seg->shards[i].root);
        st->entries += load_relaxed_u64(&seg->shards[i].count);
        st->entry_bytes += load_relaxed_u64(&seg->shards[i].bytes);
        st->evictions += load_relaxed_u64(&seg->shards[i].evictions);
        st->shards_used += root != 0;
        st->directory_words += root ? 1ULL << FIELD(root, ROOT_DEPTH) : 0;
    }
}

/* A writer that died or stopped in the middle of cutting or joining runs leaves
 * headers that fit only once its intent is replayed. */
static int count_runs_in_view(struct segment *seg, struct shmkv_stats *st, bool *whole) {
    struct segment view;
    shmkv_off_t bad;
    int err = view_open(seg, &view, &bad);
    if (err)
        return err;
    *whole = count_runs(&view, st);
    view_close(&view);
    return SHMKV_OK;
}

static int report_stats(struct segment *seg, struct shmkv_stats *st) {
    bool whole = false;
    for (int n = 0; n < MAX_ATTEMPTS && !whole; n++) {
        *st = (struct shmkv_stats){.size = sizeof *st, .meta_bytes = seg->data_offset};
        if (n % 2 == 0)
            whole = count_runs(seg, st);
        else if (count_runs_in_view(seg, st, &whole) != SHMKV_OK)
            break;
    }
    if (!whole)
        return damaged(seg, seg->data_offset, "the runs do not tile the segment");
    count_shards(seg, st);
    for (uint32_t i = 0; i < seg->owner_count; i++)
        st->owners_live += FIELD(load_relaxed_u64(&seg->owners[i].state), OWNER_STATE_STATE) != 0;
    return SHMKV_OK;
}

int shmkv_stats(shmkv_t *kv, struct shmkv_stats *st) {
    if (!st || st->size != sizeof *st)
        return fail(SHMKV_EARGUMENT, "shmkv_stats.size");
    struct segment *seg;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    err = report_stats(seg, st);
    handle_leave();
    return err;
}

/* ------------------------------------------------------------- locks and owners */

int shmkv_locks(shmkv_t *kv, struct shmkv_lock *array, size_t capacity, size_t *n) {
    struct segment *seg;
    if (!n || (!array && capacity))
        return fail(SHMKV_EARGUMENT, "no place for the locks");
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    *n = domain_count(seg);
    for (uint32_t i = 0; i < *n && i < capacity; i++) {
        struct domain d = domain_at(seg, i);
        uint32_t word = load_relaxed_u32(d.lock);
        array[i] = (struct shmkv_lock){
            .kind = (int)d.kind,
            .index = d.index,
            .word = word,
            .owner = (int32_t)FIELD(word, LOCK_OWNER) - 1,
            .waiters = (int)FIELD(word, LOCK_WAITERS),
            .intent = load_relaxed_u64(d.intent),
        };
    }
    handle_leave();
    return SHMKV_OK;
}

static uint32_t locks_held_by(struct segment *seg, uint32_t slot) {
    uint32_t held = 0;
    for (uint32_t i = 0; i < domain_count(seg); i++) {
        struct domain d = domain_at(seg, i);
        held += FIELD(load_relaxed_u32(d.lock), LOCK_OWNER) == slot + 1;
    }
    return held;
}

static void report_owner(struct segment *seg, uint32_t slot, struct shmkv_owner *out) {
    owner_t facts = process_facts(&seg->owners[slot]);
    *out = (struct shmkv_owner){
        .slot = slot,
        .liveness = (int)owner_liveness(seg, slot),
        .stopped = process_stopped(&facts),
        .generation =
            (uint32_t)FIELD(load_relaxed_u64(&seg->owners[slot].state), OWNER_STATE_GENERATION),
        .pid = facts.pid,
        .uid = facts.uid,
        .pid_ns = facts.pid_ns,
        .start_time = facts.start_time,
        .attached_ns = facts.attached_ns,
        .locks_held = locks_held_by(seg, slot),
    };
    copy_name(out->name, facts.name);
}

int shmkv_owners(shmkv_t *kv, struct shmkv_owner *array, size_t capacity, size_t *n) {
    struct segment *seg;
    if (!n || (!array && capacity))
        return fail(SHMKV_EARGUMENT, "no place for the owners");
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    int cancel = cancel_off(); /* /proc is read */
    *n = 0;
    for (uint32_t i = 0; i < seg->owner_count; i++) {
        if (FIELD(load_relaxed_u64(&seg->owners[i].state), OWNER_STATE_STATE) == 0)
            continue;
        if (*n < capacity)
            report_owner(seg, i, &array[*n]);
        ++*n;
    }
    cancel_restore(cancel);
    handle_leave();
    return SHMKV_OK;
}
