/*
 * Waiting for a change: shmkv_wait() and shmkv_watch(). Spec 6.12.
 * That sleepers are woken, also after deaths, is in tests/crash/check_sleepers.c.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/seccomp.h>
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

static struct shmkv_item item_of_key(const char *key) {
    static char buf[64];
    struct shmkv_item item;
    ck_assert_ok(shmkv_get_item(kv, key, strlen(key), buf, sizeof buf, &item));
    return item;
}

/* ---------------------------------------------------------- somebody who waits */

static uint64_t known; /* the version that is there */
static int expected;   /* from the wait */
static unsigned stay;  /* flag of the waiter's handle */

static void wait_for_k(void *arg) {
    (void)arg;
    shmkv_t *h = open_ok(path, &(struct shmkv_options){.size = sizeof(struct shmkv_options),
                                                       .mode = SHMKV_EXISTING,
                                                       .flags = stay});
    ck_assert_err(shmkv_wait(h, "k", 1, known, -1), expected);
    ck_assert_ok(shmkv_close(h));
}

static void watch_anything(void *arg) {
    (void)arg;
    uint64_t position = 0;
    shmkv_t *h = open_mode(path, SHMKV_EXISTING);
    ck_assert_err(shmkv_watch(h, &position, -1), expected);
    ck_assert_ok(shmkv_close(h));
}

static uint64_t *waiters_of_k(void) {
    struct segment *seg = segment_of(kv);
    return &seg->shards[hash_shard(seg, hash_of(kv, "k", 1))].waiters;
}

/* Sleeps, when this returns. */
static pid_t waiter_start(void (*body)(void *), int result) {
    expected = result;
    uint64_t flag = body == wait_for_k ? MAKE(WAITERS_KEY, 1) : MAKE(WAITERS_STORE, 1);
    pid_t pid = child_start(body, NULL);
    while (!(load_acquire_u64(waiters_of_k()) & flag))
        ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
    child_asleep(pid);
    return pid;
}

/* ------------------------------------------------------------------------- basic */

START_TEST(test_wait_when_the_version_is_another_returns_at_once) {
    uint64_t version = item_of_key("k").version;
    ck_assert_ok(shmkv_wait(kv, "k", 1, 0, -1));
    ck_assert_ok(shmkv_wait(kv, "k", 1, version + 2, 0));
    ck_assert_ok(shmkv_wait(kv, "absent", 6, version, -1));
    ck_assert_uint_eq(*waiters_of_k(), 0);
}
END_TEST

START_TEST(test_wait_when_nothing_changes_is_etimedout) {
    uint64_t version = item_of_key("k").version, began = now_ms();
    ck_assert_err(shmkv_wait(kv, "k", 1, version, 0), SHMKV_ETIMEDOUT);
    ck_assert_uint_eq(*waiters_of_k(), 0);
    ck_assert_err(shmkv_wait(kv, "k", 1, version, 30), SHMKV_ETIMEDOUT);
    ck_assert_detail("nothing has changed");
    ck_assert_err(shmkv_wait(kv, "absent", 6, 0, 30), SHMKV_ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - began, 60);
}
END_TEST

START_TEST(test_wait_when_the_call_is_wrong_says_so) {
    ck_assert_err(shmkv_wait(kv, "", 0, 0, 0), SHMKV_EKEY);
    ck_assert_err(shmkv_wait(kv, NULL, 1, 0, 0), SHMKV_EKEY);
    ck_assert_err(shmkv_wait(NULL, "k", 1, 0, 0), SHMKV_ECLOSED);
    ck_assert_err(shmkv_watch(kv, NULL, 0), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_watch(NULL, &(uint64_t){0}, 0), SHMKV_ECLOSED);
}
END_TEST

