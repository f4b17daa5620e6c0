/* Walking all entries, while others change them. Spec 6.5. */
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

static shmkv_cursor_t *cursor_of(shmkv_t *h, unsigned flags) {
    shmkv_cursor_t *c = NULL;
    ck_assert_ok(shmkv_cursor_open(h, flags, &c));
    return c;
}

static void put_number(shmkv_t *h, uint64_t n) {
    ck_assert_ok(shmkv_put(h, &n, sizeof n, &n, sizeof n));
}

/* Walk; seen[n] counts how often the number n was given, for n < limit. Returns the steps. */
static uint64_t walk(shmkv_t *h, unsigned flags, uint8_t *seen, uint64_t limit) {
    shmkv_cursor_t *c = cursor_of(h, flags);
    const void *key, *val;
    size_t key_len, val_len;
    uint64_t steps = 0;
    int err;
    bool right = true;
    while ((err = shmkv_cursor_next(c, &key, &key_len, &val, &val_len)) == SHMKV_OK) {
        uint64_t n;
        memcpy(&n, key, sizeof n);
        right &= key_len == sizeof n &&
                 (flags || (val_len == sizeof n && memcmp(val, &n, sizeof n) == 0));
        if (n < limit && seen[n] < 255)
            seen[n]++;
        steps++;
    }
    ck_assert(right);
    ck_assert_err(err, SHMKV_ENOTFOUND);
    /* Once at the end, always at the end. */
    ck_assert_err(shmkv_cursor_next(c, &key, &key_len, &val, &val_len), SHMKV_ENOTFOUND);
    shmkv_cursor_close(c);
    return steps;
}

static void expect_each_once(const uint8_t *seen, uint64_t n) {
    uint64_t missed = 0, repeated = 0;
    for (uint64_t i = 0; i < n; i++) {
        missed += seen[i] == 0;
        repeated += seen[i] > 1;
    }
    ck_assert_msg(missed == 0 && repeated == 0, "of %llu keys %llu missed, %llu repeated",
                  (unsigned long long)n, (unsigned long long)missed, (unsigned long long)repeated);
}

/* ------------------------------------------------------------------------- basic */

START_TEST(test_cursor_when_empty_ends_at_once) { ck_assert_uint_eq(walk(kv, 0, NULL, 0), 0); }
END_TEST

START_TEST(test_cursor_gives_each_key_once_with_its_value) {
    static const uint64_t counts[] = {1, 2, 100, 3000, 40000};
    uint64_t n = counts[_i];
    for (uint64_t i = 0; i < n; i++)
        put_number(kv, i);
    uint8_t *seen = calloc(n, 1);
    ck_assert_uint_eq(walk(kv, 0, seen, n), n);
    expect_each_once(seen, n);
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    memset(seen, 0, n);
    ck_assert_uint_eq(walk(reader, 0, seen, n), n);
    expect_each_once(seen, n);
    ck_assert_ok(shmkv_close(reader));
    free(seen);
}
END_TEST

START_TEST(test_cursor_with_keys_only_gives_no_values) {
    put_text(kv, "k", "v");
    shmkv_cursor_t *c = cursor_of(kv, SHMKV_KEYS_ONLY);
    const void *key, *val = "something";
    size_t key_len, val_len = 5;
    ck_assert_ok(shmkv_cursor_next(c, &key, &key_len, &val, &val_len));
    ck_assert_uint_eq(key_len, 1);
    ck_assert_mem_eq(key, "k", 1);
    ck_assert_ptr_null(val);
    ck_assert_uint_eq(val_len, 0);
    shmkv_cursor_close(c);
}
END_TEST

START_TEST(test_cursor_gives_what_goes_with_a_value) {
    const struct shmkv_item stored = {
        .data = "12345678", .len = 8, .type = SHMKV_INT64, .expires_ns = UINT64_MAX};
    struct shmkv_item given, found;
    char buf[8];
    const void *key;
    size_t key_len;
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &stored));
    ck_assert_ok(shmkv_get_item(kv, "k", 1, buf, sizeof buf, &found));
    shmkv_cursor_t *c = cursor_of(kv, 0);
    ck_assert_err(shmkv_cursor_next_item(c, &key, &key_len, NULL), SHMKV_EARGUMENT);
    ck_assert_ok(shmkv_cursor_next_item(c, &key, &key_len, &given));
    ck_assert_uint_eq(given.len, 8);
    ck_assert_mem_eq(given.data, "12345678", 8);
    ck_assert_int_eq(given.type, SHMKV_INT64);
    ck_assert_uint_eq(given.expires_ns, UINT64_MAX);
    ck_assert_uint_eq(given.version, found.version);
    shmkv_cursor_close(c);
}
END_TEST

