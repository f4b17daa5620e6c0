/* Verify finds each kind of damage, one at a time, and nothing on a sound segment. Spec 7.5. */
#include <stdio.h>
#include <string.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;
static struct segment *seg;
static struct context *ctx;

/* The one entry whose surroundings are damaged, in a shard with splits and chains. */
static const char *const key = "the key";
static uint64_t hash;
static shard_t *shard;
static char near[KEY_TEXT_SIZE]; /* in the end one of its bucket */

static struct place place_now(void) {
    struct place place;
    ck_assert_ok(table_find(ctx, shard, hash, key, strlen(key), &place));
    ck_assert_uint_ne(place.word, 0);
    return place;
}

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
    seg = segment_of(kv);
    ctx = context_of(kv);
    context_release(ctx);
    hash = hash_of(kv, key, strlen(key));
    shard = &seg->shards[hash_shard(seg, hash)];
    put_text(kv, key, "its value");
    struct key_search s = search_like(kv, key, 0, false, "near");
    for (int i = 0; i < 800; i++) { /* splits */
        key_find(&s, near);
        put_text(kv, near, "v");
    }
    s = search_like(kv, key, 3, true, "chain");
    for (int i = 0; i < 10; i++) { /* a chain */
        key_find(&s, near);
        put_text(kv, near, "v");
    }
    static char large[50000];
    ck_assert_ok(shmkv_put(kv, "large", 5, large, sizeof large));
    ck_assert_ok(shmkv_put(kv, "hole", 4, large, 20000));
    put_text(kv, "behind the hole", "v");
    ck_assert_ok(shmkv_put(kv, "fence", 5, large, 30000));
    ck_assert_ok(shmkv_delete(kv, "hole", 4));
    ck_assert_whole(kv);
}

static void tear_down(void) { finish(kv, name); }

struct first {
    char text[200];
    uint64_t offset;
    unsigned n;
};

static void note_first(void *arg, uint64_t offset, const char *text) {
    struct first *f = arg;
    if (f->n++ == 0) {
        snprintf(f->text, sizeof f->text, "%s", text);
        f->offset = offset;
    }
}

/* With the word so, verify finds something; put right again, nothing. */
static void expect_found(const char *what, void *word, size_t size, uint64_t wrong) {
    uint64_t right = 0;
    memcpy(&right, word, size);
    memcpy(word, &wrong, size);
    struct first first = {.n = 0};
    uint64_t problems = 0;
    int err = shmkv_verify(kv, note_first, &first, &problems);
    memcpy(word, &right, size);
    ck_assert_msg(err == SHMKV_ECORRUPT, "%s: %s", what, result_name(err));
    ck_assert_uint_ge(problems, 1);
    ck_assert_uint_ge(first.n, 1);
    ck_assert_uint_gt(strlen(first.text), 5);
    printf("%-40s 0x%llx: %s\n", what, (unsigned long long)first.offset, first.text);
    ck_assert_whole(kv);
}

#define EXPECT_FOUND(what, lvalue, wrong) expect_found(what, &(lvalue), sizeof(lvalue), (uint64_t)(wrong))

/* ------------------------------------------------------------------------- runs */

static run_t *run_of(uint64_t off) { return (run_t *)(void *)(seg->base + off); }

static run_t *first_of_kind(uint64_t kind) {
    for (uint64_t off = seg->data_offset; off < seg->space->limit;
         off += FIELD(run_of(off)->head, RUN_PAGES) * SHMKV_PAGE_SIZE)
        if (FIELD(run_of(off)->head, RUN_KIND) == kind)
            return run_of(off);
    ck_abort_msg("no run of kind %d", (int)kind);
}

START_TEST(test_verify_finds_a_wrong_limit) {
    uint64_t limit = seg->space->limit;
    EXPECT_FOUND("limit below data", seg->space->limit, seg->data_offset - SHMKV_PAGE_SIZE);
    EXPECT_FOUND("limit off its page", seg->space->limit, limit + 8);
    EXPECT_FOUND("limit beyond the file", seg->space->limit, limit + (1 << 30));
    EXPECT_FOUND("limit inside a run", seg->space->limit, limit - SHMKV_PAGE_SIZE);
    EXPECT_FOUND("last run", seg->space->last, seg->data_offset);
}
END_TEST

