/* The public calls: options, NULLs, closing, unlinking. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/checks.h"

static int try_options(const struct shmkv_options *opts) {
    shmkv_t *kv = (shmkv_t *)&kv;
    int err = shmkv_open(unique_name(), opts, &kv);
    ck_assert_ptr_null(kv);
    return err;
}

/* ------------------------------------------------------------------------- options */

START_TEST(test_open_when_an_option_is_wrong_is_eargument) {
    const size_t size = sizeof(struct shmkv_options);
    const struct shmkv_options bad[] = {
        {.size = 0},
        {.size = size - 1},
        {.size = size + 8},
        {.size = size, .mode = 4},
        {.size = size, .mode = -1},
        {.size = size, .flags = 8},
        {.size = size, .flags = ~0u},
        {.size = size, .owner_slots = SHMKV_MAX_OWNERS + 1},
        {.size = size, .owner_slots = ~0u},
        {.size = size, .permissions = 01000},
        {.size = size, .permissions = ~0u},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_err(try_options(&bad[i]), SHMKV_EARGUMENT);
}
END_TEST

START_TEST(test_open_without_a_place_for_the_handle_is_eargument) {
    ck_assert_err(shmkv_open(unique_name(), NULL, NULL), SHMKV_EARGUMENT);
}
END_TEST

START_TEST(test_open_with_options_of_zeros_is_like_open_without) {
    const char *name = unique_name();
    struct shmkv_options opts = {.size = sizeof opts};
    shmkv_t *kv = open_ok(name, &opts);
    ck_assert_uint_eq(info_of(kv).owner_count, SHMKV_DEFAULT_OWNERS);
    ck_assert_uint_eq(segment_of(kv)->lock_timeout_ms, 5000);
    ck_assert_uint_ge(segment_of(kv)->reserve, 32ULL << 30);
    finish(kv, name);
}
END_TEST

START_TEST(test_open_with_a_tiny_max_size_says_so_at_the_first_put) {
    const char *name = unique_name();
    struct shmkv_options opts = {.size = sizeof opts, .max_size = 4096};
    shmkv_t *kv = NULL;
    int err = shmkv_open(name, &opts, &kv);
    if (!err)
        err = shmkv_put(kv, "k", 1, "v", 1);
    ck_assert_err(err, SHMKV_ENOSPC);
    if (kv)
        finish(kv, name);
}
END_TEST

/* --------------------------------------------------------------------- NULL, closed */

START_TEST(test_calls_on_no_handle_are_eclosed) {
    char buf[8];
    uint64_t n;
    ck_assert_err(shmkv_get(NULL, "k", 1, buf, sizeof buf, NULL), SHMKV_ECLOSED);
    ck_assert_err(shmkv_exists(NULL, "k", 1), SHMKV_ECLOSED);
    ck_assert_err(shmkv_put(NULL, "k", 1, "v", 1), SHMKV_ECLOSED);
    ck_assert_err(shmkv_delete(NULL, "k", 1), SHMKV_ECLOSED);
    ck_assert_err(shmkv_count(NULL, &n), SHMKV_ECLOSED);
    ck_assert_err(shmkv_verify(NULL, NULL, NULL, NULL), SHMKV_ECLOSED);
    ck_assert_ok(shmkv_close(NULL));
}
END_TEST

START_TEST(test_count_without_a_place_is_eargument) {
    const char *name = unique_name();
    shmkv_t *kv = open_ok(name, NULL);
    ck_assert_err(shmkv_count(kv, NULL), SHMKV_EARGUMENT);
    finish(kv, name);
}
END_TEST

/* ------------------------------------------------------------------------- closing */

/* proves [LIFE-17] */
START_TEST(test_close_gives_back_descriptors_and_address_space) {
    const char *name = unique_name();
    ck_assert_ok(shmkv_close(open_ok(name, NULL)));
    unsigned descriptors = directory_count("/proc/self/fd");
    for (int i = 0; i < 300; i++) { /* 300 reservations at once would not fit everywhere */
        shmkv_t *kv = open_ok(name, NULL);
        put_text(kv, "k", "v");
        ck_assert_ok(shmkv_close(kv));
    }
    ck_assert_uint_eq(directory_count("/proc/self/fd"), descriptors);
    finish(open_ok(name, NULL), name);
}
END_TEST

START_TEST(test_open_when_it_fails_gives_back_descriptors) {
    const char *path = scratch_path("broken");
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    uint64_t wrong = 99;
    file_patch(path, offsetof(header_t, hash_seed), &wrong, sizeof wrong);
    unsigned descriptors = directory_count("/proc/self/fd");
    for (int mode = SHMKV_SHARED; mode <= SHMKV_READONLY; mode++) {
        shmkv_t *kv;
        struct shmkv_options opts = {.size = sizeof opts, .mode = mode};
        ck_assert_err(shmkv_open(path, &opts, &kv), SHMKV_ECORRUPT);
    }
    ck_assert_uint_eq(directory_count("/proc/self/fd"), descriptors);
    ck_assert_ok(shmkv_unlink(path));
}
END_TEST

START_TEST(test_close_when_a_lock_cannot_be_had_tells_so_and_the_next_opener_finishes) {
    const char *name = unique_name();
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = 100};
    shmkv_t *holder = open_ok(name, NULL), *kv = open_ok(name, &opts);
    put_text(kv, "k", "v");
    put_text(kv, "k", "w"); /* the first cell is in kv's hands, of arena 1 */
    struct context *ctx = context_of(holder);
    struct domain d = arena_domain(segment_of(holder), 1);
    ck_assert_ok(lock_take(ctx, &d));
    ck_assert_err(shmkv_close(kv), SHMKV_ETIMEDOUT);
    lock_release(ctx, &d);
    context_release(ctx);
    ck_assert_whole(holder);
    ck_assert_ok(shmkv_close(open_ok(name, NULL)));
    ck_assert_uint_eq(stats_of(holder).owners_live, 1);
    ck_assert_uint_eq(stats_of(holder).cells_used, 2);
    finish(holder, name);
}
END_TEST

