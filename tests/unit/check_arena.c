/* Cells and their slabs. Spec 3.5, 6.9. */
#include <string.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;
static struct segment *seg;
static struct context *ctx;
static owner_t *own;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
    seg = segment_of(kv);
    ctx = context_of(kv);
    own = ctx->own;
    context_release(ctx); /* puts use it too: there is one slot, one arena */
}

static void tear_down(void) {
    finish(kv, name);
}

static run_t *slab_of(uint64_t word) {
    unsigned cls = (unsigned)FIELD(word, CELL_CLASS);
    return (run_t *)(void *)(seg->base + ((word & OFFSET_IN_WORD) & ~(class_slab_size(cls) - 1)));
}

/* Values as long as make a record with a key of 8 bytes fill the class. */
static size_t value_for_class(unsigned cls) { return shmkv_class_sizes[cls] - 24u; }

static void put_of_class(uint64_t key, unsigned cls) {
    static char value[16384];
    ck_assert_ok(shmkv_put(kv, &key, sizeof key, value, value_for_class(cls)));
}

/* ------------------------------------------------------------------------- cells */

/* proves [LAYOUT-14] */
START_TEST(test_cell_of_each_class_comes_from_a_slab_of_that_class) {
    unsigned cls = (unsigned)_i;
    ck_assert_ok(cell_take(ctx, cls, &own->cell));
    ck_assert_uint_eq(FIELD(own->cell, CELL_CLASS), cls);
    run_t *slab = slab_of(own->cell);
    ck_assert_uint_eq(FIELD(slab->head, RUN_KIND), SHMKV_RUN_KIND_SLAB);
    ck_assert_uint_eq(FIELD(slab->head, RUN_CLASS), cls);
    ck_assert_uint_eq(FIELD(slab->head, RUN_INDEX), ctx->slot % seg->arena_count);
    ck_assert_uint_eq(FIELD(slab->slab, SLAB_USED), 1);
    ck_assert_uint_eq(FIELD(slab->slab, SLAB_CARVED), 1);
    ck_assert_uint_eq((own->cell & OFFSET_IN_WORD) % SHMKV_CELL_ALIGN, 0);
    ck_assert_whole(kv);
    uint64_t cell = own->cell;
    ck_assert_ok(cell_return(ctx, &own->cell));
    ck_assert_uint_eq(own->cell, 0);
    ck_assert_uint_eq(FIELD(slab->slab, SLAB_USED), 0);
    /* The same one again. */
    ck_assert_ok(cell_take(ctx, cls, &own->cell));
    ck_assert_uint_eq(own->cell, cell);
    ck_assert_ok(cell_return(ctx, &own->cell));
}
END_TEST

START_TEST(test_return_of_no_cell_does_nothing) {
    ck_assert_ok(cell_return(ctx, &own->cell));
    ck_assert_ok(chain_return(ctx, &own->spare));
}
END_TEST

/* proves [LAYOUT-15] */
START_TEST(test_slab_when_full_leaves_the_list_and_returns_with_a_free_cell) {
    unsigned cls = (unsigned)_i, capacity = class_capacity(cls);
    arena_t *arena = &seg->arenas[ctx->slot % seg->arena_count];
    for (uint64_t i = 0; i < capacity; i++)
        put_of_class(i, cls);
    ck_assert_uint_eq(arena->partial[cls], 0);
    ck_assert_whole(kv);
    put_of_class(capacity, cls);
    ck_assert_uint_ne(arena->partial[cls], 0);
    ck_assert_whole(kv);
    uint64_t key = 0;
    ck_assert_ok(shmkv_delete(kv, &key, sizeof key));
    ck_assert_ok(cell_return(ctx, &own->cell));
    ck_assert_whole(kv);
    for (uint64_t i = 1; i <= capacity; i++) {
        ck_assert_ok(shmkv_delete(kv, &i, sizeof i));
        ck_assert_ok(cell_return(ctx, &own->cell));
    }
    /* Of the two empty slabs one stays. */
    run_t *slab = (run_t *)(void *)(seg->base + arena->partial[cls]);
    ck_assert_uint_eq(FIELD(slab->slab, SLAB_USED), 0);
    ck_assert_uint_eq(slab->next, 0);
    ck_assert_uint_eq(slab->prev, 0);
}
END_TEST

