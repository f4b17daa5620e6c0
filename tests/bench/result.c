#include "tests/bench/result.h"

#include <assert.h>
#include <math.h>

struct result result_begin(const char *work, const char *title, const struct column *columns) {
    struct result r = {.work = work, .title = title, .columns = columns};
    for (unsigned s = 0; s < STORES; s++)
        for (unsigned c = 0; c < COLUMNS_MAX; c++)
            r.figures[s][c] = NAN;
    return r;
}

void result_parameter(struct result *r, const char *name, double value) {
    unsigned i = 0;
    while (r->parameters[i].name)
        i++;
    assert(i + 1 < PARAMETERS_MAX);
    r->parameters[i] = (struct parameter){name, value};
}
