/*
 * The pages of the segment. Spec 3.5 and 5.4.
 *
 * From the data offset to the allocation limit the segment is tiled by runs of
 * whole pages. Each begins with a header that tells its own length and that of
 * the run before it, so both neighbours of a run are found in one step and free
 * ones coalesce at once. Free runs hang in 128 lists by length [LAYOUT-12]: exact up to 16
 * pages, four per doubling above, as in two-level segregated fit (Masmano et
 * al., "TLSF: a new dynamic memory allocator for real-time systems", 2004);
 * taking and returning is a bounded number of words, whatever the size.
 *
 * A page map beside the pages was passed over: it would have to grow with the
 * segment, and would put a second copy of every length somewhere else.
 *
 * Growth is a slice at a time, by fallocate, before the limit moves [LIFE-09]: on a full
 * file system the caller gets an error, where ftruncate would let the next
 * touch die of SIGBUS.
 */
#include "internal.h"

#define LOOKS_PER_BIN 8 /* runs tried in a list whose lengths may be too short */

unsigned space_bin(uint64_t pages) {
    if (pages <= 16) /* 0 only if somebody scribbles over lengths that were checked */
        return pages ? (unsigned)pages - 1 : 0;
    unsigned log = 63 - (unsigned)__builtin_clzll(pages);
    unsigned bin = 16 + 4 * (log - 4) + (unsigned)(pages >> (log - 2) & 3);
    return bin < SHMKV_SPACE_BINS ? bin : SHMKV_SPACE_BINS - 1;
}

static uint64_t run_pages(uint64_t head) { return FIELD(head, RUN_PAGES); }

/* The run at @p off with its header checked, or NULL. */
static run_t *run_checked(struct segment *seg, shmkv_off_t off, uint64_t limit) {
    if (off % SHMKV_PAGE_SIZE || off < seg->data_offset || off >= limit)
        return NULL;
    run_t *run = seg_at(seg, off, SHMKV_PAGE_SIZE);
    if (!run)
        return NULL;
    uint64_t pages = run_pages(head_of(run));
    if (!seg_at(seg, off, pages * SHMKV_PAGE_SIZE))
        return NULL;
    return pages && pages <= (limit - off) / SHMKV_PAGE_SIZE ? run : NULL;
}

/* The allocation limit, or less: nothing is believed that lies beyond the file. */
static uint64_t limit_of(struct segment *seg) {
    uint64_t limit = load_relaxed_u64(&seg->space->limit);
    return seg_at(seg, 0, limit) ? limit : load_relaxed_u64(&seg->safe_limit);
}

/* --------------------------------------------------- lists of free runs, in a txn */

static int unlink_free(struct txn *t, run_t *run, uint64_t pages) {
    struct segment *seg = t->ctx->seg;
    uint64_t limit = limit_of(seg);
    uint64_t next = txn_get(t, &run->next), prev = txn_get(t, &run->prev);
    run_t *n = next ? run_checked(seg, next, limit) : NULL;
    run_t *p = prev ? run_checked(seg, prev, limit) : NULL;
    if ((next && !n) || (prev && !p))
        return damaged(t->ctx->seg, seg_offset(seg, run), "its list links lead nowhere");
    txn_set(t, p ? &p->next : &seg->space->bins[space_bin(pages)], next);
    if (n)
        txn_set(t, &n->prev, prev);
    return SHMKV_OK;
}

static int link_free(struct txn *t, run_t *run, uint64_t pages, uint64_t prev_pages) {
    struct segment *seg = t->ctx->seg;
    uint64_t *bin = &seg->space->bins[space_bin(pages)];
    shmkv_off_t off = seg_offset(seg, run), first = txn_get(t, bin);
    /* The old first run may be one that this transaction has just moved: its
     * header need not be valid in memory yet, only inside the segment. */
    run_t *n = first ? seg_at(seg, first, SHMKV_PAGE_SIZE) : NULL;
    if (first && (!n || first % SHMKV_PAGE_SIZE || first < seg->data_offset))
        return damaged(t->ctx->seg, first, "a list of free runs leads nowhere");
    if (!seg_at(seg, off, pages * SHMKV_PAGE_SIZE))
        return damaged(seg, off, "it changed its length while it was looked at");
    txn_set(t, &run->head, run_head(SHMKV_RUN_KIND_FREE, 0, 0, pages));
    txn_set(t, &run->prev_pages, prev_pages);
    txn_set(t, &run->next, first);
    txn_set(t, &run->prev, 0);
    txn_set(t, bin, off);
    if (n)
        txn_set(t, &n->prev, off);
    return SHMKV_OK;
}

