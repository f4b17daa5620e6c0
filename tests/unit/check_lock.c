/* The lock of a domain: contention, dead and stopped owners, re-entry. Spec 4.2, 4.3. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define SHORT_MS 150
#define WAITERS ((uint32_t)IN_PLACE(LOCK_WAITERS))

static const char *name;
static struct gate ready, go;

static shmkv_t *open_impatient(void) {
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = SHORT_MS};
    return open_ok(name, &opts);
}

static uint32_t lock_word(shmkv_t *kv, const struct domain *d) {
    (void)kv;
    return load_relaxed_u32(d->lock);
}

/* A key of the shard. */
static const char *key_in(shmkv_t *kv, uint32_t shard) {
    static char key[KEY_TEXT_SIZE];
    struct key_search s = search_shard(kv, shard, "key");
    key_find(&s, key);
    return key;
}

static void set_up(void) {
    name = unique_name();
    ready = gate_new();
    go = gate_new();
}

static bool lock_held(const struct context *ctx, const struct domain *d) {
    return (load_relaxed_u32(d->lock) & ~(uint32_t)IN_PLACE(LOCK_WAITERS)) == ctx->lock_word;
}

/* ------------------------------------------------------------------------- basic */

/* proves [LOCK-04] */
START_TEST(test_lock_when_taken_names_slot_and_generation) {
    shmkv_t *kv = open_ok(name, NULL);
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 5);
    ck_assert_uint_eq(lock_word(kv, &d), 0);
    ck_assert_ok(lock_take(ctx, &d));
    uint64_t generation = FIELD(ctx->own->state, OWNER_STATE_GENERATION);
    ck_assert_uint_eq(FIELD(lock_word(kv, &d), LOCK_OWNER), ctx->slot + 1);
    ck_assert_uint_eq(FIELD(lock_word(kv, &d), LOCK_GENERATION),
                      generation & SHMKV_LOCK_GENERATION_MASK);
    ck_assert(lock_held(ctx, &d));
    lock_release(ctx, &d);
    ck_assert_uint_eq(lock_word(kv, &d), 0);
    ck_assert(!lock_held(ctx, &d));
    context_release(ctx);
    finish(kv, name);
}
END_TEST

START_TEST(test_domains_are_shards_arenas_and_the_space_block) {
    shmkv_t *kv = open_ok(name, NULL);
    struct segment *seg = segment_of(kv);
    ck_assert_uint_eq(domain_count(seg), SHMKV_DEFAULT_SHARDS + SHMKV_DEFAULT_ARENAS + 1);
    ck_assert_ptr_eq(domain_at(seg, 3).lock, &seg->shards[3].lock);
    ck_assert_ptr_eq(domain_at(seg, SHMKV_DEFAULT_SHARDS + 2).lock, &seg->arenas[2].lock);
    ck_assert_ptr_eq(domain_at(seg, domain_count(seg) - 1).lock, &seg->space->lock);
    finish(kv, name);
}
END_TEST

START_TEST(test_operations_leave_no_lock_behind) {
    shmkv_t *kv = open_ok(name, NULL);
    for (int i = 0; i < 5000; i++)
        ck_assert_ok(shmkv_put(kv, &i, sizeof i, &i, sizeof i));
    for (uint32_t i = 0; i < domain_count(segment_of(kv)); i++) {
        struct domain d = domain_at(segment_of(kv), i);
        ck_assert_uint_eq(*d.lock, 0);
        ck_assert_uint_eq(*d.intent, 0);
    }
    finish(kv, name);
}
END_TEST

/* -------------------------------------------------------------------- contention */

#define ROUNDS 20000

static struct counters {
    volatile uint64_t under_lock; /* plain: the lock alone makes the sum right */
} * counters;

static void count_under_lock(shmkv_t *kv) {
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 0);
    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_ok(lock_take(ctx, &d));
        counters->under_lock = counters->under_lock + 1;
        lock_release(ctx, &d);
    }
    context_release(ctx);
}

