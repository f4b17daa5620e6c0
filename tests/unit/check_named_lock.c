/* Locks that have names, and get_or_compute. Spec 6.14. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/checks.h"

static const char *path;
static shmkv_t *kv;

static void set_up(void) {
    path = scratch_path("seg");
    kv = open_ok(path, NULL);
}

static void tear_down(void) { finish(kv, path); }

static uint64_t lock_ok(shmkv_t *h, const char *name) {
    uint64_t token = 0;
    ck_assert_ok(shmkv_lock(h, name, strlen(name), -1, &token));
    ck_assert_uint_ne(token, 0);
    return token;
}

/* What shmkv_held() has told: how many there are, and the last of them. */
struct told {
    unsigned count;
    struct shmkv_held last;
    char name[32];
};

static void note_lock(void *arg, const struct shmkv_held *lock) {
    struct told *told = arg;
    told->count++;
    told->last = *lock;
    snprintf(told->name, sizeof told->name, "%.*s", (int)lock->name_len, (const char *)lock->name);
}

static struct told locks_held(shmkv_t *h) {
    struct told told = {0};
    ck_assert_ok(shmkv_held(h, note_lock, &told));
    return told;
}

/* Until a waiter has left its flag in the shard of the name. */
static void await_waiter(const char *name, pid_t waiter) {
    struct segment *seg = segment_of(kv);
    const uint64_t *waiters = &seg->shards[hash_shard(seg, hash_of(kv, name, strlen(name)))].waiters;
    while (!load_acquire_u64(waiters))
        ck_assert_int_eq(waitpid(waiter, NULL, WNOHANG), 0);
}

/* ------------------------------------------------------------------------- basic */

START_TEST(test_lock_when_free_is_had_and_given_back) {
    shmkv_t *other = open_ok(path, NULL);
    uint64_t token = lock_ok(kv, "l"), second;
    ck_assert_err(shmkv_lock(other, "l", 1, 0, &second), SHMKV_ETIMEDOUT);
    ck_assert_detail("held by process");
    ck_assert_err(shmkv_lock(other, "l", 1, 30, &second), SHMKV_ETIMEDOUT);
    ck_assert_ok(shmkv_unlock(kv, "l", 1, token));
    second = lock_ok(other, "l");
    ck_assert_uint_ne(second, token);
    ck_assert_ok(shmkv_unlock(other, "l", 1, second));
    ck_assert_ok(shmkv_close(other));
}
END_TEST

/* proves [NAMED-03] */
START_TEST(test_unlock_when_the_lock_is_not_ours_is_echanged) {
    shmkv_t *other = open_ok(path, NULL);
    uint64_t token = lock_ok(kv, "l");
    ck_assert_ok(shmkv_unlock(kv, "l", 1, token));
    ck_assert_err(shmkv_unlock(kv, "l", 1, token), SHMKV_ECHANGED);
    uint64_t second = lock_ok(other, "l");
    ck_assert_err(shmkv_unlock(kv, "l", 1, token), SHMKV_ECHANGED);
    ck_assert_err(shmkv_lock(kv, "l", 1, 0, &token), SHMKV_ETIMEDOUT);
    ck_assert_ok(shmkv_unlock(other, "l", 1, second));
    ck_assert_ok(shmkv_close(other));
}
END_TEST

/* As a child does that leaves the block in which it was forked. proves [NAMED-03] */
static void unlock_for_the_parent(void *arg) {
    uint64_t token = *(uint64_t *)arg, second;
    ck_assert_err(shmkv_unlock(kv, "l", 1, token), SHMKV_ECHANGED);
    ck_assert_err(shmkv_lock(kv, "l", 1, 0, &second), SHMKV_ETIMEDOUT);
    ck_assert_err(shmkv_unlock(kv, "l", 1, token), SHMKV_ECHANGED);
    second = lock_ok(kv, "its own");
    ck_assert_ok(shmkv_unlock(kv, "its own", 7, second));
}

