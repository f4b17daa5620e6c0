/* bench: shmkv and its peers, side by side. What is measured and how: README.md, run.h and workload.h. */
#include <stdio.h>

#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/bench/run.h"

static bool run_all(const struct options *o) {
    for (unsigned k = 0; k < o->keys.n; k++)
        for (unsigned v = 0; v < o->value_sizes.n; v++) {
            struct dataset data = {.keys = o->keys.values[k], .value_size = o->value_sizes.values[v]};
            if (!(o->count ? run_untimed(o, &data) : run_dataset(o, &data, report_result)))
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
    if (!o.count)
        report_begin(&o);
    bool ok = run_all(&o);
    if (!o.count)
        report_end();
    return ok ? 0 : 1;
}
