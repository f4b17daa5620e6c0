/* From a name to a place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/checks.h"

static char *repeated(char c, size_t n) {
    char *s = malloc(n + 1);
    memset(s, c, n);
    s[n] = '\0';
    return s;
}

static void expect_path(const char *name, const char *path, const char *dir, bool shared_memory) {
    struct location loc;
    ck_assert_ok(location_find(name, &loc));
    ck_assert_str_eq(loc.path, path);
    ck_assert_str_eq(loc.dir, dir);
    ck_assert_str_eq(loc.entry, strrchr(path, '/') + 1);
    ck_assert_int_eq(loc.shared_memory, shared_memory);
    location_free(&loc);
}

static void expect_refused(const char *name) {
    struct location loc;
    ck_assert_err(location_find(name, &loc), SHMKV_ENAME);
    /* The public calls agree. */
    shmkv_t *kv = (shmkv_t *)&loc;
    ck_assert_err(shmkv_open(name, NULL, &kv), SHMKV_ENAME);
    ck_assert_ptr_null(kv);
    ck_assert_err(shmkv_unlink(name), SHMKV_ENAME);
}

/* ------------------------------------------------------------------ plain names */

START_TEST(test_name_when_plain_is_in_dev_shm) {
    expect_path("sessions", "/dev/shm/sessions", "/dev/shm", true);
    expect_path("a b\tc\xff", "/dev/shm/a b\tc\xff", "/dev/shm", true);
    expect_path("...", "/dev/shm/...", "/dev/shm", true);
    expect_path(".hidden", "/dev/shm/.hidden", "/dev/shm", true);
}
END_TEST

START_TEST(test_name_when_254_bytes_is_taken) {
    char *name = repeated('n', 254);
    struct location loc;
    ck_assert_ok(location_find(name, &loc));
    ck_assert_uint_eq(strlen(loc.entry), 254);
    location_free(&loc);
    free(name);
}
END_TEST

START_TEST(test_name_when_254_bytes_makes_a_segment) {
    char name[255];
    size_t n = (size_t)snprintf(name, sizeof name, "%s-", unique_name());
    memset(name + n, 'n', 254 - n);
    name[254] = '\0';
    shmkv_t *kv = open_ok(name, NULL);
    finish(kv, name);
}
END_TEST

START_TEST(test_name_when_255_bytes_is_refused) {
    char *name = repeated('n', 255);
    expect_refused(name);
    free(name);
}
END_TEST

START_TEST(test_name_when_enormous_is_refused_with_a_short_detail) {
    char *name = repeated('n', 1000000);
    expect_refused(name);
    ck_assert_uint_lt(strlen(shmkv_error_detail()), 512);
    free(name);
}
END_TEST

START_TEST(test_name_when_null_is_refused) { expect_refused(NULL); }
END_TEST

START_TEST(test_name_when_empty_is_refused) { expect_refused(""); }
END_TEST

START_TEST(test_name_when_it_has_a_slash_is_refused) {
    expect_refused("/name");
    expect_refused("a/b");
    expect_refused("a/");
    expect_refused("/");
}
END_TEST

START_TEST(test_name_when_dots_is_refused) {
    expect_refused(".");
    expect_refused("..");
}
END_TEST

START_TEST(test_name_when_it_has_the_private_prefix_is_refused) {
    expect_refused(".shmkv-swap-0123456789abcdef");
    expect_refused(".shmkv-");
}
END_TEST

/* ------------------------------------------------------------------------ paths */

START_TEST(test_path_when_absolute_is_a_file) {
    expect_path("/tmp/x", "/tmp/x", "/tmp", false);
    expect_path("/var/lib/a.b", "/var/lib/a.b", "/var/lib", false);
}
END_TEST

START_TEST(test_path_when_relative_becomes_absolute) {
    ck_assert_int_eq(chdir(scratch_dir()), 0);
    char path[4096], dir[4096];
    snprintf(dir, sizeof dir, "%s/.", scratch_dir());
    snprintf(path, sizeof path, "%s/./x", scratch_dir());
    expect_path("./x", path, dir, false);
    snprintf(dir, sizeof dir, "%s/..", scratch_dir());
    snprintf(path, sizeof path, "%s/../x", scratch_dir());
    expect_path("../x", path, dir, false);
}
END_TEST

START_TEST(test_path_when_it_names_no_file_is_refused) {
    expect_refused("/tmp/");
    expect_refused("./");
    expect_refused("./.");
    expect_refused("./..");
    expect_refused("../..");
    expect_refused("/tmp/..");
}
END_TEST

START_TEST(test_path_when_the_handle_is_open_survives_a_chdir) {
    ck_assert_int_eq(chdir(scratch_dir()), 0);
    shmkv_t *kv = open_ok("./here", NULL);
    put_text(kv, "k", "v");
    ck_assert_int_eq(chdir("/"), 0);
    /* Replaced, the handle has to find the name again. */
    shmkv_t *other = open_mode(scratch_path("here"), SHMKV_EXCLUSIVE);
    put_text(other, "k", "new");
    ck_assert_value(kv, "k", "new");
    ck_assert_ok(shmkv_close(other));
    finish(kv, scratch_path("here"));
}
END_TEST

START_TEST(test_path_when_the_directory_is_missing_is_the_systems_error) {
    shmkv_t *kv;
    int err = shmkv_open(scratch_path("no/such/dir"), NULL, &kv);
    ck_assert_int_gt(err, 0);
    ck_assert_detail("no/such/dir");
}
END_TEST

START_TEST(test_plain_and_path_of_one_object_are_one_segment) {
    const char *name = unique_name();
    shmkv_t *kv = open_ok(name, NULL);
    put_text(kv, "k", "v");
    shmkv_t *by_path = open_mode(shm_path(name), SHMKV_EXISTING);
    ck_assert_value(by_path, "k", "v");
    ck_assert_ok(shmkv_close(by_path));
    finish(kv, name);
}
END_TEST

static Suite *name_suite(void) {
    Suite *s = suite_create("name");
    TCase *tc = case_new(s, "plain names");
    tcase_add_test(tc, test_name_when_plain_is_in_dev_shm);
    tcase_add_test(tc, test_name_when_254_bytes_is_taken);
    tcase_add_test(tc, test_name_when_254_bytes_makes_a_segment);
    tcase_add_test(tc, test_name_when_255_bytes_is_refused);
    tcase_add_test(tc, test_name_when_enormous_is_refused_with_a_short_detail);
    tcase_add_test(tc, test_name_when_null_is_refused);
    tcase_add_test(tc, test_name_when_empty_is_refused);
    tcase_add_test(tc, test_name_when_it_has_a_slash_is_refused);
    tcase_add_test(tc, test_name_when_dots_is_refused);
    tcase_add_test(tc, test_name_when_it_has_the_private_prefix_is_refused);
    tc = case_new(s, "paths");
    tcase_add_test(tc, test_path_when_absolute_is_a_file);
    tcase_add_test(tc, test_path_when_relative_becomes_absolute);
    tcase_add_test(tc, test_path_when_it_names_no_file_is_refused);
    tcase_add_test(tc, test_path_when_the_handle_is_open_survives_a_chdir);
    tcase_add_test(tc, test_path_when_the_directory_is_missing_is_the_systems_error);
    tcase_add_test(tc, test_plain_and_path_of_one_object_are_one_segment);
    return s;
}

int main(void) { return suite_main(name_suite()); }
