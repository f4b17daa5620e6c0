#include "tests/bench/statistics.h"

#include <math.h>
#include <stdlib.h>

#include "tests/bench/options.h"

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sort_median(double *values, unsigned n) {
    if (n == 0)
        return NAN;
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double median_ratio(const double *above, const double *below, unsigned n) {
    double ratios[ROUNDS_MAX];
    unsigned kept = 0;
    for (unsigned i = 0; i < n && i < ROUNDS_MAX; i++)
        if (above[i] > 0 && below[i] > 0)
            ratios[kept++] = above[i] / below[i];
    return sort_median(ratios, kept);
}
