/*
 * Transactions: several words that change together although the process may be
 * killed between any two stores. Spec 7.1.
 *
 * The holder of a domain's lock writes the after-values of all words into the
 * domain's entries, declares them complete by storing the intent word, stores
 * entry 0 (in most operations the slot that readers look at: the commit), then
 * the others, then clears the intent. A successor that finds the intent stores
 * the rest again if entry 0 took effect, and otherwise nothing has happened.
 * Values are absolute, so replaying twice, or dying while replaying, is harmless.
 *
 * Undo logs were passed over: redo needs no old values, and before the commit
 * nothing has changed. Only the order of stores within one process matters here,
 * since a killed process leaves coherent memory.
 */
#include "internal.h"

/* The value the word will have: what this transaction last set, or what is there. */
uint64_t txn_get(const struct txn *t, const uint64_t *word) {
    for (unsigned i = t->n; i-- > 0;)
        if (t->after[i].word == word)
            return t->after[i].value;
    return load_relaxed_u64(word);
}

void txn_fill(struct txn *t, uint64_t *first, uint64_t value, uint64_t stride, uint64_t count) {
    struct after *a = txn_set(t, first, value);
    a->stride = stride;
    a->count = count;
}

/* ORDER publish: [LOCK-26] what the words lead to was written before; pairs with the
 * acquire loads of read.c. Spec 6.3 step 7. */
static inline void store_after(const struct after *a) {
    uint64_t *word = a->word;
    store_release_u64(word, a->value);
    if (unlikely(a->count > 1))
        for (uint64_t n = a->count; --n;) {
            word += a->stride / 8;
            store_release_u64(word, a->value);
        }
}

static inline entry_t *write_entry(entry_t *e, uint64_t offset, uint64_t value) {
    store_relaxed_u64(&e->offset, offset);
    store_relaxed_u64(&e->value, value);
    return e + 1;
}

/* The domain's intent is over; the next one may begin. */
static inline void make_idle(const struct domain *d) {
    store_release_u64(d->intent, 0);
    fence_program_order(); /* before the entries of the next one */
}

/* Write the entries; returns how many that makes. */
static inline unsigned write_entries(const struct txn *t) {
    entry_t *e = t->d->entries;
    for (const struct after *a = t->after; a < t->after + t->n; a++) {
        uint64_t offset = seg_offset(t->ctx->seg, a->word);
        if (likely(a->count == 1)) {
            e = write_entry(e, offset, a->value);
        } else {
            e = write_entry(e, offset | FILL_ENTRY, a->value);
            e = write_entry(e, a->stride, a->count);
        }
    }
    return (unsigned)(e - t->d->entries);
}

/* [LOCK-23] Whose fields it stores to, which for a reaper is the dead owner. */
static inline uint64_t owner_in_intent(const struct context *ctx) {
    return MAKE(INTENT_OWNER, ctx->own - ctx->seg->owners + 1);
}

static void commit(struct txn *t, enum shmkv_op op, bool always) {
    const struct domain *d = t->d;
    unsigned n = write_entries(t);
    uint64_t intent = MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_ALWAYS, always) | MAKE(INTENT_COUNT, n) |
                      owner_in_intent(t->ctx) | MAKE(INTENT_OP, op);
    FAULT_POINT("commit-before-intent");
    /* CRASH intent: death before this store leaves an idle intent and nothing
     * changed; after it, whoever takes the lock decides by entry 0. Spec 7.1. */
    store_release_u64(d->intent, intent);
    FAULT_POINT("commit-before-first");
    for (unsigned i = 0; i < t->n; i++) {
        store_after(&t->after[i]);
        FAULT_POINT("commit-after-entry");
    }
    make_idle(d);
    FAULT_POINT("commit-after-intent");
    domain_alarm(t->ctx->seg, d);
}

void txn_commit(struct txn *t, enum shmkv_op op) { commit(t, op, false); }
void txn_commit_always(struct txn *t, enum shmkv_op op) { commit(t, op, true); }

/* ------------------------------------------------------- of several domains at once */

/*
 * The intents of all domains have the same entry 0, the word that decides, and no
 * two of them store to the same words. So it does not matter who finishes which, or
 * when: the word is stored once, before any of the others, and stays until all are idle.
 */
void intent_join(struct context *ctx, const struct domain *d, const struct txn_block *b,
                 uint64_t decision, struct part part) {
    entry_t *e = write_entry(d->entries, seg_offset(ctx->seg, &b->head->decision), decision);
    write_entry(e, seg_offset(ctx->seg, b->entries + part.first) | LIST_ENTRY, part.count);
    FAULT_POINT("join-before-intent");
    store_release_u64(d->intent, MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_COUNT, 2) |
                                     owner_in_intent(ctx) | MAKE(INTENT_OP, SHMKV_OP_TRANSACTION));
    FAULT_POINT("join-after-intent");
}

