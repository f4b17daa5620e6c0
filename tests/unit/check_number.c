/* Typed values, and numbers that change in place. Spec 6.11. */
#include <math.h>
#include <string.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
}

static void tear_down(void) { finish(kv, name); }

static int64_t integer_at(const char *key) {
    int64_t n = 0;
    ck_assert_ok(shmkv_get_i64(kv, key, strlen(key), &n));
    return n;
}

static double float_at(const char *key) {
    double n = 0;
    ck_assert_ok(shmkv_get_f64(kv, key, strlen(key), &n));
    return n;
}

START_TEST(test_typed_values_come_back_as_what_they_were) {
    const int64_t integers[] = {0, 1, -1, INT64_MIN, INT64_MAX};
    const double floats[] = {0.0, -0.0, 1.5, INFINITY, -INFINITY, 5e-324};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        ck_assert_ok(shmkv_put_i64(kv, "k", 1, integers[i]));
        ck_assert(integer_at("k") == integers[i]);
    }
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        ck_assert_ok(shmkv_put_f64(kv, "k", 1, floats[i]));
        double got = float_at("k");
        ck_assert_mem_eq(&got, &floats[i], 8);
    }
    int truth = 7;
    ck_assert_ok(shmkv_put_bool(kv, "k", 1, 256));
    ck_assert_ok(shmkv_get_bool(kv, "k", 1, &truth));
    ck_assert_int_eq(truth, 1);
    ck_assert_ok(shmkv_put_bool(kv, "k", 1, 0));
    ck_assert_ok(shmkv_get_bool(kv, "k", 1, &truth));
    ck_assert_int_eq(truth, 0);
    struct shmkv_item item;
    char got[8];
    ck_assert_ok(shmkv_put_null(kv, "k", 1));
    ck_assert_ok(shmkv_get_item(kv, "k", 1, got, sizeof got, &item));
    ck_assert_int_eq(item.type, SHMKV_NULL);
    ck_assert_ok(shmkv_put_text(kv, "k", 1, "\xc3\xa9", 2));
    ck_assert_err(shmkv_put_text(kv, "k", 1, "\xc3", 1), SHMKV_EVALUE);
    ck_assert_ok(shmkv_put_json(kv, "k", 1, "[1]", 3));
    ck_assert_ok(shmkv_get_item(kv, "k", 1, got, sizeof got, &item));
    ck_assert_int_eq(item.type, SHMKV_JSON);
}
END_TEST

START_TEST(test_typed_get_of_another_type_is_etype) {
    int64_t n = 5;
    double d = 5;
    int b = 5;
    ck_assert_err(shmkv_get_i64(kv, "k", 1, &n), SHMKV_ENOTFOUND);
    ck_assert_ok(shmkv_put(kv, "k", 1, "12345678", 8));
    ck_assert_err(shmkv_get_i64(kv, "k", 1, &n), SHMKV_ETYPE);
    ck_assert_detail("it is bytes, not an integer");
    ck_assert_detail("(key \"k\")");
    ck_assert_ok(shmkv_put_i64(kv, "k", 1, 1));
    ck_assert_err(shmkv_get_f64(kv, "k", 1, &d), SHMKV_ETYPE);
    ck_assert_err(shmkv_get_bool(kv, "k", 1, &b), SHMKV_ETYPE);
    put_text(kv, "k", "a text longer than a number");
    ck_assert_err(shmkv_get_i64(kv, "k", 1, &n), SHMKV_ETYPE);
    ck_assert_err(shmkv_get_i64(kv, "k", 1, NULL), SHMKV_EARGUMENT);
    ck_assert(n == 5 && d == 5 && b == 5);
}
END_TEST

