/* Many keys in one call that writes. Spec 6.3, 6.4. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define MOST 20000
#define UNTOUCHED 777

static const char *name;
static shmkv_t *kv;

static uint64_t numbers[MOST];
static struct shmkv_bytes keys[MOST];
static struct shmkv_item items[MOST];
static int results[MOST];

/* Key number n is the number, its value the number times the factor. */
static uint64_t values[MOST];

static void make_items(size_t n, uint64_t factor) {
    for (size_t i = 0; i < n; i++) {
        numbers[i] = i;
        values[i] = i * factor;
        keys[i] = (struct shmkv_bytes){&numbers[i], sizeof numbers[i]};
        items[i] =
            (struct shmkv_item){.data = &values[i], .len = sizeof values[i], .result = UNTOUCHED};
        results[i] = UNTOUCHED;
    }
}

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
    make_items(MOST, 3);
}

static void tear_down(void) { finish(kv, name); }

static void expect_number(uint64_t n, uint64_t expected) {
    uint64_t got;
    size_t len;
    ck_assert_ok(shmkv_get(kv, &n, sizeof n, &got, sizeof got, &len));
    ck_assert_uint_eq(len, sizeof got);
    ck_assert_uint_eq(got, expected);
}

/* ------------------------------------------------------------------------------ basic */

/* Numbers around those that are on their way at a time. */
START_TEST(test_put_many_and_delete_many_are_so_many_puts_and_deletes) {
    static const size_t counts[] = {0, 1, 2, 5, 6, 7, 11, 12, 13, 14, 100, MOST};
    size_t n = counts[_i], done = 99, removed = 99;
    for (uint64_t factor = 3; factor <= 5; factor++) { /* new, and overwritten */
        make_items(MOST, factor);
        ck_assert_ok(shmkv_put_many(kv, n, keys, items, &done));
        ck_assert_uint_eq(done, n);
        ck_assert_uint_eq(count_of(kv), n);
        for (size_t i = 0; i < n; i++) {
            ck_assert_int_eq(items[i].result, SHMKV_OK);
            expect_number(i, i * factor);
        }
        ck_assert(n == MOST || items[n].result == UNTOUCHED);
    }
    for (size_t i = 0; i < n; i += 3)
        ck_assert_ok(shmkv_delete(kv, &numbers[i], sizeof numbers[i]));
    ck_assert_ok(shmkv_delete_many(kv, n, keys, results, &done, &removed));
    ck_assert_uint_eq(done, n);
    ck_assert_uint_eq(removed, n - (n + 2) / 3);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(results[i], i % 3 == 0 ? SHMKV_ENOTFOUND : SHMKV_OK);
    ck_assert(n == MOST || results[n] == UNTOUCHED);
    ck_assert_uint_eq(count_of(kv), 0);
    ck_assert_ok(shmkv_put_many(kv, n, keys, items, NULL));
    ck_assert_ok(shmkv_delete_many(kv, n, keys, NULL, NULL, NULL));
    ck_assert_uint_eq(count_of(kv), 0);
    ck_assert_whole(kv);
}
END_TEST

START_TEST(test_put_many_of_all_sizes_gives_back_each_value) {
    static uint8_t bytes[300000], got[300000];
    static const size_t sizes[] = {0, 1, 8, 40, 41, 500, 5000, 20000, 300000, 0, 33};
    enum { N = sizeof sizes / sizeof *sizes };
    size_t len;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 >> 2);
    for (size_t i = 0; i < N; i++)
        items[i] =
            (struct shmkv_item){.data = bytes + i, .len = sizes[i] - (sizes[i] == 300000 ? i : 0)};
    ck_assert_ok(shmkv_put_many(kv, N, keys, items, NULL));
    for (size_t i = 0; i < N; i++) {
        ck_assert_ok(shmkv_get(kv, keys[i].data, keys[i].len, got, sizeof got, &len));
        ck_assert_uint_eq(len, items[i].len);
        ck_assert_mem_eq(got, bytes + i, len);
    }
    ck_assert_whole(kv);
}
END_TEST

