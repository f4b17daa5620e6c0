/*
 * A thread stands still at a fault point, and another of the same process goes on.
 * What a killed process leaves is the subject of check_crash.c.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define SHORT_MS 150

static const char *stop_at;        /* a fault point, or NULL */
static const uint32_t *stop_under; /* only while this lock is held */
static pthread_t stops;            /* the thread that is to stop there, once */
static struct gate stands, go;

void shmkv_fault_point(const char *name) {
    if (!stop_at || strcmp(name, stop_at) != 0 || !pthread_equal(stops, pthread_self()) ||
        (stop_under && !load_relaxed_u32(stop_under)))
        return;
    stop_at = NULL;
    gate_open(&stands);
    gate_wait(&go);
}

static const char *name;

static void write_and_wait(void *arg) {
    shmkv_t *kv = open_ok(name, NULL);
    put_text(kv, "k", "v");
    put_text(kv, "k", "w"); /* the first cell stays in our slot */
    gate_open(arg);
    gate_wait(&go);
}

static void *put_with_a_context_of_its_own(void *kv) {
    stops = pthread_self();
    stop_at = "commit-before-intent";
    return (void *)(intptr_t)shmkv_put(kv, "by the thread", 13, "v", 1);
}

/* The thread claims the slot of a dead owner and cleans up after it; the lock that
 * it takes for this names the slot. Asked about it through our own descriptor, the
 * kernel says that nobody else has it. proves [LOCK-17] */
START_TEST(test_lock_when_held_by_a_thread_that_is_cleaning_up_is_not_taken_for_a_dead_ones) {
    name = unique_name();
    stands = gate_new();
    go = gate_new();
    struct gate wrote = gate_new();
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = SHORT_MS};
    shmkv_t *kv = open_ok(name, &opts);
    struct context *ctx = context_of(kv); /* so that the thread needs another */
    pid_t dead = child_start(write_and_wait, &wrote);
    ck_assert(gate_wait(&wrote));
    ck_assert(child_kill(dead));

    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, put_with_a_context_of_its_own, kv), 0);
    ck_assert(gate_wait(&stands));
    unsigned held = 0;
    for (uint32_t i = 0; i < domain_count(segment_of(kv)); i++) {
        struct domain d = domain_at(segment_of(kv), i);
        if (!*d.lock)
            continue;
        held++;
        ck_assert_err(lock_take(ctx, &d), SHMKV_ETIMEDOUT);
    }
    ck_assert_uint_eq(held, 1);
    gate_open(&go);
    void *result;
    pthread_join(thread, &result);
    ck_assert_int_eq((int)(intptr_t)result, SHMKV_OK);
    context_release(ctx);
    ck_assert_value(kv, "by the thread", "v");
    ck_assert_value(kv, "k", "w");
    finish(kv, name);
}
END_TEST

static void *put_a_key(void *kv) {
    stops = pthread_self();
    stop_at = "commit-before-first";
    return (void *)(intptr_t)shmkv_put(kv, "key", 3, "new", 3);
}

/* Readers of the same handle go on; writers to the same shard time out, naming us. */
START_TEST(test_put_when_it_stands_still_holds_up_only_its_shards_writers) {
    name = unique_name();
    stands = gate_new();
    go = gate_new();
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = SHORT_MS};
    shmkv_t *kv = open_ok(name, &opts);
    put_text(kv, "key", "old");
    stop_under = &segment_of(kv)->shards[hash_shard(segment_of(kv), hash_of(kv, "key", 3))].lock;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, put_a_key, kv), 0);
    ck_assert(gate_wait(&stands));
    ck_assert_value(kv, "key", "old");
    ck_assert_err(shmkv_put(kv, "key", 3, "other", 5), SHMKV_ETIMEDOUT);
    char text[64];
    snprintf(text, sizeof text, "process %d ", (int)getpid());
    ck_assert_detail(text);
    ck_assert_value(kv, "key", "old");
    struct key_search elsewhere = search_shard(kv, hash_shard(segment_of(kv), hash_of(kv, "key", 3)) ^ 1, "k");
    char key[KEY_TEXT_SIZE];
    key_find(&elsewhere, key);
    put_text(kv, key, "v");
    gate_open(&go);
    void *result;
    pthread_join(thread, &result);
    ck_assert_int_eq((int)(intptr_t)result, SHMKV_OK);
    ck_assert_value(kv, "key", "new");
    finish(kv, name);
}
END_TEST

static Suite *standstill_suite(void) {
    Suite *s = suite_create("standstill");
    TCase *tc = case_new(s, "threads");
    tcase_add_test(tc, test_lock_when_held_by_a_thread_that_is_cleaning_up_is_not_taken_for_a_dead_ones);
    tcase_add_test(tc, test_put_when_it_stands_still_holds_up_only_its_shards_writers);
    return s;
}

int main(void) { return suite_main(standstill_suite()); }
