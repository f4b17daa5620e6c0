/* All entries as they were at one moment. Spec 6.7. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
}

static void tear_down(void) { finish(kv, name); }

static shmkv_snapshot_t *snapshot_of(shmkv_t *h) {
    shmkv_snapshot_t *s = NULL;
    ck_assert_ok(shmkv_snapshot(h, &s));
    return s;
}

/* ------------------------------------------------------------------------- basic */

START_TEST(test_snapshot_when_empty_has_nothing) {
    shmkv_snapshot_t *s = snapshot_of(kv);
    const void *key, *val;
    size_t key_len, val_len;
    ck_assert_uint_eq(shmkv_snapshot_count(s), 0);
    ck_assert_err(shmkv_snapshot_next(s, &key, &key_len, &val, &val_len), SHMKV_ENOTFOUND);
    shmkv_snapshot_free(s);
    shmkv_snapshot_free(NULL);
}
END_TEST

#define ENDING 20000u
#define APART_NS 20000u

/* They end in the order of their numbers: those that are there still are the last ones. */
static unsigned expect_the_last(shmkv_t *h) {
    shmkv_snapshot_t *s = snapshot_of(h);
    uint64_t n = shmkv_snapshot_count(s);
    const void *key, *val;
    size_t key_len, val_len;
    uint32_t number;
    while (shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK) {
        memcpy(&number, key, sizeof number);
        ck_assert_msg(number >= ENDING - n, "%u is there, of the last %u", number, (unsigned)n);
    }
    shmkv_snapshot_free(s);
    return (unsigned)n;
}

/* proves [OP-15] */
START_TEST(test_snapshot_while_entries_end_is_of_one_moment) {
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    struct shmkv_item item = {.data = "", .expires_ns = wall_ns() + 300000000u};
    for (uint32_t i = 0; i < ENDING; i++, item.expires_ns += APART_NS)
        ck_assert_ok(shmkv_put_item(kv, &i, sizeof i, &item));
    while (expect_the_last(kv) && expect_the_last(reader))
        ;
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

static void expect_all(shmkv_t *h, uint64_t n) {
    shmkv_snapshot_t *s = snapshot_of(h);
    ck_assert_uint_eq(shmkv_snapshot_count(s), n);
    const void *key, *val;
    size_t key_len, val_len;
    uint64_t steps = 0, sum = 0, k;
    while (shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK) {
        memcpy(&k, key, sizeof k);
        ck_assert(key_len == sizeof k && val_len == k % 700 &&
                  (val_len == 0 || *(const char *)val == (char)k));
        sum += k;
        steps++;
    }
    ck_assert_uint_eq(steps, n);
    ck_assert_uint_eq(sum, n * (n - 1) / 2);
    shmkv_snapshot_free(s);
}

START_TEST(test_snapshot_has_every_entry_once) {
    char value[700];
    for (uint64_t i = 0; i < 5000; i++) {
        memset(value, (int)i, sizeof value);
        ck_assert_ok(shmkv_put(kv, &i, sizeof i, value, i % 700));
    }
    expect_all(kv, 5000);
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    expect_all(reader, 5000);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

START_TEST(test_snapshot_has_what_goes_with_a_value) {
    const struct shmkv_item stored = {
        .data = "yes", .len = 3, .type = SHMKV_TEXT, .expires_ns = UINT64_MAX};
    struct shmkv_item given, found;
    char buf[8];
    shmkv_snapshot_t *s;
    const void *key;
    size_t key_len;
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &stored));
    ck_assert_ok(shmkv_get_item(kv, "k", 1, buf, sizeof buf, &found));
    ck_assert_ok(shmkv_snapshot(kv, &s));
    ck_assert_ok(shmkv_snapshot_next_item(s, &key, &key_len, &given));
    ck_assert_uint_eq(given.len, 3);
    ck_assert_mem_eq(given.data, "yes", 3);
    ck_assert_int_eq(given.type, SHMKV_TEXT);
    ck_assert_uint_eq(given.expires_ns, UINT64_MAX);
    ck_assert_uint_eq(given.version, found.version);
    ck_assert_uint_eq(given.flags, 0);
    shmkv_snapshot_free(s);
}
END_TEST

START_TEST(test_snapshot_has_long_keys_and_large_values) {
    static char large[3000000], long_key[65536];
    memset(large, 'x', sizeof large);
    ck_assert_ok(shmkv_put(kv, long_key, sizeof long_key, large, sizeof large));
    shmkv_snapshot_t *s = snapshot_of(kv);
    const void *key, *val;
    size_t key_len, val_len;
    ck_assert_ok(shmkv_snapshot_next(s, &key, &key_len, &val, &val_len));
    ck_assert_uint_eq(key_len, sizeof long_key);
    ck_assert_mem_eq(key, long_key, sizeof long_key);
    ck_assert_uint_eq(val_len, sizeof large);
    ck_assert_mem_eq(val, large, sizeof large);
    shmkv_snapshot_free(s);
}
END_TEST

