#include "tests/bench/table.h"

#include <math.h>
#include <stdio.h>

#include <shmkv/shmkv.h>

enum { CELL_SIZE = 24, WIDTH = 11 };

/* Keeps the columns narrow: 87, 1.2k, 3.4M. */
static void shorten(double x, char cell[CELL_SIZE]) {
    static const char *const suffixes[] = {"", "k", "M", "G", "T"};
    unsigned i = 0;
    double shown = x;
    while (fabs(shown) >= 1000 && i < 4)
        shown /= 1000, i++;
    snprintf(cell, CELL_SIZE, i && fabs(shown) < 10 ? "%.1f%s" : "%.0f%s", shown, suffixes[i]);
}

static void format_cell(enum unit unit, double x, char cell[CELL_SIZE]) {
    if (!isfinite(x))
        snprintf(cell, CELL_SIZE, "-");
    else if (unit == UNIT_RATE)
        snprintf(cell, CELL_SIZE, "%.2f", x);
    else if (unit == UNIT_RATIO)
        snprintf(cell, CELL_SIZE, "%.2f x", x);
    else if (unit == UNIT_PERCENT)
        snprintf(cell, CELL_SIZE, "%.1f %%", x);
    else
        shorten(x, cell);
}

void table_begin(const struct options *o, const struct machine *m) {
    printf("shmkv %s; %s, %ld processors, load %.1f, Linux %s, huge pages for shared memory: %s\n",
           shmkv_version(), m->processor, m->processors, m->load, m->kernel, m->huge_pages);
    printf("Medians of %u rounds of %u ms in turns. \"shmkv is 2.00 x\": twice as fast as this "
           "row's store.\n",
           o->rounds, o->slice_ms);
}

/* A column without a heading is for programs; one without a figure says nothing. */
static bool shown(const struct result *r, unsigned column) {
    for (unsigned s = 0; r->columns[column].heading && s < STORES; s++)
        if (r->present[s] && isfinite(r->figures[s][column]))
            return true;
    return false;
}

static void row(const struct result *r, unsigned store) {
    char cell[CELL_SIZE];
    printf("%-6s", stores[store]->name);
    for (unsigned c = 0; c < COLUMNS_MAX && r->columns[c].key; c++)
        if (shown(r, c)) {
            format_cell(r->columns[c].unit, r->figures[store][c], cell);
            printf(" %*s", WIDTH, cell);
        }
    putchar('\n');
}

void table_result(const struct result *r) {
    printf("\n%s:", r->title);
    for (const struct parameter *p = r->parameters; p->name; p++)
        printf("%s %s %.10g", p == r->parameters ? "" : ",", p->name, p->value);
    printf("\n%-6s", "");
    for (unsigned c = 0; c < COLUMNS_MAX && r->columns[c].key; c++)
        if (shown(r, c))
            printf(" %*s", WIDTH, r->columns[c].heading);
    putchar('\n');
    for (unsigned s = 0; s < STORES; s++)
        if (r->present[s])
            row(r, s);
    fflush(stdout);
}