static void count_in_child(void *arg) {
    (void)arg;
    shmkv_t *kv = open_ok(name, NULL);
    gate_open(&ready);
    ck_assert(gate_wait(&go));
    count_under_lock(kv);
    ck_assert_ok(shmkv_close(kv));
}

/* proves [LOCK-01] */
START_TEST(test_lock_when_four_processes_contend_excludes) {
    counters = shared_memory(sizeof *counters);
    shmkv_t *kv = open_ok(name, NULL);
    pid_t pids[4];
    for (int i = 0; i < 4; i++)
        pids[i] = child_start(count_in_child, NULL);
    for (int i = 0; i < 4; i++)
        ck_assert(gate_wait(&ready));
    for (int i = 0; i < 4; i++)
        gate_open(&go);
    for (int i = 0; i < 4; i++)
        ck_assert(child_succeeded(pids[i]));
    ck_assert_uint_eq(counters->under_lock, 4 * ROUNDS);
    finish(kv, name);
}
END_TEST

static void *count_in_thread(void *arg) {
    count_under_lock(arg);
    return NULL;
}

START_TEST(test_lock_when_four_threads_contend_excludes) {
    counters = shared_memory(sizeof *counters);
    shmkv_t *kv = open_ok(name, NULL);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_in_thread, kv), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(counters->under_lock, 4 * ROUNDS);
    finish(kv, name);
}
END_TEST

static void take_shard_7(void *arg) {
    (void)arg;
    shmkv_t *kv = open_ok(name, NULL);
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 7);
    ck_assert_ok(lock_take(ctx, &d));
    lock_release(ctx, &d);
    context_release(ctx);
    ck_assert_ok(shmkv_close(kv));
}

static void await_waiters_bit(struct domain *d) {
    while (!(load_relaxed_u32(d->lock) & WAITERS))
        sched_yield();
}

START_TEST(test_lock_when_released_wakes_the_waiter) {
    shmkv_t *kv = open_ok(name, NULL);
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 7);
    ck_assert_ok(lock_take(ctx, &d));
    pid_t pid = child_start(take_shard_7, NULL);
    await_waiters_bit(&d);
    lock_release(ctx, &d);
    ck_assert(child_succeeded(pid));
    ck_assert_uint_eq(lock_word(kv, &d), 0);
    context_release(ctx);
    finish(kv, name);
}
END_TEST

START_TEST(test_lock_when_a_waiter_is_killed_goes_on_working) {
    shmkv_t *kv = open_ok(name, NULL);
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 7);
    ck_assert_ok(lock_take(ctx, &d));
    pid_t killed = child_start(take_shard_7, NULL), other = child_start(take_shard_7, NULL);
    await_waiters_bit(&d);
    ck_assert(child_kill(killed));
    ck_assert(lock_held(ctx, &d));
    lock_release(ctx, &d);
    ck_assert(child_succeeded(other));
    ck_assert_ok(lock_take(ctx, &d));
    lock_release(ctx, &d);
    context_release(ctx);
    finish(kv, name);
}
END_TEST

/* ------------------------------------------------------------------- owner death */

static void take_and_wait(void *arg) {
    shmkv_t *kv = open_ok(name, NULL);
    struct context *ctx = context_of(kv);
    struct domain d = domain_at(segment_of(kv), (uint32_t)(uintptr_t)arg);
    ck_assert_ok(lock_take(ctx, &d));
    gate_open(&ready);
    gate_wait(&go);
    lock_release(ctx, &d);
    context_release(ctx);
    ck_assert_ok(shmkv_close(kv));
}

static pid_t start_holder(uint32_t domain) {
    pid_t pid = child_start(take_and_wait, (void *)(uintptr_t)domain);
    ck_assert(gate_wait(&ready));
    return pid;
}

