/*
 * Between an EXCLUSIVE's look at the name and its exchange, and right after it, others unlink
 * the name and take it again: unlinking waits for no lock. They do so at fault points, in the
 * replacer's own process, and so at exactly that moment. Spec 5.5, step 8.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/checks.h"

static const char *path;
static const struct event {
    const char *point;
    void (*happens)(void);
} * events; /* in order, up to one without a point */

void shmkv_fault_point(const char *name) {
    if (!events || !events->point || strcmp(name, events->point) != 0)
        return;
    const struct event *now = events++;
    const struct event *rest = events;
    events = NULL; /* what happens has fault points of its own */
    now->happens();
    events = rest;
}

static shmkv_t *old, *newer; /* attached to what had the name first, and then */

static void set_up(void) {
    path = scratch_path("seg");
    old = open_ok(path, NULL);
    put_text(old, "k", "old");
    newer = NULL;
}

static void unlink_it(void) { ck_assert_ok(shmkv_unlink(path)); }

static void take_it(void) {
    newer = open_ok(path, NULL);
    put_text(newer, "k", "newer");
}

static void unlink_and_take(void) {
    unlink_it();
    take_it();
}

static void lay_something_foreign(void) {
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "not a segment", 13), 13);
    close(fd);
}

static void unlink_and_lay(void) {
    unlink_it();
    lay_something_foreign();
}

static int replace_while(const struct event *what, shmkv_t **kv) {
    struct shmkv_options opts = {.size = sizeof opts, .mode = SHMKV_EXCLUSIVE};
    events = what;
    int err = shmkv_open(path, &opts, kv);
    ck_assert_msg(events->point == NULL, "%s was not reached", events->point);
    events = NULL;
    return err;
}

static void expect_objects(unsigned n) { ck_assert_uint_eq(directory_count(scratch_dir()), n); }

/* Where the last failure says that it is. */
static const char *place_told(void) {
    static char told[500];
    const char *begin = strstr(shmkv_error_detail(), " and is ");
    ck_assert_ptr_nonnull(begin);
    snprintf(told, sizeof told, "%s", begin + strlen(" and is "));
    ck_assert_ptr_nonnull(strstr(told, " now"));
    *strstr(told, " now") = '\0';
    return told;
}

static void expect_foreign_at(const char *where) {
    struct stat st;
    ck_assert_int_eq(stat(where, &st), 0);
    ck_assert_int_eq(st.st_size, 13);
}

/* The segment that got the name in between is replaced; whoever is attached to it moves. */
START_TEST(test_segment_that_got_the_name_in_between_is_replaced) {
    static const struct event what[] = {{"replace-before-exchange", unlink_and_take}, {NULL, NULL}};
    shmkv_t *kv;
    ck_assert_ok(replace_while(what, &kv));
    expect_objects(1);
    ck_assert_uint_eq(count_of(kv), 0);
    put_text(kv, "k", "newest");
    ck_assert_value(newer, "k", "newest");
    put_text(newer, "k", "again");
    ck_assert_value(kv, "k", "again");
    ck_assert_value(old, "k", "old"); /* unlinked, and its users keep it */
    put_text(old, "k", "still");
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(old));
    ck_assert_ok(shmkv_close(newer));
    finish(kv, path);
}
END_TEST

/* And when the name is lost again at once, the replacement has been unlinked like any other,
 * and what it replaced stays replaced. */
START_TEST(test_segment_that_got_the_name_in_between_when_all_is_unlinked_stays_replaced) {
    static const struct event what[] = {{"replace-before-exchange", unlink_and_take},
                                        {"replace-after-exchange", unlink_it},
                                        {NULL, NULL}};
    shmkv_t *kv;
    ck_assert_ok(replace_while(what, &kv));
    expect_objects(0);
    put_text(kv, "k", "mine");
    ck_assert_err(shmkv_exists(newer, "k", 1), SHMKV_ENOSEGMENT);
    ck_assert_ok(shmkv_close(old));
    ck_assert_ok(shmkv_close(newer));
    ck_assert_ok(shmkv_close(kv));
}
END_TEST

static shmkv_t *first;

static void unlink_and_take_again(void) {
    first = newer;
    unlink_and_take();
}

/* The newest has the name, and is nobody's to take away. */
START_TEST(test_segment_that_got_the_name_after_the_exchange_keeps_it) {
    static const struct event what[] = {{"replace-before-exchange", unlink_and_take},
                                        {"replace-after-exchange", unlink_and_take_again},
                                        {NULL, NULL}};
    shmkv_t *kv;
    ck_assert_ok(replace_while(what, &kv));
    expect_objects(1);
    shmkv_t *by_name = open_mode(path, SHMKV_EXISTING);
    ck_assert_value(by_name, "k", "newer");
    put_text(by_name, "k", "v");
    ck_assert_value(newer, "k", "v");
    ck_assert_value(first, "k", "v"); /* it was replaced, and follows the name */
    put_text(kv, "k", "mine");        /* unlinked, and ours */
    ck_assert_value(newer, "k", "v");
    ck_assert_ok(shmkv_close(old));
    ck_assert_ok(shmkv_close(first));
    ck_assert_ok(shmkv_close(newer));
    ck_assert_ok(shmkv_close(kv));
    finish(by_name, path);
}
END_TEST

