/*
 * Every invariant of the format, checked. Spec 7.5.
 *
 * The check works on a private copy-on-write mapping of the file. There it
 * first replays the intents that have taken effect, as a successor would, so a
 * segment whose writer died or stopped in the middle of an operation is sound
 * if and only if it will be sound after recovery. The file itself is not
 * touched.
 *
 * The heart is an account of memory: every cell and every run must belong to
 * exactly one of: a slot, a link, a root, a list of free ones, an owner's field.
 * What belongs to two is corruption; what belongs to none is a leak.
 *
 * On a segment that others are changing, the check can see two moments at once.
 * So problems count only if nothing was committed while it ran; otherwise it
 * runs again, a few times at least, and as long as a lock would be waited for, and
 * then says that it cannot tell.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MIN_ATTEMPTS 3
#define MAX_REPORTED 1000 /* problems told; all are counted */

struct problem {
    uint64_t offset;
    char text[112];
};

struct check {
    struct segment view; /* the private mapping, as a segment */
    uint64_t limit;
    uint8_t *marks; /* one bit per 16 bytes below the limit: the unit begins a cell or run in use */
    uint64_t bytes; /* of the cells that the shard's entries have */
    uint64_t compared; /* bytes of keys */
    struct problem *problems;
    size_t kept;
    uint64_t count;
};

