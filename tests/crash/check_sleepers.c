/*
 * Those who sleep are woken, whatever becomes of the one who was to wake them.
 *
 * The sleeper here follows the specification by itself: it takes the lock, leaves the
 * flag, notes the counter, and sleeps on it for longer than a test may take. The
 * library's own would look about itself after a second, and hide a wake-up that never came.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/checks.h"

/* Who breaks it on purpose knows that nobody will come. */
#define TOO_LONG_NS (getenv("SHMKV_MUTANT") ? 1000000000u : 10000000000u)

static const char *die_at;        /* a fault point, or NULL */
static const uint32_t *die_under; /* only while this lock is held */

void shmkv_fault_point(const char *name) {
    if (die_at && strcmp(name, die_at) == 0 && load_relaxed_u32(die_under))
        raise(SIGKILL);
}

static const char *path;

static shard_t *shard_of(shmkv_t *kv, const char *key) {
    struct segment *seg = segment_of(kv);
    return &seg->shards[hash_shard(seg, hash_of(kv, key, strlen(key)))];
}

/* -------------------------------------------------------------------- the sleeper */

struct bed {
    const char *key; /* NULL: for the store */
    struct gate flagged;
};

static void expect_wake_up(uint64_t *counter, uint32_t seen) {
    int err = futex_wait((uint32_t *)(void *)counter, seen, TOO_LONG_NS);
    _exit(err ? 1 : 0);
}

static void sleep_for_key(void *arg) {
    struct bed *bed = arg;
    shmkv_t *kv = open_ok(path, NULL);
    struct segment *seg = segment_of(kv);
    struct context *ctx = context_of(kv);
    shard_t *shard = shard_of(kv, bed->key);
    struct domain d = shard_domain(seg, (uint32_t)(shard - seg->shards));
    ck_assert_ok(lock_take(ctx, &d));
    shard->waiters |= MAKE(WAITERS_KEY, 1);
    uint32_t seen = (uint32_t)shard->changes;
    lock_release(ctx, &d);
    context_release(ctx);
    gate_open(&bed->flagged);
    expect_wake_up(&shard->changes, seen);
}

static void sleep_for_store(void *arg) {
    struct bed *bed = arg;
    shmkv_t *kv = open_ok(path, NULL);
    struct segment *seg = segment_of(kv);
    struct context *ctx = context_of(kv);
    uint32_t seen = (uint32_t)seg->hdr->events;
    ck_assert_ok(shards_lock(ctx));
    for (uint32_t i = 0; i < seg->shard_count; i++)
        seg->shards[i].waiters |= MAKE(WAITERS_STORE, 1);
    shards_unlock(ctx, seg->shard_count);
    context_release(ctx);
    gate_open(&bed->flagged);
    expect_wake_up(&seg->hdr->events, seen);
}

/* Sleeps, when this returns. */
static pid_t sleeper_start(const char *key) {
    struct bed bed = {.key = key, .flagged = gate_new()};
    pid_t pid = child_start(key ? sleep_for_key : sleep_for_store, &bed);
    ck_assert(gate_wait(&bed.flagged));
    child_asleep(pid);
    return pid;
}

/* ------------------------------------------------------------------- what happens */

static void do_put(shmkv_t *kv) { put_text(kv, "k", "new"); }
static void do_delete(shmkv_t *kv) { ck_assert_ok(shmkv_delete(kv, "k", 1)); }
static void do_cas(shmkv_t *kv) {
    char buf[8];
    struct shmkv_item old, new = {.data = "w", .len = 1};
    ck_assert_ok(shmkv_get_item(kv, "k", 1, buf, sizeof buf, &old));
    ck_assert_ok(shmkv_cas(kv, "k", 1, old.version, &new));
}
static void do_freeze(shmkv_t *kv) { ck_assert_ok(shmkv_freeze(kv)); }
static void do_replace(shmkv_t *kv) {
    (void)kv;
    ck_assert_ok(shmkv_close(open_mode(path, SHMKV_EXCLUSIVE)));
}

static const struct deed {
    const char *what;
    void (*body)(shmkv_t *kv);
} deeds[] = {
    {"put", do_put}, {"delete", do_delete}, {"cas", do_cas}, {"freeze", do_freeze}, {"replace", do_replace},
};
#define DEED_COUNT (int)(sizeof deeds / sizeof *deeds)
static const struct deed *deed;

static void do_it(void *arg) {
    (void)arg;
    shmkv_t *kv = open_ok(path, NULL);
    deed->body(kv);
}

static void die_doing_it(void *at) {
    shmkv_t *kv = open_ok(path, NULL);
    die_under = &shard_of(kv, "k")->lock;
    die_at = at;
    deed->body(kv);
}

static shmkv_t *set_up(void) {
    path = scratch_path("seg");
    shmkv_t *kv = open_ok(path, NULL);
    put_text(kv, "k", "v");
    return kv;
}

/* proves [WAIT-02] */
START_TEST(test_sleeper_when_something_happens_is_woken) {
    deed = &deeds[_i / 2];
    shmkv_t *kv = set_up();
    pid_t sleeper = sleeper_start(_i % 2 ? NULL : "k");
    ck_assert(child_succeeded(child_start(do_it, NULL)));
    ck_assert_msg(child_succeeded(sleeper), "after a %s nobody woke it", deed->what);
    finish(kv, path);
}
END_TEST

/* Only the lock tells of the dead; who takes it over, for whatever purpose, wakes.
 * proves [WAIT-03] */
static void die_and_be_followed(int i, const char *point) {
    deed = &deeds[i / 2];
    shmkv_t *kv = set_up();
    pid_t sleeper = sleeper_start(i % 2 ? NULL : "k");
    int status = child_wait(child_start(die_doing_it, (void *)(uintptr_t)point));
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    shmkv_t *next = open_ok(path, NULL); /* reaps the dead */
    ck_assert_msg(child_succeeded(sleeper), "a %s died at %s, and nobody woke it", deed->what, point);
    ck_assert_ok(shmkv_close(next));
    finish(kv, path);
}

START_TEST(test_sleeper_when_a_writer_dies_before_it_wakes_is_woken_by_the_next) {
    die_and_be_followed(_i, "alarm-before-wake");
}
END_TEST

START_TEST(test_sleeper_when_a_writer_dies_between_commit_and_alarm_is_woken_by_the_next) {
    die_and_be_followed(_i, "commit-after-intent");
}
END_TEST

START_TEST(test_sleeper_when_a_writer_dies_with_its_intent_is_woken_by_who_replays_it) {
    die_and_be_followed(_i, "commit-after-entry");
}
END_TEST

static Suite *sleepers_suite(void) {
    Suite *s = suite_create("sleepers");
    TCase *tc = case_new(s, "woken");
    tcase_add_loop_test(tc, test_sleeper_when_something_happens_is_woken, 0, 2 * DEED_COUNT);
    /* Not a replacement: the next do not come to the old segment any more. */
    tc = case_new(s, "death before the wake-up");
    tcase_add_loop_test(tc, test_sleeper_when_a_writer_dies_before_it_wakes_is_woken_by_the_next, 0, 8);
    /* The deeds that commit a change of the key. */
    tc = case_new(s, "death before the alarm");
    tcase_add_loop_test(tc, test_sleeper_when_a_writer_dies_between_commit_and_alarm_is_woken_by_the_next, 0, 6);
    tc = case_new(s, "death before the replay");
    tcase_add_loop_test(tc, test_sleeper_when_a_writer_dies_with_its_intent_is_woken_by_who_replays_it, 0, 6);
    return s;
}

int main(void) { return suite_main(sleepers_suite()); }
