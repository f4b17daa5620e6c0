/* Changes under a condition, and what was there before. Spec 6.11. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define LARGE 100000

static const char *name;
static shmkv_t *kv;
static uint8_t got[LARGE + 16];

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
}

static void tear_down(void) { finish(kv, name); }

static struct shmkv_item text(const char *t) {
    return (struct shmkv_item){.data = t, .len = strlen(t), .type = SHMKV_TEXT};
}

static const uint8_t *bytes_of(uint64_t seed, size_t len) {
    static uint8_t bytes[LARGE];
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)((seed + i) * 0x9e3779b1u >> 24);
    return bytes;
}

static struct shmkv_item item_at(const char *key) {
    struct shmkv_item item;
    ck_assert_ok(shmkv_get_item(kv, key, strlen(key), got, sizeof got, &item));
    return item;
}

static void put_expired(const char *key, size_t len) {
    const struct shmkv_item item = {.data = bytes_of(1, len), .len = len, .expires_ns = 1};
    ck_assert_ok(shmkv_put_item(kv, key, strlen(key), &item));
}

/* The record of the key. */
static record_t *record_of(const char *key) {
    struct segment *seg = segment_of(kv);
    struct context *ctx = context_of(kv);
    struct place where;
    uint64_t hash = hash_of(kv, key, strlen(key));
    ck_assert_ok(table_find(ctx, &seg->shards[hash_shard(seg, hash)], hash, key, strlen(key), &where));
    context_release(ctx);
    return record_at(seg, where.word);
}

/* ------------------------------------------------------------------------- get_item */

START_TEST(test_get_item_tells_all_that_was_put) {
    uint64_t later = wall_ns() + 3600ull * 1000000000;
    const int64_t n = -7;
    const struct shmkv_item items[] = {{.data = "abc", .len = 3},
                                       {.data = "abc", .len = 3, .type = SHMKV_TEXT},
                                       {.data = &n, .len = 8, .type = SHMKV_INT64},
                                       {.type = SHMKV_NULL},
                                       {.data = "abc", .len = 3, .expires_ns = later},
                                       {.data = "abc", .len = 3, .flags = SHMKV_BOUND, .expires_ns = later}};
    uint64_t version = 0;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        ck_assert_ok(shmkv_put_item(kv, "k", 1, &items[i]));
        struct shmkv_item out = item_at("k"), again = item_at("k");
        ck_assert_int_eq(out.type, items[i].type);
        ck_assert_uint_eq(out.len, items[i].len);
        ck_assert_mem_eq(got, items[i].data ? items[i].data : "", out.len);
        ck_assert_uint_eq(out.flags, items[i].flags);
        ck_assert_uint_eq(out.expires_ns, items[i].expires_ns);
        ck_assert_uint_ne(out.version, version);
        ck_assert_uint_eq(out.version, again.version);
        ck_assert_ptr_eq(out.data, got);
        version = out.version;
    }
    ck_assert_uint_eq(count_of(kv), 1);
    ck_assert_whole(kv);
}
END_TEST

START_TEST(test_get_item_when_the_buffer_is_small_tells_the_rest) {
    struct shmkv_item item = text("a text"), out;
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &item));
    ck_assert_err(shmkv_get_item(kv, "k", 1, NULL, 0, &out), SHMKV_ETOOSMALL);
    ck_assert_uint_eq(out.len, 6);
    ck_assert_int_eq(out.type, SHMKV_TEXT);
    ck_assert_uint_eq(out.version, item_at("k").version);
    ck_assert_err(shmkv_get_item(kv, "k", 1, got, 5, &out), SHMKV_ETOOSMALL);
    ck_assert_err(shmkv_get_item(kv, "other", 5, got, 5, &out), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_get_item(kv, "k", 1, NULL, 5, &out), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_get_item(kv, "k", 1, got, 5, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_get_item(kv, "", 0, got, 5, &out), SHMKV_EKEY);
}
END_TEST

/* ---------------------------------------------------------------------- add, replace */

START_TEST(test_add_when_present_is_eexists_and_changes_nothing) {
    struct shmkv_item first = text("first"), second = text("second");
    uint64_t version = 0, unchanged = 77;
    ck_assert_ok(shmkv_add(kv, "k", 1, &first, &version));
    ck_assert_uint_eq(item_at("k").version, version);
    ck_assert_err(shmkv_add(kv, "k", 1, &second, &unchanged), SHMKV_EEXISTS);
    ck_assert_uint_eq(unchanged, 77);
    ck_assert_value(kv, "k", "first");
    ck_assert_uint_eq(item_at("k").version, version);
    ck_assert_uint_eq(count_of(kv), 1);
}
END_TEST