/* Tell the run behind @p end how long its new neighbour is; if there is none,
 * @p last is the last run. */
static void set_follower(struct txn *t, shmkv_off_t end, uint64_t limit, uint64_t prev_pages,
                         shmkv_off_t last) {
    struct segment *seg = t->ctx->seg;
    if (end >= limit)
        txn_set(t, &seg->space->last, last);
    else
        txn_set(t, &((run_t *)(void *)(seg->base + end))->prev_pages, prev_pages);
}

/* ------------------------------------------------------------------------ take */

/* Where in the free run at @p off, of @p have pages, would @p pages fit? 0: nowhere. */
static shmkv_off_t fit(shmkv_off_t off, uint64_t have, uint64_t pages, uint64_t align) {
    shmkv_off_t start = round_up(off, align * SHMKV_PAGE_SIZE);
    uint64_t front = (start - off) / SHMKV_PAGE_SIZE;
    return front + pages <= have ? start : 0;
}

static int find_run(struct context *ctx, uint64_t pages, uint64_t align, run_t **out,
                    shmkv_off_t *start) {
    struct segment *seg = ctx->seg;
    uint64_t limit = limit_of(seg);
    *out = NULL;
    for (unsigned bin = space_bin(pages); bin < SHMKV_SPACE_BINS; bin++) {
        shmkv_off_t off = load_relaxed_u64(&seg->space->bins[bin]);
        for (int looks = 0; off && looks < LOOKS_PER_BIN; looks++) {
            run_t *run = run_checked(seg, off, limit);
            if (!run || FIELD(head_of(run), RUN_KIND) != SHMKV_RUN_KIND_FREE)
                return damaged(ctx->seg, off, "it is in a list of free runs and is not free");
            *start = fit(off, run_pages(head_of(run)), pages, align);
            if (*start) {
                *out = run;
                return SHMKV_OK;
            }
            off = load_relaxed_u64(&run->next);
        }
    }
    return SHMKV_OK;
}

/* Cut [start, start + pages) out of the free run, and give the ends back. */
static int carve(struct context *ctx, const struct domain *d, run_t *run, shmkv_off_t start,
                 uint64_t pages, uint64_t head, uint64_t *field, uint64_t add) {
    struct segment *seg = ctx->seg;
    uint64_t limit = limit_of(seg);
    shmkv_off_t off = seg_offset(seg, run), end = start + pages * SHMKV_PAGE_SIZE;
    uint64_t have = run_pages(head_of(run)), before = run->prev_pages;
    uint64_t front = (start - off) / SHMKV_PAGE_SIZE, tail = have - front - pages;
    if (front + pages > have || !seg_at(seg, off, have * SHMKV_PAGE_SIZE))
        return damaged(seg, off, "it changed its length while it was looked at");
    run_t *taken = (run_t *)(void *)(seg->base + start);
    struct txn t;
    txn_begin(&t, ctx, d);
    int err = unlink_free(&t, run, have);
    if (!err && front)
        err = link_free(&t, run, front, before);
    txn_set(&t, &taken->head, head | MAKE(RUN_PAGES, pages));
    txn_set(&t, &taken->prev_pages, front ? front : before);
    txn_set(&t, &taken->slab, 0);
    if (!err && tail)
        err = link_free(&t, (run_t *)(void *)(seg->base + end), tail, pages);
    if (err)
        return err;
    set_follower(&t, off + have * SHMKV_PAGE_SIZE, limit, tail ? tail : pages, tail ? end : start);
    txn_set(&t, field, start + add);
    txn_commit_always(&t, SHMKV_OP_TAKE);
    return SHMKV_OK;
}