/* proves [LOCK-05] [LOCK-06]: nobody wakes us, and the lock is had all the same */
START_TEST(test_lock_when_its_owner_is_killed_is_taken_over) {
    shmkv_t *kv = open_ok(name, NULL);
    uint32_t kinds[] = {7, SHMKV_DEFAULT_SHARDS + 1, SHMKV_DEFAULT_SHARDS + SHMKV_DEFAULT_ARENAS};
    struct domain d = domain_at(segment_of(kv), kinds[_i]);
    pid_t pid = start_holder(kinds[_i]);
    ck_assert_uint_ne(lock_word(kv, &d), 0);
    ck_assert(child_kill(pid));
    struct context *ctx = context_of(kv);
    ck_assert_ok(lock_take(ctx, &d));
    ck_assert(lock_held(ctx, &d));
    lock_release(ctx, &d);
    context_release(ctx);
    finish(kv, name);
}
END_TEST

static void hold_all_shards(void *arg) {
    (void)arg;
    shmkv_t *kv = open_ok(name, NULL);
    ck_assert_ok(shards_lock(context_of(kv)));
    gate_open(&ready);
    gate_wait(&go);
}

/* How often this process has slept. */
static long sleeps(void) {
    struct rusage usage;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_nvcsw;
}

START_TEST(test_locks_when_a_dead_one_held_all_are_taken_over_with_one_sleep) {
    shmkv_t *kv = open_ok(name, NULL);
    pid_t holder = child_start(hold_all_shards, NULL);
    ck_assert(gate_wait(&ready));
    ck_assert(child_kill(holder));
    struct context *ctx = context_of(kv);
    uint32_t shards = segment_of(kv)->shard_count;
    long before = sleeps();
    ck_assert_ok(shards_lock(ctx));
    ck_assert_int_lt(sleeps() - before, shards / 4); /* few, if not one: looking at /proc may sleep too */
    for (uint32_t i = 0; i < shards; i++) {
        struct domain d = shard_domain(segment_of(kv), i);
        ck_assert(lock_held(ctx, &d));
    }
    shards_unlock(ctx, shards);
    context_release(ctx);
    finish(kv, name);
}
END_TEST

/* A generation comes again after 32,768 claims: what was found dead once may be alive. */
START_TEST(test_lock_when_its_owner_is_taken_for_dead_and_lives_is_slept_on) {
    shmkv_t *kv = open_impatient();
    struct domain d = shard_domain(segment_of(kv), 7);
    pid_t holder = start_holder(7);
    struct context *ctx = context_of(kv);
    ctx->found_dead = lock_word(kv, &d);
    long before = sleeps();
    ck_assert_int_eq(lock_take(ctx, &d), SHMKV_ETIMEDOUT);
    ck_assert_int_gt(sleeps() - before, 3);
    ck_assert_uint_eq(ctx->found_dead, 0);
    context_release(ctx);
    gate_open(&go);
    ck_assert(child_succeeded(holder));
    finish(kv, name);
}
END_TEST

static void put_in_shard_7(void *arg) {
    (void)arg;
    shmkv_t *kv = open_ok(name, NULL);
    put_text(kv, key_in(kv, 7), "by a waiter");
    ck_assert_ok(shmkv_close(kv));
}

START_TEST(test_lock_when_its_owner_is_killed_goes_to_each_of_many_waiters) {
    shmkv_t *kv = open_ok(name, NULL);
    struct domain d = shard_domain(segment_of(kv), 7);
    pid_t holder = start_holder(7), waiters[6];
    for (int i = 0; i < 6; i++)
        waiters[i] = child_start(put_in_shard_7, NULL);
    await_waiters_bit(&d);
    ck_assert(child_kill(holder));
    for (int i = 0; i < 6; i++)
        ck_assert(child_succeeded(waiters[i]));
    ck_assert_value(kv, key_in(kv, 7), "by a waiter");
    ck_assert_uint_eq(lock_word(kv, &d), 0);
    finish(kv, name);
}
END_TEST

START_TEST(test_lock_when_its_word_names_no_slot_is_taken_over) {
    shmkv_t *kv = open_impatient();
    struct domain d = shard_domain(segment_of(kv), 7);
    const uint32_t nonsense[] = {0xffff, 513, 0x7fff0200, 0x00010003, WAITERS | 512};
    *d.lock = nonsense[_i];
    put_text(kv, key_in(kv, 7), "v");
    ck_assert_uint_eq(lock_word(kv, &d), 0);
    finish(kv, name);
}
END_TEST