static void problem(struct check *c, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void problem(struct check *c, uint64_t offset, const char *format, ...) {
    c->count++;
    if (c->kept == MAX_REPORTED)
        return;
    struct problem *p = &c->problems[c->kept++];
    p->offset = offset;
    va_list args;
    va_start(args, format);
    vsnprintf(p->text, sizeof p->text, format, args);
    va_end(args);
}

/* Note that something at @p off has an owner. False if it already had one. */
static bool claim(struct check *c, uint64_t off, const char *what) {
    if (off >= c->view.reserve) {
        problem(c, off, "%s lies beyond the file", what);
        return false;
    }
    uint64_t unit = off / SHMKV_CELL_ALIGN;
    uint8_t bit = (uint8_t)(1u << (unit & 7));
    if (c->marks[unit / 8] & bit) {
        problem(c, off, "%s belongs to something else already", what);
        return false;
    }
    c->marks[unit / 8] |= bit;
    return true;
}
static bool claimed(const struct check *c, uint64_t off) {
    if (off >= c->view.reserve)
        return false;
    uint64_t unit = off / SHMKV_CELL_ALIGN;
    return c->marks[unit / 8] >> (unit & 7) & 1;
}

static run_t *run_at(struct check *c, uint64_t off) {
    return off % SHMKV_PAGE_SIZE || off < c->view.data_offset || off >= c->limit
               ? NULL
               : seg_at(&c->view, off, SHMKV_PAGE_SIZE);
}

/* The slab or large run that holds the cell in @p word; claims the cell. NULL: nonsense. */
static run_t *claim_cell(struct check *c, uint64_t word, uint64_t where, const char *what) {
    unsigned cls = (unsigned)FIELD(word, CELL_CLASS);
    uint64_t off = word & OFFSET_IN_WORD;
    uint64_t base = cls ? off & ~(class_slab_size(cls < SHMKV_CLASS_COUNT ? cls : 1) - 1)
                        : off - SHMKV_RUN_HEADER_SIZE;
    run_t *run = cls < SHMKV_CLASS_COUNT && off > SHMKV_RUN_HEADER_SIZE ? run_at(c, base) : NULL;
    uint64_t kind = run ? FIELD(run->head, RUN_KIND) : 0;
    bool ok = kind == (cls ? SHMKV_RUN_KIND_SLAB : SHMKV_RUN_KIND_LARGE);
    if (ok && cls) {
        uint64_t at = off - base - SHMKV_RUN_HEADER_SIZE;
        ok = FIELD(run->head, RUN_CLASS) == cls && at % shmkv_class_sizes[cls] == 0 &&
             at / shmkv_class_sizes[cls] < FIELD(run->slab, SLAB_CARVED);
    }
    if (!ok) {
        problem(c, where, "%s: leads to 0x%llx, which is no cell of class %u", what,
                (unsigned long long)off, cls);
        return NULL;
    }
    if (!claim(c, off, what))
        return NULL;
    return run;
}

/* ------------------------------------------------------------------------- runs */

/* The runs tile the segment; each knows the one before it. */
static void check_tiling(struct check *c) {
    uint64_t before = 0, last = 0;
    for (uint64_t off = c->view.data_offset; off < c->limit;) {
        run_t *run = run_at(c, off);
        uint64_t pages = run ? FIELD(run->head, RUN_PAGES) : 0;
        uint64_t kind = run ? FIELD(run->head, RUN_KIND) : 0;
        if (!pages || pages > (c->limit - off) / SHMKV_PAGE_SIZE || kind < SHMKV_RUN_KIND_FREE ||
            kind > SHMKV_RUN_KIND_LEFT) {
            problem(c, off, "run header makes no sense; the rest of the segment was not checked");
            c->limit = off;
            return;
        }
        if (run->prev_pages != before)
            problem(c, off, "says the run before it has %llu pages, it has %llu",
                    (unsigned long long)run->prev_pages, (unsigned long long)before);
        before = pages;
        last = off;
        off += pages * SHMKV_PAGE_SIZE;
    }
    if (c->view.space->last != last)
        problem(c, seg_offset(&c->view, &c->view.space->last), "the last run is at 0x%llx",
                (unsigned long long)last);
}

static void check_bins(struct check *c) {
    for (unsigned bin = 0; bin < SHMKV_SPACE_BINS; bin++) {
        uint64_t prev = 0, off = c->view.space->bins[bin];
        while (off) {
            run_t *run = run_at(c, off);
            if (!run || FIELD(run->head, RUN_KIND) != SHMKV_RUN_KIND_FREE) {
                problem(c, prev ? prev : seg_offset(&c->view, &c->view.space->bins[bin]),
                        "list of free runs %u leads to 0x%llx, which is not free", bin,
                        (unsigned long long)off);
                break;
            }
            if (!claim(c, off, "free run"))
                break;
            if (space_bin(FIELD(run->head, RUN_PAGES)) != bin || run->prev != prev)
                problem(c, off, "free run is in the wrong list, or its back link is wrong");
            prev = off;
            off = run->next;
        }
    }
}

/* ------------------------------------------------------------------------ index */

/* [OP-11] Its slot had counted it before it was used. A slot that is behind, as after a
 * power failure, would give it to something else again. */
static void check_version(struct check *c, uint64_t version, uint64_t where) {
    uint64_t slot = FIELD(version, SLOT_TAG) - 1;
    fence_acquire(); /* the record, then the slot that counted it before */
    if (slot >= c->view.owner_count || version > load_relaxed_u64(&c->view.owners[slot].version))
        problem(c, where, "version that no owner slot has given");
}

/* Does the slot lead to what `count` counts? [OP-13] */
static bool counted(struct segment *seg, uint64_t word) {
    struct shape shape;
    return !record_look(seg, word, &shape) || !shape.hidden;
}

static void check_record(struct check *c, uint64_t word, uint64_t where, uint32_t shard,
                         unsigned bucket, uint64_t prefix, unsigned depth) {
    struct segment *seg = &c->view;
    if (!claim_cell(c, word, where, "slot"))
        return;
    struct shape shape;
    record_t *rec = record_look(seg, word, &shape);
    if (!rec) {
        problem(c, word & OFFSET_IN_WORD, "record does not fit its cell");
        return;
    }
    if (rec->version & 1 || rec->version == 0)
        problem(c, word & OFFSET_IN_WORD, "published record is unfinished");
    check_version(c, rec->version, word & OFFSET_IN_WORD);
    uint64_t hash = hash_bytes(key_of_record(rec, &shape), shape.key_len, seg->seed);
    if (hash_tag(hash) != (word & IN_PLACE(SLOT_TAG)) || hash_shard(seg, hash) != shard ||
        hash_bucket(hash) != bucket ||
        (hash_directory(seg, hash) & ((1ULL << depth) - 1)) != prefix)
        problem(c, where, "slot is not where its key's hash belongs");
}

static bool same_key(struct check *c, uint64_t a, uint64_t b) {
    struct segment *seg = &c->view;
    if ((a ^ b) & IN_PLACE(SLOT_TAG))
        return false;
    struct shape s, t;
    const record_t *x = record_look(seg, a, &s), *y = record_look(seg, b, &t);
    if (!x || !y || s.key_len != t.key_len || s.hidden != t.hidden)
        return false;
    c->compared += s.key_len;
    return memcmp(key_of_record(x, &s), key_of_record(y, &t), s.key_len) == 0;
}

/* A slot is compared with those of so many buckets, its own among them. */
#define COMPARED_WITH 64

/* [OP-01] Each key lies in the file, and is compared no more often than that. More: many slots lead
 * to one of them, or keys lie in each other. */
static bool compared_too_much(struct check *c, const bucket_t *where) {
    if (c->compared <= COMPARED_WITH * SHMKV_BUCKET_SLOTS * c->limit)
        return false;
    problem(c, seg_offset(&c->view, where), "its keys are longer than the file, and not compared");
    return true;
}

/* No key twice: a quadratic look at one chain, which is short unless keys collide. */
static void check_unique(struct check *c, bucket_t *first) {
    struct segment *seg = &c->view;
    struct chain walk = {0}; /* it had no loop a moment ago, but others may write to it */
    for (bucket_t *a = first; a && !chain_loops(&walk, a) && !compared_too_much(c, a);
         a = a->link ? bucket_at_link(seg, a->link) : NULL)
        for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++) {
            if (!a->slots[i])
                continue;
            int from = i + 1, looked = 0;
            for (bucket_t *b = a; b && looked < COMPARED_WITH;
                 b = b->link ? bucket_at_link(seg, b->link) : NULL, from = 0, looked++)
                for (int k = from; k < SHMKV_BUCKET_SLOTS; k++)
                    if (b->slots[k] && same_key(c, a->slots[i], b->slots[k]))
                        problem(c, seg_offset(seg, &b->slots[k]), "key is in the store twice");
        }
}

