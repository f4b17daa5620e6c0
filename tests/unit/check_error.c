/* Results and their texts. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/support/checks.h"

static const struct {
    int number;
    const char *name;
} pinned[] = {
#define PINNED(name, number, class_, text) {number, "SHMKV_" #name},
    SHMKV_ERROR_MAP(PINNED)
#undef PINNED
};
#define PINNED_COUNT (sizeof pinned / sizeof *pinned)

/* ------------------------------------------------------------------------ texts */

START_TEST(test_strerror_of_every_code_says_something) {
    int err = pinned[_i].number;
    ck_assert_ptr_nonnull(shmkv_strerror(err));
    ck_assert_uint_gt(strlen(shmkv_strerror(err)), 8);
    ck_assert_str_ne(shmkv_strerror(err), shmkv_strerror(-9999));
    ck_assert_str_eq(shmkv_error_name(err), pinned[_i].name);
}
END_TEST

START_TEST(test_strerror_of_success_is_success) {
    ck_assert_str_eq(shmkv_strerror(SHMKV_OK), "success");
    ck_assert_str_eq(shmkv_error_name(SHMKV_OK), "SHMKV_OK");
}
END_TEST

START_TEST(test_strerror_of_an_errno_is_the_systems) {
    ck_assert_str_eq(shmkv_strerror(EACCES), strerror(EACCES));
    ck_assert_ptr_null(shmkv_error_name(EACCES));
}
END_TEST

START_TEST(test_strerror_of_an_unknown_number_is_not_null) {
    ck_assert_ptr_nonnull(shmkv_strerror(-9999));
    ck_assert_ptr_nonnull(shmkv_strerror(99999));
    ck_assert_ptr_null(shmkv_error_name(-9999));
}
END_TEST

/* ---------------------------------------------------------------------- numbers */

START_TEST(test_codes_are_negative_and_unique) {
    for (size_t i = 0; i < PINNED_COUNT; i++) {
        ck_assert_int_lt(pinned[i].number, 0);
        for (size_t j = 0; j < i; j++)
            ck_assert_int_ne(pinned[i].number, pinned[j].number);
    }
}
END_TEST

START_TEST(test_codes_when_released_never_change) {
    ck_assert_int_eq(SHMKV_ENOTFOUND, -1);
    ck_assert_int_eq(SHMKV_ETOOSMALL, -2);
    ck_assert_int_eq(SHMKV_ENOSEGMENT, -3);
    ck_assert_int_eq(SHMKV_EEXISTS, -4);
    ck_assert_int_eq(SHMKV_ECHANGED, -5);
    ck_assert_int_eq(SHMKV_ENAME, -10);
    ck_assert_int_eq(SHMKV_EKEY, -11);
    ck_assert_int_eq(SHMKV_EVALUE, -12);
    ck_assert_int_eq(SHMKV_EARGUMENT, -13);
    ck_assert_int_eq(SHMKV_EREADONLY, -14);
    ck_assert_int_eq(SHMKV_ECLOSED, -15);
    ck_assert_int_eq(SHMKV_EDEADLK, -16);
    ck_assert_int_eq(SHMKV_ETYPE, -17);
    ck_assert_int_eq(SHMKV_EOVERFLOW, -18);
    ck_assert_int_eq(SHMKV_EFROZEN, -19);
    ck_assert_int_eq(SHMKV_ETIMEDOUT, -20);
    ck_assert_int_eq(SHMKV_EBUSY, -21);
    ck_assert_int_eq(SHMKV_ENOSPC, -22);
    ck_assert_int_eq(SHMKV_ENOSLOTS, -23);
    ck_assert_int_eq(SHMKV_ERESERVE, -24);
    ck_assert_int_eq(SHMKV_ESTALE, -25);
    ck_assert_int_eq(SHMKV_EFOREIGN, -30);
    ck_assert_int_eq(SHMKV_EFORMAT, -31);
    ck_assert_int_eq(SHMKV_ECORRUPT, -32);
    ck_assert_int_eq(SHMKV_EOWNER, -33);
    ck_assert_int_eq(SHMKV_ENOSHM, -34);
    ck_assert_int_eq(SHMKV_EDUMP, -35);
}
END_TEST