/* proves [LAYOUT-11] */
START_TEST(test_verify_finds_runs_that_do_not_tile) {
    run_t *run = first_of_kind(SHMKV_RUN_KIND_LARGE);
    EXPECT_FOUND("kind 0", run->head, run->head & ~IN_PLACE(RUN_KIND));
    EXPECT_FOUND("kind 9", run->head, (run->head & ~IN_PLACE(RUN_KIND)) | 9);
    EXPECT_FOUND("no pages", run->head, run->head & ~IN_PLACE(RUN_PAGES));
    EXPECT_FOUND("a page more", run->head, run->head + MAKE(RUN_PAGES, 1));
    EXPECT_FOUND("a page less", run->head, run->head - MAKE(RUN_PAGES, 1));
    EXPECT_FOUND("pages without end", run->head, run->head | IN_PLACE(RUN_PAGES));
    EXPECT_FOUND("length of the one before", run->prev_pages, run->prev_pages + 1);
}
END_TEST

/* proves [LAYOUT-12] */
START_TEST(test_verify_finds_free_runs_in_wrong_lists) {
    run_t *run = first_of_kind(SHMKV_RUN_KIND_FREE);
    unsigned bin = space_bin(FIELD(run->head, RUN_PAGES));
    EXPECT_FOUND("in no list", seg->space->bins[bin], 0);
    EXPECT_FOUND("in a second list", seg->space->bins[bin ? 0 : 1], seg_offset(seg, run));
    EXPECT_FOUND("list leads to a slab", seg->space->bins[bin], seg_offset(seg, first_of_kind(SHMKV_RUN_KIND_SLAB)));
    EXPECT_FOUND("list leads nowhere", seg->space->bins[bin], 1ULL << 40);
    EXPECT_FOUND("list leads off a page", seg->space->bins[bin], seg_offset(seg, run) + 64);
    EXPECT_FOUND("loop", run->next, seg_offset(seg, run));
    EXPECT_FOUND("back link", run->prev, SHMKV_PAGE_SIZE);
}
END_TEST

/* ------------------------------------------------------------------------- slabs */

static run_t *slab_of_key(void) {
    uint64_t word = place_now().word;
    return run_of((word & OFFSET_IN_WORD) & ~(class_slab_size((unsigned)FIELD(word, SLOT_CLASS)) - 1));
}

START_TEST(test_verify_finds_slabs_that_do_not_add_up) {
    run_t *slab = slab_of_key();
    EXPECT_FOUND("class 0", slab->head, slab->head & ~IN_PLACE(RUN_CLASS));
    EXPECT_FOUND("class 63", slab->head, slab->head | MAKE(RUN_CLASS, 63));
    EXPECT_FOUND("another class", slab->head, slab->head ^ MAKE(RUN_CLASS, 1));
    EXPECT_FOUND("arena that is none", slab->head, slab->head | IN_PLACE(RUN_INDEX));
    EXPECT_FOUND("one used more", slab->slab, slab->slab + MAKE(SLAB_USED, 1));
    EXPECT_FOUND("one used less", slab->slab, slab->slab - MAKE(SLAB_USED, 1));
    EXPECT_FOUND("more carved than fit", slab->slab, slab->slab | IN_PLACE(SLAB_CARVED));
    EXPECT_FOUND("a used cell in the free list", slab->slab, slab->slab | MAKE(SLAB_FREE, 1));
}
END_TEST