static uint64_t check_chain(struct check *c, run_t *group, uint32_t shard, unsigned bucket,
                            uint64_t prefix, unsigned depth) {
    struct segment *seg = &c->view;
    uint64_t entries = 0;
    bucket_t *b = group_bucket(group, bucket);
    for (;;) {
        for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++)
            if (b->slots[i] & OFFSET_IN_WORD) {
                bool entry = counted(seg, b->slots[i]);
                entries += entry;
                c->bytes += entry ? cell_bytes(seg, b->slots[i]) : 0;
                check_record(c, b->slots[i], seg_offset(seg, &b->slots[i]), shard, bucket, prefix,
                             depth);
            }
        if (!b->link)
            break;
        uint64_t where = seg_offset(seg, &b->link), link = load_relaxed_u64(&b->link);
        bucket_t *next = bucket_at_link(seg, link);
        if (!next || !claim_cell(c, link, where, "link"))
            return entries; /* a loop would be claimed twice */
        b = next;
    }
    check_unique(c, group_bucket(group, bucket));
    return entries;
}

static uint64_t check_group(struct check *c, uint64_t word, uint64_t where, uint32_t shard,
                            uint64_t prefix) {
    unsigned depth = (unsigned)FIELD(word, DIRECTORY_DEPTH);
    run_t *group = run_at(c, word & PAGE_IN_WORD);
    if (!group || FIELD(group->head, RUN_KIND) != SHMKV_RUN_KIND_GROUP ||
        FIELD(group->head, RUN_INDEX) != shard) {
        problem(c, where, "directory word leads to 0x%llx, which is no group of shard %u",
                (unsigned long long)(word & PAGE_IN_WORD), shard);
        return 0;
    }
    uint64_t entries = 0;
    if (claim(c, word & PAGE_IN_WORD, "group"))
        for (unsigned b = 0; b < SHMKV_GROUP_BUCKETS; b++)
            entries += check_chain(c, group, shard, b, prefix, depth);
    return entries;
}

