/* Values made of old ones outside the lock: append, get_or_set, update. Spec 6.11. */
#include <stdio.h>
#include <string.h>

#include "tests/support/checks.h"

#define LARGE 60000

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

static struct shmkv_item item_at(const char *key) {
    struct shmkv_item item;
    ck_assert_ok(shmkv_get_item(kv, key, strlen(key), got, sizeof got, &item));
    return item;
}

/* -------------------------------------------------------------------------- append */

/* Every alignment of the old end against the new length, and across the classes. */
START_TEST(test_append_of_any_length_to_any_length_gives_both) {
    static uint8_t expected[LARGE];
    for (size_t old = 0; old < 20; old++)
        for (size_t add = 0; add < 20; add++) {
            for (size_t i = 0; i < old + add; i++)
                expected[i] = (uint8_t)(i * 7 + old + 1);
            size_t len = 0;
            ck_assert_ok(shmkv_put(kv, "k", 1, expected, old));
            ck_assert_ok(shmkv_append(kv, "k", 1, expected + old, add, &len));
            ck_assert_uint_eq(len, old + add);
            ck_assert_uint_eq(item_at("k").len, old + add);
            ck_assert_mem_eq(got, expected, old + add);
        }
    ck_assert_ok(shmkv_delete(kv, "k", 1));
    size_t len = 0;
    for (size_t step = 1; len + step * 37 < LARGE; step++) {
        for (size_t i = 0; i < step * 37; i++)
            expected[len + i] = (uint8_t)(step + i);
        ck_assert_ok(shmkv_append(kv, "k", 1, expected + len, step * 37, &len));
        ck_assert_uint_eq(item_at("k").len, len);
        ck_assert_mem_eq(got, expected, len);
    }
    ck_assert_uint_gt(len, LARGE / 2);
    ck_assert_whole(kv);
}
END_TEST

START_TEST(test_append_keeps_type_and_end) {
    struct shmkv_item item = text("abc");
    item.expires_ns = wall_ns() + 3600ull * 1000000000;
    item.flags = SHMKV_BOUND;
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &item));
    ck_assert_ok(shmkv_append(kv, "k", 1, "\xc3\xa9", 2, NULL));
    struct shmkv_item out = item_at("k");
    ck_assert_int_eq(out.type, SHMKV_TEXT);
    ck_assert_uint_eq(out.expires_ns, item.expires_ns);
    ck_assert_uint_eq(out.flags, SHMKV_BOUND);
    ck_assert_mem_eq(got, "abc\xc3\xa9", 5);
    ck_assert_err(shmkv_append(kv, "k", 1, "\xff", 1, NULL), SHMKV_EVALUE);
    ck_assert_uint_eq(item_at("k").version, out.version);
    ck_assert_ok(shmkv_append(kv, "new", 3, "x", 1, NULL));
    ck_assert_int_eq(item_at("new").type, SHMKV_BYTES);
    ck_assert_ok(shmkv_append_text(kv, "new", 3, "y", 1, NULL));
    ck_assert_int_eq(item_at("new").type, SHMKV_BYTES);
    ck_assert_ok(shmkv_append_text(kv, "line", 4, "\xc3\xa9", 2, NULL));
    ck_assert_int_eq(item_at("line").type, SHMKV_TEXT);
    ck_assert_err(shmkv_append_text(kv, "new", 3, "\xff", 1, NULL), SHMKV_EVALUE);
    item.expires_ns = 1;
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &item));
    ck_assert_ok(shmkv_append(kv, "k", 1, "anew", 4, NULL));
    ck_assert_value(kv, "k", "anew");
    ck_assert_uint_eq(item_at("k").expires_ns, 0);
}
END_TEST

