/*
 * What others see and do between two steps of ours. They do so at fault points, in our own process,
 * and so at exactly that moment.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;
static const char *point; /* at which it happens, whenever it is passed; NULL: nowhere */
static void (*happens)(void);
static unsigned times;

void shmkv_fault_point(const char *passed) {
    const char *here = point;
    if (!here || strcmp(passed, here) != 0)
        return;
    point = NULL; /* what happens has fault points of its own */
    happens();
    point = here;
    times++;
}

static void at(const char *p, void (*what)(void)) {
    point = p;
    happens = what;
    times = 0;
}

static void set_up(void) { name = unique_name(); }
static void tear_down(void) { finish(kv, name); }

/* ------------------------------------------------------------------------------- lock */

static shmkv_t *other;

static void die(void) { raise(SIGKILL); }

static void die_with_the_lock(void *arg) {
    (void)arg;
    shmkv_t *mine = open_ok(name, NULL);
    struct domain d = shard_domain(segment_of(mine), 0);
    ck_assert_ok(lock_take(context_of(mine), &d));
    die();
}

/* Another waiter saw the same, and was quicker. */
static void take_and_release_first(void) {
    struct context *ctx = context_of(other);
    struct domain d = shard_domain(segment_of(other), 0);
    ck_assert_ok(lock_take(ctx, &d));
    lock_release(ctx, &d);
    context_release(ctx);
}

/* proves [LOCK-06] */
START_TEST(test_lock_of_the_dead_that_another_takes_over_first_is_waited_for) {
    kv = open_ok(name, NULL);
    other = open_ok(name, NULL);
    pid_t pid = child_start(die_with_the_lock, NULL);
    ck_assert(!child_succeeded(pid));
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 0);
    at("takeover-before-swap", take_and_release_first);
    ck_assert_ok(lock_take(ctx, &d));
    ck_assert_uint_eq(times, 1);
    point = NULL;
    ck_assert_uint_eq(load_relaxed_u32(d.lock) & ~(uint32_t)IN_PLACE(LOCK_WAITERS), ctx->lock_word);
    lock_release(ctx, &d);
    context_release(ctx);
    ck_assert_ok(shmkv_close(other));
}
END_TEST

/* ------------------------------------------------------------------------------ intent */

static struct domain domain_of_k(void) {
    return shard_domain(segment_of(kv), hash_shard(segment_of(kv), hash_of(kv, "k", 1)));
}

static void die_if_it_is_that_shard(void) {
    if (load_relaxed_u64(domain_of_k().intent))
        die();
}

static void die_in_a_put(void *arg) {
    at("commit-after-entry", die_if_it_is_that_shard);
    shmkv_put(arg, "k", 1, "new", 3);
}

/* What checked out is another a moment later: a buggy process writes where it should not. */
static void lead_the_rest_astray(void) {
    struct domain d = domain_of_k();
    for (unsigned i = 0; i < d.capacity; i++)
        d.entries[i].offset = UINT64_MAX - 7;
}

/* proves [CRASH-04] */
START_TEST(test_entries_that_are_led_astray_between_check_and_replay_are_left_out) {
    kv = open_ok(name, NULL);
    put_text(kv, "k", "old");
    shmkv_t *dying = open_ok(name, NULL);
    ck_assert(!child_succeeded(child_start(die_in_a_put, dying)));
    at("replay-after-entry", lead_the_rest_astray);
    put_text(kv, "k", "mine");
    point = NULL;
    ck_assert_uint_gt(times, 1); /* there was one more, which leads nowhere */
    ck_assert_value(kv, "k", "mine");
    ck_assert_ok(shmkv_close(dying));
}
END_TEST

/* ------------------------------------------------------------------------------ claim */

static struct gate bound;

static void bind_and_wait(void *arg) {
    (void)arg;
    shmkv_t *mine = open_ok(name, NULL);
    ck_assert_ok(shmkv_put_item(mine, "k", 1,
                                &(struct shmkv_item){.data = "v", .len = 1, .flags = SHMKV_BOUND}));
    gate_open(&bound);
    for (;;)
        pause();
}

/* Its owner lock is ours by now, and for our other threads nothing else says that he is dead. */
static void look_for_the_key(void) {
    ck_assert(!slot_is_ours(segment_of(kv), 1));
    ck_assert_err(shmkv_exists(kv, "k", 1), SHMKV_ENOTFOUND);
}

/* proves [LOCK-28] */
START_TEST(test_slot_of_the_dead_is_not_ours_before_it_has_another_generation) {
    kv = open_ok(name, NULL);
    bound = gate_new();
    pid_t pid = child_start(bind_and_wait, NULL);
    ck_assert(gate_wait_from(&bound, pid));
    ck_assert(child_kill(pid));
    struct context *first = context_of(kv);
    at("condemn-after", look_for_the_key);
    struct context *second;
    ck_assert_ok(context_acquire(segment_of(kv), &second));
    point = NULL;
    ck_assert_uint_eq(times, 1);
    ck_assert_uint_eq(second->slot, 1);
    context_release(second);
    context_release(first);
}
END_TEST

/* As a signal handler would that comes in between. */
static void write_again(void) {
    ck_assert_err(shmkv_put(kv, "k", 1, "v", 1), SHMKV_EDEADLK);
    owners_reap(&segment_of(kv)->contexts[0]);
    ck_assert(!owner_reap(&segment_of(kv)->contexts[0], 1));
}