START_TEST(test_unlock_in_a_child_leaves_the_parents_lock_alone) {
    uint64_t token = lock_ok(kv, "l"), second;
    ck_assert(child_succeeded(child_start(unlock_for_the_parent, &token)));
    shmkv_t *other = open_ok(path, NULL);
    ck_assert_err(shmkv_unlock(other, "l", 1, token), SHMKV_ECHANGED);
    ck_assert_err(shmkv_lock(other, "l", 1, 0, &second), SHMKV_ETIMEDOUT);
    ck_assert_ok(shmkv_unlock(kv, "l", 1, token));
    lock_ok(other, "l");
    ck_assert_ok(shmkv_close(other));
}
END_TEST

START_TEST(test_lock_when_this_thread_has_it_is_edeadlk) {
    uint64_t token = lock_ok(kv, "l");
    ck_assert_err(shmkv_lock(kv, "l", 1, -1, &token), SHMKV_EDEADLK);
    ck_assert_ok(shmkv_unlock(kv, "l", 1, token)); /* it has kept the token */
    lock_ok(kv, "l");
}
END_TEST

START_TEST(test_lock_when_the_call_is_wrong_says_so) {
    uint64_t token;
    ck_assert_err(shmkv_lock(kv, "l", 1, 0, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_lock(kv, "", 0, 0, &token), SHMKV_EKEY);
    ck_assert_err(shmkv_lock(NULL, "l", 1, 0, &token), SHMKV_ECLOSED);
    ck_assert_err(shmkv_unlock(NULL, "l", 1, 2), SHMKV_ECLOSED);
    shmkv_t *reader = open_mode(path, SHMKV_READONLY);
    ck_assert_err(shmkv_lock(reader, "l", 1, 0, &token), SHMKV_EREADONLY);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

/* proves [LAYOUT-27], [NAMED-04] */
START_TEST(test_locks_are_not_seen_among_the_keys) {
    char buf[16];
    size_t len;
    const void *key, *val;
    size_t key_len, val_len;
    put_text(kv, "both", "v");
    uint64_t tokens[3] = {lock_ok(kv, "both"), lock_ok(kv, "lock only"), lock_ok(kv, "third")};
    ck_assert_uint_eq(count_of(kv), 1);
    ck_assert_value(kv, "both", "v");
    ck_assert_err(shmkv_get(kv, "lock only", 9, buf, sizeof buf, &len), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_exists(kv, "lock only", 9), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_delete(kv, "lock only", 9), SHMKV_ENOTFOUND);
    shmkv_t *reader = open_mode(path, SHMKV_READONLY);
    for (int i = 0; i < 2; i++) { /* with locks and without */
        shmkv_t *h = i ? reader : kv;
        shmkv_cursor_t *c;
        ck_assert_ok(shmkv_cursor_open(h, 0, &c));
        ck_assert_ok(shmkv_cursor_next(c, &key, &key_len, &val, &val_len));
        ck_assert_err(shmkv_cursor_next(c, &key, &key_len, &val, &val_len), SHMKV_ENOTFOUND);
        shmkv_cursor_close(c);
        shmkv_snapshot_t *s;
        ck_assert_ok(shmkv_snapshot(h, &s));
        ck_assert_uint_eq(shmkv_snapshot_count(s), 1);
        shmkv_snapshot_free(s);
        ck_assert_whole(h);
    }
    ck_assert_ok(shmkv_close(reader));
    put_text(kv, "lock only", "now a key as well");
    ck_assert_ok(shmkv_delete(kv, "both", 4));
    uint64_t token;
    shmkv_t *other = open_ok(path, NULL);
    ck_assert_err(shmkv_lock(other, "both", 4, 0, &token), SHMKV_ETIMEDOUT);
    ck_assert_err(shmkv_lock(other, "lock only", 9, 0, &token), SHMKV_ETIMEDOUT);
    ck_assert_ok(shmkv_close(other));
    uint64_t removed;
    put_text(kv, "both", "v");
    put_text(kv, "third", "v");
    ck_assert_ok(shmkv_sweep(kv, 0, &removed));
    ck_assert_uint_eq(removed, 0);
    struct shmkv_item item;
    for (int i = 0; i < 3; i++)
        ck_assert_ok(shmkv_pop(kv, buf, sizeof buf, &key_len, (char[32]){0}, 32, &item));
    ck_assert_err(shmkv_pop(kv, buf, sizeof buf, &key_len, (char[32]){0}, 32, &item), SHMKV_ENOTFOUND);
    put_text(kv, "both", "v");
    ck_assert_ok(shmkv_clear(kv, &removed));
    ck_assert_uint_eq(removed, 1);
    put_text(kv, "lock only", "now a key as well");
    ck_assert_ok(shmkv_unlock(kv, "both", 4, tokens[0]));
    ck_assert_ok(shmkv_unlock(kv, "lock only", 9, tokens[1]));
    ck_assert_ok(shmkv_unlock(kv, "third", 5, tokens[2]));
    ck_assert_uint_eq(count_of(kv), 1);
    ck_assert_value(kv, "lock only", "now a key as well");
}
END_TEST

/* Locks go through splits like other entries. */
START_TEST(test_locks_when_the_index_grows_stay_held) {
    uint64_t tokens[500];
    char name[32];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "lock-%d", i);
        tokens[i] = lock_ok(kv, name);
    }
    for (int i = 0; i < 30000; i++) {
        snprintf(name, sizeof name, "key-%d", i);
        put_text(kv, name, "v");
    }
    ck_assert_whole(kv);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "lock-%d", i);
        ck_assert_ok(shmkv_unlock(kv, name, strlen(name), tokens[i]));
    }
    ck_assert_uint_eq(count_of(kv), 30000);
}
END_TEST