START_TEST(test_put_many_when_a_key_is_given_twice_then_the_last_value_stays) {
    for (size_t i = 0; i < 50; i++)
        keys[i] = (struct shmkv_bytes){&numbers[i % 3], sizeof numbers[0]};
    ck_assert_ok(shmkv_put_many(kv, 50, keys, items, NULL));
    ck_assert_uint_eq(count_of(kv), 3);
    expect_number(0, 48 * 3);
    expect_number(1, 49 * 3);
    expect_number(2, 47 * 3);
    size_t removed;
    ck_assert_ok(shmkv_delete_many(kv, 50, keys, results, NULL, &removed));
    ck_assert_uint_eq(removed, 3);
    ck_assert_int_eq(results[2], SHMKV_OK);
    ck_assert_int_eq(results[3], SHMKV_ENOTFOUND);
}
END_TEST

START_TEST(test_put_many_keeps_type_end_and_owner_and_tells_the_version) {
    struct shmkv_item found;
    char room[8];
    items[0] = (struct shmkv_item){.data = "\xc3\xa9", .len = 2, .type = SHMKV_TEXT};
    items[1] = (struct shmkv_item){.type = SHMKV_NULL, .expires_ns = UINT64_MAX};
    items[2] = (struct shmkv_item){.data = "b", .len = 1, .flags = SHMKV_BOUND};
    items[3] = (struct shmkv_item){.data = "gone", .len = 4, .expires_ns = 1};
    ck_assert_ok(shmkv_put_many(kv, 4, keys, items, NULL));
    for (size_t i = 0; i < 3; i++) {
        ck_assert_ok(shmkv_get_item(kv, keys[i].data, keys[i].len, room, sizeof room, &found));
        ck_assert_int_eq(found.type, items[i].type);
        ck_assert_uint_eq(found.flags, items[i].flags);
        ck_assert_uint_eq(found.expires_ns, items[i].expires_ns);
        ck_assert_uint_eq(found.version, items[i].version);
        ck_assert_uint_ne(found.version, 0);
    }
    ck_assert_err(shmkv_exists(kv, keys[3].data, keys[3].len), SHMKV_ENOTFOUND);
}
END_TEST

/* ----------------------------------------------------------------------------- refused */

/* One of a hundred is wrong, in each way there is; nothing has changed. */
START_TEST(test_put_many_when_an_argument_is_wrong_then_nothing_is_stored) {
    static char long_key[65537];
    static const struct shmkv_item wrong[] = {
        {.data = NULL, .len = 1},
        {.data = "x", .len = SHMKV_MAX_VALUE + 1ULL},
        {.data = "x", .len = 1, .type = 8},
        {.data = "x", .len = 1, .type = SHMKV_INT64},
        {.data = "\xff", .len = 1, .type = SHMKV_TEXT},
        {.data = "x", .len = 1, .flags = 4},
    };
    static const int said[] = {SHMKV_EARGUMENT, SHMKV_EVALUE, SHMKV_EARGUMENT,
                               SHMKV_EVALUE,    SHMKV_EVALUE, SHMKV_EARGUMENT};
    static const struct shmkv_bytes wrong_keys[] = {
        {NULL, 3}, {"", 0}, {long_key, sizeof long_key}};
    enum { ITEMS = sizeof wrong / sizeof *wrong, KEYS = 3 };
    for (int k = 0; k < ITEMS + KEYS; k++)
        for (size_t at = 0; at < 100; at += 33) {
            size_t done = 99;
            int expected = k < ITEMS ? said[k] : SHMKV_EKEY;
            make_items(100, 3);
            if (k < ITEMS)
                items[at] = wrong[k];
            else
                keys[at] = wrong_keys[k - ITEMS];
            ck_assert_err(shmkv_put_many(kv, 100, keys, items, &done), expected);
            ck_assert_uint_eq(done, 0);
            ck_assert_int_eq(items[at].result, expected);
            ck_assert_int_eq(items[(at + 1) % 100].result, UNTOUCHED);
            ck_assert_ptr_nonnull(strstr(shmkv_error_detail(), "0 of 100 done"));
            ck_assert_uint_eq(count_of(kv), 0);
        }
}
END_TEST

START_TEST(test_delete_many_when_a_key_is_wrong_then_none_is_removed) {
    size_t done = 99, removed = 99;
    ck_assert_ok(shmkv_put_many(kv, 100, keys, items, NULL));
    keys[70].len = 0;
    ck_assert_err(shmkv_delete_many(kv, 100, keys, results, &done, &removed), SHMKV_EKEY);
    ck_assert_uint_eq(done, 0);
    ck_assert_uint_eq(removed, 0);
    ck_assert_int_eq(results[70], SHMKV_EKEY);
    ck_assert_int_eq(results[0], UNTOUCHED);
    ck_assert_uint_eq(count_of(kv), 100);
}
END_TEST

