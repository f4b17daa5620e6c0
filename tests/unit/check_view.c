/* The private view: a segment as a successor of all the dead would find it. */
#include <string.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;
static struct segment *seg, view;
static shmkv_off_t bad;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
    seg = segment_of(kv);
    put_text(kv, "k", "v");
}

static void tear_down(void) { finish(kv, name); }

/* An intent in shard 0 that has taken effect and is not finished: count becomes @p value. */
static void leave_intent(uint64_t to, uint64_t value) {
    struct domain d = shard_domain(seg, 0);
    d.entries[0].offset = to;
    d.entries[0].value = value;
    *d.intent = MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_ALWAYS, 1) | MAKE(INTENT_COUNT, 1) |
                MAKE(INTENT_OWNER, 1) | MAKE(INTENT_OP, SHMKV_OP_PUT);
}

static void take_intent_back(void) { *shard_domain(seg, 0).intent = 0; }

START_TEST(test_view_has_what_the_segment_has_at_the_same_offsets) {
    ck_assert_ok(view_open(seg, &view, &bad));
    ck_assert_uint_eq(bad, 0);
    ck_assert_uint_eq(seg_offset(&view, view.shards), seg_offset(seg, seg->shards));
    ck_assert_uint_eq(seg_offset(&view, view.space), seg_offset(seg, seg->space));
    ck_assert_mem_eq(view.base, seg->base, seg->data_offset);
    ck_assert(view.writable);
    view_close(&view);
    ck_assert_ptr_null(view.base);
}
END_TEST

START_TEST(test_view_when_written_to_leaves_the_segment_alone) {
    uint64_t count = seg->shards[0].count;
    ck_assert_ok(view_open(seg, &view, &bad));
    view.shards[0].count = count + 77;
    ck_assert_uint_eq(seg->shards[0].count, count);
    view_close(&view);
}
END_TEST

START_TEST(test_view_has_intents_finished_that_the_segment_has_not) {
    uint64_t count = seg->shards[0].count;
    leave_intent(seg_offset(seg, &seg->shards[0].count), count + 5);
    uint64_t intent = seg->shards[0].intent;
    ck_assert_ok(view_open(seg, &view, &bad));
    ck_assert_uint_eq(bad, 0);
    ck_assert_uint_eq(view.shards[0].count, count + 5);
    ck_assert_uint_eq(view.shards[0].intent, 0);
    ck_assert_uint_eq(seg->shards[0].count, count);
    ck_assert_uint_eq(seg->shards[0].intent, intent);
    view_close(&view);
    take_intent_back();
}
END_TEST

START_TEST(test_view_when_an_intent_makes_no_sense_says_where_and_is_opened) {
    leave_intent(8, 5); /* the sealed header */
    ck_assert_ok(view_open(seg, &view, &bad));
    ck_assert_uint_eq(bad, seg_offset(seg, &seg->shards[0].intent));
    ck_assert_uint_ne(view.shards[0].intent, 0);
    ck_assert_mem_eq(view.base, seg->base, offsetof(header_t, state));
    view_close(&view);
    take_intent_back();
}
END_TEST

START_TEST(test_view_when_another_handle_grew_the_segment_has_all_of_it) {
    static char big[1 << 20];
    shmkv_t *other = open_ok(name, NULL);
    ck_assert_ok(shmkv_put(other, "big", 3, big, sizeof big));
    ck_assert_ok(shmkv_close(other));
    ck_assert_ok(view_open(seg, &view, &bad));
    ck_assert_uint_ge(view.reserve, view.space->limit);
    ck_assert_ptr_nonnull(seg_at(&view, view.space->limit - 8, 8));
    ck_assert_ptr_null(seg_at(&view, view.reserve, 8));
    view_close(&view);
}
END_TEST

START_TEST(test_view_of_a_read_only_handle_can_be_written_to) {
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    ck_assert_ok(view_open(segment_of(reader), &view, &bad));
    view.shards[0].count++;
    view_close(&view);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

int main(void) {
    Suite *s = suite_create("view");
    TCase *tc = case_new(s, "view");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_view_has_what_the_segment_has_at_the_same_offsets);
    tcase_add_test(tc, test_view_when_written_to_leaves_the_segment_alone);
    tcase_add_test(tc, test_view_has_intents_finished_that_the_segment_has_not);
    tcase_add_test(tc, test_view_when_an_intent_makes_no_sense_says_where_and_is_opened);
    tcase_add_test(tc, test_view_when_another_handle_grew_the_segment_has_all_of_it);
    tcase_add_test(tc, test_view_of_a_read_only_handle_can_be_written_to);
    return suite_main(s);
}