/* --------------------------------------------------------------------- hand-over */

static struct gate held, go;

static void hold(void *arg) {
    shmkv_t *h = open_ok(path, NULL);
    uint64_t token = lock_ok(h, "l");
    gate_open(&held);
    gate_wait(&go);
    if (!arg)
        ck_assert_ok(shmkv_unlock(h, "l", 1, token));
    ck_assert_ok(shmkv_close(h)); /* which lets it go as well */
}

static void have_it_after_all(void *arg) {
    (void)arg;
    shmkv_t *h = open_ok(path, NULL);
    uint64_t token = lock_ok(h, "l");
    ck_assert_ok(shmkv_unlock(h, "l", 1, token));
    ck_assert_ok(shmkv_close(h));
}

static pid_t holder_start(void *arg) {
    held = gate_new();
    go = gate_new();
    pid_t pid = child_start(hold, arg);
    ck_assert(gate_wait(&held));
    return pid;
}

START_TEST(test_waiter_gets_the_lock_when_it_is_let_go) {
    pid_t holder = holder_start(_i ? kv : NULL), waiter = child_start(have_it_after_all, NULL);
    await_waiter("l", waiter);
    gate_open(&go);
    ck_assert(child_succeeded(holder));
    ck_assert(child_succeeded(waiter));
}
END_TEST

/* proves [NAMED-01], [NAMED-02] */
START_TEST(test_waiters_get_the_lock_of_a_killed_holder) {
    pid_t holder = holder_start(NULL), a = child_start(have_it_after_all, NULL), b = child_start(have_it_after_all, NULL);
    await_waiter("l", a);
    ck_assert(child_kill(holder));
    ck_assert(child_succeeded(a));
    ck_assert(child_succeeded(b));
}
END_TEST

START_TEST(test_lock_of_a_killed_holder_is_had_at_once) {
    uint64_t token;
    pid_t holder = holder_start(NULL);
    ck_assert(child_kill(holder));
    ck_assert_ok(shmkv_lock(kv, "l", 1, 0, &token));
    ck_assert_ok(shmkv_unlock(kv, "l", 1, token));
}
END_TEST

