/* Read-only for ever. Spec 5.8. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/checks.h"

static const char *path;
static shmkv_t *kv;

static void set_up(void) {
    path = scratch_path("seg");
    kv = open_ok(path, NULL);
    put_text(kv, "k", "v");
}

static void tear_down(void) { finish(kv, path); }

static void expect_frozen(shmkv_t *h) {
    ck_assert_err(shmkv_put(h, "k", 1, "w", 1), SHMKV_EFROZEN);
    ck_assert_detail(path);
    ck_assert_err(shmkv_put(h, "new", 3, "w", 1), SHMKV_EFROZEN);
    ck_assert_err(shmkv_delete(h, "k", 1), SHMKV_EFROZEN);
    ck_assert_value(h, "k", "v");
    ck_assert_uint_eq(count_of(h), 1);
    ck_assert_uint_eq(info_of(h).frozen, 1);
}

/* ------------------------------------------------------------------------- basic */

/* proves [LIFE-20] */
START_TEST(test_freeze_lets_nobody_change_anything) {
    shmkv_t *attached = open_ok(path, NULL);
    put_text(attached, "k", "v");
    ck_assert_uint_eq(info_of(kv).frozen, 0);
    ck_assert_ok(shmkv_freeze(kv));
    expect_frozen(kv);
    expect_frozen(attached);
    ck_assert_ok(shmkv_close(attached));
    shmkv_t *later = open_ok(path, NULL);
    expect_frozen(later);
    ck_assert_ok(shmkv_close(later));
}
END_TEST

START_TEST(test_freeze_when_frozen_is_fine) {
    ck_assert_ok(shmkv_freeze(kv));
    ck_assert_ok(shmkv_freeze(kv));
    shmkv_t *later = open_ok(path, NULL);
    ck_assert_ok(shmkv_freeze(later));
    ck_assert_ok(shmkv_close(later));
    expect_frozen(kv);
}
END_TEST

START_TEST(test_freeze_by_a_reader_is_ereadonly) {
    shmkv_t *reader = open_mode(path, SHMKV_READONLY);
    ck_assert_err(shmkv_freeze(reader), SHMKV_EREADONLY);
    ck_assert_ok(shmkv_close(reader));
    ck_assert_err(shmkv_freeze(NULL), SHMKV_ECLOSED);
    put_text(kv, "k", "other");
}
END_TEST

START_TEST(test_readers_of_a_frozen_segment_walk_and_copy_it) {
    ck_assert_ok(shmkv_freeze(kv));
    const void *key, *val;
    size_t key_len, val_len;
    for (int mode = SHMKV_SHARED; mode <= SHMKV_READONLY; mode++) {
        if (mode == SHMKV_EXCLUSIVE)
            continue;
        shmkv_t *h = open_mode(path, mode);
        shmkv_cursor_t *c;
        ck_assert_ok(shmkv_cursor_open(h, 0, &c));
        ck_assert_ok(shmkv_cursor_next(c, &key, &key_len, &val, &val_len));
        ck_assert_err(shmkv_cursor_next(c, &key, &key_len, &val, &val_len), SHMKV_ENOTFOUND);
        shmkv_cursor_close(c);
        shmkv_snapshot_t *s;
        ck_assert_ok(shmkv_snapshot(h, &s));
        ck_assert_uint_eq(shmkv_snapshot_count(s), 1);
        shmkv_snapshot_free(s);
        ck_assert_whole(h);
        ck_assert_ok(shmkv_close(h));
    }
}
END_TEST

START_TEST(test_exclusive_replaces_a_frozen_segment_by_one_that_is_not) {
    ck_assert_ok(shmkv_freeze(kv));
    shmkv_t *fresh = open_mode(path, SHMKV_EXCLUSIVE);
    ck_assert_uint_eq(info_of(fresh).frozen, 0);
    put_text(fresh, "k", "new");
    ck_assert_value(kv, "k", "new"); /* it has followed */
    put_text(kv, "k", "newer");
    ck_assert_ok(shmkv_close(fresh));
}
END_TEST

/* --------------------------------------------------------------------- contention */

