/* Sweep, clear, pop, and touch. Spec 6.11, 6.13. */
#include <string.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define MANY 40000 /* groups split, directories double */

static const char *name;
static shmkv_t *kv;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
}

static void tear_down(void) { finish(kv, name); }

static void put_number(uint64_t n, uint64_t expires_ns) {
    const struct shmkv_item item = {.data = &n, .len = sizeof n, .expires_ns = expires_ns};
    ck_assert_ok(shmkv_put_item(kv, &n, sizeof n, &item));
}

/* proves [OP-01] */
START_TEST(test_walk_along_chains_without_end_ends) {
    char key[8], val[8];
    size_t key_len;
    struct shmkv_item item;
    struct place tangle = tangle_chains(kv, "tangled", 3000);
    ck_assert_err(shmkv_sweep(kv, 0, NULL), SHMKV_ECORRUPT);
    ck_assert_detail("chains do not end");
    ck_assert_err(shmkv_clear(kv, NULL), SHMKV_ECORRUPT);
    ck_assert_err(shmkv_pop(kv, key, sizeof key, &key_len, val, sizeof val, &item), SHMKV_ECORRUPT);
    tangle_undo(&tangle);
    ck_assert_ok(shmkv_clear(kv, NULL));
}
END_TEST

/* proves [OP-25] */
START_TEST(test_sweep_reclaims_what_has_expired_and_nothing_else) {
    uint64_t removed = 77;
    ck_assert_ok(shmkv_sweep(kv, 0, &removed));
    ck_assert_uint_eq(removed, 0);
    for (uint64_t n = 0; n < MANY; n++)
        put_number(n, 0);
    for (uint64_t n = 0; n < MANY; n += 3)
        put_number(n, 1); /* not before: the index would not grow by them [OP-32] */
    uint64_t gone = (MANY + 2) / 3;
    ck_assert_ok(shmkv_sweep(kv, 50, &removed)); /* a few steps only */
    ck_assert_uint_le(removed, 50);
    uint64_t sum = removed;
    ck_assert_ok(shmkv_sweep(kv, 0, &removed));
    ck_assert_uint_eq(sum + removed, gone);
    ck_assert_uint_eq(count_of(kv), MANY - gone);
    for (uint64_t n = 0; n < MANY; n++)
        ck_assert_err(shmkv_exists(kv, &n, sizeof n), n % 3 ? SHMKV_OK : SHMKV_ENOTFOUND);
    ck_assert_ok(shmkv_sweep(kv, 0, NULL));
    ck_assert_uint_eq(count_of(kv), MANY - gone);
    ck_assert_whole(kv);
}
END_TEST

static struct gate bound_put;

static void put_bound(void *arg) {
    (void)arg;
    shmkv_t *mine = open_ok(name, NULL);
    const struct shmkv_item item = {.data = "x", .len = 1, .flags = SHMKV_BOUND};
    ck_assert_ok(shmkv_put_item(mine, "bound", 5, &item));
    gate_open(&bound_put);
    for (;;)
        pause();
}

START_TEST(test_sweep_reclaims_what_the_dead_had_bound) {
    bound_put = gate_new();
    pid_t pid = child_start(put_bound, NULL);
    ck_assert(gate_wait(&bound_put));
    uint64_t removed;
    ck_assert_ok(shmkv_sweep(kv, 0, &removed));
    ck_assert_uint_eq(removed, 0);
    ck_assert(child_kill(pid));
    ck_assert_ok(shmkv_sweep(kv, 0, &removed));
    ck_assert_uint_eq(removed, 1);
    ck_assert_uint_eq(count_of(kv), 0);
}
END_TEST