START_TEST(test_lock_of_a_killed_holder_is_swept) {
    put_text(kv, "l", "a key beside it");
    uint64_t cells = stats_of(kv).cells_used, removed;
    ck_assert(child_kill(holder_start(NULL)));
    ck_assert_ok(shmkv_sweep(kv, 0, &removed));
    ck_assert_uint_eq(removed, 1);
    ck_assert_uint_eq(stats_of(kv).cells_used, cells);
    ck_assert_uint_eq(count_of(kv), 1);
}
END_TEST

/* proves [NAMED-02] */
START_TEST(test_stopped_holder_is_not_robbed) {
    uint64_t token;
    pid_t holder = holder_start(NULL);
    ck_assert(child_stop(holder));
    ck_assert_err(shmkv_lock(kv, "l", 1, 200, &token), SHMKV_ETIMEDOUT);
    ck_assert_detail("which is stopped");
    child_continue(holder);
    gate_open(&go);
    ck_assert(child_succeeded(holder));
    ck_assert_ok(shmkv_lock(kv, "l", 1, 0, &token));
}
END_TEST

START_TEST(test_lock_when_the_segment_is_replaced_is_lost) {
    uint64_t token = lock_ok(kv, "l");
    ck_assert_ok(shmkv_close(open_mode(path, SHMKV_EXCLUSIVE)));
    ck_assert_err(shmkv_unlock(kv, "l", 1, token), SHMKV_ECHANGED);
    ck_assert_ok(shmkv_lock(kv, "l", 1, 0, &token));
}
END_TEST

/* Each adds to a number in two steps, which only the lock keeps together. */
#define ADDERS 4
#define ADDITIONS 150
static volatile uint64_t *done; /* shared: additions that were begun and ended, of all */

static void add_under_lock(void *arg) {
    (void)arg;
    shmkv_t *h = open_ok(path, NULL);
    for (int i = 0; i < ADDITIONS; i++) {
        uint64_t token = lock_ok(h, "adding"), n = done[0];
        ck_assert_uint_eq(done[1], n); /* nobody alive is between the steps */
        done[0] = n + 1;
        put_text(h, "adding", "under way");
        done[1] = n + 1;
        ck_assert_ok(shmkv_unlock(h, "adding", 6, token));
    }
    ck_assert_ok(shmkv_close(h));
}

START_TEST(test_lock_keeps_processes_apart) {
    done = shared_memory(2 * sizeof *done);
    pid_t adders[ADDERS];
    for (int i = 0; i < ADDERS; i++)
        adders[i] = child_start(add_under_lock, NULL);
    for (int i = 0; i < ADDERS; i++)
        ck_assert(child_succeeded(adders[i]));
    ck_assert_uint_eq(done[0], ADDERS * ADDITIONS);
}
END_TEST

static void *lock_in_thread(void *token) {
    ck_assert_ok(shmkv_lock(kv, "l", 1, -1, token));
    return NULL;
}

START_TEST(test_threads_of_one_handle_wait_for_each_other) {
    uint64_t token = lock_ok(kv, "l"), other;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, lock_in_thread, &other), 0);
    struct segment *seg = segment_of(kv);
    while (!load_acquire_u64(&seg->shards[hash_shard(seg, hash_of(kv, "l", 1))].waiters))
        sched_yield();
    ck_assert_ok(shmkv_unlock(kv, "l", 1, token));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_ok(shmkv_unlock(kv, "l", 1, other)); /* another thread's, by its token */
}
END_TEST

/* --------------------------------------------------------------- get_or_compute */

static volatile uint64_t *calls; /* shared by all processes */
static struct gate computing;