/* proves [LAYOUT-15] */
START_TEST(test_verify_finds_slabs_missing_from_their_list) {
    for (uint32_t a = 0; a < seg->arena_count; a++)
        for (unsigned cls = 1; cls < SHMKV_CLASS_COUNT; cls++)
            if (seg->arenas[a].partial[cls]) {
                EXPECT_FOUND("in no list", seg->arenas[a].partial[cls], 0);
                EXPECT_FOUND("in a list of another class",
                             seg->arenas[a].partial[cls + 1 < SHMKV_CLASS_COUNT ? cls + 1 : cls - 1],
                             seg->arenas[a].partial[cls]);
                EXPECT_FOUND("in a list of another arena", seg->arenas[a ^ 1].partial[cls],
                             seg->arenas[a].partial[cls]);
                EXPECT_FOUND("list leads nowhere", seg->arenas[a].partial[cls], 1ULL << 40);
                run_t *slab = run_of(seg->arenas[a].partial[cls]);
                EXPECT_FOUND("loop", slab->next, seg->arenas[a].partial[cls]);
                EXPECT_FOUND("back link", slab->prev, seg->arenas[a].partial[cls]);
            }
}
END_TEST

/* ------------------------------------------------------------------------- index */

/* proves [LAYOUT-18] [LAYOUT-19] */
START_TEST(test_verify_finds_damaged_directories) {
    directory_t *dir = table_directory(seg, shard->root);
    uint64_t depth = FIELD(shard->root, ROOT_DEPTH), *words = directory_words(dir);
    ck_assert_uint_ge(depth, 1);
    EXPECT_FOUND("root leads nowhere", shard->root, shard->root ^ (1ULL << 38));
    EXPECT_FOUND("root of another class", shard->root, shard->root ^ MAKE(ROOT_CLASS, 1));
    EXPECT_FOUND("root deeper than its directory", shard->root, shard->root + MAKE(ROOT_DEPTH, 1));
    EXPECT_FOUND("root too deep", shard->root, shard->root | IN_PLACE(ROOT_DEPTH));
    EXPECT_FOUND("no root", shard->root, 0);
    EXPECT_FOUND("directory of another depth", dir->depth, depth + 1);
    EXPECT_FOUND("directory unfinished", dir->version, dir->version | 1);
    EXPECT_FOUND("directory version of the future", dir->version, dir->version + (1ULL << 41));
    EXPECT_FOUND("word 0", words[0], 0);
    EXPECT_FOUND("word of another group", words[0], words[1]);
    EXPECT_FOUND("word that is too deep", words[0], words[0] + MAKE(DIRECTORY_DEPTH, 1));
    EXPECT_FOUND("word that leads nowhere", words[0], words[0] | 1ULL << 40);
    EXPECT_FOUND("word that leads to a slab", words[0],
                 (words[0] & ~PAGE_IN_WORD) | seg_offset(seg, first_of_kind(SHMKV_RUN_KIND_SLAB)));
    run_t *group = place_now().group;
    EXPECT_FOUND("group of another shard", group->head, group->head ^ MAKE(RUN_INDEX, 1));
    EXPECT_FOUND("group that is no group", group->head, group->head ^ (SHMKV_RUN_KIND_GROUP ^ SHMKV_RUN_KIND_LARGE));
}
END_TEST

/* proves [LAYOUT-16] [LAYOUT-20] [LAYOUT-23] */
START_TEST(test_verify_finds_damaged_slots_and_records) {
    struct place place = place_now();
    uint64_t *slot = place.slot, word = *slot;
    record_t *rec = record_at(seg, word);
    EXPECT_FOUND("slot leads nowhere", *slot, word | 1ULL << 40);
    EXPECT_FOUND("slot leads into a cell", *slot, word + 16);
    EXPECT_FOUND("slot of another class", *slot, word ^ MAKE(SLOT_CLASS, 1));
    EXPECT_FOUND("slot with another tag", *slot, word ^ MAKE(SLOT_TAG, 1));
    EXPECT_FOUND("slot lost", *slot, 0);
    EXPECT_FOUND("record unfinished", rec->version, rec->version | 1);
    EXPECT_FOUND("record version 0", rec->version, 0);
    EXPECT_FOUND("record version of the future", rec->version, rec->version + (1ULL << 41));
    EXPECT_FOUND("record version of no slot", rec->version, rec->version | 0xffffULL << 48);
    EXPECT_FOUND("value too long", rec->value_len, 0xffffffff);
    EXPECT_FOUND("key too long", rec->key_len, 0xffff);
    uint8_t *bytes = (uint8_t *)rec + SHMKV_RECORD_HEADER_SIZE;
    EXPECT_FOUND("key changed", bytes[0], bytes[0] ^ 1);
    EXPECT_FOUND("key shorter", rec->key_len, rec->key_len - 1);
    EXPECT_FOUND("count too high", shard->count, shard->count + 1);
    EXPECT_FOUND("count too low", shard->count, shard->count - 1);
}
END_TEST