START_TEST(test_incr_of_an_integer) {
    int64_t n;
    ck_assert_ok(shmkv_incr_i64(kv, "n", 1, 5, 100, &n));
    ck_assert_int_eq(n, 105);
    ck_assert_ok(shmkv_incr_i64(kv, "n", 1, -200, 100, &n));
    ck_assert_int_eq(n, -95);
    ck_assert_ok(shmkv_incr_i64(kv, "n", 1, 1, 0, NULL));
    ck_assert_int_eq(integer_at("n"), -94);
    ck_assert_ok(shmkv_put_i64(kv, "n", 1, INT64_MAX - 1));
    ck_assert_ok(shmkv_incr_i64(kv, "n", 1, 1, 0, &n));
    n = 7;
    ck_assert_err(shmkv_incr_i64(kv, "n", 1, 1, 0, &n), SHMKV_EOVERFLOW);
    ck_assert_int_eq(n, 7);
    ck_assert(integer_at("n") == INT64_MAX);
    ck_assert_err(shmkv_incr_i64(kv, "new", 3, INT64_MIN, -1, &n), SHMKV_EOVERFLOW);
    ck_assert_value(kv, "new", NULL);
    ck_assert_ok(shmkv_put_f64(kv, "f", 1, 1));
    ck_assert_err(shmkv_incr_i64(kv, "f", 1, 1, 0, &n), SHMKV_ETYPE);
    ck_assert_detail("it is a float, not an integer");
    ck_assert(float_at("f") == 1);
    ck_assert_whole(kv);
}
END_TEST

START_TEST(test_incr_of_a_float) {
    double d;
    ck_assert_ok(shmkv_incr_f64(kv, "f", 1, 0.5, 1, &d));
    ck_assert(d == 1.5);
    ck_assert_ok(shmkv_put_f64(kv, "f", 1, 1.7e308));
    ck_assert_err(shmkv_incr_f64(kv, "f", 1, 1.7e308, 0, &d), SHMKV_EOVERFLOW);
    ck_assert(d == 1.5 && float_at("f") == 1.7e308);
    ck_assert_err(shmkv_incr_f64(kv, "f", 1, NAN, 0, &d), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_incr_f64(kv, "f", 1, 0, INFINITY, &d), SHMKV_EARGUMENT);
    ck_assert_ok(shmkv_put_i64(kv, "n", 1, 1));
    ck_assert_err(shmkv_incr_f64(kv, "n", 1, 1, 0, &d), SHMKV_ETYPE);
}
END_TEST

static uint64_t version_of(const char *key) {
    struct shmkv_item item;
    char got[8];
    ck_assert_ok(shmkv_get_item(kv, key, strlen(key), got, sizeof got, &item));
    return item.version;
}

START_TEST(test_max_and_min_write_only_what_is_more_or_less) {
    int64_t n;
    ck_assert_ok(shmkv_max_i64(kv, "n", 1, -5, &n));
    ck_assert_int_eq(n, -5);
    ck_assert_ok(shmkv_max_i64(kv, "n", 1, 3, &n));
    ck_assert_int_eq(integer_at("n"), 3);
    uint64_t version = version_of("n");
    ck_assert_ok(shmkv_max_i64(kv, "n", 1, 3, &n));
    ck_assert_ok(shmkv_max_i64(kv, "n", 1, 2, &n));
    ck_assert_int_eq(n, 3);
    ck_assert_uint_eq(version_of("n"), version);
    ck_assert_ok(shmkv_min_i64(kv, "n", 1, 4, &n));
    ck_assert_int_eq(n, 3);
    ck_assert_ok(shmkv_min_i64(kv, "n", 1, 0, &n));
    ck_assert_int_eq(integer_at("n"), 0);
    /* As large as it may be on either side of absence. */
    ck_assert_ok(shmkv_min_i64(kv, "m", 1, INT64_MAX, &n));
    ck_assert(integer_at("m") == INT64_MAX);
    double d;
    ck_assert_ok(shmkv_max_f64(kv, "f", 1, -1.5, &d));
    ck_assert_ok(shmkv_max_f64(kv, "f", 1, 2.5, &d));
    ck_assert_ok(shmkv_max_f64(kv, "f", 1, 2, &d));
    ck_assert(d == 2.5 && float_at("f") == 2.5);
    ck_assert_ok(shmkv_min_f64(kv, "f", 1, -2, &d));
    ck_assert(d == -2 && float_at("f") == -2);
    ck_assert_ok(shmkv_put_f64(kv, "f", 1, NAN));
    ck_assert_ok(shmkv_min_f64(kv, "f", 1, 9, &d));
    ck_assert(d == 9 && float_at("f") == 9);
    ck_assert_err(shmkv_max_f64(kv, "f", 1, NAN, &d), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_max_i64(kv, "f", 1, 1, &n), SHMKV_ETYPE);
    ck_assert_uint_eq(count_of(kv), 3);
}
END_TEST