START_TEST(test_many_when_the_segment_has_limits_of_its_own_then_they_are_looked_at_first) {
    const char *path = scratch_path("limits");
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    uint64_t most = 100;
    file_patch(path, offsetof(header_t, max_value), &most, sizeof most);
    file_patch(path, offsetof(header_t, max_key), &most, sizeof most);
    header_reseal(path);
    shmkv_t *small = open_ok(path, NULL);
    static char bytes[200];
    size_t done;
    items[40].data = bytes;
    items[40].len = 101;
    ck_assert_err(shmkv_put_many(small, 50, keys, items, &done), SHMKV_EVALUE);
    ck_assert_int_eq(items[40].result, SHMKV_EVALUE);
    items[40].len = 100;
    keys[41] = (struct shmkv_bytes){bytes, 101};
    ck_assert_err(shmkv_put_many(small, 50, keys, items, &done), SHMKV_EKEY);
    ck_assert_err(shmkv_delete_many(small, 50, keys, results, NULL, NULL), SHMKV_EKEY);
    ck_assert_uint_eq(count_of(small), 0);
    keys[41].len = 100;
    ck_assert_ok(shmkv_put_many(small, 50, keys, items, &done));
    ck_assert_uint_eq(count_of(small), 50);
    ck_assert_ok(shmkv_close(small));
    unlink(path);
}
END_TEST