START_TEST(test_append_to_what_is_neither_bytes_nor_text_is_etype) {
    ck_assert_ok(shmkv_put_i64(kv, "k", 1, 7));
    ck_assert_err(shmkv_append(kv, "k", 1, "x", 1, NULL), SHMKV_ETYPE);
    ck_assert_detail("it is an integer, neither bytes nor text");
    ck_assert_err(shmkv_append(kv, "k", 1, NULL, 1, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_append(kv, "", 0, "x", 1, NULL), SHMKV_EKEY);
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    ck_assert_err(shmkv_append(reader, "k", 1, "x", 1, NULL), SHMKV_EREADONLY);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

#define CHILDREN 4
#define ROUNDS 400

static void append_numbers(void *arg) {
    uint8_t me = *(uint8_t *)arg;
    shmkv_t *mine = open_ok(name, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t bytes[3] = {me, (uint8_t)i, (uint8_t)(i >> 8)};
        ck_assert_ok(shmkv_append(mine, "log", 3, bytes, sizeof bytes, NULL));
    }
    ck_assert_ok(shmkv_close(mine));
}

START_TEST(test_append_when_many_do_loses_nothing_and_keeps_the_order) {
    pid_t pids[CHILDREN];
    uint8_t who[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        who[i] = (uint8_t)i;
        pids[i] = child_start(append_numbers, &who[i]);
    }
    for (int i = 0; i < CHILDREN; i++)
        ck_assert(child_succeeded(pids[i]));
    ck_assert_uint_eq(item_at("log").len, CHILDREN * ROUNDS * 3);
    int next[CHILDREN] = {0};
    for (size_t i = 0; i < CHILDREN * ROUNDS * 3; i += 3) {
        ck_assert_uint_lt(got[i], CHILDREN);
        ck_assert_int_eq(got[i + 1] | got[i + 2] << 8, next[got[i]]++);
    }
}
END_TEST

/* ---------------------------------------------------------------------- get_or_set */

START_TEST(test_get_or_set_stores_once) {
    struct shmkv_item first = text("first"), second = text("second"), out;
    first.expires_ns = wall_ns() + 3600ull * 1000000000;
    ck_assert_err(shmkv_get_or_set(kv, "k", 1, &first, got, 4, &out), SHMKV_ETOOSMALL);
    ck_assert_uint_eq(out.len, 5);
    ck_assert_value(kv, "k", NULL);
    ck_assert_ok(shmkv_get_or_set(kv, "k", 1, &first, got, sizeof got, &out));
    ck_assert_err(out.result, SHMKV_ENOTFOUND);
    ck_assert_mem_eq(got, "first", 5);
    struct shmkv_item is = item_at("k");
    ck_assert_uint_eq(out.version, is.version);
    ck_assert_uint_eq(out.expires_ns, first.expires_ns);
    ck_assert_uint_eq(is.expires_ns, first.expires_ns);
    memset(got, 0, 8);
    ck_assert_ok(shmkv_get_or_set(kv, "k", 1, &second, got, sizeof got, &out));
    ck_assert_ok(out.result);
    ck_assert_uint_eq(out.len, 5);
    ck_assert_int_eq(out.type, SHMKV_TEXT);
    ck_assert_mem_eq(got, "first", 5);
    ck_assert_err(shmkv_get_or_set(kv, "k", 1, &second, got, 4, &out), SHMKV_ETOOSMALL);
    ck_assert_err(shmkv_get_or_set(kv, "k", 1, NULL, got, 4, &out), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_get_or_set(NULL, "k", 1, &second, got, 4, &out), SHMKV_ECLOSED);
}
END_TEST

/* -------------------------------------------------------------------------- update */

struct doubler {
    char room[64];
    int calls, result;
    shmkv_t *disturb;
    bool saw_old;
};

/* The value twice; a star if there is none. */
static int double_it(void *arg, const struct shmkv_item *old, struct shmkv_item *new) {
    struct doubler *d = arg;
    d->saw_old = old != NULL;
    if (d->calls++ == 0 && d->disturb)
        put_text(d->disturb, "k", "between");
    if (d->result)
        return d->result;
    new->len = (size_t)snprintf(d->room, sizeof d->room, old ? "%.*s%.*s" : "*", old ? (int)old->len : 0,
                                old ? (const char *)old->data : "", old ? (int)old->len : 0,
                                old ? (const char *)old->data : "");
    new->data = d->room;
    return SHMKV_OK;
}

START_TEST(test_update_stores_what_the_function_makes) {
    struct doubler d = {.calls = 0};
    ck_assert_ok(shmkv_update(kv, "k", 1, double_it, &d));
    ck_assert(!d.saw_old);
    ck_assert_value(kv, "k", "*");
    struct shmkv_item item = text("ab");
    item.expires_ns = wall_ns() + 3600ull * 1000000000;
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &item));
    ck_assert_ok(shmkv_update(kv, "k", 1, double_it, &d));
    ck_assert_value(kv, "k", "abab");
    ck_assert_int_eq(item_at("k").type, SHMKV_TEXT);
    ck_assert_uint_eq(item_at("k").expires_ns, item.expires_ns);
    ck_assert_int_eq(d.calls, 2);
}
END_TEST

