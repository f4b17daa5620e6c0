/* Medians of rounds, and ratios between them. */
#ifndef SHMKV_TESTS_BENCH_STATISTICS_H
#define SHMKV_TESTS_BENCH_STATISTICS_H

/* Sorts the values. NAN if there are none. */
double sort_median(double *values, unsigned n);

/*
 * The median of above[i] / below[i]. A ratio within one round compares what ran
 * next to each other, so a machine that is slow for some rounds does not count.
 * Pairs with something other than a positive number are left out; NAN if none is left.
 */
double median_ratio(const double *above, const double *below, unsigned n);

#endif