START_TEST(test_wait_of_a_reader_looks_and_does_not_sleep) {
    shmkv_t *reader = open_mode(path, SHMKV_READONLY);
    uint64_t version = item_of_key("k").version, position = 0;
    ck_assert_ok(shmkv_wait(reader, "k", 1, 0, 0));
    ck_assert_err(shmkv_wait(reader, "k", 1, version, 0), SHMKV_ETIMEDOUT);
    ck_assert_err(shmkv_wait(reader, "k", 1, version, 10), SHMKV_EREADONLY);
    ck_assert_err(shmkv_watch(reader, &position, 0), SHMKV_ETIMEDOUT);
    ck_assert_err(shmkv_watch(reader, &position, 10), SHMKV_EREADONLY);
    put_text(kv, "k", "w");
    ck_assert_ok(shmkv_watch(reader, &position, 10));
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

/* ----------------------------------------------------------------------- changes */

static void change_put(void) { put_text(kv, "k", "w"); }
static void change_delete(void) { ck_assert_ok(shmkv_delete(kv, "k", 1)); }
static void change_take(void) {
    char buf[8];
    struct shmkv_item item;
    ck_assert_ok(shmkv_take(kv, "k", 1, buf, sizeof buf, &item));
}
static void change_replace(void) {
    ck_assert_ok(shmkv_replace(kv, "k", 1, &(struct shmkv_item){.data = "v", .len = 1}, NULL));
}

/* proves [WAIT-01] */
START_TEST(test_wait_ends_with_each_kind_of_change) {
    static void (*const changes[])(void) = {change_put, change_delete, change_take, change_replace};
    known = item_of_key("k").version;
    pid_t waiter = waiter_start(wait_for_k, SHMKV_OK);
    changes[_i]();
    ck_assert(child_succeeded(waiter));
    ck_assert_uint_eq(*waiters_of_k(), 0);
}
END_TEST

START_TEST(test_wait_for_an_absent_key_ends_when_it_comes) {
    ck_assert_ok(shmkv_delete(kv, "k", 1));
    known = 0;
    pid_t waiter = waiter_start(wait_for_k, SHMKV_OK);
    ck_assert_ok(shmkv_add(kv, "k", 1, &(struct shmkv_item){.data = "v", .len = 1}, NULL));
    ck_assert(child_succeeded(waiter));
}
END_TEST

START_TEST(test_wait_goes_on_while_other_keys_of_the_shard_change) {
    known = item_of_key("k").version;
    pid_t waiter = waiter_start(wait_for_k, SHMKV_OK);
    struct key_search same =
        search_shard(kv, hash_shard(segment_of(kv), hash_of(kv, "k", 1)), "other");
    for (int i = 0; i < 20; i++) {
        char key[KEY_TEXT_SIZE];
        key_find(&same, key);
        put_text(kv, key, "v");
        while (!load_acquire_u64(waiters_of_k())) /* it has looked, and sleeps again */
            ck_assert_int_eq(waitpid(waiter, NULL, WNOHANG), 0);
    }
    put_text(kv, "k", "w");
    ck_assert(child_succeeded(waiter));
}
END_TEST

START_TEST(test_waiters_are_all_woken) {
    known = item_of_key("k").version;
    pid_t waiters[8];
    for (int i = 0; i < 8; i++)
        waiters[i] = waiter_start(wait_for_k, SHMKV_OK);
    put_text(kv, "k", "w");
    for (int i = 0; i < 8; i++)
        ck_assert(child_succeeded(waiters[i]));
}
END_TEST

/* proves [WAIT-05] */
START_TEST(test_wait_ends_when_the_entry_expires) {
    struct shmkv_item item = {.data = "v", .len = 1, .expires_ns = wall_ns() + 60000000u};
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &item));
    ck_assert_ok(shmkv_wait(kv, "k", 1, item_of_key("k").version, -1));
    ck_assert_uint_ge(wall_ns(), item.expires_ns);
    ck_assert_value(kv, "k", NULL);
}
END_TEST

static struct gate bound;

static void put_bound(void *arg) {
    shmkv_t *h = open_ok(path, NULL);
    ck_assert_ok(shmkv_put_item(h, "k", 1,
                                &(struct shmkv_item){.data = "v", .len = 1, .flags = SHMKV_BOUND}));
    gate_open(&bound);
    if (arg)
        gate_wait(arg);
    else
        pause();
    ck_assert_ok(shmkv_close(h));
}

START_TEST(test_wait_ends_when_the_entrys_owner_is_killed) {
    bound = gate_new();
    pid_t owner = child_start(put_bound, NULL);
    ck_assert(gate_wait(&bound));
    known = item_of_key("k").version;
    pid_t waiter = waiter_start(wait_for_k, SHMKV_OK);
    ck_assert(child_kill(owner));
    ck_assert(child_succeeded(waiter));
    ck_assert_value(kv, "k", NULL);
}
END_TEST