START_TEST(test_replace_when_absent_is_enotfound) {
    struct shmkv_item item = text("value");
    uint64_t version = 0;
    ck_assert_err(shmkv_replace(kv, "k", 1, &item, NULL), SHMKV_ENOTFOUND);
    ck_assert_value(kv, "k", NULL);
    put_text(kv, "k", "old");
    ck_assert_ok(shmkv_replace(kv, "k", 1, &item, &version));
    ck_assert_uint_eq(item_at("k").version, version);
    ck_assert_value(kv, "k", "value");
}
END_TEST

/* ------------------------------------------------------------------------ swap, take */

static const size_t sizes[] = {0, 1, 20, 300, 3000, LARGE};
#define SIZES (sizeof sizes / sizeof *sizes)

START_TEST(test_swap_gives_the_old_value_of_any_size) {
    for (size_t i = 0; i < SIZES; i++) {
        ck_assert_ok(shmkv_put(kv, "k", 1, bytes_of(i, sizes[_i]), sizes[_i]));
        uint64_t version = item_at("k").version;
        struct shmkv_item next = {.data = bytes_of(99, sizes[i]), .len = sizes[i]}, old;
        memset(got, 0xa5, sizeof got);
        ck_assert_ok(shmkv_swap(kv, "k", 1, &next, got, sizes[_i], &old));
        ck_assert_ok(old.result);
        ck_assert_uint_eq(old.len, sizes[_i]);
        ck_assert_uint_eq(old.version, version);
        ck_assert_mem_eq(got, bytes_of(i, sizes[_i]), sizes[_i]);
        ck_assert_uint_eq(got[sizes[_i]], 0xa5);
        ck_assert_uint_eq(item_at("k").len, sizes[i]);
        ck_assert_mem_eq(got, bytes_of(99, sizes[i]), sizes[i]);
    }
    ck_assert_uint_eq(count_of(kv), 1);
    ck_assert_whole(kv);
}
END_TEST

START_TEST(test_swap_when_absent_stores_and_says_so) {
    struct shmkv_item item = text("new"), old = {.len = 5};
    ck_assert_ok(shmkv_swap(kv, "k", 1, &item, NULL, 0, &old));
    ck_assert_err(old.result, SHMKV_ENOTFOUND);
    ck_assert_uint_eq(old.len, 0);
    ck_assert_uint_eq(old.version, 0);
    ck_assert_value(kv, "k", "new");
}
END_TEST

START_TEST(test_swap_and_take_when_the_buffer_is_small_change_nothing) {
    struct shmkv_item item = text("new"), old;
    put_text(kv, "k", "the old value");
    uint64_t version = item_at("k").version;
    ck_assert_err(shmkv_swap(kv, "k", 1, &item, got, 12, &old), SHMKV_ETOOSMALL);
    ck_assert_uint_eq(old.len, 13);
    ck_assert_err(shmkv_take(kv, "k", 1, NULL, 0, &old), SHMKV_ETOOSMALL);
    ck_assert_uint_eq(old.len, 13);
    ck_assert_uint_eq(item_at("k").version, version);
    ck_assert_value(kv, "k", "the old value");
    ck_assert_err(shmkv_swap(kv, "k", 1, &item, got, 13, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_swap(kv, "k", 1, &item, NULL, 13, &old), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_take(kv, "k", 1, got, 13, NULL), SHMKV_EARGUMENT);
}
END_TEST

START_TEST(test_take_gives_the_value_and_removes_it) {
    struct shmkv_item old;
    ck_assert_ok(shmkv_put(kv, "k", 1, bytes_of(3, sizes[_i]), sizes[_i]));
    ck_assert_ok(shmkv_take(kv, "k", 1, got, sizes[_i], &old));
    ck_assert_uint_eq(old.len, sizes[_i]);
    ck_assert_mem_eq(got, bytes_of(3, sizes[_i]), sizes[_i]);
    ck_assert_uint_eq(count_of(kv), 0);
    ck_assert_err(shmkv_take(kv, "k", 1, got, sizeof got, &old), SHMKV_ENOTFOUND);
    ck_assert_ok(shmkv_close(kv));
    kv = open_ok(name, NULL);
    ck_assert_uint_eq(stats_of(kv).cells_used, 1); /* the directory */
    ck_assert_uint_eq(stats_of(kv).large_bytes, 0);
}
END_TEST

/* --------------------------------------------------------------- compare, and then */

START_TEST(test_cas_goes_by_the_version) {
    struct shmkv_item item = text("next");
    ck_assert_err(shmkv_cas(kv, "k", 1, 2, &item), SHMKV_ECHANGED);
    ck_assert_ok(shmkv_cas(kv, "k", 1, 0, &item));
    ck_assert_err(shmkv_cas(kv, "k", 1, 0, &item), SHMKV_ECHANGED);
    uint64_t version = item_at("k").version;
    put_text(kv, "k", "between");
    ck_assert_err(shmkv_cas(kv, "k", 1, version, &item), SHMKV_ECHANGED);
    ck_assert_value(kv, "k", "between");
    ck_assert_ok(shmkv_cas(kv, "k", 1, item_at("k").version, &item));
    ck_assert_value(kv, "k", "next");
    /* The same bytes again are another value. */
    version = item_at("k").version;
    put_text(kv, "k", "next");
    ck_assert_err(shmkv_cas(kv, "k", 1, version, &item), SHMKV_ECHANGED);
}
END_TEST

/* Sizes on both sides of what is compared under the lock. */
/* Whatever somebody has stored there, it is not taken for a version that was compared before. */
START_TEST(test_cas_value_of_a_record_without_a_version_goes_by_its_bytes) {
    static uint8_t other[LARGE];
    size_t len = sizes[_i];
    struct shmkv_item is = {.data = bytes_of(1, len), .len = len}, wrong = {.data = other, .len = len},
                      next = text("next");
    memset(other, 0, sizeof other);
    wrong.type = len ? SHMKV_BYTES : SHMKV_NULL;
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &is));
    record_of("k")->version = 0;
    ck_assert_err(shmkv_cas_value(kv, "k", 1, &wrong, &next), SHMKV_ECHANGED);
    ck_assert_ok(shmkv_cas_value(kv, "k", 1, &is, &next));
    ck_assert_value(kv, "k", "next");
}
END_TEST