static struct gate held;

static void hold_a_lock(void *arg) {
    (void)arg;
    shmkv_t *kv = open_ok(path, NULL);
    struct domain d = shard_domain(segment_of(kv), 5);
    ck_assert_ok(lock_take(context_of(kv), &d));
    gate_open(&held);
    for (;;)
        pause();
}

static pid_t holder;

static void take_and_lock(void) {
    unlink_and_take();
    held = gate_new();
    holder = child_start(hold_a_lock, NULL);
    ck_assert(gate_wait(&held));
}

/* Its locks cannot be had: it is replaced all the same, and removed by the next who sweeps. */
START_TEST(test_segment_that_got_the_name_in_between_when_it_is_locked_is_left_to_the_next) {
    static const struct event what[] = {{"replace-before-exchange", take_and_lock}, {NULL, NULL}};
    struct shmkv_options opts = {
        .size = sizeof opts, .mode = SHMKV_EXCLUSIVE, .lock_timeout_ms = 100};
    shmkv_t *kv;
    events = what;
    ck_assert_ok(shmkv_open(path, &opts, &kv));
    put_text(kv, "k", "newest");
    ck_assert_value(newer, "k", "newest");
    expect_objects(2);
    ck_assert(child_kill(holder));
    ck_assert_ok(shmkv_close(open_mode(path, SHMKV_EXCLUSIVE)));
    expect_objects(1);
    ck_assert_ok(shmkv_close(old));
    ck_assert_ok(shmkv_close(newer));
    finish(kv, path);
}
END_TEST

/* What is not a segment goes back, and EXCLUSIVE fails as it would have before. */
START_TEST(test_foreign_object_that_got_the_name_in_between_gets_it_back) {
    static const struct event what[] = {{"replace-before-exchange", unlink_and_lay}, {NULL, NULL}};
    shmkv_t *kv;
    ck_assert_err(replace_while(what, &kv), SHMKV_EFOREIGN);
    expect_objects(1);
    expect_foreign_at(path);
    ck_assert_value(old, "k", "old");
    ck_assert_ok(shmkv_close(old));
    unlink(path);
}
END_TEST

/* Also if the new segment was unlinked meanwhile. */
START_TEST(test_foreign_object_that_got_the_name_in_between_when_it_is_free_gets_it_back) {
    static const struct event what[] = {{"replace-before-exchange", unlink_and_lay},
                                        {"replace-after-exchange", unlink_it},
                                        {NULL, NULL}};
    shmkv_t *kv;
    ck_assert_err(replace_while(what, &kv), SHMKV_EFOREIGN);
    expect_objects(1);
    expect_foreign_at(path);
    ck_assert_ok(shmkv_close(old));
    unlink(path);
}
END_TEST

/* But not from what is newer. It stays where it is, and the text says where. */
START_TEST(test_foreign_object_that_got_the_name_in_between_when_it_is_taken_is_told_of) {
    static const struct event what[] = {{"replace-before-exchange", unlink_and_lay},
                                        {"replace-after-exchange", unlink_and_take},
                                        {NULL, NULL}};
    shmkv_t *kv;
    ck_assert_err(replace_while(what, &kv), EEXIST);
    const char *told = place_told();
    expect_foreign_at(told);
    expect_objects(2);
    shmkv_t *by_name = open_mode(path, SHMKV_EXISTING);
    ck_assert_value(by_name, "k", "newer");
    put_text(newer, "k", "v");
    ck_assert_value(by_name, "k", "v");
    ck_assert_ok(shmkv_close(old));
    ck_assert_ok(shmkv_close(newer));
    finish(by_name, path);
    expect_objects(1); /* no sweep removes what is not a segment */
    unlink(told);
}
END_TEST

static Suite *displaced_suite(void) {
    Suite *s = suite_create("displaced");
    TCase *tc = case_new(s, "segments");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_segment_that_got_the_name_in_between_is_replaced);
    tcase_add_test(tc,
                   test_segment_that_got_the_name_in_between_when_all_is_unlinked_stays_replaced);
    tcase_add_test(tc, test_segment_that_got_the_name_after_the_exchange_keeps_it);
    tcase_add_test(tc,
                   test_segment_that_got_the_name_in_between_when_it_is_locked_is_left_to_the_next);
    tc = case_new(s, "foreign objects");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_foreign_object_that_got_the_name_in_between_gets_it_back);
    tcase_add_test(tc,
                   test_foreign_object_that_got_the_name_in_between_when_it_is_free_gets_it_back);
    tcase_add_test(tc,
                   test_foreign_object_that_got_the_name_in_between_when_it_is_taken_is_told_of);
    return s;
}

int main(void) { return suite_main(displaced_suite()); }
