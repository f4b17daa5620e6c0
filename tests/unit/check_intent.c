/* Transactions and their replay. Spec 7.1. */
#include <string.h>

#include "tests/support/checks.h"

/* Words that nothing else uses: "somebody waits for a change", of later operations. */
#define WORDS 6

static const char *name;
static shmkv_t *kv;
static struct segment *seg;
static struct context *ctx;
static struct domain d;
static uint64_t *words[WORDS];
static char key_of_shard[KEY_TEXT_SIZE];

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
    seg = segment_of(kv);
    ctx = context_of(kv);
    d = shard_domain(seg, 3);
    for (int i = 0; i < WORDS; i++)
        words[i] =
            &seg->arenas[SHMKV_DEFAULT_ARENAS - 1].partial[SHMKV_CLASS_COUNT + i]; /* of no class */
    struct key_search s = search_shard(kv, 3, "key");
    key_find(&s, key_of_shard);
}

static void tear_down(void) {
    for (int i = 0; i < WORDS; i++)
        *words[i] = 0;
    context_release(ctx);
    finish(kv, name);
}

static void entry(unsigned i, uint64_t offset, uint64_t value) {
    d.entries[i].offset = offset;
    d.entries[i].value = value;
}
static void entry_for(unsigned i, uint64_t *word, uint64_t value) {
    entry(i, seg_offset(seg, word), value);
}

/* What a writer leaves that dies with @p n entries complete. */
static void leave_intent(unsigned n, bool always) {
    *d.intent = MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_ALWAYS, always) | MAKE(INTENT_COUNT, n) |
                MAKE(INTENT_OWNER, 100) | MAKE(INTENT_OP, SHMKV_OP_PUT);
}

static void take_and_release(void) {
    ck_assert_ok(lock_take(ctx, &d));
    ck_assert_uint_eq(*d.intent, 0);
    lock_release(ctx, &d);
}

/* ------------------------------------------------------------------------ commit */

START_TEST(test_commit_stores_every_word_and_leaves_the_intent_idle) {
    ck_assert_ok(lock_take(ctx, &d));
    struct txn t;
    txn_begin(&t, ctx, &d);
    for (int i = 0; i < WORDS; i++)
        txn_set(&t, words[i], 100 + (uint64_t)i);
    ck_assert_uint_eq(*words[0], 0);
    ck_assert_uint_eq(txn_get(&t, words[2]), 102);
    txn_commit(&t, SHMKV_OP_PUT);
    for (int i = 0; i < WORDS; i++)
        ck_assert_uint_eq(*words[i], 100 + (uint64_t)i);
    ck_assert_uint_eq(*d.intent, 0);
    lock_release(ctx, &d);
}
END_TEST

START_TEST(test_txn_when_a_word_is_set_twice_keeps_the_last) {
    ck_assert_ok(lock_take(ctx, &d));
    struct txn t;
    txn_begin(&t, ctx, &d);
    ck_assert_uint_eq(txn_get(&t, words[0]), 0);
    txn_set(&t, words[0], 1);
    txn_set(&t, words[0], 2);
    ck_assert_uint_eq(txn_get(&t, words[0]), 2);
    txn_commit_always(&t, SHMKV_OP_TAKE);
    ck_assert_uint_eq(*words[0], 2);
    lock_release(ctx, &d);
}
END_TEST

START_TEST(test_fill_stores_each_word_of_its_stride_and_no_other) {
    ck_assert_ok(lock_take(ctx, &d));
    struct txn t;
    txn_begin(&t, ctx, &d);
    txn_fill(&t, words[0], 77, 2 * sizeof(uint64_t), 3);
    txn_commit_always(&t, SHMKV_OP_SPLIT);
    for (int i = 0; i < WORDS; i++)
        ck_assert_uint_eq(*words[i], i % 2 ? 0 : 77);
    lock_release(ctx, &d);
}
END_TEST

/* ------------------------------------------------------------------------ replay */