START_TEST(test_cas_value_goes_by_type_and_bytes) {
    size_t len = sizes[_i];
    static uint8_t other[LARGE];
    struct shmkv_item is = {.data = bytes_of(1, len), .len = len}, next = text("next");
    ck_assert_err(shmkv_cas_value(kv, "k", 1, &is, &next), SHMKV_ECHANGED);
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &is));
    uint64_t version = item_at("k").version;
    if (len) {
        memcpy(other, is.data, len);
        other[len - 1] ^= 1;
        struct shmkv_item wrong = {.data = other, .len = len};
        ck_assert_err(shmkv_cas_value(kv, "k", 1, &wrong, &next), SHMKV_ECHANGED);
        ck_assert_err(shmkv_delete_value(kv, "k", 1, &wrong), SHMKV_ECHANGED);
        wrong = (struct shmkv_item){.data = is.data, .len = len - 1};
        ck_assert_err(shmkv_cas_value(kv, "k", 1, &wrong, &next), SHMKV_ECHANGED);
    } else {
        struct shmkv_item wrong = {.type = SHMKV_NULL};
        ck_assert_err(shmkv_cas_value(kv, "k", 1, &wrong, &next), SHMKV_ECHANGED);
    }
    ck_assert_uint_eq(item_at("k").version, version);
    ck_assert_ok(shmkv_cas_value(kv, "k", 1, &is, &next));
    ck_assert_value(kv, "k", "next");
    struct shmkv_item as_bytes = {.data = "next", .len = 4};
    ck_assert_err(shmkv_cas_value(kv, "k", 1, &as_bytes, &next), SHMKV_ECHANGED);
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &is));
    ck_assert_ok(shmkv_delete_value(kv, "k", 1, &is));
    ck_assert_err(shmkv_delete_value(kv, "k", 1, &is), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_cas_value(kv, "k", 1, NULL, &is), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_delete_value(kv, "k", 1, NULL), SHMKV_EARGUMENT);
}
END_TEST

START_TEST(test_delete_if_goes_by_the_version) {
    ck_assert_err(shmkv_delete_if(kv, "k", 1, 2), SHMKV_ENOTFOUND);
    put_text(kv, "k", "one");
    uint64_t version = item_at("k").version;
    put_text(kv, "k", "two");
    ck_assert_err(shmkv_delete_if(kv, "k", 1, version), SHMKV_ECHANGED);
    ck_assert_err(shmkv_delete_if(kv, "k", 1, 0), SHMKV_ECHANGED);
    ck_assert_value(kv, "k", "two");
    ck_assert_ok(shmkv_delete_if(kv, "k", 1, item_at("k").version));
    ck_assert_uint_eq(count_of(kv), 0);
}
END_TEST

/* --------------------------------------------------------------- what counts as absent */

/* proves [OP-07] [OP-23] */
START_TEST(test_expired_entry_is_absent_for_everything) {
    struct shmkv_item item = text("new"), old, gone = {.data = bytes_of(1, 20), .len = 20};
    put_expired("k", 20);
    ck_assert_uint_eq(count_of(kv), 1);
    ck_assert_value(kv, "k", NULL);
    ck_assert_err(shmkv_get_item(kv, "k", 1, got, sizeof got, &old), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_exists(kv, "k", 1), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_replace(kv, "k", 1, &item, NULL), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_cas_value(kv, "k", 1, &gone, &item), SHMKV_ECHANGED);
    ck_assert_ok(shmkv_add(kv, "k", 1, &item, NULL));
    ck_assert_uint_eq(count_of(kv), 1);
    put_expired("k", 300);
    ck_assert_ok(shmkv_swap(kv, "k", 1, &item, NULL, 0, &old));
    ck_assert_err(old.result, SHMKV_ENOTFOUND);
    put_expired("k", 20);
    ck_assert_ok(shmkv_cas(kv, "k", 1, 0, &item));
    put_expired("k", 20);
    put_text(kv, "k", "plain");
    ck_assert_value(kv, "k", "plain");
    ck_assert_uint_eq(count_of(kv), 1);
    ck_assert_whole(kv);
}
END_TEST