START_TEST(test_cells_when_all_are_returned_leave_at_most_a_slab_per_class_and_arena) {
    struct random r = random_begin("cells");
    for (uint64_t i = 0; i < 3000; i++)
        put_of_class(i, 2 + (unsigned)random_below(&r, SHMKV_CLASS_COUNT - 2));
    ck_assert_whole(kv);
    for (uint64_t i = 0; i < 3000; i++)
        ck_assert_ok(shmkv_delete(kv, &i, sizeof i));
    ck_assert_ok(cell_return(ctx, &own->cell));
    struct shmkv_stats st = stats_of(kv);
    uint64_t most = 0;
    for (unsigned cls = 1; cls < SHMKV_CLASS_COUNT; cls++)
        most += class_slab_size(cls);
    ck_assert_uint_le(st.slab_bytes, most);
    ck_assert_uint_eq(st.entries, 0);
}
END_TEST

START_TEST(test_cell_when_another_owner_returns_it_goes_to_its_own_arena) {
    shmkv_t *other = open_ok(name, NULL);
    for (uint64_t i = 0; i < 500; i++)
        put_of_class(i, 5);
    char value[56] = "x";
    for (uint64_t i = 0; i < 500; i++)
        ck_assert_ok(shmkv_put(other, &i, sizeof i, value, sizeof value));
    ck_assert_whole(other);
    for (uint64_t i = 0; i < 500; i += 2)
        ck_assert_ok(shmkv_delete(other, &i, sizeof i));
    ck_assert_ok(shmkv_close(other));
    ck_assert_whole(kv);
    ck_assert_uint_eq(count_of(kv), 250);
}
END_TEST

/* ------------------------------------------------------------------- spare buckets */

START_TEST(test_spare_buckets_are_a_chain_and_return_one_by_one) {
    for (int i = 0; i < 200; i++)
        ck_assert_ok(cell_take_spare(ctx));
    unsigned n = 0;
    for (uint64_t spare = own->spare; spare; spare = bucket_at_link(seg, spare)->link)
        n++;
    ck_assert_uint_eq(n, 200);
    ck_assert_whole(kv);
    ck_assert_ok(chain_return(ctx, &own->spare));
    ck_assert_uint_eq(own->spare, 0);
    ck_assert_uint_eq(stats_of(kv).cells_used, 0);
}
END_TEST

/* --------------------------------------------------------------------------- large */

START_TEST(test_large_record_has_a_run_of_its_own) {
    static char value[100000];
    ck_assert_ok(shmkv_put(kv, "big", 3, value, sizeof value));
    ck_assert_uint_eq(stats_of(kv).large_bytes, 25 * SHMKV_PAGE_SIZE);
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_delete(kv, "big", 3));
    ck_assert_uint_eq(stats_of(kv).large_bytes, 0);
}
END_TEST

/* -------------------------------------------------------------------------- damage */

START_TEST(test_take_when_the_list_of_slabs_is_damaged_is_ecorrupt) {
    ck_assert_ok(cell_take(ctx, 5, &own->cell));
    arena_t *arena = &seg->arenas[ctx->slot % seg->arena_count];
    uint64_t right = arena->partial[5];
    const uint64_t wrong[] = {8, SHMKV_PAGE_SIZE, 1ULL << 41, ~0ULL, right + 64, right + SHMKV_PAGE_SIZE};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        arena->partial[5] = wrong[i];
        ck_assert_err(cell_take(ctx, 5, &own->dir), SHMKV_ECORRUPT);
        ck_assert_uint_eq(own->dir, 0);
        ck_assert_uint_eq(arena->lock, 0);
    }
    arena->partial[5] = right;
    ck_assert_ok(cell_return(ctx, &own->cell));
}
END_TEST