/* proves [LOCK-07] [CRASH-03] */
START_TEST(test_replay_when_always_stores_all) {
    entry_for(0, words[0], 10);
    entry_for(1, words[1], 11);
    entry_for(2, words[2], 12);
    leave_intent(3, true);
    take_and_release();
    ck_assert_uint_eq(*words[0], 10);
    ck_assert_uint_eq(*words[1], 11);
    ck_assert_uint_eq(*words[2], 12);
    ck_assert_uint_eq(*words[3], 0);
}
END_TEST

START_TEST(test_replay_when_conditional_and_committed_stores_the_rest) {
    entry_for(0, words[0], 10);
    entry_for(1, words[1], 11);
    entry_for(2, words[2], 12);
    *words[0] = 10;
    leave_intent(3, false);
    take_and_release();
    ck_assert_uint_eq(*words[1], 11);
    ck_assert_uint_eq(*words[2], 12);
}
END_TEST

/* proves [CRASH-05] */
START_TEST(test_replay_when_conditional_and_not_committed_changes_nothing) {
    entry_for(0, words[0], 0x500);
    entry_for(1, words[1], 11);
    *words[0] = 0x400;
    leave_intent(2, false);
    take_and_release();
    ck_assert_uint_eq(*words[0], 0x400);
    ck_assert_uint_eq(*words[1], 0);
}
END_TEST

START_TEST(test_replay_when_a_mark_was_set_since_the_commit_finishes_and_keeps_it) {
    entry_for(0, words[0], 0x500);
    entry_for(1, words[1], 11);
    *words[0] = 0x501;
    leave_intent(2, false);
    take_and_release();
    ck_assert_uint_eq(*words[0], 0x501);
    ck_assert_uint_eq(*words[1], 11);
}
END_TEST

/* proves [CRASH-03]: a replayer may die and another do it all again */
START_TEST(test_replay_when_repeated_changes_nothing_more) {
    entry_for(0, words[0], 10);
    entry_for(1, words[1], 5);
    for (int i = 0; i < 3; i++) {
        leave_intent(2, true);
        ck_assert_ok(intent_replay(seg, &d));
        ck_assert_uint_eq(*words[0], 10);
        ck_assert_uint_eq(*words[1], 5);
        ck_assert_uint_eq(*words[2], 0);
    }
}
END_TEST

/* proves [CRASH-04]: fills are for directory words. That those are replayed,
 * tests/crash shows, and the vectors of half-done splits. */
START_TEST(test_replay_when_a_fill_is_outside_the_directory_is_damage) {
    entry(0, seg_offset(seg, words[1]) | FILL_ENTRY, 5);
    entry(1, sizeof(uint64_t), 2);
    leave_intent(2, true);
    ck_assert_err(intent_replay(seg, &d), SHMKV_ECORRUPT);
    ck_assert_uint_eq(*words[1], 0);
    *d.intent = 0;
}
END_TEST

START_TEST(test_replay_is_done_by_the_next_put_to_the_shard) {
    entry_for(0, words[0], 10);
    leave_intent(1, true);
    ck_assert_err(shmkv_exists(kv, key_of_shard, strlen(key_of_shard)), SHMKV_ENOTFOUND);
    ck_assert_uint_eq(*words[0], 0); /* readers repair nothing */
    put_text(kv, key_of_shard, "v");
    ck_assert_uint_eq(*words[0], 10);
}
END_TEST

/* proves [CRASH-09] */
START_TEST(test_verify_when_an_intent_is_active_leaves_it_alone) {
    entry_for(0, words[0], 10);
    leave_intent(1, true);
    uint64_t intent = *d.intent;
    ck_assert_whole(kv);
    ck_assert_uint_eq(*d.intent, intent);
    ck_assert_uint_eq(*words[0], 0);
    take_and_release();
}
END_TEST

/* ------------------------------------------------------------------------ damage */

