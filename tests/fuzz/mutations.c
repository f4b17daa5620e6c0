/*
 * What is changed in an image. See images.h.
 *
 * Bits flipped, words replaced by others of the image, by offsets just inside or
 * outside it, by lengths and counts that are too large; links swapped; intents made
 * up that store anywhere; locks that name anybody.
 */
#include "tests/fuzz/images.h"

#include <string.h>

#include "core/src/hash.h"

static struct random dice;
static uint64_t below(uint64_t n) { return random_below(&dice, n); }

uint64_t image_word(const struct image *im, uint64_t off) {
    uint64_t w = 0;
    if (off + 8 <= im->size)
        memcpy(&w, im->bytes + off, 8);
    return w;
}

static const header_t *head(const struct image *im) { return &im->where; }

/* Where their words begin. */
static const uint16_t shard_words[] = {offsetof(shard_t, lock),    offsetof(shard_t, intent),
                                       offsetof(shard_t, changes), offsetof(shard_t, waiters),
                                       offsetof(shard_t, count),   offsetof(shard_t, bytes),
                                       offsetof(shard_t, hand),    offsetof(shard_t, evictions),
                                       offsetof(shard_t, root),    offsetof(shard_t, entries)};
static const uint16_t arena_words[] = {offsetof(arena_t, lock), offsetof(arena_t, intent),
                                       offsetof(arena_t, partial)};
static const uint16_t space_words[] = {offsetof(space_t, lock), offsetof(space_t, intent),
                                       offsetof(space_t, limit), offsetof(space_t, last),
                                       offsetof(space_t, bins)};

#define ANY_OF(array) ((array)[below(sizeof(array) / sizeof *(array))])

/* A word of one of the structures before the data. */
static uint64_t pick_field(const struct image *im) {
    const header_t *h = head(im);
    switch (below(8)) {
    case 0:
        return 8 + below(32) * 8; /* header */
    case 1:
        return h->owners_offset + below(2) * sizeof(owner_t) + below(4) * 8;
    case 2:
        return h->owners_offset + below(4) * sizeof(owner_t) + offsetof(owner_t, version) +
               below(10) * 8;
    case 3:
        return h->shards_offset + below(h->shard_count) * sizeof(shard_t) + ANY_OF(shard_words);
    case 4:
        return h->arenas_offset + below(h->arena_count) * sizeof(arena_t) + ANY_OF(arena_words) +
               8 * below(2) * below(40);
    case 5:
        return h->space_offset + ANY_OF(space_words);
    case 6:
        return h->space_offset + offsetof(space_t, bins) + 8 * below(SHMKV_SPACE_BINS);
    default: /* a run's header */
        return h->data_offset +
               below((im->size - h->data_offset) / SHMKV_PAGE_SIZE + 1) * SHMKV_PAGE_SIZE +
               8 * below(5);
    }
}

static uint64_t pick_target(const struct image *im) {
    switch (below(8)) {
    case 0:
        return below(im->size / 8) * 8;
    case 1:
    case 2:
        return pick_field(im);
    default: /* where something is; the data more often than the tables */
        return im->hot[below(2) ? below(im->hot_count)
                                : im->hot_count - 1 - below(im->hot_count / 2 + 1)];
    }
}

/* An offset, of things that are there and things that are not. */
static uint64_t pick_offset(const struct image *im) {
    const header_t *h = head(im);
    switch (below(10)) {
    case 0:
        return below(im->size);
    case 1:
        return round_up(below(im->size), 64);
    case 2:
        return round_up(below(im->size), 4096) + 64;
    case 3:
        return im->size - (const uint16_t[]){0, 1, 8, 16, 32, 64, 128, 4032, 4096}[below(9)];
    case 4:
        return h->data_offset - 16 + 16 * below(3);
    case 5:
        return pick_field(im);
    case 6:
        return 1ULL << below(42);
    case 7:
        return im->size + below(1 << 20);
    default:
        return round_up(below(im->size), 4096);
    }
}

static uint64_t pick_value(const struct image *im, uint64_t off) {
    static const uint64_t limits[] = {0,          1,          2,          0x7f,
                                      0xff,       0xffff,     0x7fffffff, 0xffffffff,
                                      1ULL << 32, 1ULL << 42, 1ULL << 63, ~0ULL};
    uint64_t old = image_word(im, off);
    switch (below(14)) {
    case 0:
    case 1:
        return old ^ 1ULL << below(64);
    case 2:
        return old + (const int64_t[]){1, -1, 16, -16, 64, -64, 4096, -4096}[below(8)];
    case 3:
        return limits[below(12)];
    case 4:
    case 5:
    case 6: /* what another word of the image says */
        return image_word(im, im->hot[below(im->hot_count)]);
    case 7: /* the same class, depth and tag, another place */
        return (old & ~OFFSET_IN_WORD) | (pick_offset(im) & OFFSET_IN_WORD);
    case 8: /* another class */
        return (old & ~CLASS_IN_WORD) | MAKE(CELL_CLASS, below(64));
    case 9: /* another depth */
        return (old & ~IN_PLACE(ROOT_DEPTH)) | MAKE(ROOT_DEPTH, below(64));
    case 10:
        return pick_offset(im);
    case 11: /* a cell around here */
        return (pick_offset(im) & ~63ULL) | MAKE(CELL_CLASS, below(35));
    case 12: /* lengths of a record; fill of a slab; pages of a run */
        return (old & ~0xffffffffULL << 16 * below(3)) | below(1ULL << 34) << below(30);
    default:
        return random_next(&dice);
    }
}