static int compute_quickly(void *arg, struct shmkv_item *new_) {
    __atomic_add_fetch(calls, 1, __ATOMIC_SEQ_CST);
    new_->data = arg;
    new_->len = strlen(arg);
    new_->type = SHMKV_TEXT;
    return SHMKV_OK;
}

static int compute_when_told(void *arg, struct shmkv_item *new_) {
    gate_open(&computing);
    gate_wait(&go);
    return compute_quickly(arg, new_);
}

static int refuse_to_compute(void *arg, struct shmkv_item *new_) {
    (void)new_;
    __atomic_add_fetch(calls, 1, __ATOMIC_SEQ_CST);
    return arg ? EPROTO : SHMKV_ENOTFOUND;
}

static int wrong_value(void *arg, struct shmkv_item *new_) {
    new_->type = SHMKV_INT64;
    new_->data = arg;
    new_->len = 3;
    return SHMKV_OK;
}

static int ask_again(void *arg, struct shmkv_item *new_) {
    char buf[8];
    struct shmkv_item item;
    (void)new_;
    return shmkv_get_or_compute(kv, "k", 1, ask_again, arg, -1, buf, sizeof buf, &item);
}

static int ask(shmkv_t *h, shmkv_compute_fn fn, void *arg, int timeout_ms, struct shmkv_item *item) {
    static char buf[64];
    return shmkv_get_or_compute(h, "k", 1, fn, arg, timeout_ms, buf, 20, item);
}

static void set_up_calls(void) {
    set_up();
    calls = shared_memory(sizeof *calls);
    computing = gate_new();
    go = gate_new();
}

static void expect_value(const struct shmkv_item *item, const char *text, int result) {
    ck_assert_uint_eq(item->len, strlen(text));
    ck_assert_mem_eq(item->data, text, item->len);
    ck_assert_int_eq(item->type, SHMKV_TEXT);
    ck_assert_int_eq(item->result, result);
}

START_TEST(test_get_or_compute_computes_once) {
    struct shmkv_item item, got;
    char buf[8];
    ck_assert_ok(ask(kv, compute_quickly, "text", -1, &item));
    expect_value(&item, "text", SHMKV_ENOTFOUND);
    ck_assert_ok(shmkv_get_item(kv, "k", 1, buf, sizeof buf, &got));
    ck_assert_uint_eq(got.version, item.version);
    ck_assert_ok(ask(kv, compute_quickly, "other", 0, &item));
    expect_value(&item, "text", SHMKV_OK);
    ck_assert_uint_eq(*calls, 1);
    uint64_t token;
    ck_assert_ok(shmkv_lock(kv, "k", 1, 0, &token)); /* it was unlocked */
}
END_TEST

START_TEST(test_get_or_compute_when_it_fails_stores_nothing_and_unlocks) {
    struct shmkv_item item;
    ck_assert_err(ask(kv, refuse_to_compute, kv, -1, &item), EPROTO);
    ck_assert_err(ask(kv, refuse_to_compute, NULL, -1, &item), SHMKV_ENOTFOUND);
    ck_assert_err(ask(kv, wrong_value, "abc", -1, &item), SHMKV_EVALUE);
    ck_assert_uint_eq(count_of(kv), 0);
    ck_assert_err(ask(kv, NULL, NULL, -1, &item), SHMKV_EARGUMENT);
    ck_assert_err(ask(kv, compute_quickly, "a text that is longer than it may be", -1, &item), SHMKV_ETOOSMALL);
    ck_assert_uint_eq(item.len, 36);
    ck_assert_value(kv, "k", "a text that is longer than it may be");
}
END_TEST

START_TEST(test_get_or_compute_inside_itself_is_edeadlk) {
    struct shmkv_item item;
    ck_assert_err(ask(kv, ask_again, NULL, -1, &item), SHMKV_EDEADLK);
    ck_assert_ok(ask(kv, compute_quickly, "text", -1, &item));
}
END_TEST