void intent_carry_out(struct segment *seg, const struct domain *d, const struct after *after,
                      unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        store_after(&after[i]);
        FAULT_POINT("carry-out-after-entry");
    }
    make_idle(d);
    FAULT_POINT("carry-out-after-intent");
    domain_alarm(seg, d);
}

/* ---------------------------------------------------------------- what it leads to */

/* The words of one entry: N words from @p first, @p stride bytes apart. */
struct target {
    uint8_t *first;
    uint64_t value, stride, count;
    unsigned entries; /* that describe it: 1, or 2 for a fill */
};

/* Is @p off in the table of @p count structs at @p base? At which field of one? */
static bool in_table(uint64_t off, uint64_t base, uint64_t count, uint64_t size, uint64_t *field) {
    *field = (off - base) % size;
    return off >= base && off < base + count * size;
}

/* [CRASH-04] Everything in the data part; elsewhere only what the spec's
 * operations change. */
static bool may_store(const struct segment *seg, uint64_t off) {
    if (off % 8)
        return false;
    if (off >= seg->data_offset)
        return true;
    uint64_t field;
    if (in_table(off, seg_offset(seg, seg->owners), seg->owner_count, sizeof(owner_t), &field))
        return field >= offsetof(owner_t, cell);
    if (in_table(off, seg_offset(seg, seg->shards), seg->shard_count, sizeof(shard_t), &field))
        return field == offsetof(shard_t, root) || field == offsetof(shard_t, changes) ||
               field == offsetof(shard_t, count) || field == offsetof(shard_t, bytes) ||
               field == offsetof(shard_t, evictions);
    if (in_table(off, seg_offset(seg, seg->arenas), seg->arena_count, sizeof(arena_t), &field))
        return field >= offsetof(arena_t, partial);
    return in_table(off, seg_offset(seg, seg->space), 1, sizeof(space_t), &field) &&
           field >= offsetof(space_t, limit);
}

/* A fill is how a split stores directory words, and nothing else. */
static bool in_directory(struct segment *seg, const struct domain *d, uint64_t off,
                         const struct target *t) {
    uint64_t root = d->kind == SHMKV_LOCK_SHARD ? load_relaxed_u64(&seg->shards[d->index].root) : 0;
    directory_t *dir = root ? table_directory(seg, root) : NULL;
    if (!dir || !t->stride || t->stride % 8)
        return false;
    uint64_t first = seg_offset(seg, directory_words(dir)), size = 8ULL << FIELD(root, ROOT_DEPTH);
    return off >= first && off - first < size && t->count &&
           t->count - 1 <= (size - 8 - (off - first)) / t->stride;
}

/* Where entry @p i of @p n leads. False: nowhere that it may. */
static bool target_of(struct segment *seg, const struct domain *d, unsigned i, unsigned n,
                      struct target *t) {
    uint64_t off = load_relaxed_u64(&d->entries[i].offset);
    *t = (struct target){
        .value = load_relaxed_u64(&d->entries[i].value), .stride = 8, .count = 1, .entries = 1};
    bool fill = off & FILL_ENTRY;
    off &= ~FILL_ENTRY;
    if (fill) {
        if (i + 1 >= n)
            return false;
        t->stride = load_relaxed_u64(&d->entries[i + 1].offset);
        t->count = load_relaxed_u64(&d->entries[i + 1].value);
        t->entries = 2;
    }
    if (!may_store(seg, off) || (fill && !in_directory(seg, d, off, t)))
        return false;
    t->first = seg_at(seg, off, (t->count - 1) * t->stride + 8);
    return t->first != NULL;
}

static void apply(const struct target *t) {
    uint8_t *p = t->first;
    for (uint64_t n = t->count; n; n--, p += t->stride)
        store_release_u64((uint64_t *)(void *)p, t->value);
}

/* Of one shard: two entries for each key, and count, bytes, changes. */
#define LONGEST_LIST (2 * SHMKV_MAX_TRANSACTION + 3)

/* The entries that entry @p i leads to, in the block of the owner that the intent
 * names; NULL: nowhere. What is there may be anything, but is not long: [OP-01] a snapshot
 * looks for each slot in it. */
static const entry_t *list_at(struct segment *seg, const struct domain *d, uint64_t intent,
                              unsigned i, unsigned *count) {
    uint64_t off = load_relaxed_u64(&d->entries[i].offset) & ~LIST_ENTRY,
             n = load_relaxed_u64(&d->entries[i].value), slot = FIELD(intent, INTENT_OWNER) - 1;
    struct txn_block b;
    if (d->kind != SHMKV_LOCK_SHARD || n > LONGEST_LIST || slot >= seg->owner_count ||
        !txn_block_look(seg, load_relaxed_u64(&seg->owners[slot].txn), &b))
        return NULL;
    uint64_t first = seg_offset(seg, b.entries), at = (off - first) / sizeof(entry_t);
    if (off < first || (off - first) % sizeof(entry_t) || at >= b.capacity || n > b.capacity - at)
        return NULL;
    *count = (unsigned)n;
    return b.entries + at;
}