static void expect_damage(const char *what) {
    uint64_t intent = *d.intent;
    int err = lock_take(ctx, &d);
    ck_assert_msg(err == SHMKV_ECORRUPT, "%s: %s", what, result_name(err));
    /* Not taken, not changed, and the other shards work. */
    ck_assert_uint_eq(*d.lock, 0);
    ck_assert_uint_eq(*d.intent, intent);
    ck_assert_err(shmkv_put(kv, key_of_shard, strlen(key_of_shard), "v", 1), SHMKV_ECORRUPT);
    ck_assert_err(shmkv_exists(kv, key_of_shard, strlen(key_of_shard)), SHMKV_ENOTFOUND);
    uint64_t problems = 0;
    ck_assert_err(shmkv_verify(kv, NULL, NULL, &problems), SHMKV_ECORRUPT);
    ck_assert_uint_ge(problems, 1);
    *d.intent = 0;
    for (int i = 0; i < WORDS; i++)
        ck_assert_uint_eq(*words[i], 0);
}

/* proves [CRASH-04] */
START_TEST(test_replay_when_an_entry_is_out_of_bounds_is_ecorrupt) {
    put_text(kv, key_of_shard, "so that the file need not grow any more");
    ck_assert_ok(shmkv_delete(kv, key_of_shard, strlen(key_of_shard)));
    uint64_t file_size = info_of(kv).file_size;
    const struct {
        const char *what;
        uint64_t offset;
    } bad[] = {
        {"offset 0", 0},
        {"in the header", 256},
        {"last word of the header", 4088},
        {"misaligned", seg_offset(seg, words[0]) + 4},
        {"end of the file", file_size},
        {"misaligned across the end", file_size - 4},
        {"far beyond", 1ULL << 50},
        {"end of numbers", (~0ULL >> 1) & ~7ULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        entry(0, bad[i].offset, 1);
        leave_intent(1, true);
        expect_damage(bad[i].what);
    }
}
END_TEST

START_TEST(test_replay_when_a_fill_makes_no_sense_is_ecorrupt) {
    uint64_t here = seg_offset(seg, words[0]) | FILL_ENTRY;
    const struct {
        const char *what;
        unsigned n;
        uint64_t stride, count;
    } bad[] = {
        {"no second entry", 1, 8, 1},
        {"stride 0", 2, 0, 2},
        {"stride 4", 2, 4, 2},
        {"count 0", 2, 8, 0},
        {"beyond the file", 2, 4096, 1 << 20},
        {"count that overflows", 2, 8, ~0ULL / 8 + 2},
        {"stride that overflows", 2, ~7ULL, 2},
        {"both enormous", 2, 1ULL << 40, 1ULL << 40},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        entry(0, here, 1);
        entry(1, bad[i].stride, bad[i].count);
        leave_intent(bad[i].n, true);
        expect_damage(bad[i].what);
    }
}
END_TEST

/* What an entry of one word, which would store what is there already, comes to. */
static int replay_at(uint64_t offset) {
    entry(0, offset, *(const uint64_t *)(const void *)(seg->base + offset));
    leave_intent(1, true);
    int err = intent_replay(seg, &d);
    *d.intent = 0;
    return err;
}

/* proves [CRASH-04] */
START_TEST(test_replay_stores_to_fields_that_operations_change_and_to_no_others) {
    uint64_t owner = seg_offset(seg, &seg->owners[2]), shard = seg_offset(seg, &seg->shards[5]),
             arena = seg_offset(seg, &seg->arenas[1]), space = seg_offset(seg, seg->space);
    const uint64_t good[] = {owner + offsetof(owner_t, cell),  owner + offsetof(owner_t, run),
                             shard + offsetof(shard_t, root),  shard + offsetof(shard_t, changes),
                             shard + offsetof(shard_t, count), arena + offsetof(arena_t, partial),
                             space + offsetof(space_t, limit), seg->data_offset};
    const uint64_t bad[] = {
        offsetof(header_t, hash_seed),      offsetof(header_t, state),
        owner + offsetof(owner_t, state),   owner + offsetof(owner_t, start_time),
        owner + offsetof(owner_t, version), shard + offsetof(shard_t, lock),
        shard + offsetof(shard_t, intent),  shard + offsetof(shard_t, entries),
        arena + offsetof(arena_t, lock),    arena + offsetof(arena_t, intent),
        arena + offsetof(arena_t, entries), space + offsetof(space_t, lock),
        space + offsetof(space_t, intent),  space + offsetof(space_t, entries)};
    put_text(kv, key_of_shard, "v");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(replay_at(good[i]) == SHMKV_OK, "good %zu", i);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(replay_at(bad[i]) == SHMKV_ECORRUPT, "bad %zu", i);
}
END_TEST

/* A directory of several words in the shard. */
static uint64_t grow_directory(uint64_t *count) {
    struct key_search s = search_shard(kv, 3, "many");
    char key[KEY_TEXT_SIZE];
    for (int i = 0; i < 1500; i++) {
        key_find(&s, key);
        put_text(kv, key, "v");
    }
    uint64_t root = seg->shards[3].root;
    *count = 1ULL << FIELD(root, ROOT_DEPTH);
    ck_assert_uint_ge(*count, 4);
    return seg_offset(seg, directory_words(table_directory(seg, root)));
}

/* proves [CRASH-04] */
START_TEST(test_replay_of_a_fill_stays_within_the_shards_directory) {
    uint64_t n, first = grow_directory(&n), last = first + 8 * (n - 1);
    const struct {
        const char *what;
        uint64_t off, stride, count;
        int expected;
    } fills[] = {
        {"the first word", first, 8, 1, SHMKV_OK},
        {"the last word", last, 8, 1, SHMKV_OK},
        {"the last word, with the widest stride", last, 8 * n, 1, SHMKV_OK},
        {"one more than there are", first, 8, n + 1, SHMKV_ECORRUPT},
        {"the last and one more", last, 8, 2, SHMKV_ECORRUPT},
        {"every second, and one more", first, 16, n / 2 + 1, SHMKV_ECORRUPT},
        {"the word before the first", first - 8, 8, 1, SHMKV_ECORRUPT},
        {"the word after the last", last + 8, 8, 1, SHMKV_ECORRUPT},
        {"no words", first, 8, 0, SHMKV_ECORRUPT},
        {"stride 0", first, 0, 1, SHMKV_ECORRUPT},
        {"stride 4", first, 4, 1, SHMKV_ECORRUPT},
        {"a count that overflows", first, 8, ~0ULL / 8 + 2, SHMKV_ECORRUPT},
        {"a stride that overflows", first, ~7ULL, 2, SHMKV_ECORRUPT},
    };
    for (size_t i = 0; i < sizeof fills / sizeof *fills; i++) {
        uint64_t off = fills[i].off;
        entry(0, off | FILL_ENTRY, *(const uint64_t *)(const void *)(seg->base + off));
        entry(1, fills[i].stride, fills[i].count);
        leave_intent(2, true);
        int err = intent_replay(seg, &d);
        ck_assert_msg(err == fills[i].expected, "%s: %s", fills[i].what, result_name(err));
        *d.intent = 0;
    }
    ck_assert_whole(kv);
    d = arena_domain(seg, 0); /* no arena has a directory */
    entry(0, first | FILL_ENTRY, *(const uint64_t *)(const void *)(seg->base + first));
    entry(1, 8, 1);
    leave_intent(2, true);
    ck_assert_err(intent_replay(seg, &d), SHMKV_ECORRUPT);
    *d.intent = 0;
}
END_TEST

START_TEST(test_replay_when_the_count_is_impossible_is_ecorrupt) {
    entry_for(0, words[0], 1);
    leave_intent(0, true);
    expect_damage("no entries");
    leave_intent(SHMKV_SHARD_ENTRIES + 1, true);
    expect_damage("more entries than there is room for");
    leave_intent(255, true);
    expect_damage("255 entries");
}
END_TEST

START_TEST(test_replay_when_the_intent_is_not_active_is_ecorrupt) {
    *d.intent = MAKE(INTENT_COUNT, 1);
    expect_damage("inactive");
}
END_TEST

START_TEST(test_replay_when_entry_0_of_a_conditional_is_nonsense_is_no_crash) {
    entry(0, 1ULL << 50, 1);
    entry_for(1, words[0], 1);
    leave_intent(2, false);
    int err = lock_take(ctx, &d);
    if (!err)
        lock_release(ctx, &d);
    ck_assert(err == SHMKV_OK || err == SHMKV_ECORRUPT);
    ck_assert_uint_eq(*words[0], 0);
    *d.intent = 0;
}
END_TEST

/* -------------------------------------------------------------------- transactions */

#define DECISION 0x7000000000200

static struct txn_block block;

/* A block in our slot, with one cell word, whose entries are for words 0 to 2. */
static void make_block(void) {
    owner_t *own = ctx->own;
    ck_assert_ok(cell_take(ctx, class_for(200), &own->txn));
    uint64_t word = own->txn | MAKE(TXN_CELLS, 1);
    ck_assert(txn_block_look(seg, word, &block));
    block.head->decision = 0;
    block.cells[0] = 0;
    for (unsigned i = 0; i < 3; i++)
        block.entries[i] = (entry_t){seg_offset(seg, words[i]), 20 + i};
    own->txn = word;
}

static void drop_block(void) {
    *d.intent = 0;
    ck_assert_ok(transaction_return(ctx));
    ck_assert_uint_eq(ctx->own->txn, 0);
}

/* What a writer leaves that dies in the middle of a transaction. */
static void leave_list(uint64_t at, uint64_t count, uint32_t owner) {
    entry(0, seg_offset(seg, &block.head->decision), DECISION);
    entry(1, at | LIST_ENTRY, count);
    *d.intent = MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_COUNT, 2) | MAKE(INTENT_OWNER, owner + 1) |
                MAKE(INTENT_OP, SHMKV_OP_TRANSACTION);
}