static void ask_when_told(void *arg) {
    struct shmkv_item item;
    shmkv_t *h = open_ok(path, NULL);
    ck_assert_ok(ask(h, compute_when_told, arg, -1, &item));
    ck_assert_ok(shmkv_close(h));
}

static void ask_and_get(void *arg) {
    struct shmkv_item item;
    shmkv_t *h = open_ok(path, NULL);
    ck_assert_ok(ask(h, compute_quickly, "by another", -1, &item));
    if (arg)
        expect_value(&item, arg, SHMKV_OK);
    ck_assert_ok(shmkv_close(h));
}

START_TEST(test_get_or_compute_of_many_at_once_computes_once) {
    pid_t first = child_start(ask_when_told, "by the first"), others[5];
    ck_assert(gate_wait(&computing));
    for (int i = 0; i < 5; i++)
        others[i] = child_start(ask_and_get, "by the first");
    await_waiter("k", others[0]);
    struct shmkv_item item;
    ck_assert_err(ask(kv, compute_quickly, "too early", 20, &item), SHMKV_ETIMEDOUT);
    gate_open(&go);
    ck_assert(child_succeeded(first));
    for (int i = 0; i < 5; i++)
        ck_assert(child_succeeded(others[i]));
    ck_assert_uint_eq(*calls, 1);
}
END_TEST

START_TEST(test_get_or_compute_when_the_computer_is_killed_is_done_by_one_of_the_others) {
    pid_t first = child_start(ask_when_told, "by the dead"), others[5];
    ck_assert(gate_wait(&computing));
    for (int i = 0; i < 5; i++)
        others[i] = child_start(ask_and_get, NULL);
    await_waiter("k", others[0]);
    ck_assert(child_kill(first));
    for (int i = 0; i < 5; i++)
        ck_assert(child_succeeded(others[i]));
    ck_assert_uint_eq(*calls, 1);
    ck_assert_value(kv, "k", "by another");
}
END_TEST

/* Somebody may put the key meanwhile, without asking for the lock. */
START_TEST(test_get_or_compute_of_a_waiter_ends_when_the_key_is_put) {
    pid_t first = child_start(ask_when_told, "by the first");
    ck_assert(gate_wait(&computing));
    pid_t waiter = child_start(ask_and_get, NULL);
    await_waiter("k", waiter);
    put_text(kv, "k", "put");
    ck_assert(child_succeeded(waiter));
    gate_open(&go);
    ck_assert(child_succeeded(first));
}
END_TEST

/* ------------------------------------------------------------------------- told of */