/* proves [OP-23] */
START_TEST(test_removing_an_expired_entry_is_enotfound_and_removes_it) {
    struct shmkv_item old, gone = {.data = bytes_of(1, 20), .len = 20};
    for (int i = 0; i < 4; i++) {
        put_expired("k", 20);
        int err = i == 0   ? shmkv_delete(kv, "k", 1)
                  : i == 1 ? shmkv_take(kv, "k", 1, got, sizeof got, &old)
                  : i == 2 ? shmkv_delete_if(kv, "k", 1, 2)
                           : shmkv_delete_value(kv, "k", 1, &gone);
        ck_assert_err(err, SHMKV_ENOTFOUND);
        ck_assert_uint_eq(count_of(kv), 0);
    }
    ck_assert_ok(shmkv_close(kv));
    kv = open_ok(name, NULL);
    ck_assert_uint_eq(stats_of(kv).cells_used, 1);
}
END_TEST

START_TEST(test_entry_when_its_time_comes_is_absent) {
    struct shmkv_item item = text("short-lived");
    item.expires_ns = wall_ns() + 50 * 1000000;
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &item));
    int err;
    while ((err = shmkv_exists(kv, "k", 1)) == SHMKV_OK)
        sched_yield();
    ck_assert_err(err, SHMKV_ENOTFOUND);
    ck_assert_uint_ge(wall_ns(), item.expires_ns);
}
END_TEST

/* ------------------------------------------------------------------- bound to a writer */

static struct gate bound_put;

static void put_bound(void *key) {
    shmkv_t *mine = open_ok(name, NULL);
    struct shmkv_item item = text("bound");
    item.flags = SHMKV_BOUND;
    ck_assert_ok(shmkv_add(mine, key, strlen(key), &item, NULL));
    gate_open(&bound_put);
    for (;;)
        pause();
}

/* proves [OP-08] */
START_TEST(test_bound_entry_goes_with_the_handle) {
    shmkv_t *other = open_ok(name, NULL);
    struct shmkv_item item = text("bound");
    item.flags = SHMKV_BOUND;
    ck_assert_ok(shmkv_put_item(other, "k", 1, &item));
    ck_assert_uint_eq(item_at("k").flags, SHMKV_BOUND);
    ck_assert_err(shmkv_add(kv, "k", 1, &item, NULL), SHMKV_EEXISTS);
    ck_assert_ok(shmkv_close(other));
    ck_assert_value(kv, "k", NULL);
    ck_assert_ok(shmkv_add(kv, "k", 1, &item, NULL));
}
END_TEST

START_TEST(test_bound_entry_of_a_live_process_stays_until_it_is_dead) {
    bound_put = gate_new();
    pid_t pid = child_start(put_bound, "k");
    ck_assert(gate_wait(&bound_put));
    struct shmkv_item item = text("mine");
    ck_assert_err(shmkv_add(kv, "k", 1, &item, NULL), SHMKV_EEXISTS);
    ck_assert(child_stop(pid));
    ck_assert_err(shmkv_add(kv, "k", 1, &item, NULL), SHMKV_EEXISTS);
    ck_assert_err(shmkv_cas(kv, "k", 1, 0, &item), SHMKV_ECHANGED);
    ck_assert_value(kv, "k", "bound");
    ck_assert(child_kill(pid));
    /* Its slot has not been claimed by anybody: who needs the key cleans up. */
    ck_assert_ok(shmkv_add(kv, "k", 1, &item, NULL));
    ck_assert_value(kv, "k", "mine");
    ck_assert_uint_eq(stats_of(kv).owners_live, 1);
}
END_TEST

/* --------------------------------------------------------------------------- refusals */