/* proves [CRASH-05] [TXN-05] */
START_TEST(test_replay_of_a_list_follows_the_decision) {
    make_block();
    uint64_t at = seg_offset(seg, block.entries);
    leave_list(at, 3, ctx->slot);
    take_and_release();
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(*words[i], 0);
    block.head->decision = DECISION;
    leave_list(at + sizeof(entry_t), 2, ctx->slot);
    unsigned count;
    ck_assert_ptr_eq(intent_decided(seg, &d, &count), block.entries + 1);
    ck_assert_uint_eq(count, 2);
    take_and_release();
    ck_assert_uint_eq(*words[0], 0);
    ck_assert_uint_eq(*words[1], 21);
    ck_assert_uint_eq(*words[2], 22);
    ck_assert_uint_eq(block.head->decision, DECISION);
    drop_block();
}
END_TEST

/* proves [CRASH-04] */
START_TEST(test_replay_of_a_list_stays_within_the_owners_block) {
    make_block();
    block.head->decision = DECISION;
    uint64_t first = seg_offset(seg, block.entries), n = block.capacity;
    uint32_t us = ctx->slot;
    memset(block.entries + 3, 0, (n - 3) * sizeof(entry_t));
    for (uint64_t i = 3; i < n; i++)
        block.entries[i].offset = seg_offset(seg, words[3]);
    const struct {
        const char *what;
        uint64_t at, count;
        uint32_t owner;
        int expected;
    } lists[] = {
        {"all there are", first, n, us, SHMKV_OK},
        {"the last", first + 16 * (n - 1), 1, us, SHMKV_OK},
        {"none", first, 0, us, SHMKV_OK},
        {"one more than there are", first, n + 1, us, SHMKV_ECORRUPT},
        {"the last and one more", first + 16 * (n - 1), 2, us, SHMKV_ECORRUPT},
        {"behind the block", first + 16 * n, 1, us, SHMKV_ECORRUPT},
        {"the cell words", first - 16, 2, us, SHMKV_ECORRUPT},
        {"not on an entry", first + 8, 1, us, SHMKV_ECORRUPT},
        {"too many to count", first, ~0ULL, us, SHMKV_ECORRUPT},
        {"too many for a number", first, 1ULL << 60, us, SHMKV_ECORRUPT},
        {"the header", 0, 1, us, SHMKV_ECORRUPT},
        {"beyond the file", 1ULL << 50, 1, us, SHMKV_ECORRUPT},
        {"another owner's", first, 1, us + 1, SHMKV_ECORRUPT},
        {"nobody's", first, 1, (uint32_t)-1, SHMKV_ECORRUPT},
        {"an owner's that does not exist", first, 1, seg->owner_count, SHMKV_ECORRUPT},
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        *words[0] = 0;
        leave_list(lists[i].at, lists[i].count, lists[i].owner);
        uint64_t intent = *d.intent;
        int err = intent_replay(seg, &d);
        ck_assert_msg(err == lists[i].expected, "%s: %s", lists[i].what, result_name(err));
        ck_assert_uint_eq(*d.intent, err ? intent : 0);
        if (err)
            ck_assert_uint_eq(*words[0], 0);
    }
    drop_block();
}
END_TEST

