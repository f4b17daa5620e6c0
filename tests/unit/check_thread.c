/* The lock among threads of one process, and protection from cancellation. */
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define THREADS 4
#define ROUNDS 20000

static struct thread_lock lock;
static unsigned long inside, total;

static void *add(void *arg) {
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_ok(thread_lock(&lock));
        ck_assert_uint_eq(inside++, 0);
        total++;
        inside--;
        thread_unlock(&lock);
    }
    return NULL;
}

START_TEST(test_lock_when_threads_contend_excludes) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(total, THREADS * ROUNDS);
}
END_TEST

START_TEST(test_lock_when_this_thread_has_it_is_edeadlk_and_stays_held) {
    ck_assert_ok(thread_lock(&lock));
    ck_assert_err(thread_lock(&lock), SHMKV_EDEADLK);
    ck_assert_int_eq(lock.holder, syscall(SYS_gettid));
    thread_unlock(&lock);
    ck_assert_ok(thread_lock(&lock));
    thread_unlock(&lock);
}
END_TEST

static void *lock_and_end(void *arg) {
    (void)arg;
    ck_assert_ok(thread_lock(&lock));
    return NULL;
}

/* As in a forked child, where the holder may be a thread that only the parent has. */
START_TEST(test_lock_when_its_holder_is_no_thread_of_ours_is_taken_over) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, lock_and_end, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_int_ne(lock.holder, 0);
    ck_assert_ok(thread_lock(&lock));
    ck_assert_int_eq(lock.holder, syscall(SYS_gettid));
    thread_unlock(&lock);
}
END_TEST

START_TEST(test_cancellation_when_restored_is_as_it_was) { /* proves [LOCK-10] */
    int state, inner, outer = cancel_off();
    ck_assert_int_eq(outer, PTHREAD_CANCEL_ENABLE);
    inner = cancel_off();
    ck_assert_int_eq(inner, PTHREAD_CANCEL_DISABLE);
    cancel_restore(inner);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    ck_assert_int_eq(state, PTHREAD_CANCEL_DISABLE);
    cancel_restore(outer);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    ck_assert_int_eq(state, PTHREAD_CANCEL_ENABLE);
}
END_TEST

int main(void) {
    Suite *s = suite_create("thread");
    TCase *tc = case_new(s, "lock");
    tcase_add_test(tc, test_lock_when_threads_contend_excludes);
    tcase_add_test(tc, test_lock_when_this_thread_has_it_is_edeadlk_and_stays_held);
    tcase_add_test(tc, test_lock_when_its_holder_is_no_thread_of_ours_is_taken_over);
    tc = case_new(s, "cancellation");
    tcase_add_test(tc, test_cancellation_when_restored_is_as_it_was);
    return suite_main(s);
}