START_TEST(test_snapshot_needs_the_handle_no_more_and_does_not_change) {
    put_text(kv, "k", "before");
    shmkv_snapshot_t *s = snapshot_of(kv);
    put_text(kv, "k", "after");
    put_text(kv, "more", "x");
    ck_assert_ok(shmkv_close(kv));
    kv = open_ok(name, NULL);
    const void *key, *val;
    size_t key_len, val_len;
    ck_assert_uint_eq(shmkv_snapshot_count(s), 1);
    ck_assert_ok(shmkv_snapshot_next(s, &key, &key_len, &val, &val_len));
    ck_assert_uint_eq(val_len, 6);
    ck_assert_mem_eq(val, "before", 6);
    shmkv_snapshot_free(s);
}
END_TEST

START_TEST(test_snapshot_when_arguments_are_wrong_is_an_error) {
    shmkv_snapshot_t *s;
    ck_assert_err(shmkv_snapshot(kv, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_snapshot(NULL, &s), SHMKV_ECLOSED);
    ck_assert_ptr_null(s);
}
END_TEST

/* proves [OP-01] */
START_TEST(test_snapshot_along_chains_without_end_ends) {
    shmkv_snapshot_t *s;
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    struct place tangle = tangle_chains(kv, "tangled", 3000);
    ck_assert_err(shmkv_snapshot(kv, &s), SHMKV_ECORRUPT);
    ck_assert_err(shmkv_snapshot(reader, &s), SHMKV_ECORRUPT);
    tangle_undo(&tangle);
    ck_assert_ok(shmkv_snapshot(kv, &s));
    ck_assert_uint_eq(shmkv_snapshot_count(s), 1);
    shmkv_snapshot_free(s);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

/* proves [OP-01] */
START_TEST(test_snapshot_of_one_long_key_in_many_slots_ends) {
    static struct pile pile;
    shmkv_snapshot_t *s;
    pile_up(kv, &pile);
    ck_assert_err(shmkv_snapshot(kv, &s), SHMKV_ECORRUPT);
    pile_undo(&pile);
    shmkv_snapshot_free(snapshot_of(kv));
}
END_TEST

START_TEST(test_snapshot_leaves_no_lock_behind) {
    put_text(kv, "k", "v");
    shmkv_snapshot_free(snapshot_of(kv));
    struct segment *seg = segment_of(kv);
    for (uint32_t i = 0; i < seg->shard_count; i++)
        ck_assert_uint_eq(seg->shards[i].lock, 0);
}
END_TEST

/* ---------------------------------------------------------------------- point in time */

/* The writer puts round n first into "a", then into "b", which lie in different
 * shards. In any one moment a == b or a == b + 1. A third key grows the rest. */
static char key_a[KEY_TEXT_SIZE], key_b[KEY_TEXT_SIZE];

static void choose_keys(uint32_t shard_a, uint32_t shard_b) {
    struct key_search a = search_shard(kv, shard_a, "a"), b = search_shard(kv, shard_b, "b");
    key_find(&a, key_a);
    key_find(&b, key_b);
}

static volatile uint64_t *control; /* stop, rounds, pace */

static void put_round(shmkv_t *h, const char *key, uint64_t round) {
    ck_assert_ok(shmkv_put(h, key, strlen(key), &round, sizeof round));
}

static void write_pairs(void *arg) {
    (void)arg;
    shmkv_t *mine = open_ok(name, NULL);
    for (uint64_t round = 1; !control[0]; round++) {
        put_round(mine, key_a, round);
        put_round(mine, key_b, round);
        if (round % 7 == 0) {
            uint64_t other = round % 3000;
            ck_assert_ok(shmkv_put(mine, &other, sizeof other, &other, 1 + round % 8));
        }
        control[1] = round;
        /* Readers without a lock need a quiet moment now and then. */
        if (control[2])
            for (uint64_t until = now_ms() + control[2]; now_ms() < until;)
                continue;
    }
    ck_assert_ok(shmkv_close(mine));
}

/* One snapshot: 1 if the pair was caught between the two puts. */
static int check_pair(shmkv_snapshot_t *s) {
    const void *key, *val;
    size_t key_len, val_len;
    uint64_t a = 0, b = 0;
    while (shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK) {
        if (key_len == strlen(key_a) && memcmp(key, key_a, key_len) == 0)
            memcpy(&a, val, sizeof a);
        if (key_len == strlen(key_b) && memcmp(key, key_b, key_len) == 0)
            memcpy(&b, val, sizeof b);
    }
    shmkv_snapshot_free(s);
    ck_assert_msg(a == b || a == b + 1, "a is %llu, b is %llu: no moment had that",
                  (unsigned long long)a, (unsigned long long)b);
    return a != b;
}

static void snapshots_while_pairs_are_written(shmkv_t *h, unsigned wanted, uint64_t pace_ms) {
    control = shared_memory(4096);
    control[2] = pace_ms;
    put_round(kv, key_a, 0);
    put_round(kv, key_b, 0);
    pid_t pid = child_start(write_pairs, NULL);
    unsigned taken = 0, busy = 0, between = 0;
    uint64_t until = now_ms() + 15000, last = 0, moments = 0;
    while ((taken < wanted || moments < 20) && now_ms() < until) {
        shmkv_snapshot_t *s;
        int err = shmkv_snapshot(h, &s);
        if (err == SHMKV_EBUSY) {
            busy++;
            continue;
        }
        ck_assert_ok(err);
        between += (unsigned)check_pair(s);
        moments += control[1] != last;
        last = control[1];
        taken++;
    }
    control[0] = 1;
    ck_assert(child_succeeded(pid));
    printf("%u snapshots, %llu rounds, %u between two puts, %u busy\n", taken,
           (unsigned long long)control[1], between, busy);
    ck_assert_uint_ge(taken, 10);
    ck_assert_uint_gt(moments, 5);
}

/* proves [OP-15] [LOCK-03] */
START_TEST(test_snapshot_while_pairs_are_written_is_of_one_moment) {
    if (_i)
        choose_keys(60, 2);
    else
        choose_keys(2, 60);
    snapshots_while_pairs_are_written(kv, 1000, 0);
}
END_TEST

START_TEST(test_read_only_snapshot_while_pairs_are_written_is_of_one_moment) {
    if (_i)
        choose_keys(60, 2);
    else
        choose_keys(2, 60);
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    snapshots_while_pairs_are_written(reader, 200, 1);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

START_TEST(test_read_only_snapshot_while_a_writer_never_rests_is_right_or_ebusy) {
    choose_keys(2, 60);
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    control = shared_memory(4096);
    for (uint64_t i = 0; i < 3000; i++)
        ck_assert_ok(shmkv_put(kv, &i, sizeof i, &i, sizeof i));
    put_round(kv, key_a, 0);
    put_round(kv, key_b, 0);
    pid_t pid = child_start(write_pairs, NULL);
    unsigned right = 0, busy = 0;
    for (int i = 0; i < 20; i++) {
        shmkv_snapshot_t *s;
        int err = shmkv_snapshot(reader, &s);
        ck_assert(err == SHMKV_OK || err == SHMKV_EBUSY);
        if (err) {
            ck_assert_ptr_null(s);
            busy++;
        } else {
            check_pair(s);
            right++;
        }
    }
    control[0] = 1;
    ck_assert(child_succeeded(pid));
    printf("%u right, %u busy\n", right, busy);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

static atomic_bool enough;

/* As if the owner left and came back all the time, which none of his generation does. */
static void *come_and_go(void *state) {
    uint64_t *word = state, live = *word;
    for (unsigned n = 0; !atomic_load(&enough); n++)
        store_release_u64(word, n & 64 ? live : 0);
    store_release_u64(word, live);
    return NULL;
}

START_TEST(test_read_only_snapshot_while_an_owner_comes_and_goes_is_whole_or_ebusy) {
    finish(kv, name);
    kv = open_ok(name,
                 &(struct shmkv_options){.size = sizeof(struct shmkv_options), .owner_slots = 1});
    struct shmkv_item item = {.data = "", .flags = SHMKV_BOUND};
    ck_assert_ok(shmkv_put_item(kv, "key", 3, &item));
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, come_and_go, &segment_of(kv)->owners[0].state),
                     0);
    int err = SHMKV_OK;
    unsigned n = 0;
    for (uint64_t begun = now_ms(); !err && now_ms() - begun < 1000; n++) {
        shmkv_snapshot_t *s;
        err = shmkv_snapshot(reader, &s);
        shmkv_snapshot_free(s);
    }
    ck_assert_msg(!err || err == SHMKV_EBUSY, "%d, %s", err, shmkv_error_detail());
    printf("%u snapshots, then %s\n", n, result_name(err));
    atomic_store(&enough, true);
    pthread_join(thread, NULL);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

static Suite *snapshot_suite(void) {
    Suite *s = suite_create("snapshot");
    TCase *tc = case_new(s, "basic");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_snapshot_when_empty_has_nothing);
    tcase_add_test(tc, test_snapshot_has_every_entry_once);
    tcase_add_test(tc, test_snapshot_has_what_goes_with_a_value);
    tcase_add_test(tc, test_snapshot_has_long_keys_and_large_values);
    tcase_add_test(tc, test_snapshot_needs_the_handle_no_more_and_does_not_change);
    tcase_add_test(tc, test_snapshot_when_arguments_are_wrong_is_an_error);
    tcase_add_test(tc, test_snapshot_along_chains_without_end_ends);
    tcase_add_test(tc, test_snapshot_of_one_long_key_in_many_slots_ends);
    tcase_add_test(tc, test_snapshot_leaves_no_lock_behind);
    tc = case_new(s, "point in time");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_snapshot_while_pairs_are_written_is_of_one_moment, 0, 2);
    tcase_add_loop_test(tc, test_read_only_snapshot_while_pairs_are_written_is_of_one_moment, 0, 2);
    tcase_add_test(tc, test_snapshot_while_entries_end_is_of_one_moment);
    tcase_add_test(tc, test_read_only_snapshot_while_a_writer_never_rests_is_right_or_ebusy);
    tcase_add_test(tc, test_read_only_snapshot_while_an_owner_comes_and_goes_is_whole_or_ebusy);
    return s;
}

int main(void) { return suite_main(snapshot_suite()); }