START_TEST(test_lock_when_only_the_waiters_bit_is_left_is_free) {
    shmkv_t *kv = open_impatient();
    struct domain d = shard_domain(segment_of(kv), 7);
    *d.lock = WAITERS;
    put_text(kv, key_in(kv, 7), "v");
    ck_assert_uint_eq(lock_word(kv, &d), 0);
    finish(kv, name);
}
END_TEST

/* proves [LOCK-15]: the slot lives, but in another generation than the word's */
START_TEST(test_lock_when_the_slot_was_claimed_anew_is_taken_over) {
    shmkv_t *kv = open_impatient(), *other = open_ok(name, NULL);
    struct domain d = shard_domain(segment_of(kv), 7);
    struct context *living = context_of(other);
    *d.lock = living->lock_word - (1u << SHMKV_LOCK_GENERATION_SHIFT);
    put_text(kv, key_in(kv, 7), "v");
    context_release(living);
    ck_assert_ok(shmkv_close(other));
    finish(kv, name);
}
END_TEST

/* ------------------------------------------------------------------ stopped owner */

/* proves [LOCK-08] [LOCK-20] [OP-03] */
START_TEST(test_put_when_the_owner_is_stopped_is_etimedout_naming_it) {
    shmkv_t *kv = open_impatient();
    put_text(kv, key_in(kv, 7), "before");
    pid_t pid = start_holder(7);
    ck_assert(child_stop(pid));
    struct domain d = shard_domain(segment_of(kv), 7);
    uint32_t word = lock_word(kv, &d) & ~WAITERS;

    uint64_t began = now_ms();
    ck_assert_err(shmkv_put(kv, key_in(kv, 7), strlen(key_in(kv, 7)), "x", 1), SHMKV_ETIMEDOUT);
    uint64_t took = now_ms() - began;
    char text[64];
    snprintf(text, sizeof text, "process %d (", (int)pid);
    ck_assert_detail(text);
    snprintf(text, sizeof text, "(%.15s)", program_invocation_short_name);
    ck_assert_detail(text);
    ck_assert_detail("stopped");
    ck_assert_uint_ge(took, SHORT_MS);
    ck_assert_uint_lt(took, 20 * SHORT_MS);
    ck_assert_err(shmkv_delete(kv, key_in(kv, 7), strlen(key_in(kv, 7))), SHMKV_ETIMEDOUT);

    /* Not robbed; readers and the other shards notice nothing. */
    ck_assert_uint_eq(lock_word(kv, &d) & ~WAITERS, word);
    ck_assert_value(kv, key_in(kv, 7), "before");
    put_text(kv, key_in(kv, 8), "other shard");
    ck_assert_whole(kv);

    child_continue(pid);
    gate_open(&go);
    ck_assert(child_succeeded(pid));
    put_text(kv, key_in(kv, 7), "after");
    finish(kv, name);
}
END_TEST

START_TEST(test_snapshot_when_an_owner_is_stopped_is_etimedout_and_holds_nothing) {
    shmkv_t *kv = open_impatient();
    pid_t pid = start_holder(7);
    ck_assert(child_stop(pid));
    shmkv_snapshot_t *s;
    ck_assert_err(shmkv_snapshot(kv, &s), SHMKV_ETIMEDOUT);
    ck_assert_ptr_null(s);
    for (uint32_t i = 0; i < SHMKV_DEFAULT_SHARDS; i++)
        if (i != 7)
            ck_assert_uint_eq(segment_of(kv)->shards[i].lock, 0);
    child_continue(pid);
    gate_open(&go);
    ck_assert(child_succeeded(pid));
    finish(kv, name);
}
END_TEST