/* Where an entry of a list leads: to one word, always. */
static bool target_in_list(struct segment *seg, const entry_t *e, struct target *t) {
    uint64_t off = load_relaxed_u64(&e->offset);
    *t = (struct target){.value = load_relaxed_u64(&e->value), .stride = 8, .count = 1};
    t->first = may_store(seg, off) ? seg_at(seg, off, 8) : NULL;
    return t->first != NULL;
}

/* ----------------------------------------------------------------------- replay */

static bool is_list(const entry_t *e) {
    return (load_relaxed_u64(&e->offset) & (FILL_ENTRY | LIST_ENTRY)) == LIST_ENTRY;
}

/* All entries of the list lead somewhere; store their values, if that is wanted. */
static bool walk_list(struct segment *seg, const entry_t *list, unsigned count, bool store) {
    bool good = true;
    for (unsigned i = 0; i < count; i++) {
        struct target t;
        if (!target_in_list(seg, &list[i], &t)) {
            good = false;
        } else if (store) {
            apply(&t);
            FAULT_POINT("replay-after-entry");
        }
    }
    return good;
}

/* The same for the entries of the intent, from @p i on. They are checked again when they are
 * stored: somebody may be writing to them. */
static bool walk_entries(struct segment *seg, const struct domain *d, uint64_t intent, unsigned i,
                         bool store) {
    bool good = true;
    for (unsigned n = (unsigned)FIELD(intent, INTENT_COUNT), taken; i < n; i += taken) {
        struct target t;
        taken = 1;
        if (is_list(&d->entries[i])) {
            unsigned count;
            const entry_t *list = list_at(seg, d, intent, i, &count);
            good &= list && walk_list(seg, list, count, store);
            continue;
        }
        bool leads = target_of(seg, d, i, n, &t);
        taken = t.entries;
        good &= leads;
        if (store && leads)
            apply(&t);
        if (store)
            FAULT_POINT("replay-after-entry");
    }
    return good;
}

/* Entry 0's word holds entry 0's value: it was stored. Marks may be set by readers
 * at any time; they do not make it another slot. */
static bool took_effect(const struct target *first) {
    return ((load_relaxed_u64((const uint64_t *)(const void *)first->first) ^ first->value) &
            SLOT_IDENTITY) == 0;
}

int intent_replay(struct segment *seg, const struct domain *d) {
    uint64_t intent = load_acquire_u64(d->intent);
    unsigned n = (unsigned)FIELD(intent, INTENT_COUNT);
    if (!FIELD(intent, INTENT_ACTIVE) || n == 0 || n > d->capacity)
        return damaged(seg, seg_offset(seg, d->intent), "an intent makes no sense");
    struct target first;
    /* All entries lead somewhere. Only then may the first of them be replayed: what
     * one process cannot reach (its reserve may be smaller), another can, and must
     * find the intent as it was. */
    if (!walk_entries(seg, d, intent, 0, false) || !target_of(seg, d, 0, n, &first))
        return damaged(seg, seg_offset(seg, d->entries), "an intent's entry is out of bounds");
    bool always = FIELD(intent, INTENT_ALWAYS);
    if (always || took_effect(&first))
        walk_entries(seg, d, intent, always ? 0 : first.entries, true);
    make_idle(d);
    FAULT_POINT("replay-after-intent");
    domain_alarm(seg, d);
    return SHMKV_OK;
}

uint64_t intent_first_word(struct segment *seg, const struct domain *d) {
    if (!FIELD(load_acquire_u64(d->intent), INTENT_ACTIVE))
        return 0;
    uint64_t off = load_relaxed_u64(&d->entries[0].offset) & ~FILL_ENTRY;
    const uint64_t *word = off % 8 ? NULL : seg_at(seg, off, 8);
    return word ? load_acquire_u64(word) : 0;
}

const entry_t *intent_decided(struct segment *seg, const struct domain *d, unsigned *count) {
    uint64_t intent = load_acquire_u64(d->intent);
    struct target first;
    if (!FIELD(intent, INTENT_ACTIVE) || FIELD(intent, INTENT_ALWAYS) ||
        FIELD(intent, INTENT_COUNT) != 2 || !is_list(&d->entries[1]) ||
        !target_of(seg, d, 0, 2, &first) || !took_effect(&first))
        return NULL;
    return list_at(seg, d, intent, 1, count);
}