START_TEST(test_clear_leaves_nothing) {
    for (uint64_t n = 0; n < MANY; n++)
        put_number(n, n % 4 ? 0 : 1);
    uint64_t removed;
    ck_assert_ok(shmkv_clear(kv, &removed));
    ck_assert_uint_eq(removed, MANY - MANY / 4);
    ck_assert_uint_eq(count_of(kv), 0);
    ck_assert_ok(shmkv_clear(kv, &removed));
    ck_assert_uint_eq(removed, 0);
    ck_assert_whole(kv);
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    ck_assert_err(shmkv_clear(reader, &removed), SHMKV_EREADONLY);
    ck_assert_err(shmkv_sweep(reader, 0, &removed), SHMKV_EREADONLY);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

START_TEST(test_pop_gives_each_entry_once) {
    static uint8_t seen[MANY];
    struct shmkv_item item;
    uint64_t key, value;
    size_t key_len = 0;
    ck_assert_err(shmkv_pop(kv, &key, 8, &key_len, &value, 8, &item), SHMKV_ENOTFOUND);
    for (uint64_t n = 0; n < MANY; n++)
        put_number(n, n % 5 ? 0 : 1);
    ck_assert_err(shmkv_pop(kv, &key, 7, &key_len, &value, 8, &item), SHMKV_ETOOSMALL);
    ck_assert_uint_eq(key_len, 8);
    ck_assert_err(shmkv_pop(kv, &key, 8, &key_len, NULL, 0, &item), SHMKV_ETOOSMALL);
    ck_assert_uint_eq(item.len, 8);
    for (uint64_t i = 0; i < MANY - MANY / 5; i++) {
        ck_assert_ok(shmkv_pop(kv, &key, 8, &key_len, &value, 8, &item));
        ck_assert(key == value && key < MANY && key % 5);
        ck_assert_uint_eq(seen[key]++, 0);
    }
    ck_assert_err(shmkv_pop(kv, &key, 8, &key_len, &value, 8, &item), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_pop(kv, &key, 8, NULL, &value, 8, &item), SHMKV_EARGUMENT);
    put_number(7, 0);
    ck_assert_ok(shmkv_pop(kv, &key, 8, &key_len, &value, 8, &item));
    ck_assert_uint_eq(key, 7);
    ck_assert_whole(kv);
}
END_TEST

START_TEST(test_touch_changes_the_end_and_not_the_value) {
    struct shmkv_item out;
    char got[64];
    uint64_t later = wall_ns() + 3600ull * 1000000000;
    ck_assert_err(shmkv_touch(kv, "k", 1, later), SHMKV_ENOTFOUND);
    ck_assert_ok(shmkv_put_text(kv, "k", 1, "a text", 6));
    const uint64_t ends[] = {later, later + 1, 0, 0};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        ck_assert_ok(shmkv_touch(kv, "k", 1, ends[i]));
        ck_assert_ok(shmkv_get_item(kv, "k", 1, got, sizeof got, &out));
        ck_assert_uint_eq(out.expires_ns, ends[i]);
        ck_assert_int_eq(out.type, SHMKV_TEXT);
        ck_assert_value(kv, "k", "a text");
    }
    ck_assert_ok(shmkv_touch(kv, "k", 1, 1));
    ck_assert_value(kv, "k", NULL);
    ck_assert_err(shmkv_touch(kv, "k", 1, later), SHMKV_ENOTFOUND);
    ck_assert_whole(kv);
}
END_TEST

static Suite *walk_suite(void) {
    Suite *s = suite_create("walk");
    TCase *tc = case_new(s, "walks");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_walk_along_chains_without_end_ends);
    tcase_add_test(tc, test_sweep_reclaims_what_has_expired_and_nothing_else);
    tcase_add_test(tc, test_sweep_reclaims_what_the_dead_had_bound);
    tcase_add_test(tc, test_clear_leaves_nothing);
    tcase_add_test(tc, test_pop_gives_each_entry_once);
    tcase_add_test(tc, test_touch_changes_the_end_and_not_the_value);
    return s;
}

int main(void) { return suite_main(walk_suite()); }