/* ------------------------------------------------------------------------- unlinking */

START_TEST(test_unlink_when_damaged_removes_it_all_the_same) {
    const char *path = scratch_path("broken");
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    uint64_t wrong = 99;
    file_patch(path, offsetof(header_t, incompat), &wrong, sizeof wrong);
    ck_assert_ok(shmkv_unlink(path));
    ck_assert_uint_eq(directory_count(scratch_dir()), 0);
}
END_TEST

/* proves [LIFE-18] */
START_TEST(test_unlink_when_foreign_leaves_it) {
    const char *path = scratch_path("foreign");
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "shmkV is not it", 15), 15);
    close(fd);
    ck_assert_err(shmkv_unlink(path), SHMKV_EFOREIGN);
    ck_assert_int_eq(access(path, F_OK), 0);
    unlink(path);
}
END_TEST

/* ------------------------------------------------------------------------- threads */

static void *open_and_close(void *arg) {
    for (int i = 0; i < 50; i++) {
        shmkv_t *kv;
        if (shmkv_open(arg, NULL, &kv) != SHMKV_OK || shmkv_put(kv, &i, sizeof i, &i, sizeof i) != SHMKV_OK ||
            shmkv_close(kv) != SHMKV_OK)
            return (void *)1;
    }
    return NULL;
}

START_TEST(test_threads_may_open_and_close_at_once) {
    const char *name = unique_name();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, open_and_close, (void *)(uintptr_t)name), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_ptr_null(result);
    }
    shmkv_t *kv = open_ok(name, NULL);
    ck_assert_uint_eq(count_of(kv), 50);
    ck_assert_uint_eq(stats_of(kv).owners_live, 1);
    finish(kv, name);
}
END_TEST

/* A thread that is cancelled does not take a lock with it. proves [LOCK-10] */
static void *put_for_ever(void *arg) {
    shmkv_t *kv = arg;
    for (uint64_t i = 0;; i++) {
        uint64_t key = i % 1000;
        static char value[6000];
        if (shmkv_put(kv, &key, sizeof key, value, i * 31 % sizeof value) != SHMKV_OK)
            return (void *)1;
        pthread_testcancel();
    }
}

START_TEST(test_threads_when_cancelled_leave_the_handle_usable) {
    const char *name = unique_name();
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = 1000};
    shmkv_t *kv = open_ok(name, &opts);
    for (int i = 0; i < 50; i++) {
        pthread_t threads[2];
        for (int t = 0; t < 2; t++)
            ck_assert_int_eq(pthread_create(&threads[t], NULL, put_for_ever, kv), 0);
        put_text(kv, "k", "v");
        for (int t = 0; t < 2; t++)
            pthread_cancel(threads[t]);
        for (int t = 0; t < 2; t++) {
            void *result;
            pthread_join(threads[t], &result);
            ck_assert_ptr_eq(result, PTHREAD_CANCELED);
        }
        for (uint64_t key = 0; key < 200; key++)
            ck_assert_ok(shmkv_put(kv, &key, sizeof key, &key, sizeof key));
    }
    finish(kv, name);
}
END_TEST

static Suite *handle_suite(void) {
    Suite *s = suite_create("handle");
    TCase *tc = case_new(s, "options");
    tcase_add_test(tc, test_open_when_an_option_is_wrong_is_eargument);
    tcase_add_test(tc, test_open_without_a_place_for_the_handle_is_eargument);
    tcase_add_test(tc, test_open_with_options_of_zeros_is_like_open_without);
    tcase_add_test(tc, test_open_with_a_tiny_max_size_says_so_at_the_first_put);
    tc = case_new(s, "no handle");
    tcase_add_test(tc, test_calls_on_no_handle_are_eclosed);
    tcase_add_test(tc, test_count_without_a_place_is_eargument);
    tc = case_new(s, "closing");
    tcase_add_test(tc, test_close_gives_back_descriptors_and_address_space);
    tcase_add_test(tc, test_open_when_it_fails_gives_back_descriptors);
    tcase_add_test(tc, test_close_when_a_lock_cannot_be_had_tells_so_and_the_next_opener_finishes);
    tc = case_new(s, "unlinking");
    tcase_add_test(tc, test_unlink_when_damaged_removes_it_all_the_same);
    tcase_add_test(tc, test_unlink_when_foreign_leaves_it);
    tc = case_new(s, "threads");
    tcase_add_test(tc, test_threads_may_open_and_close_at_once);
    tcase_add_test(tc, test_threads_when_cancelled_leave_the_handle_usable);
    return s;
}

int main(void) { return suite_main(handle_suite()); }