/* Of one shard: two entries for each key, and three. Who looks for each slot in a longer one, as a
 * snapshot does, would look for ever. */
START_TEST(test_replay_of_a_list_is_of_no_more_than_a_transaction_has) {
    const uint64_t most = 2 * SHMKV_MAX_TRANSACTION + 3;
    owner_t *own = ctx->own;
    ck_assert_ok(large_take(ctx, 65536, &own->txn));
    uint64_t word = own->txn | MAKE(TXN_CELLS, 1);
    ck_assert(txn_block_look(seg, word, &block));
    ck_assert_uint_gt(block.capacity, most);
    block.head->decision = DECISION;
    block.cells[0] = 0;
    for (uint64_t i = 0; i < block.capacity; i++)
        block.entries[i] = (entry_t){seg_offset(seg, words[i % 3]), i};
    own->txn = word;
    unsigned count;
    leave_list(seg_offset(seg, block.entries), most + 1, ctx->slot);
    ck_assert_ptr_null(intent_decided(seg, &d, &count));
    ck_assert_err(intent_replay(seg, &d), SHMKV_ECORRUPT);
    ck_assert_uint_eq(*words[0], 0);
    leave_list(seg_offset(seg, block.entries), most, ctx->slot);
    ck_assert_ptr_eq(intent_decided(seg, &d, &count), block.entries);
    ck_assert_ok(intent_replay(seg, &d));
    ck_assert_uint_eq(*words[(most - 1) % 3], most - 1);
    drop_block();
}
END_TEST