/* proves [OP-07] */
START_TEST(test_cursor_leaves_out_what_has_expired) {
    const struct shmkv_item gone = {.data = "gone", .len = 4, .expires_ns = 1};
    for (uint64_t n = 0; n < 100; n++) {
        put_number(kv, n);
        if (n % 2)
            ck_assert_ok(shmkv_put_item(kv, &n, sizeof n, &gone));
    }
    for (unsigned flags = 0; flags <= SHMKV_KEYS_ONLY; flags++) {
        uint8_t seen[100] = {0};
        ck_assert_uint_eq(walk(kv, flags, seen, 100), 50);
        for (int n = 0; n < 100; n++)
            ck_assert_uint_eq(seen[n], n % 2 == 0);
    }
}
END_TEST

START_TEST(test_cursor_gives_empty_and_large_values_and_long_keys) {
    static char large[3000000], long_key[65536];
    ck_assert_ok(shmkv_put(kv, "empty", 5, NULL, 0));
    ck_assert_ok(shmkv_put(kv, "large", 5, large, sizeof large));
    ck_assert_ok(shmkv_put(kv, long_key, sizeof long_key, "v", 1));
    shmkv_cursor_t *c = cursor_of(kv, 0);
    const void *key, *val;
    size_t key_len, val_len, sum = 0;
    for (int i = 0; i < 3; i++) {
        ck_assert_ok(shmkv_cursor_next(c, &key, &key_len, &val, &val_len));
        ck_assert_ptr_nonnull(val);
        sum += key_len * 10 + val_len;
    }
    ck_assert_uint_eq(sum, 10 * (5 + 5 + sizeof long_key) + sizeof large + 1);
    ck_assert_err(shmkv_cursor_next(c, &key, &key_len, &val, &val_len), SHMKV_ENOTFOUND);
    shmkv_cursor_close(c);
}
END_TEST

