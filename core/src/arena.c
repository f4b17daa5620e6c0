/*
 * Cells: pieces of memory of fixed sizes, for records, directories and overflow
 * buckets. Spec 3.6.
 *
 * An arena keeps, for each size class, a list of slabs that have a free cell, and
 * of those only [LAYOUT-15]. A
 * slab is one run, aligned to its size, so a cell finds its slab's header by
 * masking its own offset. Owners prefer different arenas, so that processes do
 * not meet on these locks and carve neighbouring cells for themselves; a cell
 * goes back to the arena its slab belongs to, whoever returns it.
 *
 * A cell is always somebody's: taking one stores it in a field of the taker's
 * owner slot, in the same transaction. So a death never loses a cell.
 */
#include "internal.h"

const uint16_t shmkv_class_sizes[SHMKV_SLOT_CLASS_MASK + 1] = SHMKV_CLASS_SIZES;

#define UNITS (16352 / SHMKV_CELL_ALIGN)
_Static_assert(UNITS *SHMKV_CELL_ALIGN == 16352, "the largest class is whole units");

/* class_of[n]: the smallest class for records whose cells hold n units of 16 bytes. */
static uint8_t class_of[UNITS + 1];

__attribute__((constructor)) static void fill_class_of(void) {
    unsigned cls = SHMKV_BUCKET_CLASS + 1;
    for (unsigned n = 0; n <= UNITS; n++) {
        while (shmkv_class_sizes[cls] < n * SHMKV_CELL_ALIGN)
            cls++;
        class_of[n] = (uint8_t)cls;
    }
}

unsigned class_for(uint64_t size) {
    return size <= UNITS * SHMKV_CELL_ALIGN
               ? class_of[(size + SHMKV_CELL_ALIGN - 1) / SHMKV_CELL_ALIGN]
               : 0;
}

/* What a slab says of its cells is possible. It is read once, and used as it was read. */
static bool fill_sane(uint64_t fill, unsigned cls) {
    return FIELD(fill, SLAB_CARVED) <= class_capacity(cls) &&
           FIELD(fill, SLAB_USED) <= FIELD(fill, SLAB_CARVED) &&
           FIELD(fill, SLAB_FREE) <= FIELD(fill, SLAB_CARVED);
}

/* The slab at @p off of class @p cls, or NULL when its header says otherwise. */
static run_t *slab_checked(struct segment *seg, shmkv_off_t off, unsigned cls) {
    if (cls == 0 || cls >= SHMKV_CLASS_COUNT || off % class_slab_size(cls) ||
        off < seg->data_offset)
        return NULL;
    run_t *slab = seg_at(seg, off, class_slab_size(cls));
    uint64_t head = slab ? head_of(slab) : 0;
    uint64_t fill = slab ? load_relaxed_u64(&slab->slab) : 0;
    return slab && FIELD(head, RUN_KIND) == SHMKV_RUN_KIND_SLAB && FIELD(head, RUN_CLASS) == cls &&
                   FIELD(head, RUN_INDEX) < seg->arena_count && fill_sane(fill, cls)
               ? slab
               : NULL;
}

static shmkv_off_t cell_offset(shmkv_off_t slab, unsigned cls, uint64_t index) {
    return slab + SHMKV_RUN_HEADER_SIZE + index * shmkv_class_sizes[cls];
}

/* Second word of a free cell. The first stays: it is a record's version. */
static uint64_t *cell_link(struct segment *seg, shmkv_off_t cell) {
    return (uint64_t *)(void *)(seg->base + cell + 8);
}

/* Link word of an overflow bucket. */
static uint64_t *chain_link(struct segment *seg, uint64_t word) {
    bucket_t *b = bucket_at_link(seg, word);
    return b ? &b->link : NULL;
}

static bool slab_full(uint64_t fill, unsigned cls) {
    return FIELD(fill, SLAB_FREE) == 0 && FIELD(fill, SLAB_CARVED) == class_capacity(cls);
}

static uint64_t slab_fill(uint64_t used, uint64_t carved, uint64_t first_free) {
    return MAKE(SLAB_USED, used) | MAKE(SLAB_CARVED, carved) | MAKE(SLAB_FREE, first_free);
}