START_TEST(test_wait_ends_when_the_entrys_owner_closes) {
    bound = gate_new();
    struct gate enough = gate_new();
    pid_t owner = child_start(put_bound, &enough);
    ck_assert(gate_wait(&bound));
    known = item_of_key("k").version;
    pid_t waiter = waiter_start(wait_for_k, SHMKV_OK);
    gate_open(&enough);
    ck_assert(child_succeeded(owner));
    ck_assert(child_succeeded(waiter));
}
END_TEST

/* Each is the other's waiter. Were the wake-ups lost, each round would take the two
 * seconds of both's second looks. */
#define ROUNDS 200

static void answer_all(void *arg) {
    (void)arg;
    shmkv_t *h = open_ok(path, NULL);
    uint64_t version = 0;
    char buf[8];
    for (int i = 0; i < ROUNDS; i++) {
        struct shmkv_item item;
        ck_assert_ok(shmkv_wait(h, "question", 8, version, -1));
        ck_assert_ok(shmkv_get_item(h, "question", 8, buf, sizeof buf, &item));
        version = item.version;
        put_text(h, "answer", "a");
    }
    ck_assert_ok(shmkv_close(h));
}

START_TEST(test_two_that_wait_for_each_other_go_on_without_delay) {
    uint64_t began = now_ms();
    pid_t other = child_start(answer_all, NULL);
    uint64_t version = 0;
    for (int i = 0; i < ROUNDS; i++) {
        put_text(kv, "question", "q");
        ck_assert_ok(shmkv_wait(kv, "answer", 6, version, -1));
        version = item_of_key("answer").version;
    }
    ck_assert(child_succeeded(other));
    printf("%d rounds in %llu ms\n", ROUNDS, (unsigned long long)(now_ms() - began));
    ck_assert_uint_lt(now_ms() - began, ROUNDS * 100);
}
END_TEST

/* ------------------------------------------------------------------- interruptions */

static void on_signal(int signal) { (void)signal; }

static void wait_with_handler(void *arg) {
    /* The futex does not go on by itself, even if asked to. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    (*(void (**)(void *))arg)(NULL);
}

START_TEST(test_wait_when_a_signal_handler_runs_is_eintr) {
    static void (*const bodies[])(void *) = {wait_for_k, watch_anything};
    void (*body)(void *) = bodies[_i];
    known = item_of_key("k").version;
    expected = EINTR;
    pid_t waiter = child_start(wait_with_handler, &body);
    while (!load_acquire_u64(waiters_of_k()))
        ck_assert_int_eq(waitpid(waiter, NULL, WNOHANG), 0);
    child_asleep(waiter);
    ck_assert_int_eq(kill(waiter, SIGUSR1), 0);
    ck_assert(child_succeeded(waiter));
}
END_TEST

START_TEST(test_wait_that_cannot_have_the_lock_is_no_longer_than_it_was_to_be) {
    struct segment *seg = segment_of(kv);
    shmkv_t *other = open_ok(path, NULL);
    uint64_t version = item_of_key("k").version, began = now_ms(), position = 0;
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(seg, hash_shard(seg, hash_of(kv, "k", 1)));
    ck_assert_ok(lock_take(ctx, &d));
    ck_assert_err(shmkv_wait(other, "k", 1, version, 50), SHMKV_ETIMEDOUT);
    ck_assert_detail("is held by");
    ck_assert_err(shmkv_watch(other, &position, 50), SHMKV_ETIMEDOUT);
    ck_assert_uint_lt(now_ms() - began, 4000);      /* the lock timeout is 5 s */
    ck_assert_ok(shmkv_wait(other, "k", 1, 0, -1)); /* no lock to look */
    lock_release(ctx, &d);
    context_release(ctx);
    ck_assert_ok(shmkv_close(other));
}
END_TEST

START_TEST(test_wait_when_the_segment_is_replaced_looks_at_the_new_one) {
    known = item_of_key("k").version;
    pid_t waiter = waiter_start(wait_for_k, SHMKV_OK); /* it is absent there */
    ck_assert_ok(shmkv_close(open_mode(path, SHMKV_EXCLUSIVE)));
    ck_assert(child_succeeded(waiter));
}
END_TEST