/* ----------------------------------------------------------------------- detail */

START_TEST(test_detail_before_any_failure_is_empty) { ck_assert_str_eq(shmkv_error_detail(), ""); }
END_TEST

START_TEST(test_detail_after_a_failure_names_the_segment_and_the_meaning) {
    const char *name = unique_name();
    shmkv_t *kv;
    struct shmkv_options opts = {.size = sizeof opts, .mode = SHMKV_EXISTING};
    ck_assert_err(shmkv_open(name, &opts, &kv), SHMKV_ENOSEGMENT);
    ck_assert_detail(name);
    ck_assert_detail(shmkv_strerror(SHMKV_ENOSEGMENT));
}
END_TEST

START_TEST(test_detail_when_the_key_is_absent_stays_as_it_was) {
    const char *name = unique_name();
    shmkv_t *kv = open_ok(name, NULL);
    ck_assert_err(shmkv_get(kv, "", 0, NULL, 0, NULL), SHMKV_EKEY);
    char before[512];
    strcpy(before, shmkv_error_detail());
    ck_assert_err(shmkv_exists(kv, "absent", 6), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_delete(kv, "absent", 6), SHMKV_ENOTFOUND);
    ck_assert_str_eq(shmkv_error_detail(), before);
    finish(kv, name);
}
END_TEST

/* Each call with a bad key, and each with a value of which its type knows better. */
static int call_number(int n, shmkv_t *kv, const char *key, size_t len,
                       const struct shmkv_item *bad) {
    static const struct shmkv_item good = {.data = "v", .len = 1};
    const struct shmkv_item *item = bad ? bad : &good;
    struct shmkv_item out = {0};
    struct shmkv_bytes keys = {key, len};
    char buf[8];
    int64_t number;
    switch (n) {
    case 0:
        return shmkv_put_item(kv, key, len, item);
    case 1:
        return shmkv_add(kv, key, len, item, NULL);
    case 2:
        return shmkv_swap(kv, key, len, item, buf, sizeof buf, &out);
    case 3:
        return shmkv_cas(kv, key, len, 1, item);
    case 4:
        return shmkv_cas_value(kv, key, len, item, &good);
    case 5:
        return shmkv_delete_value(kv, key, len, item);
    case 6:
        return shmkv_get_or_set(kv, key, len, item, buf, sizeof buf, &out);
    case 7:
        out = *item;
        return shmkv_put_many(kv, 1, &keys, &out, NULL);
    case 8: /* The rest take no value, or make it themselves. */
        return bad ? shmkv_append_text(kv, key, len, bad->data, bad->len, NULL)
                   : shmkv_append(kv, key, len, "v", 1, NULL);
    case 9:
        return shmkv_get(kv, key, len, buf, sizeof buf, NULL);
    case 10:
        return shmkv_get_item(kv, key, len, buf, sizeof buf, &out);
    case 11:
        return shmkv_exists(kv, key, len);
    case 12:
        return shmkv_delete(kv, key, len);
    case 13:
        return shmkv_touch(kv, key, len, 0);
    case 14:
        return shmkv_wait(kv, key, len, 1, 0);
    case 15:
        return shmkv_take(kv, key, len, buf, sizeof buf, &out);
    case 16:
        return shmkv_get_many(kv, 1, &keys, &out, buf, sizeof buf, NULL);
    case 17:
        return shmkv_delete_many(kv, 1, &keys, NULL, NULL, NULL);
    case 18:
        return shmkv_incr_i64(kv, key, len, 1, 0, &number);
    default:
        return shmkv_put(kv, key, len, "v", 1);
    }
}
enum { WITH_VALUE = 9, WITH_KEY = 20 };

START_TEST(test_detail_of_a_bad_key_names_segment_and_key) {
    const char *name = unique_name();
    shmkv_t *kv = open_ok(name, NULL);
    char key[65537];
    memset(key, 'k', sizeof key);
    ck_assert_err(call_number(_i, kv, key, sizeof key, NULL), SHMKV_EKEY);
    ck_assert_detail(name);
    ck_assert_detail("a key of 65537 bytes");
    ck_assert_detail("(key \"kkkk");
    ck_assert_err(call_number(_i, kv, NULL, 5, NULL), SHMKV_EKEY);
    ck_assert_detail("(key \"\"");
    finish(kv, name);
}
END_TEST