/* --------------------------------------------------------------------- extend */

/* The run that ends at the limit, if it is free. */
static run_t *free_last(struct segment *seg, uint64_t limit) {
    shmkv_off_t last = load_relaxed_u64(&seg->space->last);
    run_t *run = last ? run_checked(seg, last, limit) : NULL;
    return run && FIELD(head_of(run), RUN_KIND) == SHMKV_RUN_KIND_FREE ? run : NULL;
}

static int append(struct context *ctx, const struct domain *d, uint64_t limit, uint64_t new_limit) {
    struct segment *seg = ctx->seg;
    shmkv_off_t off = limit, last = load_relaxed_u64(&seg->space->last);
    uint64_t pages = (new_limit - limit) / SHMKV_PAGE_SIZE, before = 0;
    run_t *tail = last ? run_checked(seg, last, limit) : NULL;
    if (last && !tail)
        return damaged(ctx->seg, last, "it is the last run and makes no sense");
    struct txn t;
    txn_begin(&t, ctx, d);
    int err = SHMKV_OK;
    if (tail && FIELD(head_of(tail), RUN_KIND) == SHMKV_RUN_KIND_FREE) {
        off = last;
        pages += run_pages(head_of(tail));
        before = tail->prev_pages;
        err = unlink_free(&t, tail, run_pages(head_of(tail)));
    } else if (tail) {
        before = run_pages(head_of(tail));
    }
    if (!err)
        err = link_free(&t, (run_t *)(void *)(seg->base + off), pages, before);
    if (err)
        return err;
    txn_set(&t, &seg->space->limit, new_limit);
    txn_set(&t, &seg->space->last, off);
    txn_commit_always(&t, SHMKV_OP_EXTEND);
    return SHMKV_OK;
}