START_TEST(test_wait_when_the_segment_is_replaced_goes_on_in_the_new_one) {
    ck_assert_ok(shmkv_delete(kv, "k", 1));
    known = 0;
    pid_t waiter = waiter_start(wait_for_k, SHMKV_OK);
    ck_assert_ok(shmkv_close(open_mode(path, SHMKV_EXCLUSIVE)));
    ck_assert_uint_eq(count_of(kv), 0); /* follows */
    while (!load_acquire_u64(waiters_of_k()))
        ck_assert_int_eq(waitpid(waiter, NULL, WNOHANG), 0);
    put_text(kv, "k", "v");
    ck_assert(child_succeeded(waiter));
}
END_TEST

START_TEST(test_wait_when_the_segment_is_replaced_and_the_handle_stays_is_estale) {
    stay = SHMKV_STAY;
    known = item_of_key("k").version;
    pid_t waiter = waiter_start(wait_for_k, SHMKV_ESTALE);
    ck_assert_ok(shmkv_close(open_mode(path, SHMKV_EXCLUSIVE)));
    ck_assert(child_succeeded(waiter));
}
END_TEST

START_TEST(test_wait_when_the_segment_freezes_is_efrozen) {
    known = item_of_key("k").version;
    pid_t waiter = waiter_start(wait_for_k, SHMKV_EFROZEN),
          watcher = waiter_start(watch_anything, SHMKV_EFROZEN);
    ck_assert_ok(shmkv_freeze(kv));
    ck_assert(child_succeeded(waiter));
    /* It is told of the alarm, or that there will be no other. */
    int status = child_wait(watcher);
    ck_assert(WIFEXITED(status));
    ck_assert_err(shmkv_wait(kv, "k", 1, known, 1000), SHMKV_EFROZEN);
    ck_assert_ok(shmkv_wait(kv, "k", 1, 0, 1000));
}
END_TEST

/* ------------------------------------------------------------------------ watch */

/* proves [WAIT-04] */
START_TEST(test_watch_ends_with_a_change_of_any_shard) {
    for (uint32_t i = 0; i < SHMKV_DEFAULT_SHARDS; i += 9) {
        char key[KEY_TEXT_SIZE];
        struct key_search of_shard = search_shard(kv, i, "shard");
        key_find(&of_shard, key);
        pid_t watcher = waiter_start(watch_anything, SHMKV_OK);
        put_text(kv, key, "v");
        ck_assert(child_succeeded(watcher));
    }
}
END_TEST

START_TEST(test_watch_knows_what_has_changed_since_its_last_call) {
    uint64_t position = 0, other = 0;
    ck_assert_err(shmkv_watch(kv, &position, 0), SHMKV_ETIMEDOUT);
    ck_assert_uint_ne(position, 0);
    ck_assert_err(shmkv_watch(kv, &position, 20), SHMKV_ETIMEDOUT);
    ck_assert_err(shmkv_watch(kv, &other, 20), SHMKV_ETIMEDOUT);
    ck_assert_uint_eq(other, position);
    put_text(kv, "k", "w");
    put_text(kv, "l", "w");
    ck_assert_ok(shmkv_watch(kv, &position, 0));
    ck_assert_ok(shmkv_watch(kv, &other, -1));
    /* What the alarm counted is in it, too. */
    ck_assert_err(shmkv_watch(kv, &position, 20), SHMKV_ETIMEDOUT);
}
END_TEST

START_TEST(test_watch_when_the_segment_is_replaced_has_seen_a_change) {
    uint64_t position = 0;
    ck_assert_err(shmkv_watch(kv, &position, 0), SHMKV_ETIMEDOUT);
    pid_t watcher = waiter_start(watch_anything, SHMKV_OK);
    ck_assert_ok(shmkv_close(open_mode(path, SHMKV_EXCLUSIVE)));
    ck_assert(child_succeeded(watcher));
    ck_assert_ok(shmkv_watch(kv, &position, 0));
}
END_TEST

static void put_many_times(void *arg) {
    shmkv_t *h = open_ok(path, NULL);
    for (int i = 0; i < 300; i++) {
        char key[KEY_TEXT_SIZE];
        snprintf(key, sizeof key, "%s-%d", (const char *)arg, i % 100);
        put_text(h, key, "v");
        while (i % 10 == 0 &&
               !load_acquire_u64(&segment_of(h)->shards[i % SHMKV_DEFAULT_SHARDS].waiters))
            sched_yield(); /* the watcher is back in its bed, or on the way there */
    }
    put_text(h, arg, "done");
    ck_assert_ok(shmkv_close(h));
}