START_TEST(test_detail_of_a_bad_value_names_segment_and_key) {
    const char *name = unique_name();
    shmkv_t *kv = open_ok(name, NULL);
    const struct shmkv_item bad = {.data = "\xff", .len = 1, .type = SHMKV_TEXT};
    ck_assert_err(call_number(_i, kv, "the key", 7, &bad), SHMKV_EVALUE);
    ck_assert_detail(name);
    ck_assert_detail("1 bytes are not text");
    ck_assert_detail("(key \"the key\"");
    finish(kv, name);
}
END_TEST

START_TEST(test_detail_when_very_long_is_cut) {
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(fail(SHMKV_EKEY, "%s", text), SHMKV_EKEY);
    ck_assert_uint_gt(strlen(shmkv_error_detail()), 400);
    ck_assert_uint_lt(strlen(shmkv_error_detail()), 600);
}
END_TEST

START_TEST(test_detail_when_it_quotes_the_former_detail_is_right) {
    fail(SHMKV_EKEY, "first");
    fail(SHMKV_EVALUE, "second after (%s)", shmkv_error_detail());
    ck_assert_ptr_eq(strstr(shmkv_error_detail(), "second after (first"), shmkv_error_detail());
}
END_TEST

START_TEST(test_fail_keeps_errno) {
    errno = ENOTTY;
    fail(EACCES, "something");
    ck_assert_int_eq(errno, ENOTTY);
}
END_TEST

static void *detail_of_a_new_thread(void *arg) {
    (void)arg;
    const char *before = shmkv_error_detail();
    bool empty = !*before;
    fail(SHMKV_EVALUE, "in the thread");
    return empty ? NULL : (void *)1;
}

START_TEST(test_detail_is_the_threads_own) {
    fail(SHMKV_EKEY, "in main");
    pthread_t thread;
    void *result;
    ck_assert_int_eq(pthread_create(&thread, NULL, detail_of_a_new_thread, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_null(result);
    ck_assert_detail("in main");
}
END_TEST

START_TEST(test_version_is_the_headers) { ck_assert_str_eq(shmkv_version(), SHMKV_VERSION); }
END_TEST

static Suite *error_suite(void) {
    Suite *s = suite_create("error");
    TCase *tc = case_new(s, "texts");
    tcase_add_loop_test(tc, test_strerror_of_every_code_says_something, 0, (int)PINNED_COUNT);
    tcase_add_test(tc, test_strerror_of_success_is_success);
    tcase_add_test(tc, test_strerror_of_an_errno_is_the_systems);
    tcase_add_test(tc, test_strerror_of_an_unknown_number_is_not_null);
    tc = case_new(s, "numbers");
    tcase_add_test(tc, test_codes_are_negative_and_unique);
    tcase_add_test(tc, test_codes_when_released_never_change);
    tc = case_new(s, "detail");
    tcase_add_test(tc, test_detail_before_any_failure_is_empty);
    tcase_add_test(tc, test_detail_after_a_failure_names_the_segment_and_the_meaning);
    tcase_add_test(tc, test_detail_when_the_key_is_absent_stays_as_it_was);
    tcase_add_loop_test(tc, test_detail_of_a_bad_key_names_segment_and_key, 0, WITH_KEY);
    tcase_add_loop_test(tc, test_detail_of_a_bad_value_names_segment_and_key, 0, WITH_VALUE);
    tcase_add_test(tc, test_detail_when_very_long_is_cut);
    tcase_add_test(tc, test_detail_when_it_quotes_the_former_detail_is_right);
    tcase_add_test(tc, test_fail_keeps_errno);
    tcase_add_test(tc, test_detail_is_the_threads_own);
    tcase_add_test(tc, test_version_is_the_headers);
    return s;
}

int main(void) { return suite_main(error_suite()); }