START_TEST(test_verify_finds_damaged_large_records) {
    uint64_t h = hash_of(kv, "large", 5);
    struct place place;
    ck_assert_ok(table_find(ctx, &seg->shards[hash_shard(seg, h)], h, "large", 5, &place));
    record_t *rec = record_at(seg, place.word);
    EXPECT_FOUND("slot leads into the run", *place.slot, *place.slot + 16);
    EXPECT_FOUND("slot leads to another run", *place.slot,
                 (*place.slot & ~OFFSET_IN_WORD) | (seg_offset(seg, first_of_kind(SHMKV_RUN_KIND_SLAB)) + 64));
    EXPECT_FOUND("value longer than the run", rec->value_len, 60000);
    EXPECT_FOUND("slot lost", *place.slot, 0);
}
END_TEST

/* proves [LAYOUT-20] */
START_TEST(test_verify_finds_a_key_that_is_there_twice) {
    struct place place = place_now();
    bucket_t *bucket = group_bucket(place.group, hash_bucket(hash));
    /* A second record of the same key, in a cell of its own, in an empty slot. */
    ck_assert_ok(shmkv_delete(kv, near, strlen(near)));
    ck_assert_ok(cell_return(ctx, &ctx->own->cell));
    ck_assert_ok(cell_take(ctx, (unsigned)FIELD(place.word, SLOT_CLASS), &ctx->own->cell));
    uint64_t cell = ctx->own->cell;
    memcpy(seg->base + (cell & OFFSET_IN_WORD), seg->base + (place.word & OFFSET_IN_WORD),
           shmkv_class_sizes[FIELD(cell, CELL_CLASS)]);
    uint64_t *empty = NULL;
    for (bucket_t *b = bucket; b && !empty; b = b->link ? bucket_at_link(seg, b->link) : NULL)
        for (int i = 0; i < SHMKV_BUCKET_SLOTS && !empty; i++)
            if (!b->slots[i])
                empty = &b->slots[i];
    ck_assert_ptr_nonnull(empty);
    ctx->own->cell = 0;
    shard->count++;
    *empty = (cell & CELL_IN_WORD) | hash_tag(hash);
    uint64_t problems = 0;
    ck_assert_err(shmkv_verify(kv, NULL, NULL, &problems), SHMKV_ECORRUPT);
    ck_assert_uint_eq(problems, 1);
    ck_assert_detail("twice");
    *empty = 0;
    shard->count--;
    ctx->own->cell = cell;
}
END_TEST

/* proves [LAYOUT-10] [LAYOUT-22] */
#define LONG_KEY 65536
#define LONG_CHAIN 300

/* Each slot of a chain may be compared with hundreds behind it. One long key in all of them, and
 * the comparisons are a file each: they end. proves [OP-01] */
START_TEST(test_verify_of_one_long_key_in_many_slots_ends) {
    static char long_key[LONG_KEY];
    struct place place, long_one;
    uint64_t long_hash = hash_of(kv, long_key, LONG_KEY), *slots[LONG_CHAIN], words[LONG_CHAIN];
    ck_assert_ok(shmkv_put(kv, long_key, LONG_KEY, "v", 1));
    ck_assert_ok(table_find(ctx, &seg->shards[hash_shard(seg, long_hash)], long_hash, long_key, LONG_KEY, &long_one));
    struct key_search s = search_shard(kv, (hash_shard(seg, hash) + 1) & seg->shard_mask, "same");
    s.bucket = 5;
    for (int i = 0; i < LONG_CHAIN; i++) {
        key_find(&s, near);
        put_text(kv, near, "v");
        uint64_t h = hash_of(kv, near, strlen(near));
        ck_assert_ok(table_find(ctx, &seg->shards[hash_shard(seg, h)], h, near, strlen(near), &place));
        slots[i] = place.slot;
        words[i] = place.word;
    }
    for (int i = 0; i < LONG_CHAIN; i++)
        *slots[i] = long_one.word;
    uint64_t problems;
    ck_assert_err(shmkv_verify(kv, NULL, NULL, &problems), SHMKV_ECORRUPT);
    for (int i = 0; i < LONG_CHAIN; i++)
        *slots[i] = words[i];
    /* One for each pair that was compared, and a few for each slot. */
    ck_assert_uint_lt(problems, 448 * seg->safe_limit / LONG_KEY + 448 + 10 * LONG_CHAIN);
    ck_assert_uint_lt(problems, LONG_CHAIN * (LONG_CHAIN - 1) / 2);
}
END_TEST