START_TEST(test_replay_of_a_list_that_leads_astray_stores_nothing) {
    make_block();
    block.head->decision = DECISION;
    const uint64_t bad[] = {3,
                            offsetof(header_t, state),
                            seg_offset(seg, d.lock),
                            seg_offset(seg, d.intent),
                            seg_offset(seg, words[2]) | FILL_ENTRY,
                            seg_offset(seg, words[2]) | LIST_ENTRY,
                            ~7ULL};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        block.entries[2].offset = bad[i];
        leave_list(seg_offset(seg, block.entries), 3, ctx->slot);
        ck_assert_err(intent_replay(seg, &d), SHMKV_ECORRUPT);
        ck_assert_uint_eq(*words[0], 0);
    }
    drop_block();
}
END_TEST

/* A slot that names something else, or more than there is. */
START_TEST(test_replay_of_a_list_without_a_block_is_damage) {
    make_block();
    block.head->decision = DECISION;
    uint64_t right = ctx->own->txn;
    const uint64_t bad[] = {0,
                            right & CELL_IN_WORD, /* does not count yet */
                            (right & CELL_IN_WORD) | MAKE(TXN_CELLS, 25),
                            (right & CELL_IN_WORD) | MAKE(TXN_CELLS, SHMKV_MAX_TRANSACTION + 1),
                            (right & ~CLASS_IN_WORD) | MAKE(CELL_CLASS, 63),
                            right & ~CLASS_IN_WORD,
                            right & ~OFFSET_IN_WORD,
                            (right & ~OFFSET_IN_WORD) | (1ULL << 40)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ctx->own->txn = bad[i];
        leave_list(seg_offset(seg, block.entries), 3, ctx->slot);
        ck_assert_err(intent_replay(seg, &d), SHMKV_ECORRUPT);
        ck_assert_uint_eq(*words[0], 0);
    }
    ctx->own->txn = right;
    drop_block();
}
END_TEST

