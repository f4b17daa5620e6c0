#include "tests/bench/json.h"

#include <math.h>

#include <shmkv/shmkv.h>

static unsigned printed;

static void string(FILE *f, const char *s) {
    putc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            putc('\\', f);
        if ((unsigned char)*s >= ' ')
            putc(*s, f);
    }
    putc('"', f);
}

static void member(FILE *f, const char *name, const char *text) {
    fprintf(f, "\"%s\": ", name);
    string(f, text);
    fputs(", ", f);
}

void json_begin(FILE *f, const struct options *o, const struct machine *m) {
    printed = 0;
    fputs("{\n  ", f);
    member(f, "shmkv", shmkv_version());
    fputs("\"machine\": {", f);
    member(f, "processor", m->processor);
    member(f, "kernel", m->kernel);
    member(f, "compiler", m->compiler);
    member(f, "huge_pages", m->huge_pages);
    fprintf(f, "\"processors\": %ld, \"memory_gib\": %.1f, \"load\": %.2f},\n  ", m->processors,
            m->memory_gib, m->load);
    fprintf(
        f,
        "\"key_size\": %d, \"rounds\": %u, \"grow_rounds\": %u, \"slice_ms\": %u, \"seed\": %llu, ",
        KEY_SIZE, o->rounds, o->grow_rounds, o->slice_ms, (unsigned long long)o->seed);
    fprintf(f, "\"roaming\": %s, \"undisturbed\": %s, \"check\": %s,\n  ",
            o->roam ? "true" : "false", o->undisturbed ? "true" : "false",
            o->check ? "true" : "false");
    fputs("\"skipped\": {", f);
    const char *comma = "";
    for (unsigned i = 0; i < STORES; i++)
        if (o->chosen[i] && !stores[i]->create) {
            fprintf(f, "%s\"%s\": \"%s\"", comma, stores[i]->name, stores[i]->package);
            comma = ", ";
        }
    fputs("},\n  \"results\": [", f);
}

static void figures(FILE *f, const struct column *columns, const double *values) {
    const char *comma = "";
    putc('{', f);
    for (unsigned c = 0; c < COLUMNS_MAX && columns[c].key; c++)
        if (isfinite(values[c])) {
            fprintf(f, "%s\"%s\": %.10g", comma, columns[c].key, values[c]);
            comma = ", ";
        }
    putc('}', f);
}

void json_result(FILE *f, const struct result *r) {
    fprintf(f, "%s\n    {\"work\": \"%s\", ", printed++ ? "," : "", r->work);
    for (const struct parameter *p = r->parameters; p->name; p++)
        fprintf(f, "\"%s\": %.10g, ", p->name, p->value);
    fputs("\"stores\": {", f);
    const char *comma = "\n      ";
    for (unsigned i = 0; i < STORES; i++)
        if (r->present[i]) {
            fprintf(f, "%s\"%s\": ", comma, stores[i]->name);
            figures(f, r->columns, r->figures[i]);
            comma = ",\n      ";
        }
    fputs("}}", f);
    fflush(f);
}

void json_end(FILE *f, bool complete) {
    fprintf(f, "\n  ],\n  \"complete\": %s\n}\n", complete ? "true" : "false");
}