START_TEST(test_take_when_the_fill_of_a_slab_is_damaged_is_ecorrupt) {
    ck_assert_ok(cell_take(ctx, 5, &own->cell));
    run_t *slab = slab_of(own->cell);
    uint64_t right = slab->slab;
    const uint64_t wrong[] = {~0ULL, MAKE(SLAB_CARVED, 1000), MAKE(SLAB_USED, 5) | MAKE(SLAB_CARVED, 1),
                              MAKE(SLAB_CARVED, 1) | MAKE(SLAB_FREE, 2),
                              MAKE(SLAB_CARVED, 50) | MAKE(SLAB_USED, 50)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        slab->slab = wrong[i];
        ck_assert_err(cell_take(ctx, 5, &own->dir), SHMKV_ECORRUPT);
    }
    slab->slab = right;
    ck_assert_ok(cell_return(ctx, &own->cell));
}
END_TEST

START_TEST(test_return_when_the_field_names_no_cell_is_ecorrupt) {
    ck_assert_ok(cell_take(ctx, 5, &own->cell));
    uint64_t right = own->cell;
    const uint64_t wrong[] = {right + 16, right + 80 /* never handed out */, MAKE(CELL_CLASS, 5) | SHMKV_PAGE_SIZE,
                              MAKE(CELL_CLASS, 63) | (right & OFFSET_IN_WORD),
                              MAKE(CELL_CLASS, 6) | (right & OFFSET_IN_WORD), OFFSET_IN_WORD | MAKE(CELL_CLASS, 5)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        own->cell = wrong[i];
        int err = cell_return(ctx, &own->cell);
        ck_assert_msg(err == SHMKV_ECORRUPT, "0x%llx: %s", (unsigned long long)wrong[i], result_name(err));
    }
    own->cell = right;
    ck_assert_ok(cell_return(ctx, &own->cell));
}
END_TEST

/* What was checked is what is used: another arena than those there are would lie beyond the
 * file. proves [OP-01] */
START_TEST(test_return_while_the_slab_changes_its_arena_stays_in_the_file) {
    struct flicker f;
    ck_assert_ok(cell_take(ctx, 5, &own->cell));
    uint64_t right = own->cell, *head = &slab_of(right)->head;
    flicker_begin(&f, head, *head, *head | IN_PLACE(RUN_INDEX));
    for (uint64_t end = now_ms() + 500; now_ms() < end;) {
        int err = own->cell ? cell_return(ctx, &own->cell) : cell_take(ctx, 5, &own->cell);
        ck_assert(err == SHMKV_OK || err == SHMKV_ECORRUPT);
    }
    flicker_end(&f);
    ck_assert_ok(cell_return(ctx, &own->cell));
}
END_TEST

static Suite *arena_suite(void) {
    Suite *s = suite_create("arena");
    TCase *tc = case_new(s, "cells");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_cell_of_each_class_comes_from_a_slab_of_that_class, 1, SHMKV_CLASS_COUNT);
    tcase_add_test(tc, test_return_of_no_cell_does_nothing);
    tcase_add_loop_test(tc, test_slab_when_full_leaves_the_list_and_returns_with_a_free_cell, 3,
                        SHMKV_CLASS_COUNT /* 2 is that of small directories */);
    tcase_add_test(tc, test_cells_when_all_are_returned_leave_at_most_a_slab_per_class_and_arena);
    tcase_add_test(tc, test_cell_when_another_owner_returns_it_goes_to_its_own_arena);
    tc = case_new(s, "spare buckets");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_spare_buckets_are_a_chain_and_return_one_by_one);
    tc = case_new(s, "large");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_large_record_has_a_run_of_its_own);
    tc = case_new(s, "damage");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_take_when_the_list_of_slabs_is_damaged_is_ecorrupt);
    tcase_add_test(tc, test_take_when_the_fill_of_a_slab_is_damaged_is_ecorrupt);
    tcase_add_test(tc, test_return_when_the_field_names_no_cell_is_ecorrupt);
    tcase_add_test(tc, test_return_while_the_slab_changes_its_arena_stays_in_the_file);
    return s;
}

int main(void) { return suite_main(arena_suite()); }
