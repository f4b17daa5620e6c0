/* Which segment a thread is inside of, and when a segment may be unmapped. */
#include <pthread.h>
#include <unistd.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;
static struct gate entered, leave, left;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
    entered = gate_new();
    leave = gate_new();
    left = gate_new();
}

static void tear_down(void) { finish(kv, name); }

START_TEST(test_segment_is_in_use_from_enter_to_leave) {
    struct segment *seg;
    ck_assert(!guard_in_use(segment_of(kv)));
    ck_assert_int_eq(guard_enter(kv, &seg), SHMKV_OK);
    ck_assert_ptr_eq(seg, segment_of(kv));
    ck_assert(guard_in_use(seg));
    guard_leave();
    ck_assert(!guard_in_use(seg));
}
END_TEST

/* As handlers of signals do that interrupt each other. */
START_TEST(test_calls_inside_each_other_are_counted_and_have_an_end) {
    struct segment *seg;
    for (int i = 0; i < MAX_NESTING; i++)
        ck_assert_ok(guard_enter(kv, &seg));
    ck_assert_err(guard_enter(kv, &seg), SHMKV_EDEADLK);
    ck_assert_ptr_null(seg);
    ck_assert_err(shmkv_put(kv, "k", 1, "v", 1), SHMKV_EDEADLK);
    for (int i = 0; i < MAX_NESTING; i++) {
        ck_assert(guard_in_use(segment_of(kv)));
        guard_leave();
    }
    ck_assert(!guard_in_use(segment_of(kv)));
    put_text(kv, "k", "v");
}
END_TEST

static void *stay_inside(void *arg) {
    struct segment *seg;
    ck_assert_ok(guard_enter(kv, &seg));
    gate_open(&entered);
    if (!arg)
        for (;;)
            pause(); /* until cancelled */
    ck_assert(gate_wait(&leave));
    guard_leave();
    gate_open(&left);
    return guard_mine;
}

START_TEST(test_segment_when_another_thread_is_inside_is_in_use) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, stay_inside, kv), 0);
    ck_assert(gate_wait(&entered));
    ck_assert(guard_in_use(segment_of(kv)));
    gate_open(&leave);
    ck_assert(gate_wait(&left));
    ck_assert(!guard_in_use(segment_of(kv)));
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(test_record_when_its_thread_has_ended_is_the_next_threads) {
    void *first, *second;
    pthread_t thread;
    for (void **which = &first; which; which = which == &first ? &second : NULL) {
        gate_open(&leave);
        ck_assert_int_eq(pthread_create(&thread, NULL, stay_inside, kv), 0);
        pthread_join(thread, which);
    }
    ck_assert_ptr_eq(first, second);
    ck_assert_ptr_ne(first, guard_mine);
}
END_TEST

START_TEST(test_segment_when_a_thread_was_cancelled_inside_is_free) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, stay_inside, NULL), 0);
    ck_assert(gate_wait(&entered));
    ck_assert_int_eq(pthread_cancel(thread), 0);
    pthread_join(thread, NULL);
    ck_assert(!guard_in_use(segment_of(kv)));
}
END_TEST

static void expect_only_this_thread(void *arg) {
    struct segment *seg;
    (void)arg;
    ck_assert(!guard_in_use(segment_of(kv)));
    ck_assert_ok(guard_enter(kv, &seg));
    ck_assert(guard_in_use(seg));
    guard_leave();
}

START_TEST(test_child_forgets_what_other_threads_were_doing) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, stay_inside, kv), 0);
    ck_assert(gate_wait(&entered));
    ck_assert(child_succeeded(child_start(expect_only_this_thread, NULL)));
    ck_assert(guard_in_use(segment_of(kv)));
    gate_open(&leave);
    pthread_join(thread, NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("guard");
    TCase *tc = case_new(s, "one thread");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_segment_is_in_use_from_enter_to_leave);
    tcase_add_test(tc, test_calls_inside_each_other_are_counted_and_have_an_end);
    tc = case_new(s, "threads");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_segment_when_another_thread_is_inside_is_in_use);
    tcase_add_test(tc, test_record_when_its_thread_has_ended_is_the_next_threads);
    tcase_add_test(tc, test_segment_when_a_thread_was_cancelled_inside_is_free);
    tcase_add_test(tc, test_child_forgets_what_other_threads_were_doing);
    return suite_main(s);
}
