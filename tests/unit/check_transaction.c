/* Several keys that change together or not at all. Spec 6.15. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
}

static void tear_down(void) { finish(kv, name); }

#define TEXT(s) ((struct shmkv_item){.data = (s), .len = strlen(s)})
#define KEY(s) ((struct shmkv_bytes){(s), strlen(s)})

static const struct shmkv_bytes abc[] = {{"a", 1}, {"b", 1}, {"c", 1}};

static void put(shmkv_txn_t *txn, size_t i, const char *text) {
    struct shmkv_item item = TEXT(text);
    ck_assert_ok(shmkv_txn_put(txn, i, &item));
}

/* The value is this text; with NULL, absent. */
static void expect(shmkv_txn_t *txn, size_t i, const char *text) {
    struct shmkv_item item;
    int err = shmkv_txn_get(txn, i, &item);
    ck_assert_err(err, text ? SHMKV_OK : SHMKV_ENOTFOUND);
    if (text) {
        ck_assert_uint_eq(item.len, strlen(text));
        ck_assert_mem_eq(item.data, text, item.len);
    }
}

static uint64_t total_changes(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < segment_of(kv)->shard_count; i++)
        sum += segment_of(kv)->shards[i].changes;
    return sum;
}

/* Nothing is locked, and our slots hold nothing of a transaction. */
static void expect_at_rest(void) {
    struct segment *seg = segment_of(kv);
    for (uint32_t i = 0; i < seg->owner_count; i++)
        ck_assert_uint_eq(seg->owners[i].txn, 0);
    for (uint32_t i = 0; i < domain_count(seg); i++) {
        struct domain d = domain_at(seg, i);
        ck_assert_uint_eq(*d.lock, 0);
        ck_assert_uint_eq(*d.intent, 0);
    }
}

/* ------------------------------------------------------------------------- effect */

static int change_all_three(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    expect(txn, 0, NULL);
    expect(txn, 1, "old");
    expect(txn, 2, "going");
    put(txn, 0, "new");
    put(txn, 1, "newer");
    ck_assert_ok(shmkv_txn_delete(txn, 2));
    return SHMKV_OK;
}

START_TEST(test_transaction_makes_every_change) {
    put_text(kv, "b", "old");
    put_text(kv, "c", "going");
    uint64_t cells = stats_of(kv).cells_used;
    ck_assert_ok(shmkv_transaction(kv, 3, abc, change_all_three, NULL));
    ck_assert_value(kv, "a", "new");
    ck_assert_value(kv, "b", "newer");
    ck_assert_value(kv, "c", NULL);
    ck_assert_uint_eq(count_of(kv), 2);
    ck_assert_whole(kv);
    expect_at_rest();
    ck_assert_uint_le(stats_of(kv).cells_used, cells + 1); /* the first directory of a shard, perhaps */
}
END_TEST

static int see_own_wishes(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    put(txn, 0, "1");
    expect(txn, 0, "1");
    put(txn, 0, "2");
    expect(txn, 0, "2");
    struct shmkv_item item;
    ck_assert_ok(shmkv_txn_get(txn, 0, &item));
    ck_assert_ok(shmkv_txn_put(txn, 0, &item)); /* its own value */
    expect(txn, 0, "2");
    ck_assert_ok(shmkv_txn_delete(txn, 0));
    expect(txn, 0, NULL);
    ck_assert_err(shmkv_txn_delete(txn, 0), SHMKV_ENOTFOUND);
    put(txn, 1, "gone again");
    ck_assert_ok(shmkv_txn_delete(txn, 1));
    ck_assert_err(shmkv_txn_delete(txn, 2), SHMKV_ENOTFOUND);
    return SHMKV_OK;
}

START_TEST(test_get_gives_what_this_run_has_wished) {
    put_text(kv, "a", "0");
    ck_assert_ok(shmkv_transaction(kv, 3, abc, see_own_wishes, NULL));
    ck_assert_uint_eq(count_of(kv), 0);
    ck_assert_whole(kv);
}
END_TEST

static int put_and_return(void *arg, shmkv_txn_t *txn) {
    put(txn, 0, "x");
    put(txn, 1, "x");
    return *(int *)arg;
}

