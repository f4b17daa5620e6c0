/* What the report rests on: medians, ratios and quantiles of known numbers, keys there and back. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "tests/bench/histogram.h"
#include "tests/bench/statistics.h"
#include "tests/bench/workload.h"

START_TEST(test_median_of_odd_even_and_no_numbers) {
    double odd[] = {9, 1, 5}, even[] = {4, 1, 3, 2};
    ck_assert_double_eq(sort_median(odd, 3), 5);
    ck_assert_double_eq(sort_median(even, 4), 2.5);
    ck_assert(isnan(sort_median(odd, 0)));
}
END_TEST

START_TEST(test_ratio_is_taken_within_rounds) {
    /* The machine got slower by ten from round to round: ours is twice theirs in each. */
    double ours[] = {200, 20, 2}, theirs[] = {100, 10, 1};
    ck_assert_double_eq(median_ratio(ours, theirs, 3), 2);
    /* A ratio of medians would be 1 here. */
    double up[] = {1, 2, 3}, down[] = {3, 2, 0.5};
    ck_assert_double_eq(median_ratio(up, down, 3), 1);
    double last[] = {1, 2, 8}, first[] = {4, 1, 2};
    ck_assert_double_eq(median_ratio(last, first, 3), 2);
}
END_TEST

START_TEST(test_ratio_leaves_out_rounds_without_a_number) {
    double ours[] = {6, 0, 8}, theirs[] = {2, 1, 0};
    ck_assert_double_eq(median_ratio(ours, theirs, 3), 3);
    ck_assert(isnan(median_ratio(ours, theirs, 0)));
    ck_assert(isnan(median_ratio(ours + 1, theirs + 1, 2)));
}
END_TEST

START_TEST(test_quantiles_are_right_to_three_percent) {
    static struct histogram h, part;
    for (uint64_t v = 1; v <= 100000; v++)
        histogram_add(v % 2 ? &h : &part, v);
    histogram_merge(&h, &part);
    ck_assert_uint_eq(h.count, 100000);
    ck_assert_uint_eq(h.max, 100000);
    static const double quantiles[] = {0.1, 0.5, 0.99, 0.999, 0.9999};
    for (unsigned i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        ck_assert_double_eq_tol(histogram_quantile(&h, quantiles[i]) / (100000 * quantiles[i]), 1,
                                0.03);
    ck_assert_double_eq(histogram_quantile(&h, 1), 100000);
}
END_TEST

START_TEST(test_a_key_tells_its_number) {
    uint8_t key[KEY_SIZE];
    struct random r = {1};
    for (int i = 0; i < 100000; i++) {
        uint64_t n = random_next(&r) >> i % 64;
        key_for(key, n);
        ck_assert_uint_eq(key_number(key), n);
    }
}
END_TEST

START_TEST(test_popularity_is_uniform_or_zipf) {
    enum { KEYS = 100, DRAWS = 1 << 16 };
    static const double thetas[] = {0, 0.99};
    for (unsigned t = 0; t < 2; t++) {
        unsigned seen[KEYS] = {0}, most = 0, keys = 0;
        struct popularity p;
        struct random r = {7};
        static struct block b;
        popularity_init(&p, KEYS, thetas[t]);
        for (unsigned i = 0; i < DRAWS / STRETCH_OPS; i++) {
            block_draw(&b, STRETCH_OPS, &p, &r, 50);
            for (unsigned j = 0; j < b.ops; j++)
                seen[key_number(b.keys[j])]++;
        }
        for (unsigned i = 0; i < KEYS; i++) {
            most = seen[i] > most ? seen[i] : most;
            keys += seen[i] > 0;
        }
        ck_assert_uint_eq(keys, KEYS);
        /* Uniform: 655 each. Zipf: the first has 1/5.3 of all. */
        ck_assert_double_eq_tol(most / (double)DRAWS, t ? 1 / 5.3 : 0.01, t ? 0.01 : 0.002);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("statistics");
    TCase *tc = tcase_create("known numbers");
    tcase_add_test(tc, test_median_of_odd_even_and_no_numbers);
    tcase_add_test(tc, test_ratio_is_taken_within_rounds);
    tcase_add_test(tc, test_ratio_leaves_out_rounds_without_a_number);
    tcase_add_test(tc, test_quantiles_are_right_to_three_percent);
    tcase_add_test(tc, test_a_key_tells_its_number);
    tcase_add_test(tc, test_popularity_is_uniform_or_zipf);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
