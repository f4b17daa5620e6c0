/* bench: shmkv and its peers, side by side. What is measured and how: README.md, works.h and
 * workload.h. */
#include <stdio.h>

#include "tests/bench/report.h"
#include "tests/bench/works.h"

static bool run_dataset(const struct options *o, const struct dataset *data) {
    if (o->count)
        return run_untimed(o, data);
    if ((o->works[WORK_MIX] || o->works[WORK_MANY] || o->works[WORK_HOT] ||
         o->works[WORK_HOT_READ]) &&
        !run_standing(o, data))
        return false;
    if (o->works[WORK_GROW] && !run_growth(o, data))
        return false;
    if (o->works[WORK_OPEN] && !run_opening(o, data))
        return false;
    return !o->works[WORK_REFILL] || run_refill(o, data);
}

static bool run_all(const struct options *o) {
    for (unsigned k = 0; k < o->keys.n; k++)
        for (unsigned v = 0; v < o->value_sizes.n; v++) {
            struct dataset data = {.keys = (uint64_t)o->keys.values[k],
                                   .value_size = (uint64_t)o->value_sizes.values[v]};
            if (!run_dataset(o, &data))
                return false;
        }
    return true;
}

int main(int argc, char **argv) {
    struct options o;
    if (!options_parse(&o, argc, argv))
        return 2;
    if (o.help || o.list) {
        if (o.help)
            options_help();
        else
            report_list();
        return 0;
    }
    report_skipped(&o);
    contenders_init();
    if (o.count)
        return run_all(&o) ? 0 : 1;
    if (!report_begin(&o))
        return 2;
    bool ok = run_all(&o);
    return report_end(ok) && ok ? 0 : 1;
}