START_TEST(test_what_the_function_returns_is_returned_and_nothing_changes) {
    int results[] = {SHMKV_ENOTFOUND, ENOMEM, 12345, -12345, E_RETRY, E_MOVED, SHMKV_ENOSPC};
    uint64_t before = total_changes();
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        ck_assert_int_eq(shmkv_transaction(kv, 3, abc, put_and_return, &results[i]), results[i]);
    ck_assert_uint_eq(count_of(kv), 0);
    ck_assert_uint_eq(total_changes(), before);
    expect_at_rest();
}
END_TEST

static int only_look(void *arg, shmkv_txn_t *txn) {
    ++*(int *)arg;
    expect(txn, 0, "a");
    expect(txn, 2, NULL);
    return SHMKV_OK;
}

START_TEST(test_when_nothing_is_wished_nothing_is_stored) {
    put_text(kv, "a", "a");
    uint64_t before = total_changes();
    int calls = 0;
    ck_assert_ok(shmkv_transaction(kv, 3, abc, only_look, &calls));
    ck_assert_int_eq(calls, 1);
    ck_assert_uint_eq(total_changes(), before);
}
END_TEST

static int give_types(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    int64_t number = -5;
    struct shmkv_item i64 = {.data = &number, .len = 8, .type = SHMKV_INT64};
    struct shmkv_item null = {.type = SHMKV_NULL, .flags = SHMKV_BOUND};
    struct shmkv_item gone = {.data = "x", .len = 1, .expires_ns = 1};
    ck_assert_ok(shmkv_txn_put(txn, 0, &i64));
    ck_assert_ok(shmkv_txn_put(txn, 1, &null));
    ck_assert_ok(shmkv_txn_put(txn, 2, &gone));
    return SHMKV_OK;
}

START_TEST(test_types_owners_and_ends_are_those_of_the_items) {
    put_text(kv, "c", "c");
    ck_assert_ok(shmkv_transaction(kv, 3, abc, give_types, NULL));
    char buf[8];
    struct shmkv_item item;
    ck_assert_ok(shmkv_get_item(kv, "a", 1, buf, sizeof buf, &item));
    ck_assert_int_eq(item.type, SHMKV_INT64);
    ck_assert_uint_eq(item.len, 8);
    ck_assert_ok(shmkv_get_item(kv, "b", 1, buf, sizeof buf, &item));
    ck_assert_int_eq(item.type, SHMKV_NULL);
    ck_assert_uint_eq(item.flags, SHMKV_BOUND);
    ck_assert_value(kv, "c", NULL);
    ck_assert_whole(kv);
}
END_TEST

static int put_over_expired(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    expect(txn, 0, NULL);
    expect(txn, 1, NULL);
    put(txn, 0, "alive");
    return SHMKV_OK;
}

START_TEST(test_an_expired_entry_is_absent_and_is_replaced) {
    const struct shmkv_item expired = {.data = "x", .len = 1, .expires_ns = 1};
    ck_assert_ok(shmkv_put_item(kv, "a", 1, &expired));
    ck_assert_ok(shmkv_put_item(kv, "b", 1, &expired));
    ck_assert_ok(shmkv_transaction(kv, 2, abc, put_over_expired, NULL));
    ck_assert_value(kv, "a", "alive");
    ck_assert_uint_eq(count_of(kv), 2);
    ck_assert_whole(kv);
}
END_TEST

static int inner(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    put(txn, 0, "inner");
    return SHMKV_OK;
}

/* proves [WAIT-02]: the flag of those who sleep until a shard changes is taken down */
START_TEST(test_whoever_waits_for_a_key_is_woken) {
    shard_t *shards[3];
    for (int i = 0; i < 3; i++) {
        shards[i] = &segment_of(kv)->shards[hash_shard(segment_of(kv), hash_of(kv, abc[i].data, 1))];
        shards[i]->waiters = MAKE(WAITERS_KEY, 1);
    }
    ck_assert_ok(shmkv_transaction(kv, 3, abc, inner, NULL));
    ck_assert_uint_eq(shards[0]->waiters, 0);
    if (shards[1] != shards[0]) /* of a key that was only named */
        ck_assert_uint_ne(shards[1]->waiters, 0);
    for (int i = 0; i < 3; i++)
        shards[i]->waiters = 0;
}
END_TEST

/* ---------------------------------------------------------------------- bad input */

static int never(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    (void)txn;
    ck_abort_msg("the function was called");
    return SHMKV_OK;
}

