#include "tests/bench/report.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <shmkv/shmkv.h>

static const struct options *options;
static unsigned printed;

/* ----------------------------------------------------------------------- stores */

void report_list(void) {
    for (unsigned i = 0; i < STORES; i++) {
        printf("%-6s  %s\n", stores[i]->name, stores[i]->what);
        if (!stores[i]->create)
            printf("        not found: apt-get install %s && bazel shutdown, then again\n", stores[i]->package);
    }
}

static bool skipped(const struct options *o, unsigned i) { return o->chosen[i] && !stores[i]->create; }

void report_skipped(const struct options *o) {
    for (unsigned i = 0; i < STORES; i++)
        if (skipped(o, i))
            fprintf(stderr, "bench: %s is skipped: not found (apt-get install %s && bazel shutdown)\n",
                    stores[i]->name, stores[i]->package);
}

/* ---------------------------------------------------------------------- machine */

static void processor_name(char *name, size_t size) {
    snprintf(name, size, "unknown processor");
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(name, size, "%s", strchr(line, ':') + 2);
            break;
        }
    if (f)
        fclose(f);
}

/* ------------------------------------------------------------------------ tables */

/* Keeps the columns narrow: 87, 1.2k, 3.4M. */
static const char *short_ns(double ns, char buf[16]) {
    if (ns < 1000)
        snprintf(buf, 16, "%.0f", ns);
    else if (ns < 1e6)
        snprintf(buf, 16, ns < 1e4 ? "%.1fk" : "%.0fk", ns / 1e3);
    else
        snprintf(buf, 16, ns < 1e7 ? "%.1fM" : "%.0fM", ns / 1e6);
    return buf;
}

static void table_row(const struct result *r, unsigned i) {
    const struct figures *f = &r->figures[i];
    char a[16], b[16], c[16], d[16], ratio[16] = "-";
    if (f->ratio > 0 && i > 0)
        snprintf(ratio, sizeof ratio, "%.2f x", f->ratio);
    printf("%-6s  %8.2f  %5.2f-%-6.2f %6s %6s %6s %6s  %7.0f  %10s", stores[i]->name, f->rate, f->lowest,
           f->highest, short_ns(f->p50, a), short_ns(f->p99, b), short_ns(f->p999, c), short_ns(f->max, d),
           f->bytes_per_entry, ratio);
    if (f->left_out > 0)
        printf("  %.0f %% left out", 100 * f->left_out);
    putchar('\n');
}

static void table_result(const struct result *r) {
    printf("\n%llu keys of %d bytes, values of %llu bytes: ", (unsigned long long)r->data.keys, KEY_SIZE,
           (unsigned long long)r->data.value_size);
    if (r->fill)
        printf("first fill (once, one process)\n");
    else
        printf("%u %% get, %u process%s\n", r->read_percent, r->processes, r->processes == 1 ? "" : "es");
    printf("%-6s  %8s  %-12s %6s %6s %6s %6s  %7s  %10s\n", "", "M ops/s", "range", "p50 ns", "p99", "p99.9",
           "max", "B/entry", "shmkv is");
    for (unsigned i = 0; i < STORES; i++)
        if (r->figures[i].valid)
            table_row(r, i);
    fflush(stdout);
}

static void table_begin(void) {
    char processor[128];
    struct utsname system;
    processor_name(processor, sizeof processor);
    uname(&system);
    printf("shmkv %s; %s, %ld processors, Linux %s; keys %s\n", shmkv_version(), processor,
           sysconf(_SC_NPROCESSORS_ONLN), system.release, options->zipf > 0 ? "by zipf" : "uniform");
    printf("Medians of %u rounds of %u ms in turns. Latency: single operations, each on its own.\n",
           options->rounds, options->slice_ms);
}

/* -------------------------------------------------------------------------- JSON */

static void json_string(const char *s) {
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            putchar('\\');
        if ((unsigned char)*s >= ' ')
            putchar(*s);
    }
    putchar('"');
}

static void json_begin(void) {
    char processor[128];
    struct utsname system;
    processor_name(processor, sizeof processor);
    uname(&system);
    printf("{\n  \"shmkv\": \"%s\",\n  \"machine\": {\"processor\": ", shmkv_version());
    json_string(processor);
    printf(", \"processors\": %ld, \"kernel\": ", sysconf(_SC_NPROCESSORS_ONLN));
    json_string(system.release);
    printf("},\n  \"key_size\": %d, \"zipf\": %g, \"rounds\": %u, \"slice_ms\": %u, \"seed\": %llu,\n",
           KEY_SIZE, options->zipf, options->rounds, options->slice_ms, (unsigned long long)options->seed);
    printf("  \"roaming\": %s, \"undisturbed\": %s,\n", options->roam ? "true" : "false",
           options->undisturbed ? "true" : "false");
    printf("  \"skipped\": [");
    const char *comma = "";
    for (unsigned i = 0; i < STORES; i++)
        if (skipped(options, i)) {
            printf("%s\"%s\"", comma, stores[i]->name);
            comma = ", ";
        }
    printf("],\n  \"results\": [");
}

static void json_figures(const struct figures *f, const char *name) {
    printf("\"%s\": {\"mops\": %.4f, \"lowest_mops\": %.4f, \"highest_mops\": %.4f, ", name, f->rate, f->lowest,
           f->highest);
    printf("\"p50_ns\": %.0f, \"p99_ns\": %.0f, \"p999_ns\": %.0f, \"max_ns\": %.0f, \"samples\": %llu, ", f->p50,
           f->p99, f->p999, f->max, (unsigned long long)f->samples);
    printf("\"left_out\": %.4f, \"bytes_per_entry\": %.1f", f->left_out, f->bytes_per_entry);
    if (f->ratio > 0)
        printf(", \"shmkv_ratio\": %.4f", f->ratio);
    putchar('}');
}

static void json_result(const struct result *r) {
    printf("%s\n    {\"keys\": %llu, \"value_size\": %llu, \"work\": \"%s\", ", printed ? "," : "",
           (unsigned long long)r->data.keys, (unsigned long long)r->data.value_size, r->fill ? "fill" : "mix");
    if (!r->fill)
        printf("\"read_percent\": %u, ", r->read_percent);
    printf("\"processes\": %u, \"stores\": {", r->processes);
    const char *comma = "\n      ";
    for (unsigned i = 0; i < STORES; i++)
        if (r->figures[i].valid) {
            fputs(comma, stdout);
            json_figures(&r->figures[i], stores[i]->name);
            comma = ",\n      ";
        }
    printf("}}");
    fflush(stdout);
}

/* ------------------------------------------------------------------------ either */

void report_begin(const struct options *o) {
    options = o;
    if (o->json)
        json_begin();
    else
        table_begin();
}

void report_result(const struct result *result) {
    if (options->json)
        json_result(result);
    else
        table_result(result);
    printed++;
}

void report_end(void) {
    if (options->json)
        printf("\n  ]\n}\n");
}