static void mutate(struct trial *t, uint64_t off, uint64_t value, unsigned width) {
    if (t->n < MAX_MUTATIONS)
        t->m[t->n++] = (struct mutation){off, value, (uint8_t)width};
}

/* An intent that looks whole, and stores anything anywhere. */
static void mutate_intent(struct trial *t) {
    const struct image *im = t->im;
    const header_t *h = head(im);
    uint64_t intent, entries;
    unsigned n = 1 + (unsigned)below(6);
    switch (below(3)) {
    case 0:
        intent =
            h->shards_offset + below(h->shard_count) * sizeof(shard_t) + offsetof(shard_t, intent);
        entries = intent - offsetof(shard_t, intent) + offsetof(shard_t, entries);
        break;
    case 1:
        intent = h->arenas_offset + below(2) * below(h->arena_count) * sizeof(arena_t) + 128;
        entries = intent + 16;
        break;
    default:
        intent = h->space_offset + 128;
        entries = intent + 16;
    }
    mutate(t, intent,
           MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_ALWAYS, below(4) != 0) | MAKE(INTENT_COUNT, n) |
               MAKE(INTENT_OWNER, below(6)) | MAKE(INTENT_OP, below(16)),
           8);
    for (unsigned i = 0; i < n; i++) {
        uint64_t to = below(3) ? pick_field(im) : pick_target(im);
        if (below(3) == 0) /* our own slot, most likely the first */
            to = h->owners_offset + below(2) * sizeof(owner_t) + below(24) * 8;
        mutate(t, entries + i * 16, to | (below(12) ? 0 : FILL_ENTRY), 8);
        mutate(t, entries + i * 16 + 8, pick_value(im, to), 8);
    }
    if (below(2)) /* somebody dead holds the lock */
        mutate(t, intent & ~127ULL, MAKE(LOCK_OWNER, below(6)) | below(2) << 31, 4);
}

/* A dead owner of the arena that we shall use has begun to give us a slab: whatever
 * it is, it arrives in our slot the moment we take the lock. */
static void mutate_own_slab(struct trial *t) {
    const header_t *h = head(t->im);
    uint64_t arena = h->arenas_offset;
    for (unsigned cls = 1; cls < SHMKV_CLASS_COUNT; cls++)
        mutate(t, arena + offsetof(arena_t, partial) + cls * 8, 0, 8);
    mutate(t, arena + offsetof(arena_t, intent),
           MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_ALWAYS, 1) | MAKE(INTENT_COUNT, 1) |
               MAKE(INTENT_OWNER, 1) | MAKE(INTENT_OP, SHMKV_OP_RETIRE),
           8);
    mutate(t, arena + offsetof(arena_t, entries), h->owners_offset + offsetof(owner_t, run), 8);
    mutate(t, arena + offsetof(arena_t, entries) + 8, pick_offset(t->im), 8);
}

/* A dead owner with a transaction block, which may lie anywhere and name anything, and
 * intents of two shards that are decided by it, or nearly. */