START_TEST(test_update_when_somebody_comes_between_begins_again) {
    for (int present = 0; present < 2; present++) {
        struct doubler d = {.disturb = kv};
        shmkv_delete(kv, "k", 1);
        if (present)
            put_text(kv, "k", "old");
        ck_assert_ok(shmkv_update(kv, "k", 1, double_it, &d));
        ck_assert_int_eq(d.calls, 2);
        ck_assert_value(kv, "k", "betweenbetween");
        d = (struct doubler){.disturb = kv, .result = SHMKV_ENOTFOUND};
        ck_assert_ok(shmkv_update(kv, "k", 1, double_it, &d));
        ck_assert_int_eq(d.calls, 2);
        ck_assert_value(kv, "k", NULL);
    }
}
END_TEST

START_TEST(test_update_when_the_function_says_so_removes_or_leaves) {
    struct doubler d = {.result = SHMKV_ENOTFOUND};
    ck_assert_ok(shmkv_update(kv, "k", 1, double_it, &d));
    ck_assert_value(kv, "k", NULL);
    put_text(kv, "k", "v");
    d.result = SHMKV_EVALUE;
    ck_assert_err(shmkv_update(kv, "k", 1, double_it, &d), SHMKV_EVALUE);
    d.result = SHMKV_ECHANGED; /* the function's, not a race: no second call */
    d.calls = 0;
    ck_assert_err(shmkv_update(kv, "k", 1, double_it, &d), SHMKV_ECHANGED);
    ck_assert_int_eq(d.calls, 1);
    d.result = 4711;
    ck_assert_err(shmkv_update(kv, "k", 1, double_it, &d), 4711);
    ck_assert_value(kv, "k", "v");
    d.result = SHMKV_ENOTFOUND;
    ck_assert_ok(shmkv_update(kv, "k", 1, double_it, &d));
    ck_assert_value(kv, "k", NULL);
    ck_assert_err(shmkv_update(kv, "k", 1, NULL, &d), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_update(NULL, "k", 1, double_it, &d), SHMKV_ECLOSED);
}
END_TEST

static Suite *update_suite(void) {
    Suite *s = suite_create("update");
    TCase *tc = case_new(s, "append");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_append_of_any_length_to_any_length_gives_both);
    tcase_add_test(tc, test_append_keeps_type_and_end);
    tcase_add_test(tc, test_append_to_what_is_neither_bytes_nor_text_is_etype);
    tcase_add_test(tc, test_append_when_many_do_loses_nothing_and_keeps_the_order);
    tc = case_new(s, "functions");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_get_or_set_stores_once);
    tcase_add_test(tc, test_update_stores_what_the_function_makes);
    tcase_add_test(tc, test_update_when_somebody_comes_between_begins_again);
    tcase_add_test(tc, test_update_when_the_function_says_so_removes_or_leaves);
    return s;
}

int main(void) { return suite_main(update_suite()); }