uint64_t large_bound(struct segment *seg, shmkv_off_t off) {
    if (off % SHMKV_PAGE_SIZE != SHMKV_RUN_HEADER_SIZE || off < seg->data_offset)
        return 0;
    const run_t *run = seg_at(seg, off - SHMKV_RUN_HEADER_SIZE, SHMKV_PAGE_SIZE);
    uint64_t head = run ? head_of(run) : 0;
    uint64_t size = FIELD(head, RUN_PAGES) * SHMKV_PAGE_SIZE;
    return FIELD(head, RUN_KIND) == SHMKV_RUN_KIND_LARGE && size &&
                   seg_at(seg, off - SHMKV_RUN_HEADER_SIZE, size)
               ? size - SHMKV_RUN_HEADER_SIZE
               : 0;
}

void *cell_at(struct segment *seg, uint64_t word, uint64_t size) {
    unsigned cls = (unsigned)FIELD(word, CELL_CLASS);
    shmkv_off_t off = word & OFFSET_IN_WORD;
    if (cls >= SHMKV_CLASS_COUNT || off < seg->data_offset ||
        size > (cls ? shmkv_class_sizes[cls] : large_bound(seg, off)))
        return NULL;
    return seg_at(seg, off, size);
}

/* -------------------------------------------------- list of slabs with free cells */

static int list_remove(struct txn *t, arena_t *arena, run_t *slab, unsigned cls) {
    struct segment *seg = t->ctx->seg;
    uint64_t next = txn_get(t, &slab->next), prev = txn_get(t, &slab->prev);
    run_t *n = next ? slab_checked(seg, next, cls) : NULL;
    run_t *p = prev ? slab_checked(seg, prev, cls) : NULL;
    if ((next && !n) || (prev && !p))
        return damaged(t->ctx->seg, seg_offset(seg, slab), "its list links lead nowhere");
    txn_set(t, p ? &p->next : &arena->partial[cls], next);
    if (n)
        txn_set(t, &n->prev, prev);
    return SHMKV_OK;
}

static int list_push(struct txn *t, arena_t *arena, run_t *slab, unsigned cls) {
    struct segment *seg = t->ctx->seg;
    uint64_t first = txn_get(t, &arena->partial[cls]);
    run_t *n = first ? slab_checked(seg, first, cls) : NULL;
    if (first && !n)
        return damaged(t->ctx->seg, first, "a list of slabs leads nowhere");
    txn_set(t, &slab->next, first);
    txn_set(t, &slab->prev, 0);
    txn_set(t, &arena->partial[cls], seg_offset(seg, slab));
    if (n)
        txn_set(t, &n->prev, seg_offset(seg, slab));
    return SHMKV_OK;
}

/* ------------------------------------------------------------------------ take */

/* Give the run that own->run names to the arena, as an empty slab. */
static int add_slab(struct context *ctx, const struct domain *d, arena_t *arena, unsigned cls) {
    struct segment *seg = ctx->seg;
    /* A peer, or an intent replayed just now, may have put anything there. */
    shmkv_off_t off = load_relaxed_u64(&ctx->own->run);
    run_t *slab = off < seg->data_offset || off % class_slab_size(cls)
                      ? NULL
                      : seg_at(seg, off, class_slab_size(cls));
    uint64_t head = slab ? head_of(slab) : 0;
    if (FIELD(head, RUN_KIND) != SHMKV_RUN_KIND_LARGE ||
        FIELD(head, RUN_PAGES) * SHMKV_PAGE_SIZE != class_slab_size(cls))
        return damaged(seg, seg_offset(seg, &ctx->own->run), "our own slot names no new slab");
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_set(&t, &slab->head,
            run_head(SHMKV_RUN_KIND_SLAB, cls, d->index, class_slab_size(cls) / SHMKV_PAGE_SIZE));
    txn_set(&t, &slab->slab, 0);
    int err = list_push(&t, arena, slab, cls);
    if (err)
        return err;
    txn_set(&t, &ctx->own->run, 0);
    txn_commit_always(&t, SHMKV_OP_SLAB);
    return SHMKV_OK;
}