START_TEST(test_cursor_when_arguments_are_wrong_is_eargument) {
    shmkv_cursor_t *c;
    const void *key;
    size_t len;
    ck_assert_err(shmkv_cursor_open(kv, 0, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_cursor_open(kv, 2, &c), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_cursor_open(NULL, 0, &c), SHMKV_ECLOSED);
    ck_assert_err(shmkv_cursor_next(NULL, &key, &len, NULL, NULL), SHMKV_EARGUMENT);
    c = cursor_of(kv, 0);
    ck_assert_err(shmkv_cursor_next(c, NULL, &len, NULL, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_cursor_next(c, &key, NULL, NULL, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_cursor_next(c, &key, &len, NULL, NULL), SHMKV_ENOTFOUND);
    shmkv_cursor_close(c);
    shmkv_cursor_close(NULL);
}
END_TEST

/* ---------------------------------------------------------------- in a changing segment */

START_TEST(test_cursor_when_a_key_is_deleted_before_its_turn_leaves_it_out) {
    for (uint64_t i = 0; i < 2000; i++)
        put_number(kv, i);
    shmkv_cursor_t *c = cursor_of(kv, 0);
    const void *key, *val;
    size_t key_len, val_len;
    uint64_t first;
    ck_assert_ok(shmkv_cursor_next(c, &key, &key_len, &val, &val_len));
    memcpy(&first, key, sizeof first);
    for (uint64_t i = 0; i < 2000; i++)
        if (i != first)
            ck_assert_ok(shmkv_delete(kv, &i, sizeof i));
    ck_assert_err(shmkv_cursor_next(c, &key, &key_len, &val, &val_len), SHMKV_ENOTFOUND);
    shmkv_cursor_close(c);
}
END_TEST

START_TEST(test_cursor_may_delete_what_it_is_given) {
    for (uint64_t i = 0; i < 5000; i++)
        put_number(kv, i);
    shmkv_cursor_t *c = cursor_of(kv, SHMKV_KEYS_ONLY);
    const void *key;
    size_t key_len;
    uint64_t n = 0;
    for (; shmkv_cursor_next(c, &key, &key_len, NULL, NULL) == SHMKV_OK; n++)
        ck_assert_ok(shmkv_delete(kv, key, key_len));
    shmkv_cursor_close(c);
    ck_assert_uint_eq(n, 5000);
    ck_assert_uint_eq(count_of(kv), 0);
}
END_TEST

/* The index doubles several times between two steps, at every place of the walk. */
START_TEST(test_cursor_when_the_index_grows_between_steps_gives_each_old_key_once) {
    enum { OLD = 4000 };
    static const unsigned pauses[] = {0, 1, 100, 1000, 2000, 3900};
    uint64_t more = OLD;
    for (uint64_t i = 0; i < OLD; i++)
        put_number(kv, i);
    static uint8_t seen[OLD];
    shmkv_cursor_t *c = cursor_of(kv, 0);
    const void *key, *val;
    size_t key_len, val_len;
    for (unsigned step = 0; shmkv_cursor_next(c, &key, &key_len, &val, &val_len) == SHMKV_OK;
         step++) {
        uint64_t n;
        memcpy(&n, key, sizeof n);
        if (n < OLD)
            seen[n]++;
        for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++)
            if (step == pauses[i])
                for (int k = 0; k < 12000; k++)
                    put_number(kv, more++);
    }
    shmkv_cursor_close(c);
    expect_each_once(seen, OLD);
}
END_TEST

struct growth {
    volatile uint64_t stop, grown;
};

static void grow(void *arg) {
    struct growth *g = arg;
    shmkv_t *mine = open_ok(name, NULL);
    for (uint64_t i = 0; !g->stop; i++) {
        put_number(mine, (1ULL << 32) + i % 300000);
        /* Old keys are overwritten as well: present throughout. */
        uint64_t old = i % 3000;
        put_number(mine, old);
        g->grown = i;
    }
    ck_assert_ok(shmkv_close(mine));
}

/* proves [OP-14] */
START_TEST(test_cursor_while_another_process_grows_gives_each_old_key_once) {
    enum { OLD = 3000 };
    for (uint64_t i = 0; i < OLD; i++)
        put_number(kv, i);
    struct growth *g = shared_memory(sizeof *g);
    pid_t pid = child_start(grow, g);
    static uint8_t seen[OLD];
    uint64_t walks = 0, until = now_ms() + 10000;
    while ((g->grown < 100000 || walks < 10) && now_ms() < until) {
        memset(seen, 0, sizeof seen);
        walk(kv, walks % 2 ? SHMKV_KEYS_ONLY : 0, seen, OLD);
        expect_each_once(seen, OLD);
        walks++;
    }
    printf("%llu walks while %llu keys were put\n", (unsigned long long)walks,
           (unsigned long long)g->grown);
    g->stop = 1;
    ck_assert(child_succeeded(pid));
}
END_TEST

/* ------------------------------------------------------------------------- replaced */

START_TEST(test_cursor_when_the_segment_is_replaced_is_estale) {
    for (uint64_t i = 0; i < 100; i++)
        put_number(kv, i);
    shmkv_cursor_t *c = cursor_of(kv, 0);
    const void *key, *val;
    size_t key_len, val_len;
    ck_assert_ok(shmkv_cursor_next(c, &key, &key_len, &val, &val_len));
    ck_assert_ok(shmkv_close(open_mode(name, SHMKV_EXCLUSIVE)));
    ck_assert_err(shmkv_cursor_next(c, &key, &key_len, &val, &val_len), SHMKV_ESTALE);
    put_text(kv, "k", "v"); /* the handle has moved on */
    ck_assert_err(shmkv_cursor_next(c, &key, &key_len, &val, &val_len), SHMKV_ESTALE);
    shmkv_cursor_close(c);
    c = cursor_of(kv, 0);
    ck_assert_ok(shmkv_cursor_next(c, &key, &key_len, &val, &val_len));
    ck_assert_mem_eq(key, "k", 1);
    shmkv_cursor_close(c);
}
END_TEST

static Suite *cursor_suite(void) {
    Suite *s = suite_create("cursor");
    TCase *tc = case_new(s, "basic");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_cursor_when_empty_ends_at_once);
    tcase_add_loop_test(tc, test_cursor_gives_each_key_once_with_its_value, 0, 5);
    tcase_add_test(tc, test_cursor_with_keys_only_gives_no_values);
    tcase_add_test(tc, test_cursor_gives_what_goes_with_a_value);
    tcase_add_test(tc, test_cursor_gives_what_goes_with_a_value);
    tcase_add_test(tc, test_cursor_leaves_out_what_has_expired);
    tcase_add_test(tc, test_cursor_gives_empty_and_large_values_and_long_keys);
    tcase_add_test(tc, test_cursor_when_arguments_are_wrong_is_eargument);
    tc = case_new(s, "changing segment");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_cursor_when_a_key_is_deleted_before_its_turn_leaves_it_out);
    tcase_add_test(tc, test_cursor_may_delete_what_it_is_given);
    tcase_add_test(tc, test_cursor_when_the_index_grows_between_steps_gives_each_old_key_once);
    tcase_add_test(tc, test_cursor_while_another_process_grows_gives_each_old_key_once);
    tc = case_new(s, "replaced");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_cursor_when_the_segment_is_replaced_is_estale);
    return s;
}

int main(void) { return suite_main(cursor_suite()); }