/* [EVICT-01] And the sum that it is kept by. */
static void check_bounds(struct check *c, const shard_t *shard, uint32_t index) {
    const struct segment *seg = &c->view;
    uint64_t where = seg_offset(seg, &shard->bytes);
    if (shard->bytes != (seg->max_bytes ? c->bytes : 0))
        problem(c, where, "shard %u counts %llu bytes, its entries have %llu", index,
                (unsigned long long)shard->bytes, (unsigned long long)c->bytes);
    if (shard->count > seg->shard_max_entries || shard->bytes > seg->shard_max_bytes)
        problem(c, where, "shard %u has more than its part of the bound", index);
}

static void check_shard(struct check *c, uint32_t index) {
    struct segment *seg = &c->view;
    shard_t *shard = &seg->shards[index];
    uint64_t root = load_relaxed_u64(&shard->root), entries = 0,
             where = seg_offset(seg, &shard->root);
    c->bytes = 0;
    if (root) {
        directory_t *dir = table_directory(seg, root);
        if (!dir || !claim_cell(c, root, where, "root"))
            return;
        unsigned depth = (unsigned)FIELD(root, ROOT_DEPTH);
        if (dir->depth != depth || dir->version & 1)
            problem(c, root & OFFSET_IN_WORD, "directory is unfinished or of another depth");
        check_version(c, dir->version, root & OFFSET_IN_WORD);
        uint64_t *words = directory_words(dir);
        for (uint64_t i = 0; i < 1ULL << depth; i++) {
            unsigned local = (unsigned)FIELD(words[i], DIRECTORY_DEPTH);
            uint64_t prefix = i & ((1ULL << (local < depth ? local : depth)) - 1);
            if (local > depth || words[i] != words[prefix])
                problem(c, seg_offset(seg, &words[i]), "directory words of one group differ");
            else if (i == prefix)
                entries += check_group(c, words[i], seg_offset(seg, &words[i]), index, prefix);
        }
    }
    if (entries != shard->count)
        problem(c, seg_offset(seg, &shard->count), "shard %u counts %llu entries, it has %llu",
                index, (unsigned long long)shard->count, (unsigned long long)entries);
    check_bounds(c, shard, index);
}

/* ----------------------------------------------------------------------- owners */

/* The overflow buckets of a group that no directory leads to. */
static void claim_chains(struct check *c, run_t *group, uint64_t where) {
    for (unsigned b = 0; b < SHMKV_GROUP_BUCKETS; b++)
        for (uint64_t link = group_bucket(group, b)->link; link;) {
            bucket_t *next = bucket_at_link(&c->view, link);
            if (!next || !claim_cell(c, link, where, "link of a group"))
                break;
            link = next->link;
        }
}

/* [EVICT-05] The groups that were left stay, with all that they have. */
static void check_left(struct check *c) {
    for (uint64_t off = c->view.data_offset; off < c->limit;) {
        run_t *run = run_at(c, off);
        uint64_t head = run ? head_of(run) : 0;
        if (FIELD(head, RUN_PAGES) == 0)
            return; /* it changed; check_ownership() says so */
        if (FIELD(head, RUN_KIND) == SHMKV_RUN_KIND_LEFT) {
            if (!c->view.evicts || FIELD(head, RUN_PAGES) != 1 ||
                FIELD(head, RUN_INDEX) >= c->view.shard_count)
                problem(c, off, "a group was left that cannot have been");
            else if (claim(c, off, "group that was left"))
                claim_chains(c, run, off);
        }
        off += FIELD(head, RUN_PAGES) * SHMKV_PAGE_SIZE;
    }
}