START_TEST(test_replay_of_a_list_in_an_arena_is_damage) {
    make_block();
    block.head->decision = DECISION;
    d = arena_domain(seg, 5);
    leave_list(seg_offset(seg, block.entries), 3, ctx->slot);
    ck_assert_err(intent_replay(seg, &d), SHMKV_ECORRUPT);
    drop_block();
}
END_TEST

static Suite *intent_suite(void) {
    Suite *s = suite_create("intent");
    TCase *tc = case_new(s, "commit");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_commit_stores_every_word_and_leaves_the_intent_idle);
    tcase_add_test(tc, test_txn_when_a_word_is_set_twice_keeps_the_last);
    tcase_add_test(tc, test_fill_stores_each_word_of_its_stride_and_no_other);
    tc = case_new(s, "replay");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_replay_when_always_stores_all);
    tcase_add_test(tc, test_replay_when_conditional_and_committed_stores_the_rest);
    tcase_add_test(tc, test_replay_when_conditional_and_not_committed_changes_nothing);
    tcase_add_test(tc, test_replay_when_a_mark_was_set_since_the_commit_finishes_and_keeps_it);
    tcase_add_test(tc, test_replay_when_repeated_changes_nothing_more);
    tcase_add_test(tc, test_replay_when_a_fill_is_outside_the_directory_is_damage);
    tcase_add_test(tc, test_replay_is_done_by_the_next_put_to_the_shard);
    tcase_add_test(tc, test_verify_when_an_intent_is_active_leaves_it_alone);
    tc = case_new(s, "damage");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_replay_when_an_entry_is_out_of_bounds_is_ecorrupt);
    tcase_add_test(tc, test_replay_when_a_fill_makes_no_sense_is_ecorrupt);
    tcase_add_test(tc, test_replay_stores_to_fields_that_operations_change_and_to_no_others);
    tcase_add_test(tc, test_replay_of_a_fill_stays_within_the_shards_directory);
    tcase_add_test(tc, test_replay_when_the_count_is_impossible_is_ecorrupt);
    tcase_add_test(tc, test_replay_when_the_intent_is_not_active_is_ecorrupt);
    tcase_add_test(tc, test_replay_when_entry_0_of_a_conditional_is_nonsense_is_no_crash);
    tc = case_new(s, "transactions");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_replay_of_a_list_follows_the_decision);
    tcase_add_test(tc, test_replay_of_a_list_stays_within_the_owners_block);
    tcase_add_test(tc, test_replay_of_a_list_is_of_no_more_than_a_transaction_has);
    tcase_add_test(tc, test_replay_of_a_list_that_leads_astray_stores_nothing);
    tcase_add_test(tc, test_replay_of_a_list_without_a_block_is_damage);
    tcase_add_test(tc, test_replay_of_a_list_in_an_arena_is_damage);
    return s;
}

int main(void) { return suite_main(intent_suite()); }