START_TEST(test_every_change_through_a_read_only_handle_is_ereadonly) {
    put_text(kv, "k", "v");
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    struct shmkv_item item = text("w"), old;
    ck_assert_err(shmkv_put_item(reader, "k", 1, &item), SHMKV_EREADONLY);
    ck_assert_err(shmkv_add(reader, "k", 1, &item, NULL), SHMKV_EREADONLY);
    ck_assert_err(shmkv_replace(reader, "k", 1, &item, NULL), SHMKV_EREADONLY);
    ck_assert_err(shmkv_swap(reader, "k", 1, &item, got, 9, &old), SHMKV_EREADONLY);
    ck_assert_err(shmkv_take(reader, "k", 1, got, 9, &old), SHMKV_EREADONLY);
    ck_assert_err(shmkv_cas(reader, "k", 1, 0, &item), SHMKV_EREADONLY);
    ck_assert_err(shmkv_cas_value(reader, "k", 1, &item, &item), SHMKV_EREADONLY);
    ck_assert_err(shmkv_delete_if(reader, "k", 1, 1), SHMKV_EREADONLY);
    ck_assert_err(shmkv_delete_value(reader, "k", 1, &item), SHMKV_EREADONLY);
    ck_assert_detail(name);
    ck_assert_detail("(key \"k\")");
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

START_TEST(test_detail_of_a_failure_has_the_key_shortened_and_escaped) {
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    ck_assert_err(shmkv_put(reader, "a\n\"\xff", 4, "v", 1), SHMKV_EREADONLY);
    ck_assert_detail("(key \"a\\x0a\\x22\\xff\")");
    char key[200];
    memset(key, 'k', sizeof key);
    ck_assert_err(shmkv_put(reader, key, sizeof key, "v", 1), SHMKV_EREADONLY);
    ck_assert_detail("kkkkkkkkkkkkkkkkkkkkkkkk...\")");
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

/* ------------------------------------------------------------- many at the same time */

#define CHILDREN 4
#define ROUNDS 1000

static int64_t number_at(shmkv_t *mine, const char *key, uint64_t *version) {
    int64_t n = 0;
    struct shmkv_item item;
    ck_assert_ok(shmkv_get_item(mine, key, strlen(key), &n, sizeof n, &item));
    ck_assert_uint_eq(item.len, sizeof n);
    *version = item.version;
    return n;
}

static void count_by_cas(void *by_value) {
    shmkv_t *mine = open_ok(name, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        int err;
        do {
            uint64_t version;
            int64_t n = number_at(mine, "n", &version), next = n + 1;
            struct shmkv_item was = {.data = &n, .len = 8, .type = SHMKV_INT64},
                              is = {.data = &next, .len = 8, .type = SHMKV_INT64};
            err = by_value ? shmkv_cas_value(mine, "n", 1, &was, &is) : shmkv_cas(mine, "n", 1, version, &is);
        } while (err == SHMKV_ECHANGED);
        ck_assert_ok(err);
    }
    ck_assert_ok(shmkv_close(mine));
}

static void run_children(void (*body)(void *), void *arg) {
    pid_t pids[CHILDREN];
    for (int i = 0; i < CHILDREN; i++)
        pids[i] = child_start(body, arg);
    for (int i = 0; i < CHILDREN; i++)
        ck_assert(child_succeeded(pids[i]));
}

/* proves [OP-21] */
START_TEST(test_cas_when_many_count_loses_nothing) {
    const int64_t zero = 0;
    const struct shmkv_item item = {.data = &zero, .len = 8, .type = SHMKV_INT64};
    ck_assert_ok(shmkv_put_item(kv, "n", 1, &item));
    run_children(count_by_cas, _i ? &_i : NULL);
    uint64_t version;
    ck_assert_int_eq(number_at(kv, "n", &version), CHILDREN * ROUNDS);
}
END_TEST

/* The key "lock" is a mutex: added by who has it, deleted or taken by the same. */
static void count_by_add(void *arg) {
    (void)arg;
    shmkv_t *mine = open_ok(name, NULL);
    struct shmkv_item item = text("held"), old;
    for (int i = 0; i < ROUNDS / 4; i++) {
        uint64_t version;
        int err;
        while ((err = shmkv_add(mine, "lock", 4, &item, &version)) == SHMKV_EEXISTS)
            sched_yield();
        ck_assert_ok(err);
        uint64_t unused;
        int64_t next = number_at(mine, "n", &unused) + 1;
        ck_assert_ok(shmkv_put(mine, "n", 1, &next, 8));
        char room[8];
        ck_assert_ok(i % 2 ? shmkv_delete_if(mine, "lock", 4, version)
                           : shmkv_take(mine, "lock", 4, room, sizeof room, &old));
    }
    ck_assert_ok(shmkv_close(mine));
}

START_TEST(test_add_when_many_try_succeeds_for_one) {
    const int64_t zero = 0;
    ck_assert_ok(shmkv_put(kv, "n", 1, &zero, 8));
    run_children(count_by_add, NULL);
    uint64_t version;
    ck_assert_int_eq(number_at(kv, "n", &version), CHILDREN * (ROUNDS / 4));
    ck_assert_value(kv, "lock", NULL);
}
END_TEST

#define TOKENS (CHILDREN * ROUNDS)
#define TOKEN_SIZE 2000
static struct tokens {
    _Atomic(uint32_t) next, seen[TOKENS + 1];
} *tokens;

/* A token is its number, all along. */
static void see_token(const uint32_t *token, size_t len) {
    ck_assert_uint_eq(len, TOKEN_SIZE);
    for (size_t i = 1; i < TOKEN_SIZE / 4; i++)
        ck_assert_uint_eq(token[i], token[0]);
    ck_assert_uint_le(token[0], TOKENS);
    tokens->seen[token[0]]++;
}

static void pass_tokens(void *arg) {
    (void)arg;
    shmkv_t *mine = open_ok(name, NULL);
    uint32_t token[TOKEN_SIZE / 4], back[TOKEN_SIZE / 4];
    for (int n = 0; n < ROUNDS; n++) {
        uint32_t number = tokens->next++;
        for (size_t i = 0; i < TOKEN_SIZE / 4; i++)
            token[i] = number;
        const struct shmkv_item item = {.data = token, .len = TOKEN_SIZE};
        struct shmkv_item old;
        ck_assert_ok(shmkv_swap(mine, "slot", 4, &item, back, sizeof back, &old));
        if (old.result == SHMKV_OK)
            see_token(back, old.len);
        int err = n % 3 ? SHMKV_ENOTFOUND : shmkv_take(mine, "slot", 4, back, sizeof back, &old);
        if (err != SHMKV_ENOTFOUND) {
            ck_assert_ok(err);
            see_token(back, old.len);
        }
    }
    ck_assert_ok(shmkv_close(mine));
}

/* proves [OP-22] */
START_TEST(test_swap_and_take_when_many_do_give_each_value_to_one) {
    tokens = shared_memory(sizeof *tokens);
    run_children(pass_tokens, NULL);
    struct shmkv_item last;
    if (shmkv_get_item(kv, "slot", 4, got, sizeof got, &last) == SHMKV_OK)
        see_token((const uint32_t *)(const void *)got, last.len);
    for (uint32_t i = 0; i < TOKENS; i++)
        ck_assert_msg(tokens->seen[i] == 1, "token %u was seen %u times", i, tokens->seen[i]);
    ck_assert_whole(kv);
}
END_TEST

/* ----------------------------------------------------------------- against a model */

#define KEYS 60
static struct {
    bool present;
    size_t len;
    uint64_t seed, version;
} model[KEYS];

static void expect_old(const struct shmkv_item *old, uint64_t k) {
    ck_assert_uint_eq(old->len, model[k].len);
    ck_assert_mem_eq(got, bytes_of(model[k].seed, old->len), old->len);
}

static void stored(uint64_t k, size_t len, uint64_t seed) {
    model[k].present = true;
    model[k].len = len;
    model[k].seed = seed;
    struct shmkv_item item;
    ck_assert_ok(shmkv_get_item(kv, &k, sizeof k, got, sizeof got, &item));
    expect_old(&item, k);
    ck_assert_uint_gt(item.version, model[k].version);
    model[k].version = item.version;
}

START_TEST(test_changes_at_random_agree_with_a_model) {
    struct random r = random_begin("changes");
    for (uint64_t step = 0; step < 20000; step++) {
        uint64_t k = random_below(&r, KEYS);
        size_t len = random_below(&r, random_below(&r, 20) ? 300 : 20000);
        struct shmkv_item next = {.data = bytes_of(step, len), .len = len}, old, was = {0};
        static uint8_t before[20000];
        if (model[k].present) {
            uint64_t seed = random_below(&r, 4) ? model[k].seed : step + 1;
            memcpy(before, bytes_of(seed, model[k].len), model[k].len);
            was = (struct shmkv_item){.data = before, .len = model[k].len};
            bytes_of(step, len);
        }
        bool present = model[k].present, same = present && memcmp(before, bytes_of(model[k].seed, was.len), was.len) == 0;
        bytes_of(step, len);
        uint64_t version = random_below(&r, 4) ? model[k].version : 4;
        bool current = present && version == model[k].version;
        int err, no = SHMKV_OK;
        bool store = true;
        switch (random_below(&r, 8)) {
        case 0:
            err = shmkv_add(kv, &k, sizeof k, &next, NULL);
            no = present ? SHMKV_EEXISTS : SHMKV_OK;
            break;
        case 1:
            err = shmkv_replace(kv, &k, sizeof k, &next, NULL);
            no = present ? SHMKV_OK : SHMKV_ENOTFOUND;
            break;
        case 2:
            err = shmkv_swap(kv, &k, sizeof k, &next, got, sizeof got, &old);
            ck_assert_err(old.result, present ? SHMKV_OK : SHMKV_ENOTFOUND);
            if (present)
                expect_old(&old, k);
            break;
        case 3:
            err = shmkv_take(kv, &k, sizeof k, got, sizeof got, &old);
            no = present ? SHMKV_OK : SHMKV_ENOTFOUND;
            if (present)
                expect_old(&old, k);
            store = false;
            break;
        case 4:
            err = shmkv_cas(kv, &k, sizeof k, version, &next);
            no = current ? SHMKV_OK : SHMKV_ECHANGED;
            if (!version)
                no = present ? SHMKV_ECHANGED : SHMKV_OK;
            break;
        case 5:
            err = shmkv_cas_value(kv, &k, sizeof k, &was, &next);
            no = same ? SHMKV_OK : SHMKV_ECHANGED;
            break;
        case 6:
            err = shmkv_delete_if(kv, &k, sizeof k, version);
            no = !present ? SHMKV_ENOTFOUND : current ? SHMKV_OK : SHMKV_ECHANGED;
            store = false;
            break;
        default:
            err = shmkv_delete_value(kv, &k, sizeof k, &was);
            no = !present ? SHMKV_ENOTFOUND : same ? SHMKV_OK : SHMKV_ECHANGED;
            store = false;
        }
        ck_assert_err(err, no);
        if (!err && store)
            stored(k, len, step);
        else if (!err)
            model[k].present = false;
    }
    uint64_t n = 0;
    for (uint64_t k = 0; k < KEYS; k++)
        n += model[k].present;
    ck_assert_uint_eq(count_of(kv), n);
    ck_assert_whole(kv);
}
END_TEST

/* ---------------------------------------------------------------- the default end */

#define HOUR (3600ull * 1000000000)

static void open_with_ttl(uint64_t ttl_ns) {
    tear_down();
    struct shmkv_options opts = {.size = sizeof opts, .default_ttl_ns = ttl_ns};
    kv = open_ok(name = unique_name(), &opts);
}

static int store_again(void *arg, const struct shmkv_item *old, struct shmkv_item *new) {
    (void)arg, (void)old;
    new->data = "u", new->len = 1, new->type = SHMKV_BYTES;
    return SHMKV_OK;
}

static int make_item(void *arg, struct shmkv_item *new) {
    *new = *(const struct shmkv_item *)arg;
    return SHMKV_OK;
}

/* Every way to give an absent key a value. */
static int store_somehow(int way, const char *key, unsigned flags) {
    size_t len = strlen(key);
    const struct shmkv_item item = {.data = "v", .len = 1, .flags = flags};
    struct shmkv_item out;
    switch (way) {
    case 0: return shmkv_put_item(kv, key, len, &item);
    case 1: return shmkv_add(kv, key, len, &item, NULL);
    case 2: return shmkv_swap(kv, key, len, &item, got, sizeof got, &out);
    case 3: return shmkv_cas(kv, key, len, 0, &item);
    case 4:
        ck_assert_ok(shmkv_get_or_set(kv, key, len, &item, got, sizeof got, &out));
        ck_assert_uint_eq(out.expires_ns, item_at(key).expires_ns);
        return SHMKV_OK;
    case 5:
        ck_assert_ok(shmkv_get_or_compute(kv, key, len, make_item, (void *)(uintptr_t)&item, -1, got, sizeof got, &out));
        ck_assert_uint_eq(out.expires_ns, item_at(key).expires_ns);
        return SHMKV_OK;
    case 6: return shmkv_put(kv, key, len, "v", 1);
    case 7: return shmkv_put_i64(kv, key, len, 1);
    case 8: return shmkv_append(kv, key, len, "v", 1, NULL);
    case 9: return shmkv_incr_i64(kv, key, len, 1, 0, NULL);
    case 10: return shmkv_max_f64(kv, key, len, 1, NULL);
    default: return shmkv_update(kv, key, len, store_again, NULL);
    }
}

#define WAYS_WITH_FLAGS 6
#define WAYS 12

/* proves [OP-26] */
START_TEST(test_default_end_is_that_of_what_is_stored_without_one) {
    open_with_ttl(HOUR);
    ck_assert_uint_eq(info_of(kv).default_ttl_ns, HOUR);
    uint64_t before = wall_ns();
    ck_assert_ok(store_somehow(_i, "k", 0));
    uint64_t end = item_at("k").expires_ns;
    ck_assert_uint_ge(end, before + HOUR);
    ck_assert_uint_le(end, wall_ns() + HOUR);
    /* What begins anew over an expired one, too. */
    put_expired("k", 8);
    ck_assert_ok(store_somehow(_i, "k", 0));
    ck_assert_uint_ge(item_at("k").expires_ns, end);
}
END_TEST

/* proves [OP-26] */
START_TEST(test_default_end_gives_way_to_an_end_and_to_never) {
    open_with_ttl(HOUR);
    ck_assert_ok(store_somehow(_i, "k", SHMKV_NO_DEFAULT_EXPIRY));
    ck_assert_uint_eq(item_at("k").expires_ns, 0);
    const struct shmkv_item item = {.data = "v", .len = 1, .expires_ns = wall_ns() + 2 * HOUR};
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &item));
    ck_assert_uint_eq(item_at("k").expires_ns, item.expires_ns);
    ck_assert_ok(shmkv_touch(kv, "k", 1, 0));
    ck_assert_uint_eq(item_at("k").expires_ns, 0);
}
END_TEST