/* Hand out one cell of the first slab in the list into *field. With @p chained,
 * the cell's link word leads to what *field named before. */
static int hand_out(struct context *ctx, const struct domain *d, arena_t *arena, unsigned cls,
                    uint64_t *field, bool chained) {
    struct segment *seg = ctx->seg;
    shmkv_off_t off = load_relaxed_u64(&arena->partial[cls]);
    run_t *slab = slab_checked(seg, off, cls);
    if (!slab)
        return damaged(ctx->seg, off, "a list of slabs leads nowhere");
    uint64_t fill = load_relaxed_u64(&slab->slab), used = FIELD(fill, SLAB_USED) + 1;
    if (!fill_sane(fill, cls))
        return damaged(seg, off, "a slab changed while it was looked at");
    uint64_t carved = FIELD(fill, SLAB_CARVED), index = FIELD(fill, SLAB_FREE), next;
    if (index) {
        next =
            FIELD(load_relaxed_u64(cell_link(seg, cell_offset(off, cls, --index))), CELL_LINK_NEXT);
        if (next > carved)
            return damaged(ctx->seg, off, "its list of free cells leads nowhere");
    } else if (carved < class_capacity(cls)) {
        index = carved++;
        next = 0;
    } else {
        return damaged(ctx->seg, off, "it is full and in the list of slabs with free cells");
    }
    uint64_t cell = cell_offset(off, cls, index) | MAKE(CELL_CLASS, cls);
    struct txn t;
    txn_begin(&t, ctx, d);
    if (chained)
        txn_set(&t, chain_link(seg, cell), load_relaxed_u64(field));
    txn_set(&t, &slab->slab, slab_fill(used, carved, next));
    if (slab_full(slab_fill(used, carved, next), cls)) {
        int err = list_remove(&t, arena, slab, cls);
        if (err)
            return err;
    }
    txn_set(&t, field, cell);
    txn_commit_always(&t, SHMKV_OP_ALLOC);
    return SHMKV_OK;
}

static int take(struct context *ctx, unsigned cls, uint64_t *field, bool chained) {
    struct segment *seg = ctx->seg;
    uint32_t index = ctx->slot % seg->arena_count;
    arena_t *arena = &seg->arenas[index];
    struct domain d = arena_domain(seg, index);
    /* What an earlier failure left there is of unknown size. */
    int err = run_return(ctx, &ctx->own->run);
    if (!err)
        err = lock_take(ctx, &d);
    if (err)
        return err;
    while (!err && load_relaxed_u64(&arena->partial[cls]) == 0) {
        if (ctx->own->run) {
            err = add_slab(ctx, &d, arena, cls);
            continue;
        }
        /* [LOCK-02] Never two locks: the slab travels in our owner slot. */
        lock_release(ctx, &d);
        uint64_t pages = class_slab_size(cls) / SHMKV_PAGE_SIZE;
        err =
            run_take(ctx, pages, pages, run_head(SHMKV_RUN_KIND_LARGE, 0, 0, 0), &ctx->own->run, 0);
        if (err)
            return err;
        FAULT_POINT("slab-in-hand");
        err = lock_take(ctx, &d);
        if (err)
            return err;
    }
    if (!err)
        err = hand_out(ctx, &d, arena, cls, field, chained);
    lock_release(ctx, &d);
    /* Another context of this arena may have added a slab meanwhile. */
    if (!err && ctx->own->run)
        err = run_return(ctx, &ctx->own->run);
    return err;
}

int cell_take(struct context *ctx, unsigned cls, uint64_t *field) {
    if (load_relaxed_u64(field))
        return damaged(ctx->seg, seg_offset(ctx->seg, field), "an owner's field was to be empty");
    return take(ctx, cls, field, false);
}

int cell_take_spare(struct context *ctx) {
    return take(ctx, SHMKV_BUCKET_CLASS, &ctx->own->spare, true);
}