/* The record with and without the optional part. */
START_TEST(test_incr_leaves_the_entrys_end_as_it_was) {
    uint64_t later = wall_ns() + 3600ull * 1000000000;
    const int64_t one = 1;
    struct shmkv_item item = {.data = &one, .len = 8, .type = SHMKV_INT64, .expires_ns = later}, out;
    char got[8];
    ck_assert_ok(shmkv_put_item(kv, "n", 1, &item));
    for (int i = 0; i < 3; i++)
        ck_assert_ok(shmkv_incr_i64(kv, "n", 1, 1, 0, NULL));
    ck_assert_ok(shmkv_get_item(kv, "n", 1, got, sizeof got, &out));
    ck_assert_uint_eq(out.expires_ns, later);
    item.expires_ns = 0;
    item.flags = SHMKV_BOUND;
    ck_assert_ok(shmkv_put_item(kv, "n", 1, &item));
    ck_assert_ok(shmkv_incr_i64(kv, "n", 1, 1, 0, NULL));
    ck_assert_ok(shmkv_get_item(kv, "n", 1, got, sizeof got, &out));
    ck_assert_uint_eq(out.flags, SHMKV_BOUND);
    ck_assert_int_eq(integer_at("n"), 2);
    /* One that has expired is absent: it begins anew, and for ever. */
    item.flags = 0;
    item.expires_ns = 1;
    ck_assert_ok(shmkv_put_item(kv, "n", 1, &item));
    int64_t n;
    ck_assert_ok(shmkv_incr_i64(kv, "n", 1, 1, 10, &n));
    ck_assert_int_eq(n, 11);
    ck_assert_ok(shmkv_get_item(kv, "n", 1, got, sizeof got, &out));
    ck_assert_uint_eq(out.expires_ns, 0);
    ck_assert_uint_eq(count_of(kv), 1);
}
END_TEST

#define CHILDREN 4
#define ROUNDS 5000

static void count_up(void *arg) {
    (void)arg;
    shmkv_t *mine = open_ok(name, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t n;
        double d;
        ck_assert_ok(shmkv_incr_i64(mine, "n", 1, 1, 0, &n));
        ck_assert_ok(shmkv_incr_f64(mine, "f", 1, 0.5, 0, &d));
        ck_assert_ok(shmkv_max_i64(mine, "max", 3, n, NULL));
    }
    ck_assert_ok(shmkv_close(mine));
}

/* What a reader sees only grows: no number comes twice, none that was never there. */
static bool look_until(int64_t last) {
    int64_t before = 0, n = 0;
    while (n < last) {
        int err = shmkv_get_i64(kv, "n", 1, &n);
        if (err == SHMKV_ENOTFOUND)
            continue;
        if (err || n < before || n > last)
            return false;
        before = n;
    }
    return true;
}

/* proves [OP-21] [OP-24] */
START_TEST(test_incr_when_many_count_loses_nothing) {
    pid_t pids[CHILDREN];
    for (int i = 0; i < CHILDREN; i++)
        pids[i] = child_start(count_up, NULL);
    bool grew = look_until(CHILDREN * ROUNDS);
    for (int i = 0; i < CHILDREN; i++)
        ck_assert(child_succeeded(pids[i]));
    ck_assert(grew);
    ck_assert_int_eq(integer_at("n"), CHILDREN * ROUNDS);
    ck_assert(float_at("f") == CHILDREN * ROUNDS * 0.5);
    ck_assert_int_eq(integer_at("max"), CHILDREN * ROUNDS);
    ck_assert_whole(kv);
}
END_TEST

static Suite *number_suite(void) {
    Suite *s = suite_create("number");
    TCase *tc = case_new(s, "numbers");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_typed_values_come_back_as_what_they_were);
    tcase_add_test(tc, test_typed_get_of_another_type_is_etype);
    tcase_add_test(tc, test_incr_of_an_integer);
    tcase_add_test(tc, test_incr_of_a_float);
    tcase_add_test(tc, test_max_and_min_write_only_what_is_more_or_less);
    tcase_add_test(tc, test_incr_leaves_the_entrys_end_as_it_was);
    tcase_add_test(tc, test_incr_when_many_count_loses_nothing);
    return s;
}

int main(void) { return suite_main(number_suite()); }