START_TEST(test_bad_arguments_are_refused) {
    struct shmkv_bytes bad[] = {{"a", 1}, {NULL, 1}}, empty[] = {{"a", 0}}, twice[] = {{"a", 1}, {"b", 1}, {"a", 1}};
    ck_assert_err(shmkv_transaction(kv, 3, abc, NULL, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_transaction(kv, 0, abc, never, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_transaction(kv, 1, NULL, never, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_transaction(NULL, 3, abc, never, NULL), SHMKV_ECLOSED);
    ck_assert_err(shmkv_transaction(kv, 2, bad, never, NULL), SHMKV_EKEY);
    ck_assert_err(shmkv_transaction(kv, 1, empty, never, NULL), SHMKV_EKEY);
    ck_assert_err(shmkv_transaction(kv, 3, twice, never, NULL), SHMKV_EARGUMENT);
    ck_assert_detail("named twice");
    expect_at_rest();
}
END_TEST

static int refuse_strangers(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    struct shmkv_item item = {.data = "x", .len = 1}, bad = {.data = "x", .len = 1, .type = SHMKV_INT64};
    ck_assert_err(shmkv_txn_get(txn, 3, &item), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_txn_get(txn, 0, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_txn_put(txn, 3, &item), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_txn_put(txn, (size_t)-1, &item), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_txn_delete(txn, 3), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_txn_put(txn, 0, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_txn_put(txn, 0, &bad), SHMKV_EVALUE);
    expect(txn, 0, NULL);
    return SHMKV_OK;
}

START_TEST(test_only_declared_keys_and_good_values_are_taken) {
    ck_assert_ok(shmkv_transaction(kv, 3, abc, refuse_strangers, NULL));
    struct shmkv_item item;
    ck_assert_err(shmkv_txn_get(NULL, 0, &item), SHMKV_EARGUMENT);
    ck_assert_uint_eq(count_of(kv), 0);
}
END_TEST

static struct shmkv_bytes many[SHMKV_MAX_TRANSACTION + 1];
static uint32_t numbers[SHMKV_MAX_TRANSACTION + 1];

static void name_many(void) {
    for (uint32_t i = 0; i <= SHMKV_MAX_TRANSACTION; i++) {
        numbers[i] = i;
        many[i] = (struct shmkv_bytes){&numbers[i], sizeof numbers[i]};
    }
}

static int add_to_all(void *arg, shmkv_txn_t *txn) {
    const size_t *len = arg;
    uint8_t *value = malloc(*len);
    ck_assert_ptr_nonnull(value);
    for (size_t i = 0; i < SHMKV_MAX_TRANSACTION; i++) {
        memset(value, (int)i, *len);
        const struct shmkv_item item = {.data = value, .len = *len};
        ck_assert_ok(shmkv_txn_put(txn, i, &item));
    }
    free(value);
    return SHMKV_OK;
}

START_TEST(test_as_many_keys_as_allowed_and_one_more) {
    name_many();
    size_t sizes[] = {8, 20000, 100};
    ck_assert_err(shmkv_transaction(kv, SHMKV_MAX_TRANSACTION + 1, many, never, NULL), SHMKV_EARGUMENT);
    ck_assert_detail("1024");
    for (int i = 0; i < 3; i++) {
        ck_assert_ok(shmkv_transaction(kv, SHMKV_MAX_TRANSACTION, many, add_to_all, &sizes[i]));
        ck_assert_uint_eq(count_of(kv), SHMKV_MAX_TRANSACTION);
        ck_assert_whole(kv);
    }
    uint8_t value[100];
    size_t len;
    for (uint32_t i = 0; i < SHMKV_MAX_TRANSACTION; i++) {
        ck_assert_ok(shmkv_get(kv, &i, sizeof i, value, sizeof value, &len));
        ck_assert(len == 100 && value[0] == (uint8_t)i && value[99] == (uint8_t)i);
    }
    expect_at_rest();
}
END_TEST

START_TEST(test_read_only_and_frozen_are_refused) {
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    ck_assert_err(shmkv_transaction(reader, 3, abc, never, NULL), SHMKV_EREADONLY);
    ck_assert_ok(shmkv_close(reader));
    ck_assert_ok(shmkv_freeze(kv));
    ck_assert_err(shmkv_transaction(kv, 3, abc, never, NULL), SHMKV_EFROZEN);
}
END_TEST

static int freeze_first(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    ck_assert_ok(shmkv_freeze(kv));
    put(txn, 0, "x");
    return SHMKV_OK;
}

START_TEST(test_frozen_meanwhile_changes_nothing) {
    ck_assert_err(shmkv_transaction(kv, 3, abc, freeze_first, NULL), SHMKV_EFROZEN);
    ck_assert_uint_eq(count_of(kv), 0);
    expect_at_rest();
}
END_TEST

START_TEST(test_no_space_changes_nothing) {
    const char *small = unique_name();
    struct shmkv_options opts = {.size = sizeof opts, .max_size = 1 << 20};
    shmkv_t *full = open_ok(small, &opts);
    ck_assert_ok(shmkv_put(full, "keep", 4, "kept", 4));
    name_many();
    size_t len = 20000;
    ck_assert_err(shmkv_transaction(full, SHMKV_MAX_TRANSACTION, many, add_to_all, &len), SHMKV_ENOSPC);
    ck_assert_uint_eq(count_of(full), 1);
    ck_assert_value(full, "keep", "kept");
    finish(full, small);
}
END_TEST

/* --------------------------------------------------------------------- new places */

static int put_everywhere(void *arg, shmkv_txn_t *txn) {
    for (size_t i = 0; i < *(size_t *)arg; i++)
        put(txn, i, "value");
    return SHMKV_OK;
}

/* No two of them may get one slot, and there are more than fit one bucket. */
START_TEST(test_new_keys_of_one_bucket_get_a_slot_each) {
    static char texts[40][KEY_TEXT_SIZE];
    struct shmkv_bytes keys[40];
    struct key_search same = search_like(kv, "subject", 8, true, "bucket");
    for (size_t i = 0; i < 40; i++) {
        key_find(&same, texts[i]);
        keys[i] = KEY(texts[i]);
    }
    size_t done = 0;
    for (size_t n = 1; done + n <= 40; done += n, n *= 3) {
        ck_assert_ok(shmkv_transaction(kv, n, keys + done, put_everywhere, &n));
        ck_assert_uint_eq(count_of(kv), done + n);
        ck_assert_whole(kv);
    }
    for (size_t i = 0; i < done; i++)
        ck_assert_value(kv, texts[i], "value");
    expect_at_rest();
}
END_TEST

/* The group splits between the search for one key and that for the next. */
START_TEST(test_new_keys_of_a_group_that_splits_all_get_there) {
    static char texts[1000][KEY_TEXT_SIZE];
    static struct shmkv_bytes keys[1000];
    struct key_search same = search_like(kv, "subject", 0, false, "group");
    for (size_t i = 0; i < 1000; i++) {
        key_find(&same, texts[i]);
        keys[i] = KEY(texts[i]);
    }
    size_t n = 500;
    ck_assert_ok(shmkv_transaction(kv, n, keys, put_everywhere, &n));
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_transaction(kv, n, keys + n, put_everywhere, &n));
    ck_assert_uint_eq(count_of(kv), 1000);
    for (size_t i = 0; i < 1000; i++)
        ck_assert_value(kv, texts[i], "value");
    ck_assert_uint_gt(stats_of(kv).directory_words, 1);
    ck_assert_whole(kv);
    expect_at_rest();
}
END_TEST

/* ------------------------------------------------------------------------ conflict */

struct meddler {
    const char *key;
    int calls, meddle; /* in so many calls */
};

static int be_meddled_with(void *arg, shmkv_txn_t *txn) {
    struct meddler *m = arg;
    char text[20];
    snprintf(text, sizeof text, "%d", m->calls);
    expect(txn, 1, m->calls && strcmp(m->key, "b") == 0 ? text : NULL);
    m->calls++;
    put(txn, 0, "done");
    snprintf(text, sizeof text, "%d", m->calls);
    if (m->calls <= m->meddle)
        put_text(kv, m->key, text);
    return SHMKV_OK;
}

START_TEST(test_when_a_key_that_was_looked_at_changes_the_function_runs_again) {
    struct meddler m = {"b", 0, 3};
    ck_assert_ok(shmkv_transaction(kv, 3, abc, be_meddled_with, &m));
    ck_assert_int_eq(m.calls, 4);
    ck_assert_value(kv, "a", "done");
}
END_TEST

START_TEST(test_when_another_key_changes_it_does_not) {
    struct meddler m = {"stranger", 0, 3};
    ck_assert_ok(shmkv_transaction(kv, 3, abc, be_meddled_with, &m));
    ck_assert_int_eq(m.calls, 1);
}
END_TEST

static int come_and_go(void *arg, shmkv_txn_t *txn) {
    struct meddler *m = arg;
    if (m->calls++ < m->meddle)
        ck_assert_ok(shmkv_delete(kv, "b", 1));
    else
        expect(txn, 1, NULL);
    put(txn, 2, "done");
    return SHMKV_OK;
}

START_TEST(test_when_a_key_goes_the_function_runs_again) {
    put_text(kv, "b", "x");
    struct meddler m = {"b", 0, 1};
    ck_assert_ok(shmkv_transaction(kv, 3, abc, come_and_go, &m));
    ck_assert_int_eq(m.calls, 2);
}
END_TEST

static int always_meddle(void *arg, shmkv_txn_t *txn) {
    int n = ++*(int *)arg;
    ck_assert_ok(shmkv_put(kv, "b", 1, &n, sizeof n));
    put(txn, 0, "never");
    return SHMKV_OK;
}

START_TEST(test_keys_that_always_change_are_busy) {
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = 50};
    shmkv_t *hasty = open_ok(name, &opts);
    int calls = 0;
    ck_assert_err(shmkv_transaction(hasty, 3, abc, always_meddle, &calls), SHMKV_EBUSY);
    ck_assert_int_gt(calls, 1);
    ck_assert_value(kv, "a", NULL);
    ck_assert_ok(shmkv_close(hasty));
    expect_at_rest();
}
END_TEST

static int replace_under(void *arg, shmkv_txn_t *txn) {
    if (++*(int *)arg == 1)
        ck_assert_ok(shmkv_close(open_mode(name, SHMKV_EXCLUSIVE)));
    else
        expect(txn, 0, NULL);
    put(txn, 1, "fresh");
    return SHMKV_OK;
}

START_TEST(test_when_the_segment_is_replaced_the_function_runs_again_there) {
    put_text(kv, "a", "old");
    int calls = 0;
    ck_assert_ok(shmkv_transaction(kv, 2, abc, replace_under, &calls));
    ck_assert_int_eq(calls, 2);
    ck_assert_value(kv, "b", "fresh");
    ck_assert_uint_eq(info_of(kv).incarnation, 2);
    expect_at_rest();
}
END_TEST

#define UUID_SIZE 16

static void give_uuid(const uint8_t uuid[UUID_SIZE]) {
    const char *path = shm_path(name);
    file_patch(path, offsetof(header_t, uuid), uuid, UUID_SIZE);
    header_reseal(path);
}

/* The one that takes its place has fewer shards. */
static int replace_by_one_of_the_same_uuid(void *arg, shmkv_txn_t *txn) {
    uint8_t uuid[UUID_SIZE];
    memcpy(uuid, info_of(kv).uuid, sizeof uuid);
    if (++*(int *)arg == 1) {
        struct shmkv_options few_shards = {
            .size = sizeof few_shards, .mode = SHMKV_EXCLUSIVE, .max_entries = 8};
        ck_assert_ok(shmkv_close(open_ok(name, &few_shards)));
        give_uuid(uuid);
    }
    for (size_t i = 0; i < 3; i++)
        put(txn, i, "fresh");
    return SHMKV_OK;
}

START_TEST(test_a_segment_is_told_from_another_of_the_same_uuid) {
    int calls = 0;
    ck_assert_ok(shmkv_transaction(kv, 3, abc, replace_by_one_of_the_same_uuid, &calls));
    ck_assert_int_eq(calls, 2);
    ck_assert_value(kv, "c", "fresh");
    expect_at_rest();
}
END_TEST

START_TEST(test_a_segment_without_a_uuid_is_as_good) {
    give_uuid((const uint8_t[UUID_SIZE]){0});
    ck_assert_ok(shmkv_transaction(kv, 3, abc, inner, NULL));
    ck_assert_value(kv, "a", "inner");
}
END_TEST

static int outer(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    ck_assert_ok(shmkv_transaction(kv, 1, abc + 2, inner, NULL));
    put(txn, 0, "outer");
    return SHMKV_OK;
}

START_TEST(test_a_transaction_in_a_transaction_stands_by_itself) {
    ck_assert_ok(shmkv_transaction(kv, 2, abc, outer, NULL));
    ck_assert_value(kv, "a", "outer");
    ck_assert_value(kv, "c", "inner");
}
END_TEST

/* ---------------------------------------------------------------------------- bank */

#define ACCOUNTS 12
#define DEPOSIT 1000
#define TRANSFERS 1500

static int64_t balance(shmkv_txn_t *txn, size_t i) {
    struct shmkv_item item;
    int64_t n;
    ck_assert_ok(shmkv_txn_get(txn, i, &item));
    ck_assert_uint_eq(item.type, SHMKV_INT64);
    memcpy(&n, item.data, sizeof n);
    return n;
}

static void set_balance(shmkv_txn_t *txn, size_t i, int64_t n) {
    const struct shmkv_item item = {.data = &n, .len = sizeof n, .type = SHMKV_INT64};
    ck_assert_ok(shmkv_txn_put(txn, i, &item));
}

static int open_accounts(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    for (size_t i = 0; i < ACCOUNTS; i++)
        set_balance(txn, i, DEPOSIT);
    return SHMKV_OK;
}

static int transfer(void *arg, shmkv_txn_t *txn) {
    int64_t amount = *(int64_t *)arg;
    set_balance(txn, 0, balance(txn, 0) - amount);
    set_balance(txn, 1, balance(txn, 1) + amount);
    return SHMKV_OK;
}

static int add_up(void *arg, shmkv_txn_t *txn) {
    int64_t sum = 0;
    for (size_t i = 0; i < ACCOUNTS; i++)
        sum += balance(txn, i);
    *(int64_t *)arg = sum;
    return SHMKV_OK;
}

static void transfer_at_random(shmkv_t *h, struct random *r) {
    uint64_t from = random_below(r, ACCOUNTS), to = (from + 1 + random_below(r, ACCOUNTS - 1)) % ACCOUNTS;
    int64_t amount = (int64_t)random_below(r, 100);
    ck_assert_ok(shmkv_transaction(h, 2, (struct shmkv_bytes[]){many[from], many[to]}, transfer, &amount));
}

static struct gate *progress;

static void be_clerk(void *arg) {
    struct random r = {(uint64_t)(uintptr_t)arg + 1};
    shmkv_t *h = open_ok(name, NULL);
    for (int i = 0; i < TRANSFERS; i++)
        transfer_at_random(h, &r);
    ck_assert_ok(shmkv_close(h));
}

static void *be_clerk_in_thread(void *arg) {
    struct random r = {(uint64_t)(uintptr_t)arg + 77};
    for (int i = 0; i < TRANSFERS; i++)
        transfer_at_random(kv, &r);
    return NULL;
}

static void be_clerk_for_ever(void *arg) {
    struct random r = {(uint64_t)(uintptr_t)arg + 1000};
    shmkv_t *h = open_ok(name, NULL);
    for (int n = 0;; n++) {
        transfer_at_random(h, &r);
        if (n == 20)
            gate_open(progress);
    }
}

static void expect_sum_in_snapshot(shmkv_t *h) {
    shmkv_snapshot_t *s;
    const void *key, *val;
    size_t key_len, val_len;
    int64_t sum = 0, n;
    int err = shmkv_snapshot(h, &s);
    if (err == SHMKV_EBUSY)
        return; /* a reader's, and it never held still */
    ck_assert_ok(err);
    ck_assert_uint_eq(shmkv_snapshot_count(s), ACCOUNTS);
    while (shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK) {
        memcpy(&n, val, sizeof n);
        sum += n;
    }
    ck_assert_int_eq(sum, ACCOUNTS * DEPOSIT);
    shmkv_snapshot_free(s);
}

static void expect_sum(shmkv_t *h) {
    int64_t sum;
    ck_assert_ok(shmkv_transaction(h, ACCOUNTS, many, add_up, &sum));
    ck_assert_int_eq(sum, ACCOUNTS * DEPOSIT);
}

/* proves [TXN-01]: whoever adds up at one moment, by a transaction or a snapshot, misses nothing */
START_TEST(test_transfers_keep_the_sum) {
    name_many();
    ck_assert_ok(shmkv_transaction(kv, ACCOUNTS, many, open_accounts, NULL));
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    pid_t clerks[2];
    pthread_t threads[2];
    /* Children first: one that is forked while a thread asserts inherits Check's mutex as it is. */
    for (uintptr_t i = 0; i < 2; i++)
        clerks[i] = child_start(be_clerk, (void *)i);
    for (uintptr_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, be_clerk_in_thread, (void *)i), 0);
    for (int i = 0; i < 300; i++) {
        expect_sum(kv);
        expect_sum_in_snapshot(kv);
        expect_sum_in_snapshot(reader);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert(child_succeeded(clerks[i]));
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    }
    expect_sum(kv);
    expect_sum_in_snapshot(reader);
    ck_assert_uint_eq(count_of(kv), ACCOUNTS);
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(reader));
    expect_at_rest();
}
END_TEST

/* proves [TXN-05] [TXN-06] */
START_TEST(test_transfers_of_clerks_who_are_killed_keep_the_sum) {
    name_many();
    ck_assert_ok(shmkv_transaction(kv, ACCOUNTS, many, open_accounts, NULL));
    struct gate gate = gate_new();
    progress = &gate;
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    for (uintptr_t i = 0; i < 40; i++) {
        pid_t first = child_start(be_clerk_for_ever, (void *)(2 * i)),
              second = child_start(be_clerk_for_ever, (void *)(2 * i + 1));
        ck_assert(gate_wait(&gate) && gate_wait(&gate));
        ck_assert(child_kill(first) && child_kill(second));
        expect_sum_in_snapshot(reader);
        ck_assert_whole(reader);
        expect_sum(kv);
        expect_sum_in_snapshot(kv);
    }
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

/* Stopped wherever it is, it is alive: a reader's snapshot is all or nothing. */
START_TEST(test_a_clerk_who_is_stopped_shows_a_reader_the_sum) {
    name_many();
    ck_assert_ok(shmkv_transaction(kv, ACCOUNTS, many, open_accounts, NULL));
    struct gate gate = gate_new();
    progress = &gate;
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    pid_t clerk = child_start(be_clerk_for_ever, (void *)5);
    ck_assert(gate_wait(&gate));
    for (int i = 0; i < 200; i++) {
        ck_assert(child_stop(clerk));
        expect_sum_in_snapshot(reader);
        ck_assert_whole(reader);
        child_continue(clerk);
    }
    ck_assert(child_kill(clerk));
    ck_assert_ok(shmkv_close(reader));
    expect_sum(kv);
}
END_TEST

static Suite *transaction_suite(void) {
    Suite *s = suite_create("transaction");
    TCase *tc = case_new(s, "effect");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_transaction_makes_every_change);
    tcase_add_test(tc, test_get_gives_what_this_run_has_wished);
    tcase_add_test(tc, test_what_the_function_returns_is_returned_and_nothing_changes);
    tcase_add_test(tc, test_when_nothing_is_wished_nothing_is_stored);
    tcase_add_test(tc, test_types_owners_and_ends_are_those_of_the_items);
    tcase_add_test(tc, test_an_expired_entry_is_absent_and_is_replaced);
    tcase_add_test(tc, test_whoever_waits_for_a_key_is_woken);
    tc = case_new(s, "bad input");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, test_bad_arguments_are_refused);
    tcase_add_test(tc, test_only_declared_keys_and_good_values_are_taken);
    tcase_add_test(tc, test_as_many_keys_as_allowed_and_one_more);
    tcase_add_test(tc, test_read_only_and_frozen_are_refused);
    tcase_add_test(tc, test_frozen_meanwhile_changes_nothing);
    tcase_add_test(tc, test_no_space_changes_nothing);
    tc = case_new(s, "new places");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_new_keys_of_one_bucket_get_a_slot_each);
    tcase_add_test(tc, test_new_keys_of_a_group_that_splits_all_get_there);
    tc = case_new(s, "conflict");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_when_a_key_that_was_looked_at_changes_the_function_runs_again);
    tcase_add_test(tc, test_when_another_key_changes_it_does_not);
    tcase_add_test(tc, test_when_a_key_goes_the_function_runs_again);
    tcase_add_test(tc, test_keys_that_always_change_are_busy);
    tcase_add_test(tc, test_when_the_segment_is_replaced_the_function_runs_again_there);
    tcase_add_test(tc, test_a_segment_is_told_from_another_of_the_same_uuid);
    tcase_add_test(tc, test_a_segment_without_a_uuid_is_as_good);
    tcase_add_test(tc, test_a_transaction_in_a_transaction_stands_by_itself);
    tc = case_new(s, "bank");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_transfers_keep_the_sum);
    tcase_add_test(tc, test_transfers_of_clerks_who_are_killed_keep_the_sum);
    tcase_add_test(tc, test_a_clerk_who_is_stopped_shows_a_reader_the_sum);
    return s;
}

int main(void) { return suite_main(transaction_suite()); }