START_TEST(test_default_end_is_not_given_to_a_value_that_changes_in_place) {
    open_with_ttl(HOUR);
    const int64_t one = 1;
    const struct shmkv_item number = {.data = &one, .len = 8, .type = SHMKV_INT64, .flags = SHMKV_NO_DEFAULT_EXPIRY};
    ck_assert_ok(shmkv_put_item(kv, "n", 1, &number));
    ck_assert_ok(shmkv_incr_i64(kv, "n", 1, 1, 0, NULL));
    ck_assert_ok(store_somehow(0, "k", SHMKV_NO_DEFAULT_EXPIRY));
    ck_assert_ok(shmkv_append(kv, "k", 1, "w", 1, NULL));
    ck_assert_ok(shmkv_update(kv, "k", 1, store_again, NULL));
    ck_assert_uint_eq(item_at("n").expires_ns, 0);
    ck_assert_uint_eq(item_at("k").expires_ns, 0);
}
END_TEST

START_TEST(test_default_end_is_the_segments_and_not_the_openers) {
    struct shmkv_options opts = {.size = sizeof opts, .default_ttl_ns = 1};
    shmkv_t *other = open_ok(name, &opts);
    ck_assert_uint_eq(info_of(other).default_ttl_ns, 0);
    put_text(other, "k", "v");
    ck_assert_uint_eq(item_at("k").expires_ns, 0);
    ck_assert_ok(shmkv_close(other));
    opts.mode = SHMKV_EXCLUSIVE;
    other = open_ok(name, &opts);
    ck_assert_uint_eq(info_of(kv).default_ttl_ns, 1);
    put_text(kv, "k", "v");
    ck_assert_value(other, "k", NULL);
    ck_assert_ok(shmkv_close(other));
}
END_TEST

