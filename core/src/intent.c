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
#include <assert.h>

#include "internal.h"

void txn_begin(struct txn *t, struct context *ctx, const struct domain *d) {
    assert(lock_held(ctx, d));
    assert(load_relaxed_u64(d->intent) == 0);
    *t = (struct txn){.ctx = ctx, .d = d};
}

static entry_t *new_entry(struct txn *t) {
    /* The capacities in the layout are the longest transactions there are. */
    assert(t->n < t->d->capacity);
    return &t->d->entries[t->n++];
}

/* The value the word will have: what this transaction last set, or what is there. */
uint64_t txn_get(const struct txn *t, const uint64_t *word) {
    shmkv_off_t off = seg_offset(t->ctx->seg, word);
    for (unsigned i = t->n; i-- > 0;)
        if (t->d->entries[i].offset == off)
            return t->d->entries[i].value;
    return load_relaxed_u64(word);
}

void txn_set(struct txn *t, uint64_t *word, uint64_t value) {
    entry_t *e = new_entry(t);
    store_relaxed_u64(&e->offset, seg_offset(t->ctx->seg, word));
    store_relaxed_u64(&e->value, value);
}

void txn_fill(struct txn *t, uint64_t *first, uint64_t value, uint64_t stride, uint64_t count) {
    entry_t *e = new_entry(t);
    store_relaxed_u64(&e->offset, seg_offset(t->ctx->seg, first) | FILL_ENTRY);
    store_relaxed_u64(&e->value, value);
    e = new_entry(t);
    store_relaxed_u64(&e->offset, stride);
    store_relaxed_u64(&e->value, count);
}

/* Store entry @p i, and tell how many entries that was; 0 if it is out of bounds. */
static unsigned apply(struct segment *seg, const struct domain *d, unsigned i, unsigned n) {
    uint64_t off = load_relaxed_u64(&d->entries[i].offset);
    uint64_t value = load_relaxed_u64(&d->entries[i].value);
    uint64_t stride = 8, count = 1;
    if (off & FILL_ENTRY) {
        if (i + 1 >= n)
            return 0;
        off &= ~FILL_ENTRY;
        stride = load_relaxed_u64(&d->entries[i + 1].offset);
        count = load_relaxed_u64(&d->entries[i + 1].value);
        if (stride % 8 || !stride || stride > seg->reserve || !count || count > seg->reserve / stride)
            return 0;
    }
    /* [CRASH-04] Nothing before the first owner slot is ever in a transaction. */
    uint8_t *p = off % 8 || off < sizeof(header_t) ? NULL : seg_at(seg, off, (count - 1) * stride + 8);
    if (!p)
        return 0;
    for (; count; count--, p += stride)
        /* ORDER publish: [LOCK-26] what the word leads to was written before; pairs with
         * the acquire loads of read.c. Spec 6.3 step 7. */
        store_release_u64((uint64_t *)(void *)p, value);
    return d->entries[i].offset & FILL_ENTRY ? 2 : 1;
}

static void commit(struct txn *t, enum shmkv_op op, bool always) {
    struct segment *seg = t->ctx->seg;
    const struct domain *d = t->d;
    uint64_t intent = MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_ALWAYS, always) | MAKE(INTENT_COUNT, t->n) |
                      /* [LOCK-23] Whose fields it stores to, which for a reaper is the dead owner. */
                      MAKE(INTENT_OWNER, t->ctx->own - seg->owners + 1) | MAKE(INTENT_OP, op);
    FAULT_POINT("commit-before-intent");
    /* CRASH intent: death before this store leaves an idle intent and nothing
     * changed; after it, whoever takes the lock decides by entry 0. Spec 7.1. */
    store_release_u64(d->intent, intent);
    FAULT_POINT("commit-before-first");
    for (unsigned i = 0; i < t->n;) {
        unsigned step = apply(seg, d, i, t->n);
        assert(step);
        i += step;
        FAULT_POINT("commit-after-entry");
    }
    store_release_u64(d->intent, 0);
    FAULT_POINT("commit-after-intent");
}

void txn_commit(struct txn *t, enum shmkv_op op) { commit(t, op, false); }
void txn_commit_always(struct txn *t, enum shmkv_op op) { commit(t, op, true); }

static bool took_effect(struct segment *seg, const struct domain *d) {
    uint64_t off = load_relaxed_u64(&d->entries[0].offset) & ~FILL_ENTRY;
    const uint64_t *word = off % 8 ? NULL : seg_at(seg, off, 8);
    /* Marks may be set by readers at any time; they do not make it another slot. */
    return word && ((load_relaxed_u64(word) ^ load_relaxed_u64(&d->entries[0].value)) & SLOT_IDENTITY) == 0;
}

int intent_replay(struct segment *seg, const struct domain *d) {
    uint64_t intent = load_acquire_u64(d->intent);
    unsigned n = (unsigned)FIELD(intent, INTENT_COUNT);
    if (!FIELD(intent, INTENT_ACTIVE) || n == 0 || n > d->capacity)
        return damaged(seg, seg_offset(seg, d->intent), "an intent makes no sense");
    if (FIELD(intent, INTENT_ALWAYS) || took_effect(seg, d)) {
        for (unsigned i = FIELD(intent, INTENT_ALWAYS) ? 0 : 1; i < n;) {
            unsigned step = apply(seg, d, i, n);
            if (!step)
                return damaged(seg, seg_offset(seg, &d->entries[i]), "an intent's entry is out of bounds");
            i += step;
            FAULT_POINT("replay-after-entry");
        }
    }
    store_release_u64(d->intent, 0);
    FAULT_POINT("replay-after-intent");
    return SHMKV_OK;
}
