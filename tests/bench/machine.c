#include "tests/bench/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void processor_name(char *name, size_t size) {
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

/* The file has all choices, and the valid one in brackets. */
static void huge_pages(char *setting, size_t size) {
    char line[256];
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "re");
    if (f && fgets(line, sizeof line, f) && strchr(line, '[')) {
        const char *from = strchr(line, '[') + 1;
        snprintf(setting, size, "%.*s", (int)strcspn(from, "]"), from);
    }
    if (f)
        fclose(f);
}

void machine_look(struct machine *m) {
    struct utsname system;
    *m = (struct machine){.processor = "unknown", .kernel = "unknown", .huge_pages = "unknown"};
    processor_name(m->processor, sizeof m->processor);
    if (uname(&system) == 0)
        snprintf(m->kernel, sizeof m->kernel, "%s", system.release);
    m->processors = sysconf(_SC_NPROCESSORS_ONLN);
    m->memory_gib = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    if (getloadavg(&m->load, 1) != 1)
        m->load = -1;
    huge_pages(m->huge_pages, sizeof m->huge_pages);
    m->compiler = __VERSION__;
}