static void check_run_field(struct check *c, uint64_t off, uint64_t where) {
    if (!off)
        return;
    run_t *run = run_at(c, off);
    if (!run || FIELD(run->head, RUN_KIND) == SHMKV_RUN_KIND_FREE) {
        problem(c, where, "owner's run at 0x%llx is no run in use", (unsigned long long)off);
        return;
    }
    if (claim(c, off, "owner's run") && FIELD(run->head, RUN_KIND) == SHMKV_RUN_KIND_GROUP)
        claim_chains(c, run, where);
}

/* A transaction block, and the records that it names. */
static void check_block(struct check *c, uint64_t word, uint64_t where) {
    struct txn_block b;
    if (!word || !claim_cell(c, word, where, "owner's transaction") || !FIELD(word, TXN_CELLS))
        return;
    if (!txn_block_look(&c->view, word, &b)) {
        problem(c, where, "an owner's transaction is no block");
        return;
    }
    for (unsigned i = 0; i < b.cell_count; i++)
        if (b.cells[i])
            claim_cell(c, b.cells[i], seg_offset(&c->view, &b.cells[i]), "transaction's cell");
}

static void check_owner(struct check *c, uint32_t slot) {
    struct segment *seg = &c->view;
    owner_t *own = &seg->owners[slot];
    uint64_t where = seg_offset(seg, own);
    bool live = FIELD(own->state, OWNER_STATE_STATE) != 0;
    if (!live && (own->cell || own->dir || own->spare || own->low || own->high || own->old ||
                  own->run || own->txn || own->victim))
        problem(c, where, "free owner slot %u still holds something", slot);
    if (own->cell)
        claim_cell(c, own->cell, where, "owner's cell");
    if (own->victim)
        claim_cell(c, own->victim, where, "owner's evicted record");
    if (own->dir)
        claim_cell(c, own->dir, where, "owner's directory");
    for (uint64_t spare = own->spare; spare;) {
        bucket_t *b = bucket_at_link(seg, spare);
        if (!b || !claim_cell(c, spare, where, "owner's spare bucket"))
            break;
        spare = b->link;
    }
    check_run_field(c, own->low, where);
    check_run_field(c, own->high, where);
    check_run_field(c, own->old, where);
    check_run_field(c, own->run, where);
    check_block(c, own->txn, where);
}

/* ------------------------------------------------------------------------ slabs */

static void check_slab(struct check *c, run_t *slab, uint64_t off) {
    uint64_t head = head_of(slab);
    unsigned cls = (unsigned)FIELD(head, RUN_CLASS);
    if (cls == 0 || cls >= SHMKV_CLASS_COUNT || FIELD(head, RUN_INDEX) >= c->view.arena_count ||
        off % class_slab_size(cls) ||
        FIELD(head, RUN_PAGES) * SHMKV_PAGE_SIZE != class_slab_size(cls)) {
        problem(c, off, "slab header makes no sense");
        return;
    }
    uint64_t fill = load_relaxed_u64(&slab->slab), carved = FIELD(fill, SLAB_CARVED),
             free_cells = 0, used = 0;
    if (carved > class_capacity(cls)) {
        problem(c, off, "slab has more cells than fit");
        return;
    }
    for (uint64_t i = 0; i < carved; i++)
        used += claimed(c, off + SHMKV_RUN_HEADER_SIZE + i * shmkv_class_sizes[cls]);
    for (uint64_t next = FIELD(fill, SLAB_FREE); next;) {
        uint64_t cell = off + SHMKV_RUN_HEADER_SIZE + (next - 1) * shmkv_class_sizes[cls];
        if (next > carved || !seg_at(&c->view, cell, SHMKV_CELL_ALIGN) ||
            !claim(c, cell, "free cell"))
            break;
        free_cells++;
        next = FIELD(*(uint64_t *)(void *)(c->view.base + cell + 8), CELL_LINK_NEXT);
    }
    if (used != FIELD(fill, SLAB_USED) || used + free_cells != carved)
        problem(c, off,
                "slab of class %u: %llu cells carved, %llu free, %llu in use, %llu said to be", cls,
                (unsigned long long)carved, (unsigned long long)free_cells,
                (unsigned long long)used, (unsigned long long)FIELD(fill, SLAB_USED));
}

