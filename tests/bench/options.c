#include "tests/bench/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/workload.h"

static const char *const work_names[WORKS] = {"mix",  "many", "hot",   "hot-read",
                                              "grow", "open", "refill"};

void options_help(void) {
    fputs(
        "Usage: bench [OPTION]...\n"
        "Compare shmkv with other stores in shared memory: the same work for each, in turns.\n"
        "\n"
        "LIST is one value or several with commas; every combination is measured.\n"
        "\n"
        "  --work=LIST        what to do (mix):\n"
        "                       mix       gets and overwrites\n"
        "                       many      gets in batches\n"
        "                       hot       all processes overwrite one key\n"
        "                       hot-read  one process overwrites a key, the others get it\n"
        "                       grow      from empty to all keys, each put timed, a reader beside\n"
        "                       open      attaching to a full store\n"
        "                       refill    deleting all, and putting other sizes, ten times\n"
        "  --keys=LIST        keys in the store (10000,1000000); 1e7 works too, and takes "
        "gigabytes\n"
        "  --value=LIST       bytes of a value, at least 8 (32); a key has 16\n"
        "  --read=LIST        percent of operations that read, the others overwrite (100,95,50,0)\n"
        "  --procs=LIST       processes at the same time (1,2)\n"
        "  --zipf=LIST        how unlike keys are in popularity: 0 all alike, 0.99 as YCSB has it "
        "(0)\n"
        "  --stores=LIST      some of the stores that --list shows (those that are not set aside "
        "there)\n"
        "  --rounds=N         turns of each store for each result, after one that does not count "
        "(7)\n"
        "  --grow-rounds=N    the same for growing, where all of them count (3)\n"
        "  --slice=MS         length of a turn, milliseconds (100)\n"
        "  --seed=N           of the random numbers (1)\n"
        "  --dir=DIR          where the stores are (/dev/shm)\n"
        "  --roam             let the scheduler move processes, which otherwise keep to one "
        "processor\n"
        "                     each when several work\n"
        "  --undisturbed      for a busy machine: leave out the moments in which another program "
        "took\n"
        "                     the processor away; only where one process works\n"
        "  --check            fill whole values, and compare whole values: for tests, not for "
        "numbers\n"
        "  --json[=FILE]      write JSON to the file as well; without one, in place of the tables\n"
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

static bool parse_numbers(const char *option, const char *text, double low, double high,
                          struct list *list) {
    const char *p = text;
    list->n = 0;
    do {
        if (list->n == LIST_MAX)
            return wrong(option, text, "too many values");
        if (!parse_number(&p, low, high, &list->values[list->n++]))
            return wrong(option, text, "not numbers, or out of range");
    } while (*p);
    return true;
}

static bool parse_list(const char *option, const char *text, double low, double high,
                       struct list *list) {
    if (!parse_numbers(option, text, low, high, list))
        return false;
    for (unsigned i = 0; i < list->n; i++)
        if (list->values[i] != (double)(uint64_t)list->values[i])
            return wrong(option, text, "not whole numbers");
    return true;
}

static bool parse_one(const char *option, const char *text, double low, double high,
                      uint64_t *value) {
    struct list list;
    if (!parse_list(option, text, low, high, &list))
        return false;
    if (list.n != 1)
        return wrong(option, text, "one number, please");
    *value = (uint64_t)list.values[0];
    return true;
}

static bool parse_unsigned(const char *option, const char *text, double high, unsigned *value) {
    uint64_t n;
    if (!parse_one(option, text, 1, high, &n))
        return false;
    *value = (unsigned)n;
    return true;
}

/* Names with commas; chosen[i] for those that name_of(i) knows. */
static bool parse_names(const char *option, const char *text, const char *(*name_of)(unsigned),
                        unsigned n, bool *chosen) {
    memset(chosen, 0, n * sizeof *chosen);
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, ",");
        unsigned i = 0;
        while (i < n && (strlen(name_of(i)) != len || strncmp(name_of(i), p, len) != 0))
            i++;
        if (i == n)
            return wrong(option, text, "an unknown name; --list and --help tell them");
        chosen[i] = true;
        p += len + (p[len] == ',');
    }
    return true;
}