int large_take(struct context *ctx, uint64_t size, uint64_t *field) {
    uint64_t pages = round_up(size + SHMKV_RUN_HEADER_SIZE, SHMKV_PAGE_SIZE) / SHMKV_PAGE_SIZE;
    return run_take(ctx, pages, 1, run_head(SHMKV_RUN_KIND_LARGE, 0, 0, 0), field,
                    SHMKV_RUN_HEADER_SIZE);
}

/* ---------------------------------------------------------------------- return */

/* Put the cell at @p cell, which *field names, back; *field becomes 0, or, with @p chained, what
 * the cell's link word leads to. A slab that this empties goes into own->run, unless it is the only
 * one in the list. */
static int take_back(struct context *ctx, const struct domain *d, run_t *slab, unsigned cls,
                     shmkv_off_t cell, uint64_t *field, bool chained) {
    struct segment *seg = ctx->seg;
    arena_t *arena = &seg->arenas[d->index];
    shmkv_off_t off = seg_offset(seg, slab);
    uint64_t at = cell - off - SHMKV_RUN_HEADER_SIZE, index = at / shmkv_class_sizes[cls];
    uint64_t fill = load_relaxed_u64(&slab->slab);
    uint64_t used = FIELD(fill, SLAB_USED), carved = FIELD(fill, SLAB_CARVED);
    if (!fill_sane(fill, cls) || at % shmkv_class_sizes[cls] || index >= carved || used == 0)
        return damaged(ctx->seg, cell, "it is to be returned and was never handed out");
    uint64_t next = 0;
    if (chained)
        next = load_relaxed_u64(chain_link(seg, cell));
    struct txn t;
    txn_begin(&t, ctx, d);
    txn_set(&t, field, next);
    txn_set(&t, cell_link(seg, cell), MAKE(CELL_LINK_NEXT, FIELD(fill, SLAB_FREE)));
    txn_set(&t, &slab->slab, slab_fill(used - 1, carved, index + 1));
    enum shmkv_op op = SHMKV_OP_FREE;
    int err = SHMKV_OK;
    if (slab_full(fill, cls)) {
        err = list_push(&t, arena, slab, cls);
    } else if (used == 1 && ctx->own->run == 0 && (slab->next || slab->prev)) {
        err = list_remove(&t, arena, slab, cls);
        txn_set(&t, &ctx->own->run, off);
        op = SHMKV_OP_RETIRE;
    }
    if (err)
        return err;
    txn_commit_always(&t, op);
    return SHMKV_OK;
}

static int put_back(struct context *ctx, uint64_t *field, bool chained) {
    struct segment *seg = ctx->seg;
    uint64_t word = load_relaxed_u64(field);
    if (!word)
        return SHMKV_OK;
    unsigned cls = (unsigned)FIELD(word, CELL_CLASS);
    if (cls == 0)
        return run_return(ctx, field);
    shmkv_off_t off = word & OFFSET_IN_WORD;
    run_t *slab =
        cls < SHMKV_CLASS_COUNT ? slab_checked(seg, off & ~(class_slab_size(cls) - 1), cls) : NULL;
    if (!slab || (chained && !chain_link(seg, off)))
        return damaged(ctx->seg, off, "it is to be returned and is in no slab");
    uint64_t index = FIELD(head_of(slab), RUN_INDEX);
    if (index >= seg->arena_count)
        return damaged(seg, off, "its slab changed while it was looked at");
    struct domain d = arena_domain(seg, (uint32_t)index);
    int err = lock_take(ctx, &d);
    if (err)
        return err;
    /* Again: taking the lock may have replayed the return we were about to repeat. */
    if (load_relaxed_u64(field) == word)
        err = take_back(ctx, &d, slab, cls, off, field, chained);
    lock_release(ctx, &d);
    if (!err)
        err = run_return(ctx, &ctx->own->run);
    return err;
}

int cell_return(struct context *ctx, uint64_t *field) {
    if (!load_relaxed_u64(field))
        return SHMKV_OK;
    int err = put_back(ctx, field, false);
    FAULT_POINT("cell-returned");
    return err;
}

int chain_return(struct context *ctx, uint64_t *field) {
    int err = SHMKV_OK;
    while (!err && load_relaxed_u64(field))
        err = put_back(ctx, field, true);
    return err;
}