START_TEST(test_watcher_of_several_writers_does_not_miss_the_last) {
    uint64_t position = 0;
    char buf[8];
    size_t len;
    ck_assert_err(shmkv_watch(kv, &position, 0), SHMKV_ETIMEDOUT);
    pid_t a = child_start(put_many_times, "a"), b = child_start(put_many_times, "b");
    while (shmkv_get(kv, "a", 1, buf, sizeof buf, &len) != SHMKV_OK ||
           shmkv_get(kv, "b", 1, buf, sizeof buf, &len) != SHMKV_OK)
        ck_assert_ok(shmkv_watch(kv, &position, 20000));
    ck_assert(child_succeeded(a));
    ck_assert(child_succeeded(b));
}
END_TEST

/* ---------------------------------------------------------------------- nobody waits */

/* In strict mode a process is killed at its first system call other than read, write
 * and exit. */
static void write_without_system_calls(void *arg) {
    shmkv_t *h = open_ok(path, NULL);
    put_text(h, "k", "v"); /* what is to be had from the system, is had */
    put_text(h, "other", "v");
    ck_assert_ok(shmkv_delete(h, "other", 5));
    if (arg)
        *waiters_of_k() = MAKE(WAITERS_KEY, 1);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), 0);
    int err = 0;
    for (int i = 0; i < 100; i++) {
        err |= shmkv_put(h, "k", 1, "w", 1);
        err |= shmkv_put(h, "other", 5, "w", 1);
        err |= shmkv_delete(h, "other", 5);
    }
    syscall(SYS_exit, err ? 1 : 0);
}

START_TEST(test_write_when_nobody_waits_makes_no_system_call) {
#if defined(__SANITIZE_THREAD__)
    printf("not checked: the sanitizer makes system calls, and has a thread that outlives the "
           "killed one\n");
    return;
#endif
    ck_assert(child_succeeded(child_start(write_without_system_calls, NULL)));
    /* And the method shows it where somebody does. */
    int status = child_wait(child_start(write_without_system_calls, kv));
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
END_TEST

static Suite *wait_suite(void) {
    Suite *s = suite_create("wait");
    TCase *tc = case_new(s, "basic");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_wait_when_the_version_is_another_returns_at_once);
    tcase_add_test(tc, test_wait_when_nothing_changes_is_etimedout);
    tcase_add_test(tc, test_wait_when_the_call_is_wrong_says_so);
    tcase_add_test(tc, test_wait_of_a_reader_looks_and_does_not_sleep);
    tc = case_new(s, "changes");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_wait_ends_with_each_kind_of_change, 0, 4);
    tcase_add_test(tc, test_wait_for_an_absent_key_ends_when_it_comes);
    tcase_add_test(tc, test_wait_goes_on_while_other_keys_of_the_shard_change);
    tcase_add_test(tc, test_waiters_are_all_woken);
    tcase_add_test(tc, test_wait_ends_when_the_entry_expires);
    tcase_add_test(tc, test_wait_ends_when_the_entrys_owner_is_killed);
    tcase_add_test(tc, test_wait_ends_when_the_entrys_owner_closes);
    tcase_add_test(tc, test_two_that_wait_for_each_other_go_on_without_delay);
    tc = case_new(s, "interruptions");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_wait_when_a_signal_handler_runs_is_eintr, 0, 2);
    tcase_add_test(tc, test_wait_that_cannot_have_the_lock_is_no_longer_than_it_was_to_be);
    tcase_add_test(tc, test_wait_when_the_segment_is_replaced_looks_at_the_new_one);
    tcase_add_test(tc, test_wait_when_the_segment_is_replaced_goes_on_in_the_new_one);
    tcase_add_test(tc, test_wait_when_the_segment_is_replaced_and_the_handle_stays_is_estale);
    tcase_add_test(tc, test_wait_when_the_segment_freezes_is_efrozen);
    tc = case_new(s, "watch");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_watch_ends_with_a_change_of_any_shard);
    tcase_add_test(tc, test_watch_knows_what_has_changed_since_its_last_call);
    tcase_add_test(tc, test_watch_when_the_segment_is_replaced_has_seen_a_change);
    tcase_add_test(tc, test_watcher_of_several_writers_does_not_miss_the_last);
    tc = case_new(s, "nobody waits");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_write_when_nobody_waits_makes_no_system_call);
    return s;
}

int main(void) { return suite_main(wait_suite()); }