START_TEST(test_held_tells_of_locks_and_not_of_keys) {
    shmkv_t *reader = open_mode(path, SHMKV_READONLY);
    char name[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "key %d", i);
        put_text(kv, name, "v");
    }
    put_text(kv, "l", "a key of the name");
    ck_assert_uint_eq(locks_held(reader).count, 0);
    uint64_t token = lock_ok(kv, "l");
    struct told told = locks_held(reader);
    ck_assert_uint_eq(told.count, 1);
    ck_assert_str_eq(told.name, "l");
    ck_assert_uint_eq(told.last.token, token);
    ck_assert_uint_eq(told.last.thread, (uint64_t)gettid());
    struct shmkv_owner owners[8];
    size_t n;
    ck_assert_ok(shmkv_owners(reader, owners, 8, &n));
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(told.last.owner, (int32_t)owners[0].slot);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "lock %d", i);
        (void)lock_ok(kv, name);
    }
    ck_assert_uint_eq(locks_held(kv).count, 201);
    ck_assert_ok(shmkv_unlock(kv, "l", 1, token));
    ck_assert_uint_eq(locks_held(reader).count, 200);
    ck_assert_err(shmkv_held(kv, NULL, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_held(NULL, note_lock, &told), SHMKV_ECLOSED);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

static void lock_and_sleep(void *arg) {
    (void)arg;
    shmkv_t *h = open_ok(path, NULL);
    (void)lock_ok(h, "of the dead");
    gate_open(&computing);
    for (;;)
        pause();
}

START_TEST(test_held_tells_of_the_dead_until_somebody_cleans_up) {
    pid_t holder = child_start(lock_and_sleep, NULL);
    ck_assert(gate_wait(&computing));
    ck_assert(child_kill(holder));
    struct told told = locks_held(kv);
    ck_assert_uint_eq(told.count, 1);
    ck_assert_uint_eq(told.last.thread, (uint64_t)holder);
    uint64_t token = lock_ok(kv, "of the dead");
    ck_assert_uint_eq(locks_held(kv).last.token, token);
    ck_assert_uint_eq(locks_held(kv).last.thread, (uint64_t)gettid());
}
END_TEST

/* Any call is allowed in the function. */
static void let_go(void *arg, const struct shmkv_held *lock) {
    ck_assert_ok(shmkv_unlock(arg, lock->name, lock->name_len, lock->token));
}

START_TEST(test_held_may_be_let_go_when_told) {
    (void)lock_ok(kv, "one");
    (void)lock_ok(kv, "two");
    ck_assert_ok(shmkv_held(kv, let_go, kv));
    ck_assert_uint_eq(locks_held(kv).count, 0);
}
END_TEST

static Suite *named_lock_suite(void) {
    Suite *s = suite_create("named_lock");
    TCase *tc = case_new(s, "basic");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_lock_when_free_is_had_and_given_back);
    tcase_add_test(tc, test_unlock_when_the_lock_is_not_ours_is_echanged);
    tcase_add_test(tc, test_unlock_in_a_child_leaves_the_parents_lock_alone);
    tcase_add_test(tc, test_lock_when_this_thread_has_it_is_edeadlk);
    tcase_add_test(tc, test_lock_when_the_call_is_wrong_says_so);
    tcase_add_test(tc, test_locks_are_not_seen_among_the_keys);
    tcase_add_test(tc, test_locks_when_the_index_grows_stay_held);
    tc = case_new(s, "hand-over");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_waiter_gets_the_lock_when_it_is_let_go, 0, 2);
    tcase_add_test(tc, test_waiters_get_the_lock_of_a_killed_holder);
    tcase_add_test(tc, test_lock_of_a_killed_holder_is_had_at_once);
    tcase_add_test(tc, test_lock_of_a_killed_holder_is_swept);
    tcase_add_test(tc, test_stopped_holder_is_not_robbed);
    tcase_add_test(tc, test_lock_when_the_segment_is_replaced_is_lost);
    tcase_add_test(tc, test_lock_keeps_processes_apart);
    tcase_add_test(tc, test_threads_of_one_handle_wait_for_each_other);
    tc = case_new(s, "told of");
    tcase_add_checked_fixture(tc, set_up_calls, tear_down);
    tcase_add_test(tc, test_held_tells_of_locks_and_not_of_keys);
    tcase_add_test(tc, test_held_tells_of_the_dead_until_somebody_cleans_up);
    tcase_add_test(tc, test_held_may_be_let_go_when_told);
    tc = case_new(s, "get_or_compute");
    tcase_add_checked_fixture(tc, set_up_calls, tear_down);
    tcase_add_test(tc, test_get_or_compute_computes_once);
    tcase_add_test(tc, test_get_or_compute_when_it_fails_stores_nothing_and_unlocks);
    tcase_add_test(tc, test_get_or_compute_inside_itself_is_edeadlk);
    tcase_add_test(tc, test_get_or_compute_of_many_at_once_computes_once);
    tcase_add_test(tc, test_get_or_compute_when_the_computer_is_killed_is_done_by_one_of_the_others);
    tcase_add_test(tc, test_get_or_compute_of_a_waiter_ends_when_the_key_is_put);
    return s;
}

int main(void) { return suite_main(named_lock_suite()); }