static void mutate_transaction(struct trial *t) {
    const struct image *im = t->im;
    const header_t *h = head(im);
    uint64_t slot = below(3), own = h->owners_offset + slot * sizeof(owner_t);
    uint64_t cell = below(3)
                        ? image_word(im, im->hot[below(im->hot_count)]) & CELL_IN_WORD
                        : (pick_offset(im) & ~15ULL & OFFSET_IN_WORD) | MAKE(CELL_CLASS, below(35));
    uint64_t block = cell & OFFSET_IN_WORD, cells = 1 + below(below(8) ? 12 : 1100);
    uint64_t decision = 1ULL << 48 | (below(1 << 20) << 4),
             first = block + sizeof(block_t) + 8 * cells;
    mutate(t, own, MAKE(OWNER_STATE_STATE, 1) | MAKE(OWNER_STATE_GENERATION, 1), 8);
    mutate(t, own + offsetof(owner_t, txn), cell | MAKE(TXN_CELLS, cells), 8);
    if (block + sizeof(block_t) <= im->size)
        mutate(t, block, below(5) ? decision : 0, 8);
    for (unsigned i = 0, n = (unsigned)below(4); i < n; i++) {
        uint64_t at = block + sizeof(block_t) + 8 * below(cells);
        mutate(t, at, pick_value(im, at), 8);
    }
    for (unsigned i = 0, n = (unsigned)below(6); i < n; i++) {
        uint64_t to = below(3) ? pick_target(im) : pick_field(im);
        mutate(t, first + i * 16, to, 8);
        mutate(t, first + i * 16 + 8, pick_value(im, to), 8);
    }
    for (unsigned i = 0; i < 2; i++) {
        uint64_t shard = h->shards_offset + below(h->shard_count) * sizeof(shard_t);
        mutate(t, shard + offsetof(shard_t, entries), block, 8);
        mutate(t, shard + offsetof(shard_t, entries) + 8, decision, 8);
        mutate(t, shard + offsetof(shard_t, entries) + 16,
               (first + 16 * below(6) + 8 * (below(12) == 0)) | LIST_ENTRY, 8);
        mutate(t, shard + offsetof(shard_t, entries) + 24, below(8) ? below(8) : pick_value(im, 0),
               8);
        mutate(t, shard + offsetof(shard_t, intent),
               MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_COUNT, 2) |
                   MAKE(INTENT_OWNER, slot + (below(12) != 0)) |
                   MAKE(INTENT_OP, SHMKV_OP_TRANSACTION),
               8);
        if (below(2))
            mutate(t, shard, MAKE(LOCK_OWNER, slot + 1) | MAKE(LOCK_GENERATION, 1), 4);
    }
}

/* A group of links, or of slots, that lead to one place: cycles and shared tails. */
static void mutate_links(struct trial *t) {
    const struct image *im = t->im;
    uint64_t page = round_up(below(im->size), 4096) - 4096 * below(2);
    uint64_t to = (pick_offset(im) & ~63ULL) | MAKE(CELL_CLASS, 1);
    for (unsigned i = 0, n = 1 + (unsigned)below(8); i < n; i++)
        mutate(t, page + 64 + below(63) * 64 + 56, to, 8);
    mutate(t, (to & OFFSET_IN_WORD) + 56, below(2) ? to : to + 64, 8);
}

void trial_draw_mutations(struct trial *t, struct random *from) {
    dice = *from;
    switch (below(7)) {
    case 6:
        mutate_transaction(t);
        break;
    case 0:
        mutate_intent(t);
        break;
    case 1:
        mutate_links(t);
        break;
    case 2:
        if (below(8) == 0)
            mutate_own_slab(t);
        break;
    default:
        break;
    }
    for (unsigned i = 0, n = 1 + (unsigned)below(5); i < n; i++) {
        uint64_t off = pick_target(t->im);
        if (below(12) == 0)
            mutate(t, below(t->im->size), random_next(&dice), 1);
        else if (below(40) == 0)
            mutate(t, 0, below(2) ? below(t->im->size) : t->im->size + below(9) * 1000, 0);
        else
            mutate(t, off, pick_value(t->im, off), below(8) ? 8 : 4);
    }
    *from = dice;
}

static struct random dice_of(uint64_t seed, uint64_t number) {
    struct random r = {seed + number * 0x9e3779b97f4a7c15u};
    random_next(&r);
    return r;
}

/* Consecutive trials have one image, so that the file keeps its pages. */
#define TRIALS_OF_AN_IMAGE 32

void trial_draw(struct trial *t, uint64_t seed, uint64_t number) {
    struct random image = dice_of(~seed, number / TRIALS_OF_AN_IMAGE), r = dice_of(seed, number);
    *t = (struct trial){
        .im = &images[random_below(&image, image_count)],
        .seal = random_below(&r, 32) != 0,
        .conduct = {.replace = random_below(&r, 128) == 0, .late = random_below(&r, 2)}};
    trial_draw_mutations(t, &r);
}

uint64_t trial_size(const struct trial *t, uint64_t mask) {
    uint64_t size = t->im->size;
    for (unsigned i = 0; i < t->n; i++)
        if (mask >> i & 1 && t->m[i].width == 0)
            size = t->m[i].value;
    return size;
}

void seal_header(uint8_t *bytes, uint64_t size) {
    if (size < sizeof(header_t))
        return;
    uint64_t sum = hash_inline(bytes, offsetof(header_t, checksum), 0);
    memcpy(bytes + offsetof(header_t, checksum), &sum, 8);
}

void trial_write(const struct trial *t, uint64_t mask, uint8_t *to) {
    uint64_t size = trial_size(t, mask);
    memcpy(to, t->im->bytes, size < t->im->size ? size : t->im->size);
    if (size > t->im->size)
        memset(to + t->im->size, 0, size - t->im->size);
    for (unsigned i = 0; i < t->n; i++) {
        const struct mutation *m = &t->m[i];
        if (mask >> i & 1 && m->width && m->off + m->width <= size)
            memcpy(to + m->off, &m->value, m->width);
    }
    if (t->seal)
        seal_header(to, size);
}