START_TEST(test_many_when_the_handle_or_the_arrays_will_not_do_says_so) {
    size_t done = 99, removed = 99;
    ck_assert_err(shmkv_put_many(NULL, 1, keys, items, &done), SHMKV_ECLOSED);
    ck_assert_uint_eq(done, 0);
    ck_assert_err(shmkv_delete_many(NULL, 1, keys, NULL, &done, &removed), SHMKV_ECLOSED);
    ck_assert_err(shmkv_put_many(kv, 1, NULL, items, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_put_many(kv, 1, keys, NULL, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_delete_many(kv, 1, NULL, NULL, &done, &removed), SHMKV_EARGUMENT);
    ck_assert_uint_eq(done + removed, 0);
    ck_assert_ok(shmkv_put_many(kv, 0, NULL, NULL, NULL));
    ck_assert_ok(shmkv_delete_many(kv, 0, NULL, NULL, NULL, NULL));
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    ck_assert_err(shmkv_put_many(reader, 3, keys, items, NULL), SHMKV_EREADONLY);
    ck_assert_err(shmkv_delete_many(reader, 3, keys, NULL, NULL, NULL), SHMKV_EREADONLY);
    ck_assert_ok(shmkv_close(reader));
    ck_assert_ok(shmkv_freeze(kv));
    ck_assert_err(shmkv_put_many(kv, 3, keys, items, &done), SHMKV_EFROZEN);
    ck_assert_err(shmkv_delete_many(kv, 3, keys, results, &done, NULL), SHMKV_EFROZEN);
    ck_assert_uint_eq(done, 0);
}
END_TEST

/* --------------------------------------------------------------------------- in the middle */

START_TEST(test_put_many_when_space_runs_out_then_tells_how_many_are_stored) {
    const char *path = scratch_path("full");
    struct shmkv_options o = {.size = sizeof o, .max_size = 4u << 20};
    static uint8_t bytes[50000];
    enum { N = 200 };
    size_t done;
    shmkv_t *full = open_ok(path, &o);
    for (size_t i = 0; i < N; i++)
        items[i] = (struct shmkv_item){.data = bytes, .len = sizeof bytes, .result = UNTOUCHED};
    ck_assert_err(shmkv_put_many(full, N, keys, items, &done), SHMKV_ENOSPC);
    ck_assert_uint_gt(done, 10);
    ck_assert_uint_lt(done, N);
    char text[40];
    snprintf(text, sizeof text, "%zu of %d done", done, N);
    ck_assert_ptr_nonnull(strstr(shmkv_error_detail(), text));
    ck_assert_uint_eq(count_of(full), done);
    for (size_t i = 0; i < N; i++) {
        ck_assert_int_eq(shmkv_exists(full, keys[i].data, keys[i].len),
                         i < done ? SHMKV_OK : SHMKV_ENOTFOUND);
        ck_assert_int_eq(items[i].result, i < done    ? SHMKV_OK
                                          : i == done ? SHMKV_ENOSPC
                                                      : UNTOUCHED);
    }
    ck_assert_whole(full);
    size_t removed;
    ck_assert_ok(shmkv_delete_many(full, N, keys, NULL, NULL, &removed));
    ck_assert_uint_eq(removed, done);
    ck_assert_ok(shmkv_put_many(full, done, keys, items, NULL));
    ck_assert_ok(shmkv_close(full));
    unlink(path);
}
END_TEST

static void put_all(void *arg) {
    (void)arg;
    shmkv_t *mine = open_ok(name, NULL);
    (void)!shmkv_put_many(mine, MOST, keys, items, NULL);
    _exit(0);
}

/* Whoever dies leaves so many from the first on. */
START_TEST(test_put_many_when_killed_then_a_beginning_is_stored) {
    int cut = 0;
    for (int round = 0; round < 40 || (cut < 5 && round < 2000); round++) {
        ck_assert_ok(shmkv_clear(kv, NULL));
        pid_t pid = child_start(put_all, NULL);
        uint64_t goal = (uint64_t)(round % 20) * 500, n = 0;
        for (uint64_t until = now_ms() + 20000; n < goal; n = count_of(kv))
            ck_assert(now_ms() < until);
        child_kill(pid);
        ck_assert_ok(shmkv_sweep(kv, 0, NULL)); /* takes what the dead held */
        n = count_of(kv);
        cut += n > 0 && n < MOST;
        for (uint64_t i = 0; i < MOST; i++)
            ck_assert_int_eq(shmkv_exists(kv, &i, sizeof i), i < n ? SHMKV_OK : SHMKV_ENOTFOUND);
        ck_assert_whole(kv);
    }
    printf("%d times cut off in the middle\n", cut);
    ck_assert_int_ge(cut, 5);
}
END_TEST

struct replacing {
    volatile uint64_t stop, times;
};

static void replace_all_the_time(void *arg) {
    struct replacing *r = arg;
    for (; !r->stop; r->times++)
        ck_assert_ok(shmkv_close(open_mode(name, SHMKV_EXCLUSIVE)));
}

/* Each key goes into the segment that has the name then; the call goes on in the next. */
START_TEST(test_many_when_the_segment_is_replaced_go_on_in_the_new_one) {
    struct replacing *r = shared_memory(sizeof *r);
    pid_t pid = child_start(replace_all_the_time, r);
    uint64_t calls = 0, until = now_ms() + 20000;
    for (; (r->times < 100 || calls < 20) && now_ms() < until; calls++) {
        ck_assert_ok(shmkv_put_many(kv, MOST, keys, items, NULL));
        ck_assert_int_eq(items[MOST - 1].result, SHMKV_OK);
        ck_assert_ok(shmkv_delete_many(kv, MOST, keys, NULL, NULL, NULL));
    }
    r->stop = 1;
    ck_assert(child_succeeded(pid));
    printf("%llu calls of each, %llu replacements\n", (unsigned long long)calls,
           (unsigned long long)r->times);
    ck_assert_uint_ge(r->times, 20);
    ck_assert_ok(shmkv_put_many(kv, MOST, keys, items, NULL));
    ck_assert_uint_eq(count_of(kv), MOST);
    ck_assert_whole(kv);
}
END_TEST

static Suite *many_suite(void) {
    Suite *s = suite_create("many");
    TCase *tc = case_new(s, "basic");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_put_many_and_delete_many_are_so_many_puts_and_deletes, 0, 12);
    tcase_add_test(tc, test_put_many_of_all_sizes_gives_back_each_value);
    tcase_add_test(tc, test_put_many_when_a_key_is_given_twice_then_the_last_value_stays);
    tcase_add_test(tc, test_put_many_keeps_type_end_and_owner_and_tells_the_version);
    tc = case_new(s, "refused");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_put_many_when_an_argument_is_wrong_then_nothing_is_stored);
    tcase_add_test(tc, test_delete_many_when_a_key_is_wrong_then_none_is_removed);
    tcase_add_test(tc,
                   test_many_when_the_segment_has_limits_of_its_own_then_they_are_looked_at_first);
    tcase_add_test(tc, test_many_when_the_handle_or_the_arrays_will_not_do_says_so);
    tc = case_new(s, "in the middle");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_put_many_when_space_runs_out_then_tells_how_many_are_stored);
    tcase_add_test(tc, test_put_many_when_killed_then_a_beginning_is_stored);
    tcase_add_test(tc, test_many_when_the_segment_is_replaced_go_on_in_the_new_one);
    return s;
}

int main(void) { return suite_main(many_suite()); }
