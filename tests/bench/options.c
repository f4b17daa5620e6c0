#include "tests/bench/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/workload.h"

void options_help(void) {
    fputs("Usage: bench [OPTION]...\n"
          "Compare shmkv with other stores in shared memory: the same work for each, in turns.\n"
          "\n"
          "LIST is one value or several with commas; every combination is measured.\n"
          "\n"
          "  --keys=LIST        keys in the store (10000,1000000); 1e7 works too, and takes gigabytes\n"
          "  --value=LIST       bytes of a value, at least 8 (32); a key has 16\n"
          "  --read=LIST        percent of operations that read, the others overwrite (100,95,50,0)\n"
          "  --procs=LIST       processes at the same time (1,2)\n"
          "  --zipf[=THETA]     some keys are more popular: zipf, 0.99 unless told; otherwise all are alike\n"
          "  --stores=LIST      some of the stores that --list shows (all that were found)\n"
          "  --rounds=N         turns of each store for each result, after one that does not count (7)\n"
          "  --slice=MS         length of a turn, milliseconds (100)\n"
          "  --seed=N           of the random numbers (1)\n"
          "  --dir=DIR          where the stores are (/dev/shm)\n"
          "  --roam             let the scheduler move processes, which otherwise keep to one processor\n"
          "                     each when several work\n"
          "  --undisturbed      for a busy machine: leave out the moments in which another program took\n"
          "                     the processor away; only where one process works\n"
          "  --json             print JSON and not tables\n"
          "  --count=N          fill, then do N operations in this process, untimed: for profilers\n"
          "  --list             show the stores, and which were not found\n"
          "  --help\n"
          "\n"
          "tests/bench/README.md tells what the numbers mean.\n"
          "Exit status: 0 done; 1 a store failed; 2 wrong usage.\n",
          stdout);
}

static bool wrong(const char *option, const char *text, const char *why) {
    fprintf(stderr, "bench: --%s=%s: %s\n", option, text, why);
    return false;
}

/* One number up to a comma or the end; "1e6" and "1000000" alike. */
static bool parse_number(const char **text, double low, double high, double *value) {
    char *end;
    *value = strtod(*text, &end);
    if (end == *text || (*end && *end != ',') || !(*value >= low && *value <= high))
        return false;
    *text = *end ? end + 1 : end;
    return true;
}

static bool parse_list(const char *option, const char *text, double low, double high, struct list *list) {
    const char *p = text;
    list->n = 0;
    do {
        double value;
        if (list->n == LIST_MAX)
            return wrong(option, text, "too many values");
        if (!parse_number(&p, low, high, &value) || value != (double)(uint64_t)value)
            return wrong(option, text, "not whole numbers, or out of range");
        list->values[list->n++] = (uint64_t)value;
    } while (*p);
    return true;
}

static bool parse_one(const char *option, const char *text, double low, double high, uint64_t *value) {
    struct list list;
    if (!parse_list(option, text, low, high, &list))
        return false;
    if (list.n != 1)
        return wrong(option, text, "one number, please");
    *value = list.values[0];
    return true;
}

static bool parse_stores(const char *text, bool chosen[STORES]) {
    memset(chosen, 0, sizeof(bool) * STORES);
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, ",");
        unsigned i = 0;
        while (i < STORES && (strlen(stores[i]->name) != len || strncmp(stores[i]->name, p, len) != 0))
            i++;
        if (i == STORES)
            return wrong("stores", text, "unknown store; --list shows them");
        chosen[i] = true;
        p += len + (p[len] == ',');
    }
    return true;
}

enum { KEYS, VALUE, READ, PROCS, ZIPF, CHOSEN, ROUNDS, SLICE, SEED, DIR, ROAM, UNDISTURBED, JSON, COUNT, LIST, HELP };

static const struct option long_options[] = {
    {"keys", required_argument, NULL, KEYS},     {"value", required_argument, NULL, VALUE},
    {"read", required_argument, NULL, READ},     {"procs", required_argument, NULL, PROCS},
    {"zipf", optional_argument, NULL, ZIPF},     {"stores", required_argument, NULL, CHOSEN},
    {"rounds", required_argument, NULL, ROUNDS}, {"slice", required_argument, NULL, SLICE},
    {"seed", required_argument, NULL, SEED},     {"dir", required_argument, NULL, DIR},
    {"roam", no_argument, NULL, ROAM},           {"undisturbed", no_argument, NULL, UNDISTURBED},
    {"json", no_argument, NULL, JSON},           {"count", required_argument, NULL, COUNT},
    {"list", no_argument, NULL, LIST},           {"help", no_argument, NULL, HELP},
    {0},
};

static bool parse_option(struct options *o, int option) {
    uint64_t n;
    const char *text = optarg ? optarg : "0.99";
    switch (option) {
    case KEYS:
        return parse_list("keys", text, 2, 1e9, &o->keys);
    case VALUE:
        return parse_list("value", text, MIN_VALUE, 1 << 24, &o->value_sizes);
    case READ:
        return parse_list("read", text, 0, 100, &o->reads);
    case PROCS:
        return parse_list("procs", text, 1, MAX_PROCESSES, &o->processes);
    case ZIPF:
        return parse_number(&text, 0.01, 0.999, &o->zipf) || wrong("zipf", text, "between 0.01 and 0.999");
    case CHOSEN:
        return parse_stores(text, o->chosen);
    case ROUNDS:
        if (!parse_one("rounds", text, 1, 1000, &n))
            return false;
        o->rounds = (unsigned)n;
        return true;
    case SLICE:
        if (!parse_one("slice", text, 1, 60000, &n))
            return false;
        o->slice_ms = (unsigned)n;
        return true;
    case SEED:
        return parse_one("seed", text, 0, 1e15, &o->seed);
    case DIR:
        o->dir = text;
        return true;
    case ROAM:
        return o->roam = true;
    case UNDISTURBED:
        return o->undisturbed = true;
    case JSON:
        return o->json = true;
    case COUNT:
        return parse_one("count", text, 1, 1e15, &o->count);
    case LIST:
        return o->list = true;
    case HELP:
        return o->help = true;
    default:
        fputs("Try 'bench --help'.\n", stderr); /* getopt has complained */
        return false;
    }
}

bool options_parse(struct options *o, int argc, char **argv) {
    *o = (struct options){
        .keys = {2, {10000, 1000000}},
        .value_sizes = {1, {32}},
        .reads = {4, {100, 95, 50, 0}},
        .processes = {2, {1, 2}},
        .rounds = 7,
        .slice_ms = 100,
        .seed = 1,
        .dir = "/dev/shm",
    };
    for (unsigned i = 0; i < STORES; i++)
        o->chosen[i] = true;
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (!parse_option(o, option))
            return false;
    if (optind < argc) {
        fprintf(stderr, "bench: '%s': no operands, please\n", argv[optind]);
        return false;
    }
    return true;
}