START_TEST(test_exclusive_when_an_owner_is_stopped_is_etimedout_and_changes_nothing) {
    name = scratch_path("seg");
    shmkv_t *kv = open_ok(name, NULL), *fresh;
    put_text(kv, "k", "v");
    pid_t pid = start_holder(7);
    ck_assert(child_stop(pid));
    struct shmkv_options opts = {
        .size = sizeof opts, .mode = SHMKV_EXCLUSIVE, .lock_timeout_ms = SHORT_MS};
    ck_assert_err(shmkv_open(name, &opts, &fresh), SHMKV_ETIMEDOUT);
    ck_assert_value(kv, "k", "v");
    ck_assert_uint_eq(info_of(kv).state, SHMKV_SEGMENT_STATE_LIVE);
    ck_assert_uint_eq(directory_count(scratch_dir()), 1);
    child_continue(pid);
    gate_open(&go);
    ck_assert(child_succeeded(pid));
    finish(kv, name);
}
END_TEST

/* A lock that changes hands is not a lock of one owner: no time-out. */
static void hog(void *arg) {
    (void)arg;
    shmkv_t *kv = open_ok(name, NULL);
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 7);
    gate_open(&ready);
    for (;;) {
        ck_assert_ok(lock_take(ctx, &d));
        lock_release(ctx, &d);
    }
}

START_TEST(test_lock_when_two_hogs_pass_it_on_is_had_in_the_end) {
    shmkv_t *kv = open_ok(name, NULL);
    pid_t a = child_start(hog, NULL), b = child_start(hog, NULL);
    ck_assert(gate_wait(&ready) && gate_wait(&ready));
    for (int i = 0; i < 20; i++)
        put_text(kv, key_in(kv, 7), "v");
    ck_assert(child_kill(a) && child_kill(b));
    finish(kv, name);
}
END_TEST

/* Nor is it waited for without end: the patience is for the lock, not for one owner of it. */
START_TEST(test_lock_when_others_pass_it_on_for_longer_than_the_patience_is_etimedout) {
    shmkv_t *kv = open_ok(name, NULL);
    pid_t a = child_start(hog, NULL), b = child_start(hog, NULL);
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 7);
    ck_assert(gate_wait(&ready) && gate_wait(&ready));
    ctx->patience_ms = 0;
    int err = SHMKV_OK;
    for (uint64_t end = now_ms() + 30000; !err && now_ms() < end;) {
        err = lock_take(ctx, &d);
        if (!err)
            lock_release(ctx, &d);
    }
    ck_assert_int_eq(err, SHMKV_ETIMEDOUT);
    ck_assert_detail("shard 7 is held by");
    ck_assert_uint_eq(ctx->locks, 0);
    ck_assert(child_kill(a) && child_kill(b));
    ctx->patience_ms = 1000;
    ck_assert_ok(lock_take(ctx, &d)); /* whatever the dead left of it */
    lock_release(ctx, &d);
    context_release(ctx);
    finish(kv, name);
}
END_TEST

/* ---------------------------------------------------------------------- re-entry */

static shmkv_t *handler_kv;
static volatile sig_atomic_t handler_result, handler_read, deadlocks, handled;
static char handler_key[KEY_TEXT_SIZE];

static void put_in_handler(int sig) {
    (void)sig;
    char buf[16];
    handler_read = shmkv_get(handler_kv, handler_key, strlen(handler_key), buf, sizeof buf, NULL);
    handler_result = shmkv_put(handler_kv, handler_key, strlen(handler_key), "handler", 7);
    deadlocks += handler_result == SHMKV_EDEADLK;
    handled++;
}

static void handle_with_puts(int sig) {
    struct sigaction sa = {.sa_handler = put_in_handler, .sa_flags = SA_RESTART};
    ck_assert_int_eq(sigaction(sig, &sa, NULL), 0);
}