static void check_partial_lists(struct check *c) {
    for (uint32_t a = 0; a < c->view.arena_count; a++)
        for (unsigned cls = 1; cls < SHMKV_CLASS_COUNT; cls++) {
            uint64_t prev = 0, off = c->view.arenas[a].partial[cls];
            while (off) {
                run_t *slab = run_at(c, off);
                if (!slab || FIELD(slab->head, RUN_KIND) != SHMKV_RUN_KIND_SLAB ||
                    FIELD(slab->head, RUN_CLASS) != cls || FIELD(slab->head, RUN_INDEX) != a ||
                    slab->prev != prev) {
                    problem(c, off, "list of slabs of class %u in arena %u is broken here", cls, a);
                    break;
                }
                if (!claim(c, off, "slab in a list"))
                    break;
                prev = off;
                off = slab->next;
            }
        }
}

/* Every run in use has an owner: a list, the index, an owner slot, a record. */
static void check_ownership(struct check *c) {
    for (uint64_t off = c->view.data_offset; off < c->limit;) {
        run_t *run = run_at(c, off);
        /* Pages of the view that nobody wrote to still show what others store. */
        uint64_t head = run ? head_of(run) : 0;
        if (FIELD(head, RUN_PAGES) == 0) {
            problem(c, off, "run header changed during the check");
            return;
        }
        uint64_t kind = FIELD(head, RUN_KIND);
        bool full = false;
        if (kind == SHMKV_RUN_KIND_SLAB && FIELD(head, RUN_CLASS) < SHMKV_CLASS_COUNT) {
            unsigned cls = (unsigned)FIELD(head, RUN_CLASS);
            full = FIELD(run->slab, SLAB_FREE) == 0 && cls &&
                   FIELD(run->slab, SLAB_CARVED) == class_capacity(cls);
            if (full && claimed(c, off))
                problem(c, off, "full slab is in a list");
            check_slab(c, run, off);
        }
        bool owned = claimed(c, off) || full ||
                     (kind == SHMKV_RUN_KIND_LARGE && claimed(c, off + SHMKV_RUN_HEADER_SIZE));
        if (!owned)
            problem(c, off, "%s of %llu pages belongs to nothing",
                    kind == SHMKV_RUN_KIND_FREE   ? "free run"
                    : kind == SHMKV_RUN_KIND_SLAB ? "slab"
                                                  : "run",
                    (unsigned long long)FIELD(head, RUN_PAGES));
        off += FIELD(head, RUN_PAGES) * SHMKV_PAGE_SIZE;
    }
}

/* ------------------------------------------------------------------------- view */

static void check_everything(struct check *c) {
    struct segment *seg = &c->view;
    if (seg->hdr->frozen > 1)
        problem(c, offsetof(header_t, frozen), "the frozen word is neither 0 nor 1");
    c->limit = seg->space->limit;
    if (c->limit < seg->data_offset || c->limit % SHMKV_PAGE_SIZE || c->limit > seg->safe_limit) {
        problem(c, seg_offset(seg, &seg->space->limit), "the allocation limit makes no sense");
        return;
    }
    c->compared = 0;
    check_tiling(c);
    check_bins(c);
    check_partial_lists(c);
    for (uint32_t i = 0; i < seg->shard_count; i++)
        check_shard(c, i);
    for (uint32_t i = 0; i < seg->owner_count; i++)
        check_owner(c, i);
    check_left(c);
    check_ownership(c);
}