/* proves [OP-26] */
START_TEST(test_default_end_beyond_all_time_is_the_last_moment) {
    open_with_ttl(UINT64_MAX);
    put_text(kv, "k", "v");
    ck_assert_uint_eq(item_at("k").expires_ns, UINT64_MAX);
}
END_TEST

static Suite *change_suite(void) {
    Suite *s = suite_create("change");
    TCase *tc = case_new(s, "items");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_get_item_tells_all_that_was_put);
    tcase_add_test(tc, test_get_item_when_the_buffer_is_small_tells_the_rest);
    tc = case_new(s, "conditions");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_add_when_present_is_eexists_and_changes_nothing);
    tcase_add_test(tc, test_replace_when_absent_is_enotfound);
    tcase_add_loop_test(tc, test_swap_gives_the_old_value_of_any_size, 0, SIZES);
    tcase_add_test(tc, test_swap_when_absent_stores_and_says_so);
    tcase_add_test(tc, test_swap_and_take_when_the_buffer_is_small_change_nothing);
    tcase_add_loop_test(tc, test_take_gives_the_value_and_removes_it, 0, SIZES);
    tcase_add_test(tc, test_cas_goes_by_the_version);
    tcase_add_loop_test(tc, test_cas_value_goes_by_type_and_bytes, 0, SIZES);
    tcase_add_loop_test(tc, test_cas_value_of_a_record_without_a_version_goes_by_its_bytes, 0, SIZES);
    tcase_add_test(tc, test_delete_if_goes_by_the_version);
    tc = case_new(s, "absence");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_expired_entry_is_absent_for_everything);
    tcase_add_test(tc, test_removing_an_expired_entry_is_enotfound_and_removes_it);
    tcase_add_test(tc, test_entry_when_its_time_comes_is_absent);
    tcase_add_test(tc, test_bound_entry_goes_with_the_handle);
    tcase_add_test(tc, test_bound_entry_of_a_live_process_stays_until_it_is_dead);
    tc = case_new(s, "default end");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_default_end_is_that_of_what_is_stored_without_one, 0, WAYS);
    tcase_add_loop_test(tc, test_default_end_gives_way_to_an_end_and_to_never, 0, WAYS_WITH_FLAGS);
    tcase_add_test(tc, test_default_end_is_not_given_to_a_value_that_changes_in_place);
    tcase_add_test(tc, test_default_end_is_the_segments_and_not_the_openers);
    tcase_add_test(tc, test_default_end_beyond_all_time_is_the_last_moment);
    tc = case_new(s, "refusals");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_every_change_through_a_read_only_handle_is_ereadonly);
    tcase_add_test(tc, test_detail_of_a_failure_has_the_key_shortened_and_escaped);
    tc = case_new(s, "together");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_cas_when_many_count_loses_nothing, 0, 2);
    tcase_add_test(tc, test_add_when_many_try_succeeds_for_one);
    tcase_add_test(tc, test_swap_and_take_when_many_do_give_each_value_to_one);
    tcase_add_test(tc, test_changes_at_random_agree_with_a_model);
    return s;
}

int main(void) { return suite_main(change_suite()); }