static const char *store_name(unsigned i) { return stores[i]->name; }
static const char *work_name(unsigned i) { return work_names[i]; }

enum {
    WORK,
    KEYS,
    VALUE,
    READ,
    PROCS,
    ZIPF,
    CHOSEN,
    ROUNDS,
    GROW_ROUNDS,
    SLICE,
    SEED,
    DIR,
    ROAM,
    UNDISTURBED,
    CHECK,
    JSON,
    COUNT,
    LIST,
    HELP
};

static const struct option long_options[] = {
    {"work", required_argument, NULL, WORK},
    {"keys", required_argument, NULL, KEYS},
    {"value", required_argument, NULL, VALUE},
    {"read", required_argument, NULL, READ},
    {"procs", required_argument, NULL, PROCS},
    {"zipf", required_argument, NULL, ZIPF},
    {"stores", required_argument, NULL, CHOSEN},
    {"rounds", required_argument, NULL, ROUNDS},
    {"grow-rounds", required_argument, NULL, GROW_ROUNDS},
    {"slice", required_argument, NULL, SLICE},
    {"seed", required_argument, NULL, SEED},
    {"dir", required_argument, NULL, DIR},
    {"roam", no_argument, NULL, ROAM},
    {"undisturbed", no_argument, NULL, UNDISTURBED},
    {"check", no_argument, NULL, CHECK},
    {"json", optional_argument, NULL, JSON},
    {"count", required_argument, NULL, COUNT},
    {"list", no_argument, NULL, LIST},
    {"help", no_argument, NULL, HELP},
    {0},
};

static bool parse_option(struct options *o, int option) {
    switch (option) {
    case WORK:
        return parse_names("work", optarg, work_name, WORKS, o->works);
    case KEYS:
        return parse_list("keys", optarg, 2, 1e9, &o->keys);
    case VALUE:
        return parse_list("value", optarg, MIN_VALUE, 1 << 24, &o->value_sizes);
    case READ:
        return parse_list("read", optarg, 0, 100, &o->reads);
    case PROCS:
        return parse_list("procs", optarg, 1, MAX_PROCESSES, &o->processes);
    case ZIPF:
        return parse_numbers("zipf", optarg, 0, 0.999, &o->zipfs);
    case CHOSEN:
        return parse_names("stores", optarg, store_name, STORES, o->chosen);
    case ROUNDS:
        return parse_unsigned("rounds", optarg, ROUNDS_MAX, &o->rounds);
    case GROW_ROUNDS:
        return parse_unsigned("grow-rounds", optarg, ROUNDS_MAX, &o->grow_rounds);
    case SLICE:
        return parse_unsigned("slice", optarg, 60000, &o->slice_ms);
    case SEED:
        return parse_one("seed", optarg, 0, 1e15, &o->seed);
    case DIR:
        o->dir = optarg;
        return true;
    case ROAM:
        return o->roam = true;
    case UNDISTURBED:
        return o->undisturbed = true;
    case CHECK:
        return o->check = true;
    case JSON:
        o->json = optarg ? optarg : "-";
        return true;
    case COUNT:
        return parse_one("count", optarg, 1, 1e15, &o->count);
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
        .works = {[WORK_MIX] = true},
        .keys = {2, {10000, 1000000}},
        .value_sizes = {1, {32}},
        .reads = {4, {100, 95, 50, 0}},
        .processes = {2, {1, 2}},
        .zipfs = {1, {0}},
        .rounds = 7,
        .grow_rounds = 3,
        .slice_ms = 100,
        .seed = 1,
        .dir = "/dev/shm",
    };
    for (unsigned i = 0; i < STORES; i++)
        o->chosen[i] = !stores[i]->aside;
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