static int open_view(struct check *c, struct segment *seg) {
    shmkv_off_t bad;
    int err = view_open(seg, &c->view, &bad);
    if (err)
        return err;
    if (bad)
        problem(c, bad, "intent makes no sense");
    c->marks = calloc(c->view.reserve / SHMKV_CELL_ALIGN / 8 + 1, 1);
    if (c->marks)
        return SHMKV_OK;
    view_close(&c->view);
    return fail(ENOMEM, "%s: verify", seg->loc->path);
}

static void close_view(struct check *c) {
    free(c->marks);
    view_close(&c->view);
}

static uint64_t hash_racy(const void *shared, size_t len, uint64_t seed) {
    uint8_t copy[SHMKV_SPACE_ENTRIES * sizeof(entry_t)];
    racy_copy(copy, shared, len);
    return hash_bytes(copy, len, seed);
}

/* A number that every commit, in any domain, and every build changes. */
static uint64_t activity(struct segment *seg) {
    uint64_t sum = load_relaxed_u64(&seg->space->limit);
    for (uint32_t i = 0; i < domain_count(seg); i++) {
        struct domain d = domain_at(seg, i);
        sum =
            hash_racy(d.entries, d.capacity * sizeof *d.entries, sum ^ load_relaxed_u64(d.intent));
        sum = sum * 31 + intent_first_word(seg, &d);
    }
    for (uint32_t i = 0; i < seg->shard_count; i++)
        sum = sum * 31 + load_relaxed_u64(&seg->shards[i].changes);
    for (uint32_t i = 0; i < seg->owner_count; i++) {
        const owner_t *own = &seg->owners[i];
        sum = hash_racy(&own->version, sizeof *own - offsetof(owner_t, version),
                        sum ^ load_relaxed_u64(&own->state));
    }
    fence_acquire();
    return sum;
}

static int verify_segment(struct check *c, struct segment *seg) {
    uint64_t deadline = now_ns() + (uint64_t)seg->lock_timeout_ms * 1000000u;
    for (int n = 0; n < MIN_ATTEMPTS || now_ns() < deadline; n++) {
        c->count = c->kept = 0;
        uint64_t before = activity(seg);
        int err = open_view(c, seg);
        if (err)
            return err;
        check_everything(c);
        close_view(c);
        if (c->count == 0 || activity(seg) == before)
            return SHMKV_OK;
    }
    return fail(SHMKV_EBUSY, "%s: it changed during every check", seg->loc->path);
}

static int tell(const struct check *c, const struct segment *seg, shmkv_problem_fn fn, void *arg,
                uint64_t *problems) {
    for (size_t i = 0; fn && i < c->kept; i++)
        fn(arg, c->problems[i].offset, c->problems[i].text);
    if (problems)
        *problems = c->count;
    return c->count == 0 ? SHMKV_OK
                         : fail(SHMKV_ECORRUPT, "%s: %llu problems, first at 0x%llx: %s",
                                seg->loc->path, (unsigned long long)c->count,
                                (unsigned long long)c->problems[0].offset, c->problems[0].text);
}

int segment_verify(struct segment *seg, shmkv_problem_fn fn, void *arg, uint64_t *problems) {
    struct check *c = calloc(1, sizeof *c);
    if (c)
        c->problems = calloc(MAX_REPORTED, sizeof *c->problems);
    if (!c || !c->problems) {
        free(c);
        return fail(ENOMEM, "%s: verify", seg->loc->path);
    }
    int err = verify_segment(c, seg);
    if (!err)
        err = tell(c, seg, fn, arg, problems);
    free(c->problems);
    free(c);
    return err;
}

int shmkv_verify(shmkv_t *kv, shmkv_problem_fn fn, void *arg, uint64_t *problems) {
    struct segment *seg;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    err = segment_verify(seg, fn, arg, problems);
    handle_leave();
    return err;
}
