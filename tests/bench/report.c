#include "tests/bench/report.h"

#include <stdio.h>
#include <string.h>

#include "tests/bench/json.h"
#include "tests/bench/machine.h"
#include "tests/bench/table.h"

static FILE *json; /* NULL: none wanted */
static bool tables;

void report_list(void) {
    for (unsigned i = 0; i < STORES; i++) {
        printf("%-6s  %s%s\n", stores[i]->name, stores[i]->what,
               stores[i]->aside ? " (set aside)" : "");
        if (!stores[i]->create)
            printf("        not found: apt-get install %s && bazel shutdown, then again\n",
                   stores[i]->package);
    }
}

void report_skipped(const struct options *o) {
    for (unsigned i = 0; i < STORES; i++)
        if (o->chosen[i] && !stores[i]->create)
            fprintf(stderr,
                    "bench: %s is skipped: not found (apt-get install %s && bazel shutdown)\n",
                    stores[i]->name, stores[i]->package);
}

bool report_begin(const struct options *o) {
    struct machine m;
    machine_look(&m);
    tables = !o->json || strcmp(o->json, "-") != 0;
    if (o->json) {
        json = tables ? fopen(o->json, "we") : stdout;
        if (!json) {
            perror(o->json);
            return false;
        }
        json_begin(json, o, &m);
    }
    if (tables)
        table_begin(o, &m);
    return true;
}

void report_result(const struct result *result) {
    if (json)
        json_result(json, result);
    if (tables)
        table_result(result);
}

bool report_end(bool complete) {
    if (!json)
        return true;
    json_end(json, complete);
    bool written = fflush(json) == 0 && !ferror(json);
    if (json != stdout)
        written = fclose(json) == 0 && written;
    if (!written)
        perror("bench: writing JSON");
    return written;
}