/* proves [LOCK-09] */
START_TEST(test_put_in_a_handler_when_the_thread_holds_the_lock_is_edeadlk) {
    shmkv_t *kv = handler_kv = open_ok(name, NULL);
    struct domain d = shard_domain(segment_of(kv), 7);
    strcpy(handler_key, key_in(kv, 7));
    put_text(kv, handler_key, "before");
    handle_with_puts(SIGUSR1);
    struct context *ctx = context_of(kv);
    ck_assert_ok(lock_take(ctx, &d));
    uint64_t began = now_ms();
    raise(SIGUSR1);
    ck_assert_uint_lt(now_ms() - began, 2000);
    ck_assert_int_eq(handler_result, SHMKV_EDEADLK);
    ck_assert_int_eq(handler_read, SHMKV_OK);
    ck_assert(lock_held(ctx, &d));
    lock_release(ctx, &d);
    context_release(ctx);
    raise(SIGUSR1);
    ck_assert_int_eq(handler_result, SHMKV_OK);
    ck_assert_value(kv, handler_key, "handler");
    finish(kv, name);
}
END_TEST

START_TEST(test_puts_when_interrupted_anywhere_by_puts_never_hang_or_tear) {
    shmkv_t *kv = handler_kv = open_ok(name, NULL);
    strcpy(handler_key, key_in(kv, 7));
    handle_with_puts(SIGALRM);
    struct itimerval timer = {{0, 100}, {0, 100}};
    ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
    uint64_t until = now_ms() + 10000;
    unsigned puts = 0;
    while ((!deadlocks || handled < 500) && now_ms() < until) {
        put_text(kv, handler_key, "main");
        int result = handler_result; /* once: the next signal changes it */
        ck_assert(result == SHMKV_OK || result == SHMKV_EDEADLK);
        puts++;
    }
    timer = (struct itimerval){{0, 0}, {0, 0}};
    ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
    printf("%u puts, %d interrupted, %d of these inside\n", puts, (int)handled, (int)deadlocks);
    ck_assert_int_gt(deadlocks, 0);
    finish(kv, name);
}
END_TEST

static Suite *lock_suite(void) {
    Suite *s = suite_create("lock");
    TCase *tc = case_new(s, "basic");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_lock_when_taken_names_slot_and_generation);
    tcase_add_test(tc, test_domains_are_shards_arenas_and_the_space_block);
    tcase_add_test(tc, test_operations_leave_no_lock_behind);
    tc = case_new(s, "contention");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_lock_when_four_processes_contend_excludes);
    tcase_add_test(tc, test_lock_when_four_threads_contend_excludes);
    tcase_add_test(tc, test_lock_when_released_wakes_the_waiter);
    tcase_add_test(tc, test_lock_when_a_waiter_is_killed_goes_on_working);
    tc = case_new(s, "owner death");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_loop_test(tc, test_lock_when_its_owner_is_killed_is_taken_over, 0, 3);
    tcase_add_test(tc, test_locks_when_a_dead_one_held_all_are_taken_over_with_one_sleep);
    tcase_add_test(tc, test_lock_when_its_owner_is_taken_for_dead_and_lives_is_slept_on);
    tcase_add_test(tc, test_lock_when_its_owner_is_killed_goes_to_each_of_many_waiters);
    tcase_add_loop_test(tc, test_lock_when_its_word_names_no_slot_is_taken_over, 0, 5);
    tcase_add_test(tc, test_lock_when_only_the_waiters_bit_is_left_is_free);
    tcase_add_test(tc, test_lock_when_the_slot_was_claimed_anew_is_taken_over);
    tc = case_new(s, "stopped owner");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_put_when_the_owner_is_stopped_is_etimedout_naming_it);
    tcase_add_test(tc, test_snapshot_when_an_owner_is_stopped_is_etimedout_and_holds_nothing);
    tcase_add_test(tc, test_exclusive_when_an_owner_is_stopped_is_etimedout_and_changes_nothing);
    tcase_add_test(tc, test_lock_when_two_hogs_pass_it_on_is_had_in_the_end);
    tcase_add_test(tc, test_lock_when_others_pass_it_on_for_longer_than_the_patience_is_etimedout);
    tc = case_new(s, "re-entry");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_put_in_a_handler_when_the_thread_holds_the_lock_is_edeadlk);
    tcase_add_test(tc, test_puts_when_interrupted_anywhere_by_puts_never_hang_or_tear);
    return s;
}

int main(void) { return suite_main(lock_suite()); }