START_TEST(test_verify_finds_damaged_chains) {
    bucket_t *bucket = group_bucket(place_now().group, hash_bucket(hash));
    ck_assert_uint_ne(bucket->link, 0);
    uint64_t link = bucket->link;
    EXPECT_FOUND("link leads nowhere", bucket->link, link | 1ULL << 40);
    EXPECT_FOUND("link off its line", bucket->link, link + 16);
    EXPECT_FOUND("link lost", bucket->link, 0);
    EXPECT_FOUND("link to a record", bucket->link, place_now().word & CELL_IN_WORD);
    bucket_t *last = bucket_at_link(seg, link);
    while (last->link)
        last = bucket_at_link(seg, last->link);
    EXPECT_FOUND("loop", last->link, link);
}
END_TEST

/* ------------------------------------------------------------------------- owners */

START_TEST(test_verify_finds_what_owners_hold_wrongly) {
    owner_t *own = ctx->own, *nobody = &seg->owners[100];
    uint64_t word = place_now().word & CELL_IN_WORD;
    ck_assert_ok(cell_return(ctx, &own->cell));
    EXPECT_FOUND("a cell that a slot names", own->cell, word);
    EXPECT_FOUND("a cell that is none", own->cell, word + 16);
    EXPECT_FOUND("a directory that a root names", own->dir, shard->root & CELL_IN_WORD);
    EXPECT_FOUND("a group that a directory names", own->low, seg_offset(seg, place_now().group));
    EXPECT_FOUND("a free run", own->run, seg_offset(seg, first_of_kind(SHMKV_RUN_KIND_FREE)));
    EXPECT_FOUND("a run that is none", own->high, seg->data_offset + 64);
    EXPECT_FOUND("a spare bucket in use", own->spare,
                 group_bucket(place_now().group, hash_bucket(hash))->link);
    ck_assert_ok(cell_take(ctx, 5, &own->cell));
    uint64_t cell = own->cell;
    EXPECT_FOUND("a cell lost", own->cell, 0);
    EXPECT_FOUND("a cell of two owners", nobody->cell, cell);
    EXPECT_FOUND("a block that is a cell in hand", own->txn, cell);
    ck_assert_ok(cell_take(ctx, 9, &own->txn)); /* 144 bytes */
    uint64_t txn = own->txn;
    memset(cell_at(seg, txn, 144), 0, 144);
    EXPECT_FOUND("a block lost", own->txn, 0);
    EXPECT_FOUND("more cell words than fit the block", own->txn, txn | MAKE(TXN_CELLS, 18));
    EXPECT_FOUND("more cell words than a block has", own->txn, txn | MAKE(TXN_CELLS, 2000));
    EXPECT_FOUND("a free slot with a block", nobody->txn, txn);
    own->txn = txn | MAKE(TXN_CELLS, 2);
    struct txn_block b;
    ck_assert(txn_block_look(seg, own->txn, &b));
    EXPECT_FOUND("a cell word that names a cell in hand", b.cells[1], cell);
    EXPECT_FOUND("a cell word that names what a slot names", b.cells[0], word);
    EXPECT_FOUND("a cell word that names no cell", b.cells[0], word + 16);
    ck_assert_whole(kv);
    ck_assert_ok(transaction_return(ctx));
    own->cell = 0;
    nobody->cell = cell;
    uint64_t problems = 0;
    ck_assert_err(shmkv_verify(kv, NULL, NULL, &problems), SHMKV_ECORRUPT); /* a free slot that holds something */
    nobody->cell = 0;
    own->cell = cell;
}
END_TEST

