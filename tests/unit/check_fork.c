/* What a child forgets of its parent. Spec 4.4, [LOCK-12]. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define HANDLES 3

static const char *names[HANDLES];
static shmkv_t *kvs[HANDLES];
static int parents_fd[HANDLES];

static void set_up(void) {
    for (int i = 0; i < HANDLES; i++) {
        names[i] = unique_name();
        kvs[i] = open_ok(names[i], NULL);
        put_text(kvs[i], "k", "parent");
        parents_fd[i] = segment_of(kvs[i])->lock_fd;
        ck_assert_int_ge(parents_fd[i], 0);
    }
}

static void tear_down(void) {
    for (int i = 0; i < HANDLES; i++)
        finish(kvs[i], names[i]);
}

static void expect_closed(void *arg) {
    (void)arg;
    for (int i = 0; i < HANDLES; i++) {
        ck_assert_int_eq(fcntl(parents_fd[i], F_GETFD), -1);
        ck_assert_int_eq(segment_of(kvs[i])->lock_fd, -1);
        ck_assert_uint_eq(segment_of(kvs[i])->context_count, 0);
        ck_assert_value(kvs[i], "k", "parent"); /* reading needs none of it */
    }
}

START_TEST(test_child_has_no_lock_descriptor_of_the_parents) {
    ck_assert(child_succeeded(child_start(expect_closed, NULL)));
    for (int i = 0; i < HANDLES; i++)
        ck_assert_int_eq(segment_of(kvs[i])->lock_fd, parents_fd[i]);
}
END_TEST

static void write_and_close(void *arg) {
    int which = *(int *)arg;
    put_text(kvs[which], "k", "child");
    ck_assert_int_ge(segment_of(kvs[which])->lock_fd, 0);
    ck_assert_int_eq(segment_of(kvs[(which + 1) % HANDLES])->lock_fd, -1);
    ck_assert_ok(shmkv_close(kvs[which]));
    put_text(kvs[(which + 1) % HANDLES], "k", "child");
}

START_TEST(test_child_when_it_writes_opens_a_descriptor_for_that_handle_alone) {
    for (int i = 0; i < HANDLES; i++)
        ck_assert(child_succeeded(child_start(write_and_close, &i)));
    for (int i = 0; i < HANDLES; i++) {
        ck_assert_value(kvs[i], "k", "child");
        put_text(kvs[i], "k", "parent");
    }
}
END_TEST

static void write_without_descriptors(void *arg) {
    (void)arg;
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}), 0);
    ck_assert_err(shmkv_put(kvs[0], "k", 1, "v", 1), EMFILE);
    ck_assert_detail("owner locks");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_value(kvs[0], "k", "parent");
}

START_TEST(test_child_that_can_open_no_descriptor_may_still_read) {
    ck_assert(child_succeeded(child_start(write_without_descriptors, NULL)));
    ck_assert_value(kvs[0], "k", "parent");
}
END_TEST

static void fork_again(void *arg) {
    put_text(kvs[0], "k", "child");
    int fd = segment_of(kvs[0])->lock_fd;
    ck_assert(
        child_succeeded(child_start(arg ? fork_again : write_and_close, arg ? NULL : &(int){0})));
    ck_assert_int_eq(segment_of(kvs[0])->lock_fd, fd);
    put_text(kvs[0], "k", "child");
}

START_TEST(test_grandchildren_forget_as_well) {
    ck_assert(child_succeeded(child_start(fork_again, kvs)));
}
END_TEST

/* A child made without the C library: no handler of pthread_atfork() runs. */
START_TEST(test_child_of_a_bare_clone_notices_at_its_first_write) {
    long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        int inherited = fcntl(parents_fd[0], F_GETFD) != -1;
        int err = shmkv_put(kvs[0], "k", 1, "clone", 5);
        struct segment *seg = segment_of(kvs[0]);
        int good = inherited && err == SHMKV_OK && seg->contexts[0].slot != 0 &&
                   segment_of(kvs[1])->lock_fd == -1 && fcntl(parents_fd[1], F_GETFD) == -1;
        syscall(SYS_exit_group, good ? 0 : 1);
    }
    ck_assert_int_gt(pid, 0);
    ck_assert(child_succeeded((pid_t)pid));
    ck_assert_value(kvs[0], "k", "clone");
}
END_TEST

/* -------------------------------------------------------------------- with threads */

static atomic_bool enough;

/* Without Check, which has a mutex of its own: a child forked while this thread has it
 * would wait for it for ever. */
static void *open_and_close(void *arg) {
    (void)arg;
    shmkv_t *kv;
    while (!enough)
        if (shmkv_open(names[0], NULL, &kv) != SHMKV_OK || shmkv_close(kv) != SHMKV_OK)
            abort();
    return NULL;
}

static void open_write_close(void *arg) {
    (void)arg;
    shmkv_t *kv = open_ok(names[0], NULL);
    put_text(kv, "k", "child");
    ck_assert_ok(shmkv_close(kv));
}

/* The list of segments is never forked in the middle of a change. */
START_TEST(test_fork_while_another_thread_opens_and_closes_leaves_a_child_that_can) {
#if defined(__SANITIZE_ADDRESS__)
    printf("not checked: the sanitizer's allocator may be locked in the child, for ever\n");
    return;
#endif
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, open_and_close, NULL), 0);
    for (int i = 0; i < 100; i++)
        ck_assert(child_succeeded(child_start(open_write_close, NULL)));
    enough = true;
    pthread_join(thread, NULL);
}
END_TEST

static struct gate registering, go_on;
static pid_t stopped_here; /* this process's pthread_atfork() waits at go_on */

int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *dso);
int pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void));

/* In the place of the C library's, which is in each program for itself. */
int pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
    if (getpid() == stopped_here) {
        gate_open(&registering);
        gate_wait(&go_on);
    }
    return __register_atfork(before, parent, child, NULL);
}

static void *open_once(void *arg) {
    (void)arg;
    shmkv_t *kv;
    if (shmkv_open(names[0], NULL, &kv) != SHMKV_OK || shmkv_close(kv) != SHMKV_OK)
        abort();
    return NULL;
}

/* Its parent's thread is not there to go on. */
START_TEST(test_fork_while_another_thread_prepares_leaves_a_child_that_can) {
    names[0] = unique_name();
    registering = gate_new();
    go_on = gate_new();
    stopped_here = getpid();
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, open_once, NULL), 0);
    ck_assert(gate_wait(&registering));
    pid_t child = child_start(open_write_close, NULL);
    ck_assert(child_succeeded(child));
    gate_open(&go_on);
    pthread_join(thread, NULL);
    ck_assert(child_succeeded(child_start(open_write_close, NULL)));
    ck_assert_ok(shmkv_unlink(names[0]));
}
END_TEST

int main(void) {
    Suite *s = suite_create("fork");
    TCase *tc = case_new(s, "children");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_child_has_no_lock_descriptor_of_the_parents);
    tcase_add_test(tc, test_child_when_it_writes_opens_a_descriptor_for_that_handle_alone);
    tcase_add_test(tc, test_child_that_can_open_no_descriptor_may_still_read);
    tcase_add_test(tc, test_grandchildren_forget_as_well);
    tcase_add_test(tc, test_child_of_a_bare_clone_notices_at_its_first_write);
    tc = case_new(s, "threads");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_fork_while_another_thread_opens_and_closes_leaves_a_child_that_can);
    tc = case_new(s, "preparing");
    tcase_add_test(tc, test_fork_while_another_thread_prepares_leaves_a_child_that_can);
    return suite_main(s);
}