static uint64_t min(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Bytes that the segment may have at most, in whole pages. */
static uint64_t growth_bound(const struct segment *seg) {
    uint64_t most = seg->max_size ? min(seg->max_size, SHMKV_MAX_SEGMENT) : SHMKV_MAX_SEGMENT;
    return most - most % SHMKV_PAGE_SIZE;
}

static int extend(struct context *ctx, const struct domain *d, uint64_t pages, uint64_t align) {
    struct segment *seg = ctx->seg;
    uint64_t limit = load_relaxed_u64(&seg->space->limit);
    if (limit % SHMKV_PAGE_SIZE || limit < seg->data_offset || limit > SHMKV_MAX_SEGMENT ||
        (limit > seg->data_offset && !seg_at(seg, limit - 1, 1)))
        return damaged(seg, limit, "the allocation limit makes no sense");
    run_t *tail = free_last(seg, limit);
    shmkv_off_t start = round_up(tail ? seg_offset(seg, tail) : limit, align * SHMKV_PAGE_SIZE);
    uint64_t least = start + pages * SHMKV_PAGE_SIZE, most = growth_bound(seg);
    if (least > most)
        return fail(SHMKV_ENOSPC, "%s has reached its max_size, %llu bytes in whole pages",
                    seg->loc->path, (unsigned long long)most);
    if (least > seg->reserve)
        return fail(SHMKV_ERESERVE, "%s needs %llu bytes, the reserve is %llu", seg->loc->path,
                    (unsigned long long)least, (unsigned long long)seg->reserve);
    /* A whole slice if it can be had, else what is needed. */
    uint64_t wanted = limit + SHMKV_SLICE_SIZE;
    if (seg->huge)
        wanted = huge_limit(wanted);
    uint64_t new_limit = min(wanted, min(most, seg->reserve));
    if (new_limit < least)
        new_limit = least;
    /* CRASH extend: death between this call and the commit of append() leaves
     * file beyond the limit; the next extension allocates it again. Spec 5.4. */
    int err = file_allocate(seg->fd, limit, new_limit, seg->loc->path);
    if (err == SHMKV_ENOSPC && new_limit > least) {
        new_limit = least;
        err = file_allocate(seg->fd, limit, new_limit, seg->loc->path);
    }
    FAULT_POINT("extend-after-allocate");
    if (!err && !segment_covers(seg, new_limit))
        err = damaged(ctx->seg, limit, "the file is shorter than it was");
    return err ? err : append(ctx, d, limit, new_limit);
}

int run_take(struct context *ctx, uint64_t pages, uint64_t align, uint64_t head, uint64_t *field,
             uint64_t add) {
    struct segment *seg = ctx->seg;
    struct domain d = space_domain(seg);
    if (load_relaxed_u64(field))
        return damaged(seg, seg_offset(seg, field), "an owner's field was to be empty");
    int err = lock_take(ctx, &d);
    if (err)
        return err;
    run_t *run;
    shmkv_off_t start;
    uint64_t old_limit = 0, new_limit = 0;
    err = find_run(ctx, pages, align, &run, &start);
    if (!err && !run) {
        old_limit = limit_of(seg);
        err = extend(ctx, &d, pages, align);
        if (!err)
            err = find_run(ctx, pages, align, &run, &start);
        if (!err && !run)
            err = damaged(ctx->seg, 0, "the space just added is not in its list");
        new_limit = limit_of(seg);
    }
    if (!err)
        err = carve(ctx, &d, run, start, pages, head, field, add);
    lock_release(ctx, &d);
    if (unlikely(new_limit > old_limit) && seg->huge)
        huge_grow(seg, old_limit, new_limit);
    return err;
}

/* ---------------------------------------------------------------------- return */

static int give_back(struct context *ctx, const struct domain *d, run_t *run, uint64_t *field) {
    struct segment *seg = ctx->seg;
    uint64_t limit = limit_of(seg);
    shmkv_off_t off = seg_offset(seg, run);
    uint64_t pages = run_pages(head_of(run)), before = run->prev_pages;
    run_t *next = run_checked(seg, off + pages * SHMKV_PAGE_SIZE, limit);
    run_t *prev = before && before <= off / SHMKV_PAGE_SIZE
                      ? run_checked(seg, off - before * SHMKV_PAGE_SIZE, limit)
                      : NULL;
    if (before && (!prev || run_pages(head_of(prev)) != before))
        return damaged(ctx->seg, off, "the run before it has another length");
    struct txn t;
    txn_begin(&t, ctx, d);
    int err = SHMKV_OK;
    if (next && FIELD(head_of(next), RUN_KIND) == SHMKV_RUN_KIND_FREE) {
        err = unlink_free(&t, next, run_pages(head_of(next)));
        pages += run_pages(head_of(next));
    }
    if (!err && prev && FIELD(head_of(prev), RUN_KIND) == SHMKV_RUN_KIND_FREE) {
        err = unlink_free(&t, prev, run_pages(head_of(prev)));
        pages += run_pages(head_of(prev));
        off = seg_offset(seg, prev);
        before = prev->prev_pages;
    }
    if (!err)
        err = link_free(&t, (run_t *)(void *)(seg->base + off), pages, before);
    if (err)
        return err;
    set_follower(&t, off + pages * SHMKV_PAGE_SIZE, limit, pages, off);
    txn_set(&t, field, 0);
    txn_commit_always(&t, SHMKV_OP_RETURN);
    return SHMKV_OK;
}

int run_return(struct context *ctx, uint64_t *field) {
    if (load_relaxed_u64(field) == 0)
        return SHMKV_OK;
    struct segment *seg = ctx->seg;
    struct domain d = space_domain(seg);
    int err = lock_take(ctx, &d);
    if (err)
        return err;
    /* Again, now that no replay of another's return can be outstanding. */
    uint64_t word = load_relaxed_u64(field);
    if (word) {
        shmkv_off_t off = word & OFFSET_IN_WORD & ~(uint64_t)(SHMKV_PAGE_SIZE - 1);
        run_t *run = run_checked(seg, off, limit_of(seg));
        err = !run || FIELD(head_of(run), RUN_KIND) == SHMKV_RUN_KIND_FREE
                  ? damaged(ctx->seg, off, "it is to be returned and is no run in use")
                  : give_back(ctx, &d, run, field);
    }
    lock_release(ctx, &d);
    return err;
}