/* proves [LIFE-19]: a change that holds its lock is over before the segment is frozen */
START_TEST(test_freeze_while_a_change_is_under_way_waits_for_it) {
    shmkv_t *other = open_ok(path, &(struct shmkv_options){.size = sizeof(struct shmkv_options), .lock_timeout_ms = 50});
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 63);
    ck_assert_ok(lock_take(ctx, &d));
    ck_assert_err(shmkv_freeze(other), SHMKV_ETIMEDOUT);
    ck_assert_uint_eq(info_of(kv).frozen, 0);
    lock_release(ctx, &d);
    context_release(ctx);
    put_text(other, "k", "v"); /* no lock was kept */
    ck_assert_ok(shmkv_freeze(other));
    expect_frozen(kv);
    ck_assert_ok(shmkv_close(other));
}
END_TEST

/* proves [LIFE-20]: who was let in before the segment froze finds it out under the lock,
 * and [LIFE-21]: and gives back what it had built */
static const char *const late_key = "late";
static struct gate built, frozen;

static void freeze_when_built(void *arg) {
    (void)arg;
    shmkv_t *h = open_mode(path, SHMKV_EXISTING);
    if (!gate_wait(&built))
        _exit(1);
    ck_assert_ok(shmkv_freeze(h));
    gate_open(&frozen);
    ck_assert_ok(shmkv_close(h));
}

START_TEST(test_put_that_a_freeze_overtakes_leaves_nothing_behind) {
    uint64_t cells = stats_of(kv).cells_used;
    built = gate_new();
    frozen = gate_new();
    pid_t freezer = child_start(freeze_when_built, NULL);
    struct context *ctx = context_of(kv);
    gate_open(&built);
    ck_assert(gate_wait(&frozen));
    const struct shmkv_item item = {.data = "a value that needs a cell of its own", .len = 36};
    struct change put = {.key = late_key, .key_len = strlen(late_key), .item = &item};
    struct change delete = {.key = "k", .key_len = 1};
    ck_assert_err(change_make(ctx, &put), SHMKV_EFROZEN);
    ck_assert_err(change_make(ctx, &delete), SHMKV_EFROZEN);
    context_release(ctx);
    ck_assert(child_succeeded(freezer));
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
    kv = open_mode(path, SHMKV_READONLY);
    ck_assert_uint_eq(stats_of(kv).cells_used, cells);
    ck_assert_value(kv, late_key, NULL);
}
END_TEST

/* ------------------------------------------------------------------------- damage */

START_TEST(test_open_when_the_word_is_neither_0_nor_1_is_ecorrupt) {
    ck_assert_ok(shmkv_close(kv));
    uint64_t two = 2, none = 0;
    file_patch(path, offsetof(header_t, frozen), &two, sizeof two);
    ck_assert_err(shmkv_open(path, NULL, &kv), SHMKV_ECORRUPT);
    file_patch(path, offsetof(header_t, frozen), &none, sizeof none);
    kv = open_ok(path, NULL);
    segment_of(kv)->hdr->frozen = two;
    ck_assert_err(shmkv_verify(kv, NULL, NULL, NULL), SHMKV_ECORRUPT);
    segment_of(kv)->hdr->frozen = none;
}
END_TEST

static Suite *freeze_suite(void) {
    Suite *s = suite_create("freeze");
    TCase *tc = case_new(s, "basic");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_freeze_lets_nobody_change_anything);
    tcase_add_test(tc, test_freeze_when_frozen_is_fine);
    tcase_add_test(tc, test_freeze_by_a_reader_is_ereadonly);
    tcase_add_test(tc, test_readers_of_a_frozen_segment_walk_and_copy_it);
    tcase_add_test(tc, test_exclusive_replaces_a_frozen_segment_by_one_that_is_not);
    tc = case_new(s, "contention");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_freeze_while_a_change_is_under_way_waits_for_it);
    tcase_add_test(tc, test_put_that_a_freeze_overtakes_leaves_nothing_behind);
    tc = case_new(s, "damage");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_open_when_the_word_is_neither_0_nor_1_is_ecorrupt);
    return s;
}

int main(void) { return suite_main(freeze_suite()); }