/* ------------------------------------------------------------------------- calling */

START_TEST(test_verify_counts_problems_and_tells_the_first) {
    uint64_t problems = 77;
    ck_assert_ok(shmkv_verify(kv, NULL, NULL, &problems));
    ck_assert_uint_eq(problems, 0);
    shard->count += 5;
    ck_assert_err(shmkv_verify(kv, NULL, NULL, &problems), SHMKV_ECORRUPT);
    ck_assert_uint_eq(problems, 1);
    ck_assert_detail("counts");
    struct first first = {.n = 0};
    ck_assert_err(shmkv_verify(kv, note_first, &first, NULL), SHMKV_ECORRUPT);
    ck_assert_uint_eq(first.n, 1);
    ck_assert_uint_eq(first.offset, seg_offset(seg, &shard->count));
    shard->count -= 5;
}
END_TEST

/* proves [CRASH-09] */
START_TEST(test_verify_through_a_read_only_handle_works) {
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    ck_assert_whole(reader);
    shard->count++;
    ck_assert_err(shmkv_verify(reader, NULL, NULL, NULL), SHMKV_ECORRUPT);
    shard->count--;
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

static void write_on(void *arg) {
    volatile uint64_t *stop = arg;
    shmkv_t *mine = open_ok(name, NULL);
    for (uint64_t i = 0; !*stop; i++) {
        uint64_t k = i % 5000;
        ck_assert_ok(shmkv_put(mine, &k, sizeof k, &i, sizeof i));
        if (i % 3 == 0)
            shmkv_delete(mine, &k, sizeof k);
    }
    ck_assert_ok(shmkv_close(mine));
}

START_TEST(test_verify_while_a_writer_is_at_work_never_cries_wolf) {
    volatile uint64_t *stop = shared_memory(sizeof *stop);
    pid_t pid = child_start(write_on, (void *)(uintptr_t)stop);
    unsigned sure = 0, busy = 0;
    for (int i = 0; i < 20; i++) {
        int err = shmkv_verify(kv, NULL, NULL, NULL);
        ck_assert_msg(err == SHMKV_OK || err == SHMKV_EBUSY, "%s (%s)", result_name(err), shmkv_error_detail());
        sure += err == SHMKV_OK;
        busy += err == SHMKV_EBUSY;
    }
    printf("%u sure, %u busy\n", sure, busy);
    *stop = 1;
    ck_assert(child_succeeded(pid));
}
END_TEST

static Suite *verify_suite(void) {
    Suite *s = suite_create("verify");
    TCase *tc = case_new(s, "runs");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_verify_finds_a_wrong_limit);
    tcase_add_test(tc, test_verify_finds_runs_that_do_not_tile);
    tcase_add_test(tc, test_verify_finds_free_runs_in_wrong_lists);
    tc = case_new(s, "slabs");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_verify_finds_slabs_that_do_not_add_up);
    tcase_add_test(tc, test_verify_finds_slabs_missing_from_their_list);
    tc = case_new(s, "index");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_verify_finds_damaged_directories);
    tcase_add_test(tc, test_verify_finds_damaged_slots_and_records);
    tcase_add_test(tc, test_verify_finds_damaged_large_records);
    tcase_add_test(tc, test_verify_finds_a_key_that_is_there_twice);
    tcase_add_test(tc, test_verify_of_one_long_key_in_many_slots_ends);
    tcase_add_test(tc, test_verify_finds_damaged_chains);
    tc = case_new(s, "owners");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_verify_finds_what_owners_hold_wrongly);
    tc = case_new(s, "calling");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_verify_counts_problems_and_tells_the_first);
    tcase_add_test(tc, test_verify_through_a_read_only_handle_works);
    tcase_add_test(tc, test_verify_while_a_writer_is_at_work_never_cries_wolf);
    return s;
}

int main(void) { return suite_main(verify_suite()); }