/* proves [LOCK-09] */
START_TEST(test_thread_that_writes_while_it_claims_is_told_so) {
    kv = open_ok(name, NULL);
    put_text(kv, "k", "before");
    struct context *first = context_of(kv);
    at("claim-after-live", write_again);
    struct context *second;
    ck_assert_ok(context_acquire(segment_of(kv), &second));
    ck_assert_uint_eq(times, 1);
    point = NULL;
    ck_assert_value(kv, "k", "before");
    context_release(second);
    context_release(first);
}
END_TEST

/* ------------------------------------------------------------------------- bound keys */

/* The other of slots 1 and 2 has bound the key meanwhile. */
static void bind_to_the_other(void) {
    struct segment *seg = segment_of(kv);
    uint64_t hash = hash_of(kv, "k", 1);
    struct place p;
    ck_assert_ok(table_find(seg->contexts, &seg->shards[hash_shard(seg, hash)], hash, "k", 1, &p));
    record_t *rec = seg_at(seg, p.word & OFFSET_IN_WORD, sizeof(record_t) + sizeof(extra_t));
    extra_t *extra = (extra_t *)(void *)(rec + 1);
    uint32_t slot = (uint32_t)extra->owner == 2 ? 2 : 1;
    extra->owner = FIELD(seg->owners[slot].state, OWNER_STATE_GENERATION) << 32 | (slot + 1);
}

START_TEST(test_key_that_others_bind_in_turn_is_busy) {
    kv = open_ok(name, NULL);
    bound = gate_new();
    pid_t pids[2];
    for (int i = 0; i < 2; i++) {
        pids[i] = child_start(bind_and_wait, NULL);
        ck_assert(gate_wait_from(&bound, pids[i]));
    }
    const struct shmkv_item mine = {.data = "mine", .len = 4};
    at("owner-asked", bind_to_the_other);
    ck_assert_err(shmkv_add(kv, "k", 1, &mine, NULL), SHMKV_EBUSY);
    ck_assert_detail("changes too fast");
    point = NULL;
    ck_assert_err(shmkv_add(kv, "k", 1, &mine, NULL), SHMKV_EEXISTS);
    ck_assert(child_kill(pids[0]) && child_kill(pids[1]));
    ck_assert_ok(shmkv_add(kv, "k", 1, &mine, NULL));
}
END_TEST

/* --------------------------------------------------------------------------- eviction */

/* Another writer stores something new in the room that has just been made. */
static void take_the_room(void) {
    static unsigned n;
    char key[32];
    snprintf(key, sizeof key, "other%u", n++);
    ck_assert_ok(shmkv_put(other, key, strlen(key), "v", 1));
}

static void open_full(uint64_t max_entries, uint64_t max_bytes) {
    kv = open_ok(name, &(struct shmkv_options){.size = sizeof(struct shmkv_options),
                                               .max_entries = max_entries,
                                               .max_bytes = max_bytes});
    ck_assert_uint_eq(info_of(kv).shard_count, 1);
    other = open_ok(name, NULL);
    for (unsigned i = 0; stats_of(kv).evictions < 10; i++)
        ck_assert_ok(shmkv_put(kv, &i, sizeof i, "v", 1));
}

static int store_both(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    for (unsigned i = 0; i < 2; i++)
        ck_assert_ok(shmkv_txn_put(txn, i, &(struct shmkv_item){.data = "v", .len = 1}));
    return SHMKV_OK;
}

/* proves [EVICT-08] */
START_TEST(test_transaction_whose_room_is_always_taken_ends) {
    open_full(100, 0);
    at("cell-returned", take_the_room);
    const struct shmkv_bytes keys[] = {{"a", 1}, {"b", 1}};
    ck_assert_err(shmkv_transaction(kv, 2, keys, store_both, NULL), SHMKV_EBUSY);
    point = NULL;
    ck_assert_ok(shmkv_transaction(kv, 2, keys, store_both, NULL));
    ck_assert_ok(shmkv_close(other));
}
END_TEST

START_TEST(test_large_value_whose_room_is_always_taken_ends) {
    static const char value[40000];
    open_full(0, 65536);
    at("cell-returned", take_the_room);
    ck_assert_err(shmkv_put(kv, "large", 5, value, sizeof value), SHMKV_EBUSY);
    point = NULL;
    ck_assert_ok(shmkv_put(kv, "large", 5, value, sizeof value));
    ck_assert_ok(shmkv_close(other));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("between");
    TCase *tc = case_new(suite, "lock");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_lock_of_the_dead_that_another_takes_over_first_is_waited_for);
    tc = case_new(suite, "intent");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_entries_that_are_led_astray_between_check_and_replay_are_left_out);
    tc = case_new(suite, "claim");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_thread_that_writes_while_it_claims_is_told_so);
    tcase_add_test(tc, test_slot_of_the_dead_is_not_ours_before_it_has_another_generation);
    tc = case_new(suite, "bound keys");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_key_that_others_bind_in_turn_is_busy);
    tc = case_new(suite, "eviction");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_transaction_whose_room_is_always_taken_ends);
    tcase_add_test(tc, test_large_value_whose_room_is_always_taken_ends);
    return suite_main(suite);
}
